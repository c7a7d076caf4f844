"""Wide series features: what they are of a known series, when there is a verdict, and what it is worth."""

import json
import warnings
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from assets_pkg.features import series_wide
from assets_pkg.features.series_wide import (
    LEAST_PAIRS,
    LEAST_VALUES,
    DayFeatures,
    Verdict,
    features_of_day,
    long_series,
    rows_of_day,
    targets_of,
    verdict_of,
)
from schemas.base import conform
from schemas.file_tables import tables_of
from schemas.series_wide import SeriesWide, look_back
from schemas.tables import SERIES
from schemas.window import ONE_DAY, midnight
from tests.builders import FIRST_DAY, KNOWN_AT, series_rows, together

DAY = FIRST_DAY.date()
LATER = datetime(2025, 7, 1, tzinfo=UTC)
NOISE = np.random.default_rng(20250301)


def sales_rows(values: Sequence[float], *, product: str = "Lamp", first: date = DAY, **columns: Any) -> pd.DataFrame:
    """Rows of `timeseries.sales`: revenue of a product, a value a day."""
    given = {
        "region": "North",
        "product_name": product,
        "metric": "revenue",
        "datetime_utc": [midnight(first + n * ONE_DAY) for n in range(len(values))],
        "value": [float(value) for value in values],
        "unit": "EUR",
        "flags": "",
        "is_valid": True,
        "is_imputed": False,
        "samples": 1,
        "known_at": KNOWN_AT,
    }
    frame = pd.DataFrame(given | columns, index=range(len(values)))
    return conform(frame, tables_of("sales").series.model)


def of_sales(*frames: pd.DataFrame) -> pd.DataFrame:
    return long_series(together(*frames), SERIES["sales"])


def made_up(values: pd.DataFrame, day: date, *, known_at: datetime = KNOWN_AT) -> DayFeatures:
    """Features as given, one row per entity, of the metric revenue."""
    index = pd.MultiIndex.from_product([["revenue"], values.index], names=series_wide.SERIES)
    known = pd.Series(pd.Timestamp(known_at).as_unit("us"), index=index)
    return DayFeatures(day, values.set_axis(index), known)


def series_of_targets(targets: dict[date, Sequence[float]]) -> pd.DataFrame:
    """One value per entity and day: the targets of the day before."""
    rows = [
        {"metric": "revenue", "entity": f"e{n}", "datetime_utc": midnight(day), "day": midnight(day), "value": value}
        for day, values in targets.items()
        for n, value in enumerate(values)
    ]
    frame = pd.DataFrame(rows).assign(known_at=pd.Timestamp(KNOWN_AT))
    return frame.astype({name: "datetime64[us, UTC]" for name in ("datetime_utc", "day", "known_at")})


def pool_with_a_signal(days: int = 10, entities: int = 6) -> tuple[list[DayFeatures], pd.DataFrame]:
    """One feature that tells the next day's value, forty that are noise, one that is always the same."""
    chance = np.random.default_rng(7)
    pool, targets = [], {}
    for n in range(days):
        day = DAY + n * ONE_DAY
        signal = chance.normal(size=entities)
        noise = {f"noise_{number:02d}": chance.normal(size=entities) for number in range(40)}
        index = [f"e{number}" for number in range(entities)]
        pool.append(made_up(pd.DataFrame({"signal": signal, "same": 1.0, **noise}, index=index), day))
        targets[day + ONE_DAY] = list(10 + 2 * signal + 0.2 * chance.normal(size=entities))
    return pool, series_of_targets(targets)


