"""Anomalies in the graph: found in cleaned series, stored, shown, explained by people, and judged again for it."""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from assets_pkg import cli
from assets_pkg.automation import build_drift_schedule
from assets_pkg.commands import report_findings
from assets_pkg.partitions import event_days
from assets_pkg.quality import anomalies_assets, drift_assets
from resources.alerts.resource import AlertsResource
from resources.catalog.incidents import of as incidents_of
from schemas.base import conform
from schemas.tables import AIR_QUALITY, AIR_QUALITY_ANOMALIES, FEATURE_DRIFT, IMPORTANCE, OPENAQ_MEASUREMENTS, TABLES
from schemas.window import Window
from tests.builders import rows_of
from tests.features import DAYS, LAST, planted
from tests.graph import GUADALAJARA, Graph, checks_of, failure_of
from tests.served import Serving

FIRST, MONDAY, END = date(2025, 3, 10), date(2025, 4, 7), date(2025, 4, 13)
ANOMALIES = AIR_QUALITY_ANOMALIES.qualified
CHECK = "air_quality_anomalies.no_unexpected_anomalies"


@pytest.fixture(scope="module")
def loaded(module_postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Graph, Any]]:
    """Five weeks of one location with planted defects, staged and cleaned; and the truth about them."""
    folder = tmp_path_factory.mktemp("anomalies")
    with dg.DagsterInstance.ephemeral() as instance:
        graph = Graph(module_postgres_url, folder, locations=[GUADALAJARA], instance=instance)
        day = timedelta(days=1)
        truth = graph.generate(FIRST - day, END + day, kinds=("spike", "stuck", "long_gap"))
        result = graph.run(FIRST, END, tables=[OPENAQ_MEASUREMENTS.qualified, AIR_QUALITY.qualified])
        assert result.success, failure_of(result)
        yield graph, truth


