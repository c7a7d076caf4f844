"""Hypertables, compression, continuous aggregates and retention on real servers of every licence, and on none.

A TimescaleDB server: `eval "$(.ci/real-servers)"`. Its licence is Apache; what needs the Community edition runs where
TIDEMARK_TEST_TIMESCALE_COMMUNITY_URL names such a server. Every test has a database of its own, in which jobs run only
when the test says so.
"""

import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import adbc_driver_postgresql.dbapi as adbc
import pandas as pd
import pytest
import sqlalchemy as sa

from resources.errors import ConfigurationError
from resources.timescale import sql
from resources.timescale.capabilities import Capabilities, read_capabilities
from resources.timescale.continuous_aggregates import refresh
from resources.timescale.policies import apply, hypertable_statements, write_settings
from schemas.base import TableModel, Text, UtcTimestamp
from schemas.table_spec import Aggregate, TableSpec
from schemas.window import ONE_DAY, Window, day_of

HOUR = timedelta(hours=1)
APACHE = "TIDEMARK_TEST_TIMESCALE_URL"
COMMUNITY = "TIDEMARK_TEST_TIMESCALE_COMMUNITY_URL"
HOW_TO_GET_ONE = (
    'no TimescaleDB to test on: eval "$(.ci/real-servers)" starts one from Debian\'s packages (as root), '
    "or set {} to the URL of yours"
)


class Reading(TableModel):
    """One measured value, stamped with the end of its period."""

    location_id: int
    parameter: Text
    ts: UtcTimestamp
    value: float
    is_valid: bool
    known_at: UtcTimestamp


ODD = 'odd "Na%me'
AGGREGATES = (
    Aggregate(name=f"{ODD} hourly", bucket=HOUR, by=("location_id", "parameter"), value_column="value"),
    Aggregate(
        name=f"{ODD} daily", bucket=ONE_DAY, by=("location_id", "parameter"), value_column="value", where="is_valid"
    ),
)
RAW = TableSpec(
    schema='a "sche%ma',
    name=ODD,
    model=Reading,
    key=("location_id", "parameter", "ts"),
    time_column="ts",
    closed="right",
    unit="location_id",
)
FULL = replace(RAW, compress_after=timedelta(days=30), aggregates=AGGREGATES)
TODAY = pd.Timestamp.now("UTC").normalize().to_pydatetime()
OLD = TODAY - timedelta(days=200)


class Database:
    """A fresh database, and what the server it lies on can do."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = sa.create_engine(url, poolclass=sa.NullPool)
        with self.engine.begin() as connection:
            self.capabilities = read_capabilities(connection)
            if self.capabilities.timescaledb:
                connection.execute(sa.text("SELECT _timescaledb_functions.stop_background_workers()"))

    def create(self, spec: TableSpec, rows: pd.DataFrame | None = None) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.schema.CreateSchema(spec.schema, if_not_exists=True))
            sql.table_of(spec).create(connection)
        if rows is not None:
            self.insert(spec, rows)

    def insert(self, spec: TableSpec, rows: pd.DataFrame) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.insert(sql.table_of(spec)), rows.to_dict("records"))

    def replace(self, spec: TableSpec, window: Window, rows: pd.DataFrame) -> None:
        table = sql.table_of(spec)
        assert window.holds(rows[spec.time_column], spec.closed).all()
        with self.engine.begin() as connection:
            condition = sql.in_window(table.c[spec.time_column], window, spec.closed)
            for statement in write_settings(spec, self.capabilities):
                connection.execute(statement)
            connection.execute(sa.delete(table).where(condition))
            connection.execute(sa.insert(table), rows.to_dict("records"))

    def frame(self, schema: str, name: str) -> pd.DataFrame:
        with self.engine.connect() as connection:
            return pd.read_sql(sa.select(sa.literal_column("*")).select_from(sa.table(name, schema=schema)), connection)

    def information(self, view: str) -> list[sa.RowMapping]:
        query = sa.select(sa.literal_column("*")).select_from(sa.table(view, schema="timescaledb_information"))
        with self.engine.connect() as connection:
            return list(connection.execute(query).mappings())

    def jobs(self) -> dict[tuple[str, str], sa.RowMapping]:
        return {
            (job["proc_name"].removeprefix("policy_"), job["hypertable_name"]): job
            for job in self.information("jobs")
            if job["hypertable_name"]
        }

    def run_job(self, kind: str, name: str) -> None:
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("CALL run_job(:job)"), {"job": self.jobs()[kind, name]["job_id"]})


def with_driver(url: str) -> str:
    return "postgresql+psycopg2://" + url.partition("://")[2]


@contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    url = sa.make_url(with_driver(server_url))
    server = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    name = f"tidemark_test_{secrets.token_hex(6)}"
    with server.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(params=[APACHE, *([COMMUNITY] if os.environ.get(COMMUNITY) else [])])
def timescaledb(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database on each TimescaleDB server there is."""
    yield from _database_on(request.param)


