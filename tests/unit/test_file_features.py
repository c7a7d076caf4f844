"""Features of datasets of files: what each column means, when it is null, and that neither the future, the order of
rows nor the cut of time changes a bit."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import cos, pi, sin, sqrt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from assets_pkg.features import file_features
from assets_pkg.features.file_features import features_of
from schemas.base import conform
from schemas.file_dataset import FileDataset
from schemas.file_datasets.meters import DATASET as METERS
from schemas.file_datasets.sales import DATASET as SALES
from schemas.file_tables import look_back, tables_of
from schemas.window import ONE_DAY, Window

START = datetime(2024, 3, 11, tzinfo=UTC)  # a Monday
KNOWN = datetime(2024, 6, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def rows(*rows: dict[str, Any], dataset: FileDataset = SALES) -> pd.DataFrame:
    """Rows of the series: revenue of pens in the North on the first day, 1 EUR, known, unless told otherwise."""
    units = {metric.name: metric.unit for metric in dataset.metrics}
    first = dataset.metrics[0].name
    defaults = {"metric": first, "datetime_utc": START, "value": 1.0, "is_valid": True, "known_at": KNOWN}
    entities = {"region": "North", "product_name": "pen", "site_id": "site", "meter_id": "m1"}
    defaults |= {name: entities[name] for name in dataset.entities}
    told = [defaults | {"unit": units.get(row.get("metric", first), "?")} | row for row in rows]
    constant: dict[str, Any] = {"flags": "", "is_imputed": False, "samples": 1}
    return conform(pd.DataFrame(told).assign(**constant), tables_of(dataset.name).series.model)


def daily(*values: float | None, **columns: Any) -> pd.DataFrame:
    """Revenue of consecutive days, the last of which is START; None leaves the day out."""
    first = START - (len(values) - 1) * ONE_DAY
    stamped = [{"value": value, "datetime_utc": first + n * ONE_DAY} for n, value in enumerate(values)]
    return rows(*({**row, **columns} for row in stamped if row["value"] is not None))


def last(series: pd.DataFrame, entity: str = "North") -> "pd.Series[Any]":
    """The features as of START."""
    found = features_of(series, SALES, Window(START, START + ONE_DAY))
    return found[found["region"] == entity].iloc[-1]


def random_series(seed: int, days: int, dataset: FileDataset = SALES, first: datetime | None = None) -> pd.DataFrame:
    """Combinations of entities that come and go, with gaps, invalid and null values, late rows."""
    chance = np.random.default_rng(seed)
    first = START - look_back(dataset) if first is None else first
    stamps = pd.date_range(first, periods=days * (ONE_DAY // dataset.cadence), freq=dataset.cadence, unit="us")
    names = [[f"{name}{n}" for n in range(4)] for name in dataset.entities]
    parts = []
    for combination in (dict(zip(dataset.entities, pair, strict=True)) for pair in zip(*names, strict=True)):
        begins, ends = sorted(chance.choice([0.0, 0.0, chance.random(), 1.0, 1.0], 2, replace=False) * len(stamps))
        for metric in dataset.metrics:
            is_there = chance.random(len(stamps)) > chance.choice([0.1, 0.6])
            there = np.flatnonzero(is_there[: int(ends)])
            there = there[there >= begins]
            parts.append(
                pd.DataFrame(
                    {
                        "metric": metric.name,
                        "unit": metric.unit,
                        "datetime_utc": stamps[there],
                        "value": np.where(chance.random(len(there)) < 0.1, 0.0, chance.normal(20, 30, len(there))),
                        "known_at": stamps[there] + pd.to_timedelta(chance.integers(1, 90, len(there)), unit="h"),
                        "is_valid": chance.random(len(there)) > 0.1,
                    }
                ).assign(**combination)
            )
    series = pd.concat(parts, ignore_index=True).assign(flags="", is_imputed=False, samples=1)
    series.loc[chance.random(len(series)) < 0.03, ["value", "is_valid"]] = [np.nan, False]
    return conform(series.astype({"is_valid": bool}), tables_of(dataset.name).series.model)


def assert_same_bits(one: pd.DataFrame, other: pd.DataFrame) -> None:
    assert_frame_equal(one, other, check_exact=True)
    for name in one.columns:
        if one[name].dtype == "float64":
            assert one[name].to_numpy().tobytes() == other[name].to_numpy().tobytes(), name


# The contract


@pytest.mark.parametrize(("dataset", "days"), [(SALES, 60), (METERS, 9)], ids=lambda case: getattr(case, "name", ""))
def test_the_result_satisfies_the_model_in_the_order_of_its_key(dataset: FileDataset, days: int) -> None:
    tables = tables_of(dataset.name)
    found = features_of(random_series(2, days, dataset), dataset, Window(START, START + (days - 7) * ONE_DAY))
    tables.features.model.validate(found)
    assert len(found) > 30
    assert_frame_equal(found, found.sort_values(list(tables.features.key), ignore_index=True))


def test_there_is_a_row_per_combination_and_step_with_a_row_of_any_metric() -> None:
    series = rows(
        {"metric": "orders"},
        {"metric": "quantity", "value": np.nan, "is_valid": False, "datetime_utc": START + ONE_DAY},
        {"region": "South", "datetime_utc": START - ONE_DAY},  # the look-back alone makes no row
        {"region": "South", "datetime_utc": START + 2 * ONE_DAY},
        {"metric": "no longer declared", "datetime_utc": START + ONE_DAY, "region": "South"},
    )
    found = features_of(series, SALES, Window(START, START + 2 * ONE_DAY))
    assert found[["region", "datetime_utc"]].values.tolist() == [
        ["North", pd.Timestamp(START)],
        ["North", pd.Timestamp(START + ONE_DAY)],
    ]


def test_no_rows_make_no_rows() -> None:
    for series in (rows({}).iloc[:0], rows({"datetime_utc": START - ONE_DAY})):
        found = features_of(series, SALES, Window(START, START + ONE_DAY))
        assert found.empty
        tables_of("sales").features.model.validate(found)


def test_a_stamp_inside_a_step_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"sales: 2024-03-11 01:00:00\+00:00 starts no step of 1 day"):
        last(rows({"datetime_utc": START + HOUR}))


def test_a_value_in_another_unit_is_an_error() -> None:
    with pytest.raises(ValueError, match="sales: revenue is in 'USD', declared in 'EUR'; make the series again"):
        last(rows({"unit": "USD"}))


# No cut of time, no order, no block, no future


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), length=st.integers(1, 9))
@pytest.mark.parametrize("dataset", [SALES, METERS], ids=lambda dataset: dataset.name)
def test_a_range_at_once_equals_the_same_days_in_any_pieces(dataset: FileDataset, seed: int, length: int) -> None:
    days = 12 if dataset is SALES else 3
    series = random_series(seed, look_back(dataset).days + days, dataset)
    window = Window(START, START + days * ONE_DAY)
    parts = []
    for piece in window.split(length * (ONE_DAY if dataset is SALES else 5 * HOUR)):
        held = Window(piece.start - look_back(dataset), piece.end).holds(series["datetime_utc"], "left")
        parts.append(features_of(series[held], dataset, piece))
    together = pd.concat(parts, ignore_index=True)
    together = together.sort_values(list(tables_of(dataset.name).features.key), ignore_index=True)
    assert_same_bits(features_of(series, dataset, window), together)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_rows_changes_nothing(seed: int) -> None:
    series, window = random_series(seed, 40), Window(START, START + 12 * ONE_DAY)
    assert_same_bits(
        features_of(series, SALES, window), features_of(series.sample(frac=1, random_state=seed), SALES, window)
    )


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), step=st.integers(0, 10))
def test_nothing_after_a_step_reaches_it(seed: int, step: int) -> None:
    series, window, now = random_series(seed, 40), Window(START, START + 12 * ONE_DAY), START + step * ONE_DAY
    before = features_of(series, SALES, window)
    is_future = series["datetime_utc"] > now
    changed = series.copy()
    changed.loc[is_future, "value"] = 777.0
    changed.loc[is_future, "is_valid"] = True
    changed.loc[is_future, "known_at"] = pd.Timestamp(KNOWN)
    after = features_of(changed, SALES, window)
    past = before["datetime_utc"] <= now
    assert_same_bits(before[past], after[past])
    assert before[~past].equals(after[~past]) is not bool(is_future.any())
    without = features_of(series[~is_future], SALES, window)
    assert_same_bits(before[past].reset_index(drop=True), without)


def test_what_is_older_than_the_look_back_reaches_nothing() -> None:
    series, window = random_series(3, 90, first=START - 80 * ONE_DAY), Window(START, START + 4 * ONE_DAY)
    near = Window(START - look_back(SALES), window.end).holds(series["datetime_utc"], "left")
    assert_same_bits(features_of(series, SALES, window), features_of(series[near], SALES, window))


def test_the_size_of_a_block_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    window = Window(START, START + 12 * ONE_DAY)
    other = random_series(6, 40).assign(region="elsewhere")
    series = conform(pd.concat([random_series(5, 40), other]), tables_of("sales").series.model)
    expected = features_of(series, SALES, window)
    for cells in (1, 90):
        monkeypatch.setattr(file_features, "_BLOCK_CELLS", cells)
        assert_same_bits(features_of(series, SALES, window), expected)


# What the columns mean


def test_statistics_include_the_step_itself_and_leave_missing_steps_out() -> None:
    row = last(daily(100.0, 2.0, None, 4.0, None, None, None, 9.0))  # 100 is eight days back
    assert row["revenue"] == 9.0
    assert (row["revenue_mean_7"], row["revenue_min_7"], row["revenue_max_7"]) == (5.0, 2.0, 9.0)
    assert row["revenue_std_7"] == pytest.approx(sqrt((9 + 1 + 16) / 2))
    # steps -6, -4, 0 with mean -10/3: sum of products 74/3, of squares 56/3
    assert row["revenue_slope_7"] == pytest.approx(
        (-6 + 10 / 3) * -3 / (56 / 3) + (-4 + 10 / 3) * -1 / (56 / 3) + (10 / 3) * 4 / (56 / 3)
    )
    assert row["revenue_coverage_7_pct"] == pytest.approx(100 * 3 / 7)
    assert (row["revenue_max_28"], row["revenue_coverage_28_pct"]) == (100.0, pytest.approx(100 * 4 / 28))


def test_a_line_has_its_slope() -> None:
    row = last(daily(*(3.0 + 2.5 * n for n in range(28))))
    assert row["revenue_slope_7"] == pytest.approx(2.5)
    assert row["revenue_slope_28"] == pytest.approx(2.5)


def test_one_value_has_neither_deviation_nor_slope_and_a_constant_has_none() -> None:
    row = last(daily(5.0))
    assert (row["revenue_mean_7"], row["revenue_coverage_7_pct"]) == (5.0, pytest.approx(100 / 7))
    assert np.isnan([row["revenue_std_7"], row["revenue_slope_7"]]).all()
    row = last(daily(0.1, 0.1, 0.1))
    assert (row["revenue_std_7"], row["revenue_slope_7"], row["revenue_mean_7"]) == (0.0, 0.0, 0.1)


def test_lags_and_changes() -> None:
    row = last(daily(8.0, None, None, None, None, None, 4.0, 5.0))
    assert (row["revenue_lag_1"], row["revenue_lag_7"]) == (4.0, 8.0)
    assert (row["revenue_change_1_pct"], row["revenue_change_7_pct"]) == (25.0, -37.5)


@pytest.mark.parametrize(
    ("former", "now", "change"),
    [
        (0.0, 5.0, None),
        (None, 5.0, None),
        (5.0, None, None),
        (-4.0, -3.0, 25.0),
        (-4.0, 2.0, 150.0),
        (4.0, 0.0, -100.0),
    ],
)
def test_a_change_is_against_the_size_of_the_former_value(
    former: float | None, now: float | None, change: float | None
) -> None:
    series = pd.concat([daily(former, now), rows({"metric": "orders"})], ignore_index=True)
    found = last(series)["revenue_change_1_pct"]
    assert np.isnan(found) if change is None else found == change


def test_shares_are_of_all_combinations_in_the_step() -> None:
    series = rows({"value": 6.0}, {"value": 3.0, "product_name": "ink"}, {"value": 1.0, "region": "South"})
    found = features_of(series, SALES, Window(START, START + ONE_DAY))
    assert list(found["revenue_share_pct"]) == [30.0, 60.0, 10.0]
    invalid = series.assign(is_valid=[True, True, False])
    found = features_of(invalid, SALES, Window(START, START + ONE_DAY))
    assert list(found["revenue_share_pct"].fillna(-1)) == [pytest.approx(100 / 3), pytest.approx(200 / 3), -1]


def test_a_share_of_nothing_is_null() -> None:
    assert np.isnan(last(rows({"value": 2.0}, {"value": -2.0, "region": "South"}))["revenue_share_pct"])


def test_values_that_are_not_valid_count_nowhere() -> None:
    good, bad = daily(1.0, None, 3.0), daily(1e6, None).assign(is_valid=False)
    assert_same_bits(
        features_of(good, SALES, Window(START, START + ONE_DAY)),
        features_of(pd.concat([good, bad], ignore_index=True), SALES, Window(START, START + ONE_DAY)),
    )


def test_what_exceeds_a_float_is_null() -> None:
    row = last(daily(1e-300, -1.7e308, 1.7e308))
    assert np.isnan([row["revenue_std_7"], row["revenue_change_1_pct"]]).all()
    assert (row["revenue_min_7"], row["revenue_max_7"]) == (-1.7e308, 1.7e308)


def test_cycles_are_those_of_the_steps_start() -> None:
    stamps = [START, START + 9 * HOUR, START + 2 * ONE_DAY + 18 * HOUR]
    series = rows(*({"datetime_utc": stamp} for stamp in stamps), dataset=METERS)
    found = features_of(series, METERS, Window(START, START + 3 * ONE_DAY)).set_index("datetime_utc")
    # 11 March of a leap year is day 71
    turns = {"day": [0, 9 / 24, 18 / 24], "week": [0, 9 / 168, 66 / 168], "year": [n / 365.2425 for n in (71, 71, 73)]}
    functions: dict[str, Callable[[float], float]] = {"sin": sin, "cos": cos}
    for name, expected in turns.items():
        for short, function in functions.items():
            assert list(found[f"{name}_{short}"]) == pytest.approx([function(2 * pi * turn) for turn in expected])


def test_known_at_is_the_newest_row_it_rests_on() -> None:
    late = KNOWN + ONE_DAY

    def known(**columns: Any) -> pd.Timestamp:
        found: pd.Timestamp = last(pd.concat([rows({}), rows({"known_at": late, **columns})]))["known_at"]
        return found

    assert known(datetime_utc=START - 27 * ONE_DAY) == late
    assert known(datetime_utc=START - 28 * ONE_DAY) == KNOWN
    assert known(metric="orders", datetime_utc=START - ONE_DAY, is_valid=False) == late
    assert known(region="South") == late  # the share rests on it
    assert known(region="South", datetime_utc=START - ONE_DAY) == KNOWN
    assert known(datetime_utc=START + ONE_DAY) == KNOWN


# A slow oracle, from the definitions


def oracle(series: pd.DataFrame, dataset: FileDataset, window: Window) -> dict[tuple[Any, ...], dict[str, float]]:
    """(entities..., step) -> feature -> exact value, null ones left out."""
    there = {(*row[: len(dataset.entities)],) for row in series[list(dataset.entities)].itertuples(index=False)}
    table: dict[tuple[Any, ...], Fraction] = {}
    steps = set()
    for row in series.to_dict("records"):
        entity = tuple(row[name] for name in dataset.entities)
        steps.add((entity, row["datetime_utc"]))
        if row["is_valid"] and not np.isnan(row["value"]):
            table[entity, row["metric"], row["datetime_utc"]] = Fraction(row["value"])
    expected = {}
    for entity, step in steps:
        if not window.start <= step < window.end:
            continue
        found: dict[str, Any] = {}
        for metric in (metric.name for metric in dataset.metrics):
            value = table.get((entity, metric, step))
            found[metric] = value
            for length in dataset.windows:
                points = [
                    (-n, table[entity, metric, step - n * dataset.cadence])
                    for n in range(length)
                    if (entity, metric, step - n * dataset.cadence) in table
                ]
                found |= {f"{metric}_{name}": number for name, number in statistics_of(points, length).items()}
            for lag in dataset.lags:
                former = table.get((entity, metric, step - lag * dataset.cadence))
                found[f"{metric}_lag_{lag}"] = former
                if former and value is not None:
                    found[f"{metric}_change_{lag}_pct"] = 100 * (value - former) / abs(former)
            total = sum((table.get((other, metric, step), Fraction(0)) for other in there), Fraction(0))
            if total and value is not None:
                found[f"{metric}_share_pct"] = 100 * value / total
        expected[(*entity, step)] = {name: float(number) for name, number in found.items() if number is not None}
    return expected


def statistics_of(points: list[tuple[int, Fraction]], length: int) -> dict[str, Any]:
    found: dict[str, Any] = {f"coverage_{length}_pct": Fraction(100 * len(points), length)}
    if not points:
        return found
    values = [value for _, value in points]
    mean = sum(values, Fraction(0)) / len(points)
    found |= {f"mean_{length}": mean, f"min_{length}": min(values), f"max_{length}": max(values)}
    if len(points) > 1:
        time_mean = Fraction(sum(time for time, _ in points), len(points))
        found[f"std_{length}"] = sqrt(sum((value - mean) ** 2 for value in values) / (len(points) - 1))
        products = sum((time - time_mean) * (value - mean) for time, value in points)
        found[f"slope_{length}"] = products / sum((time - time_mean) ** 2 for time, _ in points)
    return found


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
@pytest.mark.parametrize(("dataset", "days"), [(SALES, 6), (METERS, 1)], ids=lambda case: getattr(case, "name", ""))
def test_every_feature_equals_the_slow_oracle(dataset: FileDataset, days: int, seed: int) -> None:
    series, window = random_series(seed, look_back(dataset).days + days, dataset), Window(START, START + days * ONE_DAY)
    found = features_of(series, dataset, window)
    expected = oracle(series, dataset, window)
    key = [*dataset.entities, "datetime_utc"]
    assert {tuple(row) for row in found[key].itertuples(index=False)} == set(expected)
    numbers = [name for name in found.columns if name.startswith(tuple(metric.name for metric in dataset.metrics))]
    assert len(numbers) == len(found.columns) - len(key) - 7  # six cycles and known_at
    for row in found.to_dict("records"):
        told = expected[tuple(row[name] for name in key)]
        given_numbers = {name: row[name] for name in numbers if not np.isnan(row[name])}
        assert given_numbers == pytest.approx(told, rel=1e-9, abs=1e-9)
