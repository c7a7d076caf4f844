"""Every run that ended has a summary; a tracking server gets each once, and what it missed when it is back."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from assets_pkg import finished_runs
from assets_pkg.finished_runs import build_finished_runs_sensor
from resources.catalog.runs import PipelineRun, ran
from resources.catalog.schema import CatalogedTimescale
from resources.errors import ConfigurationError, SourceUnavailable
from resources.tracking import RUN_TAG, TrackingResource
from schemas.catalog import LEDGER
from schemas.catalog_rules import RULE_RESULTS
from schemas.catalog_runs import RUN_SUMMARIES
from schemas.tables import AIR_QUALITY_HOURLY, OPENAQ_MEASUREMENTS

SECRET = "canary-2c8f17"
DAY = "2025-03-02"


@dg.asset(key=OPENAQ_MEASUREMENTS.qualified.split("."), partitions_def=dg.DailyPartitionsDefinition("2025-03-01"))
def measurements(context: dg.AssetExecutionContext, timescale: CatalogedTimescale) -> None:
    _fill(timescale, OPENAQ_MEASUREMENTS.qualified, context, read=10, loaded=8, quarantined=2, written=8)


@dg.asset(
    key=AIR_QUALITY_HOURLY.qualified.split("."),
    partitions_def=dg.DailyPartitionsDefinition("2025-03-01"),
    deps=[measurements],
)
def hourly(context: dg.AssetExecutionContext, timescale: CatalogedTimescale) -> None:
    _fill(timescale, AIR_QUALITY_HOURLY.qualified, context, read=24, loaded=24, written=24)


@dg.asset(key=["staging", "broken"])
def broken() -> None:
    raise ValueError(f"no answer from postgresql://reader:{SECRET}@host/db")


def _fill(timescale: CatalogedTimescale, table: str, context: dg.AssetExecutionContext, **counts: int) -> None:
    """What a write leaves in the catalog, and rules that were judged on it."""
    day = context.partition_time_window.start.date()
    with timescale.connect() as connection:
        entry = {"table_name": table, "day": day, "unit": "1", "run_id": context.run.run_id}
        connection.execute(sa.insert(LEDGER).values(**entry, **counts))
        connection.execute(
            ran(
                PipelineRun(
                    table_name=table,
                    run_id=context.run.run_id,
                    first_day=day,
                    last_day=day,
                    started_at=context.partition_time_window.start,
                )
            )
        )
        for rule, outcome in (("a", "passed"), ("b", "failed"), ("c", "passed"), ("d", "not enough data")):
            connection.execute(
                sa.insert(RULE_RESULTS).values(
                    table_name=table,
                    day=day,
                    rule=rule,
                    kind="range",
                    severity="warning",
                    outcome=outcome,
                    passed=outcome != "failed",
                    checked=1,
                    failed=0,
                    message="",
                    run_id=context.run.run_id,
                )
            )


class Stand:
    """Two assets of declared tables, one that fails, and the sensor."""

    def __init__(self, url: str, instance: dg.DagsterInstance, tracking_url: str = "") -> None:
        self.instance, self.timescale = instance, CatalogedTimescale(database_url=url)
        self.tracking = TrackingResource(url=tracking_url)
        self.definitions = dg.Definitions(
            assets=[measurements, hourly, broken],
            sensors=[build_finished_runs_sensor()],
            resources={"timescale": self.timescale, "tracking": self.tracking},
            executor=dg.in_process_executor,
        )
        self.cursor: str | None = None

    def run(self, *assets: dg.AssetsDefinition, **options: Any) -> str:
        job = self.definitions.resolve_implicit_global_asset_job_def()
        keys = [asset.key for asset in assets]
        done = job.execute_in_process(instance=self.instance, asset_selection=keys, raise_on_error=False, **options)
        return done.run_id

    def tick(self) -> str:
        """What one tick says."""
        sensor = self.definitions.resolve_sensor_def("finished_runs")
        with dg.build_sensor_context(
            instance=self.instance,
            resources={"timescale": self.timescale, "tracking": self.tracking},
            cursor=self.cursor,
            definitions=self.definitions,
        ) as context:
            data = sensor.evaluate_tick(context)
        self.cursor = data.cursor
        return str(data.skip_message)

    def summaries(self) -> dict[str, Any]:
        with self.timescale.connect() as connection:
            return {row.run_id: row for row in connection.execute(sa.select(RUN_SUMMARIES))}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def test_a_run_that_ended_has_a_summary(postgres_url: str, instance: dg.DagsterInstance) -> None:
    stand = Stand(postgres_url, instance)
    good = stand.run(measurements, hourly, partition_key=DAY)
    bad = stand.run(broken)
    assert stand.tick() == "2 run(s) summarised"
    found = stand.summaries()
    assert found.keys() == {good, bad}
    one = found[good]
    assert (one.status, one.datasets, str(one.first_day), str(one.last_day)) == ("succeeded", ["openaq"], DAY, DAY)
    assert one.tables == [AIR_QUALITY_HOURLY.qualified, OPENAQ_MEASUREMENTS.qualified]
    assert (one.rows_read, one.rows_written, one.rows_quarantined) == (34, 32, 2)
    assert (one.records_ingested, one.rules_judged, one.rules_passed) == (8, 6, 4)
    assert one.feature_count == len(AIR_QUALITY_HOURLY.features)
    assert one.duration_s > 0 and one.code_version and one.tracked_at is None
    assert found[bad].status == "failed" and "no answer from postgresql://***@host/db" in found[bad].error
    assert SECRET not in found[bad].error


def test_each_run_is_taken_in_once_and_none_is_left_out(
    postgres_url: str, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finished_runs, "MOST_RUNS", 2)
    stand = Stand(postgres_url, instance)
    runs = {stand.run(broken) for _ in range(3)}
    assert [stand.tick(), stand.tick(), stand.tick()] == ["2 run(s) summarised", "1 run(s) summarised", "nothing new"]
    assert stand.summaries().keys() == runs
    stand.cursor = '{"PIPELINE_FAILURE": 1000000}'  # of a Dagster database that is gone
    assert "summarised" in stand.tick()


def test_a_database_that_is_away_keeps_the_place(postgres_url: str, instance: dg.DagsterInstance) -> None:
    stand = Stand(postgres_url, instance)
    run = stand.run(broken)
    there = stand.timescale
    stand.timescale = CatalogedTimescale(database_url="postgresql://nobody@127.0.0.1:1/none?connect_timeout=2")
    assert "it is tried again" in stand.tick() and not stand.cursor
    stand.timescale = there
    assert stand.tick() == "1 run(s) summarised" and stand.summaries().keys() == {run}


def test_mlflow_gets_each_run_once_and_what_it_missed(
    postgres_url: str, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a database takes it twenty seconds to make
    stand = Stand(postgres_url, instance, "http://127.0.0.1:1")
    good, bad = stand.run(measurements, hourly, partition_key=DAY), stand.run(broken)
    assert "does not answer" in stand.tick()
    assert len(stand.summaries()) == 2
    stand.tracking = TrackingResource(url=tmp_path.as_uri())
    assert stand.tick() == "2 run(s) logged to MLflow"
    assert all(row.tracked_at for row in stand.summaries().values())
    with stand.timescale.connect() as connection:  # as if killed between sending and noting
        connection.execute(sa.update(RUN_SUMMARIES).values(tracked_at=None))
    assert stand.tick() == "2 run(s) logged to MLflow"
    logged = logged_in(stand.tracking.url)
    assert logged.keys() == {good, bad}
    metrics = {"records_ingested": 8, "validation_pass_rate": 4 / 6, "feature_count": len(AIR_QUALITY_HOURLY.features)}
    assert metrics == {name: logged[good].data.metrics[name] for name in metrics}
    assert "validation_pass_rate" not in logged[bad].data.metrics
    params = logged[good].data.params
    assert (params["dataset"], params["window"]) == ("openaq", f"{DAY} to {DAY}") and params["code_version"]
    assert (logged[good].info.status, logged[bad].info.status) == ("FINISHED", "FAILED")


def logged_in(url: str) -> dict[str, Any]:
    """The runs of the experiment by Dagster's ids."""
    from mlflow import MlflowClient
    from mlflow.telemetry.client import get_telemetry_client

    assert get_telemetry_client() is None, "MLflow would tell its makers of its use"
    client = MlflowClient(tracking_uri=url)
    found = client.search_runs([client.get_experiment_by_name("tidemark").experiment_id])
    assert len({run.data.tags[RUN_TAG] for run in found}) == len(found)
    return {run.data.tags[RUN_TAG]: run for run in found}


def test_without_the_extra_it_is_said_how_to_get_it(
    postgres_url: str, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setattr("resources.tracking.find_spec", lambda _: None)
    stand = Stand(postgres_url, instance, "http://127.0.0.1:1")
    stand.run(measurements, partition_key=DAY)
    assert "tidemark[mlflow]" in stand.tick()
    assert len(stand.summaries()) == 1
    with pytest.raises(ConfigurationError, match="not installed"):
        stand.tracking.require_usable()
    assert not issubclass(ConfigurationError, SourceUnavailable)
