"""Quality of layers through the graph: judged when what they read changes, the same when run again, shown."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from assets_pkg import cli
from resources.landing.samples.generate import sample_files
from resources.profiling import profile_store
from schemas.tables import AIR_QUALITY, OPENAQ_MEASUREMENTS, QUALITIES, TABLES
from tests.file_graph import FileGraph
from tests.graph import GUADALAJARA, NEPAL, failure_of, read_lines, write_lines

FIRST, LAST = date(2025, 3, 2), date(2025, 3, 4)
DAYS = [FIRST, FIRST + timedelta(days=1), LAST]
TODAY = datetime.now(UTC).date()
OPENAQ = {quality.layer: quality for quality in QUALITIES if quality.dataset == "openaq"}
SALES = {quality.layer: quality for quality in QUALITIES if quality.dataset == "sales"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("layers")


@pytest.fixture(scope="module")
def loaded(module_postgres_url: str, home: Path) -> Iterator[tuple[FileGraph, dg.ExecuteInProcessResult]]:
    """Three days of two locations, and a file of sales, with all that follows from them."""
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        for module in ("assets", "file_assets"):
            patch.setattr(f"assets_pkg.quality.{module}._show", lambda *_, **__: None)
        graph = FileGraph(module_postgres_url, home, instance)
        graph.locations = (NEPAL, GUADALAJARA)
        graph.generate(FIRST - timedelta(days=1), LAST + timedelta(days=1))
        result = graph.run(FIRST, LAST)
        assert result.success, failure_of(result)
        graph.forget_dirty_days()
        graph.take(next(file for file in sample_files(TODAY - timedelta(days=1)) if file.dataset == "sales"))
        yield graph, result


def report(dataset: str, first: date, last: date, out: str = "x.html") -> tuple[str, ...]:
    return ("report", dataset, "--from", str(first), "--to", str(last), "--out", out)


def metadata_of(result: dg.ExecuteInProcessResult, table: str) -> dict[str, dict[str, Any]]:
    """By partition, what the run's materialisations of the table say."""
    found: dict[str, dict[str, Any]] = {}
    for event in result.get_asset_materialization_events():
        if ".".join(event.asset_key.path) == table and event.partition:
            found[event.partition] = {name: value.value for name, value in event.materialization.metadata.items()}
    return found


def test_every_layer_has_a_row_per_day_that_accounts_for_its_rows(
    loaded: tuple[FileGraph, dg.ExecuteInProcessResult],
) -> None:
    graph, _ = loaded
    for quality in OPENAQ.values():
        rows = graph.rows(quality.spec)
        (table,) = {judged.table for judged in quality.judged}
        assert list(rows["table_name"]) == [table] * len(DAYS)
        assert list(rows["day"].dt.date) == DAYS
        assert rows["rows"].sum() == len(graph.rows(TABLES[table]))
        assert rows["is_ledger_closed"].all()
        assert rows["score_pct"].between(0, 100).all()
        assert (rows["dimensions"] >= 4).all()
        assert rows["accuracy_pct"].isna().all(), "no location has two sensors of one parameter"
        entries = graph.ledger(TABLES[table])
        for name in ("read", "loaded", "duplicate", "quarantined", "filtered"):
            assert rows[f"rows_{name}"].sum() == entries[name].sum()


def test_profiles_are_kept_of_every_judged_day(loaded: tuple[FileGraph, dg.ExecuteInProcessResult]) -> None:
    graph, _ = loaded
    with graph.connect() as connection:
        found = profile_store.kept(connection, AIR_QUALITY.qualified, DAYS)
    series = graph.rows(AIR_QUALITY)
    value = found[found["column_name"] == "value"]
    assert list(found["column_name"]) == AIR_QUALITY.columns * len(DAYS)
    assert value["rows"].sum() == len(series)
    assert value["nulls"].sum() == series["value"].isna().sum()
    assert value["minimum"].astype(float).min() == series["value"].min()


