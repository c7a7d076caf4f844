"""Drift: none is told of the same distribution, a shift is, a trifle in many rows and anything in few rows are not."""

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from assets_pkg.quality.concept_drift import LEAST_BEFORE, concept_drift, page_hinkley
from assets_pkg.quality.drift import (
    ALPHA,
    LARGE_PSI,
    adjusted,
    autocorrelation,
    drift_of,
    effective,
    ks_statistic,
    measure,
    p_of,
    psi,
    wasserstein,
    windows_of,
)
from schemas.feature_drift import FeatureDrift, Verdict
from tests.features import ENTITIES, LAST, SALES, planted

ONE_ENTITY = np.zeros(100_000)


def looked_at(rows: pd.DataFrame, importance: "pd.Series[float] | None" = None, **options: Any) -> pd.DataFrame:
    found = drift_of(rows, SALES, LAST, importance, **options)
    FeatureDrift.validate(found, lazy=True)
    return found.set_index("feature")


def shifted(by: float, days: int = 7) -> Any:
    """A column of noise whose newest days lie `by` higher."""

    def values(rng: np.random.Generator, count: int, number: np.ndarray) -> np.ndarray:
        return np.asarray(rng.normal(size=count) + by * (number >= count - days))

    return values


def test_no_alarm_is_raised_over_many_draws_of_one_distribution() -> None:
    rng, alarms, small = np.random.default_rng(1), 0, 0
    draws = 400
    for _ in range(draws):
        reference, current = rng.normal(size=400), rng.normal(size=100)
        found = measure(reference, current, ONE_ENTITY[:400], ONE_ENTITY[:100])
        small += found.p_value < ALPHA
        alarms += found.p_value < ALPHA and found.is_large
    assert small / draws <= ALPHA + 3 * (ALPHA * (1 - ALPHA) / draws) ** 0.5
    assert alarms / draws <= ALPHA / 2


def test_no_view_that_stays_as_it_was_raises_an_alarm() -> None:
    for seed in range(8):
        assert (looked_at(planted(seed))["verdict"] != Verdict.DRIFT).all()


def test_neighbours_that_resemble_each_other_are_worth_less_and_raise_no_alarm() -> None:
    rng, alarms = np.random.default_rng(2), 0
    for _ in range(200):
        shocks = rng.normal(size=840)
        walk = np.zeros(840)
        for number in range(1, 840):
            walk[number] = 0.95 * walk[number - 1] + shocks[number]
        found = measure(walk[:672], walk[672:], ONE_ENTITY[:672], ONE_ENTITY[:168])
        assert found.effective_reference < 60
        alarms += found.is_enough and found.p_value < ALPHA and found.is_large
    assert alarms / 200 <= ALPHA


def test_a_shift_is_told_and_ranked_by_the_importance_of_the_feature_that_moves() -> None:
    rows = planted(5, orders=shifted(2.5), quantity=shifted(2.5))
    found = looked_at(rows, pd.Series({"quantity": 1.0, "revenue_mean_7": 2.0, "orders": 3.0}))
    drifting = found[found["verdict"] == Verdict.DRIFT]
    assert set(drifting.index) == {"orders", "quantity"}
    assert found["rank"].to_dict()["quantity"] == 1 and found["rank"].to_dict()["orders"] == 2
    assert found.loc["revenue_mean_7", "rank"] == 3
    assert sorted(found["rank"]) == list(range(1, len(found) + 1))
    assert found.loc["orders", "importance_rank"] == 3 and pd.isna(found.loc["revenue_lag_1", "importance_rank"])
    one = found.loc["orders"]
    assert one["psi"] > LARGE_PSI and one["wasserstein"] > 2 and one["p_adjusted"] < 1e-6
    assert one["median_current"] - one["median_reference"] == pytest.approx(2.5, abs=0.6)
    assert one["rows_current"] == 7 * len(ENTITIES) and one["rows_reference"] == 28 * len(ENTITIES)


