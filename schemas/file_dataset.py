"""What a dataset of files is: how its rows arrive, which of its columns mean what, and which series come from it.

Belongs here: `FileDataset` and its parts, and the base of staging models. Does not belong here: the declarations
(`file_datasets/`), the tables that follow from one (`file_tables.py`), anything that reads a file.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

import pandas as pd
import pandera.pandas as pa

from schemas.base import TableModel, Text, UtcTimestamp, columns_of, dtypes_of

FROZEN_SCHEMA = "frozen_schema"
FROZEN_COLUMN = "frozen_column"
"""Rules that a file breaks which does not fit a dataset, or a single column, of the mode `freeze`."""


class Mode(StrEnum):
    """What happens when a file does not fit the declaration."""

    EVOLVE = "evolve"
    """A new column becomes a new version of the schema; a cell that does not convert is missing, and recorded."""
    FREEZE = "freeze"
    """A file with another schema, or any row that does not fit, is rejected as a whole. Of a single column: a file that
    lacks it, or has any cell in it that does not fit."""
    QUARANTINE = "quarantine"
    """A row that does not fit is put aside; the others are loaded."""


class StagedRows(TableModel):
    """Base of the staging tables of files: where a row came from, and when."""

    source_id: int = pa.Field(ge=1, description="catalog.file_metadata: the file the row was read from")
    line_no: int = pa.Field(ge=1, description="line of the file, or number of the record where it has no lines")
    arrived_at: UtcTimestamp = pa.Field(description="when the file was first seen, UTC; its day is the partition")
    event_text: Text = pa.Field(nullable=True, description="the event time as received")
    extra: Text = pa.Field(nullable=True, description="cells of columns nobody declared: a JSON object by name as read")
    known_at: UtcTimestamp = pa.Field(description="when this row first became known to us, UTC")

    class Config:
        unique = ["arrived_at", "source_id", "line_no"]


OWN_COLUMNS = tuple(columns_of(StagedRows))
"""Columns of every staging table of files that do not come from the file's cells."""


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """How one column of the staging model arrives in files, where its name and type do not say it."""

    aliases: tuple[str, ...] = ()
    """Other names it has in files; case, spaces and punctuation do not matter."""
    unit: str | None = None
    """Unit of the column; an arriving name may carry it, as in `price (EUR)` or `weight_kg`."""
    mode: Mode | None = None
    """In place of the dataset's."""
    decimal: Literal[".", ","] | None = None
    date_order: Literal["YMD", "DMY", "MDY"] | None = None
    epoch_unit: Literal["s", "ms", "us", "ns"] | None = None
    categories: tuple[str, ...] | None = None
    """The texts a value may have; numbers and booleans as DuckDB prints them."""
    minimum: float | None = None
    maximum: float | None = None
    """Of numbers only. What the staging model says of values with `ge`, `gt`, `le`, `lt`, `in_range` and `isin` holds
    without being repeated here."""


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """What the values of a column may be, ends included; None: anything."""

    minimum: float | datetime | None = None
    maximum: float | datetime | None = None
    categories: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One series per combination of entities: an aggregate of the rows of each step of time.

    `of` names the columns that are multiplied per row before `how` aggregates them; for `distinct` it is the one column
    whose different values are counted, and for `count` it is empty.
    """

    name: str
    unit: str
    how: Literal["sum", "mean", "last", "count", "distinct"]
    of: tuple[str, ...] = ()
    description: str
    valid: tuple[float, float] = (float("-inf"), float("inf"))
    """Plausible range of the aggregate; outside it is flagged and not used in features."""
    fills_with_zero: bool = False
    """Whether a step without rows means zero (nothing was sold) and not that nothing is known."""

    def __post_init__(self) -> None:
        wanted = {"count": self.of == (), "distinct": len(self.of) == 1}.get(self.how, bool(self.of))
        if not wanted:
            raise ValueError(f"metric {self.name}: {self.how} of {len(self.of)} column(s) means nothing")


@dataclass(frozen=True, kw_only=True)
class FileDataset:
    """One dataset whose rows arrive in files; from it follow its four tables, assets and checks.

    `key` identifies a fact: of rows with the same key the one that became known last counts, the others are duplicates.
    An empty key makes every row a fact of its own.
    """

    name: str
    description: str
    staging: type[StagedRows]
    """Model of the staging table: `StagedRows` and then one column per column of the files."""
    staging_table: str
    event_time: str
    """Column of the instant a row is about."""
    timezone: str = "UTC"
    """IANA zone of stamps that carry none."""
    key: tuple[str, ...] = ()
    """Columns that identify a fact. They are compared as received, code point by code point: what only looks the same
    (a composed and a decomposed é, letters of two scripts, a zero-width space) is two facts, so nothing is lost."""
    entities: tuple[str, ...]
    """Text columns that name what a series is about; at least one."""
    metrics: tuple[Metric, ...]
    indexes: tuple[str, ...] = ()
    """Further columns of the staging table by which people look for rows."""
    cadence: timedelta = timedelta(days=1)
    """Step of the series; divides a day."""
    arrives_every: timedelta | None = None
    """The longest time in which no file comes while all is well; None: they come when they come."""
    windows: tuple[int, ...] = (7, 28)
    """Look-back windows of the features, in steps of `cadence`."""
    lags: tuple[int, ...] = (1, 7)
    """Lags of the features, in steps of `cadence`."""
    mode: Mode = Mode.QUARANTINE
    arrivals: Mapping[str, Arrival] = field(default_factory=dict)
    on_new_version: Literal["append", "replace"] = "replace"
    """Whether a file that comes again under the same name with other bytes adds to the former one or stands for it."""
    min_rows: int = 0
    """A file with fewer rows is rejected."""
    first_day: str = "2015-01-01"
    """First UTC day rows may be about, ISO 8601; earlier ones are put aside."""
    future_tolerance: timedelta = timedelta(days=1)
    """Rows that are about a later time than this after now are put aside."""
    records_path: tuple[str, ...] | None = None
    """In JSON documents, where the records are; `[]` stands for the items of a list."""
    sheet: str | None = None
    encoding: str | None = None
    delimiter: str | None = None

    def __post_init__(self) -> None:
        named = {self.event_time, *self.key, *self.entities, *self.arrivals, *self.indexes}
        named |= {column for metric in self.metrics for column in metric.of}
        if unknown := named - set(self.data_columns):
            raise ValueError(f"{self.name}: {self.staging.__name__} has no column {', '.join(sorted(unknown))}")
        dtypes = dtypes_of(self.staging)
        for name, arrival in self.arrivals.items():
            if (arrival.minimum, arrival.maximum) != (None, None) and not _is_number(dtypes[name]):
                raise ValueError(f"{self.name}: {name} is no number and has no minimum or maximum")
        if timedelta(days=1) % self.cadence:
            raise ValueError(f"{self.name}: a cadence of {self.cadence} does not divide a day")
        if not self.entities or not self.metrics:
            raise ValueError(f"{self.name}: it needs at least one entity and one metric")
        for what, numbers in (("windows", self.windows), ("lags", self.lags)):
            if len(set(numbers)) < len(numbers) or min(numbers, default=1) < 1:
                raise ValueError(f"{self.name}: {what} are different whole numbers of steps from 1 on, not {numbers}")
        metrics = [metric.name for metric in self.metrics]
        if clashing := {name for name in metrics if metrics.count(name) > 1} | set(metrics) & set(self.entities):
            raise ValueError(f"{self.name}: {', '.join(sorted(clashing))} names two columns of its features")

    @property
    def data_columns(self) -> list[str]:
        """Columns that come from the file's cells, in order."""
        return [name for name in columns_of(self.staging) if name not in OWN_COLUMNS]

    def arrival(self, column: str) -> Arrival:
        """How the column arrives."""
        return self.arrivals.get(column, Arrival())

    def mode_of(self, column: str) -> Mode:
        """The mode in force for the column."""
        return self.arrival(column).mode or self.mode

    @property
    def frozen_columns(self) -> list[str]:
        """Columns that are frozen while the dataset is not."""
        names = [name for name in self.data_columns if self.mode_of(name) is Mode.FREEZE]
        return names if self.mode is not Mode.FREEZE else []

    def allowed(self, column: str) -> Allowed:
        """What the values of the column may be: the stricter of its arrival and of the checks of its model, so that a
        row the model would not pass is known as such while it can still be put aside."""
        arrival, dtype = self.arrival(column), dtypes_of(self.staging)[column]
        lows: list[Any] = [] if arrival.minimum is None else [arrival.minimum]
        highs: list[Any] = [] if arrival.maximum is None else [arrival.maximum]
        categories = arrival.categories
        for check in self.staging.to_schema().columns[column].checks:
            told = check.statistics or {}
            if check.name in _RANGES and (_is_number(dtype) or isinstance(dtype, pd.DatetimeTZDtype)):
                lows += _ends(told.get("min_value"), dtype, math.inf, told.get("include_min", check.name != _ABOVE))
                highs += _ends(told.get("max_value"), dtype, -math.inf, told.get("include_max", check.name != _BELOW))
            if check.name == "isin":
                known = tuple(_printed(value, dtype) for value in told["allowed_values"] if not pd.isna(value))
                categories = known if categories is None else tuple(one for one in categories if one in known)
        return Allowed(minimum=max(lows, default=None), maximum=min(highs, default=None), categories=categories)


