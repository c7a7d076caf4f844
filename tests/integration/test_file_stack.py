"""Files while `tidemark up` runs: nobody presses a key, and what a replay frees is loaded by the running stack."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import pytest
import requests

from assets_pkg import cli
from assets_pkg.dagster_client import DagsterClient
from assets_pkg.launcher import running_stack
from assets_pkg.planning import DayRange
from resources.timescale.server import ensure_databases, lease
from resources.wiring import Settings
from schemas.declared_files import file_datasets
from schemas.file_tables import tables_of
from tests.file_graph import FileGraph
from tests.written_sales import loaded, sale, staged, written

PATIENCE_S = 540
REFUSED = written([sale(90), sale(91)])

pytestmark = pytest.mark.timeout(1500)


class Running(NamedTuple):
    """A stack that runs, and a graph on its database and folder."""

    graph: FileGraph
    url: str


@pytest.fixture(scope="module")
def running(open_folder: Path) -> Iterator[Running]:
    """A stack with a file that an earlier declaration refused."""
    folder = open_folder / "files of a stack"
    home = folder / "home"
    home.mkdir(parents=True)
    chosen = Settings(TIDEMARK_HOME=home, TIDEMARK_FILES_URL=str(folder / "files"), TIDEMARK_PORT=3900)
    with lease(home) as server, dg.DagsterInstance.ephemeral() as instance:
        ensure_databases(server, ["tidemark"])
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(file_datasets(), "sales", replace(file_datasets()["sales"], min_rows=3))
            strict = FileGraph(server.url("tidemark"), folder, instance)
            assert loaded(strict, REFUSED, name="short.csv")["ingestion_status"] == "rejected"
        with running_stack(chosen) as stack:
            yield Running(FileGraph(server.url("tidemark"), folder, instance), stack.url)


@pytest.fixture
def graph(running: Running) -> FileGraph:
    return running.graph


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.5)


def test_a_dropped_file_reaches_the_features_without_another_key_pressed(graph: FileGraph) -> None:
    graph.drop("sales", "march.csv", written(sale(n) for n in range(20)))
    wait_until(lambda: graph.catalog_files()[-1]["ingestion_status"] == "archived")
    wait_until(lambda: not graph.dirty())
    features = graph.table(tables_of("sales").features)
    assert date(2026, 3, 4) in set(features["datetime_utc"].dt.date)
    graph.require_invariants()


def test_what_a_replay_frees_is_loaded_by_the_stack_that_runs(
    graph: FileGraph, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEMARK_HOME", str(graph.root.parent / "home"))
    monkeypatch.setenv("TIDEMARK_FILES_URL", str(graph.root))
    code = cli.main(["replay", "sales"])
    said = capsys.readouterr().out
    assert code == 0, said
    assert "frees 2 of 2 rows" in said
    short = next(file for file in graph.catalog_files() if file["file_name"] == "short.csv")
    assert short["ingestion_status"] == "archived"
    assert staged(graph, short)["transaction_id"].tolist() == ["T0090", "T0091"]
    wait_until(lambda: not graph.dirty())
    graph.require_invariants()
    assert cli.main(["replay", "sales"]) == 0
    assert "Nothing of sales is put aside" in capsys.readouterr().out


def test_500_days_launched_at_once_are_one_run_and_the_ui_answers_meanwhile(running: Running) -> None:
    client = DagsterClient(running.url)
    before = running.graph.digests()
    today = datetime.now(UTC).date()
    days = DayRange(today - timedelta(days=499), today)
    backfill = client.launch_backfill((tables_of("sales").staging,), days)
    answers = []

    def has_ended() -> bool:
        answers.append(requests.get(f"{running.url}/server_info", timeout=30).ok)
        _, runs = client.backfill(backfill)
        return bool(runs) and all(run.has_ended for run in runs)

    wait_until(has_ended)
    _, runs = client.backfill(backfill)
    assert [run.status for run in runs] == ["SUCCESS"], [client.failures(run.run_id) for run in runs]
    assert all(answers)
    assert before.items() <= running.graph.digests().items()
