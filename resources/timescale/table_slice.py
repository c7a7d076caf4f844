"""The slice of a table that one write replaces or one read returns: a value between Dagster's context and SQL.

Belongs here: `TableSlice`, and how a context's partitions become one. Does not belong here: SQL text, connections.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import dagster as dg
import pandas as pd

from resources.errors import ContractBroken
from schemas.base import dtypes_of
from schemas.table_spec import TableSpec
from schemas.window import Window

Among = tuple[str, tuple[object, ...]]
"""A column and the values it may have."""


@dataclass(frozen=True)
class Part:
    """Rows whose time lies in `window` (None: any time) and whose columns are among the given values."""

    window: Window | None = None
    among: tuple[Among, ...] = ()


WHOLE_TABLE = (Part(),)
MOST_DAY_LOCKS = 400
"""A writer of more days locks the whole table: every lock held takes room in the server's shared memory."""


@dataclass(frozen=True)
class TableSlice:
    """Rows of one table: those of any of `parts`, so none without parts."""

    spec: TableSpec
    parts: tuple[Part, ...] = WHOLE_TABLE
    columns: tuple[str, ...] = ()
    """Columns to read; empty: all."""

    @classmethod
    def of_window(cls, spec: TableSpec, window: Window, units: Iterable[object] | None = None) -> "TableSlice":
        """The rows of one window, of the given values of `spec.unit` only where they are given."""
        return cls(spec, (Part(window),)).narrowed(window, units)

    @property
    def window(self) -> Window | None:
        """From the earliest start to the latest end of the parts; None if one part has no bounds."""
        windows = [part.window for part in self.parts]
        bounded = [window for window in windows if window]
        if not bounded or len(bounded) < len(windows):
            return None
        return Window(min(w.start for w in bounded), max(w.end for w in bounded))

    def at(self, window: Window) -> "TableSlice":
        """The same slice at another time: `window` in place of its own windows."""
        return replace(self, parts=tuple(dict.fromkeys(replace(part, window=window) for part in self.parts)))

    def narrowed(self, window: Window | None, units: Iterable[object] | None = None) -> "TableSlice":
        """The part of this slice inside `window`, with `spec.unit` among `units`.

        Raises:
            ContractBroken: `window` reaches outside the slice, or the table has no time column or no unit.
        """
        parts = self.parts
        if window:
            if self.spec.time_column is None:
                raise ContractBroken(f"{self.spec.qualified} declares no time column, a slice of it has no window")
            parts = tuple(replace(p, window=window) for p in parts if p.window is None or p.window.covers(window))
            if not parts:
                raise ContractBroken(
                    f"{self.spec.qualified}: {window.start} .. {window.end} lies outside the partitions of this run"
                )
        if units is not None:
            if self.spec.unit is None:
                raise ContractBroken(f"{self.spec.qualified} declares no unit, a slice of it cannot be narrowed by one")
            among = _among(self.spec, self.spec.unit, units)
            parts = tuple(replace(p, among=(*p.among, among)) for p in parts)
        return replace(self, parts=parts)

    def lock_names(self) -> list[str]:
        """Names of the advisory locks a writer takes, sorted: one per day, so that overlapping slices meet; none for a
        slice without bounds in time, whose writer locks the whole table."""
        if self.window is None:
            return []
        days = {day.isoformat() for part in self.parts if part.window for day in part.window.days()}
        return sorted(f"{self.spec.qualified}/{day}" for day in days) if len(days) <= MOST_DAY_LOCKS else []


def slice_of(context: dg.OutputContext | dg.InputContext, spec: TableSpec) -> TableSlice:
    """The slice a run writes (output) or an asset depends on (input), by the partitions of the context.

    One or many keys, a range, and multi-dimensional keys are all understood. Keys of time are windows of the table's
    time column; for others `partition_expr` in the metadata of the asset that owns the table names the column, or maps
    each dimension to its column.

    Raises:
        ContractBroken: `partition_expr` or `columns` do not fit the table.
    """
    whole = TableSlice(spec, columns=_columns(context, spec))
    if not context.has_asset_partitions:
        return whole
    expression = _partition_expression(context, spec)
    keys = list(context.asset_partition_keys)
    definition = context.asset_partitions_def
    if isinstance(definition, dg.MultiPartitionsDefinition):
        return replace(whole, parts=_multi_parts(spec, definition, keys, expression))
    if isinstance(definition, dg.TimeWindowPartitionsDefinition):
        _require_time_column(spec, expression)
        return replace(whole, parts=_time_parts(definition, keys))
    return replace(whole, parts=(Part(None, (_among(spec, expression, keys),)),) if keys else ())


