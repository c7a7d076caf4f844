"""The feature tables of the delivery dataset.

Belongs here: their `TableSpec`s. Does not belong here: columns (`delivery_features.py`), the staging tables
(`source_tables.py`).
"""

from datetime import date, timedelta

from schemas.base import TableModel
from schemas.delivery import DELIVERY
from schemas.delivery_features import Project, Task, Team, User
from schemas.source_datasets.delivery import DATASET
from schemas.table_spec import Prediction, Read, Served, TableSpec
from schemas.window import ONE_DAY

ANSWERS_FOR = 2 * ONE_DAY
"""A day without a snapshot is bridged by the one before; two are an outage, of which an old row says nothing."""

IN_A_WEEK = timedelta(days=7)


def _features(model: type[TableModel], view: str, reads: tuple[Read, ...], predicts: Prediction) -> TableSpec:
    name = model.__name__.lower()
    return TableSpec(
        schema="features",
        name=name,
        model=model,
        dataset=DATASET.name,
        first_day=date.fromisoformat(DATASET.first_day),
        key=(f"{name}_id", "event_timestamp"),
        time_column="event_timestamp",
        closed="right",
        reads=reads,
        chunk=timedelta(days=30),
        compress_after=timedelta(days=60),
        served=Served(view=view, ttl=ANSWERS_FOR, predicts=(predicts,)),
        keeps_history=True,
    )


# Snapshots tell of their whole past by their stamps: a row rests on those of its own day alone.
_USERS, _TASKS, _PROJECTS, _TEAMS = (
    Read(table=f"staging.delivery_{name}") for name in ("users", "tasks", "projects", "teams")
)


def _activities(window: timedelta) -> Read:
    """A window of n days that ends with a day reaches into the n - 1 days before it."""
    return Read(table="staging.delivery_activities", before=window - ONE_DAY)


USER = _features(
    User,
    "user_profile_features",
    (_USERS, _TASKS, _activities(DELIVERY.activity_window)),
    Prediction(name="tasks_completed_in_7d", column="tasks_completed", horizon=IN_A_WEEK),
)
TASK = _features(
    Task,
    "task_features",
    (_TASKS,),
    Prediction(name="is_blocked_in_7d", column="is_blocked", horizon=IN_A_WEEK),
)
PROJECT = _features(
    Project,
    "project_features",
    (_PROJECTS, _TASKS),
    Prediction(name="completion_pct_in_7d", column="completion_pct", horizon=IN_A_WEEK),
)
TEAM = _features(
    Team,
    "team_features",
    (_TEAMS, _USERS, _TASKS, _activities(DELIVERY.velocity_window)),
    Prediction(name="velocity_in_7d", column="velocity_tasks_per_week", horizon=IN_A_WEEK),
)

DELIVERY_FEATURES = (USER, TASK, PROJECT, TEAM)
