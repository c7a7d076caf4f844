"""Features of teams: what each means, when it is null, and what does not count."""

from datetime import timedelta
from math import log
from typing import Any

import pandas as pd
import pytest

from assets_pkg.features.delivery_teams import team_features
from schemas.delivery import DeliveryFeatures
from schemas.delivery_features import Team
from tests.delivery_rows import AS_OF, DAY, HOUR, KNOWN_AT, activities, ago, done, tasks, teams, users

MICROSECOND = timedelta(microseconds=1)
PEOPLE = ({"user_id": "ann"}, {"user_id": "ben"}, {"user_id": "cid"})


def of_one(
    *work: dict[str, Any],
    people: tuple[dict[str, Any], ...] = PEOPLE,
    acts: Any = (),
    team: Any = None,
    **settings: Any,
) -> pd.Series:
    """The features of team `m`; users are its own unless they say whose they are."""
    others = ({"user_id": "old", "team_id": "m", "is_active": False}, {"user_id": "out", "team_id": None})
    found = team_features(
        teams({"team_id": "other"}, {"team_id": "m"} | (team or {})),
        users(*({"team_id": "m", **one} for one in people), *others),
        tasks(*work),
        activities(*acts),
        as_of=AS_OF,
        settings=DeliveryFeatures(**settings),
    )
    Team.validate(found)
    assert list(found["team_id"]) == ["other", "m"]
    return found.iloc[1]


def test_a_team_without_members_has_defined_features() -> None:
    found = of_one(done(ago(1), assignees="old|out", skills="devops"), people=())
    assert found[["team_size", "velocity_tasks_per_week"]].tolist() == [0, 0]
    unknown = found.drop(["team_id", "event_timestamp", "known_at", "team_size", "velocity_tasks_per_week"])
    assert len(unknown) == 6
    assert unknown.isna().all()


def test_members_are_the_active_users_of_the_team() -> None:
    people = (*PEOPLE, {"user_id": "eve", "team_id": "other"}, {"user_id": "fay", "team_id": "nowhere"})
    assert of_one(people=people)["team_size"] == 3
    assert of_one(people=PEOPLE[:1])["team_size"] == 1


@pytest.mark.parametrize(
    ("work", "weights"),
    [
        ([("ann", "backend"), ("ben", "backend")], [2]),
        ([("ann", "backend|frontend|database|devops")], [1, 1, 1, 1]),
        ([("ann", "backend"), ("ben", "backend"), ("cid", "devops|cobol")], [2, 1]),
        ([("ann|out", "backend"), ("ben", "devops")], [0.5, 1]),  # half of it is not the team's
        ([("ann|ben", "backend"), ("old", "devops")], [1]),
        ([("ann", None)], []),
    ],
)
def test_diversity_is_the_entropy_of_the_skills_worked_with(work: Any, weights: list[float]) -> None:
    found = of_one(*(done(ago(1), assignees=who, skills=skills) for who, skills in work))["skill_diversity"]
    entropy = -sum(one / sum(weights) * log(one / sum(weights)) for one in weights) / log(4)
    assert pd.isna(found) if not weights else found == pytest.approx(entropy)


def test_work_that_is_open_or_long_ago_tells_nothing_of_skills() -> None:
    work = [
        {"assignees": "ann", "skills": "devops", "status": "in_progress"},
        done(ago(365), assignees="ann", skills="devops"),
    ]
    assert pd.isna(of_one(*work)["skill_diversity"])
    assert of_one(done(ago(1), assignees="ann", skills="devops"), *work)["skill_diversity"] == 0


def test_experience_is_of_the_members_whose_experience_is_known() -> None:
    def hired(user: str, years: float | None) -> dict[str, Any]:
        return {"user_id": user, "prior_experience_years": years, "hired_at": AS_OF}

    names = ["experience_avg", "experience_min", "experience_max"]
    found = of_one(people=(hired("ann", 1.0), hired("ben", 4.0), hired("cid", None)))
    assert found[names].tolist() == [2.5, 1, 4]
    assert of_one(people=(hired("ann", 0.1), hired("ben", 0.1), hired("cid", 0.1)))[names].tolist() == [0.1] * 3
    assert of_one(people=(hired("ann", None),))[names].isna().all()


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        ((10.0, 10.0, 10.0), 1),
        ((0.0, 0.0, 0.0), 1),
        ((30.0, 0.0, 0.0), 1 - 2 / 3),
        ((1.0, 2.0, 3.0), 1 - 2 / 9),
        ((5.0,), 1),
    ],
)
def test_balance_is_one_less_gini(hours: tuple[float, ...], expected: float) -> None:
    work = [{"assignees": one["user_id"], "remaining_h": h} for one, h in zip(PEOPLE, hours, strict=False)]
    others = [{"assignees": "old", "remaining_h": 99.0}, {"assignees": "out", "remaining_h": 99.0}]
    found = of_one(*work, *others, people=PEOPLE[: len(hours)])["workload_balance"]
    assert found == pytest.approx(expected)


