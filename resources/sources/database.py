"""PostgreSQL, MySQL and MariaDB as sources.

Belongs here: which columns a table has, and its rows in order, page by page. Does not belong here: connections and
errors (`database_connection.py`).

All batches are of one snapshot. Where a unique constraint covers what rows are ordered by, each batch is a query of its
own that goes on behind the last row (keyset), so that nothing is held open while a batch is worked on, and an index
spares the sorting; else they come from one ordered query through a server-side cursor, for a page that begins behind a
row would pass over its equals. Either way one batch is in memory.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from resources.errors import UnexpectedAnswer
from resources.sources.database_connection import DatabaseAddress, snapshot
from resources.sources.source import Extract, FoundColumn, Source, SourceBatch, bytes_of, frame_of

COMPARED_ALIKE = (sa.Integer, sa.Numeric, sa.String, sa.Uuid, sa.DateTime, sa.Date)
NOT_COMPARED_ALIKE = (sa.Float, sa.Enum, sa.LargeBinary)
"""Sorted one way and compared another, or not exact as a value that is sent back."""


@dataclass(frozen=True)
class _Table:
    """A table as found."""

    relation: sa.TableClause
    types: Mapping[str, Any]
    nullable: frozenset[str]
    unique: tuple[frozenset[str], ...]
    found: tuple[FoundColumn, ...]


class DatabaseSource(Source):
    """A database at `postgresql://…`, `mysql://…` or `mariadb://…`; options of TLS in the URL reach the driver.

    Instants without a zone are UTC. Rows that lack their stamp or a part of their key come with every extract, last:
    they belong to no window.
    """

    def __init__(self, url: str, *, setting: str = "the source's URL") -> None:
        self._address = DatabaseAddress(url, setting)
        self.address = self._address.shown

    def check(self, extract: Extract) -> str:
        with snapshot(self._address) as connection:
            version = connection.execute(sa.select(sa.func.version())).scalar_one()
            found = _look(connection, extract.name).found
        return f"{' '.join(str(version).split()[:2])}, {extract.name} has {len(found)} columns"

    def columns(self, extract: Extract) -> tuple[FoundColumn, ...]:
        with snapshot(self._address) as connection:
            return _look(connection, extract.name).found

    def batches(self, extract: Extract) -> Iterator[SourceBatch]:
        with snapshot(self._address) as connection:
            table = _look(connection, extract.name)
            wanted = [name for name in table.types if extract.columns is None or name in extract.columns]
            if not wanted:
                yield SourceBatch(rows=frame_of([], []), columns=table.found)
                return
            order = [name for name in (extract.changed_at, *extract.key) if name and name in table.types]
            window = self._window(table, extract)
            yielded = False
            for rows in _pages(connection, table, wanted, order, window, extract.batch_size):
                yielded = True
                frame = frame_of(wanted, rows)
                yield SourceBatch(
                    rows=frame,
                    columns=table.found,
                    bytes_read=bytes_of(frame),
                    in_order=_is_stamped(table, extract),
                )
            if not yielded:
                yield SourceBatch(rows=frame_of(wanted, []), columns=table.found)

    def _window(self, table: _Table, extract: Extract) -> list[sa.ColumnElement[bool]]:
        if not _is_stamped(table, extract):
            return []
        stamp = table.relation.c[extract.changed_at or ""]
        bounds = []
        if extract.since is not None:
            bounds.append(stamp > self._spelled(extract.since))
        if extract.until is not None:
            bounds.append(stamp <= self._spelled(extract.until))
        return bounds

    def _spelled(self, at: datetime) -> str:
        """As either server reads an instant in UTC, whether the column has a zone or not."""
        text = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        return f"{text}+00" if self._address.is_postgres else text


def _is_stamped(table: _Table, extract: Extract) -> bool:
    """Whether the database can order and narrow by the stamp as an instant."""
    return isinstance(table.types.get(extract.changed_at or ""), sa.DateTime | sa.Date)


def _look(connection: sa.Connection, name: str) -> _Table:
    schema, _, bare = name.rpartition(".")
    with warnings.catch_warnings():
        # A type SQLAlchemy does not know is read as text.
        warnings.simplefilter("ignore", sa.exc.SAWarning)
        inspector = sa.inspect(connection)
        columns = inspector.get_columns(bare, schema=schema or None)
        unique = [inspector.get_pk_constraint(bare, schema=schema or None)["constrained_columns"]]
        unique += [one["column_names"] for one in inspector.get_unique_constraints(bare, schema=schema or None)]
    if not columns:
        raise UnexpectedAnswer(f"the table {name!r} has no columns")
    return _Table(
        relation=sa.table(
            sa.quoted_name(bare, quote=True),
            *(sa.column(sa.quoted_name(column["name"], quote=True)) for column in columns),
            schema=sa.quoted_name(schema, quote=True) if schema else None,
        ),
        types={column["name"]: column["type"] for column in columns},
        nullable=frozenset(column["name"] for column in columns if column["nullable"]),
        unique=tuple(frozenset(names) for names in unique if names),
        found=tuple(FoundColumn(column["name"], _spell(column["type"], connection)) for column in columns),
    )


def _spell(kind: Any, connection: sa.Connection) -> str:
    try:
        return str(kind.compile(dialect=connection.dialect)).lower()
    except sa.exc.CompileError:
        return "unknown"


def _pages(
    connection: sa.Connection,
    table: _Table,
    wanted: Sequence[str],
    order: Sequence[str],
    window: Sequence[sa.ColumnElement[bool]],
    size: int,
) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of the window, then those that belong to none for want of a stamp or key."""
    column = table.relation.c
    absent = [column[name].is_(None) for name in order if name in table.nullable]
    whole = sa.select(*(column[name] for name in wanted)).where(
        *window, *(column[name].is_not(None) for name in order if name in table.nullable)
    )
    if order and any(one <= set(order) for one in table.unique) and all(_is_compared_alike(table, n) for n in order):
        yield from _keyset(connection, whole, [column[name] for name in order], [wanted.index(n) for n in order], size)
    else:
        yield from _streamed(connection, whole.order_by(*(column[n] for n in order if _sorts(table, n))), size)
    if absent:
        yield from _streamed(connection, sa.select(*(column[name] for name in wanted)).where(sa.or_(*absent)), size)


