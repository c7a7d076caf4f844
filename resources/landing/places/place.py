"""What the landing zone needs of the place its files lie in.

Belongs here: `Place` and what its implementations share. Does not belong here: a kind of place (`folder.py`,
`remote.py`, `bucket.py`), the layout and the order of steps (`zone.py`).
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from resources.errors import SourceUnavailable
from resources.landing.files_seen import Refused
from resources.landing.names import DEEPEST, escaped, is_temporary, why_not_taken

CHUNK = 1 << 20
TOO_DEEP = f"it lies more than {DEEPEST} folders deep: move it up"
NOT_IN_A_FOLDER = "it lies in no dataset's folder: move it into one"


class Stamp(NamedTuple):
    """What tells one version of a file from another without reading it."""

    size: int
    modified_at: datetime
    """UTC, by the clock of the place."""
    version: str
    placed: str = ""
    """When the place says it was put there, which whoever puts it there cannot choose; empty where it does not say."""


class Draft(Protocol):
    """A file that is being written and that nobody sees; it is gone if nobody keeps it."""

    def write(self, data: bytes) -> None: ...

    def keep(self, path: str, *, is_new: bool) -> bool:
        """Make it the file at `path`, whole and for good; with `is_new`, False if there is one already."""


class Place(Protocol):
    """Files under one root. Paths are relative to it, with `/`, and never lead out of it.

    Every method raises `SourceUnavailable` if the place cannot be used now, `CredentialsRejected` if it may not be used
    with the credentials at hand, and `RejectedFile` (`unsafe_path`, `no_regular_file`) instead of following a link or
    opening anything but a regular file.
    """

    def prepare(self, folder: str) -> None:
        """Make `folder`, where there are folders."""

    def folders(self, folder: str) -> list[str | Refused]:
        """Names of the folders directly in `folder`, and what else lies there and is no hidden or temporary file.

        Raises:
            ConfigurationError: there is no such place at all.
        """

    def walk(self, folder: str) -> Iterator[tuple[str, Stamp] | Refused]:
        """Every file below `folder`, by its path from there, without those writers are not done with."""

    def names(self, folder: str) -> list[str]:
        """Names of all files directly in `folder`; none if there is no such folder."""

    def stamp(self, path: str) -> Stamp | None:
        """The stamp of the file at `path`; None if there is none."""

    def chunks(self, path: str, stamp: Stamp) -> Iterator[bytes]:
        """The bytes of the version `stamp` of the file at `path`.

        Raises:
            SourceVanished: there is no file.
            SourceChanging: it is another version, or became one while it was read.
        """

    def draft(self, folder: str) -> AbstractContextManager[Draft]:
        """A new file that can be kept in `folder`, which is made where needed."""

    def copy_new(self, path: str, target: str) -> bool:
        """Make `target` hold what `path` holds; False, and nothing is done, if there is something already.

        Raises:
            SourceVanished: there is no file at `path`.
        """

    def remove(self, path: str) -> None:
        """Delete the file at `path`, if there is one."""

    def remove_content(self, path: str, size: int, sha256: str) -> bool:
        """Delete the file at `path` only if it has this content; False if it has another and stays."""

    def remove_folder(self, folder: str) -> None:
        """Delete `folder` if it is empty and there is such a thing as a folder."""

    def local(self, path: str) -> AbstractContextManager[Path]:
        """The file at `path` as one of this machine, to be read only.

        Raises:
            SourceVanished: there is no file.
        """


def verdict(path: str) -> str | None:
    """What a listing does with `path`: '' to take it, None to pass it over, else the reason to refuse it."""
    parts = path.split("/")
    if any(is_temporary(part) for part in parts):
        return None
    reason = next((why for part in parts if (why := why_not_taken(part))), None)
    return reason or (TOO_DEEP if len(parts) > DEEPEST + 1 else "")


def digest_of(chunks: Iterable[bytes]) -> str:
    """SHA-256 of the bytes, in hex."""
    digest = hashlib.sha256()
    for data in chunks:
        digest.update(data)
    return digest.hexdigest()


def unavailable(path: str, error: OSError) -> SourceUnavailable:
    """The error for a place that cannot be used now."""
    return SourceUnavailable(
        f"{escaped(path)} cannot be used now ({error.strerror or type(error).__name__}): check that its place is "
        "there, has room and may be read and written; it is tried again"
    )


@contextmanager
def told(path: str) -> Iterator[None]:
    """Every `OSError` inside becomes `SourceUnavailable`."""
    try:
        yield
    except OSError as error:
        raise unavailable(path, error) from error
