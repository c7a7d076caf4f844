"""A slice that is replaced by Arrow batches, and on which days that changed anything.

Belongs here: delete, COPY and comparison of one slice inside a transaction. Does not belong here: locks and commit
(`io_manager.py`), where the batches come from.
"""

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import date

import adbc_driver_manager
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from resources.errors import ContractBroken
from resources.timescale import sql
from resources.timescale.arrow import arrow_type, from_arrow
from resources.timescale.contract import broken_rows, summary
from resources.timescale.resource import Transaction
from resources.timescale.table_slice import TableSlice
from schemas.base import dtypes_of
from schemas.table_spec import TableSpec

UTC_DAY = "utc day"
"""A name that no column of a table has: some have a `day`."""


@dataclass(frozen=True, kw_only=True)
class Streamed:
    """What replacing a slice came to; days are those of `event_time`, or of the time column where there is none."""

    rows: int
    rows_before: int
    days: frozenset[date]
    """UTC days the rows are about, those that were there before included."""
    changed_days: frozenset[date]
    """UTC days whose rows differ from what was there."""


def replace_slice(transaction: Transaction, table_slice: TableSlice, batches: Iterable[pa.RecordBatch]) -> Streamed:
    """Deletes the slice's rows and copies the batches in their place.

    Raises:
        ContractBroken: a batch breaks the table's model; the transaction is to be rolled back.
    """
    spec = table_slice.spec
    before = _digests(transaction, table_slice)
    if before:
        transaction.execute(sql.delete(table_slice))
    source = _Source(spec, batches)
    with closing(source.batches):
        try:
            transaction.copy(sql.table_of(spec), pa.RecordBatchReader.from_batches(schema_of(spec), source.batches))
        except adbc_driver_manager.Error:
            if source.failure is not None:
                raise source.failure from None  # the driver tells of it in words only
            raise
    # Of a slice that was empty every day is new, and the batches were counted on their way.
    after = _digests(transaction, table_slice) if before else {day: (n, "") for day, n in source.rows_by_day.items()}
    return Streamed(
        rows=sum(rows for rows, _ in after.values()),
        rows_before=sum(rows for rows, _ in before.values()),
        days=frozenset(before.keys() | after.keys()),
        changed_days=frozenset(day for day in before.keys() | after.keys() if before.get(day) != after.get(day)),
    )


def schema_of(spec: TableSpec) -> pa.Schema:
    """The Arrow schema of the table's batches."""
    return pa.schema([(name, arrow_type(dtype)) for name, dtype in dtypes_of(spec.model).items()])


class _Source:
    """The batches on their way into the driver, each validated, and the error that ended them."""

    def __init__(self, spec: TableSpec, batches: Iterable[pa.RecordBatch]) -> None:
        self._spec = spec
        self.failure: Exception | None = None
        self.rows_by_day: Counter[date] = Counter()
        self.batches = self._noting_failure(_made_ahead(self._validated(batches)))

    def _noting_failure(self, batches: Generator[pa.RecordBatch]) -> Generator[pa.RecordBatch]:
        with closing(batches):
            try:
                yield from batches
            except Exception as error:
                self.failure = error
                raise

    def _validated(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        spec, schema = self._spec, schema_of(self._spec)
        for batch in batches:
            rows = from_arrow(pa.Table.from_batches([batch]), spec.model)
            if not (failures := broken_rows(rows, spec)).empty:
                raise ContractBroken(f"{spec.qualified}: {summary(failures)}; nothing was written")
            typed = batch.select(schema.names).cast(schema)
            days = pc.value_counts(typed.column(_stamp(spec)).cast(pa.date32()))
            self.rows_by_day.update({one["values"]: one["counts"] for one in days.to_pylist()})
            yield typed


def _made_ahead(batches: Iterator[pa.RecordBatch]) -> Generator[pa.RecordBatch]:
    """The batches, each made in a thread of its own while the one before it is sent."""
    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(next, batches, None)
        try:
            while (batch := coming.result()) is not None:
                coming = maker.submit(next, batches, None)
                yield batch
        finally:
            coming.cancel()


def _stamp(spec: TableSpec) -> str:
    return spec.event_time or spec.time_column or ""


def _digests(transaction: Transaction, table_slice: TableSlice) -> Mapping[date, tuple[int, object]]:
    """Per UTC day, the number of the slice's rows and a sum over their hashes."""
    spec = table_slice.spec
    table = sql.table_of(spec)
    day = sa.cast(sa.func.timezone("UTC", table.c[_stamp(spec)]), sa.Date).label(UTC_DAY)
    rows = sql.select(table_slice, ordered=False).add_columns(day).subquery()
    content = sa.func.hash_record_extended(sa.func.row(*(rows.c[name] for name in spec.columns)), 0)
    digest = sa.cast(sa.func.sum(content), sa.Text)
    found = transaction.fetch(sa.select(rows.c[UTC_DAY], sa.func.count(), digest).group_by(rows.c[UTC_DAY]))
    return {
        day: (int(count), digest) for day, count, digest in zip(*(c.to_pylist() for c in found.columns), strict=True)
    }
