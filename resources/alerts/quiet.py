"""Quiet hours: when only what is critical is told.

Belongs here: reading them from a setting, and the clock. Does not belong here: what is held back (`delivery.py`).
"""

import re
from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

FORM = re.compile(r"(\d{1,2}:\d{2})\s*-\s*(\d{1,2}:\d{2})(?:\s+(\S+))?")


@dataclass(frozen=True)
class QuietHours:
    """Every day from `first` until before `last`, by the wall clock of `zone`; over midnight if `last` is earlier."""

    first: time
    last: time
    zone: ZoneInfo

    def holds(self, moment: datetime) -> bool:
        """Whether an aware instant lies in them."""
        wall = moment.astimezone(self.zone).time()
        if self.first <= self.last:
            return self.first <= wall < self.last
        return wall >= self.first or wall < self.last


def quiet_hours(text: str) -> QuietHours | None:
    """`22:00-07:00 Europe/Berlin` as quiet hours; UTC if no zone is named, none if the text is empty.

    Raises:
        ValueError: it is malformed, or there is no such zone.
    """
    if not text.strip():
        return None
    found = FORM.fullmatch(text.strip())
    if not found:
        raise ValueError("quiet hours are like 22:00-07:00 Europe/Berlin")
    try:
        first, last = (time.fromisoformat(part.zfill(5)) for part in found.group(1, 2))
    except ValueError:
        raise ValueError("quiet hours are like 22:00-07:00 Europe/Berlin; a time is 00:00 to 23:59") from None
    if first == last:
        raise ValueError("quiet hours that begin and end at the same time hold nothing; leave them out")
    try:
        return QuietHours(first, last, ZoneInfo(found[3] or "UTC"))
    except (ZoneInfoNotFoundError, ValueError, IsADirectoryError):
        raise ValueError(f"there is no time zone {found[3]!r}; write one like Europe/Berlin") from None