@pytest.fixture
def apache() -> Iterator[Database]:
    """A database on the server whose licence has no policies."""
    yield from _database_on(APACHE)


@pytest.fixture
def community() -> Iterator[Database]:
    """A database on the server whose licence has policies; tests that ask for it are left out where there is none."""
    yield from _database_on(COMMUNITY)


def _database_on(variable: str) -> Iterator[Database]:
    if not os.environ.get(variable):
        pytest.skip(HOW_TO_GET_ONE.format(variable))
    with fresh_database(os.environ[variable]) as url:
        yield Database(url)


@pytest.fixture
def plain(postgres_url: str) -> Database:
    """A database on a PostgreSQL without TimescaleDB."""
    return Database(with_driver(postgres_url))


def readings(first: datetime, days: int, *, value: float | None = None, every: timedelta = HOUR) -> pd.DataFrame:
    """Readings of two locations in `(first, first + days]`; without `value`, one that differs from hour to hour."""
    stamps = pd.date_range(first + every, first + timedelta(days=days), freq=every, tz="UTC")
    frame = pd.MultiIndex.from_product([[1, 2], ["pm25"], stamps], names=["location_id", "parameter", "ts"]).to_frame(
        index=False
    )
    hours = (frame["ts"] - pd.Timestamp(OLD)) / pd.Timedelta(HOUR)
    frame["value"] = (hours * frame["location_id"]) % 37 if value is None else value
    frame["is_valid"] = hours % 5 != 0
    frame["known_at"] = pd.Timestamp(TODAY)
    return frame


def aggregated(rows: pd.DataFrame, bucket: timedelta, closed: str) -> pd.DataFrame:
    """What an aggregate must hold, computed by pandas."""
    edge = rows["ts"].dt.ceil(bucket) if closed == "right" else rows["ts"].dt.floor(bucket)
    by = ["location_id", "parameter", "ts"]
    return (
        rows.assign(ts=edge)
        .groupby(by, as_index=False)["value"]
        .agg(value_mean="mean", value_min="min", value_max="max", value_count="count")
    )


def assert_same(got: pd.DataFrame, expected: pd.DataFrame) -> None:
    by = ["location_id", "parameter", "ts"]
    got = got.sort_values(by, ignore_index=True).astype({"parameter": "str"})
    expected = expected.sort_values(by, ignore_index=True).astype({"parameter": "str", "ts": got["ts"].dtype})
    pd.testing.assert_frame_equal(got, expected[list(got.columns)], check_dtype=False)


def test_rows_already_there_and_rows_to_come_land_in_chunks_of_the_declared_width(timescaledb: Database) -> None:
    before, after = readings(OLD, 20), readings(OLD + timedelta(days=20), 20)
    timescaledb.create(RAW, before)
    apply(timescaledb.engine, [RAW], timescaledb.capabilities)
    timescaledb.insert(RAW, after)
    chunks = timescaledb.information("chunks")
    assert {chunk["range_end"] - chunk["range_start"] for chunk in chunks} == {RAW.chunk}
    assert {chunk["hypertable_name"] for chunk in chunks} == {ODD}
    assert 40 / 7 <= len(chunks) <= 40 / 7 + 2
    assert len(timescaledb.frame(RAW.schema, RAW.name)) == len(before) + len(after)
    assert_same(timescaledb.frame(RAW.schema, RAW.name), pd.concat([before, after]))


def test_a_changed_chunk_width_holds_for_new_chunks(timescaledb: Database) -> None:
    timescaledb.create(RAW, readings(OLD, 1))
    apply(timescaledb.engine, [RAW], timescaledb.capabilities)
    apply(timescaledb.engine, [replace(RAW, chunk=ONE_DAY)], timescaledb.capabilities)
    timescaledb.insert(RAW, readings(OLD + timedelta(days=50), 1))
    widths = [chunk["range_end"] - chunk["range_start"] for chunk in timescaledb.information("chunks")]
    assert sorted(widths)[-1] == RAW.chunk
    assert sorted(widths)[0] == ONE_DAY


