"""Features of users: what each means, when it is null, and what does not count."""

from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from assets_pkg.features.delivery_users import user_features
from schemas.delivery import DeliveryFeatures
from schemas.delivery_features import User
from tests.delivery_rows import AS_OF, DAY, HOUR, KNOWN_AT, activities, ago, done, tasks, users

MICROSECOND = timedelta(microseconds=1)
ANN = {"user_id": "ann"}
BEN = {"user_id": "ben"}


def of_ann(*work: dict[str, Any], ann: dict[str, Any] | None = None, acts: Any = (), **settings: Any) -> pd.Series:
    """Ann's features; tasks are hers unless they say whose they are."""
    found = user_features(
        users(ANN | (ann or {}), BEN),
        tasks(*({"assignees": "ann", **one} for one in work)),
        activities(*acts),
        as_of=AS_OF,
        settings=DeliveryFeatures(**settings),
    )
    User.validate(found)
    assert list(found["user_id"]) == ["ann", "ben"]
    return found.iloc[0]


def test_a_user_without_anything_has_defined_features() -> None:
    found = of_ann()
    counted = {"current_workload_hours": 0, "tasks_completed": 0, "tasks_in_progress": 0, "availability_pct": 100}
    assert {name: found[name] for name in counted} == counted
    assert found.filter(like="skill_score").tolist() == [0.25] * 4
    unknown = [
        "avg_completion_time_hours",
        "avg_collaborators",
        "bug_rate",
        "years_experience",
        "on_time_completion_rate",
        "days_since_last_activity",
    ]
    assert found[unknown].isna().all()
    assert found["event_timestamp"] == AS_OF
    assert found["known_at"] == KNOWN_AT


# skill_score_*


def test_a_skill_score_is_the_share_of_successful_work_shrunk_to_the_prior() -> None:
    found = of_ann(
        done(ago(1), skills="backend|database"),
        done(ago(2), skills=" Backend "),
        done(ago(3), skills="backend", reopened=1),
        done(ago(4), skills="frontend", reopened=0),
    )
    assert found["skill_score_backend"] == pytest.approx((2 + 5 / 4) / (4 + 5))
    assert found["skill_score_database"] == found["skill_score_frontend"] == pytest.approx((1 + 5 / 4) / (4 + 5))
    assert found["skill_score_devops"] == pytest.approx((0 + 5 / 4) / (4 + 5))


def test_a_shared_task_is_a_part_of_the_evidence_for_each() -> None:
    found = of_ann(done(ago(1), skills="devops", assignees="ann|ben|nobody|ann"), done(ago(1), skills="backend"))
    assert found["skill_score_devops"] == pytest.approx((0.5 + 5 / 4) / (1.5 + 5))


def test_strength_and_prior_of_the_shrinkage_are_parameters() -> None:
    work = [done(ago(1), skills="devops")]
    assert of_ann(*work, skill_shrinkage_tasks=0)["skill_score_devops"] == 1
    assert of_ann(skill_shrinkage_tasks=0)["skill_score_devops"] == 0.25
    assert of_ann(*work, skill_prior=1.0)["skill_score_backend"] == pytest.approx(5 / 6)


def test_evidence_is_what_was_done_within_the_window() -> None:
    edge = ago(365)
    for at, counted in ((edge, 0), (edge + MICROSECOND, 1), (AS_OF, 1), (AS_OF + MICROSECOND, 0)):
        found = of_ann(done(at, skills="devops"))
        assert found["skill_score_devops"] == pytest.approx((counted + 5 / 4) / (counted + 5)), at
    assert of_ann(done(None, skills="devops"))["skill_score_devops"] == 0.25  # done, nobody knows when
    assert of_ann({"status": "in_progress", "completed_at": ago(1), "skills": "devops"})["skill_score_devops"] == 0.25


# current_workload_hours, availability_pct


