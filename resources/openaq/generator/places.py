"""The made-up measuring sites: where they are, what they measure in which unit, and how polluted they are.

Belongs here: `GeneratedLocation` and the demo's eight. Does not belong here: series, defects, files. Names say
"Synthetic", and ids lie far above OpenAQ's (7 digits for locations, 8 for sensors in 2026), so that nothing here can
pass for real data.
"""

from dataclasses import dataclass

from schemas.datasets import OPENAQ

GAS_CONSTANT = 8.314462618
"""J/(mol K), exact to 10 digits (2019 SI)."""


@dataclass(frozen=True, kw_only=True)
class GeneratedSensor:
    """One channel: `parameter` reported in `units` (µg/m³, ppb or ppm)."""

    id: int
    parameter: str
    units: str


@dataclass(frozen=True, kw_only=True)
class GeneratedLocation:
    """One site. `levels` are long-term means: µg/m³ for particles, ppb for gases."""

    id: int
    name: str
    timezone: str
    country_code: str
    latitude: float
    longitude: float
    levels: dict[str, float]
    sensors: tuple[GeneratedSensor, ...]
    minutes_past: int = 0
    """Minutes past the UTC hour of its hourly stamps; Indian stations report on local hours, half past in UTC."""

    @property
    def is_southern(self) -> bool:
        return self.latitude < 0


def per_unit(parameter: str, units: str) -> float:
    """How many `units` one base unit is: base is µg/m³ for particles and ppb for gases.

    Volume to mass as ideal gas at the dataset's reference temperature and pressure:
    µg/m³ = ppb * M * p / (R * T) * 1e-3, with M in g/mol, p in Pa.
    """
    molar_mass = OPENAQ.measures[parameter].molar_mass
    if molar_mass is None:
        return {"µg/m³": 1.0}[units]
    mass = molar_mass * OPENAQ.pressure_hpa * 100 / (GAS_CONSTANT * (OPENAQ.temperature_c + 273.15)) * 1e-3
    return {"ppb": 1.0, "ppm": 1e-3, "µg/m³": mass}[units]


def _place(
    number: int,
    name: str,
    timezone: str,
    country_code: str,
    coordinates: tuple[float, float],
    levels: tuple[float, float, float, float, float, float],
    channels: str,
    minutes_past: int = 0,
) -> GeneratedLocation:
    return GeneratedLocation(
        id=90_000_000 + number,
        name=f"Synthetic {name}",
        timezone=timezone,
        country_code=country_code,
        latitude=coordinates[0],
        longitude=coordinates[1],
        levels=dict(zip(("pm25", "pm10", "o3", "no2", "so2", "co"), levels, strict=True)),
        sensors=tuple(
            GeneratedSensor(id=910_000_000 + 100 * number + channel, parameter=parameter, units=units)
            for channel, (parameter, units) in enumerate((pair.split(":") for pair in channels.split()), start=1)
        ),
        minutes_past=minutes_past,
    )


_USUAL = "pm25:µg/m³ pm10:µg/m³ o3:ppm no2:ppb so2:ppb co:ppm"

DEMO_LOCATIONS = (
    _place(1, "Kathmandu", "Asia/Kathmandu", "NP", (27.7172, 85.324), (48, 92, 31, 17, 4.2, 900), _USUAL),
    _place(2, "New York", "America/New_York", "US", (40.7128, -74.006), (8.5, 17, 29, 16, 1.1, 310), _USUAL),
    _place(
        3, "Guadalajara", "America/Mexico_City", "MX", (20.6597, -103.3496), (23, 52, 33, 21, 2.8, 760),
        "pm25:µg/m³ pm10:µg/m³ o3:ppm no2:ppm so2:ppm co:ppm",
    ),
    _place(
        4, "Santiago", "America/Santiago", "CL", (-33.4489, -70.6693), (27, 61, 24, 22, 2.1, 690),
        "pm25:µg/m³ pm10:µg/m³ o3:ppb no2:ppb so2:ppb co:ppm",
    ),
    _place(
        5, "Delhi", "Asia/Kolkata", "IN", (28.6139, 77.209), (86, 178, 28, 26, 5.1, 1150),
        "pm25:µg/m³ pm10:µg/m³ o3:µg/m³ no2:µg/m³ so2:µg/m³ co:µg/m³", minutes_past=30,
    ),
    _place(
        6, "Paris", "Europe/Paris", "FR", (48.8566, 2.3522), (11, 20, 27, 18, 0.9, 260),
        "pm25:µg/m³ pm10:µg/m³ o3:µg/m³ no2:µg/m³ no2:ppb so2:µg/m³ co:ppm",
    ),
    _place(7, "Kiritimati", "Pacific/Kiritimati", "KI", (1.8721, -157.4278), (5.5, 14, 19, 3, 0.6, 110), _USUAL),
    _place(8, "Accra", "Africa/Accra", "GH", (5.6037, -0.187), (34, 74, 22, 14, 3.0, 820), _USUAL),
)  # fmt: skip
"""Nepal (UTC+05:45), India (+05:30), three zones with daylight saving (one of them changes at midnight), the zones with
the largest offset and with none, both hemispheres, every unit OpenAQ's gases come in, one gas twice in two units."""
