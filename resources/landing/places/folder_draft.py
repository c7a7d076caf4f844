"""A file that is written in a folder of this machine without anybody seeing it before it is whole.

Belongs here: writing, keeping for good, and clearing what killed processes left. Does not belong here: finding the
folder (`folder.py`).
"""

import errno
import fcntl
import os
import secrets
from contextlib import suppress

from resources.landing.places.regular_files import FILE, exists

NO_LINKS = {errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
"""What file systems say that cannot give a file a second name there."""
DRAFT_END = ".part"


class FolderDraft:
    """Locked as long as it is written, so that what a killed process left is told from what a living one writes."""

    def __init__(self, folder: int) -> None:
        self._folder = folder
        while True:
            self._name = f".{secrets.token_hex(8)}{DRAFT_END}"
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = os.open(self._name, flags, 0o440, dir_fd=folder)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX)
                is_swept = not os.fstat(self._file).st_nlink
            except BaseException:
                self.drop()
                raise
            if not is_swept:
                return
            os.close(self._file)

    def write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._file, left) :]

    def keep(self, path: str, *, is_new: bool) -> bool:
        name = path.rpartition("/")[2]
        os.fsync(self._file)
        try:
            if is_new:
                self._link(name)
            else:
                os.rename(self._name, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except FileExistsError:
            return False
        os.fsync(self._folder)
        return True

    def drop(self) -> None:
        """Close it, and delete it if nobody kept it."""
        try:
            with suppress(FileNotFoundError):
                os.unlink(self._name, dir_fd=self._folder)
        finally:
            os.close(self._file)

    def _link(self, name: str) -> None:
        try:
            os.link(self._name, name, src_dir_fd=self._folder, dst_dir_fd=self._folder, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            if exists(name, self._folder):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
            os.rename(self._name, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)


def sweep(folder: int) -> None:
    """Delete the drafts of processes that were killed."""
    with os.scandir(folder) as entries:
        drafts = [entry.name for entry in entries if entry.name.startswith(".") and entry.name.endswith(DRAFT_END)]
    for name in drafts:
        with suppress(FileNotFoundError):
            file = os.open(name, FILE, dir_fd=folder)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(name, dir_fd=folder)
            except BlockingIOError:
                continue
            finally:
                os.close(file)
