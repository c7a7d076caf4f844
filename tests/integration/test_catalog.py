"""The catalog on real servers: migrations, ledger, quarantine, sources, debts, locations."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from resources.catalog import ledger, sources
from resources.catalog.ledger import COUNTS, Scope
from resources.catalog.resource import CatalogResource
from resources.catalog.schema import configuration, current_version, migrate
from resources.errors import ConfigurationError, ContractBroken, DatabaseUnavailable
from resources.openaq.fetched import Source
from resources.openaq.location import Location, Sensor
from resources.timescale import sql
from resources.timescale.arrow import to_arrow
from resources.timescale.capabilities import read_capabilities
from resources.timescale.resource import TimescaleResource, engine_of
from resources.timescale.slices import TableReader
from resources.timescale.table_slice import TableSlice
from resources.timescale.tables import ensure
from schemas.catalog import FETCH_FAILURES, LEDGER, QUARANTINE, SCHEMA, SOURCES
from schemas.catalog_budget import BUDGET_METADATA
from schemas.catalog_runs import METADATA
from schemas.tables import OPENAQ_MEASUREMENTS
from schemas.window import Window
from tests.builders import staging_rows, together

ROOT = Path(__file__).resolve().parents[2]
STAGING = OPENAQ_MEASUREMENTS.qualified
NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)


def march(day: int) -> date:
    return date(2025, 3, day)


@pytest.fixture
def migrated(timescale: TimescaleResource) -> TimescaleResource:
    migrate(timescale.url())
    return timescale


@pytest.fixture
def catalog(migrated: TimescaleResource) -> CatalogResource:
    return CatalogResource(timescale=migrated)


@pytest.fixture
def connection(migrated: TimescaleResource) -> Iterator[sa.Connection]:
    with migrated.connect() as connection:
        yield connection


def test_the_migrations_lead_to_the_declared_tables_and_back(timescale: TimescaleResource) -> None:
    with engine_of(timescale.url()).begin() as connection:
        connection.execute(sa.schema.CreateSchema(SCHEMA))
        config = configuration(connection)
        for _ in range(2):
            command.upgrade(config, "head")
            command.check(config)
            assert _differences(connection) == []
            command.downgrade(config, "base")
            assert set(sa.inspect(connection).get_table_names(schema=SCHEMA)) <= {"alembic_version"}


def test_the_comparison_would_find_a_difference(connection: sa.Connection) -> None:
    connection.execute(sa.text("ALTER TABLE catalog.ledger DROP COLUMN vanished"))
    connection.execute(sa.text("DROP INDEX catalog.ledger_open_idx"))
    assert {difference[0] for difference in _differences(connection)} == {"add_column", "add_index"}


def test_an_older_database_is_brought_up_to_date_with_what_is_in_it(timescale: TimescaleResource) -> None:
    with engine_of(timescale.url()).begin() as connection:
        connection.execute(sa.schema.CreateSchema(SCHEMA))
        command.upgrade(configuration(connection), "02_create_catalog_tables")
        connection.execute(
            sa.text("INSERT INTO catalog.openaq_locations (location_id, licenses, sensors) VALUES (7, '[]', '[]')")
        )
    migrate(timescale.url())
    assert CatalogResource(timescale=timescale).timezones() == {7: None}


def test_a_database_of_a_newer_version_is_refused_and_left_alone(timescale: TimescaleResource) -> None:
    migrate(timescale.url())
    with timescale.connect() as connection:
        connection.execute(sa.text("UPDATE catalog.alembic_version SET version_num = '99_future'"))
    migrate.cache_clear()
    with pytest.raises(ConfigurationError, match="'99_future'.*newer version"):
        migrate(timescale.url())
    with timescale.connect() as connection:
        assert current_version(connection) == "99_future"


def test_processes_that_start_at_the_same_time_migrate_once(timescale: TimescaleResource) -> None:
    code = "import sys; from resources.catalog.schema import migrate; sys.stdin.read(1); migrate(sys.argv[1])"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, timescale.url()], cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(3)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write(b"!")
        process.stdin.flush()
    errors = [process.communicate(timeout=60)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], errors
    with timescale.connect() as connection:
        assert _differences(connection) == []


def test_no_database_is_an_error_that_may_pass() -> None:
    with pytest.raises(DatabaseUnavailable):
        migrate("postgresql://nobody@127.0.0.1:1/none?connect_timeout=2")


def test_an_entry_replaces_those_of_its_scope_and_keeps_them_as_history(connection: sa.Connection) -> None:
    _enter(connection, [(1, "a", 10), (1, "b", 20), (2, "a", 30)])
    _enter(connection, [(1, "a", 11)], days=[1], units=["a"])
    assert _current(connection) == {(march(1), "a"): 11, (march(1), "b"): 20, (march(2), "a"): 30}
    _enter(connection, [(1, "a", 12)], days=[1])
    assert _current(connection) == {(march(1), "a"): 12, (march(2), "a"): 30}
    _enter(connection, [(9, "a", 1)])
    assert _current(connection) == {(march(9), "a"): 1}
    assert connection.execute(sa.select(sa.func.count()).select_from(LEDGER)).scalar_one() == 6


def test_a_ledger_entry_knows_itself_whether_it_is_closed(connection: sa.Connection) -> None:
    _enter(connection, [(1, "a", 10)])
    connection.execute(sa.update(LEDGER).values(quarantined=3, duplicate=2))
    assert connection.execute(sa.select(LEDGER.c.is_closed)).scalar_one() is False
    connection.execute(sa.update(LEDGER).values(read=15))
    assert connection.execute(sa.select(LEDGER.c.is_closed)).scalar_one() is True


def test_two_current_entries_of_one_slice_are_impossible(migrated: TimescaleResource) -> None:
    with migrated.connect() as connection:
        _enter(connection, [(1, "a", 10)])
    with pytest.raises(ContractBroken, match="ledger_current_key"), migrated.connect() as connection:
        connection.execute(sa.insert(LEDGER).values(table_name=STAGING, day=march(1), unit="a", run_id="r"))


@pytest.mark.parametrize(
    ("entries", "days"),
    [
        ([(1, "a", 10), (2, "a", 20)], set()),
        ([(1, "a", 11), (2, "a", 20)], {1}),
        ([(1, "a", 10)], {2}),
        ([(1, "a", 10), (2, "a", 20), (3, "a", 0)], {3}),
        ([(1, "a", 10), (2, "a", 20), (3, "a", 1), (2, "b", 1)], {2, 3}),
    ],
)
def test_a_changed_account_is_told_from_the_same_one(
    connection: sa.Connection, entries: list[tuple[int, str, int]], days: set[int]
) -> None:
    _enter(connection, [(1, "a", 10), (2, "a", 20)])
    found = connection.execute(ledger.recounted(_scope(), _entries(entries))).scalars().all()
    assert set(found) == {march(day) for day in days}


def test_quarantine_is_replaced_with_its_scope(connection: sa.Connection) -> None:
    def put(rows: list[tuple[int, str, str]], **scope: list[object]) -> None:
        rejects = pd.DataFrame(
            [(march(day), unit, "rule", "why", raw, None, 3) for day, unit, raw in rows],
            columns=["day", "unit", "rule", "reason", "raw", "source_id", "line_no"],
        )
        for statement in ledger.put_aside(_scope(**scope), "r", rejects):
            connection.execute(statement)

    put([(1, "a", "first"), (1, "b", "second"), (2, "a", 'quo"ted \\ µ')])
    put([(1, "a", "new")], days=[1], units=["a"])
    put([], days=[2], units=["b"])
    raw = connection.execute(sa.select(QUARANTINE.c.raw)).scalars().all()
    assert sorted(raw) == ["new", 'quo"ted \\ µ', "second"]
    put([], days=[1, 2])
    assert connection.execute(sa.select(sa.func.count()).select_from(QUARANTINE)).scalar_one() == 0


@pytest.mark.parametrize(("bound", "hidden"), [(0, "day 1 whole"), (1, "day 2 whole")])
def test_rows_of_an_open_slice_are_hidden_to_the_microsecond(
    migrated: TimescaleResource, bound: int, hidden: str
) -> None:
    midnight = datetime(2025, 3, 2, tzinfo=UTC)
    rows = together(
        staging_rows([1, 2], first=midnight, step=timedelta(microseconds=1)),
        staging_rows([3], first=midnight, location_id=2, first_line=9),
    )
    spec = OPENAQ_MEASUREMENTS
    with migrated.connect() as connection:
        ensure(connection, spec, read_capabilities(connection))
    with migrated.transaction() as transaction:
        transaction.copy(sql.table_of(spec), to_arrow(rows, spec.model))
    with migrated.connect() as connection:
        _enter(connection, [(1, "1", 1), (2, "1", 1), (1, "2", 1)])
        connection.execute(
            sa.update(LEDGER).values(read=7).where(LEDGER.c.day == march(1 + bound), LEDGER.c.unit == "1")
        )
    reader = TableReader(migrated, TableSlice(spec), lambda table: ledger.closed_only(spec, table))
    visible = set(reader.read()["value"])
    assert visible == ({2.0, 3.0} if hidden == "day 1 whole" else {1.0, 3.0})


def test_entered_at_tells_when_each_unit_was_written_last(catalog: CatalogResource) -> None:
    with catalog.timescale.connect() as connection:
        _enter(connection, [(1, "1", 10), (2, "1", 20), (1, "2", 5)])
    found = catalog.entered_at(OPENAQ_MEASUREMENTS, [1], [march(1), march(5)])
    assert set(found) == {("1", march(1))}
    assert abs(found["1", march(1)] - datetime.now(UTC)) < timedelta(minutes=5)


def test_accounts_without_rows_are_frames_of_the_same_kind(catalog: CatalogResource) -> None:
    empty = catalog.accounts([OPENAQ_MEASUREMENTS], Window.of_days(march(1), march(2)))
    assert empty.empty
    with catalog.timescale.connect() as connection:
        _enter(connection, [(2, "1", 10), (3, "1", 10)])
    full = catalog.accounts([OPENAQ_MEASUREMENTS], Window.of_days(march(1), march(2)))
    assert full[["day", "unit", "read", "loaded"]].to_numpy().tolist() == [[march(2), "1", 10, 10]]
    assert full["known_at"].notna().all()
    assert (full.dtypes[list(COUNTS)] == empty.dtypes[list(COUNTS)]).all()


def test_the_bytes_seen_last_are_what_is_known_of_an_address(connection: sa.Connection) -> None:
    first, second = _source("one", at=0), _source("two", at=1)
    connection.execute(sources.keep([first, second]))
    assert _known(connection) == {"u": "etag two"}
    connection.execute(sources.keep([replace(first, fetched_at=NOW + timedelta(minutes=2), modified_at=None)]))
    assert _known(connection) == {"u": "etag one"}
    connection.execute(sources.keep([replace(second, fetched_at=NOW - timedelta(days=1))]))
    assert _known(connection) == {"u": "etag one"}, "an observation from before changes nothing"
    kept = connection.execute(sa.select(SOURCES.c.modified_at).where(SOURCES.c.sha256 == "one")).scalar_one()
    assert kept == NOW
    assert sources.known(connection, [1], march(2), march(3)) == {}
    assert sources.known(connection, [2], march(1), march(1)) == {}


def test_a_debt_waits_twice_as_long_every_time_and_is_settled_by_unit_and_day(catalog: CatalogResource) -> None:
    def owe(is_transient: bool = True) -> None:
        catalog.owe(OPENAQ_MEASUREMENTS, 1, [march(1), march(2)], "down", is_transient=is_transient, run_id="r")

    waits = []
    for _ in range(4):
        owe()
        with catalog.timescale.connect() as connection:
            wait = FETCH_FAILURES.c.next_attempt_at - FETCH_FAILURES.c.failed_at
            waits.append(connection.execute(sa.select(sa.func.max(wait))).scalar_one())
    assert waits == [sources.WHOLE_WAITS.first * 2**n for n in range(4)]
    with catalog.timescale.connect() as connection:
        connection.execute(sa.update(FETCH_FAILURES).values(attempts=500))
    owe(is_transient=False)
    first, second = catalog.owed(OPENAQ_MEASUREMENTS)
    assert (first.unit, first.day, first.attempts, first.is_transient) == ("1", march(1), 501, False)
    assert abs(first.next_attempt_at - datetime.now(UTC) - sources.WHOLE_WAITS.longest) < timedelta(minutes=1)
    with catalog.timescale.connect() as connection:
        connection.execute(sources.settle_failures(Scope(table_name=STAGING, days=(march(1),), units=("1",))))
        connection.execute(sources.settle_failures(Scope(table_name=STAGING, days=(march(2),), units=("2",))))
    assert catalog.owed(OPENAQ_MEASUREMENTS) == [second]


def test_a_debt_of_a_run_that_wrote_the_day_is_a_part_of_it(catalog: CatalogResource) -> None:
    with catalog.timescale.connect() as connection:
        _enter(connection, [(1, "1", 10), (2, "1", 10)])
    for day, run_id in ((1, "r"), (2, "another"), (3, "r")):
        catalog.owe(OPENAQ_MEASUREMENTS, 1, [march(day)], "down", is_transient=True, run_id=run_id)
    assert [one.is_partial for one in catalog.owed(OPENAQ_MEASUREMENTS)] == [True, False, False]


def test_a_location_keeps_what_it_is_not_told_again_and_an_offset_stands_in_for_a_zone(
    catalog: CatalogResource,
) -> None:
    place = Location(
        id=1, name="Somewhere", timezone=None, country_code=None, latitude=1.5, longitude=None, is_mobile=False,
        datetime_first=None, datetime_last=NOW, licenses=("CC0",), provider=None,
        sensors=(Sensor(id=11, parameter="pm25", units="µg/m³"),),
    )  # fmt: skip
    catalog.remember([], {1: "+05:45"})
    assert catalog.timezones() == {}
    catalog.remember([place], {1: "+05:45"})
    assert catalog.timezones() == {1: "+05:45"}
    catalog.remember([replace(place, timezone="Asia/Kathmandu", name=None)], {1: "+06:00"})
    assert catalog.timezones() == {1: "Asia/Kathmandu"}
    catalog.remember([replace(place, id=2), place], {})
    assert catalog.timezones() == {1: "Asia/Kathmandu", 2: None}
    with catalog.timescale.connect() as connection:
        names = connection.execute(sa.text("SELECT name FROM catalog.openaq_locations ORDER BY 1")).scalars().all()
    assert names == ["Somewhere", "Somewhere"]
    assert catalog.undescribed([1, 2, 3], datetime.now(UTC) - timedelta(hours=1)) == [3]
    assert catalog.undescribed([1, 2, 3], datetime.now(UTC) + timedelta(hours=1)) == [1, 2, 3]


def test_watermarks_are_per_unit_and_of_what_is_recent(catalog: CatalogResource) -> None:
    assert catalog.watermarks(OPENAQ_MEASUREMENTS, NOW) == {}
    spec, first = OPENAQ_MEASUREMENTS, datetime(2025, 3, 1, 1, tzinfo=UTC)
    rows = together(staging_rows([1, 2], first=first), staging_rows([3], first=first, location_id=2, first_line=9))
    with catalog.timescale.connect() as connection:
        ensure(connection, spec, read_capabilities(connection))
        connection.execute(
            sa.insert(sql.table_of(spec)), rows.astype(object).where(rows.notna(), None).to_dict("records")
        )
    hour = timedelta(hours=1)
    assert catalog.watermarks(spec, first - hour) == {"1": first + hour, "2": first}
    assert catalog.watermarks(spec, first) == {"1": first + hour}


def _differences(connection: sa.Connection) -> list[object]:
    """What alembic would have to do to bring the catalog to its models."""
    context = MigrationContext.configure(
        connection,
        opts={
            "version_table_schema": SCHEMA,
            "include_schemas": True,
            "include_name": lambda name, kind, _: kind != "schema" or name == SCHEMA,
        },
    )
    return compare_metadata(context, [METADATA, BUDGET_METADATA])


def _scope(days: list[int] | None = None, units: list[str] | None = None) -> Scope:
    return Scope(
        table_name=STAGING,
        days=None if days is None else tuple(march(day) for day in days),
        units=None if units is None else tuple(units),
    )


def _entries(rows: list[tuple[int, str, int]]) -> pd.DataFrame:
    entries = pd.DataFrame(
        [(march(day), unit, n, n) for day, unit, n in rows], columns=["day", "unit", "read", "loaded"]
    )
    return entries.reindex(columns=["day", "unit", *COUNTS], fill_value=0).assign(known_at=pd.NaT)


def _enter(connection: sa.Connection, rows: list[tuple[int, str, int]], **scope: list[object]) -> None:
    for statement in ledger.enter(_scope(**scope), "r", _entries(rows)):
        connection.execute(statement)


def _current(connection: sa.Connection) -> dict[tuple[date, str], int]:
    query = sa.select(LEDGER.c.day, LEDGER.c.unit, LEDGER.c.read).where(LEDGER.c.is_current)
    return {(day, unit): read for day, unit, read in connection.execute(query)}


def _source(content: str, *, at: int) -> Source:
    return Source(
        uri="u", kind="archive", location_id=1, sha256=content, size=3, etag=f"etag {content}", modified_at=NOW,
        fetched_at=NOW + timedelta(minutes=at), raw_path=content, local_day=march(1),
    )  # fmt: skip


def _known(connection: sa.Connection) -> dict[str, str | None]:
    return {uri: one.etag for uri, one in sources.known(connection, [1], march(1), march(1)).items()}
