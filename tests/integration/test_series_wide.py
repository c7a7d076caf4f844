"""Wide series features through the graph: both kinds of datasets, twice the same, nothing stale, the extra missing."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from schemas.file_tables import tables_of
from schemas.series_wide import SeriesWide
from schemas.tables import AIR_QUALITY, OPENAQ_MEASUREMENTS, SERIES_WIDE
from schemas.window import ONE_DAY, midnight
from tests.file_graph import FileGraph
from tests.graph import failure_of
from tests.written_sales import sale, written

ROOT = Path(__file__).resolve().parents[2]
FIRST, LAST = date(2026, 3, 1), date(2026, 3, 20)
PRODUCTS = ("Lamp", "Desk", "Chair")
WINDOW_DAYS = 7
OP = SERIES_WIDE.qualified.replace(".", "__")
TABLE = [SERIES_WIDE.qualified]


def config(**given: Any) -> dict[str, Any]:
    return {"ops": {OP: {"config": {"window_days": WINDOW_DAYS, "datasets": ["sales"]} | given}}}


def sold() -> bytes:
    """A sale a day and product, of prices that wander."""
    chance = np.random.default_rng(5)
    days = [FIRST + n * ONE_DAY for n in range((LAST - FIRST).days + 1)]
    return written(
        sale(
            number * 100 + n,
            product_name=product,
            quantity=str(int(chance.integers(1, 9))),
            price=f"{10 + number + chance.random():.2f}",
            transaction_date=day.isoformat(),
        )
        for number, product in enumerate(PRODUCTS)
        for n, day in enumerate(days)
    )


@pytest.fixture(scope="module")
def graph(module_postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileGraph]:
    """Twenty days of sales as series."""
    with dg.DagsterInstance.ephemeral() as instance:
        graph = FileGraph(module_postgres_url, tmp_path_factory.mktemp("wide"), instance)
        graph.drop("sales", "sales.csv", sold())
        assert graph.load("sales").success
        result = graph.run(FIRST, LAST, tables=[tables_of("sales").series.qualified])
        assert result.success, failure_of(result)
        graph.forget_dirty_days()
        yield graph


@pytest.fixture(scope="module")
def filled(graph: FileGraph) -> tuple[dg.ExecuteInProcessResult, pd.DataFrame]:
    """The run of the last three days, the newest of which has no day after it, and what it wrote."""
    result = graph.run(LAST - 2 * ONE_DAY, LAST, tables=TABLE, config=config())
    assert result.success, failure_of(result)
    return result, graph.rows(SERIES_WIDE)


def metadata_of(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """Per partition, what the run says of it."""
    told: dict[str, dict[str, Any]] = {}
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
            materialization = event.step_materialization_data.materialization
            told[str(materialization.partition)] = {key: value.value for key, value in materialization.metadata.items()}
    return told


def test_three_days_have_features_of_every_series(filled: tuple[dg.ExecuteInProcessResult, pd.DataFrame]) -> None:
    _, rows = filled
    SeriesWide.validate(rows)
    ends = {pd.Timestamp(midnight(LAST - n * ONE_DAY + ONE_DAY)) for n in range(3)}
    assert set(rows["datetime_utc"]) == ends
    assert set(rows["dataset"]) == {"sales"}
    assert set(rows["metric"]) == {"revenue", "quantity", "orders"}
    assert rows.groupby(["entity", "metric", "datetime_utc"]).size().nunique() == 1
    assert rows["entity"].nunique() == len(PRODUCTS)


def test_values_are_those_of_the_series(
    graph: FileGraph, filled: tuple[dg.ExecuteInProcessResult, pd.DataFrame]
) -> None:
    _, rows = filled
    series = graph.rows(tables_of("sales").series)
    end = midnight(LAST + ONE_DAY)
    inside = series[(series["datetime_utc"] >= end - WINDOW_DAYS * ONE_DAY) & (series["metric"] == "revenue")]
    expected = inside.groupby("product_name")["value"].mean()
    found = rows[(rows["datetime_utc"] == end) & (rows["metric"] == "revenue") & (rows["feature"] == "mean")]
    means = {entity: value for entity, value in zip(found["entity"], found["value"], strict=True)}
    spelled = {f'{{"region": "North", "product_name": "{product}"}}': mean for product, mean in expected.items()}
    assert means == pytest.approx(spelled)


def test_there_is_a_verdict_but_for_the_newest_day(
    filled: tuple[dg.ExecuteInProcessResult, pd.DataFrame],
) -> None:
    _, rows = filled
    newest = rows["datetime_utc"] == midnight(LAST + ONE_DAY)
    assert rows.loc[newest, ["p_value", "is_selected"]].isna().all(axis=None)
    earlier = rows[~newest & (rows["metric"] == "revenue")]
    assert earlier["is_selected"].notna().all()
    assert earlier["p_value"].notna().any()
    # Each product sells once a day: the target is always the same, so nothing can be told of it.
    assert rows.loc[rows["metric"] == "orders", "is_selected"].isna().all()


def test_the_metadata_of_a_day_tell_what_was_found(filled: tuple[dg.ExecuteInProcessResult, pd.DataFrame]) -> None:
    result, rows = filled
    told = metadata_of(result)
    for n in range(3):
        day = LAST - n * ONE_DAY
        of_day = rows[rows["datetime_utc"] == midnight(day + ONE_DAY)]
        found = told[day.isoformat()]
        assert found["series"] == of_day[["entity", "metric"]].drop_duplicates().shape[0]
        assert found["features_per_series"] == of_day["feature"].nunique()
        tested = of_day.dropna(subset="p_value")[["metric", "feature"]].drop_duplicates()
        assert found["features_tested"] == len(tested)
        assert ("| dataset" in found["top_features"]) == (found["features_selected"] > 0)


def test_a_day_by_itself_is_the_same_as_in_a_range_and_changes_nothing(
    graph: FileGraph, filled: tuple[dg.ExecuteInProcessResult, pd.DataFrame]
) -> None:
    _, before = filled
    result = graph.run(LAST - ONE_DAY, tables=TABLE, config=config(), as_day=True)
    assert result.success, failure_of(result)
    (told,) = metadata_of(result).values()
    assert told["rows_unchanged"] > 0
    assert (told["rows_inserted"], told["rows_changed"], told["rows_vanished"]) == (0, 0, 0)
    pd.testing.assert_frame_equal(graph.rows(SERIES_WIDE), before)


def test_nothing_becomes_stale_by_it_nor_it_by_anything(
    graph: FileGraph, filled: tuple[dg.ExecuteInProcessResult, pd.DataFrame]
) -> None:
    assert graph.dirty() == set()
    graph.drop("sales", "more.csv", written([sale(9000, transaction_date=LAST.isoformat(), product_name="Lamp")]))
    assert graph.load("sales").success
    result = graph.run(LAST, tables=[tables_of("sales").series.qualified])
    assert result.success, failure_of(result)
    stale = {table for table, _ in graph.dirty()}
    assert tables_of("sales").features.qualified in stale
    assert SERIES_WIDE.qualified not in stale


def test_the_other_datasets_stay_as_they_are(
    graph: FileGraph, filled: tuple[dg.ExecuteInProcessResult, pd.DataFrame]
) -> None:
    _, before = filled
    result = graph.run(LAST - ONE_DAY, tables=TABLE, config=config(datasets=["meters"]))
    assert result.success, failure_of(result)
    pd.testing.assert_frame_equal(graph.rows(SERIES_WIDE), before)


def test_hours_of_air_are_read_from_its_declaration(graph: FileGraph) -> None:
    first = date(2025, 3, 1)
    graph.generate(first, first + ONE_DAY)
    loaded = graph.run(first, first + ONE_DAY, tables=[OPENAQ_MEASUREMENTS.qualified, AIR_QUALITY.qualified])
    assert loaded.success, failure_of(loaded)
    result = graph.run(first, tables=TABLE, config=config(datasets=["openaq"], window_days=2))
    assert result.success, failure_of(result)
    rows = graph.rows(SERIES_WIDE)
    rows = rows[(rows["dataset"] == "openaq") & (rows["feature"] == "maximum")]
    series = graph.rows(AIR_QUALITY)
    day = series[series["is_valid"] & (series["datetime_utc"] <= midnight(first + ONE_DAY))]
    hourly = day.groupby(["location_id", "parameter", "datetime_utc"])["value"].mean()
    expected = hourly.groupby(["location_id", "parameter"]).agg(["size", "max"])
    expected = expected.loc[expected["size"] >= 7, "max"]
    found = {(entity, metric): value for entity, metric, value in rows[["entity", "metric", "value"]].to_numpy()}
    assert found == pytest.approx(
        {(f'{{"location_id": {one}}}', metric): top for (one, metric), top in expected.items()}
    )


def test_the_first_and_the_running_day_can_be_asked_for(graph: FileGraph) -> None:
    assert SERIES_WIDE.first_day is not None
    for day in (SERIES_WIDE.first_day, datetime.now(UTC).date()):
        result = graph.run(day, tables=TABLE, config=config(datasets=["openaq", "meters"], window_days=2))
        assert result.success, failure_of(result)


def test_a_dataset_nobody_declared_is_refused_by_name(graph: FileGraph) -> None:
    result = graph.run(LAST, tables=TABLE, config=config(datasets=["sales", "weather"]))
    assert not result.success
    assert "no series of weather are declared: there are openaq" in failure_of(result)


def test_without_the_extra_the_run_says_what_to_install(graph: FileGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "tsfresh"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tsfresh", None)
    result = graph.run(LAST, tables=TABLE, config=config())
    assert not result.success
    assert "pip install 'tidemark[tsfresh]'" in failure_of(result)


def test_definitions_load_without_tsfresh() -> None:
    code = """
import sys
sys.modules["tsfresh"] = None
from assets_pkg.definitions import build_definitions
from resources.wiring import Settings, build_resources
chosen = Settings(_env_file=None)
definitions = build_definitions(build_resources(chosen), chosen)
assert "wide_series_features" in {job.name for job in definitions.resolve_all_job_defs()}
assert not [name for name in sys.modules if name.startswith("tsfresh.")]
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_nothing_runs_it_but_a_person(graph: FileGraph) -> None:
    key = dg.AssetKey(SERIES_WIDE.qualified.split("."))
    (spec,) = (spec for spec in graph.definitions.resolve_all_asset_specs() if spec.key == key)
    assert spec.automation_condition is None
    for sensor in graph.definitions.sensors or ():
        selection = sensor.asset_selection
        if selection is not None:
            assert key not in selection.resolve(graph.definitions.resolve_asset_graph())
    assert {schedule.job_name for schedule in graph.definitions.schedules or ()} & {"wide_series_features"} == set()
