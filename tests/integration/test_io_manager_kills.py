"""SIGKILL at every step of a write: the table holds the old slice or the new one, and running again mends all.

The writer that dies is a real process with a real Dagster run; it kills itself inside a `Transaction` of its own, so
the product's code knows nothing of it.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa

from resources.timescale import resource, sql
from resources.timescale.resource import TimescaleResource, Transaction
from schemas.table_spec import TableSpec
from tests.integration.test_timescale_io_manager import (
    COPY,
    DAILY,
    ONE_RUN,
    READINGS,
    ReadingsIOManager,
    readings,
    window_of,
)

ROOT = Path(__file__).resolve().parents[2]
POINTS = ["before delete", "mid-COPY", "before commit", "after commit"]
COMMITTED = {"after commit"}
DOOMED = "doomed"
BATCH_ROWS = 50


class DoomedTransaction(Transaction):
    """Dies at the given point."""

    point = ""

    def execute(self, statement: sa.Executable) -> None:
        if self.point == "before delete" and isinstance(statement, sa.Delete):
            _die()
        super().execute(statement)

    def copy(self, table: sa.Table, rows: pa.Table | pa.RecordBatchReader) -> None:
        if self.point != "mid-COPY":
            super().copy(table, rows)
            return
        batches = rows.to_batches(max_chunksize=BATCH_ROWS)
        assert len(batches) > 3, "COPY is to be under way when the process dies"

        def half() -> Iterator[pa.RecordBatch]:
            yield from batches[: len(batches) // 2]
            time.sleep(0.2)  # lets what was sent arrive
            _die()

        super().copy(table, pa.RecordBatchReader.from_batches(rows.schema, half()))

    def commit(self) -> None:
        if self.point == "before commit":
            _die()
        super().commit()
        if self.point == "after commit":
            _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def write(url: str, spec: TableSpec, version: str) -> None:
    """A run of three days: `old` fills them; `new` changes the first, leaves the second, drops half of the third."""

    @dg.asset(
        key=["staging", "readings"],
        partitions_def=DAILY,
        metadata={"dagster/table_name": spec.qualified},
        backfill_policy=ONE_RUN,
    )
    def asset(context: dg.AssetExecutionContext) -> pd.DataFrame:
        hours = readings(window_of(context), every_h=1)
        rows = pd.concat([hours.assign(station=station) for station in range(5)], ignore_index=True)
        known_at = {"old": "2024-02-01", "new": "2024-02-02"}[version]
        rows = rows.assign(
            known_at=pd.Series(pd.Timestamp(known_at, tz="UTC"), index=rows.index, dtype=rows["t"].dtype)
        )
        if version == "old":
            return rows
        first, third = (
            rows["t"] <= pd.Timestamp("2024-01-03", tz="UTC"),
            rows["t"] > pd.Timestamp("2024-01-04", tz="UTC"),
        )
        rows["value"] = rows["value"].where(~first, 7.0)
        return rows[~third | (rows["station"] < 2)].reset_index(drop=True)

    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize(
            [asset],
            instance=instance,
            resources={"io_manager": ReadingsIOManager(timescale=TimescaleResource(database_url=url))},
            tags={
                "dagster/asset_partition_range_start": "2024-01-02",
                "dagster/asset_partition_range_end": "2024-01-04",
            },
        )


def write_and_die(url: str, point: str) -> None:
    """What the process that dies does."""
    DoomedTransaction.point = point
    resource.Transaction = DoomedTransaction  # type: ignore[misc]
    write(url, READINGS, "new")


def digest(timescale: TimescaleResource, spec: TableSpec) -> str:
    """All content of a table as one hash, whatever the order of its rows."""
    table = sql.table_of(spec)
    row = sa.cast(sa.func.row(*table.c), sa.Text)
    text = sa.func.string_agg(row, sa.literal("\n")).aggregate_order_by(row)
    with timescale.connect() as connection:
        return str(connection.scalar(sa.select(sa.func.md5(text))))


def left_behind(timescale: TimescaleResource) -> dict[str, int]:
    """Sessions of the dead process, advisory locks of anyone, temporary tables."""
    counts = {
        "sessions": "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'doomed'",
        "locks": "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database"
        " WHERE datname = current_database() AND locktype = 'advisory'",
        "temporary tables": "SELECT count(*) FROM pg_class WHERE relpersistence = 't'",
    }
    with timescale.connect() as connection:
        return {name: int(connection.scalar(sa.text(query)) or 0) for name, query in counts.items()}


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_write_is_mended_by_running_again(database_url: str, timescale: TimescaleResource, point: str) -> None:
    for spec in (READINGS, COPY):
        write(database_url, spec, "old")
    old = digest(timescale, READINGS)
    write(database_url, COPY, "new")
    undisturbed = digest(timescale, COPY)
    assert undisturbed != old

    doomed_url = sa.make_url(database_url).update_query_dict({"application_name": DOOMED})
    program = (
        "import sys; from tests.integration.test_io_manager_kills import write_and_die; write_and_die(*sys.argv[1:])"
    )
    arguments = [doomed_url.render_as_string(hide_password=False), point]
    dead = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert dead.returncode == -signal.SIGKILL, dead.stderr[-2000:]

    deadline = time.monotonic() + 30  # the server notices a dead client when it next talks to it
    while any(left := left_behind(timescale).values()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(left), left_behind(timescale)
    assert digest(timescale, READINGS) == (undisturbed if point in COMMITTED else old)

    write(database_url, READINGS, "new")
    assert digest(timescale, READINGS) == undisturbed
