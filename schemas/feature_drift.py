"""Drift: whether features still look as they did in the weeks before.

Belongs here: the table, its verdicts, how far back it looks. Does not belong here: how drift is measured
(`assets_pkg/quality/drift.py`).
"""

from collections.abc import Iterable
from datetime import date, timedelta
from enum import StrEnum

import pandera.pandas as pa

from schemas.base import NullableInt, TableModel, Text, UtcTimestamp
from schemas.feature_selection import FEATURE_STORE
from schemas.table_spec import Read, TableSpec

CURRENT_DAYS = 7
REFERENCE_WEEKS = 4


class Verdict(StrEnum):
    """What is said of a feature."""

    DRIFT = "drift"
    STABLE = "stable"
    NOT_ENOUGH_DATA = "not enough data"


class FeatureDrift(TableModel):
    """One row per UTC day, feature view and feature: its newest days against the same weekdays of the weeks before."""

    day: UtcTimestamp = pa.Field(description="START of the UTC day whose END is the as-of instant")
    view: Text = pa.Field(description="Feast view of the feature")
    feature: Text = pa.Field(description="column of the view")
    verdict: Text = pa.Field(
        isin=[one.value for one in Verdict],
        description="drift needs a large effect and an adjusted p-value below 0.05; few rows have no verdict",
    )
    rank: int = pa.Field(ge=1, description="1 is what to look at first: drift before all else, then importance")
    importance_rank: NullableInt = pa.Field(
        nullable=True,
        ge=1,
        description="best rank of the feature over the view's targets, as found last; null: unknown",
    )
    ks: float = pa.Field(nullable=True, ge=0, le=1, description="Kolmogorov-Smirnov statistic; missing is a value")
    p_value: float = pa.Field(nullable=True, ge=0, le=1, description="of `ks`, at the effective numbers of rows")
    p_adjusted: float = pa.Field(
        nullable=True, ge=0, le=1, description="`p_value` after Benjamini and Hochberg over the view's features"
    )
    psi: float = pa.Field(
        nullable=True, ge=0, description="population stability index, less what chance alone gives it"
    )
    wasserstein: float = pa.Field(
        nullable=True, ge=0, description="Wasserstein distance in robust standard deviations of the reference"
    )
    median_reference: float = pa.Field(nullable=True, description="median of the reference, in the feature's unit")
    median_current: float = pa.Field(nullable=True, description="median of the newest days, in the feature's unit")
    missing_reference_pct: float = pa.Field(ge=0, le=100, description="reference rows without a value, percent")
    missing_current_pct: float = pa.Field(ge=0, le=100, description="newest rows without a value, percent")
    rows_reference: int = pa.Field(ge=0, description="rows of the reference")
    rows_current: int = pa.Field(ge=0, description="rows of the newest days")
    effective_reference: float = pa.Field(ge=0, description="independent rows the reference is worth")
    effective_current: float = pa.Field(ge=0, description="independent rows the newest days are worth")
    known_at: UtcTimestamp = pa.Field(description="when the newest row behind it became known, UTC")

    class Config:
        unique = ["day", "view", "feature"]


def drift_table(served: Iterable[TableSpec]) -> TableSpec:
    """The table over all served views. It runs by the clock: what was found on a day was true of what was there."""
    before = timedelta(days=CURRENT_DAYS - 1) + timedelta(weeks=REFERENCE_WEEKS)
    return TableSpec(
        schema="quality",
        name="feature_drift",
        model=FeatureDrift,
        dataset=FEATURE_STORE,
        first_day=date(2016, 1, 1),
        key=("day", "view", "feature"),
        time_column="day",
        unit="view",
        reads=tuple(Read(table=spec.qualified, before=before, marks=False) for spec in served),
        chunk=timedelta(days=365),
    )
