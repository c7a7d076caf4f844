"""Delivery: the users, tasks, projects and teams of an organisation that builds software, and what they do.

Belongs here: the declaration. Does not belong here: how it is read, the features (`schemas/delivery_features.py`).
"""

import pandera.pandas as pa

from schemas.base import NullableInt, Text, UtcTimestamp
from schemas.source_dataset import Shows, SnapshotRows, SourceDataset, SourcedRows, SourceKind, SourceTable

SKILLS = ("backend", "frontend", "database", "devops")
"""What tasks need and users are good at."""

TASK_KINDS = ("feature", "bug", "chore")

TASK_STATUSES = ("todo", "in_progress", "blocked", "done", "cancelled")


class DeliveryUsers(SnapshotRows):
    """One row per user and UTC day."""

    user_id: Text = pa.Field(description="identifies the user")
    name: Text = pa.Field(nullable=True, description="name as shown")
    team_id: Text = pa.Field(nullable=True, description="team the user belongs to")
    hired_at: UtcTimestamp = pa.Field(nullable=True, description="when the user joined, UTC")
    prior_experience_years: float = pa.Field(nullable=True, ge=0, le=80, description="experience when hired, years")
    capacity_h_per_week: float = pa.Field(nullable=True, ge=0, le=168, description="hours of work a week, h")
    is_active: bool = pa.Field(description="whether the user still works here")
    updated_at: UtcTimestamp = pa.Field(description="since when the row is as it is, UTC")

    class Config:
        unique = ["user_id", "snapshot_at"]


class DeliveryTasks(SnapshotRows):
    """One row per task and UTC day."""

    task_id: Text = pa.Field(description="identifies the task")
    project_id: Text = pa.Field(nullable=True, description="project the task belongs to")
    title: Text = pa.Field(nullable=True, description="title as shown")
    kind: Text = pa.Field(isin=TASK_KINDS, description="feature, bug or chore")
    status: Text = pa.Field(isin=TASK_STATUSES, description="todo, in_progress, blocked, done or cancelled")
    priority: NullableInt = pa.Field(nullable=True, ge=1, le=4, description="1 (low) to 4 (urgent)")
    estimated_h: float = pa.Field(nullable=True, ge=0, description="estimated effort, h")
    remaining_h: float = pa.Field(nullable=True, ge=0, description="estimated effort still to come, h")
    skills: Text = pa.Field(nullable=True, description="skills it needs, joined by |")
    assignees: Text = pa.Field(nullable=True, description="ids of the users it is assigned to, joined by |")
    depends_on: Text = pa.Field(nullable=True, description="ids of the tasks it waits for, joined by |")
    attributed_to: Text = pa.Field(nullable=True, description="bugs: id of the user whose work it is attributed to")
    reopened: NullableInt = pa.Field(nullable=True, ge=0, description="how often it was reopened after it was done")
    created_at: UtcTimestamp = pa.Field(description="when it was created, UTC")
    started_at: UtcTimestamp = pa.Field(nullable=True, description="when work on it began, UTC")
    completed_at: UtcTimestamp = pa.Field(nullable=True, description="when it was done, UTC")
    deadline: UtcTimestamp = pa.Field(nullable=True, description="when it is due, UTC")
    updated_at: UtcTimestamp = pa.Field(description="since when the row is as it is, UTC")

    class Config:
        unique = ["task_id", "snapshot_at"]


class DeliveryProjects(SnapshotRows):
    """One row per project and UTC day."""

    project_id: Text = pa.Field(description="identifies the project")
    name: Text = pa.Field(nullable=True, description="name as shown")
    team_id: Text = pa.Field(nullable=True, description="team that works on it")
    budget_eur: float = pa.Field(nullable=True, ge=0, description="budget, EUR")
    spent_eur: float = pa.Field(nullable=True, ge=0, description="spent so far, EUR")
    started_at: UtcTimestamp = pa.Field(nullable=True, description="when it began, UTC")
    due_at: UtcTimestamp = pa.Field(nullable=True, description="when it is due, UTC")
    updated_at: UtcTimestamp = pa.Field(description="since when the row is as it is, UTC")

    class Config:
        unique = ["project_id", "snapshot_at"]


class DeliveryTeams(SnapshotRows):
    """One row per team and UTC day."""

    team_id: Text = pa.Field(description="identifies the team")
    name: Text = pa.Field(nullable=True, description="name as shown")
    updated_at: UtcTimestamp = pa.Field(description="since when the row is as it is, UTC")

    class Config:
        unique = ["team_id", "snapshot_at"]


class DeliveryActivities(SourcedRows):
    """One row per thing a user did to a task."""

    activity_id: Text = pa.Field(description="identifies the activity")
    user_id: Text = pa.Field(description="who did it")
    task_id: Text = pa.Field(nullable=True, description="to which task")
    kind: Text = pa.Field(description="comment, commit, review or work")
    hours: float = pa.Field(nullable=True, ge=0, le=24, description="time spent on it, h")
    occurred_at: UtcTimestamp = pa.Field(description="when it happened, UTC")

    class Config:
        unique = ["activity_id", "occurred_at"]


def _state(name: str, model: type[SnapshotRows], key: str) -> SourceTable:
    return SourceTable(
        name=name,
        staging=model,
        staging_table=f"delivery_{name}",
        shows=Shows.STATE,
        key=(key,),
        changed_at="updated_at",
        keeps_versions=True,
    )


DATASET = SourceDataset(
    name="delivery",
    description="Users, tasks, projects and teams of an organisation that builds software, day by day.",
    kind=SourceKind.DATABASE,
    tables=(
        _state("users", DeliveryUsers, "user_id"),
        _state("tasks", DeliveryTasks, "task_id"),
        _state("projects", DeliveryProjects, "project_id"),
        _state("teams", DeliveryTeams, "team_id"),
        SourceTable(
            name="activities",
            staging=DeliveryActivities,
            staging_table="delivery_activities",
            shows=Shows.EVENTS,
            key=("activity_id",),
            changed_at="occurred_at",
        ),
    ),
    first_day="2020-01-01",
)
