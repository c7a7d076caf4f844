"""Features of projects: what each means, when it is null, and what does not count."""

from datetime import timedelta
from typing import Any

import pandas as pd
import pytest

from assets_pkg.features.delivery_projects import project_features
from schemas.delivery import DeliveryFeatures
from schemas.delivery_features import Project
from tests.delivery_rows import AS_OF, DAY, HOUR, KNOWN_AT, ago, done, projects, tasks

MICROSECOND = timedelta(microseconds=1)


def of_one(*work: dict[str, Any], project: dict[str, Any] | None = None, **settings: Any) -> pd.Series:
    """The features of project `p`; tasks are its own unless they say whose they are."""
    found = project_features(
        projects({"project_id": "other"}, {"project_id": "p"} | (project or {})),
        tasks(*({"project_id": "p", **one} for one in work)),
        as_of=AS_OF,
        settings=DeliveryFeatures(**settings),
    )
    Project.validate(found)
    assert list(found["project_id"]) == ["other", "p"]
    return found.iloc[1]


def test_a_project_without_tasks_has_defined_features() -> None:
    found = of_one()
    counted = found.drop(
        ["project_id", "event_timestamp", "known_at", "budget_utilization", "schedule_performance_index"]
    )
    assert counted.tolist() == [0] * 9
    assert found[["budget_utilization", "schedule_performance_index"]].isna().all()
    assert found["event_timestamp"] == AS_OF


def test_tasks_are_counted_by_how_they_stood() -> None:
    found = of_one(
        done(ago(1)),
        done(None),
        done(AS_OF + HOUR, started_at=ago(1)),
        {"status": "in_progress", "depends_on": "t4"},
        {"status": "blocked"},
        {"depends_on": "t0"},
        {"status": "cancelled"},
        {"created_at": AS_OF + HOUR},
        {"project_id": "other"},
        {"project_id": None},
        {"project_id": "nowhere"},
    )
    names = ["total_tasks", "completed_tasks", "in_progress_tasks", "blocked_tasks"]
    assert found[names].tolist() == [6, 2, 2, 2]
    assert found["completion_pct"] == pytest.approx(100 * 2 / 6)


def test_completion_is_zero_to_a_hundred() -> None:
    assert of_one({"status": "cancelled"})["completion_pct"] == 0
    assert of_one(done(ago(1)))["completion_pct"] == 100


def test_velocity_is_per_week_of_the_last_four() -> None:
    edge = ago(28)
    work = [done(at) for at in (edge, edge + MICROSECOND, AS_OF, AS_OF + MICROSECOND, None)]
    assert of_one(*work)["velocity_tasks_per_week"] == 2 / 4
    assert of_one(*work, velocity_window=7 * DAY)["velocity_tasks_per_week"] == 1


def test_the_team_is_who_is_on_current_tasks_each_once() -> None:
    found = of_one(
        {"assignees": "ann| ben|ann"},
        done(ago(1), assignees="ben|cid"),
        done(ago(28), assignees="dan"),
        done(None, assignees="dan"),
        {"assignees": "eve", "status": "cancelled"},
        {"assignees": "eve", "created_at": AS_OF + HOUR},
        {"assignees": "eve", "project_id": "other"},
        {"assignees": "||"},
        {"assignees": None},
    )
    assert found["team_size"] == 3


@pytest.mark.parametrize(
    ("spent", "budget", "expected"),
    [
        (50.0, 200.0, 0.25),
        (300.0, 200.0, 1.5),
        (0.0, 200.0, 0.0),
        (5.0, 0.0, None),
        (0.0, 0.0, None),
        (5.0, None, None),
        (None, 200.0, None),
        (float("inf"), 200.0, None),
        (1e308, 1e-5, None),
    ],
)
def test_budget_use_is_spent_over_budget(spent: float | None, budget: float | None, expected: float | None) -> None:
    found = of_one(project={"spent_eur": spent, "budget_eur": budget})["budget_utilization"]
    assert pd.isna(found) if expected is None else found == expected


