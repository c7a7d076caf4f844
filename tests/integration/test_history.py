"""What a table said at an instant: kept by every write, in its transaction, on plain PostgreSQL and on TimescaleDB."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, ClassVar

import dagster as dg
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pytest
import sqlalchemy as sa

from resources.errors import ContractBroken
from resources.timescale import sql
from resources.timescale.capabilities import read_capabilities
from resources.timescale.history import history_of, keep, later_than, versions
from resources.timescale.io_manager import TimescaleIOManager, Written
from resources.timescale.resource import TimescaleResource, Transaction
from resources.timescale.slices import BatchWrite, SliceStream
from schemas.base import NullableInt, TableModel, Text, UtcTimestamp, conform
from schemas.table_spec import TableSpec

DAY = datetime(2024, 1, 2, tzinfo=UTC)
LONG_AGO = pd.Timestamp("2024-01-01", tz="UTC")


class Level(TableModel):
    """One row per basin and hour."""

    basin: Text
    number: int
    t: UtcTimestamp
    level: float = pandera.Field(nullable=True)
    count: NullableInt = pandera.Field(nullable=True)
    is_open: bool
    note: Text = pandera.Field(nullable=True)
    known_at: UtcTimestamp


LEVELS = TableSpec(
    schema="features",
    name="levels",
    model=Level,
    key=("basin", "number", "t"),
    time_column="t",
    unit="number",
    keeps_history=True,
    compress_after=timedelta(days=30),
)
PAST = history_of(LEVELS)
KEY = dg.AssetKey(["features", "levels"])
DAILY = dg.DailyPartitionsDefinition(start_date="2024-01-01", end_date="2024-03-01")


class LevelsIOManager(TimescaleIOManager):
    tables: ClassVar = {LEVELS.qualified: LEVELS}


class Falling(LevelsIOManager):
    """Fails once the rows and their past are written, before the commit."""

    def record(self, context: dg.OutputContext, transaction: Transaction, written: Written) -> None:
        raise RuntimeError("pulled the plug")


class Stage:
    def __init__(self, timescale: TimescaleResource, instance: dg.DagsterInstance) -> None:
        self.timescale, self.instance = timescale, instance

    def write(
        self, rows: object, *, day: str = "2024-01-02", manager: type[TimescaleIOManager] = LevelsIOManager
    ) -> bool:
        @dg.asset(key=KEY, partitions_def=DAILY)
        def asset() -> Any:
            return rows

        made = manager(timescale=self.timescale)
        return dg.materialize(
            [asset], partition_key=day, instance=self.instance, resources={"io_manager": made}, raise_on_error=False
        ).success

    def now(self) -> datetime:
        with self.timescale.connect() as connection:
            found: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
        return found

    def table(self) -> list[tuple[Any, ...]]:
        with self.timescale.connect() as connection:
            table = sql.table_of(LEVELS)
            return rows_of(connection.execute(sa.select(table)))

    def past(self) -> list[tuple[Any, ...]]:
        with self.timescale.connect() as connection:
            return rows_of(connection.execute(sa.select(sql.table_of(PAST))))

    def at(self, instant: datetime) -> list[tuple[Any, ...]]:
        with self.timescale.connect() as connection:
            return rows_of(connection.execute(sa.select(sa.union_all(*versions(LEVELS, instant)).subquery())))


def rows_of(result: Any) -> list[tuple[Any, ...]]:
    """Sorted; instants in one zone, whichever driver they come from."""
    plain = (tuple(v.astimezone(UTC) if isinstance(v, datetime) else v for v in row) for row in result)
    return sorted(plain, key=repr)


def levels(values: dict[tuple[str, int, int], float | None], known_at: pd.Timestamp = LONG_AGO) -> pd.DataFrame:
    """Rows by (basin, number, hour)."""
    rows = [
        {"basin": basin, "number": number, "t": pd.Timestamp(DAY) + pd.Timedelta(hours=hour), "level": value}
        for (basin, number, hour), value in values.items()
    ]
    columns = ["basin", "number", "t", "level"]
    told = pd.DataFrame(rows, columns=columns).assign(count=1, is_open=True, note=None, known_at=known_at)
    return conform(told.astype({"number": "int64"}), Level)


@pytest.fixture
def stage(timescale: TimescaleResource) -> Iterator[Stage]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Stage(timescale, instance)


def test_what_was_changed_removed_and_added_can_be_read_as_it_was(stage: Stage) -> None:
    started = stage.now()
    assert stage.write(levels({("1", 2, 0): 1.0, ("12", 2, 0): 2.0, ("1", 22, 0): None}))
    first, at_first = stage.table(), stage.now()
    assert stage.write(levels({("1", 2, 0): 9.0, ("1", 22, 0): None, ("new", 1, 0): 3.0}))
    second, at_second = stage.table(), stage.now()
    assert stage.write(levels({("1", 2, 0): 1.0, ("12", 2, 0): 2.0, ("1", 22, 0): None}))
    assert stage.write(levels({}))
    assert stage.at(started) == []
    assert stage.at(at_first) == first and len(first) == 3
    assert stage.at(at_second) == second
    assert stage.at(stage.now()) == stage.table() == []


def test_rows_known_later_are_left_out(stage: Stage) -> None:
    now = pd.Timestamp(stage.now())
    assert stage.write(levels({("a", 1, 0): 1.0}))
    rows = pd.concat([levels({("a", 1, 0): 1.0}), levels({("b", 1, 0): 2.0}, known_at=now + pd.Timedelta("1h"))])
    assert stage.write(rows)
    assert [row[0] for row in stage.at(stage.now())] == ["a"]
    assert [row[0] for row in stage.at(stage.now() + timedelta(hours=2))] == ["a", "b"]


def test_a_write_of_the_same_rows_keeps_nothing(stage: Stage) -> None:
    assert stage.write(levels({("a", 1, 0): 1.0}))
    past = stage.past()
    assert len(past) == 1
    assert stage.write(levels({("a", 1, 0): 1.0}, known_at=pd.Timestamp("2024-05-01", tz="UTC")))
    assert stage.past() == past


def test_a_write_that_fails_leaves_no_past(stage: Stage) -> None:
    assert stage.write(levels({("a", 1, 0): 1.0, ("b", 1, 0): 2.0}))
    table, past = stage.table(), stage.past()
    assert not stage.write(levels({("a", 1, 0): 5.0}), manager=Falling)
    assert (stage.table(), stage.past()) == (table, past)


def test_the_past_is_dated_by_the_order_of_the_writes_not_by_their_start(stage: Stage) -> None:
    """A writer that began before the instant but wrote after it has changed the table after it."""
    assert stage.write(levels({("a", 1, 0): 1.0}))
    before = stage.table()

    with stage.timescale.transaction() as mine:
        mine.fetch(sa.select(sa.func.now().label("begun")))
        asked = stage.now()
        changed = levels({("a", 1, 0): 7.0})
        keep(mine, LEVELS, before=levels({("a", 1, 0): 1.0}), after=changed, superseded=levels({("a", 1, 0): 1.0}))
        mine.execute(sa.update(sql.table_of(LEVELS)).values(level=7.0))
    assert stage.at(asked) == before


def test_the_past_is_a_table_like_any_other(stage: Stage) -> None:
    assert stage.write(levels({("a", 1, 0): 1.0}))
    with stage.timescale.connect() as connection:
        capabilities = read_capabilities(connection)
        inspector = sa.inspect(connection)
        assert inspector.get_pk_constraint(PAST.name, schema="history")["constrained_columns"] == list(PAST.key)
        if capabilities.timescaledb:
            hypertables = sa.table("hypertables", sa.column("hypertable_name"), schema="timescaledb_information")
            names = set(connection.scalars(sa.select(hypertables.c.hypertable_name)))
            assert {LEVELS.name, PAST.name} <= names


def test_the_past_of_a_table_that_grows_a_column_goes_on(stage: Stage) -> None:
    assert stage.write(levels({("a", 1, 0): 1.0}))

    class Wider(Level):
        """One row per basin and hour, with its depth."""

        depth: float = pandera.Field(nullable=True)

    wider = replace(LEVELS, model=Wider)

    class WiderIOManager(TimescaleIOManager):
        tables: ClassVar = {LEVELS.qualified: wider}

    asked = stage.now()
    rows = conform(levels({("a", 1, 0): 2.0}).assign(depth=4.0), Wider)
    assert stage.write(rows, manager=WiderIOManager)
    with stage.timescale.connect() as connection:
        (row,) = connection.execute(sa.select(sa.union_all(*versions(wider, asked)).subquery())).mappings()
        assert (row["level"], row["depth"]) == (1.0, None)


def test_batches_are_refused_because_nothing_compares_them(stage: Stage) -> None:
    batch = pa.RecordBatch.from_pylist([])
    assert not stage.write(SliceStream([BatchWrite(batches=[batch])]))


@pytest.mark.parametrize(
    ("change", "told"),
    [({"origin": ("number",)}, "not where it came from"), ({}, "no column superseded_at")],
)
def test_tables_whose_past_could_not_be_told_are_refused(change: dict[str, Any], told: str) -> None:
    class Clashing(Level):
        """A column that history needs."""

        superseded_at: UtcTimestamp

    with pytest.raises(ContractBroken, match=told):
        history_of(replace(LEVELS, **change) if change else replace(LEVELS, model=Clashing))


@pytest.mark.parametrize("parted", [False, True])
def test_every_state_there_ever_was_can_be_read_again(stage: Stage, parted: bool) -> None:
    """Random states one after another, read as one relation or in parts from a table of what changed since."""
    random = Random(parted)
    keys = [(basin, number, hour) for basin in ("1", "12", "1'2") for number in (2, 22) for hour in range(2)]
    seen: list[tuple[datetime, list[tuple[Any, ...]]]] = []
    for _ in range(8):
        chosen = random.sample(keys, random.randint(0, 8))
        assert stage.write(levels({key: random.choice([None, 0.0, -0.0, 1.0, 2.0]) for key in chosen}))
        seen.append((stage.now(), stage.table()))
    for instant, state_then in seen:
        if not parted:
            assert stage.at(instant) == state_then
            continue
        with stage.timescale.transaction() as transaction:
            transaction.stage("later", transaction.fetch(later_than(LEVELS, instant)))
            later = sa.table("later", *(sa.column(name) for name in (*LEVELS.columns, "existed")))
            parts = [transaction.fetch(part) for part in versions(LEVELS, instant, later)]
        assert rows_of(row.values() for part in parts for row in part.to_pylist()) == state_then
