"""Concept drift: whether the errors of predictions have grown.

Belongs here: pure functions of a series of errors. Does not belong here: reading one (`assets_pkg/commands/drift.py`),
drift of features (`drift.py`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.feature_drift import Verdict

Floats = NDArray[np.float64]

LEAST_BEFORE = 30
"""Errors that tell what is usual; at least so many, else the first third."""
LEAST_AFTER = 10
TOLERATED = 0.25
"""δ of the test: growth of the mean error, in standard deviations, that is no drift."""
THRESHOLD = 25.0
"""λ of the test, in standard deviations."""
LARGEST = 4.0
"""A single error counts as no more standard deviations than that: one outlier is no drift."""
ALPHA = 0.01
LEAST_GROWTH = 0.25
"""Growth of the mean absolute error after the change that is worth a word, as a share."""


@dataclass(frozen=True)
class ConceptDrift:
    """What is said of a series of errors."""

    verdict: Verdict
    errors: int
    changed_at: int | None
    """Position of the first error after the change."""
    noticed_at: int | None
    """Position of the error by which it could be noticed."""
    before: float
    """Mean absolute error before the change; without one, of all."""
    after: float
    p_value: float
    """Of no difference between before and after, by the two-sample Kolmogorov-Smirnov test; NaN without a change."""


def concept_drift(errors: Floats) -> ConceptDrift:
    """Whether the absolute errors, in order of time, have grown for good; NaN are left out and count no position.

    The Page-Hinkley test (Page, Biometrika 41, 1954; as in Gama et al., A Survey on Concept Drift Adaptation, ACM
    Computing Surveys 46, 2014): m_t is the sum of z - δ so far, and a change is noticed where m_t exceeds its minimum
    so far by λ; it began behind that minimum. z is the absolute error in standard deviations from the mean, both of the
    first errors. A change is drift if the distributions before and after it differ (KS) and the mean grew by a quarter.
    """
    size = np.abs(errors)
    places = np.flatnonzero(~np.isnan(size))
    size = size[places]
    usual = max(LEAST_BEFORE, len(size) // 3)
    whole = float(size.mean()) if len(size) else float("nan")
    if len(size) < usual + LEAST_AFTER:
        return ConceptDrift(Verdict.NOT_ENOUGH_DATA, len(size), None, None, whole, float("nan"), float("nan"))
    changed, noticed = page_hinkley(size, usual)
    if changed is None or noticed is None or len(size) - changed < LEAST_AFTER:
        return ConceptDrift(Verdict.STABLE, len(size), None, None, whole, float("nan"), float("nan"))
    from scipy.stats import ks_2samp

    before, after = size[:changed], size[changed:]
    p_value = float(ks_2samp(before, after).pvalue)
    is_drift = p_value < ALPHA and after.mean() >= (1 + LEAST_GROWTH) * before.mean()
    return ConceptDrift(
        Verdict.DRIFT if is_drift else Verdict.STABLE,
        len(size),
        int(places[changed]),
        int(places[noticed]),
        float(before.mean()),
        float(after.mean()),
        p_value,
    )


def page_hinkley(size: Floats, usual: int) -> tuple[int | None, int | None]:
    """Where the mean of `size` grew, and where that is noticed (positions); None if it did not. The first `usual`
    values say what is usual and are not tested."""
    mean, spread = float(size[:usual].mean()), float(size[:usual].std(ddof=1))
    spread = spread or float(np.abs(mean)) or 1.0
    z = np.clip((size[usual:] - mean) / spread, -LARGEST, LARGEST) - TOLERATED
    total = np.concatenate([[0.0], np.cumsum(z)])
    lowest = np.minimum.accumulate(total)
    noticed = np.flatnonzero(total - lowest > THRESHOLD)
    if not len(noticed):
        return None, None
    first = int(noticed[0])
    return usual + int(np.argmin(total[: first + 1])), usual + first - 1
