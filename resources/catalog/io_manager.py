"""The IO manager of this product: a write also closes its ledger, puts bad rows aside and marks what became stale.

Belongs here: what happens in the same transaction as a slice. Does not belong here: the order of the write itself
(`resources/timescale/io_manager.py`), single statements (`ledger.py`, `dirty_days.py`, `sources.py`).
"""

import contextlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

import dagster as dg
import pandas as pd
import sqlalchemy as sa

from resources.catalog import dirty_days, file_loads, held_upstream, ledger, rule_results, runs, sources
from resources.catalog.accounts import REJECT_COLUMNS, accounts_of, entries_of, moved, rejected
from resources.catalog.file_loads import FileLoad
from resources.catalog.ledger import Scope
from resources.errors import ContractBroken, TidemarkError
from resources.openaq.fetched import Source
from resources.timescale.contract import broken_rows, summary
from resources.timescale.io_manager import TimescaleIOManager, Written
from resources.timescale.resource import TimescaleResource, Transaction
from resources.timescale.slices import BatchWrite, SliceWrite, TableReader
from resources.timescale.streaming import Streamed
from resources.timescale.table_slice import TableSlice, slice_of
from schemas.datasets import DATASETS, Dataset
from schemas.source_dataset import SourceDataset
from schemas.source_tables import source_datasets
from schemas.table_spec import TableSpec
from schemas.tables import TABLES, stale_after
from schemas.window import Window


@dataclass(frozen=True, kw_only=True)
class LedgerWrite(SliceWrite):
    """A slice with the account of how its rows came about."""

    accounts: pd.DataFrame | None = None
    """One row per UTC day and unit of the slice: `ACCOUNT_COLUMNS`; None: every row was read and loaded."""
    rejects: pd.DataFrame | None = None
    """Rows that were read and put aside: `REJECT_COLUMNS`; they are counted in `accounts` already."""
    sources: tuple[Source, ...] = ()
    still_owed: str | None = None
    """What is missing of the slice all the same, so that it is asked for again; None: nothing is owed any more."""


