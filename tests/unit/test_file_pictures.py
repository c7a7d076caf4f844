"""Pictures of datasets of files: they decode, are small, show what they claim, and are the same for the same input."""

import io
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from assets_pkg.drawing import WIDTH_PX
from assets_pkg.quality.drawing import MAX_PANELS
from assets_pkg.quality.file_pictures import SHOWN_DAYS, dataset_picture
from schemas.base import conform, empty
from schemas.file_dataset import FileDataset
from schemas.file_datasets.meters import DATASET as METERS
from schemas.file_datasets.sales import DATASET as SALES
from schemas.file_tables import tables_of
from schemas.window import Window

DAY = date(2024, 3, 31)
WINDOW = Window.of_days(DAY - timedelta(days=SHOWN_DAYS - 1), DAY)
KNOWN = datetime(2024, 4, 1, tzinfo=UTC)


def series_of(dataset: FileDataset, combinations: int = 3) -> pd.DataFrame:
    """Noise around a daily cycle from a fixed seed, per combination and metric."""
    random = np.random.default_rng(7)
    stamps = pd.date_range(WINDOW.start, WINDOW.end, freq=dataset.cadence, inclusive="left", unit="us")
    good: dict[str, Any] = {"flags": "", "is_valid": True, "is_imputed": False, "samples": 1, "known_at": KNOWN}
    parts = [
        pd.DataFrame(
            {
                "datetime_utc": stamps,
                "value": 20 + 9 * np.sin(stamps.hour / 24 * 2 * np.pi) + random.normal(0, 1, len(stamps)),
                "metric": metric.name,
                "unit": metric.unit,
            }
        ).assign(**dict.fromkeys(dataset.entities, f"e{n}"))
        for n in range(combinations)
        for metric in dataset.metrics
    ]
    return conform(pd.concat(parts, ignore_index=True).assign(**good), tables_of(dataset.name).series.model)


def report(dataset: FileDataset, **columns: object) -> pd.DataFrame:
    model = tables_of(dataset.name).report.model
    whole = {name: 1_234_567 for name, column in model.to_schema().columns.items() if str(column.dtype) == "int64"}
    shares = dict.fromkeys(("completeness_pct", "validity_pct", "uniqueness_pct", "score_pct"), 99.9)
    row = {"day": pd.Timestamp(DAY, tz="UTC"), "is_ledger_closed": True, "known_at": KNOWN, **whole, **shares}
    return conform(pd.DataFrame([row | columns]), model)


def pixels(png: bytes) -> np.ndarray:
    """The picture as RGB; raises if it does not decode."""
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        assert image.width == WIDTH_PX
        return np.asarray(image.convert("RGB")).astype(int)


def ink(png: bytes) -> int:
    """How many pixels are blue, as lines and marks are."""
    red, _, blue = np.moveaxis(pixels(png), 2, 0)
    return int((blue - red > 60).sum())


@pytest.mark.parametrize("dataset", [SALES, METERS], ids=lambda dataset: dataset.name)
def test_a_picture_is_drawn_on_white_and_small(dataset: FileDataset) -> None:
    png = dataset_picture(series_of(dataset), report(dataset), dataset, DAY)
    assert len(png) < 60_000
    assert (pixels(png)[0, 0] > 250).all()
    assert ink(png) > 500


def test_the_same_input_gives_the_same_bytes() -> None:
    series = series_of(SALES)
    shuffled = series.sample(frac=1, random_state=1)
    first = dataset_picture(series, report(SALES), SALES, DAY)
    assert dataset_picture(series, report(SALES), SALES, DAY) == first
    assert np.abs(pixels(dataset_picture(shuffled, report(SALES), SALES, DAY)) - pixels(first)).mean() < 0.01


def test_a_day_without_anything_is_drawn_too() -> None:
    png = dataset_picture(empty(tables_of("sales").series.model), report(SALES).iloc[:0], SALES, DAY)
    assert ink(png) == 0


def test_other_days_do_not_show() -> None:
    series = series_of(SALES)
    later = series.assign(datetime_utc=series["datetime_utc"] + timedelta(days=SHOWN_DAYS), value=1e6)
    earlier = series.assign(datetime_utc=series["datetime_utc"] - timedelta(days=SHOWN_DAYS), value=1e6)
    every = pd.concat([earlier, series, later], ignore_index=True)
    alone = dataset_picture(series, report(SALES), SALES, DAY)
    assert dataset_picture(every, report(SALES), SALES, DAY) == alone


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"flags": "out_of_range", "is_valid": False}, id="out of range"),
        pytest.param({"flags": "imputed", "is_imputed": True}, id="imputed"),
    ],
)
def test_flagged_steps_are_marked(change: dict[str, Any]) -> None:
    series = series_of(SALES, combinations=1)
    plain = dataset_picture(series, report(SALES), SALES, DAY)
    is_flagged = (series["metric"] == "orders") & (series["datetime_utc"] == WINDOW.start + timedelta(days=9))
    for name, value in change.items():
        series.loc[is_flagged, name] = value
    marked = dataset_picture(series, report(SALES), SALES, DAY)
    difference = np.abs(pixels(marked) - pixels(plain)).max(axis=2) > 60
    assert difference[-45:].any(), "no legend"
    assert difference[:-45].any(), "no mark"


def test_a_value_out_of_range_does_not_spoil_the_scale() -> None:
    series = series_of(SALES, combinations=2)
    at = (series["metric"] == "orders") & (series["region"] == "e1")
    at &= series["datetime_utc"] == WINDOW.start
    series = series.assign(value=series["value"].mask(at, 1e9), is_valid=~at)
    spoilt = series.assign(is_valid=True)
    kept, lost = (dataset_picture(each, report(SALES), SALES, DAY) for each in (series, spoilt))
    assert not np.array_equal(pixels(kept)[420:470], pixels(lost)[420:470])


def test_what_became_of_the_rows_is_told() -> None:
    series = series_of(SALES)
    plain, opened, fewer = (
        pixels(dataset_picture(series, report(SALES, **columns), SALES, DAY))
        for columns in ({}, {"is_ledger_closed": False}, {"rows_filtered": 0})
    )
    score_line, rows_line, rest = slice(35, 55), slice(55, 75), slice(80, None)
    assert (plain[score_line] != opened[score_line]).any()
    assert (plain[rows_line] != fewer[rows_line]).any()
    assert (plain[rest] == opened[rest]).all()


def test_metrics_beyond_the_last_panel_are_named() -> None:
    many = tuple(replace(SALES.metrics[0], name=f"revenue{n}") for n in range(MAX_PANELS + 1))
    series = empty(tables_of("sales").series.model)
    one_less, too_many = (
        dataset_picture(series, report(SALES).iloc[:0], replace(SALES, metrics=metrics), DAY)
        for metrics in (many[:-1], many)
    )
    assert pixels(one_less).shape == pixels(too_many).shape
    assert (pixels(one_less)[-30:] != pixels(too_many)[-30:]).any()
