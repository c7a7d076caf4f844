"""What is to become of a sample file and of each of its lines: the answer key.

Belongs here: `SampleFile`, `LineTruth`, the rules that are planted. Does not belong here: files.
"""

from dataclasses import dataclass
from typing import Literal

Fate = Literal["row", "reject", "skipped"]
FileFate = Literal["loaded", "rejected", "duplicate"]

RAGGED = "ragged"
"""The record has more or fewer cells than the header."""
UNCLOSED_QUOTE = "unclosed_quote"
NUL = "nul"
NOT_A_NUMBER = "not_a_number"
NOT_A_TIME = "not_a_time"
UNKNOWN_CATEGORY = "unknown_category"
OUT_OF_RANGE = "out_of_range"
MISSING = "missing"
"""A cell that must be there is empty."""
NO_CACHED_VALUE = "no_cached_value"
"""A cell of a workbook holds a formula that nobody has computed."""
TRUNCATED = "truncated"
"""The file as a whole ends too early."""


@dataclass(frozen=True, kw_only=True)
class LineTruth:
    """One record, or one line that holds none.

    `line_no` is counted as the readers do (`TextTable`): physical lines from 1, in workbooks the sheet's row, in JSON
    documents the number of the record.
    """

    line_no: int
    line_count: int = 1
    """More than 1 where a quoted cell holds line ends."""
    fate: Fate
    rule: str | None = None
    """Why a reject is one, and of a skipped line what it is: preamble, header, footer or blank."""
    is_repeated: bool = False
    """A row whose natural key stands in an earlier line of the file too."""


@dataclass(frozen=True, kw_only=True)
class SampleFile:
    """One file to be dropped as `<landing>/<dataset>/<name>`, and what is to become of it.

    Of a file that is not loaded no line becomes anything, so `truth` is empty and all counts are 0.
    """

    dataset: str
    name: str
    content: bytes
    fate: FileFate = "loaded"
    rule: str | None = None
    """Why the file is rejected as a whole."""
    truth: tuple[LineTruth, ...] = ()
    note: str
    """What is special about it, in plain words."""

    @property
    def lines(self) -> int:
        """Lines of the file (rows of the sheet, records of the document)."""
        return sum(line.line_count for line in self.truth)

    @property
    def rows(self) -> int:
        """How many rows reach staging, repeated ones included."""
        return sum(line.fate == "row" for line in self.truth)

    @property
    def rejects(self) -> dict[int, str]:
        """Why, by the number of the first line."""
        return self._rules("reject")

    @property
    def skipped(self) -> dict[int, str]:
        """What the line is, by its number."""
        return self._rules("skipped")

    def _rules(self, fate: Fate) -> dict[int, str]:
        return {line.line_no: line.rule or "" for line in self.truth if line.fate == fate}
