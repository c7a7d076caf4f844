"""The schedule of the sources: which days it asks for, so that neither late rows nor lost time are lost."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from assets_pkg.definitions import build_definitions
from assets_pkg.planning import DayRange
from assets_pkg.runs import asset_key, range_tags
from resources.errors import ConfigurationError
from resources.wiring import Settings, settings
from schemas.catalog import LEDGER
from schemas.source_tables import source_datasets, sourced_tables
from schemas.window import midnight
from tests.graph import Graph

NOW = datetime(2026, 3, 10, 9, 15, tzinfo=UTC)
TODAY, DAY = NOW.date(), timedelta(days=1)
TABLES = [spec.qualified for spec in sourced_tables(source_datasets()["delivery"])]
USERS, REST = TABLES[0], tuple(sorted(TABLES[1:]))


@pytest.fixture
def graph(postgres_url: str, tmp_path: Path) -> Any:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield Graph(postgres_url, tmp_path, instance=instance, sources={"delivery": "postgresql://127.0.0.1/delivery"})


def tick(graph: Graph, now: datetime = NOW) -> Any:
    schedule = graph.definitions.resolve_schedule_def("source_snapshots")
    with dg.build_schedule_context(
        instance=graph.instance,
        resources=graph.resources,
        scheduled_execution_time=now,
        repository_def=graph.definitions.get_repository_def(),
    ) as context:
        return schedule.evaluate_tick(context)


def asked(data: Any) -> dict[tuple[date, date], tuple[str, ...]]:
    return {
        tuple(
            date.fromisoformat(request.tags[f"dagster/asset_partition_range_{end}"]) for end in ("start", "end")
        ): tuple(sorted(".".join(key.path) for key in request.asset_selection))
        for request in data.run_requests
    }


def enter(graph: Graph, table: str, day: date, at: datetime) -> None:
    with graph.connect() as connection:
        connection.execute(sa.insert(LEDGER).values(table_name=table, day=day, unit="", run_id="x", committed_at=at))


def test_yesterday_and_today_are_asked_for_in_one_run(graph: Graph) -> None:
    assert asked(tick(graph)) == {(TODAY - DAY, TODAY): tuple(sorted(TABLES))}


def test_days_that_were_never_read_when_nothing_of_them_could_be_late_are_asked_for(graph: Graph) -> None:
    for table in TABLES:
        for ago in (6, 5, 4):
            end = midnight(TODAY - ago * DAY) + DAY
            # Of the newest of them the end was read too early: a row of it may have been committed later.
            enter(graph, table, TODAY - ago * DAY, end + (timedelta(minutes=59) if ago == 4 else timedelta(hours=1)))
    assert asked(tick(graph)) == {(TODAY - 4 * DAY, TODAY): tuple(sorted(TABLES))}


def test_a_day_that_failed_is_asked_for_again_though_later_ones_succeeded(graph: Graph) -> None:
    for table in TABLES:
        for ago in (9, 8, 5, 4, 3, 2):
            enter(graph, table, TODAY - ago * DAY, NOW)
    assert asked(tick(graph)) == {(TODAY - 7 * DAY, TODAY): tuple(sorted(TABLES))}


def test_a_gap_long_ago_is_a_backfills_matter(graph: Graph) -> None:
    for table in TABLES:
        for ago in (60, 59, 3, 2):
            enter(graph, table, TODAY - ago * DAY, NOW)
    assert asked(tick(graph)) == {(TODAY - DAY, TODAY): tuple(sorted(TABLES))}


def test_tables_that_are_settled_until_different_days_have_runs_of_their_own(graph: Graph) -> None:
    enter(graph, USERS, TODAY - 3 * DAY, NOW)
    assert asked(tick(graph)) == {(TODAY - 2 * DAY, TODAY): (USERS,), (TODAY - DAY, TODAY): REST}


def test_what_is_under_way_is_not_asked_for_again(graph: Graph) -> None:
    graph.instance.create_run_for_job(
        graph.definitions.resolve_implicit_global_asset_job_def(),
        tags=range_tags(DayRange(TODAY - DAY, TODAY - DAY)),
        asset_selection=frozenset([asset_key(USERS)]),
        status=dg.DagsterRunStatus.STARTED,
    )
    assert asked(tick(graph)) == {(TODAY, TODAY): (USERS,), (TODAY - DAY, TODAY): REST}


def test_without_a_url_it_says_which_variable_is_missing(graph: Graph, postgres_url: str, tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        data = tick(Graph(postgres_url, tmp_path, instance=instance))
    assert not data.run_requests
    assert "TIDEMARK_SOURCE_DELIVERY_URL" in data.skip_message


def test_the_clock_is_a_setting(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    def cron() -> str:
        chosen = settings()
        return str(build_definitions(graph.resources, chosen).resolve_schedule_def("source_snapshots").cron_schedule)

    assert Settings(_env_file=None).sources_schedule == "15 * * * *"
    monkeypatch.setenv("TIDEMARK_SOURCES_SCHEDULE", "0 9 * * 1-5")
    assert cron() == "0 9 * * 1-5"
    monkeypatch.setenv("TIDEMARK_SOURCES_SCHEDULE", "6")
    assert cron() == "0 */6 * * *"
    monkeypatch.setenv("TIDEMARK_SOURCES_SCHEDULE", "daily")
    with pytest.raises(ConfigurationError, match="TIDEMARK_SOURCES_SCHEDULE"):
        settings()
