"""The daily quality report: what is counted, when the ledger is closed, and that it is defined for any input."""

from datetime import UTC, date, datetime, timedelta
from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets_pkg.quality.transforms import ACTIVE_LOOK_BACK, SCORE_WEIGHTS, daily_report
from schemas.base import conform, empty
from schemas.quality import AirQualityReport
from schemas.timeseries import AirQuality, Flag
from schemas.window import Window

DAY = date(2024, 3, 10)
ONE = Window.of_days(DAY, DAY)
STAGING, CLEANING = "staging.openaq_measurements", "timeseries.air_quality"
NOON = datetime(2024, 3, 11, 12, tzinfo=UTC)


def hours(first: int = 1, last: int = 24, *, day: date = DAY, **columns: object) -> pd.DataFrame:
    """One sensor's hours `first` to `last` of the day, by the hour's END; all good unless told otherwise."""
    stamps = pd.DatetimeIndex([datetime(day.year, day.month, day.day, tzinfo=UTC)]).as_unit("us")
    stamps = stamps.repeat(last - first + 1) + pd.to_timedelta(np.arange(first, last + 1), unit="h")
    row = {
        "location_id": 1,
        "sensors_id": 11,
        "parameter": "pm25",
        "datetime_utc": stamps,
        "value": 12.5,
        "unit": "µg/m³",
        "flags": "",
        "is_valid": True,
        "is_imputed": False,
        "samples": 1,
        "coverage_pct": 100.0,
        "known_at": NOON,
    }
    return conform(pd.DataFrame(row | columns), AirQuality)


def account(table: str, read: int, loaded: int, *other: int, **columns: object) -> dict[str, object]:
    duplicate, quarantined, filtered = [*other, 0, 0, 0][:3]
    counts = {"read": read, "loaded": loaded, "duplicate": duplicate, "quarantined": quarantined, "filtered": filtered}
    return {"table_name": table, "day": DAY, "location_id": 1, **counts, "known_at": NOON} | columns


def ledger(*accounts: dict[str, object]) -> pd.DataFrame:
    columns = ["table_name", "day", "location_id", "read", "loaded", "duplicate", "quarantined", "filtered", "known_at"]
    return pd.DataFrame(accounts, columns=columns)


def only_row(series: pd.DataFrame, accounts: pd.DataFrame, window: Window = ONE) -> "pd.Series[object]":
    report = AirQualityReport.validate(daily_report(series, accounts, window=window))
    assert len(report) == 1
    return report.iloc[0]


def test_counts_chain_from_the_source_to_the_clean_series() -> None:
    accounts = ledger(account(STAGING, 30, 27, 0, 1, 2), account(CLEANING, 27, 24, 2, 1, 0))
    row = only_row(hours(), accounts)
    assert list(row["rows_read":"rows_filtered"]) == [30, 24, 2, 2, 2]
    assert row["is_ledger_closed"]
    assert row["uniqueness_pct"] == pytest.approx(100 - 100 * 2 / 30)


def test_before_cleaning_the_counts_are_those_of_staging() -> None:
    row = only_row(empty(AirQuality), ledger(account(STAGING, 30, 27, 0, 1, 2)))
    assert list(row["rows_read":"rows_filtered"]) == [30, 27, 0, 1, 2]
    assert row["is_ledger_closed"]


def test_without_an_account_of_staging_the_counts_are_those_of_cleaning() -> None:
    row = only_row(hours(), ledger(account(CLEANING, 27, 24, 2, 1, 0)))
    assert list(row["rows_read":"rows_filtered"]) == [27, 24, 2, 1, 0]


@pytest.mark.parametrize(
    "accounts",
    [
        pytest.param([account(STAGING, 30, 27), account(CLEANING, 27, 27)], id="staging is open"),
        pytest.param([account(STAGING, 27, 27), account(CLEANING, 27, 24)], id="cleaning is open"),
        pytest.param([account(STAGING, 27, 27), account(CLEANING, 24, 24)], id="rows lost between the two"),
        pytest.param([account(CLEANING, 24, 24)], id="cleaning read what staging never loaded"),
        pytest.param([], id="measured hours nobody accounts for"),
    ],
)
def test_a_ledger_that_does_not_add_up_is_open(accounts: list[dict[str, object]]) -> None:
    assert not only_row(hours(), ledger(*accounts))["is_ledger_closed"]


def test_the_hour_that_ends_at_midnight_belongs_to_the_day_it_ends() -> None:
    two_days = Window.of_days(DAY, DAY + timedelta(days=1))
    report = daily_report(hours(23, 25), ledger(), window=two_days)
    assert list(report["hours_measured"]) == [2, 1]


