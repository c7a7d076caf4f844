"""Runs of equal values too long to be real.

Does not belong here: how an hour's value comes about (`grid.py`).
"""

import numpy as np
from numpy.typing import NDArray

COARSE_COUNTS = 20
"""A reading of at most so many counts of its last digit (0.002 ppm, 7 µg/m³, zero) repeats by rounding alone."""

COARSE_STUCK_AFTER_H = 20
"""Hours after which even a coarse reading is stuck. Networks that round to 0.001 ppm or 1 µg/m³ were seen to repeat
such readings for up to 17 h in clean air. Much longer cannot be asked for: whoever judges an hour sees one day around
it, which must hold a run whole together with the hours its value is carried over (`transforms.py`)."""


def is_stuck(
    value: NDArray[np.float64], received: NDArray[np.float64], stuck_after: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which hours belong to a run of equal measured values as long as the measure's `stuck_after` (one per series, or
    `COARSE_STUCK_AFTER_H` for coarse readings), all hours of the run. A missing hour ends a run.

    `value` is in the canonical unit, `received` as received: only that shows how coarse a reading is.
    """
    continues = np.zeros(value.shape, dtype=np.bool_)
    continues[:, 1:] = value[:, 1:] == value[:, :-1]  # NaN equals nothing
    run = np.cumsum(~continues.ravel())
    length = np.bincount(run)[run].reshape(value.shape)
    suspicious = ~np.isnan(value) & (length >= np.minimum(stuck_after, COARSE_STUCK_AFTER_H)[:, None])
    enough = np.broadcast_to(stuck_after[:, None], value.shape)[suspicious]
    enough = np.where(is_coarse(received[suspicious]), np.maximum(enough, COARSE_STUCK_AFTER_H), enough)
    stuck = np.zeros(value.shape, dtype=np.bool_)
    stuck[suspicious] = length[suspicious] >= enough
    return stuck


def is_coarse(received: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which readings are zero or at most `COARSE_COUNTS` counts of their last decimal digit (12 and 0.0012 are, 12.5
    and 23 are not, 200 is)."""
    size = np.abs(received)
    decade = 10.0 ** np.floor(np.log10(np.where(size > 0, size, 1.0)))
    leading = size / decade  # 1 up to 10
    coarse = np.equal(size, 0)
    for digits in (1.0, 10.0):
        counts = np.round(leading * digits)
        coarse |= (counts <= COARSE_COUNTS) & np.isclose(leading * digits, counts, rtol=1e-9, atol=0.0)
    return coarse
