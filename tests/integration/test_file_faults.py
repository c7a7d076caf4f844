"""Files that change, vanish, repeat or are empty: each fault through the real graph.

What is wrong inside a table's cells is tested elsewhere; so are broken and dangerous files (`test_dangerous_files.py`),
processes that die (`test_file_crashes.py`), disks and connections (`test_file_resources.py`).
"""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from resources.catalog import registry
from resources.errors import ContractBroken, RejectedFile
from resources.landing.places.place import Stamp
from resources.landing.places.regular_files import chunks_of
from resources.landing.zone import LandingZone
from resources.timescale.resource import Transaction
from schemas.catalog_datasets import METADATA_DATASETS
from schemas.catalog_files import Status
from schemas.declared_files import file_datasets
from schemas.file_tables import tables_of
from tests.file_graph import FileGraph, rows_of_table, sales_csv
from tests.graph import failure_of
from tests.written_sales import sale, staged, written

TODAY = datetime.now(UTC).date()
STAGING = tables_of("sales").staging
YESTERDAYS_ROWS = 3
HEADER = sales_csv(0)
MOST_MEMORY_MB = 700


@pytest.fixture
def graph(postgres_url: str, tmp_path: Path) -> Iterator[FileGraph]:
    """With a file of yesterday, whose rows nothing of today may touch."""
    with dg.DagsterInstance.ephemeral() as instance:
        graph = FileGraph(postgres_url, tmp_path, instance)
        day = graph.leave_unfinished("sales", "yesterday.csv", sales_csv(YESTERDAYS_ROWS, first=10_000), days_ago=1)
        load(graph, day=day)
        yield graph
        graph.require_invariants()


def load(graph: FileGraph, dataset: str = "sales", **run: Any) -> str:
    """A run that succeeds; its log."""
    done = graph.load_day(run["day"], dataset, {"keys": run.get("keys", ["-"])}) if run else graph.load(dataset)
    assert done.success, failure_of(done)
    return "\n".join(entry.message for entry in graph.instance.all_logs(done.run_id))


def todays(graph: FileGraph) -> list[dict[str, Any]]:
    """What the catalog says of the files of today."""
    return [file for file in graph.catalog_files() if file["arrived_on"] == TODAY]


def rows(graph: FileGraph) -> int:
    """Staged rows of today's files."""
    return rows_of_table(graph, STAGING) - YESTERDAYS_ROWS


