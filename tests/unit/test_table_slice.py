"""From a context's partitions to a slice: values, without a server."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from resources.errors import ContractBroken
from resources.timescale.table_slice import MOST_DAY_LOCKS, WHOLE_TABLE, Part, TableSlice, slice_of
from schemas.base import TableModel, Text, UtcTimestamp
from schemas.table_spec import TableSpec
from schemas.window import ONE_DAY, Window


class Row(TableModel):
    """A row."""

    t: UtcTimestamp
    station: int
    region: Text
    is_valid: bool
    value: float


SPEC = TableSpec(
    schema="s",
    name="rows",
    model=Row,
    key=("t", "station"),
    time_column="t",
    closed="right",
    unit="station",
    known_at=None,
)
TIMELESS = replace(SPEC, time_column=None, unit=None)
DAILY = dg.DailyPartitionsDefinition(start_date="2024-01-01", end_date="2026-01-01")
HOURLY = dg.HourlyPartitionsDefinition(start_date="2024-01-01-00:00", end_date="2024-02-01-00:00")
REGIONS = dg.StaticPartitionsDefinition(["north", "south"])
BOTH = dg.MultiPartitionsDefinition({"day": DAILY, "region": REGIONS})


def days(first: int, last: int) -> Window:
    return Window.of_days(date(2024, 1, first), date(2024, 1, last))


class Context:
    """What `slice_of` asks a context for, an input's when it has columns."""

    def __init__(self, definition: dg.PartitionsDefinition | None, keys: list[str], **metadata: Any) -> None:
        self.has_asset_partitions = definition is not None
        self.asset_partitions_def = definition
        self.asset_partition_keys = keys
        self.definition_metadata = metadata


def slice_by(
    definition: dg.PartitionsDefinition | None, keys: list[str], spec: TableSpec = SPEC, **metadata: Any
) -> TableSlice:
    return slice_of(Context(definition, keys, **metadata), spec)  # type: ignore[arg-type]


def test_without_partitions_it_is_the_whole_table() -> None:
    assert slice_by(None, []) == TableSlice(SPEC, WHOLE_TABLE)


@pytest.mark.parametrize("definition", [DAILY, REGIONS, BOTH])
def test_partitions_without_a_key_are_nothing_and_never_the_whole_table(definition: dg.PartitionsDefinition) -> None:
    expression = {"partition_expr": {"day": "t", "region": "region"} if definition is BOTH else None}
    if definition is REGIONS:
        expression = {"partition_expr": "region"}
    assert slice_by(definition, [], **expression).parts == ()


def test_abutting_days_are_one_window_in_any_order() -> None:
    assert slice_by(DAILY, ["2024-01-03", "2024-01-01", "2024-01-02"]).parts == (Part(days(1, 3)),)


def test_a_gap_makes_two_parts() -> None:
    table_slice = slice_by(DAILY, ["2024-01-01", "2024-01-03"])
    assert table_slice.parts == (Part(days(1, 1)), Part(days(3, 3)))
    assert table_slice.window == days(1, 3)
    assert table_slice.lock_names() == ["s.rows/2024-01-01", "s.rows/2024-01-03"]


def test_hours_of_a_day_are_its_window() -> None:
    keys = [f"2024-01-02-{hour:02}:00" for hour in range(24)]
    assert slice_by(HOURLY, keys).parts == (Part(days(2, 2)),)


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/New_York", "Pacific/Apia"])
def test_days_of_a_zone_abut_in_utc(zone: str) -> None:
    local = dg.DailyPartitionsDefinition(start_date="2024-03-01", end_date="2024-04-20", timezone=zone)
    keys = [(date(2024, 3, 1) + timedelta(days=n)).isoformat() for n in range(45)]
    (part,) = slice_by(local, keys).parts
    assert part.window is not None and part.window.start.tzinfo is UTC
    first, last = (pd.Timestamp(day, tz=zone).tz_convert("UTC") for day in ("2024-03-01", "2024-04-15"))
    assert (part.window.start, part.window.end) == (first, last)


def test_two_dimensions() -> None:
    keys = ["2024-01-01|north", "2024-01-02|north", "2024-01-02|south", "2024-01-04|south"]
    north, south = (("region", ("north",)),), (("region", ("south",)),)
    assert set(slice_by(BOTH, keys, partition_expr={"day": "t", "region": "region"}).parts) == {
        Part(days(1, 2), north),
        Part(days(2, 2), south),
        Part(days(4, 4), south),
    }


def test_two_dimensions_without_time() -> None:
    definition = dg.MultiPartitionsDefinition({"region": REGIONS, "station": dg.StaticPartitionsDefinition(["1", "2"])})
    table_slice = slice_by(definition, ["north|2"], partition_expr={"region": "region", "station": "station"})
    assert table_slice.parts == (Part(None, (("region", ("north",)), ("station", (2,)))),)


