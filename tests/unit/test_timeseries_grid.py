"""Irregular stamps to hours: value, samples, coverage."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from assets_pkg.timeseries.grid import median_around
from assets_pkg.timeseries.transforms import clean
from schemas.datasets import OPENAQ
from schemas.window import Window
from tests.builders import FIRST_DAY, FIRST_HOUR, staging_rows, together

DAY = Window(FIRST_DAY, FIRST_DAY + timedelta(days=1))
QUARTER = timedelta(minutes=15)


def hours(rows: pd.DataFrame) -> pd.DataFrame:
    """The measured hours of the day, by the hour they end at."""
    cleaned = clean(rows, OPENAQ, DAY).rows
    cleaned = cleaned.loc[~cleaned["is_imputed"]]
    return cleaned.set_index(cleaned["datetime_utc"].dt.strftime("%H:%M"))


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2025, 3, 1, hour, minute, second, tzinfo=UTC)


def test_an_hour_is_named_by_its_end_and_closed_right() -> None:
    rows = staging_rows([1.0, 2.0, 4.0], datetime_utc=[at(5), at(5, 0, 1), at(6)])
    assert hours(rows)["value"].to_dict() == {"05:00": 1.0, "06:00": 3.0}


@pytest.mark.parametrize("minute", [30, 45])
def test_hourly_stamps_off_the_hour_fall_into_the_hour_they_end_in(minute: int) -> None:
    rows = staging_rows([1.0, 2.0], datetime_utc=[at(4, minute), at(5, minute)], interval_s=3600)
    assert hours(rows)["value"].to_dict() == {"05:00": 1.0, "06:00": 2.0}
    assert (hours(rows)["coverage_pct"] == 100.0).all()


def test_an_hour_is_the_mean_of_what_was_measured_in_it() -> None:
    rows = staging_rows([1.0, 2.0, None, 6.0], first=at(4, 15), step=QUARTER, interval_s=900)
    hour = hours(rows).loc["05:00"]
    assert (hour["value"], hour["samples"], hour["coverage_pct"], hour["flags"]) == (3.0, 3, 75.0, "")


def test_coverage_below_three_quarters_is_partial() -> None:
    rows = staging_rows([1.0, 2.0], first=at(4, 15), step=QUARTER, interval_s=900)
    hour = hours(rows).loc["05:00"]
    assert (hour["coverage_pct"], hour["flags"], hour["is_valid"]) == (50.0, "partial", True)


def test_untold_periods_count_against_the_usual_number_of_samples() -> None:
    full = staging_rows(range(1, 41), first=at(1, 15), step=QUARTER)
    thinned = full.drop(index=[17, 18, 19]).reset_index(drop=True)  # 05:30 to 06:00
    coverage = hours(thinned)["coverage_pct"]
    assert coverage["06:00"] == 25.0
    assert (coverage.drop("06:00") == 100.0).all()


def test_an_hourly_sensor_of_untold_period_covers_its_hours() -> None:
    assert (hours(staging_rows([1.0, 2.0, 3.0]))["coverage_pct"] == 100.0).all()


def test_overlapping_periods_cover_no_more_than_the_hour() -> None:
    rows = staging_rows([1.0, 2.0], datetime_utc=[at(5, 30), at(6)], interval_s=3600)
    assert hours(rows).loc["06:00", "coverage_pct"] == 100.0


def test_a_period_of_no_length_is_a_period_untold() -> None:
    assert hours(staging_rows([1.0], interval_s=0)).loc["01:00", "coverage_pct"] == 100.0


def test_an_hour_knows_its_last_row_and_when_the_newest_became_known() -> None:
    known = [datetime(2025, 4, day, tzinfo=UTC) for day in (9, 3)]
    rows = staging_rows([1.0, 2.0], datetime_utc=[at(4, 30), at(5)], known_at=known, source_id=[7, 8], line_no=[1, 5])
    hour = hours(rows).loc["05:00"]
    assert (hour["source_id"], hour["line_no"], hour["known_at"]) == (8, 5, known[0])


def test_the_mean_of_equal_values_is_that_value() -> None:
    rows = staging_rows([0.1] * 3, first=at(4, 20), step=timedelta(minutes=20))
    assert hours(rows).loc["05:00", "value"] == 0.1


def test_series_do_not_mix() -> None:
    rows = together(
        staging_rows([1.0], parameter="pm25"),
        staging_rows([2.0], parameter="pm10", first_line=2),
        staging_rows([3.0], sensors_id=12, first_line=3),
        staging_rows([4.0], location_id=2, first_line=4),
    )
    cleaned = clean(rows, OPENAQ, DAY).rows
    cleaned = cleaned.loc[cleaned["datetime_utc"] == FIRST_HOUR]
    assert sorted(cleaned["value"]) == [1.0, 2.0, 3.0, 4.0]


def test_the_median_around_a_cell_matches_numpy() -> None:
    matrix = np.random.default_rng(1).normal(size=(7, 60))
    matrix[matrix > 1] = np.nan
    for itself in (True, False):
        fast = median_around(matrix, 4, itself=itself, at_least=3)
        for series in range(7):
            for hour in range(60):
                near = [n for n in range(max(0, hour - 4), min(60, hour + 5)) if itself or n != hour]
                present = matrix[series, near][~np.isnan(matrix[series, near])]
                expected = np.median(present) if len(present) >= 3 else np.nan
                np.testing.assert_allclose(fast[series, hour], expected)
