"""A landing zone on another machine: what is written there is a file of this one until it is kept.

Belongs here: what buckets and other remote stores have in common. Does not belong here: reaching one of them
(`bucket.py`, `fsspec_place.py`), the layout and the order of steps (`zone.py`).
"""

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from resources.errors import SourceChanging, SourceVanished
from resources.landing.files_seen import Refused
from resources.landing.names import escaped
from resources.landing.places.place import Draft, Stamp, digest_of, told, verdict


class Distant(ABC):
    """`Place` but for what differs between kinds of remote stores."""

    def __init__(self, work_dir: Path | None) -> None:
        self._work_dir = work_dir

    @abstractmethod
    def stamp(self, path: str) -> Stamp | None:
        """See `Place.stamp`."""

    @abstractmethod
    def chunks(self, path: str, stamp: Stamp) -> Iterator[bytes]:
        """See `Place.chunks`."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """See `Place.remove`."""

    @abstractmethod
    def upload(self, file: Path, path: str) -> None:
        """Make `file` the file at `path`, whole or not at all."""

    @abstractmethod
    def copy(self, path: str, target: str, size: int) -> None:
        """Make `target` hold what `path` holds, whole or not at all, best without moving the bytes through here."""

    @abstractmethod
    def listed(self, folder: str) -> Iterator[tuple[str, Stamp] | Refused]:
        """Every file below `folder`, by its path from there."""

    def walk(self, folder: str) -> Iterator[tuple[str, Stamp] | Refused]:
        for item in self.listed(folder):
            if isinstance(item, Refused):
                yield item
                continue
            reason = verdict(item[0])
            if reason:
                yield Refused(escaped(f"{folder}/{item[0]}"), reason)
            elif reason is not None and (item[1].size or self.stamp(f"{folder}/{item[0]}")):
                yield item  # what is empty and cannot be asked for is how some tools mark a folder

    def names(self, folder: str) -> list[str]:
        return sorted(item[0] for item in self.listed(folder) if not isinstance(item, Refused) and "/" not in item[0])

    @contextmanager
    def draft(self, folder: str) -> Iterator[Draft]:
        with told(folder), tempfile.NamedTemporaryFile(dir=self._work_dir, prefix="tidemark-") as file:
            yield _DistantDraft(file.file, Path(file.name), self)

    def copy_new(self, path: str, target: str) -> bool:
        """Between the look whether `target` is free and the copy another may take it; names hold a hash for that."""
        if self.stamp(target):
            return False
        stamp = self.stamp(path)
        if stamp is None:
            raise SourceVanished(f"{escaped(path)} is not there any more")
        self.copy(path, target, stamp.size)
        return True

    def remove_content(self, path: str, size: int, sha256: str) -> bool:
        """Between the last look at it and its end it could be replaced: such stores cannot delete on condition."""
        stamp = self.stamp(path)
        try:
            if stamp is None or stamp.size != size or digest_of(self.chunks(path, stamp)) != sha256:
                return False
        except (SourceVanished, SourceChanging):
            return False
        if self.stamp(path) != stamp:
            return False
        self.remove(path)
        return True

    @contextmanager
    def local(self, path: str) -> Iterator[Path]:
        stamp = self.stamp(path)
        if stamp is None:
            raise SourceVanished(f"{escaped(path)} is not there any more")
        with ExitStack() as opened:
            with told(path):
                folder = opened.enter_context(tempfile.TemporaryDirectory(dir=self._work_dir, prefix="tidemark-"))
                file = Path(folder) / "content"
                with file.open("wb") as copy:
                    for data in self.chunks(path, stamp):
                        copy.write(data)
            yield file


class _DistantDraft:
    def __init__(self, file: IO[bytes], path: Path, place: Distant) -> None:
        self._file = file
        self._path = path
        self._place = place

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def keep(self, path: str, *, is_new: bool) -> bool:
        if is_new and self._place.stamp(path):
            return False
        self._file.flush()
        self._place.upload(self._path, path)
        return True
