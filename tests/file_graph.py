"""The datasets that arrive in files, on a database and a landing folder of a test's own, run in the test's process.

Belongs here: dropping files, running what the sensors would ask for, looking at what came of it, and the invariants
that hold after whatever happened. Does not belong here: expectations of single tests.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import sqlalchemy as sa

from assets_pkg.intake.intake import NOTHING_NEW
from assets_pkg.planning import DayRange, stale_work
from resources.catalog.files import Arrival
from resources.landing.samples.truth import SampleFile
from resources.timescale import sql
from resources.timescale.slices import TableReader
from resources.timescale.table_slice import TableSlice
from schemas.catalog import DIRTY_DAYS, LEDGER, METADATA, QUARANTINE
from schemas.catalog_files import (
    BAD_CELLS,
    DATA_QUALITY_METRICS,
    FILE_METADATA,
    FILE_NAMES,
    SKIPPED_LINES,
    VISIBLE,
    Status,
)
from schemas.declared_files import UNDECLARED, file_datasets
from schemas.file_tables import tables_of
from schemas.table_spec import TableSpec
from schemas.tables import TABLES
from tests.graph import Graph, failure_of

SECRET = "planted-Passw0rd"
"""Password of the database where it asks for none."""
Rows = tuple[str, date, int]
"""Table, day of arrival and file of some rows."""


class FileGraph(Graph):
    """The product with its landing folder."""

    def __init__(self, url: str, folder: Path, instance: dg.DagsterInstance, **landing: Any) -> None:
        parsed = sa.make_url(url)
        self.secret = str(parsed.password or SECRET)
        url = parsed.set(password=self.secret).render_as_string(hide_password=False)
        super().__init__(url, folder, instance=instance, landing=landing)
        self.root = folder / "files"
        self.landing.zone()

    def run(self, first: date, last: date | None = None, **options: Any) -> dg.ExecuteInProcessResult:
        """As `Graph.run`; rows of other partitions stay as they are."""
        others = {rows: digest for rows, digest in self.digests().items() if not first <= rows[1] <= (last or first)}
        result = super().run(first, last, **options)
        after = self.digests()
        assert {rows: after.get(rows) for rows in others} == others, "I6: no row of another partition changes"
        return result

    def drop(self, dataset: str, name: str, content: bytes) -> Path:
        """Puts a file into the dataset's landing folder."""
        path = self.root / "landing" / dataset / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def take(self, file: SampleFile) -> dg.ExecuteInProcessResult:
        """Drops a sample file and loads it."""
        self.drop(file.dataset, file.name, file.content)
        return self.load(file.dataset)

    def load(self, dataset: str, *, config: dict[str, Any] | None = None) -> dg.ExecuteInProcessResult:
        """The run the landing sensor would ask for: what lies in the dataset's folder, and nothing else."""
        given = {"keys": self.keys(dataset) or [NOTHING_NEW]} if config is None else config
        return self.load_day(datetime.now(UTC).date(), dataset, given)

    def keys(self, dataset: str) -> list[str]:
        """What lies in the dataset's folder, as the sensor names it."""
        return [seen.key for seen in self.landing.zone().look(dataset).files]

    def load_day(self, day: date, dataset: str, config: Mapping[str, Any]) -> dg.ExecuteInProcessResult:
        """A run of the dataset's staging asset on the partition of a day."""
        table = tables_of(dataset).staging.qualified if dataset in file_datasets() else UNDECLARED
        given = dict(config) | ({"dataset": dataset} if table == UNDECLARED else {})
        return self.run(day, tables=[table], config={"ops": {table.replace(".", "__"): {"config": given}}})

    def leave_unfinished(self, dataset: str, name: str, content: bytes, *, days_ago: int) -> date:
        """What a run of that day leaves that is killed once the file is registered; returns the day."""
        self.drop(dataset, name, content)
        zone, at = self.landing.zone(), datetime.now(UTC) - timedelta(days=days_ago)
        (seen,) = (seen for seen in zone.look(dataset).files if seen.path == name)
        snapshot = zone.snapshot(seen)
        os.utime(self.root / snapshot.path, (at.timestamp(), at.timestamp()))
        spec = tables_of(dataset).staging if dataset in file_datasets() else None
        arrival = Arrival(
            dataset=dataset,
            target_table=spec.qualified if spec else f"staging.{dataset}_files",
            file_name=name,
            file_path=f"landing/{dataset}/{name}",
            sha256=snapshot.sha256,
            file_size_bytes=snapshot.size,
            arrived_at=at,
            run_id="killed",
            seen_key=seen.key,
        )
        return self.files.register(arrival, spec).arrived_on

    def settle(self) -> list[tuple[tuple[str, ...], DayRange]]:
        """Computes what is stale until nothing is, as the sensor would; the runs it took."""
        taken = []
        while True:
            marks: dict[str, dict[Any, int]] = {}
            for mark in self.catalog.stale():
                marks.setdefault(mark.table_name, {})[mark.day] = mark.version
            work = stale_work(marks, {}, tuple(TABLES.values()), datetime.now(UTC).date())
            if not work:
                return taken
            for one in work:
                result = self.run(one.days.first, one.days.last, tables=one.tables)
                assert result.success, one
                taken.append((one.tables, one.days))

    def catalog_files(self) -> list[dict[str, Any]]:
        """What the catalog says of every file, in the order they came."""
        with self.connect() as connection:
            query = sa.select(FILE_METADATA).order_by(FILE_METADATA.c.id)
            return [dict(row) for row in connection.execute(query).mappings()]

    def put_aside_lines(self, file_id: int) -> set[int]:
        """Lines of the file that are in quarantine."""
        query = sa.select(QUARANTINE.c.line_no).where(QUARANTINE.c.source_id == file_id)
        with self.connect() as connection:
            return set(connection.execute(query.where(QUARANTINE.c.table_name.like("staging.%"))).scalars())

    def skipped_lines(self, file_id: int) -> set[int]:
        """Lines of the file that hold no record."""
        columns = (SKIPPED_LINES.c.line_no, SKIPPED_LINES.c.line_count)
        query = sa.select(*columns).where(SKIPPED_LINES.c.file_metadata_id == file_id)
        with self.connect() as connection:
            return {first + n for first, count in connection.execute(query) for n in range(count)}

    def nothing_lies_in_landing(self) -> bool:
        """Whether every file has left the landing folder."""
        return not [path for path in (self.root / "landing").rglob("*") if path.is_file()]

    def require_invariants(self) -> None:
        """What holds whatever happened (I6 is asserted by each run)."""
        self._require_closed_ledger()
        files = self.catalog_files()
        for file in files:
            self._require_bytes(file)
            if Status(file["ingestion_status"]) in VISIBLE:
                self._require_numbers(file)
        visible = {file["id"] for file in files if Status(file["ingestion_status"]) in VISIBLE}
        assert {rows[2] for rows in self.digests()} <= visible, "I2: what is not loaded is not there"
        self._require_same_again([file for file in files if file["ingestion_status"] == Status.ARCHIVED])
        self._require_no_secret()

    def digests(self) -> dict[Rows, str]:
        """A hash of the staged rows of each file, whatever their order, by table and day."""
        found: dict[Rows, str] = {}
        with self.connect() as connection:
            if not sa.inspect(connection).has_table(FILE_METADATA.name, schema=FILE_METADATA.schema):
                return found
            for name in connection.execute(sa.select(FILE_METADATA.c.target_table).distinct()).scalars().all():
                schema, _, plain = name.partition(".")
                if not sa.inspect(connection).has_table(plain, schema=schema):
                    continue
                table = sa.Table(plain, sa.MetaData(), schema=schema, autoload_with=connection)
                day = sa.cast(sa.func.timezone("UTC", table.c.arrived_at), sa.Date)
                content = sa.func.sum(sa.func.hash_record_extended(sa.func.row(*table.c), 0))
                query = sa.select(day, table.c.source_id, sa.cast(content, sa.Text)).group_by(day, table.c.source_id)
                found |= {(name, arrived, source): digest for arrived, source, digest in connection.execute(query)}
        return found

    def _require_closed_ledger(self) -> None:
        with self.connect() as connection:
            open_ones = connection.execute(sa.select(sa.func.count()).where(~LEDGER.c.is_closed)).scalar_one()
            query = sa.select(LEDGER.c.table_name, LEDGER.c.day, LEDGER.c.unit).where(LEDGER.c.is_current)
            closed = {(table, day, int(unit)) for table, day, unit in connection.execute(query) if unit.isdigit()}
        assert open_ones == 0, "I1: read = loaded + duplicate + quarantined + filtered"
        assert set(self.digests()) <= closed, "I2: no rows without a closed ledger"

    def _require_bytes(self, file: dict[str, Any]) -> None:
        if file["archive_path"] is None:
            return
        content = (self.root / file["archive_path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file["sha256"], "I4: the bytes kept are those that came"

    def _require_numbers(self, file: dict[str, Any]) -> None:
        rows = self._rows_of(file)
        entry = self._entry_of(file)
        aside = len(self.put_aside_rows(file["id"]))
        assert len(rows) == file["row_count"] == entry["loaded"] == entry["written"], "I7"
        assert aside == file["rejected_rows"] == entry["quarantined"], "I7"
        metrics = self._metrics_of(file)
        assert (metrics["rows_read"], metrics["rows_rejected"]) == (entry["read"], aside), "I7"
        assert rows["line_no"].is_unique, "I5: one row, one line"
        assert rows["line_no"].between(1, max(file["lines"], 1)).all(), "I5"
        assert not set(rows["line_no"]) & self.put_aside_lines(file["id"]), "no line has two fates"

    def _require_same_again(self, files: Sequence[Mapping[str, Any]]) -> None:
        before, stale = self.digests(), self.dirty()
        by_run: dict[tuple[date, str], list[int]] = {}
        for file in files:
            by_run.setdefault((file["arrived_on"], file["dataset"]), []).append(file["id"])
        for (day, dataset), ids in by_run.items():
            result = self.load_day(day, dataset, {"ids": ids})
            assert result.success, failure_of(result)
            read = [file["id"] for file in self.catalog_files() if file["run_id"] == result.run_id]
            assert sorted(read) == sorted(ids), "I3: each file is read again"
        assert self.digests() == before, "I3: read again, a file has the same rows"
        assert self.dirty() == stale, "I3: what is the same again makes nothing stale"

    def _require_no_secret(self) -> None:
        for run in self.instance.get_runs():
            for entry in self.instance.all_logs(run.run_id):
                assert self.secret not in entry.to_json(), f"I8: {entry.user_message}"
        with self.connect() as connection:
            for table in METADATA.sorted_tables:
                if not sa.inspect(connection).has_table(table.name, schema=table.schema):
                    continue
                row = sa.cast(sa.func.row(*table.c), sa.Text)
                query = sa.select(sa.func.count()).select_from(table).where(row.contains(self.secret, autoescape=True))
                assert not connection.execute(query).scalar_one(), f"I8: a secret is in {table.fullname}"

    def put_aside_rows(self, file_id: int) -> Sequence[Any]:
        """The file's rows in quarantine."""
        query = sa.select(QUARANTINE).where(QUARANTINE.c.source_id == file_id)
        with self.connect() as connection:
            return connection.execute(query.where(QUARANTINE.c.table_name.like("staging.%"))).all()

    def bad_cells(self, file_id: int) -> list[tuple[int, str, str, str]]:
        """Cells put aside while their row was loaded: line, column, raw text, rule."""
        columns = (BAD_CELLS.c.line_no, BAD_CELLS.c.column_name, BAD_CELLS.c.raw, BAD_CELLS.c.rule)
        query = sa.select(*columns).where(BAD_CELLS.c.file_metadata_id == file_id).order_by(*columns[:2])
        with self.connect() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def names_of(self, file_id: int) -> set[str]:
        """Every name the file's bytes were dropped under."""
        query = sa.select(FILE_NAMES.c.file_name).where(FILE_NAMES.c.file_id == file_id)
        with self.connect() as connection:
            return set(connection.execute(query).scalars())

    def dirty(self) -> set[tuple[str, Any]]:
        """Stale tables and days."""
        with self.connect() as connection:
            return {tuple(row) for row in connection.execute(sa.select(DIRTY_DAYS.c.table_name, DIRTY_DAYS.c.day))}

    def table(self, spec: TableSpec) -> pd.DataFrame:
        """Everything in the table."""
        return TableReader(self.timescale, TableSlice(spec)).read()

    def _rows_of(self, file: dict[str, Any]) -> pd.DataFrame:
        schema, _, name = file["target_table"].partition(".")
        with self.connect() as connection:
            table = sa.Table(name, sa.MetaData(), schema=schema, autoload_with=connection)
            query = sa.select(table).where(table.c.source_id == file["id"]).order_by(table.c.line_no)
            return pd.DataFrame(connection.execute(query).all(), columns=[column.name for column in table.c])

    def _metrics_of(self, file: dict[str, Any]) -> dict[str, float]:
        query = sa.select(DATA_QUALITY_METRICS.c.metric_name, DATA_QUALITY_METRICS.c.metric_value)
        with self.connect() as connection:
            found = connection.execute(query.where(DATA_QUALITY_METRICS.c.file_metadata_id == file["id"]))
            return {name: value for name, value in found}

    def _entry_of(self, file: dict[str, Any]) -> dict[str, Any]:
        query = sa.select(LEDGER).where(
            LEDGER.c.is_current, LEDGER.c.table_name == file["target_table"], LEDGER.c.unit == str(file["id"])
        )
        with self.connect() as connection:
            return dict(connection.execute(query).mappings().one())


def rows_of_table(graph: FileGraph, spec: TableSpec) -> int:
    """How many rows a table has."""
    with graph.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(sql.table_of(spec))).scalar_one())


def sales_csv(rows: int, *, first: int = 0) -> bytes:
    """A sales file with so many transactions, numbered from `first`."""
    header = "transaction_id,customer_id,product_name,quantity,price,transaction_date,region"
    lines = (f"T{n},C{n % 7},Lamp,{n % 9 + 1},2.50,2026-03-{n % 28 + 1:02d},North" for n in range(first, first + rows))
    return "\n".join([header, *lines, ""]).encode()
