"""DataFrames to Arrow and back, with the model's types, exactly.

Belongs here: conversions. Does not belong here: SQL, connections.
"""

from typing import Any

import pandas as pd
import pyarrow as pa

from resources.errors import ContractBroken
from schemas.base import TableModel, dtypes_of


def to_arrow(frame: pd.DataFrame, model: type[TableModel]) -> pa.Table:
    """The frame as an Arrow table whose types are those of the model's columns; NaN becomes null.

    Raises:
        ContractBroken: a value does not fit its column's type.
    """
    dtypes = dtypes_of(model)
    return pa.table({name: _array(frame[name], arrow_type(dtypes[name]), model) for name in frame.columns})


def from_arrow(table: pa.Table, model: type[TableModel]) -> pd.DataFrame:
    """The Arrow table as a frame with the model's dtypes; a projection keeps only its columns.

    Raises:
        ContractBroken: the model has no such column, or a value cannot be had in its dtype without loss.
    """
    dtypes = dtypes_of(model)
    if unknown := [name for name in table.column_names if name not in dtypes]:
        raise ContractBroken(f"{model.__name__} has no column {', '.join(map(repr, unknown))}")
    columns = {name: _series(name, table.column(name), dtypes[name], model) for name in table.column_names}
    return pd.DataFrame(columns, copy=False)


def arrow_type(dtype: object) -> pa.DataType:
    """The Arrow type a pandas dtype travels as."""
    if isinstance(dtype, pd.DatetimeTZDtype):
        return pa.timestamp("us", tz="UTC")
    if pd.api.types.is_bool_dtype(dtype):  # type: ignore[arg-type]
        return pa.bool_()
    if pd.api.types.is_integer_dtype(dtype):  # type: ignore[arg-type]
        return pa.int64()
    if pd.api.types.is_float_dtype(dtype):  # type: ignore[arg-type]
        return pa.float64()
    if pd.api.types.is_string_dtype(dtype):  # type: ignore[arg-type]
        return pa.large_string()
    raise TypeError(f"no Arrow type is declared for pandas dtype {dtype!r}")


def _array(series: pd.Series, wanted: pa.DataType, model: type[TableModel]) -> pa.Array | pa.ChunkedArray:
    try:
        return pa.Array.from_pandas(series, type=wanted)
    except pa.ArrowException as error:
        raise ContractBroken(f"{model.__name__}.{series.name}: {error}") from error


def _series(name: str, column: pa.ChunkedArray, dtype: object, model: type[TableModel]) -> pd.Series:
    """One column with exactly `dtype`: Arrow's own conversion would turn integers with gaps into floats."""
    if pa.types.is_timestamp(column.type) and column.type.tz is None:
        raise ContractBroken(f"{model.__name__}.{name}: its timestamps have no time zone")
    try:
        column = column.cast(arrow_type(dtype))
    except pa.ArrowException as error:
        raise ContractBroken(f"{model.__name__}.{name}: {error}") from error
    if isinstance(dtype, (pd.StringDtype, pd.BooleanDtype, pd.Int64Dtype)):
        nullable: Any = dtype
        return pd.Series(nullable.__from_arrow__(column))
    if column.null_count and not isinstance(dtype, pd.DatetimeTZDtype) and not pa.types.is_floating(column.type):
        raise ContractBroken(f"{model.__name__}.{name}: {column.null_count} missing value(s) in a column of {dtype}")
    series: pd.Series = column.to_pandas().astype(dtype)
    return series
