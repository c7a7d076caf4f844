"""Where the archive keeps what: paths by location and local day, and local days against UTC days.

Belongs here: names, folders and calendar arithmetic, pure. Does not belong here: reading or writing.

OpenAQ writes one file per location and LOCAL calendar day: file D holds the stamps `D 00:00 < t <= D + 1 00:00` of the
location's own clock, UTC-12 to UTC+14.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from schemas.window import ONE_DAY, Window

RECORDS = "records/csv.gz"
SIDECAR = "locations.json"
"""Optional, in the archive's root: a JSON list of `Location`; OpenAQ's own bucket has none."""

WEST, EAST = timedelta(hours=-12), timedelta(hours=14)
"""Smallest and largest offset of any clock from UTC."""

CLOCK_CHANGE = timedelta(hours=2)
"""How much a location's offset may differ from those seen nearby: a change of clocks, and a stamp just behind one."""


def location_folder(location_id: int) -> str:
    return f"{RECORDS}/locationid={location_id}"


def month_folder(location_id: int, year: int, month: int) -> str:
    return f"{location_folder(location_id)}/year={year:04}/month={month:02}"


def file_name(location_id: int, local_day: date) -> str:
    return f"location-{location_id}-{local_day:%Y%m%d}.csv.gz"


def file_path(location_id: int, local_day: date) -> str:
    """Path of a day's file, relative to the archive's root."""
    return f"{month_folder(location_id, local_day.year, local_day.month)}/{file_name(location_id, local_day)}"


def local_days(window: Window, offsets: tuple[timedelta, timedelta] | None) -> list[date]:
    """The local days whose files can hold stamps of the UTC `window` (closed right), in order.

    `offsets` are the smallest and largest offset seen at the location in or around the window; None if none is known.
    """
    low, high = (WEST, EAST) if offsets is None else (offsets[0] - CLOCK_CHANGE, offsets[1] + CLOCK_CHANGE)
    return Window(window.start + low, window.end + high).days()


def utc_days_of(local_day: date, timezone: str | None = None) -> list[date]:
    """The UTC days (closed right) that the local calendar day `local_day` touches, in order.

    Exact where the IANA `timezone` is known; else every day that any clock on Earth could mean.
    """
    begin, end = (datetime.combine(local_day + n * ONE_DAY, time()) for n in (0, 1))
    if timezone is None:
        return Window(begin.replace(tzinfo=UTC) - EAST, end.replace(tzinfo=UTC) - WEST).days()
    zone = ZoneInfo(timezone)
    return Window(begin.replace(tzinfo=zone), end.replace(tzinfo=zone)).days()
