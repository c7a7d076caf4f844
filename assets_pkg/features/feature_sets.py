"""Which sets of features are worth deploying: the Pareto front of what they tell and what they cost.

Belongs here: the rows of `features.feature_sets` for one view, target and day; the five objectives. Does not belong
here: the search (`pareto.py`), models (`models.py`), Dagster.

The search knows the rows to learn from only, and guesses what a set tells (`surrogate.py`). Its sets are then measured
by models on later rows: those that surely tell something there are chosen, and the front of them. What is reported of a
chosen set is measured of that very set on rows later still, which had no part in the choice; of those the front is
taken once more, so that no reported set is dominated by another.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd

from assets_pkg.features.examples import Examples, NotEnough, Split, halved, informative
from assets_pkg.features.feature_traits import correlations, drift_psi, incomplete_pct, redundancy
from assets_pkg.features.importance import Effort, Found, ready, shared_columns
from assets_pkg.features.models import Estimate, judged, naive_score, one_thread
from assets_pkg.features.mutual_information import mutual_information
from assets_pkg.features.pareto import knee, non_dominated, searched, thinned
from assets_pkg.features.surrogate import Surrogate
from schemas.base import conform, empty
from schemas.feature_costs import look_back_h
from schemas.feature_selection import FeatureSets
from schemas.table_spec import Prediction, TableSpec

MOST_SETS, MOST_JUDGED, MOST_MEMBERS = 12, 24, 25
NOTHING = {"r2": 0.0, "auc": 0.5}
"""The score of a forecast that knows no feature: a set that is no better is not worth deploying."""

OBJECTIVES = ("predictive_value", "redundancy", "cost_h", "missing_pct", "drift_psi")
"""The first is better the more there is of it, the others the less."""


def sets_of(rows: pd.DataFrame, spec: TableSpec, prediction: Prediction, day: date, effort: Effort) -> Found:
    """At most `MOST_SETS` sets of which none is dominated by another, and the set of all features beside them; from the
    view's rows up to the end of `day` (`spec.model`)."""
    parts = ready(rows, spec, prediction, effort)
    if isinstance(parts, NotEnough):
        return Found(empty(FeatureSets), parts.reason)
    _, halves = parts
    used = informative(halves.train.features)
    if not used:
        return Found(empty(FeatureSets), "no feature has two different values")
    train, later = (_only(half, used) for half in (halves.train, halves.test))
    cut = halved(later)
    if isinstance(cut, NotEnough):
        return Found(empty(FeatureSets), cut.reason)
    choosing, halves = Split(train, cut.train), Split(train, cut.test)
    weighed = _Weighed(train, spec, used, drift_psi(pd.concat([train.features, later.features], ignore_index=True)))
    with one_thread():
        chosen = _chosen(choosing, weighed, spec, used, effort)
        found = [weighed.row(mask, judged(halves, list(np.array(used)[mask]), seeds=effort.seeds)) for mask in chosen]
        everything = weighed.row(np.ones(len(used), bool), judged(halves, used, seeds=effort.seeds))
    front = _front(pd.DataFrame(found), naive_score(halves)) if found else pd.DataFrame()
    frame = pd.concat([front, pd.DataFrame([everything]).assign(is_knee=False, is_all=True)], ignore_index=True)
    served, names = spec.served, frame["members"].map(json.loads)
    version = served.version if served else 1
    shared = shared_columns(rows, spec, prediction, day, halves, effort)
    frame = frame.assign(
        version=version,
        feature_set=[set_name(str(shared["view"]), prediction.name, version, members) for members in names],
        **shared,
    )
    why = () if found else ("no set of features surely tells more of later rows than none at all",)
    return Found(conform(frame.sort_values("feature_set", kind="stable"), FeatureSets), notes=why)


def set_name(view: str, target: str, version: int, members: Sequence[str]) -> str:
    """The stable name of a set: the same members of the same version of a view have the same on every day."""
    told = json.dumps([view, version, sorted(members)])
    return f"{view}_{target}_{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def costs_of(sets: pd.DataFrame) -> np.ndarray:
    """The objectives of rows of `FeatureSets`, all turned so that less is better."""
    costs = sets[list(OBJECTIVES)].to_numpy(dtype="float64", copy=True)
    costs[:, 0] = -costs[:, 0]
    return costs


