"""The sensor of the landing folders on a real instance, database and folder: what it asks for, when, and what not."""

import os
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets_pkg.file_sensor import MOST_FILES
from assets_pkg.planning import DayRange
from assets_pkg.runs import MOST_RUNS, range_tags
from resources.landing.places.folder import FolderPlace
from schemas.declared_files import UNDECLARED
from schemas.file_tables import tables_of
from tests.file_graph import FileGraph, sales_csv
from tests.integration.test_sensors import asked, start, tick, work_off

TODAY = datetime.now(UTC).date()
SALES, METERS = tables_of("sales").staging.qualified, tables_of("meters").staging.qualified
QUIET_S = 0.5


@pytest.fixture
def graph(postgres_url: str, tmp_path: Path) -> Iterator[FileGraph]:
    """Files count as whole at the second look."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield FileGraph(postgres_url, tmp_path, instance)


def look(graph: FileGraph, cursor: str | None = None) -> Any:
    """One tick."""
    return tick(graph, "landing_files", cursor)


def look_twice(graph: FileGraph) -> Any:
    """Two ticks: what lies there stands still between them."""
    return look(graph, look(graph).cursor)


def given(request: Any) -> dict[str, Any]:
    """The configuration of the one asset of the request."""
    ((name, found),) = request.run_config["ops"].items()
    assert name.replace("__", ".") in {".".join(key.path) for key in request.asset_selection}
    return dict(found["config"])


def test_where_nothing_was_dropped_nothing_is_asked_for(graph: FileGraph) -> None:
    assert look_twice(graph).skip_message == "nothing was dropped"


def test_a_file_is_asked_for_once_it_stands_still_and_not_again_when_it_is_done(graph: FileGraph) -> None:
    graph.drop("sales", "a.csv", sales_csv(10))
    first = look(graph)
    assert first.skip_message == "1 file(s) may still be being written"
    second = look(graph, first.cursor)
    (request,) = second.run_requests
    assert asked(second) == {((SALES,), TODAY, TODAY)}
    assert given(request) == {"keys": graph.keys("sales")}
    assert look(graph, first.cursor).run_requests[0].run_key == request.run_key, "a tick that is repeated"
    work_off(graph, second)
    assert look(graph, second.cursor).skip_message == "nothing was dropped"
    graph.require_invariants()


def test_a_file_that_changes_between_looks_begins_its_quiet_period_anew(postgres_url: str, tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        graph = FileGraph(postgres_url, tmp_path, instance, quiet_s=60)
        path = graph.drop("sales", "a.csv", sales_csv(10))
        cursor = look(graph).cursor
        path.write_bytes(sales_csv(20))
        assert "being written" in look(graph, cursor).skip_message
        (path.parent / "a.csv.done").touch()
        assert len(look(graph, cursor).run_requests) == 1, "its writer says that it is done"


def test_a_file_that_is_being_written_is_taken_once_and_whole(postgres_url: str, tmp_path: Path) -> None:
    content = sales_csv(200)
    with dg.DagsterInstance.ephemeral() as instance:
        graph = FileGraph(postgres_url, tmp_path, instance, quiet_s=QUIET_S)
        path = graph.drop("sales", "slow.csv", b"")
        writer = threading.Thread(target=write_slowly, args=(path, content))
        writer.start()
        data, looks = look(graph), 1
        while not data.run_requests:
            time.sleep(0.05)
            data, looks = look(graph, data.cursor), looks + 1
        assert not writer.is_alive()
        assert looks > 5
        work_off(graph, data)
        (file,) = graph.catalog_files()
        assert (file["row_count"], file["file_size_bytes"]) == (200, len(content))
        assert not look(graph, data.cursor).run_requests
        graph.require_invariants()


def write_slowly(path: Path, content: bytes) -> None:
    piece = len(content) // 10
    for place in range(0, len(content), piece):
        with path.open("ab") as file:
            file.write(content[place : place + piece])
        time.sleep(QUIET_S / 2)


def test_each_dataset_has_a_run_of_its_own_and_undeclared_ones_are_named(graph: FileGraph) -> None:
    for dataset in ("sales", "meters", "Strange Things", "others"):
        for name in ("a.csv", "b.csv"):
            graph.drop(dataset, name, sales_csv(3))
    data = look_twice(graph)
    assert sorted(tables for tables, _, _ in asked(data)) == [(METERS,), (SALES,), (UNDECLARED,)]
    names = {given(request).get("dataset") for request in data.run_requests}
    strange = next(name for name in graph.landing.zone().datasets() if name.startswith("strange_things_"))
    assert names == {None, "others", strange}
    assert {len(given(request)["keys"]) for request in data.run_requests} == {2}


def test_no_more_runs_are_asked_for_than_fit_beside_each_other(graph: FileGraph) -> None:
    for number in range(MOST_RUNS + 3):
        graph.drop(f"things_{number}", "a.csv", sales_csv(1))
    data = look_twice(graph)
    assert len(data.run_requests) == MOST_RUNS
    start(graph, data.run_requests[0])
    assert look(graph, data.cursor).skip_message == (
        f"{MOST_RUNS + 3} run(s) wait until another one ends or their next try is due"
    )


def test_a_table_with_a_run_under_way_waits_whoever_started_it(graph: FileGraph) -> None:
    graph.drop("sales", "a.csv", sales_csv(1))
    graph.drop("meters", "a.csv", sales_csv(1))
    run = graph.instance.create_run_for_job(
        graph.definitions.resolve_implicit_global_asset_job_def(),
        tags=range_tags(DayRange(TODAY - timedelta(days=30), TODAY - timedelta(days=20))),
        asset_selection=frozenset({dg.AssetKey(SALES.split("."))}),
        status=dg.DagsterRunStatus.STARTED,
    )
    data = look_twice(graph)
    assert asked(data) == {((METERS,), TODAY, TODAY)}
    graph.instance.report_run_canceled(run)
    assert ((SALES,), TODAY, TODAY) in asked(look(graph, data.cursor))


def test_a_run_takes_no_more_than_so_many_files_and_the_others_follow(graph: FileGraph) -> None:
    for number in range(MOST_FILES + 5):
        graph.drop("sales", f"{number:05}.csv", b"")
    data = look_twice(graph)
    (request,) = data.run_requests
    assert len(given(request)["keys"]) == MOST_FILES
    rest = set(graph.keys("sales")) - set(given(request)["keys"])
    for path in sorted((graph.root / "landing/sales").iterdir())[:MOST_FILES]:
        path.unlink()
    (request,) = look(graph, data.cursor).run_requests
    assert set(given(request)["keys"]) == rest


@pytest.mark.parametrize(
    ("content", "status"), [(sales_csv(3), "archived"), (b"\x89PNG\r\n\x1a\n\0", "rejected")], ids=["loaded", "refused"]
)
def test_a_file_that_is_done_and_cannot_be_deleted_is_not_asked_for_again(
    graph: FileGraph, monkeypatch: pytest.MonkeyPatch, content: bytes, status: str
) -> None:
    graph.drop("sales", "first.csv", sales_csv(1))
    work_off(graph, look_twice(graph))
    path = graph.drop("sales", "stays.csv", content)
    monkeypatch.setattr(FolderPlace, "remove_content", lambda *_: False)
    data = look_twice(graph)
    work_off(graph, data)
    assert [file["ingestion_status"] for file in graph.catalog_files()] == ["archived", status]
    assert path.exists()
    assert look(graph, data.cursor).skip_message == "nothing was dropped"
    os.utime(path)
    again = look_twice(graph)
    assert len(again.run_requests) == 1, "it was written once more"
    work_off(graph, again)
    assert look_twice(graph).skip_message == "nothing was dropped"
    assert len(graph.catalog_files()) == 2


@pytest.mark.parametrize("between", [[], [sales_csv(4)]], ids=["the same again", "another one in between"])
def test_a_file_that_is_put_back_with_its_old_time_is_taken(graph: FileGraph, between: list[bytes]) -> None:
    content = sales_csv(3)
    for number, one in enumerate([content, *between, content]):
        path = graph.drop("sales", "a.csv", one)
        at = 1_700_000_000 + number * (one is not content)
        os.utime(path, (at, at))
        data = look_twice(graph)
        assert len(data.run_requests) == 1
        work_off(graph, data)
        assert not path.exists()
    assert [file["row_count"] for file in graph.catalog_files()] == [3, 4][: 1 + len(between)]
    assert look_twice(graph).skip_message == "nothing was dropped"


def test_what_was_left_half_done_is_asked_for_on_its_own_days(graph: FileGraph) -> None:
    yesterday = graph.leave_unfinished("sales", "a.csv", sales_csv(3), days_ago=1)
    graph.leave_unfinished("sales", "b.csv", sales_csv(4), days_ago=2)
    earlier = graph.leave_unfinished("others", "c.csv", sales_csv(5), days_ago=5)
    for file in (graph.root / "landing").rglob("*.csv"):
        file.unlink()
    data = look(graph)
    assert asked(data) == {
        ((SALES,), yesterday - timedelta(days=1), yesterday),
        ((UNDECLARED,), earlier, earlier),
    }
    work_off(graph, data)
    counts = {file["file_name"]: (file["ingestion_status"], file["row_count"]) for file in graph.catalog_files()}
    assert counts == {"a.csv": ("archived", 3), "b.csv": ("archived", 4), "c.csv": ("archived", 5)}
    assert look(graph, data.cursor).skip_message == "nothing was dropped"
    graph.require_invariants()


def test_half_done_files_of_today_go_along_with_new_ones_in_one_run(graph: FileGraph) -> None:
    graph.leave_unfinished("sales", "old.csv", sales_csv(3), days_ago=0)
    (graph.root / "landing/sales/old.csv").unlink()
    graph.drop("sales", "new.csv", sales_csv(4))
    data = look_twice(graph)
    assert asked(data) == {((SALES,), TODAY, TODAY)}
    work_off(graph, data)
    assert {file["ingestion_status"] for file in graph.catalog_files()} == {"archived"}
    assert not look(graph, data.cursor).run_requests


def test_failed_work_waits_longer_each_time_and_a_new_file_does_not_wait_for_it(graph: FileGraph) -> None:
    graph.drop("sales", "a.csv", sales_csv(1))
    data = look_twice(graph)
    graph.instance.report_run_failed(start(graph, data.run_requests[0]))
    waiting = look(graph, data.cursor)
    assert waiting.skip_message == "1 run(s) wait until another one ends or their next try is due"
    graph.drop("sales", "b.csv", sales_csv(2))
    new = look(graph, look(graph, waiting.cursor).cursor)
    assert len(given(new.run_requests[0])["keys"]) == 2


def test_what_nobody_opens_is_named_as_long_as_it_lies_there(graph: FileGraph, tmp_path: Path) -> None:
    (graph.root / "landing/sales").mkdir()
    (graph.root / "landing/sales/link\n.csv").symlink_to(tmp_path)
    told = look_twice(graph).skip_message
    assert told.startswith(
        r"nothing was dropped; 1 thing(s) there are not opened, such as landing/sales/link\x0a.csv: "
    )


def test_a_place_or_a_database_out_of_reach_is_a_reason_to_skip(
    graph: FileGraph, postgres_url: str, tmp_path: Path
) -> None:
    shutil.rmtree(graph.root)
    graph.root.write_bytes(b"a file where the root should be")
    assert "the landing folders were not looked at: " in look(graph).skip_message
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    other = FileGraph(postgres_url, folder, graph.instance)
    assert look(other).skip_message == "nothing was dropped"
    shutil.rmtree(folder / "work")
    (folder / "work").write_bytes(b"a file where the work folder should be")
    assert f"{folder}/work cannot be used now" in look(other).skip_message
    nobody = FileGraph("postgresql://nobody@127.0.0.1:1/none", tmp_path / "nobody", graph.instance)
    told = look(nobody).skip_message
    assert "does not answer" in told
    assert nobody.secret not in told
