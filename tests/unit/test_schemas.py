"""Table models and specs: every constraint bites, and what a change makes stale follows from what is declared."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandera.errors import SchemaErrors

from schemas.base import columns_of, conform, dtypes_of, empty
from schemas.datasets import DATASETS
from schemas.file_tables import ACTIVE_FOR
from schemas.table_spec import TableSpec
from schemas.tables import LOOK_BACK, TABLES, stale_after, stale_by_event
from tests.builders import feature_rows, report_rows, rows_of, series_rows, staging_rows

BUILDERS: dict[str, Callable[[int], pd.DataFrame]] = {
    **{qualified: partial(rows_of, spec) for qualified, spec in TABLES.items()},
    "staging.openaq_measurements": lambda count: staging_rows([1.0] * count),
    "timeseries.air_quality": lambda count: series_rows([1.0] * count),
    "features.air_quality_hourly": feature_rows,
    "quality.air_quality_report": report_rows,
}
BOUNDS = {
    spec.qualified: [
        (name, check.name, *check.statistics.values())
        for name, column in spec.model.to_schema().columns.items()
        for check in column.checks
        if check.name != "isin"
    ]
    for spec in TABLES.values()
}
SPECS = list(TABLES.values())
TODAY = date(2025, 6, 1)


def named(spec: TableSpec) -> str:
    return spec.qualified


def broken(spec: TableSpec, frame: pd.DataFrame) -> pd.DataFrame:
    """The failure cases; fails if there are none."""
    with pytest.raises(SchemaErrors) as raised:
        spec.model.validate(frame, lazy=True)
    return raised.value.failure_cases


@pytest.mark.parametrize("spec", SPECS, ids=named)
def test_valid_and_empty_frames_pass(spec: TableSpec) -> None:
    spec.model.validate(BUILDERS[spec.qualified](3), lazy=True)
    spec.model.validate(empty(spec.model), lazy=True)


@pytest.mark.parametrize("spec", SPECS, ids=named)
def test_a_column_may_be_null_only_if_it_says_so(spec: TableSpec) -> None:
    columns = spec.model.to_schema().columns
    required = {name for name, column in columns.items() if not column.nullable}
    frame = BUILDERS[spec.qualified](2)
    for name, dtype in dtypes_of(spec.model).items():
        if name not in required:
            frame[name] = pd.Series([None, None], dtype=dtype)
    spec.model.validate(frame, lazy=True)
    for name in required:
        frame[name] = frame[name].astype("object").where([True, False], None)
    assert required == set(broken(spec, frame)["column"])


@pytest.mark.filterwarnings("ignore:The behavior of DataFrame concatenation")  # pandera's, of its own failure cases
@pytest.mark.parametrize("spec", SPECS, ids=named)
def test_another_type_is_refused_in_every_column_and_never_converted(spec: TableSpec) -> None:
    frame = BUILDERS[spec.qualified](2)
    wrong = {name: pd.Series([object(), object()], dtype="object") for name in spec.columns}
    assert set(broken(spec, frame.assign(**wrong))["column"]) == set(spec.columns)
    near = {
        name: frame[name].astype(other)
        for name, dtype in dtypes_of(spec.model).items()
        for word, other in (
            ("datetime", "datetime64[ns, UTC]"),
            ("int64", "int32"),
            ("float64", "float32"),
            ("bool", "int64"),
        )
        if str(dtype).startswith(word) and str(dtype) != "boolean"
    }
    assert set(broken(spec, frame.assign(**near))["column"]) >= set(near)


@pytest.mark.parametrize("spec", SPECS, ids=named)
@pytest.mark.parametrize("place", [0, 1, -1])
def test_a_missing_a_misplaced_and_a_surplus_column_are_refused(spec: TableSpec, place: int) -> None:
    frame = BUILDERS[spec.qualified](1)
    name = spec.columns[place]
    broken(spec, frame.drop(columns=name))
    broken(spec, frame.assign(**{f"{name}_more": 1}))
    others = [other for other in frame if other != name]
    broken(spec, frame[[name, *others] if place else [*others, name]])


@pytest.mark.parametrize("check", ["greater_than_or_equal_to", "less_than_or_equal_to"])
@pytest.mark.parametrize("spec", SPECS, ids=named)
def test_every_bound_holds_at_its_edge_and_breaks_behind_it(spec: TableSpec, check: str) -> None:
    bounds = {name: bound for name, kind, bound in BOUNDS[spec.qualified] if kind == check}
    if not bounds:
        assert check == "less_than_or_equal_to"
        return
    frame = BUILDERS[spec.qualified](2)
    for name, bound in bounds.items():
        frame[name] = pd.Series([bound, bound], dtype=frame[name].dtype)
    key = [name for name in spec.key if name in bounds]
    frame = frame.assign(**{name: BUILDERS[spec.qualified](2)[name] for name in key if name != "location_id"})
    spec.model.validate(frame, lazy=True)
    step = 1 if check.startswith("less") else -1
    for name, bound in bounds.items():
        frame.loc[1, name] = bound + step
    failures = broken(spec, frame)
    assert sorted(failures["column"]) == sorted(bounds)
    assert set(failures["index"]) == {1}


@pytest.mark.parametrize("spec", SPECS, ids=named)
def test_a_category_nobody_declared_is_refused(spec: TableSpec) -> None:
    columns = spec.model.to_schema().columns
    for name in [name for name, column in columns.items() if any(check.name == "isin" for check in column.checks)]:
        frame = BUILDERS[spec.qualified](2)
        frame.loc[1, name] = "nowhere"
        failures = broken(spec, frame)
        assert list(failures["column"]) == [name]
        assert list(failures["index"]) == [1]


def test_no_check_is_of_a_kind_these_tests_do_not_break() -> None:
    columns = [column for spec in SPECS for column in spec.model.to_schema().columns.values()]
    kinds = {check.name for column in columns for check in column.checks}
    assert kinds == {"greater_than_or_equal_to", "less_than_or_equal_to", "isin"}


@pytest.mark.parametrize("spec", SPECS, ids=named)
def test_the_key_of_a_row_is_unique_and_never_null(spec: TableSpec) -> None:
    frame = BUILDERS[spec.qualified](2)
    again = pd.concat([frame, frame.iloc[[0]]], ignore_index=True)
    assert set(broken(spec, again)["schema_context"]) == {"DataFrameSchema"}
    columns = spec.model.to_schema().columns
    assert not any(columns[name].nullable for name in spec.key)
    assert set(spec.model.to_schema().unique or ()) == set(spec.key)


@pytest.mark.parametrize("spec", SPECS, ids=named)
def test_every_column_is_described_with_its_unit(spec: TableSpec) -> None:
    words = {"_ugm3": ("µg/m³",), "_pct": ("percent", "score", "mean of"), "_per_h": ("per hour",), "_at": ("when",)}
    for name, column in spec.model.to_schema().columns.items():
        assert column.description, name
        for suffix, any_of in words.items():
            assert not name.endswith(suffix) or any(word in column.description for word in any_of), name


@pytest.mark.parametrize("spec", SPECS, ids=named)
def test_instants_are_utc_in_microseconds(spec: TableSpec) -> None:
    stamps = [dtype for dtype in dtypes_of(spec.model).values() if "datetime" in str(dtype)]
    assert {str(dtype) for dtype in stamps} == {"datetime64[us, UTC]"}


@pytest.mark.parametrize("spec", SPECS, ids=named)
def test_a_table_is_declared_under_its_own_name(spec: TableSpec) -> None:
    assert TABLES[spec.qualified] is spec
    assert spec.qualified == f"{spec.schema}.{spec.name}"
    assert "".join(part.title() for part in spec.name.split("_")) == spec.model.__name__
    assert spec.model.__doc__
    assert set(spec.content).isdisjoint({*spec.origin, spec.known_at})
    assert all(read.table in TABLES for read in spec.reads)
    assert all(whole.seconds == 0 for read in spec.reads for whole in (read.before, read.after))


@pytest.mark.parametrize(
    "wrong",
    [{"key": ("nobody",)}, {"key": ("day",), "time_column": "known_at"}, {"unit": "nobody"}, {"origin": ("nobody",)}],
)
def test_a_spec_that_names_what_is_not_there_is_refused(wrong: dict[str, Any]) -> None:
    sound = TABLES["quality.air_quality_report"]
    with pytest.raises(ValueError, match="air_quality_report"):
        TableSpec(**({"schema": sound.schema, "name": sound.name, "model": sound.model, "key": sound.key} | wrong))


@given(st.sampled_from(SPECS), st.dates(TODAY - timedelta(days=30), TODAY))
def test_what_is_stale_after_a_change_is_what_reads_it(spec: TableSpec, changed: date) -> None:
    found = list(stale_after(spec.qualified, changed, today=TODAY))
    expected = {
        (reader.qualified, day)
        for reader in SPECS
        for read in reader.reads
        if read.table == spec.qualified and read.marks and not read.by_event
        for day in (changed + timedelta(days=n) for n in range(-60, 61))
        if day <= TODAY
        if day - read.before <= changed <= day + read.after
    }
    assert set(found) == expected


def test_rows_of_a_file_make_stale_the_days_they_are_about_and_those_that_count_on_them() -> None:
    march, tomorrow = date(2025, 3, 1), TODAY + timedelta(days=1)
    assert list(stale_after("staging.sales_data", TODAY, today=TODAY)) == [("quality.sales_staging", TODAY)]
    assert set(stale_by_event("staging.sales_data", march, today=TODAY)) == {
        ("timeseries.sales", march + timedelta(days=n)) for n in range(ACTIVE_FOR.days + 1)
    }
    assert list(stale_by_event("staging.meter_readings", march, today=TODAY)) == [("timeseries.meters", march)]
    assert list(stale_by_event("timeseries.sales", march, today=TODAY)) == []
    assert list(stale_by_event("staging.meter_readings", date(2014, 12, 31), today=TODAY)) == []
    assert list(stale_by_event("staging.sales_data", tomorrow, today=TODAY)) == [("timeseries.sales", tomorrow)]


def test_late_data_of_a_day_reach_the_features_of_the_week_after_it() -> None:
    day = date(2025, 3, 1)
    found = {
        one for table, one in stale_after("timeseries.air_quality", day, today=TODAY) if table.startswith("features")
    }
    assert found == {day + timedelta(days=n) for n in range(LOOK_BACK.days + 1)}
    cleaned = {
        one for table, one in stale_after("staging.openaq_measurements", day, today=TODAY) if "timeseries" in table
    }
    assert cleaned == {day - timedelta(days=1), day, day + timedelta(days=1)}


def test_nothing_is_stale_after_today() -> None:
    days = {day for _, day in stale_after("timeseries.air_quality", TODAY - timedelta(days=1), today=TODAY)}
    assert max(days) == TODAY


def test_conform_orders_fills_and_refuses() -> None:
    model = TABLES["staging.openaq_measurements"].model
    rows = staging_rows([1.0, 2.0])
    shuffled = rows[list(reversed(columns_of(model)))].drop(columns="interval_s").set_axis([5, 9])
    pd.testing.assert_frame_equal(conform(shuffled, model), rows)
    with pytest.raises(KeyError, match="no column 'surplus'"):
        conform(rows.assign(surplus=1), model)
    with pytest.raises(KeyError, match="parameter is missing"):
        conform(rows.drop(columns="parameter"), model)
    with pytest.raises((TypeError, ValueError)):
        conform(rows.assign(line_no=["one", "two"]), model)


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
def test_a_dataset_is_consistent_in_itself(dataset: Any) -> None:
    assert DATASETS[dataset.name] is dataset
    assert datetime.fromisoformat(dataset.first_day).replace(tzinfo=UTC) < datetime.now(UTC)
    for name, measure in dataset.measures.items():
        assert name == measure.name
        assert measure.possible[0] < measure.valid[0] < measure.valid[1] < measure.possible[1]
        assert measure.noise_floor < measure.valid[0]
