"""Feature tables of the delivery dataset: what is known of users, tasks, projects and teams at the END of a UTC day.

Belongs here: one Pandera model per table: meaning, unit, range and definition of each feature. Does not belong here:
how they are computed (`assets_pkg/features/delivery_*.py`), windows and weights (`delivery.py`).

Flags are booleans and not 0 and 1: a column that can hold nothing else needs no rule that says so. Percentages run from
0 to 100, shares and scores from 0 to 1. A null means that the question has no answer, never zero. Windows end at
`event_timestamp` and contain it.
"""

from datetime import timedelta

import pandera.pandas as pa

from schemas.base import NullableInt, TableModel, Text, UtcTimestamp
from schemas.delivery import DELIVERY
from schemas.window import ONE_DAY

_AS_OF = "END of the UTC day the features are as of, UTC"
_KNOWN_AT = "when the newest row behind the features became known, UTC"
_COUNTED, _VELOCITY, _ACTIVITY, _EVIDENCE = (
    f"{window.days} d"
    for window in (
        DELIVERY.aggregation_window,
        DELIVERY.velocity_window,
        DELIVERY.activity_window,
        DELIVERY.evidence_window,
    )
)


def _back(window: timedelta) -> dict[str, float]:
    """What is to be read of the past for one row, for whoever weighs the cost of a feature."""
    return {"look_back_h": window / timedelta(hours=1)}


_SKILL = (
    "share of the user's finished work (a task counts in equal parts for its assignees) of the last "
    f"{_EVIDENCE} that needed {{skill}} and was not reopened, shrunk towards {DELIVERY.skill_prior:g} by the weight of "
    f"{DELIVERY.skill_shrinkage_tasks:g} tasks; score 0 to 1, {DELIVERY.skill_prior:g} without any work"
)


class User(TableModel):
    """One row per user and UTC day: skills, workload, speed, quality."""

    user_id: Text = pa.Field(description="identifies the user")
    event_timestamp: UtcTimestamp = pa.Field(description=_AS_OF)
    skill_score_backend: float = pa.Field(
        ge=0, le=1, description=_SKILL.format(skill="backend"), metadata=_back(DELIVERY.evidence_window)
    )
    skill_score_frontend: float = pa.Field(
        ge=0, le=1, description=_SKILL.format(skill="frontend"), metadata=_back(DELIVERY.evidence_window)
    )
    skill_score_database: float = pa.Field(
        ge=0, le=1, description=_SKILL.format(skill="database"), metadata=_back(DELIVERY.evidence_window)
    )
    skill_score_devops: float = pa.Field(
        ge=0, le=1, description=_SKILL.format(skill="devops"), metadata=_back(DELIVERY.evidence_window)
    )
    current_workload_hours: float = pa.Field(
        ge=0,
        description="effort still to come of the open tasks assigned to the user, split equally between assignees, h",
    )
    tasks_completed: int = pa.Field(
        ge=0,
        description=f"tasks of the user that were done in the last {_COUNTED}, number",
        metadata=_back(DELIVERY.aggregation_window),
    )
    avg_completion_time_hours: float = pa.Field(
        nullable=True,
        ge=0,
        description=f"mean time from start to done of tasks done in the last {_EVIDENCE}, h; null: none",
        metadata=_back(DELIVERY.evidence_window),
    )
    avg_collaborators: float = pa.Field(
        nullable=True,
        ge=0,
        description="mean number of other assignees of the user's tasks that are open or were done in the last "
        f"{_EVIDENCE}; null: no task",
        metadata=_back(DELIVERY.evidence_window),
    )
    bug_rate: float = pa.Field(
        nullable=True,
        ge=0,
        description=f"bugs attributed to the user per task done, both of the last {_EVIDENCE}, ratio; null: none done",
        metadata=_back(DELIVERY.evidence_window),
    )
    years_experience: float = pa.Field(
        nullable=True, ge=0, description="experience when hired and time since, years; null: one of them is unknown"
    )
    availability_pct: float = pa.Field(
        nullable=True,
        ge=0,
        le=100,
        description="part of a week's capacity that the workload leaves free, percent, 0 to 100; 0 for who is inactive "
        "or has no capacity, null: capacity unknown",
    )
    tasks_in_progress: int = pa.Field(ge=0, description="tasks of the user that are in progress, number")
    on_time_completion_rate: float = pa.Field(
        nullable=True,
        ge=0,
        le=1,
        description=f"share of tasks done by their deadline among those with one done in the last {_EVIDENCE}, 0 to 1; "
        "null: none",
        metadata=_back(DELIVERY.evidence_window),
    )
    days_since_last_activity: float = pa.Field(
        nullable=True,
        ge=0,
        le=DELIVERY.activity_window / ONE_DAY,
        description=f"time since the user's last activity, days; null: none for {_ACTIVITY}",
        metadata=_back(DELIVERY.activity_window),
    )
    known_at: UtcTimestamp = pa.Field(description=_KNOWN_AT)

    class Config:
        unique = ["user_id", "event_timestamp"]


