"""Sentinels and their rescaled images, against plausible values that look like them."""

import numpy as np
import pytest

from assets_pkg.timeseries.sentinels import is_sentinel
from assets_pkg.timeseries.units import factor_to_canonical, normal_unit
from schemas.datasets import OPENAQ


def judged(value: float, unit: str, parameter: str) -> bool:
    measure = OPENAQ.measures[parameter]
    factor = factor_to_canonical(unit, measure, OPENAQ.temperature_c, OPENAQ.pressure_hpa)
    verdict = is_sentinel(
        np.array([value]),
        np.array([value * factor]),
        np.array([normal_unit(unit) == "ppm"]),
        sentinels=OPENAQ.sentinels,
        valid=(np.array([measure.valid[0]]), np.array([measure.valid[1]])),
        noise_floor=np.array([measure.noise_floor]),
    )
    return bool(verdict[0])


@pytest.mark.parametrize("value", sorted(value for value in OPENAQ.sentinels if value < 0))
@pytest.mark.parametrize(("unit", "parameter"), [("µg/m³", "pm25"), ("ppm", "o3"), ("ppb", "no2"), ("µg/m³", "co")])
def test_a_negative_sentinel_counts_in_every_unit(value: float, unit: str, parameter: str) -> None:
    assert judged(value, unit, parameter)


@pytest.mark.parametrize(
    ("value", "unit", "parameter"),
    [
        (-0.999, "ppm", "o3"),  # -999 ppb
        (-9.999, "ppm", "o3"),  # -9999 ppb
        (9.999, "ppm", "o3"),  # 9999 ppb
        (-0.099, "ppm", "no2"),  # -99 ppb
        (-0.099, "ppm", "co"),  # -99 ppb, within the noise of CO
        (-999_000.0, "µg/m³", "co"),  # -999 mg/m³
        (-99_000.0, "µg/m³", "pm10"),  # -99 mg/m³
        (9999.0, "µg/m³", "pm25"),
        (999_000.0, "µg/m³", "co"),
        (-99.99, "µg/m³", "pm25"),  # -9999 / 100
        (np.float64(np.float32(-9.999)), "ppm", "o3"),  # once stored in single precision
    ],
)
def test_images_count(value: float, unit: str, parameter: str) -> None:
    assert judged(value, unit, parameter)


@pytest.mark.parametrize(
    ("value", "unit", "parameter"),
    [
        (9.99, "µg/m³", "pm25"),
        (99.99, "µg/m³", "pm25"),
        (999.0, "µg/m³", "pm10"),
        (0.999, "ppm", "co"),
        (9.99, "ppm", "co"),
        (9999.0, "µg/m³", "co"),
        (0.099, "ppm", "o3"),
        (0.99, "ppb", "no2"),
        (-0.99, "ppb", "no2"),
        (-9.99, "µg/m³", "pm25"),
        (-9.95, "µg/m³", "pm10"),
        (-0.99, "µg/m³", "o3"),
        (-1.0, "µg/m³", "pm25"),
        (-998.5, "µg/m³", "pm25"),  # wrong, but no sentinel
        (0.0, "ppm", "o3"),
        (np.nan, "ppm", "o3"),
    ],
)
def test_plausible_values_that_look_like_one_do_not_count(value: float, unit: str, parameter: str) -> None:
    assert not judged(value, unit, parameter)


def test_no_sentinels_declared_means_none_found() -> None:
    one = np.array([-999.0])
    limits = (np.array([0.0]), np.array([1000.0]))
    assert not is_sentinel(one, one, np.array([False]), sentinels=(), valid=limits, noise_floor=np.array([-15.0])).any()
