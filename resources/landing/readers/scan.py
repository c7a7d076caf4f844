"""Lines to records: which lines are a row, which a reject and why, which hold no record.

Belongs here: the walk over all lines of the table. Does not belong here: splitting one record (`records.py`), finding
out what to expect (`dialect.py`, `regions.py`), where the records go (`rows_writer.py`).
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from resources.landing.readers.records import OPEN, Cells, Dialect
from resources.landing.readers.text_file import MARK, TOO_LONG, without_marks

SPAN_LINES = 10_000
"""A quoted cell that goes on for longer was never closed."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What begins at a line: cells, or why there are none."""

    line_no: int
    line_count: int
    raw: str
    """Without the end of the last line."""
    cells: Cells | None
    rule: str = ""
    reason: str = ""

    @property
    def is_blank(self) -> bool:
        return self.cells == []

    @property
    def filled(self) -> int:
        """How many cells hold anything but blanks."""
        return sum(bool(cell and cell.strip()) for cell in self.cells or ())


class Sink(Protocol):
    """Takes what the walk finds, in the order of the lines."""

    def rows(self, texts: list[str], line_nos: list[int]) -> None: ...
    def row(self, cells: Cells, line_no: int, line_count: int) -> None: ...
    def reject(self, record: Record) -> None: ...
    def skip(self, line_no: int, line_count: int, kind: str, text: str) -> None: ...


class Lines:
    """Lines that come in batches, with a look ahead over the end of a batch."""

    def __init__(self, batches: Iterable[list[str]], first: int = 1) -> None:
        self._batches: Iterator[list[str]] = iter(batches)
        self.held: list[str] = []
        self.first = first
        """Number of the first line held."""

    def more(self) -> bool:
        """Holds one batch more; False at the end."""
        batch = next(self._batches, None)
        if batch is None:
            return False
        self.held = self.held + batch if self.held else batch
        return True

    def forget(self, count: int) -> None:
        self.held = self.held[count:]
        self.first += count

    def skip_to(self, line_no: int) -> None:
        while self.first + len(self.held) < line_no:
            self.forget(len(self.held))
            if not self.more():
                return
        self.forget(line_no - self.first)


