"""`tidemark status`: what there is, what is owed, what is stale, what runs.

Belongs here: gathering and layout. Does not belong here: judging (`doctor.py`).
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from assets_pkg.commands.alerts import show_channels, show_open
from assets_pkg.commands.tables import terminal
from assets_pkg.dagster_client import DagsterClient
from assets_pkg.launcher import url_of
from resources.catalog import dirty_days, rule_results, run_summaries, sources
from resources.circuit.board import dependencies, instruments_left_alone
from resources.feast.views import states
from resources.timescale import sql
from resources.timescale.capabilities import read_capabilities
from resources.wiring import Settings, alerts_resource, build_timescale
from schemas.catalog import LEDGER
from schemas.freshness import fresh
from schemas.table_spec import TableSpec
from schemas.tables import OPENAQ_MEASUREMENTS, TABLES

NEWEST = 10
"""Runs that ended last, of which there is a line each."""


def status(chosen: Settings) -> int:
    """Prints the state of the database and the stack; 0."""
    console = terminal()
    url = url_of(chosen.home)
    console.print(f"UI: {url}" if url else "UI: not running (tidemark up)", highlight=False)
    with build_timescale(chosen).connect() as connection:
        console.print(f"Database: {read_capabilities(connection).describe()}", highlight=False)
        _tables(connection, console)
        _stale(connection, console)
        _held_back(connection, console)
        _owed(connection, console)
        _circuits(connection, console)
        _serving(connection, console)
        _ended(connection, console)
    alerts = alerts_resource(chosen, build_timescale(chosen))
    show_channels(alerts, console)
    show_open(alerts, console)
    if url:
        _runs(DagsterClient(url), console)
    return 0


def _tables(connection: sa.Connection, console: Console) -> None:
    table = Table(title="Tables")
    for name, justify in (
        ("table", "left"),
        ("rows", "right"),
        ("from", "left"),
        ("to", "left"),
        ("open ledger", "right"),
        ("written", "left"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    inspector = sa.inspect(connection)
    for qualified, spec in TABLES.items():
        if not inspector.has_table(spec.name, schema=spec.schema):
            table.add_row(qualified, "-", "", "", "", "")
            continue
        stamp = sql.table_of(spec).c[spec.time_column or ""]
        rows, first, last = connection.execute(sa.select(sa.func.count(), sa.func.min(stamp), sa.func.max(stamp))).one()
        still_open = connection.execute(
            sa.select(sa.func.count()).where(
                LEDGER.c.table_name == qualified, LEDGER.c.is_current, sa.not_(LEDGER.c.is_closed)
            )
        ).scalar_one()
        table.add_row(qualified, f"{rows:,}", _moment(first), _moment(last), str(still_open), _age(connection, spec))
    console.print(table)


def _age(connection: sa.Connection, spec: TableSpec) -> str:
    """When the table was written last, and whether that is as the dataset promises."""
    newest = sa.select(sa.func.max(LEDGER.c.known_at)).where(LEDGER.c.table_name == spec.qualified)
    written_at = connection.execute(newest).scalar_one()
    promised = fresh(spec)
    if promised is None:
        return _moment(written_at)
    return f"{_moment(written_at)} {promised.verdict(written_at, datetime.now(UTC))}".strip()


def _stale(connection: sa.Connection, console: Console) -> None:
    marks = dirty_days.marks_of(connection)
    if not marks:
        console.print("Stale days: none")
    for name in sorted({mark.table_name for mark in marks}):
        days = [mark.day for mark in marks if mark.table_name == name]
        console.print(f"Stale days of {name}: {len(days)}, {days[0]} to {days[-1]}", highlight=False)


def _held_back(connection: sa.Connection, console: Console) -> None:
    held = rule_results.held_days(connection)
    for name, days in sorted(held.items()):
        first, last = min(days), max(days)
        why = f"tidemark validate {name} --from {first} --to {last}"
        console.print(
            f"Days of {name} that rules hold back: {len(days)}, {first} to {last}; why: {why}", highlight=False
        )
    if not held:
        console.print("Days that rules hold back: none")


def _owed(connection: sa.Connection, console: Console) -> None:
    owed = sources.owed(connection, OPENAQ_MEASUREMENTS.qualified)
    if not owed:
        console.print("Owed by the source: nothing")
    for unit in sorted({one.unit for one in owed}):
        mine = [one for one in owed if one.unit == unit]
        console.print(
            f"Owed: location {unit}, {len(mine)} day(s), next try {_moment(min(one.next_attempt_at for one in mine))}: "
            f"{mine[-1].error}",
            highlight=False,
            markup=False,
        )


def _circuits(connection: sa.Connection, console: Console) -> None:
    found, alone = dependencies(connection), instruments_left_alone(connection)
    if alone:
        console.print(f"OpenAQ sensors that are left alone: {alone}", highlight=False)
    if not found:
        console.print("Circuits: all closed")
        return
    table = Table(title="Circuits")
    for name in ("dependency", "state", "since", "failures", "next try", "last error"):
        table.add_column(name, justify="right" if name == "failures" else "left")
    for one in found:
        since, error = one.opened_at or one.changed_at, escape(one.last_error or "")
        table.add_row(one.name, one.state, _moment(since), str(one.failures), _moment(one.retry_at), error)
    console.print(table)


def _serving(connection: sa.Connection, console: Console) -> None:
    found = states(connection)
    for one in found:
        failing = f", failed {one.failures} time(s), next try {_moment(one.next_attempt_at)}: {one.last_error}"
        console.print(
            f"Feature view {one.view}: {one.pending:,} key(s) to be served, the oldest since "
            f"{_moment(one.oldest_mark_at) or 'never'}{failing if one.failures else ''}",
            highlight=False,
            markup=False,
        )
    if not found:
        console.print("Feature views: the online store has every newest row")


def _ended(connection: sa.Connection, console: Console) -> None:
    table = Table(title="What ended last")
    for name in ("run", "ended", "status", "took", "what", "days", "read", "written", "put aside", "rules passed"):
        table.add_column(name, justify="right" if name in ("took", "read", "written", "put aside") else "left")
    for run in run_summaries.newest(connection, NEWEST):
        named = ", ".join(run.tables[:2]) + (f" and {len(run.tables) - 2} more" if len(run.tables) > 2 else "")
        table.add_row(
            run.run_id[:8],
            _moment(run.ended_at),
            run.status,
            f"{run.duration_s:,.1f} s",
            named or run.job,
            f"{run.first_day} to {run.last_day}" if run.first_day else "",
            *(f"{number:,}" for number in (run.rows_read, run.rows_written, run.rows_quarantined)),
            f"{run.rules_passed} of {run.rules_judged}" if run.rules_judged else "",
        )
    console.print(table)


def _runs(client: DagsterClient, console: Console) -> None:
    table = Table(title="Newest runs")
    for name in ("run", "status", "what", "days"):
        table.add_column(name)
    for run in client.newest_runs():
        table.add_row(run.run_id[:8], run.status, run.what, run.days)
    console.print(table)


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
