"""Features of tasks: what each means, when it is null, and what does not count."""

from math import exp
from typing import Any

import pandas as pd
import pytest

from assets_pkg.features.delivery_tasks import task_features
from schemas.delivery import DeliveryFeatures
from schemas.delivery_features import Task
from tests.delivery_rows import AS_OF, DAY, HOUR, KNOWN_AT, ago, done, tasks


def of_first(*work: dict[str, Any], **settings: Any) -> pd.Series:
    """The first task's features; it is `t0`, the next `t1` and so on."""
    found = task_features(tasks(*work), as_of=AS_OF, settings=DeliveryFeatures(**settings))
    Task.validate(found)
    assert list(found["task_id"]) == [f"t{n}" for n in range(len(work))]
    return found.iloc[0]


def test_a_task_of_which_nothing_is_known_has_defined_features() -> None:
    found = of_first({})
    assert found[["complexity_score", "priority", "estimated_hours", "days_until_deadline"]].isna().all()
    assert found[["dependencies_count", "deadline_urgency"]].tolist() == [0, 0]
    assert not found[["requires_backend", "requires_frontend", "requires_database", "requires_devops"]].any()
    assert not found["is_blocked"]
    assert found["task_age_days"] == 100
    assert found["event_timestamp"] == AS_OF


def test_priority_and_estimate_are_the_tasks_own() -> None:
    found = of_first({"priority": 3, "estimated_h": 2.5})
    assert found[["priority", "estimated_hours"]].tolist() == [3, 2.5]
    assert pd.isna(of_first({"estimated_h": float("inf")})["estimated_hours"])
    assert of_first({"estimated_h": 0.0})["estimated_hours"] == 0


def test_flags_are_the_skills_listed() -> None:
    found = of_first({"skills": "DevOps | backend|cobol||backend"})
    flags = found[["requires_backend", "requires_frontend", "requires_database", "requires_devops"]]
    assert flags.tolist() == [True, False, False, True]


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ({"estimated_h": 0.0}, 0.0),
        ({"estimated_h": 16.0}, 0.25),
        ({"estimated_h": 48.0, "skills": "backend|devops"}, 0.5 * 0.75 + 0.25 * 0.5),
        ({"estimated_h": 16.0, "depends_on": "t1|t2"}, 0.25 + 0.25 * 0.5),
        ({"estimated_h": None, "skills": "backend"}, None),
    ],
)
def test_complexity_is_of_effort_skills_and_dependencies(task: dict[str, Any], expected: float | None) -> None:
    found = of_first(task, {}, {})["complexity_score"]
    assert pd.isna(found) if expected is None else found == pytest.approx(expected)


def test_weights_and_half_effort_of_complexity_are_parameters() -> None:
    only_effort = {"complexity_skills_weight": 0, "complexity_dependencies_weight": 0, "complexity_half_h": 1}
    assert of_first({"estimated_h": 3.0, "skills": "devops"}, **only_effort)["complexity_score"] == 0.75


def test_dependencies_are_other_tasks_that_are_there() -> None:
    work = [
        {"depends_on": "t1|t2| t1 |t0|t9|t3||"},
        done(ago(1)),
        {"status": "cancelled"},
        {"created_at": AS_OF + HOUR},
    ]
    assert of_first(*work)["dependencies_count"] == 2


@pytest.mark.parametrize(
    ("task", "urgency", "days"),
    [
        ({"deadline": AS_OF + 7 * DAY}, exp(-1), 7),
        ({"deadline": AS_OF + 12 * HOUR}, exp(-0.5 / 7), 0.5),
        ({"deadline": AS_OF}, 1, 0),
        ({"deadline": ago(3)}, 1, -3),
        ({"deadline": None}, 0, None),
        (done(ago(4), deadline=ago(3)), 0, -3),
        ({"deadline": ago(3), "status": "cancelled"}, 0, -3),
        (done(AS_OF + HOUR, deadline=ago(3)), 1, -3),  # as of then it was open
    ],
)
def test_urgency_rises_to_the_deadline_and_stays(task: dict[str, Any], urgency: float, days: float | None) -> None:
    found = of_first(task)
    assert found["deadline_urgency"] == pytest.approx(urgency)
    assert pd.isna(found["days_until_deadline"]) if days is None else found["days_until_deadline"] == days


def test_the_time_scale_of_urgency_is_a_parameter() -> None:
    assert of_first({"deadline": AS_OF + DAY}, urgency_tau_days=1)["deadline_urgency"] == pytest.approx(exp(-1))


def test_age_counts_from_creation() -> None:
    assert of_first({"created_at": ago(1.25)})["task_age_days"] == 1.25
    assert of_first(done(ago(1), created_at=ago(3)))["task_age_days"] == 3
    assert of_first({"created_at": AS_OF})["task_age_days"] == 0
    assert pd.isna(of_first({"created_at": AS_OF + HOUR})["task_age_days"])


@pytest.mark.parametrize(
    ("task", "other", "is_blocked"),
    [
        ({"depends_on": "t1"}, {}, True),
        ({"depends_on": "t1", "status": "in_progress"}, {"status": "blocked"}, True),
        ({"depends_on": "t1"}, done(ago(1)), False),
        ({"depends_on": "t1"}, done(AS_OF + HOUR), True),  # as of then it was open
        ({"depends_on": "t1"}, {"status": "cancelled"}, False),
        ({"depends_on": "t1"}, {"created_at": AS_OF + HOUR}, False),
        ({"depends_on": "t9|t0"}, {}, False),
        ({"status": "blocked"}, {}, True),
        (done(ago(1), depends_on="t1"), {}, False),
        ({"status": "cancelled", "depends_on": "t1"}, {}, False),
        ({"status": "blocked", "created_at": AS_OF + HOUR}, {}, False),
    ],
)
def test_blocked_is_what_says_so_or_waits(task: dict[str, Any], other: dict[str, Any], is_blocked: bool) -> None:
    assert of_first(task, other)["is_blocked"] == is_blocked


def test_known_at_is_that_of_the_task_and_what_it_depends_on() -> None:
    late = {"known_at": KNOWN_AT + HOUR}
    assert of_first({"depends_on": "t1"}, late)["known_at"] == KNOWN_AT + HOUR
    assert of_first({}, late)["known_at"] == KNOWN_AT
    assert of_first(late, {})["known_at"] == KNOWN_AT + HOUR
