"""Dirty days: which days of which table have to be computed again, and the proof that no mark is lost.

Whoever writes a slice marks what it makes stale in the same transaction; every mark carries a new version. Whoever
computes a stale day notes the version BEFORE it reads, and removes exactly that version in the transaction that writes.
A change that comes between the two carries another version, so its mark stays.

Belongs here: statements on `catalog.dirty_days`. Does not belong here: when runs are requested (`assets_pkg`).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from resources.catalog.rows import relation, selected
from schemas.catalog import DIRTY_DAYS, DIRTY_VERSION


@dataclass(frozen=True, order=True)
class Mark:
    """One stale day."""

    table_name: str
    day: date
    version: int
    marked_at: datetime


def mark(stale: Iterable[tuple[str, date]], *, by: str) -> sa.Executable:
    """Marks tables' days as stale because of a change of the table `by`.

    Sorted, so that two writers that mark the same days wait for each other instead of deadlocking.
    """
    names = ["table_name", "day"]
    given = selected(DIRTY_DAYS, names, ({"table_name": table, "day": day} for table, day in sorted(set(stale))))
    rows = given.add_columns(sa.literal(by, sa.Text), DIRTY_VERSION.next_value())
    statement = insert(DIRTY_DAYS).from_select([*names, "marked_by", "version"], rows)
    fresh = {name: statement.excluded[name] for name in ("version", "marked_by")} | {"marked_at": sa.func.now()}
    return statement.on_conflict_do_update(index_elements=names, set_=fresh)


def clear(table_name: str, seen: Mapping[date, int]) -> sa.Executable:
    """Removes the marks that still carry the version seen before reading.

    Sorted like `mark`, for the same reason.
    """
    rows = [{"day": day, "version": version} for day, version in sorted(seen.items())]
    given = relation([DIRTY_DAYS.c.day, DIRTY_DAYS.c.version], rows)
    mine = DIRTY_DAYS.alias("mine")
    answered = (
        sa.select(mine.c.day, mine.c.version)
        .where(mine.c.table_name == table_name)
        .where(sa.exists().where(given.c.day == mine.c.day, given.c.version == mine.c.version))
        .order_by(mine.c.day)
        .with_for_update()
        .cte("answered")
    )
    return sa.delete(DIRTY_DAYS).where(
        DIRTY_DAYS.c.table_name == table_name,
        DIRTY_DAYS.c.day == answered.c.day,
        DIRTY_DAYS.c.version == answered.c.version,
    )


def marks_of(connection: sa.Connection, tables: Collection[str] | None = None) -> list[Mark]:
    """The marks of the given tables (default: all), by table and day."""
    columns = (DIRTY_DAYS.c.table_name, DIRTY_DAYS.c.day, DIRTY_DAYS.c.version, DIRTY_DAYS.c.marked_at)
    query = sa.select(*columns).order_by(DIRTY_DAYS.c.table_name, DIRTY_DAYS.c.day)
    if tables is not None:
        query = query.where(DIRTY_DAYS.c.table_name.in_(list(tables)))
    return [Mark(*row) for row in connection.execute(query)]
