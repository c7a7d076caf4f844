"""A generated organisation that builds software, as a stream of days: the rows a source of `delivery` would hold.

Belongs here: `Organisation` and the order of its days. Does not belong here: people, projects, tasks, work and dirt
(the modules beside it), writing to a database (`delivery_database.py`).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from resources.sources.samples.delivery_dirt import EVERY_DAYS, soil
from resources.sources.samples.delivery_people import People
from resources.sources.samples.delivery_projects import Projects
from resources.sources.samples.delivery_task_rows import task_rows
from resources.sources.samples.delivery_tasks import DONE, Tasks
from resources.sources.samples.delivery_texts import DAY_US, HOUR_US, micros
from resources.sources.samples.delivery_truth import DayTruth
from resources.sources.samples.delivery_work import COMMENT, Worked, activity_rows, rows_of, work
from schemas.source_datasets.delivery import TASK_STATUSES

LATE_SHARE = 0.01
"""Share of a day's pieces of work that somebody comments on shortly before midnight, which is committed after it."""


@dataclass(frozen=True, kw_only=True)
class DeliveryDay:
    """What is committed to the source on one UTC day, per table, and what is true of the day.

    Columns and types are those of the staging models. Late activities of the day before are among the rows.
    """

    day: date
    tables: dict[str, pd.DataFrame]
    truth: DayTruth


class Organisation:
    """Users, teams, projects, tasks and activities from `first_day` on; the same arguments give the same days.

    People work on working days, few on weekends, and never on a task that waits for another one. Each change is a
    version of its own, stamped in microseconds, at most one per key and stamp.
    """

    def __init__(self, *, users: int, first_day: date, seed: int = 7, is_dirty: bool = True) -> None:
        self._rng, self._dirt_rng = np.random.default_rng(seed), np.random.default_rng((seed, 1))
        self._is_dirty = is_dirty
        self._people = People(self._rng, users, micros(first_day))
        self._projects = Projects(self._rng, len(self._people.teams), micros(first_day))
        self._tasks = Tasks(self._rng)
        self._held_back: list[pd.DataFrame] = []
        self._next_activity = 0
        self._number = 0
        self.next_day = first_day

    def days(self, count: int) -> Iterator[DeliveryDay]:
        """The next `count` days."""
        for _ in range(count):
            yield self.advance()

    def advance(self) -> DeliveryDay:
        """The next day."""
        day, day_us, is_weekend = self.next_day, micros(self.next_day), self.next_day.weekday() >= 5
        people, projects, tasks = self._people, self._projects, self._tasks
        if not is_weekend:
            people.mornings(day_us)
            projects.mornings(day_us)
            tasks.mornings(people, day_us)
        worked = work(self._rng, tasks, people, day_us, is_weekend=is_weekend)
        projects.charge(tasks.tasks["project"][worked.task], worked.hours, day_us)
        if not is_weekend:
            tasks.plan(people, projects, day_us, plants_odd_title=self._is_dirty and self._number % EVERY_DAYS == 4)
            people.evenings(day_us)
        activities, self._next_activity = activity_rows(self._rng, worked, tasks, people, self._next_activity)
        late = self._late(worked, day_us)
        tables = {
            **people.frames(),
            **projects.frames(),
            "tasks": task_rows(tasks.tasks.versions()),
            "activities": activities,
        }
        found = self._finished(day, tables, late)
        self.next_day, self._number = day + timedelta(days=1), self._number + 1
        return found

    def _late(self, worked: Worked, day_us: int) -> pd.DataFrame:
        """Comments stamped within the last half hour of the day, which come with the rows of the next one."""
        count = -(-len(worked.user) // round(1 / LATE_SHARE))
        of = self._rng.choice(len(worked.user), count, replace=False) if count else np.arange(0)
        rows = rows_of(
            user=worked.user[of],
            task=worked.task[of],
            kind=np.full(count, COMMENT),
            hours=np.full(count, np.nan),
            at=day_us + DAY_US - self._rng.integers(1, HOUR_US // 2, count),
            first_number=self._next_activity,
        )
        self._next_activity += count
        return rows

    def _finished(self, day: date, tables: dict[str, pd.DataFrame], late: pd.DataFrame) -> DeliveryDay:
        stamped = Counter({name: len(rows) for name, rows in tables.items()}) + Counter({"activities": len(late)})
        soiled = soil(self._dirt_rng, tables, self._number) if self._is_dirty else None
        if soiled:
            tables = soiled.tables
        tables["activities"] = pd.concat([*self._held_back, tables["activities"]], ignore_index=True)
        self._held_back = [late]
        rows, users = self._tasks.tasks, self._people.users
        by_status = np.bincount(rows["status"], minlength=len(TASK_STATUSES))
        truth = DayTruth(
            day=day,
            stamped=stamped,
            things={
                "users": len(users),
                "teams": len(self._people.teams),
                "projects": len(self._projects.projects),
                "tasks": len(rows),
            },
            rejected=soiled.rejected if soiled else Counter(),
            duplicates=soiled.duplicates if soiled else Counter(),
            late_activities=len(late),
            tasks_by_status=dict(zip(TASK_STATUSES, by_status.tolist(), strict=True)),
            tasks_completed=int(((rows["status"] == DONE) & (rows["completed_us"] >= micros(day))).sum()),
            active_users=int(users["is_active"].sum()),
        )
        return DeliveryDay(day=day, tables=tables, truth=truth)
