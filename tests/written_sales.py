"""Sales files written cell by cell, each cell as it is told, and what becomes of each line.

Belongs here: spelling a file, loading it, looking at its rows. Does not belong here: expectations.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import sqlalchemy as sa

from tests.file_graph import FileGraph
from tests.graph import failure_of

HEADER = (
    "transaction_id",
    "customer_id",
    "product_name",
    "quantity",
    "price",
    "transaction_date",
    "region",
    "created_at",
)


def sale(number: int, **cells: str) -> dict[str, str]:
    """One transaction that fits the declaration, but for the cells given."""
    fitting = {
        "transaction_id": f"T{number:04d}",
        "customer_id": f"C{number % 7}",
        "product_name": "Lamp",
        "quantity": "2",
        "price": "19.5",
        "transaction_date": "2026-03-04",
        "region": "North",
        "created_at": "",
    }
    return fitting | cells


def written(rows: Iterable[Mapping[str, str]], *, header: Iterable[str] = HEADER, delimiter: str = ",") -> bytes:
    """The rows as a delimited file; row `n` (from 0) is line `n + 2`."""
    names = list(header)
    lines = [names, *([row[name] for name in names] for row in rows)]
    return "".join(f"{delimiter.join(_quoted(cell, delimiter) for cell in line)}\n" for line in lines).encode()


def loaded(graph: FileGraph, content: bytes, *, dataset: str = "sales", name: str = "dropped.csv") -> dict[str, Any]:
    """Drops a file, loads what lies in the folder, and returns what the catalog says of the file."""
    graph.drop(dataset, name, content)
    result = graph.load(dataset)
    assert result.success, failure_of(result)
    return next(file for file in reversed(graph.catalog_files()) if file["file_name"] == name)


def staged(graph: FileGraph, file: Mapping[str, Any]) -> pd.DataFrame:
    """The file's rows in its staging table, by line."""
    schema, _, name = str(file["target_table"]).partition(".")
    with graph.connect() as connection:
        table = sa.Table(name, sa.MetaData(), schema=schema, autoload_with=connection)
        query = sa.select(table).where(table.c.source_id == file["id"]).order_by(table.c.line_no)
        rows = connection.execute(query).all()
    columns = {
        column.name: pd.Series([row[place] for row in rows], dtype=_dtype(column.type))
        for place, column in enumerate(table.c)
    }
    return pd.DataFrame(columns).set_index("line_no")


def put_aside(graph: FileGraph, file: Mapping[str, Any]) -> dict[int, tuple[str, str]]:
    """Rule and reason by line of what was put aside of the file."""
    return {row.line_no: (row.rule, row.reason) for row in graph.put_aside_rows(int(file["id"]))}


def _dtype(kind: sa.types.TypeEngine[Any]) -> str:
    if isinstance(kind, sa.BigInteger | sa.Integer):
        return "Int64"
    return "float64" if isinstance(kind, sa.Double) else "object"


def _quoted(cell: str, delimiter: str) -> str:
    if not {delimiter, '"', "\n", "\r"} & set(cell):
        return cell
    doubled = cell.replace('"', '""')
    return f'"{doubled}"'
