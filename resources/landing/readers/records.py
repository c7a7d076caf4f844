"""One record of delimited text from one or several lines, strictly.

Belongs here: the dialect, and splitting a line into cells with it. Does not belong here: finding the dialect
(`dialect.py`), and what is done with records that do not fit (`scan.py`).
"""

import re
from dataclasses import dataclass
from functools import cached_property

Cells = list[str | None]

OPEN = "open"
"""A quoted cell does not end in this text."""
STRAY = "stray"
"""Text follows the closing quote of a cell."""


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How cells are told apart in the lines of a file."""

    delimiter: str
    """'' if every line is one cell."""
    quote: str = '"'
    """'' if no cell is quoted."""
    escape: str = ""
    """What stands before a quote in a quoted cell; '' if it is doubled."""
    runs: bool = False
    """Whether several delimiters in a row count as one."""
    lenient: bool = False
    """Whether quotes inside quoted cells stand as they are: the writer of the file knows no escape."""

    @property
    def is_plain(self) -> bool:
        """Whether DuckDB reads it: one ASCII character between cells, quotes doubled."""
        return (
            len(self.delimiter) <= 1
            and self.delimiter.isascii()
            and not (self.escape or self.runs or self.lenient)
            and self.quote in ("", '"', "'")
        )

    @cached_property
    def _between(self) -> str:
        if not self.delimiter:
            return r"(?!)"
        return f"(?:{re.escape(self.delimiter)})+" if self.runs else re.escape(self.delimiter)

    @cached_property
    def _split(self) -> re.Pattern[str]:
        return re.compile(self._between)

    @cached_property
    def _blanks(self) -> str:
        return "" if self.delimiter.isspace() else "[ ]*+"

    @cached_property
    def _body(self) -> re.Pattern[str]:
        """The inside of a quoted cell, up to its closing quote or the end of the text."""
        quote, escape = re.escape(self.quote), re.escape(self.escape)
        other = f"[^{quote}{escape}]++|{quote}{quote}"
        return re.compile(f"(?:{other}|{escape}.|{escape}\\Z)*+" if escape else f"(?:{other})*+", re.S)

    @cached_property
    def _closing(self) -> re.Pattern[str]:
        return re.compile(f"{re.escape(self.quote)}{self._blanks}(?={self._between}|\\Z)")

    @cached_property
    def _opening(self) -> re.Pattern[str]:
        return re.compile(self._blanks + re.escape(self.quote))

    @cached_property
    def _escaped_cell(self) -> re.Pattern[str]:
        delimiter, escape = re.escape(self.delimiter or "\0"), re.escape(self.escape)
        return re.compile(f"(?:(?!{delimiter}){escape}?.)*+", re.S)

    def cells(self, text: str) -> Cells | str:
        """The cells of one record (None where nothing stands, '' where an empty cell is quoted), or `OPEN` or `STRAY`.

        `text` is without the line end.
        """
        if not self.quote or self.quote not in text:
            return self._unquoted(text)
        found: Cells = []
        place = 0
        while True:
            opening = self._opening.match(text, place)
            if opening:
                read = self._quoted(text, opening.end())
                if isinstance(read, tuple):
                    cell, place = read
                    found.append(cell)
                elif opening[0] == self.quote:
                    return read
                else:
                    opening = None
            if not opening:
                end = self._cell_end(text, place)
                found.append(self._plain(text[place:end]))
                place = end
            between = self._split.match(text, place)
            if between is None:
                return found
            place = between.end()

    def _quoted(self, text: str, start: int) -> tuple[str, int] | str:
        body = self._body.match(text, start)
        end = body.end() if body else start
        closing = self._closing.match(text, end)
        if closing:
            return self._unescape(text[start:end]), closing.end()
        if self.lenient:
            later = self._closing.search(text, start)
            if later:
                return text[start : later.start()].replace(self.quote * 2, self.quote), later.end()
        return OPEN if end >= len(text) else STRAY

    def _unquoted(self, text: str) -> Cells:
        if self.runs:
            return [cell or None for cell in self._split.split(text.strip(self.delimiter))]
        if not self.delimiter:
            return [text or None]
        if self.escape and self.escape in text:
            return self._with_escapes(text)
        return [cell or None for cell in text.split(self.delimiter)]

    def _with_escapes(self, text: str) -> Cells:
        found: Cells = []
        place = 0
        while True:
            end = self._cell_end(text, place)
            found.append(self._plain(text[place:end]))
            if end >= len(text):
                return found
            place = end + len(self.delimiter)

    def _cell_end(self, text: str, place: int) -> int:
        if self.escape and self.escape in text:
            found = self._escaped_cell.match(text, place)
            return found.end() if found else len(text)
        between = self._split.search(text, place)
        return between.start() if between else len(text)

    def _plain(self, text: str) -> str | None:
        return (self._unescape(text) if self.escape else text) or None

    def _unescape(self, text: str) -> str:
        """An escape goes where it shields a quote, a delimiter or itself, and stays where it stands for nothing."""
        if self.escape and self.escape in text:
            return self._shielded.sub(lambda found: found[1] or self.quote, text)
        return text.replace(self.quote * 2, self.quote) if self.quote else text

    @cached_property
    def _shielded(self) -> re.Pattern[str]:
        signs = {self.escape, *filter(None, (self.quote, self.delimiter))}
        doubled = f"|{re.escape(self.quote * 2)}" if self.quote else ""
        return re.compile(f"{re.escape(self.escape)}({'|'.join(map(re.escape, sorted(signs)))}){doubled}")
