"""Every row that breaks a rule, as it is kept: rule, row, column, value, origin.

Belongs here: spelling broken cells. Does not belong here: finding them (`validation.py`), storing them.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from schemas.rules import Rule

COLUMNS = ("rule", "severity", "column_name", "row_key", "value", "source_id", "line_no", "position")
"""`row_key` is a JSON object of the columns that name the row, `value` what stands in the cell, or a JSON object of
several; `source_id` and `line_no` say where the row came from and are null where the table does not; `position` counts
the rows judged from 0. A column that is missing or unknown has a row without key and position."""


@dataclass(frozen=True, kw_only=True)
class Broken:
    """Cells of one rule; without positions the column as a whole."""

    columns: tuple[str, ...]
    positions: NDArray[np.int64] | None


def no_violations() -> pd.DataFrame:
    """None of them."""
    return pd.DataFrame(
        {
            name: pd.Series([], dtype="Int64" if name in ("source_id", "line_no", "position") else "object")
            for name in COLUMNS
        }
    )


def violations_of(
    broken: Broken, cells: pd.DataFrame, rows: pd.DataFrame, rule: Rule, identity: tuple[str, ...]
) -> pd.DataFrame:
    """The broken cells one by one; their values are those of `cells`, keys and origin those of `rows`."""
    told = {"rule": rule.name, "severity": rule.severity.value, "column_name": ", ".join(broken.columns)}
    if broken.positions is None:
        empty = pd.array([None], dtype="Int64")
        absent = {"row_key": [None], "value": [None], "source_id": empty, "line_no": empty, "position": empty}
        return pd.DataFrame(told | absent, columns=list(COLUMNS), index=pd.RangeIndex(1))
    positions = broken.positions
    named = [name for name in identity if name in rows.columns]
    some = taken(rows, [*named, *(name for name in ("source_id", "line_no") if name in rows.columns)], positions)
    origin = {
        name: some[name].astype("Int64").array
        if name in some.columns
        else pd.array([None] * len(positions), dtype="Int64")
        for name in ("source_id", "line_no")
    }
    return pd.DataFrame(
        {
            **told,
            "row_key": _as_json(some[named]) if named else None,
            "value": _values(taken(cells, broken.columns, positions), broken.columns),
            **origin,
            "position": pd.array(positions, dtype="Int64"),
        },
        columns=list(COLUMNS),
        index=pd.RangeIndex(len(positions)),
    )


def taken(rows: pd.DataFrame, columns: Sequence[str], positions: NDArray[np.int64]) -> pd.DataFrame:
    """Some cells; the columns nobody asks for stay where they are."""
    index = pd.RangeIndex(len(positions))
    return pd.DataFrame({name: rows[name].array.take(positions) for name in columns}, index=index, copy=False)


def _values(rows: pd.DataFrame, columns: tuple[str, ...]) -> object:
    if len(columns) > 1:
        return _as_json(rows[list(columns)])
    column = rows[columns[0]]
    texts = column.astype(object).map(_text, na_action="ignore")
    return texts.where(column.notna(), None).to_numpy(dtype=object)


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, pd.Timestamp) else str(value)


def _as_json(rows: pd.DataFrame) -> list[str]:
    """One JSON object per row; instants in ISO 8601. Column by column: as many rows may be broken as there are."""
    named = [[f"{json.dumps(name, ensure_ascii=False)}:{cell}" for cell in _spelled(rows[name])] for name in rows]
    return ["{" + ",".join(cells) + "}" for cells in zip(*named, strict=True)]


def _spelled(cells: pd.Series) -> list[str]:
    """Cells as JSON."""
    if isinstance(cells.dtype, pd.DatetimeTZDtype):
        stamps = np.datetime_as_string(cells.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(), unit="us")
        spelled = ['"' + stamp + 'Z"' for stamp in stamps.tolist()]
    elif cells.dtype == np.int64:
        return list(map(str, cells.tolist()))
    else:
        spelled = [json.dumps(cell if _is_json(cell) else str(cell), ensure_ascii=False) for cell in cells.tolist()]
    gaps = cells.isna().to_numpy(dtype=bool)
    if not gaps.any():
        return spelled
    return ["null" if is_gap else one for one, is_gap in zip(spelled, gaps, strict=True)]


def _is_json(cell: object) -> bool:
    """JSON has no infinite numbers."""
    return isinstance(cell, bool | int | str) or (isinstance(cell, float) and math.isfinite(cell))
