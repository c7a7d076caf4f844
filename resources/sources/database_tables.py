"""Which columns a table of a database has, of which types, and what is unique in it.

Belongs here: asking the database's own catalog with no more rights than reading the table takes, and what its types are
good for. Does not belong here: rows (`database.py`).
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from resources.sources.source import FoundColumn

COMPARED_ALIKE = (sa.Integer, sa.Numeric, sa.String, sa.Uuid, sa.DateTime, sa.Date)
NOT_COMPARED_ALIKE = (sa.Float, sa.Enum, sa.LargeBinary)
"""Sorted one way and compared another, or not exact as a value that is sent back."""
INFORMATION = "information_schema"
MYSQL_CATALOG = {
    "columns": ("data_type", "column_type", "is_nullable", "ordinal_position"),
    "statistics": ("index_name", "non_unique"),
}


@dataclass(frozen=True)
class Table:
    """A table or view as found."""

    relation: sa.TableClause
    types: Mapping[str, Any]
    """SQLAlchemy's type of each column."""
    nullable: frozenset[str]
    unique: tuple[frozenset[str], ...]
    found: tuple[FoundColumn, ...]

    def compares(self, name: str) -> bool:
        """Whether the order the database sorts a column in is the one it compares its values by."""
        kind = self.types[name]
        return isinstance(kind, COMPARED_ALIKE) and not isinstance(kind, NOT_COMPARED_ALIKE)

    def sorts(self, name: str) -> bool:
        """Whether the database can sort by the column at all: it cannot by JSON, say."""
        return isinstance(self.types[name], (*COMPARED_ALIKE, sa.Float, sa.Enum, sa.Boolean))

    def is_instant(self, name: str | None) -> bool:
        """Whether the database can order and narrow by the column as by an instant."""
        return isinstance(self.types.get(name or ""), sa.DateTime | sa.Date)


def look(connection: sa.Connection, name: str) -> Table:
    """The table or `schema.table` called `name`.

    Raises:
        sqlalchemy.exc.NoSuchTableError: there is none, or its user may not see it.
    """
    schema, _, bare = name.rpartition(".")
    ask = _in_postgres if connection.dialect.name == "postgresql" else _in_mysql
    columns, unique = ask(connection, schema or None, bare)
    if not columns:
        raise sa.exc.NoSuchTableError(name)
    return Table(
        relation=sa.table(
            sa.quoted_name(bare, quote=True),
            *(sa.column(sa.quoted_name(column.name, quote=True)) for column in columns),
            schema=sa.quoted_name(schema, quote=True) if schema else None,
        ),
        types={column.name: column.type for column in columns},
        nullable=frozenset(column.name for column in columns if column.is_nullable),
        unique=tuple(unique),
        found=tuple(FoundColumn(column.name, column.told) for column in columns),
    )


@dataclass(frozen=True)
class _Column:
    name: str
    type: Any
    told: str
    is_nullable: bool


_Found = tuple[list[_Column], list[frozenset[str]]]


def _in_postgres(connection: sa.Connection, schema: str | None, table: str) -> _Found:
    with warnings.catch_warnings():
        # A type SQLAlchemy does not know is read as text.
        warnings.simplefilter("ignore", sa.exc.SAWarning)
        inspector = sa.inspect(connection)
        columns = inspector.get_columns(table, schema=schema)
        unique = [inspector.get_pk_constraint(table, schema=schema)["constrained_columns"]]
        unique += [one["column_names"] for one in inspector.get_unique_constraints(table, schema=schema)]
    found = [_Column(one["name"], one["type"], _told(one["type"], connection), one["nullable"]) for one in columns]
    return found, [frozenset(names) for names in unique if names]


def _told(kind: Any, connection: sa.Connection) -> str:
    try:
        return str(kind.compile(dialect=connection.dialect)).lower()
    except sa.exc.CompileError:
        return "unknown"


def _in_mysql(connection: sa.Connection, schema: str | None, table: str) -> _Found:
    """SQLAlchemy would ask for the statement that made the table, which for a view takes a right of its own."""
    columns, indexes = (
        sa.table(relation, *map(sa.column, ("table_schema", "table_name", "column_name", *names)), schema=INFORMATION)
        for relation, names in MYSQL_CATALOG.items()
    )
    place = sa.literal(schema) if schema else sa.func.database()

    def of_table(relation: sa.TableClause) -> sa.ColumnElement[bool]:
        return sa.and_(relation.c.table_schema == place, relation.c.table_name == table)

    told = sa.select(*(columns.c[name] for name in ("column_name", "data_type", "column_type", "is_nullable")))
    kinds = connection.dialect.ischema_names  # type: ignore[attr-defined]
    found = [
        _Column(name, kinds.get(_text(kind).lower(), sa.types.NullType)(), _text(spelled).lower(), can == "YES")
        for name, kind, spelled, can in connection.execute(
            told.where(of_table(columns)).order_by(columns.c.ordinal_position)
        )
    ]
    unique: dict[str, set[str]] = {}
    for index, column in connection.execute(
        sa.select(indexes.c.index_name, indexes.c.column_name).where(of_table(indexes), indexes.c.non_unique == 0)
    ):
        unique.setdefault(index, set()).add(column)
    return found, [frozenset(members) for members in unique.values()]


def _text(value: str | bytes) -> str:
    """MySQL gives some columns of its catalog as bytes."""
    return value.decode("utf-8") if isinstance(value, bytes) else value
