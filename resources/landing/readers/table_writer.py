"""Rows, rejects and skipped lines, collected into a `TextTable` in batches.

Belongs here: what readers that meet one record after the other share. Does not belong here: knowing a format.
"""

import hashlib
import re
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from resources.errors import RejectedFile
from resources.landing.limits import Limits
from resources.landing.text_table import REJECTS, ROWS, Skipped, TextTable, open_database, require_every_line

BATCH_ROWS = 10_000
BATCH_CELLS = 500_000
BATCH_CHARACTERS = 16_000_000
RAW_CHARACTERS = 100_000
"""Longer raw text is put aside as its beginning and its hash; the file itself is kept."""

PREVIEW_CHARACTERS = 1_000
SKIPPED_ENTRIES = 1_000
"""Skipped stretches that get an entry of their own; all further ones of a kind share one."""

UNDECODED = re.compile("[\udc80-\udcff]")


class TableWriter:
    """Collects one file's table; used as a context manager it closes the database when reading fails.

    Columns are known by an id of the reader's choice and appear in the order they are first met; a row leaves out what
    it has not. Text must be free of NUL and of lone surrogates, except the raw text of rejects, where they are escaped.
    """

    def __init__(self, work_dir: Path, limits: Limits, *, format: str) -> None:
        self._limits = limits
        self._format = format
        self._connection = open_database(work_dir, limits)
        self._connection.execute(f"CREATE TABLE {ROWS} (line_no BIGINT, line_count BIGINT)")
        self._columns: dict[str, int] = {}
        self._stored_columns = 0
        self._rows: list[tuple[int, int, dict[str, str | None]]] = []
        self._rejects: list[tuple[int, int, str, str, str]] = []
        self._cells = 0
        self._characters = 0
        self._row_count = 0
        self._skipped: list[Skipped] = []

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._connection.close()

    @property
    def columns(self) -> list[str]:
        """Ids of the columns met so far, in order."""
        return list(self._columns)

    def column(self, name: str) -> None:
        """Make sure there is such a column.

        Raises:
            RejectedFile: `too_many_columns`.
        """
        if name not in self._columns:
            if len(self._columns) >= self._limits.columns:
                raise RejectedFile(
                    "too_many_columns",
                    f"the file has more than {self._limits.columns} columns, the last one read is {name[:100]!r}; "
                    "raise the limit or split the file",
                )
            self._columns[name] = len(self._columns)

    def row(self, line_no: int, line_count: int, cells: dict[str, str | None], raw: str) -> None:
        """Take a row; one with a cell beyond the limit becomes a reject.

        Raises:
            RejectedFile: `too_many_rows` or `too_many_columns`.
        """
        huge = self._huge_cell(cells, raw)
        if huge is not None:
            self.reject(line_no, line_count, raw, "cell_too_large", huge)
            return
        self._row_count += 1
        if self._row_count > self._limits.rows:
            raise RejectedFile("too_many_rows", f"the file has more than {self._limits.rows} rows; split it")
        if not cells.keys() <= self._columns.keys():
            for name in cells:
                self.column(name)
        self._rows.append((line_no, line_count, cells))
        self._count(len(cells), len(raw))

    def reject(self, line_no: int, line_count: int, raw: str, rule: str, reason: str) -> None:
        """Put a record aside; raw text beyond 100,000 characters is kept as its beginning and its hash."""
        self._rejects.append((line_no, line_count, storable(shortened(raw)), rule, storable(reason)))
        self._count(1, min(len(raw), RAW_CHARACTERS))

    def skip(self, line_no: int, line_count: int, kind: str, text: str) -> None:
        """Note lines that hold no record; neighbours of one kind are joined."""
        last = self._skipped[-1] if self._skipped else None
        joins = last is not None and last.kind == kind and last.line_no + last.line_count == line_no
        if not joins and len(self._skipped) >= SKIPPED_ENTRIES:
            last = next((entry for entry in reversed(self._skipped) if entry.kind == kind), None)
            joins = last is not None
        if joins and last is not None:
            joined = Skipped(line_no=last.line_no, line_count=last.line_count + line_count, kind=kind, text=last.text)
            self._skipped[self._skipped.index(last)] = joined
        else:
            text = storable(text[:PREVIEW_CHARACTERS])
            self._skipped.append(Skipped(line_no=line_no, line_count=line_count, kind=kind, text=text))

    def number_by_record(self) -> None:
        """Give what was taken so far the number of its record instead of that of its line, which no two share."""
        self._flush()
        execute = self._connection.execute
        execute(f"UPDATE {REJECTS} SET reason = reason || ' (line ' || line_no || ')'")
        execute(
            "CREATE TEMP TABLE ordinals AS SELECT line_no, row_number() OVER (ORDER BY line_no) AS ordinal "
            f"FROM (SELECT line_no FROM {ROWS} UNION ALL SELECT line_no FROM {REJECTS})"
        )
        for table in (ROWS, REJECTS):
            execute(
                f"UPDATE {table} SET line_no = ordinal, line_count = 1 FROM ordinals "
                f"WHERE {table}.line_no = ordinals.line_no"
            )
        execute("DROP TABLE ordinals")
        self._skipped.clear()

    def table(
        self,
        *,
        header: tuple[str, ...] | None,
        lines: int,
        facts: dict[str, str | int | float | bool | None],
    ) -> TextTable:
        """The finished table.

        Raises:
            LedgerNotClosed: a line is neither row nor reject nor skipped, or counts twice.
        """
        self._flush()
        made = TextTable(
            connection=self._connection,
            format=self._format,
            header=header,
            column_count=len(self._columns),
            lines=lines,
            skipped=sorted(self._skipped, key=lambda entry: entry.line_no),
            facts=facts,
        )
        require_every_line(made)
        return made

    def _huge_cell(self, cells: dict[str, str | None], raw: str) -> str | None:
        limit = self._limits.cell_bytes
        if len(raw) * 4 <= limit:  # no cell is longer than its record, no character longer than 4 bytes
            return None
        for name, text in cells.items():
            size = len(text.encode()) if text is not None else 0
            if size > limit:
                return f"the cell {name[:100]!r} holds {size} bytes, {limit} are allowed"
        return None

    def _count(self, cells: int, characters: int) -> None:
        self._cells += cells
        self._characters += characters
        records = len(self._rows) + len(self._rejects)
        if records >= BATCH_ROWS or self._cells >= BATCH_CELLS or self._characters >= BATCH_CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        for number in range(self._stored_columns, len(self._columns)):
            self._connection.execute(f"ALTER TABLE {ROWS} ADD COLUMN c{number} VARCHAR")
        self._stored_columns = len(self._columns)
        if self._rows:
            met: dict[str, None] = {}
            for _, _, cells in self._rows:
                met.update(dict.fromkeys(cells))
            arrays = {
                "line_no": pa.array([row[0] for row in self._rows], pa.int64()),
                "line_count": pa.array([row[1] for row in self._rows], pa.int64()),
            }
            for name in met:
                texts = [cells.get(name) for _, _, cells in self._rows]
                arrays[f"c{self._columns[name]}"] = pa.array(texts, pa.large_string())
            self._insert(ROWS, pa.table(arrays))
        if self._rejects:
            names = ("line_no", "line_count", "raw", "rule", "reason")
            self._insert(REJECTS, pa.table(dict(zip(names, map(list, zip(*self._rejects, strict=True)), strict=True))))
        self._rows, self._rejects, self._cells, self._characters = [], [], 0, 0

    def _insert(self, table: str, batch: pa.Table) -> None:
        self._connection.register("batch", batch)
        self._connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM batch")
        self._connection.unregister("batch")


def shortened(raw: str) -> str:
    """The text itself, or the beginning of a long one with its length and SHA-256."""
    if len(raw) <= RAW_CHARACTERS:
        return raw
    digest = hashlib.sha256(raw.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{raw[:PREVIEW_CHARACTERS]}… [{len(raw)} characters, SHA-256 {digest}]"


def storable(text: str) -> str:
    """Text that PostgreSQL and DuckDB hold: undecoded bytes and NUL as `\\xff`, lone surrogates as `\\ud800`."""
    if text.isascii() and "\0" not in text:
        return text
    escaped = UNDECODED.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", text).replace("\0", "\\x00")
    return escaped.encode("utf-8", "backslashreplace").decode("utf-8")
