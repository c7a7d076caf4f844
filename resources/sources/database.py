"""PostgreSQL, MySQL and MariaDB as sources.

Belongs here: the rows of a table in order, page by page. Does not belong here: which columns it has
(`database_tables.py`), connections and errors (`database_connection.py`).

All batches are of one snapshot. Where a unique constraint covers what rows are ordered by, each batch is a query of its
own that goes on behind the last row (keyset), so that nothing is held open while a batch is worked on, and an index
spares the sorting; else they come from one ordered query through a server-side cursor, for a page that begins behind a
row would pass over its equals. Either way one batch is in memory.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from resources.sources.database_connection import DatabaseAddress, snapshot
from resources.sources.database_tables import Table, look
from resources.sources.source import Extract, FoundColumn, Source, SourceBatch, bytes_of, frame_of


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
            found = look(connection, extract.name).found
        return f"{' '.join(str(version).split()[:2])}, {extract.name} has {len(found)} columns"

    def columns(self, extract: Extract) -> tuple[FoundColumn, ...]:
        with snapshot(self._address) as connection:
            return look(connection, extract.name).found

    def batches(self, extract: Extract) -> Iterator[SourceBatch]:
        with snapshot(self._address) as connection:
            table = look(connection, extract.name)
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
                    in_order=table.is_instant(extract.changed_at),
                )
            if not yielded:
                yield SourceBatch(rows=frame_of(wanted, []), columns=table.found)

    def _window(self, table: Table, extract: Extract) -> list[sa.ColumnElement[bool]]:
        if not table.is_instant(extract.changed_at):
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


def _pages(
    connection: sa.Connection,
    table: Table,
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
    if order and any(one <= set(order) for one in table.unique) and all(table.compares(n) for n in order):
        yield from _keyset(connection, whole, [column[name] for name in order], [wanted.index(n) for n in order], size)
    else:
        # In the order of all columns: which of two rows alike in key and stamp comes first must not be chance.
        names = (*order, *(name for name in wanted if name not in order))
        yield from _streamed(connection, whole.order_by(*(column[n] for n in names if table.sorts(n))), size)
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
