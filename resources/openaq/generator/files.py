"""A site's series as archive files, in both dialects, and the rows that come late.

Belongs here: text, gzip, places of files, late delivery. Does not belong here: values and defects.
"""

import gzip
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd

from resources.openaq import archive_layout
from resources.openaq.generator.defects import Defect, Site
from resources.openaq.generator.truth import FileTruth, Planted, Truth
from resources.openaq.raw_store import write_atomically

HEADER = ("location_id", "sensors_id", "location", "datetime", "lat", "lon", "parameter", "units", "value")
DECIMALS = {"µg/m³": 2, "ppb": 3, "ppm": 5}


@dataclass(frozen=True)
class Dialect:
    """How a line is written. OpenAQ's newer exporter quotes everything but the ids and ends lines with CRLF."""

    is_quoted: bool

    @property
    def line_end(self) -> str:
        return "\r\n" if self.is_quoted else "\n"

    def header(self) -> str:
        return ",".join(f'"{name}"' for name in HEADER) if self.is_quoted else ",".join(HEADER)

    def line(self, fields: Sequence[str]) -> str:
        if not self.is_quoted:
            return ",".join(fields)
        return ",".join([*fields[:2], *(f'"{field}"' for field in fields[2:])])


OLD, NEW = Dialect(is_quoted=False), Dialect(is_quoted=True)


class Target:
    """A folder or fsspec URL that archive files are written to."""

    def __init__(self, url: str | Path) -> None:
        self._files: Any
        self._files, root = fsspec.core.url_to_fs(str(url))
        self._root = root.rstrip("/")

    def write(self, path: str, data: bytes) -> None:
        target = f"{self._root}/{path}"
        if self._files.protocol == ("file", "local"):
            write_atomically(Path(target), data, is_durable=False)
            return
        self._files.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
        self._files.pipe_file(target, data)

    def read(self, path: str) -> bytes:
        return bytes(self._files.cat_file(f"{self._root}/{path}"))


@dataclass(frozen=True)
class SiteFiles:
    """One site's files, not yet written: path -> bytes, and the truth about them."""

    content: Mapping[str, bytes]
    truth: Mapping[str, FileTruth]
    planted: tuple[Planted, ...]


def render(site: Site, *, newer_from: date) -> SiteFiles:
    """The files of `site`; days before `newer_from` in the old dialect, the others in the new one."""
    records = _Records(site)
    content, truth = {}, {}
    planted = [_planted(site, defect) for defect in site.defects if defect.kind not in ("duplicate", "malformed")]
    beside = {
        (defect.sensor, defect.start): defect for defect in site.defects if defect.kind in ("duplicate", "malformed")
    }
    for day, start, stop in _days(site.local_days):
        path, dialect = archive_layout.file_path(site.location.id, day), NEW if day >= newer_from else OLD
        lines, late, malformed = [dialect.header()], [], 0
        for sensor in range(len(site.location.sensors)):
            for hour in range(start, stop):
                if not site.is_present[sensor, hour]:
                    continue
                fields = records.fields(sensor, hour)
                if site.is_late[sensor, hour]:
                    late.append(dialect.line(fields))
                    continue
                lines.append(dialect.line(fields))
                defect = beside.get((sensor, hour))
                if defect is not None:
                    lines.append(dialect.line(fields if defect.rule is None else _malformed(defect.rule, fields)))
                    malformed += defect.rule is not None
                    planted.append(_planted(site, defect, path=path, line_no=len(lines)))
        if len(lines) > 1 or late:
            content[path] = _zipped(lines, dialect)
            truth[path] = FileTruth(rows=len(lines) - 1 - malformed, malformed=malformed, late=tuple(late))
    return SiteFiles(content, truth, tuple(sorted(planted, key=lambda defect: (defect.first, defect.sensors_id or 0))))


def deliver_late(target_url_or_path: str | Path, truth: Truth) -> list[tuple[int, date]]:
    """Append the rows that were held back to their files, as OpenAQ does when rows arrive late.

    Returns the files that changed, as (location id, local day); delivering twice changes nothing.
    """
    target, changed = Target(target_url_or_path), []
    for path, file in truth.files.items():
        if not file.late:
            continue
        text = gzip.decompress(target.read(path)).decode()
        lines = text.splitlines()
        if file.late[0] in lines:
            continue
        dialect = NEW if lines[0] == NEW.header() else OLD
        target.write(path, _zipped([*lines, *file.late], dialect))
        location_id, day = path.rsplit("/", 1)[-1].removesuffix(".csv.gz").split("-")[1:]
        changed.append((int(location_id), date(int(day[:4]), int(day[4:6]), int(day[6:]))))
    return sorted(changed)


class _Records:
    """The text fields of a site's rows."""

    def __init__(self, site: Site) -> None:
        self._site = site
        place = site.location
        self._stamps = _local_text(site.hours, place.timezone)
        self._fixed = [
            (
                str(place.id),
                str(sensor.id),
                f"{place.name}-{place.id}",
                str(place.latitude),
                str(place.longitude),
                sensor.parameter,
            )
            for sensor in place.sensors
        ]

    def fields(self, sensor: int, hour: int) -> list[str]:
        location_id, sensors_id, name, lat, lon, parameter = self._fixed[sensor]
        units = str(self._site.units[sensor, hour])
        value = repr(round(float(self._site.values[sensor, hour]), DECIMALS[units]))
        return [location_id, sensors_id, name, self._stamps[hour], lat, lon, parameter, units, value]


def _malformed(rule: str, fields: Sequence[str]) -> list[str]:
    """`fields` broken so that they violate `rule`."""
    broken = list(fields)
    stamp = broken[3]
    if rule == "field_count":
        return broken[:-1]
    if rule == "wrong_location":
        broken[0] = str(int(broken[0]) + 1)
    elif rule in ("not_a_number", "not_finite"):
        broken[8] = "--" if rule == "not_a_number" else "NaN"
    else:
        broken[3] = stamp[:19] if rule == "no_offset" else f"{stamp[:5]}02-30{stamp[10:]}"
    return broken


def _planted(site: Site, defect: Defect, *, path: str | None = None, line_no: int | None = None) -> Planted:
    return Planted(
        kind=defect.kind,
        location_id=site.location.id,
        sensors_id=None if defect.sensor is None else site.location.sensors[defect.sensor].id,
        first=site.hours[defect.start].to_pydatetime(),
        last=site.hours[defect.stop - 1].to_pydatetime(),
        path=path,
        line_no=line_no,
        rule=defect.rule,
    )


def _days(local_days: np.ndarray) -> Iterator[tuple[date, int, int]]:
    """Each local day with the index of its first hour and the one behind its last."""
    starts = np.flatnonzero(np.r_[True, local_days[1:] != local_days[:-1]])
    for start, stop in zip(starts, np.r_[starts[1:], len(local_days)], strict=True):
        yield local_days[start].item(), int(start), int(stop)


def _local_text(hours: pd.DatetimeIndex, timezone: str) -> list[str]:
    """ISO 8601 with the offset of each hour at the site."""
    local = hours.tz_convert(timezone).tz_localize(None)
    offsets = (local - hours.tz_localize(None)) // timedelta(minutes=1)
    clock = np.datetime_as_string(local.to_numpy(), unit="s")
    suffixes = [f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}" for minutes in offsets]
    return [f"{stamp}{suffix}" for stamp, suffix in zip(clock, suffixes, strict=True)]


def _zipped(lines: Sequence[str], dialect: Dialect) -> bytes:
    text = dialect.line_end.join([*lines, ""])
    return gzip.compress(text.encode(), compresslevel=6, mtime=0)
