"""US EPA Air Quality Index with the breakpoints in force since 2024-05-06.

Source: EPA, "Technical Assistance Document for the Reporting of Daily Air Quality - the Air Quality Index", May 2024
(40 CFR 58, Appendix G). Concentrations are truncated, never rounded, to the step of their scale; the index is linear
between breakpoints, rounded to the nearest integer (halves up); above 500 the last segment goes on. Negative
concentrations count as 0.

The document defines the index of a day. Here it is the index as of an hour: the running averages that end with the
hour, and the hour itself where the document takes the day's highest hour.

Belongs here: concentration -> index. Does not belong here: averages and their completeness (`rolling.py`), NowCast.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from schemas.datasets import OPENAQ

Array = NDArray[np.float64]

_FLOAT_NOISE = 1e-6
"""A concentration this close under a step, in steps, is on it: a mean of 35.4s is 35.4 even where binary fractions make
it 35.39999999999999. Instruments resolve less than a thousandth of a step."""

_GAS_CONSTANT = 8.314462618
"""J/(mol K), CODATA 2018."""


@dataclass(frozen=True)
class Scale:
    """The index over one average of one pollutant.

    `segments` are (lowest index, highest index, lowest concentration, highest concentration); concentrations are whole
    numbers of steps, `steps_per_unit` of them to `unit`. Below the first segment there is no index. Above the last it
    is extrapolated, or, where another average takes over (`is_open` false), stays at the last segment's top.
    """

    unit: str
    steps_per_unit: int
    segments: tuple[tuple[int, int, int, int], ...]
    is_open: bool = True

    @cached_property
    def _by_column(self) -> tuple[Array, Array, Array, Array]:
        index_low, index_high, low, high = np.array(self.segments, dtype="float64").T
        return index_low, index_high - index_low, low, high - low

    def index(self, concentration: Array) -> Array:
        """The index of each concentration (in `unit`): whole numbers as floats, NaN where there is none."""
        steps = np.floor(np.maximum(concentration, 0.0) * self.steps_per_unit + _FLOAT_NOISE)
        index_low, index_span, low, span = self._by_column
        at = np.searchsorted(low, steps, side="right") - 1
        # Whole numbers all through, so that a half is a half: floor((2 a + b) / 2 b) is a / b rounded half up.
        rise = np.floor((2 * index_span[at] * (steps - low[at]) + span[at]) / (2 * span[at]))
        index = index_low[at] + rise
        if not self.is_open:
            index = np.minimum(index, float(self.segments[-1][1]))
        return np.where(at < 0, np.nan, index)


PM25_24H = Scale(
    unit="µg/m³",
    steps_per_unit=10,
    segments=(
        (0, 50, 0, 90),
        (51, 100, 91, 354),
        (101, 150, 355, 554),
        (151, 200, 555, 1254),
        (201, 300, 1255, 2254),
        (301, 500, 2255, 3254),
    ),
)
PM10_24H = Scale(
    unit="µg/m³",
    steps_per_unit=1,
    segments=(
        (0, 50, 0, 54),
        (51, 100, 55, 154),
        (101, 150, 155, 254),
        (151, 200, 255, 354),
        (201, 300, 355, 424),
        (301, 500, 425, 604),
    ),
)
O3_8H = Scale(
    unit="ppm",
    steps_per_unit=1000,
    segments=((0, 50, 0, 54), (51, 100, 55, 70), (101, 150, 71, 85), (151, 200, 86, 105), (201, 300, 106, 200)),
    is_open=False,
)
"""8 h ozone defines no index above 300; 1 h ozone does."""
O3_1H = Scale(
    unit="ppm",
    steps_per_unit=1000,
    segments=((101, 150, 125, 164), (151, 200, 165, 204), (201, 300, 205, 404), (301, 500, 405, 604)),
)
CO_8H = Scale(
    unit="ppm",
    steps_per_unit=10,
    segments=(
        (0, 50, 0, 44),
        (51, 100, 45, 94),
        (101, 150, 95, 124),
        (151, 200, 125, 154),
        (201, 300, 155, 304),
        (301, 500, 305, 504),
    ),
)
SO2_1H = Scale(
    unit="ppb",
    steps_per_unit=1,
    segments=((0, 50, 0, 35), (51, 100, 36, 75), (101, 150, 76, 185), (151, 200, 186, 304)),
    is_open=False,
)
"""1 h sulphur dioxide defines no index above 200; the 24 h average does."""
SO2_24H = Scale(unit="ppb", steps_per_unit=1, segments=((201, 300, 305, 604), (301, 500, 605, 1004)))
NO2_1H = Scale(
    unit="ppb",
    steps_per_unit=1,
    segments=(
        (0, 50, 0, 53),
        (51, 100, 54, 100),
        (101, 150, 101, 360),
        (151, 200, 361, 649),
        (201, 300, 650, 1249),
        (301, 500, 1250, 2049),
    ),
)


def sub_index(pollutant: str, *, hour_ugm3: Array, mean_8h_ugm3: Array, mean_24h_ugm3: Array) -> Array:
    """The index of one pollutant as of an hour, from that hour and the averages that end with it, all µg/m³.

    - pm25, pm10: the 24 h mean.
    - o3: the larger of the 8 h index (up to 300) and the 1 h index (from 0.125 ppm on).
    - co: the 8 h mean.
    - so2: up to 200 from the hour, above from a 24 h mean of at least 305 ppb. An hour of 305 ppb or more whose 24 h
      mean is lower, or not known, is 200.
    - no2: the hour.

    NaN where none of these is known.

    Raises:
        ValueError: the pollutant has no index.
    """
    match pollutant:
        case "pm25":
            return PM25_24H.index(mean_24h_ugm3)
        case "pm10":
            return PM10_24H.index(mean_24h_ugm3)
        case "o3":
            to_ppm = ppb_per_ugm3("o3") / 1000
            return np.fmax(O3_8H.index(mean_8h_ugm3 * to_ppm), O3_1H.index(hour_ugm3 * to_ppm))
        case "co":
            return CO_8H.index(mean_8h_ugm3 * (ppb_per_ugm3("co") / 1000))
        case "so2":
            to_ppb = ppb_per_ugm3("so2")
            return np.fmax(SO2_1H.index(hour_ugm3 * to_ppb), SO2_24H.index(mean_24h_ugm3 * to_ppb))
        case "no2":
            return NO2_1H.index(hour_ugm3 * ppb_per_ugm3("no2"))
    raise ValueError(f"there is no US EPA AQI of {pollutant!r}")


def nowcast_sub_index(pollutant: str, nowcast_ugm3: Array) -> Array:
    """The index of one pollutant's NowCast, µg/m³, which stands for the 24 h mean (PM) or the 8 h mean (ozone).

    Raises:
        ValueError: the pollutant has no NowCast.
    """
    match pollutant:
        case "pm25":
            return PM25_24H.index(nowcast_ugm3)
        case "pm10":
            return PM10_24H.index(nowcast_ugm3)
        case "o3":
            return O3_8H.index(nowcast_ugm3 * (ppb_per_ugm3("o3") / 1000))
    raise ValueError(f"there is no NowCast of {pollutant!r}")


def ppb_per_ugm3(gas: str) -> float:
    """How many ppb one µg/m³ of `gas` is: molar volume / molar mass at the data's reference temperature and pressure
    (25 °C and 1013.25 hPa as 40 CFR 50.3 asks: 24.465 L/mol).

    Raises:
        ValueError: `gas` has no molar mass, so it is no gas.
    """
    molar_mass = OPENAQ.measures[gas].molar_mass
    if molar_mass is None:
        raise ValueError(f"{gas} has no molar mass in schemas/datasets.py; only a gas has a mixing ratio")
    molar_volume_l = _GAS_CONSTANT * (OPENAQ.temperature_c + 273.15) / OPENAQ.pressure_hpa * 10
    return molar_volume_l / molar_mass
