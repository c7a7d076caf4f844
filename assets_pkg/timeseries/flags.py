"""Quality flags as bits while hours are worked on, and as text in the table.

Does not belong here: the rules that set them.
"""

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from schemas.timeseries import INVALIDATING, Flag

Bits = NDArray[np.uint16]

BIT = {flag: np.uint16(1 << place) for place, flag in enumerate(sorted(Flag))}
"""One bit per flag, in alphabetical order of their names."""

INVALIDATING_BITS = np.bitwise_or.reduce([BIT[flag] for flag in INVALIDATING])

UNFIT_BITS = INVALIDATING_BITS & ~BIT[Flag.SPIKE]
"""Flags whose hours are not carried into a gap. Spike is not among them: later hours decide about it."""


def has(bits: Bits, flag: Flag) -> NDArray[np.bool_]:
    """Where `flag` is set."""
    return np.not_equal(bits & BIT[flag], 0)


def as_bits(flag: Flag, where: NDArray[np.bool_]) -> Bits:
    """`flag` where `where` is true, nothing elsewhere."""
    return np.where(where, BIT[flag], np.uint16(0))


def as_text(bits: Bits) -> pd.Series:
    """The flags' names, joined by `|` in alphabetical order; empty if none."""
    names = ["|".join(flag for flag in BIT if code & BIT[flag]) for code in range(1 << len(BIT))]
    taken = pa.array(names, type=pa.large_string()).take(pa.array(bits))
    return pd.Series(pd.StringDtype("pyarrow", pd.NA).__from_arrow__(taken))
