"""Which of the first records of a table are its header, and what the columns are called.

Belongs here: headers of one or several lines, or none. Does not belong here: what stands before and after the table
(`regions.py`).
"""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from resources.landing.readers.cell_kinds import CODE, DATE, EMPTY, NUMBER, ODD, TEXT, YEAR, kind
from resources.landing.readers.records import Cells
from resources.landing.readers.scan import Record

MOST_LINES = 8
_PROFILED = 200
_VALUES = (NUMBER, DATE)
_WHOLE = re.compile(r"-?\d+", re.ASCII)
_PART = re.compile(r"\d{1,3}", re.ASCII)


class Profile:
    """What the columns of a table hold, by its records further down."""

    def __init__(self, body: Sequence[Cells], width: int) -> None:
        body = body[-_PROFILED:]
        self.kinds = [
            Counter(kind(cells[place]) if place < len(cells) else EMPTY for cells in body) for place in range(width)
        ]
        self.values = [self._share(place, (NUMBER, DATE, YEAR)) >= 0.7 for place in range(width)]
        self.years = [self._share(place, (YEAR,)) >= 0.5 for place in range(width)]
        self.texts = [Counter(cells[place] for cells in body if place < len(cells)) for place in range(width)]
        filled = sorted(sum(bool(cell and cell.strip()) for cell in cells) for cells in body)
        self.filled = filled[len(filled) * 3 // 4] if filled else width
        """How many cells of a full record hold something; of the labels between them fewer do."""

    def _share(self, place: int, kinds: tuple[str, ...]) -> float:
        seen = self.kinds[place]
        full = sum(seen.values()) - seen[EMPTY]
        return sum(seen[name] for name in kinds) / full if full else 0.0

    def is_foreign(self, cells: Cells) -> bool:
        """Whether the cells are full, and new to all columns that have few values, of which there are two at least."""
        known = [place for place, seen in enumerate(self.texts) if len(seen) <= 0.4 * sum(seen.values())]
        return len(known) >= 2 and all(cells) and all(self.texts[place][cells[place]] <= 1 for place in known)

    def agreement(self, cells: Cells) -> tuple[int, int]:
        """How many cells in columns of values are values, and how many are text; years count as either."""
        values = texts = 0
        for place, cell in enumerate(cells[: len(self.values)]):
            if not self.values[place]:
                continue
            name = kind(cell)
            if name in _VALUES or (name == YEAR and self.years[place]):
                values += 1
            elif name in (TEXT, CODE, ODD) or name == YEAR:
                texts += 1
        return values, texts


def header_length(records: Sequence[Cells], profile: Profile) -> int:
    """How many of the records at the top of a table are its header; 0 if it has none."""
    if not records:
        return 0
    if len(records) == 1:
        return 0 if any(kind(cell) in _VALUES for cell in records[0]) else 1
    if not any(profile.values):
        return _without_values(records, profile)
    count = 0
    for cells in records[:MOST_LINES]:
        values, texts = profile.agreement(cells)
        if values > texts or (values and values >= texts) or (not texts and not _may_be_names(cells, count)):
            break
        if count and (not texts or not _goes_on(records[count - 1], cells, profile)):
            break
        count += 1
    if count == min(len(records), MOST_LINES):
        return 1
    return _at_least_names(records, count, profile)


def _goes_on(upper: Cells, cells: Cells, profile: Profile) -> bool:
    """Whether a header goes on in this line: below a line without a gap, it takes more than one word or a year where a
    number is expected, for that may be a row with a fault in it."""
    if not all(upper) or not cells[0]:
        return True
    over = [kind(cell) for cell, values in zip(cells, profile.values, strict=False) if values]
    return len(over) > 1 and all(name in (TEXT, CODE, ODD) for name in over)


def _may_be_names(cells: Cells, above: int) -> bool:
    """A line without any cell over a column of values may still be the upper part of a header."""
    names = [cell for cell in cells if cell and cell.strip()]
    return above == 0 and len(names) > 1 and all(kind(cell) in (TEXT, CODE, YEAR) for cell in names)


def _at_least_names(records: Sequence[Cells], count: int, profile: Profile) -> int:
    """Lines that only hold a label at the left belong to the rows below, not to the header above."""
    while count > 1 and _filled(records[count - 1]) == 1 and _filled(records[count - 2]) > 1:
        count -= 1
    return count


def _without_values(records: Sequence[Cells], profile: Profile) -> int:
    """Where all columns are text: the first record is the header unless it looks like those below."""
    first = records[0]
    names = [(cell or "").strip() for cell in first]
    full = [name for name in names if name]
    if not full or any(kind(name) in _VALUES for name in full):
        return 0
    if any(len(name) > 120 for name in full):
        return 0
    again = sum(bool(name) and profile.texts[place][first[place]] > 0 for place, name in enumerate(names))
    if again and again >= 0.3 * len(full):
        return 0
    like_below = sum(
        bool(name) and kind(name) == CODE and profile.kinds[place][CODE] > 0.6 * sum(profile.kinds[place].values())
        for place, name in enumerate(names)
    )
    if like_below and like_below >= 0.5 * len(full) and any(character.isdigit() for character in "".join(full)):
        return 0
    if len(records) > 2 and len(full) == len(names) and _continues(records[1], profile):
        return 2
    if len(full) < 0.5 * len(names) and len(records) > 2 and _filled(records[1]) > len(full):
        return 2
    return 1


def _continues(cells: Cells, profile: Profile) -> bool:
    """Whether a record has no key where all rows below have one, each its own."""
    keys = profile.texts[0] if profile.texts else Counter()
    return (
        bool(cells)
        and cells[0] is None
        and not keys[None]
        and len(keys) == sum(keys.values()) > 2
        and len(set(cells[1:])) == 1
        and cells[-1] is not None
    )


def header_names(records: Sequence[Cells], width: int) -> tuple[str, ...]:
    """Names of the columns: those of several lines joined by a blank; upper ones spread to the right."""
    rows = [[(cell or "") for cell in (*cells, *[None] * width)][:width] for cells in records]
    for upper, lower in pairwise(rows):
        spread = ""
        for place in range(width):
            if upper[place].strip():
                spread = upper[place] if lower[place].strip() else ""
            elif spread and lower[place].strip():
                upper[place] = spread
    if len(rows) == 1:
        return tuple(rows[0])
    return tuple(" ".join(row[place].strip() for row in rows if row[place].strip()) for place in range(width))


def has_row_names(header: Sequence[Record], rows: Sequence[Record], width: int) -> bool:
    """Whether the header lacks the name of the first column because that holds the row names R writes.

    A sign of R is wanted: the rows are numbered, their names are quoted as those in the header are, or a blank stands
    where the name lacks. Where a decimal comma may have made the cell too many, only numbers in quotes are sign enough.
    """
    if len(header) != 1 or len(header[0].cells or []) != width - 1 or width < 3 or len(rows) < 2:
        return False
    names = [record.cells[0] for record in rows if record.cells]
    if len(set(names)) < len(names):
        return False
    mark = header[0].raw[:1]
    blank_first = mark.isspace() and bool(header[0].cells and header[0].cells[0] and header[0].cells[0][0] != mark)
    quoted = mark in ("'", '"') and all(record.raw.startswith(mark) for record in rows)
    numbered = names == [str(number) for number in range(1, len(names) + 1)]
    if quoted and numbered:
        return True
    return (quoted or numbered or blank_first) and not _may_hold_decimal_comma(rows, width)


def _may_hold_decimal_comma(rows: Sequence[Record], width: int) -> bool:
    """Whether two neighbouring columns, without the first, may be the two halves of numbers cut at their comma."""
    return any(all(_is_cut_number(record, place) for record in rows) for place in range(1, width - 1))


def _is_cut_number(record: Record, place: int) -> bool:
    whole, part = ((cell or "").strip() for cell in (record.cells or [])[place : place + 2])
    return bool(_WHOLE.fullmatch(whole) and _PART.fullmatch(part)) and f",{whole},{part}," in f",{record.raw},"


def _filled(cells: Cells) -> int:
    return sum(bool(cell and cell.strip()) for cell in cells)