@pytest.mark.parametrize(
    ("column", "keys", "values"),
    [
        ("region", ["o'hare"], ("o'hare",)),
        ("station", ["1", "-2"], (1, -2)),
        ("is_valid", ["true", "False"], (True, False)),
    ],
)
def test_keys_become_values_of_their_column(column: str, keys: list[str], values: tuple[object, ...]) -> None:
    table_slice = slice_by(dg.StaticPartitionsDefinition(keys), keys, partition_expr=column)
    assert table_slice.parts == (Part(None, ((column, values),)),)


@pytest.mark.parametrize(
    ("definition", "spec", "expression", "words"),
    [
        (REGIONS, TIMELESS, None, "has no column None to partition by"),
        (REGIONS, SPEC, "nowhere", "has no column 'nowhere'"),
        (REGIONS, SPEC, "station", "is int64, it is never 'north'"),
        (REGIONS, SPEC, "is_valid", "it is never 'north'"),
        (REGIONS, SPEC, None, "only text, whole numbers and booleans name a slice"),
        (DAILY, SPEC, "region", "cut by its time column, 't'"),
        (DAILY, TIMELESS, None, "cut by its time column, None"),
        (BOTH, SPEC, "t", "must map each of"),
        (BOTH, SPEC, {"day": "t"}, "must map each of"),
        (BOTH, SPEC, {"day": "region", "region": "region"}, "cut by its time column"),
    ],
)
def test_what_does_not_fit_is_told(definition: Any, spec: TableSpec, expression: Any, words: str) -> None:
    key = {REGIONS: "north", DAILY: "2024-01-01", BOTH: "2024-01-01|north"}[definition]
    with pytest.raises(ContractBroken, match=words):
        slice_by(definition, [key], spec, partition_expr=expression)


def test_narrowing_keeps_inside_the_slice() -> None:
    week = TableSlice(SPEC, (Part(days(1, 7)), Part(days(10, 12), (("region", ("north",)),))))
    assert week.narrowed(days(2, 3)).parts == (Part(days(2, 3)),)
    assert week.narrowed(days(11, 11)).parts == (Part(days(11, 11), (("region", ("north",)),)),)
    for outside in (days(7, 8), days(8, 9), days(1, 12)):
        with pytest.raises(ContractBroken, match="lies outside the partitions of this run"):
            week.narrowed(outside)
    with pytest.raises(ContractBroken, match="lies outside"):
        TableSlice(SPEC, ()).narrowed(days(1, 1))


def test_narrowing_by_units() -> None:
    units = (np.int64(1), pd.array([2])[0], 3)
    (part,) = TableSlice(SPEC).narrowed(days(1, 1), units).parts
    assert part == Part(days(1, 1), (("station", (1, 2, 3)),))
    assert all(type(value) is int for value in part.among[0][1])
    assert TableSlice(SPEC).narrowed(None, ()).parts == (Part(None, (("station", ()),)),)
    with pytest.raises(ContractBroken, match="declares no unit"):
        TableSlice(TIMELESS).narrowed(None, (1,))
    with pytest.raises(ContractBroken, match="declares no time column"):
        TableSlice(TIMELESS).narrowed(days(1, 1))


def test_another_time_of_a_slice_keeps_its_values() -> None:
    north = (("region", ("north",)),)
    table_slice = TableSlice(SPEC, (Part(days(1, 1), north), Part(days(3, 3), north)), ("value",))
    assert table_slice.at(days(1, 9)) == TableSlice(SPEC, (Part(days(1, 9), north),), ("value",))


def test_locks_are_of_days_or_of_the_whole_table() -> None:
    hour = Window(datetime(2024, 1, 1, 23, tzinfo=UTC), datetime(2024, 1, 2, 1, tzinfo=UTC))
    assert TableSlice.of_window(SPEC, hour).lock_names() == ["s.rows/2024-01-01", "s.rows/2024-01-02"]
    assert TableSlice(SPEC).lock_names() == []
    assert TableSlice(SPEC, (Part(days(1, 1)), Part(None, (("region", ("north",)),)))).lock_names() == []
    start = datetime(2024, 1, 1, tzinfo=UTC)
    assert (
        len(TableSlice.of_window(SPEC, Window(start, start + MOST_DAY_LOCKS * ONE_DAY)).lock_names()) == MOST_DAY_LOCKS
    )
    assert TableSlice.of_window(SPEC, Window(start, start + (MOST_DAY_LOCKS + 1) * ONE_DAY)).lock_names() == []
