"""Excel workbooks whose bytes depend on nothing but their cells.

Belongs here: writing one. Does not belong here: what the cells say.
"""

import io
import re
import zipfile
from collections.abc import Sequence
from datetime import date

import openpyxl

Cell = str | int | float | date | None

_EPOCH = (1980, 1, 1, 0, 0, 0)
_STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def workbook(rows: Sequence[Sequence[Cell]], *, sheet: str) -> bytes:
    """An xlsx file of one sheet. Text that starts with `=` becomes a formula, without a computed value beside it."""
    book = openpyxl.Workbook()
    book.active.title = sheet
    for number, row in enumerate(rows, start=1):
        for column, value in enumerate(row, start=1):
            if value is not None:
                cell = book.active.cell(number, column, value)
                if isinstance(value, date):
                    cell.number_format = "dd.mm.yyyy"
    written = io.BytesIO()
    book.save(written)
    return _without_the_clock(written.getvalue())


def _without_the_clock(content: bytes) -> bytes:
    """The same workbook without the time of writing, which stands in its properties and at each of its members."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(out, "w") as after:
        for name in before.namelist():
            data = before.read(name)
            if name == "docProps/core.xml":
                data = _STAMP.sub(b"1980-01-01T00:00:00Z", data)
            after.writestr(zipfile.ZipInfo(name, _EPOCH), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()
