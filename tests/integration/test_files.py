"""Files through the whole graph on a real database: what becomes of every line, and of all that depends on it."""

import gzip
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from resources.landing.samples.generate import sample_files
from resources.landing.samples.truth import SampleFile
from schemas.file_tables import tables_of
from tests.file_graph import FileGraph
from tests.graph import failure_of

TODAY = datetime.now(UTC).date()
SALES, METERS = tables_of("sales"), tables_of("meters")


@pytest.fixture
def graph(postgres_url: str, tmp_path: Path) -> Iterator[FileGraph]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield FileGraph(postgres_url, tmp_path, instance)


def test_every_line_of_the_sample_files_is_accounted_for(graph: FileGraph) -> None:
    files = sample_files(date(2026, 11, 15))
    for file in files:
        graph.take(file)
    catalog = {(row["dataset"], row["file_name"], row["version"]): row for row in graph.catalog_files()}
    versions: dict[tuple[str, str], int] = {}
    for file in files:
        if file.fate == "duplicate":
            continue
        version = versions[file.dataset, file.name] = versions.get((file.dataset, file.name), 0) + 1
        found = catalog.pop((file.dataset, file.name, version))
        assert found["ingestion_status"] == ("archived" if file.fate == "loaded" else "rejected"), file.name
        if file.fate == "loaded":
            assert (found["lines"], found["row_count"], found["rejected_rows"]) == counts(file), file.name
            assert graph.put_aside_lines(found["id"]) == set(file.rejects)
            assert graph.skipped_lines(found["id"]) == set(file.skipped)
    assert not catalog
    assert graph.nothing_lies_in_landing()
    graph.require_invariants()


def counts(file: SampleFile) -> tuple[int, int, int]:
    return file.lines, file.rows, len(file.rejects)


def test_files_flow_down_to_features_and_a_late_one_refreshes_what_it_is_about(graph: FileGraph) -> None:
    files = {file.name: file for file in sample_files(TODAY - timedelta(days=1)) if file.dataset == "sales"}
    first, march = next(iter(files.values())), files["sales_2026_march.csv"]
    graph.take(first)
    graph.settle()
    features = graph.table(SALES.features)
    assert len(features) > 100
    assert features["datetime_utc"].min().date() >= date(2026, 1, 1)
    report = graph.table(SALES.report)
    assert report["rows_loaded"].sum() == first.rows
    assert report["is_ledger_closed"].all()
    graph.take(march)
    (file,) = [file for file in graph.catalog_files() if file["file_name"] == march.name]
    about = set(map(date.fromisoformat, file["event_days"]))
    assert {day.month for day in about} == {3}
    zeros = {day + timedelta(days=n) for day in about for n in range(29)}
    assert graph.dirty() == {*(("timeseries.sales", day) for day in zeros), ("quality.sales_staging", TODAY)}
    before = features.set_index(["region", "product_name", "datetime_utc"])
    graph.settle()
    after = graph.table(SALES.features).set_index(["region", "product_name", "datetime_utc"])
    pd.testing.assert_frame_equal(after.loc[before.index], before)
    added = after.index.difference(before.index).get_level_values("datetime_utc")
    assert min(about) == added.min().date()
    assert added.max().date() <= max(zeros)
    graph.require_invariants()


def test_reading_a_day_again_from_the_archive_changes_nothing(graph: FileGraph) -> None:
    for file in sample_files(TODAY - timedelta(days=1))[:6]:
        graph.take(file)
    graph.settle()
    before = {spec.qualified: graph.table(spec) for spec in SALES}
    result = graph.load("sales", config={})
    assert result.success, failure_of(result)
    assert {file["run_id"] for file in graph.catalog_files() if file["dataset"] == "sales"} == {result.run_id}
    assert graph.dirty() == set()
    for spec in SALES:
        pd.testing.assert_frame_equal(graph.table(spec), before[spec.qualified])
    assert {file["ingestion_status"] for file in graph.catalog_files()} == {"archived"}
    graph.require_invariants()


def test_a_refusal_names_the_file_as_its_owner_knows_it(graph: FileGraph) -> None:
    graph.drop("sales", "torn.csv.gz", gzip.compress(b"transaction_id,region\n" * 9_000)[:-9])
    assert graph.load("sales").success
    (file,) = graph.catalog_files()
    assert "torn.csv.gz" in file["error_message"]
    assert file["sha256"] not in file["error_message"]
    (reason,) = (graph.root / "rejected").rglob("*.reason.txt")
    assert "torn.csv.gz: the gzip data end too early" in reason.read_text()