def test_workload_is_what_remains_of_open_tasks_split_between_their_assignees() -> None:
    found = of_ann(
        {"remaining_h": 10.0, "assignees": "ben| ann |ann|nobody"},
        {"remaining_h": None, "estimated_h": 3.0, "status": "in_progress"},
        {"remaining_h": 2.0, "estimated_h": 99.0, "status": "blocked"},
        {"remaining_h": None},
        {"remaining_h": float("inf"), "estimated_h": 4.0},
        {"remaining_h": 50.0, "status": "cancelled"},
        done(ago(1), remaining_h=50.0),
        {"remaining_h": 50.0, "assignees": "ben"},
        {"remaining_h": 50.0, "assignees": None},
        {"remaining_h": 50.0, "assignees": "||"},
        {"remaining_h": 50.0, "created_at": AS_OF + HOUR},
        done(AS_OF + HOUR, remaining_h=1.0),  # as of then it was not done
    )
    assert found["current_workload_hours"] == 5 + 3 + 2 + 4 + 1
    assert found["availability_pct"] == 100 * (1 - 15 / 40)


@pytest.mark.parametrize(
    ("ann", "expected"),
    [
        ({"capacity_h_per_week": 40.0}, 75),
        ({"capacity_h_per_week": 5.0}, 0),  # more work than hours
        ({"capacity_h_per_week": 0.0}, 0),
        ({"capacity_h_per_week": None}, None),
        ({"capacity_h_per_week": 40.0, "is_active": False}, 0),
        ({"capacity_h_per_week": None, "is_active": False}, 0),
    ],
)
def test_availability_is_what_the_workload_leaves_of_a_week(ann: dict[str, Any], expected: float | None) -> None:
    found = of_ann({"remaining_h": 10.0}, ann=ann)["availability_pct"]
    assert pd.isna(found) if expected is None else found == expected


# tasks_completed, tasks_in_progress


def test_tasks_completed_are_those_of_the_window_that_ends_now() -> None:
    edge = ago(7)
    work = [done(at) for at in (edge, edge + MICROSECOND, AS_OF, AS_OF + MICROSECOND)]
    others = [done(ago(1), assignees="ben"), done(ago(1), status="cancelled"), done(None)]
    assert of_ann(*work, *others)["tasks_completed"] == 2
    assert of_ann(*work, aggregation_window=8 * DAY)["tasks_completed"] == 3


def test_tasks_in_progress_are_those_being_worked_on_by_then() -> None:
    work = [
        {"status": "in_progress"},
        {"status": "in_progress", "started_at": AS_OF},
        {"status": "in_progress", "started_at": AS_OF + MICROSECOND},  # not yet
        {"status": "blocked", "started_at": ago(1)},
        {"status": "todo"},
        done(AS_OF + HOUR, started_at=ago(1)),  # still
        done(AS_OF + HOUR, started_at=AS_OF + MICROSECOND),
        done(AS_OF + HOUR),
        done(ago(1), started_at=ago(2)),
    ]
    assert of_ann(*work)["tasks_in_progress"] == 3


# avg_completion_time_hours, avg_collaborators, bug_rate, on_time_completion_rate


def test_completion_time_is_the_mean_from_start_to_done() -> None:
    found = of_ann(
        done(ago(1), started_at=ago(1, hours=6)),
        done(ago(2), started_at=ago(2, hours=1)),
        done(ago(2), started_at=ago(2)),
        done(ago(2)),
        done(ago(2), started_at=ago(1)),  # started after its end: no such time
        done(ago(366), started_at=ago(400)),
        {"status": "in_progress", "started_at": ago(5)},
    )
    assert found["avg_completion_time_hours"] == pytest.approx(7 / 3)


def test_collaborators_are_the_others_per_task() -> None:
    work = [
        {"assignees": "ann|ben|ben"},
        done(ago(1), assignees="ann|nobody"),
        {"assignees": "ann|ben", "status": "cancelled"},
        done(ago(366), assignees="ann|ben"),
    ]
    assert of_ann(*work)["avg_collaborators"] == 0.5


