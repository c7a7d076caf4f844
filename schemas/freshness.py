"""How old a table may be: from when on it is late, and from when on that is an alarm.

It follows from how often the dataset says that something arrives (`arrives_every`): one time missed is late, a
second one an alarm. A layer has an hour more than the one it is computed from: what is late first is to be looked at.

Belongs here: these promises. Does not belong here: telling Dagster (`assets_pkg/dagster_types.py`) or whoever watches
(`resources/catalog/figures.py`); how old the rows of a partition may be (rules of kind freshness, `quality_rules/`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.datasets import DATASETS
from schemas.declared_files import file_datasets
from schemas.feature_selection import FEATURE_STORE
from schemas.source_tables import source_datasets
from schemas.table_spec import TableSpec

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)
GRACE: Mapping[str, timedelta] = {
    "staging": 2 * HOUR,
    "timeseries": 3 * HOUR,
    "features": 4 * HOUR,
    "quality": 5 * HOUR,
}
"""Layer -> how much later than `arrives_every` a table of it is written."""

ON_ITS_OWN: Mapping[str, timedelta | None] = {
    "features.importance": WEEK,
    "features.feature_sets": WEEK,
    "features.feature_scaling": WEEK,
    "features.series_wide": None,
    "quality.feature_parity": DAY,
    "quality.feature_drift": DAY,
}
"""Tables of no dataset: how often the clock has them computed; None: whenever somebody asks."""


@dataclass(frozen=True)
class Fresh:
    """The longest time between two writes of a table until it is late (`warn`), and until that is an alarm (`fail`)."""

    warn: timedelta
    fail: timedelta

    def verdict(self, written_at: datetime | None, now: datetime) -> str:
        """`fresh`, `late`, `overdue`; `never written`."""
        if written_at is None:
            return "never written"
        age = now - written_at
        return "overdue" if age > self.fail else "late" if age > self.warn else "fresh"


def fresh(spec: TableSpec, dataset: str | None = None) -> Fresh | None:
    """What is promised of the table; None: nothing, its rows come when they come."""
    every = _arrives_every(spec, spec.dataset if dataset is None else dataset)
    if every is None or spec.schema not in GRACE:
        return None
    return Fresh(every + GRACE[spec.schema], 2 * every + GRACE[spec.schema])


def _arrives_every(spec: TableSpec, dataset: str) -> timedelta | None:
    if dataset == FEATURE_STORE:
        return ON_ITS_OWN.get(spec.qualified)
    declared = DATASETS.get(dataset) or source_datasets().get(dataset) or file_datasets().get(dataset)
    return declared.arrives_every if declared else None
