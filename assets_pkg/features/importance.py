"""Which features matter: what each tells of the target, and what a model loses without it.

Belongs here: the rows of `features.importance` for one view, target and day. Does not belong here: examples and their
split (`examples.py`), Dagster.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd

from assets_pkg.features.examples import Examples, NotEnough, Split, examples_of, informative, split
from assets_pkg.features.feature_traits import drift_psi, missing_pct
from assets_pkg.features.models import HIGH, LOW, fitted, judged, likely, naive_score, one_thread, scores, weights_of
from assets_pkg.features.mutual_information import mutual_information
from schemas.base import conform, empty
from schemas.feature_costs import look_back_h
from schemas.feature_selection import Importance
from schemas.table_spec import Prediction, TableSpec
from schemas.window import midnight

WEIGHTINGS = 20
"""How often the blocks of time are weighted anew per shuffle."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is spent on an answer; the same effort gives the same answer."""

    seed: int = 0
    models: int = 2
    """Models per set of features, each with a seed of its own."""
    repeats: int = 2
    """Shuffles per model and feature."""
    most_examples: int = 5000
    population: int = 60
    generations: int = 40

    @property
    def seeds(self) -> list[int]:
        """The models' seeds."""
        return [self.seed * 1000 + number for number in range(self.models)]


@dataclass(frozen=True)
class Found:
    """Rows of a table, or none and why; `notes` say what else one should know."""

    rows: pd.DataFrame
    why_none: str | None = None
    notes: tuple[str, ...] = ()


def importance_of(rows: pd.DataFrame, spec: TableSpec, prediction: Prediction, day: date, effort: Effort) -> Found:
    """The importance of every feature of the view, from its rows up to the end of `day` (`spec.model`).

    Mutual information is of the rows learnt from; permutation importance (Breiman 2001) is what a model of all features
    loses on the later rows when one feature is shuffled there, over models, shuffles and weights of blocks of time.
    """
    parts = ready(rows, spec, prediction, effort)
    if isinstance(parts, NotEnough):
        return Found(empty(Importance), parts.reason)
    examples, halves = parts
    used = informative(halves.train.features)
    if not used:
        return Found(empty(Importance), "no feature has two different values")
    told = mutual_information(halves.train, effort.seed)
    with one_thread():
        lost = _permutation(halves, used, effort).reindex(examples.features.columns, fill_value=0.0)
        whole = judged(halves, used, seeds=effort.seeds)
    frame = pd.DataFrame(
        {
            "feature": examples.features.columns,
            "is_significant": told.is_significant,
            "mi": told.value,
            "mi_low": told.low,
            "mi_high": told.high,
            "permutation": lost.mean(axis=1).to_numpy(),
            "permutation_low": np.percentile(lost, LOW, axis=1),
            "permutation_high": np.percentile(lost, HIGH, axis=1),
            "missing_pct": missing_pct(examples.features),
            "drift_psi": drift_psi(examples.features),
            "look_back_h": [look_back_h(spec, name) for name in examples.features],
        }
    )
    frame["permutation_low"] = frame[["permutation", "permutation_low"]].min(axis=1)
    frame["permutation_high"] = frame[["permutation", "permutation_high"]].max(axis=1)
    order = frame.sort_values(["permutation", "mi", "feature"], ascending=[False, False, True], kind="stable").index
    frame.loc[order, "rank"] = np.arange(1, len(frame) + 1)
    frame = frame.assign(
        score=whole.value,
        score_low=whole.low,
        score_high=whole.high,
        **shared_columns(rows, spec, prediction, day, halves, effort),
    )
    return Found(conform(frame.sort_values("feature", kind="stable"), Importance), notes=_notes(examples))


def ready(
    rows: pd.DataFrame, spec: TableSpec, prediction: Prediction, effort: Effort
) -> tuple[Examples, Split] | NotEnough:
    """The examples of the rows, and their split."""
    examples = examples_of(rows, spec, prediction)
    halves = examples if isinstance(examples, NotEnough) else split(examples, most=effort.most_examples)
    if isinstance(examples, NotEnough) or isinstance(halves, NotEnough):
        return halves  # type: ignore[return-value]
    return examples, halves


def shared_columns(
    rows: pd.DataFrame, spec: TableSpec, prediction: Prediction, day: date, halves: Split, effort: Effort
) -> dict[str, Any]:
    """What the rows of importance and of sets say of the view, the split and its baseline."""
    return {
        "day": pd.Timestamp(midnight(day)),
        "view": spec.view,
        "target": prediction.name,
        "metric": halves.test.metric,
        "baseline_score": naive_score(halves),
        "rows_train": len(halves.train),
        "rows_test": len(halves.test),
        "train_until": pd.Timestamp(halves.train_until, tz="UTC"),
        "test_from": pd.Timestamp(halves.test_from, tz="UTC"),
        "seed": effort.seed,
        "known_at": known_at(rows, spec, day),
    }


def known_at(rows: pd.DataFrame, spec: TableSpec, day: date) -> datetime:
    """When the newest of the rows became known; the end of the day where the table does not say."""
    if spec.known_at and len(rows):
        return pd.Timestamp(rows[spec.known_at].max())
    return pd.Timestamp(midnight(day)) + pd.Timedelta(days=1)


def _permutation(halves: Split, columns: Sequence[str], effort: Effort) -> pd.DataFrame:
    """Per feature (index) and draw (column), what the score loses: for each model and shuffle, once per
    weighting of the blocks of time."""
    from sklearn.inspection import permutation_importance

    test, drawn = halves.test, []
    for seed in effort.seeds:
        weights = weights_of(test, seed, WEIGHTINGS)

        def scored(
            model: Any, values: np.ndarray, label: np.ndarray, weights: np.ndarray = weights
        ) -> dict[str, float]:
            found = scores(test.metric, label, likely(model, values, test.metric), weights)
            return {str(number): float(one) for number, one in enumerate(found)}

        lost = permutation_importance(
            fitted(halves.train, columns, seed),
            test.features[list(columns)].to_numpy(),
            test.label,
            scoring=scored,
            n_repeats=effort.repeats,
            random_state=seed,
        )
        drawn += [one.importances for one in lost.values()]
    return pd.DataFrame(np.hstack(drawn), index=list(columns))


def _notes(examples: Examples) -> tuple[str, ...]:
    told = ", ".join(examples.copies)
    return (f"left out, since they know the future: {told}",) if examples.copies else ()
