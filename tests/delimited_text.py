"""Delimited text read from memory, for tests."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from resources.landing.limits import Limits
from resources.landing.readers.delimited import read_delimited
from resources.landing.readers.hints import Hints
from resources.landing.text_table import REJECTS, ROWS, Skipped

Cell = str | None


@dataclass
class Read:
    header: tuple[str, ...] | None
    rows: list[tuple[Cell, ...]]
    places: list[tuple[int, int]]
    """First line and count of lines of each row."""
    rejects: list[tuple[int, int, str, str, str]]
    skipped: list[Skipped]
    lines: int
    facts: dict[str, str | int | float | bool | None]

    @property
    def rules(self) -> dict[int, str]:
        return {line_no: rule for line_no, _, _, rule, _ in self.rejects}


def read(data: bytes | str, hints: Hints | None = None, limits: Limits | None = None) -> Read:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "it's a file.csv"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        work_dir = Path(folder) / "work"
        work_dir.mkdir()
        with read_delimited(path, work_dir, limits or Limits(), hints or Hints()) as table:
            found = table.connection.execute(
                f"SELECT * FROM {ROWS} ORDER BY line_no"  # noqa: S608
            ).fetchall()
            rejects = table.connection.execute(
                f"SELECT * FROM {REJECTS} ORDER BY line_no"  # noqa: S608
            ).fetchall()
            return Read(
                header=table.header,
                rows=[row[2:] for row in found],
                places=[row[:2] for row in found],
                rejects=rejects,
                skipped=table.skipped,
                lines=table.lines,
                facts=table.facts,
            )


def lines_of(found: Read) -> int:
    return (
        sum(count for _, count in found.places)
        + sum(reject[1] for reject in found.rejects)
        + sum(entry.line_count for entry in found.skipped)
    )
