"""Tables of text as the readers make them, from cells given in a test."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from resources.landing.columns.casting import BAD_CELLS, TYPED, Plan, cast
from resources.landing.columns.inference import Guess, infer
from resources.landing.columns.kinds import Convention, Kind
from resources.landing.limits import Limits
from resources.landing.text_table import ROWS, TextTable, open_database

Cells = Sequence[str | None]


@contextmanager
def text_table(
    *columns: Cells, header: Sequence[str] | None = None, line_nos: Sequence[int] | None = None
) -> Iterator[TextTable]:
    """A table of these columns of cells; its rows are the lines from 2 on unless `line_nos` says otherwise."""
    rows = len(columns[0])
    lines = list(line_nos or range(2, rows + 2))
    arrays = {
        "line_no": pa.array(lines, pa.int64()),
        "line_count": pa.array([1] * rows, pa.int64()),
        **{f"c{number}": pa.array(cells, pa.string()) for number, cells in enumerate(columns)},
    }
    with tempfile.TemporaryDirectory() as folder:
        connection = open_database(Path(folder), Limits(), file_bytes=0)  # in memory, as a small file's
        connection.register("given", pa.table(arrays))
        connection.execute(f"CREATE TABLE {ROWS} AS SELECT * FROM given").fetchall()  # noqa: S608 - ours
        connection.unregister("given")
        with TextTable(
            connection=connection,
            format="csv",
            header=tuple(header) if header else None,
            column_count=len(columns),
            lines=rows + 1,
        ) as table:
            yield table


def guess(cells: Cells, header: str = "column", declared: Convention | None = None) -> Guess:
    """What a column of these cells is taken for."""
    with text_table(cells, header=[header]) as table:
        return infer(table, {"c0": declared} if declared else None)[0]


@dataclass(frozen=True, kw_only=True)
class Converted:
    """The values of a column, and the rule that each bad cell of it broke."""

    values: list[Any]
    rules: dict[str, str]


def converted(cells: Cells, kind: Kind, convention: Convention | None = None, **plan: Any) -> Converted:
    """A column of these cells as values of `kind`, bad cells becoming NULL."""
    return all_converted([(cells, kind, convention or Convention())], **plan)[0]


def all_converted(columns: Sequence[tuple[Cells, Kind, Convention]], **plan: Any) -> list[Converted]:
    """Columns of the same length, each by its own convention, in one table: an example then costs little."""
    with text_table(*(cells for cells, _, _ in columns)) as table:
        plans = [
            Plan(name=f"v{number}", source=f"c{number}", kind=kind, convention=convention, on_failure="cell", **plan)
            for number, (_, kind, convention) in enumerate(columns)
        ]
        assert cast(table, plans).rejects == 0
        typed, bad = rows_of(table, TYPED), rows_of(table, BAD_CELLS)
    return [
        Converted(
            values=[row[number + 2] for row in typed],
            rules={raw: rule for _, name, raw, rule, _ in bad if name == plan.name},
        )
        for number, plan in enumerate(plans)
    ]


def rows_of(table: TextTable, name: str) -> list[tuple[Any, ...]]:
    """Everything in a DuckDB table."""
    return table.connection.execute(f"SELECT * FROM {name} ORDER BY line_no").fetchall()  # noqa: S608 - ours
