"""Rows of the delivery dataset's staging tables, as of one day unless a test says otherwise.

Belongs here: rows that are valid by construction, and organisations at random. Does not belong here: expectations.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from assets_pkg.features.delivery_projects import project_features
from assets_pkg.features.delivery_tasks import task_features
from assets_pkg.features.delivery_teams import team_features
from assets_pkg.features.delivery_users import user_features
from schemas.base import TableModel, dtypes_of
from schemas.source_datasets.delivery import (
    SKILLS,
    TASK_KINDS,
    TASK_STATUSES,
    DeliveryActivities,
    DeliveryProjects,
    DeliveryTasks,
    DeliveryTeams,
    DeliveryUsers,
)

AS_OF = datetime(2025, 3, 2, tzinfo=UTC)
"""END of 2025-03-01."""
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
KNOWN_AT = datetime(2025, 3, 2, 1, tzinfo=UTC)

Organisation = dict[str, pd.DataFrame]


def ago(days: float = 0, hours: float = 0) -> datetime:
    """So long before the instant the features are as of."""
    return AS_OF - timedelta(days=days, hours=hours)


def users(*rows: dict[str, Any]) -> pd.DataFrame:
    """Rows of `staging.delivery_users`: active, 40 h a week, unless they say otherwise."""
    return _frame(DeliveryUsers, rows, {"is_active": True, "capacity_h_per_week": 40.0})


def tasks(*rows: dict[str, Any]) -> pd.DataFrame:
    """Rows of `staging.delivery_tasks`: features to do, created 100 days ago."""
    defaults = {"kind": "feature", "status": "todo", "created_at": ago(100)}
    return _frame(DeliveryTasks, [{"task_id": f"t{n}", **row} for n, row in enumerate(rows)], defaults)


def done(at: datetime, **row: Any) -> dict[str, Any]:
    """A task that was done at `at`."""
    return {"status": "done", "completed_at": at, **row}


def projects(*rows: dict[str, Any]) -> pd.DataFrame:
    """Rows of `staging.delivery_projects`."""
    return _frame(DeliveryProjects, rows, {})


def teams(*rows: dict[str, Any]) -> pd.DataFrame:
    """Rows of `staging.delivery_teams`."""
    return _frame(DeliveryTeams, rows, {})


def activities(*rows: dict[str, Any]) -> pd.DataFrame:
    """Rows of `staging.delivery_activities`: commits."""
    return _frame(
        DeliveryActivities, [{"activity_id": f"a{n}", **row} for n, row in enumerate(rows)], {"kind": "commit"}
    )


def together(*frames: pd.DataFrame) -> pd.DataFrame:
    """The frames of one table below each other, on a fresh index."""
    return pd.concat(frames, ignore_index=True)


def _frame(model: type[TableModel], rows: Any, defaults: dict[str, Any]) -> pd.DataFrame:
    columns = _dtypes(model)
    full = [
        {"snapshot_at": AS_OF, "updated_at": ago(1), "known_at": KNOWN_AT, "source_id": 1, "line_no": n + 1}
        | defaults
        | row
        for n, row in enumerate(rows)
    ]
    assert not {name for row in rows for name in row} - set(columns)
    return pd.DataFrame(
        {name: pd.Series([row.get(name) for row in full], dtype=dtype) for name, dtype in columns.items()}
    )


_dtypes = cache(dtypes_of)


EVERY: dict[str, Callable[[Organisation, datetime], pd.DataFrame]] = {
    "user": lambda of, at: user_features(of["users"], of["tasks"], of["activities"], as_of=at),
    "task": lambda of, at: task_features(of["tasks"], as_of=at),
    "project": lambda of, at: project_features(of["projects"], of["tasks"], as_of=at),
    "team": lambda of, at: team_features(of["teams"], of["users"], of["tasks"], of["activities"], as_of=at),
}
"""Each entity's features of an organisation."""

SNAPSHOT_OF = {"user": "users", "task": "tasks", "project": "projects", "team": "teams"}


def organisation(seed: int, *, people: int = 12, work: int = 60, at: datetime = AS_OF) -> Organisation:
    """A small organisation with everything that may be odd: missing values, unknown ids, repeated names, stamps later
    than `at`, infinite efforts, inactive users, empty projects and teams."""
    chance = np.random.default_rng(seed)

    def pick(options: Any) -> Any:
        return options[int(chance.integers(len(options)))]

    def listed(prefix: str, most: int) -> str | None:
        names = [f"{prefix}{chance.integers(most + 2)}" for _ in range(int(chance.integers(0, 4)))]
        return pick(["|".join(names), " | ".join(names), None])

    def when() -> datetime:
        return at - timedelta(minutes=int(chance.integers(-5_000, 600_000)))

    own = {"snapshot_at": at}
    return {
        "users": users(
            *(
                {
                    "user_id": f"u{n}",
                    "team_id": pick(["m0", "m1", "m2", "nowhere", None]),
                    "hired_at": pick([when(), None]),
                    "prior_experience_years": pick([0.0, 3.5, None]),
                    "capacity_h_per_week": pick([0.0, 20.0, 40.0, None]),
                    "is_active": chance.random() > 0.2,
                    "known_at": when(),
                }
                | own
                for n in range(people)
            )
        ),
        "tasks": tasks(
            *(
                {
                    "project_id": pick(["p0", "p1", "p2", "nowhere", None]),
                    "kind": pick(TASK_KINDS),
                    "status": pick(TASK_STATUSES + ("done",) * 4),
                    "priority": pick([1, 2, 3, 4, None]),
                    "estimated_h": pick([0.0, 1 / 3, 8.1, float("inf"), None]),
                    "remaining_h": pick([0.0, 0.1, 7.0, float("inf"), None]),
                    "skills": pick([None, "", "|".join(chance.choice([*SKILLS, "cobol"], 2))]),
                    "assignees": listed("u", people),
                    "depends_on": listed("t", work),
                    "attributed_to": pick([f"u{chance.integers(people)}", "nobody", None]),
                    "reopened": pick([0, 1, None]),
                    "created_at": when(),
                    "started_at": pick([when(), None]),
                    "completed_at": pick([when(), None]),
                    "deadline": pick([when(), None]),
                    "known_at": when(),
                }
                | own
                for _ in range(work)
            )
        ),
        "projects": projects(
            *(
                {
                    "project_id": f"p{n}",
                    "budget_eur": pick([0.0, 100.0, None]),
                    "spent_eur": pick([0.0, 250.0, None]),
                    "due_at": pick([when(), None]),
                    "known_at": when(),
                }
                | own
                for n in range(4)
            )
        ),
        "teams": teams(*({"team_id": f"m{n}", "known_at": when()} | own for n in range(4))),
        "activities": activities(
            *(
                {
                    "user_id": f"u{chance.integers(people + 1)}",
                    "task_id": pick([f"t{chance.integers(work + 1)}", None]),
                    "occurred_at": when(),
                    "known_at": when(),
                }
                for _ in range(work)
            )
        ),
    }
