"""Loading one file: everything that is written in the transaction of its rows.

Belongs here: `FileLoad`, and the statements around its rows. Does not belong here: reading the file
(`resources/landing/preparation.py`), the rows themselves (`resources/timescale/streaming.py`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pandas as pd
import pyarrow as pa

from resources.catalog import dirty_days, file_findings, file_questions, ledger, registry, runs
from resources.catalog.file_findings import Findings
from resources.catalog.files import KnownFile, superseded
from resources.catalog.ledger import Scope
from resources.catalog.registry import Version
from resources.catalog.runs import Described
from resources.timescale import sql
from resources.timescale.capabilities import read_capabilities
from resources.timescale.resource import TimescaleResource, Transaction
from resources.timescale.slices import BatchWrite
from resources.timescale.streaming import Streamed, replace_slice
from resources.timescale.table_slice import TableSlice
from resources.timescale.tables import ensure, retype
from schemas.catalog import QUARANTINE
from schemas.table_spec import TableSpec
from schemas.tables import stale_after, stale_by_event
from schemas.window import Window

REJECT_SCHEMA = pa.schema(
    [
        ("table_name", pa.string()),
        ("day", pa.date32()),
        ("unit", pa.string()),
        ("rule", pa.string()),
        ("reason", pa.string()),
        ("raw", pa.string()),
        ("source_id", pa.int64()),
        ("line_no", pa.int64()),
        ("run_id", pa.string()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class FileLoad(BatchWrite):
    """The rows of one file, replacing those it had before, and all there is to say of it."""

    file: KnownFile
    spec: TableSpec
    read: int
    """Records in the file, counted by its reader."""
    rejects: Iterable[pa.RecordBatch]
    """What was put aside: columns line_no, raw, rule, reason."""
    findings: Findings
    described: Described
    version: Version
    """Of the dataset's schema: that of the file's columns, entered with its rows if it is new."""

    @property
    def day(self) -> date:
        """UTC day of arrival: the partition."""
        return self.file.arrived_on


def write(timescale: TimescaleResource, load: FileLoad, *, run_id: str) -> Streamed:
    """Loads a file into a table that no IO manager knows, with the columns the file needs beside those it had.

    Raises:
        ContractBroken, LedgerNotClosed: nothing of the file is written.
    """
    spec = load.spec
    with timescale.connect() as connection:
        capabilities = read_capabilities(connection)
        retype(connection, spec)
        ensure(connection, spec, capabilities)
    table_slice = TableSlice.of_window(spec, Window.of_days(load.day, load.day), [load.file.id])
    with timescale.transaction() as transaction:
        for statement in sql.lock_slice(table_slice):
            transaction.execute(statement)
        streamed = replace_slice(transaction, table_slice, load.batches)
        record(transaction, load, streamed, run_id)
    return streamed


def record(transaction: Transaction, load: FileLoad, streamed: Streamed, run_id: str) -> None:
    """Ledger, quarantine, schema version, findings, lineage and dirty days of a file whose rows are in the table.

    Raises:
        LedgerNotClosed: rows loaded and put aside are not the records that were read; nothing is to be committed.
    """
    spec, unit = load.spec, str(load.file.id)
    scope = Scope(table_name=spec.qualified, days=(load.day,), units=(unit,))
    entries = _entries(load, streamed)
    ledger.require_closed(entries, spec)
    recounted = bool(transaction.fetch(ledger.recounted(scope, entries)).num_rows)
    for statement in (*ledger.enter(scope, run_id, entries), *ledger.put_aside(scope, run_id, _no_rejects())):
        transaction.execute(statement)
    transaction.copy(QUARANTINE, pa.RecordBatchReader.from_batches(REJECT_SCHEMA, _rejects(load, run_id)))
    transaction.execute(registry.enter(load.version))
    beside = superseded(load.file.dataset, beside=load.file.id)
    before = set(transaction.fetch(beside).column("id").to_pylist())
    for statement in file_findings.finish(load.file.id, load.findings, run_id=run_id):
        transaction.execute(statement)
    after = set(transaction.fetch(beside).column("id").to_pylist())
    source = f"file:{load.file.dataset}/{load.file.file_name}"
    transaction.execute(runs.describe(load.described, schema_version=load.version.version))
    transaction.execute(runs.draw([(source, spec.qualified)], kind="file", dataset=load.file.dataset, run_id=run_id))
    touched = streamed.days if recounted else streamed.changed_days
    if touched and spec.has_rivals:
        rivals = sql.rival_days(TableSlice.of_window(spec, Window.of_days(load.day, load.day), [load.file.id]))
        touched |= set(transaction.fetch(rivals).column("day").to_pylist())
    if turned := before ^ after:
        # The rows of the files it replaces stay where they are, and count no more.
        found = transaction.fetch(file_questions.event_days(turned))
        touched |= set(map(date.fromisoformat, found.column("day").to_pylist()))
    stale = stale_days(spec, touched)
    if touched or recounted:
        stale |= set(stale_after(spec.qualified, load.day, today=datetime.now(UTC).date()))
    if stale:
        transaction.execute(dirty_days.mark(stale, by=spec.qualified))


def stale_days(spec: TableSpec, event_days: Iterable[date]) -> set[tuple[str, date]]:
    """The days of other tables that change with staged rows about these days."""
    today = datetime.now(UTC).date()
    return {item for day in event_days for item in stale_by_event(spec.qualified, day, today=today)}


def _entries(load: FileLoad, streamed: Streamed) -> pd.DataFrame:
    kept = min(streamed.rows, streamed.rows_before)
    is_same = not streamed.changed_days
    entry = {
        "day": load.day,
        "unit": str(load.file.id),
        "read": load.read,
        "loaded": streamed.rows,
        "duplicate": 0,
        "quarantined": load.findings.rejected_rows,
        "filtered": 0,
        "written": streamed.rows,
        "inserted": streamed.rows - kept,
        "changed": 0 if is_same else kept,
        "vanished": streamed.rows_before - kept,
        "known_at": load.file.arrived_at,
    }
    return pd.DataFrame([entry])


def _no_rejects() -> pd.DataFrame:
    """The scope's old rejects go by statement, the new ones come by COPY: there may be millions."""
    return pd.DataFrame(columns=["day", "unit", "rule", "reason", "raw", "source_id", "line_no"])


def _rejects(load: FileLoad, run_id: str) -> Iterator[pa.RecordBatch]:
    for batch in load.rejects:
        rows = batch.num_rows
        columns = {
            "table_name": pa.repeat(load.spec.qualified, rows),
            "day": pa.repeat(pa.scalar(load.day, pa.date32()), rows),
            "unit": pa.repeat(str(load.file.id), rows),
            "source_id": pa.repeat(pa.scalar(load.file.id, pa.int64()), rows),
            "run_id": pa.repeat(run_id, rows),
            **{name: batch.column(name) for name in ("rule", "reason", "raw", "line_no")},
        }
        arrays = [columns[field.name].cast(field.type) for field in REJECT_SCHEMA]
        yield pa.RecordBatch.from_arrays(arrays, schema=REJECT_SCHEMA)
