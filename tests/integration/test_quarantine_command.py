"""`tidemark quarantine` and `tidemark replay`: what is put aside is shown, and what a declaration frees is foretold."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from assets_pkg import cli
from resources.catalog.files import KnownFile
from schemas.catalog_files import Status
from schemas.declared_files import file_datasets
from schemas.file_dataset import Mode
from schemas.file_tables import tables_of
from tests.file_graph import FileGraph
from tests.written_sales import loaded, put_aside, sale, staged, written

SALES = tables_of("sales")
ARRIVALS = file_datasets()["sales"].arrivals
DAY_FIRST = {"arrivals": ARRIVALS | {"transaction_date": replace(ARRIVALS["transaction_date"], date_order="DMY")}}
FORGIVING_PRICE = replace(ARRIVALS["price"], mode=Mode.EVOLVE)
FORGIVING = {"arrivals": ARRIVALS | {"price": FORGIVING_PRICE}}
"""A price that is no number costs its row nothing but the price."""
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
    assert f"touches {len({day for table, day in graph.dirty() if not table.endswith('_staging')})} days" in foretold
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
    loaded(graph, dated(["2026-03-04", "2026-03-05", "04/05/2026", "05/06/2026"]), name="mixed.csv")
    refused = loaded(graph, dated(["2026-03-04"], first=20), name="short.csv")
    assert refused["ingestion_status"] == "rejected"
    graph = graph_under(sales=DAY_FIRST)
    said = tidemark("replay", "sales", "--dry-run")
    assert said.startswith("frees 2 of 2 rows, touches ")
    assert "mixed.csv: frees 2 of 2 rows, but puts aside 2 that are loaded now" in said
    assert "short.csv: still refused, " in said
    graph = graph_under(sales={"min_rows": 0, "arrivals": ARRIVALS})
    assert tidemark("replay", "sales", "--dry-run").startswith("frees 1 of 3 rows, touches ")
    assert graph.load("sales", config={"ids": [refused["id"]]}).success
    assert staged(graph, refused)["transaction_id"].tolist() == ["T0020"]
    assert {file["ingestion_status"] for file in graph.catalog_files()} == {"archived"}
    graph.require_invariants()


def test_a_replay_of_what_nobody_declared_says_what_to_do(graph_under: Built, tidemark: Command) -> None:
    graph_under()
    assert "Nothing of sales is put aside" in tidemark("replay", "sales", "--dry-run")
    assert "`tidemark propose weather` writes a declaration" in tidemark("replay", "weather", "--dry-run", code=1)


def test_values_put_aside_are_listed_by_rule_and_shown_among_the_rows(graph_under: Built, tidemark: Command) -> None:
    graph = graph_under(sales=FORGIVING)
    rows = [sale(0, price="zwölf"), sale(1, region="Atlantis"), sale(2, price="13 or so"), sale(3)]
    loaded(graph, written(rows), name="march.csv")
    listed = tidemark("quarantine", "list")
    assert "Rows put aside" in listed and "region: not a category │ 1" in listed
    assert "Values put aside" in listed and "price: not a number │ 2" in listed
    shown = tidemark("quarantine", "show", "sales")
    places = [shown.index(text) for text in ("line 2, only price", '"Atlantis"', "line 4, only price")]
    assert places == sorted(places) and "zwölf" in shown
    only = tidemark("quarantine", "show", "sales", "--rule", "price: not", "--most", "1")
    assert "zwölf" in only and "13 or so" not in only and "Atlantis" not in only


def test_a_leap_second_is_loaded_and_so_not_put_aside(graph_under: Built, tidemark: Command) -> None:
    graph = graph_under()
    file = loaded(graph, dated(["2016-12-31T23:59:60Z", "2026-03-04"]))
    assert [rule for *_, rule in graph.bad_cells(file["id"])] == ["leap second"]
    assert "Nothing is put aside" in tidemark("quarantine", "list")
    assert "Nothing of sales is put aside" in tidemark("quarantine", "show", "sales")
    assert "Nothing of sales is put aside" in tidemark("replay", "sales", "--dry-run")


def test_what_nobody_declared_is_listed_and_shown_by_its_folder(graph_under: Built, tidemark: Command) -> None:
    graph = graph_under()
    numbers = b"".join(b"%d,%d.5\n" % (n, n) for n in range(40))
    loaded(graph, b"a,b\n1,2.5\n3,4,5\n6,nan\n" + numbers, dataset="things", name="x.csv")
    listed = tidemark("quarantine", "list")
    assert "things │ staging.things_files │ ragged" in listed and "things │ staging.things_files │ b: nan" in listed
    for name in ("things", "staging.things_files"):
        shown = tidemark("quarantine", "show", name)
        assert "x.csv, line 3 ragged" in shown and "x.csv, line 4, only b b: nan" in shown
    assert "Nothing of sales is put aside" in tidemark("quarantine", "show", "sales")


def test_a_mended_declaration_frees_values_as_the_dry_run_foretold(
    graph_under: Built, tidemark: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_under(sales=FORGIVING)
    rows = [sale(0, price="1.234,5"), sale(1, price="2,5"), sale(2, price="dear"), sale(3, price="7")]
    file = loaded(graph, written(rows), name="commas.csv")
    whole = loaded(graph, written([sale(10), sale(11, region="Atlantis")]), name="whole.csv")
    graph.settle()
    before = {(line, column) for line, column, *_ in graph.bad_cells(file["id"])}
    assert (4, "price") in before and len(before) < 4
    graph = graph_under(sales={"arrivals": ARRIVALS | {"price": replace(FORGIVING_PRICE, decimal=",")}})
    said = tidemark("replay", "sales", "--dry-run")
    assert f"commas.csv: frees 0 of 0 rows and {len(before) - 1} of {len(before)} values" in said
    assert said.startswith(f"frees 0 of 1 rows and {len(before) - 1} of {len(before)} values, touches ")
    assert {(line, column) for line, column, *_ in graph.bad_cells(file["id"])} == before
    monkeypatch.setattr("assets_pkg.commands.replay._launch", launched_in(graph))
    tidemark("replay", "sales")
    assert graph.bad_cells(file["id"]) == [(4, "price", "dear", "not a number")]
    assert staged(graph, file)["price"].tolist()[:2] == [1234.5, 2.5]
    assert f"touches {len({day for table, day in graph.dirty() if not table.endswith('_staging')})} days" in said
    assert list(put_aside(graph, whole)) == [3]
    assert "frees 0 of 1 rows and 0 of 1 values, touches 0 days" in tidemark("replay", "sales", "--dry-run")


def launched_in(graph: FileGraph) -> Callable[..., int]:
    """Runs what a replay would launch in a stack in the test's process."""

    def launch(_chosen: object, _timescale: object, _dataset: object, files: list[KnownFile], _console: object) -> int:
        assert graph.load("sales", config={"ids": [file.id for file in files]}).success
        return 0

    return launch


