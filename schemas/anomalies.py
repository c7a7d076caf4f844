"""Anomalies of time series: what one is, which series are watched, and the table of what was found.

Belongs here: the kinds, the table that follows from a series table, how far back a day is judged against. Does not
belong here: how an anomaly is found (`assets_pkg/quality/anomalies.py`), what people know of one
(`catalog_incidents.py`).
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

import pandera.pandas as pa

from schemas.base import NullableInt, Text, UtcTimestamp
from schemas.spelled_models import camel, model_of
from schemas.table_spec import Read, TableSpec
from schemas.window import ONE_DAY


class Kind(StrEnum):
    """What is odd about a series."""

    POINT = "point"
    """A value far from those of the same hour of the week in the weeks before."""
    SEASONAL = "seasonal"
    """A value that leaves the daily course (of daily series: the weekly one) and the level of the hours around it."""
    LEVEL_SHIFT = "level_shift"
    """The level jumped, and stayed there for days."""
    MULTIVARIATE = "multivariate"
    """Values that each are usual, and never were together."""
    GAP = "gap"
    """No value for longer than usual, from a series that is active."""
    STUCK = "stuck"
    """The same value so often in a row that it is no measurement."""


WEEK = timedelta(days=7)

_MODEL: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "day": (UtcTimestamp, "START of the UTC day it was found on", {}),
    "entity": (Text, "what the series is about: a JSON object of its entity columns", {}),
    "metric": (Text, "measured or counted quantity; of several together, their names joined by a comma", {}),
    "kind": (Text, "what is odd: see schemas.anomalies.Kind", {"isin": [kind.value for kind in Kind]}),
    "started_at": (
        UtcTimestamp,
        "when its first step is stamped, UTC; a gap, a stuck run and a shift may begin before the day",
        {},
    ),
    "ended_at": (UtcTimestamp, "when its last step up to the end of the day is stamped, UTC", {}),
    "anomaly_id": (Text, "name by which it is marked as expected; the same on every day it lasts", {}),
    "steps": (int, "steps it covers up to the end of the day", {"ge": 1}),
    "score": (float, "how far beyond usual at its worst step, in multiples of the detector's threshold", {"ge": 0}),
    "value": (float, "value at its worst step, of a shift the new level, in `unit`; null where there is none", {}),
    "baseline": (float, "what was usual there, in `unit`; null where that is no number", {}),
    "unit": (Text, "unit of `value` and `baseline`", {}),
    "is_expected": (bool, "whether somebody marked it as expected", {}),
    "incident_id": (NullableInt, "incident of the catalog that explains it", {}),
    "detector": (Text, "the detector's parameters: a JSON object", {}),
    "known_at": (UtcTimestamp, "when the newest row behind it became known, UTC", {}),
}
_NULLABLE = {"value", "baseline", "unit", "incident_id"}
KEY = ("day", "entity", "metric", "kind", "started_at")


@dataclass(frozen=True, kw_only=True)
class WatchedSeries:
    """The series of one dataset as detectors see them: a long table in which columns say what a row is about."""

    table: TableSpec
    entities: tuple[str, ...]
    """Columns that, with the metric, identify a series."""
    together: tuple[str, ...]
    """Those of them whose metrics are looked at together: of a place, whichever sensors measure there."""
    metric: str
    cadence: timedelta
    is_imputed_missing: bool
    """Whether an imputed value stands for one that did not come (and not for a zero that follows from no rows)."""

    @property
    def look_back(self) -> timedelta:
        """What a day is judged against: four weeks, of daily series eight, up to the Monday of its week, so that the
        days of a week share one baseline."""
        return 8 * WEEK if self.cadence >= ONE_DAY else 4 * WEEK

    @property
    def reach(self) -> timedelta:
        """How far before a day rows may bear on it."""
        return self.look_back + WEEK - ONE_DAY


def anomaly_table(watched: WatchedSeries) -> TableSpec:
    """The table of what is odd in the series; the asset is `quality/<series>_anomalies`."""
    name = f"{watched.table.name}_anomalies"
    columns = {
        column: (kind, pa.Field(nullable=column in _NULLABLE, description=told, **bounds))
        for column, (kind, told, bounds) in _MODEL.items()
    }
    doc = "One row per anomaly and UTC day: what is odd, since when, how much, and whether that was expected."
    return TableSpec(
        schema="quality",
        name=name,
        model=model_of(camel(name), doc, columns, unique=KEY),
        dataset=watched.table.dataset,
        first_day=watched.table.first_day,
        key=KEY,
        time_column="day",
        reads=(Read(table=watched.table.qualified, before=watched.reach),),
        chunk=timedelta(days=365),
    )
