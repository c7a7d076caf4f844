"""The sheets of a workbook as files of JSON lines, one list of texts per row, written by a process of its own.

A workbook of two cells can claim a grid of 17 billion, and a library that cannot allocate it takes its process down; so
a process of limited memory reads, and its end is the worst that can happen.

Belongs here: starting that process, and what it does. Does not belong here: which sheet is read and what its rows are
(`workbooks.py`).
"""

import datetime as dt
import json
import resource
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from resources.errors import RejectedFile
from resources.landing.limits import Limits
from resources.landing.readers.workbook_marks import Mark, Marks, WorkbookMarks

ROOT = Path(__file__).resolve().parents[3]
LARGEST_WHOLE = 2.0**53
"""Up to here a float that is whole is an integer somebody wrote."""

Merge = tuple[tuple[int, int], tuple[int, int]]
"""First and last row and column of merged cells, from 0."""


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """One sheet of cells; charts and macros are none."""

    name: str
    visible: bool
    rows: int
    """Up to the last that holds anything."""
    columns: int
    cells: int
    """How many hold anything; 0 for hidden sheets, which nobody reads."""
    merges: list[Merge]
    path: str
    """File of one JSON list per row: text, null, or an object with `rule` and `text` where a cell has no value."""


def read_sheets(path: Path, work_dir: Path, limits: Limits) -> list[Sheet]:
    """All sheets of a workbook, in its order.

    Raises:
        RejectedFile: `encrypted`, `corrupt`, `too_large`, `too_many_columns` or `too_many_rows`.
    """
    memory = limits.memory_bytes + 4 * limits.sheet_bytes
    arguments = [str(path.resolve()), str(work_dir.resolve()), str(memory), str(limits.columns), str(limits.rows)]
    done = subprocess.run(
        [sys.executable, "-m", "resources.landing.readers.workbook_sheets", *arguments],
        cwd=ROOT,
        env={"PYTHONUTF8": "1"},
        capture_output=True,
        check=False,
    )
    if done.returncode == 0:
        return [Sheet(**found) for found in json.loads((work_dir / SHEETS).read_text(encoding="utf-8"))]
    said = done.stderr.decode("utf-8", "replace").strip()
    if done.returncode == REFUSED:
        rule, _, message = said.partition(" ")
        raise RejectedFile(rule, f"{path.name}: {message}")
    if "MemoryError" in said or "memory allocation" in said:
        raise RejectedFile(
            "too_large", f"{path.name}: the cells of the workbook need more than {memory} bytes of memory"
        )
    last = said.splitlines()[-1] if said else f"it ended with {done.returncode}"
    raise RejectedFile("corrupt", f"{path.name}: the workbook cannot be read: {last}")


SHEETS = "sheets.json"
REFUSED = 3
"""What the process ends with when it refuses the workbook; standard error then says rule and reason."""


def write_sheets(path: Path, folder: Path, columns: int, rows: int) -> list[Sheet]:
    """Write the visible sheets into a folder.

    Raises:
        RejectedFile: `too_many_columns` or `too_many_rows`.
        CalamineError: the workbook is encrypted or spoilt.
    """
    sheets = []
    with CalamineWorkbook.from_path(path) as workbook:
        marks = WorkbookMarks(path)
        for number, metadata in enumerate(workbook.sheets_metadata):
            if metadata.typ != SheetTypeEnum.WorkSheet:
                continue
            visible = metadata.visible == SheetVisibleEnum.Visible
            grid = workbook.get_sheet_by_name(metadata.name)
            marked = marks.of_sheet(metadata.name) if visible else {}
            height, width = _size(grid, marked)
            if visible and width > columns:
                raise RejectedFile("too_many_columns", f"sheet {metadata.name!r} has {width} columns, not {columns}")
            if visible and height > rows:
                raise RejectedFile("too_many_rows", f"sheet {metadata.name!r} has {height} rows, not {rows}")
            target = folder / f"sheet_{number}.jsonl"
            sheets.append(
                Sheet(
                    name=metadata.name,
                    visible=visible,
                    rows=height,
                    columns=width,
                    cells=_write(grid, marked, height, width, target) if visible else 0,
                    merges=grid.merged_cell_ranges or [],
                    path=str(target),
                )
            )
    return sheets


def _size(grid: CalamineSheet, marked: Marks) -> tuple[int, int]:
    """Rows and columns from the first cell of the sheet on; cells without value may lie outside the grid of values."""
    height, width = (grid.end[0] + 1, grid.end[1] + 1) if grid.end else (0, 0)
    for row, cells in marked.items():
        for column, mark in cells.items():
            if mark.rule:
                height, width = max(height, row + 1), max(width, column + 1)
    return height, width


def _write(grid: CalamineSheet, marked: Marks, height: int, width: int, target: Path) -> int:
    cells = 0
    left: list[Any] = [None] * (grid.start[1] if grid.start else 0)
    with target.open("w", encoding="utf-8") as out:
        values = grid.iter_rows()
        for number in range(height):
            row = left + [_text(value) for value in next(values, [])]
            row += [None] * (width - len(row))
            for column, mark in marked.get(number, {}).items():
                if column < width:
                    row[column] = _marked(row[column], mark)
            cells += sum(cell is not None for cell in row)
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    return cells


def _marked(text: Any, mark: Mark) -> Any:
    if mark.rule:
        return {"rule": mark.rule, "text": mark.text}
    if not text or not text.lstrip("-").isdigit():
        return text
    return "-" * text.startswith("-") + text.lstrip("-").zfill(mark.width)


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) <= LARGEST_WHOLE else repr(value)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return _duration(value) if isinstance(value, dt.timedelta) else str(value)


def _duration(value: dt.timedelta) -> str:
    """ISO 8601: PT30H0M0S, with a sign before it if it is negative."""
    sign, value = ("-", -value) if value < dt.timedelta(0) else ("", value)
    minutes, seconds = divmod(value.days * 86_400 + value.seconds, 60)
    fraction = f".{value.microseconds:06}".rstrip("0") if value.microseconds else ""
    return f"{sign}PT{minutes // 60}H{minutes % 60}M{seconds}{fraction}S"


def _main(path: str, folder: str, memory: str, columns: str, rows: str) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        sheets = write_sheets(Path(path), Path(folder), int(columns), int(rows))
    except RejectedFile as refused:
        return _refuse(refused.rule, str(refused))
    except PasswordError as error:
        return _refuse("encrypted", f"the workbook has a password, have it delivered without: {error}")
    except CalamineError as error:
        return _refuse("corrupt", f"the workbook cannot be read: {error}")
    (Path(folder) / SHEETS).write_text(json.dumps([asdict(sheet) for sheet in sheets]), encoding="utf-8")
    return 0


def _refuse(rule: str, message: str) -> int:
    sys.stderr.write(f"{rule} {message}")
    return REFUSED


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
