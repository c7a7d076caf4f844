"""`tidemark quarantine show <dataset> --file <name or id>`: what became of every line of one file, in order.

Belongs here: finding the file, asking for its lines, printing them. Does not belong here: how lines add up
(`line_account.py`), what is put aside of a whole dataset (`quarantine.py`).
"""

from collections.abc import Iterator, Sequence
from heapq import merge
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from rich.console import Console
from rich.markup import escape

from assets_pkg.commands.line_account import Entry, LineAccount, LineFate, Stretch
from assets_pkg.commands.tables import terminal
from resources.errors import ConfigurationError
from resources.landing.columns.conversion import LEAP_RULE
from resources.landing.names import escaped
from resources.wiring import Settings, build_timescale
from schemas.catalog import QUARANTINE
from schemas.catalog_files import BAD_CELLS, FILE_METADATA, FILE_NAMES, SKIPPED_LINES, Status
from schemas.window import Window

RAW_SHOWN = 2_000
"""Characters of a line as received that are printed."""
AT_A_TIME = 5_000
"""Lines fetched at once; there may be millions."""


def show_file(chosen: Settings, *, name: str, wanted: str, most: int | None) -> int:
    """Prints what became of every line of a file: loaded, put aside and why, or without a record; values put aside too.

    Args:
        name: a dataset, or the staging table of one.
        wanted: the file's name inside the dataset (its newest version), or its id.
        most: stretches of lines and values to print at most; None: all. The sums are of all lines in any case.

    Returns:
        0 if every line is accounted for, or nothing of the file was loaded; 1 if not.

    Raises:
        ConfigurationError: there is no such file.
    """
    console = terminal()
    with build_timescale(chosen).connect() as connection:
        file, others = _found(connection, name, wanted)
        about = f"{file.file_name} (id {file.id}, version {file.version}, arrived {file.arrived_on}): "
        console.print(escape(escaped(about)) + file.ingestion_status, style="bold", highlight=False, soft_wrap=True)
        if others:
            told = ", ".join(map(str, others))
            console.print(f"Other files of this name, to be shown by id: {told}", style="dim", highlight=False)
        if file.ingestion_status == Status.REJECTED.value:
            told = f"Refused as a whole, no line of it is loaded: {file.error_rule}, {file.error_message}"
            console.print(escape(escaped(told)), highlight=False)
            return 0
        if file.lines is None:
            console.print("It is not loaded yet.")
            return 0
        account = LineAccount(file.lines)
        _print_lines(account, connection, file, console, most)
    return _print_sums(account, file, console)


def _found(connection: sa.Connection, name: str, wanted: str) -> tuple[sa.Row[Any], list[int]]:
    """The file, and the ids of others of that name. A name goes before an id."""
    of_dataset = sa.or_(FILE_METADATA.c.dataset == name, FILE_METADATA.c.target_table == name)
    newest = sa.select(FILE_METADATA).where(of_dataset).order_by(FILE_METADATA.c.id.desc())
    is_named = sa.exists().where(FILE_NAMES.c.file_id == FILE_METADATA.c.id, FILE_NAMES.c.file_name == wanted)
    found: Sequence[sa.Row[Any]] = connection.execute(newest.where(is_named)).all()
    if not found and wanted.isdecimal() and len(wanted) < 19:
        found = connection.execute(newest.where(FILE_METADATA.c.id == int(wanted))).all()
    if not found:
        known = connection.execute(newest.limit(5)).all()
        told = "; the newest are " + ", ".join(f"{file.file_name} (id {file.id})" for file in known) if known else ""
        raise ConfigurationError(escaped(f"no file of {name!r} is called {wanted!r}, or has that id{told}"))
    return found[0], [file.id for file in found[1:]]


def _print_lines(
    account: LineAccount, connection: sa.Connection, file: sa.Row[Any], console: Console, most: int | None
) -> None:
    entries = merge(
        _loaded(connection, file),
        _put_aside(connection, file),
        _without_record(connection, file),
        key=attrgetter("line_no"),
    )
    cells = _Ahead(_streamed(connection, _cells_of(file)))
    printed = 0
    for stretch in account.stretches(entries):
        for line in (*_told(stretch), *map(_cell_told, cells.up_to(stretch.last))):
            printed += not line.startswith(" ")
            if most is None or printed <= most:
                style = "dim" if line.startswith(" ") else None
                console.print(escape(escaped(line)), style=style, highlight=False, soft_wrap=True)
    if most is not None and printed > most:
        console.print(f"… and {printed - most:,} more; without --most all of them", style="dim", highlight=False)


def _print_sums(account: LineAccount, file: sa.Row[Any], console: Console) -> int:
    loaded, aside, none = (account.lines_of[fate] for fate in list(LineFate)[:3])
    rows = (account.records_of[fate] for fate in (LineFate.LOADED, LineFate.PUT_ASIDE))
    sums = f"{loaded:,} loaded + {aside:,} put aside + {none:,} without a record"
    console.print("{} ({:,} rows loaded, {:,} put aside)".format(sums, *rows), style="bold", highlight=False)
    if account.apart:
        told = "of the lines counted as loaded or put aside hold no record: of so many not every place is noted"
        console.print(f"{account.apart:,} {told}", highlight=False)
    problems = account.problems(rows=file.row_count, put_aside=file.rejected_rows, without_record=file.skipped_lines)
    if not problems:
        console.print(f"= {file.lines:,}: every line of the file is accounted for.", style="bold", highlight=False)
        return 0
    told = f"The file has {file.lines:,} lines, and they are NOT all accounted for: {'; '.join(problems)}."
    if file.ingestion_status == Status.ARCHIVED.value:
        told += f" Read it again: materialise {file.target_table} for {file.arrived_on}."
    console.print(told, style="bold red", highlight=False)
    return 1


