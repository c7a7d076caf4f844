"""The ledger: for every write, day and entity, what was read and what became of it.

Belongs here: statements on `catalog.ledger` and `catalog.quarantine`. Does not belong here: how rows are classed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, cast

import pandas as pd
import sqlalchemy as sa

from resources.catalog.rows import relation, selected
from resources.errors import LedgerNotClosed
from schemas.catalog import LEDGER, QUARANTINE
from schemas.table_spec import TableSpec
from schemas.window import ONE_DAY, Window

CLASSES = ("loaded", "duplicate", "quarantined", "filtered")
"""What becomes of a row that was read: exactly one of these."""

GAPS_SOUGHT = timedelta(days=31)
"""How far back a day that failed is asked for again, though later ones succeeded."""

COUNTS = ("read", *CLASSES, "written", "inserted", "changed", "vanished")


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What a write replaces: the days of a table, of the given units only; None is all there are."""

    table_name: str
    days: tuple[date, ...] | None
    units: tuple[str, ...] | None

    def holds(self, table: sa.Table) -> sa.ColumnElement[bool]:
        """Whether a row of `table` (ledger, quarantine, ...) is about this scope."""
        terms = [table.c.table_name == self.table_name]
        for column, values in ((table.c.day, self.days), (table.c.unit, self.units)):
            if values is not None:
                terms.append(column == sa.any_(sa.literal(list(values), sa.ARRAY(column.type))))
        return sa.and_(*terms)


def enter(scope: Scope, run_id: str, entries: pd.DataFrame) -> list[sa.Executable]:
    """Replaces the scope's current entries by `entries` (columns day, unit, `COUNTS`, known_at)."""
    names = ["table_name", "day", "unit", "run_id", *COUNTS, "known_at"]
    rows = _records(entries, scope, run_id)
    return [
        sa.update(LEDGER).values(is_current=False).where(LEDGER.c.is_current, scope.holds(LEDGER)),
        sa.insert(LEDGER).from_select(names, selected(LEDGER, names, rows)),
    ]


def require_closed(entries: pd.DataFrame, spec: TableSpec) -> None:
    """Entries (columns day, unit, read and `CLASSES`) that add up.

    Raises:
        LedgerNotClosed: one does not.
    """
    missing = entries["read"] - entries[list(CLASSES)].sum(axis=1)
    if missing.any():
        first = entries[missing != 0].iloc[0]
        raise LedgerNotClosed(
            f"{spec.qualified}, {first['day']}, {spec.unit or 'slice'} {first['unit']}: read {first['read']}, but "
            + ", ".join(f"{name} {first[name]}" for name in CLASSES)
            + f"; {int((missing != 0).sum())} slice(s) do not add up, nothing was committed"
        )


def recounted(scope: Scope, entries: pd.DataFrame) -> sa.Select[tuple[date]]:
    """The days on which what was read, or what became of it, differs from the scope's current entries. An entry that
    was not there counts even if it is all zeros: that nothing came is news to a quality report."""
    counts = ("read", *CLASSES)
    columns = [LEDGER.c[name] for name in ("day", "unit", *counts)]
    given = relation(columns, _records(entries, scope, ""))
    current = sa.select(*columns).where(LEDGER.c.is_current, scope.holds(LEDGER)).subquery()
    both = sa.join(given, current, sa.and_(given.c.day == current.c.day, given.c.unit == current.c.unit), full=True)
    differs = (sa.func.coalesce(given.c[name], 0) != sa.func.coalesce(current.c[name], 0) for name in counts)
    day = sa.func.coalesce(given.c.day, current.c.day).label("day")
    return sa.select(day).distinct().select_from(both).where(sa.or_(*differs, current.c.day.is_(None)))


