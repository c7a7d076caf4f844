"""The way of a file through one run: taken from the landing folder, read, loaded, archived; or refused with a reason.

Belongs here: the order of these steps for the files of one dataset, and what is told of them. Does not belong here:
Dagster's assets (`file_assets.py`), each step (`resources/landing/`, `resources/catalog/`).
"""

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from logging import Logger
from pathlib import Path

from assets_pkg.intake.fates import Fate, schema_change, still_to_do
from assets_pkg.intake.file_findings import findings_of
from assets_pkg.intake.reading import Reading, called_by_name, read_ahead
from assets_pkg.intake.remembered import is_archived, place_of, snapshot_of
from resources.catalog.file_catalog import FileCatalog
from resources.catalog.file_loads import FileLoad
from resources.catalog.files import Arrival, KnownFile
from resources.catalog.runs import Described
from resources.errors import (
    ContractBroken,
    CorruptSource,
    CredentialsRejected,
    LedgerNotClosed,
    RejectedFile,
    SourceChanging,
    SourceUnavailable,
    SourceVanished,
    TidemarkError,
    UnreadAgain,
)
from resources.landing.files_seen import Seen, stable
from resources.landing.names import escaped
from resources.landing.preparation import Declaration, Prepared, prepared
from resources.landing.readers.formats import require_agreement
from resources.landing.resource import LandingResource
from resources.landing.zone import LandingZone, Snapshot
from schemas.catalog_files import VISIBLE, Status
from schemas.window import Window

NOTHING_NEW = "-"
"""Key of no file: a run with it completes what is half done, and takes nothing new."""


