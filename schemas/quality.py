"""Quality tables: what was read, what became of it, and how good it is, per day and entity.

Belongs here: one Pandera model per quality table. Does not belong here: how a score is computed.
"""

import pandera.pandas as pa

from schemas.base import TableModel, UtcTimestamp


class AirQualityReport(TableModel):
    """One row per UTC day and location with data or an account of its absence."""

    location_id: int = pa.Field(ge=1, description="OpenAQ location id")
    day: UtcTimestamp = pa.Field(description="start of the UTC day; it holds stamps in (day, day + 1 d]")
    rows_read: int = pa.Field(ge=0, description="rows read from the source")
    rows_loaded: int = pa.Field(ge=0, description="rows that cleaning kept; rows in staging where it has not run")
    rows_duplicate: int = pa.Field(ge=0, description="rows whose sensor and time were there already (from cleaning)")
    rows_quarantined: int = pa.Field(ge=0, description="rows put aside, in staging or cleaning")
    rows_filtered: int = pa.Field(ge=0, description="rows of parameters nobody declared")
    is_ledger_closed: bool = pa.Field(
        description="whether read = loaded + duplicate + quarantined + filtered, everywhere"
    )
    hours_expected: int = pa.Field(ge=0, description="sensor-hours the day should have: active sensors x 24")
    hours_measured: int = pa.Field(ge=0, description="sensor-hours with a measured value")
    hours_valid: int = pa.Field(ge=0, description="sensor-hours features may use, imputed ones included")
    completeness_pct: float = pa.Field(nullable=True, ge=0, le=100, description="measured / expected, percent")
    validity_pct: float = pa.Field(nullable=True, ge=0, le=100, description="measured and valid / measured, percent")
    uniqueness_pct: float = pa.Field(nullable=True, ge=0, le=100, description="1 - duplicate / read, percent")
    hours_sentinel: int = pa.Field(ge=0, description="sensor-hours flagged sentinel")
    hours_negative: int = pa.Field(ge=0, description="sensor-hours flagged negative")
    hours_stuck: int = pa.Field(ge=0, description="sensor-hours flagged stuck")
    hours_spike: int = pa.Field(ge=0, description="sensor-hours flagged spike")
    hours_out_of_range: int = pa.Field(ge=0, description="sensor-hours flagged out of range")
    hours_imputed: int = pa.Field(ge=0, description="sensor-hours carried over a short gap")
    freshness_h: float = pa.Field(nullable=True, description="hours from the last measurement to the end of the day")
    score_pct: float = pa.Field(
        ge=0, le=100, description="mean of completeness, validity and uniqueness, percent; 0 without data"
    )
    known_at: UtcTimestamp = pa.Field(description="when the newest row behind the report became known, UTC")

    class Config:
        unique = ["location_id", "day"]
