"""Values that stand for "no measurement", also after somebody rescaled them.

Does not belong here: which values these are (`Dataset.sentinels`), what becomes of them (`screening.py`).
"""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

IMAGE_FACTORS = (1000.0, 1 / 100, 1 / 1000)
"""Harmonisation on the way: mg/m³ to µg/m³ or ppm to ppb, pphm to ppm, ppb to ppm."""

TOLERANCE = 1e-6
"""Relative; wide enough for a value that once was stored in single precision."""


def is_sentinel(
    received: Floats,
    canonical: Floats,
    is_ppm: Bools,
    *,
    sentinels: Collection[float],
    valid: tuple[Floats, Floats],
    noise_floor: Floats,
) -> Bools:
    """Which values stand for "no measurement"; NaN never does.

    `received` is in the unit as received, `canonical` the same values in the measure's unit, as are `valid` and
    `noise_floor`; `is_ppm` says which came in ppm. An image must not swallow a measurement, so

    - a negative sentinel counts wherever it stands: no instrument's noise lands on -999 or -99 exactly;
    - a positive one, exact or rescaled, counts only outside the valid range: 9.99 µg/m³ of PM2.5, 0.999 ppm of CO
      and 999 µg/m³ of PM10 are plausible;
    - a rescaled negative one counts below the noise floor (-99.99 µg/m³, but not -9.99 µg/m³ of PM2.5), and in ppm
      always, because ppb and pphm are rescaled to just that (-0.099 ppm of CO is -99 ppb, though its noise may reach
      that far). In ppb -0.99 is ordinary noise.
    """
    exact = _matches(received, sentinels)
    image = _matches(received, [value * factor for value in sentinels for factor in IMAGE_FACTORS])
    shrunk = _matches(received, [value * factor for value in sentinels for factor in IMAGE_FACTORS if factor < 1])
    implausible = (canonical < valid[0]) | (canonical > valid[1])
    positive = (received > 0) & (exact | image) & implausible
    negative = (received < 0) & (exact | (image & (canonical < noise_floor)) | (shrunk & is_ppm))
    return positive | negative


def _matches(values: Floats, wanted: Collection[float]) -> Bools:
    """Which of `values` equal one of `wanted` within `TOLERANCE`."""
    ascending = np.unique(np.fromiter(wanted, dtype=np.float64))
    if not ascending.size:
        return np.zeros(values.shape, dtype=np.bool_)
    right = np.clip(np.searchsorted(ascending, values), 0, ascending.size - 1)
    close = np.zeros(values.shape, dtype=np.bool_)
    for near in (ascending[right], ascending[np.maximum(right - 1, 0)]):
        close |= np.abs(values - near) <= TOLERANCE * np.abs(near)
    return close