def test_a_trifle_in_many_rows_is_no_alarm() -> None:
    rng = np.random.default_rng(3)
    reference, current = rng.normal(size=100_000), rng.normal(loc=0.05, size=100_000)
    found = measure(reference, current, ONE_ENTITY, ONE_ENTITY)
    assert found.p_value < 1e-6 and not found.is_large


def test_few_rows_are_not_enough_however_far_they_lie() -> None:
    rows = planted(5, orders=shifted(50))
    some = rows[(rows["region"] == "north") & (rows["product_name"] == "apples")]
    assert set(looked_at(some)["verdict"]) == {Verdict.NOT_ENOUGH_DATA}
    new = rows[rows["datetime_utc"] > pd.Timestamp(LAST - timedelta(days=3), tz="UTC")]
    assert set(looked_at(new)["verdict"]) == {Verdict.NOT_ENOUGH_DATA}
    assert drift_of(rows.iloc[:0], SALES, LAST).empty


def test_a_feature_that_goes_missing_drifts() -> None:
    def goes(rng: np.random.Generator, count: int, number: np.ndarray) -> np.ndarray:
        return np.where(number >= count - 7, np.nan, rng.normal(size=count))

    one = looked_at(planted(5, orders=goes)).loc["orders"]
    assert one["verdict"] == Verdict.DRIFT
    assert (one["missing_reference_pct"], one["missing_current_pct"]) == (0, 100)
    assert pd.isna(one["wasserstein"])


def test_a_feature_that_is_never_there_or_never_varies_has_no_alarm() -> None:
    found = looked_at(planted(5, orders=7.0, quantity=np.nan))
    assert found.loc["orders", "verdict"] != Verdict.DRIFT
    assert found.loc["orders", "wasserstein"] == 0
    assert found.loc["quantity", "verdict"] == Verdict.NOT_ENOUGH_DATA


def test_the_reference_is_the_same_weekdays_of_the_weeks_before() -> None:
    rows = planted(5)
    for days in (1, 3, 7):
        current, reference = windows_of(rows, SALES, LAST, days, 4)
        assert current["datetime_utc"].dt.dayofweek.nunique() == days
        assert set(reference["datetime_utc"].dt.dayofweek) == set(current["datetime_utc"].dt.dayofweek)
        assert len(reference) == 4 * len(current)
        assert reference["datetime_utc"].max() < current["datetime_utc"].min()
    weekends = planted(5, orders=lambda rng, count, number: rng.normal(size=count) + 9 * (number % 7 >= 5))
    assert looked_at(weekends, current_days=2).loc["orders", "verdict"] != Verdict.DRIFT


def test_the_order_of_rows_and_rows_of_other_days_do_not_matter() -> None:
    rows = planted(5, orders=shifted(2.5))
    expected = looked_at(rows)
    pd.testing.assert_frame_equal(looked_at(rows.sample(frac=1, random_state=0)), expected)
    recent = rows[rows["datetime_utc"] > pd.Timestamp(LAST - timedelta(days=35), tz="UTC")]
    pd.testing.assert_frame_equal(looked_at(recent), expected)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40),
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40),
)
def test_the_statistic_is_that_of_scipy_and_a_distance(first: list[float], second: list[float]) -> None:
    a, b = np.array(first), np.array(second)
    assert ks_statistic(a, b) == pytest.approx(ks_2samp(a, b, method="asymp").statistic, abs=1e-12)
    assert ks_statistic(a, b) == ks_statistic(b, a)
    assert ks_statistic(a, a) == 0
    assert psi(a, b, len(a), len(b)) >= 0
    distance = wasserstein(a, b)
    assert np.isnan(distance) or distance >= 0


def test_p_values_fall_with_the_distance_and_the_rows() -> None:
    by_distance = [p_of(ks, 100, 50) for ks in (0.05, 0.1, 0.2, 0.4)]
    assert by_distance == sorted(by_distance, reverse=True)
    assert p_of(0.2, 1000, 500) < p_of(0.2, 100, 50) < p_of(0.2, 10, 5) <= 1
    assert p_of(0.25, 400, 100) == pytest.approx(ks_2samp(*_apart(0.25)).pvalue, rel=0.35)


