"""From the bytes of a CSV file to text fields, exactly: which line every record came from, and which lines are none.

Belongs here: header, line ends, quotes, encoding, number of fields. Does not belong here: what a field means
(`archive_values.py`), gzip (`archive_file.py`).

A file without a flaw goes through Arrow's CSV reader; its structure is proven flawless first, because Arrow is
lenient where `csv` with `strict=True` is not. Any other file is read line by line, so that one bad line costs that
line only.
"""

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from resources.errors import CorruptSource

COLUMNS = {
    "location_id": ("location_id",),
    "sensors_id": ("sensors_id", "sensor_id"),
    "location": ("location",),
    "datetime": ("datetime",),
    "lat": ("lat",),
    "lon": ("lon",),
    "parameter": ("parameter",),
    "units": ("units", "unit"),
    "value": ("value",),
}
"""Column -> names it goes by: the files say `sensors_id` and `units`, OpenAQ's documentation `sensor_id` and `unit`."""

LONGEST_RAW = 4_000
"""Characters of a bad line that are kept; a longer one is cut and told by its hash."""

LONGEST_RECORD = 5
"""Physical lines a quoted field may span; more means a quote that nobody closed."""

UTF8_BOM = b"\xef\xbb\xbf"


class BadLine(NamedTuple):
    """One record that is no row: `raw` can be stored as it is (valid text without NUL)."""

    line_no: int
    rule: str
    reason: str
    raw: str


@dataclass(frozen=True)
class Lines:
    """The records of a file: one text column per key of `COLUMNS`, and where each began (1-based physical line)."""

    fields: pa.Table
    line_no: pa.Array
    bad: tuple[BadLine, ...]
    physical: Sequence[bytes]

    @property
    def records(self) -> int:
        """Records of the file, readable or not."""
        return len(self.line_no) + len(self.bad)

    def raw(self, line_no: int) -> str:
        """The physical line as text that can be stored."""
        return storable(self.physical[line_no - 1])


def split(content: bytes) -> Lines:
    """Cut the unzipped `content` of a file into records.

    Raises:
        CorruptSource: there is no header, or it lacks a column.
    """
    body = content.removeprefix(UTF8_BOM)
    physical = body.split(b"\n")
    names, places = _read_header(physical[0])
    table = _read_whole(body, names) if _is_flawless(body) else None
    if table is not None:
        fields = pa.table([table.column(place) for place in places], names=list(COLUMNS))
        return Lines(fields, pa.array(np.arange(2, 2 + len(table))), (), physical)
    rows, line_no, bad = [], [], []
    for record in _records(physical, len(names)):
        if isinstance(record, BadLine):
            bad.append(record)
        else:
            line_no.append(record[0])
            rows.append([record[1][place] for place in places])
    columns = zip(*rows, strict=True) if rows else [()] * len(places)
    fields = pa.table([pa.array(column, pa.string()) for column in columns], names=list(COLUMNS))
    return Lines(fields, pa.array(line_no, pa.int64()), tuple(bad), physical)


def storable(line: bytes) -> str:
    """`line` as text any database takes: undecodable bytes and NUL escaped, length bounded."""
    text = line.removesuffix(b"\r").decode("utf-8", "backslashreplace").replace("\0", "\\x00")
    if len(text) <= LONGEST_RAW:
        return text
    return f"{text[:LONGEST_RAW]}… ({len(line)} bytes, sha256 {hashlib.sha256(line).hexdigest()})"


