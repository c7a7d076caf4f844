"""Files that are read while the one before them is loaded.

Belongs here: a file that has been read, and reading ahead. Does not belong here: how a file is read
(`resources/landing/preparation.py`), what becomes of it (`intake.py`).
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import islice

from resources.catalog.files import KnownFile
from resources.errors import RejectedFile
from resources.landing.names import escaped
from resources.landing.preparation import Prepared


class Reading:
    """A file that has been read, and all that has to be closed when it is loaded."""

    def __init__(self, found: Prepared, seconds: float, stack: ExitStack) -> None:
        self.found = found
        self.seconds = seconds
        self._stack = stack

    def __enter__(self) -> "Reading":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file and its working database."""
        self._stack.close()


def read_ahead(
    files: Sequence[KnownFile], read: Callable[[KnownFile], Reading], workers: int
) -> Iterator[tuple[KnownFile, Future[Reading]]]:
    """The files in order, each with its reading; `workers` of them are read at the same time, in threads."""
    waiting = iter(files)
    with ThreadPoolExecutor(workers) as pool:
        ahead = [(file, pool.submit(read, file)) for file in islice(waiting, workers)]
        try:
            while ahead:
                yield ahead.pop(0)
                ahead += [(file, pool.submit(read, file)) for file in islice(waiting, 1)]
        finally:
            for _, opened in ahead:
                if not opened.cancel() and opened.exception() is None:
                    opened.result().close()


@contextmanager
def called_by_name(file: KnownFile) -> Iterator[None]:
    """A reader knows the copy it reads, which is called by its hash: people know the file by its name."""
    try:
        yield
    except RejectedFile as error:
        raise RejectedFile(error.rule, str(error).replace(file.sha256, escaped(file.file_name))) from error
