"""Where the table is in a file: what stands before it, its header, what stands after it.

Belongs here: preamble, header, footer, further tables, by the first and the last records of a file. Does not belong
here: names of columns (`header.py`), reading the rows (`scan.py`).
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from resources.landing.readers.cell_kinds import CODE, EMPTY, NUMBER, ODD, TEXT, YEAR, is_value, kind
from resources.landing.readers.header import Profile, has_row_names, header_length, header_names
from resources.landing.readers.hints import Hints
from resources.landing.readers.records import Cells
from resources.landing.readers.scan import Record

_NOTE = re.compile(
    r"(?i)\W*(sources?|notes?|quelle|fuente|fonte|bron|anmerkung|legend|footnotes?|copyright|©|generated|exported|"
    r"created|report|end of|total records|rows?:|n\.?b\.?|please|see|data (from|as of)|last updated|updated|prepared|"
    r"\*|†|‡|\(?[a-z0-9]\)|\[[a-z0-9]\]|\d+/|[a-z]/|--|==)(?![a-z])"
)

_TOTAL = re.compile(r"(?i)\W*((grand|sub)?[- ]?totale?s?|sums?|summe|gesamt|somme|suma)(?![a-z])")


@dataclass(kw_only=True)
class Plan:
    """What is to be read how."""

    width: int
    header: list[Record] = field(default_factory=list)
    names: tuple[str, ...] | None = None
    before: list[Record] = field(default_factory=list)
    """Titles and notes above the table."""
    first_line: int = 1
    """Where the rows begin."""
    stop_line: int
    """Where something else begins, or the first line beyond the file."""
    after: str = "footer"
    """What begins there: footer or another_table."""
    is_report: bool = False
    """Whether it is a table for people, with titles and notes: lines without any cell filled only separate there."""


def find_regions(records: Sequence[Record], lines: int, hints: Hints, *, whole: bool) -> Plan:
    """The plan for a file of `lines` lines by its first records (`whole`: those are all)."""
    held = [record for record in records if record.cells and record.filled]
    if not held:  # nothing but separators
        width = _width([record.cells for record in records if record.cells and len(record.cells) > 1])
        return Plan(width=width, stop_line=lines + 1, first_line=_declared_start(hints))
    plan = Plan(width=_width([record.cells or [] for record in held]), stop_line=lines + 1)
    start = _start(held, plan, hints)
    if hints.skip_lines is not None and hints.header_lines and start < len(held):
        plan.width = len(held[start].cells or [])
    table = held[start:]
    body = [record.cells or [] for record in table if _fits(record, plan.width)]
    profile = Profile(body[1 + len(body) // 5 :] or body[1:] or body, plan.width)
    thin = 0
    if hints.skip_lines is None:
        thin = _titles(table, plan.width, profile, records)
    length = _header_length(table[thin:], plan, profile, hints)
    if thin and not length and all(_fits(record, plan.width) for record in table[:thin]):
        thin = 0  # without a header below them they are rows with little in them
        length = _header_length(table, plan, profile, hints)
    plan.before = list(held[: start + thin])
    table = table[thin:]
    plan.header = list(table[:length])
    rows = table[length:]
    named = max((len(record.cells or []) for record in plan.header), default=plan.width)
    shifted = has_row_names(plan.header, [record for record in rows if _fits(record, plan.width)], plan.width)
    if length:
        shift: Cells = [None] if shifted else []
        plan.names = header_names([[*shift, *(record.cells or [])] for record in plan.header], plan.width)
    shown = [*plan.before, *plan.header]
    plan.first_line = shown[-1].line_no + shown[-1].line_count if shown else _declared_start(hints)
    plan.is_report = bool(plan.before) or length > 1
    if whole and hints.header_lines is None:
        _end(records, rows, plan, profile)
    if named < plan.width and not shifted:
        # Which cell of a row is the one too many cannot be known: a comma in a number moves all cells after it.
        plan.width = named
        plan.names = header_names([record.cells or [] for record in plan.header], named)
    return plan


def find_footer(records: Sequence[Record], plan: Plan, body: Sequence[Cells]) -> None:
    """Puts the stop of a long file where the notes at its end begin, by its last records."""
    profile = Profile(body, plan.width)
    rows = [record for record in records if record.cells != []]
    _stop_at_notes(records, rows, plan, profile)


def _declared_start(hints: Hints) -> int:
    return (hints.skip_lines or 0) + 1


def _width(records: Sequence[Cells]) -> int:
    """The number of cells most records have; a few wide records outweigh some more of one cell."""
    counts = Counter(map(len, records))
    if not counts:
        return 0
    width = max(counts, key=lambda width: (counts[width] * (0.25 if width == 1 else 1 + 0.1 * min(width, 10)), width))
    if width == 1 and len(counts) > 1 and counts[1] < 0.8 * len(records):
        width = max((other for other in counts if other > 1), key=lambda other: (counts[other], other))
    like = [cells for cells in records if len(cells) == width]
    while width > 2 and counts[width - 1] and all(cells[width - 1] is None for cells in like):
        width -= 1  # every row ends with a delimiter, the header does not
    return width


def _fits(record: Record, width: int) -> bool:
    cells = record.cells or []
    return len(cells) == width or (len(cells) > width and not any(cells[width:]))


def _start(held: Sequence[Record], plan: Plan, hints: Hints) -> int:
    """The first record that belongs to the table."""
    if hints.skip_lines is not None:
        return sum(record.line_no <= hints.skip_lines for record in held)
    first = next((place for place, record in enumerate(held) if _fits(record, plan.width)), 0)
    if first and _is_uneven_header(held, first, plan.width):
        return first - 1
    if not _has_numbers(held[first : first + 1]):
        return first
    while first and len(held[first - 1].cells or []) >= max(2, plan.width - 2) and _has_numbers([held[first - 1]]):
        first -= 1  # a row gone wrong above the first good one
    return first - 1 if first and _is_uneven_header(held, first, plan.width) else first


def _has_numbers(records: Sequence[Record]) -> bool:
    return any(kind(cell) == NUMBER for record in records for cell in record.cells or [])


def _is_uneven_header(held: Sequence[Record], first: int, width: int) -> bool:
    """Whether the record above the first one of full width is a header with some names too few or too many."""
    cells = held[first - 1].cells or []
    follows = held[first - 1].line_no + held[first - 1].line_count == held[first].line_no
    names = [kind(cell) for cell in cells]
    below = [kind(cell) for cell in held[first].cells or []]
    return (
        follows
        and len(cells) >= 2
        and (width - 1 <= len(cells) or len(cells) >= 0.7 * width)
        and not any(is_value(name) for name in names)
        and names.count(TEXT) + names.count(CODE) + names.count(YEAR) + names.count(ODD) >= 0.8 * len(cells)
        and (any(is_value(name) for name in below) or abs(len(cells) - width) == 1)
    )


def _titles(table: Sequence[Record], width: int, profile: Profile, records: Sequence[Record]) -> int:
    """How many records above the header are titles, though they have as many (empty) cells as the table."""
    if width < 2 or profile.filled < 2:
        return 0
    count = 0
    for place, record in enumerate(table[:-1]):
        cells = record.cells or []
        values, _ = profile.agreement(cells)
        if _fits(record, width):
            lone = record.filled == 1 and bool(cells[0])
            if profile.filled < 3 and not _blank_between(record, table[place + 1]):
                lone = False
            if values or not (lone or (record.filled == 2 and profile.filled >= 6 and _is_pair(cells))):
                break
        elif not place or len(cells) >= 2:
            break
        count = place + 1
    return count


def _is_pair(cells: Cells) -> bool:
    """`Report date:` and what it is."""
    return bool(cells[0]) and str(cells[0]).rstrip().endswith(":") and bool(cells[1])


def _blank_between(record: Record, later: Record) -> bool:
    return record.line_no + record.line_count < later.line_no


def _header_length(table: Sequence[Record], plan: Plan, profile: Profile, hints: Hints) -> int:
    if hints.header_lines is not None:
        return min(hints.header_lines, len(table))
    if hints.has_header is False:
        return 0
    found = header_length([record.cells or [] for record in table], profile)
    return max(found, min(1, len(table))) if hints.has_header else found


def _end(records: Sequence[Record], rows: Sequence[Record], plan: Plan, profile: Profile) -> None:
    """Finds a further table or the notes below the rows."""
    if plan.width >= 2:
        for place in range(1, len(rows)):
            if _begins_table(rows, place, plan, profile):
                plan.stop_line = rows[place].line_no
                plan.after = "another_table"
                return
    below = [record for record in records if record.cells != [] and record.line_no >= plan.first_line]
    _stop_at_notes(records, below, plan, profile)


def _begins_table(rows: Sequence[Record], place: int, plan: Plan, profile: Profile) -> bool:
    record = rows[place]
    cells = record.cells or []
    later = rows[place + 1 : place + 6]
    gap = _blank_between(rows[place - 1], record)
    if len(cells) < 2 or not later:
        return False
    if not _fits(record, plan.width):
        rest = rows[place:]
        same = sum(len(other.cells or []) == len(cells) for other in rest)
        old = sum(_fits(other, plan.width) for other in rest)
        names = not any(is_value(kind(cell)) for cell in cells) and record.filled == len(cells)
        return names and old == 0 and same >= (2 if gap else 3) and same >= 0.7 * len(rest)
    if not gap:
        return False
    if plan.header and cells == plan.header[-1].cells:
        return True
    values, texts = profile.agreement(cells)
    columns = sum(profile.values)
    if not columns:
        return bool(plan.header) and profile.is_foreign(cells)
    kinds = [kind(cell) for cell in cells]
    return (
        columns > 0
        and values == 0
        and texts >= max(1, 0.6 * columns)
        and record.filled >= max(2, 0.8 * profile.filled)
        and kinds.count(EMPTY) <= 0.3 * len(kinds)
        and bool(plan.header)
    )


def _stop_at_notes(records: Sequence[Record], rows: Sequence[Record], plan: Plan, profile: Profile) -> None:
    if plan.width < 2:
        return
    first: Record | None = None
    for record in reversed(rows):
        if not _is_note(record, records, plan, profile):
            break
        first = record
    if first is not None and first is not rows[0]:
        plan.stop_line = first.line_no
        plan.is_report = True


def _is_note(record: Record, records: Sequence[Record], plan: Plan, profile: Profile) -> bool:
    cells = record.cells
    if cells is None:
        return record.rule in ("stray_quote", "unclosed_quote") and bool(_NOTE.match(record.raw.lstrip('"')))
    kinds = [kind(cell) for cell in cells]
    if _fits(record, plan.width):
        lone = record.filled == 1 and kinds[0] in (TEXT, ODD, CODE) and plan.width >= 3 and profile.filled >= 3
        # Whoever delimits all cells of a line means a row; on a sheet no line is delimited.
        is_row = kinds[0] == CODE or record.raw != cells[0]
        noted = any(pattern.match(cells[0] or "") for pattern in (_NOTE, _TOTAL))
        return record.filled == 0 or (lone and (noted or not is_row))
    words = " " in record.raw.strip()
    noted = bool(_NOTE.match(record.raw))
    if len(cells) == 1 or record.filled == 1:
        return noted or (kinds[0] in (TEXT, ODD) and words and (profile.values[0] or plan.width > 2))
    apart = any(
        other.is_blank and other.line_no + other.line_count == record.line_no for other in _near(records, record)
    )
    return (noted or (apart and words)) and not any(is_value(name) for name in kinds[1:])


def _near(records: Sequence[Record], record: Record) -> Sequence[Record]:
    """The records right above."""
    low, high = 0, len(records)
    while low < high:
        middle = (low + high) // 2
        if records[middle].line_no < record.line_no:
            low = middle + 1
        else:
            high = middle
    return records[max(0, low - 1) : low]
