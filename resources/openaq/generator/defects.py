"""Planting defects into a site's series, each in a place and time of its own.

Belongs here: which defects, where, and what they do to values. Does not belong here: text and files (`files.py`), the
sound series (`series.py`).

Plans are made per block of ten days of absolute time, so that a longer range has the same defects in the shared days.
Around every defect `CLEARANCE_H` hours of its sensor stay sound.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from resources.openaq.generator.places import GeneratedLocation, GeneratedSensor, per_unit
from resources.openaq.generator.series import Series, hour_numbers, stream
from resources.openaq.generator.truth import KINDS, Kind
from schemas.datasets import OPENAQ

BLOCK_H = 240
CLEARANCE_H = 8
TRIES = 40
PURPOSE = 100
"""Number of this module's random stream; those of `series` are smaller."""

CHANCE = 0.6
"""Of each kind in each block of each site."""

LENGTH_H: dict[Kind, tuple[int, int]] = {
    "sentinel": (1, 3),
    "scaled_sentinel": (1, 3),
    "small_negative": (1, 4),
    "impossible": (1, 1),
    "spike": (1, 1),
    "stuck": (8, 20),
    "short_gap": (1, 3),
    "long_gap": (5, 14),
    "missing_day": (24, 24),
    "duplicate": (1, 1),
    "unit_mix": (12, 30),
    "malformed": (1, 1),
    "late": (2, 6),
}
"""Shortest and longest extent in hours."""

SENTINELS = (-999.0, -9999.0, -99.0, -995.0)
SCALED_SENTINELS = (-9.999, -0.999)
"""-9999 and -999 ppb after a division by 1000, as they reach OpenAQ."""

MALFORMED = ("field_count", "not_a_number", "not_finite", "bad_datetime", "no_offset", "wrong_location")

PARTICLES = ("pm25", "pm10")
OTHER_UNITS = {"ppm": "µg/m³", "ppb": "µg/m³", "µg/m³": "ppb"}


@dataclass(frozen=True)
class Defect:
    """`kind` on `sensor` (index; None: all) over the hours `start` to `stop` (index, stop excluded)."""

    kind: Kind
    sensor: int | None
    start: int
    stop: int
    rule: str | None = None


@dataclass
class Site:
    """A site's series on the way to its files: one row per sensor, one column per hour."""

    location: GeneratedLocation
    hours: pd.DatetimeIndex
    """END of each hour, UTC."""
    local_days: npt.NDArray[np.datetime64]
    """The local day whose file holds each hour."""
    values: Series
    units: npt.NDArray[np.object_]
    is_present: npt.NDArray[np.bool_]
    is_late: npt.NDArray[np.bool_]
    defects: list[Defect] = field(default_factory=list)


