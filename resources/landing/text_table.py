"""What every reader gives: one table of text, and an account of all the lines that are no row of it.

Belongs here: `TextTable` and its parts. Does not belong here: reading a format (`readers/`), types (`typing/`).
"""

from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import duckdb

from resources.errors import LedgerNotClosed
from resources.landing.limits import Limits

ROWS = "rows_read"
"""Name of the DuckDB table of rows: `line_no BIGINT`, `line_count BIGINT`, then `c0 VARCHAR`, `c1 VARCHAR`, ..."""

REJECTS = "rejects_read"
"""Name of the DuckDB table of rejects: `line_no BIGINT`, `line_count BIGINT`, `raw VARCHAR`, `rule VARCHAR`,
`reason VARCHAR`."""


MEMORY_PER_BYTE = 4
"""What a byte of a text file takes as text and as values together, about."""


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """Lines that are neither row nor reject, because they hold no record."""

    line_no: int
    """First of the physical lines, from 1."""
    line_count: int
    kind: str
    """preamble, header, footer, blank, comment or structure (brackets of a JSON document, say)"""
    text: str
    """The lines as read, cut at 1,000 characters."""


@dataclass(kw_only=True)
class TextTable:
    """The rows of one file as text, in a DuckDB database of its own; a context manager that closes it.

    A missing value is NULL only where the format has one (JSON null, an empty cell of a workbook or Parquet file, an
    unquoted empty field of a delimited file); the text `NA` stays the text `NA`. In formats without lines, `line_no` is
    the number of the record, from 1, and in workbooks that of the sheet's row. Every line counts once: those of rows,
    rejects and `skipped` add up to `lines`.
    """

    connection: duckdb.DuckDBPyConnection
    format: str
    """csv, json, excel or parquet"""
    header: tuple[str, ...] | None
    """Names of the columns as the file has them (several header lines joined by a space); None: it has none."""
    column_count: int
    lines: int
    """Physical lines (or records) of the file."""
    skipped: list[Skipped] = field(default_factory=list)
    facts: dict[str, str | int | float | bool | None] = field(default_factory=dict)
    """What was found out on the way: encoding and its confidence, delimiter, quote, sheet, compression, ..."""

    def __enter__(self) -> "TextTable":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()

    @property
    def columns(self) -> list[str]:
        """Names of the DuckDB columns that hold the cells: c0, c1, ..."""
        return [f"c{number}" for number in range(self.column_count)]

    def count(self, table: str = ROWS) -> int:
        """How many rows (or, with `REJECTS`, rejects) there are."""
        found = self.connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(found[0]) if found else 0


def open_database(work_dir: Path, limits: Limits, file_bytes: int | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB database with an empty table of rejects. Beyond the limit of memory it spills to `work_dir`; what is not
    known to be small (`file_bytes`) lies there from the start, compressed."""
    is_small = file_bytes is not None and file_bytes * MEMORY_PER_BYTE <= limits.memory_bytes
    connection = duckdb.connect(":memory:" if is_small else str(work_dir / "read.duckdb"))
    connection.execute("SET memory_limit = ?", [f"{limits.memory_bytes} B"])
    connection.execute("SET temp_directory = ?", [str(work_dir / "spill")])
    connection.execute("SET preserve_insertion_order = true")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    connection.execute(
        f"CREATE TABLE {REJECTS} (line_no BIGINT, line_count BIGINT, raw VARCHAR, rule VARCHAR, reason VARCHAR)"
    )
    return connection


def require_every_line(table: TextTable) -> None:
    """Every line of the file is part of exactly one row, reject or skipped stretch.

    Raises:
        LedgerNotClosed: the counts do not add up; nothing of the file may be used.
    """
    counts = {name: _lines_of(table, name) for name in (ROWS, REJECTS)}
    skipped = sum(entry.line_count for entry in table.skipped)
    if sum(counts.values()) + skipped != table.lines:
        raise LedgerNotClosed(
            f"the {table.format} file has {table.lines} lines, but rows hold {counts[ROWS]}, rejects {counts[REJECTS]} "
            f"and {skipped} are skipped; the reader is wrong, keep the file and report it"
        )


def _lines_of(table: TextTable, name: str) -> int:
    found = table.connection.execute(f"SELECT sum(line_count) FROM {name}").fetchone()
    return int(found[0] or 0) if found else 0
