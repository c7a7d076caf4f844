"""The account of a file's lines: which stretch of them became what, in order, and whether all are accounted for.

Belongs here: the arithmetic of lines. Does not belong here: asking the catalog and printing (`file_lines.py`).
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain, pairwise


class LineFate(StrEnum):
    """What became of a line."""

    LOADED = "loaded"
    PUT_ASIDE = "put aside"
    NO_RECORD = "no record"
    UNKNOWN = "NOT ACCOUNTED FOR"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What begins on a line, as the catalog or the staging table has it; lines count from 1."""

    line_no: int
    fate: LineFate
    last_start: int = 0
    """Of rows that follow each other: where the last of them begins."""
    records: int = 0
    line_count: int = 0
    """Lines without a record, those included that lie further down where the reader notes stretches together."""
    why: str = ""
    """Rule, or kind of a line without a record."""
    reason: str = ""
    text: str = ""
    """As received."""


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Lines `first` to `last` and what became of them."""

    first: int
    last: int
    entry: Entry


class LineAccount:
    """Lays the entries of a file end to end over its lines.

    A row or a reject lasts until the next entry begins: that is how a quoted cell with line ends takes several lines.
    Nothing else can lie between, since a file is only loaded if the lines of its records and those without one add up;
    `problems` compares with the numbers of that time.

    Args:
        lines: of the file.
    """

    def __init__(self, lines: int) -> None:
        self.lines = lines
        self.lines_of: Counter[LineFate] = Counter()
        self.records_of: Counter[LineFate] = Counter()
        self.apart = 0
        """Lines without a record that lie somewhere in the stretches of records; the catalog does not say where."""
        self.noted = 0
        """Lines without a record, as the entries say."""
        self._twice = 0
        self._spare = 0
        self._covered = 0

    def stretches(self, entries: Iterable[Entry]) -> Iterator[Stretch]:
        """Every line of the file in order, each once; what nothing is known of is a stretch too.

        Args:
            entries: by the line they begin on.
        """
        for entry, after in pairwise(chain(entries, [None])):
            assert entry is not None
            yield from self._gap(entry.line_no - 1)
            self._twice += entry.line_no <= self._covered
            yield self._taken(entry, after.line_no - 1 if after else self.lines)
        yield from self._gap(self.lines)

    def problems(self, *, rows: int, put_aside: int, without_record: int) -> list[str]:
        """What does not fit the counts of when the file was loaded, in words; call it after the last stretch."""
        found = []
        if unknown := self.lines_of[LineFate.UNKNOWN]:
            found.append(f"of {unknown:,} lines nobody knows what became of them")
        if self._twice:
            found.append(f"{self._twice:,} lines have two fates")
        if self._covered > self.lines:
            found.append(f"line {self._covered:,} is beyond the end of the file")
        if self.apart > self._spare:
            found.append(f"{self.apart - self._spare:,} lines noted as without a record lie nowhere")
        for what, now, then in (
            ("rows loaded", self.records_of[LineFate.LOADED], rows),
            ("rows put aside", self.records_of[LineFate.PUT_ASIDE], put_aside),
            ("lines without a record", self.noted, without_record),
        ):
            if now != then:
                found.append(f"there are {now:,} {what}, and there were {then:,} when it was loaded")
        return found

    def _taken(self, entry: Entry, end: int) -> Stretch:
        """The stretch of an entry that ends at line `end` at the latest."""
        last = max(end, entry.last_start, entry.line_no)
        if entry.fate is LineFate.NO_RECORD:
            last = min(entry.line_no + entry.line_count - 1, last)
            self.noted += entry.line_count
            self.apart += entry.line_count - (last - entry.line_no + 1)
        else:
            self._spare += last - entry.line_no + 1 - entry.records
        self.records_of[entry.fate] += entry.records
        return self._counted(Stretch(first=entry.line_no, last=last, entry=entry))

    def _gap(self, end: int) -> Iterator[Stretch]:
        """What nothing begins on, up to line `end`: lines noted together with others above, or lost ones."""
        first, missing = self._covered + 1, end - self._covered
        if missing <= 0:
            return
        entry = Entry(line_no=first, fate=LineFate.UNKNOWN)
        if missing <= self.apart:
            self.apart -= missing
            entry = replace(entry, fate=LineFate.NO_RECORD, line_count=missing, why="noted with those above")
        yield self._counted(Stretch(first=first, last=end, entry=entry))

    def _counted(self, stretch: Stretch) -> Stretch:
        self.lines_of[stretch.entry.fate] += stretch.last - max(stretch.first, self._covered + 1) + 1
        self._covered = max(self._covered, stretch.last)
        return stretch
