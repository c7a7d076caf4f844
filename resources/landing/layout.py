"""Where what lies in the landing zone, and the note beside a file that was refused.

Belongs here: paths relative to the root, and `Snapshot`. Does not belong here: putting anything there (`zone.py`).

    landing/<folder of a dataset>/...                                       dropped by others
    processing/<dataset>/<sha256>                                           copies that are being read
    archive/<dataset>/<YYYY-MM-DD>/<HHMMSS>_<16 of sha256><suffix>          loaded, kept for good
    rejected/<dataset>/<YYYY-MM-DD>/<HHMMSS>_<16 of sha256>_<name>          refused; `<same>.reason.txt` says why
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from resources.landing.files_seen import Seen
from resources.landing.names import escaped, plain_part, suffix_of

Area = Literal["archive", "rejected"]
KEPT = re.compile(r"(?:archive|rejected)/[a-z][a-z0-9_]{0,39}/\d{4}-\d{2}-\d{2}/[^/]+")
"""The path of a file that was kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A copy of one version of a file, named by its content."""

    dataset: str
    sha256: str
    size: int
    """Bytes."""
    taken_at: datetime
    """UTC; stays the same when the snapshot of the same content is taken again before it was archived."""
    content_changed: bool
    """The file was no longer the version that had been seen, although it stood still while it was copied."""

    @property
    def path(self) -> str:
        """Relative to the root of the zone."""
        return f"processing/{self.dataset}/{self.sha256}"


def source_path(seen: Seen) -> str:
    """Where the file was dropped."""
    return f"landing/{seen.folder}/{seen.path}"


def archived_path(snapshot: Snapshot, name: str, at: datetime) -> str:
    """Where a loaded file called `name` is kept; of its name only the suffix stays."""
    return f"archive/{snapshot.dataset}/{_stem(snapshot, at)}{suffix_of(name)}"


def rejected_path(snapshot: Snapshot, name: str, at: datetime) -> str:
    """Where a refused file called `name` is kept."""
    return f"rejected/{snapshot.dataset}/{_stem(snapshot, at)}_{plain_part(name)}"


def reason_text(snapshot: Snapshot, seen: Sequence[Seen], at: datetime, reason: str) -> str:
    """What is written beside a refused file: what, where, when, and what to do."""
    lines = "\n".join(escaped(line) for line in reason.splitlines())
    return (
        "This file was refused as a whole; nothing of it was loaded.\n\n"
        f"What:    {lines}\n"
        + "".join(f"File:    {escaped(source_path(file))}\n" for file in seen)
        + f"Dataset: {snapshot.dataset}\n"
        f"Size:    {snapshot.size} bytes\n"
        f"SHA-256: {snapshot.sha256}\n"
        f"When:    {at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC\n"
        f"To do:   mend the file as said above and drop it into landing/{escaped(seen[0].folder)}/ again.\n"
    )


def _stem(snapshot: Snapshot, at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d/%H%M%S}_{snapshot.sha256[:16]}"
