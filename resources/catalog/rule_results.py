"""Verdicts on rules: the newest of each table and day, and which days they hold back.

A day whose newest verdict has a failed ERROR is invisible to readers downstream, like one whose ledger is not closed;
the days around it are not. When a verdict turns, in the same transaction the days that rest on it become stale: those
computed with rows that are held back now, and those that lack rows which are free again.

Belongs here: statements on `catalog.rule_results` and `catalog.rule_violations`. Does not belong here: judging
(`assets_pkg/quality/`), the rows that are judged (`judged_rows.py`).
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

from resources.catalog import dirty_days, ledger
from resources.catalog.file_loads import stale_days
from resources.timescale import sql
from resources.timescale.resource import Transaction
from resources.timescale.table_slice import TableSlice
from schemas.catalog_rules import ERROR, RULE_RESULTS, RULE_VIOLATIONS
from schemas.table_spec import TableSpec
from schemas.tables import stale_after
from schemas.window import Window

RESULT_SCHEMA = pa.schema(
    [
        ("table_name", pa.string()),
        ("day", pa.date32()),
        ("rule", pa.string()),
        ("kind", pa.string()),
        ("severity", pa.string()),
        ("outcome", pa.string()),
        ("passed", pa.bool_()),
        ("checked", pa.int64()),
        ("failed", pa.int64()),
        ("message", pa.string()),
        ("run_id", pa.string()),
    ]
)
VIOLATION_SCHEMA = pa.schema(
    [
        ("table_name", pa.string()),
        ("day", pa.date32()),
        ("rule", pa.string()),
        ("number", pa.int64()),
        ("severity", pa.string()),
        ("column_name", pa.string()),
        ("row_key", pa.string()),
        ("value", pa.string()),
        ("source_id", pa.int64()),
        ("line_no", pa.int64()),
        ("run_id", pa.string()),
    ]
)
IS_HELD = sa.and_(RULE_RESULTS.c.severity == ERROR, sa.not_(RULE_RESULTS.c.passed))


def visible(spec: TableSpec, table: sa.Table) -> sa.ColumnElement[bool]:
    """Rows that readers downstream may see: of a closed ledger, and of days that no rule holds back."""
    return sa.and_(ledger.closed_only(spec, table), not_held(spec, table))


def not_held(spec: TableSpec, table: sa.Table) -> sa.ColumnElement[bool]:
    """Hides the rows of every day whose newest verdict has a failed ERROR."""
    if spec.time_column is None:
        return sa.true()
    mine = RULE_RESULTS.alias("verdict")
    return ~sa.exists().where(
        mine.c.table_name == spec.qualified,
        mine.c.severity == ERROR,
        sa.not_(mine.c.passed),
        mine.c.day == ledger.day_of(spec, table),
    )


def lock(table_name: str, days: Collection[date]) -> sa.Select[tuple[int]]:
    """Judges of the same day wait for each other, so that the last verdict is about the newest rows."""
    return sql.lock([f"rule_results/{table_name}/{day}" for day in sorted(days)])


def store(
    transaction: Transaction,
    spec: TableSpec,
    days: Sequence[date],
    results: pd.DataFrame,
    violations: pd.DataFrame,
    *,
    run_id: str,
) -> set[date]:
    """Replaces the verdicts on the days; returns the days they hold back.

    Args:
        days: judged, whether they have rows or not; call under `lock`.
        results: columns day, rule, kind, severity, outcome, passed, checked, failed, message.
        violations: columns day, rule, severity, column_name, row_key, value, source_id, line_no.
    """
    before = _held_now(transaction, spec, days)
    for table in (RULE_RESULTS, RULE_VIOLATIONS):
        transaction.execute(sa.delete(table).where(_of(table, spec.qualified, days)))
    told = {"table_name": spec.qualified, "run_id": run_id}
    if len(results):
        transaction.copy(RULE_RESULTS, _arrow(results.assign(**told), RESULT_SCHEMA))
    if len(violations):
        number = violations.groupby(["day", "rule"], sort=False).cumcount() + 1
        transaction.copy(RULE_VIOLATIONS, _arrow(violations.assign(number=number, **told), VIOLATION_SCHEMA))
    held = {
        day
        for day, severity, passed in zip(results["day"], results["severity"], results["passed"], strict=True)
        if severity == ERROR and not passed
    }
    if stale := _stale(transaction, spec, before ^ held):
        transaction.execute(dirty_days.mark(stale, by=spec.qualified))
    return held


def held_days(connection: sa.Connection) -> dict[str, set[date]]:
    """Per table, the days that are held back."""
    found: dict[str, set[date]] = {}
    query = sa.select(RULE_RESULTS.c.table_name, RULE_RESULTS.c.day).distinct().where(IS_HELD)
    for table, day in connection.execute(query):
        found.setdefault(table, set()).add(day)
    return found


def results_of(connection: sa.Connection, table_name: str, window: Window) -> pd.DataFrame:
    """The newest verdicts on the window's days, by day and rule; all columns of `catalog.rule_results`."""
    days = window.days()
    query = sa.select(RULE_RESULTS).where(
        RULE_RESULTS.c.table_name == table_name, RULE_RESULTS.c.day.between(days[0], days[-1])
    )
    result = connection.execute(query.order_by(RULE_RESULTS.c.day, RULE_RESULTS.c.rule))
    return pd.DataFrame(result.all(), columns=list(result.keys()))


def _held_now(transaction: Transaction, spec: TableSpec, days: Sequence[date]) -> set[date]:
    query = sa.select(RULE_RESULTS.c.day).distinct().where(_of(RULE_RESULTS, spec.qualified, days), IS_HELD)
    return set(transaction.fetch(query).column("day").to_pylist())


def _of(table: sa.Table, table_name: str, days: Sequence[date]) -> sa.ColumnElement[bool]:
    listed = sa.any_(sa.literal(list(days), sa.ARRAY(sa.Date)))
    return sa.and_(table.c.table_name == table_name, table.c.day == listed)


def _stale(transaction: Transaction, spec: TableSpec, turned: Collection[date]) -> set[tuple[str, date]]:
    """The days of other tables that rest on the days whose verdict turned."""
    today = datetime.now(UTC).date()
    stale = {item for day in turned for item in stale_after(spec.qualified, day, today=today)}
    if spec.event_time is None:
        return stale
    about: set[date] = set()
    for day in turned:
        mine = TableSlice.of_window(spec, Window.of_days(day, day))
        event = sa.cast(sa.func.timezone("UTC", sql.select(mine, ordered=False).subquery().c[spec.event_time]), sa.Date)
        queries: list[sa.Select[Any]] = [sa.select(event.label("day")).distinct()]
        queries += [sql.rival_days(mine)] if spec.has_rivals else []
        about |= {one for query in queries for one in transaction.fetch(query).column("day").to_pylist()}
    return stale | stale_days(spec, about)


def _arrow(rows: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    columns: Mapping[str, pd.Series] = {name: rows[name] for name in schema.names}
    return pa.table(
        {name: pa.Array.from_pandas(column, type=schema.field(name).type) for name, column in columns.items()}
    )
