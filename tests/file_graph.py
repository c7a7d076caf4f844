"""The datasets that arrive in files, on a database and a landing folder of a test's own, run in the test's process.

Belongs here: dropping files, running what the sensors would ask for, looking at what came of it, and the invariants
that hold after whatever happened. Does not belong here: expectations of single tests.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import sqlalchemy as sa

from assets_pkg.file_sensor import UNDECLARED
from assets_pkg.planning import DayRange, stale_work
from assets_pkg.runs import asset_key, range_tags
from resources.landing.samples.truth import SampleFile
from resources.timescale import sql
from resources.timescale.slices import TableReader
from resources.timescale.table_slice import TableSlice
from schemas.catalog import DIRTY_DAYS, LEDGER, QUARANTINE
from schemas.catalog_files import BAD_CELLS, FILE_METADATA, FILE_NAMES, SKIPPED_LINES
from schemas.file_datasets import file_datasets
from schemas.file_tables import tables_of
from schemas.table_spec import TableSpec
from schemas.tables import TABLES
from tests.graph import Graph


class FileGraph(Graph):
    """The product with its landing folder."""

    def __init__(self, url: str, folder: Path, instance: dg.DagsterInstance, **landing: Any) -> None:
        super().__init__(url, folder, instance=instance, landing=landing)
        self.root = folder / "files"
        self.landing.zone()

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
        keys = [seen.key for seen in self.landing.zone().look(dataset).files]
        given: dict[str, Any] = {"keys": keys or ["-"]} if config is None else config
        table = tables_of(dataset).staging.qualified if dataset in file_datasets() else UNDECLARED
        if table == UNDECLARED:
            given = given | {"dataset": dataset}
        today = datetime.now(UTC).date()
        return self.run(today, tables=[table], config={"ops": {table.replace(".", "__"): {"config": given}}})

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
        """What holds whatever happened: the ledger adds up, numbers agree, bytes are kept, rows have a source."""
        self._require_closed_ledger()
        for file in self.catalog_files():
            self._require_bytes(file)
            if file["ingestion_status"] in ("loaded", "archived"):
                self._require_numbers(file)

    def _require_closed_ledger(self) -> None:
        with self.connect() as connection:
            open_ones = connection.execute(sa.select(sa.func.count()).where(~LEDGER.c.is_closed)).scalar_one()
        assert open_ones == 0, "I1: read = loaded + duplicate + quarantined + filtered"

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
        assert rows["line_no"].is_unique, "I5: one row, one line"
        assert rows["line_no"].between(1, max(file["lines"], 1)).all(), "I5"
        assert not set(rows["line_no"]) & self.put_aside_lines(file["id"]), "no line has two fates"

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
