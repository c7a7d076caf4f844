"""Raw bytes as received, kept for good under the name of their content.

Belongs here: putting and getting bytes by SHA-256, in a folder or any fsspec URL. Does not belong here: what they
mean; which page or file they were (`catalog.sources` says that).
"""

import gzip
import hashlib
import os
import re
import tempfile
import zlib
from pathlib import Path
from typing import Any

import fsspec

from resources.errors import ConfigurationError, CorruptSource, SourceUnavailable

NAME = re.compile(r"[0-9a-f]{2}/[0-9a-f]{2}/([0-9a-f]{64})(\.[a-z0-9]+)+")
SUFFIX = re.compile(r"(\.[a-z0-9]+)+")


class RawStore:
    """Write-once store of raw bytes in the folder or at the fsspec URL `url`.

    A path is relative to `url`: `ab/cd/<sha256 of the bytes as received><suffix>`. Bytes that are not gzip by their
    suffix are kept zipped under `<suffix>.gz`. Safe for many threads and processes: a path has one possible content.

    Every method raises `SourceUnavailable` if the store cannot be reached or written.
    """

    def __init__(self, url: str) -> None:
        if not url:
            raise ConfigurationError("the raw store needs a folder or an fsspec URL")
        self._url = url

    def put(self, data: bytes, *, suffix: str) -> str:
        """Keep `data` and return its path; does nothing if the path holds it already.

        Args:
            suffix: such as `.json` or `.csv.gz`; the latter is kept byte for byte.
        """
        path = path_of(data, suffix=suffix)
        if not self._is_sound(path):
            kept = data if suffix.endswith(".gz") else gzip.compress(data, compresslevel=6, mtime=0)
            self._write(path, kept)
        return path

    def get(self, path: str) -> bytes:
        """The bytes as they were received.

        Raises:
            CorruptSource: `path` holds nothing, or something else than was put there.
        """
        match = _checked(path)
        try:
            kept = self._read(path)
        except FileNotFoundError as error:
            raise CorruptSource(f"the raw store has no {path}: fetch its day again") from error
        try:
            data = kept if _is_kept_as_is(path, kept, match[1]) else gzip.decompress(kept)
        except (OSError, EOFError, zlib.error) as error:
            raise CorruptSource(f"the raw store's {path} is damaged ({error}): fetch its day again") from error
        if hashlib.sha256(data).hexdigest() != match[1]:
            raise CorruptSource(f"the raw store's {path} is not what was put there: fetch its day again")
        return data

    def exists(self, path: str) -> bool:
        """Whether `path` holds something; `get` tells whether it is sound."""
        _checked(path)
        file_system, root = self._open()
        if file_system is None:
            return (Path(root) / path).is_file()
        try:
            return bool(file_system.isfile(f"{root}/{path}"))
        except OSError as error:
            raise self._unavailable(error) from error

    def _is_sound(self, path: str) -> bool:
        try:
            self.get(path)
        except CorruptSource:
            return False
        return True

    def _read(self, path: str) -> bytes:
        file_system, root = self._open()
        try:
            if file_system is None:
                return (Path(root) / path).read_bytes()
            return bytes(file_system.cat_file(f"{root}/{path}"))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._unavailable(error) from error

    def _write(self, path: str, kept: bytes) -> None:
        file_system, root = self._open()
        try:
            if file_system is None:
                write_atomically(Path(root) / path, kept)
            else:
                target = f"{root}/{path}"
                file_system.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
                file_system.pipe_file(target, kept)
        except OSError as error:
            raise self._unavailable(error) from error

    def _open(self) -> tuple[Any, str]:
        """The file system (None: the local one) and the root on it."""
        if "://" not in self._url:
            return None, self._url
        try:
            file_system, root = fsspec.core.url_to_fs(self._url)
        except (ImportError, ValueError) as error:
            scheme = self._url.split("://", 1)[0]
            raise ConfigurationError(f"the raw store cannot use {scheme}:// ({error})") from error
        return (None, root) if "file" in _protocols(file_system) else (file_system, root.rstrip("/"))

    def _unavailable(self, error: OSError) -> SourceUnavailable:
        return SourceUnavailable(
            f"the raw store cannot be used ({error.strerror or type(error).__name__}): check that its place exists, "
            "has room and may be written"
        )


def path_of(data: bytes, *, suffix: str) -> str:
    """Where `data` is kept, relative to the store."""
    if not SUFFIX.fullmatch(suffix):
        raise ValueError(f"a suffix is like .json or .csv.gz, not {suffix!r}")
    digest = hashlib.sha256(data).hexdigest()
    return f"{digest[:2]}/{digest[2:4]}/{digest}{suffix}{'' if suffix.endswith('.gz') else '.gz'}"


def write_atomically(target: Path, data: bytes, *, is_durable: bool = True) -> None:
    """Write `target` so that it is there whole or not at all; if `is_durable`, also after a power cut."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if is_durable:
                file.flush()
                os.fsync(file.fileno())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _checked(path: str) -> re.Match[str]:
    match = NAME.fullmatch(path)
    if match is None:
        raise CorruptSource(f"{path!r} is no path of the raw store")
    return match


def _is_kept_as_is(path: str, kept: bytes, digest: str) -> bool:
    """A `.gz` that was received and one that the store made look alike by name; the hash tells them apart."""
    return path.endswith(".gz") and hashlib.sha256(kept).hexdigest() == digest


def _protocols(file_system: Any) -> tuple[str, ...]:
    protocol = file_system.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)
