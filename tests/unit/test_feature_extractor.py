"""`FeatureExtractor`: plain frames in, the same features as the tables hold out; scaling and filling."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from assets_pkg.features.feature_extractor import FeatureExtractionConfig, FeatureExtractor
from schemas.delivery_tables import DELIVERY_FEATURES, PROJECT, TASK, TEAM, USER
from tests.delivery_rows import AS_OF, DAY, EVERY, KNOWN_AT, ago, organisation, together

USERS = pd.DataFrame({"user_id": ["ann", "ben", "cid"], "email": "x@example.org"})
WORK = pd.DataFrame(
    {
        "task_id": [1, 2, 3],
        "status": ["done", "done", "in_progress"],
        "skills": [["backend"], ["devops", "backend"], None],
        "assignees": [["ann"], ["ann", "ben"], "ann|cid"],
        "remaining_h": [0, 0, 6],
        "created_at": ["2025-01-01", "2025-01-01 12:00", "2025-02-01"],
        "started_at": ["2025-02-01", "2025-02-20", "2025-02-21"],
        "completed_at": ["2025-02-10", "2025-02-28", None],
        "project_id": 7,
    }
)
ACTS = pd.DataFrame({"user_id": ["ann", "ben"], "task_id": [3, 3], "occurred_at": ["2025-03-01", "2025-02-27"]})


def extracted(**config: Any) -> pd.DataFrame:
    extractor = FeatureExtractor(FeatureExtractionConfig(**config))
    return extractor.extract_user_features(USERS, ACTS, WORK, as_of=AS_OF)


def test_plain_frames_become_one_row_per_user() -> None:
    features = extracted()
    assert len(features) == len(USERS)
    assert list(features["user_id"]) == ["ann", "ben", "cid"]
    assert list(features) == USER.columns
    assert features["skill_score_backend"].tolist() == pytest.approx([(1.5 + 1.25) / 6.5, 1.75 / 5.5, 0.25])
    assert features["tasks_completed"].tolist() == [1, 1, 0]
    assert features["current_workload_hours"].tolist() == [3, 0, 3]
    assert features["days_since_last_activity"].tolist()[:2] == [1, 3]
    assert (features["event_timestamp"] == AS_OF).all()
    assert (features["known_at"] == AS_OF).all()


def test_the_other_entities_are_extracted_alike() -> None:
    extractor = FeatureExtractor()
    tasks = extractor.extract_task_features(WORK, as_of=AS_OF)
    assert tasks["task_id"].tolist() == ["1", "2", "3"]
    assert tasks["requires_backend"].tolist() == [True, True, False]
    projects = extractor.extract_project_features(pd.DataFrame({"project_id": [7, 8]}), WORK, as_of=AS_OF)
    assert projects["completed_tasks"].tolist() == [2, 0]
    people = USERS.assign(team_id="m", prior_experience_years=1, hired_at=AS_OF)
    teams = extractor.extract_team_features(pd.DataFrame({"team_id": ["m"]}), people, WORK, ACTS, as_of=AS_OF)
    assert teams.loc[0, ["team_size", "experience_avg"]].tolist() == [3, 1]
    assert teams.loc[0, "collaboration_score"] == 1  # two of them by task 2, two by task 3, the others by an activity
    alone = extractor.extract_team_features(pd.DataFrame({"team_id": ["m"]}), people, as_of=AS_OF)
    assert alone.loc[0, "collaboration_score"] == 0
    assert len(extractor.extract_user_features(USERS)) == 3
    assert len(extractor.extract_project_features(pd.DataFrame({"project_id": [7, 8]}))) == 2
    for spec, frame in ((TASK, tasks), (PROJECT, projects), (TEAM, teams)):
        spec.model.validate(frame)


@pytest.mark.parametrize("seed", range(3))
def test_frames_of_the_tables_have_the_features_of_the_tables(seed: int) -> None:
    of, extractor = organisation(seed), FeatureExtractor()
    found = {
        "user": extractor.extract_user_features(of["users"], of["activities"], of["tasks"]),
        "task": extractor.extract_task_features(of["tasks"]),
        "project": extractor.extract_project_features(of["projects"], of["tasks"]),
        "team": extractor.extract_team_features(of["teams"], of["users"], of["tasks"], of["activities"]),
    }
    for name, features in found.items():
        assert_frame_equal(features, EVERY[name](of, AS_OF))


def test_a_frame_with_snapshots_is_read_as_of_the_newest_one_by_then() -> None:
    of, newer = organisation(1), organisation(2, at=AS_OF + DAY)
    both = {name: together(newer[name], of[name]) for name in of}
    extractor = FeatureExtractor()
    for as_of, expected in ((AS_OF, of), (AS_OF + timedelta(hours=3), of), (None, newer)):
        found = extractor.extract_project_features(both["projects"], both["tasks"], as_of=as_of)
        at = as_of or AS_OF + DAY
        moved = {name: rows.assign(snapshot_at=pd.Timestamp(at)) for name, rows in expected.items()}
        assert_frame_equal(found, EVERY["project"](moved, at))
    assert len(extractor.extract_task_features(both["tasks"], as_of=ago(1))) == 0


def test_now_is_when_nobody_says_otherwise_and_naive_instants_are_utc() -> None:
    before = pd.Timestamp.now("UTC")
    found = FeatureExtractor().extract_user_features(USERS)
    assert (found["event_timestamp"] >= before.floor("us")).all()
    naive = FeatureExtractor().extract_task_features(WORK, as_of=datetime(2025, 3, 2))
    assert (naive["event_timestamp"] == AS_OF).all()


def test_known_at_is_the_frames_own() -> None:
    found = FeatureExtractor().extract_user_features(USERS.assign(known_at=KNOWN_AT), as_of=AS_OF)
    assert (found["known_at"] == KNOWN_AT).all()


# The configuration


def test_the_aggregation_window_is_what_finished_tasks_are_counted_over() -> None:
    assert extracted(aggregation_window="30d")["tasks_completed"].tolist() == [2, 1, 0]
    assert extracted(aggregation_window=timedelta(days=1))["tasks_completed"].tolist() == [0, 0, 0]


def test_definitions_choose_features_and_their_parameters() -> None:
    features = extracted(
        feature_definitions={
            "tasks_completed": {"aggregation_window": "30d"},
            "skill_score_backend": {"skill_shrinkage_tasks": 0},
            "risk_score": {},
        }
    )
    assert list(features) == ["user_id", "event_timestamp", "skill_score_backend", "tasks_completed", "known_at"]
    assert features["tasks_completed"].tolist() == [2, 1, 0]
    assert features["skill_score_backend"].tolist() == [1, 1, 0.25]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"handle_missing": "guess"}, "impute, drop, zero"),
        ({"aggregation_window": "a week"}, "'a week'"),
        ({"aggregation_window": "-7d"}, "aggregation_window"),
        ({"feature_definitions": {"skill_score_cobol": {}}}, "no feature skill_score_cobol"),
        ({"feature_definitions": {"bug_rate": {"tau": 1}}}, "bug_rate: there is no parameter tau"),
        ({"feature_definitions": {"bug_rate": {"skill_prior": 2}}}, "skill_prior"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FeatureExtractionConfig(**wrong)


# Bad frames


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (WORK.drop(columns="status"), "DeliveryTasks.status is missing"),
        (WORK.drop(columns="task_id"), "DeliveryTasks.task_id is missing"),
        (WORK.assign(task_id=[1, 1, 2]), "'1' stands there twice"),
        (WORK.assign(task_id=["a", None, "b"]), "task_id is missing in 1 row"),
        (WORK.assign(status="closed"), "DeliveryTasks.status is 'closed'; it is one of todo"),
        (WORK.assign(remaining_h=["a", "b", "c"]), "DeliveryTasks.remaining_h cannot be read"),
        (WORK.assign(created_at="yesterday"), "DeliveryTasks.created_at cannot be read"),
        (WORK.assign(created_at=[None, "2025-01-01", "2025-01-01"]), "DeliveryTasks.created_at"),
    ],
)
def test_a_frame_that_cannot_be_read_is_refused_by_column(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FeatureExtractor().extract_task_features(frame, as_of=AS_OF)


# Scaling and filling

FEATURES = pd.DataFrame(
    {
        "task_id": ["a", "b", "c", "d"],
        "event_timestamp": pd.Timestamp(AS_OF),
        "priority": pd.array([1, 4, None, 2], dtype="Int64"),
        "estimated_hours": [2.0, np.nan, 10.0, 4.0],
        "task_age_days": 5.0,
        "complexity_score": np.nan,
        "is_blocked": [True, False, False, True],
    }
)


def test_features_are_scaled_to_0_to_1_and_what_is_missing_stays_so() -> None:
    scaled = FeatureExtractor().normalize_features(FEATURES)
    assert scaled["estimated_hours"].tolist() == pytest.approx([0, np.nan, 1, 0.25], nan_ok=True)
    assert scaled["priority"].tolist() == pytest.approx([0, 1, np.nan, 1 / 3], nan_ok=True)
    assert scaled["task_age_days"].tolist() == [0] * 4
    assert scaled["complexity_score"].isna().all()
    assert scaled["is_blocked"].tolist() == [1, 0, 0, 1]
    assert_frame_equal(scaled[["task_id", "event_timestamp"]], FEATURES[["task_id", "event_timestamp"]])
    assert_frame_equal(FeatureExtractor().normalize_features(scaled), scaled)
    asis = FeatureExtractor(FeatureExtractionConfig(normalize=False)).normalize_features(FEATURES)
    assert_frame_equal(asis, FEATURES)


@pytest.mark.parametrize(
    ("policy", "hours", "priority", "complexity"), [("impute", 4.0, 2.0, 0.0), ("zero", 0.0, 0.0, 0.0)]
)
def test_what_is_missing_is_filled(policy: str, hours: float, priority: float, complexity: float) -> None:
    config: Any = {"handle_missing": policy}
    filled = FeatureExtractor(FeatureExtractionConfig(**config)).handle_missing_values(FEATURES)
    assert len(filled) == 4
    assert filled["estimated_hours"].tolist() == [2, hours, 10, 4]
    assert filled["priority"].tolist() == [1, 4, priority, 2]
    assert filled["complexity_score"].tolist() == [complexity] * 4


def test_dropping_leaves_out_rows_with_anything_missing() -> None:
    extractor = FeatureExtractor(FeatureExtractionConfig(handle_missing="drop"))
    assert extractor.handle_missing_values(FEATURES.drop(columns="complexity_score"))["task_id"].tolist() == ["a", "d"]
    assert len(extractor.handle_missing_values(FEATURES)) == 0


def test_the_way_from_frames_to_a_matrix_for_every_entity() -> None:
    of, extractor = organisation(4), FeatureExtractor()
    frames = {name: features(of, AS_OF) for name, features in EVERY.items()}
    for spec in DELIVERY_FEATURES:
        matrix = extractor.handle_missing_values(extractor.normalize_features(frames[spec.name]))[spec.features]
        values = matrix.to_numpy(dtype="float64")
        assert ((values >= 0) & (values <= 1)).all()
