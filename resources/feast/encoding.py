"""Rows of a feature table in Feast's words, and what it serves back as a frame.

Belongs here: values, exactly: an integer stays an integer however large, missing is null. (Feast's own conversion sends
integers with gaps through floats, and takes ten times as long.) Does not belong here: stores, connections. Loaded with
Feast: nothing that runs when definitions load may import it.
"""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
from feast import FeatureView, ValueType
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from resources.errors import ConfigurationError
from schemas.base import dtypes_of
from schemas.table_spec import TableSpec

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Time of a key that has no row: older than any row, so that none is held back by it."""

NULL = Value()

OnlineRow = tuple[EntityKey, dict[str, Value], datetime, datetime | None]

ENCODERS: dict[ValueType, Callable[[Any], Value]] = {
    ValueType.INT64: lambda value: Value(int64_val=value),
    ValueType.DOUBLE: lambda value: NULL if math.isnan(value) else Value(double_val=value),
    ValueType.BOOL: lambda value: Value(bool_val=value),
    ValueType.STRING: lambda value: Value(string_val=value),
    ValueType.UNIX_TIMESTAMP: lambda value: Value(unix_timestamp_val=int(value.timestamp())),
}


def encoded(rows: pa.Table, view: FeatureView, spec: TableSpec) -> list[OnlineRow]:
    """The rows (the table's columns) as an online store takes them, each at the time from which it is whole. A row
    without a time is a key that has no row: all its features are null, its time is `NEVER`.

    Raises:
        ConfigurationError: a column has a type that is not served.
    """
    source: Any = view.batch_source
    keys = [field.name for field in view.entity_columns]
    entities = [_values(rows, field.name, field.dtype.to_value_type()) for field in view.entity_columns]
    names = [field.name for field in view.features]
    features = [_values(rows, field.name, field.dtype.to_value_type()) for field in view.features]
    delay = spec.served.complete_after if spec.served else timedelta(0)
    times = [at + delay if at else None for at in rows.column(spec.time_column).to_pylist()]
    known = source.created_timestamp_column
    known_at = rows.column(known).to_pylist() if known else [None] * rows.num_rows
    return [
        (
            EntityKey(join_keys=keys, entity_values=key),
            dict(zip(names, values, strict=True)),
            at or NEVER,
            created or (None if at else NEVER),
        )
        for key, values, at, created in zip(
            zip(*entities, strict=True), zip(*features, strict=True), times, known_at, strict=True
        )
    ]


def served(answers: dict[str, list[Any]], spec: TableSpec, features: list[str]) -> pd.DataFrame:
    """Feast's answer (values per feature) as a frame with the dtypes of the table's model; missing values make integers
    and booleans nullable."""
    dtypes = dtypes_of(spec.model)
    return pd.DataFrame({name: pd.Series(answers[name], dtype=_nullable(dtypes[name])) for name in features})


def _values(rows: pa.Table, name: str, kind: ValueType) -> list[Value]:
    if kind not in ENCODERS:
        raise ConfigurationError(f"feature {name!r} is {kind.name}, which is not served: give its column another type")
    encode = ENCODERS[kind]
    return [NULL if value is None else encode(value) for value in rows.column(name).to_pylist()]


def _nullable(dtype: Any) -> Any:
    if isinstance(dtype, pd.api.extensions.ExtensionDtype):
        return dtype
    if pd.api.types.is_bool_dtype(dtype):
        return pd.BooleanDtype()
    return pd.Int64Dtype() if pd.api.types.is_integer_dtype(dtype) else dtype
