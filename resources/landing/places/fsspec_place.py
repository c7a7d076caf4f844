"""A landing zone at any URL fsspec can open, such as `sftp://` or `memory://`.

Belongs here: listing, reading and writing through fsspec. Does not belong here: folders of this machine (`folder.py`)
and buckets (`bucket.py`), which have better means.
"""

import secrets
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec

from resources.errors import ConfigurationError, RejectedFile, SourceChanging, SourceVanished
from resources.landing.files_seen import Refused
from resources.landing.names import escaped, is_temporary, parts_of, why_not_taken
from resources.landing.places.place import CHUNK, NOT_IN_A_FOLDER, Stamp, told
from resources.landing.places.remote import Distant

NO_FILE = "it is no regular file: put the file itself there"


class FsspecPlace(Distant):
    """`Place` where size and time of change are all that tells two versions apart without reading them."""

    def __init__(self, url: str, work_dir: Path | None) -> None:
        super().__init__(work_dir)
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise ConfigurationError(f"the landing zone cannot be at {url.split('://', 1)[0]}:// ({error})") from error
        self._root = root.rstrip("/")

    def prepare(self, folder: str) -> None:
        with told(folder):
            self._files.makedirs(self._at(folder), exist_ok=True)

    def folders(self, folder: str) -> list[str | Refused]:
        with told(folder):
            try:
                entries = self._files.ls(self._at(folder), detail=True, refresh=True)
            except FileNotFoundError as error:
                raise ConfigurationError(f"there is no {folder} at the landing zone's address: check it") from error
        kinds = {entry["name"].rstrip("/").rsplit("/", 1)[-1]: entry["type"] for entry in entries}
        return [_judged(folder, name, kinds[name]) for name in sorted(kinds) if not is_temporary(name)]

    def listed(self, folder: str) -> Iterator[tuple[str, Stamp] | Refused]:
        start = len(self._at(folder)) + 1
        with told(folder):
            found = self._files.find(self._at(folder), withdirs=True, detail=True)
        for whole, info in found.items():
            path = whole[start:]
            if info["type"] == "file":
                yield path, _stamp(info)
            elif info["type"] != "directory":
                yield Refused(escaped(f"{folder}/{path}"), NO_FILE)

    def stamp(self, path: str) -> Stamp | None:
        with told(path):
            try:
                info = self._files.info(self._at(path))
            except FileNotFoundError:
                return None
        if info["type"] != "file":
            raise RejectedFile("no_regular_file", f"{escaped(path)} was not opened: {NO_FILE}")
        return _stamp(info)

    def chunks(self, path: str, stamp: Stamp) -> Iterator[bytes]:
        self._check(path, stamp)
        left = stamp.size
        with told(path), self._files.open(self._at(path), "rb") as file:
            while left and (data := file.read(min(CHUNK, left))):
                left -= len(data)
                yield data
        self._check(path, stamp)
        if left:
            raise SourceChanging(f"{escaped(path)} ended {left} bytes before its end")

    def upload(self, file: Path, path: str) -> None:
        self._place(path, lambda draft: self._files.put_file(str(file), draft))

    def copy(self, path: str, target: str, size: int) -> None:
        self._place(target, lambda draft: self._files.cp_file(self._at(path), draft))

    def remove(self, path: str) -> None:
        with told(path), suppress(FileNotFoundError):
            self._files.rm_file(self._at(path))

    def remove_folder(self, folder: str) -> None:
        with told(folder), suppress(FileNotFoundError):
            if not self._files.ls(self._at(folder), detail=False, refresh=True):
                self._files.rmdir(self._at(folder))

    def _place(self, path: str, write: Any) -> None:
        target = self._at(path)
        draft = f"{target.rpartition('/')[0]}/.{secrets.token_hex(8)}.part"
        with told(path):
            self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
            write(draft)
            self._files.mv(draft, target)

    def _check(self, path: str, stamp: Stamp) -> None:
        found = self.stamp(path)
        if found is None:
            raise SourceVanished(f"{escaped(path)} is not there any more")
        if found != stamp:
            raise SourceChanging(f"{escaped(path)} became another version while it was read")

    def _at(self, path: str) -> str:
        return "/".join((self._root, *parts_of(path)))


def _judged(folder: str, name: str, kind: str) -> str | Refused:
    if reason := why_not_taken(name):
        return Refused(escaped(f"{folder}/{name}"), reason)
    return name if kind == "directory" else Refused(escaped(f"{folder}/{name}"), NOT_IN_A_FOLDER)


def _stamp(info: dict[str, Any]) -> Stamp:
    """File systems tell the time of change as seconds, datetime or text, or not at all."""
    told_as = next((info[name] for name in ("mtime", "LastModified", "modified", "created") if info.get(name)), 0)
    if isinstance(told_as, int | float):
        changed = datetime.fromtimestamp(told_as, UTC)
    else:
        changed = datetime.fromisoformat(told_as) if isinstance(told_as, str) else told_as
    changed = changed.astimezone(UTC) if changed.tzinfo else changed.replace(tzinfo=UTC)
    return Stamp(info["size"], changed, str(info.get("ETag") or changed.isoformat()))
