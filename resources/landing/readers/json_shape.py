"""Which kind of JSON file it is: lines, or a document; and in a document around lists, which list holds the records.

Belongs here: looking at the text without decoding its records. Does not belong here: reading the records
(`json_documents.py`).
"""

import io
from collections import Counter
from itertools import takewhile
from pathlib import Path
from typing import TextIO

from resources.errors import RejectedFile
from resources.landing.limits import Limits
from resources.landing.readers.json_records import ELEMENTS
from resources.landing.readers.json_scanner import CHUNK, Scanner, elements, members

SAMPLE_LINES = 100
SAMPLE_CHARACTERS = 4_000_000
BETWEEN_VALUES = " \t\n\r\ufeff\x1e"
LINE_SUFFIXES = (".jsonl", ".ndjson")


def open_text(path: Path, encoding: str) -> TextIO:
    """The text with `\\n` at the end of every line; what cannot be decoded becomes half of a surrogate pair."""
    errors = "surrogatepass" if encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"
    return path.open(encoding=encoding, errors=errors, newline=None)


def list_to_read(scanner: Scanner, limits: Limits, records_path: tuple[str, ...]) -> tuple[str, ...] | None:
    """The keys to the list whose elements are the records, if the file is one object around it."""
    first = scanner.peek()
    if first != "{":
        if first not in ("", "["):
            raise RejectedFile(
                "not_json", f"the file starts with {first!r}, a JSON file with {{ or [; is it another format?"
            )
        return None
    found: Counter[tuple[str, ...]] = Counter()
    met: set[tuple[str, ...]] = set()
    for path, char in members(scanner, limits.json_depth):
        if char != "[":
            scanner.value()
            continue
        if path in met:
            raise RejectedFile(
                "duplicate_key", f"the list {'.'.join(path)!r} stands twice in the document; have it corrected"
            )
        met.add(path)
        found[path] += sum(raw.text.startswith("{") for raw in elements(scanner))
    if scanner.peek() or records_path[:1] == (ELEMENTS,):
        return None
    if records_path:
        wanted = tuple(takewhile(lambda part: part != ELEMENTS, records_path))
        if wanted not in met:
            raise RejectedFile(
                "no_records", f"the document holds no list {'.'.join(wanted)!r}; correct the path to its records"
            )
        return wanted
    longest = found.most_common(1)
    return longest[0][0] if longest and longest[0][1] else None


def holds_json_lines(path: Path, encoding: str) -> bool:
    """Whether the lines are values by themselves: half of the first hundred, or more than half if a list may begin."""
    whole = lines = read = 0
    start = ""
    with open_text(path, encoding) as source:
        while lines < SAMPLE_LINES and read < SAMPLE_CHARACTERS and (line := source.readline(CHUNK)):
            read += len(line)
            if text := line.strip(BETWEEN_VALUES):
                start = start or text[0]
                lines += 1
                whole += _is_one_object(text)
    if path.suffix.lower() in LINE_SUFFIXES:
        return True
    return lines > 1 and (2 * whole > lines or (2 * whole == lines and start != "["))


def _is_one_object(text: str) -> bool:
    scanner = Scanner(io.StringIO(text), len(text))
    try:
        return text.startswith("{") and bool(scanner.value()) and not scanner.peek()
    except RejectedFile:
        return False
