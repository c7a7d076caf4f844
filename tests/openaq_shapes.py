"""Locations and measurements in API v3's own shape, for the stand-in and for tests.

Belongs here: builders of single objects. Does not belong here: pages, HTTP.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo


def stamp(instant: datetime, zone: str) -> dict[str, str]:
    """An instant as the API writes it."""
    utc = instant.astimezone(UTC)
    return {
        "utc": utc.isoformat().replace("+00:00", "Z"),
        "local": utc.astimezone(ZoneInfo(zone)).isoformat(),
    }


def location(
    id_: int,
    sensors: Mapping[int, tuple[str, str]],
    *,
    name: str | None = None,
    zone: str = "UTC",
    code: str = "XX",
    latitude: float = 10.0,
    longitude: float = 20.0,
) -> dict[str, Any]:
    """A location with `sensors` (id -> parameter and unit), in the API's own shape."""
    return {
        "id": id_,
        "name": name or f"Site {id_}",
        "locality": None,
        "timezone": zone,
        "country": {"id": 1, "code": code, "name": code},
        "owner": {"id": 4, "name": "Unknown Governmental Organization"},
        "provider": {"id": 119, "name": "AirNow"},
        "isMobile": False,
        "isMonitor": True,
        "instruments": [{"id": 2, "name": "Government Monitor"}],
        "sensors": [
            {
                "id": sensor_id,
                "name": f"{parameter} {units}",
                "parameter": {"id": 2, "name": parameter, "units": units, "displayName": None},
            }
            for sensor_id, (parameter, units) in sensors.items()
        ],
        "coordinates": {"latitude": latitude, "longitude": longitude},
        "licenses": [{"id": 33, "name": "US Public Domain", "attribution": None, "dateFrom": "2016-01-30"}],
        "bounds": [longitude, latitude, longitude, latitude],
        "distance": None,
        "datetimeFirst": None,
        "datetimeLast": None,
    }


def measurement(
    end: datetime, value: float | None, *, parameter: str, units: str, zone: str = "UTC", interval_s: int = 3600
) -> dict[str, Any]:
    """One raw measurement whose period ends at `end`, in the API's own shape."""
    span = {"datetimeFrom": stamp(end - timedelta(seconds=interval_s), zone), "datetimeTo": stamp(end, zone)}
    interval = f"{interval_s // 3600:02}:{interval_s // 60 % 60:02}:{interval_s % 60:02}"
    return {
        "value": value,
        "flagInfo": {"hasFlags": False},
        "parameter": {"id": 2, "name": parameter, "units": units, "displayName": None},
        "period": {"label": "raw", "interval": interval, **span},
        "coordinates": None,
        "summary": None,
        "coverage": {
            "expectedCount": 1,
            "expectedInterval": interval,
            "observedCount": 1,
            "observedInterval": interval,
            "percentComplete": 100.0,
            "percentCoverage": 100.0,
            **span,
        },
    }
