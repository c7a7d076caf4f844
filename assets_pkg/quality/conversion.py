"""Rows of any types to those of their model, cell by cell: what cannot be had in its column's type is told, not hidden.

Pandera's own `coerce` gives up on a column with its first cell that cannot be converted, and says nothing of the values
out of range beside it. Here such a cell becomes missing and is noted; all others are judged.

Belongs here: conversion without guessing. Does not belong here: rules (`rule_cells.py`), cleaning.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from schemas.base import TableModel, dtypes_of

Positions = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Converted:
    """The rows in the model's types, on a `RangeIndex` of their own: whatever labels they came with say nothing."""

    rows: pd.DataFrame
    """The model's columns that are there; whole numbers and booleans with a gap are of the nullable type."""
    misfits: Mapping[str, Positions]
    """Per column, the cells that cannot be had in its type; they are missing in `rows`."""
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    is_ordered: bool
    """Whether the columns that are there come in the model's order."""


def converted(frame: pd.DataFrame, model: type[TableModel]) -> Converted:
    """Brings the rows to the model's types as far as they can be had exactly."""
    dtypes = dtypes_of(model)
    present = [str(name) for name in frame.columns]
    columns, misfits = {}, {}
    for name in (name for name in dtypes if name in present):
        column, bad = _column(pd.Series(frame[name].array), dtypes[name])
        columns[name] = column.array
        if len(bad):
            misfits[name] = bad
    known = [name for name in present if name in dtypes]
    return Converted(
        rows=pd.DataFrame(columns, index=pd.RangeIndex(len(frame)), copy=False),
        misfits=misfits,
        missing=tuple(name for name in dtypes if name not in present),
        unknown=tuple(name for name in present if name not in dtypes),
        is_ordered=known == [name for name in dtypes if name in present],
    )


def _column(given: pd.Series, dtype: Any) -> tuple[pd.Series, Positions]:
    nothing = np.empty(0, dtype=np.int64)
    if given.dtype == dtype:
        return given, nothing
    convert = _converter(dtype)
    found = convert(given)
    bad = np.flatnonzero((found.isna() & given.notna()).to_numpy(dtype=bool))
    if not found.isna().any():
        found = found.astype(dtype)
    return found, bad


def _converter(dtype: Any) -> Callable[[pd.Series], pd.Series]:
    if isinstance(dtype, pd.DatetimeTZDtype):
        return _instants
    if pd.api.types.is_bool_dtype(dtype):
        return _booleans
    if pd.api.types.is_integer_dtype(dtype):
        return _whole_numbers
    if pd.api.types.is_float_dtype(dtype):
        return _numbers
    return _texts


def _texts(given: pd.Series) -> pd.Series:
    """Text as it is; a number is no text, for nobody knows how it was written."""
    if isinstance(given.dtype, pd.StringDtype) or str(given.dtype).endswith("string[pyarrow]"):
        return given.astype(pd.StringDtype("pyarrow"))
    kept = [cell if isinstance(cell, str) else None for cell in given]
    return pd.Series(pd.array(kept, dtype=pd.StringDtype("pyarrow")))


def _numbers(given: pd.Series) -> pd.Series:
    if pd.api.types.is_bool_dtype(given.dtype) or isinstance(given.dtype, pd.DatetimeTZDtype):
        return pd.Series(np.full(len(given), np.nan))
    if pd.api.types.is_numeric_dtype(given.dtype):
        return pd.Series(given.to_numpy(dtype="float64", na_value=np.nan))
    return pd.Series(pd.to_numeric(given.astype(object), errors="coerce").to_numpy(dtype="float64"))


def _whole_numbers(given: pd.Series) -> pd.Series:
    """Exactly, beyond 2^53 too: text and objects never pass through a float."""
    if pd.api.types.is_integer_dtype(given.dtype):
        return given.astype("Int64")
    kept = [_whole(cell) for cell in given.astype(object)]
    return pd.Series(pd.array(kept, dtype="Int64"))


def _whole(cell: object) -> int | None:
    if isinstance(cell, bool | np.bool_) or cell is None or cell is pd.NA:
        return None
    try:
        number = int(cell) if isinstance(cell, str) else int(cell) if cell == int(cell) else None  # type: ignore[call-overload]
    except (ValueError, TypeError, OverflowError):
        return None
    return number if number is not None and -(2**63) <= number < 2**63 else None


def _booleans(given: pd.Series) -> pd.Series:
    if pd.api.types.is_bool_dtype(given.dtype):
        return given.astype("boolean")
    words = {"true": True, "false": False}
    kept = [
        cell if isinstance(cell, bool | np.bool_) else words.get(cell.casefold()) if isinstance(cell, str) else None
        for cell in given.astype(object)
    ]
    return pd.Series(pd.array(kept, dtype="boolean"))


def _instants(given: pd.Series) -> pd.Series:
    """Instants with a zone; a stamp without one is no instant."""
    nothing = pd.Series(pd.DatetimeIndex([pd.NaT] * len(given), tz="UTC").as_unit("us"))
    if isinstance(given.dtype, pd.DatetimeTZDtype):
        return given.dt.tz_convert("UTC").dt.as_unit("us")
    if pd.api.types.is_numeric_dtype(given.dtype) or pd.api.types.is_datetime64_dtype(given.dtype):
        return nothing
    stamps = [_stamp(cell) for cell in given.astype(object)]
    return pd.Series(pd.DatetimeIndex(stamps, tz="UTC").as_unit("us")) if stamps else nothing


def _stamp(cell: object) -> Any:
    try:
        stamp = pd.Timestamp(cell)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return pd.NaT
    return stamp.tz_convert("UTC") if stamp is not pd.NaT and stamp.tzinfo else pd.NaT
