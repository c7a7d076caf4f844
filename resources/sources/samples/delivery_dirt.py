"""Dirt among the rows of a simulated day: few, each of a kind that real sources have, and counted.

Belongs here: `soil`. Does not belong here: what happens in an organisation.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd

EVERY_DAYS = 5
"""Each kind of dirt comes every fifth day, on a day of its own."""
NO_STATUS, TWICE, NEGATIVE, ACTIVITIES = range(4)
"""Number of the day, modulo `EVERY_DAYS`, on which it comes; on the fifth nothing does."""
A_MILLISECOND = pd.Timedelta(milliseconds=1)


@dataclass
class Soiled:
    """The tables of a day with dirt in them, and how much per table."""

    tables: dict[str, pd.DataFrame]
    rejected: Counter[str]
    duplicates: Counter[str]


def soil(rng: np.random.Generator, tables: dict[str, pd.DataFrame], number: int) -> Soiled:
    """Adds what comes on day `number` to a few rows of the tables: a version without a status, a version twice, a
    negative estimate, an activity of minus one hour and one twice. Sound rows stay as they are."""
    soiled, kind = Soiled(dict(tables), Counter(), Counter()), number % EVERY_DAYS
    tasks, activities = tables["tasks"], tables["activities"]
    if kind in (NO_STATUS, NEGATIVE) and len(tasks):
        bad = _some(rng, tasks)
        changed = {"status": pd.NA} if kind == NO_STATUS else {"estimated_h": -4.0}
        _add(soiled, "tasks", bad.assign(**changed, updated_at=bad["updated_at"] + A_MILLISECOND), soiled.rejected)
    if kind == TWICE and len(tasks):
        _add(soiled, "tasks", _some(rng, tasks), soiled.duplicates)
    if kind == ACTIVITIES and len(activities):
        bad = _some(rng, activities)
        renamed = (bad["activity_id"] + "-").astype(activities["activity_id"].dtype)
        _add(soiled, "activities", bad.assign(activity_id=renamed, hours=-1.0), soiled.rejected)
        _add(soiled, "activities", _some(rng, activities), soiled.duplicates)
    return soiled


def _some(rng: np.random.Generator, rows: pd.DataFrame) -> pd.DataFrame:
    return rows.iloc[np.sort(rng.choice(len(rows), 1 + len(rows) // 10_000, replace=False))]


def _add(soiled: Soiled, table: str, rows: pd.DataFrame, counted: Counter[str]) -> None:
    dtypes = soiled.tables[table].dtypes.to_dict()
    soiled.tables[table] = pd.concat([soiled.tables[table], rows.astype(dtypes)], ignore_index=True)
    counted[table] += len(rows)
