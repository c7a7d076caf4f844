"""Reaching the bytes of an archive: a bucket, a web server or a folder behind three methods.

Belongs here: addresses, conditional reads, listings, timeouts, and which failure is which error. Does not belong
here: the archive's layout and what the files mean (`archive.py`), retries (`archive.py`).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import fsspec
import obstore
from obstore.exceptions import BaseError, NotModifiedError, PermissionDeniedError, UnauthenticatedError
from obstore.store import HTTPStore, S3Store

from resources.errors import (
    ConfigurationError,
    CorruptSource,
    CredentialsRejected,
    SourceUnavailable,
    TidemarkError,
)

if TYPE_CHECKING:
    from obstore.store import S3Config  # exists for type checkers only

S3_HOST = re.compile(r"(?P<bucket>[a-z0-9][a-z0-9.-]+)\.s3[.-](?:(?P<region>[a-z0-9-]+)\.)?amazonaws\.com")
REGION = "us-east-1"


@dataclass(frozen=True)
class Stamp:
    """What tells one version of a file from another without reading it."""

    etag: str
    modified_at: datetime | None


@dataclass(frozen=True)
class Blob:
    """A file's bytes and the stamp of that very version."""

    data: bytes
    stamp: Stamp


class NotModified:
    """A conditional read found the version that is known already."""


class ArchiveStore(Protocol):
    """Read access to the files below one address.

    Paths are relative and use `/`. Methods raise `SourceUnavailable` (try again) and `CredentialsRejected`; those that
    list also `ConfigurationError` if there is nothing at the address at all.
    """

    def uri(self, path: str) -> str:
        """The whole address of `path`; holds no secret."""

    def read(self, path: str, *, unless: str | None, limit: int) -> Blob | NotModified | None:
        """The file, None if there is none, `NotModified` if its ETag is `unless`.

        Raises:
            CorruptSource: the file has more than `limit` bytes.
        """

    def stamps(self, folder: str, names: Iterable[str]) -> dict[str, Stamp]:
        """The stamps of those `names` that exist directly in `folder`."""

    def folders(self, folder: str) -> list[str] | None:
        """Names of the folders directly in `folder`, sorted; None where the address cannot be listed."""


def open_store(url: str, *, endpoint_url: str | None = None, timeout_s: float = 30.0) -> ArchiveStore:
    """The store at `url`: `s3://bucket/prefix` (read anonymously), `http(s)://`, a folder, or any other fsspec URL.

    Args:
        endpoint_url: an S3-compatible server to ask instead of AWS.
        timeout_s: longest time one request may take, body included.

    Raises:
        ConfigurationError: `url` is empty, holds a password or a query, or is of a kind nobody here can read.
    """
    if not url:
        raise ConfigurationError("the archive needs an address: a bucket, a folder or a URL")
    if "://" not in url:
        folder = Path(url).absolute()
        return _Folder(str(folder), base=folder.as_uri())
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query:
        raise ConfigurationError("the archive's address may hold no user, password or query: it is read anonymously")
    host = S3_HOST.fullmatch(parts.hostname or "")
    if parts.scheme == "s3":
        return _Bucket(parts.netloc, parts.path.strip("/"), REGION, endpoint_url, timeout_s)
    if parts.scheme == "https" and host:
        return _Bucket(host["bucket"], parts.path.strip("/"), host["region"] or REGION, endpoint_url, timeout_s)
    if parts.scheme in ("http", "https"):
        return _Web(url.rstrip("/"), timeout_s)
    return _Folder(url, base=url.rstrip("/"))


class _ObjectStore:
    """What a bucket and a web server have in common."""

    def __init__(self, store: S3Store | HTTPStore, base: str) -> None:
        self._store = store
        self._base = base

    def uri(self, path: str) -> str:
        return f"{self._base}/{path}"

    def read(self, path: str, *, unless: str | None, limit: int) -> Blob | NotModified | None:
        try:
            answer = obstore.get(self._store, path, options={"if_none_match": unless} if unless else {})
            size, content = answer.meta["size"], bytearray()
            if size > limit:
                raise CorruptSource(f"{self.uri(path)} has {size} bytes, more than an archive file may have ({limit})")
            for chunk in answer:
                content += chunk
        except FileNotFoundError:
            return None
        except NotModifiedError:
            return NotModified()
        except BaseError as error:
            raise self._failure(path, error) from error
        if len(content) != size:
            raise SourceUnavailable(f"{self.uri(path)} was cut off after {len(content)} of {size} bytes")
        return Blob(bytes(content), _stamp(answer.meta))

    def _failure(self, path: str, error: BaseError) -> SourceUnavailable | CredentialsRejected:
        reason = str(error).split("\n", 1)[0][:300]
        if isinstance(error, UnauthenticatedError | PermissionDeniedError):
            return CredentialsRejected(
                f"{self.uri(path)} may not be read without credentials: is the address right? ({reason})"
            )
        return SourceUnavailable(f"{self.uri(path)} cannot be read now: {reason}")