_ABOVE, _BELOW = "greater_than", "less_than"
_RANGES = (_ABOVE, _BELOW, "greater_than_or_equal_to", "less_than_or_equal_to", "in_range")
"""Pandera's names of the checks that bound a value."""


_TICK = timedelta(microseconds=1)


def _is_number(dtype: Any) -> bool:
    return bool(pd.api.types.is_numeric_dtype(dtype)) and not pd.api.types.is_bool_dtype(dtype)


def _ends(bound: Any, dtype: Any, inwards: float, is_included: bool) -> Iterator[float | datetime]:
    """The value of the type nearest to the bound that it allows; none without a bound. `inwards` is the infinity in
    whose direction the allowed values lie."""
    if bound is None:
        return
    if isinstance(dtype, pd.DatetimeTZDtype):
        stamp = pd.Timestamp(bound) if pd.Timestamp(bound).tzinfo else pd.Timestamp(bound, tz="UTC")
        whole, tick = (stamp.ceil("us"), _TICK) if inwards > 0 else (stamp.floor("us"), -_TICK)
        yield whole if is_included or whole != stamp else whole + tick
    elif is_included or math.isinf(bound):
        yield bound
    elif pd.api.types.is_integer_dtype(dtype):
        yield math.floor(bound) + 1 if inwards > 0 else math.ceil(bound) - 1
    else:
        yield math.nextafter(bound, inwards)


def _printed(value: Any, dtype: Any) -> str:
    """A value as DuckDB prints one of the column's type; one that no value of the type equals equals none so either."""
    if pd.api.types.is_bool_dtype(dtype):
        return str(bool(value)).lower()
    if pd.api.types.is_integer_dtype(dtype) and value == int(value):
        return str(int(value))
    return repr(float(value)) if pd.api.types.is_float_dtype(dtype) else str(value)