@pytest.mark.parametrize("moment", ["while its rows are loaded", "after it was archived"])
def test_a_file_that_grows_after_it_was_taken_becomes_a_second_version_and_is_never_mixed(
    graph: FileGraph, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    whole = sales_csv(30)
    first, rest = whole[: len(sales_csv(10))], whole[len(sales_csv(10)) :]
    path = graph.drop("sales", "growing.csv", first)
    if moment == "while its rows are loaded":
        archive = LandingZone.archive

        def grow_first(zone: LandingZone, *arguments: Any, **options: Any) -> str:
            path.write_bytes(whole)
            return archive(zone, *arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(LandingZone, "archive", grow_first)
            load(graph)
        assert path.exists(), "what was written since is no copy of what is archived"
    else:
        load(graph)
        graph.drop("sales", "growing.csv", first + rest)
    load(graph)
    old, new = todays(graph)
    assert (old["version"], new["version"], new["supersedes"]) == (1, 2, old["id"])
    assert (old["row_count"], new["row_count"]) == (10, 30)
    assert graph.files.superseded("sales") == {old["id"]}
    assert graph.nothing_lies_in_landing()


@pytest.mark.parametrize("moment", ["before the run", "before the copy"])
def test_a_file_renamed_before_it_is_read_is_loaded_once_under_its_new_name(
    graph: FileGraph, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    old = graph.drop("sales", "draft.csv", sales_csv(10))
    keys = graph.keys("sales")
    if moment == "before the run":
        old.rename(old.with_name("final.csv"))
        log = load(graph, day=TODAY, keys=keys)
    else:
        snapshot = LandingZone.snapshot

        def rename_first(zone: LandingZone, seen: Any) -> Any:
            old.rename(old.with_name("final.csv"))
            return snapshot(zone, seen)

        with monkeypatch.context() as patch:
            patch.setattr(LandingZone, "snapshot", rename_first)
            log = load(graph, day=TODAY, keys=keys)
    assert "vanished" in log
    assert not todays(graph)
    assert rows(graph) == 0
    load(graph)
    (file,) = todays(graph)
    assert (file["file_name"], file["row_count"], file["ingestion_status"]) == ("final.csv", 10, "archived")


def test_a_file_overwritten_while_it_is_copied_is_copied_again(
    graph: FileGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = graph.drop("sales", "a.csv", sales_csv(10))
    overwriting(monkeypatch, path, [sales_csv(20)])
    load(graph)
    (file,) = todays(graph)
    assert (file["row_count"], rows(graph)) == (20, 20)
    assert graph.nothing_lies_in_landing()


def test_a_file_that_is_overwritten_all_the_time_is_left_with_both_hashes_until_it_stands_still(
    graph: FileGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = graph.drop("sales", "a.csv", sales_csv(10))
    with monkeypatch.context() as patch:
        overwriting(patch, path, [sales_csv(20 + n) for n in range(50)])
        log = load(graph)
    assert "changing" in log
    assert "it read as" in log
    assert not todays(graph)
    assert path.exists()
    load(graph)
    assert rows(graph) == path_rows(graph)


def path_rows(graph: FileGraph) -> int:
    (file,) = todays(graph)
    return int((graph.root / file["archive_path"]).read_bytes().count(b"\n")) - 1


def overwriting(patch: pytest.MonkeyPatch, path: Path, contents: list[bytes]) -> None:
    """Each reading of the file at `path` meets a writer, as long as there are contents to write."""
    left = iter(contents)

    def chunks(folder: int, name: str, shown: str, stamp: Stamp) -> Iterator[bytes]:
        for chunk in chunks_of(folder, name, shown, stamp):
            if name == path.name and (content := next(left, None)):
                path.write_bytes(content)
            yield chunk

    patch.setattr("resources.landing.places.folder.chunks_of", chunks)


@pytest.mark.parametrize("name", ["a.csv", "b.csv", "deep/er/c.txt"])
def test_the_same_bytes_again_add_a_name_and_no_row(graph: FileGraph, name: str) -> None:
    content = sales_csv(10)
    graph.drop("sales", "a.csv", content)
    load(graph)
    kept = todays(graph)
    dirty = graph.dirty()
    graph.drop("sales", name, content)
    log = load(graph)
    assert "duplicate. the same bytes as a.csv" in log
    assert todays(graph) == kept
    assert rows(graph) == 10
    assert graph.names_of(kept[0]["id"]) == {"a.csv", name}
    assert graph.dirty() == dirty
    assert graph.nothing_lies_in_landing()


def test_another_content_under_the_same_name_is_a_version_and_both_are_kept(graph: FileGraph) -> None:
    for count in (10, 11, 12):
        graph.drop("sales", "a.csv", sales_csv(count))
        load(graph)
    files = todays(graph)
    assert [file["version"] for file in files] == [1, 2, 3]
    assert [file["supersedes"] for file in files] == [None, files[0]["id"], files[1]["id"]]
    assert len({file["archive_path"] for file in files}) == 3
    assert rows(graph) == 10 + 11 + 12
    assert graph.files.superseded("sales") == {file["id"] for file in files[:2]}


@pytest.mark.parametrize(
    ("drops", "days"),
    [
        ([("a.csv", "02"), ("a.csv", ""), ("a.csv", "04")], {"04"}),
        ([("a.csv", "02"), ("a.csv", "04"), ("a.csv", "02"), ("a.csv", "05")], {"05"}),
        ([("a.csv", "02"), ("b.csv", "02"), ("a.csv", "04"), ("b.csv", "05")], {"04", "05"}),
    ],
    ids=["one in between was refused", "an older one had come back", "it had two names"],
)
def test_the_days_of_what_is_replaced_are_computed_again(
    graph: FileGraph, drops: list[tuple[str, str]], days: set[str]
) -> None:
    for name, month in drops:
        graph.drop("sales", name, about(month) if month else b"\x89PNG\r\n\x1a\n\0")
        load(graph)
        graph.settle()
    series = graph.table(tables_of("sales").series)
    sold = series.loc[(series["metric"] == "orders") & (series["value"] > 0), "datetime_utc"]
    assert {f"{day:%m}" for day in sold} - {"03"} == days, "March is yesterday's file's"


def about(month: str) -> bytes:
    """A file about one day of that month."""
    return written(sale(int(month) * 10 + n, transaction_date=f"2026-{month}-01") for n in range(2))


def test_a_load_that_fails_leaves_no_column_behind_that_later_files_would_follow(
    graph: FileGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph.drop("things", "a.csv", b"a,b\n1,2.5\n3,4.5\n")
    load(graph, "things")
    with monkeypatch.context() as patch:
        patch.setattr(Transaction, "copy", refuse_rows)
        dropped = graph.drop("things", "wide.csv", b"a,b,c\nx,w,1\nz,w,2\n")
        assert not graph.load("things").success
    assert kinds(graph) == [{"a": "integer", "b": "number"}]
    dropped.unlink()
    wide = graph.catalog_files()[-1]
    graph.files.set_status(wide["id"], Status.REJECTED, run_id="r", error=RejectedFile("x", "y"))
    graph.drop("things", "next.csv", b"a,b,c\n5,6.5,2026-03-01T00:00:00Z\n")
    load(graph, "things")
    narrow = {"a": "integer", "b": "number"}
    assert kinds(graph) == [narrow, narrow | {"c": "timestamp"}]
    rows_of = {file["file_name"]: staged(graph, file) for file in graph.catalog_files() if file["row_count"]}
    assert rows_of["a.csv"][["a", "b"]].values.tolist() == [[1, 2.5], [3, 4.5]]
    assert rows_of["next.csv"]["c"].tolist() == [datetime(2026, 3, 1, tzinfo=UTC)]
    with graph.connect() as connection:
        noted = sa.select(METADATA_DATASETS.c.current_schema_version).where(METADATA_DATASETS.c.dataset == "things")
        assert connection.execute(noted).scalar_one() == 2


def refuse_rows(*_: object) -> None:
    raise ContractBroken("the database refuses the rows")


def kinds(graph: FileGraph) -> list[dict[str, str]]:
    """Of the columns of `things`, by version."""
    with graph.connect() as connection:
        return [{one.name: one.kind for one in version.columns} for version in registry.history(connection, "things")]


@pytest.mark.parametrize("content", [b"", HEADER, b"\xef\xbb\xbf", b"\n\n", b"\xef\xbb\xbf" + HEADER])
def test_a_file_without_rows_is_loaded_with_none_and_archived(graph: FileGraph, content: bytes) -> None:
    graph.drop("sales", "empty.csv", content)
    load(graph)
    (file,) = todays(graph)
    assert (file["ingestion_status"], file["row_count"], file["rejected_rows"]) == ("archived", 0, 0)
    assert graph.nothing_lies_in_landing()


def test_a_file_without_rows_is_refused_where_the_declaration_wants_some(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(file_datasets(), "sales", replace(file_datasets()["sales"], min_rows=2))
    with dg.DagsterInstance.ephemeral() as instance:
        graph = FileGraph(postgres_url, tmp_path, instance)
        for name, content in {"empty.csv": HEADER, "few.csv": sales_csv(1), "enough.csv": sales_csv(2)}.items():
            graph.drop("sales", name, content)
        load(graph)
        fates = {file["file_name"]: (file["ingestion_status"], file["error_rule"]) for file in graph.catalog_files()}
        refused = ("rejected", "too_few_rows")
        assert fates == {"empty.csv": refused, "few.csv": refused, "enough.csv": ("archived", None)}
        graph.require_invariants()


def test_a_refused_file_that_fits_a_new_declaration_is_loaded_and_archived(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        with monkeypatch.context() as patch:
            patch.setitem(file_datasets(), "sales", replace(file_datasets()["sales"], min_rows=5))
            strict = FileGraph(postgres_url, tmp_path, instance)
            strict.drop("sales", "enough.csv", sales_csv(5, first=10))
            strict.drop("sales", "few.csv", sales_csv(3))
            load(strict)
        graph = FileGraph(postgres_url, tmp_path, instance)
        done = graph.load("sales", config={})
        assert done.success, failure_of(done)
        assert {file["ingestion_status"] for file in graph.catalog_files()} == {"archived"}
        assert rows_of_table(graph, STAGING) == 8
        assert not [path for path in (graph.root / "rejected").rglob("*") if path.is_file()]
        graph.require_invariants()


def test_a_refused_file_whose_copy_was_cleaned_up_is_loaded_when_it_is_dropped_again(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        with monkeypatch.context() as patch:
            patch.setitem(file_datasets(), "sales", replace(file_datasets()["sales"], min_rows=5))
            strict = FileGraph(postgres_url, tmp_path, instance)
            strict.drop("sales", "few.csv", sales_csv(3))
            load(strict)
        shutil.rmtree(strict.root / "rejected")
        graph = FileGraph(postgres_url, tmp_path, instance)
        graph.drop("sales", "few.csv", sales_csv(3))
        load(graph)
        (file,) = graph.catalog_files()
        assert (file["ingestion_status"], file["row_count"], file["error_rule"]) == ("archived", 3, None)
        assert graph.nothing_lies_in_landing()
        graph.require_invariants()
