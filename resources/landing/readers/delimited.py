"""The reader of delimited text.

Belongs here: the order of the steps, and the account of all lines. Does not belong here: the steps themselves
(`encoding.py`, `text_file.py`, `dialect.py`, `regions.py`, `scan.py`, `rows_writer.py`).
"""

from dataclasses import replace
from pathlib import Path

import duckdb

from resources.errors import LedgerNotClosed, RejectedFile
from resources.landing.limits import Limits
from resources.landing.readers.dialect import declared_delimiter, find_dialect
from resources.landing.readers.encoding import Encoding, find_encoding
from resources.landing.readers.hints import Hints
from resources.landing.readers.records import Dialect
from resources.landing.readers.regions import Plan, find_footer, find_regions
from resources.landing.readers.rows_writer import RowsWriter, create_rows, csv_source
from resources.landing.readers.scan import Lines, Record, Scanner
from resources.landing.readers.text_file import TextFile, as_utf8, batches, if_utf8, tail_lines
from resources.landing.text_table import ROWS, Skipped, TextTable, open_database

HEAD_LINES = 3_000
HEAD_SIZE = 1 << 20
TAIL_SIZE = 1 << 16
BULK_FROM = 5_000
"""Lines from which on DuckDB is asked to read the file as it is."""


def read_delimited(path: Path, work_dir: Path, limits: Limits, hints: Hints) -> TextTable:
    """The table in a file of delimited text. A quoted empty cell is '', an unquoted one NULL.

    Raises RejectedFile (`too_many_columns`, `too_many_rows`), ConfigurationError for an unknown encoding,
    LedgerNotClosed if not every line is accounted for.
    """
    encoding, text = _decoded(path, work_dir, hints)
    head = _head(text, limits)
    first = 1
    if head and hints.delimiter is None and (declared := declared_delimiter(head[0])) is not None:
        hints = replace(hints, delimiter=declared)
        first = 2
    dialect = find_dialect(head[first - 1 :], hints)
    scanner = Scanner(dialect, None, limits.cell_bytes)
    records = list(scanner.records(Lines([head[first - 1 :]], first)))
    whole = len(head) == text.lines
    plan = find_regions(records, text.lines, hints, whole=whole)
    if first == 2:
        plan.first_line = max(2, plan.first_line)
    if plan.width > limits.columns:
        raise RejectedFile("too_many_columns", f"{path.name} has {plan.width} columns; the limit is {limits.columns}")
    if not whole:
        _find_end(text, dialect, plan, records, limits)
    connection = open_database(work_dir, limits, text.path.stat().st_size)
    try:
        account = _read(text, dialect, plan, records, head, connection, work_dir, limits)
        if account.rows > limits.rows:
            raise RejectedFile("too_many_rows", f"{path.name} has {account.rows} rows; the limit is {limits.rows}")
    except BaseException:
        connection.close()
        raise
    return TextTable(
        connection=connection,
        format="csv",
        header=plan.names,
        column_count=plan.width,
        lines=text.lines,
        skipped=account.skipped,
        facts=_facts(encoding, text, dialect, plan, head) | account.facts,
    )


def _decoded(path: Path, work_dir: Path, hints: Hints) -> tuple[Encoding, TextFile]:
    if (hints.encoding or "utf-8").lower().replace("_", "-") in ("utf-8", "utf8", "ascii"):
        text = if_utf8(path)
        if text is not None:
            return Encoding(name="utf-8", confidence=1.0), text
    encoding = find_encoding(path, hints)
    return encoding, as_utf8(path, encoding, work_dir)


class _Account:
    def __init__(self, rows: int, skipped: list[Skipped], facts: dict[str, int]) -> None:
        self.rows = rows
        self.skipped = skipped
        self.facts = facts


def _read(
    text: TextFile,
    dialect: Dialect,
    plan: Plan,
    records: list[Record],
    head: list[str],
    connection: duckdb.DuckDBPyConnection,
    work_dir: Path,
    limits: Limits,
) -> _Account:
    above = _above(plan, records, head)
    if text.lines >= BULK_FROM and _may_read_in_bulk(text, dialect, plan, records):
        expected = text.lines - plan.first_line + 1
        if _read_in_bulk(text, dialect, plan, connection, limits, expected):
            writer = RowsWriter(connection, work_dir, dialect, plan.width)
            _tell_above(above, writer)
            writer.close()
            return _closed(expected, text, writer, connection, {})
    for wary in (False, True):
        writer = RowsWriter(connection, work_dir, dialect, plan.width)
        try:
            scanner = _scan(text, dialect, plan, above, writer, limits, wary=wary)
            if writer.reject_count and scanner.doubtful and not wary:
                writer.discard()
                continue
            writer.finish()
        finally:
            writer.close()
        return _closed(writer.row_lines, text, writer, connection, {"trimmed_records": scanner.trimmed})
    raise AssertionError("the second walk is the last one")


def _scan(
    text: TextFile,
    dialect: Dialect,
    plan: Plan,
    above: list[Record | Skipped],
    writer: RowsWriter,
    limits: Limits,
    *,
    wary: bool,
) -> Scanner:
    _tell_above(above, writer)
    scanner = Scanner(dialect, plan.width, limits.cell_bytes, wary=wary)
    lines = Lines(batches(text, 4 * limits.cell_bytes))
    lines.skip_to(plan.first_line)
    header = plan.header[-1] if plan.header else None
    scanner.run(lines, plan.stop_line, writer, header=header, drop_empty=plan.is_report)
    for record in Scanner(dialect, None, limits.cell_bytes).records(lines):
        if record.is_blank:
            writer.skip(record.line_no, record.line_count, "blank", record.raw)
        elif plan.after == "another_table":
            rule, reason = (
                "another_table",
                "a further table begins above or at this line; deliver it as a file of its own",
            )
            writer.reject(replace(record, cells=None, rule=rule, reason=reason))
        elif record.cells is None and not record.rule.endswith("quote"):
            writer.reject(record)
        else:
            writer.skip(record.line_no, record.line_count, plan.after, record.raw)
    return scanner


