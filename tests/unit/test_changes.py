"""Old rows against new: `settle` against a naive search, row by row."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.timescale.changes import KINDS, rows_by_day, settle
from schemas.base import NullableBool, NullableInt, TableModel, Text, UtcTimestamp, conform, empty
from schemas.table_spec import TableSpec
from schemas.tables import AIR_QUALITY_HOURLY
from tests.builders import FIRST_HOUR, feature_rows


class Row(TableModel):
    """Every type a column can have; `source` and `line` are its origin."""

    t: UtcTimestamp
    unit: int
    value: float = pa.Field(nullable=True)
    count: NullableInt = pa.Field(nullable=True)
    is_valid: NullableBool = pa.Field(nullable=True)
    note: Text = pa.Field(nullable=True)
    source: int
    line: int
    known_at: UtcTimestamp


RECEIVED = TableSpec(
    schema="s",
    name="received",
    model=Row,
    key=("t", "source", "line"),
    time_column="t",
    closed="right",
    unit="unit",
    origin=("source", "line"),
    natural_key=("unit", "t"),
)
KEYED = replace(RECEIVED, name="keyed", key=("unit", "t"), natural_key=(), closed="left")
SPECS = [RECEIVED, KEYED]
UNSERVED = replace(AIR_QUALITY_HOURLY, served=None)
T0 = datetime(2024, 1, 1, tzinfo=UTC)

contents = st.tuples(
    st.sampled_from([T0, T0 + timedelta(hours=23), T0 + timedelta(days=1)]),
    st.integers(1, 2),
    st.sampled_from([0.0, -0.0, 1.5, None]),
    st.sampled_from([None, 0, 2**53 + 1, 2**53]),
    st.sampled_from([None, True, False]),
    st.sampled_from([None, "", "a"]),
)


@st.composite
def frames(draw: st.DrawFn, source: int, spec: TableSpec) -> pd.DataFrame:
    """Rows in any order whose key is unique; those of two frames often agree."""
    unique = (lambda row: row[:2]) if spec is KEYED else None
    rows = draw(st.lists(contents, max_size=8, unique_by=unique))
    sources = draw(st.lists(st.sampled_from([1, source]), min_size=len(rows), max_size=len(rows)))
    known = datetime(2025, 1, source, tzinfo=UTC)
    lines = [(*row, origin, line, known) for line, (row, origin) in enumerate(zip(rows, sources, strict=True), start=1)]
    return conform(pd.DataFrame(draw(st.permutations(lines)), columns=list(Row.to_schema().columns)), Row)


def plain(frame: pd.DataFrame, columns: list[str]) -> list[tuple[Any, ...]]:
    """Rows as tuples that compare as the values do; missing is None."""
    rows = frame[columns].astype(object).itertuples(index=False)
    return [tuple(None if pd.isna(value) else value for value in row) for row in rows]


def naive(old: pd.DataFrame, new: pd.DataFrame, spec: TableSpec) -> tuple[Counter[str], int]:
    """Kinds of change, counted by the definition."""
    was, now = Counter(plain(old, spec.content)), Counter(plain(new, spec.content))
    same = was & now
    identity = [spec.content.index(name) for name in spec.identity]
    left, right = (
        Counter(tuple(row[n] for n in identity) for row in rows.elements()) for rows in (was - same, now - same)
    )
    changed = left & right
    counts = {"inserted": (right - changed).total(), "changed": changed.total(), "vanished": (left - changed).total()}
    return Counter(counts), same.total()


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
@given(data=st.data())
def test_changes_are_those_of_a_naive_search(spec: TableSpec, data: st.DataObject) -> None:
    old, new = data.draw(frames(2, spec)), data.draw(frames(3, spec))
    settled, changes = settle(old, new, spec)
    expected, unchanged = naive(old, new, spec)
    assert {kind: changes.total(kind) for kind in KINDS} == dict(expected)
    assert changes.unchanged == unchanged
    assert bool(changes) == bool(expected.total())

    assert plain(settled, spec.content) == plain(new, spec.content)
    assert list(settled.dtypes) == list(new.dtypes)
    assert not settled.duplicated(list(spec.key)).any()
    kept = Counter(plain(settled, spec.columns)) & Counter(plain(old, spec.columns))
    assert kept.total() == unchanged if spec is KEYED else kept.total() <= unchanged
    fresh = Counter(plain(settled, spec.columns)) - kept
    assert fresh <= Counter(plain(new, spec.columns))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
@given(data=st.data())
def test_settling_what_is_settled_changes_nothing(spec: TableSpec, data: st.DataObject) -> None:
    old, new = data.draw(frames(2, spec)), data.draw(frames(3, spec))
    settled, _ = settle(old, new, spec)
    again, changes = settle(settled, new.sample(frac=1, random_state=1), spec)
    assert not changes and changes.unchanged == len(new)
    assert Counter(plain(again, spec.content)) == Counter(plain(new, spec.content))


def rows(*given_rows: tuple[Any, ...], source: int = 1, first_line: int = 1) -> pd.DataFrame:
    """Rows of (hour, unit, value); known in the month `source`."""
    lines = [
        (T0 + timedelta(hours=hour), unit, value, None, None, None, source, line, datetime(2025, source, 1, tzinfo=UTC))
        for line, (hour, unit, value) in enumerate(given_rows, start=first_line)
    ]
    return conform(pd.DataFrame(lines, columns=list(Row.to_schema().columns)), Row)


def test_a_row_that_stays_keeps_its_origin_and_when_it_became_known() -> None:
    old = rows((1, 1, 1.0), (2, 1, np.nan), (3, 1, 3.0))
    new = rows((3, 1, 3.5), (2, 1, None), (1, 1, 1.0), (4, 1, 4.0), source=2)
    settled, changes = settle(old, new, RECEIVED)
    assert settled["source"].tolist() == [2, 1, 1, 2]
    assert settled["line"].tolist() == [1, 2, 1, 4]
    assert settled["known_at"].dt.month.tolist() == [2, 1, 1, 2]
    assert [changes.total(kind) for kind in KINDS] == [1, 1, 0]


def test_counts_are_per_day_of_the_closed_side_and_unit() -> None:
    old, new = rows((24, 1, 1.0), (25, 2, 1.0)), rows((24, 1, 2.0), (25, 1, 1.0), (26, 1, 1.0), source=2)
    _, changes = settle(old, new, RECEIVED)
    first, second = date(2024, 1, 1), date(2024, 1, 2)
    assert plain(changes.counts, ["day", "unit", *KINDS]) == [
        (first, 1, 0, 1, 0),
        (second, 1, 2, 0, 0),
        (second, 2, 0, 0, 1),
    ]
    assert changes.days == {first, second}
    assert rows_by_day(new, RECEIVED) == {first: 1, second: 2}
    assert rows_by_day(new, KEYED) == {second: 3}
    assert settle(old, new, KEYED)[1].days == {second}


def test_duplicates_are_matched_one_to_one() -> None:
    old = rows((1, 1, 1.0), (1, 1, 1.0), (1, 1, 2.0))
    _, changes = settle(old, rows((1, 1, 1.0), (1, 1, 3.0), source=2), RECEIVED)
    assert ([changes.total(kind) for kind in KINDS], changes.unchanged) == ([0, 1, 1], 1)


def test_an_old_origin_that_another_row_has_now_is_not_carried() -> None:
    """A line put in front of a file moves all others: the old line numbers belong to other rows now."""
    old = rows((1, 1, 1.0), (1, 2, 2.0))
    new = rows((1, 3, 3.0), (1, 1, 1.0), (1, 2, 2.0))
    settled, changes = settle(old, new, RECEIVED)
    assert [changes.total(kind) for kind in KINDS] == [1, 0, 0]
    assert not settled.duplicated(list(RECEIVED.key)).any()
    assert settled["line"].tolist() == [1, 2, 3]


def test_an_empty_side_is_all_inserted_or_all_vanished() -> None:
    some, none = rows((1, 1, 1.0), (2, 1, 2.0)), rows()
    assert settle(none, some, RECEIVED)[1].total("inserted") == 2
    assert settle(some, none, RECEIVED)[1].total("vanished") == 2
    assert not settle(none, none, RECEIVED)[1]


def test_a_table_without_time_and_unit_is_counted_as_a_whole() -> None:
    spec = replace(KEYED, key=("unit", "line"), time_column=None, unit=None, origin=())
    _, changes = settle(rows((1, 1, 1.0)), rows((1, 1, 2.0), (1, 2, 2.0)), spec)
    assert [changes.total(kind) for kind in KINDS] == [1, 1, 0] and changes.days == set()
    assert rows_by_day(rows((1, 1, 1.0)), spec) == {}


def test_rows_are_told_apart_though_their_hashes_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        pd.util, "hash_pandas_object", lambda frame, index: pd.Series(np.zeros(len(frame), "uint64"), index=frame.index)
    )
    _, changes = settle(rows((1, 1, 1.0), (2, 1, 2.0)), rows((2, 1, 2.0), (3, 1, 3.0), (1, 1, 1.5), source=2), KEYED)
    assert changes.total("inserted") >= 1 and changes


@pytest.mark.parametrize("more", [[], [(2, 1, 1.0)]], ids=["as many rows", "more rows"])
def test_zero_is_zero_whatever_its_sign(more: list[tuple[Any, ...]]) -> None:
    _, changes = settle(rows((1, 1, -0.0)), rows((1, 1, 0.0), *more, source=2), RECEIVED)
    assert ([changes.total(kind) for kind in KINDS], changes.unchanged) == ([len(more), 0, 0], 1)


Said = dict[tuple[int, int], float]


@given(st.data())
def test_what_was_touched_and_what_was_there_before_is_told_of_served_tables(data: st.DataObject) -> None:
    said = st.dictionaries(st.tuples(st.integers(1, 3), st.integers(0, 4)), st.sampled_from([1.0, 2.0]), max_size=8)
    before, after = data.draw(said), data.draw(said)

    def frame(rows: Said) -> pd.DataFrame:
        if not rows:
            return empty(AIR_QUALITY_HOURLY.model)
        columns = {
            "location_id": [number for number, _ in rows],
            "datetime_utc": [FIRST_HOUR + timedelta(hours=hour) for _, hour in rows],
            "pm25_ugm3": list(rows.values()),
        }
        return feature_rows(len(rows), **columns)

    old, new = frame(before), frame(after)
    _, changes = settle(old, new, AIR_QUALITY_HOURLY)
    differ = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    newest = {number: max(hour for one, hour in differ if one == number) for number in {one for one, _ in differ}}
    touched = dict(zip(changes.touched["location_id"], changes.touched["datetime_utc"], strict=True))
    assert touched == {number: FIRST_HOUR + timedelta(hours=hour) for number, hour in newest.items()}
    gone = zip(changes.superseded["location_id"], changes.superseded["datetime_utc"], strict=True)
    assert {(number, (at - FIRST_HOUR) // timedelta(hours=1)) for number, at in gone} == differ & before.keys()
    _, unserved = settle(old, new, UNSERVED)
    assert unserved.touched.empty
