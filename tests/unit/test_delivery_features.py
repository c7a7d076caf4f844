"""What holds for all 45 delivery features: names, ranges, one row per entity, no future, no order."""

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from schemas.base import conform, empty
from schemas.delivery import DELIVERY, DeliveryFeatures
from schemas.delivery_tables import DELIVERY_FEATURES
from schemas.source_datasets.delivery import DATASET
from schemas.window import ONE_DAY
from tests.delivery_rows import AS_OF, DAY, EVERY, HOUR, KNOWN_AT, SNAPSHOT_OF, Organisation, organisation, together

NAMES = {
    "user": [
        "skill_score_backend",
        "skill_score_frontend",
        "skill_score_database",
        "skill_score_devops",
        "current_workload_hours",
        "tasks_completed",
        "avg_completion_time_hours",
        "avg_collaborators",
        "bug_rate",
        "years_experience",
        "availability_pct",
        "tasks_in_progress",
        "on_time_completion_rate",
        "days_since_last_activity",
    ],
    "task": [
        "complexity_score",
        "priority",
        "estimated_hours",
        "requires_backend",
        "requires_frontend",
        "requires_database",
        "requires_devops",
        "dependencies_count",
        "deadline_urgency",
        "days_until_deadline",
        "task_age_days",
        "is_blocked",
    ],
    "project": [
        "total_tasks",
        "completed_tasks",
        "in_progress_tasks",
        "blocked_tasks",
        "completion_pct",
        "velocity_tasks_per_week",
        "risk_score",
        "team_size",
        "budget_utilization",
        "overdue_task_ratio",
        "schedule_performance_index",
    ],
    "team": [
        "team_size",
        "skill_diversity",
        "experience_avg",
        "experience_min",
        "experience_max",
        "workload_balance",
        "collaboration_score",
        "velocity_tasks_per_week",
    ],
}
SPECS = {spec.name: spec for spec in DELIVERY_FEATURES}
SEEDS = st.integers(0, 2**32 - 1)


def assert_same_bits(one: pd.DataFrame, other: pd.DataFrame) -> None:
    assert_frame_equal(one, other, check_exact=True)
    for name in one.columns:
        if one[name].dtype == "float64":
            assert one[name].to_numpy().tobytes() == other[name].to_numpy().tobytes(), name


def test_there_are_exactly_45_features_of_these_names() -> None:
    assert {name: spec.features for name, spec in SPECS.items()} == NAMES
    assert [len(spec.features) for spec in DELIVERY_FEATURES] == [14, 12, 11, 8]


def test_each_table_is_served_under_the_name_its_users_know() -> None:
    views = {spec.name: spec.served.view for spec in DELIVERY_FEATURES if spec.served}
    assert views == {
        "user": "user_profile_features",
        "task": "task_features",
        "project": "project_features",
        "team": "team_features",
    }
    assert {spec.entities for spec in DELIVERY_FEATURES} == {(f"{name}_id",) for name in SPECS}


def test_a_table_is_stale_for_as_long_as_its_windows_reach() -> None:
    before = {(spec.name, read.table): read.before for spec in DELIVERY_FEATURES for read in spec.reads}
    assert before[("user", "staging.delivery_activities")] == DELIVERY.activity_window - ONE_DAY
    assert before[("team", "staging.delivery_activities")] == DELIVERY.velocity_window - ONE_DAY
    assert {length for (_, table), length in before.items() if "activities" not in table} == {timedelta(0)}


@pytest.mark.parametrize("name", SPECS)
def test_no_rows_make_no_rows(name: str) -> None:
    nothing = {table.name: empty(table.staging) for table in DATASET.tables}
    assert_frame_equal(EVERY[name](nothing, AS_OF), empty(SPECS[name].model))


@pytest.mark.parametrize("name", ["user", "project", "team"])
def test_entities_without_anything_around_them_have_rows(name: str) -> None:
    nothing = {table.name: empty(table.staging) for table in DATASET.tables}
    alone = nothing | {SNAPSHOT_OF[name]: organisation(1)[SNAPSHOT_OF[name]]}
    found = EVERY[name](alone, AS_OF)
    SPECS[name].model.validate(found)
    assert len(found) == len(alone[SNAPSHOT_OF[name]]) > 3


@given(SEEDS)
def test_every_entity_has_one_row_that_keeps_to_its_type(seed: int) -> None:
    of = organisation(seed)
    before = {table: rows.copy(deep=True) for table, rows in of.items()}
    for name, spec in SPECS.items():
        found = EVERY[name](of, AS_OF)
        spec.model.validate(found)
        assert_frame_equal(found, conform(found, spec.model))
        assert list(found[f"{name}_id"]) == list(of[SNAPSHOT_OF[name]][f"{name}_id"])
        assert (found["event_timestamp"] == AS_OF).all()
        assert np.isfinite(found.select_dtypes("float64").fillna(0)).all(axis=None)
    for table, rows in of.items():
        assert_frame_equal(rows, before[table])


