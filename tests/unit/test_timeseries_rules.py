"""Rules that compare hours: stuck, spike, gap."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from assets_pkg.timeseries.gaps import is_followed
from assets_pkg.timeseries.spikes import LONGEST_H, NEIGHBOURS_H, SCALE_REACH_H, is_spike
from assets_pkg.timeseries.stuck import COARSE_STUCK_AFTER_H, is_coarse
from assets_pkg.timeseries.transforms import clean
from schemas.datasets import OPENAQ
from schemas.tables import CLEANING_CONTEXT
from schemas.window import Window
from tests.builders import FIRST_DAY, KNOWN_AT, staging_rows, together

DAY = Window(FIRST_DAY, FIRST_DAY + timedelta(days=1))
TWO_DAYS = Window(FIRST_DAY, FIRST_DAY + timedelta(days=2))
STUCK_AFTER = OPENAQ.measures["pm25"].stuck_after
UP_TO = OPENAQ.impute_up_to


def cleaned(rows: pd.DataFrame, window: Window = TWO_DAYS) -> pd.DataFrame:
    """The rows of the window, by the hour counted from its start (the first hour is 1)."""
    result = clean(rows, OPENAQ, window).rows
    return result.set_index(((result["datetime_utc"] - window.start) / pd.Timedelta(hours=1)).astype(int))


def flagged(rows: pd.DataFrame, flag: str) -> list[int]:
    result = cleaned(rows)
    return result.index[result["flags"].str.contains(flag, regex=False)].tolist()


def wavy(hours: int = 48) -> list[float]:
    """A daily cycle no two hours of which are equal."""
    rng = np.random.default_rng(7)
    return [30.0 + 20.0 * np.sin(n / 24 * 2 * np.pi) + rng.normal(0, 1.0) for n in range(hours)]


# stuck


def test_a_run_of_equal_values_is_stuck_from_its_first_hour_to_its_last() -> None:
    values = wavy()
    values[10 : 10 + STUCK_AFTER] = [33.37] * STUCK_AFTER
    assert flagged(staging_rows(values), "stuck") == list(range(11, 11 + STUCK_AFTER))
    assert not cleaned(staging_rows(values)).loc[11, "is_valid"]


def test_a_shorter_run_is_not_stuck() -> None:
    values = wavy()
    values[10 : 10 + STUCK_AFTER - 1] = [33.37] * (STUCK_AFTER - 1)
    assert flagged(staging_rows(values), "stuck") == []


def test_a_gap_ends_a_run_and_imputed_hours_do_not_prolong_it() -> None:
    values: list[float | None] = list(wavy())
    values[10:20] = [33.37] * 10
    values[15] = None
    assert flagged(staging_rows(values), "stuck") == []


def test_a_coarse_reading_repeats_longer_before_it_is_stuck() -> None:
    for reading, length, stuck in (
        (0.002, COARSE_STUCK_AFTER_H - 1, 0),
        (0.002, COARSE_STUCK_AFTER_H, COARSE_STUCK_AFTER_H),
        (0.0, COARSE_STUCK_AFTER_H - 1, 0),
        (0.0, COARSE_STUCK_AFTER_H + 4, COARSE_STUCK_AFTER_H + 4),
    ):
        values = [value / 1000 for value in wavy()]
        values[5 : 5 + length] = [reading] * length
        assert len(flagged(staging_rows(values, parameter="no2", units="ppm"), "stuck")) == stuck


@pytest.mark.parametrize(
    ("reading", "coarse"),
    [
        *((reading, True) for reading in (0.0, 12.0, 0.0012, 0.002, 200.0, 20.0, -3.0)),
        *((reading, False) for reading in (12.5, 23.0, 0.024, 21.0, 8.37)),
    ],
)
def test_coarse_is_few_counts_of_the_last_digit(reading: float, coarse: bool) -> None:
    assert is_coarse(np.array([reading]))[0] == coarse


# spike


@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_short_excursion_is_a_spike(length: int, sign: int) -> None:
    values = [300.0 + value for value in wavy()]
    for n in range(20, 20 + length):
        values[n] += sign * 250.0
    assert flagged(staging_rows(values), "spike") == list(range(21, 21 + length))


def test_an_excursion_of_three_hours_is_an_episode() -> None:
    values = wavy()
    for n in range(20, 23):
        values[n] += 250.0 + n
    assert flagged(staging_rows(values), "spike") == []


def test_a_step_to_a_new_level_is_no_spike() -> None:
    values = wavy()
    values[20:] = [value + 250.0 for value in values[20:]]
    assert flagged(staging_rows(values), "spike") == []


def test_a_small_excursion_is_no_spike_however_quiet_the_sensor() -> None:
    values = [10.0 + 0.01 * n for n in range(48)]
    values[20] += 24.0
    assert flagged(staging_rows(values), "spike") == []
    values[20] += 3.0
    assert flagged(staging_rows(values), "spike") == [21]


def test_a_peak_with_shoulders_is_no_spike() -> None:
    values = wavy()
    for n, rise in zip(range(18, 23), (50.0, 120.0, 200.0, 130.0, 60.0), strict=True):
        values[n] += rise
    assert flagged(staging_rows(values), "spike") == []


def test_the_newest_hour_is_no_spike_until_the_level_is_seen_again() -> None:
    values = wavy(30)
    values[-1] += 250.0
    assert flagged(staging_rows(values), "spike") == []
    assert flagged(staging_rows([*values, values[-2]]), "spike") == [30]


def test_a_spike_shows_across_missing_hours() -> None:
    values: list[float | None] = list(wavy())
    values[20] = 300.0
    values[21] = None
    assert flagged(staging_rows(values), "spike") == [21]


def test_spikes_of_a_noisy_sensor_need_to_stand_out_of_its_noise() -> None:
    values = np.abs(np.random.default_rng(3).normal(100, 60, 48)).tolist()
    assert flagged(staging_rows(values), "spike") == []


def test_a_verdict_reaches_no_further_than_the_context() -> None:
    rng = np.random.default_rng(11)
    value = rng.normal(size=(40, 120)) * np.repeat([1.0, 3.0, 1.0], 40)
    value[rng.random(value.shape) < 0.04] *= 12
    value[rng.random(value.shape) < 0.1] = np.nan
    floor = np.zeros(len(value))
    alive = rng.random(value.shape) < 0.02
    spikes, followed = is_spike(value, floor), is_followed(alive)
    assert spikes.sum() > 50
    assert timedelta(hours=SCALE_REACH_H + NEIGHBOURS_H + LONGEST_H) <= CLEANING_CONTEXT
    for hour in range(24, 96):
        near = slice(hour - 24, hour + 25)
        assert (is_spike(value[:, near], floor)[:, 24] == spikes[:, hour]).all()
        assert (is_followed(alive[:, near])[:, 24] == followed[:, hour]).all()


# gaps


def test_a_short_gap_is_filled_with_the_hour_before_and_marked() -> None:
    values: list[float | None] = list(wavy(24))
    values[10] = values[11] = None
    rows = staging_rows(values)
    rows = rows.drop(index=[10, 11]).reset_index(drop=True)
    filled = cleaned(rows, DAY).loc[[11, 12]]
    assert (filled["value"] == values[9]).all()
    assert (filled["flags"] == "imputed").all()
    assert filled["is_valid"].all() and filled["is_imputed"].all()
    assert (filled["samples"] == 0).all() and (filled["coverage_pct"] == 0).all()
    assert filled["source_id"].isna().all() and filled["line_no"].isna().all()


def test_of_a_long_gap_only_the_first_hours_are_filled_and_the_rest_are_no_rows() -> None:
    rows = staging_rows(wavy(24)).drop(index=range(8, 16)).reset_index(drop=True)
    result = cleaned(rows, DAY)
    assert sorted(set(range(1, 25)) - set(result.index)) == list(range(9 + UP_TO, 17))
    assert result.index[result["is_imputed"]].tolist() == list(range(9, 9 + UP_TO))


def test_filling_never_looks_ahead() -> None:
    before = staging_rows(wavy(8))
    for later in ([500.0, 600.0], [1.0, None]):
        after = staging_rows(later, first=FIRST_DAY + timedelta(hours=12), first_line=100)
        filled = cleaned(together(before, after), DAY).loc[range(9, 9 + UP_TO)]
        assert (filled["value"] == before["value"].iloc[-1]).all()


def test_what_is_carried_does_not_depend_on_what_shows_it_to_be_a_spike() -> None:
    values = [*wavy(5), 300.0]  # too little past to tell
    back = staging_rows(wavy(17), first=FIRST_DAY + timedelta(hours=8), first_line=100)
    result = cleaned(together(staging_rows(values), back), DAY)
    assert "spike" in result.loc[6, "flags"]
    assert result.loc[7, "value"] == 300.0


def test_nothing_precedes_the_first_hour() -> None:
    assert cleaned(staging_rows([5.1, 5.2], first=FIRST_DAY + timedelta(hours=6)), DAY).index.min() == 6


def test_hours_after_the_newest_row_of_the_location_are_not_there() -> None:
    assert cleaned(staging_rows(wavy(5)), DAY).index.max() == 5


def test_hours_after_a_sensors_last_row_are_filled_while_its_location_goes_on() -> None:
    other = staging_rows(wavy(7), sensors_id=12, parameter="relativehumidity", units="%", first_line=100)
    assert cleaned(together(staging_rows(wavy(5)), other), DAY).index.max() == 7
    foreign = other.assign(location_id=2)
    assert cleaned(together(staging_rows(wavy(5)), foreign), DAY).index.max() == 5


def test_rows_of_the_future_do_not_prolong_a_location() -> None:
    rows = staging_rows(wavy(8), known_at=FIRST_DAY + timedelta(hours=4))  # stamps after 06:00 are in the future
    assert cleaned(rows, DAY).index.max() == 6


def test_a_sentinel_hour_is_filled_and_keeps_its_flag_and_origin() -> None:
    later = KNOWN_AT + timedelta(days=1)
    rows = staging_rows([10.1, -999.0, 10.3], known_at=[KNOWN_AT, later, KNOWN_AT])
    hour = cleaned(rows, DAY).loc[2]
    assert (hour["value"], hour["flags"], hour["is_valid"], hour["line_no"]) == (10.1, "imputed|sentinel", True, 2)
    assert hour["known_at"] == later


def test_a_sentinel_hour_without_a_past_is_null_and_invalid() -> None:
    hour = cleaned(staging_rows([-999.0, 10.3]), DAY).loc[1]
    assert np.isnan(hour["value"])
    assert (hour["flags"], hour["is_valid"], hour["is_imputed"], hour["samples"]) == ("sentinel", False, False, 0)


def test_a_null_hour_beyond_reach_stays_a_row_without_a_flag() -> None:
    rows = staging_rows([10.1, *[None] * (UP_TO + 1), 10.3])
    hour = cleaned(rows, DAY).loc[UP_TO + 2]
    assert np.isnan(hour["value"])
    assert (hour["flags"], hour["is_valid"]) == ("", False)


def test_the_imputed_hour_became_known_with_the_hour_it_is_carried_from() -> None:
    later = KNOWN_AT + timedelta(days=3)
    rows = staging_rows([10.1, 10.2, 10.3], known_at=[KNOWN_AT, KNOWN_AT, later]).drop(index=1)
    assert cleaned(rows.reset_index(drop=True), DAY).loc[2, "known_at"] == KNOWN_AT


@pytest.mark.parametrize("bad", [5000.0, -40.0])
def test_values_out_of_range_are_not_carried(bad: float) -> None:
    rows = staging_rows([10.1, bad, None, 10.3])
    result = cleaned(rows, DAY)
    assert result.loc[2, "flags"] == "out_of_range"
    assert (result.loc[2, "value"], result.loc[2, "is_valid"]) == (bad, False)
    assert (result.loc[3, "value"], result.loc[3, "is_imputed"]) == (10.1, True)


def test_a_stuck_value_is_not_carried() -> None:
    values: list[float | None] = list(wavy(24))
    values[6:12] = [33.37] * 6
    values[12] = None
    hour = cleaned(staging_rows(values), DAY).loc[13]
    assert np.isnan(hour["value"])


def test_a_leap_right_before_a_gap_is_not_carried_though_nothing_shows_it_yet() -> None:
    values = wavy(24)
    values[19] = 400.0
    rows = staging_rows(values).drop(index=[20, 21, 22, 23])
    last = staging_rows([20.0], first=FIRST_DAY + timedelta(hours=24), first_line=200)
    result = cleaned(together(rows, last), DAY)
    assert result.loc[20, "value"] == 400.0
    assert result.loc[[21, 22], "value"].tolist() == [values[18]] * 2
    assert 23 not in result.index
