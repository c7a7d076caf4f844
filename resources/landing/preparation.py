"""From a file's bytes to the rows of its staging table: read, find its columns, give them types, describe them.

Belongs here: the order of these steps. Does not belong here: each step (`readers/`, `planning.py`, `columns/`,
`verdicts.py`), the database, moving the file.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa

from resources.errors import LedgerNotClosed, RejectedFile
from resources.landing.columns.casting import BAD_CELLS, TYPED, Casted, cast
from resources.landing.columns.inference import Guess, infer
from resources.landing.columns.profile import ColumnProfile, profile
from resources.landing.columns.sql_text import identifier
from resources.landing.limits import Limits
from resources.landing.planning import (
    Planned,
    declared_convention,
    found_columns,
    plan_declared,
    plan_nothing,
    plan_undeclared,
)
from resources.landing.readers.hints import Hints
from resources.landing.readers.load import read
from resources.landing.row_batches import PIECE_ROWS, gathered
from resources.landing.row_width import NARROW, ROW_BYTES, width
from resources.landing.text_table import REJECTS, ROWS, TextTable
from resources.landing.verdicts import require_columns, require_no_header_among_rows, require_rows, require_whole
from schemas.file_dataset import FROZEN_COLUMN, FileDataset
from schemas.schema_versions import Column
from schemas.table_spec import TableSpec
from schemas.window import midnight


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What is known of a dataset before one of its files is read: its declaration, or the columns it had so far."""

    name: str
    spec: TableSpec | None
    """None: nobody declared it."""
    dataset: FileDataset | None
    known: tuple[Column, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A file that is ready to be loaded, as long as the `with` block that made it lasts."""

    planned: Planned
    table: TextTable
    profiles: Sequence[ColumnProfile]
    guesses: Sequence[Guess]
    read: int
    """Records the reader found, those it put aside included."""
    rows: int
    rejected: int
    event_days: Sequence[date]
    """UTC days the rows are about; none if nobody declared which column tells."""
    distinct_keys: int | None
    """Different natural keys among the rows; None where none is declared."""

    @property
    def spec(self) -> TableSpec:
        """The staging table."""
        return self.planned.spec

    def batches(self, source_id: int, arrived_at: datetime) -> Iterator[pa.RecordBatch]:
        """The rows as the staging table has them, in the order of the file."""
        select = ", ".join(_select(name, self.planned) for name in self.spec.columns)
        joined = f"JOIN {ROWS} AS r USING (line_no)" if self.planned.extra else ""
        values = {"source_id": source_id, "arrived_at": arrived_at, **_names(self.planned)}
        yield from self._streamed(f"SELECT {select} FROM {TYPED} AS t {joined}", values)

    def rejects(self) -> Iterator[pa.RecordBatch]:
        """What was put aside: columns line_no, raw, rule, reason."""
        yield from self._streamed(f"SELECT line_no, raw, rule, reason FROM {REJECTS}", {})

    def bad_cells(self) -> Iterator[tuple[int, str, str, str, str]]:
        """Cells put aside while their row is loaded: line_no, column_name, raw, rule, reason."""
        for batch in self._streamed(f"SELECT line_no, column_name, raw, rule, reason FROM {BAD_CELLS}", {}):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def _streamed(self, query: str, values: Mapping[str, object]) -> Iterator[pa.RecordBatch]:
        """A cursor of its own: another query on the same one would end the stream."""
        cursor = self.table.connection.cursor()
        cursor.execute("SET TimeZone = 'UTC'")
        cursor.execute("SET enable_progress_bar = false")
        yield from gathered(cursor.sql(query, params=dict(values)).to_arrow_reader(PIECE_ROWS))


@contextmanager
def prepared(
    path: Path, declaration: Declaration, arrived_at: datetime, work_dir: Path, limits: Limits
) -> Iterator[Prepared]:
    """The file at `path`, read, typed and described; what it took is gone at the end of the block.

    Raises:
        RejectedFile: it is refused as a whole; the rule says why.
        LedgerNotClosed: a record was lost on the way.
    """
    dataset = declaration.dataset
    with read(path, work_dir, limits, _hints(dataset)) as table:
        guesses, planned = _planned(table, declaration)
        require_columns(planned.spec, limits)
        total = table.count(ROWS) + table.count(REJECTS)
        casted = cast(table, planned.plans)
        if dataset is not None:
            _put_aside_by_time(table, dataset, arrived_at)
        _put_aside_too_wide(table, planned)
        rows, rejected = table.count(TYPED), table.count(REJECTS)
        if rows + rejected != total:
            raise LedgerNotClosed(f"{path.name}: {total} records, but {rows} rows and {rejected} put aside")
        require_whole(table, dataset, rejected)
        require_rows(table, dataset, rows, rejected)
        yield Prepared(
            planned=planned,
            table=table,
            profiles=_profiles(casted, planned),
            guesses=guesses,
            read=total,
            rows=rows,
            rejected=rejected,
            event_days=_event_days(table, dataset),
            distinct_keys=_distinct_keys(table, dataset),
        )


def _planned(table: TextTable, declaration: Declaration) -> tuple[list[Guess], Planned]:
    """What each column is and becomes. What is declared of how a column is written is not guessed."""
    dataset, spec = declaration.dataset, declaration.spec
    if dataset is None or spec is None:
        guesses = infer(table) if table.column_count else []
        return guesses, plan_undeclared(table.header, guesses, declaration.name, declaration.known)
    if not table.column_count:
        return [], plan_nothing(dataset, spec)
    require_no_header_among_rows(table, dataset)
    found = found_columns(table.header, table.column_count, dataset)
    conventions = {f"c{index}": declared_convention(name, dataset) for name, index in found.mapping.of_declared.items()}
    guesses = infer(table, conventions)
    return guesses, plan_declared(found, guesses, dataset, spec)


def _hints(dataset: FileDataset | None) -> Hints:
    if dataset is None:
        return Hints()
    return Hints(
        encoding=dataset.encoding,
        delimiter=dataset.delimiter,
        sheet=dataset.sheet,
        records_path=dataset.records_path,
    )


def _put_aside_by_time(table: TextTable, dataset: FileDataset, arrived_at: datetime) -> None:
    """Rows about a time before the dataset begins, or further in the future than clocks differ.

    The future counts from the file's arrival, so that the same file has the same rows whenever it is read again.
    """
    event = identifier(dataset.event_time)
    first, last = midnight(date.fromisoformat(dataset.first_day)), arrived_at + dataset.future_tolerance
    too_late = f"it is about a time after {last.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    for rule, condition, bound, reason in (
        ("before the first day", f"{event} < $bound", first, f"it is about a time before {dataset.first_day}"),
        ("in the future", f"{event} > $bound", last, too_late),
    ):
        count = _put_aside(table, condition, f"{dataset.event_time}: {rule}", reason, bound=bound)
        if count and dataset.event_time in dataset.frozen_columns:
            raise RejectedFile(
                FROZEN_COLUMN,
                f"{dataset.event_time} is frozen and {count:,} cell(s) do not fit, {rule} ({reason}): mend them and "
                "drop the file again",
            )


def _put_aside_too_wide(table: TextTable, planned: Planned) -> None:
    """Rows that no page of the database holds."""
    if len(planned.plans) > NARROW:
        reason = f"with {len(planned.plans):,} columns it is wider than a row of the database may be: leave some empty"
        _put_aside(table, f"{width(planned.plans)} > {ROW_BYTES}", "too wide", reason)


def _put_aside(table: TextTable, condition: str, rule: str, reason: str, **values: object) -> int:
    """Moves typed rows to the rejects; how many."""
    fitting = f"SELECT line_no FROM {TYPED} WHERE {condition}"
    table.connection.execute(
        f"INSERT INTO {REJECTS} SELECT r.line_no, r.line_count, {_raw(table)}, $rule, $reason "
        f"FROM {ROWS} AS r WHERE r.line_no IN ({fitting}) ORDER BY r.rowid",
        {"rule": rule, "reason": reason, **values},
    )
    deleted = table.connection.execute(f"DELETE FROM {TYPED} WHERE {condition}", values or None).fetchall()
    return int(deleted[0][0])


def _event_days(table: TextTable, dataset: FileDataset | None) -> list[date]:
    if dataset is None:
        return []
    day = f"({identifier(dataset.event_time)})::DATE"
    return [
        day for (day,) in table.connection.execute(f"SELECT DISTINCT {day} AS day FROM {TYPED} ORDER BY day").fetchall()
    ]


def _distinct_keys(table: TextTable, dataset: FileDataset | None) -> int | None:
    if dataset is None or not dataset.key:
        return None
    key = ", ".join(map(identifier, dataset.key))
    found = table.connection.execute(f"SELECT count(*) FROM (SELECT DISTINCT {key} FROM {TYPED})").fetchone()
    return int(found[0]) if found else 0


def _raw(table: TextTable) -> str:
    return f"to_json([{', '.join(f'r.{column}' for column in table.columns)}])::VARCHAR"


def _profiles(casted: Casted, planned: Planned) -> list[ColumnProfile]:
    shown = {column.name for column in planned.columns}
    return [one for one in profile(casted) if one.name in shown]


def _select(name: str, planned: Planned) -> str:
    """The expression of one column of the staging table."""
    instant = "$arrived_at::TIMESTAMPTZ"
    own = {
        "source_id": "$source_id::BIGINT",
        "line_no": "t.line_no",
        "arrived_at": instant,
        "known_at": instant,
        "extra": _extra(planned),
    }
    planned_names = {plan.name for plan in planned.plans}
    expression = own.get(name) or (f"t.{identifier(name)}" if name in planned_names else "NULL::VARCHAR")
    return f"{expression} AS {identifier(name)}"


def _extra(planned: Planned) -> str:
    """A JSON object of the cells of columns nobody declared; names are bound, never spelled."""
    if not planned.extra:
        return "NULL::VARCHAR"
    pairs = ", ".join(f"$extra_{column}::VARCHAR, r.{column}" for column in planned.extra)
    return f"json_object({pairs})::VARCHAR"


def _names(planned: Planned) -> dict[str, str]:
    return {f"extra_{column}": name for column, name in planned.extra.items()}
