"""Profiles as they are kept: one row per table, UTC day and column.

Belongs here: statements on `catalog.column_profiles`. Does not belong here: computing a profile (`profiles.py`).
"""

from collections.abc import Sequence
from datetime import date
from typing import Any, cast

import pandas as pd
import sqlalchemy as sa

from resources.catalog.rows import selected
from resources.profiling.profiles import PROFILE_COLUMNS, framed
from schemas.catalog_profiles import COLUMN_PROFILES
from schemas.table_spec import TableSpec
from schemas.window import Window


def keep(connection: sa.Connection, spec: TableSpec, window: Window, found: pd.DataFrame) -> None:
    """Replaces the table's profiles of the window by `found` (`PROFILE_COLUMNS`); a day without rows has none."""
    days = window.days()
    mine = sa.and_(COLUMN_PROFILES.c.table_name == spec.qualified, COLUMN_PROFILES.c.day.between(days[0], days[-1]))
    connection.execute(sa.delete(COLUMN_PROFILES).where(mine))
    if len(found):
        missing: Any = None
        rows = found.astype(object).where(found.notna(), missing).to_dict("records")
        given = selected(COLUMN_PROFILES, PROFILE_COLUMNS, cast(list[dict[str, object]], rows))
        connection.execute(sa.insert(COLUMN_PROFILES).from_select(PROFILE_COLUMNS, given))


def kept(connection: sa.Connection, table_name: str, days: Sequence[date]) -> pd.DataFrame:
    """The table's profiles of the days: `PROFILE_COLUMNS`, by day and position."""
    columns = COLUMN_PROFILES.c
    query = sa.select(COLUMN_PROFILES).where(columns.table_name == table_name, columns.day.in_(list(days)))
    found = connection.execute(query.order_by(columns.day, columns.position)).all()
    return framed(map(tuple, found))


def forget(connection: sa.Connection, before: date) -> int:
    """Deletes the profiles of days before; their number. Whoever asks for one later has it computed from the rows."""
    return connection.execute(sa.delete(COLUMN_PROFILES).where(COLUMN_PROFILES.c.day < before)).rowcount


def days_of(connection: sa.Connection, table_name: str) -> list[date]:
    """The days of which there are profiles of the table, in order."""
    query = sa.select(COLUMN_PROFILES.c.day).distinct().where(COLUMN_PROFILES.c.table_name == table_name)
    return list(connection.execute(query.order_by(COLUMN_PROFILES.c.day)).scalars())