def act(user: str, task: str | None, **row: Any) -> dict[str, Any]:
    return {"user_id": user, "task_id": task, "occurred_at": ago(1)} | row


@pytest.mark.parametrize(
    ("work", "acts", "edges"),
    [
        ([], [], 0),
        ([{"status": "in_progress", "assignees": "ann|ben|ann"}], [], 1),
        ([{"status": "in_progress", "assignees": "ann|ben|cid"}], [], 3),
        ([{"status": "blocked", "assignees": "ann|ben"}, done(ago(1), assignees="ben|ann")], [], 1),
        ([{"status": "blocked", "assignees": "ann|ben"}, done(ago(1), assignees="ben|cid")], [], 2),
        ([{"status": "todo", "assignees": "ann|ben"}], [], 0),  # nobody has begun
        ([done(ago(28), assignees="ann|ben")], [], 0),
        ([{"status": "cancelled", "assignees": "ann|ben"}], [], 0),
        ([{"status": "in_progress", "assignees": "ann|old|out"}], [], 0),
        ([{}], [act("ann", "t0"), act("cid", "t0"), act("cid", "t0")], 1),
        ([{"status": "in_progress", "assignees": "ann"}], [act("ben", "t0")], 1),
        ([{}, {}], [act("ann", "t0"), act("ben", "t1")], 0),
        ([{"status": "cancelled"}], [act("ann", "t0"), act("ben", "t0")], 0),
        ([{}], [act("ann", None), act("ben", None)], 0),
        ([{}], [act("ann", "t9"), act("ben", "t9")], 0),
        ([{}], [act("ann", "t0"), act("old", "t0"), act("nobody", "t0")], 0),
        ([{}], [act("ann", "t0"), act("ben", "t0", occurred_at=ago(28))], 0),
        ([{}], [act("ann", "t0"), act("ben", "t0", occurred_at=AS_OF + MICROSECOND)], 0),
        ([{"created_at": AS_OF + HOUR}], [act("ann", "t0"), act("ben", "t0")], 0),
    ],
)
def test_collaboration_is_the_density_of_the_graph_of_who_worked_together(work: Any, acts: Any, edges: int) -> None:
    assert of_one(*work, acts=acts)["collaboration_score"] == pytest.approx(edges / 3)


def test_one_member_collaborates_with_nobody() -> None:
    assert pd.isna(of_one(people=PEOPLE[:1])["collaboration_score"])
    assert of_one(people=PEOPLE[:2])["collaboration_score"] == 0


def test_velocity_counts_each_task_of_the_members_once() -> None:
    work = [
        done(ago(1), assignees="ann|ben"),
        done(AS_OF, assignees="cid|out"),
        done(ago(1), assignees="old"),
        done(ago(28), assignees="ann"),
        {"assignees": "ann", "status": "in_progress"},
    ]
    assert of_one(*work)["velocity_tasks_per_week"] == 2 / 4
    assert of_one(*work, velocity_window=14 * DAY)["velocity_tasks_per_week"] == 1


def test_known_at_is_that_of_the_newest_row() -> None:
    late = {"known_at": KNOWN_AT + HOUR}
    for found in (
        of_one(team=late),
        of_one({"assignees": "out", **late}),
        of_one(people=(*PEOPLE, {"user_id": "eve", "team_id": None, **late})),
        of_one(acts=[act("ann", None, **late)]),
    ):
        assert found["known_at"] == KNOWN_AT + HOUR
    assert of_one({"created_at": AS_OF + HOUR, **late}, acts=[act("out", None, **late)])["known_at"] == KNOWN_AT
