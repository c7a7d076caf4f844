"""The demo's files: dropped one after another into the landing folders, and what became of every line of them.

Belongs here: dropping, waiting for the sensor's runs, showing the result. Does not belong here: the files themselves
(`resources/landing/samples/`), taking them in: that is the running stack's.
"""

import shlex
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from assets_pkg.commands.quarantine import VALUE_RULE
from resources.catalog.file_catalog import FileCatalog
from resources.catalog.file_questions import IS_ROW_OF_FILE, IS_VALUE_ASIDE
from resources.landing.names import escaped
from resources.landing.samples.generate import drop, sample_files
from resources.landing.samples.truth import SampleFile
from resources.timescale.resource import TimescaleResource
from resources.wiring import Settings, build_timescale, landing_resource
from schemas.catalog import DIRTY_DAYS, QUARANTINE
from schemas.catalog_files import BAD_CELLS, FILE_METADATA, FILE_NAMES, SKIPPED_LINES, Status
from schemas.declared_files import file_datasets
from schemas.file_tables import tables_of

PATIENCE_S = 300.0
POLL_S = 1.0
SHOWN_LINES = 4


class SampleDrop(threading.Thread):
    """Drops the sample files as their owners would, beside whatever else the stack does.

    A file that comes again, under its name or another, waits until the former was taken.
    """

    def __init__(self, chosen: Settings, last_day: date) -> None:
        super().__init__(name="sample drop", daemon=True)
        landing = landing_resource(chosen)
        landing.zone()
        self.root = Path(landing.url) / "landing"
        self.files = sample_files(last_day)
        self.were_taken = False

    def run(self) -> None:
        """Drops all of them; `were_taken` says afterwards whether each was."""
        self.were_taken = all(self._drop(portion) for portion in _portions(self.files))

    def _drop(self, portion: Sequence[SampleFile]) -> bool:
        paths = list(drop(portion, self.root))
        return _wait(lambda: not any(path.exists() for path in paths))


def show_samples(chosen: Settings, dropped: SampleDrop, console: Console) -> bool:
    """Waits until all files have found their way down, and shows what became of them; whether each did."""
    timescale = build_timescale(chosen)
    console.print(f"\n{len(dropped.files)} files are dropped into {dropped.root}, dirt and all", highlight=False)
    with console.status("waiting for the last of them, and for what depends on them"):
        dropped.join()
        if not dropped.were_taken:
            console.print("the files were not taken in time; see the sensor landing_files in the UI")
            return False
        _wait(lambda: not _stale(timescale))
    _show_fates(timescale, console)
    _show_lines(timescale, console)
    return True


def _portions(files: Sequence[SampleFile]) -> list[list[SampleFile]]:
    """The files in as few portions as keep the order of those that have a name or their bytes in common."""
    portions: list[list[SampleFile]] = []
    last: dict[tuple[str, object], int] = {}
    for file in files:
        marks: list[tuple[str, object]] = [(file.dataset, file.name), (file.dataset, file.content)]
        number = max((last[mark] + 1 for mark in marks if mark in last), default=0)
        last.update(dict.fromkeys(marks, number))
        portions += [[]] * (number - len(portions) + 1 > 0)
        portions[number] = [*portions[number], file]
    return portions


def _wait(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_S)
    return True


def _stale(timescale: TimescaleResource) -> bool:
    """Whether anything is still to be loaded or computed of the datasets that arrive in files."""
    tables = [spec.qualified for name in file_datasets() for spec in tables_of(name)]
    query = sa.select(sa.func.count()).where(DIRTY_DAYS.c.table_name.in_(tables))
    with timescale.connect() as connection:
        stale = connection.execute(query).scalar_one()
    return bool(stale) or bool(FileCatalog(timescale=timescale).unfinished())


