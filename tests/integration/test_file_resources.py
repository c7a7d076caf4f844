"""Disks that are full, read-only or forbidden, connections and memory: what a file's way needs and may not have.

Real file systems of a few kilobytes where whoever runs the tests may mount them; what root cannot be denied is an error
of the system call. Whatever is missing, no byte is lost, and once it is there again nobody has to do anything.
"""

import errno
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from resources.timescale.resource import engine_of
from resources.timescale.server import EmbeddedServer
from schemas.file_tables import tables_of
from tests.file_graph import FileGraph, rows_of_table, sales_csv
from tests.file_processes import CONTEXT, answer, finish, load_and_measure, start
from tests.graph import failure_of
from tests.integration.test_sensors import tick, work_off

STAGING = tables_of("sales").staging
CONTENT = sales_csv(3_000)
MOST_MEMORY_MB = 700
MOST_CONNECTIONS_OF_A_RUN = 5
needs_mounts = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system needs root")


@pytest.fixture
def graph(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileGraph]:
    """With one good file loaded, and without the waits before work is tried again."""
    monkeypatch.setattr(dg.RetryPolicy, "calculate_delay", lambda *_: 0)
    monkeypatch.setattr("assets_pkg.planning.is_due", lambda *_: True)
    with dg.DagsterInstance.ephemeral() as instance:
        graph = FileGraph(postgres_url, tmp_path, instance)
        graph.drop("sales", "good.csv", sales_csv(10, first=90_000))
        assert graph.load("sales").success
        yield graph


@pytest.fixture
def mounted() -> Iterator[Callable[[Path, str], None]]:
    """Mounts a small file system of its own on a folder, or mounts it anew with other options."""
    folders: list[Path] = []

    def mount(folder: Path, options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if folder in folders:
            options = f"remount,{options}"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False
        )
        if done.returncode and folder not in folders:
            pytest.skip(f"no file system can be mounted here: {done.stderr}")
        assert not done.returncode, done.stderr
        folders.append(folder)

    yield mount
    for folder in set(folders):
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def sensor_completes(graph: FileGraph) -> None:
    """What the sensor asks for by itself, until it has nothing to ask for."""
    data = tick(graph, "landing_files")
    data = tick(graph, "landing_files", data.cursor)
    assert data.run_requests
    work_off(graph, data)
    assert not tick(graph, "landing_files", data.cursor).run_requests


def bytes_kept(graph: FileGraph) -> list[bytes]:
    """Every file of the zone, wherever it lies."""
    return [path.read_bytes() for path in graph.root.rglob("*") if path.is_file()]


def require_done(graph: FileGraph, *, rows: int, status: str = "archived") -> None:
    assert rows_of_table(graph, STAGING) == rows + 10
    assert {file["ingestion_status"] for file in graph.catalog_files()[1:]} == {status}
    assert graph.nothing_lies_in_landing()
    assert not [path for path in (graph.root / "processing").rglob("*") if path.is_file()]
    graph.require_invariants()


LACKS = {
    "full": ("size=64k,nr_inodes=100", "size=8m,nr_inodes=100"),
    "out of inodes": ("size=8m,nr_inodes=2", "size=8m,nr_inodes=100"),
    "read-only": ("size=8m,ro", "size=8m,rw"),
}


@needs_mounts
@pytest.mark.parametrize("lack", LACKS)
@pytest.mark.parametrize("place", ["files/processing", "files/archive", "work"])
def test_a_disk_that_takes_nothing_fails_the_run_before_anything_is_deleted_and_recovers_by_itself(
    graph: FileGraph, mounted: Callable[[Path, str], None], place: str, lack: str
) -> None:
    short, enough = LACKS[lack]
    kept = bytes_kept(graph)
    if place == "files/archive":
        (graph.root / "archive").rename(graph.root / "archive_before")
    mounted(graph.root.parent / place, short)
    graph.drop("sales", "a.csv", CONTENT)
    result = graph.load("sales")
    assert not result.success
    told = failure_of(result)
    assert "cannot be used now" in told or "make room" in told, told
    assert CONTENT in bytes_kept(graph)
    assert rows_of_table(graph, STAGING) == 10 + (3_000 if place == "files/archive" else 0)
    mounted(graph.root.parent / place, enough)
    if place == "files/archive":
        subprocess.run(["cp", "-r", f"{graph.root}/archive_before/.", f"{graph.root}/archive"], check=True)
    sensor_completes(graph)
    require_done(graph, rows=3_000)
    assert set(kept) <= set(bytes_kept(graph))


