"""`tidemark quarantine` and `tidemark replay`: what is put aside is shown, and what a declaration frees is foretold."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from assets_pkg import cli
from schemas.declared_files import file_datasets
from schemas.file_tables import tables_of
from tests.file_graph import FileGraph
from tests.written_sales import loaded, put_aside, sale, staged, written

SALES = tables_of("sales")
ARRIVALS = file_datasets()["sales"].arrivals
DAY_FIRST = {"arrivals": ARRIVALS | {"transaction_date": replace(ARRIVALS["transaction_date"], date_order="DMY")}}
Built = Callable[..., FileGraph]
Command = Callable[..., str]


@pytest.fixture
def tidemark(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs a command on the graph's database and folder; all it said, on one line."""
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TIDEMARK_DATABASE_URL", postgres_url)
    monkeypatch.setenv("TIDEMARK_FILES_URL", str(tmp_path / "files"))

    def run(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        assert cli.main(arguments) == code
        said = capsys.readouterr()
        return " ".join((said.err if code else said.out).split())

    return run


def dated(stamps: list[str], first: int = 0) -> bytes:
    return written(sale(first + n, transaction_date=stamp) for n, stamp in enumerate(stamps))


def test_what_is_put_aside_is_listed_by_rule_and_shown_line_by_line(graph_under: Built, tidemark: Command) -> None:
    graph = graph_under(sales={"min_rows": 1})
    rows = [sale(0, price="[red]dear"), sale(1, price="cheap"), sale(2, region="Atlantis"), sale(3)]
    loaded(graph, written(rows), name="march [bold].csv")
    loaded(graph, written([]), name="empty.csv")
    listed = tidemark("quarantine", "list")
    assert "price: not a number │ 2" in listed
    assert "region: not a category │ 1" in listed
    assert "too_few_rows" in listed and "empty.csv" in listed
    shown = tidemark("quarantine", "show", "sales")
    assert 'march [bold].csv, line 2 price: not a number: price: not a number: "[red]dear"' in shown
    assert '"Atlantis"' in shown
    only = tidemark("quarantine", "show", "sales", "--rule", "region", "--most", "1")
    assert "line 4" in only and "line 2" not in only
    assert "Nothing of sales is put aside" in tidemark("quarantine", "show", "sales", "--rule", "%")


def test_a_dry_run_foretells_what_the_replay_does_and_writes_nothing(graph_under: Built, tidemark: Command) -> None:
    graph = graph_under()
    stamps = ["01/02/2026", "03/04/2026", "soon"]
    waiting = loaded(graph, dated(stamps), name="waiting.csv")
    hopeless = loaded(graph, dated(["13/02/2026", "never"], first=10), name="hopeless.csv")
    graph.settle()
    assert "frees 0 of 4 rows, touches 0 days" in tidemark("replay", "sales", "--dry-run")
    graph = graph_under(sales=DAY_FIRST)
    before = graph.digests()
    foretold = tidemark("replay", "sales", "--dry-run")
    assert foretold.startswith("frees 2 of 4 rows, touches ")
    assert "waiting.csv: frees 2 of 3 rows" in foretold and "hopeless.csv: frees 0 of 1 rows" in foretold
    assert (graph.digests(), graph.dirty()) == (before, set())
    assert len(put_aside(graph, waiting)) == 3
    assert graph.load("sales", config={"ids": [waiting["id"]]}).success
    assert f"touches {len({day for _, day in graph.dirty()})} days" in foretold
    assert staged(graph, waiting)["transaction_id"].tolist() == ["T0000", "T0001"]
    assert list(put_aside(graph, waiting)) == [4]
    after = graph.digests()
    assert {rows: digest for rows, digest in after.items() if rows[2] == hopeless["id"]}.items() <= before.items()
    assert "frees 0 of 2 rows, touches 0 days" in tidemark("replay", "sales", "--dry-run")
    graph.settle()
    assert graph.load("sales", config={"ids": [waiting["id"]]}).success
    assert (graph.digests(), graph.dirty()) == (after, set())
    graph.require_invariants()


def test_a_dry_run_says_what_would_be_lost_and_what_stays_refused(graph_under: Built, tidemark: Command) -> None:
    graph = graph_under(sales={"min_rows": 2})
    loaded(graph, dated(["2026-03-04", "2026-03-05", "04/05/2026"]), name="mixed.csv")
    refused = loaded(graph, dated(["2026-03-04"], first=20), name="short.csv")
    assert refused["ingestion_status"] == "rejected"
    graph = graph_under(sales=DAY_FIRST)
    said = tidemark("replay", "sales", "--dry-run")
    assert said.startswith("frees 1 of 1 rows, touches ")
    assert "mixed.csv: frees 1 of 1 rows, but puts aside 2 that are loaded now" in said
    assert "short.csv: still refused, the file has 1 rows" in said
    graph = graph_under(sales={"min_rows": 0, "arrivals": ARRIVALS})
    assert tidemark("replay", "sales", "--dry-run").startswith("frees 1 of 2 rows, touches ")
    assert graph.load("sales", config={"ids": [refused["id"]]}).success
    assert staged(graph, refused)["transaction_id"].tolist() == ["T0020"]
    assert {file["ingestion_status"] for file in graph.catalog_files()} == {"archived"}
    graph.require_invariants()


def test_a_replay_of_what_nobody_declared_says_what_to_do(graph_under: Built, tidemark: Command) -> None:
    graph_under()
    assert "Nothing of sales is put aside" in tidemark("replay", "sales", "--dry-run")
    assert "`tidemark propose weather` writes a declaration" in tidemark("replay", "weather", "--dry-run", code=1)
