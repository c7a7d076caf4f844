"""Rules on a real database: a day that breaks an ERROR is held back, its neighbours are not; mended it comes back."""

import json
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
import sqlalchemy as sa

from assets_pkg import cli
from assets_pkg.judging import judge, judge_and_store
from resources.catalog import rule_results
from resources.catalog.io_manager import LedgerIOManager
from resources.timescale import sql
from resources.timescale.table_slice import TableSlice
from schemas.catalog_rules import RULE_RESULTS, RULE_VIOLATIONS
from schemas.file_tables import tables_of
from schemas.table_spec import TableSpec
from schemas.tables import AIR_QUALITY, OPENAQ_MEASUREMENTS
from schemas.window import Window
from tests.file_graph import FileGraph
from tests.graph import GUADALAJARA, Graph, blank_lines, checks_of
from tests.written_sales import loaded, sale, written

STAGING, SERIES = OPENAQ_MEASUREMENTS.qualified, AIR_QUALITY.qualified
HOLDS = "openaq_measurements.rules_hold"


def march(day: int) -> date:
    return date(2025, 3, day)


@pytest.fixture(scope="module")
def graph(module_postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    """One sound location over six days; days 2 to 5 are staged, cleaned and judged."""
    folder: Path = tmp_path_factory.mktemp("graph")
    with dg.DagsterInstance.ephemeral() as instance:
        graph = Graph(module_postgres_url, folder, locations=[GUADALAJARA], instance=instance)
        graph.generate(march(1), march(6), kinds=())
        result = graph.run(march(2), march(5), tables=[STAGING, SERIES])
        assert result.success and checks_of(result)[HOLDS]
        with graph.connect() as connection:
            for spec in (OPENAQ_MEASUREMENTS, AIR_QUALITY):
                connection.execute(_copied(sql.table_of(spec), f"{spec.name}_sound"))
        yield graph


@pytest.fixture(autouse=True)
def sound(graph: Graph) -> None:
    """Tables, archive and verdicts are as they were loaded."""
    with graph.connect() as connection:
        for spec in (OPENAQ_MEASUREMENTS, AIR_QUALITY):
            table = sql.table_of(spec)
            connection.execute(sa.delete(table))
            kept = sa.table(f"{spec.name}_sound", *(sa.column(name) for name in spec.columns))
            connection.execute(sa.insert(table).from_select(spec.columns, sa.select(kept)))
        for table in (RULE_RESULTS, RULE_VIOLATIONS):
            connection.execute(sa.delete(table))
    graph.forget_dirty_days()


@pytest.fixture
def sound_archive(graph: Graph) -> Iterator[None]:
    """The archive's files are sound again afterwards."""
    yield
    graph.generate(march(1), march(6), kinds=())


def _copied(table: sa.Table, name: str) -> sa.Executable:
    return sa.DDL(
        "CREATE TABLE %(name)s AS TABLE %(table)s",
        context={"name": sa.sql.quoted_name(name, quote=True), "table": f"{table.schema}.{table.name}"},
    )


@pytest.mark.usefixtures("sound_archive")
def test_one_day_that_breaks_an_error_stops_what_is_downstream_of_it(graph: Graph) -> None:
    before = seen(graph, AIR_QUALITY)
    blank_values(graph, march(4))
    alone = graph.run(march(4), tables=[STAGING, SERIES], as_day=True)
    assert checks_of(alone)[HOLDS] is False and not alone.success
    assert checks_of(alone)["openaq_measurements.rules_hold_warnings"] is False
    assert not [one for one in alone.get_asset_materialization_events() if one.asset_key.path[-1] == "air_quality"]
    assert seen(graph, AIR_QUALITY) == before, "what is there of the day stays"
    assert graph.catalog.held_back() == {STAGING: {march(4)}}

    # The sensor leaves the day alone, and asks for those around it.
    graph.settle(march(6))
    assert graph.dirty()[SERIES] == {march(4)}


@pytest.mark.usefixtures("sound_archive")
def test_of_a_range_only_the_day_itself_is_held_back_and_mended_it_comes_back(graph: Graph) -> None:
    sound = seen(graph, AIR_QUALITY)
    blank_values(graph, march(4))
    result = graph.run(march(2), march(5), tables=[STAGING, SERIES])
    (verdict,) = (
        one
        for one in result.get_asset_check_evaluations()
        if one.check_name == "rules_hold" and one.asset_key.path[-1] == "openaq_measurements"
    )
    assert not verdict.passed and verdict.severity is dg.AssetCheckSeverity.WARN and result.success
    assert verdict.metadata["held_back"].value == ["2025-03-04"]
    rows = visible(graph, OPENAQ_MEASUREMENTS)
    assert set(rows) == {march(2), march(3), march(5)}
    assert set(seen(graph, AIR_QUALITY)) >= {march(2), march(3), march(5)}
    assert seen(graph, AIR_QUALITY)[march(4)] == sound[march(4)], "what is there of the day stays"
    assert march(4) in graph.dirty()[SERIES], "and is computed when it is free again"
    by_hand = graph.run(march(3), march(5), tables=[SERIES])
    assert by_hand.success, "over the day that is held back"
    told = {event.partition: event.materialization.metadata for event in by_hand.get_asset_materialization_events()}
    assert [day for day, metadata in told.items() if "held_back" in metadata] == ["2025-03-04"]
    assert seen(graph, AIR_QUALITY)[march(4)] == sound[march(4)] and march(4) in graph.dirty()[SERIES]

    graph.generate(march(1), march(6), kinds=())
    assert graph.run(march(4), tables=[STAGING], as_day=True).success
    assert graph.catalog.held_back() == {}
    assert set(visible(graph, OPENAQ_MEASUREMENTS)) == {march(2), march(3), march(4), march(5)}
    assert {march(3), march(4), march(5)} <= graph.dirty()[SERIES]
    assert graph.run(march(3), march(5), tables=[SERIES]).success
    assert seen(graph, AIR_QUALITY) == sound


def test_every_failing_row_is_kept_and_writing_it_twice_changes_nothing(graph: Graph) -> None:
    table = sql.table_of(OPENAQ_MEASUREMENTS)
    window = Window.of_days(march(3), march(3))
    on_day = sql.in_window(table.c.datetime_utc, window, "right")
    with graph.connect() as connection:
        moved = connection.execute(sa.update(table).where(on_day).values(latitude=95.0)).rowcount
    whole = Window.of_days(march(1), march(6))
    judged = judge_and_store(graph.timescale, OPENAQ_MEASUREMENTS, whole, run_id="first")
    assert judged.held == {march(3)} and moved > 24
    first = kept(graph)
    of_rule = first[first["rule"] == "between_-90_and_90"]
    assert len(of_rule) == moved and set(of_rule["value"]) == {"95.0"} and set(of_rule["column_name"]) == {"latitude"}
    assert of_rule["source_id"].notna().all() and of_rule["line_no"].notna().all()
    assert list(of_rule["number"]) == list(range(1, moved + 1))
    results = verdicts(graph)
    judge_and_store(graph.timescale, OPENAQ_MEASUREMENTS, whole, run_id="first")
    pd.testing.assert_frame_equal(kept(graph), first)
    pd.testing.assert_frame_equal(verdicts(graph).drop(columns="judged_at"), results.drop(columns="judged_at"))
    assert dict(zip(results["day"], results["rule"], strict=True)) and set(results["day"]) == set(
        map(march, range(2, 6))
    )

    # Without storing, the same rules say the same.
    same = {
        day: {one.rule.name: one.passed for one in report.results}
        for day, report in judge(graph.timescale, OPENAQ_MEASUREMENTS, whole)
    }
    stored = {day: dict(zip(of_day["rule"], of_day["passed"], strict=True)) for day, of_day in results.groupby("day")}
    assert same == stored


def test_a_day_whose_rows_are_gone_holds_nothing_back(graph: Graph) -> None:
    table = sql.table_of(OPENAQ_MEASUREMENTS)
    window = Window.of_days(march(3), march(3))
    on_day = sql.in_window(table.c.datetime_utc, window, "right")
    with graph.connect() as connection:
        connection.execute(sa.update(table).where(on_day).values(latitude=95.0))
    judge_and_store(graph.timescale, OPENAQ_MEASUREMENTS, window, run_id="one")
    assert graph.catalog.held_back() == {STAGING: {march(3)}}
    with graph.connect() as connection:
        connection.execute(sa.delete(table).where(on_day))
    assert judge_and_store(graph.timescale, OPENAQ_MEASUREMENTS, window, run_id="two").days == 0
    assert graph.catalog.held_back() == {} and verdicts(graph, march(3)).empty


def test_a_column_the_table_lost_is_told(graph: Graph) -> None:
    table = sql.table_of(OPENAQ_MEASUREMENTS)
    with graph.connect() as connection:
        connection.execute(sa.DDL("ALTER TABLE staging.openaq_measurements RENAME COLUMN longitude TO lon"))
    try:
        ((_, report),) = judge(graph.timescale, OPENAQ_MEASUREMENTS, Window.of_days(march(3), march(3)))
    finally:
        with graph.connect() as connection:
            connection.execute(sa.DDL("ALTER TABLE staging.openaq_measurements RENAME COLUMN lon TO longitude"))
    assert report.is_blocking and "missing: longitude" in report.of("schema").message
    assert report.rows == report.of("schema").failed > 24
    assert "longitude" in table.c


def test_warnings_block_nothing_and_are_told(graph: Graph) -> None:
    table = sql.table_of(OPENAQ_MEASUREMENTS)
    with graph.connect() as connection:
        connection.execute(sa.update(table).values(latitude=0.0, longitude=0.0))
    judged = judge_and_store(graph.timescale, OPENAQ_MEASUREMENTS, Window.of_days(march(2), march(5)), run_id="one")
    assert not judged.held and graph.catalog.held_back() == {}
    assert not verdicts(graph, march(3)).set_index("rule").loc["not_at_null_island", "passed"]


def test_the_command_says_what_the_check_says(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path))
    monkeypatch.setenv("TIDEMARK_DATABASE_URL", graph.timescale.database_url)
    days = ("--from", "2025-03-02", "--to", "2025-03-05", "--json", str(tmp_path / "report.json"))
    assert cli.main(("validate", STAGING, *days)) == 0
    table = sql.table_of(OPENAQ_MEASUREMENTS)
    with graph.connect() as connection:
        on_day = sql.in_window(table.c.datetime_utc, Window.of_days(march(3), march(3)), "right")
        connection.execute(sa.update(table).where(on_day).values(latitude=95.0))
    assert cli.main(("validate", STAGING, *days)) == 1
    assert "failed on 1 day(s)" in " ".join(capsys.readouterr().out.split())
    report = json.loads((tmp_path / "report.json").read_text())
    told = {
        (day["day"], one["rule"]): (one["outcome"], one["checked"], one["failed"])
        for day in report["days"]
        for one in day["rules"]
    }
    judge_and_store(graph.timescale, OPENAQ_MEASUREMENTS, Window.of_days(march(2), march(5)), run_id="check")
    stored = {(str(one.day), one.rule): (one.outcome, one.checked, one.failed) for one in verdicts(graph).itertuples()}
    assert told == stored
    assert sum(len(day["violations"]) for day in report["days"]) == len(kept(graph))
    assert cli.main(("validate", STAGING, *days, "--sample", "5")) == 1
    sampled = json.loads((tmp_path / "report.json").read_text())
    assert [day["rows"] for day in sampled["days"]] == [5, 5, 5, 5]
    assert cli.main(("validate", STAGING, "--from", "2030-01-01", "--to", "2030-01-02")) == 0


