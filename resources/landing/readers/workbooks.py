"""Workbooks (xlsx, xlsb, xls, ods): the table of a sheet as exact text.

Belongs here: judging the file before it is opened, which sheet is read, what its rows are. Does not belong here:
opening it (`workbook_sheets.py`), where the table lies on a sheet (`regions.py`).

Sheets: what `hints.sheet` names is read; without it the first of the visible sheets that have the same header as the
fullest one. Rows of further visible sheets become rejects (`another_sheet`), unless `hints.sheet` is `*`: then all
sheets with that header are read. A sheet beside one that was declared by name, and a hidden one, is skipped. `line_no`
is the row of the sheet, from 1; further sheets count on from the rows before, `facts["first_line.<sheet>"]` says where.

Cells: whole numbers as `42`, others so that reading them gives the same float; dates and times in ISO 8601, a date at
midnight without a time, durations as `PT30H0M0S`; `true` and `false`; a number that an xlsx file shows padded with
zeros as it is shown; percentages as the number. A row with an error, or with a formula nobody has calculated, is a
reject.

Merged cells: among the rows, the value of cells merged downwards stands in each of their rows; in the header, that of
cells merged to the right in each of their columns. Otherwise the first cell has the value and the others are empty.
"""

import json
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from resources.errors import RejectedFile
from resources.landing.limits import Limits
from resources.landing.readers.header import header_names
from resources.landing.readers.hints import Hints
from resources.landing.readers.records import Cells
from resources.landing.readers.regions import find_footer, find_regions
from resources.landing.readers.scan import Record
from resources.landing.readers.table_writer import TableWriter
from resources.landing.readers.workbook_marks import ERROR
from resources.landing.readers.workbook_sheets import Sheet, read_sheets
from resources.landing.text_table import TextTable

ALL_SHEETS = "*"
HEAD_ROWS = 2_000
TAIL_ROWS = 100
CHUNK = 1 << 20
ENCRYPTED_STREAM = "EncryptedPackage".encode("utf-16-le")
"""Name of what holds an encrypted xlsx file; such a file is no zip but looks like an old xls."""

Cell = str | dict[str, str] | None
"""A text, nothing, or the `rule` a cell without value breaks and the `text` of it."""

Facts = dict[str, str | int | float | bool | None]


def read_workbook(path: Path, work_dir: Path, limits: Limits, hints: Hints) -> TextTable:
    """The table of a workbook's sheet; see above for which one, and for what becomes of the cells.

    Raises:
        RejectedFile: `encrypted`, `corrupt`, `bomb`, `too_large`, `too_many_columns`, `too_many_rows` or `no_sheet`.
    """
    _check_container(path, limits)
    sheets = read_sheets(path, work_dir, limits)
    tables = [_SheetTable(sheet, hints) for sheet in sheets if sheet.cells]
    chosen = _chosen(path, sheets, tables, hints)
    with TableWriter(work_dir, limits, format="excel") as writer:
        facts: Facts = {
            "sheet": ", ".join(table.sheet.name for table in chosen) or None,
            "hidden_sheets": ", ".join(sheet.name for sheet in sheets if not sheet.visible) or None,
        }
        for number in range(chosen[0].width if chosen else 0):
            writer.column(str(number))
        lines = 0
        for table in [*chosen, *(table for table in tables if table not in chosen)]:
            facts[f"first_line.{table.sheet.name}"] = lines + 1
            if table in chosen:
                table.write(writer, lines)
            elif hints.sheet in (None, ALL_SHEETS):
                table.put_aside(writer, lines)
            else:
                writer.skip(
                    lines + 1, table.sheet.rows, "structure", f"sheet {table.sheet.name!r}, not the declared one"
                )
            lines += table.sheet.rows
        for sheet in sheets:
            if not sheet.visible and sheet.rows:
                writer.skip(lines + 1, sheet.rows, "structure", f"hidden sheet {sheet.name!r}")
                lines += sheet.rows
        return writer.table(header=chosen[0].names if chosen else None, lines=lines, facts=facts)


