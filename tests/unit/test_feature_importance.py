"""Importance: what is planted is found with its interval, noise is not, and the future is out of reach."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score, r2_score, roc_auc_score

from assets_pkg.features.examples import Examples, NotEnough, blocks_of, examples_of, numbers_of, split
from assets_pkg.features.feature_traits import correlations, drift_psi, incomplete_pct, missing_pct, redundancy
from assets_pkg.features.importance import Effort, importance_of
from assets_pkg.features.models import judged, naive_score, one_thread, scores
from assets_pkg.features.mutual_information import binned, mutual_information, nats
from schemas.feature_costs import look_back_h
from schemas.feature_selection import Importance
from schemas.table_spec import Prediction
from schemas.tables import AIR_QUALITY_HOURLY, TABLES
from tests.features import LAST, NOISE, SALES, TARGET, planted

QUICK = Effort(models=1, repeats=2)
HOUR = np.timedelta64(3_600_000_000, "us")


def examples(features: dict[str, np.ndarray], label: np.ndarray, **more: object) -> Examples:
    """One row per hour."""
    return Examples(
        features=pd.DataFrame(features),
        label=label,
        naive=np.full(len(label), np.nan),
        at=np.datetime64("2025-01-01", "us") + np.arange(len(label)) * HOUR,
        horizon=timedelta(hours=6),
        metric="r2",
        **more,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    return importance_of(planted(), SALES, TARGET, LAST, QUICK).rows.set_index("feature")


def test_what_is_planted_leads_and_noise_is_chance(found: pd.DataFrame) -> None:
    Importance.validate(found.reset_index()[list(Importance.to_schema().columns)], lazy=True)
    telling = ["revenue_mean_7", "orders_max_7", "revenue_lag_1"]
    assert set(found.sort_values("rank").index[:3]) == set(telling)
    assert found.loc[telling, "is_significant"].all()
    assert not found.loc[list(NOISE), "is_significant"].any()
    assert found.loc["revenue_mean_7", "mi"] > found.loc["revenue_lag_1", "mi"] > found.loc[list(NOISE), "mi"].max()
    assert found.loc["revenue_lag_1", "permutation_low"] > found.loc[list(NOISE), "permutation_high"].max()
    for name in ("mi", "permutation", "score"):
        assert (found[f"{name}_low"] <= found[name]).all() and (found[name] <= found[f"{name}_high"]).all()


def test_the_models_know_what_persistence_does_not(found: pd.DataFrame) -> None:
    assert found["score"].iloc[0] > 0.7
    assert found["baseline_score"].iloc[0] < 0


def test_a_feature_without_values_tells_nothing_and_says_so(found: pd.DataFrame) -> None:
    nothing = found.loc["orders_lag_7"]
    assert nothing["missing_pct"] == 100
    assert not nothing["is_significant"]
    assert list(nothing[["mi", "mi_low", "mi_high", "permutation", "drift_psi"]]) == [0] * 5


def test_the_same_seed_gives_the_same_rows_and_another_others() -> None:
    rows = planted(days=50)
    first, again = (importance_of(rows, SALES, TARGET, LAST, QUICK).rows for _ in range(2))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    other = importance_of(rows, SALES, TARGET, LAST, Effort(models=1, repeats=2, seed=1)).rows
    assert (other["permutation"] != first["permutation"]).any()


def test_a_label_is_the_same_entitys_value_exactly_a_horizon_later_and_no_other() -> None:
    rows = planted(days=50)
    rows = rows.drop(index=[7, 60]).sample(frac=1, random_state=1).reset_index(drop=True)
    found = examples_of(rows, SALES, TARGET)
    assert isinstance(found, Examples)
    truth = {(row.region, row.product_name, row.datetime_utc): row.revenue for row in rows.itertuples()}
    expected = {
        (stamp, truth[region, product, stamp + pd.Timedelta(TARGET.horizon)])
        for region, product, stamp in truth
        if (region, product, stamp + pd.Timedelta(TARGET.horizon)) in truth
    }
    assert set(zip(pd.to_datetime(found.at, utc=True), found.label, strict=True)) == expected
    assert (np.diff(found.at) >= np.timedelta64(0)).all()


@given(st.integers(100, 400), st.integers(1, 72), st.floats(0.1, 0.6))
def test_no_label_that_is_learnt_lies_in_the_time_that_judges(count: int, horizon_h: int, share: float) -> None:
    given_rows = examples({"a": np.arange(count) % 7.0}, np.arange(count) % 5.0)
    given_rows = Examples(**(given_rows.__dict__ | {"horizon": timedelta(hours=horizon_h)}))
    halves = split(given_rows, test_share=share)
    if not isinstance(halves, NotEnough):
        assert halves.train_until + timedelta(hours=horizon_h) < halves.test_from


@pytest.mark.parametrize("turned", [lambda future: future, lambda future: 3 - 0.5 * future], ids=["copy", "turned"])
def test_a_feature_that_knows_the_future_is_left_out_and_named(turned) -> None:  # type: ignore[no-untyped-def]
    rows = planted(days=50)
    future = rows.groupby(["region", "product_name"])["revenue"].shift(-1)
    answer = importance_of(rows.assign(orders=turned(future)), SALES, TARGET, LAST, QUICK)
    assert "orders" not in set(answer.rows["feature"])
    assert any("orders" in note for note in answer.notes)


def test_a_model_that_learns_the_date_by_heart_does_not_score() -> None:
    rng = np.random.default_rng(3)
    level = np.repeat(rng.normal(size=60), 24)
    rows = examples({"hours_since": np.arange(len(level), dtype="float64")}, level + 0.1 * rng.normal(size=len(level)))
    halves = split(rows)
    assert not isinstance(halves, NotEnough)
    with one_thread():
        assert judged(halves, ["hours_since"], seeds=[0]).value < 0.1


def test_what_tells_yes_from_no_is_scored_by_its_order() -> None:
    rows = planted(days=50)
    rows["revenue"] = (rows["revenue"] > 100).astype("float64")
    found = importance_of(rows, SALES, TARGET, LAST, QUICK).rows.set_index("feature")
    assert set(found["metric"]) == {"auc"}
    assert found["score"].iloc[0] > 0.85
    assert abs(found["baseline_score"].iloc[0] - 0.5) < 0.15


@pytest.mark.parametrize(
    "rows, reason",
    [
        (planted(days=50).iloc[:0], "no rows"),
        (planted(days=5), "examples, 90 are needed"),
        (planted(days=50, revenue=4.0), "1 different"),
        (planted(days=50, revenue=np.nan), "0 different"),
        (planted(days=50).iloc[::2], "0 rows"),
    ],
    ids=["empty", "tiny", "constant", "missing", "no later row"],
)
def test_too_little_is_an_answer_of_its_own(rows: pd.DataFrame, reason: str) -> None:
    answer = importance_of(rows, SALES, TARGET, LAST, QUICK)
    assert answer.rows.empty
    assert reason in str(answer.why_none)
    Importance.validate(answer.rows, lazy=True)


def test_features_that_never_change_are_an_answer_of_their_own() -> None:
    constant = {name: np.nan for name in SALES.features if name != "revenue"}
    rows = planted(days=50, **constant)
    rows["revenue"] = np.where(np.arange(len(rows)) % 2, 1.0, 2.0)
    assert importance_of(rows, SALES, TARGET, LAST, QUICK).why_none is None
    copy = Prediction(name="x", column="orders", horizon=TARGET.horizon)
    assert "0 different" in str(importance_of(rows, SALES, copy, LAST, QUICK).why_none)


def test_information_of_a_coin_that_lies_sometimes_is_within_its_interval() -> None:
    truth = np.log(2) + 0.8 * np.log(0.8) + 0.2 * np.log(0.2)
    held = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        coin = rng.integers(0, 2, 600).astype("float64")
        told = np.where(rng.random(600) < 0.8, coin, 1 - coin)
        found = mutual_information(examples({"told": told}, coin), seed)
        held.append(found.low[0] <= truth <= found.high[0])
    assert sum(held) >= 22


def test_chance_alone_is_seldom_called_information() -> None:
    called = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        walk = rng.normal(size=(21, 900)).cumsum(axis=1) * 0.2 + rng.normal(size=(21, 900))
        steady = walk - pd.DataFrame(walk).T.rolling(48, min_periods=1).mean().T.to_numpy()
        features = {str(number): column for number, column in enumerate(steady[1:])}
        called += int(mutual_information(examples(features, steady[0]), seed).is_significant.sum())
    assert called <= 4


@given(st.lists(st.lists(st.integers(0, 20), min_size=3, max_size=3), min_size=2, max_size=5))
def test_nats_are_those_of_scikit_learn(table: list[list[int]]) -> None:
    counts = np.array(table)
    if counts.sum():
        expected = mutual_info_score(None, None, contingency=counts)
        assert nats(counts[None])[0] == pytest.approx(expected, abs=1e-9)


def test_scores_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    label, said, weights = rng.normal(size=50), rng.normal(size=50), rng.random((3, 50))
    expected = [r2_score(label, said, sample_weight=one) for one in weights]
    assert scores("r2", label, said, weights) == pytest.approx(expected)
    is_so, tied = (label > 0).astype("float64"), said.round(1)
    expected = [roc_auc_score(is_so, tied, sample_weight=one) for one in weights]
    assert scores("auc", is_so, tied, weights) == pytest.approx(expected)


def test_bins_keep_few_kinds_and_give_missing_values_their_own() -> None:
    assert binned(np.array([3.0, 1.0, np.nan, 3.0]), 4).tolist() == [1, 0, 3, 1]
    many = binned(np.r_[np.arange(100.0), np.nan], 5)
    assert np.bincount(many[:-1]).tolist() == pytest.approx([20] * 5, abs=1)
    assert many[-1] not in many[:-1]


def test_blocks_are_as_long_as_the_horizon_and_never_too_few() -> None:
    rows = examples({"a": np.zeros(60)}, np.zeros(60))
    assert np.bincount(blocks_of(rows)).tolist() == [6] * 10
    far = Examples(**(rows.__dict__ | {"horizon": timedelta(days=9)}))
    assert len(np.unique(blocks_of(far))) == 5


def test_traits_of_features_are_told() -> None:
    rng = np.random.default_rng(1)
    steady, drifting = rng.normal(size=3000), rng.normal(size=3000) + np.linspace(0, 3, 3000)
    holes = np.where(rng.random(3000) < 0.25, np.nan, steady)
    frame = pd.DataFrame(
        {"steady": steady, "again": np.exp(steady), "drifting": drifting, "holes": holes, "none": np.nan, "same": 1.0}
    )
    psi = dict(zip(frame, drift_psi(frame), strict=True))
    assert psi["steady"] < 0.1 < 0.25 < psi["drifting"]
    assert psi["none"] == psi["same"] == 0
    assert missing_pct(frame)[3] == pytest.approx(25, abs=4)
    assert incomplete_pct(frame.isna().to_numpy(), np.array([0, 4])) == 100
    alike = correlations(frame)
    assert redundancy(alike, np.array([0, 1])) == pytest.approx(1)
    assert redundancy(alike, np.array([0, 3])) == pytest.approx(1, abs=1e-3)
    assert redundancy(alike, np.array([0, 4])) == redundancy(alike, np.array([0])) == 0


def test_every_column_becomes_a_number_but_instants() -> None:
    frame = pd.DataFrame(
        {
            "flag": pd.array([True, None, False], dtype="boolean"),
            "count": pd.array([1, None, 3], dtype="Int64"),
            "text": pd.array(["b", None, "a"], dtype="string[pyarrow]"),
            "infinite": [np.inf, 1.0, np.nan],
            "at": pd.to_datetime(["2025-01-01"] * 3, utc=True),
        }
    )
    found = numbers_of(frame)
    assert list(found) == ["flag", "count", "text", "infinite"]
    np.testing.assert_array_equal(found.to_numpy(), [[1, 1, 1, np.nan], [np.nan, np.nan, np.nan, 1], [0, 3, 0, np.nan]])


@pytest.mark.parametrize(
    "feature, hours",
    [
        ("pm25_ugm3", 1),
        ("pm25_mean_24h_ugm3", 24),
        ("pm25_slope_7d_ugm3_per_h", 168),
        ("pm25_lag_168h_ugm3", 168),
        ("pm25_nowcast_ugm3", 12),
        ("nowcast_aqi", 24),
        ("hour_sin", 1),
    ],
)
def test_a_feature_costs_the_hours_it_looks_back(feature: str, hours: float) -> None:
    assert look_back_h(AIR_QUALITY_HOURLY, feature) == hours


def test_steps_of_a_file_are_as_long_as_it_declares() -> None:
    meters = TABLES["features.meters_features"]
    assert look_back_h(SALES, "revenue_mean_28") == 28 * 24
    assert look_back_h(SALES, "revenue") == 24
    for spec in (SALES, meters, AIR_QUALITY_HOURLY):
        for name in spec.features:
            assert look_back_h(spec, name) > 0
    with pytest.raises(KeyError):
        look_back_h(SALES, "nothing")


def test_the_naive_forecast_is_the_present_value() -> None:
    rows = planted(days=50)
    rows["revenue"] = rows.groupby(["region", "product_name"]).cumcount().astype("float64")
    halves = split(examples_of(rows, SALES, TARGET))  # type: ignore[arg-type]
    assert not isinstance(halves, NotEnough)
    assert naive_score(halves) == pytest.approx(r2_score(halves.test.label, halves.test.label - 1))
