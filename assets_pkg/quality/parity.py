"""Whether online rows are the table's newest rows, value by value.

Belongs here: comparing two frames, and the row that tells of it. Does not belong here: reading either of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from schemas.base import conform, dtypes_of
from schemas.quality import FeatureParity
from schemas.table_spec import TableSpec

ONLINE_TIME = "event_timestamp"
"""Column of an online row's time; missing where there is no row."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at one view."""

    view: str
    online_store: str
    checked_at: datetime
    keys: int
    pending: int
    overdue: int
    newest: pd.DataFrame
    """The table's newest row of each sampled key."""
    online: pd.DataFrame
    """What is served for the same keys, in the same order: features and `ONLINE_TIME`."""


def parity_rows(looks: Sequence[tuple[TableSpec, Look]], day: datetime) -> pd.DataFrame:
    """The rows of `quality.feature_parity` for the UTC day that begins at `day`."""
    rows = []
    for spec, look in looks:
        missing, different = _differences(spec, look.newest, look.online)
        is_bad = missing | different.any(axis=1).to_numpy()
        rows.append(
            {
                "day": day,
                "view": look.view,
                "checked_at": look.checked_at,
                "online_store": look.online_store,
                "keys": look.keys,
                "keys_sampled": len(look.newest),
                "keys_equal": int((~is_bad).sum()),
                "keys_different": int((is_bad & ~missing).sum()),
                "keys_missing": int(missing.sum()),
                "keys_pending": look.pending,
                "keys_overdue": look.overdue,
                "is_equal": not is_bad.any() and not look.overdue,
                "difference": _first_difference(spec, look, missing, different),
                "known_at": look.checked_at,
            }
        )
    names = list(dtypes_of(FeatureParity))
    return conform(pd.DataFrame(rows, columns=names), FeatureParity)


def wrong(spec: TableSpec, newest: pd.DataFrame, online: pd.DataFrame) -> np.ndarray:
    """Which keys (boolean, in the order of the rows) have no online row, or one that differs."""
    missing, different = _differences(spec, newest, online)
    return missing | different.any(axis=1).to_numpy()


def _differences(spec: TableSpec, newest: pd.DataFrame, online: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """Which keys have no online row, and per key and column whether the two differ, the time among them."""
    dtypes = dtypes_of(spec.model)
    time = spec.time_column or ""
    stamps = pd.to_datetime(online[ONLINE_TIME], utc=True).dt.as_unit("us").reset_index(drop=True)
    missing = stamps.isna().to_numpy()
    whole = newest[time].reset_index(drop=True) + (spec.served.complete_after if spec.served else pd.Timedelta(0))
    columns = {time: (whole.dt.floor("s") != stamps.dt.floor("s")).to_numpy()}  # Feast answers whole seconds
    for name in spec.features:
        columns[name] = ~_same(newest[name], online[name], dtypes[name])
    return missing, pd.DataFrame(columns)


def _same(left: pd.Series, right: pd.Series, dtype: Any) -> np.ndarray:
    """Where both are missing or exactly equal; a value of another type than the table's is different."""
    mine, other = left.reset_index(drop=True), right.astype(object).reset_index(drop=True)
    there = other.notna() & mine.notna()
    equal = (mine.isna() & other.isna()).to_numpy(dtype=bool)
    try:
        equal[there] = (mine[there].array == other[there].astype(dtype).array).astype(bool)
    except (TypeError, ValueError):
        equal[there] = False
    return equal


def _first_difference(spec: TableSpec, look: Look, missing: np.ndarray, different: pd.DataFrame) -> str | None:
    wrong = missing | different.any(axis=1).to_numpy()
    if not wrong.any():
        return None
    at = int(np.flatnonzero(wrong)[0])
    key = ", ".join(f"{name} {look.newest[name].iloc[at]}" for name in spec.entities)
    if missing[at]:
        return f"{key}: no row online"
    name = str(different.columns[int(np.flatnonzero(different.iloc[at].to_numpy())[0])])
    online = look.online[ONLINE_TIME if name == spec.time_column else name].iloc[at]
    return f"{key}: {name} is {look.newest[name].iloc[at]} in the table and {online} online"
