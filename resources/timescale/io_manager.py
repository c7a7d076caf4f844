"""The IO manager: an asset's output becomes rows of its table, and back.

It speaks Dagster's own vocabulary for tables: the last part of an asset key is the table and the part before it the
database schema; `partition_expr` in the definition metadata names the column of partitions that are not time (or maps
each dimension to its column); `columns` in an input's metadata projects; row counts and column schema come back as
`dagster/row_count`, `dagster/partition_row_count`, `dagster/table_name`, `dagster/column_schema`. A project says which
tables it has in one line:

    class ProjectIOManager(TimescaleIOManager):
        tables: ClassVar = {"timeseries.air_quality": AIR_QUALITY}

Belongs here: the order of a write and of a read. Does not belong here: SQL (`sql.py`), metadata (`report.py`), what a
project wants to record beside a write (override `record`).
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from typing import ClassVar

import dagster as dg
import pyarrow as pa
import sqlalchemy as sa
from pydantic import PrivateAttr

from resources.errors import CircuitOpen, ContractBroken, TerminalError, TransientError
from resources.timescale import policies, sql
from resources.timescale.acceptance import reject_strays, wanted_type, writes_of
from resources.timescale.arrow import from_arrow, to_arrow
from resources.timescale.capabilities import Capabilities, read_capabilities
from resources.timescale.changes import Changes, rows_by_day, settle
from resources.timescale.continuous_aggregates import refresh
from resources.timescale.contract import broken_rows, summary
from resources.timescale.history import history_of, keep
from resources.timescale.report import Tally, report
from resources.timescale.resource import TimescaleResource, Transaction, engine_of, translated_sqlalchemy
from resources.timescale.slices import BatchWrite, SliceStream, SliceWrite, TableReader, hand_over
from resources.timescale.streaming import Streamed, replace_slice
from resources.timescale.table_slice import TableSlice, slice_of
from resources.timescale.tables import ensure
from schemas.table_spec import TableSpec

LOCK_NOT_AVAILABLE = "55P03"
"""PostgreSQL's code for a lock somebody else holds; TimescaleDB's for a refresh that is under way."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """One slice as it was committed."""

    table_slice: TableSlice
    write: SliceWrite
    changes: Changes
    rows: int
    rows_by_day: dict[date, int]


class TimescaleIOManager(dg.ConfigurableIOManager):
    """Writes a slice in one transaction (lock, delete, COPY), reads slices, both through Arrow.

    An output is a DataFrame, an Arrow table, or a `SliceStream` of frames. An input is a DataFrame,
    or a `pyarrow.Table` or `TableReader` where its parameter is annotated so. Writing what is already there changes
    nothing.
    """

    tables: ClassVar[Mapping[str, TableSpec]] = {}
    """The project's tables by `schema.name`."""

    timescale: dg.ResourceDependency[TimescaleResource]
    _capabilities: Capabilities | None = PrivateAttr(None)
    _ensured: set[str] = PrivateAttr(default_factory=set)

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Writes the output slice by slice, each in its own transaction.

        Raises:
            dagster.Failure: an error that no retry can mend; errors that may pass are raised as they are.
        """
        with _clear_failure(context):
            spec = self.spec_of(context)
            whole = slice_of(context, spec)
            tally = Tally()

            def take(write: SliceWrite | BatchWrite) -> None:
                if isinstance(write, BatchWrite):
                    streamed = self.stream(context, whole, write)
                    tally.add_streamed(streamed, write.window.days() if write.window else ())
                else:
                    for part in self.parts(context, whole, write):
                        written = self.write(context, whole, part)
                        tally.add(written.rows, written.rows_by_day, written.changes)

            hand_over(writes_of(obj, spec), take)
            if tally.has_changed:
                self._refresh_aggregates(spec, whole)
            if isinstance(obj, SliceStream):
                # Its slices may be parts of a partition, or none at all.
                tally.hold(self._rows_by_day(whole))
            self.finish(context, spec, tally)
            report(context, spec, tally)

    def load_input(self, context: dg.InputContext) -> object:
        """The upstream table's rows for the partitions this run depends on."""
        with _clear_failure(context):
            spec = self.spec_of(context)
            wanted = wanted_type(context)
            self._ensure(spec)
            self.before_read(context, spec)
            reader = self.reader(slice_of(context, spec))
            if wanted is TableReader:
                return reader
            frame = reader.read()
            return to_arrow(frame, spec.model) if wanted is pa.Table else frame

    def spec_of(self, context: dg.OutputContext | dg.InputContext) -> TableSpec:
        """The table of an asset: that of `tables` named by `dagster/table_name` in its metadata, or else by its key.

        Raises:
            ContractBroken: there is none.
        """
        owner = context.upstream_output if isinstance(context, dg.InputContext) else context
        named = (owner.definition_metadata or {}).get("dagster/table_name") if owner else None
        qualified = str(named or ".".join(context.asset_key.path[-2:]))
        if qualified not in self.tables:
            raise ContractBroken(f"no table {qualified!r} is declared in {type(self).__name__}.tables")
        return self.tables[qualified]

    def reader(self, table_slice: TableSlice) -> TableReader:
        """A reader of the table, from the given slice of it."""
        return TableReader(self.timescale, table_slice)

    def before_read(self, context: dg.InputContext, spec: TableSpec) -> None:
        """Called before an input is read; a place to note in which state it was."""

    def parts(self, context: dg.OutputContext, whole: TableSlice, write: SliceWrite) -> Iterable[SliceWrite]:
        """What of a slice may be written, in parts with a transaction each; here all of it at once."""
        return [write]

    def gate(self, context: dg.OutputContext, write: SliceWrite, spec: TableSpec) -> SliceWrite:
        """Lets through what satisfies the table's model; called before anything is written.

        Raises:
            ContractBroken: rows break the model.
        """
        errors = broken_rows(write.rows, spec)
        if not errors.empty:
            raise ContractBroken(f"{spec.qualified}: {summary(errors)}; nothing was written")
        return write

    def record(self, context: dg.OutputContext, transaction: Transaction, written: Written) -> None:
        """Called inside the transaction, before its commit: what a project notes of a write."""

    def finish(self, context: dg.OutputContext, spec: TableSpec, tally: Tally) -> None:
        """Called when every slice is committed, before the output is reported: what a project does with the rows next.
        An error that may pass has the step tried again."""

    def write(self, context: dg.OutputContext, whole: TableSlice, write: SliceWrite) -> Written:
        """Replaces one slice in one transaction; a slice that would not change is left alone."""
        spec = whole.spec
        table_slice = whole.narrowed(write.window, write.units)
        self._ensure(spec)
        write = self.gate(context, write, spec)
        reject_strays(table_slice, write)
        with self.timescale.transaction() as transaction:
            for statement in (*policies.write_settings(spec, self._known_capabilities()), *sql.lock_slice(table_slice)):
                transaction.execute(statement)
            old = from_arrow(transaction.fetch(sql.select(table_slice, ordered=False)), spec.model)
            rows, changes = settle(old, write.rows, spec)
            if changes:
                if spec.keeps_history:
                    keep(transaction, spec, before=old, after=rows, superseded=changes.superseded)
                if len(old):
                    transaction.execute(sql.delete(table_slice))
                transaction.copy(sql.table_of(spec), to_arrow(rows, spec.model))
            written = Written(
                table_slice=table_slice,
                write=replace(write, rows=rows),
                changes=changes,
                rows=len(rows),
                rows_by_day=rows_by_day(rows, spec),
            )
            self.record(context, transaction, written)
        return written

    def stream(self, context: dg.OutputContext, whole: TableSlice, write: BatchWrite) -> Streamed:
        """Replaces one slice by Arrow batches in one transaction.

        Raises:
            ContractBroken: the table keeps history, which takes comparing.
        """
        spec = whole.spec
        if spec.keeps_history:
            raise ContractBroken(f"{spec.qualified} keeps history: write it by frames, batches are not compared")
        table_slice = whole.narrowed(write.window, write.units)
        self._ensure(spec)
        with self.timescale.transaction() as transaction:
            for statement in (*policies.write_settings(spec, self._known_capabilities()), *sql.lock_slice(table_slice)):
                transaction.execute(statement)
            streamed = replace_slice(transaction, table_slice, write.batches)
            self.record_stream(context, transaction, table_slice, write, streamed)
        return streamed

    def record_stream(
        self,
        context: dg.OutputContext,
        transaction: Transaction,
        table_slice: TableSlice,
        write: BatchWrite,
        streamed: Streamed,
    ) -> None:
        """As `record`, of a slice that was replaced by batches."""

    def _rows_by_day(self, table_slice: TableSlice) -> dict[date | None, int]:
        self._ensure(table_slice.spec)
        with self.timescale.connect() as connection:
            return {day: rows for day, rows in connection.execute(sql.counts(table_slice))}

    def _ensure(self, spec: TableSpec) -> None:
        """Once per process and table: the table exists and fits its model."""
        if spec.qualified in self._ensured:
            return
        capabilities = self._known_capabilities()
        with self.timescale.connect() as connection:
            ensure(connection, spec, capabilities)
        with translated_sqlalchemy():
            kept = [spec, history_of(spec)] if spec.keeps_history else [spec]
            policies.apply(engine_of(self.timescale.url()), kept, capabilities)
        self._ensured.add(spec.qualified)

    def _refresh_aggregates(self, spec: TableSpec, whole: TableSlice) -> None:
        """Aggregates follow a replaced slice at once, however old it is; by themselves they follow with a delay. Where
        a refresh is under way already, that delay is left to it: the rows are committed."""
        if spec.aggregates and whole.window:
            try:
                refresh(engine_of(self.timescale.url()), spec, whole.window, self._known_capabilities())
            except sa.exc.OperationalError as error:
                if getattr(error.orig, "pgcode", None) != LOCK_NOT_AVAILABLE:
                    raise

    def _known_capabilities(self) -> Capabilities:
        if self._capabilities is None:
            with self.timescale.connect() as connection:
                self._capabilities = read_capabilities(connection)
        return self._capabilities


@contextmanager
def _clear_failure(context: dg.OutputContext | dg.InputContext) -> Iterator[None]:
    """Only an error that may pass reaches the retry policy; any other ends the step at once. A stream is made while it
    is written, so what goes wrong in an asset's body goes wrong here."""
    try:
        yield
    except (TransientError, dg.Failure, dg.RetryRequested) as error:
        if not isinstance(error, CircuitOpen):
            raise
        # Whoever is left alone is so for longer than retries wait; the sensors ask again when it is due.
        raise _ended(context, error) from error
    except Exception as error:
        raise _ended(context, error) from error


def _ended(context: dg.OutputContext | dg.InputContext, error: Exception) -> dg.Failure:
    asset = context.asset_key.to_user_string() if context.has_asset_key else "?"
    kind = "" if isinstance(error, TerminalError) else f"{type(error).__name__}: "
    return dg.Failure(f"{asset}: {kind}{error}", allow_retries=False)