@pytest.fixture
def command(loaded: tuple[Graph, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line on the graph's database."""
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TIDEMARK_DATABASE_URL", loaded[0].timescale.database_url)


def judge(graph: Graph, first: date = MONDAY, last: date = END) -> dg.ExecuteInProcessResult:
    result = graph.run(first, last, tables=[ANOMALIES])
    assert result.success, failure_of(result)
    return result


def settle(graph: Graph) -> set[date]:
    """Judges again what is stale, as the sensor would; the days."""
    stale = graph.dirty().get(ANOMALIES, set())
    if stale:
        judge(graph, min(stale), max(stale))
    return stale


def test_planted_defects_are_found_stored_once_and_shown(loaded: tuple[Graph, Any]) -> None:
    graph, truth = loaded
    result = judge(graph)
    assert checks_of(result)[CHECK] is False
    found = graph.rows(AIR_QUALITY_ANOMALIES)
    told_by = {"spike": ("point", "seasonal"), "stuck": ("stuck",), "long_gap": ("gap",)}
    wanted = [one for one in truth.planted if Window.of_days(MONDAY, END).start < one.first and one.kind in told_by]
    assert {one.kind for one in wanted} >= {"stuck", "long_gap"}
    sensor = found["entity"].map(json.loads).map(lambda one: one.get("sensors_id"))
    for one in wanted:
        if one.last <= Window.of_days(MONDAY, END).end:
            overlaps = (found["started_at"] <= one.last) & (found["ended_at"] >= one.first) & (sensor == one.sensors_id)
            assert found.loc[overlaps, "kind"].isin(told_by[one.kind]).any(), one
    shown = [event for event in result.get_asset_materialization_events() if event.asset_key.path[-1] in ANOMALIES]
    assert len(shown) == len(Window.of_days(MONDAY, END).days())
    by_day = {event.partition: event.materialization.metadata for event in shown}
    (worst,) = found.nlargest(1, "score").to_dict("records")
    of_day = by_day[f"{worst['day']:%Y-%m-%d}"]
    assert "data:image/png;base64," in str(of_day["picture"].value)
    assert worst["anomaly_id"] in str(of_day["found"].value)
    assert of_day["anomalies"].value == (found["day"] == worst["day"]).sum()

    (picture,) = report_findings.anomalies(graph.timescale, "openaq", Window.of_days(MONDAY, END))
    newest = found[found["day"] == found["day"].max()]
    assert picture.png.startswith(b"\x89PNG") and picture.words.startswith(f"{len(newest)} on {newest['day'].max():%F}")
    assert (
        report_findings.anomalies(graph.timescale, "openaq", Window.of_days(date(2019, 1, 1), date(2019, 1, 2))) == []
    )

    again = judge(graph)
    pd.testing.assert_frame_equal(graph.rows(AIR_QUALITY_ANOMALIES), found)
    (day, *_) = again.get_asset_materialization_events()
    assert day.materialization.metadata["rows_inserted"].value == 0
    assert (
        ANOMALIES not in graph.dirty() or min(graph.dirty()[ANOMALIES]) < MONDAY or max(graph.dirty()[ANOMALIES]) > END
    )


@pytest.mark.usefixtures("command")
def test_what_somebody_expects_is_no_anomaly_any_more_until_that_is_taken_back(
    loaded: tuple[Graph, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anomalies_assets, "anomalies_picture", lambda *_: b"")
    graph, _ = loaded
    judge(graph)
    graph.forget_dirty_days()
    before = graph.rows(AIR_QUALITY_ANOMALIES)
    one = before[before["kind"] == "stuck"].iloc[-1]
    assert cli.main(["incident", "list", "openaq"]) == 0
    listed = capsys.readouterr().out
    assert "No incident is noted" in listed and one["anomaly_id"] in listed
    assert cli.main(["incident", "expect", one["anomaly_id"], "--note", "calibration", "--by", "Ada"]) == 0
    number = int(capsys.readouterr().out.split("incident ")[1].split(":")[0])
    stale = settle(graph)
    assert {one["day"].date()} <= stale <= set(Window.of_days(MONDAY, END).days())
    after = graph.rows(AIR_QUALITY_ANOMALIES)
    marked = after[after["anomaly_id"] == one["anomaly_id"]]
    assert len(marked) and marked["is_expected"].all() and (marked["incident_id"] == number).all()
    assert not after[after["anomaly_id"] != one["anomaly_id"]]["is_expected"].any()
    assert cli.main(["incident", "list"]) == 0
    listed = capsys.readouterr().out
    assert "calibration" in listed and "Ada" in listed and one["anomaly_id"] not in listed
    assert cli.main(["incident", "remove", str(number)]) == 0
    assert settle(graph) == stale
    pd.testing.assert_frame_equal(graph.rows(AIR_QUALITY_ANOMALIES), before)
    assert cli.main(["incident", "remove", str(number)]) == 1
    assert f"there is no incident {number}" in capsys.readouterr().err


@pytest.mark.usefixtures("command")
def test_when_everything_is_explained_the_check_has_nothing_to_say(
    loaded: tuple[Graph, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anomalies_assets, "anomalies_picture", lambda *_: b"")
    graph, _ = loaded
    place = ["--entity", f"location_id={GUADALAJARA.id}", "--from", str(MONDAY), "--to", str(END + timedelta(days=1))]
    assert cli.main(["incident", "add", "openaq", *place, "--note", "a storm"]) == 0
    with graph.connect() as connection:
        (noted,) = incidents_of(connection, ["openaq"])
    assert noted.entity == {"location_id": str(GUADALAJARA.id)} and not noted.is_expected
    result = judge(graph)
    assert checks_of(result)[CHECK] is True
    found = graph.rows(AIR_QUALITY_ANOMALIES)
    assert len(found) and not found["is_expected"].any() and (found["incident_id"] == noted.incident_id).all()
    assert cli.main(["incident", "remove", str(noted.incident_id)]) == 0


@pytest.mark.usefixtures("command")
def test_an_anomaly_is_an_alert_until_somebody_expects_it_or_an_incident_explains_it(
    loaded: tuple[Graph, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anomalies_assets, "anomalies_picture", lambda *_: b"")
    graph, _ = loaded
    judge(graph)
    found = graph.rows(AIR_QUALITY_ANOMALIES)
    now = pd.Timestamp(END + timedelta(days=1), tz="UTC").to_pydatetime()
    alerts = AlertsResource(timescale=graph.timescale)

    def look() -> tuple[tuple[str, ...], tuple[str, ...]]:
        recorded = alerts.look([], set(), {}, now)
        return tuple(one for one in recorded.raised if "anomalies/" in one), tuple(
            one for one in recorded.resolved if "anomalies/" in one
        )

    identity = f"anomalies/{ANOMALIES}/location_id {GUADALAJARA.id}"
    news = found[found["day"] > pd.Timestamp(END, tz="UTC") - pd.Timedelta(days=3)]
    assert len(news), "the newest days have planted defects"
    assert look() == ((identity,), ())
    (alert,) = (row for row in alerts.open_alerts() if row.identity == identity)
    assert alert.count == news["anomaly_id"].nunique()
    for anomaly_id in news["anomaly_id"].unique():
        assert cli.main(["incident", "expect", anomaly_id, "--note", "as always"]) == 0
    settle(graph)
    left = graph.rows(AIR_QUALITY_ANOMALIES)
    left = left[(left["day"] >= news["day"].min()) & ~left["is_expected"]]
    assert look() == ((), (identity,)), left
    with graph.connect() as connection:
        noted = [row.incident_id for row in incidents_of(connection, ["openaq"])]
    for number in noted:
        assert cli.main(["incident", "remove", str(number)]) == 0
    settle(graph)
    assert look() == ((identity,), ())
    span = ["--from", str(FIRST), "--to", str(END + timedelta(days=1))]
    assert cli.main(["incident", "add", "openaq", *span, "--note", "a storm"]) == 0
    judge(graph)
    assert look() == ((), (identity,))
    with graph.connect() as connection:
        (noted_last,) = incidents_of(connection, ["openaq"])
    assert cli.main(["incident", "remove", str(noted_last.incident_id)]) == 0


@pytest.mark.usefixtures("command")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add", "weather"], "'weather' has no series; datasets that have some are openaq"),
        (
            ["add", "openaq", "--entity", "city=Pune"],
            "series of openaq are about location_id, sensors_id, not about city",
        ),
        (["add", "openaq", "--entity", "location_id=5"], "timeseries.air_quality has no rows of location_id 5"),
        (["add", "openaq", "--metric", "PM2.5"], "has no rows of parameter PM2.5"),
        (["add", "openaq", "--to", "2025-03-01"], "before it begins"),
        (["expect", "0123456789ab"], "no anomaly has the id 0123456789ab"),
        (["list", "weather"], "'weather' has no series"),
    ],
)
def test_what_cannot_be_noted_is_refused_in_words(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--note", "n"] if arguments[0] != "list" else []
    if arguments[0] == "add":
        more += ["--from", "2025-04-07"] + ([] if "--to" in arguments else ["--to", "2025-04-08"])
    assert cli.main(["incident", *arguments, *more]) == 1
    assert words in capsys.readouterr().err


def test_features_that_move_are_told_ranked_and_shown(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        graph = Graph(postgres_url, tmp_path, instance=instance)
        moved = planted(5, orders=_moved, revenue_mean_7=_moved)
        written = Window.of_days(LAST - timedelta(days=DAYS - 1), LAST).days()
        assert Serving(postgres_url, tmp_path).write(moved, written[0], written[-1], instance=instance).success
        _write_importance(graph, {"revenue_mean_7": 1, "revenue": 2, "orders": 3})
        drift = {"ops": {"quality__feature_drift": {"config": {"views": ["sales_features"]}}}}
        result = graph.run(LAST, tables=[FEATURE_DRIFT.qualified], config=drift)
        assert result.success, failure_of(result)
        assert checks_of(result)["feature_drift.no_feature_drifts"] is False
        found = graph.rows(FEATURE_DRIFT).set_index("feature")
        assert set(found[found["verdict"] == "drift"].index) == {"orders", "revenue_mean_7"}
        assert found.loc["revenue_mean_7", "rank"] == 1, "what predictions rest on comes first"
        assert found.loc["orders", "rank"] == 2
        now = pd.Timestamp(LAST, tz="UTC").to_pydatetime() + timedelta(days=1, hours=6)
        raised = AlertsResource(timescale=graph.timescale).look([], set(), {}, now).raised
        assert [one for one in raised if "drift" in one] == ["drift/quality.feature_drift/sales_features"]
        assert found["importance_rank"].notna().sum() == 3
        (event,) = result.get_asset_materialization_events()
        told = str(event.materialization.metadata["sales_features"].value)
        assert "data:image/png;base64," in told and "revenue\\_mean\\_7" in told
        (seen,) = (event.asset_observation_data.asset_observation for event in result.get_asset_observation_events())
        assert seen.asset_key.path == ["features", "sales_features"] and str(seen.metadata["drift"].value) == told
        (picture,) = report_findings.drift(graph.timescale, ["sales_features", "user"], Window.of_days(LAST, LAST))
        assert picture.title == "Drift of sales_features" and picture.png.startswith(b"\x89PNG")
        monkeypatch.setattr(drift_assets, "drift_picture", lambda _: b"")
        assert graph.run(LAST, tables=[FEATURE_DRIFT.qualified], config=drift).success
        pd.testing.assert_frame_equal(graph.rows(FEATURE_DRIFT).set_index("feature"), found)
        nobody = {"ops": {"quality__feature_drift": {"config": {"views": ["nobody"]}}}}
        unknown = graph.run(LAST, tables=[FEATURE_DRIFT.qualified], config=nobody)
        assert "no view nobody is served" in failure_of(unknown)


def test_every_morning_the_day_before_is_looked_at() -> None:
    at = pd.Timestamp("2025-03-31 05:30", tz="UTC").to_pydatetime()
    (request,) = (
        build_drift_schedule().evaluate_tick(dg.build_schedule_context(scheduled_execution_time=at)).run_requests
    )
    assert request.tags["dagster/asset_partition_range_start"] == "2025-03-30"


def test_a_change_of_a_series_has_every_day_judged_again_whose_baseline_it_is() -> None:
    for name in ("air_quality", "sales", "meters"):
        (read,) = TABLES[f"quality.{name}_anomalies"].reads
        assert read.marks and read.before == timedelta(days=62 if name == "sales" else 34)


def _write_importance(graph: Graph, ranks: dict[str, int]) -> None:
    """Stores these ranks as found a week before, of one target."""
    day, rows = LAST - timedelta(days=7), rows_of(IMPORTANCE, len(ranks))
    of_target = {"day": pd.Timestamp(day, tz="UTC").as_unit("us"), "view": "sales_features", "target": "next_revenue"}
    rows = conform(rows.assign(**of_target, feature=list(ranks), rank=list(ranks.values())), IMPORTANCE.model)

    @dg.asset(key=["features", "importance"], partitions_def=event_days("2016-01-01"), io_manager_key="io_manager")
    def importance() -> pd.DataFrame:
        return rows

    assert dg.materialize(
        [importance], partition_key=day.isoformat(), instance=graph.instance, resources=graph.resources
    ).success


def _moved(rng: Any, count: int, number: Any) -> Any:
    return rng.normal(size=count) + 3.0 * (number >= count - 7)