def put_aside(scope: Scope, run_id: str, rejects: pd.DataFrame) -> list[sa.Executable]:
    """Replaces the scope's quarantine by `rejects` (columns day, unit, rule, reason, raw, source_id, line_no)."""
    statements: list[sa.Executable] = [sa.delete(QUARANTINE).where(scope.holds(QUARANTINE))]
    if len(rejects):
        rows = _records(rejects, scope, run_id)
        names = ["table_name", "day", "unit", "rule", "reason", "raw", "source_id", "line_no", "run_id"]
        statements.append(sa.insert(QUARANTINE).from_select(names, selected(QUARANTINE, names, rows)))
    return statements


def closed_only(spec: TableSpec, table: sa.Table) -> sa.ColumnElement[bool]:
    """Hides the rows of every day and unit whose current ledger entry is not closed."""
    if spec.time_column is None or spec.unit is None:
        return sa.true()
    return ~sa.exists().where(
        LEDGER.c.table_name == spec.qualified,
        LEDGER.c.is_current,
        sa.not_(LEDGER.c.is_closed),
        LEDGER.c.day == day_of(spec, table),
        LEDGER.c.unit == sa.cast(table.c[spec.unit], sa.Text),
    )


def day_of(spec: TableSpec, table: sa.Table) -> sa.ColumnElement[date]:
    """The UTC day whose slice a row of the table, which has a time column, lies in."""
    stamp = table.c[spec.time_column or ""]
    moment = stamp - sa.text("interval '1 microsecond'") if spec.closed == "right" else stamp
    return sa.cast(sa.func.timezone("UTC", moment), sa.Date)


def entries_of(connection: sa.Connection, tables: Sequence[str], window: Window) -> pd.DataFrame:
    """The current entries of the window's days (columns table_name, day, unit, `COUNTS`, is_closed, known_at).

    Where a day has no rows, it became known by the entry itself.
    """
    columns: list[sa.ColumnElement[Any]] = [
        LEDGER.c[name] for name in ("table_name", "day", "unit", *COUNTS, "is_closed")
    ]
    columns.append(sa.func.coalesce(LEDGER.c.known_at, LEDGER.c.committed_at).label("known_at"))
    days = window.days()
    query = sa.select(*columns).where(
        LEDGER.c.is_current, LEDGER.c.table_name.in_(list(tables)), LEDGER.c.day.between(days[0], days[-1])
    )
    result = connection.execute(query.order_by(LEDGER.c.table_name, LEDGER.c.day, LEDGER.c.unit))
    frame = pd.DataFrame(result.all(), columns=[column.name for column in columns])
    return frame.astype({"known_at": "datetime64[us, UTC]", **dict.fromkeys(COUNTS, "int64")})


def entered_at(connection: sa.Connection, scope: Scope) -> dict[tuple[str, date], datetime]:
    """Per unit and day of the scope, when its current entry was written."""
    query = sa.select(LEDGER.c.unit, LEDGER.c.day, LEDGER.c.committed_at).where(
        LEDGER.c.is_current, scope.holds(LEDGER)
    )
    return {(unit, day): at for unit, day, at in connection.execute(query)}


def settled_until(connection: sa.Connection, table_name: str, lag: timedelta) -> date | None:
    """The day up to which every day's current entry was written `lag` after its END, or later; None: there is none.

    A gap counts where it lies within the `GAPS_SOUGHT` before the newest such day; older ones are a backfill's matter.
    """
    end = sa.func.timezone("UTC", sa.cast(LEDGER.c.day + 1, sa.DateTime))
    query = sa.select(LEDGER.c.day).where(
        LEDGER.c.is_current, LEDGER.c.table_name == table_name, LEDGER.c.committed_at >= end + lag
    )
    days = set(connection.execute(query.distinct()).scalars())
    if not days:
        return None
    day: date = min(one for one in days if one >= max(days) - GAPS_SOUGHT)
    while day + ONE_DAY in days:
        day += ONE_DAY
    return day


def _records(frame: pd.DataFrame, scope: Scope, run_id: str) -> list[dict[str, object]]:
    """The rows as plain Python values, missing ones as None, with the table and the run."""
    missing: Any = None
    plain = frame.astype(object).where(frame.notna(), missing).assign(table_name=scope.table_name, run_id=run_id)
    return cast(list[dict[str, object]], plain.to_dict("records"))