class _SheetTable:
    """Where the table lies on a sheet, and its way into the database."""

    def __init__(self, sheet: Sheet, hints: Hints) -> None:
        self.sheet = sheet
        top = list(islice(self._rows(), HEAD_ROWS))
        self._filled = max((number for _, cells in top for number, cell in enumerate(cells, 1) if cell), default=0)
        head = [self._record(number, cells) for number, cells in top]
        self._plan = find_regions(head, sheet.rows, hints, whole=sheet.rows <= HEAD_ROWS)
        if sheet.rows > HEAD_ROWS:
            self._find_footer(head)
        self.width = self._plan.width
        self.names = self._names()

    def write(self, writer: TableWriter, before: int) -> None:
        """Tell the writer about every row of the sheet; `before` rows of other sheets come before it."""
        plan = self._plan
        header = {record.line_no for record in plan.header}
        repeated = plan.header[-1].cells if plan.header else None
        merged = _MergedDown(self.sheet)
        for number, cells in self._rows():
            record = self._record(number, cells)
            line_no = before + number
            if record.is_blank:
                writer.skip(line_no, 1, "blank", "")
            elif number < plan.first_line:
                writer.skip(line_no, 1, "header" if number in header else "preamble", record.raw)
            elif number >= plan.stop_line and plan.after != "another_table":
                writer.skip(line_no, 1, plan.after, record.raw)
            elif number >= plan.stop_line:
                reason = f"{self._where(number)}: a further table begins here or above; put it on a sheet of its own"
                writer.reject(line_no, 1, _json(cells), "another_table", reason)
            elif record.cells == repeated and record.filled > 1:
                writer.skip(line_no, 1, "header", record.raw)
            else:
                self._write_row(writer, line_no, number, merged.fill(number, cells))

    def put_aside(self, writer: TableWriter, before: int) -> None:
        """Make every row of the sheet a reject."""
        reason = "the file has several sheets; declare which one is read, or `*` for all with the same header"
        for number, cells in self._rows():
            if any(cell is not None for cell in cells):
                writer.reject(before + number, 1, _json(cells), "another_sheet", f"{self._where(number)}: {reason}")
            else:
                writer.skip(before + number, 1, "blank", "")

    def _write_row(self, writer: TableWriter, line_no: int, number: int, cells: list[Cell]) -> None:
        refused = _refused(cells, self.width)
        if refused is not None:
            column, rule, what = refused
            reason = f"{self._where(number)}: cell {_letters(column)}{number} {what}"
            writer.reject(line_no, 1, _json(cells), rule, reason)
            return
        texts = {str(column): _text(cell) for column, cell in enumerate(cells[: self.width])}
        writer.row(line_no, 1, texts, _json(cells))

    def _record(self, number: int, cells: list[Cell]) -> Record:
        """A row as delimited text would have it; columns that are empty in all of the first rows are none."""
        texts: Cells = [_text(cell) for cell in cells]
        filled = [text for text in texts if text is not None]
        return Record(line_no=number, line_count=1, raw=" ".join(filled), cells=texts[: self._filled] if filled else [])

    def _where(self, number: int) -> str:
        return f"sheet {self.sheet.name!r}, row {number}"

    def _rows(self, first: int = 1) -> Iterator[tuple[int, list[Cell]]]:
        with Path(self.sheet.path).open(encoding="utf-8") as source:
            for number, line in enumerate(islice(source, first - 1, None), start=first):
                yield number, json.loads(line)

    def _find_footer(self, head: list[Record]) -> None:
        first = max(self._plan.first_line, self.sheet.rows - TAIL_ROWS + 1)
        tail = [self._record(number, cells) for number, cells in self._rows(first)]
        body = [record.cells for record in head if record.cells and record.line_no >= self._plan.first_line]
        find_footer(tail, self._plan, body)

    def _names(self) -> tuple[str, ...] | None:
        """The names of the columns, those of cells merged to the right in each of them."""
        if self._plan.names is None:
            return None
        rows = {record.line_no: list(record.cells or []) for record in self._plan.header}
        spread = False
        for (top, left), (bottom, right) in self.sheet.merges:
            if top + 1 in rows and top == bottom and right > left and left < len(rows[top + 1]):
                cells = rows[top + 1]
                cells[left : right + 1] = [cells[left]] * (min(right + 1, len(cells)) - left)
                spread = True
        return header_names(list(rows.values()), self.width) if spread else self._plan.names


