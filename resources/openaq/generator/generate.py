"""Generating an archive: `generate` writes it and returns the truth about it.

Belongs here: putting series, defects and files together. Does not belong here: any of them.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from resources.openaq import archive_layout
from resources.openaq.archive_locations import SIDECAR
from resources.openaq.generator.defects import Site, local_days_of, plant
from resources.openaq.generator.files import Target, render
from resources.openaq.generator.places import GeneratedLocation, per_unit
from resources.openaq.generator.series import concentrations
from resources.openaq.generator.truth import KINDS, FileTruth, Kind, Planted, Truth
from resources.openaq.location import Location, Sensor
from schemas.window import ONE_DAY


def generate(
    target_url_or_path: str | Path,
    *,
    locations: Sequence[GeneratedLocation],
    first_day: date,
    last_day: date,
    seed: int,
    kinds: Sequence[Kind] = KINDS,
) -> Truth:
    """Write the archive files of `locations` for their LOCAL days `first_day` to `last_day`, both included.

    The same arguments give the same bytes. Another range with the same seed gives the same series, and the same
    defects but those that cross an end of it. The first half of the days is in the archive's old dialect, the second
    in the new one. `locations.json` in the root declares the sites. `kinds` narrows what is planted; `()` gives sound
    files.

    Raises:
        ValueError: `last_day` is before `first_day`.
    """
    if last_day < first_day:
        raise ValueError(f"the last day, {last_day}, is before the first, {first_day}")
    target = Target(target_url_or_path)
    newer_from = first_day + ((last_day - first_day) // 2 + ONE_DAY)
    planted: list[Planted] = []
    files: dict[str, FileTruth] = {}
    for location in locations:
        site = _site(location, first_day, last_day, seed)
        plant(site, kinds=kinds, seed=seed)
        rendered = render(site, newer_from=newer_from)
        for path, data in rendered.content.items():
            target.write(path, data)
        planted += rendered.planted
        files |= rendered.truth
    target.write(
        archive_layout.SIDECAR, SIDECAR.dump_json(tuple(_described(place, first_day, last_day) for place in locations))
    )
    return Truth(planted=tuple(planted), files=files)


def _site(location: GeneratedLocation, first_day: date, last_day: date, seed: int) -> Site:
    """The sound series of a site over its local days, in its sensors' units."""
    begin, end = (datetime.combine(day, time(), tzinfo=UTC) for day in (first_day - ONE_DAY, last_day + 2 * ONE_DAY))
    hours = pd.date_range(begin, end, freq="h") + timedelta(minutes=location.minutes_past)
    days = local_days_of(hours, location.timezone)
    is_asked = (days >= np.datetime64(first_day)) & (days <= np.datetime64(last_day))
    hours, days = hours[is_asked], days[is_asked]
    base = concentrations(location, hours, seed)
    shape = (len(location.sensors), len(hours))
    return Site(
        location=location,
        hours=hours,
        local_days=days,
        values=np.stack(
            [base[sensor.parameter] * per_unit(sensor.parameter, sensor.units) for sensor in location.sensors]
        ),
        units=np.repeat(np.array([[sensor.units] for sensor in location.sensors], dtype=object), len(hours), axis=1),
        is_present=np.ones(shape, dtype=bool),
        is_late=np.zeros(shape, dtype=bool),
    )


def _described(location: GeneratedLocation, first_day: date, last_day: date) -> Location:
    zone = ZoneInfo(location.timezone)
    return Location(
        id=location.id,
        name=location.name,
        timezone=location.timezone,
        country_code=location.country_code,
        latitude=location.latitude,
        longitude=location.longitude,
        is_mobile=False,
        datetime_first=datetime.combine(first_day, time(1), tzinfo=zone).astimezone(UTC),
        datetime_last=datetime.combine(last_day + ONE_DAY, time(), tzinfo=zone).astimezone(UTC),
        licenses=(),
        provider="Tidemark generator",
        sensors=tuple(
            Sensor(id=sensor.id, parameter=sensor.parameter, units=sensor.units) for sensor in location.sensors
        ),
    )
