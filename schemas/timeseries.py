"""Clean time series, in long form: one shape for every dataset.

Belongs here: one Pandera model per timeseries table, and the names of the quality flags. Does not belong here: the
rules that set a flag (`assets_pkg/timeseries/`).
"""

from enum import StrEnum

import pandera.pandas as pa

from schemas.base import NullableInt, TableModel, Text, UtcTimestamp


class Flag(StrEnum):
    """What cleaning found out about an hour. Several are joined by `|` in alphabetical order; empty means none."""

    SENTINEL = "sentinel"
    """A raw value stood for "no measurement" (also scaled); it is missing here."""
    NEGATIVE = "negative"
    """A small negative, instrument noise around zero; kept."""
    STUCK = "stuck"
    """Part of a run of equal values too long to be real; kept, not used in features."""
    SPIKE = "spike"
    """Far from its neighbours in time; kept, not used in features."""
    OUT_OF_RANGE = "out_of_range"
    """Outside the declared plausible range; kept, not used in features."""
    CONVERTED = "converted"
    """Came in another unit and was converted."""
    PARTIAL = "partial"
    """Fewer samples than the hour should have."""
    IMPUTED = "imputed"
    """Not measured: the last fit value carried over a short gap; never taken from a later hour."""


INVALIDATING = frozenset({Flag.SENTINEL, Flag.STUCK, Flag.SPIKE, Flag.OUT_OF_RANGE})
"""Flags whose hours features do not use."""


class AirQuality(TableModel):
    """One row per location, sensor, parameter and UTC hour on a regular grid."""

    location_id: int = pa.Field(ge=1, description="OpenAQ location id")
    sensors_id: int = pa.Field(ge=1, description="OpenAQ sensor id")
    parameter: Text = pa.Field(description="measured quantity: pm25, pm10, o3, no2, so2, co, ...")
    datetime_utc: UtcTimestamp = pa.Field(description="END of the hour, UTC")
    value: float = pa.Field(nullable=True, description="mean of the hour in `unit`; null where nothing is known")
    unit: Text = pa.Field(description="canonical unit of the parameter, e.g. µg/m³")
    flags: Text = pa.Field(description="quality flags, joined by |; empty if none")
    is_valid: bool = pa.Field(description="whether features may use the value")
    is_imputed: bool = pa.Field(description="whether the value was carried over a short gap")
    samples: int = pa.Field(ge=0, description="raw measurements the value rests on")
    coverage_pct: float = pa.Field(ge=0, le=100, description="share of the hour that was measured, percent")
    source_id: NullableInt = pa.Field(nullable=True, description="origin of the hour's last raw row")
    line_no: NullableInt = pa.Field(nullable=True, description="line of the hour's last raw row in its source")
    known_at: UtcTimestamp = pa.Field(description="when the newest raw row behind the value became known, UTC")

    class Config:
        unique = ["location_id", "sensors_id", "parameter", "datetime_utc"]