@given(SEEDS)
def test_no_order_of_rows_changes_a_bit(seed: int) -> None:
    of = organisation(seed)
    shuffled = {table: rows.sample(frac=1, random_state=seed, ignore_index=True) for table, rows in of.items()}
    for name, features in EVERY.items():
        ordered = [features(one, AS_OF).sort_values(f"{name}_id", ignore_index=True) for one in (of, shuffled)]
        assert_same_bits(*ordered)


def future(of: Organisation, seed: int) -> Organisation:
    """What one might learn after `AS_OF`: other days' snapshots, tasks and activities that come later, a later state of
    what is there told by stamps."""
    later = organisation(seed + 1, at=AS_OF + DAY)
    created = later["tasks"].assign(
        task_id="new" + later["tasks"]["task_id"],
        created_at=pd.Timestamp(AS_OF + HOUR),
        snapshot_at=pd.Timestamp(AS_OF),
        known_at=pd.Timestamp(KNOWN_AT + 300 * DAY),
    )
    act = later["activities"].assign(
        occurred_at=pd.Timestamp(AS_OF + HOUR), known_at=pd.Timestamp(KNOWN_AT + 300 * DAY)
    )
    return {
        "users": together(of["users"], later["users"]),
        "tasks": together(later["tasks"], of["tasks"], created.astype(of["tasks"].dtypes)),
        "projects": together(of["projects"], later["projects"]),
        "teams": together(later["teams"], of["teams"]),
        "activities": together(act.astype(of["activities"].dtypes), of["activities"]),
    }


@given(SEEDS)
def test_the_future_changes_nothing(seed: int) -> None:
    of = organisation(seed)
    planted = future(of, seed)
    for name, features in EVERY.items():
        found = features(planted, AS_OF)
        there = found[~found[f"{name}_id"].str.startswith("new")].reset_index(drop=True)
        assert_same_bits(there, features(of, AS_OF))


@given(SEEDS)
def test_stamps_of_later_say_only_that_it_has_not_happened(seed: int) -> None:
    """Whenever after `AS_OF` a task is started or done, as of then it is the same."""
    of, chance = organisation(seed), np.random.default_rng(seed)
    moved = of["tasks"].copy()
    for column in ("started_at", "completed_at", "created_at"):
        is_later = moved[column] > AS_OF
        days = pd.to_timedelta(chance.integers(1, 1000, len(moved)), unit="D")
        moved[column] = moved[column].where(~is_later, moved[column] + days).astype(of["tasks"][column].dtype)
    for features in EVERY.values():
        assert_same_bits(features(of | {"tasks": moved}, AS_OF), features(of, AS_OF))


@pytest.mark.parametrize("name", SPECS)
def test_constant_input_has_defined_features(name: str) -> None:
    of = organisation(3)
    same: dict[str, Any] = {
        table: together(*[rows.iloc[[0]]] * 5).assign(
            **{key: [f"{key}{n}" for n in range(5)] for key in DATASET.table(f"delivery_{table}").key}
        )
        for table, rows in of.items()
    }
    same = {table: conform(rows, DATASET.table(f"delivery_{table}").staging) for table, rows in same.items()}
    found = EVERY[name](same, AS_OF)
    SPECS[name].model.validate(found)
    assert len(found[SPECS[name].features].drop_duplicates()) == 1


@pytest.mark.parametrize("name", SPECS)
def test_an_instant_without_a_zone_is_refused(name: str) -> None:
    with pytest.raises((ValueError, TypeError), match=r"time zone|tz-naive"):
        EVERY[name](organisation(1), AS_OF.replace(tzinfo=None))


@pytest.mark.parametrize(
    "wrong",
    [
        {"aggregation_window": timedelta(0)},
        {"activity_window": timedelta(hours=36)},
        {"skill_prior": 1.5},
        {"skill_prior": float("nan")},
        {"skill_shrinkage_tasks": -1.0},
        {"urgency_tau_days": 0.0},
        {"complexity_half_h": float("inf")},
        {"risk_blocked_weight": 0.0, "risk_overdue_weight": 0.0},
        {"complexity_effort_weight": 0, "complexity_skills_weight": 0, "complexity_dependencies_weight": 0},
    ],
)
def test_parameters_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="|".join(["weights", *wrong])):
        DeliveryFeatures(**wrong)
