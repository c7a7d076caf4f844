"""Rows of text become rows of types: what cannot be converted is put aside, and nothing is lost on the way.

Belongs here: the plan of a column, the typed table, the bad cells and the rejected rows. Does not belong here: a single
cell (`conversion.py`), choosing kind and convention (`inference.py`).
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from resources.errors import ConfigurationError, LedgerNotClosed, RejectedFile
from resources.landing.columns.conversion import LEAP_RULE, NAN_RULE, NUL, SQL_TYPES, Conversion, conversion
from resources.landing.columns.kinds import Convention, Kind
from resources.landing.columns.sql_text import identifier, literal, literals
from resources.landing.text_table import REJECTS, ROWS, TextTable
from schemas.file_dataset import FROZEN_COLUMN

TYPED = "rows_typed"
"""Name of the DuckDB table of typed rows: `line_no BIGINT`, `line_count BIGINT`, then one column per plan."""

BAD_CELLS = "bad_cells"
"""Name of the DuckDB table of cells of typed rows that are NULL though something was written there, or whose value is
noted (`leap second`): `line_no BIGINT`, `column_name VARCHAR`, `raw VARCHAR`, `rule VARCHAR`, `reason VARCHAR`."""

ROW_KEY = "row key"
IN_DOUBT = "in doubt"
"""Columns while casting; no physical name has a space."""
FOUND = "bad cells found"
DOUBT_RULE = "ambiguous"
CELL_SHOWN = 200
"""Characters of a cell that a reason shows."""
CELLS_TOLD = 3
"""Cells that the refusal of a whole file names."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How one column of the typed table comes about.

    Raises:
        ConfigurationError: a range of numbers is asked of what is no number, or one of instants of what is none.
    """

    name: str
    """Physical name, safe already."""
    source: str | None
    """c0, c1, ...; None: the file has no such column, and its cells are NULL."""
    kind: Kind
    convention: Convention = field(default_factory=Convention)
    nullable: bool = True
    """False: a row without a value is rejected, whatever `on_failure` says."""
    categories: tuple[str, ...] | None = None
    """The values there are, as text: as DuckDB prints them, or instants and doubles in any way it reads."""
    minimum: float | datetime | None = None
    maximum: float | datetime | None = None
    on_failure: Literal["file", "row", "cell"] = "row"
    """Whether a bad cell rejects its file, rejects its row, or becomes NULL and is recorded in `bad_cells`."""
    doubt: str | None = None
    """Why nobody can tell how the cells are to be read, and what to declare: then every one of them is bad."""

    def __post_init__(self) -> None:
        for bound in (self.minimum, self.maximum):
            kinds = (Kind.TIMESTAMP,) if isinstance(bound, datetime) else (Kind.INTEGER, Kind.NUMBER)
            if bound is not None and self.kind not in kinds:
                raise ConfigurationError(f"column {self.name} is {self.kind}; only numbers have a minimum or maximum")

    @property
    def is_fatal(self) -> bool:
        """Whether a bad cell costs its row, if not more."""
        return self.on_failure != "cell" or not self.nullable


@dataclass(frozen=True, kw_only=True)
class Casted:
    """A table with `rows_typed` and `bad_cells` beside its text; `rows` + `rejects` are the rows of text."""

    table: TextTable
    plans: tuple[Plan, ...]
    rows: int
    rejects: int
    """Rows rejected here, besides those the reader rejected."""
    bad_cells: int


def cast(table: TextTable, plans: Sequence[Plan]) -> Casted:
    """Creates `rows_typed` and `bad_cells` of `table`, and adds the rejected rows to `rejects_read`; once per table.

    A cell is bad if it cannot be converted, breaks the range or the categories, holds a NUL character, or is missing
    and may not be. `nan` is a missing number of which a bad cell is kept. A rejected row has one reject: `rule` is
    `<column>: <rule>` of its first fatal cell, `reason` names all bad ones, `raw` is a JSON array of its cells.

    Raises:
        ConfigurationError: two columns have the same name, or a source is no column of the table.
        RejectedFile: a cell is bad that may not be in any row (`frozen_column`).
        LedgerNotClosed: rows were lost or doubled.
    """
    _check(table, plans)
    columns = [_Column(place, plan) for place, plan in enumerate(plans)]
    connection = table.connection
    rejects_before = table.count(REJECTS)
    connection.execute(_typed_statement(table, columns)).fetchall()
    connection.execute(_found_statement(table, _doubtful(table, columns))).fetchall()
    _require_frozen(table, plans)
    connection.execute(_rejects_statement(table)).fetchall()
    fatal_rows = f"SELECT row_key FROM {identifier(FOUND)} WHERE fatal"
    connection.execute(
        f"CREATE TABLE {BAD_CELLS} AS SELECT line_no, column_name, replace(raw, {NUL}, '\\x00') AS raw, rule, reason"
        f" FROM {identifier(FOUND)} WHERE row_key NOT IN ({fatal_rows}) ORDER BY line_no, place"
    ).fetchall()
    connection.execute(f"DELETE FROM {TYPED} WHERE {identifier(ROW_KEY)} IN ({fatal_rows})").fetchall()
    connection.execute(f"DROP TABLE {identifier(FOUND)}").fetchall()
    for name in (ROW_KEY, IN_DOUBT):
        connection.execute(f"ALTER TABLE {TYPED} DROP COLUMN {identifier(name)}").fetchall()
    casted = Casted(
        table=table,
        plans=tuple(plans),
        rows=table.count(TYPED),
        rejects=table.count(REJECTS) - rejects_before,
        bad_cells=table.count(BAD_CELLS),
    )
    if (read := table.count(ROWS)) != casted.rows + casted.rejects:
        raise LedgerNotClosed(
            f"{read} rows were read, but {casted.rows} are typed and {casted.rejects} rejected; "
            "the types are at fault, keep the file and report it"
        )
    return casted


class _Column:
    """The SQL of one plan, over a row of cells and its converted values `v0`, `v1`, ..."""

    def __init__(self, place: int, plan: Plan) -> None:
        self.place = place
        self.plan = plan
        self.value = f"v{place}"
        self.cell = plan.source or "NULL::VARCHAR"
        self.conversion: Conversion = conversion(self.cell, plan.kind, plan.convention)
        if plan.doubt is not None:
            self.conversion = replace(self.conversion, value="NULL", rule=literal(DOUBT_RULE), noted=None)

    @property
    def converted(self) -> str:
        return f"({self.conversion.value})::{SQL_TYPES[self.plan.kind]}" if self.plan.source else "NULL"

    def limits(self) -> list[tuple[str, str]]:
        """Rules and the conditions, over the value, that break them."""
        plan, value, broken = self.plan, self.typed_value, []
        if plan.minimum is not None:
            broken.append(("below minimum", f"{value} < {_bound(plan.minimum, plan.kind, math.ceil)}"))
        if plan.maximum is not None:
            broken.append(("above maximum", f"{value} > {_bound(plan.maximum, plan.kind, math.floor)}"))
        if plan.categories is not None:
            broken.append(("not a category", f"NOT {_is_among(value, plan.categories, plan.kind)}"))
        return broken

    @property
    def typed_value(self) -> str:
        return f"{self.value}::{SQL_TYPES[self.plan.kind]}"

    def kept(self) -> str:
        """The value, or NULL if it is beyond the limits."""
        conditions = [condition for _, condition in self.limits()]
        within = f"CASE WHEN NOT ({' OR '.join(conditions)}) THEN {self.typed_value} END"
        return within if conditions else self.typed_value

    def in_doubt(self) -> str:
        """Whether there may be something to say of the cell; the exact rule is looked for in those rows only."""
        if self.plan.source is None:
            return str(not self.plan.nullable)
        if_null = f"NOT {self.conversion.missing}" if self.plan.nullable else "TRUE"
        others = [condition for _, condition in self.limits()]
        others += [self.conversion.noted] if self.conversion.noted else []
        # CASE looks at the few cells without a value only, where OR would at all of them
        return f"CASE WHEN {self.value} IS NULL THEN {if_null} ELSE {' OR '.join(others) or 'FALSE'} END"

    def found(self) -> str:
        """A struct: the rule the cell breaks (NULL: none) and whether that is fatal."""
        plan = self.plan
        when_missing = "NULL" if plan.nullable else "'null'"
        cases = [(self.conversion.missing, when_missing), (f"{self.value} IS NULL", self.conversion.rule)]
        cases += [(condition, literal(rule)) for rule, condition in self.limits()]
        cases += [(self.conversion.noted, literal(LEAP_RULE))] if self.conversion.noted else []
        rule = f"CASE {' '.join(f'WHEN {condition} THEN {rule}' for condition, rule in cases)} END"
        return (
            f"{{'place': {self.place}, 'column_name': {literal(plan.name)}, 'raw': {self.cell}, 'rule': {rule},"
            f" 'why': {literal(plan.doubt) if plan.doubt else 'NULL::VARCHAR'},"
            f" 'fatal': {plan.is_fatal}, 'nullable': {plan.nullable}}}"
        )


def _check(table: TextTable, plans: Sequence[Plan]) -> None:
    names = Counter([plan.name.lower() for plan in plans] + ["line_no", "line_count"])
    if doubled := sorted(name for name, count in names.items() if count > 1):
        raise ConfigurationError(f"columns need names of their own; more than one is called {', '.join(doubled)}")
    known = set(table.columns)
    if unknown := sorted(plan.source for plan in plans if plan.source is not None and plan.source not in known):
        raise ConfigurationError(
            f"the file has no {', '.join(unknown)}; it has {table.column_count} columns from c0 on"
        )


def _require_frozen(table: TextTable, plans: Sequence[Plan]) -> None:
    """Refuses the file for bad cells of columns that are frozen."""
    frozen = [plan.name for plan in plans if plan.on_failure == "file"]
    if not frozen:
        return
    bad = f"FROM {identifier(FOUND)} WHERE fatal AND list_contains([{literals(frozen)}], column_name)"
    columns, cells, told = table.connection.execute(
        "SELECT string_agg(DISTINCT column_name, ', ' ORDER BY column_name), count(*), string_agg(concat('line ',"
        f" line_no, ': ', reason), '; ' ORDER BY row_key, place) FILTER (number <= {CELLS_TOLD})"
        f" FROM (SELECT *, row_number() OVER (ORDER BY row_key, place) AS number {bad})"
    ).fetchall()[0]
    if cells:
        raise RejectedFile(
            FROZEN_COLUMN,
            f"{columns} is frozen and {cells:,} cell(s) do not fit, {told}: mend them and drop the file again",
        )


def _typed_statement(table: TextTable, columns: list[_Column]) -> str:
    outer = [f"row_key AS {identifier(ROW_KEY)}", "line_no", "line_count"]
    outer += [f"{column.kept()} AS {identifier(column.plan.name)}" for column in columns]
    doubts = [column.in_doubt() for column in columns]
    outer.append(f"{' OR '.join(['FALSE', *doubts])} AS {identifier(IN_DOUBT)}")
    return f"CREATE TABLE {TYPED} AS SELECT {', '.join(outer)} FROM ({_converted_rows(table, columns)})"


def _converted_rows(table: TextTable, columns: list[_Column]) -> str:
    """The rows of text with `v0`, `v1`, ... beside their cells, so that each value is computed once."""
    converted = [f"{column.converted} AS {column.value}" for column in columns]
    return f"SELECT {', '.join(['rowid AS row_key', 'line_no', 'line_count', *table.columns, *converted])} FROM {ROWS}"


def _doubtful(table: TextTable, columns: list[_Column]) -> list[_Column]:
    """The columns to look at again: to compute all rules of a wide table takes long, even for no row at all."""
    if not columns:
        return []
    values = ", ".join(f"t.{identifier(column.plan.name)} AS {column.value}" for column in columns)
    cells = ", ".join(f"r.{name}" for name in ("line_no", *table.columns))
    tests = ", ".join(f"bool_or({column.in_doubt()})" for column in columns)
    rows = (
        f"SELECT {cells}, {values} FROM {ROWS} r JOIN {TYPED} t ON r.rowid = t.{identifier(ROW_KEY)}"
        f" WHERE t.{identifier(IN_DOUBT)}"
    )
    (found,) = table.connection.execute(f"SELECT {tests} FROM ({rows})").fetchall()
    return [column for column, is_doubtful in zip(columns, found, strict=True) if is_doubtful]


def _found_statement(table: TextTable, columns: list[_Column]) -> str:
    doubtful = f"SELECT {identifier(ROW_KEY)} FROM {TYPED} WHERE {identifier(IN_DOUBT)}"
    found = [column.found() for column in columns]
    empty = (
        "{'place': 0, 'column_name': '', 'raw': '', 'rule': NULL::VARCHAR, 'why': NULL::VARCHAR,"
        " 'fatal': FALSE, 'nullable': TRUE}"
    )
    rows = f"{_converted_rows(table, columns)} WHERE rowid IN ({doubtful})"
    each = f"SELECT row_key, line_no, unnest([{', '.join([empty, *found])}]) AS cell FROM ({rows})"
    return (
        f"CREATE TEMP TABLE {identifier(FOUND)} AS SELECT row_key, line_no, cell.place AS place,"
        " cell.column_name AS column_name, cell.raw AS raw, cell.rule AS rule,"
        f" cell.rule <> {literal(LEAP_RULE)} AND cell.fatal"
        f" AND NOT (cell.rule = {literal(NAN_RULE)} AND cell.nullable) AS fatal,"
        " concat(cell.column_name, ': ', cell.rule, ', ' || cell.why,"
        f" ': ' || to_json(left(cell.raw, {CELL_SHOWN}))::VARCHAR) AS reason"
        f" FROM ({each}) WHERE cell.rule IS NOT NULL"
    )


def _rejects_statement(table: TextTable) -> str:
    found = identifier(FOUND)
    raw = f"to_json([{', '.join(f'r.{name}' for name in table.columns)}]::VARCHAR[])::VARCHAR"
    return (
        f"INSERT INTO {REJECTS} SELECT r.line_no, r.line_count, {raw}, b.rule, b.reason FROM {ROWS} r JOIN ("
        " SELECT row_key, arg_min(concat(column_name, ': ', rule), place) FILTER (fatal) AS rule,"
        f" string_agg(reason, '; ' ORDER BY place) FILTER (rule <> {literal(LEAP_RULE)}) AS reason"
        f" FROM {found} GROUP BY row_key HAVING bool_or(fatal)) b ON r.rowid = b.row_key ORDER BY r.rowid"
    )


def _is_among(value: str, texts: Sequence[str], kind: Kind) -> str:
    """Whether a text stands for the value; of doubles and instants each has several that do."""
    if kind not in (Kind.NUMBER, Kind.TIMESTAMP):
        return f"list_contains([{literals(texts)}]::VARCHAR[], {value}::VARCHAR)"
    values = ", ".join(f"TRY_CAST({literal(text)} AS {SQL_TYPES[kind]})" for text in texts)
    return f"list_contains([{values}]::{SQL_TYPES[kind]}[], {value})"


def _bound(bound: float | datetime, kind: Kind, towards: Callable[[float], int]) -> str:
    """The bound as exact as the values: an integer for integers, since beyond 2^53 doubles are not."""
    if isinstance(bound, datetime):
        return f"{literal(bound.isoformat())}::TIMESTAMPTZ"
    if math.isinf(bound):
        return f"{literal('inf' if bound > 0 else '-inf')}::DOUBLE"
    return f"{towards(bound)}::HUGEINT" if kind is Kind.INTEGER else f"{literal(repr(float(bound)))}::DOUBLE"