def test_values_a_declaration_would_put_aside_are_foretold(graph_under: Built, tidemark: Command) -> None:
    graph = graph_under(sales=FORGIVING)
    loaded(graph, written([sale(0, price="dear"), sale(1, created_at="2026-03-04"), sale(2, created_at="2026-03-05")]))
    doubtful = replace(ARRIVALS["created_at"], mode=Mode.EVOLVE, date_order="DMY")
    graph_under(sales={"arrivals": ARRIVALS | {"price": FORGIVING_PRICE, "created_at": doubtful}})
    said = tidemark("replay", "sales", "--dry-run")
    assert "frees 0 of 0 rows and 0 of 1 values, but puts aside 0 rows and 2 values that are loaded now" in said


def test_files_whose_bytes_are_gone_are_told_and_do_not_end_the_replay(graph_under: Built, tidemark: Command) -> None:
    graph = graph_under()
    files = {
        name: loaded(graph, dated([stamp, "2026-03-04"], first=10 * n), name=f"{name}.csv")
        for n, (name, stamp) in enumerate(
            {"retained": "01/02/2026", "lost": "02/03/2026", "kept": "03/04/2026"}.items()
        )
    }
    for name in ("retained", "lost"):
        (graph.root / files[name]["archive_path"]).unlink()
    graph.files.set_status(files["retained"]["id"], Status.RETAINED, run_id="retention")
    graph_under(sales=DAY_FIRST)
    said = tidemark("replay", "sales", "--dry-run")
    assert said.startswith("frees 1 of 2 rows, touches ")
    assert "kept.csv: frees 1 of 1 rows" in said
    assert "lost.csv: cannot be read again, " in said and "is gone: restore it from a backup" in said
    assert "left out, for their time in the archive is over and their bytes are gone: 1 file(s), retained.csv" in said


def test_a_dataset_with_nothing_but_retained_files_says_so(graph_under: Built, tidemark: Command) -> None:
    graph = graph_under()
    file = loaded(graph, dated(["soon", "2026-03-04"]), name="old.csv")
    graph.files.set_status(file["id"], Status.RETAINED, run_id="retention")
    said = tidemark("replay", "sales")
    assert "1 file(s), old.csv" in said and "frees" not in said


def test_the_demo_may_be_named_after_the_view_as_well_as_before(
    tidemark: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr("assets_pkg.cli._settings", lambda chosen: asked.append(chosen.demo))
    monkeypatch.setattr("assets_pkg.commands.quarantine.list_quarantine", lambda _: 0)
    monkeypatch.setattr("assets_pkg.commands.quarantine.show_quarantine", lambda _, **__: 0)
    for arguments in ("list --demo", "show sales --demo", "--demo list", "list", "show sales"):
        tidemark("quarantine", *arguments.split())
    assert asked == [True, True, True, False, False]
