"""Scaling parameters: what brings the features of a view to a common scale, as of a day.

Belongs here: fitting them, and the version that names them. Does not belong here: applying them, which is done on read:
stored features stay as they are.
"""

import hashlib
import json
from datetime import date

import numpy as np
import pandas as pd

from assets_pkg.features.examples import numbers_of
from assets_pkg.features.importance import Found, known_at
from schemas.base import conform, empty
from schemas.feature_selection import FeatureScaling
from schemas.table_spec import TableSpec
from schemas.window import Window, midnight

PARAMETERS = ["minimum", "maximum", "median", "mean", "std"]


def scaling_of(rows: pd.DataFrame, spec: TableSpec, day: date, window: Window) -> Found:
    """The parameters of every feature that is a number or yes or no, fitted on the view's rows of `window`, which ends
    with `day` (`spec.model`).

    A feature without any value has none; a constant one has equal minimum and maximum and a deviation of 0.
    """
    if rows.empty:
        return Found(empty(FeatureScaling), "the view has no rows in the window")
    scalable = [name for name in spec.features if not pd.api.types.is_string_dtype(rows[name].dtype)]
    values = numbers_of(rows[scalable])
    frame = pd.DataFrame([_fitted(values[name].to_numpy()) for name in values], columns=[*PARAMETERS, "rows"])
    frame.insert(0, "feature", list(values))
    frame = frame.sort_values("feature", kind="stable").assign(
        day=pd.Timestamp(midnight(day)),
        view=spec.view,
        fitted_from=pd.Timestamp(window.start),
        fitted_until=pd.Timestamp(window.end),
        known_at=known_at(rows, spec, day),
    )
    return Found(conform(frame.assign(scaling_version=version_of(frame)), FeatureScaling))


def version_of(parameters: pd.DataFrame) -> str:
    """Twelve hexadecimal digits of the digest of the parameters, by feature: the same parameters have the same."""
    rows = parameters.sort_values("feature")[["feature", *PARAMETERS]]
    told = [[None if isinstance(v, float) and np.isnan(v) else v for v in row] for row in rows.itertuples(index=False)]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]


def _fitted(values: np.ndarray) -> list[float]:
    held = values[~np.isnan(values)]
    if not len(held):
        return [np.nan] * len(PARAMETERS) + [0]
    std = float(np.std(held, ddof=1)) if len(held) > 1 else np.nan
    return [float(held.min()), float(held.max()), float(np.median(held)), float(held.mean()), std, len(held)]
