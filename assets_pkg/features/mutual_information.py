"""Mutual information between features and a label, and whether it is more than chance.

Belongs here: the estimate of one table of features. Does not belong here: models, what it is used for.

I(X; Y) = Σ p(x, y) ln(p(x, y) / p(x) p(y)) in nats, of quantile bins; a missing value is a bin of its own, since its
absence may tell something. Binned so, the tables of any draw of blocks of time are sums of the blocks' tables, which
makes an interval cheap. The plug-in estimate is too high by a bias that grows with dependence in time; drawing blocks
anew adds the same bias once more, so it is told from the draws and taken off (Efron and Tibshirani 1993, chapter 10).
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from assets_pkg.features.examples import Examples, blocks_of

MOST_BINS, MOST_LABEL_BINS, ROWS_PER_CELL = 8, 6, 20
DRAWS = 200
FALSE_DISCOVERIES = 0.05


@dataclass(frozen=True)
class Information:
    """Per feature, in the order of the columns: nats, the ends of the interval of 90 %, and whether it is above zero at
    a false discovery rate of 5 % (Benjamini and Hochberg 1995)."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    is_significant: np.ndarray


def mutual_information(examples: Examples, seed: int) -> Information:
    """The information that each feature has of the label."""
    from scipy.stats import false_discovery_control  # takes a second: not while definitions load

    blocks = blocks_of(examples)
    count = int(blocks.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=DRAWS)
    bins = int(np.clip(np.sqrt(len(examples) / ROWS_PER_CELL), 2, MOST_BINS))
    label = binned(examples.label, min(bins, MOST_LABEL_BINS))
    found = [_one(binned(examples.features[name].to_numpy(), bins), label, blocks, drawn) for name in examples.features]
    value, low, high, chance = (np.array(part, dtype="float64") for part in zip(*found, strict=True))
    asked = np.isfinite(chance)
    chance[asked] = false_discovery_control(chance[asked])
    return Information(value, low, high, np.where(asked, chance, 1.0) < FALSE_DISCOVERIES)


def binned(values: np.ndarray, bins: int) -> np.ndarray:
    """Per value the number of its bin, from 0: values of few kinds keep them, others are cut at quantiles; missing is a
    bin of its own, the last."""
    held = values[~np.isnan(values)]
    kinds = np.unique(held)
    if len(kinds) > bins:
        kinds = np.unique(np.quantile(held, np.arange(1, bins) / bins, method="lower"))
        codes = np.searchsorted(kinds, values, side="left")
    else:
        codes = np.searchsorted(kinds, values, side="left")
    return np.where(np.isnan(values), len(kinds) + 1, codes)


def nats(tables: np.ndarray) -> np.ndarray:
    """Mutual information of tables of counts, shape (..., values of x, values of y)."""
    share = tables / tables.sum(axis=(-2, -1), keepdims=True)
    product = share.sum(axis=-1, keepdims=True) * share.sum(axis=-2, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(share > 0, share * np.log(share / product), 0.0)
    return parts.sum(axis=(-2, -1))


def _one(
    feature: np.ndarray, label: np.ndarray, blocks: np.ndarray, drawn: np.ndarray
) -> tuple[float, float, float, float]:
    """Value, low, high, and the chance of so much where there is none: NaN for a constant, which nobody asks of."""
    x, y = pd.factorize(feature)[0], pd.factorize(label)[0]
    shape = (drawn.shape[1], int(x.max()) + 1, int(y.max()) + 1)
    if shape[1] < 2:
        return 0.0, 0.0, 0.0, np.nan
    tables = np.bincount((blocks * shape[1] + x) * shape[2] + y, minlength=int(np.prod(shape))).reshape(shape)
    plain = float(nats(tables.sum(axis=0)))
    again = nats((drawn @ tables.reshape(shape[0], -1)).reshape(-1, *shape[1:]))
    value = 2 * plain - again.mean()
    low, high = 2 * plain - np.quantile(again, [0.95, 0.05])
    spread = again.std()
    # What a normal distribution has beyond so many standard deviations.
    chance = math.erfc(value / spread / math.sqrt(2)) / 2 if spread > 0 else 1.0
    value = max(value, 0.0)
    return value, min(max(low, 0.0), value), max(high, value), chance
