"""What a figure is: one quantity with its values by labels.

Belongs here: the shape that all figures share. Does not belong here: the questions behind them (`figures.py` and the
modules it names), Prometheus' format (`assets_pkg/api/metrics.py`).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

UNDECLARED = "undeclared"
"""Stands for all tables, or datasets, that no declaration names."""


@dataclass(frozen=True)
class Figure:
    """One quantity: its value per combination of labels."""

    name: str
    help: str
    labels: tuple[str, ...]
    samples: Sequence[tuple[tuple[str, ...], float]]


def declared(column: sa.ColumnElement[str], names: Collection[str]) -> sa.Label[Any]:
    """The column where it holds one of the names, else `UNDECLARED`: so that data makes no labels."""
    return sa.case((column.in_(sorted(names)), column), else_=UNDECLARED).label("declared")


def numbers(connection: sa.Connection, query: sa.Select[Any]) -> dict[str, float]:
    """What the query, of a name and a number, tells per name."""
    return {row[0]: float(row[1] or 0) for row in connection.execute(query)}
