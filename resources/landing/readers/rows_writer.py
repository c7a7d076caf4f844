"""Rows, rejects and skipped lines on their way into the database of a file.

Belongs here: the file of clean rows that DuckDB reads in bulk, the numbers of their lines, batches of rejects. Does not
belong here: deciding what is a row (`scan.py`).
"""

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from resources.errors import LedgerNotClosed
from resources.landing.readers.records import Cells, Dialect
from resources.landing.readers.scan import Record
from resources.landing.text_table import REJECTS, ROWS, Skipped

_BATCH = 2_000
_TEXT_CUT = 1_000
_SKIPPED_ONE_BY_ONE = 10_000
_REJECT_SCHEMA = pa.schema(
    [
        ("line_no", pa.int64()),
        ("line_count", pa.int64()),
        ("raw", pa.string()),
        ("rule", pa.string()),
        ("reason", pa.string()),
    ]
)


class RowsWriter:
    """A sink of the scanner; `finish` makes the table of rows."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, work_dir: Path, dialect: Dialect, width: int) -> None:
        self._connection = connection
        self._path = work_dir / "rows.csv"
        self._delimiter = dialect.delimiter if dialect.is_plain and dialect.delimiter else ","
        self._quote = dialect.quote if dialect.is_plain and dialect.delimiter else '"'
        self._width = width
        self._file = self._path.open("w", encoding="utf-8", newline="")
        self._file.write("\n")  # what DuckDB skips: it takes a byte order mark from the first line it reads
        self._longest = 0
        self._numbers: list[int] = []
        self._counts: list[int] = []
        self._single: tuple[int, int] | None = None
        """First line and count of the rows, as long as they stand one to a line without a gap."""
        self._runs = False
        self._rejects: list[tuple[int, int, str, str, str]] = []
        self.row_count = 0
        self.row_lines = 0
        self.reject_count = 0
        self.reject_lines = 0
        self.rules: dict[str, int] = {}
        self.skipped: list[Skipped] = []

    def rows(self, texts: list[str], line_nos: list[int]) -> None:
        self._file.write("\n".join(texts) + "\n")
        self._longest = max(self._longest, max(map(len, texts)))
        self._numbers += line_nos
        self._counts += [1] * len(texts)
        self._flush_numbers(50 * _BATCH)

    def row(self, cells: Cells, line_no: int, line_count: int) -> None:
        text = self._delimiter.join(map(self._written, cells))
        self._file.write(text + "\n")
        self._longest = max(self._longest, len(text))
        self._numbers.append(line_no)
        self._counts.append(line_count)
        self._flush_numbers(50 * _BATCH)

    def reject(self, record: Record) -> None:
        self._rejects.append((record.line_no, record.line_count, record.raw, record.rule, record.reason))
        self.reject_count += 1
        self.reject_lines += record.line_count
        self.rules[record.rule] = self.rules.get(record.rule, 0) + 1
        if len(self._rejects) >= _BATCH:
            self._flush_rejects()

    def skip(self, line_no: int, line_count: int, kind: str, text: str) -> None:
        last = self.skipped[-1] if self.skipped else None
        if (
            last
            and last.kind == kind == "blank"
            and (last.line_no + last.line_count == line_no or len(self.skipped) > _SKIPPED_ONE_BY_ONE)
        ):
            self.skipped[-1] = Skipped(
                line_no=last.line_no, line_count=last.line_count + line_count, kind=kind, text=last.text
            )
            return
        self.skipped.append(Skipped(line_no=line_no, line_count=line_count, kind=kind, text=text[:_TEXT_CUT]))

    def close(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Forgets everything, so that another writer may begin anew."""
        self._connection.execute(f"DELETE FROM {REJECTS}")
        self._connection.execute("DROP TABLE IF EXISTS line_runs")
        self.close()

    def finish(self) -> None:
        """Makes the table of rows, fills that of rejects. Raises LedgerNotClosed if DuckDB reads other rows."""
        self._flush_rejects()
        self._flush_numbers(1)
        self._file.close()
        if not self.row_count:
            columns = "".join(f", c{number} VARCHAR" for number in range(self._width))
            self._connection.execute(f"CREATE TABLE {ROWS} (line_no BIGINT, line_count BIGINT{columns})")
            return
        source, values = csv_source(self._path, self._delimiter, self._quote, self._width, 1, 4 * self._longest)
        if self._runs:
            self._connection.execute(
                "CREATE TEMP TABLE lines_read AS SELECT first_line + unnest(range(line_rows)) AS line_no, line_count "
                "FROM line_runs"
            )
            self._connection.execute(
                f"CREATE TABLE {ROWS} AS SELECT n.line_no, n.line_count, t.* "
                f"FROM lines_read AS n POSITIONAL JOIN {source} AS t",
                values,
            )
            self._connection.execute("DROP TABLE lines_read")
            self._connection.execute("DROP TABLE line_runs")
        else:
            first = self._single[0] if self._single else 1
            create_rows(self._connection, source, values, first)
        self._check()
        self.close()

    def _check(self) -> None:
        found = self._connection.execute(f"SELECT count(*), count(line_no), count(line_count) FROM {ROWS}").fetchone()
        if found is None or set(found) != {self.row_count}:
            raise LedgerNotClosed(f"{self.row_count} rows were found in the file, but {found} are in the table")

    def _written(self, cell: str | None) -> str:
        if cell is None:
            return ""
        if not self._quote:
            return cell
        special = (self._delimiter, self._quote, "\n", "\r")
        if not cell or cell[0] == " " or cell[-1] == " " or any(sign in cell for sign in special):
            return self._quote + cell.replace(self._quote, self._quote * 2) + self._quote
        return cell

    def _flush_numbers(self, at_least: int) -> None:
        if len(self._numbers) < at_least:
            return
        numbers, counts = np.array(self._numbers, dtype=np.int64), np.array(self._counts, dtype=np.int64)
        self._numbers, self._counts = [], []
        self.row_count += len(numbers)
        self.row_lines += int(counts.sum())
        starts = np.flatnonzero(np.r_[True, (np.diff(numbers) != 1) | (counts[1:] != 1) | (counts[:-1] != 1)])
        lengths = np.diff(np.r_[starts, len(numbers)])
        if not self._runs and len(starts) == 1 and counts[0] == 1:
            if self._single is None:
                self._single = (int(numbers[0]), len(numbers))
                return
            if self._single[0] + self._single[1] == numbers[0]:
                self._single = (self._single[0], self._single[1] + len(numbers))
                return
        if not self._runs:
            self._connection.execute(
                "CREATE TEMP TABLE line_runs (first_line BIGINT, line_rows BIGINT, line_count BIGINT)"
            )
            self._runs = True
            if self._single is not None:
                self._connection.execute("INSERT INTO line_runs VALUES (?, ?, 1)", list(self._single))
        batch = pa.table({"first_line": numbers[starts], "line_rows": lengths, "line_count": counts[starts]})
        insert(self._connection, "line_runs", batch)

    def _flush_rejects(self) -> None:
        if self._rejects:
            columns = list(zip(*self._rejects, strict=True))
            insert(self._connection, REJECTS, pa.table(list(map(pa.array, columns)), schema=_REJECT_SCHEMA))
            self._rejects = []


