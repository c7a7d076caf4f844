"""The catalog of files as assets and sensors use it.

Belongs here: questions and notes about files in the words of the graph. Does not belong here: statements (`files.py`,
`registry.py`), what is written together with a file's rows (`file_loads.py`).
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime

import dagster as dg
import sqlalchemy as sa

from resources.catalog import dirty_days, file_questions, files, registry
from resources.catalog.file_loads import stale_days
from resources.catalog.files import Arrival, KnownFile
from resources.errors import RejectedFile
from resources.timescale.resource import TimescaleResource, engine_of, translated_sqlalchemy
from schemas.catalog_files import Status
from schemas.schema_versions import Column
from schemas.table_spec import TableSpec
from schemas.window import Window

ASK_EVERY_S = 0.5


class FileCatalog(dg.ConfigurableResource):
    """Which files there are, in which state, with which columns."""

    timescale: dg.ResourceDependency[TimescaleResource]

    @contextmanager
    def alone(self, dataset: str, *, waits: Callable[[], None]) -> Iterator[None]:
        """Keeps other runs from the dataset's files for as long as the block lasts; `waits` is called once if another
        run has them. They are free again when the process that had them ends, however it ends.

        It asks again and again, so that a run that waits can be cancelled.
        """
        engine = engine_of(self.timescale.url()).execution_options(isolation_level="AUTOCOMMIT")
        take = sa.select(sa.func.pg_try_advisory_lock(sa.func.hashtextextended(f"files/{dataset}", 0)))
        with translated_sqlalchemy():
            connection = engine.connect()
        try:
            with translated_sqlalchemy():
                is_told = False
                while not connection.execute(take).scalar_one():
                    if not is_told:
                        waits()
                        is_told = True
                    time.sleep(ASK_EVERY_S)
            yield
        finally:
            connection.invalidate()  # the lock goes with the session, whatever state that is in
            connection.close()

    def register(self, arrival: Arrival, spec: TableSpec | None) -> KnownFile:
        """Notes a file that arrived, as `files.register`. Where bytes that came before come back under a name and so
        replace what had replaced them, the days both are about become stale."""
        with self.timescale.connect() as connection:
            is_known = file_questions.is_known(connection, arrival)
            before = set(connection.execute(files.superseded(arrival.dataset)).scalars()) if is_known else set()
            found = files.register(connection, arrival)
            if spec is not None and is_known:
                after = set(connection.execute(files.superseded(arrival.dataset)).scalars())
                turned = connection.execute(file_questions.event_days(before ^ after)).scalars()
                if stale := stale_days(spec, map(date.fromisoformat, turned)):
                    connection.execute(dirty_days.mark(stale, by=spec.qualified))
            return file_questions.by_id(connection, found.id)

    def set_status(
        self,
        file_id: int,
        status: Status,
        *,
        run_id: str,
        archive_path: str | None = None,
        error: RejectedFile | None = None,
    ) -> None:
        """Brings the file into another state; errors as `files.set_status`."""
        with self.timescale.connect() as connection:
            files.set_status(connection, file_id, status, run_id=run_id, archive_path=archive_path, error=error)

    def of_day(self, dataset: str, day: date) -> list[KnownFile]:
        """The files that arrived on a UTC day."""
        with self.timescale.connect() as connection:
            return files.of_day(connection, dataset, day)

    def between(self, dataset: str, window: Window) -> list[KnownFile]:
        """The files that arrived in `window` (closed left)."""
        with self.timescale.connect() as connection:
            return file_questions.between(connection, dataset, window)

    def unfinished(self) -> dict[str, set[date]]:
        """Per dataset, the days of arrival of files there is work left on."""
        with self.timescale.connect() as connection:
            return file_questions.unfinished(connection)

    def settled(self, keys: Collection[str]) -> set[str]:
        """Which of the files, by `Seen.key`, were archived or refused and need no other run although they lie there."""
        with self.timescale.connect() as connection:
            return file_questions.settled(connection, keys)

    def superseded(self, dataset: str) -> set[int]:
        """Ids of files that a newer version of each of their names stands for."""
        with self.timescale.connect() as connection:
            return set(connection.execute(files.superseded(dataset)).scalars())

    def past_retention(self, dataset: str, before: datetime) -> list[KnownFile]:
        """The files in the archive that arrived before then."""
        with self.timescale.connect() as connection:
            return files.past_retention(connection, dataset, before)

    def columns(self, dataset: str) -> tuple[Column, ...]:
        """The columns of the newest version of the dataset's schema; none before its first file."""
        with self.timescale.connect() as connection:
            version = registry.current(connection, dataset)
            return version.columns if version else ()

    def planned_version(self, dataset: str, columns: Sequence[Column], file_id: int) -> registry.Version:
        """The version of the schema these columns are, or will be once the file is loaded, as `registry.planned`."""
        with self.timescale.connect() as connection:
            return registry.planned(connection, dataset, columns, file_id)

    def rendered(self, dataset: str) -> list[KnownFile]:
        """Files of a dataset nobody declared to read again, as `file_questions.rendered`."""
        with self.timescale.connect() as connection:
            return file_questions.rendered(connection, dataset)

    def datasets(self) -> list[str]:
        """Names of all datasets that ever had a file."""
        with self.timescale.connect() as connection:
            return file_questions.datasets(connection)
