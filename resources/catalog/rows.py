"""Many small rows in one statement, on whichever driver a transaction runs.

Belongs here: rows of Python values as a relation. Does not belong here: any particular table.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB


def relation(columns: Sequence[sa.Column[object]], rows: Iterable[Mapping[str, object]]) -> sa.TableValuedAlias:
    """`rows` as a relation with the given columns' names and types, bound as one JSON text."""
    text = json.dumps([{column.name: _plain(row.get(column.name)) for column in columns} for row in rows])
    return (
        sa.func.jsonb_to_recordset(sa.cast(sa.literal(text, sa.Text), JSONB))
        .table_valued(*(sa.column(column.name, column.type) for column in columns))
        .render_derived(name="given", with_types=True)
    )


def selected(
    table: sa.Table, names: Sequence[str], rows: Iterable[Mapping[str, object]]
) -> sa.Select[tuple[object, ...]]:
    """The rows as a SELECT of the table's columns `names`, for INSERT … FROM SELECT."""
    given = relation([table.c[name] for name in names], rows)
    return sa.select(*(given.c[name] for name in names))


def _plain(value: object) -> object:
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return value if value is None or isinstance(value, (str, int, float, bool, list, dict)) else str(value)
