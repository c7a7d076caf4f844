"""The US EPA AQI: published vectors, every breakpoint, truncation, and the rules between averages."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets_pkg.features.aqi import (
    CO_8H,
    NO2_1H,
    O3_1H,
    O3_8H,
    PM10_24H,
    PM25_24H,
    SO2_1H,
    SO2_24H,
    Scale,
    nowcast_sub_index,
    ppb_per_ugm3,
    sub_index,
)
from schemas.features import AQI_POLLUTANTS, NOWCAST_POLLUTANTS

SCALES: Mapping[str, Scale] = {
    "pm25": PM25_24H,
    "pm10": PM10_24H,
    "o3 8 h": O3_8H,
    "o3 1 h": O3_1H,
    "co": CO_8H,
    "so2 1 h": SO2_1H,
    "so2 24 h": SO2_24H,
    "no2": NO2_1H,
}

# The table as published, in the unit it is published in: (scale, index low, index high, low, high).
BREAKPOINTS = [
    ("pm25", 0, 50, 0.0, 9.0),
    ("pm25", 51, 100, 9.1, 35.4),
    ("pm25", 101, 150, 35.5, 55.4),
    ("pm25", 151, 200, 55.5, 125.4),
    ("pm25", 201, 300, 125.5, 225.4),
    ("pm25", 301, 500, 225.5, 325.4),
    ("pm10", 0, 50, 0, 54),
    ("pm10", 51, 100, 55, 154),
    ("pm10", 101, 150, 155, 254),
    ("pm10", 151, 200, 255, 354),
    ("pm10", 201, 300, 355, 424),
    ("pm10", 301, 500, 425, 604),
    ("o3 8 h", 0, 50, 0.000, 0.054),
    ("o3 8 h", 51, 100, 0.055, 0.070),
    ("o3 8 h", 101, 150, 0.071, 0.085),
    ("o3 8 h", 151, 200, 0.086, 0.105),
    ("o3 8 h", 201, 300, 0.106, 0.200),
    ("o3 1 h", 101, 150, 0.125, 0.164),
    ("o3 1 h", 151, 200, 0.165, 0.204),
    ("o3 1 h", 201, 300, 0.205, 0.404),
    ("o3 1 h", 301, 500, 0.405, 0.604),
    ("co", 0, 50, 0.0, 4.4),
    ("co", 51, 100, 4.5, 9.4),
    ("co", 101, 150, 9.5, 12.4),
    ("co", 151, 200, 12.5, 15.4),
    ("co", 201, 300, 15.5, 30.4),
    ("co", 301, 500, 30.5, 50.4),
    ("so2 1 h", 0, 50, 0, 35),
    ("so2 1 h", 51, 100, 36, 75),
    ("so2 1 h", 101, 150, 76, 185),
    ("so2 1 h", 151, 200, 186, 304),
    ("so2 24 h", 201, 300, 305, 604),
    ("so2 24 h", 301, 500, 605, 1004),
    ("no2", 0, 50, 0, 53),
    ("no2", 51, 100, 54, 100),
    ("no2", 101, 150, 101, 360),
    ("no2", 151, 200, 361, 649),
    ("no2", 201, 300, 650, 1249),
    ("no2", 301, 500, 1250, 2049),
]


def index_of(scale: str, concentration: float) -> float:
    return float(SCALES[scale].index(np.array([concentration]))[0])


def as_of_hour(pollutant: str, *, hour: float = np.nan, mean_8h: float = np.nan, mean_24h: float = np.nan) -> float:
    """The sub-index from averages in ppb (gases) or µg/m³ (particles)."""
    unit = 1.0 if pollutant.startswith("pm") else 1 / ppb_per_ugm3(pollutant)
    averages = (np.array([average]) * unit for average in (hour, mean_8h, mean_24h))
    names = ("hour_ugm3", "mean_8h_ugm3", "mean_24h_ugm3")
    return float(sub_index(pollutant, **dict(zip(names, averages, strict=True)))[0])


@pytest.mark.parametrize(
    ("mean_24h", "expected"),
    [
        (0.0, 0),
        (9.0, 50),
        (9.09, 50),
        (9.1, 51),
        (12.0, 56),
        (35.4, 100),
        (35.45, 100),
        (35.5, 101),
        (55.4, 150),
        (125.4, 200),
        (150.4, 226),
        (225.4, 300),
        (225.5, 301),
        (325.4, 500),
        (400.0, 649),
    ],
)
def test_pm25_gives_the_published_index(mean_24h: float, expected: int) -> None:
    assert as_of_hour("pm25", mean_24h=mean_24h) == expected


@pytest.mark.parametrize(("scale", "index_low", "index_high", "low", "high"), BREAKPOINTS)
def test_both_ends_of_every_segment_give_exactly_its_indices(
    scale: str, index_low: int, index_high: int, low: float, high: float
) -> None:
    almost_a_step = 0.99 / SCALES[scale].steps_per_unit
    assert index_of(scale, low) == index_low
    assert index_of(scale, high) == index_high
    assert index_of(scale, high + almost_a_step) == index_high, "between two steps the lower one counts"


def test_the_table_holds_every_published_segment_and_no_other() -> None:
    published = {
        (name, *(round(part * scale.steps_per_unit) for part in (low, high)), index_low, index_high)
        for name, index_low, index_high, low, high in BREAKPOINTS
        for scale in (SCALES[name],)
    }
    held = {(name, low, high, a, b) for name, scale in SCALES.items() for a, b, low, high in scale.segments}
    assert held == published


@pytest.mark.parametrize("scale", SCALES)
def test_segments_touch_without_gap_or_overlap(scale: str) -> None:
    for (_, index_high, _, high), (next_index, _, next_low, _) in zip(
        SCALES[scale].segments, SCALES[scale].segments[1:], strict=False
    ):
        assert (next_index, next_low) == (index_high + 1, high + 1)


@pytest.mark.parametrize("scale", SCALES)
@given(first=st.floats(-10, 3000), second=st.floats(-10, 3000))
def test_more_is_never_healthier(scale: str, first: float, second: float) -> None:
    unit = 1.0 if SCALES[scale].steps_per_unit == 1 else 1 / SCALES[scale].steps_per_unit
    low, high = sorted((first * unit, second * unit))
    lower, higher = index_of(scale, low), index_of(scale, high)
    assert not lower > higher
    assert not (np.isnan(higher) and not np.isnan(lower))


@given(tenths=st.integers(0, 5000))
def test_a_decimal_on_a_step_is_not_truncated_below_it(tenths: int) -> None:
    written = float(f"{tenths // 10}.{tenths % 10}")
    mean_of_24 = sum([written] * 24) / 24
    one_by_one = float(index_of("pm25", tenths / 10))
    assert index_of("pm25", written) == index_of("pm25", mean_of_24) == one_by_one


def test_truncation_knows_binary_fractions_and_does_not_round() -> None:
    assert 0.1 * 3 * 30.3 != 9.09 and index_of("pm25", 0.1 * 3 * 30.3) == 50
    assert 4.35 * 100 < 435
    assert index_of("pm25", 9.1 - 1e-12) == 51
    assert index_of("pm25", 9.0999) == 50
    assert index_of("o3 8 h", 0.0709) == 100


def test_a_half_rounds_up() -> None:
    assert index_of("co", 1.1) == 13, "50 x 11 / 44 is 12.5"
    assert index_of("co", 3.3) == 38, "50 x 33 / 44 is 37.5"


@given(ppb=st.integers(0, 2000))
def test_a_whole_ppb_survives_the_way_through_ugm3(ppb: int) -> None:
    assert as_of_hour("no2", hour=ppb) == index_of("no2", ppb)
    assert as_of_hour("o3", mean_8h=ppb) == index_of("o3 8 h", ppb / 1000)


@pytest.mark.parametrize(("gas", "factor"), [("no2", 1.880), ("o3", 1.962), ("so2", 2.619), ("co", 1.145)])
def test_conversion_is_at_25_degrees_and_one_atmosphere(gas: str, factor: float) -> None:
    assert 1 / ppb_per_ugm3(gas) == pytest.approx(factor, abs=6e-4)


def test_particles_have_no_mixing_ratio() -> None:
    with pytest.raises(ValueError, match="pm25 has no molar mass"):
        ppb_per_ugm3("pm25")


@pytest.mark.parametrize("scale", ["pm25", "pm10", "o3 8 h", "co", "so2 1 h", "no2"])
def test_negatives_count_as_nothing(scale: str) -> None:
    assert index_of(scale, -3.0) == 0


@pytest.mark.parametrize("scale", SCALES)
def test_an_unknown_concentration_has_no_index(scale: str) -> None:
    assert np.isnan(index_of(scale, np.nan))


@pytest.mark.parametrize(
    ("hour_ppb", "mean_8h_ppb", "expected"),
    [
        (np.nan, 54, 50),
        (90, 54, 50),  # 1 h ozone defines nothing below 125 ppb
        (124, np.nan, np.nan),
        (125, np.nan, 101),
        (125, 70, 101),  # the larger of the two
        (125, 106, 201),
        (500, 106, 396),
        (90, 201, 300),  # 8 h ozone defines nothing above 300
        (405, 500, 301),
        (604, 500, 500),
        (np.nan, np.nan, np.nan),
    ],
)
def test_ozone_is_the_larger_of_8_h_and_1_h(hour_ppb: float, mean_8h_ppb: float, expected: float) -> None:
    assert as_of_hour("o3", hour=hour_ppb, mean_8h=mean_8h_ppb) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("hour_ppb", "mean_24h_ppb", "expected"),
    [
        (304, np.nan, 200),
        (305, 304, 200),  # only the 24 h mean goes above 200
        (2000, 20, 200),
        (2000, np.nan, 200),
        (305, 305, 201),
        (900, 604, 300),
        (900, 605, 301),
        (2000, 1004, 500),
        (10, 305, 201),
        (np.nan, 605, 301),
        (np.nan, 304, np.nan),
    ],
)
def test_sulphur_dioxide_above_200_is_the_24_h_means(hour_ppb: float, mean_24h_ppb: float, expected: float) -> None:
    assert as_of_hour("so2", hour=hour_ppb, mean_24h=mean_24h_ppb) == pytest.approx(expected, nan_ok=True)


def test_each_pollutant_rests_on_its_own_average() -> None:
    assert as_of_hour("pm10", hour=600, mean_8h=600, mean_24h=54) == 50
    assert as_of_hour("co", hour=90_000, mean_8h=4400, mean_24h=90_000) == 50
    assert as_of_hour("no2", hour=53, mean_8h=2000, mean_24h=2000) == 50


def test_every_pollutant_of_the_contract_has_an_index() -> None:
    for pollutant in AQI_POLLUTANTS:
        assert as_of_hour(pollutant, hour=0, mean_8h=0, mean_24h=0) == 0
    for pollutant in NOWCAST_POLLUTANTS:
        assert nowcast_sub_index(pollutant, np.zeros(1))[0] == 0


def test_a_nowcast_stands_for_the_daily_mean() -> None:
    assert nowcast_sub_index("pm25", np.array([35.49]))[0] == 100
    assert nowcast_sub_index("pm10", np.array([154.9]))[0] == 100
    assert nowcast_sub_index("o3", np.array([70.0]) / ppb_per_ugm3("o3"))[0] == 100


def test_a_pollutant_without_an_index_is_an_error() -> None:
    nothing = np.zeros(1)
    with pytest.raises(ValueError, match="no US EPA AQI of 'bc'"):
        sub_index("bc", hour_ugm3=nothing, mean_8h_ugm3=nothing, mean_24h_ugm3=nothing)
    with pytest.raises(ValueError, match="no NowCast of 'no2'"):
        nowcast_sub_index("no2", nothing)
