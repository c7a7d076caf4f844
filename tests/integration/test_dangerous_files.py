"""Files that are broken, that attack whoever opens them, or have odd names: each through the real graph."""

import bz2
import gzip
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.file_graph import FileGraph, sales_csv
from tests.file_processes import CONTEXT, finish, load_and_measure, start
from tests.graph import failure_of
from tests.integration.test_file_faults import graph, load, rows, todays

__all__ = ["graph"]
MOST_MEMORY_MB = 700

PACKED = gzip.compress(sales_csv(20_000))
BROKEN = {
    "truncated.csv.gz": (PACKED[: len(PACKED) // 2], "truncated"),
    "one_byte_short.csv.gz": (PACKED[:-1], "truncated"),
    "junk_behind.csv.gz": (PACKED + b"junk behind it", "corrupt"),
    "wrong_sum.csv.gz": (PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:], "corrupt"),
    "truncated.csv.bz2": (bz2.compress(sales_csv(20_000))[:-10], "truncated"),
    "no_end.parquet": (b"PAR1" + bytes(1000), "truncated"),
    "picture.csv": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9, "not_a_table"),
}


def test_a_broken_file_is_refused_whole_with_a_reason_and_leaves_the_others_alone(graph: FileGraph) -> None:
    for name, (content, _) in BROKEN.items():
        graph.drop("sales", name, content)
    graph.drop("sales", "good.csv", sales_csv(10))
    graph.drop("sales", "packed_without_saying_so.csv", gzip.compress(sales_csv(5, first=50)))
    load(graph)
    fates = {file["file_name"]: file for file in todays(graph)}
    for name, (content, rule) in BROKEN.items():
        file = fates.pop(name)
        assert (file["ingestion_status"], file["error_rule"], file["row_count"]) == ("rejected", rule, None), name
        kept = graph.root / file["archive_path"]
        assert kept.read_bytes() == content
        assert rule in ("not_a_table",) or file["error_message"] in Path(f"{kept}.reason.txt").read_text()
    assert {name: file["row_count"] for name, file in fates.items()} == {
        "good.csv": 10,
        "packed_without_saying_so.csv": 5,
    }
    assert rows(graph) == 15
    assert graph.nothing_lies_in_landing()


def bomb_gzip() -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=9) as file:
        for _ in range(1_000):
            file.write(bytes(1 << 20))
    return out.getvalue()


def bomb_zip(member: str, *more: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in more:
            archive.writestr(name, "<xml/>")
        with archive.open(member, "w", force_zip64=True) as file:
            for _ in range(600):
                file.write(b" " * (1 << 20))
    return out.getvalue()


def bomb_parquet() -> bytes:
    out = io.BytesIO()
    nothing = pa.table({"region": pa.nulls(5_000_000, pa.string())})
    with pq.ParquetWriter(out, nothing.schema) as writer:
        for _ in range(40):
            writer.write_table(nothing, row_group_size=5_000_000)
    return out.getvalue()


BOMBS: dict[str, Callable[[], bytes]] = {
    "zeros.csv.gz": bomb_gzip,
    "blanks.zip": lambda: bomb_zip("a.csv"),
    "sheet.xlsx": lambda: bomb_zip("xl/worksheets/sheet1.xml", "[Content_Types].xml", "xl/workbook.xml"),
    "rows.parquet": bomb_parquet,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_within_bounded_memory(graph: FileGraph, postgres_url: str, name: str) -> None:
    content = BOMBS[name]()
    assert len(content) < 3_000_000
    graph.drop("sales", name, content)
    peak = CONTEXT.Value("l", 0)
    assert finish(start(load_and_measure, postgres_url, graph.root.parent, "sales", peak)) == 0
    assert 0 < peak.value < MOST_MEMORY_MB
    (file,) = todays(graph)
    assert (file["ingestion_status"], file["error_rule"]) == ("rejected", "bomb")
    assert graph.nothing_lies_in_landing()


def test_what_is_no_regular_file_or_leads_elsewhere_is_never_opened(graph: FileGraph, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.csv").write_bytes(sales_csv(7, first=777_000))
    folder = graph.drop("sales", "good.csv", sales_csv(10)).parent
    (folder / "link.csv").symlink_to(outside / "secret.csv")
    (folder / "relative.csv").symlink_to("../../../outside/secret.csv")
    (folder / "linked").symlink_to(outside)
    (graph.root / "landing/others").symlink_to(outside)
    os.mkfifo(folder / "pipe.csv")
    (folder / "line\nbreak.csv").write_bytes(sales_csv(8, first=777_000))
    log = load(graph)
    for shown, why in {
        "landing/sales/link.csv": "a symbolic link",
        "landing/sales/relative.csv": "a symbolic link",
        "landing/sales/linked": "a symbolic link",
        "landing/others": "a symbolic link",
        "landing/sales/pipe.csv": "a FIFO",
        r"landing/sales/line\x0abreak.csv": "a control character",
    }.items():
        assert any(shown in line and why in line for line in log.splitlines()), shown
    (file,) = todays(graph)
    assert (file["file_name"], rows(graph)) == ("good.csv", 10)
    copies = [path for path in graph.root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path.name for path in copies if b"T777" in path.read_bytes()] == ["line\nbreak.csv"]
    assert (outside / "secret.csv").exists()
    (folder / "line\nbreak.csv").unlink()


def test_the_name_of_a_member_of_a_zip_file_leads_nowhere(graph: FileGraph, tmp_path: Path) -> None:
    for number, member in enumerate(("../../../escaped.csv", str(tmp_path / "absolute.csv"))):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr(member, sales_csv(5, first=10 * number))
        graph.drop("sales", f"member_{number}.zip", out.getvalue())
    before = {path for path in tmp_path.parent.rglob("*.csv")}
    load(graph)
    assert {file["row_count"] for file in todays(graph)} == {5}
    assert {path for path in tmp_path.parent.rglob("*.csv")} <= before


NAMES = (
    "🦄📈.csv",
    "مبيعات ‮gnp.csv",
    "'; drop table staging.sales_data; --.csv",
    '"quoted" `name` $(id) %s {0}.csv',
    "-rf.csv",
    "n" * 251 + ".csv",
    "ä" * 125 + ".csv",
    "no suffix",
    "back\\slash.CSV",
)


def test_a_name_is_data_only(graph: FileGraph) -> None:
    for number, name in enumerate(NAMES):
        graph.drop("sales", name, sales_csv(1, first=number))
    load(graph)
    files = todays(graph)
    assert {file["file_name"]: (file["ingestion_status"], file["row_count"]) for file in files} == {
        name: ("archived", 1) for name in NAMES
    }
    for file in files:
        assert file["sha256"][:16] in file["archive_path"]
        assert file["archive_path"].isascii()
    assert rows(graph) == len(NAMES)
    assert graph.nothing_lies_in_landing()


def test_a_refused_file_that_comes_again_or_is_read_again_is_refused_again(graph: FileGraph) -> None:
    content = BROKEN["picture.csv"][0]
    for name in ("picture.csv", "picture.csv", "other.csv"):
        graph.drop("sales", name, content)
        load(graph)
        assert graph.nothing_lies_in_landing()
    done = graph.load("sales", config={})
    assert done.success, failure_of(done)
    (file,) = todays(graph)
    assert (file["ingestion_status"], file["error_rule"]) == ("rejected", "not_a_table")
    assert graph.names_of(file["id"]) == {"picture.csv", "other.csv"}
