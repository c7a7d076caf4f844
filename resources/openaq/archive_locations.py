"""What an archive can tell of a location: the sidecar file, or the newest readable data file.

Belongs here: building `Location` in archive mode. Does not belong here: retries and concurrency (`archive.py`).
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from resources.errors import CorruptSource, UnknownLocation
from resources.openaq import archive_layout
from resources.openaq.archive_file import LARGEST_FILE, parse
from resources.openaq.archive_store import ArchiveStore, Blob
from resources.openaq.location import Location, Sensor

LARGEST_SIDECAR = 64 * 2**20
MONTHS_WITHOUT_LISTING = 3
"""Where folders cannot be listed, so many months up to now are looked at."""

SIDECAR = TypeAdapter(tuple[Location, ...])
"""Reads and writes the sidecar file."""


def declared(store: ArchiveStore) -> dict[int, Location]:
    """The locations the archive's sidecar declares, by id; empty without one.

    Raises:
        CorruptSource: there is a sidecar and it is no list of locations.
    """
    blob = store.read(archive_layout.SIDECAR, unless=None, limit=LARGEST_SIDECAR)
    if not isinstance(blob, Blob):
        return {}
    try:
        return {location.id: _in_utc(location) for location in SIDECAR.validate_json(blob.data)}
    except (ZoneInfoNotFoundError, OSError) as error:
        raise CorruptSource(f"{store.uri(archive_layout.SIDECAR)} names an unknown time zone ({error})") from error
    except ValidationError as error:
        raise CorruptSource(
            f"{store.uri(archive_layout.SIDECAR)} is no list of locations: {error.error_count()} errors, the first: "
            f"{error.errors(include_url=False, include_input=False)[0]['msg']}"
        ) from error


def from_newest_file(store: ArchiveStore, location_id: int) -> Location:
    """The location as its newest file with rows shows it; `timezone` and what files do not hold stay None.

    Raises:
        UnknownLocation: there is no such file.
    """
    for year, month in _months(store, location_id):
        folder = archive_layout.month_folder(location_id, year, month)
        names = {archive_layout.file_name(location_id, day): day for day in _days_of(year, month)}
        for name in sorted(store.stamps(folder, names), reverse=True):
            rows = _rows(store, f"{folder}/{name}", location_id, names[name])
            if rows is not None and len(rows):
                return _described(location_id, rows)
    raise UnknownLocation(f"the archive has no readable file of location {location_id}: check the id")


def _rows(store: ArchiveStore, path: str, location_id: int, local_day: date) -> pd.DataFrame | None:
    blob = store.read(path, unless=None, limit=LARGEST_FILE)
    if not isinstance(blob, Blob):
        return None
    try:
        return parse(blob.data, source_id=0, location_id=location_id, local_day=local_day).rows
    except CorruptSource:
        return None


def _described(location_id: int, rows: pd.DataFrame) -> Location:
    newest = rows.sort_values("datetime_utc", kind="stable").iloc[-1]
    sensors = rows.drop_duplicates("sensors_id").sort_values("sensors_id")
    places = rows[["latitude", "longitude"]].dropna().drop_duplicates()
    return Location(
        id=location_id,
        name=None if pd.isna(newest["location_name"]) else str(newest["location_name"]),
        timezone=None,
        country_code=None,
        latitude=_number(newest["latitude"]),
        longitude=_number(newest["longitude"]),
        is_mobile=len(places) > 1,
        datetime_first=None,
        datetime_last=newest["datetime_utc"].to_pydatetime(),
        licenses=(),
        provider=None,
        sensors=tuple(
            Sensor(id=int(sensor["sensors_id"]), parameter=str(sensor["parameter"]), units=str(sensor["units"]))
            for sensor in sensors.to_dict("records")
        ),
    )


def _in_utc(location: Location) -> Location:
    if location.timezone is not None:
        ZoneInfo(location.timezone)
    first, last = (stamp and stamp.astimezone(UTC) for stamp in (location.datetime_first, location.datetime_last))
    return replace(location, datetime_first=first, datetime_last=last)


def _months(store: ArchiveStore, location_id: int) -> Iterator[tuple[int, int]]:
    """Year and month of every folder of the location, newest first."""
    folder = archive_layout.location_folder(location_id)
    years = store.folders(folder)
    if years is None:
        yield from _last_months(datetime.now(UTC).date() + timedelta(days=1))
        return
    for year in sorted(_numbered(years, "year="), reverse=True):
        months = store.folders(f"{folder}/year={year:04}") or []
        for month in sorted(_numbered(months, "month="), reverse=True):
            yield year, month


def _numbered(names: list[str], prefix: str) -> list[int]:
    return [
        int(name.removeprefix(prefix)) for name in names if name.startswith(prefix) and name[len(prefix) :].isdecimal()
    ]


def _last_months(today: date) -> Iterator[tuple[int, int]]:
    first = today.replace(day=1)
    for _ in range(MONTHS_WITHOUT_LISTING):
        yield first.year, first.month
        first = (first - timedelta(days=1)).replace(day=1)


def _days_of(year: int, month: int) -> list[date]:
    first = date(year, month, 1)
    return [first + timedelta(days=n) for n in range(31) if (first + timedelta(days=n)).month == month]


def _number(value: float) -> float | None:
    return None if pd.isna(value) else float(value)
