"""Types of columns where nobody declared a model: what a source says of them, as types of ours.

Belongs here: names of types in databases, JSON and files. Does not belong here: converting values (`conversion.py`).
"""

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from resources.sources.source import FoundColumn

TEXT = pd.StringDtype("pyarrow")
INSTANT = pd.DatetimeTZDtype("us", "UTC")  # type: ignore[arg-type]
EXACT_DIGITS = 15
"""A decimal of so many digits is the same number as a float."""
NUMERIC = re.compile(r"(?:numeric|decimal)\((\d+)")


def dtypes_found(columns: Sequence[FoundColumn]) -> dict[str, Any]:
    """The dtype of each column by its name; text where the type says nothing else."""
    return {column.name: dtype_of(column.type) for column in columns}


def dtype_of(told: str) -> Any:
    """The dtype that holds every value of a type exactly: `numeric(20, 4)` is text, `bigint unsigned` too."""
    kind = told.lower()
    if kind.endswith("[]") or "range" in kind:
        return TEXT
    if found := NUMERIC.match(kind):
        return "float64" if int(found[1]) <= EXACT_DIGITS else TEXT
    if kind.startswith(("bool", "tinyint(1)", "bit(1)")):
        return pd.BooleanDtype()
    if kind.startswith(("timestamp", "datetime", "date")):
        return INSTANT
    if kind.startswith("bigint") and "unsigned" in kind:
        return TEXT
    if kind.startswith(("int", "bigint", "smallint", "mediumint", "tinyint", "year")) and "interval" not in kind:
        return pd.Int64Dtype()
    if kind.startswith(("double", "float", "real", "number")):
        return "float64"
    return TEXT
