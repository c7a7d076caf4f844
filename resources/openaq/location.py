"""A location of OpenAQ and its sensors, as the API describes them.

Belongs here: `Location`, `Sensor` and how they are read from API v3's JSON. Does not belong here: HTTP.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from resources.errors import UnexpectedAnswer


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """One instrument channel: one parameter in one unit."""

    id: int
    parameter: str
    units: str


@dataclass(frozen=True, kw_only=True)
class Location:
    """One measuring site."""

    id: int
    name: str | None
    timezone: str | None
    """IANA name; None if not told or unknown to this machine's zone database."""
    country_code: str | None
    latitude: float | None
    longitude: float | None
    is_mobile: bool
    datetime_first: datetime | None
    """Stamp of the first measurement, UTC; data may begin earlier, do not rely on it."""
    datetime_last: datetime | None
    """Stamp of the last measurement, UTC."""
    licenses: tuple[str, ...]
    provider: str | None
    sensors: tuple[Sensor, ...]

    @classmethod
    def from_json(cls, found: Any) -> "Location":
        """One result of /locations or /locations/{id}.

        Raises:
            UnexpectedAnswer: what identifies a location or a sensor is missing or of another type.
        """
        try:
            coordinates = found.get("coordinates") or {}
            return cls(
                id=int(found["id"]),
                name=_text(found.get("name")),
                timezone=_zone(found.get("timezone")),
                country_code=(found.get("country") or {}).get("code"),
                latitude=_number(coordinates.get("latitude")),
                longitude=_number(coordinates.get("longitude")),
                is_mobile=bool(found.get("isMobile")),
                datetime_first=_instant(found.get("datetimeFirst")),
                datetime_last=_instant(found.get("datetimeLast")),
                licenses=tuple(license["name"] for license in found.get("licenses") or ()),
                provider=_text((found.get("provider") or {}).get("name")),
                sensors=tuple(_sensor(sensor) for sensor in found.get("sensors") or ()),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UnexpectedAnswer(
                f"OpenAQ described a location in an unknown way ({type(error).__name__}: {error}): {str(found)[:500]}"
            ) from error


def _sensor(found: Mapping[str, Any]) -> Sensor:
    parameter = found["parameter"]
    return Sensor(id=int(found["id"]), parameter=str(parameter["name"]), units=str(parameter["units"]))


def _text(found: Any) -> str | None:
    # PostgreSQL's text cannot hold NUL, and no encoding holds a lone surrogate.
    return None if found is None else str(found).replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _number(found: Any) -> float | None:
    return None if found is None else float(found)


def _instant(found: Mapping[str, str] | None) -> datetime | None:
    if found is None:
        return None
    stamp = datetime.fromisoformat(found["utc"])
    if stamp.utcoffset() is None:
        raise ValueError(f"{found['utc']!r} has no offset")
    return stamp.astimezone(UTC)


def _zone(found: Any) -> str | None:
    if not isinstance(found, str):
        return None
    try:
        return ZoneInfo(found).key
    except (KeyError, ValueError, OSError):
        return None