def _apart(distance: float) -> tuple[np.ndarray, np.ndarray]:
    first = (np.arange(400) + 0.5) / 400
    second = (np.arange(100) + 0.5) / 100
    return first, second * (1 - distance) + distance


def test_rows_of_an_entity_count_by_how_much_they_resemble_their_neighbours() -> None:
    rng = np.random.default_rng(0)
    entity = np.repeat([0, 1], 500)
    assert autocorrelation(rng.normal(size=1000), entity) < 0.1
    assert autocorrelation(np.arange(1000.0), entity) > 0.9
    assert autocorrelation(np.ones(1000), entity) == 0
    # Levels of entities that differ are no resemblance in time.
    assert autocorrelation(rng.normal(size=1000) + 100 * entity, entity) < 0.1
    assert effective(entity, 0.0) == 1000
    assert effective(entity, 0.9) == pytest.approx(1000 * 0.1 / 1.9)
    assert effective(np.arange(5), 0.99) == 5
    assert effective(entity[:0], 0.5) == 0


def test_the_adjustment_leaves_unknown_p_values_alone() -> None:
    found = adjusted(np.array([0.01, np.nan, 0.04, 0.5]))
    assert np.isnan(found[1])
    np.testing.assert_allclose(found[[0, 2, 3]], [0.03, 0.06, 0.5])
    assert np.isnan(adjusted(np.array([np.nan]))).all()


def test_errors_that_stay_as_they_were_raise_no_alarm() -> None:
    rng = np.random.default_rng(4)
    verdicts = [concept_drift(rng.normal(size=300)).verdict for _ in range(200)]
    assert verdicts.count(Verdict.DRIFT) <= 2
    assert set(verdicts) <= {Verdict.STABLE, Verdict.DRIFT}


def test_errors_that_grow_are_told_with_the_place_they_began_at() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        errors = np.concatenate([rng.normal(size=200), 2.5 * rng.normal(size=100)])
        found = concept_drift(errors)
        assert found.verdict is Verdict.DRIFT
        assert found.changed_at is not None and abs(found.changed_at - 200) <= 60
        assert found.noticed_at is not None and found.changed_at < found.noticed_at < 300
        assert found.after > 1.5 * found.before and found.p_value < 0.01


def test_a_bias_that_comes_is_an_error_that_grows_and_gaps_count_no_position() -> None:
    rng = np.random.default_rng(6)
    errors = rng.normal(size=240)
    errors[160:] += 3
    full = concept_drift(errors)
    assert full.verdict is Verdict.DRIFT and full.changed_at is not None
    holes = np.insert(errors, range(0, 160, 2), np.nan)
    found = concept_drift(holes)
    assert found.errors == 240 and found.changed_at == np.flatnonzero(~np.isnan(holes))[full.changed_at]


def test_a_single_outlier_a_shrinking_error_and_a_short_series_are_no_drift() -> None:
    rng = np.random.default_rng(7)
    errors = rng.normal(size=200)
    errors[150] = 1e6
    assert concept_drift(errors).verdict is Verdict.STABLE
    assert concept_drift(np.concatenate([rng.normal(size=150), 0.2 * rng.normal(size=150)])).verdict is Verdict.STABLE
    for short in (0, 1, LEAST_BEFORE):
        found = concept_drift(rng.normal(size=short))
        assert found.verdict is Verdict.NOT_ENOUGH_DATA and found.errors == short
    assert concept_drift(np.zeros(100)).verdict is Verdict.STABLE


def test_page_hinkley_finds_the_change_of_a_series_without_noise() -> None:
    size = np.concatenate([np.tile([1.0, 1.2], 30), np.full(60, 3.0)])
    changed, noticed = page_hinkley(size, 30)
    assert changed in (59, 60) and noticed is not None and 60 < noticed < 75
    assert page_hinkley(np.tile([1.0, 1.2], 60), 30) == (None, None)
