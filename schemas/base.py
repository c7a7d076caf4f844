"""The types every table model is built from.

Belongs here: `TableModel`, the column types shared by all tables, and the way a DataFrame is brought to
a model's columns and types. Does not belong here: any particular table.
"""

import sys
from importlib import import_module
from typing import Annotated, Any

import pandas as pd
import pandera.pandas as pa

if "dask.dataframe" not in sys.modules:
    # Pandera takes in each kind of frame that is installed. Feast brings Dask, which no table here is made of and which
    # costs every process a second: as long as Pandera looks, there is none.
    sys.modules["dask.dataframe"] = None  # type: ignore[assignment]
    import_module("pandera.typing.dask")
    del sys.modules["dask.dataframe"]

Text = Annotated[pd.StringDtype, "pyarrow", pd.NA]
"""Arrow-backed text; missing values are `pd.NA`."""

UtcTimestamp = Annotated[pd.DatetimeTZDtype, "us", "UTC"]
"""An instant in UTC with microsecond resolution, as PostgreSQL's `timestamptz` keeps it."""

NullableInt = pd.Int64Dtype
NullableBool = pd.BooleanDtype


class TableModel(pa.DataFrameModel):
    """Base of all table models: a contract, not a cleaner.

    Columns must be exactly those declared, in order (`strict`, `ordered`) and of the declared type already
    (`coerce=False`): a transform converts, visibly, and the model only says yes or no.
    """

    class Config:
        strict = True
        ordered = True
        coerce = False


def columns_of(model: type[TableModel]) -> list[str]:
    """Names of the model's columns, in order."""
    return list(model.to_schema().columns)


def dtypes_of(model: type[TableModel]) -> dict[str, Any]:
    """The pandas dtype of each of the model's columns, in order."""
    return {name: column.dtype.type for name, column in model.to_schema().columns.items()}


def conform(frame: pd.DataFrame, model: type[TableModel]) -> pd.DataFrame:
    """`frame` with the model's columns in order and its dtypes, on a fresh `RangeIndex`.

    A column the model allows to be missing is added empty; a column the model does not know is an error.

    Raises:
        KeyError: a column is unknown, or one that may not be null is absent.
        TypeError, ValueError: a value cannot be represented in the column's dtype.
    """
    schema = model.to_schema()
    if unknown := [name for name in frame.columns if name not in schema.columns]:
        raise KeyError(f"{model.__name__} has no column {', '.join(map(repr, unknown))}")
    columns = {}
    for name, column in schema.columns.items():
        if name in frame.columns:
            columns[name] = frame[name].astype(column.dtype.type, copy=False).array
        elif column.nullable:
            columns[name] = pd.Series(None, index=frame.index, dtype=column.dtype.type).array
        else:
            raise KeyError(f"{model.__name__}.{name} is missing and may not be null")
    return pd.DataFrame(columns, index=pd.RangeIndex(len(frame)))


def empty(model: type[TableModel]) -> pd.DataFrame:
    """A frame of no rows that satisfies `model`."""
    return pd.DataFrame({name: pd.Series([], dtype=dtype) for name, dtype in dtypes_of(model).items()})
