"""Units as sources spell them, and the factor that brings a value to its measure's canonical unit.

Does not belong here: which measures exist and their reference conditions (`schemas/datasets.py`).
"""

import unicodedata
from functools import cache, lru_cache
from typing import Any

from schemas.datasets import Measure

VOLUME_RATIOS = {"ppm": "1e-6", "ppb": "1e-9", "pphm": "1e-8", "ppt": "1e-12"}
"""Volume mixing ratios as fractions; air quality means parts per trillion by ppt."""

SPELLED = {
    "g/m3": "gram / meter ** 3",
    "mg/m3": "milligram / meter ** 3",
    "ug/m3": "microgram / meter ** 3",
    "ng/m3": "nanogram / meter ** 3",
} | {name: f"{fraction} dimensionless" for name, fraction in VOLUME_RATIOS.items()}
"""Normal spelling of a unit -> how pint reads it."""


def normal_unit(units: str) -> str:
    """One spelling for the many of a unit: `µg/m³`, `μg/m3`, `ug/m^3`, `µg m-3` all become `ug/m3`."""
    text = unicodedata.normalize("NFKC", units).casefold()
    text = text.replace("μ", "u").replace("^", "").replace("**", "").replace(" ", "")
    return text.replace("gm-3", "g/m3")


@lru_cache(maxsize=4096)
def factor_to_canonical(units: str, measure: Measure, temperature_c: float, pressure_hpa: float) -> float | None:
    """What a value in `units` is multiplied by to be in `measure.unit`; None where there is no way.

    Volume mixing ratios become mass concentrations at the reference conditions by
    ρ = φ · M / Vm with Vm = R · T / P (ideal gas), so µg/m³ = ppb · M[g/mol] / Vm[L/mol]; Vm is 24.465 L/mol at 25 °C
    and 1013.25 hPa.
    """
    source, target = normal_unit(units), normal_unit(measure.unit)
    if source == target:
        return 1.0
    if source not in SPELLED or target not in SPELLED:
        return None
    if (source in VOLUME_RATIOS) != (target in VOLUME_RATIOS) and measure.molar_mass is None:
        return None
    registry = _registry()
    with registry.context(
        "gas",
        molar_mass=registry.Quantity(measure.molar_mass or 0.0, "gram / mole"),
        temperature=registry.Quantity(temperature_c + 273.15, "kelvin"),
        pressure=registry.Quantity(pressure_hpa, "hectopascal"),
    ):
        return float(registry(SPELLED[source]).to(registry(SPELLED[target]).units).magnitude) / float(
            registry(SPELLED[target]).magnitude
        )


@cache
def _registry() -> Any:
    """pint's registry with the transformation between volume ratio and mass concentration, named `gas`."""
    import pint  # takes most of a second: only a process that converts pays for it

    registry: Any = pint.UnitRegistry()
    gas = pint.Context("gas", defaults={"molar_mass": None, "temperature": None, "pressure": None})

    def density(molar_mass: Any, temperature: Any, pressure: Any) -> Any:
        return molar_mass * pressure / (registry.molar_gas_constant * temperature)

    def to_mass(ureg: Any, value: Any, **conditions: Any) -> Any:
        return value * density(**conditions)

    def to_volume(ureg: Any, value: Any, **conditions: Any) -> Any:
        return value / density(**conditions)

    gas.add_transformation("", "[mass] / [length] ** 3", to_mass)
    gas.add_transformation("[mass] / [length] ** 3", "", to_volume)
    registry.add_context(gas)
    return registry
