"""A log file that many processes append to, and that starts anew when it is large.

The standard library's rotating handler loses lines as soon as two processes share a file: each renames what the other
still writes to. Here every line is written under a lock, to the file that has the name now. Nothing stays open, so a
fork, a handler that is closed, and a file somebody moved away are no matter.

Belongs here: appending and rotating. Does not belong here: what a line says (`json_lines.py`).
"""

import contextlib
import fcntl
import itertools
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path


class SharedRotatingFile(logging.Handler):
    """Appends each record as a line to `path`, of which no more than `files` are kept, `path.1` being the newest of
    the old ones, each of `most_bytes` at most (but for a single longer line)."""

    def __init__(self, path: Path, *, most_bytes: int, files: int) -> None:
        super().__init__()
        self.path = path
        self._most_bytes = most_bytes
        self._files = files
        self._is_told = False

    def emit(self, record: logging.LogRecord) -> None:
        """A line that cannot be written is told once on standard error, and hinders nobody."""
        try:
            line = f"{self.format(record)}\n".encode(errors="replace")
            with self._alone():
                if self._size() + len(line) > self._most_bytes:
                    self._rotate()
                descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
                try:
                    os.write(descriptor, line)
                finally:
                    os.close(descriptor)
        except Exception as error:  # noqa: BLE001  # logging never ends what it tells of
            if not self._is_told:
                self._is_told = True
                sys.stderr.write(f"tidemark: the log {self.path} cannot be written: {type(error).__name__}: {error}\n")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Under the lock of this log; the kernel gives it back even after SIGKILL."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _size(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def _rotate(self) -> None:
        names = [self.path, *(Path(f"{self.path}.{number}") for number in range(1, self._files))]
        for newer, older in reversed(list(itertools.pairwise(names))):
            with contextlib.suppress(FileNotFoundError):
                newer.replace(older)
        if self._files == 1:
            self.path.unlink(missing_ok=True)