class Task(TableModel):
    """One row per task and UTC day: effort, needs, urgency."""

    task_id: Text = pa.Field(description="identifies the task")
    event_timestamp: UtcTimestamp = pa.Field(description=_AS_OF)
    complexity_score: float = pa.Field(
        nullable=True,
        ge=0,
        le=1,
        description="half effort (h / (h + "
        f"{DELIVERY.complexity_half_h:g})), a quarter skills (share of the four), a quarter dependencies (n / (n + "
        f"{DELIVERY.complexity_half_dependencies:g})), score 0 to 1; null: no estimate",
    )
    priority: NullableInt = pa.Field(nullable=True, ge=1, le=4, description="1 (low) to 4 (urgent); null: none given")
    estimated_hours: float = pa.Field(nullable=True, ge=0, description="estimated effort, h; null: none given")
    requires_backend: bool = pa.Field(description="whether it needs backend skills")
    requires_frontend: bool = pa.Field(description="whether it needs frontend skills")
    requires_database: bool = pa.Field(description="whether it needs database skills")
    requires_devops: bool = pa.Field(description="whether it needs devops skills")
    dependencies_count: int = pa.Field(ge=0, description="other tasks it waits or waited for, number")
    deadline_urgency: float = pa.Field(
        ge=0,
        le=1,
        description="1 when open and due, else exp(-days until the deadline / "
        f"{DELIVERY.urgency_tau_days:g}), 0 to 1; 0 when not open or without a deadline, which days_until_deadline "
        "tells by a null",
    )
    days_until_deadline: float = pa.Field(
        nullable=True, description="time to the deadline, days, negative behind it; null: no deadline"
    )
    task_age_days: float = pa.Field(
        nullable=True, ge=0, description="time since it was created, days; null: stamped later than event_timestamp"
    )
    is_blocked: bool = pa.Field(
        description="whether it is open and either stands at blocked or waits for a task that is open"
    )
    known_at: UtcTimestamp = pa.Field(description=_KNOWN_AT)

    class Config:
        unique = ["task_id", "event_timestamp"]


class Project(TableModel):
    """One row per project and UTC day: progress, speed, risk. Cancelled tasks do not count."""

    project_id: Text = pa.Field(description="identifies the project")
    event_timestamp: UtcTimestamp = pa.Field(description=_AS_OF)
    total_tasks: int = pa.Field(ge=0, description="tasks of the project, number")
    completed_tasks: int = pa.Field(ge=0, description="tasks that are done, number")
    in_progress_tasks: int = pa.Field(ge=0, description="tasks that are in progress, number")
    blocked_tasks: int = pa.Field(ge=0, description="tasks that are blocked as features.task says it, number")
    completion_pct: float = pa.Field(ge=0, le=100, description="tasks that are done, percent of all; 0 without tasks")
    velocity_tasks_per_week: float = pa.Field(
        ge=0, description=f"tasks done in the last {_VELOCITY}, per week", metadata=_back(DELIVERY.velocity_window)
    )
    risk_score: float = pa.Field(
        ge=0,
        le=1,
        description="mean of blocked and overdue shares of the open tasks, budget overrun and schedule slip (each 0 to "
        "1; those that are unknown left out), score 0 to 1",
    )
    team_size: int = pa.Field(
        ge=0,
        description=f"users assigned to tasks that are open or were done in the last {_VELOCITY}, number",
        metadata=_back(DELIVERY.velocity_window),
    )
    budget_utilization: float = pa.Field(
        nullable=True, ge=0, description="spent / budget, ratio, above 1 when overspent; null: no budget, or unknown"
    )
    overdue_task_ratio: float = pa.Field(
        ge=0, le=1, description="share of the open tasks whose deadline has come, 0 to 1; 0 without open tasks"
    )
    schedule_performance_index: float = pa.Field(
        nullable=True,
        ge=0,
        description="planned effort of what is done / of what is due by now (earned / planned value), ratio, below 1 "
        "when behind; null: nothing due",
    )
    known_at: UtcTimestamp = pa.Field(description=_KNOWN_AT)

    class Config:
        unique = ["project_id", "event_timestamp"]


class Team(TableModel):
    """One row per team and UTC day, about its active members."""

    team_id: Text = pa.Field(description="identifies the team")
    event_timestamp: UtcTimestamp = pa.Field(description=_AS_OF)
    team_size: int = pa.Field(ge=0, description="active members, number")
    skill_diversity: float = pa.Field(
        nullable=True,
        ge=0,
        le=1,
        description="Shannon entropy of the skills of the members' finished work of the last "
        f"{_EVIDENCE} / ln 4, 0 (one skill) to 1 (all alike); null: no such work",
        metadata=_back(DELIVERY.evidence_window),
    )
    experience_avg: float = pa.Field(nullable=True, ge=0, description="mean experience, years; null: nobody's known")
    experience_min: float = pa.Field(nullable=True, ge=0, description="least experience, years; null: nobody's known")
    experience_max: float = pa.Field(nullable=True, ge=0, description="most experience, years; null: nobody's known")
    workload_balance: float = pa.Field(
        nullable=True,
        ge=0,
        le=1,
        description="1 - Gini coefficient of the members' workload hours, 0 to 1 (all alike); 1 without any work, "
        "null: no members",
    )
    collaboration_score: float = pa.Field(
        nullable=True,
        ge=0,
        le=1,
        description="share of the pairs of members who worked on a task together in the last "
        f"{_VELOCITY}, 0 to 1; null: fewer than two members",
        metadata=_back(DELIVERY.velocity_window),
    )
    velocity_tasks_per_week: float = pa.Field(
        ge=0,
        description=f"tasks of the members done in the last {_VELOCITY}, per week",
        metadata=_back(DELIVERY.velocity_window),
    )
    known_at: UtcTimestamp = pa.Field(description=_KNOWN_AT)

    class Config:
        unique = ["team_id", "event_timestamp"]
