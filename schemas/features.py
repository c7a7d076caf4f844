"""Feature tables: what models are trained on and served.

Belongs here: one Pandera model per feature table; wide tables are spelled from the same few words, so that a column's
name, unit and meaning cannot drift apart. Does not belong here: how a feature is computed (`assets_pkg/features/`).
"""

from typing import Any

import pandera.pandas as pa

from schemas.base import NullableInt, TableModel, UtcTimestamp

POLLUTANTS = ("pm25", "pm10", "o3", "no2", "so2", "co")
"""Parameters the hourly features are computed for; every value is in µg/m³."""

WINDOWS_H = {"3h": 3, "24h": 24, "7d": 168}
"""Look-back windows: name in a column, length in hours. A window at time t holds the hours in (t - length, t]."""

LAGS_H = (1, 24, 168)

AQI_POLLUTANTS = POLLUTANTS
"""Parameters with a US EPA sub-index."""

NOWCAST_POLLUTANTS = ("pm25", "pm10", "o3")

EXCEEDANCE_UGM3 = {"pm25": 15.0, "pm10": 45.0, "o3": 100.0, "no2": 25.0, "so2": 40.0, "co": 4000.0}
"""Short-term levels of the WHO air quality guidelines 2021 (24 h; ozone: 8 h), in µg/m³."""

_STATISTICS = {
    "mean": "mean",
    "min": "minimum",
    "max": "maximum",
    "std": "sample standard deviation",
}


def _pollutant_columns(name: str) -> dict[str, tuple[type, Any]]:
    """The features of one pollutant: column -> (type, field)."""
    columns: dict[str, tuple[type, Any]] = {}

    def number(column: str, description: str, **bounds: Any) -> None:
        columns[column] = (float, pa.Field(nullable=True, description=description, **bounds))

    number(f"{name}_ugm3", f"{name} of the hour, mean over the location's valid sensors, µg/m³")
    for window in WINDOWS_H:
        for short, long in _STATISTICS.items():
            number(f"{name}_{short}_{window}_ugm3", f"{long} of {name} over the last {window}, µg/m³")
        number(
            f"{name}_slope_{window}_ugm3_per_h", f"least-squares slope of {name} over the last {window}, µg/m³ per hour"
        )
        number(f"{name}_coverage_{window}_pct", f"hours with a value in the last {window}, percent", ge=0, le=100)
        number(
            f"{name}_imputed_{window}_pct",
            f"imputed hours among those with a value, last {window}, percent",
            ge=0,
            le=100,
        )
    for lag in LAGS_H:
        number(f"{name}_lag_{lag}h_ugm3", f"{name} {lag} h before, µg/m³")
    columns[f"{name}_exceedance_24h_h"] = (
        NullableInt,
        pa.Field(
            nullable=True,
            ge=0,
            le=24,
            description=f"hours of the last 24 above {EXCEEDANCE_UGM3[name]:g} µg/m³ of {name}",
        ),
    )
    return columns


def _air_quality_hourly() -> type[TableModel]:
    columns: dict[str, tuple[Any, Any]] = {
        "location_id": (int, pa.Field(ge=1, description="OpenAQ location id")),
        "datetime_utc": (UtcTimestamp, pa.Field(description="END of the hour the features are computed as of, UTC")),
    }
    for cycle, unit in (("hour", "hour of day"), ("week", "hour of week")):
        for function in ("sin", "cos"):
            columns[f"{cycle}_{function}"] = (
                float,
                pa.Field(ge=-1, le=1, description=f"{function} of the {unit} at the location's local time"),
            )
    for name in POLLUTANTS:
        columns |= _pollutant_columns(name)
    columns["pm25_pm10_ratio"] = (float, pa.Field(nullable=True, ge=0, description="24 h mean of pm25 / of pm10"))
    columns["no2_o3_ratio"] = (float, pa.Field(nullable=True, ge=0, description="24 h mean of no2 / of o3"))
    for name in NOWCAST_POLLUTANTS:
        columns[f"{name}_nowcast_ugm3"] = (
            float,
            pa.Field(nullable=True, description=f"US EPA NowCast of {name} (ozone: surrogate of the 8 h mean), µg/m³"),
        )
    for name in AQI_POLLUTANTS:
        columns[f"{name}_aqi"] = (
            NullableInt,
            pa.Field(nullable=True, ge=0, description=f"US EPA AQI (2024) of {name}"),
        )
    columns["aqi"] = (NullableInt, pa.Field(nullable=True, ge=0, description="US EPA AQI (2024): largest sub-index"))
    columns["nowcast_aqi"] = (
        NullableInt,
        pa.Field(nullable=True, ge=0, description="US EPA AQI (2024) of the NowCast concentrations: largest sub-index"),
    )
    columns["known_at"] = (
        UtcTimestamp,
        pa.Field(description="when the newest row behind the features became known, UTC"),
    )
    config = type("Config", (TableModel.Config,), {"unique": ["location_id", "datetime_utc"]})
    return type(
        "AirQualityHourly",
        (TableModel,),
        {
            "__doc__": "One row per location and UTC hour with at least one sensor, computed as of that hour.",
            "__module__": __name__,
            "__annotations__": {name: kind for name, (kind, _) in columns.items()},
            "Config": config,
            **{name: field for name, (_, field) in columns.items()},
        },
    )


AirQualityHourly = _air_quality_hourly()