def stale(graph: Graph, spec: TableSpec) -> set[date]:
    return {mark.day for mark in graph.catalog.stale() if mark.table_name == spec.qualified}


def blank_values(graph: Graph, day: date) -> None:
    """Takes the values out of the archive's lines about a UTC day."""
    about = (day - timedelta(days=1), day, day + timedelta(days=1))
    blank_lines([graph.file(GUADALAJARA.id, local_day) for local_day in about], day)


def seen(graph: Graph, spec: TableSpec) -> dict[date, int]:
    """Rows with a value per day, hidden or not."""
    return by_day(spec, graph.rows(spec))


def visible(graph: Graph, spec: TableSpec) -> dict[date, int]:
    """Rows per day, as assets downstream read them."""
    manager = LedgerIOManager(timescale=graph.timescale)
    return by_day(spec, manager.reader(TableSlice.of_window(spec, Window.of_days(march(1), march(6)))).read())


def by_day(spec: TableSpec, rows: pd.DataFrame) -> dict[date, int]:
    rows = rows[rows["value"].notna()]
    days = (rows[spec.time_column or ""] - pd.Timedelta(microseconds=1)).dt.date
    return dict(days.value_counts())


def kept(graph: Graph) -> pd.DataFrame:
    query = sa.select(RULE_VIOLATIONS).order_by(*RULE_VIOLATIONS.primary_key)
    with graph.connect() as connection:
        result = connection.execute(query)
        return pd.DataFrame(result.all(), columns=list(result.keys()))