@dataclass(kw_only=True)
class Intake:
    """One run's work on the files of one dataset that arrived on the days of `window`."""

    landing: LandingResource
    files: FileCatalog
    declaration: Declaration
    described: Described
    window: Window
    run_id: str
    log: Logger
    keys: Sequence[str] = ()
    """Files to take, as they were seen; empty: all that are whole, and those that arrived before are read again."""
    ids: Sequence[int] = ()
    """Files to read again, and no others; for a replay."""
    fates: list[Fate] = field(default_factory=list)
    _setbacks: list[tuple[str, TidemarkError]] = field(default_factory=list)

    def loads(self) -> Generator[FileLoad]:
        """The files' rows, one file after another; each is archived as soon as its rows are committed.

        One run at a time works on a dataset's files; a second one waits and then takes what is left. One file that is
        refused, or cannot be read now, leaves the others alone.

        Raises:
            TidemarkError: at the end, if work is left on some of the files; a `TransientError` if trying again may
                help, `UnreadAgain` for files that were loaded before and cannot be read any more.
        """
        with self.files.alone(self.declaration.name, waits=self._tell_waiting):
            zone = self.landing.zone()
            sources = self._take(zone)
            queue = self._queue(sources)
            for file in queue:
                if file.status is Status.LOADED:
                    self._archive(zone, file, sources.get(file.id, []))
            unread = [file for file in queue if file.status is not Status.LOADED]
            yield from self._read_and_load(zone, unread, sources)
            if self.declaration.dataset is None:
                yield from self._read_and_load(zone, self.files.rendered(self.declaration.name), {})
        if self._setbacks:
            raise still_to_do(self.declaration.name, self._setbacks)

    def _read_and_load(
        self, zone: LandingZone, files: Sequence[KnownFile], sources: Mapping[int, Sequence[Seen]]
    ) -> Generator[FileLoad]:
        # Where nobody declared the columns, they depend on those of the file before.
        ahead = self.landing.workers if self.declaration.dataset else 1
        for file, opened in read_ahead(files, lambda file: self._read(zone, file), ahead):
            try:
                with opened.result() as reading:
                    load = self._load(file, reading)
                    yield load
                    self._tell_loaded(load, reading.found)
            except RejectedFile as error:
                self._refuse(zone, file, sources.get(file.id, []), error)
            except (SourceUnavailable, CorruptSource, CredentialsRejected, ContractBroken, LedgerNotClosed) as error:
                self._set_back(file.file_name, file.arrived_on, error)
            else:
                self._archive(zone, file, sources.get(file.id, []))

    def _take(self, zone: LandingZone) -> dict[int, list[Seen]]:
        """Copies what lies in the dataset's folder and registers it: per file's id, what lies there of it."""
        sources: dict[int, list[Seen]] = {}
        for seen in self._whole(zone):
            try:
                snapshot = zone.snapshot(seen)
                file = self._registered(seen, snapshot)
            except (SourceVanished, SourceChanging, RejectedFile) as error:
                fate = {SourceVanished: "vanished", SourceChanging: "changing"}.get(type(error), "rejected")
                self._note(Fate(name=seen.path, day=self.window.days()[-1], fate=fate, detail=str(error)))
            except (SourceUnavailable, CredentialsRejected) as error:
                zone.look(self.declaration.name)  # raises where the whole place is away, and not this file alone
                self._set_back(seen.path, self.window.days()[-1], error)
            else:
                sources.setdefault(file.id, []).append(seen)
                if file.status in (Status.ARCHIVED, Status.RETAINED):
                    self._keep_alias(zone, file, seen, snapshot)
        return sources

    def _keep_alias(self, zone: LandingZone, file: KnownFile, seen: Seen, snapshot: Snapshot) -> None:
        """Loaded and archived before: the same bytes again add a name, not a row."""
        day = self.window.days()[-1]
        try:
            path = zone.archive(snapshot, [seen], file.arrived_at)
        except TidemarkError as error:
            self._set_back(seen.path, day, error)
            return
        detail = f"the same bytes as {file.file_name} of {file.arrived_on}, archived as {path}"
        self._note(Fate(name=seen.path, day=day, fate="duplicate", detail=detail))

    def _whole(self, zone: LandingZone) -> list[Seen]:
        """The files to take: those asked for as they were seen, or else all that stand still."""
        if self.ids or datetime.now(UTC).date() not in self.window.days():
            return []
        look = zone.look(self.declaration.name)
        for refused in look.refused:
            self.log.warning(f"{refused.path} is not opened: {refused.reason}")
        if self.keys:
            found = [seen for seen in look.files if seen.key in set(self.keys)]
            self._tell_vanished(set(self.keys) - {seen.key for seen in found} - {NOTHING_NEW})
            return found
        if not look.files:
            return []
        _, sightings = stable(look.files, {}, datetime.now(UTC), quiet=self.landing.quiet)
        time.sleep(self.landing.quiet_s)
        again = zone.look(self.declaration.name).files
        return stable(again, sightings, datetime.now(UTC), quiet=self.landing.quiet)[0]

    def _registered(self, seen: Seen, snapshot: Snapshot) -> KnownFile:
        arrival = Arrival(
            dataset=self.declaration.name,
            target_table=self.described.tables[0],
            file_name=seen.path,
            file_path=f"landing/{seen.folder}/{seen.path}",
            sha256=snapshot.sha256,
            file_size_bytes=snapshot.size,
            arrived_at=snapshot.taken_at,
            run_id=self.run_id,
            seen_key=seen.key,
        )
        return self.files.register(arrival, self.declaration.spec)

    def _queue(self, sources: dict[int, list[Seen]]) -> list[KnownFile]:
        """The files to read, in the order they arrived: those just taken and those a run left half done; without `keys`
        also those loaded before. Files of other days are the matter of a run of those days."""
        queue = []
        for day in self.window.days():
            for file in self.files.of_day(self.declaration.name, day):
                if self.ids:
                    queue += [file] if file.id in self.ids else []
                    continue
                is_new = file.status in (Status.NEW, Status.PROCESSING, Status.VALIDATED)
                is_refused_again = file.status is Status.REJECTED and (file.id in sources or not self.keys)
                is_unfinished = file.status is Status.LOADED
                if is_new or is_refused_again or is_unfinished or (not self.keys and file.status is Status.ARCHIVED):
                    queue.append(file)
        return queue

    def _read(self, zone: LandingZone, file: KnownFile) -> Reading:
        """The file read and typed, in a thread of its own.

        Raises:
            RejectedFile: it is refused as a whole.
            SourceUnavailable, CredentialsRejected: its bytes, or the room to read them, cannot be had now.
            CorruptSource: what was kept of it is gone or was changed.
        """
        started = time.monotonic()
        with called_by_name(file), ExitStack() as stack:
            path = stack.enter_context(self._bytes(zone, file))
            work_dir = stack.enter_context(self.landing.scratch())
            limits = self.landing.limits
            found = stack.enter_context(prepared(path, self._declared(), file.arrived_at, work_dir, limits))
            if found.table.lines:
                require_agreement(file.file_name, found.table.format)
            return Reading(found, time.monotonic() - started, stack.pop_all())

    def _declared(self) -> Declaration:
        """The declaration; where there is none, the columns the dataset has by now."""
        known = () if self.declaration.dataset else self.files.columns(self.declaration.name)
        return replace(self.declaration, known=known)

    def _bytes(self, zone: LandingZone, file: KnownFile) -> AbstractContextManager[Path]:
        """The file's bytes: its snapshot, or what was kept of it; it may be gone where the file was dropped again."""
        if file.archive_path is None or zone.holds(snapshot_of(file)):
            return zone.local_path(snapshot_of(file))
        return zone.fetch_archived(file.archive_path, file.sha256)

    def _load(self, file: KnownFile, reading: Reading) -> FileLoad:
        found = reading.found
        version = self.files.planned_version(self.declaration.name, found.planned.columns, file.id)
        self.files.set_status(file.id, Status.PROCESSING, run_id=self.run_id)
        self.files.set_status(file.id, Status.VALIDATED, run_id=self.run_id)
        for note in found.planned.notes:
            self.log.warning(f"{escaped(file.file_name)}: {escaped(note)}")
        return FileLoad(
            batches=found.batches(file.id, file.arrived_at),
            window=Window.of_days(file.arrived_on, file.arrived_on),
            units=(file.id,),
            file=file,
            spec=found.spec,
            read=found.read,
            rejects=found.rejects(),
            findings=findings_of(found, version.id, reading.seconds),
            described=self.described,
            version=version,
        )

    def _archive(self, zone: LandingZone, file: KnownFile, seen: Sequence[Seen]) -> None:
        """After the commit, never before: the bytes go to the archive, and from where they were dropped. Where that
        fails, the rows stay, and the next run completes it."""
        path = file.archive_path
        if not is_archived(file):
            try:
                path = zone.archive(snapshot_of(file), list(seen) or [place_of(file)], file.arrived_at, refused=path)
            except TidemarkError as error:
                self._set_back(file.file_name, file.arrived_on, error)
                return
        self.files.set_status(file.id, Status.ARCHIVED, run_id=self.run_id, archive_path=path)

    def _refuse(self, zone: LandingZone, file: KnownFile, seen: Sequence[Seen], error: RejectedFile) -> None:
        """The file goes to `rejected/`; one that was loaded before keeps its rows and its place."""
        if file.status in VISIBLE or is_archived(file):
            self._setbacks.append((file.file_name, UnreadAgain(str(error))))
            return
        path = file.archive_path
        if path is None or seen:
            try:
                path = zone.reject(snapshot_of(file), list(seen) or [place_of(file)], file.arrived_at, str(error))
            except TidemarkError as trouble:
                self._set_back(file.file_name, file.arrived_on, trouble)
                return
        if file.status is Status.REJECTED:
            self.files.set_status(file.id, Status.PROCESSING, run_id=self.run_id)  # it was read once more
        self.files.set_status(file.id, Status.REJECTED, run_id=self.run_id, archive_path=path, error=error)
        self._note(Fate(name=file.file_name, day=file.arrived_on, fate="rejected", detail=f"{error.rule}: {error}"))

    def _set_back(self, name: str, day: date, error: TidemarkError) -> None:
        self._setbacks.append((name, error))
        self._note(Fate(name=name, day=day, fate="delayed", detail=str(error)))

    def _tell_waiting(self) -> None:
        self.log.info(f"another run works on the files of {self.declaration.name}: this one waits until it ends")

    def _tell_vanished(self, keys: set[str]) -> None:
        """Files that were asked for and are no more as they were seen; those of a try before are done."""
        if gone := keys - self.files.settled(keys):
            detail = "renamed, deleted or written to since: what lies there is found at the next look"
            day = self.window.days()[-1]
            self._note(Fate(name=f"{len(gone)} file(s) asked for", day=day, fate="vanished", detail=detail))

    def _tell_loaded(self, load: FileLoad, found: Prepared) -> None:
        self._note(
            Fate(
                name=load.file.file_name,
                day=load.day,
                fate="loaded",
                detail=schema_change(load.version, self.described.tables),
                lines=found.table.lines,
                rows=found.rows,
                rejected=found.rejected,
                skipped=sum(one.line_count for one in found.table.skipped),
                event_days=tuple(found.event_days),
            )
        )

    def _note(self, fate: Fate) -> None:
        """What became of a file; of one that arrived on another day than those of the run, on the last of these."""
        days = self.window.days()
        self.fates.append(fate if fate.day in days else replace(fate, day=days[-1]))
        if fate.fate == "loaded":
            self.log.info(fate.told)
        else:
            self.log.warning(fate.told)
