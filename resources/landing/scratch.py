"""A folder of its own for each file that is being read.

Belongs here: making and removing it, and clearing what killed processes left of theirs, which may be as large as what
they were unpacking. Does not belong here: what lies in it.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import duckdb

from resources.errors import SourceUnavailable
from resources.landing.names import escaped
from resources.landing.places.place import told

PREFIX = "file_"
NO_ROOM = (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.FatalException)
"""What DuckDB says of a disk that is full or fails; the last of a database it has given up for that."""
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def scratch_folder(above: Path) -> Iterator[Path]:
    """An empty folder in `above` (which is there), gone afterwards.

    It is locked as long as it is used, so that what a killed process left is told from what a living one uses. Where
    folders cannot be locked, nothing is cleared.

    Raises:
        SourceUnavailable: the disk is full, away or may not be written; also where the block fails for that.
    """
    with told(str(above)), ExitStack() as opened:
        _sweep(above)
        try:
            yield _locked(above, opened)
        except NO_ROOM as error:
            raise SourceUnavailable(
                f"the file cannot be read in {escaped(str(above))} now ({str(error).splitlines()[0]}): make room on "
                "that disk; it is tried again"
            ) from error


def _locked(above: Path, opened: ExitStack) -> Path:
    while True:
        with ExitStack() as made:
            folder = made.enter_context(
                tempfile.TemporaryDirectory(prefix=PREFIX, dir=above, ignore_cleanup_errors=True)
            )
            with suppress(FileNotFoundError):
                descriptor = os.open(folder, FOLDER)
                made.callback(os.close, descriptor)
                with suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                if os.fstat(descriptor).st_nlink:
                    opened.push(made.pop_all())
                    return Path(folder)


def _sweep(above: Path) -> None:
    for folder in above.glob(f"{PREFIX}*"):
        with suppress(FileNotFoundError, NotADirectoryError), ExitStack() as opened:
            descriptor = os.open(folder, FOLDER)
            opened.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            shutil.rmtree(folder, ignore_errors=True)