def test_overdue_is_the_share_of_open_tasks_whose_deadline_has_come() -> None:
    found = of_one(
        {"deadline": AS_OF},
        {"deadline": ago(1), "status": "blocked"},
        {"deadline": AS_OF + MICROSECOND},
        {"deadline": None},
        done(ago(1), deadline=ago(2)),
        {"deadline": ago(1), "status": "cancelled"},
    )
    assert found["overdue_task_ratio"] == 0.5


@pytest.mark.parametrize(
    ("work", "due_at", "expected"),
    [
        ([done(ago(1), deadline=ago(2), estimated_h=6.0), {"deadline": ago(2), "estimated_h": 2.0}], None, 0.75),
        ([done(ago(1), deadline=AS_OF + DAY, estimated_h=6.0), {"deadline": AS_OF, "estimated_h": 4.0}], None, 1.5),
        ([done(ago(1), estimated_h=6.0), {"deadline": ago(2), "estimated_h": 4.0}], None, 0.0),  # done, never due
        ([done(ago(1), estimated_h=6.0), {"deadline": ago(2), "estimated_h": 4.0}], AS_OF + DAY, 1.5),
        ([done(ago(1), estimated_h=6.0), {"estimated_h": 2.0}], ago(1), 0.75),
        ([{"deadline": AS_OF + DAY, "estimated_h": 2.0}], None, None),  # nothing is due
        ([{"deadline": ago(1)}], None, None),  # no planned effort
        ([{"deadline": ago(1), "estimated_h": 2.0, "status": "cancelled"}], None, None),
        ([done(AS_OF + HOUR, deadline=ago(1), estimated_h=2.0)], None, 0.0),
    ],
)
def test_schedule_performance_is_earned_over_planned_value(work: Any, due_at: Any, expected: float | None) -> None:
    found = of_one(*work, project={"due_at": due_at})["schedule_performance_index"]
    assert pd.isna(found) if expected is None else found == pytest.approx(expected)


def test_risk_is_the_mean_of_what_is_known() -> None:
    blocked, overdue = {"status": "blocked"}, {"deadline": ago(1)}
    assert of_one({}, blocked)["risk_score"] == pytest.approx((0.5 + 0) / 2)
    assert of_one(blocked | overdue)["risk_score"] == 1
    overrun = {"spent_eur": 140.0, "budget_eur": 100.0}
    assert of_one({}, project=overrun)["risk_score"] == pytest.approx(0.4 / 3)
    assert of_one({}, project=overrun | {"spent_eur": 900.0})["risk_score"] == pytest.approx(1 / 3)
    assert of_one({}, project=overrun | {"spent_eur": 60.0})["risk_score"] == 0
    slip = [overdue | {"estimated_h": 3.0}, done(ago(1), deadline=ago(2), estimated_h=1.0)]
    assert of_one(*slip)["risk_score"] == pytest.approx((0 + 1 + 0.75) / 3)
    ahead = done(ago(1), deadline=AS_OF + DAY, estimated_h=9.0)
    assert of_one(overdue | {"estimated_h": 3.0}, ahead)["risk_score"] == pytest.approx(1 / 3)


def test_weights_of_risk_are_parameters() -> None:
    weights = {"risk_blocked_weight": 3.0, "risk_overdue_weight": 1.0}
    assert of_one({"status": "blocked"}, **weights)["risk_score"] == 0.75


def test_known_at_is_that_of_the_newest_row() -> None:
    late = {"known_at": KNOWN_AT + HOUR}
    assert of_one({"project_id": "other", **late})["known_at"] == KNOWN_AT + HOUR  # it may have been its own before
    assert of_one({"created_at": AS_OF + HOUR, **late})["known_at"] == KNOWN_AT
    assert of_one(project=late)["known_at"] == KNOWN_AT + HOUR
    assert of_one()["known_at"] == KNOWN_AT
