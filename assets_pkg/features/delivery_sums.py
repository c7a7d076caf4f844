"""Numbers per entity: totals, newest instants, ratios, none of which depends on the order of rows.

Belongs here: arithmetic over codes (positions of entities). Does not belong here: what is added up.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Codes = NDArray[np.int64]
Instants = NDArray[np.datetime64]

_STEPS, _MOST = float(2**24), float(2**29)
"""Addends are rounded to 2^-24 (of an hour: 0.2 ms). Totals up to 2^29 are then exact, and so the same in any order:
a sum of doubles depends on its order in the last bit, and a row must be the same however the rows before it came."""


def counts(codes: Codes, size: int) -> NDArray[np.int64]:
    """How often each of the codes 0 to size - 1 occurs."""
    return np.bincount(codes, minlength=size).astype("int64")


def distinct(codes: Codes) -> Codes:
    """Each of the codes once, ascending. By sorting: `numpy.unique` of integers hashes, dozens of times slower where
    nearly all of them differ (measured with 300,000)."""
    ordered = np.sort(codes)
    return ordered[np.diff(ordered, prepend=-1) != 0] if len(ordered) else ordered


def totals(codes: Codes, values: Floats, size: int) -> Floats:
    """Per code, the sum of its values; missing values add nothing."""
    known = np.nan_to_num(finite(values))
    addends = np.where(np.abs(known) < _MOST, np.round(np.minimum(known, _MOST) * _STEPS) / _STEPS, known)
    return np.bincount(codes, weights=addends, minlength=size)


def quotient(upper: Floats | Codes, lower: Floats | Codes) -> Floats:
    """`upper / lower`; NaN where `lower` is 0 or either is missing, or the result is no finite number."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return finite(np.asarray(upper, dtype="float64") / np.asarray(lower, dtype="float64"))


def finite(values: Floats) -> Floats:
    """The values, infinite ones as NaN: no effort and no budget is infinite, so that nothing is known of it."""
    return np.where(np.isfinite(values), values, np.nan)


def newest(known_at: Instants, *parts: tuple[Codes, Instants]) -> pd.DatetimeIndex:
    """Per code, the newest instant of its own row and of the rows of `parts` (code, instant of each); UTC, µs."""
    found = known_at.astype("int64")
    for codes, of_each in parts:
        np.maximum.at(found, codes, of_each.astype("int64"))
    return utc(found.view("datetime64[us]"))


def for_all(size: int, *parts: Instants) -> tuple[Codes, Instants]:
    """The newest instant of all the parts, as a part of `newest` that counts for each of `size` codes."""
    together = np.concatenate(parts)
    codes = np.arange(size if len(together) else 0)
    return codes, np.full(len(codes), together.max() if len(together) else np.datetime64("NaT", "us"))


def instants(stamps: pd.Series | pd.DatetimeIndex) -> Instants:
    """Aware stamps as UTC datetime64[us]; missing ones are NaT, which no comparison holds for."""
    return stamps.array.as_unit("us").asi8.view("datetime64[us]")


def utc(stamps: Instants) -> pd.DatetimeIndex:
    """UTC datetime64[us] as aware stamps."""
    return pd.DatetimeIndex(stamps).tz_localize("UTC")
