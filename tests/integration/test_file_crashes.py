"""SIGKILL at every step of a file's way, and runs that meet: the next run leaves what an undisturbed one leaves.

The run that dies is a real process with a real Dagster run; it kills itself inside a step that is wrapped, so the
product's code knows nothing of it. What to do then the sensor says, from the database and the landing folder alone.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
import sqlalchemy as sa

from resources.catalog.file_catalog import FileCatalog
from resources.errors import DatabaseUnavailable
from resources.landing import preparation, row_batches
from resources.landing.places import folder_draft
from resources.landing.zone import LandingZone
from resources.timescale import resource, sql
from resources.timescale.resource import Transaction
from schemas.catalog import METADATA
from schemas.catalog_files import FILE_METADATA, Status
from schemas.file_tables import tables_of
from tests.file_graph import FileGraph, sales_csv
from tests.file_processes import CONTEXT, die, finish, load, start
from tests.graph import failure_of, retries_of
from tests.integration.test_sensors import asked, tick, work_off

TODAY = datetime.now(UTC).date()
STAGING = tables_of("sales").staging
ROWS = 500
BATCH_ROWS = 50
KILLED = -9
DIRTY = (b"broken line\n" + b"T9,C9,Lamp,many,2.50,2026-03-01,North\n") * 3
CONTENT = sales_csv(ROWS) + DIRTY


def after(owner: Any, name: str) -> None:
    """Death as soon as the method has done its work."""
    method = getattr(owner, name)

    def doomed(*arguments: Any, **options: Any) -> Any:
        method(*arguments, **options)
        die()

    setattr(owner, name, doomed)


def before(owner: Any, name: str, *, when: Any = lambda *_: True) -> None:
    """Death on the way into the method."""
    method = getattr(owner, name)

    def doomed(*arguments: Any, **options: Any) -> Any:
        if when(*arguments):
            die()
        return method(*arguments, **options)

    setattr(owner, name, doomed)


class DoomedTransaction(Transaction):
    """Dies at the given point of the transaction of a file's rows."""

    point = ""
    _holds_rows = False

    def copy(self, table: sa.Table, rows: pa.Table | pa.RecordBatchReader) -> None:
        self._holds_rows |= table.name == STAGING.name
        if self.point == "mid-COPY" and table.name == STAGING.name:
            rows = pa.RecordBatchReader.from_batches(rows.schema, self._half(rows))
        super().copy(table, rows)

    def _half(self, rows: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        for number, batch in enumerate(rows):
            if number == ROWS // BATCH_ROWS // 2:
                time.sleep(0.2)  # lets what was sent arrive
                die()
            yield batch

    def commit(self) -> None:
        if self._holds_rows and self.point == "before commit":
            die()
        super().commit()
        if self._holds_rows and self.point == "after commit":
            die()


POINTS = {
    "while it is copied": lambda: before(folder_draft.FolderDraft, "keep"),
    "after the snapshot": lambda: after(LandingZone, "snapshot"),
    "after it was registered": lambda: after(FileCatalog, "register"),
    "while it is read": lambda: before(preparation, "cast"),
    "mid-COPY": lambda: None,
    "before commit": lambda: None,
    "after commit": lambda: None,
    "archived, not yet let go": lambda: before(LandingZone, "_let_go"),
    "half let go": lambda: before(os, "unlink", when=lambda path, *_: str(path).endswith(".leaving")),
    "after archive, before status": lambda: after(LandingZone, "archive"),
}
LOADED_BY_THEN = {"after commit", "archived, not yet let go", "half let go", "after archive, before status"}


def load_and_die(url: str, folder: Path, point: str) -> None:
    """What the process that dies does."""
    DoomedTransaction.point = point
    resource.Transaction = DoomedTransaction  # type: ignore[misc]
    preparation.PIECE_ROWS = row_batches.BATCH_ROWS = BATCH_ROWS
    POINTS[point]()
    load(url, folder, "sales")


@pytest.fixture
def graph(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileGraph]:
    monkeypatch.setattr("assets_pkg.planning.is_due", lambda *_: True)
    with dg.DagsterInstance.ephemeral() as instance:
        yield FileGraph(postgres_url, tmp_path, instance)


def digest(graph: FileGraph) -> dict[str, Any]:
    """All that a run leaves of today's files but when, under which number and how fast."""
    rows = graph.table(STAGING).drop(columns=["source_id", "arrived_at", "known_at"])
    passing = {"id", "arrived_at", "archive_path", "processing_duration_seconds", "run_id", "created_at", "changed_at"}
    passing |= {"schema_version_id", "previous_status"}
    files = graph.catalog_files()
    aside = [row for file in files for row in graph.put_aside_rows(file["id"])]
    return {
        "rows": hashlib.sha256(rows.to_csv(index=False).encode()).hexdigest(),
        "files": [{key: value for key, value in file.items() if key not in passing} for file in files],
        "put aside": sorted((row.line_no, row.rule, row.raw) for row in aside),
        "stale": graph.dirty(),
    }


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def forget(graph: FileGraph) -> None:
    """As if nothing had ever come."""
    with graph.connect() as connection:
        for table in reversed(METADATA.sorted_tables):
            connection.execute(sa.delete(table))
        connection.execute(sa.delete(sql.table_of(STAGING)))
    for area in ("archive", "processing"):
        shutil.rmtree(graph.root / area)


def left_behind(graph: FileGraph) -> dict[str, int]:
    """Locks of anyone, temporary tables, transactions under way."""
    counts = {
        "locks": "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database"
        " WHERE datname = current_database() AND locktype = 'advisory'",
        "temporary tables": "SELECT count(*) FROM pg_class WHERE relpersistence = 't'",
        "transactions": "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND state LIKE '%in transaction%' AND pid <> pg_backend_pid()",
    }
    with graph.connect() as connection:
        return {name: int(connection.scalar(sa.text(query)) or 0) for name, query in counts.items()}


@pytest.mark.parametrize("point", POINTS)
def test_a_run_that_is_killed_is_completed_by_the_next_one_the_sensor_asks_for(
    graph: FileGraph, postgres_url: str, point: str
) -> None:
    graph.drop("sales", "a.csv", CONTENT)
    assert graph.load("sales").success
    undisturbed = digest(graph)
    forget(graph)

    graph.drop("sales", "a.csv", CONTENT)
    assert finish(start(load_and_die, postgres_url, graph.root.parent, point)) == KILLED
    deadline = time.monotonic() + 30  # the server notices a dead client when it next talks to it
    while any(left_behind(graph).values()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(left_behind(graph).values()), left_behind(graph)
    assert len(graph.table(STAGING)) == (ROWS if point in LOADED_BY_THEN else 0)
    kept = [path for area in ("landing", "archive", "processing") for path in (graph.root / area).rglob("*")]
    assert CONTENT in [path.read_bytes() for path in kept if path.is_file()], "no byte is lost at any time"

    seen = tick(graph, "landing_files")
    request = tick(graph, "landing_files", seen.cursor)
    assert asked(request) == {((STAGING.qualified,), TODAY, TODAY)}
    work_off(graph, request)

    assert digest(graph) == undisturbed
    assert [file["ingestion_status"] for file in graph.catalog_files()] == [Status.ARCHIVED]
    assert graph.nothing_lies_in_landing()
    assert not files_in(graph.root / "processing")
    assert not any(left_behind(graph).values())
    assert not tick(graph, "landing_files", request.cursor).run_requests
    graph.require_invariants()
    assert not files_in(graph.root.parent / "work"), "who reads a file clears what dead ones left of theirs"


def test_a_connection_lost_mid_copy_is_mended_by_the_retry_of_the_same_run(
    graph: FileGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dg.RetryPolicy, "calculate_delay", lambda *_: 0)
    copy, lost = Transaction.copy, []

    def lose_once(self: Transaction, table: sa.Table, rows: Any) -> None:
        copy(self, table, rows)
        if not lost:
            lost.append(table.name)
            raise DatabaseUnavailable("the server went away")

    monkeypatch.setattr(Transaction, "copy", lose_once)
    graph.drop("sales", "a.csv", CONTENT)
    result = graph.load("sales")
    assert result.success, failure_of(result)
    assert (lost, retries_of(result)) == ([STAGING.name], 1)
    assert len(graph.table(STAGING)) == ROWS
    graph.require_invariants()


@pytest.mark.parametrize("dataset", ["sales", "unheard_of"])
def test_two_runs_that_want_the_same_files_come_to_the_result_of_one(
    graph: FileGraph, postgres_url: str, dataset: str
) -> None:
    for number in range(5):
        graph.drop(dataset, f"{number}.csv", sales_csv(100, first=1000 * number))
    keys = graph.keys(dataset)
    gate = CONTEXT.Barrier(3)
    rivals = [start(load_at_the_gate, postgres_url, graph.root.parent, dataset, keys, gate) for _ in range(3)]
    assert [finish(rival) for rival in rivals] == [0, 0, 0]
    fates = [(file["ingestion_status"], file["row_count"], file["version"]) for file in graph.catalog_files()]
    assert fates == [("archived", 100, 1)] * 5
    assert graph.nothing_lies_in_landing()
    assert not files_in(graph.root / "processing")
    assert not any(left_behind(graph).values())
    graph.require_invariants()


def load_at_the_gate(url: str, folder: Path, dataset: str, keys: list[str], gate: Any) -> None:
    """A run that begins together with the others."""
    with dg.DagsterInstance.ephemeral() as instance:
        graph = FileGraph(url, folder, instance)
        gate.wait(60)
        result = graph.load_day(TODAY, dataset, {"keys": keys})
        assert result.success, failure_of(result)


def test_a_run_of_another_day_of_the_dataset_waits_and_then_reads_its_own(graph: FileGraph, postgres_url: str) -> None:
    day = graph.leave_unfinished("sales", "old.csv", sales_csv(100), days_ago=1)
    graph.drop("sales", "new.csv", sales_csv(100, first=500))
    with graph.files.alone("sales", waits=lambda: pytest.fail("nobody else is here")):
        rival = start(load, postgres_url, graph.root.parent, "sales")
        rival.join(8)
        assert rival.is_alive(), "it waits"
        with graph.connect() as connection:
            statuses = connection.execute(sa.select(FILE_METADATA.c.ingestion_status)).scalars().all()
        assert statuses == [Status.NEW]
    assert finish(rival) == 0
    assert graph.load_day(day, "sales", {"keys": ["-"]}).success
    assert {file["ingestion_status"] for file in graph.catalog_files()} == {"archived"}
    graph.require_invariants()