class LedgerIOManager(TimescaleIOManager):
    """TimescaleIOManager with ledger, quarantine and dirty days; it knows the product's tables by their asset keys."""

    timescale: dg.ResourceDependency[TimescaleResource]

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """As `TimescaleIOManager.handle_output`; the catalog is told of the run, whether it succeeds or not."""
        started_at, error = datetime.now(UTC), None
        try:
            super().handle_output(context, obj)
        except Exception as failure:
            error = str(failure)
            raise
        finally:
            _SEEN.pop(_step(context), None)
            self._note_run(context, started_at, error)

    def _note_run(self, context: dg.OutputContext, started_at: datetime, error: str | None) -> None:
        """Best effort where the run failed: the error that ends it must not be hidden by a database that is away."""
        spec = self.spec_of(context)
        window = slice_of(context, spec).window
        days = window.days() if window else [None]
        run = runs.PipelineRun(
            table_name=spec.qualified,
            run_id=context.run_id,
            first_day=days[0],
            last_day=days[-1],
            started_at=started_at,
            error=error,
        )
        with contextlib.suppress(*((TidemarkError,) if error else ())), self.timescale.connect() as connection:
            connection.execute(runs.ran(run))
            if dataset := DATASETS.get(spec.dataset):
                connection.execute(runs.describe(_described(dataset, "api")))
            if source := source_datasets().get(spec.dataset):
                connection.execute(runs.describe(_described(source, source.kind.value)))
            edges = {"table": [(read.table, spec.qualified) for read in spec.reads]}
            if source and spec.schema == "staging":
                edges["source"] = [(f"{source.name}:{source.table(spec.name).name}", spec.qualified)]
            for kind, found in edges.items():
                if found and not error:
                    connection.execute(runs.draw(found, kind=kind, dataset=spec.dataset, run_id=context.run_id))

    def spec_of(self, context: dg.OutputContext | dg.InputContext) -> TableSpec:
        """The table of the same name as the asset key; see `schemas.tables.TABLES`."""
        qualified = ".".join(context.asset_key.path)
        if qualified not in TABLES:
            raise ContractBroken(f"no table {qualified} is declared in schemas/tables.py")
        return TABLES[qualified]

    def reader(self, table_slice: TableSlice) -> TableReader:
        """Only rows whose ledger is closed, of days that no rule holds back, are visible downstream."""
        return TableReader(self.timescale, table_slice, lambda table: rule_results.visible(table_slice.spec, table))

    def before_read(self, context: dg.InputContext, spec: TableSpec) -> None:
        """Notes which versions of the consumer's dirty days this run will have answered."""
        consumer, step, attempt = _consumer(context), _step(context), context.step_context.previous_attempt_count
        noted = _SEEN.get(step)
        if consumer and (noted is None or noted.attempt != attempt):
            with self.timescale.connect() as connection:
                marks = dirty_days.marks_of(connection, [consumer])
            _SEEN[step] = _Seen(attempt, {mark.day: mark.version for mark in marks})

    def parts(self, context: dg.OutputContext, whole: TableSlice, write: SliceWrite) -> Iterable[SliceWrite]:
        """Not the days that a table this one is made of holds back: they stay as they are, and stale."""
        spec = whole.spec
        asked = [write.window] if write.window else [part.window for part in whole.parts]
        windows = [window for window in asked if window]
        if spec.sees_held or not spec.reads or not windows:
            return [write]
        with self.timescale.connect() as connection:
            alone = held_upstream.left_alone(spec, rule_results.held_days(connection))
        if not (spared := sorted(alone.intersection(day for window in windows for day in window.days()))):
            return [write]
        context.log.warning(f"{spec.qualified}: {', '.join(map(str, spared))} not written: held back upstream")
        _tell_not_written(context, spared)
        parts = (part for window in windows for part in held_upstream.stretches(window, spared))
        return [_within(write, part, spec) for part in parts]

    def gate(self, context: dg.OutputContext, write: SliceWrite, spec: TableSpec) -> SliceWrite:
        """Puts aside the rows that break the model; a frame that breaks it as a whole is refused."""
        write = (
            write
            if isinstance(write, LedgerWrite)
            else LedgerWrite(rows=write.rows, window=write.window, units=write.units)
        )
        accounts = accounts_of(write.accounts, write.rows, spec)
        rejects = write.rejects if write.rejects is not None else pd.DataFrame(columns=REJECT_COLUMNS)
        rows = write.rows
        while not (failures := self.broken_rows(rows, spec)).empty:
            single = failures["index"].notna() & (failures["schema_context"] == "Column")
            if not single.all():
                raise ContractBroken(f"{spec.qualified}: {summary(failures[~single])}; nothing was written")
            bad = failures.drop_duplicates("index").set_index("index")
            put_aside = rejected(rows.loc[bad.index], bad, spec)
            rejects = pd.concat([rejects, put_aside], ignore_index=True) if len(rejects) else put_aside
            accounts = moved(accounts, put_aside, spec)
            rows = rows.drop(index=bad.index).reset_index(drop=True)
        return replace(write, rows=rows, accounts=accounts, rejects=rejects)

    def broken_rows(self, rows: pd.DataFrame, spec: TableSpec) -> pd.DataFrame:
        """Which rows may not be stored, as `contract.broken_rows` tells them."""
        return broken_rows(rows, spec)

    def record(self, context: dg.OutputContext, transaction: Transaction, written: Written) -> None:
        """Ledger, quarantine, sources and dirty days, before the commit of the rows they speak of.

        Raises:
            LedgerNotClosed: the accounts do not add up, so nothing is committed.
        """
        write, spec = written.write, written.table_slice.spec
        if not isinstance(write, LedgerWrite) or write.accounts is None or write.rejects is None:
            raise ContractBroken(f"{spec.qualified}: a slice without accounts reached the ledger")
        entries = entries_of(write.accounts, written.write.rows, written.changes, spec)
        ledger.require_closed(entries, spec)
        days = _days(written.table_slice)
        units = None if write.units is None else tuple(map(str, write.units))
        scope = Scope(table_name=spec.qualified, days=days, units=units)
        changed = written.changes.days | _recounted(transaction, scope, entries)
        statements = [
            *ledger.enter(scope, context.run_id, entries),
            *ledger.put_aside(scope, context.run_id, write.rejects),
            *_debts(write, scope, context.run_id),
        ]
        if write.sources:
            statements.append(sources.keep(write.sources))
        if stale := _stale(changed, spec):
            statements.append(dirty_days.mark(stale, by=spec.qualified))
        if units is None and (answered := self._answered(context, days)):
            statements.append(dirty_days.clear(spec.qualified, answered))
        for statement in statements:
            transaction.execute(statement)

    def record_stream(
        self,
        context: dg.OutputContext,
        transaction: Transaction,
        table_slice: TableSlice,
        write: BatchWrite,
        streamed: Streamed,
    ) -> None:
        """What a file's rows bring along; see `file_loads.record`."""
        if not isinstance(write, FileLoad):
            raise ContractBroken(f"{table_slice.spec.qualified}: batches without an account reached the ledger")
        file_loads.record(transaction, write, streamed, context.run_id)

    def _answered(self, context: dg.OutputContext, days: tuple[date, ...] | None) -> dict[date, int]:
        """The versions this attempt saw before it read, of the days it writes (None: all)."""
        seen = _SEEN.get(_step(context))
        marks = seen.versions if seen else {}
        return {day: version for day, version in marks.items() if days is None or day in days}


