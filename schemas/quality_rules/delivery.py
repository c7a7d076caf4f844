"""Rules of the delivery tables, across columns and across tables.

Belongs here: what has to hold. Does not belong here: types, ranges and categories, which the models say.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from schemas.rules import Categorical, Completeness, Freshness, Ordered, Reference, Rule, Severity
from schemas.source_datasets.delivery import SKILLS

ACTIVITY_KINDS = ("comment", "commit", "review", "work")
MOSTLY_PCT = 50.0
"""Where more than half of the references lead nowhere, not a person left: the other table is not whole."""


def _known(name: str, column: str, table: str, key: str, **told: Any) -> Reference:
    return Reference(
        name=name,
        columns=(column,),
        table=f"staging.delivery_{table}",
        key=key,
        **{"severity": Severity.WARNING, "description": f"{column} names one of the {table} of the day", **told},
    )


def _in_order(name: str, first: str, second: str, **told: Any) -> Ordered:
    return Ordered(
        name=name,
        columns=(first, second),
        **{"severity": Severity.WARNING, "description": f"{second} is not before {first}", **told},
    )


TASKS: tuple[Rule, ...] = (
    _in_order("snapshot_knows_no_future", "updated_at", "snapshot_at", severity=Severity.ERROR),
    _in_order("started_after_created", "created_at", "started_at"),
    _in_order("completed_after_started", "started_at", "completed_at"),
    Completeness(
        name="done_says_when",
        columns=("completed_at",),
        when=(("status", ("done",)),),
        severity=Severity.WARNING,
        description="a task that is done was done at some time",
    ),
    Categorical(
        name="skills_are_known",
        columns=("skills",),
        allowed=SKILLS,
        separator="|",
        severity=Severity.WARNING,
        description=f"skills are {', '.join(SKILLS)}",
    ),
    _known("assignees_exist", "assignees", "users", "user_id", separator="|"),
    _known(
        "most_assignees_exist",
        "assignees",
        "users",
        "user_id",
        separator="|",
        severity=Severity.ERROR,
        tolerated_pct=MOSTLY_PCT,
        least_rows=10,
        description="tasks and users are of the same day and the same organisation",
    ),
    _known("bug_authors_exist", "attributed_to", "users", "user_id"),
    _known("projects_exist", "project_id", "projects", "project_id"),
    _known("dependencies_exist", "depends_on", "tasks", "task_id", separator="|"),
)

USERS: tuple[Rule, ...] = (
    _in_order("snapshot_knows_no_future", "updated_at", "snapshot_at", severity=Severity.ERROR),
    _known("teams_exist", "team_id", "teams", "team_id"),
)

PROJECTS: tuple[Rule, ...] = (
    _in_order("snapshot_knows_no_future", "updated_at", "snapshot_at", severity=Severity.ERROR),
    _in_order("due_after_started", "started_at", "due_at"),
    _in_order(
        "budgets_are_kept",
        "spent_eur",
        "budget_eur",
        severity=Severity.INFO,
        unit="EUR",
        description="no more is spent than there is",
    ),
    _known("teams_exist", "team_id", "teams", "team_id"),
)

TEAMS: tuple[Rule, ...] = (_in_order("snapshot_knows_no_future", "updated_at", "snapshot_at", severity=Severity.ERROR),)

ACTIVITIES: tuple[Rule, ...] = (
    Categorical(
        name="kind_is_known",
        columns=("kind",),
        allowed=ACTIVITY_KINDS,
        severity=Severity.WARNING,
        description=f"one of {', '.join(ACTIVITY_KINDS)}",
    ),
    _known("users_exist", "user_id", "users", "user_id"),
    _known("tasks_exist", "task_id", "tasks", "task_id"),
    Freshness(
        name="somebody_was_active",
        columns=("occurred_at",),
        max_age=timedelta(hours=24),
        severity=Severity.INFO,
        description="the day has activities",
    ),
)

RULES: Mapping[str, tuple[Rule, ...]] = {
    "staging.delivery_tasks": TASKS,
    "staging.delivery_users": USERS,
    "staging.delivery_projects": PROJECTS,
    "staging.delivery_teams": TEAMS,
    "staging.delivery_activities": ACTIVITIES,
}
