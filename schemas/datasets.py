"""One declaration per dataset: what is measured, in which unit, how often, and what counts as wrong.

Belongs here: `Dataset`, `Measure` and the built-in declarations. Does not belong here: anything that reads or writes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One measured quantity.

    `valid` is the plausible range and `possible` the physically possible one, both in `unit`, ends included: outside
    `valid` a value is flagged, outside `possible` it is put aside. `molar_mass` (g/mol) makes volume units convertible.
    `noise_floor` is the most negative value that counts as instrument noise.
    """

    name: str
    unit: str
    valid: tuple[float, float]
    possible: tuple[float, float]
    noise_floor: float
    molar_mass: float | None = None
    stuck_after: int = 6
    """So many equal hours in a row mean a stuck instrument."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One dataset: its tables share `name` as their group in the graph."""

    name: str
    description: str
    cadence: timedelta
    arrives_every: timedelta | None
    """The longest time in which nothing new arrives while all is well; None: it comes when it comes."""
    measures: Mapping[str, Measure]
    sentinels: frozenset[float]
    """Values that stand for "no measurement" in the original unit; their images under rescaling count too."""
    temperature_c: float
    """Reference temperature of volume to mass conversion, °C."""
    pressure_hpa: float
    """Reference pressure of volume to mass conversion, hPa."""
    impute_up_to: int
    """Longest gap, in steps of `cadence`, over which the last fit value is carried."""
    first_day: str
    """First UTC day anybody may ask for, ISO 8601."""


def _gas(name: str, top: float, possible: float, molar_mass: float, noise: float = -10.0) -> Measure:
    return Measure(
        name=name,
        unit="µg/m³",
        valid=(0.0, top),
        possible=(min(-50.0, 2 * noise), possible),
        noise_floor=noise,
        molar_mass=molar_mass,
    )


OPENAQ = Dataset(
    name="openaq",
    description="Air quality measurements of OpenAQ: hourly means per sensor.",
    cadence=timedelta(hours=1),
    arrives_every=timedelta(days=1),
    measures={
        measure.name: measure
        for measure in (
            Measure(name="pm25", unit="µg/m³", valid=(0.0, 1000.0), possible=(-50.0, 10_000.0), noise_floor=-15.0),
            Measure(name="pm10", unit="µg/m³", valid=(0.0, 1500.0), possible=(-50.0, 20_000.0), noise_floor=-15.0),
            _gas("o3", 1000.0, 10_000.0, 47.998),
            _gas("no2", 1000.0, 20_000.0, 46.006),
            _gas("no", 1000.0, 20_000.0, 30.006),
            _gas("so2", 5000.0, 50_000.0, 64.066),
            _gas("co", 100_000.0, 500_000.0, 28.010, noise=-600.0),
        )
    },
    sentinels=frozenset({-9999.0, -999.0, -998.0, -995.0, -99.0, 9999.0, 999.0}),
    temperature_c=25.0,
    pressure_hpa=1013.25,
    impute_up_to=3,
    first_day="2016-01-01",
)

DATASETS = {OPENAQ.name: OPENAQ}
