"""Values that each are usual, and never were together: isolation forests over the metrics of an entity.

Belongs here: which series belong together, how odd a step is as a whole. Does not belong here: single series
(`anomalies_baseline.py`).

The scores of the entity's series are whitened by their covariance in the look-back, so that a step that breaks what
otherwise goes together lies far out. A step is odd if it lies out further than `TIMES` the usual distance, and is
isolated more easily than all but one in a thousand of the look-back (Liu, Ting and Zhou, Isolation Forest, ICDM 2008).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assets_pkg.quality.anomalies_baseline import Baselines
from assets_pkg.quality.anomalies_grid import Bools, Floats, median

TIMES = 4.0
QUANTILE = 0.999
LEAST_ROWS = 40
"""Fewer whole steps in the look-back say nothing."""
SMALLEST_SHARE = 0.05
"""Of the largest variance: below it a direction is as good as none, and would make noise into anomalies."""
TREES = 100
MOST_ROWS = 4096
"""Rows that a forest is grown on; each tree sees 256 of them."""
SEED = 0


@dataclass(frozen=True)
class Together:
    """The series of one entity, and its tested steps: `score` in multiples of the threshold, 0 where nothing is odd."""

    series: NDArray[np.int64]
    score: Floats


@dataclass(frozen=True)
class _Group:
    series: NDArray[np.int64]
    history: Floats
    """Whitened whole steps of the look-back."""
    tested: Floats
    """Whitened tested steps; NaN where a series has no value."""
    distance: Floats
    """Of the tested steps, in multiples of the threshold."""


def together(found: Baselines, score: Floats, entities: Sequence[str], is_told: Bools) -> list[Together]:
    """Per entity (columns `entities`), how odd its tested steps are as a whole.

    `score` has the series' own scores of the tested steps; a step at which one of them is told by itself (`is_told`)
    is not told again.
    """
    groups = list(_groups(found, score, entities))
    odd = [_isolated(size, groups) for size in sorted({group.tested.shape[1] for group in groups})]
    return [
        Together(group.series, np.where(is_odd & ~is_told[group.series].any(axis=0), group.distance, 0.0))
        for some in odd
        for group, is_odd in some
        if is_odd.any()
    ]


def _groups(found: Baselines, score: Floats, entities: Sequence[str]) -> Iterator[_Group]:
    residual = found.slot_residual / found.slot_scale[:, None]
    usable = ~np.isnan(found.slot_scale)
    for series in pd.DataFrame(found.grid.keys).groupby(list(entities), sort=True).indices.values():
        chosen = np.sort(series[usable[series]])
        history = residual[chosen].T
        history = history[~np.isnan(history).any(axis=1)]
        if len(chosen) < 2 or len(history) < LEAST_ROWS:
            continue
        if not (varies := np.abs(history).max(axis=0) > 0).all():  # what never varies goes together with nothing
            chosen, history = chosen[varies], history[:, varies]
            if len(chosen) < 2:
                continue
        white = _whitener(history)
        inside, tested = history @ white, score[chosen].T @ white
        usual = median(_length(inside))
        if usual == 0:
            continue
        yield _Group(chosen, inside, tested, _length(tested) / (TIMES * usual))


def _whitener(rows: Floats) -> Floats:
    """What brings the rows' directions to variance one."""
    variances, directions = np.linalg.eigh(np.cov(rows, rowvar=False))
    return np.asarray(directions / np.sqrt(np.maximum(variances, SMALLEST_SHARE * variances[-1])))


def _length(rows: Floats) -> Floats:
    return np.asarray(np.sqrt((rows**2).mean(axis=1)))


def _isolated(size: int, groups: Sequence[_Group]) -> list[tuple[_Group, Bools]]:
    """Which tested steps of the groups of so many series are far out and isolated easily. Whitened, groups are alike:
    one forest serves them all, and is grown only if a step is far out."""
    same = [group for group in groups if group.tested.shape[1] == size]
    with np.errstate(invalid="ignore"):
        far = [group.distance > 1 for group in same]
    if not any(one.any() for one in far):
        return []
    from sklearn.ensemble import IsolationForest

    rows = np.concatenate([group.history for group in same])
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).astype(int)]
    forest = IsolationForest(n_estimators=TREES, random_state=SEED).fit(rows)
    highest = np.quantile(-forest.score_samples(rows), QUANTILE)
    result = []
    for group, is_far in zip(same, far, strict=True):
        is_odd = is_far.copy()
        if is_far.any():
            is_odd[is_far] = -forest.score_samples(group.tested[is_far]) > highest
        result.append((group, is_odd))
    return result
