"""Feature assets of the delivery dataset: one day's snapshots become features of users, tasks, projects and teams.

Belongs here: which snapshots and which days of activities feed which features, day by day. Does not belong here:
definitions of features (`delivery_users.py` and the modules beside it).
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pandas as pd

from assets_pkg.dagster_types import table_options
from assets_pkg.features.delivery_projects import project_features
from assets_pkg.features.delivery_tasks import task_features
from assets_pkg.features.delivery_teams import team_features
from assets_pkg.features.delivery_users import user_features
from assets_pkg.partitions import event_days, pieces
from resources.timescale.slices import SliceStream, SliceWrite, TableReader
from schemas.delivery import DELIVERY
from schemas.delivery_tables import PROJECT, TASK, TEAM, USER
from schemas.source_datasets.delivery import DATASET
from schemas.window import ONE_DAY, Window

DELIVERY_DAILY = event_days(DATASET.first_day)
"""UTC days, as the snapshots are cut: a row of day D is as of the END of D."""

MOST_ROWS = 500_000
"""Rows of features, about 150 MB, that are held before they are written; a day is never cut."""

UNUSED = frozenset({"name", "title", "hours", "updated_at", "source_id", "line_no"})
"""Columns that no feature rests on, which are not read: they are half of a snapshot's bytes."""


def _input(table: str) -> dg.AssetIn:
    staging = DATASET.table(table).staging.to_schema().columns
    return dg.AssetIn(["staging", table], metadata={"columns": [name for name in staging if name not in UNUSED]})


USERS, TASKS, PROJECTS, TEAMS, ACTIVITIES = (
    _input(f"delivery_{name}") for name in ("users", "tasks", "projects", "teams", "activities")
)


@dg.asset(
    **table_options(USER, dataset=DATASET.name),
    partitions_def=DELIVERY_DAILY,
    ins={"users": USERS, "tasks": TASKS, "activities": ACTIVITIES},
)
def user(
    context: dg.AssetExecutionContext, users: TableReader, tasks: TableReader, activities: TableReader
) -> SliceStream:
    """14 features per user, as of the end of each day: skill scores, workload, availability, throughput, completion
    time, collaborators, bug rate, punctuality, experience, recency. From the day's snapshots of users and tasks, whose
    stamps tell of their past, and the activities up to then; nothing later."""

    recent = _Recent(activities, DELIVERY.activity_window)

    def compute(day: Window) -> pd.DataFrame:
        return user_features(users.read(day), tasks.read(day), recent.until(day), as_of=day.end)

    return _stream(context, users.windows, compute)


@dg.asset(**table_options(TASK, dataset=DATASET.name), partitions_def=DELIVERY_DAILY, ins={"tasks": TASKS})
def task(context: dg.AssetExecutionContext, tasks: TableReader) -> SliceStream:
    """12 features per task, as of the end of each day: complexity, priority, estimate, the skills it needs,
    dependencies, deadline and its urgency, age, whether it is blocked. From the day's snapshot of tasks."""

    def compute(day: Window) -> pd.DataFrame:
        return task_features(tasks.read(day), as_of=day.end)

    return _stream(context, tasks.windows, compute)


@dg.asset(
    **table_options(PROJECT, dataset=DATASET.name),
    partitions_def=DELIVERY_DAILY,
    ins={"projects": PROJECTS, "tasks": TASKS},
)
def project(context: dg.AssetExecutionContext, projects: TableReader, tasks: TableReader) -> SliceStream:
    """11 features per project, as of the end of each day: tasks by state, completion, velocity, risk, team size, budget
    used, overdue tasks, schedule performance index. From the day's snapshots of projects and tasks."""

    def compute(day: Window) -> pd.DataFrame:
        return project_features(projects.read(day), tasks.read(day), as_of=day.end)

    return _stream(context, projects.windows, compute)


@dg.asset(
    **table_options(TEAM, dataset=DATASET.name),
    partitions_def=DELIVERY_DAILY,
    ins={"teams": TEAMS, "users": USERS, "tasks": TASKS, "activities": ACTIVITIES},
)
def team(
    context: dg.AssetExecutionContext,
    teams: TableReader,
    users: TableReader,
    tasks: TableReader,
    activities: TableReader,
) -> SliceStream:
    """8 features per team, as of the end of each day: size, diversity of skills, experience, balance of workload,
    collaboration, velocity. From the day's snapshots of teams, users and tasks and the activities up to then."""

    recent = _Recent(activities, DELIVERY.velocity_window)

    def compute(day: Window) -> pd.DataFrame:
        return team_features(teams.read(day), users.read(day), tasks.read(day), recent.until(day), as_of=day.end)

    return _stream(context, teams.windows, compute)


def _stream(
    context: dg.AssetExecutionContext, windows: Iterable[Window], compute: Callable[[Window], pd.DataFrame]
) -> SliceStream:
    """The features of each day, in slices of as many days as fit in memory: every write takes its time, however few
    rows it has."""

    def writes() -> Iterator[SliceWrite]:
        for piece in pieces(windows):
            start, days = piece.start, []
            for day in piece.split(ONE_DAY):
                days.append(compute(day))
                if day.end == piece.end or sum(map(len, days)) >= MOST_ROWS:
                    rows = pd.concat(days, ignore_index=True)
                    yield SliceWrite(rows=rows, window=Window(start, day.end))
                    context.log.info(f"features of {start:%Y-%m-%d} to {day.days()[-1]}: {len(rows)} rows")
                    start, days = day.end, []

    return SliceStream(writes())


class _Recent:
    """The activities of the `length` that ends with a day, for one day after another. What days have in common is read
    once, and forgotten when the window has passed it."""

    def __init__(self, activities: TableReader, length: timedelta) -> None:
        self._activities, self._length = activities, length
        self._rows, self._read_to = pd.DataFrame(), datetime.min.replace(tzinfo=UTC)

    def until(self, day: Window) -> pd.DataFrame:
        """The activities up to the end of the day, which comes after those asked for before."""
        start = day.end - self._length
        fresh = self._activities.read(Window(max(self._read_to, start), day.end))
        if self._read_to > start:
            fresh = pd.concat([self._rows[self._rows["occurred_at"] > start], fresh], ignore_index=True)
        self._rows, self._read_to = fresh, day.end
        return fresh
