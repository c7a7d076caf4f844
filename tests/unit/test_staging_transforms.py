"""Staging's pure part: rows stay as received, and every one of them is accounted for on its own day."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets_pkg.staging.transforms import accounts, beside, newest_offset, staged
from resources.openaq.fetched import ROW_COLUMNS, no_rows
from schemas.staging import OpenaqMeasurements
from schemas.window import Window, midnight
from tests.builders import KNOWN_AT, staging_rows

FIRST, LAST = date(2025, 3, 1), date(2025, 3, 3)
WINDOW = Window.of_days(FIRST, LAST)
STAMPS = st.datetimes(datetime(2025, 3, 1), datetime(2025, 3, 4), timezones=st.just(UTC)).filter(
    lambda stamp: stamp > midnight(FIRST)
)


def test_staged_adds_when_it_became_known_and_nothing_else() -> None:
    rows = staging_rows([1.0, None, -999.0])[ROW_COLUMNS]
    found = staged(rows, KNOWN_AT)
    OpenaqMeasurements.validate(found)
    pd.testing.assert_frame_equal(found[ROW_COLUMNS], rows)
    assert set(found["known_at"]) == {pd.Timestamp(KNOWN_AT)}


def test_no_rows_stay_no_rows_of_the_right_kind() -> None:
    OpenaqMeasurements.validate(staged(no_rows(), KNOWN_AT))


def test_what_is_held_of_other_sensors_stands_beside_what_came() -> None:
    came, held = staging_rows([1.0, 2.0]), staging_rows([3.0], sensors_id=12, source_id=2)
    assert beside(came, held.iloc[:0]) is came
    assert beside(came, held)["value"].tolist() == [1.0, 2.0, 3.0]


@given(st.lists(STAMPS, max_size=30), st.dictionaries(st.dates(FIRST, LAST), st.integers(1, 9)))
def test_every_row_is_accounted_for_once_on_the_day_its_period_ends_in(
    stamps: list[datetime], rejected: dict[date, int]
) -> None:
    found = accounts(staging_rows([1.0] * len(stamps), datetime_utc=stamps), rejected, WINDOW, 7).set_index("day")
    assert list(found.index) == WINDOW.days()
    assert set(found["unit"]) == {"7"}
    expected = Counter((stamp - timedelta(microseconds=1)).date() for stamp in stamps)
    for day, row in found.iterrows():
        assert (row["loaded"], row["quarantined"]) == (expected[day], rejected.get(day, 0))
        assert row["read"] == row[["loaded", "duplicate", "quarantined", "filtered"]].sum()


@given(st.lists(STAMPS, max_size=20))
def test_a_days_account_does_not_depend_on_the_window(stamps: list[datetime]) -> None:
    rows = staging_rows([1.0] * len(stamps), datetime_utc=stamps)
    whole = accounts(rows, {LAST: 2}, WINDOW, 7)
    single = [
        accounts(rows[day_window.holds(rows["datetime_utc"], "right")], {LAST: 2} if day == LAST else {}, day_window, 7)
        for day in WINDOW.days()
        for day_window in [Window.of_days(day, day)]
    ]
    pd.testing.assert_frame_equal(whole, pd.concat(single, ignore_index=True))


def test_a_reject_of_another_day_is_accounted_to_the_nearest() -> None:
    found = accounts(staging_rows([]), {date(2025, 1, 1): 2, date(2025, 9, 1): 3}, WINDOW, 7)
    assert found["quarantined"].tolist() == [2, 0, 3]


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ("2025-03-01T05:45:00+05:45", "+05:45"),
        ("2025-03-01T00:00:00-03:30", "-03:30"),
        ("2025-03-01T00:00:00Z", "+00:00"),
        ("2025-03-01T14:00:00+14:00", "+14:00"),
        ("2025-03-01T00:00:00-00:44:30", "-00:44"),
        ("2025-03-01T00:00:00", None),
    ],
)
def test_the_offset_is_read_from_the_text_as_received(local: str, expected: str | None) -> None:
    assert newest_offset(staging_rows([1.0], datetime_local=[local])) == expected


def test_the_newest_rows_offset_counts_wherever_it_stands() -> None:
    stamps = [datetime(2025, 3, 9, hour, tzinfo=UTC) for hour in (6, 8, 7)]
    local = ["2025-03-09T01:00:00-05:00", "2025-03-09T04:00:00-04:00", "2025-03-09T03:00:00-04:00"]
    assert newest_offset(staging_rows([1.0] * 3, datetime_utc=stamps, datetime_local=local)) == "-04:00"
    assert newest_offset(no_rows()) is None
