"""The rows that rules judge, as they are stored: no row that counts is hidden, and what breaks the model is read too.

Belongs here: reading days of a table, rows before them, and the keys other tables have on them. Does not belong here:
judging (`assets_pkg/quality/`), verdicts (`rule_results.py`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

from resources.catalog import ledger, rule_results
from resources.catalog.files import superseded
from resources.errors import ContractBroken
from resources.timescale import sql
from resources.timescale.arrow import from_arrow
from resources.timescale.resource import TimescaleResource, Transaction
from resources.timescale.table_slice import TableSlice
from schemas.declared_files import file_datasets
from schemas.table_spec import TableSpec
from schemas.tables import TABLES
from schemas.window import Window

PIECE_ROWS = 200_000
"""Rows of several days that are read together; a day of more is read by itself, piece by piece."""
PIECE_OF_DAY_ROWS = 50_000
PIECE_DAYS = 31


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A table as the database has it."""

    spec: TableSpec
    columns: tuple[str, ...]
    """Of the model's columns those that are there, in the model's order."""
    exists: bool

    @property
    def is_ordered(self) -> bool:
        """Whether its rows can be had in the order of their key."""
        return set(self.spec.key) <= set(self.columns)


def stored(timescale: TimescaleResource, spec: TableSpec) -> Stored:
    """What there is of the table."""
    with timescale.connect() as connection:
        inspector = sa.inspect(connection)
        if not inspector.has_table(spec.name, schema=spec.schema):
            return Stored(spec=spec, columns=(), exists=False)
        present = {column["name"] for column in inspector.get_columns(spec.name, schema=spec.schema)}
    return Stored(spec=spec, columns=tuple(name for name in spec.columns if name in present), exists=True)


def pieces(timescale: TimescaleResource, table: Stored, window: Window) -> Iterator[list[date]]:
    """The window's days with rows, in order, as many together as fit in memory."""
    query = sql.counts(TableSlice.of_window(table.spec, window)).where(_still_counts(table.spec))
    with timescale.connect() as connection:
        counts = connection.execute(query.order_by(sa.text("1"))).all()
    piece: list[date] = []
    rows = 0
    for day, count in counts:
        if piece and (rows + count > PIECE_ROWS or len(piece) == PIECE_DAYS):
            yield piece
            piece, rows = [], 0
        piece.append(day)
        rows += count
    if piece:
        yield piece


def rows_of(transaction: Transaction, table: Stored, window: Window, *, sample: int | None = None) -> pd.DataFrame:
    """The rows of the window in the order of their key; of a sample, those whose keys have the smallest hashes, so that
    the same rows are drawn again."""
    whole = TableSlice.of_window(table.spec, window)
    query = sql.select(TableSlice(whole.spec, whole.parts, table.columns), ordered=table.is_ordered and sample is None)
    if sample is not None:
        known = sql.table_of(table.spec)
        key = sa.func.concat_ws("/", *(sa.cast(known.c[name], sa.Text) for name in table.spec.key))
        query = query.order_by(sa.func.hashtextextended(key, 0)).limit(sample)
    return _frame(transaction.fetch(query.where(_still_counts(table.spec))), table.spec)


def pieces_of_day(transaction: Transaction, table: Stored, day: date) -> Iterator[pd.DataFrame]:
    """The rows of a day in the order of their key, so many together as fit in memory; one frame at least."""
    whole = TableSlice.of_window(table.spec, Window.of_days(day, day))
    query = sql.select(TableSlice(whole.spec, whole.parts, table.columns), ordered=table.is_ordered)
    pieces = transaction.fetch_pieces(query.where(_still_counts(table.spec)), PIECE_OF_DAY_ROWS)
    return (_frame(piece, table.spec) for piece in pieces)


def rows_before(transaction: Transaction, table: Stored, window: Window, columns: Sequence[str]) -> pd.DataFrame:
    """The rows of an earlier window, of days that no rule holds back, to compare with: some columns, in any order."""
    wanted = tuple(name for name in table.spec.columns if name in columns and name in table.columns)
    whole = TableSlice.of_window(table.spec, window)
    query = sql.select(TableSlice(whole.spec, whole.parts, wanted), ordered=False)
    visible = rule_results.not_held(table.spec, sql.table_of(table.spec))
    return _frame(transaction.fetch(query.where(visible, _still_counts(table.spec))), table.spec)


def known_keys(
    timescale: TimescaleResource, transaction: Transaction, table_name: str, key: str, window: Window
) -> dict[date, pd.Index]:
    """Per day of the window, the values that `key` has in the table; none if the table is not there."""
    spec = TABLES[table_name]
    if key not in stored(timescale, spec).columns:
        return {}
    table = sql.table_of(spec)
    day = ledger.day_of(spec, table).label("day")
    inside = sql.in_window(table.c[spec.time_column or ""], window, spec.closed)
    found = transaction.fetch(sa.select(day, table.c[key].label("value")).distinct().where(inside)).to_pandas()
    return {one: pd.Index(values.dropna().unique()) for one, values in found.groupby("day")["value"]}


def _still_counts(spec: TableSpec) -> sa.ColumnElement[bool]:
    """Not the rows of a file that a newer version has replaced: they stay where they are, and count no more."""
    dataset = file_datasets().get(spec.dataset)
    if dataset is None or spec.event_time is None or dataset.on_new_version != "replace":
        return sa.true()
    return sql.table_of(spec).c.source_id.not_in(superseded(dataset.name))


def _frame(rows: pa.Table, spec: TableSpec) -> pd.DataFrame:
    """Each column in the model's type if it can be had, else in that of the database: the rules tell what is wrong."""
    try:
        return from_arrow(rows, spec.model)
    except ContractBroken:
        return pd.DataFrame({name: _column(rows.select([name]), spec) for name in rows.column_names}, copy=False)


def _column(column: pa.Table, spec: TableSpec) -> pd.Series:
    try:
        return from_arrow(column, spec.model).iloc[:, 0]
    except ContractBroken:
        as_stored: pd.DataFrame = column.to_pandas(types_mapper=pd.ArrowDtype)
        return as_stored.iloc[:, 0]