def _columns(context: dg.OutputContext | dg.InputContext, spec: TableSpec) -> tuple[str, ...]:
    """`columns` in an input's own metadata."""
    if not isinstance(context, dg.InputContext):
        return ()
    columns = (context.definition_metadata or {}).get("columns") or ()
    if isinstance(columns, str):
        raise ContractBroken(f"`columns` of an input is a list, not {columns!r}")
    if unknown := [name for name in columns if name not in spec.columns]:
        raise ContractBroken(f"`columns` of an input names columns of {spec.qualified}; it has no {unknown}")
    return tuple(columns)


def _partition_expression(context: dg.OutputContext | dg.InputContext, spec: TableSpec) -> object:
    """`partition_expr` of the asset that owns the table: on an input, the upstream asset's."""
    owner = context.upstream_output if isinstance(context, dg.InputContext) else context
    own = (owner.definition_metadata or {}) if owner else {}
    return own.get("partition_expr") or spec.time_column


def _require_time_column(spec: TableSpec, expression: object) -> None:
    if spec.time_column is None or expression != spec.time_column:
        raise ContractBroken(
            f"{spec.qualified} is cut by its time column, {spec.time_column!r}, but its asset's partitions by "
            f"{expression!r}: give the TableSpec that time_column, or leave partition_expr out"
        )


def _among(spec: TableSpec, column: object, values: Iterable[object]) -> Among:
    """The column and the values as its type has them: partition keys are text whatever the column is."""
    if not isinstance(column, str) or column not in spec.columns:
        raise ContractBroken(f"{spec.qualified} has no column {column!r} to partition by: name one in partition_expr")
    dtype = dtypes_of(spec.model)[column]
    return column, tuple(_value(spec, column, dtype, value) for value in values)


def _value(spec: TableSpec, column: str, dtype: object, value: object) -> object:
    try:
        if pd.api.types.is_bool_dtype(dtype):  # type: ignore[arg-type]
            return {"true": True, "false": False}[str(value).lower()]
        if pd.api.types.is_integer_dtype(dtype):  # type: ignore[arg-type]
            return int(str(value))
        if pd.api.types.is_string_dtype(dtype):  # type: ignore[arg-type]
            return str(value)
    except (KeyError, ValueError):
        raise ContractBroken(f"{spec.qualified}.{column} is {dtype}, it is never {value!r}") from None
    raise ContractBroken(f"{spec.qualified}.{column} is {dtype}; only text, whole numbers and booleans name a slice")


def _time_parts(definition: dg.TimeWindowPartitionsDefinition, keys: Iterable[str]) -> tuple[Part, ...]:
    """One part per run of abutting keys."""
    windows = sorted(definition.time_window_for_partition_key(key) for key in keys)
    merged: list[Window] = []
    for window in windows:
        if merged and merged[-1].end == window.start:
            merged[-1] = Window(merged[-1].start, window.end)
        else:
            merged.append(Window(window.start, window.end))
    return tuple(Part(window) for window in merged)


def _multi_parts(
    spec: TableSpec, definition: dg.MultiPartitionsDefinition, keys: list[str], expression: object
) -> tuple[Part, ...]:
    """One part per combination of the other dimensions' values and the abutting time keys that go with it."""
    dimensions = {dimension.name: dimension.partitions_def for dimension in definition.partitions_defs}
    if not isinstance(expression, Mapping) or set(expression) != set(dimensions):
        raise ContractBroken(f"{spec.qualified}: partition_expr must map each of {sorted(dimensions)} to its column")
    time = {n: d for n, d in dimensions.items() if isinstance(d, dg.TimeWindowPartitionsDefinition)}
    if len(time) > 1:
        raise ContractBroken(f"{spec.qualified}: only one dimension of its asset's partitions may be time")
    for name in time:
        _require_time_column(spec, expression[name])
    times_by_values: dict[tuple[Among, ...], set[str]] = {}
    for key in keys:
        values = definition.get_partition_key_from_str(key).keys_by_dimension
        among = tuple(
            _among(spec, expression[name], (value,)) for name, value in sorted(values.items()) if name not in time
        )
        times_by_values.setdefault(among, set()).update(value for name, value in values.items() if name in time)
    if not time:
        return tuple(Part(None, among) for among in times_by_values)
    (cut,) = time.values()
    return tuple(
        replace(part, among=among) for among, times in times_by_values.items() for part in _time_parts(cut, times)
    )