def test_judged_again_everything_is_the_same(loaded: tuple[FileGraph, dg.ExecuteInProcessResult]) -> None:
    graph, _ = loaded
    specs = [quality.spec for quality in OPENAQ.values()]
    tables = [spec.qualified for spec in specs]

    def kept() -> list[pd.DataFrame]:
        with graph.connect() as connection:
            profiles = [profile_store.kept(connection, one.judged[0].table, DAYS) for one in OPENAQ.values()]
        return [*(graph.rows(spec) for spec in specs), *profiles]

    before = kept()
    result = graph.run(LAST, as_day=True, tables=tables)
    assert result.success, failure_of(result)
    assert graph.run(FIRST, LAST, tables=tables).success
    for was, now in zip(before, kept(), strict=True):
        pd.testing.assert_frame_equal(now, was)
    for spec in specs:
        assert not graph.ledger(spec)[["inserted", "changed", "vanished"]].to_numpy().any()


def test_the_newest_day_carries_the_picture_and_every_day_its_dimensions(
    loaded: tuple[FileGraph, dg.ExecuteInProcessResult],
) -> None:
    _, result = loaded
    for quality in OPENAQ.values():
        found = metadata_of(result, quality.spec.qualified)
        assert set(found) == {day.isoformat() for day in DAYS}
        assert {day for day, told in found.items() if "quality" in told} == {LAST.isoformat()}
        assert found[LAST.isoformat()]["quality"].startswith("![Quality of openaq")
        assert len(found[LAST.isoformat()]["quality"]) < 60_000
        for told in found.values():
            assert "not measured" in told["dimensions"]
            assert told["rows"] > 0
    (seen,) = (event.asset_observation_data.asset_observation for event in result.get_asset_observation_events())
    assert seen.asset_key.path == ["features", "air_quality_hourly"] and seen.partition == LAST.isoformat()
    assert "data:image/svg+xml" in str(seen.metadata["quality"].value), "on the features themselves"


def test_a_change_makes_the_quality_of_its_table_stale_for_as_long_as_it_is_looked_back_on(
    loaded: tuple[FileGraph, dg.ExecuteInProcessResult],
) -> None:
    graph, _ = loaded
    kept = graph.dirty()
    file = graph.file(NEPAL.id, FIRST)
    whole = read_lines(file)
    write_lines(file, [line for n, line in enumerate(whole) if n == 0 or n % 3])
    try:
        assert graph.run(FIRST, tables=[OPENAQ_MEASUREMENTS.qualified], as_day=True).success
        stale = graph.dirty() - kept
        assert {day for table, day in stale if table == "quality.openaq_staging"} == {
            FIRST + timedelta(days=n) for n in range(8)
        }
        assert {day for table, day in stale if table == "quality.openaq_timeseries"} == {FIRST}
        result = graph.run(FIRST, tables=["quality.openaq_staging"], as_day=True)
        assert result.success, failure_of(result)
        assert ("quality.openaq_staging", FIRST) not in graph.dirty()
        rows = graph.rows(OPENAQ["staging"].spec)
        staged = graph.rows(OPENAQ_MEASUREMENTS)
        assert (
            rows["rows"].iloc[0] == (staged["datetime_utc"] <= pd.Timestamp(FIRST + timedelta(days=1), tz="UTC")).sum()
        )
    finally:
        write_lines(file, whole)
        assert graph.run(FIRST, tables=[OPENAQ_MEASUREMENTS.qualified, "quality.openaq_staging"], as_day=True).success


def test_a_file_is_judged_by_its_day_of_arrival_and_its_series_by_what_they_are_about(
    loaded: tuple[FileGraph, dg.ExecuteInProcessResult],
) -> None:
    graph, _ = loaded
    staging = SALES["staging"].spec.qualified
    assert (staging, TODAY) in graph.dirty()
    taken = graph.settle()
    assert (staging, TODAY) not in graph.dirty()
    assert [tables for tables, _ in taken if staging in tables] == [(staging,)], "arrival days run by themselves"
    (judged,) = graph.rows(SALES["staging"].spec).to_dict("records")
    (file,) = graph.catalog_files()
    assert judged["day"].date() == TODAY
    assert (judged["rows"], judged["rows_read"]) == (file["row_count"], file["row_count"] + file["rejected_rows"])
    assert judged["rows_quarantined"] == file["rejected_rows"]
    series = graph.rows(SALES["timeseries"].spec)
    about = {date.fromisoformat(day) for day in file["event_days"]}
    assert about <= set(series["day"].dt.date)
    features = graph.rows(SALES["features"].spec)
    assert features["consistency_pct"].dropna().eq(100).all()
    assert len(features)


