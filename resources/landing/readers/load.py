"""The entry to all readers: one file in, one table of text out.

Belongs here: unpacking, telling the format, handing over. Does not belong here: reading any format.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from resources.landing.containers import unpack
from resources.landing.limits import Limits
from resources.landing.readers.delimited import read_delimited
from resources.landing.readers.formats import format_of
from resources.landing.readers.hints import Hints
from resources.landing.readers.json_documents import read_json
from resources.landing.readers.parquet import read_parquet
from resources.landing.readers.workbooks import read_workbook
from resources.landing.text_table import REJECTS, ROWS, Skipped, TextTable

_READERS: dict[str, Callable[[Path, Path, Limits, Hints], TextTable]] = {
    "csv": read_delimited,
    "json": read_json,
    "excel": read_workbook,
    "parquet": read_parquet,
}


@dataclass(frozen=True, kw_only=True)
class Reject:
    """Lines that should have been a row and are none."""

    line_no: int
    """First of the physical lines, from 1."""
    line_count: int
    raw: str
    rule: str
    reason: str


def read(path: Path, work_dir: Path, limits: Limits | None = None, hints: Hints | None = None) -> TextTable:
    """The table in a file of any format, in a database in `work_dir` (which is empty, and the caller's to remove).

    Raises RejectedFile if the file is refused as a whole, ConfigurationError for a hint that cannot be followed,
    LedgerNotClosed if not every line is accounted for.
    """
    limits = limits or Limits()
    unpacked = unpack(path, work_dir, limits)
    table = _READERS[format_of(unpacked.path)](unpacked.path, work_dir, limits, hints or Hints())
    table.facts["containers"] = ", ".join(unpacked.containers)
    return table


def load(path: Path | str) -> tuple[pd.DataFrame, list[str] | None, list[Reject], list[Skipped]]:
    """A whole file in memory: rows as text (None where nothing stands), header, rejects, skipped lines.

    The columns are called as in the header, or 0, 1, ... without one. Raises as `read` does.
    """
    with tempfile.TemporaryDirectory() as folder, read(Path(path), Path(folder)) as table:
        cells = ", ".join(table.columns) or "NULL AS nothing"
        frame = table.connection.execute(f"SELECT {cells} FROM {ROWS} ORDER BY line_no").df()
        if not table.columns:
            frame = frame[[]]
        frame = frame.astype(object).mask(frame.isna(), None)
        frame.columns = pd.Index(table.header if table.header is not None else range(table.column_count), dtype=object)
        found = table.connection.execute(
            f"SELECT line_no, line_count, raw, rule, reason FROM {REJECTS} ORDER BY line_no"
        ).fetchall()
        rejects = [
            Reject(line_no=line_no, line_count=count, raw=raw, rule=rule, reason=reason)
            for line_no, count, raw, rule, reason in found
        ]
        return frame, list(table.header) if table.header is not None else None, rejects, table.skipped
