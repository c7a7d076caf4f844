"""What was planted where: the answer key of a generated archive.

Belongs here: `Planted`, `FileTruth`, `Truth`. Does not belong here: planting.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

Kind = Literal[
    "sentinel",
    "scaled_sentinel",
    "small_negative",
    "impossible",
    "spike",
    "stuck",
    "short_gap",
    "long_gap",
    "missing_day",
    "duplicate",
    "unit_mix",
    "malformed",
    "late",
]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, kw_only=True)
class Planted:
    """One planted defect, from the stamp `first` to the stamp `last` (UTC, END of hour, both included).

    `duplicate` and `malformed` lie on line `line_no` of `path` (relative to the archive's root; the header is line
    1), beside the sound row of `first`. `late` rows are absent until `deliver_late`, gaps for ever; after a
    `missing_day` no sensor has rows.
    """

    kind: Kind
    location_id: int
    sensors_id: int | None
    """None: the whole location."""
    first: datetime
    last: datetime
    path: str | None = None
    line_no: int | None = None
    rule: str | None = None
    """`malformed`: the rule the line breaks, as `archive_file.parse` names it."""


@dataclass(frozen=True, kw_only=True)
class FileTruth:
    """One file: how many sound rows (duplicates included) and how many malformed lines it was written with."""

    rows: int
    malformed: int
    late: tuple[str, ...] = ()
    """Lines, without line end, that `deliver_late` appends."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Everything there is to know of a generated archive."""

    planted: tuple[Planted, ...]
    files: Mapping[str, FileTruth]
    """By path, relative to the archive's root."""

    def of(self, kind: Kind) -> list[Planted]:
        """The planted defects of one kind."""
        return [defect for defect in self.planted if defect.kind == kind]