def test_hours_are_counted_by_kind() -> None:
    series = pd.concat(
        [
            hours(1, 12),
            hours(13, 14, flags="sentinel", value=np.nan, is_valid=False),
            hours(15, 17, flags="stuck", is_valid=False),
            hours(18, 18, flags="out_of_range|spike", is_valid=False, value=985.0),
            hours(19, 20, flags="imputed", is_imputed=True, samples=0),
            hours(21, 21, flags="converted|negative|partial", value=-1.0),
        ],
        ignore_index=True,
    )
    row = only_row(series, ledger(account(STAGING, 19, 19)))
    kinds = row[
        ["hours_sentinel", "hours_stuck", "hours_spike", "hours_out_of_range", "hours_negative", "hours_imputed"]
    ]
    assert list(kinds) == [2, 3, 1, 1, 1, 2]
    assert (row["hours_expected"], row["hours_measured"], row["hours_valid"]) == (24, 17, 15)
    assert row["completeness_pct"] == pytest.approx(100 * 17 / 24)
    assert row["validity_pct"] == pytest.approx(100 * 13 / 17)
    assert row["score_pct"] == pytest.approx((100 * 17 / 24 + 100 * 13 / 17 + 100) / 3)
    assert row["freshness_h"] == 3


def test_a_flag_is_counted_only_as_a_whole_word() -> None:
    assert only_row(hours(1, 1, flags="not_stuck|spikes"), ledger())[["hours_stuck", "hours_spike"]].eq(0).all()


def test_a_sensor_that_fell_silent_is_missed_for_a_week_and_then_no_more() -> None:
    later = Window.of_days(DAY, DAY + timedelta(days=9))
    report = daily_report(pd.concat([hours(), hours(sensors_id=12, parameter="o3")]), ledger(), window=later)
    assert list(report["hours_expected"]) == [48] * (ACTIVE_LOOK_BACK.days + 1)
    assert list(report["score_pct"]) == [100] + [0] * ACTIVE_LOOK_BACK.days
    assert list(report["freshness_h"]) == [24 * n for n in range(ACTIVE_LOOK_BACK.days + 1)]
    assert report["validity_pct"].isna().tolist() == [False] + [True] * ACTIVE_LOOK_BACK.days


def test_rows_in_front_of_the_window_tell_which_sensors_are_active_and_nothing_else() -> None:
    before = hours(day=DAY - ACTIVE_LOOK_BACK, sensors_id=12, flags="stuck", known_at=NOON + timedelta(days=1))
    too_old = hours(day=DAY - ACTIVE_LOOK_BACK - timedelta(days=1), sensors_id=13)
    row = only_row(pd.concat([too_old, before, hours()]), ledger(account(STAGING, 24, 24)))
    assert (row["hours_expected"], row["hours_measured"], row["hours_stuck"]) == (48, 24, 0)
    assert row["known_at"] == NOON + timedelta(days=1)


def test_a_day_of_sentinels_scores_nothing() -> None:
    row = only_row(hours(flags="sentinel", value=np.nan, is_valid=False), ledger(account(STAGING, 24, 24)))
    assert (row["hours_sentinel"], row["completeness_pct"], row["score_pct"]) == (24, 0, 0)
    assert pd.isna(row["validity_pct"]) and pd.isna(row["freshness_h"])


def test_a_location_known_only_to_the_ledger_has_a_row() -> None:
    row = only_row(empty(AirQuality), ledger(account(STAGING, 0, 0, location_id=7)))
    assert (row["location_id"], row["hours_expected"], row["score_pct"]) == (7, 0, 0)
    assert row["is_ledger_closed"] and row["known_at"] == NOON
    assert row[["completeness_pct", "validity_pct", "uniqueness_pct", "freshness_h"]].isna().all()


def test_without_any_data_there_are_no_rows() -> None:
    report = daily_report(empty(AirQuality), ledger(), window=ONE)
    assert report.empty
    AirQualityReport.validate(report)


def test_other_tables_and_other_days_of_the_ledger_do_not_count() -> None:
    others = [account("features.air_quality_hourly", 5, 5), account(STAGING, 9, 9, day=DAY + timedelta(days=1))]
    assert only_row(hours(), ledger(account(STAGING, 24, 24), *others))["rows_read"] == 24


def test_parts_without_a_figure_take_no_part_in_the_score() -> None:
    row = only_row(hours(1, 12), ledger())
    assert pd.isna(row["uniqueness_pct"])
    assert row["score_pct"] == pytest.approx((50 + 100) / 2)


