"""A JSON text cut into its values, one after the other, in bounded memory.

Belongs here: where a value starts and ends, and how deep it is. Does not belong here: what it says
(`json_records.py`), which of the values are records (`json_documents.py`).
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

from resources.errors import RejectedFile

CHUNK = 1 << 18
BEGINNING = 1_000
"""Characters kept of a value that is oversized, and of what stands between two records."""

WHITE = re.compile("[ \t\n\r\ufeff\x1e]*+")
"""Between values: blanks, the marks of byte order that concatenated files bring along, record separators (RFC 7464)."""

SCALAR = re.compile(r'[^ \t\n\r,\[\]{}":]*+')
UP_TO_BRACKET = re.compile(r'[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}\[\]]*+)*+', re.DOTALL)
"""Whole strings and all between them; stops at a bracket, or at the quote of a string that is not all there yet."""

REST_OF_STRING = re.compile(r'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)


@dataclass(frozen=True, slots=True)
class RawValue:
    """One value as it is written."""

    text: str
    """If it is oversized: only its beginning, its length and its hash."""
    first_line: int
    """Lines count from 1."""
    last_line: int
    depth: int
    """0 for a scalar, 1 for an object or list of scalars."""
    oversized: bool = False


class RawText:
    """The text of one value while it is read; beyond `limit` characters only its beginning and its hash are kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[str] = []
        self._size = 0
        self._beginning = ""
        self._hash = hashlib.sha256()

    @property
    def oversized(self) -> bool:
        return self._size > self._limit

    def add(self, text: str) -> None:
        self._size += len(text)
        self._parts.append(text)
        if self.oversized:
            kept = "".join(self._parts)
            self._beginning = self._beginning or kept[:BEGINNING]
            self._hash.update(kept.encode("utf-8", "surrogatepass"))
            self._parts.clear()

    def text(self) -> str:
        if self.oversized:
            return f"{self._beginning}… [{self._size} characters, SHA-256 {self._hash.hexdigest()}]"
        return "".join(self._parts)


