"""`tidemark quarantine`: what was put aside and why, rows, values of rows that are loaded, and whole files.

Belongs here: questions about datasets and tables. Does not belong here: all lines of one file (`file_lines.py`), trying
files again (`replay.py`), reading a file (`resources/landing/`).
"""

from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from rich.markup import escape
from rich.table import Table

from assets_pkg.commands.tables import terminal
from resources.catalog.file_questions import IS_ROW_OF_FILE, IS_VALUE_ASIDE
from resources.landing.names import escaped
from resources.wiring import Settings, build_timescale
from schemas.catalog import QUARANTINE
from schemas.catalog_files import BAD_CELLS, FILE_METADATA, Status
from schemas.tables import TABLES

SHOWN = 200
"""Characters of a reason that a list shows."""
RAW_SHOWN = 2_000
MOST = 50
"""Rows and values shown unless told otherwise."""
VALUE_RULE = BAD_CELLS.c.column_name + ": " + BAD_CELLS.c.rule
"""As the rule of a row that a value of it put aside."""


def list_quarantine(chosen: Settings) -> int:
    """Prints, per table and rule, how many rows and how many values are put aside, and files refused as a whole."""
    console, timescale = terminal(), build_timescale(chosen)
    with timescale.connect() as connection:
        datasets = _datasets(connection)
        rows, values = connection.execute(_rows_by_rule()).all(), connection.execute(_values_by_rule()).all()
        refused = connection.execute(_refused()).all()
    if rows or not values:
        console.print(_by_rule("Rows put aside", "rows", rows, datasets))
    if values:
        console.print(_by_rule("Values put aside, the rest of their rows is loaded", "values", values, datasets))
    if refused:
        console.print(_refused_table(refused))
    if not rows and not values and not refused:
        console.print("Nothing is put aside.")
    return 0


def show_quarantine(chosen: Settings, *, name: str, rule: str | None, most: int | None) -> int:
    """Prints single rows and values put aside: file, line, rule, reason and what was received.

    Args:
        name: a dataset, declared or not, or a table.
        rule: only rules that contain this text; a value's rule begins with its column, as that of its row would.
        most: rows and values at most; None: fifty.
    """
    console, timescale, most = terminal(), build_timescale(chosen), most or MOST
    with timescale.connect() as connection:
        tables = [table for table, dataset in _datasets(connection).items() if dataset == name] or [name]
        rows = connection.execute(_rows_of(tables, rule).limit(most)).all()
        values = connection.execute(_values_of(tables, rule).limit(most)).all()
    for place, row in sorted((*map(_row_placed, rows), *map(_value_placed, values)), key=itemgetter(0))[:most]:
        *_, where = place
        console.print(f"[bold]{escape(escaped(where))}[/]  {escape(row.rule)}: {escape(escaped(row.reason))}")
        console.print(f"  {escape(escaped(row.raw[:RAW_SHOWN]))}", style="dim", highlight=False)
    if not rows and not values:
        console.print(f"Nothing of {name} is put aside. Tables: tidemark quarantine list")
    elif any(row.file_name for row in (*rows, *values)):
        told = f"Every line of a file: tidemark quarantine show {name} --file NAME"
        console.print(escape(told), style="dim", highlight=False)
    return 0


def _datasets(connection: sa.Connection) -> Mapping[str, str]:
    """The dataset of each table; those of files nobody declared are known to the catalog only."""
    query = sa.select(FILE_METADATA.c.target_table, FILE_METADATA.c.dataset).distinct()
    known = {table: dataset for table, dataset in connection.execute(query)}
    return known | {name: spec.dataset for name, spec in TABLES.items()}


def _rows_by_rule() -> sa.Select[Any]:
    """Table, rule, number, first and last day, one reason."""
    columns, day = (QUARANTINE.c.table_name, QUARANTINE.c.rule), QUARANTINE.c.day
    facts = (sa.func.count(), sa.func.min(day), sa.func.max(day), sa.func.min(QUARANTINE.c.reason))
    return sa.select(*columns, *facts).group_by(*columns).order_by(sa.func.count().desc(), *columns)