@pytest.fixture
def tidemark(
    loaded: tuple[FileGraph, dg.ExecuteInProcessResult],
    module_postgres_url: str,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str]]:
    monkeypatch.setenv("TIDEMARK_HOME", str(home / "home"))
    monkeypatch.setenv("TIDEMARK_DATABASE_URL", loaded[0].timescale.database_url or module_postgres_url)

    def run(*arguments: str) -> tuple[int, str]:
        code = cli.main(arguments)
        said = capsys.readouterr()
        return code, " ".join((said.out + said.err).split())

    return run


def test_a_profile_is_shown(tidemark: Callable[..., tuple[int, str]]) -> None:
    code, said = tidemark("profile", "show", "timeseries.air_quality", "--day", str(LAST))
    assert code == 0
    assert f"timeseries.air_quality on {LAST}" in said
    assert all(words in said for words in ("datetime_utc", "µg/m³ (", "value", "boolean", "% true"))
    assert tidemark("profile", "show", "openaq_staging", "--day", str(LAST))[0] == 0, "by its last part; computed now"


def test_a_difference_of_profiles_is_shown_the_largest_first(tidemark: Callable[..., tuple[int, str]]) -> None:
    code, said = tidemark("profile", "diff", "air_quality", str(FIRST), str(LAST))
    assert code == 0
    shown = [float(share) for share in re.findall(r"│ ([\d.]+) % │ │", said.split("change")[-1])]
    assert "│ value" in said
    assert "source_id" not in said
    assert len(shown) > 2
    assert shown == sorted(shown, reverse=True)
    code, said = tidemark("profile", "diff", "air_quality", str(FIRST), str(FIRST))
    assert (code, "the same profile" in said) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("profile", "show", "nowhere", "--day", "2025-03-02"), "no table 'nowhere'"),
        (("profile", "show", "air_quality", "--day", "2019-01-01"), "no rows on 2019-01-01 .*profiles of 2025-03-02"),
        (
            ("report", "nothing", "--from", "2025-03-02", "--to", "2025-03-04", "--out", "x.html"),
            "no dataset 'nothing'",
        ),
        (("report", "openaq", "--from", "2025-03-04", "--to", "2025-03-02", "--out", "x.html"), "before it begins"),
        (("report", "openaq", "--from", "2019-03-01", "--to", "2019-03-02", "--out", "x.html"), "materialise quality"),
        (
            ("report", "openaq", "--from", "2025-03-02", "--to", "2025-03-04", "--out", "/none/x.html"),
            "cannot be written",
        ),
    ],
)
def test_what_cannot_be_told_says_why(
    tidemark: Callable[..., tuple[int, str]], arguments: tuple[str, ...], words: str
) -> None:
    code, said = tidemark(*arguments)
    assert code == 1
    assert re.search(words, said), said


def test_a_report_is_one_file_that_asks_no_other_host(tidemark: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    out = tmp_path / "openaq.html"
    code, said = tidemark(*report("openaq", FIRST, LAST, str(out)))
    assert code == 0, said
    page = out.read_text(encoding="utf-8")
    assert page.count("data:image/svg+xml;base64,") == len(OPENAQ)
    assert "http://" not in page
    assert "https://" not in page
    assert not re.search(r"<(script|link|iframe)", page)
    for quality in OPENAQ.values():
        assert quality.judged[0].table in page
    assert "not measured" in page
    assert "rules failed" in page
    assert page.count("closed</td>") >= 2 * len(OPENAQ)
    assert "OPEN</td>" not in page
