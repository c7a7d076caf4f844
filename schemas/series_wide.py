"""The table of wide series features: hundreds of statistics per series, in long form, with a verdict on each.

Belongs here: its model, its `TableSpec`, and what a series is to it whichever dataset it comes from. Does not belong
here: how a feature is computed or judged (`assets_pkg/features/series_wide.py`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import pandera.pandas as pa

from schemas.base import NullableBool, TableModel, Text, UtcTimestamp
from schemas.feature_selection import FEATURE_STORE
from schemas.table_spec import Read, TableSpec
from schemas.window import ONE_DAY

WINDOW_DAYS = 28
"""Days a feature looks back, and a verdict too, unless a run is told otherwise."""


class SeriesWide(TableModel):
    """One row per series, feature and UTC day, as of the end of that day."""

    dataset: Text = pa.Field(description="dataset the series belongs to")
    entity: Text = pa.Field(description="what the series is about: a JSON object of its entity columns")
    metric: Text = pa.Field(description="measured or counted quantity")
    feature: Text = pa.Field(description="the feature as tsfresh names it, with its parameters")
    datetime_utc: UtcTimestamp = pa.Field(description="END of the UTC day the feature is computed as of")
    value: float = pa.Field(nullable=True, description="the feature; null where it is not defined, or infinite")
    p_value: float = pa.Field(
        nullable=True,
        ge=0,
        le=1,
        description="of no association with the metric's mean of the following day; null where it cannot be tested",
    )
    is_selected: NullableBool = pa.Field(
        nullable=True, description="whether it stays at a false discovery rate of 5 %; null where nothing was tested"
    )
    known_at: UtcTimestamp = pa.Field(description="when the newest row behind value and verdict became known, UTC")

    class Config:
        unique = ["dataset", "entity", "metric", "feature", "datetime_utc"]


@dataclass(frozen=True, kw_only=True)
class DeclaredSeries:
    """The series of one dataset: a long table in which columns say what a row is about and which metric it is of. Rows
    that agree in entities, metric and time (several sensors of a place) are one value, their mean."""

    table: TableSpec
    entities: tuple[str, ...]
    metric: str
    """Column that names the metric."""

    @property
    def dataset(self) -> str:
        """Name of the dataset."""
        return self.table.dataset


def look_back(window_days: int) -> timedelta:
    """How far before a day rows may bear on its features: a verdict pools the features of `window_days` days, each of
    which looks back as many, its own day included."""
    return 2 * (window_days - 1) * ONE_DAY


def wide_table(series: Iterable[DeclaredSeries]) -> TableSpec:
    """The table over all declared series. Nothing makes it stale: it is filled by hand, day by day or in ranges."""
    tables = [one.table for one in series]
    return TableSpec(
        schema="features",
        name="series_wide",
        model=SeriesWide,
        dataset=FEATURE_STORE,
        first_day=min(table.first_day for table in tables if table.first_day),
        key=("dataset", "entity", "metric", "feature", "datetime_utc"),
        time_column="datetime_utc",
        closed="right",
        unit="dataset",
        reads=tuple(
            Read(table=table.qualified, before=look_back(WINDOW_DAYS), after=ONE_DAY, marks=False) for table in tables
        ),
        compress_after=timedelta(days=30),
    )
