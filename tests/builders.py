"""Frames that are valid by construction, one builder per table.

Belongs here: a builder per table of `schemas.tables`, each returning what its Pandera model accepts. Does not belong
here: generated data with realistic cycles, expectations.

Every builder takes one value per row and keyword columns that replace the defaults: a scalar for all rows, or one
entry per row. An unknown column is an error.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd

from schemas.base import TableModel, conform, dtypes_of
from schemas.features import AirQualityHourly
from schemas.quality import AirQualityReport
from schemas.staging import OpenaqMeasurements
from schemas.table_spec import TableSpec
from schemas.timeseries import AirQuality

FIRST_DAY = datetime(2025, 3, 1, tzinfo=UTC)
"""The day most tests are about; its hours are stamped 01:00 to 24:00."""

FIRST_HOUR = FIRST_DAY + timedelta(hours=1)

KNOWN_AT = datetime(2025, 6, 1, tzinfo=UTC)
"""Long after every stamp a test makes up, so that nothing lies in the future by accident."""


def rows_of(spec: TableSpec, count: int) -> pd.DataFrame:
    """`count` rows of any table, told apart by whole numbers, texts and instants in their keys."""
    dtypes, columns = dtypes_of(spec.model), spec.model.to_schema().columns
    values = {name: _values(name, dtypes[name], columns[name].checks, count) for name in spec.columns}
    return pd.DataFrame({name: pd.Series(given, dtype=dtypes[name]) for name, given in values.items()})


def _values(name: str, dtype: Any, checks: Sequence[Any], count: int) -> list[Any]:
    if among := [check.statistics["allowed_values"] for check in checks if check.name == "isin"]:
        return [sorted(among[0])[0]] * count
    if isinstance(dtype, pd.DatetimeTZDtype):
        return [FIRST_DAY + timedelta(days=number) for number in range(count)]
    if pd.api.types.is_bool_dtype(dtype):
        return [True] * count
    if pd.api.types.is_string_dtype(dtype):
        return [f"{name} {number}" for number in range(count)]
    if pd.api.types.is_integer_dtype(dtype):
        return list(range(1, count + 1))
    return [0.5] * count


def staging_rows(
    values: Sequence[float | None] = (12.0,),
    *,
    first: datetime = FIRST_HOUR,
    step: timedelta = timedelta(hours=1),
    first_line: int = 1,
    **columns: Any,
) -> pd.DataFrame:
    """Rows of `staging.openaq_measurements`: pm25 of sensor 11 at location 1, ending at `first`, `first + step`, ..."""
    stamps = _stamps(columns.pop("datetime_utc", None), first, step, len(values))
    defaults = {
        "location_id": 1,
        "sensors_id": 11,
        "location_name": "Somewhere",
        "parameter": "pm25",
        "units": "µg/m³",
        "value": [float("nan") if value is None else float(value) for value in values],
        "datetime_utc": stamps,
        "datetime_local": [stamp.isoformat() for stamp in stamps],
        "latitude": 20.67,
        "longitude": -103.35,
        "source_id": 1,
        "line_no": range(first_line, first_line + len(values)),
        "known_at": KNOWN_AT,
    }
    return _frame(OpenaqMeasurements, len(values), defaults | columns)


def series_rows(
    values: Sequence[float | None] = (12.0,),
    *,
    first: datetime = FIRST_HOUR,
    step: timedelta = timedelta(hours=1),
    **columns: Any,
) -> pd.DataFrame:
    """Rows of `timeseries.air_quality`: unflagged pm25 of sensor 11 at location 1; a None is a null, invalid hour."""
    present = [value is not None for value in values]
    defaults = {
        "location_id": 1,
        "sensors_id": 11,
        "parameter": "pm25",
        "datetime_utc": _stamps(columns.pop("datetime_utc", None), first, step, len(values)),
        "value": [float("nan") if value is None else float(value) for value in values],
        "unit": "µg/m³",
        "flags": "",
        "is_valid": present,
        "is_imputed": False,
        "samples": [int(there) for there in present],
        "coverage_pct": [100.0 * there for there in present],
        "source_id": 1,
        "line_no": range(1, len(values) + 1),
        "known_at": KNOWN_AT,
    }
    return _frame(AirQuality, len(values), defaults | columns)


def feature_rows(
    hours: int = 1, *, first: datetime = FIRST_HOUR, step: timedelta = timedelta(hours=1), **columns: Any
) -> pd.DataFrame:
    """Rows of `features.air_quality_hourly` at location 1; every feature that may be null is null unless given."""
    defaults = {
        "location_id": 1,
        "datetime_utc": _stamps(columns.pop("datetime_utc", None), first, step, hours),
        "hour_sin": 0.0,
        "hour_cos": 1.0,
        "week_sin": 0.0,
        "week_cos": 1.0,
        "known_at": KNOWN_AT,
    }
    return _frame(AirQualityHourly, hours, defaults | columns)


def report_rows(days: int = 1, *, first: datetime = FIRST_DAY, **columns: Any) -> pd.DataFrame:
    """Rows of `quality.air_quality_report` at location 1: full days of one flawless hourly sensor."""
    counts = dict.fromkeys(
        (name for name in AirQualityReport.to_schema().columns if name.startswith(("rows_", "hours_"))), 0
    )
    defaults = {
        "location_id": 1,
        "day": _stamps(columns.pop("day", None), first, timedelta(days=1), days),
        **counts,
        **dict.fromkeys(("rows_read", "rows_loaded", "hours_expected", "hours_measured", "hours_valid"), 24),
        "is_ledger_closed": True,
        "completeness_pct": 100.0,
        "validity_pct": 100.0,
        "uniqueness_pct": 100.0,
        "freshness_h": 0.0,
        "score_pct": 100.0,
        "known_at": KNOWN_AT,
    }
    return _frame(AirQualityReport, days, defaults | columns)


def together(*frames: pd.DataFrame) -> pd.DataFrame:
    """The frames of one table below each other, on a fresh index."""
    return pd.concat(frames, ignore_index=True)


def _stamps(given: Any, first: datetime, step: timedelta, count: int) -> list[datetime]:
    if given is None:
        return [first + n * step for n in range(count)]
    return [given] * count if isinstance(given, datetime) else list(given)


def _frame(model: type[TableModel], count: int, columns: dict[str, Any]) -> pd.DataFrame:
    return conform(pd.DataFrame(columns, index=range(count)), model)