class Scanner:
    """Reads on through a JSON text. It knows brackets and strings only: whether a value is well formed is not judged.

    `limit` is the number of characters up to which a value is kept whole.
    """

    def __init__(self, source: TextIO, limit: int) -> None:
        self._source = source
        self._limit = limit
        self._buffer = ""
        self._at = 0
        self._ended_by_newline = True
        self.line = 1
        """Number of the line the next character is on."""
        self.passed = ""
        """The beginning of what was read since this was last emptied."""

    @property
    def lines(self) -> int:
        """Lines up to here; of the whole text once it is read to its end."""
        return self.line - 1 if self._ended_by_newline else self.line

    def peek(self) -> str:
        """The next character that is not white, left where it is; '' at the end."""
        while True:
            end = _end(WHITE, self._buffer, self._at)
            self._pass(end)
            if end < len(self._buffer):
                return self._buffer[end]
            if not self._refill(end):
                return ""

    def take(self, wanted: str) -> bool:
        """Read over the next character that is not white, if it is the wanted one."""
        if self.peek() != wanted:
            return False
        self._pass(self._at + 1)
        return True

    def value(self) -> RawValue:
        """The next value.

        Raises:
            RejectedFile: `truncated`, the text ends within the value; `malformed`, there is no value.
        """
        first = self.peek()
        first_line = self.line
        raw = RawText(self._limit)
        depth = 0
        if first in "{[" and first:
            depth = self._container(raw)
        elif first == '"':
            self._string(raw)
        else:
            self._scalar(raw, first)
        return RawValue(raw.text(), first_line, self.line, depth, raw.oversized)

    def malformed(self, wanted: str) -> RejectedFile:
        """The error to raise where something else stands than is wanted."""
        found = self.peek()
        if not found:
            return RejectedFile(
                "truncated", f"the JSON text ends in line {self.line}, where {wanted} is due; have it delivered again"
            )
        return RejectedFile("malformed", f"line {self.line}: {found!r} stands where {wanted} is due; correct the file")

    def _container(self, raw: RawText) -> int:
        depth = deepest = 0
        at = self._at
        while True:
            end = _end(UP_TO_BRACKET, self._buffer, at) if depth else at
            char = self._buffer[end : end + 1]
            if not char or char == '"':
                self._keep(raw, end)
                if char:
                    self._string(raw)
                else:
                    self._refill_within("a closing bracket")
                at = self._at
                continue
            at = end + 1
            depth += 1 if char in "{[" else -1
            deepest = max(deepest, depth)
            if depth == 0:
                self._keep(raw, at)
                return deepest

    def _string(self, raw: RawText) -> None:
        self._keep(raw, self._at + 1)
        while True:
            end = _end(REST_OF_STRING, self._buffer, self._at)
            self._keep(raw, end)
            if self._buffer[end : end + 1] == '"':
                self._keep(raw, end + 1)
                return
            self._refill_within("the closing quote of a text")

    def _scalar(self, raw: RawText, first: str) -> None:
        if not first or first in ",]}:":
            raise self.malformed("a value")
        while True:
            end = _end(SCALAR, self._buffer, self._at)
            self._keep(raw, end)
            if end < len(self._buffer) or not self._refill(end):
                return

    def _keep(self, raw: RawText, end: int) -> None:
        if end > self._at:
            raw.add(self._buffer[self._at : end])
            self._pass(end)

    def _pass(self, end: int) -> None:
        if end > self._at:
            self.line += self._buffer.count("\n", self._at, end)
            if len(self.passed) < BEGINNING:
                self.passed += self._buffer[self._at : min(end, self._at + BEGINNING)]
            self._ended_by_newline = self._buffer[end - 1] == "\n"
            self._at = end

    def _refill_within(self, wanted: str) -> None:
        if not self._refill(self._at):
            raise RejectedFile(
                "truncated", f"the JSON text ends in line {self.line}, before {wanted}; have it delivered again"
            )

    def _refill(self, keep_from: int) -> bool:
        chunk = self._source.read(CHUNK)
        self._buffer = self._buffer[keep_from:] + chunk
        self._at = 0
        return bool(chunk)


def members(scanner: Scanner, depth_limit: int) -> Iterator[tuple[tuple[str, ...], str]]:
    """Walk through an object and the objects in it: the path of each value that is no object, and its first character.

    Whoever asks reads the value from the scanner before asking for the next one.

    Raises:
        RejectedFile: `truncated`, `malformed`, or `too_deep`.
    """
    path: list[str] = []
    scanner.take("{")
    while True:
        if scanner.take("}"):
            if not path:
                return
            path.pop()
        else:
            if scanner.peek() != '"':
                raise scanner.malformed("a key")
            key = _key(scanner)
            if not scanner.take(":"):
                raise scanner.malformed("a colon")
            first = scanner.peek()
            if first == "{":
                if len(path) + 2 > depth_limit:
                    raise RejectedFile(
                        "too_deep", f"line {scanner.line}: objects lie more than {depth_limit} deep in each other"
                    )
                path.append(key)
                scanner.take("{")
                continue
            yield (*path, key), first
        if not scanner.take(",") and scanner.peek() != "}":
            raise scanner.malformed("a comma or a closing brace")


def elements(scanner: Scanner) -> Iterator[RawValue]:
    """The elements of the list that comes next, one after the other; a comma after the last is let pass.

    Raises:
        RejectedFile: `truncated` or `malformed`.
    """
    scanner.take("[")
    while not scanner.take("]"):
        yield scanner.value()
        if not scanner.take(",") and scanner.peek() != "]":
            raise scanner.malformed("a comma or a closing bracket")


def _key(scanner: Scanner) -> str:
    raw = scanner.value()
    try:
        return str(json.loads(raw.text, strict=False))
    except json.JSONDecodeError as error:
        raise RejectedFile("malformed", f"line {raw.first_line}: the key {raw.text[:100]} is no JSON text") from error


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    found = pattern.match(text, start)
    return found.end() if found else start
