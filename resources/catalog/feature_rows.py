"""Rows of a feature table to learn from: whole histories of entities, as many as fit.

Belongs here: choosing the entities and reading their rows. Does not belong here: what is learnt from them.
"""

import hashlib
from dataclasses import dataclass

import pandas as pd
import sqlalchemy as sa

from resources.catalog import rule_results
from resources.timescale import sql
from resources.timescale.resource import TimescaleResource
from resources.timescale.slices import TableReader
from resources.timescale.table_slice import Part, TableSlice
from schemas.base import empty
from schemas.table_spec import TableSpec
from schemas.window import Window


@dataclass(frozen=True, kw_only=True)
class Histories:
    """What was read of a window."""

    rows: pd.DataFrame
    """Ordered by the table's key."""
    entities_read: int
    entities: int
    """How many the window has."""
    rows_there: int


def histories(timescale: TimescaleResource, spec: TableSpec, window: Window, *, most_rows: int) -> Histories:
    """All rows in the window of as many entities as have at most `most_rows` together, at least of one; which ones
    follows from their names alone, so the same are read again. Only rows that are visible
    downstream.

    Raises:
        DatabaseUnavailable, ContractBroken: as `TableReader.read`.
    """
    with timescale.connect() as connection:
        if not sa.inspect(connection).has_table(spec.name, schema=spec.schema):
            return Histories(rows=empty(spec.model), entities_read=0, entities=0, rows_there=0)
        table = sql.table_of(spec)
        names = [table.c[name] for name in spec.entities]
        inside = sql.in_window(table.c[spec.time_column or ""], window, spec.closed)
        counted = connection.execute(
            sa.select(*names, sa.func.count()).where(inside, rule_results.visible(spec, table)).group_by(*names)
        ).all()
    found = sorted(((tuple(row[:-1]), int(row[-1])) for row in counted), key=lambda one: _order(one[0]))
    chosen: list[tuple[object, ...]] = []
    total = 0
    for entity, rows in found:
        if chosen and total + rows > most_rows:
            break
        chosen.append(entity)
        total += rows
    part = TableSlice(spec, (Part(window),))
    is_whole = len(chosen) == len(found)

    def visible(table: sa.Table) -> sa.ColumnElement[bool]:
        closed = rule_results.visible(spec, table)
        return closed if is_whole else sa.and_(closed, _among(spec, table, chosen))

    return Histories(
        rows=TableReader(timescale, part, visible).read(),
        entities_read=len(chosen),
        entities=len(found),
        rows_there=sum(rows for _, rows in found),
    )


def _order(entity: tuple[object, ...]) -> bytes:
    return hashlib.sha256(repr(entity).encode()).digest()


def _among(spec: TableSpec, table: sa.Table, entities: list[tuple[object, ...]]) -> sa.ColumnElement[bool]:
    """Rows of the entities: arrays that are unnested side by side, so that any number of them is one statement."""
    columns = [table.c[name] for name in spec.entities]
    arrays = [
        sa.literal([entity[place] for entity in entities], sa.ARRAY(column.type))
        for place, column in enumerate(columns)
    ]
    listed = sa.func.unnest(*arrays).table_valued(*(column.name for column in columns)).render_derived("chosen")
    return sa.exists().where(*(listed.c[column.name] == column for column in columns))