def verdicts(graph: Graph, day: date | None = None) -> pd.DataFrame:
    window = Window.of_days(day or march(1), day or march(6))
    with graph.connect() as connection:
        return rule_results.results_of(connection, STAGING, window)


def test_a_day_of_arrival_is_held_back_with_the_days_its_rows_are_about_and_comes_back(
    graph_under: Callable[..., FileGraph],
) -> None:
    files = graph_under()
    series = tables_of("sales").series
    dates = ["2026-03-04", "2026-03-05"]
    loaded(files, written(sale(n, transaction_date=dates[n % 2]) for n in range(10)), name="march.csv")
    assert files.run(date(2026, 3, 4), date(2026, 3, 5), tables=[series.qualified]).success
    sound = files.rows(series)
    lost = [sale(n, transaction_date=dates[n % 2], price="") for n in range(200)]
    files.drop("sales", "march.csv", written(lost))
    held = files.load("sales")
    assert not held.success and checks_of(held)["sales_data.rules_hold"] is False
    (day,) = files.catalog.held_back()["staging.sales_data"]
    assert {date(2026, 3, 4), date(2026, 3, 5)} <= stale(files, series)
    assert files.run(date(2026, 3, 4), date(2026, 3, 5), tables=[series.qualified]).success
    assert files.rows(series)["samples"].sum() == 0, "nothing of the day that arrived wrongly is counted"

    # The bad file came the day before; the one that replaces it comes today.
    table = sql.table_of(tables_of("sales").staging)
    yesterday = day - timedelta(days=1)
    with files.connect() as connection:
        earlier = table.c.arrived_at - timedelta(days=1)
        connection.execute(sa.update(table).where(table.c.price.is_(None)).values(arrived_at=earlier))
    judge_and_store(files.timescale, tables_of("sales").staging, Window.of_days(yesterday, day), run_id="moved")
    assert files.catalog.held_back() == {"staging.sales_data": {yesterday}}
    files.drop("sales", "march.csv", written(one | {"price": "19.5"} for one in lost))
    assert files.load("sales").success
    assert files.catalog.held_back() == {}, "what was replaced counts no more"
    assert {date(2026, 3, 4), date(2026, 3, 5)} <= stale(files, series)
    assert files.run(date(2026, 3, 4), date(2026, 3, 5), tables=[series.qualified]).success
    rows = files.rows(series)
    assert rows.loc[rows["metric"] == "orders", "value"].sum() == 200 and len(rows) == len(sound)
