"""Every row that breaks a rule, as it is kept: rule, row, column, value, origin.

Belongs here: spelling broken cells. Does not belong here: finding them (`validation.py`), storing them.
"""

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
    some = rows.iloc[positions]
    named = [name for name in identity if name in some.columns]
    origin = {
        name: some[name].astype("Int64").array if name in some.columns else pd.array([None] * len(some), dtype="Int64")
        for name in ("source_id", "line_no")
    }
    return pd.DataFrame(
        {
            **told,
            "row_key": _as_json(some[named]) if named else None,
            "value": _values(cells.iloc[positions], broken.columns),
            **origin,
            "position": pd.array(positions, dtype="Int64"),
        },
        columns=list(COLUMNS),
        index=pd.RangeIndex(len(positions)),
    )


def _values(rows: pd.DataFrame, columns: tuple[str, ...]) -> object:
    if len(columns) > 1:
        return _as_json(rows[list(columns)])
    column = rows[columns[0]]
    texts = column.astype(object).map(_text, na_action="ignore")
    return texts.where(column.notna(), None).to_numpy(dtype=object)


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, pd.Timestamp) else str(value)


def _as_json(rows: pd.DataFrame) -> list[str]:
    """One JSON object per row; instants in ISO 8601."""
    if rows.empty:
        return []
    told = rows.reset_index(drop=True).to_json(
        orient="records", lines=True, date_format="iso", date_unit="us", force_ascii=False, double_precision=15
    )
    return str(told).rstrip("\n").split("\n")
