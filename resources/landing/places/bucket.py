"""A landing zone in a bucket: S3 and what speaks like it (MinIO), Google Cloud Storage, Azure.

Belongs here: reading with `If-Match`, listing, uploading, and which failure is which error. Does not belong here: the
layout and the order of steps (`zone.py`). Keys and endpoints come from the environment (`AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT_URL`, ...), where the store's own library looks for them.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import (
    BaseError,
    InvalidPathError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import from_url

from resources.errors import ConfigurationError, CredentialsRejected, SourceChanging, SourceUnavailable, SourceVanished
from resources.landing.files_seen import Refused
from resources.landing.names import escaped, is_temporary, parts_of, why_not_taken
from resources.landing.places.place import NOT_IN_A_FOLDER, Stamp
from resources.landing.places.remote import Distant

SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl")
REFUSED = re.compile(r"status code: 40[13] ")
QUERY = re.compile(r"\?\S+")
COPIED_AT_ONCE = 5_000_000_000
"""The largest object S3 copies within itself in one request."""


class BucketPlace(Distant):
    """`Place` under the prefix of a bucket; the ETag is the version.

    Args:
        url: `s3://bucket/prefix` or another of `SCHEMES`.
        endpoint_url: an S3-compatible server to ask instead of AWS.
        work_dir: where drafts and downloads lie for as long as they are used; None: the system's folder for such.
    """

    def __init__(self, url: str, endpoint_url: str | None, work_dir: Path | None) -> None:
        super().__init__(work_dir)
        # Only a server somebody names is asked without TLS; the options given here hide those of the environment.
        client = {"connect_timeout": "10s", "read_timeout": "60s", "timeout": "24h", "allow_http": True}
        options: dict[str, Any] = {"client_options": client, "retry_config": {"max_retries": 3}}
        if endpoint_url:
            options["endpoint"] = endpoint_url
        try:
            self._store: Any = from_url(url, **options)
        except (BaseError, ValueError) as error:
            raise ConfigurationError(
                f"the landing zone cannot be at this address ({_short(error)}): check it"
            ) from error

    def prepare(self, folder: str) -> None:
        """A bucket has no folders."""

    def folders(self, folder: str) -> list[str | Refused]:
        try:
            found = obstore.list_with_delimiter(self._store, folder)
        except InvalidPathError as error:
            raise ConfigurationError(f"{folder} cannot be listed: {_bad_key(error)}") from error
        except BaseError as error:
            if "NoSuchBucket" in str(error) or "404 Not Found" in str(error):
                raise ConfigurationError("there is no such bucket: check the landing zone's address") from error
            raise _failure(folder, error) from error
        names = sorted(prefix.rstrip("/").rsplit("/", 1)[-1] for prefix in found["common_prefixes"])
        files = sorted(meta["path"].rsplit("/", 1)[-1] for meta in found["objects"])
        return [
            *(_judged(folder, name) for name in names if not is_temporary(name)),
            *(Refused(escaped(f"{folder}/{name}"), NOT_IN_A_FOLDER) for name in files if not is_temporary(name)),
        ]

    def listed(self, folder: str) -> Iterator[tuple[str, Stamp] | Refused]:
        start = len(folder) + 1
        try:
            for chunk in obstore.list(self._store, folder, chunk_size=1000):
                for meta in chunk:
                    yield meta["path"][start:], _stamp(meta)
        except InvalidPathError as error:
            yield Refused(escaped(folder), _bad_key(error))
        except BaseError as error:
            raise _failure(folder, error) from error

    def stamp(self, path: str) -> Stamp | None:
        parts_of(path)
        try:
            return _stamp(obstore.head(self._store, path))
        except FileNotFoundError:
            return None
        except BaseError as error:
            raise _failure(path, error) from error

    def chunks(self, path: str, stamp: Stamp) -> Iterator[bytes]:
        with _reaching(path):
            answer = obstore.get(self._store, path, options={"if_match": stamp.version})
            if _stamp(answer.meta) != stamp:
                raise SourceChanging(f"{escaped(path)} became another version before it was read")
            left = stamp.size
            for data in answer:
                left -= len(data)
                yield bytes(data)
        if left:
            raise SourceUnavailable(f"{escaped(path)} was cut off {left} bytes before its end")

    def upload(self, file: Path, path: str) -> None:
        with _reaching(path):
            obstore.put(self._store, path, file)

    def copy(self, path: str, target: str, size: int) -> None:
        if size > COPIED_AT_ONCE:
            with self.local(path) as file:
                self.upload(file, target)
            return
        with _reaching(path):
            obstore.copy(self._store, path, target)

    def remove(self, path: str) -> None:
        parts_of(path)
        try:
            obstore.delete(self._store, path)
        except FileNotFoundError:
            return
        except BaseError as error:
            raise _failure(path, error) from error

    def remove_folder(self, folder: str) -> None:
        """A bucket has no folders."""


@contextmanager
def _reaching(path: str) -> Iterator[None]:
    parts_of(path)
    try:
        yield
    except FileNotFoundError as error:
        raise SourceVanished(f"{escaped(path)} is not there any more") from error
    except PreconditionError as error:
        raise SourceChanging(f"{escaped(path)} became another version before it was read") from error
    except (BaseError, OSError) as error:
        raise _failure(path, error) from error


def _failure(path: str, error: Exception) -> SourceUnavailable | CredentialsRejected:
    """What is refused in a listing is told in the text of the error only."""
    if isinstance(error, UnauthenticatedError | PermissionDeniedError) or REFUSED.search(str(error)):
        return CredentialsRejected(
            f"{escaped(path)} may not be used with the credentials in the environment: check that they are right, not "
            f"expired, and may list, read, write and delete ({_short(error)})"
        )
    return SourceUnavailable(f"{escaped(path)} cannot be used now: {_short(error)}; it is tried again")


def _bad_key(error: Exception) -> str:
    return f"it holds an object whose key no path can have, delete or rename that one ({_short(error)})"


def _short(error: Exception) -> str:
    """The first line without what follows a `?` in an address: some stores are given a signature there."""
    return escaped(QUERY.sub("", str(error).split("\n", 1)[0])[:300])


def _judged(folder: str, name: str) -> str | Refused:
    reason = why_not_taken(name)
    return Refused(escaped(f"{folder}/{name}"), reason) if reason else name


def _stamp(meta: Any) -> Stamp:
    """A listing may tell the time more exactly than an answer does: whole seconds are what both have."""
    modified_at = meta["last_modified"].replace(microsecond=0)
    return Stamp(meta["size"], modified_at, meta["e_tag"] or modified_at.isoformat(), modified_at.isoformat())
