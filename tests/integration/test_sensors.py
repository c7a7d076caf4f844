"""Sensors and the schedule on a real instance, database, archive and API: what is asked for, when, and what is not."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from assets_pkg.planning import DayRange
from assets_pkg.runs import MOST_RUNS, WORK, asset_key, range_tags
from resources.catalog import dirty_days
from resources.errors import ConfigurationError
from resources.openaq.resource import ARCHIVE_DELAY
from schemas.catalog import FETCH_FAILURES, LEDGER
from schemas.tables import (
    AIR_QUALITY,
    AIR_QUALITY_ANOMALIES,
    AIR_QUALITY_HOURLY,
    AIR_QUALITY_REPORT,
    OPENAQ_MEASUREMENTS,
)
from tests.graph import GUADALAJARA, NEPAL, Graph, failure_of, read_lines, write_lines
from tests.openaq_shapes import location, measurement, stamp
from tests.openaq_stand_in import KEY, OpenAQStandIn

STAGING, SERIES = OPENAQ_MEASUREMENTS.qualified, AIR_QUALITY.qualified
FEATURES, QUALITY = AIR_QUALITY_HOURLY.qualified, AIR_QUALITY_REPORT.qualified
Asked = set[tuple[tuple[str, ...], date, date]]


def day(number: int) -> date:
    return date(2025, 3, number)


def ago(days: int) -> date:
    return datetime.now(UTC).date() - timedelta(days=days)


def tick(graph: Graph, name: str, cursor: str | None = None) -> Any:
    """One evaluation of a sensor: its run requests, skip message and cursor."""
    sensor = graph.definitions.resolve_sensor_def(name)
    with dg.build_sensor_context(
        instance=graph.instance, resources=graph.resources, cursor=cursor, definitions=graph.definitions
    ) as context:
        return sensor.evaluate_tick(context)


def asked(data: Any) -> Asked:
    """Tables, first and last day of each request."""
    return {
        (
            tuple(".".join(key.path) for key in request.asset_selection),
            date.fromisoformat(request.tags["dagster/asset_partition_range_start"]),
            date.fromisoformat(request.tags["dagster/asset_partition_range_end"]),
        )
        for request in data.run_requests
    }


def days_of(data: Any) -> list[date]:
    """All days asked for, in order."""
    return sorted(one for _, first, last in asked(data) for one in DayRange(first, last).days())


def start(graph: Graph, request: Any, status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED) -> dg.DagsterRun:
    """The run of a request as the daemon would have recorded it, in the given state."""
    return graph.instance.create_run_for_job(
        graph.definitions.resolve_implicit_global_asset_job_def(),
        tags={**request.tags, "dagster/run_key": request.run_key},
        asset_selection=frozenset(request.asset_selection),
        status=status,
    )


def work_off(graph: Graph, data: Any) -> None:
    """Runs what was asked for."""
    for request in data.run_requests:
        tables = [".".join(key.path) for key in request.asset_selection]
        first, last = (
            date.fromisoformat(request.tags[f"dagster/asset_partition_range_{end}"]) for end in ("start", "end")
        )
        result = graph.run(first, last, tables=tables, tags=request.tags, config=request.run_config)
        assert result.success, failure_of(result)


def mark(graph: Graph, stale: Mapping[str, list[int]]) -> None:
    """Marks days of March 2025."""
    with graph.connect() as connection:
        connection.execute(dirty_days.mark([(table, day(n)) for table, days in stale.items() for n in days], by="test"))


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def graph(postgres_url: str, tmp_path: Path, instance: dg.DagsterInstance) -> Graph:
    """One location in an archive that ends five days ago, as the real one does."""
    graph = Graph(postgres_url, tmp_path, locations=[GUADALAJARA], instance=instance)
    graph.generate(ago(30), ago(5), kinds=())
    return graph


def test_stale_days_are_asked_for_layer_by_layer_in_ranges(graph: Graph) -> None:
    assert tick(graph, "dirty_days").skip_message == "nothing is stale"
    mark(graph, {SERIES: [10, 11], FEATURES: [10, 11, 18, 19, 20, 25], QUALITY: [25]})
    first = tick(graph, "dirty_days")
    assert asked(first) == {
        ((SERIES,), day(10), day(11)),
        ((FEATURES,), day(19), day(20)),
        ((FEATURES, QUALITY), day(25), day(25)),
    }
    for request in first.run_requests:
        start(graph, request)
    assert tick(graph, "dirty_days").skip_message == "9 stale day(s) wait for their turn"


def test_a_day_waits_while_its_upstream_is_busy_whoever_started_it(graph: Graph) -> None:
    mark(graph, {SERIES: [10, 12, 20]})
    job = graph.definitions.resolve_job_def("data_ingestion")
    for tags in (range_tags(DayRange(day(13), day(14))), {"dagster/partition": day(9).isoformat()}):
        run = graph.instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.NOT_STARTED)
    assert asked(tick(graph, "dirty_days")) == {((SERIES,), day(20), day(20))}
    graph.instance.report_run_failed(run)
    assert asked(tick(graph, "dirty_days")) == {((SERIES,), day(10), day(10)), ((SERIES,), day(20), day(20))}


def test_failed_work_is_asked_for_again_after_a_wait_and_under_another_key(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark(graph, {SERIES: [10]})
    keys = []
    for _ in range(3):
        (request,) = tick(graph, "dirty_days").run_requests
        keys.append(request.run_key)
        graph.instance.report_run_failed(start(graph, request))
        monkeypatch.undo()
        assert "wait for their turn" in tick(graph, "dirty_days").skip_message
        monkeypatch.setattr("assets_pkg.planning.FIRST_WAIT", timedelta(0))
    assert len(set(keys)) == 3
    monkeypatch.undo()
    mark(graph, {SERIES: [10]})
    assert len(tick(graph, "dirty_days").run_requests) == 1, "a new mark is new work"


def test_a_tick_that_is_repeated_asks_under_the_same_key(graph: Graph) -> None:
    mark(graph, {SERIES: [10]})
    first, again = (tick(graph, "dirty_days").run_requests[0].run_key for _ in range(2))
    assert first == again


def test_what_the_sensor_asks_for_settles_everything(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assets_pkg.planning.FIRST_WAIT", timedelta(0))
    assert graph.run(ago(9), ago(8), tables=[STAGING]).success
    layers = []
    while (data := tick(graph, "dirty_days")).run_requests:
        layers.append({table for tables, _, _ in asked(data) for table in tables})
        work_off(graph, data)
    assert graph.catalog.stale() == []
    assert layers == [
        {SERIES, "quality.openaq_staging"},
        {FEATURES, QUALITY, AIR_QUALITY_ANOMALIES.qualified, "quality.openaq_timeseries"},
        {"quality.openaq_features"},
    ]
    assert tick(graph, "dirty_days").skip_message == "nothing is stale"


def test_a_tick_stays_modest_with_3000_stale_days(graph: Graph) -> None:
    with graph.connect() as connection:
        alternate = [date(2018, 1, 1) + timedelta(days=2 * n) for n in range(3000 // 3)]
        connection.execute(
            dirty_days.mark([(table, one) for table in (SERIES, FEATURES, QUALITY) for one in alternate], by="t")
        )
    for _ in range(2):
        data = tick(graph, "dirty_days")
        if data.run_requests:
            assert len(data.run_requests) == MOST_RUNS
            for request in data.run_requests:
                start(graph, request)
    assert not data.run_requests, "no more than so many at a time"


def test_no_database_is_a_reason_to_skip(graph: Graph, tmp_path: Path) -> None:
    gone = Graph("postgresql://nobody@127.0.0.1:1/none", tmp_path, instance=graph.instance)
    for name in ("dirty_days", "openaq_new_data"):
        assert "does not answer" in tick(gone, name).skip_message


def test_a_fresh_install_asks_for_the_look_back_only_and_nothing_twice(graph: Graph) -> None:
    data = tick(graph, "openaq_new_data")
    days = days_of(data)
    assert min(days) >= ago(7 + 5 + 1)
    assert max(days) <= ago(4)
    assert {tables for tables, _, _ in asked(data)} == {(STAGING,)}
    runs = [start(graph, request) for request in data.run_requests]
    assert not tick(graph, "openaq_new_data").run_requests
    for run in runs:
        graph.instance.report_run_canceled(run)
    work_off(graph, data)
    assert tick(graph, "openaq_new_data", data.cursor).skip_message == "OpenAQ has nothing new"


def test_a_new_and_a_changed_file_are_asked_for_by_their_days(graph: Graph) -> None:
    newest = graph.file(GUADALAJARA.id, ago(5))
    newest.rename(newest.with_suffix(".aside"))
    work_off(graph, tick(graph, "openaq_new_data"))
    newest.with_suffix(".aside").rename(newest)
    assert set(days_of(tick(graph, "openaq_new_data"))) == {ago(n) for n in (4, 5, 6)}
    work_off(graph, tick(graph, "openaq_new_data"))
    file = graph.file(GUADALAJARA.id, ago(8))
    write_lines(file, read_lines(file)[:-1])
    found = days_of(tick(graph, "openaq_new_data"))
    assert found == [ago(9), ago(8), ago(7)]


def test_after_an_outage_the_sensor_looks_back_to_where_it_was(graph: Graph) -> None:
    data = tick(graph, "openaq_new_data", ago(20).isoformat())
    assert min(days_of(data)) < ago(20)
    assert data.cursor == ago(20).isoformat()
    work_off(graph, data)
    later = tick(graph, "openaq_new_data", data.cursor)
    assert later.cursor == ago(7).isoformat()
    assert min(days_of(tick(graph, "openaq_new_data", "not a day")), default=ago(13)) >= ago(13)


def test_a_source_that_is_out_of_reach_is_a_reason_to_skip_and_a_wrong_one_an_error(
    postgres_url: str, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    with api() as server:
        graph = api_graph(postgres_url, tmp_path, instance, server)
    assert "did not answer" in tick(graph, "openaq_new_data").skip_message
    unset = Graph(postgres_url, tmp_path, instance=instance, openaq={"listed_locations": []})
    with pytest.raises(ConfigurationError, match="TIDEMARK_OPENAQ_LOCATIONS"):
        tick(unset, "openaq_new_data")


def test_debts_are_asked_for_when_due_of_the_debtor_and_a_stubborn_day_alone(
    postgres_url: str, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    graph = Graph(postgres_url, tmp_path, locations=[GUADALAJARA, NEPAL], instance=instance)
    graph.generate(ago(30), ago(30), kinds=())
    owe(graph, GUADALAJARA.id, [ago(40), ago(39)])
    assert "next attempt is not due" in tick(graph, "openaq_new_data").skip_message
    make_due(graph)
    (request,) = tick(graph, "openaq_new_data").run_requests
    assert request.tags.items() >= range_tags(DayRange(ago(40), ago(39))).items()
    assert request.run_config == {"ops": {"staging__openaq_measurements": {"config": {"locations": [GUADALAJARA.id]}}}}
    for _ in range(2):
        owe(graph, GUADALAJARA.id, [ago(40), ago(39)])
    make_due(graph)
    assert len(tick(graph, "openaq_new_data").run_requests) == 2
    owe(graph, 123, [ago(38)])
    make_due(graph)
    assert ago(38) not in days_of(tick(graph, "openaq_new_data")), "nobody asks for a location that is not configured"


def test_in_api_mode_news_debts_and_old_answers_are_asked_for(
    postgres_url: str, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    with api() as server:
        graph = api_graph(postgres_url, tmp_path, instance, server)
        data = tick(graph, "openaq_new_data")
        assert days_of(data) == [ago(n) for n in range(7, -1, -1)]
        work_off(graph, data)
        assert tick(graph, "openaq_new_data", data.cursor).skip_message == "OpenAQ has nothing new"

        fresh(server)
        assert set(days_of(tick(graph, "openaq_new_data"))) <= {ago(0), ago(1)}
        work_off(graph, tick(graph, "openaq_new_data"))
        assert not tick(graph, "openaq_new_data").run_requests

        with graph.connect() as connection:
            connection.execute(
                sa.update(LEDGER)
                .values(committed_at=datetime.now(UTC) - timedelta(hours=25))
                .where(LEDGER.c.is_current, LEDGER.c.day == ago(3))
            )
            connection.execute(sa.delete(LEDGER).where(LEDGER.c.day == ago(6), LEDGER.c.unit == "2"))
        assert days_of(tick(graph, "openaq_new_data")) == [ago(6), ago(3)]


def test_a_location_that_has_to_wait_does_not_have_the_others_asked_again_and_again(
    postgres_url: str, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    with api() as server:
        graph = api_graph(postgres_url, tmp_path, instance, server)
        work_off(graph, tick(graph, "openaq_new_data"))
        fresh(server)
        owe(graph, 1, [ago(0)])
        assert not tick(graph, "openaq_new_data").run_requests
        with graph.connect() as connection:
            run_id = connection.execute(sa.select(LEDGER.c.run_id).limit(1)).scalar_one()
            connection.execute(sa.update(FETCH_FAILURES).values(run_id=run_id))
        assert days_of(tick(graph, "openaq_new_data")), "it owes a sensor, and its others have news"
        owe(graph, 1, [ago(0)])
        assert not tick(graph, "openaq_new_data").run_requests
        make_due(graph)
        assert days_of(tick(graph, "openaq_new_data"))


def test_no_more_is_asked_for_than_the_hour_allows(
    postgres_url: str, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    with api() as server:
        graph = api_graph(postgres_url, tmp_path, instance, server, per_minute=20, per_hour=20)
        owe(graph, 1, [ago(20), ago(30), ago(40), ago(50)])
        make_due(graph)
        # The look-back costs both locations 12 requests and 2 for what they are, a debt 6 and 1; 2 are spent on asking.
        assert len(asked(tick(graph, "openaq_new_data"))) == 1
        for _ in range(9):
            tick(graph, "openaq_new_data")
        assert "budget" in tick(graph, "openaq_new_data").skip_message


def test_a_tick_with_100_locations_and_a_year_of_rows_is_fast(
    postgres_url: str, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    graph = Graph(postgres_url, tmp_path, locations=[GUADALAJARA], instance=instance)
    graph.generate(ago(12), ago(5), kinds=())
    listed = [GUADALAJARA.id, *range(1, 100)]
    many = Graph(postgres_url, tmp_path, instance=instance, openaq={"listed_locations": listed})
    entries = [
        {"table_name": STAGING, "day": ago(n), "unit": str(number), "run_id": "r"}
        for n in range(365)
        for number in listed
    ]
    with many.connect() as connection:
        connection.execute(sa.insert(LEDGER), entries)
    data = tick(many, "openaq_new_data")
    assert data.run_requests


def test_the_schedule_asks_for_the_newest_two_days_there_can_be_unless_they_are_under_way(graph: Graph) -> None:
    schedule = graph.definitions.resolve_schedule_def("openaq_schedule")
    at = datetime(2025, 3, 10, 4, tzinfo=UTC) + ARCHIVE_DELAY

    def evaluate() -> Any:
        with dg.build_schedule_context(
            instance=graph.instance, resources=graph.resources, scheduled_execution_time=at
        ) as context:
            return schedule.evaluate_tick(context)

    (request,) = evaluate().run_requests
    assert request.tags.items() >= range_tags(DayRange(day(9), day(10))).items()
    job = graph.definitions.resolve_job_def("data_ingestion")
    graph.instance.create_run_for_job(
        job, tags={"dagster/partition": "2025-03-10"}, status=dg.DagsterRunStatus.NOT_STARTED
    )
    (request,) = evaluate().run_requests
    assert request.tags.items() >= range_tags(DayRange(day(9), day(9))).items()
    graph.instance.create_run_for_job(
        job, tags=range_tags(DayRange(day(1), day(9))), status=dg.DagsterRunStatus.STARTED
    )
    assert "already" in evaluate().skip_message


def test_runs_that_sensors_ask_for_are_told_by_their_tag(graph: Graph) -> None:
    mark(graph, {SERIES: [10]})
    (request,) = tick(graph, "dirty_days").run_requests
    assert request.tags[WORK].startswith(f"{SERIES}/2025-03-10/2025-03-10/")
    assert request.asset_selection == [asset_key(SERIES)]


def api() -> OpenAQStandIn:
    """Location 1 with an hourly sensor up to yesterday, location 2 that has been silent for a year."""
    end = datetime.combine(ago(0), datetime.min.time(), UTC)
    series = {
        11: [hourly(end - timedelta(hours=n)) for n in range(24 * 12)],
        21: [hourly(end - timedelta(days=365))],
    }
    places = [location(number, {number * 10 + 1: ("pm25", "µg/m³")}) for number in (1, 2)]
    for place, sensor in zip(places, (11, 21), strict=True):
        place["datetimeLast"] = series[sensor][0]["period"]["datetimeTo"]
    return OpenAQStandIn(places, series, limit=10_000)


def hourly(end: datetime) -> dict[str, Any]:
    return measurement(end, 10.0 + end.hour, parameter="pm25", units="µg/m³")


def fresh(server: OpenAQStandIn) -> None:
    """A new hour arrives at location 1."""
    end = datetime.combine(ago(0), datetime.min.time(), UTC) + timedelta(minutes=1)
    server.put(11, [hourly(end)])
    server.locations[1]["datetimeLast"] = stamp(end, "UTC")


def api_graph(url: str, folder: Path, instance: dg.DagsterInstance, server: OpenAQStandIn, **options: Any) -> Graph:
    fixed = {"mode": "api", "listed_locations": [1, 2], "api_url": server.url, "api_key": KEY}
    return Graph(url, folder, instance=instance, openaq=fixed | {"per_minute": 10_000, "per_hour": 100_000} | options)


def owe(graph: Graph, location_id: int, days: list[date]) -> None:
    graph.catalog.owe(OPENAQ_MEASUREMENTS, location_id, days, "down", is_transient=True, run_id="r")


def make_due(graph: Graph) -> None:
    with graph.connect() as connection:
        connection.execute(sa.update(FETCH_FAILURES).values(next_attempt_at=sa.func.now() - timedelta(minutes=1)))
