"""Models and how well they do: gradient boosting on what is known, scored on what came later, with an interval.

Belongs here: fitting, scoring, and the draws an interval rests on. Does not belong here: examples (`examples.py`), what
the scores say of features (`importance.py`, `feature_sets.py`). scikit-learn is imported when a model is first fitted:
its import takes seconds.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from assets_pkg.features.examples import Examples, Split, blocks_of

LOW, HIGH = 5, 95
"""Percentiles between which 90 % lie."""

DRAWS = 100


@dataclass(frozen=True)
class Estimate:
    """A number with the ends of its interval of 90 %."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, drawn: np.ndarray) -> "Estimate":
        """The interval of the draws, widened to hold the value."""
        low, high = np.percentile(drawn, [LOW, HIGH])
        return cls(float(value), float(min(low, value)), float(max(high, value)))


@contextmanager
def one_thread() -> Iterator[None]:
    """Fits and predicts on one thread: the same seed gives the same numbers on every machine, and small models are
    faster so."""
    import sklearn.ensemble  # noqa: F401 - the limit holds for libraries that are loaded already
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


def fitted(train: Examples, columns: Sequence[str], seed: int) -> Any:
    """A gradient boosting model of the columns (Friedman 2001; histograms as in LightGBM), which takes missing values
    as they are."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if train.metric == "auc" else HistGradientBoostingRegressor
    model = kind(
        max_iter=80,
        learning_rate=0.1,
        max_leaf_nodes=15,
        min_samples_leaf=max(5, min(20, len(train) // 20)),
        l2_regularization=1.0,
        max_features=0.5,
        early_stopping=False,
        random_state=seed,
    )
    return model.fit(train.features[list(columns)].to_numpy(), train.label)


def predicted(model: Any, test: Examples, columns: Sequence[str]) -> np.ndarray:
    """What the model says of the rows; of yes and no, how likely yes is."""
    return likely(model, test.features[list(columns)].to_numpy(), test.metric)


def likely(model: Any, values: np.ndarray, metric: str) -> np.ndarray:
    """As `predicted`, of the columns' values."""
    return model.predict_proba(values)[:, 1] if metric == "auc" else model.predict(values)


def scores(metric: str, label: np.ndarray, said: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """R² or the area under the ROC curve, once per row of `weights`: as scikit-learn has them, for many weightings at
    once."""
    if metric == "auc":
        return _areas(label, said, weights)
    means = (weights @ label / weights.sum(axis=1))[:, None]
    return 1 - weights @ (label - said) ** 2 / (weights * (label - means) ** 2).sum(axis=1)


def judged(split: Split, columns: Sequence[str], *, seeds: Sequence[int]) -> Estimate:
    """The score of models of exactly these columns on the later rows: mean over the seeds. The interval is of seeds and
    of blocks of time, weighted anew in each draw (Bayesian bootstrap, Rubin 1981)."""
    test, found = split.test, []
    for seed in seeds:
        said = predicted(fitted(split.train, columns, seed), test, columns)
        found.append(
            scores(test.metric, test.label, said, np.vstack([weights_of(test, seed, DRAWS), np.ones(len(test))]))
        )
    drawn = np.array(found)
    return Estimate.of(drawn[:, -1].mean(), drawn[:, :-1].ravel())


def naive_score(split: Split) -> float:
    """The score of the forecast that all stays as it is; where a present value is missing, the mean learnt."""
    said = np.where(np.isnan(split.test.naive), np.nanmean(split.train.label), split.test.naive)
    return float(scores(split.test.metric, split.test.label, said, np.ones((1, len(split.test))))[0])


def weights_of(examples: Examples, seed: int, draws: int) -> np.ndarray:
    """Per draw, the weight of each row: equal within a block of time, their mean over the blocks 1."""
    blocks = blocks_of(examples)
    shares = np.random.default_rng(seed).dirichlet(np.ones(blocks.max() + 1), size=draws) * (blocks.max() + 1)
    return shares[:, blocks]


def _areas(label: np.ndarray, said: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How often, by weight, yes is called likelier than no; a tie counts half."""
    order = np.argsort(said, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(said[order]) > 0])
    yes, no = (np.add.reduceat((weights * part)[:, order], starts, axis=1) for part in (label, 1 - label))
    below = np.cumsum(no, axis=1) - no / 2
    return (yes * below).sum(axis=1) / (yes.sum(axis=1) * no.sum(axis=1))
