"""Importance, feature sets and scaling in the graph: of features the IO manager wrote, shown, stored, told to Feast."""

import importlib
import json
import warnings
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from assets_pkg import cli
from assets_pkg.automation import build_selection_schedule
from assets_pkg.features import selection_assets
from resources.catalog.feature_rows import histories
from resources.feast.configuration import libpq_variables
from resources.feast.feature_sets import stored
from schemas.feature_set import FeatureSet
from schemas.tables import FEATURE_SCALING, FEATURE_SETS, IMPORTANCE, TABLES
from schemas.window import Window
from tests.features import DAYS, ENTITIES, LAST, SALES, planted
from tests.graph import Graph, failure_of
from tests.served import Serving

VIEW = "sales_features"
SMALL = {"views": [VIEW], "models": 1, "repeats": 1, "population": 12, "generations": 4}
ALL = (FEATURE_SCALING, IMPORTANCE, FEATURE_SETS)
WRITTEN = Window.of_days(LAST - timedelta(days=DAYS - 1), LAST)


@pytest.fixture
def graph(postgres_url: str, tmp_path: Path) -> Iterator[Graph]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Graph(postgres_url, tmp_path, instance=instance)


def write(graph: Graph, tmp_path: Path, rows: pd.DataFrame) -> None:
    """Stores feature rows as a run of their asset does."""
    serving = Serving(graph.timescale.database_url, tmp_path)
    assert serving.write(rows, WRITTEN.days()[0], WRITTEN.days()[-1], instance=graph.instance).success


def select(
    graph: Graph, first: date = LAST, last: date | None = None, specs: Any = ALL, **config: Any
) -> dg.ExecuteInProcessResult:
    chosen = SMALL | config
    scaling = {name: value for name, value in chosen.items() if name in ("views", "window_days", "most_rows")}
    ops = {
        spec.qualified.replace(".", "__"): {"config": scaling if spec is FEATURE_SCALING else chosen} for spec in specs
    }
    return graph.run(first, last, tables=[spec.qualified for spec in specs], config={"ops": ops})


def content(graph: Graph) -> dict[str, str]:
    return {spec.name: graph.rows(spec).to_json() for spec in ALL}


