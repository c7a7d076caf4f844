"""What became of every line of a file, as the terminal shows it: of the sample files, and of files with odd lines."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from rich.console import Console

from assets_pkg import cli
from assets_pkg.commands import demo_files
from assets_pkg.commands.demo_files import SampleDrop, show_samples
from resources.landing.samples.truth import SampleFile
from resources.wiring import Settings
from schemas.catalog import QUARANTINE
from schemas.catalog_files import SKIPPED_LINES
from schemas.declared_files import file_datasets
from schemas.file_dataset import Mode
from tests.file_graph import FileGraph
from tests.written_sales import loaded, sale, written

TODAY = datetime.now(UTC).date()
PATIENCE_S = 240
ARRIVALS = file_datasets()["sales"].arrivals
STRETCH = re.compile(r"^lines? (\d+)(?:-(\d+))? (loaded|put aside|no record|NOT ACCOUNTED FOR)", re.MULTILINE)
SUMS = re.compile(r"^([\d,]+) loaded \+ ([\d,]+) put aside \+ ([\d,]+) without a record", re.MULTILINE)
Built = Callable[..., FileGraph]
Shown = Callable[..., str]


@pytest.fixture
def shown(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shown:
    """What `tidemark quarantine show <dataset> --file <file>` prints, line by line."""
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TIDEMARK_DATABASE_URL", postgres_url)
    monkeypatch.setenv("TIDEMARK_FILES_URL", str(tmp_path / "files"))

    def run(dataset: str, file: object, *arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        assert cli.main(["quarantine", "show", dataset, "--file", str(file), *arguments]) == code
        said = capsys.readouterr()
        return said.out + said.err

    return run


def fates(said: str) -> list[tuple[int, str]]:
    """Each line of the file as often as it is told, with its fate."""
    told = [(int(first), int(last or first), fate) for first, last, fate in STRETCH.findall(said)]
    return [(line, fate) for first, last, fate in told for line in range(first, last + 1)]


def true_fates(file: SampleFile) -> list[tuple[int, str]]:
    words = {"row": "loaded", "reject": "put aside", "skipped": "no record"}
    return [(one.line_no + n, words[one.fate]) for one in file.truth for n in range(one.line_count)]


def test_the_demo_drops_the_sample_files_and_every_line_of_them_is_shown_once(
    graph_under: Built, shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_under()
    monkeypatch.setattr(demo_files, "POLL_S", 0.05)
    chosen = Settings(TIDEMARK_HOME=tmp_path / "home", TIDEMARK_FILES_URL=str(graph.root))
    monkeypatch.setattr(demo_files, "build_timescale", lambda _: graph.timescale)
    dropped = SampleDrop(chosen, TODAY)
    take_all(graph, dropped)
    graph.settle()
    console = Console(file=StringIO(), width=200)
    assert show_samples(chosen, dropped, console)

    catalog = {(file["dataset"], file["sha256"]): file for file in graph.catalog_files()}
    assert len(catalog) == len({(file.dataset, file.content) for file in dropped.files})
    require_fates(console.file.getvalue(), list(catalog.values()))
    newest: dict[tuple[str, str], int] = {}
    for file in dropped.files:
        if file.fate == "duplicate":
            continue
        known = next(one for one in graph.catalog_files() if is_of(one, file, newest))
        newest[file.dataset, file.name] = known["id"]
        said = shown(file.dataset, known["id"])
        if file.fate == "rejected":
            assert "Refused as a whole" in said and not fates(said), file.name
            continue
        assert fates(said) == true_fates(file), file.name
        assert f"= {file.lines:,}: every line of the file is accounted for." in said, file.name
        assert sum(int(number.replace(",", "")) for number in SUMS.findall(said)[0]) == file.lines
    require_named_command(console.file.getvalue(), shown)


def take_all(graph: FileGraph, dropped: SampleDrop) -> None:
    """Loads what is dropped, as the sensor's runs would, until all of it was taken."""
    dropped.start()
    end = time.monotonic() + PATIENCE_S
    while dropped.is_alive():
        assert time.monotonic() < end, "the files were not all dropped"
        for dataset in sorted({file.dataset for file in dropped.files}):
            if graph.keys(dataset):
                assert graph.load(dataset).success
        time.sleep(0.02)
    assert dropped.were_taken


def is_of(known: dict[str, Any], file: SampleFile, newest: dict[tuple[str, str], int]) -> bool:
    """Whether the catalog's file is the sample: of several versions, the one after that seen last."""
    is_named = (known["dataset"], known["file_name"]) == (file.dataset, file.name)
    return is_named and known["id"] > newest.get((file.dataset, file.name), 0)