def _above(plan: Plan, records: list[Record], head: list[str]) -> list[Record | Skipped]:
    """What stands above the first row: rejects, and lines to skip."""
    found: list[Record | Skipped] = []
    header = {record.line_no for record in plan.header}
    number = 1
    if records and records[0].line_no == 2:
        found.append(Skipped(line_no=1, line_count=1, kind="preamble", text=head[0].rstrip("\r\n")))
        number = 2
    elif not records and plan.first_line == 2:
        found.append(Skipped(line_no=1, line_count=1, kind="preamble", text=head[0].rstrip("\r\n")))
    for record in records:
        if record.line_no >= plan.first_line:
            break
        assert record.line_no == number
        number += record.line_count
        if record.cells is None and not record.rule.endswith("quote"):
            found.append(record)
            continue
        kind = "header" if record.line_no in header else "blank" if record.is_blank else "preamble"
        if kind == "preamble" and record.raw.startswith("#"):
            kind = "comment"
        found.append(Skipped(line_no=record.line_no, line_count=record.line_count, kind=kind, text=record.raw))
    return found


def _tell_above(above: list[Record | Skipped], writer: RowsWriter) -> None:
    for entry in above:
        if isinstance(entry, Skipped):
            writer.skip(entry.line_no, entry.line_count, entry.kind, entry.text)
        else:
            writer.reject(entry)


def _may_read_in_bulk(text: TextFile, dialect: Dialect, plan: Plan, records: list[Record]) -> bool:
    return (
        dialect.is_plain
        and plan.width >= 2
        and not text.marked
        and text.line_ends in ("\\n", "\\r\\n")
        and plan.stop_line == text.lines + 1
        and not plan.is_report
        and all(record.cells and record.line_count == 1 for record in records)
    )


def _read_in_bulk(
    text: TextFile, dialect: Dialect, plan: Plan, connection: duckdb.DuckDBPyConnection, limits: Limits, expected: int
) -> bool:
    """Whether DuckDB read the file as it is, and every line below the header was one row.

    A row takes a line at least: with as many rows as lines, each took one.
    """
    longest = min(limits.cell_bytes, 16_000_000)
    source, values = csv_source(
        text.path, dialect.delimiter, dialect.quote, plan.width, plan.first_line - 1, longest, text.line_ends
    )
    try:
        create_rows(connection, source, values, plan.first_line)
    except duckdb.Error:
        return False
    found = connection.execute(f"SELECT count(*) FROM {ROWS}").fetchone()
    if found == (expected,) and not _has_again(plan, connection):
        return True
    connection.execute(f"DROP TABLE {ROWS}")
    return False


def _has_again(plan: Plan, connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the header comes again among the rows."""
    if not plan.header or plan.header[-1].cells is None:
        return False
    cells = plan.header[-1].cells
    same = " AND ".join(f"c{number} IS NOT DISTINCT FROM ?" for number in range(len(cells)))
    return connection.execute(f"SELECT 1 FROM {ROWS} WHERE {same} LIMIT 1", cells).fetchone() is not None


def _head(text: TextFile, limits: Limits) -> list[str]:
    found: list[str] = []
    size = 0
    for batch in batches(text, 4 * limits.cell_bytes, HEAD_SIZE):
        found += batch
        size += sum(map(len, batch))
        if len(found) >= HEAD_LINES or size >= HEAD_SIZE:
            break
    return found[:HEAD_LINES]


def _find_end(text: TextFile, dialect: Dialect, plan: Plan, records: list[Record], limits: Limits) -> None:
    """Looks for notes at the end of a file that is longer than its head."""
    tail = tail_lines(text, TAIL_SIZE)
    first = text.lines - len(tail) + 1
    if first < plan.first_line:
        tail, first = tail[plan.first_line - first :], plan.first_line
    last = list(Scanner(dialect, None, limits.cell_bytes).records(Lines([tail], first)))
    body = [record.cells for record in records if record.cells and record.line_no >= plan.first_line]
    find_footer(last, plan, body)


def _closed(
    row_lines: int, text: TextFile, writer: RowsWriter, connection: duckdb.DuckDBPyConnection, facts: dict[str, int]
) -> _Account:
    writer.skipped.sort(key=lambda skipped: skipped.line_no)
    skipped = sum(entry.line_count for entry in writer.skipped)
    if row_lines + writer.reject_lines + skipped != text.lines:
        raise LedgerNotClosed(
            f"of {text.lines} lines, {row_lines} are in rows, {writer.reject_lines} in rejects, {skipped} skipped"
        )
    return _Account(row_lines, writer.skipped, facts)


def _facts(
    encoding: Encoding, text: TextFile, dialect: Dialect, plan: Plan, head: list[str]
) -> dict[str, str | int | float | bool | None]:
    quoted = bool(dialect.quote) and any(dialect.quote in line for line in head)
    return {
        "encoding": encoding.name if encoding.fallback is None else f"{encoding.name} or {encoding.fallback}",
        "encoding_confidence": encoding.confidence,
        "delimiter": dialect.delimiter,
        "repeated_delimiter_counts_once": dialect.runs,
        "quote": dialect.quote if quoted else "",
        "escape": dialect.escape,
        "unescaped_quotes": dialect.lenient,
        "line_ends": text.line_ends,
        "header_lines": sum(record.line_count for record in plan.header),
        "padding_bytes": text.padding,
        "is_empty": text.lines == 0,
    }