class _MergedDown:
    """Repeats the value of cells merged downwards in the rows below, as they come."""

    def __init__(self, sheet: Sheet) -> None:
        self._starting: dict[int, list[tuple[int, int]]] = {}
        for (top, left), (bottom, right) in sheet.merges:
            if left == right and bottom > top:
                self._starting.setdefault(top + 1, []).append((left, bottom + 1))
        self._running: dict[int, tuple[int, Cell]] = {}

    def fill(self, number: int, cells: list[Cell]) -> list[Cell]:
        filled = list(cells)
        for column, (last, cell) in self._running.items():
            if number <= last and column < len(filled) and filled[column] is None:
                filled[column] = cell
        for column, last in self._starting.get(number, ()):
            if column < len(filled):
                self._running[column] = (last, filled[column])
        return filled


def _chosen(path: Path, sheets: list[Sheet], tables: list[_SheetTable], hints: Hints) -> list[_SheetTable]:
    if hints.sheet not in (None, ALL_SHEETS):
        visible = [sheet.name for sheet in sheets if sheet.visible]
        if hints.sheet not in visible:
            raise RejectedFile(
                "no_sheet", f"{path.name} has no visible sheet {hints.sheet!r}, but {', '.join(map(repr, visible))}"
            )
        return [table for table in tables if table.sheet.name == hints.sheet]
    if not tables:
        return []
    fullest = max(tables, key=lambda table: table.sheet.cells)
    same = [table for table in tables if (table.names, table.width) == (fullest.names, fullest.width)]
    if fullest.names is None:
        return [fullest]
    return same if hints.sheet == ALL_SHEETS else same[:1]


def _check_container(path: Path, limits: Limits) -> None:
    """What can be told of the danger of a workbook without opening it."""
    size = path.stat().st_size
    if not zipfile.is_zipfile(path):
        if _holds(path, ENCRYPTED_STREAM):
            raise RejectedFile("encrypted", f"{path.name}: the workbook has a password, have it delivered without")
        largest = unpacked = size
    else:
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
            raise RejectedFile("corrupt", f"{path.name}: the workbook cannot be opened: {error}") from error
        if any(member.flag_bits & 1 for member in members):
            raise RejectedFile("encrypted", f"{path.name}: the workbook has a password, have it delivered without")
        unpacked = sum(member.file_size for member in members)
        largest = max((member.file_size for member in members), default=0)
    if unpacked > max(limits.ratio * size, limits.ratio_from_bytes):
        raise RejectedFile("bomb", f"{path.name}: {unpacked} bytes are said to be in a file of {size}; is it genuine?")
    if largest > limits.sheet_bytes:
        raise RejectedFile(
            "too_large", f"{path.name}: a part of the workbook has {largest} bytes, {limits.sheet_bytes} are allowed"
        )


def _holds(path: Path, wanted: bytes) -> bool:
    before = b""
    with path.open("rb") as source:
        while chunk := source.read(CHUNK):
            if wanted in before + chunk:
                return True
            before = chunk[-len(wanted) :]
    return False


def _text(cell: Cell) -> str | None:
    return cell["text"] if isinstance(cell, dict) else cell


def _json(cells: list[Cell]) -> str:
    return json.dumps([_text(cell) for cell in cells], ensure_ascii=False)


def _refused(cells: list[Cell], width: int) -> tuple[int, str, str] | None:
    """The first cell for which a row is put aside: its column, the rule it breaks, and what is wrong."""
    for column, cell in enumerate(cells):
        if isinstance(cell, dict):
            what = "holds an error" if cell["rule"] == ERROR else "is a formula without a calculated value"
            return column, cell["rule"], f"{what}: {cell['text']}"
        if cell is not None and column >= width:
            return column, "ragged", "lies beyond the columns of the table"
        if cell is not None and "\0" in cell:
            return column, "nul", "holds a NUL character"
    return None


def _letters(column: int) -> str:
    """The name of a column as workbooks write it, AA for 26."""
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters
