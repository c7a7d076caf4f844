"""The daily report of datasets of files: what is counted and expected, and that a day is the same in any window."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from assets_pkg.quality.file_report import report_of
from schemas.base import conform, empty
from schemas.file_datasets.meters import DATASET as METERS
from schemas.file_datasets.sales import DATASET as SALES
from schemas.file_tables import tables_of
from schemas.window import ONE_DAY, Window

DAY = date(2024, 3, 10)
ONE = Window.of_days(DAY, DAY)
START = ONE.start
KNOWN = datetime(2024, 3, 11, 6, tzinfo=UTC)
TABLES = tables_of("sales")
LEDGER_COLUMNS = ["table_name", "day", "unit", "read", "loaded", "duplicate", "quarantined", "filtered", "written"]
NULL = {"value": np.nan, "is_valid": False}


def steps(*rows: dict[str, Any]) -> pd.DataFrame:
    """Rows of the series: valid revenue of pens in the North on the day, from file 1, unless told otherwise."""
    defaults = {
        "region": "North",
        "product_name": "pen",
        "metric": "revenue",
        "datetime_utc": START,
        "value": 1.0,
        "unit": "EUR",
        "flags": "",
        "is_valid": True,
        "is_imputed": False,
        "samples": 1,
        "source_id": 1,
        "line_no": 1,
        "known_at": KNOWN,
    }
    if not rows:
        return empty(TABLES.series.model)
    frame = pd.DataFrame([defaults | row for row in rows]).astype({"source_id": "Int64"})
    return conform(frame, TABLES.series.model)


def entry(read: int, loaded: int, *others: int, **columns: Any) -> dict[str, Any]:
    duplicate, quarantined, filtered = [*others, 0, 0, 0][:3]
    counts = {"read": read, "loaded": loaded, "duplicate": duplicate, "quarantined": quarantined, "filtered": filtered}
    return {"table_name": "timeseries.sales", "day": DAY, "unit": "", "known_at": KNOWN, **counts, **columns}


def ledger(*entries: dict[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame(entries, columns=[*LEDGER_COLUMNS, "is_closed", "known_at"])
    return frame.astype({"known_at": "datetime64[us, UTC]"})


def only_row(series: pd.DataFrame, accounts: pd.DataFrame, window: Window = ONE) -> "pd.Series[Any]":
    report = TABLES.report.model.validate(report_of(series, accounts, SALES, window))
    assert len(report) == 1
    return report.iloc[0]


def test_the_row_counts_are_those_of_the_ledger() -> None:
    row = only_row(steps({}), ledger(entry(100, 80, 10, 6, 4)))
    assert list(row["rows_read":"rows_filtered"]) == [100, 80, 10, 6, 4]
    assert row["is_ledger_closed"]
    assert row["uniqueness_pct"] == 90.0


@pytest.mark.parametrize("accounts", [[entry(10, 8, 1)], []], ids=["rows got lost", "nobody accounts for the steps"])
def test_a_ledger_that_does_not_add_up_is_open(accounts: list[dict[str, Any]]) -> None:
    assert not only_row(steps({}), ledger(*accounts))["is_ledger_closed"]


def test_entries_of_one_day_are_added_up() -> None:
    row = only_row(steps({}), ledger(entry(4, 4), entry(6, 5, 1, unit="other")))
    assert (row["rows_read"], row["rows_loaded"], row["is_ledger_closed"]) == (10, 9, True)
    row = only_row(steps({}), ledger(entry(4, 4), entry(6, 5, unit="other")))
    assert not row["is_ledger_closed"]


def test_other_tables_and_days_do_not_count() -> None:
    accounts = ledger(
        entry(5, 5),
        entry(7, 7, table_name="timeseries.meters"),
        entry(9, 9, day=DAY - ONE_DAY),
        entry(9, 9, day=DAY + ONE_DAY),
    )
    series = steps({}, {"datetime_utc": START + ONE_DAY}, {"datetime_utc": START - 8 * ONE_DAY, "region": "South"})
    row = only_row(series, accounts)
    assert (row["rows_read"], row["entities"], row["entities_expected"]) == (5, 1, 1)


def test_steps_files_and_entities_are_counted() -> None:
    series = steps(
        {},
        {"metric": "quantity", "source_id": 2},
        {"metric": "orders", "flags": "out_of_range", "is_valid": False, "source_id": 2},
        {"region": "South", "flags": "imputed", "is_imputed": True, "samples": 0, "value": 0.0, "source_id": None},
        {"region": "East", "source_id": 3, **NULL},
    )
    row = only_row(series, ledger(entry(5, 5)))
    assert (row["files"], row["entities"], row["steps_valid"], row["steps_flagged"]) == (3, 2, 3, 2)
    assert row["validity_pct"] == 75.0  # three of the four steps with a value


def test_entities_of_the_seven_days_before_are_expected() -> None:
    series = steps(
        {},
        {"region": "South", "datetime_utc": START - 7 * ONE_DAY},
        {"region": "West", "datetime_utc": START - 8 * ONE_DAY},
        {"region": "East", "datetime_utc": START - ONE_DAY},
        {"region": "Central", "datetime_utc": START - ONE_DAY, **NULL},
        {"product_name": "ink"},
    )
    row = only_row(series, ledger(entry(2, 2)))
    assert (row["entities"], row["entities_expected"], row["completeness_pct"]) == (2, 4, 50.0)


def test_the_score_is_the_mean_of_completeness_validity_and_uniqueness() -> None:
    series = steps({}, {"metric": "quantity", "is_valid": False}, {"region": "South", "datetime_utc": START - ONE_DAY})
    row = only_row(series, ledger(entry(10, 8, 2)))
    shares = [row["completeness_pct"], row["validity_pct"], row["uniqueness_pct"]]
    assert shares == [50.0, 50.0, 80.0]
    assert row["score_pct"] == pytest.approx(60.0)


def test_a_day_of_rows_without_a_value_scores_zero() -> None:
    for series in (steps(), steps(NULL)):
        row = only_row(series, ledger(entry(4, 1, 0, 3)))
        assert (row["score_pct"], row["uniqueness_pct"], row["entities"]) == (0.0, 100.0, 0)
        assert np.isnan([row["completeness_pct"], row["validity_pct"]]).all()


def test_delay_is_from_the_end_of_the_day_to_its_newest_row() -> None:
    series = steps({}, {"metric": "orders", "known_at": KNOWN - timedelta(hours=3)})
    assert only_row(series, ledger(entry(1, 1)))["delay_h"] == 6.0
    assert only_row(steps({"known_at": START + timedelta(hours=22.5)}), ledger())["delay_h"] == -1.5


def test_zeros_have_no_delay() -> None:
    zero = {"is_imputed": True, "samples": 0, "value": 0.0, "source_id": None, "known_at": KNOWN + ONE_DAY}
    assert np.isnan(only_row(steps(zero), ledger(entry(1, 0, 0, 1)))["delay_h"])
    assert only_row(steps(zero, {"region": "South"}), ledger(entry(1, 1)))["delay_h"] == 6.0


def test_known_at_is_the_newest_of_all_it_rests_on() -> None:
    late = KNOWN + 3 * ONE_DAY
    assert only_row(steps({}), ledger(entry(1, 1)))["known_at"] == KNOWN
    assert only_row(steps({}), ledger(entry(1, 1, known_at=late)))["known_at"] == late
    before = {"datetime_utc": START - 7 * ONE_DAY, "known_at": late}
    assert only_row(steps({}, before), ledger(entry(1, 1)))["known_at"] == late
    assert only_row(steps({}, before | {"datetime_utc": START - 8 * ONE_DAY}), ledger(entry(1, 1)))["known_at"] == KNOWN


def test_a_day_with_neither_entry_nor_step_has_no_row() -> None:
    series = steps({"datetime_utc": START - ONE_DAY}, {"datetime_utc": START + ONE_DAY})
    assert report_of(series, ledger(), SALES, ONE).empty
    week = report_of(series, ledger(entry(3, 3, day=DAY + 3 * ONE_DAY)), SALES, Window.of_days(DAY, DAY + 6 * ONE_DAY))
    assert list(week["day"]) == [START + ONE_DAY, START + 3 * ONE_DAY]


def test_nothing_makes_an_empty_report() -> None:
    TABLES.report.model.validate(report_of(steps(), ledger(), SALES, ONE))


def test_a_window_that_cuts_a_day_is_an_error() -> None:
    with pytest.raises(ValueError, match="whole UTC days, the window's bound 2024-03-10 06:00:00"):
        report_of(steps(), ledger(), SALES, Window(START + timedelta(hours=6), ONE.end))


def test_steps_finer_than_a_day_belong_to_the_day_they_start_in() -> None:
    stamps = [START, ONE.end - timedelta(hours=1), ONE.end]
    series = pd.DataFrame({"datetime_utc": stamps, "value": 1.0, "known_at": KNOWN, "is_valid": True})
    constant: dict[str, Any] = {
        "site_id": "s",
        "meter_id": "m",
        "metric": "energy",
        "unit": "kWh",
        "flags": "",
        "samples": 1,
    }
    series = conform(series.assign(is_imputed=False, **constant), tables_of("meters").series.model)
    report = report_of(series, ledger(), METERS, Window.of_days(DAY, DAY + ONE_DAY))
    assert list(report["steps_valid"]) == [2, 1]


@settings(max_examples=10, deadline=None)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "day": st.integers(-8, 6),
                "region": st.sampled_from(["North", "South", "East"]),
                "value": st.sampled_from([1.0, np.nan]),
                "flags": st.sampled_from(["", "imputed", "out_of_range"]),
                "source_id": st.sampled_from([1, 2, None]),
            }
        ),
        max_size=30,
        unique_by=lambda row: (row["day"], row["region"]),
    ),
    accounted=st.sets(st.integers(0, 6)),
    length=st.integers(1, 4),
)
def test_a_day_is_the_same_in_any_window(rows: list[dict[str, Any]], accounted: set[int], length: int) -> None:
    told = [{**row, "datetime_utc": START + row["day"] * ONE_DAY, "is_valid": row["value"] == 1.0} for row in rows]
    series = steps(*({name: row[name] for name in row if name != "day"} for row in told))
    series["is_imputed"] = series["flags"] == "imputed"
    series = series.astype({"is_imputed": bool})
    accounts = ledger(*(entry(5, 4, 1, day=DAY + n * ONE_DAY) for n in sorted(accounted)))
    window = Window.of_days(DAY, DAY + 6 * ONE_DAY)
    whole = TABLES.report.model.validate(report_of(series, accounts, SALES, window))
    parts = [report_of(series, accounts, SALES, piece) for piece in window.split(length * ONE_DAY)]
    together = pd.concat(parts).sort_values("day", ignore_index=True)
    assert_frame_equal(whole, together, check_exact=True)
