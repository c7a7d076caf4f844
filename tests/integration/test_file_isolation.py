"""What ails one file, or one folder, stays with it: the others are loaded, and nobody waits for a large one."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from assets_pkg.intake import intake
from assets_pkg.staging.file_assets import build_staging_asset, undeclared_files
from resources.errors import ContractBroken, LedgerNotClosed
from resources.landing.preparation import Prepared
from schemas.catalog_files import Status
from schemas.declared_files import UNDECLARED, file_datasets
from schemas.file_tables import tables_of
from tests.file_graph import FileGraph
from tests.graph import failure_of
from tests.written_sales import loaded, sale, staged, written

Built = Callable[..., FileGraph]
MARK = "Broken lamp"
PATIENCE_S = 60


def states(graph: FileGraph) -> dict[str, str]:
    return {file["file_name"]: file["ingestion_status"] for file in graph.catalog_files()}


def three_files(graph: FileGraph, dataset: str = "sales") -> None:
    graph.drop(dataset, "a.csv", written([sale(0), sale(1)]))
    graph.drop(dataset, "b.csv", written([sale(2), sale(3, product_name=MARK)]))
    graph.drop(dataset, "c.csv", written([sale(4), sale(5)]))


@pytest.mark.parametrize("dataset", ["sales", "things"])
def test_a_file_that_is_read_wrongly_does_not_hold_up_the_others(
    graph_under: Built, monkeypatch: pytest.MonkeyPatch, dataset: str
) -> None:
    prepared = intake.prepared

    @contextmanager
    def broken(path: Path, *rest: Any) -> Iterator[Prepared]:
        if MARK.encode() in path.read_bytes():
            raise LedgerNotClosed("4 lines were read, 3 are accounted for")
        with prepared(path, *rest) as found:
            yield found

    graph = graph_under()
    three_files(graph, dataset)
    with monkeypatch.context() as patch:
        patch.setattr(intake, "prepared", broken)
        result = graph.load(dataset)
    assert not result.success
    assert "b.csv: 4 lines were read, 3 are accounted for" in failure_of(result)
    assert states(graph) == {"a.csv": "archived", "b.csv": "new", "c.csv": "archived"}
    assert graph.load(dataset).success
    assert set(states(graph).values()) == {"archived"}
    graph.require_invariants()


@pytest.mark.parametrize("dataset", ["sales", "things"])
def test_rows_that_break_the_contract_do_not_hold_up_the_other_files(
    graph_under: Built, monkeypatch: pytest.MonkeyPatch, dataset: str
) -> None:
    checked = "resources.timescale.streaming.broken_rows"
    graph = graph_under()
    three_files(graph, dataset)
    with monkeypatch.context() as patch:
        patch.setattr(checked, _refusing(MARK))
        result = graph.load(dataset)
    assert not result.success
    assert "b.csv" in failure_of(result)
    assert {name: state for name, state in states(graph).items() if state == "archived"}.keys() == {"a.csv", "c.csv"}
    assert graph.load(dataset).success
    assert set(states(graph).values()) == {"archived"}
    graph.require_invariants()


def _refusing(mark: str) -> Callable[..., Any]:
    def broken_rows(rows: Any, spec: Any) -> Any:
        if (rows["product_name"] == mark).any():
            raise ContractBroken(f"{spec.qualified}: product_name breaks a rule of the model")
        return rows.head(0)

    return broken_rows


def test_a_folder_whose_files_cannot_be_read_does_not_hold_up_the_other_folders(graph_under: Built) -> None:
    graph = graph_under()
    lost = loaded(graph, b"a,b\n1,2\n", dataset="aaa", name="lost.csv")
    path = graph.root / lost["archive_path"]
    content = path.read_bytes()
    path.unlink()
    graph.drop("bbb", "fine.csv", b"a,b\n1,2\n")
    result = graph.run(datetime.now(UTC).date(), tables=[UNDECLARED])
    assert not result.success
    assert "lost.csv" in failure_of(result)
    assert states(graph)["fine.csv"] == "archived"
    path.write_bytes(content)
    graph.require_invariants()


def test_a_file_that_was_loaded_keeps_its_rows_when_reading_it_again_is_killed_and_then_refused(
    graph_under: Built,
) -> None:
    graph = graph_under()
    file = loaded(graph, written([sale(0), sale(1)]))
    graph.files.set_status(file["id"], Status.PROCESSING, run_id="killed while it was read again")
    strict = graph_under(sales={"min_rows": 100})
    result = strict.load("sales")
    assert not result.success
    assert "the rows of files that were loaded before stay" in failure_of(result)
    (kept,) = strict.catalog_files()
    assert (kept["ingestion_status"], len(staged(strict, kept))) == ("processing", 2)
    again = graph_under(sales={"min_rows": 0})
    assert again.load("sales").success
    again.require_invariants()


def test_files_of_a_declared_dataset_are_read_at_the_same_time(
    graph_under: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared, both = intake.prepared, threading.Barrier(2, timeout=PATIENCE_S)

    @contextmanager
    def together(*given: Any) -> Iterator[Prepared]:
        both.wait()
        with prepared(*given) as found:
            yield found

    graph = graph_under()
    graph.drop("sales", "a.csv", written([sale(0)]))
    graph.drop("sales", "b.csv", written([sale(1)]))
    monkeypatch.setattr(intake, "prepared", together)
    assert graph.load("sales").success
    assert set(states(graph).values()) == {"archived"}


def test_each_dataset_has_a_pool_of_its_own() -> None:
    declared = [build_staging_asset(file_datasets()[name], tables_of(name)) for name in ("sales", "meters")]
    pools = [asset.op.pool for asset in (*declared, undeclared_files)]
    assert pools == ["files_sales", "files_meters", "files_undeclared"]
