"""What is declared for TimescaleDB, as far as it can be judged without a server."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql import psycopg2

from resources.errors import ConfigurationError
from resources.timescale.capabilities import Capabilities
from resources.timescale.continuous_aggregates import refresh_statements
from resources.timescale.policies import (
    check,
    hypertable_statements,
    policy_steps,
    retention_steps,
    write_settings,
)
from schemas.base import TableModel, UtcTimestamp
from schemas.table_spec import Aggregate, TableSpec
from schemas.tables import TABLES
from schemas.window import ONE_DAY, Window

COMMUNITY = Capabilities("2.28.3", "timescale", "15.20")
APACHE = Capabilities("2.19.3", "apache", "17.11")
PLAIN = Capabilities(None, None, "18.6")


class Reading(TableModel):
    """One measured value."""

    place: int
    ts: UtcTimestamp
    value: float


DAILY = Aggregate(name='day"ly', bucket=ONE_DAY, by=("place",), value_column="value")
SPEC = TableSpec(
    schema='sche"ma',
    name="it's 100%",
    model=Reading,
    key=("place", "ts"),
    time_column="ts",
    closed="right",
    unit="place",
    known_at=None,
    compress_after=timedelta(days=30),
    aggregates=(DAILY,),
)
TIMELESS = replace(SPEC, time_column=None, key=("place",), compress_after=None, aggregates=())

instants = st.datetimes(datetime(1990, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))
buckets = st.sampled_from([timedelta(minutes=7), timedelta(hours=1), timedelta(hours=6), ONE_DAY, timedelta(days=7)])
spans = st.timedeltas(timedelta(microseconds=1), timedelta(days=40))


def refreshed(spec: TableSpec, window: Window, since: datetime | None = None) -> list[tuple[datetime, datetime]]:
    bound = [statement.compile().params for statement in refresh_statements(spec, window, since=since)]
    return [(params["first"], params["last"]) for params in bound]


def text(statement: sa.Executable) -> str:
    return str(statement.compile(dialect=psycopg2.dialect()))  # type: ignore[attr-defined]


@given(instants, spans, buckets)
def test_a_refresh_covers_the_window_in_whole_buckets_and_no_more(
    start: datetime, span: timedelta, bucket: timedelta
) -> None:
    window = Window(start, start + span)
    left = replace(SPEC, closed="left", aggregates=(replace(DAILY, bucket=bucket),))
    right = replace(left, closed="right")
    [(first, last)] = refreshed(left, window)
    assert first <= window.start < first + bucket
    assert last - bucket < window.end <= last
    assert (last - first) % bucket == timedelta(0)
    # TimescaleDB's own windows are [first, last), and so a right-closed (a, b] is [a + 1 us, b + 1 us).
    tick = timedelta(microseconds=1)
    assert refreshed(right, window) == [(first + tick, last + tick)]


@given(instants, spans, buckets, st.timedeltas(timedelta(days=-60), timedelta(days=60)))
def test_no_bucket_with_dropped_rows_is_refreshed(
    start: datetime, span: timedelta, bucket: timedelta, shift: timedelta
) -> None:
    window = Window(start, start + span)
    spec = replace(SPEC, closed="left", aggregates=(replace(DAILY, bucket=bucket),))
    since = start + shift
    [(first, last)] = refreshed(spec, window)
    clipped = refreshed(spec, window, since)
    for begin, end in clipped:
        assert begin >= since
        assert end == last
        assert begin == first or begin - bucket < since
    if not clipped:
        assert since > last - bucket


def test_a_day_of_partitions_is_a_bucket_of_the_daily_aggregate() -> None:
    day = Window.of_days(datetime(2025, 3, 1).date(), datetime(2025, 3, 1).date())
    assert refreshed(replace(SPEC, closed="left"), day) == [(day.start, day.end)]


@pytest.mark.parametrize("bucket, needed", [(ONE_DAY, 30), (timedelta(days=14), 42)])
def test_retention_shorter_than_aggregates_need_is_refused(bucket: timedelta, needed: int) -> None:
    spec = replace(SPEC, aggregates=(replace(DAILY, bucket=bucket),))
    short = replace(spec, retain=timedelta(days=needed) - timedelta(seconds=1))
    for refuses in (check, lambda s: policy_steps(s, COMMUNITY), lambda s: retention_steps(s, APACHE)):
        with pytest.raises(ConfigurationError, match=f"set retain to {needed} days"):
            refuses(short)
    check(replace(spec, retain=timedelta(days=needed)))
    check(replace(short, aggregates=()))


@pytest.mark.parametrize(
    "declared",
    [{"compress_after": timedelta(days=1)}, {"retain": timedelta(days=90)}, {"aggregates": (DAILY,)}],
)
def test_what_needs_time_is_refused_on_a_table_without(declared: dict[str, object]) -> None:
    check(TIMELESS)
    with pytest.raises(ConfigurationError, match="need a time column"):
        check(replace(TIMELESS, **declared))  # type: ignore[arg-type]


def test_a_table_without_time_becomes_no_hypertable() -> None:
    assert hypertable_statements(TIMELESS) == []
    assert policy_steps(TIMELESS, COMMUNITY) == []


@pytest.mark.parametrize("capabilities", [APACHE, PLAIN])
def test_nothing_is_asked_of_a_server_that_has_no_policies(capabilities: Capabilities) -> None:
    spec = replace(SPEC, retain=timedelta(days=90))
    assert policy_steps(spec, capabilities) == []
    assert retention_steps(spec, capabilities) == []
    assert write_settings(spec, capabilities) == []


def test_every_name_is_quoted_or_bound() -> None:
    steps = [text(step.statement) for step in policy_steps(replace(SPEC, retain=timedelta(days=90)), COMMUNITY)]
    alter, create = (next(t for t in steps if t.startswith(word)) for word in ("ALTER", "CREATE"))
    assert alter.startswith('ALTER TABLE "sche""ma"."it\'s 100%%" SET (timescaledb.compress')
    assert create.startswith('CREATE MATERIALIZED VIEW "sche""ma"."day""ly" WITH (timescaledb.continuous')
    called = [t for t in steps if "_policy(" in t]
    assert called
    for statement in [*called, *map(text, hypertable_statements(SPEC))]:
        assert "it's" not in statement
        assert "day" not in statement


def test_every_call_can_be_read_by_the_arrow_driver() -> None:
    steps = policy_steps(SPEC, COMMUNITY) + retention_steps(SPEC, COMMUNITY)
    calls = [text(step.statement) for step in steps if isinstance(step.statement, sa.Select)]
    calls += map(text, [*hypertable_statements(SPEC), *write_settings(SPEC, COMMUNITY)])
    assert len(calls) == 8
    assert {statement.split()[1] for statement in calls} == {"1"}


def test_the_products_own_tables_can_keep_what_they_declare() -> None:
    for spec in TABLES.values():
        check(spec)
        for capabilities in (COMMUNITY, APACHE, PLAIN):
            for step in policy_steps(spec, capabilities):
                assert text(step.statement)


@pytest.mark.parametrize(
    "capabilities, sentence",
    [
        (
            COMMUNITY,
            "TimescaleDB 2.28.3 under the Timescale (Community) licence on PostgreSQL 15.20: hypertables, compression, "
            "continuous aggregates and retention policies on.",
        ),
        (
            APACHE,
            "TimescaleDB 2.19.3 under the Apache licence on PostgreSQL 17.11: hypertables on; compression, continuous "
            "aggregates and retention policies off (they need the Community edition with timescaledb.license = "
            "'timescale').",
        ),
        (
            PLAIN,
            "PostgreSQL 18.6 without TimescaleDB: the same tables, but hypertables, compression, continuous aggregates "
            "and retention policies off.",
        ),
        (
            replace(PLAIN, hindrance="version 2.19.3 is installed but not loaded"),
            "PostgreSQL 18.6 without TimescaleDB (version 2.19.3 is installed but not loaded): the same tables, but "
            "hypertables, compression, continuous aggregates and retention policies off.",
        ),
    ],
)
def test_capabilities_are_said_in_one_sentence(capabilities: Capabilities, sentence: str) -> None:
    assert capabilities.describe() == sentence
