"""Series of datasets of files: which rows count, what a step adds up to, when nothing means zero, and that neither the
order of rows nor the cut of time changes a bit."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from assets_pkg.timeseries.file_series import OUTCOMES, REJECT_COLUMNS, Cleaned, series_of
from resources.catalog.accounts import ACCOUNT_COLUMNS
from resources.catalog.accounts import REJECT_COLUMNS as LEDGER_REJECT_COLUMNS
from schemas.base import conform
from schemas.file_dataset import FileDataset, Metric
from schemas.file_datasets.meters import DATASET as METERS
from schemas.file_datasets.sales import DATASET as SALES
from schemas.file_tables import ACTIVE_FOR, tables_of
from schemas.window import ONE_DAY, Window

DAY = date(2024, 3, 10)
ONE = Window.of_days(DAY, DAY)
START = ONE.start
NOON = START + timedelta(hours=12)
KNOWN = datetime(2024, 3, 12, 7, tzinfo=UTC)
COUNTED = ("read", *OUTCOMES)

EVERY_HOW = replace(
    SALES,
    metrics=(
        Metric(name="total", unit="EUR", how="sum", of=("quantity", "price"), description=""),
        Metric(name="level", unit="EUR", how="mean", of=("price",), description=""),
        Metric(name="newest", unit="EUR", how="last", of=("price",), description=""),
        Metric(name="lines", unit="rows", how="count", description=""),
        Metric(name="customers", unit="people", how="distinct", of=("customer_id",), description=""),
    ),
)
NO_ZEROS = replace(SALES, metrics=tuple(replace(metric, fills_with_zero=False) for metric in SALES.metrics))


def staged(*rows: dict[str, Any], dataset: FileDataset = SALES) -> pd.DataFrame:
    """Staged sales: one piece for 1 EUR in the North at noon, each a transaction of its own, unless told otherwise."""
    defaults = {
        "source_id": 1,
        "arrived_at": KNOWN,
        "known_at": KNOWN,
        "transaction_date": NOON,
        "quantity": 1,
        "price": 1.0,
        "region": "North",
        "product_name": "pen",
    }
    told = [{**defaults, "line_no": n, "transaction_id": f"t{n}", **row} for n, row in enumerate(rows, start=1)]
    model = tables_of(dataset.name).staging.model
    return conform(pd.DataFrame(told, columns=None if told else list(model.to_schema().columns)), model)


def values(cleaned: Cleaned, metric: str) -> dict[Any, float]:
    """Value by region and step (only by step if there is one region), of one metric."""
    rows = cleaned.rows[cleaned.rows["metric"] == metric]
    if rows["region"].nunique() > 1:
        return dict(zip(zip(rows["region"], rows["datetime_utc"], strict=True), rows["value"], strict=True))
    return dict(zip(rows["datetime_utc"], rows["value"], strict=True))


def only(cleaned: Cleaned, metric: str) -> "pd.Series[Any]":
    rows = cleaned.rows[cleaned.rows["metric"] == metric]
    assert len(rows) == 1
    return rows.iloc[0]


def counts(cleaned: Cleaned) -> list[int]:
    """read, loaded, duplicate, quarantined, filtered of all days together."""
    return [int(cleaned.accounts[name].sum()) for name in COUNTED]


def assert_same_bits(one: pd.DataFrame, other: pd.DataFrame) -> None:
    assert_frame_equal(one, other, check_exact=True)
    assert one["value"].to_numpy().tobytes() == other["value"].to_numpy().tobytes()


PRICES = st.one_of(
    st.none(),
    st.floats(allow_nan=False, allow_infinity=True),
    st.sampled_from([0.1, 0.2, 0.3, 1e16, -1e16, 1.7e308, -1.7e308]),
)


@st.composite
def staged_frames(draw: st.DrawFn, days: int = 3) -> pd.DataFrame:
    """Repeated transactions (of one day, so that days stand alone), several files, missing cells, any numbers."""
    drawn: list[dict[str, Any]] = draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "transaction_date": st.integers(0, days * 24 * 60 - 1).map(lambda n: START + timedelta(minutes=n)),
                    "transaction_id": st.one_of(st.none(), st.sampled_from("abc")),
                    "customer_id": st.one_of(st.none(), st.sampled_from("xyz")),
                    "quantity": st.one_of(st.none(), st.integers(-5, 5)),
                    "price": PRICES,
                    "region": st.one_of(st.none(), st.sampled_from(["North", "South", "Éast"])),
                    "product_name": st.sampled_from(["pen", "ink"]),
                    "source_id": st.integers(1, 3),
                    "known_at": st.integers(0, 2).map(lambda n: KNOWN + timedelta(hours=n)),
                }
            ),
            max_size=25,
        )
    )
    for row in drawn:
        if row["transaction_id"] is not None:
            row["transaction_id"] += f"{row['transaction_date']:%d}"
    return staged(*drawn)


# The contract


def test_the_columns_are_those_the_ledger_takes() -> None:
    found = series_of(staged({}), SALES, ONE)
    assert list(found.accounts.columns) == ACCOUNT_COLUMNS
    assert list(found.rejects.columns) == REJECT_COLUMNS == LEDGER_REJECT_COLUMNS


@settings(max_examples=20, deadline=None)
@given(frame=staged_frames())
def test_any_rows_satisfy_the_model_in_the_order_of_its_key(frame: pd.DataFrame) -> None:
    window = Window(START, START + 3 * ONE_DAY)
    for dataset in (SALES, EVERY_HOW):
        rows = series_of(frame, dataset, window, superseded=[3]).rows
        tables_of("sales").series.model.validate(rows)
        key = list(tables_of("sales").series.key)
        plain = rows[key].astype({name: object for name in key if name != "datetime_utc"})
        assert_frame_equal(plain, plain.sort_values(key, ignore_index=True))


def test_no_rows_make_no_rows() -> None:
    found = series_of(staged(), SALES, ONE)
    tables_of("sales").series.model.validate(found.rows)
    assert found.rows.empty and found.accounts.empty and found.rejects.empty


def test_a_window_that_cuts_a_day_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"whole UTC days, the window's bound 2024-03-10 12:00:00\+00:00 is none"):
        series_of(staged({}), SALES, Window(NOON, ONE.end))


def test_a_sum_of_text_is_an_error() -> None:
    texts = replace(SALES, metrics=(replace(SALES.metrics[0], of=("customer_id",)),))
    with pytest.raises(ValueError, match="metric revenue: sum of customer_id, which is not numeric"):
        series_of(staged({"customer_id": "Ada"}), texts, ONE)


# Neither order nor cut


@settings(max_examples=25, deadline=None)
@given(frame=staged_frames(), seed=st.integers(0, 1000))
def test_the_order_of_rows_changes_no_bit(frame: pd.DataFrame, seed: int) -> None:
    window = Window(START, START + 3 * ONE_DAY)
    shuffled = frame.sample(frac=1, random_state=seed)
    for dataset in (SALES, EVERY_HOW):
        one, other = (series_of(rows, dataset, window, superseded=[3]) for rows in (frame, shuffled))
        assert_same_bits(one.rows, other.rows)
        assert_frame_equal(one.accounts, other.accounts)
        assert sorted(one.rejects["raw"]) == sorted(other.rejects["raw"])


@settings(max_examples=20, deadline=None)
@given(frame=staged_frames(days=4))
def test_days_at_once_equal_the_same_days_one_by_one(frame: pd.DataFrame) -> None:
    window = Window(START, START + 4 * ONE_DAY)
    pieces = []
    for piece in window.split(ONE_DAY):
        before = frame[frame["transaction_date"] < piece.start].dropna(subset=["region"])
        known = before.rename(columns={"transaction_date": "day"})[["region", "product_name", "day"]]
        of_day = frame[piece.holds(frame["transaction_date"], "left")]
        pieces.append(series_of(of_day, SALES, piece, known_entities=known))
    whole = series_of(frame, SALES, window)
    rows = pd.concat([piece.rows for piece in pieces], ignore_index=True)
    rows = rows.sort_values(list(tables_of("sales").series.key), ignore_index=True)
    assert_same_bits(whole.rows, conform(rows, tables_of("sales").series.model))
    accounts = pd.concat([piece.accounts for piece in pieces], ignore_index=True)
    assert_frame_equal(whole.accounts, accounts, check_dtype=False)


# What a step adds up to


def test_a_sum_is_of_products_and_distinct_counts_different_values() -> None:
    frame = staged(
        {"quantity": 2, "price": 1.25, "transaction_id": "a"},
        {"quantity": -1, "price": 3.0, "transaction_id": "b"},
        {"quantity": 10, "price": 0.5, "transaction_id": "b", "known_at": KNOWN + timedelta(hours=1)},
        {"quantity": 4, "price": 7.0, "region": "South", "transaction_id": "a2"},
    )
    found = series_of(frame, SALES, ONE)
    assert values(found, "revenue") == {("North", START): 7.5, ("South", START): 28.0}
    assert values(found, "quantity") == {("North", START): 12.0, ("South", START): 4.0}
    assert values(found, "orders") == {("North", START): 2.0, ("South", START): 1.0}
    assert set(found.rows["unit"]) == {"EUR", "pieces", "orders"}


def test_mean_last_count_and_distinct() -> None:
    frame = staged(
        {"price": 9.0, "customer_id": "Ada", "transaction_date": NOON + timedelta(hours=3)},
        {"price": 2.0, "customer_id": "Ada", "transaction_date": NOON},
        {"price": 4.0, "customer_id": None, "transaction_date": NOON - timedelta(hours=3)},
    )
    found = series_of(frame, EVERY_HOW, ONE)
    assert {metric: only(found, metric)["value"] for metric in ("level", "newest", "lines", "customers")} == {
        "level": 5.0,
        "newest": 9.0,
        "lines": 3.0,
        "customers": 1.0,
    }


def test_of_rows_at_one_instant_the_newest_is_the_last() -> None:
    frame = staged(
        {"price": 1.0, "source_id": 2}, {"price": 2.0, "known_at": KNOWN + ONE_DAY}, {"price": 3.0, "source_id": 3}
    )
    assert only(series_of(frame, EVERY_HOW, ONE), "newest")["value"] == 2.0


@settings(max_examples=25, deadline=None)
@given(prices=st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=20))
def test_a_sum_is_the_exact_one_rounded_once(prices: list[float]) -> None:
    found = series_of(staged(*({"price": price} for price in prices)), EVERY_HOW, ONE)
    assert only(found, "total")["value"] == float(sum(map(Fraction, prices)))


def test_a_row_without_a_metrics_column_counts_for_the_others() -> None:
    frame = staged({"price": None, "quantity": 3}, {"price": 2.0, "quantity": 5}, {"price": float("inf")})
    found = series_of(frame, SALES, ONE)
    assert (only(found, "revenue")["value"], only(found, "revenue")["samples"]) == (10.0, 1)
    assert (only(found, "quantity")["value"], only(found, "quantity")["samples"]) == (9.0, 3)
    assert counts(found) == [3, 3, 0, 0, 0]


def test_a_step_in_which_no_row_counts_is_null_and_not_zero() -> None:
    row = only(series_of(staged({"price": None}), SALES, ONE), "revenue")
    assert np.isnan(row["value"])
    assert (row["is_valid"], row["is_imputed"], row["samples"], row["flags"], row["source_id"]) == (
        False,
        False,
        0,
        "",
        1,
    )


def test_a_step_is_stamped_with_its_start() -> None:
    readings = pd.DataFrame(
        {
            "source_id": 1,
            "line_no": range(1, 5),
            "arrived_at": KNOWN,
            "known_at": KNOWN,
            "site_id": "s",
            "meter_id": "m",
            "measured_at": [NOON, NOON + timedelta(minutes=59), NOON + timedelta(hours=1), ONE.end],
            "energy_kwh": [1.0, 2.0, 4.0, 8.0],
            "power_kw": [1.0, 2.0, 4.0, 8.0],
        }
    )
    rows = series_of(conform(readings, METERS.staging), METERS, ONE).rows
    assert rows[["metric", "datetime_utc", "value"]].values.tolist() == [
        ["energy", pd.Timestamp(NOON), 3.0],
        ["energy", pd.Timestamp(NOON + timedelta(hours=1)), 4.0],
        ["power", pd.Timestamp(NOON), 1.5],
        ["power", pd.Timestamp(NOON + timedelta(hours=1)), 4.0],
    ]


def test_origin_is_the_last_row_by_event_and_known_at_the_newest_row() -> None:
    frame = staged(
        {"source_id": 7, "transaction_date": NOON + timedelta(hours=2)},
        {"source_id": 8, "known_at": KNOWN + ONE_DAY},
    )
    row = only(series_of(frame, SALES, ONE), "orders")
    assert (row["source_id"], row["line_no"], row["known_at"]) == (7, 1, KNOWN + ONE_DAY)


def test_a_value_out_of_range_is_kept_and_flagged() -> None:
    narrow = replace(SALES, metrics=(replace(SALES.metrics[1], valid=(0, 3)),))
    verdict = {}
    for quantity in (-1, 0, 3, 4):
        row = only(series_of(staged({"quantity": quantity}), narrow, ONE), "quantity")
        verdict[row["value"]] = (row["flags"], row["is_valid"])
    assert verdict == {
        -1.0: ("out_of_range", False),
        0.0: ("", True),
        3.0: ("", True),
        4.0: ("out_of_range", False),
    }


def test_a_sum_too_large_for_a_float_is_null_and_flagged() -> None:
    row = only(series_of(staged({"price": 1.7e308}, {"price": 1.7e308}), SALES, ONE), "revenue")
    assert np.isnan(row["value"])
    assert (row["flags"], row["is_valid"], row["samples"]) == ("out_of_range", False, 2)


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 1, 0)])
def test_a_sum_that_fits_a_float_is_exact_though_a_part_of_it_does_not(order: tuple[int, ...]) -> None:
    prices = (1.7e308, 1.7e308, -1.7e308)
    found = series_of(staged(*({"price": prices[n]} for n in order)), SALES, ONE)
    assert only(found, "revenue")["value"] == 1.7e308


# Which rows count


@pytest.mark.parametrize(
    "newer",
    [
        pytest.param({"known_at": KNOWN + timedelta(seconds=1)}, id="known later"),
        pytest.param({"source_id": 6, "line_no": 1}, id="known at once, from a later file"),
        pytest.param({"line_no": 9}, id="further down in the file"),
    ],
)
@pytest.mark.parametrize("newer_first", [True, False])
def test_of_rows_of_one_key_the_newest_counts(newer: dict[str, Any], newer_first: bool) -> None:
    old = {"transaction_id": "a", "price": 1.0, "source_id": 5, "line_no": 3}
    pair = [old, {**old, "price": 2.0, **newer}]
    found = series_of(staged(*(reversed(pair) if newer_first else pair)), SALES, ONE)
    assert only(found, "revenue")["value"] == 2.0
    assert counts(found) == [2, 1, 1, 0, 0]


def test_a_row_with_a_missing_key_part_is_a_fact_of_its_own() -> None:
    keyed = replace(SALES, key=("transaction_id", "customer_id"))
    frame = staged(*({"transaction_id": "a", "customer_id": None} for _ in range(3)))
    assert counts(series_of(frame, keyed, ONE)) == [3, 3, 0, 0, 0]
    assert counts(series_of(frame.assign(customer_id="Ada"), keyed, ONE)) == [3, 1, 2, 0, 0]


def test_without_a_key_every_row_is_a_fact_of_its_own() -> None:
    frame = staged({"transaction_id": "a"}, {"transaction_id": "a"})
    assert counts(series_of(frame, replace(SALES, key=()), ONE)) == [2, 2, 0, 0, 0]


def test_a_newer_row_about_another_day_stands_for_one_in_the_window_and_is_not_accounted_for() -> None:
    moved = {"transaction_id": "a", "transaction_date": ONE.end, "known_at": KNOWN + ONE_DAY}
    found = series_of(staged({"transaction_id": "a"}, moved), NO_ZEROS, ONE)
    assert found.rows.empty
    assert found.accounts.values.tolist() == [[DAY, "", 1, 0, 1, 0, 0]]


def test_rows_of_superseded_files_are_filtered_and_stand_for_nothing() -> None:
    newer = {"transaction_id": "a", "price": 2.0, "source_id": 2, "known_at": KNOWN + ONE_DAY}
    frame = staged({"transaction_id": "a"}, newer)
    found = series_of(frame, SALES, ONE, superseded={2})
    assert only(found, "revenue")["value"] == 1.0
    assert counts(found) == [2, 1, 0, 0, 1]


def test_where_versions_add_up_no_file_is_superseded() -> None:
    frame = staged({"source_id": 1}, {"source_id": 2})
    assert counts(series_of(frame, replace(SALES, on_new_version="append"), ONE, superseded={2})) == [2, 2, 0, 0, 0]


def test_a_row_without_an_entity_is_put_aside_with_its_reason() -> None:
    frame = staged({}, {"region": None, "product_name": None, "customer_id": "Zoë", "price": 0.1, "source_id": 4})
    found = series_of(frame, SALES, ONE)
    assert counts(found) == [2, 1, 0, 1, 0]
    assert found.rejects.drop(columns="raw").values.tolist() == [
        [DAY, "", "entity missing", "the row belongs to no series without region, product_name", 4, 2]
    ]
    raw = json.loads(found.rejects["raw"][0])
    assert list(raw) == list(frame.columns)
    assert (raw["customer_id"], raw["price"], raw["region"], raw["transaction_date"]) == (
        "Zoë",
        0.1,
        None,
        "2024-03-10T12:00:00+00:00",
    )


def test_a_newer_row_without_an_entity_does_not_stand_for_an_older_one() -> None:
    frame = staged({"transaction_id": "a"}, {"transaction_id": "a", "region": None, "known_at": KNOWN + ONE_DAY})
    assert counts(series_of(frame, SALES, ONE)) == [2, 1, 0, 1, 0]


@settings(max_examples=20, deadline=None)
@given(frame=staged_frames())
def test_every_row_of_the_window_is_accounted_for_once(frame: pd.DataFrame) -> None:
    window = Window(START + ONE_DAY, START + 3 * ONE_DAY)
    found = series_of(frame, SALES, window, superseded=[2])
    held = frame[window.holds(frame["transaction_date"], "left")]
    assert (found.accounts["read"] == found.accounts[list(OUTCOMES)].sum(axis=1)).all()
    by_day = held.groupby(held["transaction_date"].dt.date).size()
    assert dict(zip(found.accounts["day"], found.accounts["read"], strict=True)) == by_day.to_dict()
    assert len(found.rejects) == found.accounts["quarantined"].sum()


# When nothing means zero


def test_a_step_without_rows_is_zero_on_a_day_with_rows() -> None:
    later = NOON + ONE_DAY
    frame = staged({"region": "South"}, {"transaction_date": later, "known_at": KNOWN + timedelta(hours=5)})
    found = series_of(frame, SALES, Window(START, START + 2 * ONE_DAY))
    zero = found.rows[(found.rows["region"] == "South") & (found.rows["datetime_utc"] == START + ONE_DAY)]
    assert list(zero["metric"]) == ["orders", "quantity", "revenue"]
    assert (
        zero[["value", "flags", "is_valid", "is_imputed", "samples"]].values.tolist()
        == [[0.0, "imputed", True, True, 0]] * 3
    )
    assert zero["source_id"].isna().all() and zero["line_no"].isna().all()
    assert set(zero["known_at"]) == {KNOWN + timedelta(hours=5)}
    assert counts(found) == [2, 2, 0, 0, 0]


def test_a_zero_is_not_known_before_its_step_is_over() -> None:
    known = pd.DataFrame({"region": ["South"], "product_name": ["pen"], "day": [START - ONE_DAY]})
    found = series_of(staged({"known_at": NOON}), SALES, ONE, known_entities=known)
    assert set(found.rows.loc[found.rows["is_imputed"], "known_at"]) == {ONE.end}


def test_a_combination_is_not_zero_before_its_first_row() -> None:
    frame = staged({"transaction_date": NOON}, {"transaction_date": NOON + ONE_DAY, "region": "South"})
    found = series_of(frame, SALES, Window(START, START + 2 * ONE_DAY))
    assert ("South", START) not in values(found, "revenue")
    assert values(found, "revenue")["North", START + ONE_DAY] == 0.0


@pytest.mark.parametrize(("days_before", "is_zero"), [(28, True), (29, False)])
@pytest.mark.parametrize("is_in_window", [True, False])
def test_a_combination_is_zero_for_as_long_as_it_is_active(days_before: int, is_zero: bool, is_in_window: bool) -> None:
    silent_since = NOON - days_before * ONE_DAY
    frame, known, window = staged({}), None, ONE
    if is_in_window:
        frame = staged({}, {"region": "South", "transaction_date": silent_since})
        window = ONE.widened(before=days_before * ONE_DAY)
    else:
        known = pd.DataFrame({"region": ["South"], "product_name": ["pen"], "day": [silent_since]})
    rows = series_of(frame, SALES, window, known_entities=known).rows
    there = rows[(rows["region"] == "South") & (rows["datetime_utc"] == START)]
    assert (len(there) > 0) is is_zero
    assert ACTIVE_FOR == 28 * ONE_DAY


def test_a_day_without_a_row_is_unknown() -> None:
    frame = staged({}, {"transaction_date": NOON + 2 * ONE_DAY}, {"transaction_date": NOON + ONE_DAY, "source_id": 2})
    found = series_of(frame, SALES, Window(START, START + 3 * ONE_DAY), superseded={2})
    assert list(values(found, "orders")) == [START, START + 2 * ONE_DAY]


def test_a_day_of_quarantined_rows_has_a_file_all_the_same() -> None:
    frame = staged({}, {"transaction_date": NOON + ONE_DAY, "region": None})
    assert values(series_of(frame, SALES, Window(START, START + 2 * ONE_DAY)), "orders")[START + ONE_DAY] == 0.0


def test_every_step_of_a_finer_cadence_is_filled_for_the_metrics_that_say_so() -> None:
    hourly = replace(SALES, cadence=timedelta(hours=6), metrics=(SALES.metrics[0], NO_ZEROS.metrics[1]))
    found = series_of(staged({"price": 2.0}), hourly, ONE)
    assert values(found, "revenue") == {START + n * timedelta(hours=6): 2.0 * (n == 2) for n in range(4)}
    assert list(values(found, "quantity")) == [NOON]


def test_a_zero_out_of_range_is_not_valid() -> None:
    positive = replace(SALES, metrics=(replace(SALES.metrics[0], valid=(1, 9)),))
    known = pd.DataFrame({"region": ["South"], "product_name": ["pen"], "day": [START - ONE_DAY]})
    rows = series_of(staged({}), positive, ONE, known_entities=known).rows
    assert rows.loc[rows["region"] == "South", ["flags", "is_valid"]].values.tolist() == [
        ["imputed|out_of_range", False]
    ]