@pytest.mark.parametrize(
    ("accounts", "message"),
    [
        (ledger(account(STAGING, 1, 1), account(STAGING, 2, 2)), "accounts twice for staging.openaq_measurements"),
        (ledger(account(STAGING, 1, 1, known_at=None)), "without known_at"),
        (ledger(account(STAGING, 1, 1, day=None)), "without day"),
        (ledger(account(STAGING, 1, 1, day=datetime(2024, 3, 10, 5, tzinfo=UTC))), "midnight"),
        (ledger().drop(columns="loaded"), "no column loaded"),
    ],
)
def test_a_ledger_that_cannot_be_relied_on_is_refused(accounts: pd.DataFrame, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        daily_report(hours(), accounts, window=ONE)


def test_a_window_that_cuts_a_day_is_refused() -> None:
    with pytest.raises(ValueError, match="whole UTC days"):
        daily_report(hours(), ledger(), window=Window(ONE.start, ONE.end - timedelta(hours=1)))


VALUES = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([np.nan, np.inf, -np.inf, -999.0, 0.0]))
FLAGS = st.sets(st.sampled_from(list(Flag))).map(lambda flags: "|".join(sorted(flags)))
ROW = st.tuples(
    st.integers(1, 3), st.integers(1, 3), st.sampled_from(["pm25", "o3"]), st.integers(-24 * 10, 24 * 5),
    VALUES, FLAGS, st.booleans(), st.booleans(), st.integers(0, 500),
)  # fmt: skip
COUNT = st.integers(0, 40)
ACCOUNT = st.tuples(
    st.sampled_from([STAGING, CLEANING, "features.air_quality_hourly"]), st.integers(-2, 5), st.integers(1, 4),
    COUNT, COUNT, COUNT, COUNT, COUNT, st.integers(0, 500),
)  # fmt: skip


@st.composite
def messy_series(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.lists(ROW, max_size=40, unique_by=lambda row: row[:4]))
    names = ["location_id", "sensors_id", "parameter", "at", "value", "flags", "is_valid", "is_imputed", "known"]
    frame = pd.DataFrame(rows, columns=names)
    start = pd.Timestamp(ONE.start).as_unit("us")
    frame["datetime_utc"] = start + pd.to_timedelta(frame.pop("at").astype("int64"), unit="h")
    frame["known_at"] = start + pd.to_timedelta(frame.pop("known").astype("int64"), unit="h")
    return conform(frame.assign(unit="µg/m³", samples=1, coverage_pct=100.0), AirQuality)


@st.composite
def messy_ledger(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.lists(ACCOUNT, max_size=20, unique_by=lambda row: row[:3]))
    frame = pd.DataFrame(rows, columns=ledger().columns)
    frame["day"] = [DAY + timedelta(days=offset) for offset in frame["day"]]
    frame["known_at"] = [NOON + timedelta(hours=offset) for offset in frame["known_at"]]
    return frame


FOUR_DAYS = Window.of_days(DAY, DAY + timedelta(days=3))


@given(messy_series(), messy_ledger())
def test_any_input_gives_a_defined_report(series: pd.DataFrame, accounts: pd.DataFrame) -> None:
    report = AirQualityReport.validate(daily_report(series, accounts, window=FOUR_DAYS))
    assert not report.duplicated(["location_id", "day"]).any()
    assert FOUR_DAYS.holds(report["day"], "left").all()
    assert report["hours_measured"].le(report["hours_expected"]).all()
    assert report.loc[report["hours_measured"] == 0, "score_pct"].eq(0).all()
    shares = report[list(SCORE_WEIGHTS)]
    scored = report["hours_measured"] > 0
    assert np.allclose(report.loc[scored, "score_pct"], shares[scored].mean(axis=1))
    added_up = report[["rows_loaded", "rows_duplicate", "rows_quarantined", "rows_filtered"]].sum(axis=1)
    assert report.loc[report["is_ledger_closed"], "rows_read"].eq(added_up[report["is_ledger_closed"]]).all()
    assert report["freshness_h"].dropna().between(0, 24 * (1 + ACTIVE_LOOK_BACK.days), inclusive="left").all()
    inside = accounts[
        accounts["table_name"].isin([STAGING, CLEANING]) & accounts["day"].between(DAY, DAY + timedelta(3))
    ]
    keys = set(zip(report["location_id"], report["day"].dt.date, strict=True))
    assert keys >= set(zip(inside["location_id"], inside["day"], strict=True))


@settings(max_examples=25, deadline=None)
@given(messy_series(), messy_ledger(), st.randoms())
def test_a_days_row_depends_neither_on_the_window_nor_on_the_order(
    series: pd.DataFrame, accounts: pd.DataFrame, random: Random
) -> None:
    whole = daily_report(series, accounts, window=FOUR_DAYS)
    order = list(range(len(series)))
    random.shuffle(order)
    days = [daily_report(series.iloc[order], accounts, window=one) for one in FOUR_DAYS.split(timedelta(days=1))]
    apart = pd.concat(days).sort_values(["location_id", "day"], ignore_index=True)
    pd.testing.assert_frame_equal(whole, apart)
