"""The generated delivery organisation: what it promises about its days holds, whatever its seed."""

from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.sources.samples.delivery import DeliveryDay, Organisation
from resources.sources.samples.delivery_texts import ODD_TITLE, ids, joined
from schemas.base import conform
from schemas.source_datasets.delivery import DATASET
from schemas.window import midnight

FIRST = date(2025, 3, 3)
DAY = timedelta(days=1)
KEYS = {table.name: table.key[0] for table in DATASET.tables}
STAMPS = {table.name: table.changed_at for table in DATASET.tables}
OrganisationDays = list[DeliveryDay]


def test_lists_keep_their_rows() -> None:
    some, none = np.array([1, -1, 2]), np.array([-1, -1, 3])
    assert joined(ids("u", some), ids("u", none)).to_pylist() == ["u1", None, "u2|u3"]


@pytest.fixture(scope="module")
def days() -> OrganisationDays:
    return list(Organisation(users=20, first_day=FIRST, seed=3).days(28))


@pytest.fixture(scope="module")
def clean() -> OrganisationDays:
    return list(Organisation(users=20, first_day=FIRST, seed=3, is_dirty=False).days(28))


def all_of(days: OrganisationDays, table: str) -> pd.DataFrame:
    return pd.concat([day.tables[table] for day in days], ignore_index=True)


def newest(rows: pd.DataFrame, table: str) -> pd.DataFrame:
    return rows.sort_values(STAMPS[table]).drop_duplicates(KEYS[table], keep="last")


def test_the_same_seed_gives_the_same_days_and_another_one_others() -> None:
    first, again, other = (list(Organisation(users=9, first_day=FIRST, seed=seed).days(6)) for seed in (1, 1, 2))
    for left, right in zip(first, again, strict=True):
        assert left.truth == right.truth
        assert all(left.tables[name].equals(right.tables[name]) for name in left.tables)
    assert not all_of(first, "tasks").equals(all_of(other, "tasks"))


def test_days_follow_each_other_whether_asked_for_together_or_one_by_one() -> None:
    together = list(Organisation(users=9, first_day=FIRST).days(5))
    alone = Organisation(users=9, first_day=FIRST)
    for day in together:
        assert day.day == alone.next_day
        assert alone.advance().tables["tasks"].equals(day.tables["tasks"])


def test_sound_rows_satisfy_the_staging_models_and_lie_in_their_day(clean: OrganisationDays) -> None:
    for table in DATASET.tables:
        for day in clean:
            rows, stamp = day.tables[table.name], table.changed_at
            own = {"source_id": 1, "line_no": 1, "known_at": pd.Timestamp("2026-01-01", tz="UTC").as_unit("us")}
            if table.time_column != stamp:
                own[table.time_column] = rows[stamp]
            table.staging.validate(conform(rows.assign(**own), table.staging), lazy=True)
            begins = midnight(day.day) - (DAY if table.name == "activities" else timedelta(0))
            assert rows[stamp].between(begins, midnight(day.day) + DAY).all()


def test_no_two_versions_share_key_and_stamp_but_those_that_are_planted(
    days: OrganisationDays, clean: OrganisationDays
) -> None:
    for name, key in KEYS.items():
        names = [key, STAMPS[name]]
        assert not all_of(clean, name).duplicated(names).any()
        planted = sum(day.truth.duplicates.get(name, 0) for day in days)
        assert int(all_of(days, name).duplicated(names).sum()) == planted


def test_dirt_is_what_the_truth_says_and_nothing_else_differs(days: OrganisationDays, clean: OrganisationDays) -> None:
    tasks, activities = all_of(days, "tasks"), all_of(days, "activities")
    rejected = {name: sum(day.truth.rejected.get(name, 0) for day in days) for name in KEYS}
    assert int((tasks["status"].isna() | (tasks["estimated_h"] < 0)).sum()) == rejected["tasks"] > 2
    assert int((activities["hours"] < 0).sum()) == rejected["activities"] > 2
    assert (tasks["title"] == ODD_TITLE).any()
    sound = tasks[tasks["status"].notna() & ~(tasks["estimated_h"] < 0)].drop_duplicates(["task_id", "updated_at"])
    expected = all_of(clean, "tasks")
    assert sound.drop(columns="title").reset_index(drop=True).equals(expected.drop(columns="title"))


def test_the_truth_counts_what_there_is(clean: OrganisationDays) -> None:
    for until in (1, 12, 28):
        tasks = newest(all_of(clean[:until], "tasks"), "tasks")
        truth = clean[until - 1].truth
        assert tasks["status"].value_counts().to_dict() == {k: n for k, n in truth.tasks_by_status.items() if n}
        for name in ("users", "teams", "projects", "tasks"):
            assert all_of(clean[:until], name)[KEYS[name]].nunique() == truth.things[name]
        assert newest(all_of(clean[:until], "users"), "users")["is_active"].sum() == truth.active_users


def test_late_activities_come_a_day_after_they_are_stamped(clean: OrganisationDays) -> None:
    assert sum(day.truth.late_activities for day in clean) > 5
    for before, day in pairwise(clean):
        rows = day.tables["activities"]
        late = rows[rows["occurred_at"] < midnight(day.day)]
        assert len(late) == before.truth.late_activities
        assert (late["occurred_at"] >= midnight(day.day) - timedelta(minutes=30)).all()


@given(seed=st.integers(0, 10_000), users=st.integers(1, 40))
@settings(max_examples=5)
def test_tasks_wait_for_older_ones_that_are_over_before_work_begins(seed: int, users: int) -> None:
    days = list(Organisation(users=users, first_day=FIRST, seed=seed, is_dirty=False).days(15))
    tasks = all_of(days, "tasks")
    last = newest(tasks, "tasks").set_index("task_id")
    number = last.index.to_series().str.removeprefix("t").astype(int)
    for task_id, waits_for in last["depends_on"].dropna().str.split("|").items():
        for other in waits_for:
            assert number[other] < number[task_id], "a circle would need a task that waits for a younger one"
    begun = last[last["started_at"].notna()]
    assert (begun["started_at"] >= begun["created_at"]).all()
    done = last[last["status"] == "done"]
    assert (done["completed_at"] >= done["started_at"]).all()
    assert (last[last["status"] != "done"]["completed_at"].isna()).all()
    assert (tasks["remaining_h"] >= 0).all()


def test_the_organisation_looks_like_one(clean: OrganisationDays) -> None:
    tasks = newest(all_of(clean, "tasks"), "tasks")
    activities = all_of(clean, "activities")
    done = tasks[tasks["status"] == "done"]
    assert done["deadline"].isna().any()
    assert (done["completed_at"] > done["deadline"]).any()
    assert (done["completed_at"] <= done["deadline"]).any()
    assert tasks[tasks["kind"] == "bug"]["attributed_to"].notna().all()
    assert (tasks["reopened"] > 0).any()
    assert tasks["assignees"].str.contains("|", regex=False).any()
    weekend = activities["occurred_at"].dt.dayofweek >= 5
    assert 0 < weekend.mean() < 0.1
    work = activities[activities["kind"] == "work"]
    per_day = work.groupby(["user_id", work["occurred_at"].dt.date])["hours"].sum()
    assert per_day.max() <= 10
    spent = newest(all_of(clean, "projects"), "projects")["spent_eur"]
    assert spent.sum() == pytest.approx(work["hours"].sum() * 80, rel=0.02)
