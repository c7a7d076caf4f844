"""The whole graph on a database and an archive of a test's own, run in the test's process.

Belongs here: putting it together, running ranges of it, and looking at what is in the tables. Does not belong here:
expectations.
"""

import gzip
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import sqlalchemy as sa

from assets_pkg.definitions import build_definitions
from assets_pkg.planning import DayRange, stale_work
from assets_pkg.runs import asset_key, range_tags
from resources.alerts.resource import AlertsResource
from resources.catalog.file_catalog import FileCatalog
from resources.catalog.io_manager import LedgerIOManager
from resources.catalog.resource import CatalogResource
from resources.catalog.schema import CatalogedTimescale
from resources.feast.io_manager import FeastIOManager
from resources.feast.resource import FeastResource
from resources.landing.resource import LandingResource
from resources.openaq.archive_layout import file_path
from resources.openaq.generator.generate import generate
from resources.openaq.generator.places import DEMO_LOCATIONS, GeneratedLocation
from resources.openaq.resource import OpenAQResource
from resources.sources.resource import SourcesResource
from resources.timescale import sql
from resources.timescale.slices import TableReader
from resources.timescale.table_slice import TableSlice
from resources.tracking import TrackingResource
from resources.wiring import Settings
from schemas.catalog import DIRTY_DAYS, LEDGER, METADATA
from schemas.table_spec import TableSpec
from schemas.tables import AIR_QUALITY_ANOMALIES, OPENAQ_TABLES, TABLES, WATCHED_AIR_QUALITY

NEPAL, NEW_YORK, GUADALAJARA, PARIS = (DEMO_LOCATIONS[number] for number in (0, 1, 2, 5))


