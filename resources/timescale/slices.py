"""What assets hand to the IO manager and get from it: streams of slices, and a reader of a table's windows.

Belongs here: `SliceWrite`, `SliceStream`, `TableReader`. Does not belong here: transactions, Dagster's contexts.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

from resources.errors import ContractBroken, LedgerNotClosed
from resources.timescale import sql
from resources.timescale.arrow import from_arrow
from resources.timescale.contract import broken_rows, summary
from resources.timescale.resource import TimescaleResource
from resources.timescale.table_slice import TableSlice
from schemas.table_spec import TableSpec
from schemas.window import Window

Item = TypeVar("Item")
Visible = Callable[[sa.Table], sa.ColumnElement[bool]]
"""Which rows of a table a reader may see."""


@dataclass(frozen=True, kw_only=True)
class SliceWrite:
    """Rows that replace one slice, in one transaction.

    `window` and `units` narrow the slice of the run; None means all of it. Rows outside are an error.
    """

    rows: pd.DataFrame
    window: Window | None = None
    units: tuple[object, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class BatchWrite:
    """Rows that replace one slice, in one transaction, as Arrow batches: none of them need fit in memory together.

    Columns and types are the table's. They are validated batch by batch as they go in, and not compared with what is
    there: a row keeps neither origin nor `known_at`, so whoever makes them sees to it that they are the same again.
    """

    batches: Iterable[pa.RecordBatch]
    window: Window | None = None
    units: tuple[object, ...] | None = None


class SliceStream:
    """Slices written one after another as they are made, so that memory holds one at a time.

    Slices already written stay written when a later one fails; running again replaces them by the same rows.
    """

    def __init__(self, writes: Iterable[SliceWrite | BatchWrite]) -> None:
        self._writes = writes

    def __iter__(self) -> Iterator[SliceWrite | BatchWrite]:
        return iter(self._writes)


def hand_over(items: Generator[Item], take: Callable[[Item], object]) -> None:
    """Gives the items to `take`, one by one as they are made.

    What is wrong with an item itself is raised where it was made: a generator that knows the others to be sound goes on
    with the next one, any other ends with the error. The generator is closed in the end: what it holds is let go.
    """
    with closing(items):
        item = next(items, None)
        while item is not None:
            try:
                take(item)
            except (ContractBroken, LedgerNotClosed) as error:
                try:
                    item = items.throw(error)
                except StopIteration:
                    return
            else:
                item = next(items, None)


class TableReader:
    """A table as an input: the run's window of it, and on demand any other.

    An asset asks for the windows it needs, each as a frame with the table's dtypes, ordered by the table's key.
    """

    def __init__(
        self, timescale: TimescaleResource, table_slice: TableSlice, visible: Visible = lambda _: sa.true()
    ) -> None:
        self._timescale = timescale
        self._slice = table_slice
        self._visible = visible

    @property
    def spec(self) -> TableSpec:
        """The table that is read."""
        return self._slice.spec

    @property
    def windows(self) -> tuple[Window, ...]:
        """The run's windows, in order; one for a day or a range."""
        return tuple(part.window for part in self._slice.parts if part.window)

    def read(self, window: Window | None = None, units: Iterable[object] | None = None) -> pd.DataFrame:
        """Rows of `window` (closed as the table is; default: the run's slice), of the given units only.

        Raises:
            DatabaseUnavailable: the database went away.
            ContractBroken: what is stored breaks the table's model.
        """
        table_slice = self._slice.at(window) if window else self._slice
        if units is not None:
            table_slice = table_slice.narrowed(None, units)
        return self._fetch(table_slice, sql.select(table_slice))

    def read_about(self, window: Window) -> pd.DataFrame:
        """Rows whose event time lies in `window` (closed left), whichever slice they lie in, and all others that tell
        the same facts (`TableSpec.fact_key`) of another time; errors as `read`."""
        if self.spec.event_time is None:
            raise ContractBroken(f"{self.spec.qualified} declares no event time to read by")
        table_slice = TableSlice(self.spec, columns=self._slice.columns)
        return self._fetch(table_slice, sql.select(table_slice).where(sql.about(self.spec, window)))

    def _fetch(self, table_slice: TableSlice, statement: sa.Select[tuple[object, ...]]) -> pd.DataFrame:
        statement = statement.where(self._visible(sql.table_of(self.spec)))
        with self._timescale.transaction() as transaction:
            rows = transaction.fetch(statement)
        frame = from_arrow(rows, self.spec.model)
        if not table_slice.columns and not (errors := broken_rows(frame, self.spec)).empty:
            raise ContractBroken(f"{self.spec.qualified}: {summary(errors)}; its asset did not write these rows")
        return frame
