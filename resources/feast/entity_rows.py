"""Entity rows as Arrow: keys in the type of the tables they are looked up in, moments in UTC.

Belongs here: bringing a frame of whatever dtypes to that, or saying what is wrong with it. Does not belong here: where
the rows come from, SQL, Feast.
"""

from collections.abc import Mapping

import pandas as pd
import pyarrow as pa

from resources.errors import ContractBroken

MOMENT = pa.timestamp("us", tz="UTC")


def entity_rows(frame: pd.DataFrame, moment: str, keys: Mapping[str, pa.DataType]) -> pa.Table:
    """The columns `keys`, in the given types, and `moment` as UTC instants; naive ones are UTC.

    Raises:
        ContractBroken: a column is missing or there twice, or a value is none of its column's type.
    """
    wanted = [*keys, moment]
    if missing := [name for name in wanted if name not in frame.columns]:
        raise ContractBroken(f"the entity rows have no column {', '.join(missing)}; they have {list(frame.columns)}")
    if twice := [name for name in wanted if not isinstance(frame[name], pd.Series)]:
        raise ContractBroken(f"the entity rows have more than one column {', '.join(twice)}")
    columns = {name: _key(frame[name], name, kind) for name, kind in keys.items()}
    return pa.table({**columns, moment: instants(frame[moment], moment)})


def instants(column: pd.Series, name: str) -> pa.Array:
    """UTC instants to the microsecond: naive ones are UTC, others are converted, text is read as ISO 8601.

    Raises:
        ContractBroken: a value is no instant.
    """
    is_text = isinstance(column.dtype, (pd.StringDtype, pd.CategoricalDtype)) or column.dtype == object
    if not (is_text or pd.api.types.is_datetime64_any_dtype(column.dtype)):
        raise ContractBroken(f"the entity rows' {name} is {column.dtype}, not an instant: give timestamps")
    try:
        # From Python's objects, so that text, dates and instants of several zones are understood alike.
        given = column.astype(object) if is_text else column
        stamps = pd.to_datetime(given, utc=True, format="ISO8601" if is_text else None)
        return pa.Array.from_pandas(stamps).cast(MOMENT, safe=False)
    except (TypeError, ValueError, OverflowError) as error:
        raise ContractBroken(f"the entity rows' {name} has a value that is no instant: {error}") from error


def _key(column: pd.Series, name: str, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    """One key column in its table's type, so that the join compares like with like and finds its index."""
    try:
        found = pa.Array.from_pandas(column)
        if pa.types.is_dictionary(found.type):
            found = found.cast(found.type.value_type)
        return found.cast(kind)
    except (pa.ArrowException, TypeError) as error:
        raise ContractBroken(
            f"the entity rows' {name} is {column.dtype} where the features have {kind}: {error}"
        ) from error
