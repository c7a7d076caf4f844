"""What lies in the landing zone at one look, and which of it is whole.

Belongs here: what a look sees, and the rule of the quiet period, which touches no file. Does not belong here: looking
(`zone.py`), which files are known already (the catalog).
"""

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

QUIET = timedelta(seconds=5)
"""How long a file has to stay as it is before it counts as whole."""

AT_MOST = 10_000
"""How many files wait for the end of their quiet period at a time; further ones have their turn after them."""

KEY_LENGTH = 22
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Seen(NamedTuple):
    """One version of a file as it lay there; there may be hundreds of thousands, and tuples are made fastest."""

    dataset: str
    """Name of the dataset: safe, see `names.dataset_name`."""
    folder: str
    """Name of its folder under `landing/`, as whoever made it spelled it."""
    path: str
    """Relative to that folder, with `/`."""
    size: int
    """Bytes."""
    modified_at: datetime
    """UTC, by the clock of the file system."""
    version: str
    """Differs between versions of the same size: the exact time of change in a folder, the ETag in a bucket."""
    has_marker: bool
    """`<name>.done` lies beside it and is not older than it."""
    placed: str = ""
    """Differs between two times the same version was put there, see `Stamp.placed`."""

    @property
    def key(self) -> str:
        """22 characters that stand for this version of this file, as it was put there this time: another version has
        another key, and so has the same one that was put there again, where the place tells."""
        parts = (self.folder, self.path, str(self.size), self.version, self.placed)
        told = "\0".join(parts).encode("utf-8", "surrogatepass")
        return urlsafe_b64encode(hashlib.blake2b(told, digest_size=16).digest())[:KEY_LENGTH].decode("ascii")


@dataclass(frozen=True, slots=True)
class Refused:
    """Something nobody opens."""

    path: str
    """From the root of the zone, escaped: fit to be printed."""
    reason: str
    """What is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Look:
    """All that lay there at one look, in the order of dataset and path, without what writers are not done with."""

    files: list[Seen]
    refused: list[Refused]


def stable(
    seen: Iterable[Seen],
    before: Mapping[str, datetime],
    now: datetime,
    *,
    quiet: timedelta = QUIET,
    known: Collection[str] = frozenset(),
    at_most: int = AT_MOST,
) -> tuple[list[Seen], dict[str, datetime]]:
    """Which files are whole, and the sightings to hand in as `before` at the next look.

    A file is whole if a marker lies beside it, or if it was seen as it is at an earlier look at least `quiet` ago, and
    at all looks since. Of the clock only differences between looks count; times of change are compared with each other
    only. Where the clock was put back, the quiet period begins anew.

    Args:
        before: key of a file -> when it was first seen like that, UTC.
        known: keys of files nobody has to wait for: they are neither whole nor sighted.
        at_most: sightings kept; those that wait already come first.
    """
    whole: list[Seen] = []
    sightings: dict[str, datetime] = {}
    newcomers: list[str] = []
    for file in seen:
        key = file.key
        if key in known:
            continue
        first = before.get(key)
        if first is not None:
            sightings[key] = min(first, now)
        if file.has_marker or (first is not None and now - first >= quiet):
            whole.append(file)
        elif first is None:
            newcomers.append(key)
    for key in newcomers[: max(at_most - len(sightings), 0)]:
        sightings[key] = now
    return whole, sightings


def to_cursor(sightings: Mapping[str, datetime]) -> str:
    """The sightings as JSON, 22 bytes each: `{"<microseconds since 1970>": "<keys, one after the other>"}`."""
    grouped: dict[int, list[str]] = {}
    for key, first in sightings.items():
        grouped.setdefault((first - EPOCH) // timedelta(microseconds=1), []).append(key)
    return json.dumps({str(first): "".join(keys) for first, keys in grouped.items()}, separators=(",", ":"))


def from_cursor(cursor: str | None) -> dict[str, datetime]:
    """The sightings in a cursor; none if it is none of ours, so that every file waits for its quiet period anew."""
    try:
        return {
            keys[start : start + KEY_LENGTH]: EPOCH + timedelta(microseconds=int(first))
            for first, keys in json.loads(cursor or "{}").items()
            for start in range(0, len(keys), KEY_LENGTH)
        }
    except (ValueError, TypeError, AttributeError, OverflowError):
        return {}