@dataclass(frozen=True)
class _Seen:
    """What a step's attempt saw before it read; a retry reads again, so it answers other versions."""

    attempt: int
    versions: Mapping[date, int]


_SEEN: dict[tuple[str, str], _Seen] = {}
"""By run and step. Of the process and not of an IO manager: an input is loaded by the one that wrote it, the output is
written by the step's own, and the two may be different ones."""


def _tell_not_written(context: dg.OutputContext, days: Collection[date]) -> None:
    """Dagster takes every partition of the run for materialized: these say that they are as they were."""
    keys = set(context.asset_partition_keys) if context.has_asset_partitions else set()
    for key in sorted(keys.intersection(day.isoformat() for day in days)):
        told = "not written: rules hold the day back upstream; it is computed when their verdict turns"
        context.step_context.add_asset_metadata({"held_back": told}, partition_key=key)


def _within(write: SliceWrite, window: Window, spec: TableSpec) -> SliceWrite:
    """The part of the slice inside a window, with what is told of its days."""
    inside = window.holds(write.rows[spec.time_column or ""], spec.closed)
    part = replace(write, rows=write.rows[inside].reset_index(drop=True), window=window)
    if isinstance(part, LedgerWrite):
        accounts, rejects = (held_upstream.of_days(told, window) for told in (part.accounts, part.rejects))
        return replace(part, accounts=accounts, rejects=rejects)
    return part


def _debts(write: LedgerWrite, scope: Scope, run_id: str) -> list[sa.Executable]:
    """Notes what is missing of the slice, or that nothing is: in the transaction of its rows, so that a run that is
    killed leaves neither without the other, and failures in a row are counted on."""
    error = write.still_owed
    if error is None:
        return [sources.settle_failures(scope)]
    waits, days = sources.PART_WAITS, scope.days or ()
    return [
        sources.owe(scope.table_name, unit, days, error, is_transient=True, run_id=run_id, waits=waits)
        for unit in scope.units or ()
    ]


def _consumer(context: dg.InputContext) -> str | None:
    """The table of the asset that reads; None for a reader without a table, e.g. a check."""
    assets = context.step_context.assets_def
    names = [".".join(key.path) for key in assets.keys] if assets else []
    return names[0] if len(names) == 1 and names[0] in TABLES else None


def _step(context: dg.InputContext | dg.OutputContext) -> tuple[str, str]:
    return context.step_context.run_id, context.step_context.step.key


def _days(table_slice: TableSlice) -> tuple[date, ...] | None:
    """The UTC days that lie wholly in the slice; None if it has no bounds in time."""
    windows = [part.window for part in table_slice.parts]
    if not all(windows):
        return None
    return tuple(
        day for window in windows if window for day in window.days() if window.covers(Window.of_days(day, day))
    )


def _recounted(transaction: Transaction, scope: Scope, entries: pd.DataFrame) -> set[date]:
    """Rows may stay the same while the account of them changes, as by one more line that cannot be read."""
    return set(transaction.fetch(ledger.recounted(scope, entries)).column("day").to_pylist())


def _stale(changed: set[date], spec: TableSpec) -> set[tuple[str, date]]:
    today = datetime.now(UTC).date()
    return {item for day in changed for item in stale_after(spec.qualified, day, today=today)}


def _described(dataset: Dataset | SourceDataset, source_kind: str) -> runs.Described:
    """A dataset that does not arrive in files, in the catalog's words."""
    return runs.Described(
        dataset=dataset.name,
        description=dataset.description,
        source_kind=source_kind,
        mode=None,
        tables=[spec.qualified for spec in TABLES.values() if spec.dataset == dataset.name],
        is_declared=True,
    )