class Graph:
    """The product on one database, with its archive in a folder; `openaq` overrides the source, `sources` are the URLs
    of others by dataset."""

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        locations: Sequence[GeneratedLocation] = (NEPAL, GUADALAJARA),
        instance: dg.DagsterInstance | None = None,
        openaq: Mapping[str, Any] | None = None,
        landing: Mapping[str, Any] | None = None,
        sources: Mapping[str, str] | None = None,
    ) -> None:
        self.archive = folder / "archive"
        self.locations = locations
        self.timescale = CatalogedTimescale(database_url=url)
        self.catalog = CatalogResource(timescale=self.timescale)
        options = {
            "mode": "archive",
            "listed_locations": [place.id for place in locations],
            "archive_url": str(self.archive),
            "raw_url": str(folder / "raw"),
        }
        self.openaq = OpenAQResource(timescale=self.timescale, **(options | dict(openaq or {})))
        self.landing = LandingResource(
            **({"url": str(folder / "files"), "work_dir": str(folder / "work"), "quiet_s": 0} | dict(landing or {}))
        )
        self.files = FileCatalog(timescale=self.timescale)
        self.feast = FeastResource(timescale=self.timescale, home=str(folder))
        self.sources = SourcesResource(timescale=self.timescale, urls=dict(sources or {}))
        self.alerts = AlertsResource(timescale=self.timescale)
        self.resources: dict[str, Any] = {
            "timescale": self.timescale,
            "catalog": self.catalog,
            "openaq": self.openaq,
            "io_manager": LedgerIOManager(timescale=self.timescale),
            "feast": self.feast,
            "feast_io_manager": FeastIOManager(timescale=self.timescale, feast=self.feast),
            "landing": self.landing,
            "files": self.files,
            "sources": self.sources,
            "alerts": self.alerts,
            "tracking": TrackingResource(),
        }
        self.instance = instance or dg.DagsterInstance.ephemeral()
        checks = dg.define_asset_job(
            "every_check", dg.AssetSelection.checks_for_assets(*(asset_key(table) for table in OPENAQ_TABLES))
        )
        self.definitions = dg.Definitions.merge(
            build_definitions(self.resources, Settings(_env_file=None)), dg.Definitions(jobs=[checks])
        )
        self._job = self.definitions.resolve_implicit_global_asset_job_def()

    def generate(self, first: date, last: date, **options: Any) -> Any:
        """Writes the archive's files of the local days and returns the truth about them."""
        return generate(self.archive, locations=self.locations, first_day=first, last_day=last, seed=3, **options)

    def file(self, location_id: int, local_day: date) -> Path:
        """A file of the archive."""
        return self.archive / file_path(location_id, local_day)

    def run(
        self,
        first: date,
        last: date | None = None,
        *,
        tables: Sequence[str] = tuple(OPENAQ_TABLES),
        as_day: bool = False,
        config: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """One run of the days `first` to `last`, as a range, or as the single partition `first`."""
        cut = {"dagster/partition": first.isoformat()} if as_day else range_tags(DayRange(first, last or first))
        return self._job.execute_in_process(
            instance=self.instance,
            asset_selection=[asset_key(table) for table in tables],
            tags=cut | dict(tags or {}),
            run_config=dict(config or {}),
            raise_on_error=False,
        )

    def check(self) -> dg.ExecuteInProcessResult:
        """Only the checks, by themselves, as the UI's button starts them: of all there is."""
        job = self.definitions.resolve_job_def("every_check")
        return job.execute_in_process(instance=self.instance, raise_on_error=False)

    def connect(self) -> AbstractContextManager[sa.Connection]:
        """A connection to the database."""
        return self.timescale.connect()

    def rows(self, spec: TableSpec) -> pd.DataFrame:
        """Everything in the table, hidden or not."""
        return TableReader(self.timescale, TableSlice(spec)).read()

    def digest(self, *, without: Sequence[str] = ()) -> dict[str, str]:
        """Per table, a hash of all its rows, but for the columns `without`."""
        return {
            name: _digest(self.rows(spec).drop(columns=list(without), errors="ignore"))
            for name, spec in OPENAQ_TABLES.items()
        }

    def dirty(self) -> dict[str, set[date]]:
        """Per table, its stale days."""
        found: dict[str, set[date]] = {}
        for mark in self.catalog.stale():
            found.setdefault(mark.table_name, set()).add(mark.day)
        return found

    def forget_dirty_days(self) -> None:
        """Clears the table, so that a test sees what comes next."""
        with self.connect() as connection:
            connection.execute(sa.delete(DIRTY_DAYS))

    def settle(self, last: date) -> None:
        """Has everything that is stale up to `last` computed, as the sensor would; later days have no data. Anomalies
        look back further than all else, so their days may lie behind it."""
        judged = last + WATCHED_AIR_QUALITY.reach
        while True:
            marks: dict[str, dict[date, int]] = {}
            for mark in self.catalog.stale():
                if mark.day <= (judged if mark.table_name == AIR_QUALITY_ANOMALIES.qualified else last):
                    marks.setdefault(mark.table_name, {})[mark.day] = mark.version
            work = stale_work(marks, {}, tuple(OPENAQ_TABLES.values()), judged, self.catalog.held_back())
            if not work:
                return
            for one in work:
                assert self.run(one.days.first, one.days.last, tables=one.tables).success

    def erase(self) -> None:
        """Empties every table of OpenAQ, so that a test can begin again."""
        self.erase_tables(tuple(OPENAQ_TABLES))

    def erase_tables(self, names: Sequence[str]) -> None:
        """Empties the catalog and the named tables."""
        with self.connect() as connection:
            for table in (*METADATA.sorted_tables, *(sql.table_of(TABLES[name]) for name in names)):
                connection.execute(sa.delete(table))

    def ledger(self, spec: TableSpec) -> pd.DataFrame:
        """The current ledger entries of the table, indexed by day and unit."""
        query = sa.select(LEDGER).where(LEDGER.c.is_current, LEDGER.c.table_name == spec.qualified)
        with self.connect() as connection:
            found = connection.execute(query.order_by(LEDGER.c.day, LEDGER.c.unit))
            return pd.DataFrame(found.all(), columns=list(found.keys())).set_index(["day", "unit"])


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """The messages of the run's failed steps."""
    events = [event for event in result.all_events if event.is_step_failure]
    return "\n".join(str(event.step_failure_data.error_display_string) for event in events)


def retries_of(result: dg.ExecuteInProcessResult) -> int:
    """How often a step of the run was tried again."""
    return sum(event.event_type == dg.DagsterEventType.STEP_UP_FOR_RETRY for event in result.all_events)


def checks_of(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """The run's checks, `asset.check` -> passed."""
    return {
        f"{found.asset_key.path[-1]}.{found.check_name}": found.passed for found in result.get_asset_check_evaluations()
    }


def read_lines(file: Path) -> list[str]:
    """The lines of a `.csv.gz`."""
    return gzip.decompress(file.read_bytes()).decode().splitlines(keepends=True)


def write_lines(file: Path, lines: Sequence[str]) -> None:
    """Replaces a `.csv.gz`."""
    file.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))


def truncate(file: Path) -> bytes:
    """Cuts the file in half; returns what it was."""
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    return whole


def _digest(rows: pd.DataFrame) -> str:
    return hashlib.sha256(rows.to_csv(index=False, float_format="%.17g").encode()).hexdigest()


def blank_lines(files: Iterable[Path], day: date) -> None:
    """Takes the values out of the lines of an archive's files that are about a UTC day."""

    def blanked(line: str) -> str:
        cells = line.rstrip("\n").split(",")
        found = next((cell for cell in cells if cell.strip('"')[:4] == f"{day:%Y}" and "T" in cell), None)
        if found is None:
            return line
        end = datetime.fromisoformat(found.strip('"')).astimezone(UTC) - timedelta(microseconds=1)
        return ",".join([*cells[:-1], '""']) + "\n" if end.date() == day else line

    for file in files:
        write_lines(file, [blanked(line) for line in read_lines(file)])
