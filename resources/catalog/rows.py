"""Many small rows in one statement, on whichever driver a transaction runs.

Belongs here: rows of Python values as a relation, text as the database holds it. Does not belong here: any particular
table.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from math import isfinite

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


def storable(text: str) -> str:
    """`text` as PostgreSQL holds it: NUL and lone surrogates, as names of files may have them, become escapes."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _plain(value: object) -> object:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {storable(str(key)): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, (int, float)) else str(value)