def require_fates(said: str, catalog: Sequence[dict[str, Any]]) -> None:
    """The table of files has a line per file whose numbers are the catalog's."""
    table = said[said.index("What became of the files") : said.index("Lines that are no rows")]
    found = [[cell.strip() for cell in line.split("│")[1:-1]] for line in table.splitlines() if line.startswith("│")]
    told = [cells[:7] for cells in found if cells[0]]
    names = ("lines", "row_count", "rejected_rows", "skipped_lines")
    expected = [
        [file["dataset"], file["file_name"], file["ingestion_status"]]
        + ["" if file[name] is None else f"{file[name]:,}" for name in names]
        for file in sorted(catalog, key=lambda file: int(file["id"]))
    ]
    assert told == expected


def require_named_command(said: str, shown: Shown) -> None:
    """The command that the demo names is one, and shows lines the demo had no room for."""
    (command,) = re.findall(r"tidemark quarantine show (\S+) --file (\S+) --demo", said)
    assert len(re.findall(r"^lines? .*(?:put aside|no record)", shown(*command), re.MULTILINE)) > 4


def test_the_demo_says_so_if_its_files_are_not_taken(
    graph_under: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_under()
    monkeypatch.setattr(demo_files, "PATIENCE_S", 0.0)
    monkeypatch.setattr(demo_files, "build_timescale", lambda _: graph.timescale)
    chosen = Settings(TIDEMARK_HOME=tmp_path / "home", TIDEMARK_FILES_URL=str(graph.root))
    dropped = SampleDrop(chosen, TODAY)
    dropped.start()
    console = Console(file=StringIO(), width=200)
    assert not show_samples(chosen, dropped, console)
    assert "the files were not taken in time" in console.file.getvalue()


def test_rows_rejects_values_and_lines_without_a_record_stand_in_order(graph_under: Built, shown: Shown) -> None:
    graph = graph_under(sales={"arrivals": ARRIVALS | {"price": replace(ARRIVALS["price"], mode=Mode.EVOLVE)}})
    rows = [
        sale(0),
        sale(1, price="zwölf"),
        sale(2, product_name="two\nlines"),
        sale(3, region="[red]Atlantis"),
        sale(4),
    ]
    loaded(graph, written(rows) + b"\n\n", name="march [bold].csv")
    said = shown("sales", "march [bold].csv")
    assert [line for line in said.splitlines()[1:] if not line.startswith(" ")] == [
        "line 1 no record, header",
        "lines 2-5 loaded, 3 rows",
        'line 3, value put aside: price: not a number: "zwölf"',
        'line 6 put aside, region: not a category: region: not a category: "[red]Atlantis"',
        "line 7 loaded",
        "lines 8-9 no record, blank",
        "5 loaded + 1 put aside + 3 without a record (4 rows loaded, 1 put aside)",
        "= 9: every line of the file is accounted for.",
    ]
    assert "  transaction_id,customer_id" in said and '"[red]Atlantis"' in said
    few = shown("sales", "march [bold].csv", "--most", "2")
    assert "line 3, value" not in few and "… and 4 more" in few and "= 9: every line" in few


def test_a_file_is_found_by_name_its_newest_version_first_and_by_id(graph_under: Built, shown: Shown) -> None:
    graph = graph_under()
    first = loaded(graph, written([sale(0)]), name="a.csv")
    second = loaded(graph, written([sale(0), sale(1)]), name="a.csv")
    assert f"(id {second['id']}, version 2" in shown("sales", "a.csv")
    assert f"to be shown by id: {first['id']}" in shown("sales", "a.csv")
    assert "lines 2-3 loaded, 2 rows" in shown("staging.sales_data", "a.csv")
    assert "line 2 loaded" in shown("sales", first["id"])
    assert f"the newest are a.csv (id {second['id']})" in shown("sales", "b.csv", code=1)
    things = loaded(graph, b"a,b\n1,2\n3,4,5\n6,7\n", dataset="things", name="x.csv")
    assert fates(shown("things", "x.csv")) == [
        (1, "no record"),
        (2, "loaded"),
        (3, "put aside"),
        (4, "loaded"),
    ]
    assert "no file of 'sales' is called" in shown("sales", things["id"], code=1)


def test_a_file_that_was_refused_says_why_instead(graph_under: Built, shown: Shown) -> None:
    graph = graph_under(sales={"min_rows": 3})
    loaded(graph, written([sale(0)]), name="few.csv")
    said = shown("sales", "few.csv")
    assert "Refused as a whole, no line of it is loaded: too_few_rows" in said and not fates(said)


def test_lines_that_are_gone_from_the_catalog_are_named_and_fail_the_command(graph_under: Built, shown: Shown) -> None:
    graph = graph_under()
    file = loaded(graph, written([sale(0), sale(1, region="Atlantis"), sale(2)]), name="a.csv")
    with graph.connect() as connection:
        connection.execute(sa.delete(SKIPPED_LINES).where(SKIPPED_LINES.c.file_metadata_id == file["id"]))
        connection.execute(sa.delete(QUARANTINE).where(QUARANTINE.c.source_id == file["id"]))
    said = " ".join(shown("sales", "a.csv", code=1).split())
    assert "line 1 NOT ACCOUNTED FOR" in said
    assert "there are 0 rows put aside, and there were 1 when it was loaded" in said
    assert "materialise staging.sales_data" in said
