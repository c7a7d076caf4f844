"""Which days need work, and which of them may be asked for now: the sensors' thinking, without Dagster.

Belongs here: pure functions on days, marks, debts and runs under way. Does not belong here: asking the source, the
database or the instance (`sensors.py`, `runs.py`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import MappingProxyType
from zlib import crc32

from resources.catalog.held_upstream import left_alone
from resources.catalog.sources import Owed
from schemas.table_spec import TableSpec
from schemas.window import ONE_DAY

FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(hours=1)
"""Work that was tried and is still there waits 30 s, 1 min, 2 min, … at most an hour: it is never given up."""

LONGEST_RUN = 366
"""Days of one run: the newest year of a long history is done first, and one that fails does not hold back others."""

TOGETHER_UP_TO = 2
"""After so many failures in a row, a day that is owed is asked for alone: another day of its range may be to blame."""


@dataclass(frozen=True, order=True)
class DayRange:
    """The UTC days `first` to `last`, both included."""

    first: date
    last: date

    def days(self) -> list[date]:
        """Every day of the range."""
        return [self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)]


def ranges(days: Iterable[date]) -> list[DayRange]:
    """The days as the fewest contiguous ranges, in order."""
    merged: list[DayRange] = []
    for day in sorted(set(days)):
        if merged and day - merged[-1].last <= ONE_DAY:
            merged[-1] = DayRange(merged[-1].first, day)
        else:
            merged.append(DayRange(day, day))
    return merged


def without(days: Iterable[date], busy: Iterable[DayRange]) -> list[date]:
    """The days that lie in none of the ranges."""
    taken = {day for one in busy for day in one.days()}
    return [day for day in sorted(set(days)) if day not in taken]


@dataclass(frozen=True)
class Work:
    """Days of some tables to compute in one run; `version` changes when the reason does."""

    tables: tuple[str, ...]
    days: DayRange
    version: int
    locations: tuple[int, ...] = ()
    """Locations to fetch; empty: all."""

    @property
    def name(self) -> str:
        """What identifies the work, as a run's tag."""
        return f"{'+'.join(self.tables)}/{self.days.first}/{self.days.last}/{self.version}"


def stale_work(
    marks: Mapping[str, Mapping[date, int]],
    busy: Mapping[str, Sequence[DayRange]],
    specs: Collection[TableSpec],
    today: date,
    held: Mapping[str, Collection[date]] = MappingProxyType({}),
) -> list[Work]:
    """The work that dirty days ask for, layer by layer, the newest first.

    `marks`: per table, the version of each stale day. `busy`: per table, the days of runs under way. A day waits
    while a day it reads is itself stale or being computed, so that it is computed once and not once per layer. Tables
    of one dataset that are cut alike and stale on the same range share a run. A day after `today` waits until it has
    come. `held`: per table, the days that rules hold back; the same days of its readers wait until they are mended, and
    keep what they have. The days around them do not wait.
    """
    waiting = {spec.qualified: left_alone(spec, held) for spec in specs}
    by_range: dict[tuple[DayRange, str, bool], list[tuple[str, int]]] = {}
    for spec in specs:
        stale = marks.get(spec.qualified, {})
        blocked = _blocked(spec, marks, busy, waiting) | waiting[spec.qualified]
        free = without(stale, busy.get(spec.qualified, ()))
        ready = [day for day in free if day not in blocked and day <= today]
        for whole in ranges(ready):
            for one in _cut(whole):
                by_range.setdefault((one, spec.dataset, spec.by_arrival), []).append(
                    (spec.qualified, max(stale[day] for day in one.days()))
                )
    return [
        Work(tuple(table for table, _ in found), one, max(version for _, version in found))
        for (one, *_), found in sorted(by_range.items(), reverse=True)
    ]


def _blocked(
    spec: TableSpec,
    marks: Mapping[str, Mapping[date, int]],
    busy: Mapping[str, Sequence[DayRange]],
    waiting: Mapping[str, set[date]],
) -> set[date]:
    """Days of the table that read a day which is stale or being computed; not one that waits for rules to hold."""
    blocked: set[date] = set()
    for read in spec.reads:
        if read.by_event:  # its slices are cut by another time; a write under way marks what it makes stale
            continue
        stale = set(marks.get(read.table, {})) - waiting.get(read.table, set())
        unsettled = stale | {day for one in busy.get(read.table, ()) for day in one.days()}
        for day in unsettled:
            blocked.update(day + timedelta(days=n) for n in range(-read.after.days, read.before.days + 1))
    return blocked


def _cut(whole: DayRange) -> list[DayRange]:
    """The range in pieces of `LONGEST_RUN` days, counted from its end."""
    pieces = []
    last = whole.last
    while last >= whole.first:
        first = max(whole.first, last - timedelta(days=LONGEST_RUN - 1))
        pieces.append(DayRange(first, last))
        last = first - ONE_DAY
    return pieces


def fetch_work(
    table: str,
    news: Mapping[date, Collection[str]],
    owed: Iterable[Owed],
    busy: Iterable[DayRange],
    now: datetime,
) -> list[Work]:
    """The work that news and debts at the source ask for.

    `news`: days with something new, each with the reasons; all locations are asked for them, in ranges. What is owed,
    and due, on other days is asked for of the locations that owe it, in ranges of the same locations. A day that keeps
    failing, or fails for good, is asked for alone: one bad file must not keep the days around it.
    """
    busy = list(busy)
    work = [
        Work((table,), one, _version(f"{day} {reason}" for day in one.days() for reason in sorted(news[day])))
        for whole in ranges(without(news, busy))
        for one in _cut(whole)
    ]
    free = set(without({one.day for one in owed if one.next_attempt_at <= now}, busy)) - set(news)
    due = [one for one in owed if one.day in free and one.next_attempt_at <= now]
    alone = {one.day for one in due if not one.is_transient or one.attempts > TOGETHER_UP_TO}
    by_units: dict[tuple[int, ...], set[date]] = {}
    for day in {one.day for one in due}:
        units = tuple(sorted(int(one.unit) for one in due if one.day == day))
        by_units.setdefault(units, set()).add(day)
    for units, days in by_units.items():
        singles = [DayRange(day, day) for day in days & alone]
        for one in [*ranges(days - alone), *singles]:
            debts = (
                f"{debt.unit} {debt.day} {debt.attempts}" for debt in sorted(due) if one.first <= debt.day <= one.last
            )
            work.append(Work((table,), one, _version(debts), units))
    return sorted(work, key=lambda one: one.days, reverse=True)


def _version(reasons: Iterable[str]) -> int:
    """A number that changes when the reasons do, so that work done in vain is told from new work."""
    return crc32("\n".join(reasons).encode())


def is_due(tried: int, last_ended_at: datetime | None, now: datetime) -> bool:
    """Whether work that was tried `tried` times, last until `last_ended_at`, may be tried again."""
    if not tried or last_ended_at is None:
        return True
    return now >= last_ended_at + min(FIRST_WAIT * 2 ** min(tried - 1, 16), LONGEST_WAIT)


def affordable(wanted: Sequence[Work], cost: Mapping[Work, int], budget: int | None) -> list[Work]:
    """The work, in the order given, that together costs no more than `budget` requests (None: no limit).

    The first is always among it when any budget is left: work larger than the hour's budget would otherwise never be
    asked for; its requests wait their turn.
    """
    chosen: list[Work] = []
    left = budget
    for one in wanted:
        if left is None or cost[one] <= left or (not chosen and left > 0):
            chosen.append(one)
            left = None if left is None else left - cost[one]
    return chosen
