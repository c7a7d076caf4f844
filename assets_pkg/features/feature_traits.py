"""What can be said of features without a label: what is missing, how they drift, how they go together.

Belongs here: the traits that sets of features are weighed by beside their predictive value. Does not belong here: what
they tell of a label (`importance.py`), what they cost (`schemas/feature_costs.py`).
"""

import numpy as np
import pandas as pd

BINS = 10
MOST_ROWS = 1500
"""Rows that correlations are computed of, evenly thinned: pairs of 200 features are many."""


def missing_pct(features: pd.DataFrame) -> np.ndarray:
    """Per column, rows without a value, percent."""
    return features.isna().to_numpy().mean(axis=0) * 100


def incomplete_pct(missing: np.ndarray, members: np.ndarray) -> float:
    """Rows in which any of the members (mask or index of columns) is missing, percent."""
    return float(missing[:, members].any(axis=1).mean() * 100)


def drift_psi(features: pd.DataFrame) -> np.ndarray:
    """Per column, the population stability index of the last third of the rows, in order of time, against the first.

    PSI = Σ (q - p) ln(q / p) over ten quantile bins of the first third and one of missing values (Siddiqi 2006), half a
    row added to each bin so that an empty one is no infinity. Below 0.1 is called stable, above 0.25 shifted.
    """
    third = len(features) // 3
    if third == 0:
        return np.zeros(features.shape[1])
    values = features.to_numpy()
    return np.array([_psi(column[:third], column[-third:]) for column in values.T])


def _psi(before: np.ndarray, after: np.ndarray) -> float:
    held = before[~np.isnan(before)]
    edges = np.unique(np.quantile(held, np.arange(1, BINS) / BINS)) if len(held) else np.array([0.0])
    shares = []
    for part in (before, after):
        codes = np.where(np.isnan(part), len(edges) + 1, np.searchsorted(edges, part, side="right"))
        counts = np.bincount(codes, minlength=len(edges) + 2) + 0.5
        shares.append(counts / counts.sum())
    p, q = shares
    return float(((q - p) * np.log(q / p)).sum())


def correlations(features: pd.DataFrame) -> np.ndarray:
    """Absolute Spearman correlations of all pairs, of rows that have both; 0 where one is constant there."""
    index = np.linspace(0, len(features) - 1, min(len(features), MOST_ROWS)).astype(int)
    ranks = features.iloc[index].rank()
    return np.nan_to_num(ranks.corr(min_periods=3).abs().to_numpy(), nan=0.0).clip(0, 1)


def redundancy(correlated: np.ndarray, members: np.ndarray) -> float:
    """Mean absolute correlation of the members' pairs; 0 of a single feature."""
    inside = correlated[np.ix_(members, members)]
    pairs = len(inside) * (len(inside) - 1)
    return float((inside.sum() - np.trace(inside)) / pairs) if pairs else 0.0