def _values_by_rule() -> sa.Select[Any]:
    """As `_rows_by_rule`; the days are those of arrival."""
    columns, day = (FILE_METADATA.c.target_table, VALUE_RULE.label("rule")), FILE_METADATA.c.arrived_on
    facts = (sa.func.count(), sa.func.min(day), sa.func.max(day), sa.func.min(BAD_CELLS.c.reason))
    query = sa.select(*columns, *facts).join(FILE_METADATA, FILE_METADATA.c.id == BAD_CELLS.c.file_metadata_id)
    return query.where(IS_VALUE_ASIDE).group_by(*columns).order_by(sa.func.count().desc(), *columns)


def _by_rule(title: str, what: str, groups: Iterable[sa.Row[Any]], datasets: Mapping[str, str]) -> Table:
    shown = Table(title=title)
    for name in ("dataset", "table", "rule", what, "first day", "last day", "for example"):
        shown.add_column(name, justify="right" if name == what else "left", overflow="fold")
    for table, rule, count, first, last, reason in groups:
        dataset, example = datasets.get(table, ""), escape(escaped(reason[:SHOWN]))
        shown.add_row(dataset, table, escape(rule), f"{count:,}", str(first), str(last), example)
    return shown


def _rows_of(tables: list[str], rule: str | None) -> sa.Select[Any]:
    query = sa.select(QUARANTINE, FILE_METADATA.c.file_name).outerjoin(FILE_METADATA, IS_ROW_OF_FILE)
    query = query.where(QUARANTINE.c.table_name.in_(tables)).order_by(QUARANTINE.c.source_id, QUARANTINE.c.line_no)
    return query.where(QUARANTINE.c.rule.contains(rule, autoescape=True)) if rule else query


def _values_of(tables: list[str], rule: str | None) -> sa.Select[Any]:
    cell = BAD_CELLS.c
    columns = (cell.line_no, cell.column_name, VALUE_RULE.label("rule"), cell.reason, cell.raw)
    query = (
        sa.select(FILE_METADATA.c.id, FILE_METADATA.c.file_name, *columns)
        .join(FILE_METADATA, FILE_METADATA.c.id == cell.file_metadata_id)
        .where(FILE_METADATA.c.target_table.in_(tables), IS_VALUE_ASIDE)
        .order_by(cell.file_metadata_id, cell.line_no, cell.column_name)
    )
    return query.where(VALUE_RULE.contains(rule, autoescape=True)) if rule else query


Place = tuple[bool, int, int, str]
"""Whether no file is known, file, line, and where that is in words."""


def _row_placed(row: sa.Row[Any]) -> tuple[Place, sa.Row[Any]]:
    where = f"{row.table_name}, {row.day}"
    if row.line_no:
        where = f"{row.file_name or row.table_name}, line {row.line_no}"
    return (row.source_id is None, row.source_id or 0, row.line_no or 0, where), row


def _value_placed(value: sa.Row[Any]) -> tuple[Place, sa.Row[Any]]:
    where = f"{value.file_name}, line {value.line_no}, only {value.column_name}"
    return (False, value.id, value.line_no, where), value


def _refused() -> sa.Select[Any]:
    columns = ("dataset", "file_name", "arrived_on", "error_rule", "error_message", "archive_path")
    query = sa.select(*(FILE_METADATA.c[name] for name in columns))
    is_refused = FILE_METADATA.c.ingestion_status == Status.REJECTED.value
    return query.where(is_refused).order_by(FILE_METADATA.c.arrived_at.desc()).limit(100)


def _refused_table(refused: Iterable[sa.Row[Any]]) -> Table:
    table = Table(title="Files refused as a whole")
    for name in ("dataset", "file", "arrived", "rule", "why", "kept as"):
        table.add_column(name, overflow="fold")
    for row in refused:
        told = (row.dataset, row.file_name, str(row.arrived_on), row.error_rule, row.error_message, row.archive_path)
        table.add_row(*(escape(escaped(str(text or ""))) for text in told))
    return table
