"""A cheap guess at how well a set of features predicts, for a search that asks thousands of times.

Belongs here: the guess. Does not belong here: the value that is reported of a set, which is that of a model of exactly
that set on rows the guess never saw (`models.py`).
"""

import numpy as np

from assets_pkg.features.examples import Examples, blocks_of

RIDGE = 0.02
FIT_SHARE = 0.7


class Surrogate:
    """R² of a ridge regression of the label on the ranks of the features and their squares, learnt from the earlier and
    judged on the later of the rows given, with a gap of a block of time. Only sums of products are kept, so a set of k
    features costs the solution of 2k equations, however many rows there were."""

    def __init__(self, train: Examples) -> None:
        ranks = train.features.rank(pct=True).to_numpy() - 0.5
        ranks = np.nan_to_num(ranks - np.nanmean(ranks, axis=0))
        both = np.concatenate([ranks, ranks**2], axis=1)
        blocks = blocks_of(train)
        cut = int(np.quantile(blocks, FIT_SHARE))
        fit, judge = blocks < cut, blocks > cut
        spread = both[fit].std(axis=0)
        both = (both - both[fit].mean(axis=0)) / np.where(spread > 1e-9, spread, np.inf)
        label = (train.label - train.label[fit].mean()) / max(train.label[fit].std(), 1e-12)
        self._features = ranks.shape[1]
        self._fit_squares, self._fit_label = _sums(both[fit], label[fit])
        self._squares, self._label = _sums(both[judge], label[judge])
        self._naive = float((label[judge] ** 2).mean())

    def value(self, members: np.ndarray) -> float:
        """The guess for the set (mask); never below -1."""
        chosen = np.flatnonzero(members)
        columns = np.concatenate([chosen, chosen + self._features])
        inside = np.ix_(columns, columns)
        weights = np.linalg.solve(self._fit_squares[inside] + RIDGE * np.eye(len(columns)), self._fit_label[columns])
        left = self._naive - 2 * weights @ self._label[columns] + weights @ self._squares[inside] @ weights
        return max(1 - float(left) / self._naive, -1.0) if self._naive > 0 else -1.0


def _sums(values: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return values.T @ values / len(values), values.T @ label / len(values)
