"""What becomes of each raw row: loaded, duplicate, quarantined or filtered; exactly one of them.

Belongs here: rules that need nothing but the row itself, or the row with the same sensor and time. Does not belong
here: rules that look at other hours (`stuck.py`, `spikes.py`, `gaps.py`).
"""

from datetime import timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assets_pkg.timeseries.flags import Bits, as_bits
from assets_pkg.timeseries.sentinels import is_sentinel
from assets_pkg.timeseries.units import factor_to_canonical, normal_unit
from schemas.datasets import Dataset
from schemas.timeseries import Flag

OUTCOMES = ("loaded", "duplicate", "quarantined", "filtered")
"""The classes of a raw row; `screen` gives their positions."""
LOADED, DUPLICATE, QUARANTINED, FILTERED = range(len(OUTCOMES))

RULES = ("unit", "future", "interval", "impossible")
"""Why a row is quarantined; the first that applies names it."""

FUTURE_TOLERANCE = timedelta(hours=2)
"""How far a stamp may lie after the instant the row became known: clocks of loggers and summer time go wrong by an
hour, forecasts and wrong zones by more."""


def measure_names(dataset: Dataset) -> list[str]:
    """The declared parameters in the order `screen` numbers them."""
    return sorted(dataset.measures)


def screen(measurements: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """One row per row of `measurements`, in the order location, sensor, parameter, time, version; whatever their order.

    A row of an undeclared parameter is `filtered`; of several with the same location, sensor, parameter and end the
    newest known one is kept (the last in its source among equally new ones) and the others are `duplicate`, whatever
    their values; then the rules of `RULES` put rows aside.

    Columns: `position` of the row in `measurements`, `location_id`, `sensors_id`, `measure` (number of the parameter,
    -1 if undeclared), `end_us` and `known_us` (microseconds since 1970 UTC), `received` (value as received), `value`
    (canonical unit, NaN if missing), `interval_s` (NaN if untold), `source_id`, `line_no`, `bits` (flags), `outcome`,
    `rule` (position in `RULES`, -1 if none).
    """
    rows = _sorted(measurements, dataset)
    pairs, pair = _units_seen(rows, dataset)
    rows = rows.drop(columns="units")
    rows["value"] = rows["received"] * pairs["factor"].to_numpy()[pair]
    limits = {name: pairs[name].to_numpy()[pair] for name in ("low", "high", "floor", "least", "most")}
    sentinel = is_sentinel(
        rows["received"].to_numpy(),
        rows["value"].to_numpy(),
        pairs["is_ppm"].to_numpy()[pair],
        sentinels=dataset.sentinels,
        valid=(limits["low"], limits["high"]),
        noise_floor=limits["floor"],
    )
    rows.loc[sentinel, "value"] = np.nan
    converted = pairs["is_converted"].to_numpy()[pair] & rows["value"].notna().to_numpy()
    rows["bits"] = (
        as_bits(Flag.SENTINEL, sentinel) | as_bits(Flag.CONVERTED, converted) | _range_bits(rows["value"], limits)
    )

    broken = {
        "unit": pairs["factor"].isna().to_numpy()[pair],
        "future": rows["end_us"] > rows["known_us"] + FUTURE_TOLERANCE // timedelta(microseconds=1),
        "interval": rows["interval_s"] > dataset.cadence.total_seconds(),
        "impossible": (rows["value"] < limits["least"]) | (rows["value"] > limits["most"]),
    }
    rule = np.select([broken[name] for name in RULES], range(len(RULES)), default=-1)
    rows["outcome"] = np.select(
        [rows["measure"] < 0, _is_superseded(rows), rule >= 0], [FILTERED, DUPLICATE, QUARANTINED], default=LOADED
    )
    rows["rule"] = np.where(rows["outcome"] == QUARANTINED, rule, -1)
    return rows


def reason_of(rule: str, dataset: Dataset, parameter: str, units: str, value: float) -> str:
    """Why `rule` put a measurement aside, for whoever reads the quarantine. `value` is in the canonical unit."""
    measure = dataset.measures[parameter]
    match rule:
        case "unit":
            return f"unit {units!r} cannot be converted to {measure.unit}"
        case "future":
            return f"its stamp lies more than {FUTURE_TOLERANCE} after the row became known"
        case "interval":
            return f"its period is longer than the series' step of {dataset.cadence}"
        case _:
            low, high = measure.possible
            return f"{value:g} {measure.unit} is outside the possible {low:g} to {high:g}"


def _sorted(measurements: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    parameter, names = pd.factorize(measurements["parameter"])
    known = {name: number for number, name in enumerate(measure_names(dataset))}
    number = np.array([known.get(name, -1) for name in names] or [-1], dtype=np.int64)
    received = measurements["value"].to_numpy(dtype=np.float64, na_value=np.nan)
    interval = measurements["interval_s"].to_numpy(dtype=np.float64, na_value=np.nan)
    rows = pd.DataFrame(
        {
            "location_id": measurements["location_id"].to_numpy(),
            "sensors_id": measurements["sensors_id"].to_numpy(),
            "measure": number[parameter],
            "end_us": _microseconds(measurements["datetime_utc"]),
            "known_us": _microseconds(measurements["known_at"]),
            "source_id": measurements["source_id"].to_numpy(),
            "line_no": measurements["line_no"].to_numpy(),
            "received": np.where(np.isfinite(received), received, np.nan),
            "interval_s": np.where(interval > 0, interval, np.nan),
            "units": measurements["units"].to_numpy(dtype=object),
        }
    )
    order = np.lexsort([rows[name] for name in reversed(rows.columns[:7])])
    rows = rows.take(order).reset_index(drop=True)
    rows.insert(0, "position", order)
    return rows


def _microseconds(stamps: pd.Series) -> NDArray[np.int64]:
    instants: NDArray[np.int64] = stamps.to_numpy(dtype="datetime64[us]").astype(np.int64)
    return instants


def _units_seen(rows: pd.DataFrame, dataset: Dataset) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """The few combinations of parameter and unit that occur, with all that depends on them; and each row's number."""
    unit, units = pd.factorize(rows["units"])
    combined, pair = np.unique((rows["measure"].to_numpy() + 1) * len(units) + unit, return_inverse=True)
    names = measure_names(dataset)
    facts = []
    for code in combined:
        number, text = code // len(units) - 1, units[code % len(units)]
        measure = dataset.measures[names[number]] if number >= 0 else None
        factor = measure and factor_to_canonical(text, measure, dataset.temperature_c, dataset.pressure_hpa)
        facts.append(
            {
                "factor": np.nan if factor is None else factor,
                "is_converted": factor not in (None, 1.0),
                "is_ppm": normal_unit(text) == "ppm",
                "low": measure.valid[0] if measure else np.nan,
                "high": measure.valid[1] if measure else np.nan,
                "floor": measure.noise_floor if measure else np.nan,
                "least": measure.possible[0] if measure else np.nan,
                "most": measure.possible[1] if measure else np.nan,
            }
        )
    columns = ["factor", "is_converted", "is_ppm", "low", "high", "floor", "least", "most"]
    return pd.DataFrame(facts, columns=columns), pair


def _range_bits(values: pd.Series, limits: dict[str, NDArray[np.float64]]) -> Bits:
    """Noise around zero is negative but kept; everything else outside the valid range is out of range."""
    value = values.to_numpy()
    below = value < limits["low"]
    noise = below & (value < 0) & (value >= limits["floor"])
    return as_bits(Flag.NEGATIVE, noise) | as_bits(Flag.OUT_OF_RANGE, (below & ~noise) | (value > limits["high"]))


def _is_superseded(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Which rows are followed by a newer one of the same location, sensor, parameter and end."""
    same = np.zeros(len(rows), dtype=np.bool_)
    if len(rows) > 1:
        identity = rows[["location_id", "sensors_id", "measure", "end_us"]].to_numpy()
        same[:-1] = (identity[1:] == identity[:-1]).all(axis=1)
    return same