class Scanner:
    """Reads records of one width in one dialect."""

    def __init__(self, dialect: Dialect, width: int | None, cell_bytes: int, *, wary: bool = False) -> None:
        self.dialect = dialect
        self.width = width
        self.cell_bytes = cell_bytes
        self.wary = wary
        """Whether a cell of several lines is doubted if lines inside it are records themselves."""
        self.doubtful = 0
        """How many such cells there are."""
        self.trimmed = 0
        """Records that ended with an empty cell too many."""

    def records(self, lines: Lines) -> Iterator[Record]:
        """All records up to the end, one after the other."""
        while lines.held or lines.more():
            place = 0
            while place < len(lines.held):
                record = self.record(lines, place)
                yield record
                place += record.line_count
            lines.forget(place)

    def run(self, lines: Lines, stop: int, sink: Sink, *, header: Record | None, drop_empty: bool) -> None:
        """Tells the sink about all lines before line `stop`; `header` may come again."""
        again = header.raw if header is not None else None
        plain = self._plain_row()
        while lines.first < stop and (lines.held or lines.more()):
            texts: list[str] = []
            numbers: list[int] = []
            place = 0
            end = min(len(lines.held), stop - lines.first)
            while place < end:
                text = lines.held[place].rstrip("\r\n")
                if plain(text) and text != again:
                    texts.append(text)
                    numbers.append(lines.first + place)
                    place += 1
                    continue
                if texts:
                    sink.rows(texts, numbers)
                    texts, numbers = [], []
                record = self.record(lines, place, stop)
                self._tell(record, sink, header, drop_empty)
                place += record.line_count
            if texts:
                sink.rows(texts, numbers)
            lines.forget(place)

    def record(self, lines: Lines, place: int, stop: int | None = None) -> Record:
        """What begins at the line `place` of those held; may hold more lines for it."""
        number = lines.first + place
        text = lines.held[place].rstrip("\r\n")
        if self._is_blank(text):
            return Record(line_no=number, line_count=1, raw=text, cells=[])
        cells = self.dialect.cells(text)
        count = 1
        if cells is OPEN and not text.startswith(TOO_LONG):
            joined = self._joined(lines, place, stop)
            if joined is not None:
                text, cells, count = joined
        return self._judged(number, count, text, cells)

    def _plain_row(self) -> Callable[[str], bool]:
        """Whether a line is a row, told without a closer look at its cells."""
        if not self.dialect.is_plain or self.width is None or self.width < 2:
            return lambda text: False
        delimiter, quote, surplus = self.dialect.delimiter, self.dialect.quote, self.width - 1
        special = re.compile(f"[{MARK}{re.escape(quote)}]").search
        empty = delimiter * surplus
        longest = self.cell_bytes // 4
        if not quote:
            return lambda text: (
                text.count(delimiter) == surplus and MARK not in text and text != empty and len(text) < longest
            )
        mark, sign = re.escape(delimiter), re.escape(quote)
        cell = f"(?:{sign}[^{sign}{MARK}]*+(?:{sign}{sign}[^{sign}{MARK}]*+)*+{sign}|[^{sign}{mark}{MARK}]*+)"
        whole = re.compile(f"{cell}(?:{mark}{cell}){{{surplus}}}").fullmatch

        def is_row(text: str) -> bool:
            if special(text):
                return len(text) < longest and whole(text) is not None
            return text.count(delimiter) == surplus and text != empty and len(text) < longest

        return is_row

    def _is_blank(self, text: str) -> bool:
        if self.width != 0 and (not self.dialect.delimiter or self.width == 1):
            return text in ("", "\x1a")
        return not text.strip("\x1a \t\v\f") and (
            self.dialect.runs or not self.dialect.delimiter or self.dialect.delimiter not in text
        )

    def _judged(self, number: int, count: int, text: str, cells: Cells | str) -> Record:
        def reject(rule: str, reason: str) -> Record:
            raw = without_marks(text)
            return Record(line_no=number, line_count=count, raw=raw, cells=None, rule=rule, reason=reason)

        if MARK in text:
            if TOO_LONG in text:
                return reject("cell_too_large", f"the line is longer than {self.cell_bytes} bytes")
            if re.search(f"{MARK}\\\\(?!x00)", text):
                return reject("undecodable", "the line has bytes that are no text in the encoding of the file")
            return reject("nul", "the line has zero bytes, which no text may have")
        if isinstance(cells, str):
            if cells is OPEN:
                return reject("unclosed_quote", "a quoted cell is never closed")
            return reject("stray_quote", "text follows the closing quote of a cell")
        if self.width is not None and len(cells) != self.width:
            cut = _trimmed(cells, self.width)
            if len(cut) != self.width:
                return reject("ragged", f"{len(cells)} cells; the table has {self.width}")
            cells = cut
            self.trimmed += 1
        if len(text) > self.cell_bytes // 4 and any(len((cell or "").encode()) > self.cell_bytes for cell in cells):
            text = text[:1000] + "..."
            return reject("cell_too_large", f"a cell is larger than {self.cell_bytes} bytes")
        return Record(line_no=number, line_count=count, raw=text, cells=cells)

    def _joined(self, lines: Lines, place: int, stop: int | None) -> tuple[str, Cells, int] | None:
        """The record with a cell of several lines that begins at `place`, if there is one."""
        quote = self.dialect.quote
        size = len(lines.held[place])
        last = place
        while last - place < SPAN_LINES and size <= self.cell_bytes:
            last += 1
            if stop is not None and lines.first + last >= stop:
                return None
            if last >= len(lines.held) and not lines.more():
                return None
            size += len(lines.held[last])
            if quote not in lines.held[last]:
                continue
            text = "".join(lines.held[place : last + 1])
            text = text[: len(text) - len(lines.held[last]) + len(lines.held[last].rstrip("\r\n"))]
            cells = self.dialect.cells(text)
            if cells is OPEN:
                continue
            if isinstance(cells, str) or (self.width is not None and len(_trimmed(cells, self.width)) != self.width):
                return None
            if self._is_doubtful(lines.held[place : last + 1]):
                self.doubtful += 1
                if self.wary:
                    return None
            return text, cells, last + 1 - place
        return None

    def _is_doubtful(self, held: list[str]) -> bool:
        """Whether the lines read as records each by itself, so that the quote may just as well be a slip."""
        if self.width is None or self.width < 2:
            return False
        inside = [line for line in held[1:-1] if line.strip()]
        if not inside:
            return all(line.count(self.dialect.delimiter) == self.width - 1 for line in (held[0], held[-1]))
        whole = sum(self._is_whole(line) for line in inside[:100])
        return whole * 2 >= len(inside[:100])

    def _is_whole(self, line: str) -> bool:
        cells = self.dialect.cells(line.rstrip("\r\n"))
        return not isinstance(cells, str) and len(cells) == self.width

    def _tell(self, record: Record, sink: Sink, header: Record | None, drop_empty: bool) -> None:
        if record.cells is None:
            sink.reject(record)
        elif record.is_blank or (drop_empty and not record.filled):
            sink.skip(record.line_no, record.line_count, "blank", record.raw)
        elif header is not None and len(record.cells) > 1 and record.cells == header.cells:
            sink.skip(record.line_no, record.line_count, "header", record.raw)
        else:
            sink.row(record.cells, record.line_no, record.line_count)


def _trimmed(cells: Cells, width: int) -> Cells:
    """Without empty cells beyond the width."""
    if len(cells) > width and not any(cells[width:]) and all(cell is None for cell in cells[width:]):
        return cells[:width]
    return cells
