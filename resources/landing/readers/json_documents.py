"""JSON files: a list of objects, JSON lines, objects one after the other, or a document around a list of objects.

Belongs here: which values of a file are its records, and where they stand. Does not belong here: cutting the text into
values (`json_scanner.py`), which kind of file it is (`json_shape.py`), what a record says (`json_records.py`).

Lines: in JSON lines every line counts, by itself. In the other kinds a record has the lines it stands on, and lines
without any (brackets, what stands beside the list) are skipped as structure, as long as no two records share a line. If
two do, or records are exploded from nested lists, then a line is a record: `line_no` is its ordinal, and `lines` counts
the records; `facts["line_numbers"]` says which (`physical` or `record`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from resources.errors import RejectedFile
from resources.landing.limits import Limits
from resources.landing.readers.encoding import find_encoding
from resources.landing.readers.hints import Hints
from resources.landing.readers.json_records import (
    ELEMENTS,
    Exploder,
    RecordRefused,
    Refused,
    column_name,
    decode,
    flatten,
    nesting,
)
from resources.landing.readers.json_scanner import CHUNK, RawText, RawValue, Scanner, elements, members
from resources.landing.readers.json_shape import BETWEEN_VALUES, holds_json_lines, list_to_read, open_text
from resources.landing.readers.table_writer import PREVIEW_CHARACTERS, TableWriter, storable
from resources.landing.text_table import TextTable

FACTS_BESIDE = 100
"""How many of the scalars beside the list of records become facts."""

Facts = dict[str, str | int | float | bool | None]


def read_json(path: Path, work_dir: Path, limits: Limits, hints: Hints) -> TextTable:
    """The records of a JSON file, one row each, with the union of their fields as columns in order of appearance.

    `hints.records_path` leads to the records: keys from the top, with `"[]"` where every element of a list is meant;
    without it the longest list of objects in a document is taken, and the objects in further lists become rejects
    (`another_list`). Each line of JSON lines is a top of its own, and so
    is each element of a list at the top; a path that starts with `"[]"` makes them records, whose fields are columns
    too. A record that cannot be read becomes a reject, the others are read.

    Raises:
        RejectedFile: `truncated`, `malformed`, `not_json`, `too_deep`, `no_records`, `duplicate_key`, `undecodable`,
            `too_many_columns` or `too_many_rows`.
        ConfigurationError: there is no such encoding as the hints say.
    """
    found = find_encoding(path, hints)
    try:
        with TableWriter(work_dir, limits, format="json") as writer:
            reader = _Reader(writer, limits, {"encoding": found.name, "encoding_confidence": found.confidence})
            return reader.read(path, found.name, hints.records_path or ())
    except UnicodeError as error:
        raise RejectedFile("undecodable", f"the file is not in {found.name}: {error}; declare its encoding") from error


class _Reader:
    """Takes the records of one file, one after the other, and keeps account of their lines."""

    def __init__(self, writer: TableWriter, limits: Limits, facts: Facts) -> None:
        self._writer = writer
        self._limits = limits
        self._facts = facts
        self._record_limit = limits.memory_bytes // 8
        self._exploder: Exploder | None = None
        self._records = 0
        self._by_record = False
        self._last_line = 0

    def read(self, path: Path, encoding: str, records_path: tuple[str, ...]) -> TextTable:
        if holds_json_lines(path, encoding):
            self._explode(records_path, ())
            with open_text(path, encoding) as source:
                lines = self._read_lines(source)
            self._facts["structure"] = "lines"
        else:
            with open_text(path, encoding) as source:
                found = list_to_read(Scanner(source, self._record_limit), self._limits, records_path)
            self._explode(records_path if found is None else records_path[len(found) :], found or ())
            with open_text(path, encoding) as source:
                lines = self._read_document(Scanner(source, self._record_limit), found, chosen=bool(records_path))
            self._facts["structure"] = "values" if found is None else "wrapped"
            self._facts["records_path"] = None if found is None else ".".join(found)
        self._facts["line_numbers"] = "record" if self._by_record else "physical"
        if self._exploder is not None:
            self._facts["left_out"] = ", ".join(sorted(self._exploder.left_out)) or None
        header = tuple(column_name(column) for column in self._writer.columns) or None
        return self._writer.table(header=header, lines=lines, facts=self._facts)

    def _explode(self, path: tuple[str, ...], prefix: tuple[str, ...]) -> None:
        if any(part != ELEMENTS for part in path):
            self._exploder = Exploder(path, prefix)
            self._by_record = True

    def _read_lines(self, source: TextIO) -> int:
        line_no = 0
        for line_no, raw in enumerate(_lines(source, self._record_limit), start=1):
            text = raw.text().strip(BETWEEN_VALUES)
            if text:
                depth = 1 if raw.oversized else nesting(text)
                self._take(RawValue(text, line_no, line_no, depth, raw.oversized), "", "blank")
        return self._end(line_no, "", "blank")

    def _read_document(self, scanner: Scanner, wrapped: tuple[str, ...] | None, *, chosen: bool) -> int:
        values = _values(scanner) if wrapped is None else self._wrapped_values(scanner, wrapped, chosen=chosen)
        for raw in values:
            self._take(raw, scanner.passed, "structure")
            scanner.passed = ""
        return self._end(scanner.lines, scanner.passed, "structure")

    def _wrapped_values(self, scanner: Scanner, wrapped: tuple[str, ...], *, chosen: bool) -> Iterator[RawValue]:
        """The elements of the list that is read; if nobody chose it, those of the others are put aside."""
        beside = 0
        for path, first in members(scanner, self._limits.json_depth):
            if path == wrapped:
                yield from elements(scanner)
            elif first == "[" and not chosen:
                self._put_aside(scanner, path, wrapped)
            else:
                raw = scanner.value()
                if first != "[" and beside < FACTS_BESIDE:
                    beside += 1
                    self._facts[f"beside.{storable('.'.join(path))}"] = storable(raw.text[:PREVIEW_CHARACTERS])
        scanner.peek()

    def _put_aside(self, scanner: Scanner, path: tuple[str, ...], wrapped: tuple[str, ...]) -> None:
        """Makes the objects of a list that is not read rejects; what else is in it stays structure."""
        reason = (
            f"belongs to the list {'.'.join(path)!r}, only {'.'.join(wrapped)!r} is read; "
            "declare the path to the records, or deliver each list as a file of its own"
        )
        for raw in elements(scanner):
            if raw.text.startswith("{"):
                self._account(raw, scanner.passed, "structure")
                scanner.passed = ""
                self._reject(raw, raw.text, "another_list", reason)

    def _take(self, raw: RawValue, passed: str, kind: str) -> None:
        self._account(raw, passed, kind)
        try:
            record = decode(raw, self._limits.json_depth)
        except RecordRefused as refused:
            self._reject(raw, raw.text, refused.rule, str(refused))
            return
        if self._exploder is None:
            self._writer.row(*self._place(raw), flatten(record), raw.text)
            return
        for made in self._exploder.rows(record):
            if isinstance(made, Refused):
                self._reject(raw, made.raw, made.rule, made.reason)
            else:
                self._writer.row(*self._place(raw), made.cells, raw.text)

    def _reject(self, raw: RawValue, text: str, rule: str, reason: str) -> None:
        place = self._place(raw)
        self._writer.reject(*place, text, rule, f"{reason} (line {raw.first_line})" if self._by_record else reason)

    def _place(self, raw: RawValue) -> tuple[int, int]:
        self._records += 1
        return (self._records, 1) if self._by_record else (raw.first_line, raw.last_line - raw.first_line + 1)

    def _account(self, raw: RawValue, passed: str, kind: str) -> None:
        if self._by_record:
            return
        if raw.first_line <= self._last_line:
            self._by_record = True
            self._writer.number_by_record()
        else:
            self._skip_up_to(raw.first_line - 1, passed, kind)
            self._last_line = raw.last_line

    def _skip_up_to(self, line: int, passed: str, kind: str) -> None:
        count = line - self._last_line
        if count > 0:
            own = passed.split("\n")[1 if self._last_line else 0 :]
            self._writer.skip(self._last_line + 1, count, kind, "\n".join(own[:count]))

    def _end(self, lines: int, passed: str, kind: str) -> int:
        if self._by_record:
            return self._records
        self._skip_up_to(lines, passed, kind)
        return lines


def _values(scanner: Scanner) -> Iterator[RawValue]:
    """Values one after the other, of a list at the top its elements; commas between them are let pass."""
    while scanner.peek():
        if scanner.peek() == "[":
            yield from elements(scanner)
        else:
            yield scanner.value()
        scanner.take(",")


def _lines(source: TextIO, limit: int) -> Iterator[RawText]:
    while part := source.readline(CHUNK):
        raw = RawText(limit)
        raw.add(part)
        while not part.endswith("\n") and (part := source.readline(CHUNK)):
            raw.add(part)
        yield raw