def _read_header(line: bytes) -> tuple[list[str], list[int]]:
    """The names of all columns, and the place of each of `COLUMNS` among them."""
    try:
        names = next(csv.reader([line.removesuffix(b"\r").decode("utf-8")], strict=True), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorruptSource(f"the first line is no CSV header ({error}): {storable(line)[:200]!r}") from error
    places, missing = [], []
    for column, aliases in COLUMNS.items():
        found = [names.index(alias) for alias in aliases if alias in names]
        if found:
            places.append(found[0])
        else:
            missing.append(column)
    if missing:
        raise CorruptSource(f"the header lacks {', '.join(missing)}: {storable(line)[:200]!r}")
    if repeated := sorted(name for name in COLUMNS if names.count(name) > 1):
        raise CorruptSource(f"the header has {', '.join(repeated)} more than once")
    return names, places


def _is_flawless(body: bytes) -> bool:
    """Whether records are lines and every quote opens or closes a whole field within its line."""
    text = body.rstrip(b"\r\n")
    if UTF8_BOM in text:  # Arrow takes one at the start of the records for no text at all
        return False
    if b"\n\n" in text or b"\n\r\n" in text or b"\0" in text or text.count(b"\r") != text.count(b"\r\n"):
        return False
    if b'"' not in text:
        return True
    content = np.frombuffer(b"\n" + text + b"\n", dtype=np.uint8)
    quotes = np.flatnonzero(content == ord('"'))
    if len(quotes) % 2:
        return False
    opening, closing = quotes[::2], quotes[1::2]
    newlines = np.flatnonzero(content == ord("\n"))
    one_line = np.searchsorted(newlines, opening) == np.searchsorted(newlines, closing)
    opens = np.isin(content[opening - 1], (ord(","), ord("\n")))
    closes = np.isin(content[closing + 1], (ord(","), ord("\r"), ord("\n")))
    return bool((one_line & opens & closes).all())


def _read_whole(body: bytes, names: list[str]) -> pa.Table | None:
    """All records as text columns, or None if Arrow finds a flaw (number of fields, encoding)."""
    start = body.find(b"\n") + 1
    records = body[start:].rstrip(b"\r\n") if start else b""
    places = [str(place) for place in range(len(names))]
    if not records:
        return pa.table([pa.array([], pa.string())] * len(names), names=places)
    try:
        return pa_csv.read_csv(
            pa.BufferReader(records + b"\n"),
            read_options=pa_csv.ReadOptions(use_threads=False, column_names=places, block_size=len(records) + 1),
            convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(places, pa.string())),
        )
    except pa.ArrowInvalid:
        return None


def _records(physical: Sequence[bytes], width: int) -> Iterator[tuple[int, list[str]] | BadLine]:
    """Every record after the header; lines without a character but carriage returns are none."""
    at = 1
    while at < len(physical):
        taken, record = _record_at(physical, at, width)
        if record is not None:
            yield record
        at += taken


def _record_at(physical: Sequence[bytes], at: int, width: int) -> tuple[int, tuple[int, list[str]] | BadLine | None]:
    """The record that begins at index `at`, and how many lines it takes."""
    line_no, line = at + 1, physical[at].removesuffix(b"\r")
    if not line.strip(b"\r"):
        return 1, None
    if b"\0" in line:
        return 1, BadLine(line_no, "nul_character", "the line contains a NUL character", storable(line))
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        return 1, BadLine(line_no, "encoding", f"not UTF-8 at byte {error.start + 1} of the line", storable(line))
    fields = _fields_of(text)
    if isinstance(fields, str) and '"' in text:
        for taken in range(2, min(LONGEST_RECORD, len(physical) - at) + 1):
            spanning = _fields_across(physical[at : at + taken])
            if len(spanning) == width:
                return taken, (line_no, spanning)
    if isinstance(fields, str):
        return 1, BadLine(line_no, "quoting", f"not readable as CSV: {fields}", storable(line))
    if len(fields) != width:
        return 1, BadLine(line_no, "field_count", f"{len(fields)} fields instead of {width}", storable(line))
    return 1, (line_no, fields)


def _fields_across(lines: Sequence[bytes]) -> list[str]:
    """The fields of one record that spans `lines`; none if they are no such record."""
    joined = b"\n".join(lines).removesuffix(b"\r")
    try:
        fields = _fields_of(joined.decode("utf-8"))
    except UnicodeDecodeError:
        return []
    return [] if isinstance(fields, str) or b"\0" in joined else fields


def _fields_of(text: str) -> list[str] | str:
    """The fields of one record, or what is wrong with its quotes, line ends or lengths."""
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        return str(error)
    return rows[0]
