"""Detectors of anomalies: each finds what was planted, none speaks of what is usual, and no baseline is spoilt."""

import json
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets_pkg.quality.anomalies import POINT_TIMES, anomalies_of
from assets_pkg.quality.anomalies_baseline import against_course, against_slots, baselines_of, level_around
from assets_pkg.quality.anomalies_grid import Grid, Incident, grid_of, median, steps_of, weeks_of
from assets_pkg.quality.anomalies_runs import runs_of
from schemas.anomalies import Kind
from schemas.tables import TABLES, WATCHED, WATCHED_AIR_QUALITY
from schemas.window import ONE_DAY, Window, midnight
from tests.anomalies import DAYS, JUDGED, LOOK_BACK, MONDAY, START, changed, hour, quiet, sales

MODEL = TABLES["quality.air_quality_anomalies"].model
TESTED = LOOK_BACK // timedelta(hours=1)
PM25 = {"location_id": 1, "sensors_id": 11}


@pytest.fixture(scope="module")
def calm() -> pd.DataFrame:
    return quiet(3)


def found_in(rows: pd.DataFrame, window: Window = JUDGED, **options: Any) -> pd.DataFrame:
    found = anomalies_of(rows, WATCHED_AIR_QUALITY, window, **options)
    MODEL.validate(found, lazy=True)
    return found


def grid(rows: pd.DataFrame, incidents: Any = ()) -> Grid:
    return grid_of(rows, WATCHED_AIR_QUALITY, Window(START, JUDGED.start + timedelta(days=7)), incidents)


def incident(first: datetime, last: datetime, **options: Any) -> Incident:
    told: dict[str, Any] = {"incident_id": 7, "entity": {}, "metric": None, "kind": None, "is_expected": False}
    return Incident(**(told | options), started_at=first, ended_at=last)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_said_of_what_is_usual(seed: int) -> None:
    assert found_in(quiet(seed, locations=2)).empty


def test_a_value_that_is_far_off_is_told_as_a_point_and_off_its_course(calm: pd.DataFrame) -> None:
    at = hour(2, 15)
    found = found_in(changed(calm, lambda values: values * 12, at, at, sensors_id=11))
    assert set(found["kind"]) == {"point", "seasonal"}
    usual = calm[(calm["sensors_id"] == 11) & (calm["datetime_utc"] == at)]["value"].iloc[0]
    for row in found.to_dict("records"):
        assert json.loads(row["entity"]) == PM25
        assert row["metric"] == "pm25" and row["unit"] == "µg/m³"
        assert row["started_at"] == row["ended_at"] == at and row["steps"] == 1
        assert row["day"] == pd.Timestamp(hour(2, 0))
        assert row["value"] == pytest.approx(12 * usual)
        assert usual / 2 < row["baseline"] < usual * 2
        assert row["score"] > 1
        assert not row["is_expected"] and pd.isna(row["incident_id"])
        assert json.loads(row["detector"])["look_back_d"] == 28


def test_a_value_that_is_usual_at_another_hour_is_told_off_its_course_and_only_so() -> None:
    rows = quiet(4, parameters=("no2",))
    night = rows[rows["datetime_utc"].dt.hour == 15]["value"].median()
    peak = rows.groupby(rows["datetime_utc"].dt.hour)["value"].median().idxmax()
    at = hour(3, int(str(peak)))
    found = found_in(changed(rows, night / 4, at, at))
    assert "seasonal" in set(found["kind"])
    assert set(found["started_at"]) == {at}


@pytest.mark.parametrize("factor", [4.0, 0.2])
def test_a_level_that_jumps_and_stays_is_told_once_it_has_lasted(calm: pd.DataFrame, factor: float) -> None:
    first = hour(2, 7)
    rows = changed(calm, lambda values: values * factor, first, JUDGED.end, sensors_id=12)
    shifts = found_in(rows)
    shifts = shifts[shifts["kind"] == "level_shift"]
    assert len(set(shifts["anomaly_id"])) == 1
    assert (abs(shifts["started_at"] - first) <= timedelta(hours=6)).all()
    assert set(shifts["entity"].map(json.loads).map(lambda one: one["sensors_id"])) == {12}
    assert shifts["day"].min() >= pd.Timestamp(hour(3, 0))
    assert shifts["day"].max() <= pd.Timestamp(hour(9, 0))
    assert (shifts["value"] / shifts["baseline"]).to_list() == pytest.approx([factor] * len(shifts), rel=0.35)