def sets_that_feast_apply_finds(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> list[FeatureSet]:
    """What the repository reads when Feast's command line imports it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        definitions = importlib.import_module("feature_repo.definitions")
    for name, value in libpq_variables(graph.timescale.database_url).items():
        monkeypatch.setenv(name, value)
    found: list[FeatureSet] = definitions.feature_sets()
    return found


def shown(result: dg.ExecuteInProcessResult, table: str) -> dict[str, Any]:
    """The metadata of the newest partition of the run."""
    found = [event for event in result.get_asset_materialization_events() if event.asset_key.path[-1] == table]
    return {name: value.value for name, value in found[-1].materialization.metadata.items()}


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take longer than all else, and others test them."""
    for name in ("importance_picture", "sets_picture"):
        monkeypatch.setattr(selection_assets, name, lambda _: b"")


def test_features_are_found_out_about_stored_shown_and_told_to_feast(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TIDEMARK_DATABASE_URL", graph.timescale.database_url)
    assert cli.main(["feature-sets", "list"]) == 0
    assert "No feature set was found yet" in capsys.readouterr().out
    rows = planted()
    write(graph, tmp_path, rows)
    result = select(graph)
    assert result.success, failure_of(result)
    found = graph.rows(IMPORTANCE)
    targets = {one.name for one in SALES.served.predicts} if SALES.served else set()
    assert set(found["target"]) == targets
    assert set(found["day"]) == {pd.Timestamp(LAST, tz="UTC")}
    of_revenue = found[found["target"] == "next_revenue"].set_index("feature")
    assert of_revenue.loc["revenue_mean_7", "rank"] <= 2 and of_revenue.loc["revenue_mean_7", "is_significant"]
    assert (found["test_from"] - found["train_until"] > pd.Timedelta(days=1)).all()

    sets = graph.rows(FEATURE_SETS)
    assert sets.groupby("target")["is_all"].sum().to_dict() == dict.fromkeys(targets, 1)
    with graph.connect() as connection:
        told = {one.name: set(one.members) for one in stored(connection)}
    assert told == {one.feature_set: set(json.loads(one.members)) for one in sets.itertuples()}
    services = {service.name: service for service in graph.feast.store.list_feature_services()}
    assert set(told) <= set(services)
    one = next(iter(told))
    (projection,) = services[one].feature_view_projections
    assert projection.name == VIEW and {field.name for field in projection.features} == told[one]

    assert {one.name: set(one.members) for one in sets_that_feast_apply_finds(graph, monkeypatch)} == told
    assert cli.main(["feature-sets", "list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in told)
    assert listed.count("recommended") == sets["is_knee"].sum() and listed.count("all features") == len(targets)

    scaling = graph.rows(FEATURE_SCALING).set_index("feature")
    fitted = rows[rows["datetime_utc"] > pd.Timestamp(LAST, tz="UTC") - pd.Timedelta(days=28)]["revenue"]
    assert scaling.loc["revenue", "rows"] == len(fitted) == 28 * len(ENTITIES)
    assert scaling.loc["revenue", "median"] == np.median(fitted)
    assert scaling.loc["revenue", "mean"] == pytest.approx(fitted.mean(), rel=1e-12)

    for table in ("importance", "feature_sets"):
        text = shown(result, table)[f"{VIEW}: next_revenue"]
        assert ("data:image/png;base64," in text and "| revenue" in text.replace("\\", "")) or "revenue\\_mean" in text
    assert shown(result, "feature_scaling")[f"{VIEW}: scaling_version"] == scaling["scaling_version"].iloc[0]

    before = content(graph)
    monkeypatch.setattr(selection_assets, "importance_picture", lambda _: b"")
    again = select(graph)
    assert again.success, failure_of(again)
    assert content(graph) == before
    assert all(shown(again, spec.name)["rows_inserted"] == 0 for spec in ALL)
    assert not {spec.qualified for spec in ALL} & set(graph.dirty())


@pytest.mark.usefixtures("without_pictures")
def test_only_the_days_and_views_that_are_asked_for_change_and_none_knows_a_later_row(
    graph: Graph, tmp_path: Path
) -> None:
    rows, day = planted(), LAST - timedelta(days=9)
    write(graph, tmp_path, rows)
    assert select(graph, day, day + timedelta(days=1), specs=(FEATURE_SCALING,)).success
    assert select(graph, day, specs=(IMPORTANCE,)).success
    before = graph.rows(IMPORTANCE), graph.rows(FEATURE_SCALING)
    assert {one.date() for one in before[0]["day"]} == {day}
    assert {one.date() for one in before[1]["day"]} == {day, day + timedelta(days=1)}
    later = rows["datetime_utc"] >= pd.Timestamp(day + timedelta(days=1), tz="UTC")
    write(graph, tmp_path, rows.assign(revenue=rows["revenue"].where(~later, 1e6 + rows["orders"])))
    assert select(graph, day, specs=(FEATURE_SCALING, IMPORTANCE)).success
    pd.testing.assert_frame_equal(graph.rows(IMPORTANCE), before[0])
    pd.testing.assert_frame_equal(graph.rows(FEATURE_SCALING), before[1])
    other = select(graph, day, specs=(FEATURE_SCALING,), views=["meters_features"])
    assert other.success and "no rows" in shown(other, "feature_scaling")["meters_features: why none"]
    pd.testing.assert_frame_equal(graph.rows(FEATURE_SCALING), before[1])


def test_views_without_rows_and_unknown_views_have_answers(graph: Graph) -> None:
    everything = select(graph, views=[])
    assert everything.success, failure_of(everything)
    for spec in ALL:
        assert graph.rows(spec).empty
    assert "no rows" in shown(everything, "importance")["air_quality_hourly: pm25_in_24h: note"]
    unknown = select(graph, views=["nobody"], specs=(IMPORTANCE,))
    assert not unknown.success
    assert "no view nobody is served; views are air_quality_hourly" in failure_of(unknown)


def test_what_is_read_is_whole_entities_and_the_same_ones(graph: Graph, tmp_path: Path) -> None:
    write(graph, tmp_path, planted())
    every = histories(graph.timescale, SALES, WRITTEN, most_rows=10_000)
    assert (every.entities_read, len(every.rows), every.rows_there) == (6, 360, 360)
    some = histories(graph.timescale, SALES, WRITTEN, most_rows=150)
    assert (some.entities_read, len(some.rows), some.entities, some.rows_there) == (2, 120, 6, 360)
    pd.testing.assert_frame_equal(histories(graph.timescale, SALES, WRITTEN, most_rows=150).rows, some.rows)
    assert histories(graph.timescale, SALES, WRITTEN, most_rows=1).entities_read == 1
    last = Window.of_days(LAST, LAST)
    assert set(histories(graph.timescale, SALES, last, most_rows=100).rows["datetime_utc"]) == {
        pd.Timestamp(last.start)
    }


def test_once_a_week_the_week_that_ended_is_looked_at() -> None:
    schedule = build_selection_schedule()
    context = dg.build_schedule_context(
        scheduled_execution_time=pd.Timestamp("2025-03-31 05:00", tz="UTC").to_pydatetime()
    )
    (request,) = schedule.evaluate_tick(context).run_requests
    assert request.tags["dagster/asset_partition_range_start"] == "2025-03-30"
    assert request.tags["dagster/asset_partition_range_end"] == "2025-03-30"


def test_every_view_that_is_served_is_read_and_marks_nothing() -> None:
    served = {qualified for qualified, spec in TABLES.items() if spec.served}
    for spec in ALL:
        assert {read.table for read in spec.reads} == served
        assert not any(read.marks for read in spec.reads)