def test_hypertable_statements_run_through_the_arrow_driver(timescaledb: Database) -> None:
    timescaledb.create(RAW, readings(OLD, 1))
    with adbc.connect(timescaledb.url.replace("+psycopg2", "")) as connection, connection.cursor() as cursor:
        for statement in hypertable_statements(replace(RAW, chunk=ONE_DAY)) + hypertable_statements(RAW):
            text, values = sql.render(statement)
            cursor.execute(text, values or None)
            cursor.fetchall()
        connection.commit()
    assert [row["time_interval"] for row in timescaledb.information("dimensions")] == [RAW.chunk]


def test_without_the_community_licence_only_hypertables_are_made_and_it_is_said(apache: Database) -> None:
    timescaledb = apache
    timescaledb.create(FULL, readings(OLD, 3))
    spec = replace(FULL, retain=timedelta(days=365))
    apply(timescaledb.engine, [spec], timescaledb.capabilities)
    apply(timescaledb.engine, [spec], timescaledb.capabilities)
    refresh(timescaledb.engine, spec, Window(OLD, TODAY), timescaledb.capabilities)
    assert [row["hypertable_name"] for row in timescaledb.information("hypertables")] == [ODD]
    assert timescaledb.jobs() == {}
    assert "under the Apache licence" in timescaledb.capabilities.describe()
    assert "retention policies off" in timescaledb.capabilities.describe()


def test_plain_postgres_keeps_plain_tables_and_it_is_said(plain: Database) -> None:
    rows = readings(OLD, 3)
    plain.create(FULL, rows)
    apply(plain.engine, [FULL], plain.capabilities)
    refresh(plain.engine, FULL, Window(OLD, TODAY), plain.capabilities)
    assert_same(plain.frame(FULL.schema, FULL.name), rows)
    assert plain.capabilities.timescaledb is None
    assert "without TimescaleDB" in plain.capabilities.describe()
    with plain.engine.connect() as connection:
        assert sa.inspect(connection).get_view_names(schema=FULL.schema) == []