def _keyset(
    connection: sa.Connection,
    whole: sa.Select[Any],
    order: Sequence[sa.ColumnElement[Any]],
    positions: Sequence[int],
    size: int,
) -> Iterator[list[tuple[Any, ...]]]:
    query = whole.order_by(*order).limit(size)
    page = _fetched(connection, query, size)
    while page:
        yield page
        if len(page) < size:
            return
        last = [page[-1][position] for position in positions]
        page = _fetched(connection, query.where(order[0] >= last[0], _behind(order, last)), size)


def _behind(order: Sequence[sa.ColumnElement[Any]], last: Sequence[object]) -> sa.ColumnElement[bool]:
    """`(a, b) > (x, y)` spelled out: MySQL uses no index for the short form."""
    beyond = order[-1] > last[-1]
    for column, value in list(zip(order, last, strict=True))[-2::-1]:
        beyond = sa.or_(column > value, sa.and_(column == value, beyond))
    return beyond


def _fetched(connection: sa.Connection, query: sa.Select[Any], size: int) -> list[tuple[Any, ...]]:
    return [row for rows in _streamed(connection, query, size) for row in rows]


def _streamed(connection: sa.Connection, query: sa.Select[Any], size: int) -> Iterator[list[tuple[Any, ...]]]:
    """Through a cursor on the server, so that the driver holds no more than is asked for."""
    with connection.execution_options(stream_results=True, max_row_buffer=size).execute(query) as result:
        while rows := result.fetchmany(size):
            yield [tuple(row) for row in rows]


def _is_compared_alike(table: _Table, name: str) -> bool:
    kind = table.types[name]
    return isinstance(kind, COMPARED_ALIKE) and not isinstance(kind, NOT_COMPARED_ALIKE)


def _sorts(table: _Table, name: str) -> bool:
    """Whether the database can sort by it at all: it cannot by JSON, say."""
    return isinstance(table.types[name], (*COMPARED_ALIKE, sa.Float, sa.Enum, sa.Boolean))
