"""Pictures and tables of anomalies and drift: they decode, show what there is, and are the same for the same input."""

import io
import json
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from assets_pkg.drawing import WIDTH_PX
from assets_pkg.quality import anomalies_pictures
from assets_pkg.quality.anomalies import anomalies_of
from assets_pkg.quality.anomalies_pictures import anomalies_picture, anomalies_table, shown_before
from assets_pkg.quality.drift import drift_of
from assets_pkg.quality.drift_pictures import MOST_BARS, drift_picture, drift_table
from schemas.tables import WATCHED, WATCHED_AIR_QUALITY
from schemas.window import Window
from tests.anomalies import JUDGED, changed, hour, quiet
from tests.features import LAST, SALES, planted

DAY = hour(4, 0).date()
SHOWN = Window.of_days(DAY, DAY).widened(before=shown_before(WATCHED_AIR_QUALITY) - timedelta(days=1))


@pytest.fixture(scope="module")
def odd() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The days before, and the anomalies of a day with a spike, a gap and a stuck run."""
    rows = changed(quiet(3), lambda values: values * 12, hour(4, 5), hour(4, 5), sensors_id=11)
    rows = changed(rows, np.nan, hour(4, 9), hour(4, 20), sensors_id=12)
    rows = changed(rows, lambda values: values.iloc[0], hour(4, 1), hour(4, 12), sensors_id=13)
    found = anomalies_of(rows, WATCHED_AIR_QUALITY, JUDGED)
    return rows[SHOWN.holds(rows["datetime_utc"], "right")], found[found["day"].dt.date == DAY]


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG" and image.width == WIDTH_PX
        return np.asarray(image.convert("RGB")).astype(int)


def test_anomalies_are_drawn_on_white_a_panel_per_series_and_the_same_again(odd: Any) -> None:
    rows, found = odd
    drawn = anomalies_picture(rows, found, WATCHED_AIR_QUALITY, SHOWN)
    assert drawn == anomalies_picture(rows, found, WATCHED_AIR_QUALITY, SHOWN)
    picture = pixels(drawn)
    assert (picture[0, 0] > 250).all() and 0.02 < (picture.min(axis=2) < 250).mean() < 0.6
    fewer = pixels(anomalies_picture(rows, found[found["kind"] == "gap"], WATCHED_AIR_QUALITY, SHOWN))
    assert fewer.shape[0] < picture.shape[0]
    faint = pixels(anomalies_picture(rows, found.assign(is_expected=True), WATCHED_AIR_QUALITY, SHOWN))
    assert (faint != picture).any()


def test_series_beyond_those_drawn_are_counted(odd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, found = odd
    whole = pixels(anomalies_picture(rows, found, WATCHED_AIR_QUALITY, SHOWN))
    monkeypatch.setattr(anomalies_pictures, "MAX_PANELS", 1)
    assert pixels(anomalies_picture(rows, found, WATCHED_AIR_QUALITY, SHOWN)).shape[0] < whole.shape[0]


def test_of_each_kind_the_worst_is_drawn_before_the_second_of_another(odd: Any) -> None:
    _, found = odd
    gaps = pd.concat(
        [found[found["kind"] == "gap"].assign(entity=f'{{"sensors_id": {n}}}', score=99.0 + n) for n in range(8)]
    )
    every = pd.concat([found, gaps], ignore_index=True)
    first = anomalies_pictures._panels(every)[: found["kind"].nunique()]
    kinds = set()
    for entity, metric in first:
        of_panel = every[
            (every["entity"].map(json.loads) == entity) & (every["metric"].str.split(", ").str[0] == metric)
        ]
        kinds |= set(of_panel["kind"])
    assert kinds == set(found["kind"])


def test_the_table_of_anomalies_names_each_and_counts_the_rest(odd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = odd
    text = anomalies_table(found)
    assert all(name in text for name in found["anomaly_id"])
    assert len(text.splitlines()) == 2 + len(found)
    first = found.assign(is_expected=[True, *[False] * (len(found) - 1)])
    assert anomalies_table(first).splitlines()[-1].endswith("| expected |")
    monkeypatch.setattr(anomalies_pictures, "MOST_ROWS", 2)
    assert f"and {len(found) - 2} more" in anomalies_table(found)


def test_daily_series_show_four_weeks() -> None:
    assert shown_before(WATCHED["sales"]) == timedelta(days=28)
    assert shown_before(WATCHED_AIR_QUALITY) == timedelta(days=7)


def test_drift_is_drawn_and_told_with_what_matters_most_first() -> None:
    def moved(rng: np.random.Generator, count: int, number: np.ndarray) -> np.ndarray:
        return np.asarray(rng.normal(size=count) + 3 * (number >= count - 7))

    rows = drift_of(planted(5, orders=moved), SALES, LAST)
    assert len(rows) > MOST_BARS
    drawn = drift_picture(rows)
    assert drawn == drift_picture(rows.sample(frac=1, random_state=0).sort_values("rank", ignore_index=True))
    assert 0.02 < (pixels(drawn).min(axis=2) < 250).mean() < 0.6
    lines = drift_table(rows).splitlines()
    assert lines[2].startswith("| orders | drift |")
    assert lines[-1] == f"and {len(rows) - 40} more"
