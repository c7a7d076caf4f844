"""Quality tables: what was read, what became of it, and how good it is, per day and entity.

Belongs here: one Pandera model per quality table. Does not belong here: how a score is computed.
"""

import pandera.pandas as pa

from schemas.base import TableModel, Text, UtcTimestamp


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


class FeatureParity(TableModel):
    """One row per UTC day and feature view: the day's last look at whether what is served is what the table says."""

    day: UtcTimestamp = pa.Field(description="start of the UTC day of the look")
    view: Text = pa.Field(description="Feast view that was looked at")
    checked_at: UtcTimestamp = pa.Field(description="when it was looked at, UTC")
    online_store: Text = pa.Field(description="online store that was asked: sqlite, redis or postgres, and where")
    keys: int = pa.Field(ge=0, description="different keys of the table")
    keys_sampled: int = pa.Field(ge=0, description="keys drawn by chance and compared in every feature")
    keys_equal: int = pa.Field(ge=0, description="sampled keys whose online row is the table's newest row")
    keys_different: int = pa.Field(ge=0, description="sampled keys with another value or another time online")
    keys_missing: int = pa.Field(ge=0, description="sampled keys without a row online")
    keys_pending: int = pa.Field(ge=0, description="keys of the view whose write to the online store is under way")
    keys_overdue: int = pa.Field(ge=0, description="pending keys that have waited too long")
    is_equal: bool = pa.Field(description="whether no key is different, missing or overdue")
    difference: Text = pa.Field(nullable=True, description="one difference: key, feature, table's value, online value")
    known_at: UtcTimestamp = pa.Field(description="when the look was taken, UTC")

    class Config:
        unique = ["view", "day"]