@needs_mounts
def test_a_full_disk_under_a_refused_file_keeps_it_until_there_is_room(
    graph: FileGraph, mounted: Callable[[Path, str], None]
) -> None:
    broken = b"\x89PNG\r\n\x1a\n" + bytes(100_000)
    mounted(graph.root / "rejected", "size=64k")
    graph.drop("sales", "picture.csv", broken)
    assert not graph.load("sales").success
    assert broken in bytes_kept(graph)
    mounted(graph.root / "rejected", "size=8m")
    sensor_completes(graph)
    require_done(graph, rows=0, status="rejected")


@pytest.mark.parametrize(
    ("call", "number"),
    [
        ("open", errno.EACCES),
        ("open", errno.ENOSPC),
        ("link", errno.EACCES),
        ("rename", errno.EACCES),
        ("mkdir", errno.ENOSPC),
        ("fsync", errno.ENOSPC),
    ],
)
def test_whichever_call_is_refused_nothing_is_lost_and_the_next_run_completes_it(
    graph: FileGraph, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """Both ways of a file at once: one is archived, one goes to `rejected/`."""
    broken = b"\x89PNG\r\n\x1a\n" + bytes(100)
    graph.drop("sales", "a.csv", CONTENT)
    graph.drop("sales", "picture.csv", broken)
    keys = graph.keys("sales")
    system = getattr(os, call)

    def refused(*arguments: Any, **options: Any) -> Any:
        is_ours = call == "fsync" or "dir_fd" in options or "src_dir_fd" in options
        if is_ours and not (call == "open" and not arguments[1] & os.O_CREAT):
            raise OSError(number, os.strerror(number))
        return system(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refused)
        result = graph.load_day(datetime.now(UTC).date(), "sales", {"keys": keys})
    assert not result.success
    assert {CONTENT, broken} <= set(bytes_kept(graph))
    sensor_completes(graph)
    assert rows_of_table(graph, STAGING) == 3_010
    assert {file["ingestion_status"] for file in graph.catalog_files()} == {"archived", "rejected"}
    assert graph.nothing_lies_in_landing()
    graph.require_invariants()


def test_a_file_nobody_may_read_does_not_keep_the_others(graph: FileGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, first in {"a.csv": 0, "forbidden.csv": 100, "z.csv": 200}.items():
        graph.drop("sales", name, sales_csv(10, first=first))
    system = os.open

    def refused(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if path == "forbidden.csv":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return system(path, flags, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refused)
        result = graph.load("sales")
    assert not result.success
    assert "landing/sales/forbidden.csv cannot be used now (Permission denied)" in failure_of(result)
    assert rows_of_table(graph, STAGING) == 30
    assert (graph.root / "landing/sales/forbidden.csv").exists()
    sensor_completes(graph)
    require_done(graph, rows=30)


@pytest.fixture
def small_tablespace(embedded: EmbeddedServer, mounted: Callable[[Path, str], None], open_folder: Path) -> str:
    """A tablespace of the server on a disk of its own, half as large as the 60 000 rows a test loads."""
    folder = open_folder / f"tablespace_{os.urandom(4).hex()}"
    owner = next(path for path in open_folder.rglob("PG_VERSION")).stat()
    mounted(folder, f"size=4m,mode=700,uid={owner.st_uid},gid={owner.st_gid}")
    engine = engine_of(embedded.url("postgres")).execution_options(isolation_level="AUTOCOMMIT")
    quoted = sa.sql.quoted_name(folder.name, quote=True)
    with engine.connect() as connection:
        connection.execute(
            sa.DDL("CREATE TABLESPACE %(name)s LOCATION '%(folder)s'", context={"name": quoted, "folder": str(folder)})
        )
    return str(folder)


@needs_mounts
def test_a_full_disk_under_the_database_rolls_the_file_back_until_there_is_room(
    small_tablespace: str, graph: FileGraph, mounted: Callable[[Path, str], None]
) -> None:
    with graph.connect() as connection:
        space = Path(small_tablespace).name
        connection.execute(sa.DDL(f'ALTER TABLE {STAGING.qualified} SET TABLESPACE "{space}"'))
    content = sales_csv(60_000)
    graph.drop("sales", "a.csv", content)
    result = graph.load("sales")
    assert not result.success
    assert "No space left on device" in failure_of(result)
    assert rows_of_table(graph, STAGING) == 10
    assert content in bytes_kept(graph)
    mounted(Path(small_tablespace), "size=64m")
    sensor_completes(graph)
    require_done(graph, rows=60_000)
    with graph.connect() as connection:
        connection.execute(sa.DDL(f"ALTER TABLE {STAGING.qualified} SET TABLESPACE pg_default"))


def test_100_files_at_once_in_10_datasets_are_loaded_with_few_connections(graph: FileGraph, postgres_url: str) -> None:
    for dataset in range(10):
        for number in range(10):
            graph.drop(f"things_{dataset:02}", f"{number}.csv", sales_csv(5, first=100 * dataset + 10 * number))
    connections, is_over = [0], threading.Event()
    sampler = threading.Thread(target=count_connections, args=(graph, connections, is_over))
    sampler.start()
    try:
        cursor, rounds = tick(graph, "landing_files").cursor, 0
        while (data := tick(graph, "landing_files", cursor)).run_requests:
            cursor, rounds = data.cursor, rounds + 1
            runs = [start(answer, postgres_url, graph.root.parent, *told(request)) for request in data.run_requests]
            assert [finish(run) for run in runs] == [0] * len(runs)
    finally:
        is_over.set()
        sampler.join()
    assert rounds == 2
    assert 8 <= max(connections) <= 8 * MOST_CONNECTIONS_OF_A_RUN
    files = graph.catalog_files()[1:]
    assert len(files) == 100
    assert {(file["ingestion_status"], file["row_count"]) for file in files} == {("archived", 5)}
    assert graph.nothing_lies_in_landing()


def count_connections(graph: FileGraph, found: list[int], is_over: threading.Event) -> None:
    query = sa.text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
    while not is_over.wait(0.1):
        with graph.connect() as connection:
            found.append(connection.execute(query).scalar_one())


def told(request: Any) -> tuple[date, list[str], dict[str, Any]]:
    day = date.fromisoformat(request.tags["dagster/asset_partition_range_start"])
    return day, [".".join(key.path) for key in request.asset_selection], request.run_config


def test_a_large_file_is_loaded_with_bounded_memory(graph: FileGraph, postgres_url: str) -> None:
    path = graph.drop("sales", "large.csv", b"")
    rows, size_mb = 600_000, 300
    wide = "x" * (size_mb * 1_000_000 // rows - 50)
    with path.open("wb") as file:
        for first in range(0, rows, 10_000):
            header, lines = sales_csv(10_000, first=first).decode().split("\n", 1)
            file.write((f"{header}\n" if not first else "").encode())
            file.write(lines.replace(",Lamp,", f",Lamp {first} {wide},").encode())
    assert path.stat().st_size > size_mb * 900_000
    peak = CONTEXT.Value("l", 0)
    assert finish(start(load_and_measure, postgres_url, graph.root.parent, "sales", peak)) == 0
    assert 0 < peak.value < MOST_MEMORY_MB
    assert rows_of_table(graph, STAGING) == rows + 10
    assert graph.nothing_lies_in_landing()