def plant(site: Site, *, kinds: Sequence[Kind], seed: int) -> None:
    """Plan defects of `kinds` and carry them out on `site`, in place."""
    numbers = hour_numbers(site.hours)
    for block in range(int(numbers[0]) // BLOCK_H, int(numbers[-1]) // BLOCK_H + 1):
        draw = stream(seed, site.location.id, PURPOSE, block)
        is_taken = np.zeros((len(site.location.sensors), BLOCK_H), dtype=bool)
        for kind in sorted(KINDS, key=lambda kind: kind != "missing_day"):
            is_wanted = draw.random() < CHANCE
            for planned in _plan(kind, site, block, is_taken, draw) if is_wanted else ():
                shift = block * BLOCK_H - int(numbers[0])
                defect = Defect(kind, planned.sensor, planned.start + shift, planned.stop + shift, planned.rule)
                if kind in kinds and defect.start >= 0 and defect.stop <= len(numbers):
                    _carry_out(defect, site, stream(seed, site.location.id, PURPOSE + 1 + KINDS.index(kind), block))


def _plan(
    kind: Kind, site: Site, block: int, is_taken: npt.NDArray[np.bool_], draw: np.random.Generator
) -> list[Defect]:
    """A free place for one defect in the block (hours counted from its start), or none; takes the place."""
    shortest, longest = LENGTH_H[kind]
    candidates = _sensors_for(kind, site.location.sensors)
    for _ in range(TRIES if candidates else 0):
        length = int(draw.integers(shortest, longest + 1))
        start = int(draw.integers(CLEARANCE_H, BLOCK_H - length - CLEARANCE_H))
        sensor = candidates[int(draw.integers(len(candidates)))]
        rule = str(draw.choice(MALFORMED)) if kind == "malformed" else None
        if kind == "missing_day":
            start, length = _local_day_at(site, block, start)
            if start < 0 or start + length > BLOCK_H:
                continue
            is_taken[:, max(0, start - CLEARANCE_H) : start + length + CLEARANCE_H] = True
            return [Defect(kind, None, start, start + length)]
        around = is_taken[sensor, start - CLEARANCE_H : start + length + CLEARANCE_H]
        if not around.any():
            around[:] = True
            return [Defect(kind, sensor, start, start + length, rule)]
    return []


def _local_day_at(site: Site, block: int, start: int) -> tuple[int, int]:
    """First hour (from the block's start) and number of hours of the local day around an hour."""
    begin = pd.Timestamp(block * BLOCK_H, unit="h", tz="UTC") + pd.Timedelta(minutes=site.location.minutes_past)
    hours = pd.date_range(begin, periods=BLOCK_H, freq="h")
    days = local_days_of(hours, site.location.timezone)
    found = np.flatnonzero(days == days[start])
    is_whole = found[0] > 0 and found[-1] < BLOCK_H - 1
    return (int(found[0]), len(found)) if is_whole else (-1, 0)


def _sensors_for(kind: Kind, sensors: Sequence[GeneratedSensor]) -> list[int]:
    """Which sensors (index) can have such a defect."""

    def can_have(sensor: GeneratedSensor) -> bool:
        if kind == "scaled_sentinel":
            return sensor.units == "ppm"
        if kind in ("small_negative", "impossible"):
            return sensor.parameter in PARTICLES
        return kind != "unit_mix" or sensor.parameter not in PARTICLES

    return [index for index, sensor in enumerate(sensors) if can_have(sensor)]


def _carry_out(defect: Defect, site: Site, draw: np.random.Generator) -> None:
    site.defects.append(defect)
    where = (slice(None) if defect.sensor is None else defect.sensor, slice(defect.start, defect.stop))
    if defect.kind in ("short_gap", "long_gap", "missing_day"):
        site.is_present[where] = False
    elif defect.kind == "late":
        site.is_late[where] = True
    elif defect.sensor is not None and defect.kind not in ("duplicate", "malformed"):
        sensor = site.location.sensors[defect.sensor]
        if defect.kind == "unit_mix":
            other = OTHER_UNITS[sensor.units]
            site.values[where] *= per_unit(sensor.parameter, other) / per_unit(sensor.parameter, sensor.units)
            site.units[where] = other
        else:
            site.values[where] = _wrong_values(defect, sensor, site.values[where], draw)


def _wrong_values(defect: Defect, sensor: GeneratedSensor, values: Series, draw: np.random.Generator) -> Series:
    """What the sensor shows instead of the sound `values`."""
    measure = OPENAQ.measures[sensor.parameter]
    if defect.kind == "sentinel":
        return np.full(len(values), draw.choice(SENTINELS))
    if defect.kind == "scaled_sentinel":
        return np.full(len(values), draw.choice(SCALED_SENTINELS))
    if defect.kind == "stuck":
        return np.full(len(values), values[0])
    if defect.kind == "small_negative":
        return -draw.uniform(0.2, 4.0, size=len(values))
    if defect.kind == "impossible":
        return np.full(len(values), measure.possible[1] * draw.uniform(2, 5))
    highest = measure.valid[1] * per_unit(sensor.parameter, sensor.units) / per_unit(sensor.parameter, "µg/m³")
    return np.minimum(values * draw.uniform(12, 18), 0.9 * highest)


def local_days_of(hours: pd.DatetimeIndex, timezone: str) -> npt.NDArray[np.datetime64]:
    """The local calendar day whose file holds each END of hour: day D holds D 00:00 < t <= D + 1 00:00."""
    local = hours.tz_convert(timezone).tz_localize(None)
    days: npt.NDArray[np.datetime64] = (local - pd.Timedelta(microseconds=1)).to_numpy().astype("datetime64[D]")
    return days
