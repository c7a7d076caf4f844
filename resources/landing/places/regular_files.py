"""A regular file in an open folder of this machine: looked at, read, and told from another.

Belongs here: what is done with one name in one folder. Does not belong here: finding the folder (`folder.py`),
writing (`folder_draft.py`).
"""

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime

from resources.errors import RejectedFile, SourceChanging, SourceVanished
from resources.landing.names import escaped
from resources.landing.places.place import CHUNK, Stamp

FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Not to wait for the other end of a FIFO."""
KINDS = ((stat.S_ISLNK, "a symbolic link"), (stat.S_ISFIFO, "a FIFO"), (stat.S_ISSOCK, "a socket"))


def regular(name: str, folder: int, path: str) -> os.stat_result:
    """What a regular file looks like from outside; anything else is never opened."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError as error:
        raise SourceVanished(f"{escaped(path)} is not there any more") from error
    if not stat.S_ISREG(found.st_mode):
        raise RejectedFile("no_regular_file", f"{escaped(path)} was not opened: {what_it_is(found)}")
    return found


def chunks_of(folder: int, name: str, path: str, stamp: Stamp) -> Iterator[bytes]:
    """Never more bytes than the file had, so that one that grows as fast as it is read comes to an end."""
    regular(name, folder, path)
    try:
        file = os.open(name, FILE, dir_fd=folder)
    except FileNotFoundError as error:
        raise SourceVanished(f"{escaped(path)} is not there any more") from error
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or _content_of(stamp_of(found)) != _content_of(stamp):
            raise SourceChanging(f"{escaped(path)} became another version before it was read")
        left = stamp.size
        while data := os.read(file, CHUNK):
            left -= len(data)
            if left < 0:
                break
            yield data
        if left or not same(os.fstat(file), found):
            raise SourceChanging(f"{escaped(path)} became another version while it was read")
    finally:
        os.close(file)


def exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def same(one: os.stat_result, other: os.stat_result) -> bool:
    return os.path.samestat(one, other) and _content_of(stamp_of(one)) == _content_of(stamp_of(other))


def stamp_of(found: os.stat_result) -> Stamp:
    """File systems hold times of change that no calendar has; their order does not matter here."""
    changed = found.st_mtime_ns
    try:
        modified_at = datetime.fromtimestamp(changed / 1e9, UTC)
    except (OverflowError, ValueError, OSError):
        modified_at = (datetime.max if changed > 0 else datetime.min).replace(tzinfo=UTC)
    return Stamp(found.st_size, modified_at, str(changed), str(found.st_ctime_ns))


def _content_of(stamp: Stamp) -> tuple[int, str]:
    """A link to the file, or another name for it, is no other version of what is in it."""
    return stamp.size, stamp.version


def what_it_is(found: os.stat_result) -> str:
    kind = next((kind for test, kind in KINDS if test(found.st_mode)), "a folder or a device")
    return f"it is {kind}, no regular file: put the file itself there"
