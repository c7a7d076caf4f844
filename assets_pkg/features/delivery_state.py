"""How tasks stood at an instant: which were open, in progress, done, and who worked on them.

Belongs here: the one reading of a snapshot of tasks that all delivery features share. Does not belong here: features.

A snapshot of a day tells of the whole past by its stamps. What it says of later than `as_of` has not happened yet:
- a task created later is not there;
- one that is done but was completed later is in progress if it was started by then, else to do;
- one in progress that was started later is to do.
A task that is done without a stamp is done, though nobody knows when: it lies in no window. One that was reopened is
not done, whatever its stamp says. A cancelled task is neither open nor done.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np
import pandas as pd

from assets_pkg.features.delivery_links import Links, links, positions
from assets_pkg.features.delivery_sums import Flags, Floats, Instants, finite, instants, utc
from schemas.source_datasets.delivery import SKILLS, TASK_STATUSES

HOUR, DAY = np.timedelta64(1, "h"), np.timedelta64(1, "D")


@dataclass(frozen=True)
class TasksAsOf:
    """A snapshot of tasks (shape of `DeliveryTasks`), read as of an instant; an array has one entry per row."""

    rows: pd.DataFrame
    as_of: Instants
    """Scalar, UTC."""

    @classmethod
    def of(cls, tasks: pd.DataFrame, as_of: datetime) -> "TasksAsOf":
        """The tasks as of `as_of` (aware)."""
        return cls(tasks, instant(as_of))

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def is_there(self) -> Flags:
        """Created by then."""
        return self.stamps("created_at") <= self.as_of

    @cached_property
    def is_done(self) -> Flags:
        """Done, not known to have been so only later."""
        return self.is_there & self._stands_at("done") & ~(self.completed_at > self.as_of)

    @cached_property
    def is_open(self) -> Flags:
        """There, neither done nor cancelled."""
        return self.is_there & ~self.is_done & ~self._stands_at("cancelled")

    @cached_property
    def counts(self) -> Flags:
        """There and not cancelled."""
        return self.is_open | self.is_done

    @cached_property
    def is_in_progress(self) -> Flags:
        """Being worked on."""
        is_started = self.stamps("started_at") <= self.as_of
        is_started_later = self.stamps("started_at") > self.as_of
        return self.is_open & (
            (self._stands_at("in_progress") & ~is_started_later) | (self._stands_at("done") & is_started)
        )

    @cached_property
    def is_blocked(self) -> Flags:
        """Open, and either standing at blocked or waiting for a task that is open."""
        waits = np.zeros(len(self), dtype=bool)
        waits[self.dependencies.row[self.is_open[self.dependencies.thing]]] = True
        return self.is_open & (self._stands_at("blocked") | waits)

    @cached_property
    def is_overdue(self) -> Flags:
        """Open although the deadline has come."""
        return self.is_open & (self.stamps("deadline") <= self.as_of)

    @cached_property
    def completed_at(self) -> Instants:
        """When it was done; NaT where nobody knows."""
        return self.stamps("completed_at")

    def is_done_within(self, window: timedelta) -> Flags:
        """Done in (as of - window, as of]."""
        return self.is_done & (self.completed_at > self.as_of - np.timedelta64(window))

    @cached_property
    def remaining_h(self) -> Floats:
        """Effort still to come of an open task, h: what is said to remain, or else the whole estimate; NaN: unknown."""
        remaining = finite(self.rows["remaining_h"].to_numpy(dtype="float64"))
        return np.where(np.isnan(remaining), self.estimated_h, remaining)

    @cached_property
    def estimated_h(self) -> Floats:
        """Estimated effort, h; NaN: unknown."""
        return finite(self.rows["estimated_h"].to_numpy(dtype="float64"))

    @cached_property
    def needs(self) -> Flags:
        """(task, skill of `SKILLS`): whether the task needs the skill, however it is capitalised."""
        found = links(self.rows["skills"].str.lower(), pd.Series(SKILLS))
        needed = np.zeros((len(self), len(SKILLS)), dtype=bool)
        needed[found.row, found.thing] = True
        return needed

    @cached_property
    def dependencies(self) -> Links:
        """Pairs of a task and another one of the snapshot, there by then, that it waits or waited for."""
        found = links(self.rows["depends_on"], self.rows["task_id"])
        return found.where((found.row != found.thing) & self.is_there[found.thing])

    @cached_property
    def known_at(self) -> Instants:
        """When the row became known."""
        return self.stamps("known_at")

    def stamps(self, column: str) -> Instants:
        """A column of instants."""
        return instants(self.rows[column])

    def _stands_at(self, status: str) -> Flags:
        return self._status == TASK_STATUSES.index(status)

    @cached_property
    def _status(self) -> np.ndarray:
        return positions(self.rows["status"], pd.Series(TASK_STATUSES))


@dataclass(frozen=True)
class Assignments:
    """Who is assigned to the tasks that are there by then and not cancelled: pairs of a task and a user."""

    tasks: TasksAsOf
    links: Links
    share: Floats
    """Per pair, the part of the task that is the user's: 1 / number of known assignees."""

    @classmethod
    def of(cls, tasks: TasksAsOf, users: pd.DataFrame) -> "Assignments":
        """The assignments to `users`; ids of others are ignored."""
        found = links(tasks.rows["assignees"], users["user_id"])
        found = found.where(tasks.counts[found.row])
        return cls(tasks, found, 1.0 / np.maximum(found.per_row(len(tasks)), 1)[found.row])

    def where(self, keep: Flags) -> tuple[Links, Floats]:
        """The pairs, and shares, of the tasks for which `keep` (one entry per task) holds."""
        chosen = keep[self.links.row]
        return self.links.where(chosen), self.share[chosen]


def instant(moment: datetime) -> Instants:
    """An aware moment as UTC datetime64[us].

    Raises:
        ValueError: it carries no time zone.
    """
    stamp = pd.Timestamp(moment)
    if stamp.tz is None:
        raise ValueError(f"an instant carries a time zone, {moment!r} does not")
    return stamp.tz_convert("UTC").tz_localize(None).as_unit("us").to_datetime64()


def stamped(moment: datetime, size: int) -> pd.DatetimeIndex:
    """The moment, `size` times: a column of instants."""
    return utc(np.full(size, instant(moment)))


def snapshot(rows: pd.DataFrame, as_of: datetime) -> pd.DataFrame:
    """The rows of the snapshot that was taken at `as_of`; those of other days are left out."""
    is_of_the_day = (rows["snapshot_at"] == as_of).to_numpy()
    return rows if is_of_the_day.all() else rows[is_of_the_day].reset_index(drop=True)


def happened(activities: pd.DataFrame, as_of: datetime, window: timedelta) -> pd.DataFrame:
    """The activities in (as_of - window, as_of]."""
    at, until = instants(activities["occurred_at"]), instant(as_of)
    is_inside = (at > until - np.timedelta64(window)) & (at <= until)
    return activities if is_inside.all() else activities[is_inside].reset_index(drop=True)
