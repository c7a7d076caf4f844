"""Windows of time: the one place that knows on which side an interval is closed.

Belongs here: `Window` and the arithmetic of UTC days. Does not belong here: Dagster's partitions, SQL.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

import pandas as pd

Closed = Literal["left", "right"]
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, order=True)
class Window:
    """The time from `start` to `end`, both UTC; which of the two belongs to it is the table's `closed` side.

    With `closed="right"` it holds `start < t <= end` (stamps that mark the END of a period, as OpenAQ's do), with
    `closed="left"` it holds `start <= t < end`. Abutting windows tile time without a gap or an overlap.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for bound in (self.start, self.end):
            if bound.utcoffset() is None:
                raise ValueError(f"a window's bounds carry a time zone, {bound!r} does not")
        object.__setattr__(self, "start", self.start.astimezone(UTC))
        object.__setattr__(self, "end", self.end.astimezone(UTC))
        if self.end <= self.start:
            raise ValueError(f"a window ends after it starts: {self.start} .. {self.end}")

    @classmethod
    def of_days(cls, first: date, last: date) -> "Window":
        """The UTC days `first` to `last`, both included."""
        return cls(midnight(first), midnight(last) + ONE_DAY)

    def days(self) -> list[date]:
        """Every UTC day the window touches, in order."""
        last = (self.end - timedelta(microseconds=1)).date()
        return [self.start.date() + timedelta(days=n) for n in range((last - self.start.date()).days + 1)]

    def split(self, length: timedelta) -> Iterator["Window"]:
        """The window cut into pieces of `length`; the last may be shorter."""
        start = self.start
        while start < self.end:
            end = min(start + length, self.end)
            yield Window(start, end)
            start = end

    def widened(self, before: timedelta = timedelta(0), after: timedelta = timedelta(0)) -> "Window":
        """The window with `before` more in front and `after` more behind."""
        return Window(self.start - before, self.end + after)

    def holds(self, stamps: pd.Series, closed: Closed) -> pd.Series:
        """Which of the aware `stamps` lie in the window (boolean, same index; missing stamps do not)."""
        if closed == "right":
            inside = (stamps > self.start) & (stamps <= self.end)
        else:
            inside = (stamps >= self.start) & (stamps < self.end)
        return inside.fillna(False).astype(bool)

    def covers(self, other: "Window") -> bool:
        """Whether `other` lies wholly inside this window."""
        return self.start <= other.start and other.end <= self.end


def midnight(day: date) -> datetime:
    """The instant at which the UTC day `day` begins."""
    return datetime.combine(day, time(), tzinfo=UTC)


def day_of(stamps: pd.Series, closed: Closed) -> pd.Series:
    """The partition day of each aware stamp (midnight UTC, same dtype); with `closed="right"`, midnight itself
    still belongs to the day that ends there."""
    day: pd.Series = stamps.dt.ceil("D") - pd.Timedelta(days=1) if closed == "right" else stamps.dt.floor("D")
    return day