class _Bucket(_ObjectStore):
    """A public bucket, read without credentials."""

    def __init__(self, bucket: str, prefix: str, region: str, endpoint_url: str | None, timeout_s: float) -> None:
        elsewhere: S3Config = {"endpoint": endpoint_url} if endpoint_url else {}
        store = S3Store(
            bucket,
            prefix=prefix or None,
            region=region,
            config=elsewhere,
            skip_signature=True,
            client_options=_client(timeout_s, plain=(endpoint_url or "").startswith("http://")),
            retry_config={"max_retries": 0},
        )
        super().__init__(store, "/".join(["s3:/", bucket, *([prefix] if prefix else [])]))

    def stamps(self, folder: str, names: Iterable[str]) -> dict[str, Stamp]:
        wanted = set(names)
        try:
            found = (meta for chunk in obstore.list(self._store, folder) for meta in chunk)
            listed = {meta["path"].rsplit("/", 1)[-1]: _stamp(meta) for meta in found}
        except BaseError as error:
            raise self._not_listed(folder, error) from error
        return {name: stamp for name, stamp in listed.items() if name in wanted}

    def folders(self, folder: str) -> list[str]:
        try:
            listed = obstore.list_with_delimiter(self._store, folder)["common_prefixes"]
        except BaseError as error:
            raise self._not_listed(folder, error) from error
        return sorted(prefix.rstrip("/").rsplit("/", 1)[-1] for prefix in listed)

    def _not_listed(self, folder: str, error: BaseError) -> TidemarkError:
        """An empty folder is listed as empty; only a bucket that does not exist is not found."""
        if "404 Not Found" in str(error):
            return ConfigurationError(f"there is no bucket at {self._base}: check the archive's address")
        return self._failure(folder, error)


class _Web(_ObjectStore):
    """A web server that serves the files; it has no listing, so stamps cost one request per file."""

    def __init__(self, base: str, timeout_s: float) -> None:
        store = HTTPStore(
            base,
            client_options=_client(timeout_s, plain=base.startswith("http://")),
            retry_config={"max_retries": 0},
        )
        super().__init__(store, base)

    def stamps(self, folder: str, names: Iterable[str]) -> dict[str, Stamp]:
        return dict(self._each(folder, names))

    def folders(self, folder: str) -> None:
        return None

    def _each(self, folder: str, names: Iterable[str]) -> Iterator[tuple[str, Stamp]]:
        for name in names:
            path = f"{folder}/{name}"
            try:
                yield name, _stamp(obstore.head(self._store, path))
            except FileNotFoundError:
                continue
            except BaseError as error:
                raise self._failure(path, error) from error


class _Folder:
    """A folder, or what fsspec makes look like one; size and time of change stand for an ETag."""

    def __init__(self, url: str, *, base: str) -> None:
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise ConfigurationError(f"the archive cannot be at {url.split('://', 1)[0]}:// ({error})") from error
        self._root = root.rstrip("/")
        self._base = base

    def uri(self, path: str) -> str:
        return f"{self._base}/{path}"

    def read(self, path: str, *, unless: str | None, limit: int) -> Blob | NotModified | None:
        target = f"{self._root}/{path}"
        try:
            before = self._files.info(target)
            if before["type"] != "file":
                return None
            stamp = _stamp_of_file(before)
            if stamp.etag == unless:
                return NotModified()
            if before["size"] > limit:
                raise CorruptSource(
                    f"{self.uri(path)} has {before['size']} bytes, more than an archive file may have ({limit})"
                )
            data = bytes(self._files.cat_file(target))
            if _stamp_of_file(self._files.info(target)) != stamp or len(data) != before["size"]:
                raise SourceUnavailable(f"{self.uri(path)} changed while it was read")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._failure(path, error) from error
        return Blob(data, stamp)

    def stamps(self, folder: str, names: Iterable[str]) -> dict[str, Stamp]:
        wanted = set(names)
        found = {entry["name"].rstrip("/").rsplit("/", 1)[-1]: entry for entry in self._entries(folder, "file")}
        return {name: _stamp_of_file(entry) for name, entry in found.items() if name in wanted}

    def folders(self, folder: str) -> list[str]:
        return sorted(entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in self._entries(folder, "directory"))

    def _entries(self, folder: str, kind: str) -> list[dict[str, Any]]:
        try:
            listed = self._files.ls(f"{self._root}/{folder}".rstrip("/"), detail=True, refresh=True)
        except (FileNotFoundError, NotADirectoryError) as error:
            if not self._files.exists(self._root):
                raise ConfigurationError(f"there is no folder at {self._base}: check the archive's address") from error
            return []
        except OSError as error:
            raise self._failure(folder, error) from error
        return [entry for entry in listed if entry["type"] == kind]

    def _failure(self, path: str, error: OSError) -> SourceUnavailable | CredentialsRejected:
        reason = error.strerror or type(error).__name__
        if isinstance(error, PermissionError):
            return CredentialsRejected(f"{self.uri(path)} may not be read ({reason}): give this user the right to")
        return SourceUnavailable(f"{self.uri(path)} cannot be read now: {reason}")


def _client(timeout_s: float, *, plain: bool) -> Any:
    return {"timeout": f"{timeout_s}s", "connect_timeout": f"{min(timeout_s, 10.0)}s", "allow_http": plain}


def _stamp(meta: Any) -> Stamp:
    modified_at: datetime = meta["last_modified"]
    etag = meta["e_tag"] or f"{meta['size']}-{modified_at.isoformat()}"
    return Stamp(etag, modified_at)


def _stamp_of_file(info: dict[str, Any]) -> Stamp:
    """File systems tell the time of change as seconds, datetime or text, and one of them differently in a listing."""
    told = info.get("mtime", info.get("LastModified", info.get("created")))
    if isinstance(told, int | float):
        changed: datetime | None = datetime.fromtimestamp(told, UTC)
    elif isinstance(told, str):
        changed = datetime.fromisoformat(told)
    else:
        changed = told
    if changed is not None:
        changed = changed.astimezone(UTC) if changed.tzinfo else changed.replace(tzinfo=UTC)
    return Stamp(str(info.get("ETag") or f"{info['size']:x}-{changed.isoformat() if changed else ''}"), changed)