def test_features_of_a_known_series_are_what_their_definitions_say() -> None:
    values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0, 3.0]
    found = features_of_day(of_sales(sales_rows(values)), DAY + 9 * ONE_DAY, 10).values
    (row,) = (found.loc[("revenue", entity)] for entity in found.index.unique("entity"))
    slope = np.polyfit(np.arange(10), values, 1)[0]
    expected = {
        "mean": np.mean(values),
        "minimum": 1.0,
        "maximum": 9.0,
        "median": 3.5,
        "standard_deviation": np.std(values),
        "sum_values": 39.0,
        "length": 10.0,
        "mean_abs_change": np.abs(np.diff(values)).mean(),
        'linear_trend__attr_"slope"': slope,
        'linear_trend_timewise__attr_"slope"': slope / 24,
        "quantile__q_0.9": np.quantile(values, 0.9),
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    assert found.shape[1] > 700
    assert np.isfinite(found.to_numpy()[found.notna().to_numpy()]).all()


def test_a_gap_is_left_out_and_only_the_trend_over_time_sees_it() -> None:
    rows = sales_rows(range(12)).drop(index=[3, 4]).reset_index(drop=True)
    rows.loc[0, "is_valid"] = False
    rows.loc[1, "value"] = np.nan
    (row,) = features_of_day(of_sales(rows), DAY + 11 * ONE_DAY, 12).values.to_dict("records")
    days = [2, 5, 6, 7, 8, 9, 10, 11]
    assert row["length"] == len(days)
    assert row['linear_trend_timewise__attr_"slope"'] == pytest.approx(1 / 24)
    assert row['linear_trend__attr_"slope"'] == pytest.approx(np.polyfit(range(8), days, 1)[0])


def test_too_few_values_are_no_series() -> None:
    enough, short = range(LEAST_VALUES), range(LEAST_VALUES - 1)
    series = of_sales(sales_rows(enough, product="Lamp"), sales_rows(short, product="Desk"))
    found = features_of_day(series, DAY + 9 * ONE_DAY, 10)
    assert [json.loads(entity)["product_name"] for _, entity in found.values.index] == ["Lamp"]
    nothing = features_of_day(series, DAY + 400 * ONE_DAY, 10)
    assert nothing.values.empty
    assert rows_of_day("sales", nothing, {}).empty


def test_features_see_the_window_and_nothing_else() -> None:
    values = list(NOISE.normal(size=30))
    day = DAY + 20 * ONE_DAY
    whole = features_of_day(of_sales(sales_rows(values)), day, 10)
    values[21:], values[:11] = [1e6] * 9, [-1e6] * 11
    planted = features_of_day(of_sales(sales_rows(values)), day, 10)
    pd.testing.assert_frame_equal(planted.values, whole.values, check_exact=True)


def test_a_day_ends_where_its_table_says() -> None:
    """Hours of OpenAQ are stamped with their end: midnight belongs to the day that ends there."""
    hourly = series_rows(range(48))
    found = features_of_day(long_series(hourly, SERIES["openaq"]), DAY, 1).values
    (row,) = found.to_dict("records")
    assert (row["length"], row["minimum"], row["maximum"]) == (24, 0, 23)
    daily = features_of_day(of_sales(sales_rows(range(10))), DAY + 8 * ONE_DAY, 8).values
    assert (daily["minimum"].item(), daily["maximum"].item()) == (1, 8)


def test_sensors_of_a_place_are_one_series_and_what_is_not_valid_is_left_out() -> None:
    rows = together(
        series_rows([1.0, 2.0, 3.0, None], sensors_id=11),
        series_rows([3.0, 4.0, 99.0, 7.0], sensors_id=12, is_valid=[True, True, False, True], known_at=LATER),
        series_rows([50.0], parameter="pm10"),
    )
    found = long_series(rows, SERIES["openaq"])
    pm25 = found[found["metric"] == "pm25"]
    assert list(pm25["value"]) == [2.0, 3.0, 3.0, 7.0]
    assert list(pm25["known_at"]) == [LATER, LATER, KNOWN_AT, LATER]
    assert set(found["entity"]) == {'{"location_id": 1}'}


def test_entities_of_files_are_spelled_by_name() -> None:
    found = of_sales(sales_rows([1.0], product='Länge "x"'), sales_rows([2.0]))
    assert [json.loads(entity) for entity in found["entity"]] == [
        {"region": "North", "product_name": "Lamp"},
        {"region": "North", "product_name": 'Länge "x"'},
    ]


def test_the_verdict_finds_what_was_planted_and_not_the_noise() -> None:
    pool, series = pool_with_a_signal()
    verdict = verdict_of("revenue", pool, targets_of(series))
    assert verdict is not None
    assert list(verdict.table.index[verdict.table["is_selected"]]) == ["signal"]
    assert verdict.table["p_value"].idxmin() == "signal"
    assert np.isnan(verdict.table.loc["same", "p_value"])
    assert verdict.table.drop(index="same")["p_value"].between(0, 1).all()


def test_of_pure_noise_nothing_is_selected_although_some_of_it_looks_well() -> None:
    """Two of forty are below 5 % by chance: the false discovery rate is what keeps them out."""
    pool, series = pool_with_a_signal()
    noise = [DayFeatures(one.day, one.values.drop(columns="signal"), one.known_at) for one in pool]
    verdict = verdict_of("revenue", noise, targets_of(series))
    assert verdict is not None
    assert (verdict.table["p_value"] < 0.05).any()
    assert not verdict.table["is_selected"].any()


def test_where_a_feature_is_not_defined_it_takes_its_median_and_where_it_never_is_it_is_not_tested() -> None:
    pool, series = pool_with_a_signal()
    for one in pool:
        one.values["never"] = np.nan
        one.values.loc[one.values.index[0], "signal"] = np.nan
    verdict = verdict_of("revenue", pool, targets_of(series))
    assert verdict is not None
    assert verdict.table.loc["signal", "is_selected"]
    assert np.isnan(verdict.table.loc["never", "p_value"])
    assert not verdict.table.loc["never", "is_selected"]


def test_the_newest_day_has_no_verdict() -> None:
    pool, series = pool_with_a_signal()
    known = series[series["day"] <= pd.Timestamp(midnight(pool[-1].day))]
    assert verdict_of("revenue", pool, targets_of(known)) is None
    assert verdict_of("revenue", pool[:-1], targets_of(known)) is not None


def test_a_verdict_needs_enough_pairs_and_targets_that_differ() -> None:
    pool, series = pool_with_a_signal(days=LEAST_PAIRS // 4, entities=4)
    assert verdict_of("revenue", pool, targets_of(series)) is not None
    assert verdict_of("revenue", pool[1:], targets_of(series)) is None
    assert verdict_of("revenue", pool, targets_of(series.assign(value=1.0))) is None
    assert verdict_of("orders", pool, targets_of(series.assign(metric="orders"))) is None


def test_a_verdict_counts_days_after_features_only_and_knows_when_it_was_known() -> None:
    pool, series = pool_with_a_signal()
    before = verdict_of("revenue", pool, targets_of(series))
    later = together(series, series_of_targets({pool[-1].day + 2 * ONE_DAY: [1e6] * 6}).assign(known_at=LATER))
    after = verdict_of("revenue", pool, targets_of(later.astype(series.dtypes.to_dict())))
    assert before is not None
    assert after is not None
    pd.testing.assert_frame_equal(before.table, after.table)
    assert before.known_at == after.known_at == KNOWN_AT
    newer = verdict_of("revenue", pool, targets_of(series.assign(known_at=pd.Timestamp(LATER).as_unit("us"))))
    assert newer is not None
    assert newer.known_at == LATER


def test_rows_are_long_valid_and_carry_the_newest_knowledge() -> None:
    pool, _ = pool_with_a_signal()
    table = pd.DataFrame({"p_value": 0.5, "is_selected": False}, index=pool[-1].values.columns)
    rows = rows_of_day("sales", pool[-1], {"revenue": Verdict(table, pd.Timestamp(LATER))})
    SeriesWide.validate(rows)
    assert len(rows) == pool[-1].values.size
    assert set(rows["datetime_utc"]) == {pd.Timestamp(midnight(pool[-1].day + ONE_DAY))}
    assert set(rows["known_at"]) == {pd.Timestamp(LATER)}
    untested = rows_of_day("sales", pool[-1], {"revenue": None})
    SeriesWide.validate(untested)
    assert untested["p_value"].isna().all()
    assert untested["is_selected"].isna().all()
    assert set(untested["known_at"]) == {pd.Timestamp(KNOWN_AT)}


def test_what_is_not_defined_is_null_and_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        day = DAY + 9 * ONE_DAY
        found = features_of_day(of_sales(sales_rows([5.0] * 10)), day, 10)
        rows = rows_of_day("sales", found, {"revenue": None}).set_index("feature")["value"]
    assert (rows["mean"], rows["standard_deviation"]) == (5, 0)
    assert np.isnan(rows["autocorrelation__lag_1"])
    assert np.isnan(rows['fft_coefficient__attr_"abs"__coeff_50'])


def test_what_a_day_may_see_is_what_the_table_declares() -> None:
    assert look_back(1) == timedelta(0)
    assert look_back(10) == 18 * ONE_DAY
