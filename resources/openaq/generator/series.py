"""Hourly concentrations as they might be: daily and weekly cycles, seasons, episodes, weather that lasts.

Belongs here: the undisturbed truth per pollutant, in base units (µg/m³ for particles, ppb for gases). Does not belong
here: units of sensors, defects, files.

Everything random is drawn per block of 30 days of absolute time, so that a value depends on seed, site and hour, not
on the range that was asked for.
"""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import numpy.typing as npt
import pandas as pd

from resources.openaq.generator.places import GeneratedLocation

Series = npt.NDArray[np.float64]

BLOCK_H = 720
PERSISTENCE = 0.92
"""Lag-1 autocorrelation of the weather's influence, hourly."""

EPISODES_PER_BLOCK = 3
"""At most; stagnant days that pile pollution up."""

_STREAMS = ("weather", "sun", "pm25", "pm10", "o3", "no2", "so2", "co", "episodes")


def concentrations(location: GeneratedLocation, hours: pd.DatetimeIndex, seed: int) -> dict[str, Series]:
    """Per pollutant one value per END of hour in `hours` (UTC, hourly without a gap); all are above zero.

    Particles share most of their variation (PM2.5 is part of PM10); ozone and nitrogen dioxide trade places: their sum
    follows the sun, and fresh traffic exhaust takes ozone away.
    """
    local = hours.tz_convert(location.timezone)
    hour = (local.hour + local.minute / 60).to_numpy()
    is_weekend = local.dayofweek.to_numpy() >= 5
    season = np.cos(2 * np.pi * (local.dayofyear.to_numpy() - 15) / 365.25) * (-1 if location.is_southern else 1)
    season *= min(1.0, abs(location.latitude) / 25)
    weather = 0.45 * _noise(location.id, "weather", hours, seed) + _episodes(location.id, hours, seed)
    traffic = (0.55 + 0.75 * _bump(hour, 8, 2) + 0.65 * _bump(hour, 19, 2.5)) * np.where(is_weekend, 0.72, 1.0)
    stove = 0.7 + 0.35 * _bump(hour, 7, 2) + 0.5 * _bump(hour, 21, 3)
    sun = np.clip(np.sin(np.pi * (hour - 6) / 13), 0, None) ** 1.5
    level = location.levels

    def own(name: str, share: float) -> Series:
        return np.exp(share * _noise(location.id, name, hours, seed))

    pm25 = level["pm25"] * stove * (0.6 + 0.4 * traffic) * np.exp(weather + 0.35 * season) * own("pm25", 0.15)
    coarse = (level["pm10"] - level["pm25"]) * (0.5 + 0.5 * traffic) * np.exp(0.5 * weather) * own("pm10", 0.3)
    no2 = level["no2"] * (0.35 + 0.65 * traffic) * np.exp(0.6 * weather + 0.2 * season) * own("no2", 0.2)
    oxidant = level["o3"] * (0.75 + 0.9 * sun * np.exp(0.2 * _noise(location.id, "sun", hours, seed) - 0.3 * season))
    left = _positive(oxidant + 0.4 * level["no2"] - 0.8 * no2, scale=0.15 * level["o3"])
    ozone = (0.06 * level["o3"] + left) * own("o3", 0.05)
    so2 = level["so2"] * (0.6 + 0.4 * stove) * np.exp(0.4 * weather) * own("so2", 0.5)
    co = level["co"] * (0.4 + 0.6 * traffic) * np.exp(0.6 * weather + 0.25 * season) * own("co", 0.12)
    return {"pm25": pm25, "pm10": pm25 + coarse, "o3": ozone, "no2": no2, "so2": so2, "co": co}


def stream(seed: int, location_id: int, purpose: int, block: int) -> np.random.Generator:
    """The random numbers of one purpose in one block of time; blocks before 1970 are no use to anyone."""
    return np.random.default_rng([seed, location_id, purpose, block])


def hour_numbers(hours: pd.DatetimeIndex) -> npt.NDArray[np.int64]:
    """Hours since 1970-01-01T00:00Z."""
    numbers: npt.NDArray[np.int64] = ((hours - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(hours=1)).to_numpy(np.int64)
    return numbers


def _noise(location_id: int, name: str, hours: pd.DatetimeIndex, seed: int) -> Series:
    """A first-order autoregressive series of unit variance. One block runs ahead, so that its start is forgotten."""
    numbers = hour_numbers(hours)
    first, last = int(numbers[0]) // BLOCK_H - 1, int(numbers[-1]) // BLOCK_H
    purpose = _STREAMS.index(name)
    shocks = np.concatenate(
        [stream(seed, location_id, purpose, block).normal(size=BLOCK_H) for block in range(first, last + 1)]
    )
    spread = np.sqrt(1 - PERSISTENCE**2)
    values: Sequence[float] = list(
        accumulate((spread * shocks).tolist(), lambda before, shock: PERSISTENCE * before + shock)
    )
    begin = int(numbers[0]) - first * BLOCK_H
    return np.asarray(values[begin : begin + len(numbers)])


def _episodes(location_id: int, hours: pd.DatetimeIndex, seed: int) -> Series:
    """Log-scale bumps of one to four days."""
    numbers = hour_numbers(hours)
    total = np.zeros(len(numbers))
    for block in range(int(numbers[0]) // BLOCK_H - 1, int(numbers[-1]) // BLOCK_H + 2):
        draw = stream(seed, location_id, _STREAMS.index("episodes"), block)
        for _ in range(draw.integers(1, EPISODES_PER_BLOCK + 1)):
            centre = block * BLOCK_H + draw.uniform(0, BLOCK_H)
            total += draw.uniform(0.4, 1.1) * np.exp(-(((numbers - centre) / draw.uniform(18, 50)) ** 2))
    return total


def _bump(hour: Series, centre: float, width: float) -> Series:
    """A bell over the hours of the day, around the clock."""
    apart = (hour - centre + 12) % 24 - 12
    return np.exp(-((apart / width) ** 2))


def _positive(values: Series, *, scale: float) -> Series:
    """`values` where they are large, smoothly approaching zero instead of going below."""
    return scale * np.logaddexp(0.0, values / scale)
