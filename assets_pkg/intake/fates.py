"""What became of the files of one run, and the error that ends a run with work left.

Belongs here: `Fate`, how it is told, which error it comes to. Does not belong here: the way of a file (`intake.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from resources.catalog.registry import Version
from resources.errors import CorruptSource, SourceUnavailable, TidemarkError, TransientError, UnreadAgain
from resources.landing.names import escaped

MOST_TOLD = 5
"""Files named in the error that ends a run; the others are in its metadata."""


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What became of one file."""

    name: str
    day: date
    fate: str
    """loaded, duplicate, rejected, vanished, changing, or delayed: it is tried again"""
    detail: str = ""
    lines: int | None = None
    rows: int | None = None
    rejected: int | None = None
    skipped: int | None = None
    event_days: tuple[date, ...] = ()

    @property
    def told(self) -> str:
        """One line, fit to be printed."""
        told = f"{escaped(self.name)}: {self.fate}"
        if self.fate == "loaded":
            told = f"{told}, {self.lines} lines: {self.rows} rows, {self.rejected} put aside"
            return f"{told}. {escaped(self.detail)}" if self.detail else told
        return f"{told}. {escaped(self.detail)}"


def schema_change(version: Version, tables: Sequence[str]) -> str:
    """What is new about the columns of a file that brought a version of the schema, and which tables that reaches."""
    if not version.changes:
        return ""
    changes = "; ".join(line.removeprefix("- ") for line in version.changes.splitlines())
    reached = f"; reaches {', '.join(tables[1:])} on the days it is about" if tables[1:] else ""
    return f"schema version {version.version}: {changes}{reached}"


def still_to_do(dataset: str, setbacks: Sequence[tuple[str, TidemarkError]]) -> TidemarkError:
    """The error of a run that left work on these files of the dataset, each with what kept it from being done: one that
    may pass (`TransientError`) if any of them may."""
    errors = [error for _, error in setbacks]
    told = "; ".join(f"{escaped(name)}: {error}" for name, error in setbacks[:MOST_TOLD])
    message = f"work is left on {len(errors)} file(s) of {dataset}, the others are done: {told}"
    if any(isinstance(error, TransientError) for error in errors):
        return SourceUnavailable(message)
    if all(isinstance(error, UnreadAgain) for error in errors):
        return UnreadAgain(f"{message}; the rows of files that were loaded before stay as they were")
    return CorruptSource(message)
