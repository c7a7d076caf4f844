"""Units: many spellings, one factor; conversion at stated temperature and pressure."""

from dataclasses import replace

import pytest

from assets_pkg.timeseries.units import factor_to_canonical, normal_unit
from schemas.datasets import OPENAQ

AT_25_C = (25.0, 1013.25)


@pytest.mark.parametrize("spelling", ["µg/m³", "μg/m³", "ug/m3", "μg/m3", "µg/m^3", "ug/m**3", "µg m-3", " UG/M3 "])
def test_every_spelling_of_micrograms_is_the_same_unit(spelling: str) -> None:
    assert normal_unit(spelling) == "ug/m3"
    assert factor_to_canonical(spelling, OPENAQ.measures["pm25"], *AT_25_C) == 1.0


@pytest.mark.parametrize(
    ("gas", "factor"), [("no2", 1.880), ("o3", 1.962), ("so2", 2.619), ("no", 1.227), ("co", 1.145)]
)
def test_ppb_become_micrograms_at_25_degrees_as_published(gas: str, factor: float) -> None:
    measure = OPENAQ.measures[gas]
    # the published factors rest on molar masses rounded to two digits
    assert factor_to_canonical("ppb", measure, *AT_25_C) == pytest.approx(factor, rel=6e-4)
    assert factor_to_canonical("ppm", measure, *AT_25_C) == pytest.approx(1000 * factor, rel=6e-4)


@pytest.mark.parametrize(("gas", "factor"), [("no2", 1.9125), ("o3", 1.9957), ("so2", 2.6609), ("co", 1.1642)])
def test_the_reference_temperature_matters(gas: str, factor: float) -> None:
    at_20_c = factor_to_canonical("ppb", OPENAQ.measures[gas], 20.0, 1013.25)
    assert at_20_c == pytest.approx(factor, rel=1e-3)
    assert at_20_c > 1.015 * factor_to_canonical("ppb", OPENAQ.measures[gas], *AT_25_C)


def test_the_pressure_matters() -> None:
    ozone = OPENAQ.measures["o3"]
    sea, mountain = (factor_to_canonical("ppb", ozone, 25.0, pressure) for pressure in (1013.25, 800.0))
    assert mountain / sea == pytest.approx(800.0 / 1013.25)


def test_mass_units_need_no_molar_mass_and_volume_units_do() -> None:
    dust = OPENAQ.measures["pm25"]
    assert factor_to_canonical("mg/m³", dust, *AT_25_C) == pytest.approx(1000.0)
    assert factor_to_canonical("ng/m³", dust, *AT_25_C) == pytest.approx(0.001)
    assert factor_to_canonical("ppm", dust, *AT_25_C) is None


def test_mass_becomes_volume_where_that_is_canonical() -> None:
    in_ppb = replace(OPENAQ.measures["o3"], unit="ppb")
    assert factor_to_canonical("µg/m³", in_ppb, *AT_25_C) == pytest.approx(1 / 1.9618724)
    assert factor_to_canonical("ppm", in_ppb, *AT_25_C) == pytest.approx(1000.0)


@pytest.mark.parametrize("unit", ["", "%", "c", "particles/cm³", "furlong", "iaq", "µg"])
def test_what_is_no_concentration_has_no_factor(unit: str) -> None:
    assert factor_to_canonical(unit, OPENAQ.measures["o3"], *AT_25_C) is None