class _Weighed:
    """The objectives of any set of features, but for its predictive value; `drift` is that of each feature."""

    def __init__(self, examples: Examples, spec: TableSpec, columns: Sequence[str], drift: np.ndarray) -> None:
        train = examples.features
        self._columns = np.array(columns)
        self._correlated = correlations(train)
        self._cost = np.array([look_back_h(spec, name) for name in columns])
        self._missing = train.isna().to_numpy()
        self._drift = drift

    def of(self, mask: np.ndarray) -> list[float]:
        """Redundancy, cost, missing rows, drift."""
        return [
            redundancy(self._correlated, np.flatnonzero(mask)),
            float(self._cost[mask].sum()),
            incomplete_pct(self._missing, mask),
            float(self._drift[mask].max()),
        ]

    def row(self, mask: np.ndarray, value: Estimate) -> dict[str, object]:
        """What is reported of the set."""
        traits = dict(zip(OBJECTIVES[1:], self.of(mask), strict=True))
        return {
            "members": json.dumps(sorted(self._columns[mask].tolist())),
            "size": int(mask.sum()),
            "predictive_value": value.value,
            "predictive_value_low": value.low,
            "predictive_value_high": value.high,
            **traits,
        }


def _chosen(
    halves: Split, weighed: _Weighed, spec: TableSpec, columns: Sequence[str], effort: Effort
) -> list[np.ndarray]:
    """Masks of the sets that surely tell something of the rows to choose by, and that no other of them dominates."""
    found = [
        (mask, judged(halves, list(np.array(columns)[mask]), seeds=effort.seeds))
        for mask in _candidates(halves.train, spec, columns, effort)
        if not mask.all()
    ]
    kept = [(mask, value) for mask, value in found if value.low > NOTHING[halves.test.metric]]
    if not kept:
        return []
    costs = costs_of(pd.DataFrame([weighed.row(mask, value) for mask, value in kept]))
    front = np.flatnonzero(non_dominated(costs))
    return [kept[place][0] for place in front[thinned(costs[front], MOST_SETS)]]


def _candidates(train: Examples, spec: TableSpec, columns: Sequence[str], effort: Effort) -> np.ndarray:
    """Masks of the sets to be measured: the front of the search, thinned to those that cover it."""
    surrogate = Surrogate(train)
    weighed = _Weighed(train, spec, columns, drift_psi(train.features))

    def objectives(mask: np.ndarray) -> tuple[np.ndarray, bool]:
        if not mask.any():
            return np.full(len(OBJECTIVES), 1e9), False
        value = surrogate.value(mask)
        return np.array([-value, *weighed.of(mask)]), value > 0 and mask.sum() <= MOST_MEMBERS

    told = mutual_information(train, effort.seed).value
    masks = searched(
        _first(told, effort.population, effort.seed), objectives, generations=effort.generations, seed=effort.seed
    )
    if not len(masks):
        return masks
    return masks[thinned(np.array([objectives(mask)[0] for mask in masks]), MOST_JUDGED)]


def _first(told: np.ndarray, population: int, seed: int) -> np.ndarray:
    """Masks to begin with: small and large sets, in which features that tell more are likelier."""
    rng = np.random.default_rng(seed)
    chances = told / max(told.sum(), 1e-12) + 0.5 / len(told)
    sizes = rng.integers(1, min(MOST_MEMBERS, len(told)) + 1, size=population)
    masks = np.zeros((population, len(told)), dtype=bool)
    for mask, size in zip(masks, sizes, strict=True):
        mask[rng.choice(len(told), size=size, replace=False, p=chances / chances.sum())] = True
    return masks


def _front(judged_sets: pd.DataFrame, naive: float) -> pd.DataFrame:
    """The sets that no other dominates; the knee is of those that beat the naive forecast, if any do."""
    front = judged_sets[non_dominated(costs_of(judged_sets))].reset_index(drop=True)
    worth = np.flatnonzero(front["predictive_value"] > naive)
    among = worth if len(worth) else np.arange(len(front))
    return front.assign(is_knee=np.arange(len(front)) == among[knee(costs_of(front)[among])], is_all=False)


def _only(examples: Examples, columns: Sequence[str]) -> Examples:
    return replace(examples, features=examples.features[list(columns)])