def test_of_odd_hours_with_a_hole_between_the_worst_that_has_a_value_is_told(calm: pd.DataFrame) -> None:
    rows = changed(calm, lambda values: values * 12, hour(2, 13), hour(2, 15), sensors_id=11)
    found = found_in(changed(rows, float("nan"), hour(2, 14), hour(2, 14), sensors_id=11))
    (point,) = found[found["kind"] == "point"].to_dict("records")
    assert point["steps"] == 3 and point["score"] > 1 and point["value"] > 0


def test_a_shift_that_weather_hides_is_told_against_the_other_metrics_of_the_place() -> None:
    rows = quiet(2, parameters=("pm25", "pm10", "no2", "so2", "co"))
    weather = np.random.default_rng(1).normal(size=len(rows["datetime_utc"].unique()) // 96 + 1).repeat(96)
    place = rows["datetime_utc"].rank(method="dense").astype(int).to_numpy() - 1
    rows["value"] *= np.exp(0.8 * weather[place])
    assert not (found_in(rows)["kind"] == "level_shift").any()
    found = found_in(changed(rows, lambda values: values * 2, hour(1, 0), JUDGED.end, sensors_id=11))
    shifts = found[found["kind"] == "level_shift"]
    assert {json.loads(entity)["sensors_id"] for entity in shifts["entity"]} == {11}
    alone = rows[rows["sensors_id"] == 11]
    found = found_in(changed(alone, lambda values: values * 2, hour(1, 0), JUDGED.end, sensors_id=11))
    assert not (found["kind"] == "level_shift").any()


def test_an_episode_that_comes_and_goes_is_no_shift(calm: pd.DataFrame) -> None:
    def swelling(values: "pd.Series[float]") -> Any:
        return values * np.exp(1.4 * np.sin(np.pi * np.arange(len(values)) / len(values)))

    rows = changed(calm, swelling, hour(1, 1), hour(5, 0), sensors_id=11)
    assert "level_shift" not in set(found_in(rows)["kind"])


def test_values_that_never_were_together_are_told_together(calm: pd.DataFrame) -> None:
    rows = changed(calm, lambda values: values * 1.9, hour(4, 3), hour(4, 6), sensors_id=11)
    rows = changed(rows, lambda values: values / 1.9, hour(4, 3), hour(4, 6), sensors_id=12)
    found = found_in(rows)
    assert set(found["kind"]) == {"multivariate"}
    (row,) = found.to_dict("records")
    assert json.loads(row["entity"]) == {"location_id": 1}
    assert row["metric"] == "no2, pm10, pm25"
    assert hour(4, 3) <= row["started_at"] <= row["ended_at"] <= hour(4, 6)


def test_a_gap_is_told_on_each_of_its_days_and_as_one(calm: pd.DataFrame) -> None:
    rows = changed(calm, np.nan, hour(1, 20), hour(2, 6), sensors_id=11)
    found = found_in(rows)
    assert list(found["kind"]) == ["gap", "gap"]
    assert list(found["day"]) == [pd.Timestamp(hour(1, 0)), pd.Timestamp(hour(2, 0))]
    assert set(found["started_at"]) == {hour(1, 20)} and len(set(found["anomaly_id"])) == 1
    assert list(found["ended_at"]) == [hour(2, 0), hour(2, 6)]
    assert list(found["steps"]) == [5, 11]
    dropped = found_in(rows[rows["value"].notna()].reset_index(drop=True))
    pd.testing.assert_frame_equal(dropped, found)
    carried = found_in(rows.assign(value=rows["value"].fillna(9.0), is_imputed=rows["value"].isna()))
    assert list(carried["kind"]) == ["gap", "gap"], "an imputed value did not come"


def test_gaps_that_are_short_or_a_habit_are_not_told(calm: pd.DataFrame) -> None:
    assert found_in(changed(calm, np.nan, hour(1, 20), hour(1, 22), sensors_id=11)).empty
    rows = calm
    for day in range(-28, DAYS):
        rows = changed(rows, np.nan, hour(day, 2), hour(day, 7), sensors_id=11)
    assert "gap" not in set(found_in(rows)["kind"])
    longer = changed(rows, np.nan, hour(3, 2), hour(3, 20), sensors_id=11)
    assert set(found_in(longer)["kind"]) == {"gap"}


def test_what_nobody_has_yet_is_no_gap_and_is_told_when_the_others_go_on(calm: pd.DataFrame) -> None:
    rows = calm[calm["datetime_utc"] <= hour(4, 15)].reset_index(drop=True)
    assert found_in(rows).empty
    silent = calm[(calm["datetime_utc"] <= hour(4, 15)) | (calm["datetime_utc"] > hour(6, 0))].reset_index(drop=True)
    found = found_in(silent)
    assert list(found["day"].unique()) == [pd.Timestamp(hour(6, 0))]
    assert set(found["started_at"]) == {hour(4, 16)} and set(found["ended_at"]) == {hour(6, 0)}
    assert len(found) == 3


def test_a_series_that_is_given_up_is_not_missed_for_ever(calm: pd.DataFrame) -> None:
    rows = calm[(calm["sensors_id"] != 11) | (calm["datetime_utc"] <= hour(0, 12))].reset_index(drop=True)
    gaps = found_in(rows)
    assert set(gaps["kind"]) == {"gap"}
    assert gaps["day"].max() == pd.Timestamp(hour(6, 0))


def test_a_value_that_stays_the_same_is_stuck(calm: pd.DataFrame) -> None:
    rows = changed(calm, lambda values: values.iloc[0], hour(5, 9), hour(5, 17), sensors_id=12)
    stuck = found_in(rows)
    stuck = stuck[stuck["kind"] == "stuck"]
    (row,) = stuck.to_dict("records")
    assert row["steps"] == 9 and row["started_at"] == hour(5, 9) and row["ended_at"] == hour(5, 17)
    assert row["score"] == 1.5


def test_a_series_that_often_repeats_itself_is_stuck_only_where_chance_ends(calm: pd.DataFrame) -> None:
    rows = calm.copy()
    coarse = rows["sensors_id"] == 11
    rows.loc[coarse, "value"] = (rows.loc[coarse, "value"] / 15).round() * 15
    assert "stuck" not in set(found_in(rows)["kind"])
    longer = changed(rows, 15.0, hour(2, 1), hour(5, 12), sensors_id=11)
    assert "stuck" in set(found_in(longer)["kind"])


@settings(max_examples=8, deadline=None)
@given(factor=st.floats(2, 1e9), step=st.integers(0, 7 * 24 - 1), sensor=st.sampled_from([11, 12, 13]))
def test_no_tested_value_changes_what_it_or_any_other_is_judged_by(factor: float, step: int, sensor: int) -> None:
    rows = CALM
    at = JUDGED.start + timedelta(hours=step + 1)
    spoilt = changed(rows, lambda values: values * factor, at, at, sensors_id=sensor)
    for judge in (against_slots, against_course):
        before, after = (judge(baselines_of(grid(one), TESTED)) for one in (rows, spoilt))
        keys = grid(rows).keys
        place = (int(keys.index[keys["sensors_id"] == sensor][0]), step)
        assert after.usual[place] == before.usual[place]
        assert after.score[place] > before.score[place]
        if judge is against_slots:
            others = np.ones(before.score.shape, dtype=bool)
            others[place] = False
            np.testing.assert_array_equal(after.score[others], before.score[others])


CALM = quiet(3)


def test_an_incident_is_left_out_of_the_baseline_and_what_was_expected_is_not(calm: pd.DataFrame) -> None:
    first, last = START + timedelta(days=3), START + timedelta(days=17)
    rows = changed(calm, lambda values: values * 6, first, last, sensors_id=11)
    as_is, left_out, kept = (
        baselines_of(grid(rows, some), TESTED)
        for some in ((), (incident(first, last),), (incident(first, last, is_expected=True),))
    )
    clean = baselines_of(grid(calm, (incident(first, last),)), TESTED)
    np.testing.assert_array_equal(left_out.slot, clean.slot)
    np.testing.assert_array_equal(left_out.course_scale, clean.course_scale)
    inside = steps_of(left_out.grid, first, last)
    number = int(left_out.grid.keys.index[left_out.grid.keys["sensors_id"] == 11][0])
    assert not left_out.trains[:, inside].any()
    assert kept.trains[number, inside].all()
    assert np.nanmedian(kept.slot[number]) >= np.nanmedian(as_is.slot[number])
    assert (kept.back(kept.slot)[number] > 1.5 * left_out.back(left_out.slot)[number]).mean() > 0.5


def test_an_incident_is_about_the_series_it_names() -> None:
    rows = quiet(2, locations=2)
    keys = grid(rows).keys
    for entity, metric, expected in (
        ({}, None, 6),
        ({"location_id": 2}, None, 3),
        ({"location_id": "2"}, "pm10", 1),
        ({"location_id": 3}, None, 0),
    ):
        marked = grid(rows, (incident(START, JUDGED.end, entity=entity, metric=metric),))
        assert int((~marked.is_sound).all(axis=1).sum()) == expected, (entity, metric)
    assert len(keys) == 6


def test_what_is_expected_says_so_and_an_incident_explains() -> None:
    at = hour(2, 15)
    rows = changed(CALM, lambda values: values * 12, at, at, sensors_id=11)
    expected = found_in(rows, incidents=[incident(at, at, entity={"location_id": 1}, is_expected=True)])
    assert expected["is_expected"].all() and (expected["incident_id"] == 7).all() and len(expected) == 2
    known = found_in(rows, incidents=[incident(at, at, metric="pm25")])
    assert not known["is_expected"].any() and (known["incident_id"] == 7).all()
    for elsewhere in (
        incident(at + timedelta(hours=1), at + timedelta(hours=2), is_expected=True),
        incident(at, at, entity={"sensors_id": 12}, is_expected=True),
        incident(at, at, kind="gap", is_expected=True),
    ):
        assert found_in(rows, incidents=[elsewhere])["incident_id"].isna().all()


def test_the_baseline_begins_anew_with_an_expected_shift() -> None:
    new = JUDGED.start - timedelta(days=1)
    loud = changed(CALM, lambda values: values * 30, new, JUDGED.end, sensors_id=11)
    assert {"point", "level_shift"} <= set(found_in(loud)["kind"])
    about: dict[str, Any] = {"entity": {"sensors_id": 11}, "kind": "level_shift", "is_expected": True}
    assert found_in(loud, incidents=[incident(new, hour(1, 0), **about)])["is_expected"].all()
    old = JUDGED.start - timedelta(days=16)
    rows = changed(CALM, lambda values: values * 30, old, JUDGED.end, sensors_id=11)
    marked = [incident(old, old + timedelta(days=2), **about)]
    assert found_in(rows, incidents=marked).empty
    later = changed(rows, lambda values: values * 12, hour(3, 5), hour(3, 5), sensors_id=11)
    assert set(found_in(later, incidents=marked)["started_at"]) == {hour(3, 5)}


def test_a_day_is_told_the_same_however_a_range_is_cut_and_rows_are_ordered() -> None:
    rows = changed(CALM, lambda values: values * 12, hour(2, 24), hour(3, 1), sensors_id=11)
    rows = changed(rows, lambda values: values * 4, hour(4, 7), JUDGED.end, sensors_id=12)
    rows = changed(rows, np.nan, hour(5, 3), hour(6, 9), sensors_id=13)
    rows = changed(rows, lambda values: values.iloc[0], hour(8, 20), hour(9, 10), sensors_id=11)
    whole = found_in(rows)
    assert {"point", "gap", "stuck", "level_shift"} <= set(whole["kind"])
    for days in (1, 3):
        pieces = [found_in(_until(rows, piece), piece) for piece in JUDGED.split(days * ONE_DAY)]
        pd.testing.assert_frame_equal(pd.concat(pieces, ignore_index=True), whole)
    pd.testing.assert_frame_equal(found_in(rows.sample(frac=1, random_state=1)), whole)


def _until(rows: pd.DataFrame, window: Window) -> pd.DataFrame:
    """What a run of the window reads."""
    reach = window.widened(before=WATCHED_AIR_QUALITY.reach)
    return rows[reach.holds(rows["datetime_utc"], "right")]


def test_daily_series_are_judged_against_their_weekday() -> None:
    watched, rows = WATCHED["sales"], sales(2)
    assert anomalies_of(rows, watched, JUDGED).empty
    day = hour(4, 0)
    odd = changed(rows, lambda values: values * 8, day, day, product_name="pears", metric="revenue")
    found = anomalies_of(odd, watched, JUDGED)
    TABLES["quality.sales_anomalies"].model.validate(found)
    assert {"point", "seasonal"} <= set(found["kind"])
    assert set(found["started_at"]) == {day} == set(found["ended_at"]) == set(found["day"])
    assert {one["product_name"] for one in found["entity"].map(json.loads)} == {"pears"}


def test_what_is_sold_rarely_or_never_raises_no_alarm_when_it_is_sold() -> None:
    watched, rng = WATCHED["sales"], np.random.default_rng(5)
    for share in (0.0, 0.1, 0.3, 0.6):
        rows = sales(2)
        sold = rng.random(rows["datetime_utc"].nunique()) < share
        is_sold = rows["datetime_utc"].map(dict(zip(sorted(set(rows["datetime_utc"])), sold, strict=True)))
        rows["value"] = rows["value"].where(is_sold.astype(bool), 0.0)
        assert "point" not in set(anomalies_of(rows, watched, JUDGED)["kind"]), share
    never = sales(2).assign(value=0.0)
    odd = changed(never, 100.0, hour(4, 0), hour(4, 0), product_name="pears")
    assert set(anomalies_of(odd, watched, JUDGED)["started_at"]) == {hour(4, 0)}


def test_too_short_a_history_says_nothing_of_values() -> None:
    rows = CALM[CALM["datetime_utc"] > JUDGED.start - timedelta(days=10)]
    odd = changed(rows, lambda values: values * 50, hour(2, 15), hour(2, 15), sensors_id=11)
    assert found_in(odd).empty


def test_no_rows_are_no_anomalies_and_half_days_are_refused() -> None:
    assert found_in(CALM.iloc[:0]).empty
    with pytest.raises(ValueError, match="whole UTC days"):
        anomalies_of(CALM, WATCHED_AIR_QUALITY, Window(JUDGED.start, JUDGED.start + timedelta(hours=3)))


@given(st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(float("nan"))), min_size=1, max_size=20))
def test_the_median_is_that_of_numpy_without_what_is_missing(values: list[float]) -> None:
    held = [one for one in values if not np.isnan(one)]
    expected = np.median(held) if held else np.nan
    np.testing.assert_allclose(median(np.array([values]))[0], expected)