def test_a_user_who_may_not_create_the_extension_is_told_who_may(timescaledb: Database) -> None:
    role, password = f"tidemark_test_{secrets.token_hex(6)}", secrets.token_hex(12)
    with fresh_database(timescaledb.url) as fresh:
        with timescaledb.engine.begin() as connection:
            connection.execute(sa.text(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'"))
        try:
            own = sa.make_url(fresh).set(username=role, password=password)
            with sa.create_engine(own, poolclass=sa.NullPool).begin() as connection:
                capabilities = read_capabilities(connection)
                # The transaction is still good.
                assert connection.scalar(sa.select(sa.literal(1))) == 1
        finally:
            with timescaledb.engine.begin() as connection:
                connection.execute(sa.text(f"DROP ROLE {role}"))
    assert capabilities.timescaledb is None
    assert "CREATE EXTENSION timescaledb" in capabilities.describe()


@pytest.mark.parametrize("closed", ["left", "right"])
@pytest.mark.parametrize("every", [timedelta(minutes=20), HOUR])
def test_aggregates_equal_pandas_and_midnight_lies_in_the_right_day(
    community: Database, closed: str, every: timedelta
) -> None:
    spec = replace(FULL, closed=closed)
    rows = readings(OLD, 4, every=every)
    community.create(spec, rows)
    apply(community.engine, [spec], community.capabilities)
    hourly, daily = spec.aggregates
    for _ in range(2):  # computed on the fly before the refresh, stored after it
        assert_same(community.frame(spec.schema, hourly.name), aggregated(rows, HOUR, closed))
        valid = rows[rows["is_valid"]]
        got = community.frame(spec.schema, daily.name)
        assert_same(got, aggregated(valid, ONE_DAY, closed))
        # A row of the aggregate lies in the partition day of the rows behind it.
        assert set(day_of(got["ts"], closed)) == set(day_of(valid["ts"], closed))
        refresh(community.engine, spec, Window(OLD, OLD + timedelta(days=5)), community.capabilities)


def test_a_single_refreshed_day_is_refreshed_whole(community: Database) -> None:
    rows = readings(OLD, 6)
    community.create(FULL, rows)
    apply(community.engine, [FULL], community.capabilities)
    everything = Window(OLD, TODAY)
    refresh(community.engine, FULL, everything, community.capabilities)
    day = Window(OLD + timedelta(days=2), OLD + timedelta(days=3))
    changed = readings(day.start, 1, value=1000.0)
    community.replace(FULL, day, changed)
    now = pd.concat([rows[~day.holds(rows["ts"], "right")], changed])
    hourly, daily = FULL.aggregates
    stale = community.frame(FULL.schema, daily.name)
    assert stale["value_max"].max() < 1000
    refresh(community.engine, FULL, day, community.capabilities)
    assert_same(community.frame(FULL.schema, hourly.name), aggregated(now, HOUR, "right"))
    assert_same(community.frame(FULL.schema, daily.name), aggregated(now[now["is_valid"]], ONE_DAY, "right"))


def test_the_policy_alone_makes_aggregates_right_after_a_backfill_of_old_days(community: Database) -> None:
    rows = readings(TODAY - timedelta(days=3), 2)
    community.create(FULL, rows)
    apply(community.engine, [FULL], community.capabilities)
    hourly, daily = FULL.aggregates
    for aggregate in FULL.aggregates:
        community.run_job("refresh_continuous_aggregate", aggregate.name)
    older = readings(OLD, 3)
    community.insert(FULL, older)
    for aggregate in FULL.aggregates:
        community.run_job("refresh_continuous_aggregate", aggregate.name)
    now = pd.concat([rows, older])
    assert_same(community.frame(FULL.schema, hourly.name), aggregated(now, HOUR, "right"))
    assert_same(community.frame(FULL.schema, daily.name), aggregated(now[now["is_valid"]], ONE_DAY, "right"))


def test_old_chunks_are_compressed_and_a_slice_in_one_can_be_replaced(community: Database) -> None:
    rows = pd.concat([readings(OLD, 21), readings(TODAY - timedelta(days=3), 2)])
    community.create(FULL, rows)
    apply(community.engine, [FULL], community.capabilities)
    community.run_job("compression", ODD)
    chunks = [chunk for chunk in community.information("chunks") if chunk["hypertable_name"] == ODD]
    limit = TODAY - FULL.compress_after
    assert {chunk["is_compressed"] for chunk in chunks if chunk["range_end"] < limit} == {True}
    assert {chunk["is_compressed"] for chunk in chunks if chunk["range_end"] >= limit} == {False}
    assert_same(community.frame(FULL.schema, ODD), rows)

    day = Window(OLD + timedelta(days=9), OLD + timedelta(days=10))
    changed = readings(day.start, 1, value=1000.0)
    community.replace(FULL, day, changed)
    now = pd.concat([rows[~day.holds(rows["ts"], "right")], changed])
    assert_same(community.frame(FULL.schema, ODD), now)
    with pytest.raises(sa.exc.IntegrityError):
        community.insert(FULL, changed)
    # Also the refresh reads compressed chunks, and running everything again changes nothing.
    refresh(community.engine, FULL, Window(OLD, TODAY), community.capabilities)
    apply(community.engine, [FULL], community.capabilities)
    community.run_job("compression", ODD)
    assert_same(community.frame(FULL.schema, ODD), now)
    assert_same(community.frame(FULL.schema, AGGREGATES[0].name), aggregated(now, HOUR, "right"))


def test_a_slice_of_any_size_can_be_replaced_in_a_compressed_chunk(community: Database) -> None:
    community.create(FULL, readings(OLD, 7))
    apply(community.engine, [FULL], community.capabilities)
    community.run_job("compression", ODD)
    setting = "timescaledb.max_tuples_decompressed_per_dml_transaction"
    with community.engine.begin() as connection:
        connection.execute(sa.text(f"ALTER DATABASE {community.engine.url.database} SET {setting} = 10"))
    with pytest.raises(sa.exc.DBAPIError, match="limit exceeded"), community.engine.begin() as connection:
        connection.execute(sa.delete(sql.table_of(FULL)).where(sql.table_of(FULL).c.ts > OLD + ONE_DAY))
    week = Window(OLD, OLD + timedelta(days=7))
    changed = readings(OLD, 7, value=1.0)
    community.replace(FULL, week, changed)
    assert_same(community.frame(FULL.schema, ODD), changed)


def test_a_table_that_does_not_exist_is_named(timescaledb: Database) -> None:
    with pytest.raises(ConfigurationError, match=r"no table a .*create it first"):
        apply(timescaledb.engine, [RAW], timescaledb.capabilities)


def test_rows_are_compressed_by_unit_and_in_order_of_time(community: Database) -> None:
    community.create(FULL)
    apply(community.engine, [FULL], community.capabilities)
    settings = [row for row in community.information("compression_settings") if row["hypertable_name"] == ODD]
    assert [row["attname"] for row in settings if row["segmentby_column_index"]] == ["location_id"]
    assert [row["attname"] for row in settings if row["orderby_column_index"]] == ["ts", "parameter"]


def test_applying_the_same_again_touches_nothing_and_a_changed_declaration_only_its_policy(community: Database) -> None:
    community.create(FULL, readings(OLD, 3))
    spec = replace(FULL, retain=timedelta(days=400))
    apply(community.engine, [spec], community.capabilities)
    first = community.jobs()
    assert set(first) == {
        ("compression", ODD),
        ("retention", ODD),
        ("refresh_continuous_aggregate", AGGREGATES[0].name),
        ("refresh_continuous_aggregate", AGGREGATES[1].name),
    }
    ddl: list[str] = []
    sa.event.listen(community.engine, "before_cursor_execute", lambda *args: ddl.append(args[2]))
    apply(community.engine, [spec], community.capabilities)
    assert [text for text in ddl if text.startswith(("ALTER", "DROP", "CREATE", "COMMENT", "CALL"))] == []
    assert community.jobs() == first

    apply(community.engine, [replace(spec, compress_after=timedelta(days=10))], community.capabilities)
    second = community.jobs()
    assert {key for key in first if first[key] != second[key]} == {("compression", ODD)}
    assert second["compression", ODD]["config"]["compress_after"] == "10 days"

    apply(community.engine, [replace(spec, compress_after=None, retain=None)], community.capabilities)
    assert set(community.jobs()) == {key for key in first if key[0] == "refresh_continuous_aggregate"}


def test_an_aggregate_declared_differently_is_made_anew(community: Database) -> None:
    rows = readings(OLD, 3)
    community.create(FULL, rows)
    apply(community.engine, [FULL], community.capabilities)
    refresh(community.engine, FULL, Window(OLD, TODAY), community.capabilities)
    changed = replace(FULL, aggregates=(replace(AGGREGATES[0], where="is_valid"), AGGREGATES[1]))
    apply(community.engine, [changed], community.capabilities)
    got = community.frame(FULL.schema, AGGREGATES[0].name)
    assert_same(got, aggregated(rows[rows["is_valid"]], HOUR, "right"))
    assert ("refresh_continuous_aggregate", AGGREGATES[0].name) in community.jobs()


def test_an_aggregate_that_outlives_its_rows_is_not_made_anew(community: Database) -> None:
    spec = replace(FULL, retain=timedelta(days=60))
    community.create(spec, readings(TODAY - timedelta(days=3), 2))
    apply(community.engine, [spec], community.capabilities)
    changed = replace(spec, aggregates=(replace(AGGREGATES[0], where="is_valid"), AGGREGATES[1]))
    with pytest.raises(ConfigurationError, match="give the new aggregate another name"):
        apply(community.engine, [changed], community.capabilities)


def test_retention_drops_raw_rows_and_no_aggregate_loses_them(
    community: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Timescaledb issue 2198: a refresh that reaches where raw rows were dropped erases the aggregates there."""
    old, new = readings(OLD, 20), readings(TODAY - timedelta(days=3), 2)
    everything = pd.concat([old, new])
    community.create(FULL, everything)
    spec = replace(FULL, retain=timedelta(days=60))
    # Never refreshed before: `apply` must do it before the first rows can go.
    apply(community.engine, [spec], community.capabilities)
    community.run_job("retention", ODD)
    left = community.frame(spec.schema, ODD)
    assert left["ts"].min() > pd.Timestamp(TODAY - timedelta(days=60))
    hourly = aggregated(everything, HOUR, "right")

    def assert_whole() -> None:
        for aggregate in spec.aggregates:
            community.run_job("refresh_continuous_aggregate", aggregate.name)
        assert_same(community.frame(spec.schema, AGGREGATES[0].name), hourly)

    assert_whole()
    refresh(community.engine, spec, Window(OLD - ONE_DAY, TODAY), community.capabilities)
    assert_whole()

    # Shortened, lengthened, lifted: the dropped rows do not come back, so no refresh may look for them.
    for retain in (timedelta(days=40), timedelta(days=400), None):
        with caplog.at_level(logging.WARNING):
            caplog.clear()
            apply(community.engine, [replace(spec, retain=retain)], community.capabilities)
        assert_whole()
        assert ("keeps refreshing only as far back" in caplog.text) == (retain != timedelta(days=40))


def test_capabilities_are_the_servers_own(timescaledb: Database) -> None:
    with timescaledb.engine.connect() as connection:
        version = connection.scalar(sa.text("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'"))
        licence = connection.scalar(sa.text("SHOW timescaledb.license"))
        server = connection.scalar(sa.text("SHOW server_version"))
    assert timescaledb.capabilities == Capabilities(version, licence, server.split()[0])