def test_the_bug_rate_is_bugs_found_per_task_done() -> None:
    bug = {"kind": "bug", "assignees": "ben", "attributed_to": "ann"}
    finished = [done(ago(1)), done(ago(1))]
    counted = [bug, bug | done(ago(1)), bug | {"status": "blocked"}]
    others = [
        bug | {"attributed_to": "nobody"},
        bug | {"attributed_to": None},
        bug | {"kind": "chore"},
        bug | {"status": "cancelled"},
        bug | {"created_at": ago(365)},
        bug | {"created_at": AS_OF + MICROSECOND},
    ]
    assert of_ann(*finished, *counted, *others)["bug_rate"] == 1.5
    assert pd.isna(of_ann(*counted)["bug_rate"])
    assert of_ann(*finished)["bug_rate"] == 0


def test_punctuality_is_the_share_done_by_the_deadline() -> None:
    found = of_ann(
        done(ago(2), deadline=ago(2)),
        done(ago(2), deadline=ago(1)),
        done(ago(2), deadline=ago(2) - MICROSECOND),
        done(ago(2)),
        {"deadline": ago(3)},
    )
    assert found["on_time_completion_rate"] == pytest.approx(2 / 3)


# years_experience, days_since_last_activity


@pytest.mark.parametrize(
    ("ann", "expected"),
    [
        ({"prior_experience_years": 2.5, "hired_at": ago(365.2425)}, 3.5),
        ({"prior_experience_years": 2.5, "hired_at": AS_OF + 30 * DAY}, 2.5),
        ({"prior_experience_years": 2.5, "hired_at": None}, None),
        ({"prior_experience_years": None, "hired_at": ago(100)}, None),
    ],
)
def test_experience_is_what_was_brought_along_and_the_time_since(ann: dict[str, Any], expected: float | None) -> None:
    found = of_ann(ann=ann)["years_experience"]
    assert pd.isna(found) if expected is None else found == pytest.approx(expected)


def act(at: datetime, user: str = "ann") -> dict[str, Any]:
    return {"user_id": user, "occurred_at": at}


def test_recency_counts_from_the_newest_activity_by_then() -> None:
    acts = [act(ago(3)), act(ago(1.5)), act(AS_OF + MICROSECOND), act(ago(1), "ben"), act(ago(0.1), "nobody")]
    assert of_ann(acts=acts)["days_since_last_activity"] == 1.5
    assert of_ann(acts=[act(AS_OF)])["days_since_last_activity"] == 0
    assert pd.isna(of_ann(acts=[act(ago(28))])["days_since_last_activity"])
    assert of_ann(acts=[act(ago(28) + MICROSECOND)])["days_since_last_activity"] == pytest.approx(28)
    assert of_ann(acts=[act(ago(28))], activity_window=29 * DAY)["days_since_last_activity"] == 28


# known_at


@pytest.mark.parametrize(
    ("work", "acts", "hours"),
    [
        ([{"known_at": KNOWN_AT + 2 * HOUR}], [], 2),
        ([{"assignees": "ben", "known_at": KNOWN_AT + 2 * HOUR}], [], 2),  # it may have been Ann's before
        ([{"created_at": AS_OF + HOUR, "known_at": KNOWN_AT + 2 * HOUR}], [], 0),
        ([], [act(ago(1)) | {"known_at": KNOWN_AT + 3 * HOUR}], 3),
        ([], [act(ago(1), "ben") | {"known_at": KNOWN_AT + 3 * HOUR}], 0),
    ],
)
def test_known_at_is_that_of_the_newest_row_used(work: Any, acts: Any, hours: int) -> None:
    assert of_ann(*work, acts=acts)["known_at"] == KNOWN_AT + hours * HOUR
