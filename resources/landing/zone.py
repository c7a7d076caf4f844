"""The landing zone: where files are dropped, copied before they are read, and kept for good afterwards.

Belongs here: the order of steps, which never loses a file whatever fails in between. Does not belong here: reaching
files (`places/`), their paths (`layout.py`), which are whole (`files_seen.py`), what is in them, the catalog.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import date, datetime
from pathlib import Path

from resources.errors import (
    ConfigurationError,
    CorruptSource,
    RejectedFile,
    SourceChanging,
    SourceUnavailable,
    SourceVanished,
)
from resources.landing.files_seen import Look, Refused, Seen
from resources.landing.layout import KEPT, Area, Snapshot, archived_path, reason_text, rejected_path, source_path
from resources.landing.limits import Limits
from resources.landing.names import MARKER, dataset_name, escaped
from resources.landing.places.opening import place_at
from resources.landing.places.place import Draft, Stamp, digest_of, told

ATTEMPTS = 3
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class LandingZone:
    """The files under one root; safe for many processes at a time.

    Whatever fails (a full disk, a place that is away, a killed process), calling the method that failed again completes
    it. Every method raises `SourceUnavailable` if the place cannot be used now, `CredentialsRejected` if it may not be,
    and `RejectedFile` (`unsafe_path`, `no_regular_file`) rather than follow a link or open anything but a regular file.

    Args:
        url: a folder, `s3://bucket/prefix` (or `gs://`, `az://`), or any other fsspec URL without a password.
        endpoint_url: an S3-compatible server to ask instead of AWS; keys come from the environment.
        work_dir: where copies of remote files lie while they are used.

    Raises:
        ConfigurationError: nobody can use `url`.
    """

    def __init__(
        self, url: str, *, endpoint_url: str | None = None, work_dir: Path | None = None, limits: Limits | None = None
    ) -> None:
        self._place = place_at(url, endpoint_url, work_dir)
        self._limits = limits or Limits()

    def prepare(self) -> None:
        """Make the root and `landing/`, so that there is something to drop files into."""
        self._place.prepare("landing")

    def datasets(self) -> dict[str, str]:
        """The folders under `landing/`, by the name of their dataset.

        Raises:
            ConfigurationError: there is no `landing/`.
        """
        return self._folders()[0]

    def look(self, dataset: str | None = None) -> Look:
        """What lies in `landing/`, or in the folder of one dataset.

        Raises:
            ConfigurationError: there is no `landing/`.
        """
        folders, refused = self._folders()
        files: list[Seen] = []
        for name in sorted(folders) if dataset is None else {dataset} & set(folders):
            stamps, wrong = self._walk(f"landing/{folders[name]}")
            refused += wrong
            files += _seen(name, folders[name], stamps)
        return Look(files, refused)

    def snapshot(self, seen: Seen) -> Snapshot:
        """Copy the file as it is now, read it a second time, and keep the copy if both readings were the same.

        Raises:
            SourceVanished: it is not there any more.
            SourceChanging: it changed during each of three attempts.
            RejectedFile: it is larger than the limit (`too_large`).
        """
        source = source_path(seen)
        first = second = ""
        for _ in range(ATTEMPTS):
            stamp = self._stamp(source)
            if stamp.size > self._limits.file_bytes:
                raise RejectedFile("too_large", f"{escaped(source)}: {_too_large(stamp, self._limits)}")
            with self._place.draft(f"processing/{seen.dataset}") as draft:
                first, is_first_whole = _hashed(self._place.chunks(source, stamp), draft.write)
                again = self._stamp(source)
                second, is_second_whole = _hashed(self._place.chunks(source, again))
                if is_first_whole and is_second_whole and (first, stamp) == (second, again):
                    return self._kept_snapshot(draft, seen, first, stamp)
        raise SourceChanging(
            f"{escaped(source)} changed during each of {ATTEMPTS} attempts to copy it: it read as {first}, then as "
            f"{second}; it is tried again, so let its writer finish, or write under a temporary name and rename it"
        )

    def holds(self, snapshot: Snapshot) -> bool:
        """Whether the snapshot lies there, whole."""
        found = self._place.stamp(snapshot.path)
        return found is not None and found.size == snapshot.size

    @contextmanager
    def local_path(self, snapshot: Snapshot) -> Iterator[Path]:
        """The snapshot as a file of this machine, to be read only; in a remote zone it is gone afterwards.

        Raises:
            SourceUnavailable: the snapshot is gone (another run archived the same content): take it again.
        """
        if not self.holds(snapshot):
            raise SourceUnavailable(f"the snapshot {snapshot.path} is gone or not whole: take it again")
        with self._place.local(snapshot.path) as path:
            yield path

    def archive(self, snapshot: Snapshot, seen: Sequence[Seen], at: datetime, *, refused: str | None = None) -> str:
        """Keep the snapshot for good, then delete the files it was taken of, then the snapshot.

        A file that has another content by now is a new version: it stays, and the next look sees it.

        Args:
            seen: the file, and others with the same content.
            at: names the archived file. Give the same again when trying again (`snapshot.taken_at` is the same).
            refused: where `reject` kept the file, if it is loaded after all: it leaves, and is read if there is no
                snapshot.

        Returns:
            The path of the archived file, relative to the root.

        Raises:
            SourceUnavailable: there is neither the snapshot nor an archived file: take the snapshot again.
            CorruptSource: something else lies where the file would be kept.
        """
        target = archived_path(snapshot, seen[0].path, at)
        source = snapshot.path if refused is None or self.holds(snapshot) else refused
        self._keep(source, target, snapshot.sha256)
        self._let_go(snapshot, seen)
        if refused:
            self._place.remove(refused)
            self._place.remove(f"{refused}.reason.txt")
        return target

    def reject(self, snapshot: Snapshot, seen: Sequence[Seen], at: datetime, reason: str) -> str:
        """As `archive`, but in `rejected/`, with a file beside it that says what is wrong and what to do."""
        target = rejected_path(snapshot, seen[0].path.rsplit("/", 1)[-1], at)
        self._keep(snapshot.path, target, snapshot.sha256)
        with self._place.draft(target.rpartition("/")[0]) as draft:
            draft.write(reason_text(snapshot, seen, at, reason).encode("utf-8"))
            draft.keep(f"{target}.reason.txt", is_new=True)
        self._let_go(snapshot, seen)
        return target

    @contextmanager
    def fetch_archived(self, path: str, sha256: str) -> Iterator[Path]:
        """What `archive` or `reject` kept at `path`, as a file of this machine, to be read only.

        Raises:
            CorruptSource: it is gone, or its content is not the one with this hash.
        """
        if not KEPT.fullmatch(path):
            raise CorruptSource(f"{escaped(path)} is no path of an archived file")
        with ExitStack() as opened:
            try:
                file = opened.enter_context(self._place.local(path))
            except SourceVanished as error:
                raise CorruptSource(f"{escaped(path)} is gone: restore it from a backup") from error
            with told(path), file.open("rb") as content:
                found = hashlib.file_digest(content, "sha256").hexdigest()
            if found != sha256:
                raise CorruptSource(
                    f"{escaped(path)} holds {found} instead of {sha256}: it was changed; restore it from a backup"
                )
            yield file

    def retire(self, dataset: str, before: date, *, area: Area = "archive") -> list[str]:
        """Delete what was kept on days before `before` (UTC), by the day in its path.

        Returns:
            The paths that were deleted, relative to the root.
        """
        deleted = []
        for day in self._days(f"{area}/{dataset}"):
            if day >= before:
                continue
            folder = f"{area}/{dataset}/{day}"
            for name in self._place.names(folder):
                self._place.remove(f"{folder}/{name}")
                deleted.append(f"{folder}/{name}")
            self._place.remove_folder(folder)
        return deleted

    def _folders(self) -> tuple[dict[str, str], list[Refused]]:
        """Two folders could come to one name if somebody means them to: the one that has it keeps it."""
        folders: dict[str, str] = {}
        refused: list[Refused] = []
        found = self._place.folders("landing")
        for item in sorted(found, key=lambda item: isinstance(item, str) and dataset_name(item) != item):
            if isinstance(item, Refused):
                refused.append(item)
            elif folders.setdefault(dataset_name(item), item) != item:
                taken = folders[dataset_name(item)]
                why = f"its dataset would have the name of that in {escaped(taken)}: rename it"
                refused.append(Refused(escaped(f"landing/{item}"), why))
        return folders, refused

    def _walk(self, folder: str) -> tuple[dict[str, Stamp], list[Refused]]:
        stamps: dict[str, Stamp] = {}
        refused: list[Refused] = []
        try:
            for item in self._place.walk(folder):
                if isinstance(item, Refused):
                    refused.append(item)
                elif item[1].size > self._limits.file_bytes:
                    refused.append(Refused(escaped(f"{folder}/{item[0]}"), _too_large(item[1], self._limits)))
                else:
                    stamps[item[0]] = item[1]
        except SourceVanished:
            return {}, []
        except RejectedFile as error:
            refused.append(Refused(escaped(folder), str(error)))
        return stamps, refused

    def _stamp(self, path: str) -> Stamp:
        found = self._place.stamp(path)
        if found is None:
            raise SourceVanished(f"{escaped(path)} was renamed or deleted before it was read: there is nothing to load")
        return found

    def _kept_snapshot(self, draft: Draft, seen: Seen, sha256: str, stamp: Stamp) -> Snapshot:
        path = f"processing/{seen.dataset}/{sha256}"
        there = self._place.stamp(path)
        if there is None or there.size != stamp.size:
            draft.keep(path, is_new=False)
            there = self._stamp(path)
        return Snapshot(
            dataset=seen.dataset,
            sha256=sha256,
            size=stamp.size,
            taken_at=there.modified_at,
            content_changed=(stamp.size, stamp.version) != (seen.size, seen.version),
        )

    def _keep(self, path: str, target: str, sha256: str) -> None:
        try:
            if self._place.stamp(target) is None and self._place.copy_new(path, target):
                return
        except SourceVanished as error:
            raise SourceUnavailable(f"the snapshot {path} is gone: take it again") from error
        if digest_of(self._place.chunks(target, self._stamp(target))) != sha256:
            raise CorruptSource(f"{target} exists and holds something else: it was left alone; move it away")

    def _let_go(self, snapshot: Snapshot, seen: Sequence[Seen]) -> None:
        for file in seen:
            source = source_path(file)
            self._place.remove_content(source, snapshot.size, snapshot.sha256)
            with suppress(RejectedFile):
                if self._place.stamp(source) is None:
                    self._place.remove(source + MARKER)
        self._place.remove(snapshot.path)

    def _days(self, folder: str) -> list[date]:
        try:
            found = self._place.folders(folder)
        except ConfigurationError:
            return []
        return [date.fromisoformat(item) for item in found if isinstance(item, str) and DAY.fullmatch(item)]


def _seen(dataset: str, folder: str, stamps: dict[str, Stamp]) -> Iterator[Seen]:
    """Takes `stamps` apart: twice as many objects at a time would keep the garbage collector busy."""
    marked = {path.removesuffix(MARKER): stamp.modified_at for path, stamp in stamps.items() if path.endswith(MARKER)}
    for path in sorted(stamps):
        if not path.endswith(MARKER):
            stamp = stamps.pop(path)
            is_marked = path in marked and marked[path] >= stamp.modified_at
            yield Seen(dataset, folder, path, stamp.size, stamp.modified_at, stamp.version, is_marked, stamp.placed)


def _hashed(chunks: Iterable[bytes], write: Callable[[bytes], None] | None = None) -> tuple[str, bool]:
    """SHA-256 of what was read, and whether that was all of one version."""
    digest = hashlib.sha256()
    try:
        for data in chunks:
            digest.update(data)
            if write:
                write(data)
    except SourceChanging:
        return digest.hexdigest(), False
    return digest.hexdigest(), True


def _too_large(stamp: Stamp, limits: Limits) -> str:
    return f"it has {stamp.size} bytes, more than the {limits.file_bytes} that are allowed: split it"