def create_rows(connection: duckdb.DuckDBPyConnection, source: str, values: list[str], first: int) -> None:
    """The table of rows that stand one to a line from line `first` on."""
    connection.execute(
        f"CREATE TABLE {ROWS} AS SELECT row_number() OVER () + {first - 1} AS line_no, "
        f"1::BIGINT AS line_count, * FROM {source}",
        values,
    )


def csv_source(
    path: Path, delimiter: str, quote: str, width: int, skip: int, longest: int, new_line: str = "\\n"
) -> tuple[str, list[str]]:
    """DuckDB's reader of clean delimited text, and the values of its parameters. An unquoted empty cell is NULL."""
    columns = ", ".join(f"'c{number}': 'VARCHAR'" for number in range(width))
    longest = max(2_000_000, longest + 1000)
    # Told of `\r\n`, DuckDB 2.0 takes the whole file for one line; left alone it finds it.
    ends = "" if new_line == "\\r\\n" else f"new_line = '{new_line}', "
    return (
        f"read_csv(?, auto_detect = false, columns = {{{columns}}}, header = false, skip = {skip}, delim = ?, "
        f"quote = ?, escape = ?, comment = '', {ends}strict_mode = true, null_padding = false, "
        f"allow_quoted_nulls = false, max_line_size = {longest}, buffer_size = {max(32_000_000, 4 * longest)})",
        [str(path), delimiter, quote, quote],
    )


def insert(connection: duckdb.DuckDBPyConnection, table: str, batch: pa.Table) -> None:
    connection.register("batch_read", batch)
    connection.execute(f"INSERT INTO {table} SELECT * FROM batch_read")
    connection.unregister("batch_read")