@given(st.lists(st.booleans(), max_size=40))
def test_runs_are_where_the_mask_is_true(mask: list[bool]) -> None:
    found = runs_of(np.array(mask, dtype=bool))
    rebuilt = np.zeros(len(mask), dtype=bool)
    for start, stop in found:
        assert not rebuilt[max(start - 1, 0) : stop].any()
        rebuilt[start:stop] = True
    assert list(rebuilt) == mask


@given(st.integers(0, 20), st.integers(1, 25))
def test_weeks_end_on_mondays_and_tile_the_window(offset: int, days: int) -> None:
    first = MONDAY + timedelta(days=offset)
    window = Window.of_days(first, first + timedelta(days=days - 1))
    weeks = weeks_of(window)
    assert weeks[0].start == window.start and weeks[-1].end == window.end
    assert all(one.end == other.start for one, other in pairwise(weeks))
    assert all(one.end.weekday() == 0 for one in weeks[:-1])
    assert all(one.end - one.start <= timedelta(days=7) for one in weeks)
    assert midnight(first) == window.start


def test_the_level_around_a_step_looks_at_no_later_day_and_not_at_itself() -> None:
    even = np.arange(48, dtype="float64")[None]
    level = level_around(even, 24)
    assert level[0, 12] == 12  # six on either side
    assert level[0, 23] == np.median(np.arange(17, 23))
    changed_later = even.copy()
    changed_later[0, 24:] = 1e9
    np.testing.assert_array_equal(level_around(changed_later, 24)[0, :24], level[0, :24])
    changed_itself = even.copy()
    changed_itself[0, 10] = 1e9
    assert level_around(changed_itself, 24)[0, 10] == level[0, 10]


def test_thresholds_are_told_in_multiples() -> None:
    at = hour(2, 15)
    found = found_in(changed(CALM, lambda values: values * 12, at, at, sensors_id=11))
    (row,) = found[found["kind"] == Kind.POINT.value].to_dict("records")
    z = json.loads(row["detector"])["z"]
    assert row["score"] == pytest.approx(abs(z) / POINT_TIMES, abs=0.01)
