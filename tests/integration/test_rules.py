"""Rules on a real database: a day that breaks an ERROR is held back, its neighbours are not; mended it comes back."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
import sqlalchemy as sa

from assets_pkg.judging import judge, judge_and_store
from resources.catalog import rule_results
from resources.catalog.io_manager import LedgerIOManager
from resources.timescale import sql
from resources.timescale.table_slice import TableSlice
from schemas.catalog_rules import RULE_VIOLATIONS
from schemas.table_spec import TableSpec
from schemas.tables import AIR_QUALITY, OPENAQ_MEASUREMENTS
from schemas.window import Window
from tests.graph import GUADALAJARA, Graph, checks_of, read_lines, write_lines

STAGING, SERIES = OPENAQ_MEASUREMENTS.qualified, AIR_QUALITY.qualified
HOLDS = "openaq_measurements.rules_hold"


def march(day: int) -> date:
    return date(2025, 3, day)


@pytest.fixture(scope="module")
def graph(module_postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    """One sound location over six days."""
    folder: Path = tmp_path_factory.mktemp("graph")
    with dg.DagsterInstance.ephemeral() as instance:
        graph = Graph(module_postgres_url, folder, locations=[GUADALAJARA], instance=instance)
        graph.generate(march(1), march(6), kinds=())
        yield graph


@pytest.fixture(autouse=True)
def loaded(graph: Graph) -> None:
    """Days 2 to 5, staged and cleaned, from sound files."""
    graph.generate(march(1), march(6), kinds=())
    graph.timescale.connect()
    result = graph.run(march(2), march(5), tables=[STAGING, SERIES])
    assert result.success and checks_of(result)[HOLDS]
    graph.forget_dirty_days()


def test_one_day_that_breaks_an_error_stops_what_is_downstream_of_it(graph: Graph) -> None:
    before = seen(graph, AIR_QUALITY)
    blank_values(graph, march(4))
    alone = graph.run(march(4), tables=[STAGING, SERIES], as_day=True)
    assert checks_of(alone)[HOLDS] is False and not alone.success
    assert not [one for one in alone.get_asset_materialization_events() if one.asset_key.path[-1] == "air_quality"]
    assert seen(graph, AIR_QUALITY) == before, "what is there of the day stays"
    assert graph.catalog.held_back() == {STAGING: {march(4)}}

    # The sensor leaves the day alone, and asks for those around it.
    graph.settle(march(6))
    assert graph.dirty()[SERIES] == {march(4)}


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
    assert seen(graph, AIR_QUALITY).get(march(4), 0) < sound[march(4)], "of the day only what was carried over a gap"

    graph.generate(march(1), march(6), kinds=())
    assert graph.run(march(4), tables=[STAGING], as_day=True).success
    assert graph.catalog.held_back() == {}
    assert set(visible(graph, OPENAQ_MEASUREMENTS)) == {march(2), march(3), march(4), march(5)}
    assert {march(3), march(4), march(5)} <= graph.dirty()[SERIES]
    graph.settle(march(5))
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
    found = checks_of(graph.check())
    assert found[HOLDS] and not found["openaq_measurements.rules_hold_warnings"]
    assert graph.catalog.held_back() == {}
    assert not verdicts(graph, march(3)).set_index("rule").loc["not_at_null_island", "passed"]


def blank_values(graph: Graph, day: date) -> None:
    """Takes the values out of the archive's lines about a UTC day."""

    def blanked(line: str) -> str:
        cells = line.rstrip("\n").split(",")
        found = next((cell for cell in cells if cell.strip('"')[:4] == "2025" and "T" in cell), None)
        if found is None:
            return line
        end = datetime.fromisoformat(found.strip('"')).astimezone(UTC) - timedelta(microseconds=1)
        return ",".join([*cells[:-1], '""']) + "\n" if end.date() == day else line

    for local_day in (day - timedelta(days=1), day, day + timedelta(days=1)):
        file = graph.file(GUADALAJARA.id, local_day)
        write_lines(file, [blanked(line) for line in read_lines(file)])


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
