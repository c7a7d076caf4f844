"""Staging tables: rows as received, with origin and the time they became known.

Belongs here: one Pandera model per staging table. Does not belong here: cleaning, units, flags.
"""

import pandera.pandas as pa

from schemas.base import NullableBool, NullableInt, TableModel, Text, UtcTimestamp


class OpenaqMeasurements(TableModel):
    """One row per measurement OpenAQ gave us, as received: duplicates, sentinels and all."""

    location_id: int = pa.Field(ge=1, description="OpenAQ location id")
    sensors_id: int = pa.Field(ge=1, description="OpenAQ sensor id")
    location_name: Text = pa.Field(nullable=True, description="name of the location as received")
    parameter: Text = pa.Field(description="name of the measured quantity as received, e.g. pm25")
    units: Text = pa.Field(description="unit of `value` as received, e.g. µg/m³")
    value: float = pa.Field(nullable=True, description="measured value in `units` as received; null if null there")
    datetime_utc: UtcTimestamp = pa.Field(description="END of the measured period, UTC")
    datetime_local: Text = pa.Field(description="END of the measured period as received: ISO 8601, local, with offset")
    interval_s: NullableInt = pa.Field(nullable=True, ge=0, description="length of the period in seconds, if told")
    has_flags: NullableBool = pa.Field(nullable=True, description="whether the provider flagged the period, if told")
    latitude: float = pa.Field(nullable=True, ge=-90, le=90, description="degrees north, WGS 84, as received")
    longitude: float = pa.Field(nullable=True, ge=-180, le=180, description="degrees east, WGS 84, as received")
    source_id: int = pa.Field(description="catalog.sources: the file or page the row was read from")
    line_no: int = pa.Field(ge=1, description="physical line of the file, or 1-based index of the result in the page")
    known_at: UtcTimestamp = pa.Field(description="when this row first became known to us, UTC")

    class Config:
        unique = ["datetime_utc", "source_id", "line_no"]
