"""The picture of a layer's quality: small, the same again, whole when nothing is there, and safe with any title."""

from datetime import date, timedelta
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from assets_pkg.quality.layer_pictures import BAND_COLOURS, CALENDAR_DAYS, band, layer_picture, layer_table, told
from schemas.quality_dimensions import Dimension
from schemas.tables import TABLES
from schemas.window import midnight
from tests.builders import rows_of

DAY = date(2026, 4, 30)
SPEC = TABLES["quality.openaq_staging"]
SVG = "{http://www.w3.org/2000/svg}"


def quality(days: int, **columns: Any) -> pd.DataFrame:
    """Rows of so many days up to `DAY`, everything perfect but for what is given, accuracy not measured."""
    rows = rows_of(SPEC, days)
    shares = {f"{one.value}_pct": 100.0 for one in Dimension} | {"score_pct": 100.0, "accuracy_pct": np.nan}
    stamps = [midnight(DAY - timedelta(days=days - 1 - n)) for n in range(days)]
    return rows.assign(day=pd.Series(stamps, dtype=rows["day"].dtype), table_name="staging.t", **(shares | columns))


def drawn(rows: pd.DataFrame, title: str = "Quality") -> ElementTree.Element:
    return ElementTree.fromstring(layer_picture(rows, title, DAY))


def texts(svg: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in svg.iter(f"{SVG}text")]


def test_a_full_picture_is_small_and_the_same_again() -> None:
    rows = quality(200)
    picture = layer_picture(rows, "Quality", DAY)
    assert len(picture) < 45_000
    assert layer_picture(rows, "Quality", DAY) == picture


def test_lines_are_named_and_what_is_not_measured_has_none() -> None:
    svg = drawn(quality(30, completeness_pct=99.99))
    said = texts(svg)
    assert "completeness 99 %" in said, "only a perfect one reads 100 %"
    assert "score 100 %" in said
    assert not [text for text in said if text.startswith("accuracy ")]
    assert any("not measured: accuracy" in text for text in said)


def test_a_day_without_a_partition_breaks_the_line_and_leaves_its_cell_empty() -> None:
    whole, torn = drawn(quality(30)), drawn(quality(30).drop(index=[10, 20]))
    assert len(list(torn.iter(f"{SVG}polyline"))) > len(list(whole.iter(f"{SVG}polyline")))

    def empty(svg: ElementTree.Element) -> int:
        return sum(rect.get("fill") == "white" and rect.get("x") is not None for rect in svg.iter(f"{SVG}rect"))

    assert empty(torn) == empty(whole) + 2
    assert empty(whole) == CALENDAR_DAYS - 30


def test_nothing_at_all_is_a_picture_too() -> None:
    assert any("not judged" in one for one in texts(drawn(quality(3).iloc[:0])))


@pytest.mark.parametrize("shares", [(100.0,) * 7, (0.0,) * 7, (0.0, 0.0, 100.0, 99.0, 50.0, 0.0, 0.0)])
def test_names_of_lines_cover_neither_each_other_nor_the_axis(shares: tuple[float, ...]) -> None:
    names = ("score", *(one.value for one in Dimension))
    svg = drawn(quality(30, **{f"{name}_pct": share for name, share in zip(names, shares, strict=True)}))
    beside = [one for one in svg.iter(f"{SVG}text") if (one.text or "").split(" ")[0] in names and one.text[-1] == "%"]
    places = sorted(float(one.get("y") or 0) for one in beside)
    assert len(places) == 7 and all(second - first >= 13.9 for first, second in pairwise(places))
    days = [float(one.get("y") or 0) for one in svg.iter(f"{SVG}text") if one.text == f"{DAY:%m-%d}"]
    assert places[-1] < min(days) - 10


def test_a_title_is_text_whatever_it_holds() -> None:
    assert "<script>&\"'" in texts(drawn(quality(3), "<script>&\"'"))


@pytest.mark.parametrize(("share", "place"), [(0, 0), (49.9, 0), (50, 1), (98.9, 5), (99, 6), (100, 6)])
def test_a_band_holds_its_lower_end(share: float, place: int) -> None:
    assert band(share) == BAND_COLOURS[place]


def test_the_table_has_the_worst_first_and_says_what_is_not_measured() -> None:
    rows = quality(2, score_pct=[99.0, 51.26])
    lines = layer_table(rows).splitlines()
    assert len(lines) == 4
    assert "51.2 %" in lines[2]
    assert "not measured" in lines[2]
    assert told(99.999) == "99.9 %"