def _show_fates(timescale: TimescaleResource, console: Console) -> None:
    """One line per file: lines = rows + put aside + no rows."""
    names = sa.select(sa.func.count()).where(FILE_NAMES.c.file_id == FILE_METADATA.c.id).scalar_subquery()
    columns = (
        "dataset",
        "file_name",
        "version",
        "ingestion_status",
        "lines",
        "row_count",
        "rejected_rows",
        "skipped_lines",
    )
    query = sa.select(*(FILE_METADATA.c[name] for name in columns), names.label("names"), FILE_METADATA.c.error_message)
    table = Table(title="What became of the files")
    for name in ("dataset", "file", "fate", "lines", "rows", "put aside", "no rows", ""):
        table.add_column(name, justify="left" if name in ("dataset", "file", "fate", "") else "right", overflow="fold")
    with timescale.connect() as connection:
        for row in connection.execute(query.order_by(FILE_METADATA.c.id)):
            remarks = [f"version {row.version}"] * (row.version > 1) + [f"dropped {row.names} times"] * (row.names > 1)
            told = row.error_message if row.ingestion_status == Status.REJECTED.value else ", ".join(remarks)
            counts = (row.lines, row.row_count, row.rejected_rows, row.skipped_lines)
            numbers = ["" if number is None else f"{number:,}" for number in counts]
            table.add_row(
                row.dataset,
                escape(escaped(row.file_name)),
                row.ingestion_status,
                *numbers,
                escape(escaped(told or ""))[:90],
            )
    console.print(table)


def _show_lines(timescale: TimescaleResource, console: Console) -> None:
    """Of each file some of the lines that are no rows or not whole ones, with the reason, and how to see all lines."""
    table = Table(title="Lines that are no rows, and values put aside (some of them)", expand=True)
    table.add_column("file", max_width=28, no_wrap=True)
    table.add_column("line", justify="right", no_wrap=True)
    table.add_column("why", max_width=26, no_wrap=True)
    table.add_column("as received", no_wrap=True, ratio=1)  # it alone gives way where the terminal is narrow
    shown: Counter[int] = Counter()
    telling: tuple[str, str] | None = None
    with timescale.connect() as connection:
        for file_id, dataset, name, line_no, why, text in connection.execute(_told_lines()):
            shown[file_id] += 1
            if shown[file_id] <= SHOWN_LINES:
                table.add_row(escape(escaped(name)), str(line_no), escape(why), escape(escaped(text[:60])))
            if telling is None and shown[file_id] > SHOWN_LINES:
                telling = (dataset, name)
    console.print(table)
    if telling:
        dataset, name = telling
        console.print(
            f"What became of every line of a file: tidemark quarantine show {dataset} --file "
            f"{escape(shlex.quote(escaped(name)))} --demo",
            style="dim",
            highlight=False,
            soft_wrap=True,
        )


def _told_lines() -> sa.Select[Any]:
    """File, its dataset and name, line, why and text of what is put aside or holds no record, by file and line."""
    file = (FILE_METADATA.c.id, FILE_METADATA.c.dataset, FILE_METADATA.c.file_name)
    aside = (QUARANTINE.c.line_no, QUARANTINE.c.rule, QUARANTINE.c.raw)
    rows = sa.select(*file, *aside).join(FILE_METADATA, IS_ROW_OF_FILE)
    skipped = sa.select(*file, SKIPPED_LINES.c.line_no, SKIPPED_LINES.c.kind, SKIPPED_LINES.c.text).join(
        FILE_METADATA, FILE_METADATA.c.id == SKIPPED_LINES.c.file_metadata_id
    )
    values = sa.select(*file, BAD_CELLS.c.line_no, VALUE_RULE, BAD_CELLS.c.raw).join(
        FILE_METADATA, FILE_METADATA.c.id == BAD_CELLS.c.file_metadata_id
    )
    told = sa.union_all(rows, skipped, values.where(IS_VALUE_ASIDE)).subquery()
    return sa.select(told).order_by(told.c.id, told.c.line_no)