def _told(stretch: Stretch) -> Iterator[str]:
    """The lines of print of a stretch: what became of it, then, indented, what was received."""
    entry, first, last = stretch.entry, stretch.first, stretch.last
    where = f"line {first}" if first == last else f"lines {first}-{last}"
    if entry.fate is LineFate.LOADED:
        yield f"{where} loaded" if first == last else f"{where} loaded, {entry.records} row{'s' * (entry.records > 1)}"
    elif entry.fate is LineFate.PUT_ASIDE:
        yield f"{where} put aside, {entry.why}: {entry.reason}"
        yield f"  {entry.text[:RAW_SHOWN]}"
    else:
        yield f"{where} {entry.fate.value}" + f", {entry.why}" * bool(entry.why)
        if entry.text.strip():
            yield f"  {entry.text[:RAW_SHOWN]}"


def _cell_told(cell: sa.Row[Any]) -> str:
    fate = "value noted" if cell.rule == LEAP_RULE else "value put aside"
    return f"line {cell.line_no}, {fate}: {cell.reason}"


class _Ahead:
    """Cells in the order of their lines, taken as far as a line."""

    def __init__(self, cells: Iterator[sa.Row[Any]]) -> None:
        self._cells = cells
        self._next = next(cells, None)

    def up_to(self, line_no: int) -> Iterator[sa.Row[Any]]:
        while self._next is not None and self._next.line_no <= line_no:
            yield self._next
            self._next = next(self._cells, None)


def _loaded(connection: sa.Connection, file: sa.Row[Any]) -> Iterator[Entry]:
    for first, last, rows in _streamed(connection, _rows_in_a_row(file)):
        yield Entry(line_no=first, last_start=last, records=rows, fate=LineFate.LOADED)


def _put_aside(connection: sa.Connection, file: sa.Row[Any]) -> Iterator[Entry]:
    columns = (QUARANTINE.c.line_no, QUARANTINE.c.rule, QUARANTINE.c.reason, QUARANTINE.c.raw)
    query = sa.select(*columns).where(*_is_aside(file)).order_by(QUARANTINE.c.line_no)
    for line_no, rule, reason, raw in _streamed(connection, query):
        yield Entry(line_no=line_no, records=1, fate=LineFate.PUT_ASIDE, why=rule, reason=reason, text=raw)


def _without_record(connection: sa.Connection, file: sa.Row[Any]) -> Iterator[Entry]:
    columns = (SKIPPED_LINES.c[name] for name in ("line_no", "line_count", "kind", "text"))
    query = sa.select(*columns).where(SKIPPED_LINES.c.file_metadata_id == file.id).order_by(SKIPPED_LINES.c.line_no)
    for line_no, count, kind, text in _streamed(connection, query):
        yield Entry(line_no=line_no, line_count=count, fate=LineFate.NO_RECORD, why=kind, text=text)


def _cells_of(file: sa.Row[Any]) -> sa.Select[Any]:
    columns = (BAD_CELLS.c.line_no, BAD_CELLS.c.column_name, BAD_CELLS.c.rule, BAD_CELLS.c.reason)
    return sa.select(*columns).where(BAD_CELLS.c.file_metadata_id == file.id).order_by(*columns[:2])


def _rows_in_a_row(file: sa.Row[Any]) -> sa.Select[Any]:
    """First line, last line and number of rows between which nothing else begins."""
    schema, _, table = file.target_table.partition(".")
    columns = (sa.column(name) for name in ("source_id", "line_no", "arrived_at"))
    staged, day = sa.table(table, *columns, schema=schema), Window.of_days(file.arrived_on, file.arrived_on)
    of_file = (staged.c.source_id == file.id, staged.c.arrived_at >= day.start, staged.c.arrived_at < day.end)
    starts = sa.union_all(
        sa.select(staged.c.line_no, sa.true().label("is_row")).where(*of_file),
        sa.select(QUARANTINE.c.line_no, sa.false()).where(*_is_aside(file)),
        sa.select(SKIPPED_LINES.c.line_no, sa.false()).where(SKIPPED_LINES.c.file_metadata_id == file.id),
    ).subquery()
    place = sa.func.row_number().over(order_by=(starts.c.line_no, starts.c.is_row))
    number = sa.func.row_number().over(partition_by=starts.c.is_row, order_by=starts.c.line_no)
    numbered = sa.select(starts, (place - number).label("others_before")).subquery()
    first = sa.func.min(numbered.c.line_no)
    query = sa.select(first, sa.func.max(numbered.c.line_no), sa.func.count()).where(numbered.c.is_row)
    return query.group_by(numbered.c.others_before).order_by(first)


def _is_aside(file: sa.Row[Any]) -> tuple[sa.ColumnElement[bool], ...]:
    """By the columns of its index, too."""
    return (
        QUARANTINE.c.table_name == file.target_table,
        QUARANTINE.c.day == file.arrived_on,
        QUARANTINE.c.unit == str(file.id),
        QUARANTINE.c.source_id == file.id,
    )


def _streamed(connection: sa.Connection, query: sa.Select[Any]) -> Iterator[sa.Row[Any]]:
    yield from connection.execute(query.execution_options(yield_per=AT_A_TIME))
