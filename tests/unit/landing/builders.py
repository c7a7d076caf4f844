"""Tables of text as the readers make them, from cells given in a test."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from resources.landing.columns.casting import Casted, Plan, cast
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
        connection = open_database(Path(folder), Limits())
        connection.register("given", pa.table(arrays))
        connection.execute(f"CREATE TABLE {ROWS} AS SELECT * FROM given").fetchall()
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


def converted(cells: Cells, kind: Kind, convention: Convention | None = None, **plan: Any) -> "Converted":
    """A column of these cells as values of `kind`, bad cells becoming NULL."""
    with text_table(cells) as table:
        casted = cast(
            table,
            [
                Plan(
                    name="value",
                    source="c0",
                    kind=kind,
                    convention=convention or Convention(),
                    on_failure="cell",
                    **plan,
                )
            ],
        )
        return Converted(casted)


class Converted:
    """The one column of a table that was cast, and the rules its cells broke."""

    def __init__(self, casted: Casted) -> None:
        connection = casted.table.connection
        read = connection.execute("SELECT value FROM rows_typed ORDER BY line_no").fetchall()
        self.values = [value for (value,) in read]
        found = connection.execute("SELECT raw, rule FROM bad_cells ORDER BY line_no").fetchall()
        self.rules = dict(found)
        self.casted = casted


def rows_of(table: TextTable, name: str) -> list[tuple[Any, ...]]:
    """Everything in a DuckDB table."""
    return table.connection.execute(f"SELECT * FROM {name} ORDER BY line_no").fetchall()
