"""A landing zone in a folder of this machine.

Belongs here: reaching files without ever following a link below the root, and deleting only what was checked. Does not
belong here: the layout and the order of steps (`zone.py`).

Every folder is opened from the one above it with `O_NOFOLLOW`, and every file from its folder, so that a folder that is
swapped for a link in between leads nowhere.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from resources.errors import ConfigurationError, RejectedFile, SourceChanging, SourceVanished
from resources.landing.files_seen import Refused
from resources.landing.names import DEEPEST, escaped, is_temporary, parts_of, why_not_taken
from resources.landing.places.folder_draft import NO_LINKS, FolderDraft, sweep
from resources.landing.places.place import NOT_IN_A_FOLDER, TOO_DEEP, Draft, Stamp, digest_of, told
from resources.landing.places.regular_files import chunks_of, exists, regular, same, stamp_of, what_it_is

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NO_FOLDER = {errno.ELOOP, errno.ENOTDIR}


class FolderPlace:
    """`Place` in the folder `root`; the root itself may be a link, nothing below it may."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def prepare(self, folder: str) -> None:
        with told(folder):
            self._root.mkdir(parents=True, exist_ok=True)
            with self._folder(folder, create=True):
                pass

    def folders(self, folder: str) -> list[str | Refused]:
        try:
            with told(folder), self._folder(folder) as opened, os.scandir(opened) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
                return [self._judged(folder, entry) for entry in found if not is_temporary(entry.name)]
        except SourceVanished as error:
            raise ConfigurationError(
                f"there is no folder {escaped(str(self._root / folder))}: check the address of the landing zone"
            ) from error

    def walk(self, folder: str) -> Iterator[tuple[str, Stamp] | Refused]:
        with told(folder), self._folder(folder) as opened:
            yield from self._walk(opened, folder, "", DEEPEST)

    def names(self, folder: str) -> list[str]:
        try:
            with told(folder), self._folder(folder) as opened, os.scandir(opened) as entries:
                return sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
        except SourceVanished:
            return []

    def stamp(self, path: str) -> Stamp | None:
        try:
            with told(path), self._beside(path) as (folder, name):
                return stamp_of(regular(name, folder, path))
        except SourceVanished:
            return None

    def chunks(self, path: str, stamp: Stamp) -> Iterator[bytes]:
        with told(path), self._beside(path) as (folder, name):
            yield from chunks_of(folder, name, path, stamp)

    @contextmanager
    def draft(self, folder: str) -> Iterator[Draft]:
        with told(folder), self._folder(folder, create=True) as opened:
            sweep(opened)
            draft = FolderDraft(opened)
            try:
                yield draft
            finally:
                draft.drop()

    def copy_new(self, path: str, target: str) -> bool:
        above, _, name = target.rpartition("/")
        with told(target), self._folder(above, create=True) as folder:
            try:
                with self._beside(path) as (source, source_name):
                    regular(source_name, source, path)
                    os.link(source_name, name, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
                os.fsync(folder)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                return self._copy(path, target)
        return True

    def remove(self, path: str) -> None:
        with suppress(SourceVanished), told(path), self._beside(path) as (folder, name):
            try:
                os.unlink(name, dir_fd=folder)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENAMETOOLONG):
                    raise

    def remove_content(self, path: str, size: int, sha256: str) -> bool:
        """Under its own name it could be replaced between the last look at it and its end: it is renamed first.

        What else has the file open could still write to it in the microseconds after that last look.
        """
        try:
            with told(path), self._beside(path) as (folder, name):
                aside = f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}.leaving"
                _put_back(folder, aside, name, path, sha256)
                before = regular(name, folder, path)
                if before.st_size != size or digest_of(chunks_of(folder, name, path, stamp_of(before))) != sha256:
                    return False
                os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)
                if not same(os.stat(aside, dir_fd=folder, follow_symlinks=False), before):
                    _put_back(folder, aside, name, path, sha256)
                    return False
                os.unlink(aside, dir_fd=folder)
        except (SourceVanished, SourceChanging, RejectedFile):
            return False
        return True

    def remove_folder(self, folder: str) -> None:
        with suppress(SourceVanished), told(folder), self._beside(folder) as (above, name):
            try:
                os.rmdir(name, dir_fd=above)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                    raise

    @contextmanager
    def local(self, path: str) -> Iterator[Path]:
        with told(path), self._beside(path) as (folder, name):
            regular(name, folder, path)
        yield self._root / path

    @contextmanager
    def _folder(self, path: str, *, create: bool = False) -> Iterator[int]:
        """The descriptor of a folder below the root."""
        with ExitStack() as opened:
            try:
                folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                opened.callback(os.close, folder)
                for part in parts_of(path):
                    if create:
                        _make_folder(part, folder)
                    folder = os.open(part, FOLDER, dir_fd=folder)
                    opened.callback(os.close, folder)
            except FileNotFoundError as error:
                raise SourceVanished(f"there is no folder {escaped(path)} any more") from error
            except OSError as error:
                if error.errno not in NO_FOLDER:
                    raise
                raise RejectedFile(
                    "unsafe_path",
                    f"{escaped(path)} leads over a link or a file instead of a folder: nothing was opened; put a real "
                    "folder there",
                ) from error
            yield folder

    @contextmanager
    def _beside(self, path: str) -> Iterator[tuple[int, str]]:
        """The descriptor of the folder `path` lies in, and its name there."""
        parts = parts_of(path)
        with self._folder("/".join(parts[:-1])) as folder:
            yield folder, parts[-1]

    def _judged(self, folder: str, entry: os.DirEntry[str]) -> str | Refused:
        whole = escaped(f"{folder}/{entry.name}")
        if reason := why_not_taken(entry.name):
            return Refused(whole, reason)
        if entry.is_dir(follow_symlinks=False):
            return entry.name
        found = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(found.st_mode):
            return Refused(whole, NOT_IN_A_FOLDER)
        return Refused(whole, what_it_is(found))

    def _walk(self, opened: int, folder: str, prefix: str, depth: int) -> Iterator[tuple[str, Stamp] | Refused]:
        """Files first, so that no more folders are open than lie above each other."""
        below = []
        with os.scandir(opened) as entries:
            for entry in entries:
                name = entry.name
                if is_temporary(name):
                    continue
                if reason := why_not_taken(name):
                    yield Refused(escaped(f"{folder}/{prefix}{name}"), reason)
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(found.st_mode):
                    yield prefix + name, stamp_of(found)
                elif stat.S_ISDIR(found.st_mode):
                    below.append(name)
                else:
                    yield Refused(escaped(f"{folder}/{prefix}{name}"), what_it_is(found))
        for name in sorted(below):
            whole = escaped(f"{folder}/{prefix}{name}")
            if not depth:
                yield Refused(whole, TOO_DEEP)
                continue
            try:
                deeper = os.open(name, FOLDER, dir_fd=opened)
            except FileNotFoundError:
                continue
            except OSError as error:
                yield Refused(whole, f"it cannot be looked into ({error.strerror}): it must be a folder we may read")
                continue
            try:
                yield from self._walk(deeper, folder, f"{prefix}{name}/", depth - 1)
            finally:
                os.close(deeper)

    def _copy(self, path: str, target: str) -> bool:
        """For file systems without links, and across two of them."""
        stamp = self.stamp(path)
        if stamp is None:
            raise SourceVanished(f"{escaped(path)} is not there any more")
        above, _, _ = target.rpartition("/")
        with self.draft(above) as draft:
            for data in self.chunks(path, stamp):
                draft.write(data)
            return draft.keep(target, is_new=True)


def _put_back(folder: int, aside: str, name: str, path: str, sha256: str) -> None:
    """Undo a renaming that was cut off; where the name has a new owner, only what is archived already is deleted."""
    if not exists(aside, folder):
        return
    try:
        os.link(aside, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        found = regular(aside, folder, path)
        if digest_of(chunks_of(folder, aside, path, stamp_of(found))) != sha256:
            raise SourceChanging(f"{escaped(path)} was replaced twice while it was archived") from None
    except OSError as error:
        if error.errno not in NO_LINKS or exists(name, folder):
            raise
        os.rename(aside, name, src_dir_fd=folder, dst_dir_fd=folder)
        return
    os.unlink(aside, dir_fd=folder)


def _make_folder(name: str, above: int) -> None:
    try:
        os.mkdir(name, 0o750, dir_fd=above)
    except FileExistsError:
        return
    os.fsync(above)
