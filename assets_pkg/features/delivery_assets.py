"""Feature assets of the delivery dataset: one day's snapshots become features of users, tasks, projects and teams.

Belongs here: which snapshots and which days of activities feed which features, day by day. Does not belong here:
definitions of features (`delivery_users.py` and the modules beside it).
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import TypeVar

import dagster as dg
import pandas as pd

from assets_pkg.dagster_types import table_options
from assets_pkg.features.delivery_projects import project_features
from assets_pkg.features.delivery_tasks import task_features
from assets_pkg.features.delivery_teams import team_features
from assets_pkg.features.delivery_users import user_features
from assets_pkg.partitions import event_days
from resources.timescale.slices import SliceStream, SliceWrite, TableReader
from schemas.delivery import DELIVERY
from schemas.delivery_tables import PROJECT, TASK, TEAM, USER
from schemas.source_datasets.delivery import DATASET
from schemas.window import ONE_DAY, Window

DELIVERY_DAILY = event_days(DATASET.first_day)
"""UTC days, as the snapshots are cut: a row of day D is as of the END of D."""

Recent = TypeVar("Recent")

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

    def compute(day: Window, recent: pd.DataFrame) -> pd.DataFrame:
        return user_features(users.read(day), tasks.read(day), recent, as_of=day.end)

    return _stream(context, _with_activities(activities, users.windows, DELIVERY.activity_window), compute)


@dg.asset(**table_options(TASK, dataset=DATASET.name), partitions_def=DELIVERY_DAILY, ins={"tasks": TASKS})
def task(context: dg.AssetExecutionContext, tasks: TableReader) -> SliceStream:
    """12 features per task, as of the end of each day: complexity, priority, estimate, the skills it needs,
    dependencies, deadline and its urgency, age, whether it is blocked. From the day's snapshot of tasks."""

    def compute(day: Window, _: None) -> pd.DataFrame:
        return task_features(tasks.read(day), as_of=day.end)

    return _stream(context, ((day, None) for day in _days(tasks.windows)), compute)


@dg.asset(
    **table_options(PROJECT, dataset=DATASET.name),
    partitions_def=DELIVERY_DAILY,
    ins={"projects": PROJECTS, "tasks": TASKS},
)
def project(context: dg.AssetExecutionContext, projects: TableReader, tasks: TableReader) -> SliceStream:
    """11 features per project, as of the end of each day: tasks by state, completion, velocity, risk, team size, budget
    used, overdue tasks, schedule performance index. From the day's snapshots of projects and tasks."""

    def compute(day: Window, _: None) -> pd.DataFrame:
        return project_features(projects.read(day), tasks.read(day), as_of=day.end)

    return _stream(context, ((day, None) for day in _days(projects.windows)), compute)


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

    def compute(day: Window, recent: pd.DataFrame) -> pd.DataFrame:
        return team_features(teams.read(day), users.read(day), tasks.read(day), recent, as_of=day.end)

    return _stream(context, _with_activities(activities, teams.windows, DELIVERY.velocity_window), compute)


def _stream(
    context: dg.AssetExecutionContext,
    days: Iterable[tuple[Window, Recent]],
    compute: Callable[[Window, Recent], pd.DataFrame],
) -> SliceStream:
    """One slice per day: memory holds one day's snapshots, whatever the range."""

    def writes() -> Iterator[SliceWrite]:
        for day, recent in days:
            rows = compute(day, recent)
            yield SliceWrite(rows=rows, window=day)
            context.log.info(f"features of {day.days()[0]}: {len(rows)} rows")

    return SliceStream(writes())


def _days(windows: Iterable[Window]) -> Iterator[Window]:
    for window in windows:
        yield from window.split(ONE_DAY)


def _with_activities(
    activities: TableReader, windows: Iterable[Window], length: timedelta
) -> Iterator[tuple[Window, pd.DataFrame]]:
    """Each day with the activities of the `length` that ends with it. What days have in common is read once, and
    forgotten when the window has passed it."""
    recent, read_to = pd.DataFrame(), None
    for day in _days(windows):
        start = day.end - length
        fresh = activities.read(Window(max(read_to or start, start), day.end))
        recent = pd.concat([recent[recent["occurred_at"] > start], fresh], ignore_index=True) if read_to else fresh
        read_to = day.end
        yield day, recent
