"""Feature sets: a front of which nothing is dominated, measured honestly, the same again from the same seed."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from assets_pkg.features.examples import Split, halved, informative
from assets_pkg.features.feature_sets import MOST_SETS, OBJECTIVES, costs_of, set_name, sets_of
from assets_pkg.features.importance import Effort, ready
from assets_pkg.features.models import judged, one_thread
from assets_pkg.features.pareto import knee, non_dominated, searched, thinned
from assets_pkg.features.pictures import in_order, sets_picture, sets_table
from assets_pkg.features.surrogate import Surrogate
from schemas.feature_selection import FeatureSets
from tests.features import LAST, NOISE, SALES, TARGET, planted

QUICK = Effort(models=1, repeats=1, population=16, generations=8)
COSTS = hnp.arrays("float64", st.tuples(st.integers(1, 25), st.integers(1, 5)), elements=st.integers(0, 4).map(float))


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return planted()


@pytest.fixture(scope="module")
def found(rows: pd.DataFrame) -> pd.DataFrame:
    return sets_of(rows, SALES, TARGET, LAST, QUICK).rows


@given(COSTS)
def test_nothing_that_is_kept_is_dominated_and_what_goes_is(costs: np.ndarray) -> None:
    kept = non_dominated(costs)
    for number, one in enumerate(costs):
        beaten = any((other <= one).all() and (other < one).any() for other in costs)
        assert kept[number] == (not beaten)
    assert kept.any()


@given(COSTS, st.integers(1, 12))
def test_thinning_keeps_no_more_than_asked_and_nothing_twice(costs: np.ndarray, most: int) -> None:
    kept = thinned(costs, most)
    assert len(kept) == len(set(kept)) == min(most, len(costs))


def test_the_knee_is_where_the_next_gain_costs_too_much() -> None:
    assert knee(np.array([[-0.1, 1.0], [-0.85, 2.0], [-0.9, 20.0]])) == 1
    assert knee(np.array([[-0.5, 1.0]])) == 0


def test_no_reported_set_is_dominated_by_another(found: pd.DataFrame) -> None:
    FeatureSets.validate(found, lazy=True)
    front = found[~found["is_all"]]
    assert 2 <= len(front) <= MOST_SETS
    assert non_dominated(costs_of(front)).all()
    assert front["is_knee"].sum() == 1
    assert found["feature_set"].is_unique


def test_the_best_set_holds_what_tells_and_the_recommended_one_no_needless_copy(found: pd.DataFrame) -> None:
    best = found[~found["is_all"]].sort_values("predictive_value").iloc[-1]
    strong, weak = {"revenue_mean_7", "orders_max_7"}, "revenue_lag_1"
    assert set(json.loads(best["members"])) & strong
    assert weak in json.loads(best["members"])
    chosen = json.loads(found[found["is_knee"]].iloc[0]["members"])
    assert len(set(chosen) & strong) == 1
    assert len(set(chosen) & set(NOISE)) <= 1


def test_the_set_of_all_features_is_there_to_compare_with(found: pd.DataFrame) -> None:
    (everything,) = found[found["is_all"]].to_dict("records")
    assert everything["size"] == len(NOISE) + 4
    assert everything["cost_h"] == found["cost_h"].max()
    assert everything["missing_pct"] == found["missing_pct"].max()
    assert everything["drift_psi"] == found["drift_psi"].max()


def test_what_is_reported_of_a_set_is_measured_of_exactly_that_set(rows: pd.DataFrame, found: pd.DataFrame) -> None:
    parts = ready(rows, SALES, TARGET, QUICK)
    assert isinstance(parts, tuple)
    cut = halved(parts[1].test)
    assert isinstance(cut, Split)
    for one in found[~found["is_all"]].itertuples():
        members = [name for name in SALES.features if name in json.loads(one.members)]
        with one_thread():
            again = judged(Split(parts[1].train, cut.test), members, seeds=QUICK.seeds)
        assert (one.predictive_value, one.predictive_value_low) == (again.value, again.low)


def test_the_same_seed_gives_the_same_rows(rows: pd.DataFrame, found: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(sets_of(rows, SALES, TARGET, LAST, QUICK).rows, found, check_exact=True)


def test_a_name_stands_for_the_members_and_the_version() -> None:
    name = set_name("view", "target", 1, ["b", "a"])
    assert name == set_name("view", "target", 1, ["a", "b"])
    assert name.startswith("view_target_") and len(name) == len("view_target_") + 8
    assert len({name, set_name("view", "target", 2, ["a", "b"]), set_name("view", "target", 1, ["a"])}) == 3


def test_where_nothing_tells_anything_no_set_is_offered() -> None:
    noise = planted(days=50)
    noise["revenue"] = np.random.default_rng(0).normal(size=len(noise))
    answer = sets_of(noise, SALES, TARGET, LAST, QUICK)
    assert answer.rows["is_all"].tolist() == [True] or (answer.rows["predictive_value"] < 0.1).all()
    assert not answer.rows["is_all"].all() or "no set of features" in answer.notes[0]


@pytest.mark.parametrize("few, reason", [(planted(days=5), "are needed"), (planted(days=50, revenue=1.0), "different")])
def test_too_little_is_an_answer_of_its_own(few: pd.DataFrame, reason: str) -> None:
    answer = sets_of(few, SALES, TARGET, LAST, QUICK)
    assert answer.rows.empty and reason in str(answer.why_none)


def test_the_guess_of_the_search_never_sees_the_rows_that_judge(rows: pd.DataFrame) -> None:
    parts = ready(rows, SALES, TARGET, QUICK)
    assert isinstance(parts, tuple)
    columns = informative(parts[1].train.features)
    halves = Split(*(replace(half, features=half.features[columns]) for half in (parts[1].train, parts[1].test)))
    changed = Split(halves.train, replace(halves.test, label=-1000 * halves.test.label))
    masks = np.eye(halves.train.features.shape[1], dtype=bool)
    guesses = [[Surrogate(one.train).value(mask) for mask in masks] for one in (halves, changed)]
    assert guesses[0] == guesses[1]
    best = np.array(guesses[0]).argsort()[-3:]
    assert {columns[number] for number in best} == {"revenue_mean_7", "orders_max_7", "revenue_lag_1"}


def test_a_search_that_may_choose_nothing_finds_nothing() -> None:
    first = np.eye(8, dtype=bool)
    found = searched(first, lambda mask: (np.array([1.0, float(mask.sum())]), False), generations=2, seed=0)
    assert found.shape == (0, 8)


def test_pictures_and_table_show_every_set(rows: pd.DataFrame, found: pd.DataFrame) -> None:
    first, again = sets_picture(found), sets_picture(found.sample(frac=1, random_state=0))
    assert first == again and first.startswith(b"\x89PNG")
    table = sets_table(found).splitlines()
    assert len(table) == 2 + len(found)
    assert "(recommended)" in "".join(table) and "(all features)" in table[-1]
    assert in_order(found)["is_all"].tolist() == [False] * (len(found) - 1) + [True]


def test_objectives_are_columns_and_turned_to_costs(found: pd.DataFrame) -> None:
    costs = costs_of(found)
    assert costs.shape == (len(found), len(OBJECTIVES))
    assert (costs[:, 0] == -found["predictive_value"]).all()
    assert (costs[:, 1:] >= 0).all()
