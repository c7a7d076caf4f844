"""The rules a table's Pandera model already says: columns, types, missing values, ranges, categories, key.

Belongs here: reading them off the model. Does not belong here: what is declared beside it (`quality_rules/`).
"""

import math
from collections import defaultdict
from typing import Any

import pandas as pd
import pandera.pandas as pa

from schemas.base import TableModel, dtypes_of
from schemas.rules import Categorical, Completeness, Contract, Range, Rule, Schema, Uniqueness

Bounds = tuple[Any, Any, bool, bool]
"""Minimum, maximum, and whether each of them is allowed."""
NO_BOUNDS: Bounds = (None, None, True, True)


def model_rules(model: type[TableModel]) -> tuple[Rule, ...]:
    """What the model says, as rules of severity ERROR. Columns with the same bounds share a rule."""
    schema = model.to_schema()
    names = tuple(schema.columns)
    found: list[Rule] = [
        Schema(name="schema", columns=names, model=model, description="columns and types are those declared"),
    ]
    if required := tuple(name for name, column in schema.columns.items() if not column.nullable):
        found.append(Completeness(name="required", columns=required, description="cells that may not be empty"))
    if schema.unique:
        key = tuple(schema.unique)
        found.append(Uniqueness(name="key", columns=key, description=f"{', '.join(key)} identify a row"))
    floats = tuple(name for name, dtype in dtypes_of(model).items() if pd.api.types.is_float_dtype(dtype))
    if floats:
        found.append(
            Range(
                name="finite",
                columns=floats,
                minimum=-math.inf,
                maximum=math.inf,
                is_minimum_included=False,
                is_maximum_included=False,
                description="numbers are finite",
            )
        )
    found += _ranges({name: column.checks for name, column in schema.columns.items()})
    for name, column in schema.columns.items():
        found += [_other(name, check) for check in column.checks if check.name not in _BOUNDING]
    found += [
        Contract(name=f"model_{check.name}", columns=names, check=check, is_of_frame=True, description=_said(check))
        for check in schema.checks
    ]
    return tuple(found)


def _ranges(checks: dict[str, list[pa.Check]]) -> list[Range]:
    columns: dict[Bounds, list[str]] = defaultdict(list)
    for name, of_column in checks.items():
        bounds = NO_BOUNDS
        for check in of_column:
            bounds = _tightened(bounds, check)
        if bounds != NO_BOUNDS:
            columns[bounds].append(name)
    return [
        Range(
            name=_name(bounds),
            columns=tuple(names),
            minimum=bounds[0],
            maximum=bounds[1],
            is_minimum_included=bounds[2],
            is_maximum_included=bounds[3],
            description=f"values are {_name(bounds).replace('_', ' ')}",
        )
        for bounds, names in columns.items()
    ]


def _tightened(bounds: Bounds, check: pa.Check) -> Bounds:
    if check.name not in _BOUNDING:
        return bounds
    low, high, with_low, with_high = bounds
    told = check.statistics or {}
    if (minimum := told.get("min_value")) is not None and (low is None or minimum >= low):
        is_in = told.get("include_min", check.name != "greater_than")
        low, with_low = minimum, is_in and (with_low or minimum != low)
    if (maximum := told.get("max_value")) is not None and (high is None or maximum <= high):
        is_in = told.get("include_max", check.name != "less_than")
        high, with_high = maximum, is_in and (with_high or maximum != high)
    return low, high, with_low, with_high


def _name(bounds: Bounds) -> str:
    """`between_0_and_100`, `at_least_0`, `less_than_5`."""
    low, high, with_low, with_high = bounds
    least, most = (f"{end:g}" if isinstance(end, float) else str(end) for end in (low, high))
    if low is not None and high is not None and with_low and with_high:
        return f"between_{least}_and_{most}"
    told = [] if low is None else [f"{'at_least' if with_low else 'more_than'}_{least}"]
    told += [] if high is None else [f"{'at_most' if with_high else 'less_than'}_{most}"]
    return "_and_".join(told)


def _other(column: str, check: pa.Check) -> Rule:
    if check.name == "isin":
        allowed = tuple((check.statistics or {})["allowed_values"])
        told = f"one of {', '.join(map(str, allowed))}"
        return Categorical(name=f"{column}_is_known", columns=(column,), allowed=allowed, description=told)
    return Contract(name=f"{column}_{check.name}", columns=(column,), check=check, description=_said(check))


def _said(check: pa.Check) -> str:
    return str(check.description or check.error or check.name)


_BOUNDING = {"greater_than", "less_than", "greater_than_or_equal_to", "less_than_or_equal_to", "in_range"}
"""Pandera's names of the checks that bound a value."""
