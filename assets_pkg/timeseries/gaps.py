"""Missing hours that may be filled, and from which hour: always an earlier one.

Does not belong here: which hours are fit to be carried (`transforms.py` combines the rules).
"""

import numpy as np
from numpy.typing import NDArray

ALIVE_WITHIN_H = 24
"""A missing hour is only filled if some row of the location follows within so many hours: before the newest row it is
not missing but not there yet."""


def carried_from(missing: NDArray[np.bool_], fit: NDArray[np.bool_], up_to: int) -> NDArray[np.int64]:
    """For every missing hour the column of the last fit hour at most `up_to` hours before, else -1.

    Carrying forward, not interpolating: what is known of an hour never depends on a later one. Of a longer gap the
    first `up_to` hours are filled, since at that time nobody could know how long it would last.
    """
    hour = np.arange(missing.shape[1])
    last = np.maximum.accumulate(np.where(fit, hour, -1), axis=1)
    return np.where(missing & (last >= 0) & (hour - last <= up_to), last, -1)


def is_followed(alive: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where a row of the location is there in the same hour or within `ALIVE_WITHIN_H` hours after; `alive` has one row
    per location and one column per hour."""
    hours = alive.shape[1]
    hour = np.arange(hours)
    upcoming = np.where(alive, hour, hours + ALIVE_WITHIN_H)
    following = np.minimum.accumulate(upcoming[:, ::-1], axis=1)[:, ::-1]
    return following - hour <= ALIVE_WITHIN_H
