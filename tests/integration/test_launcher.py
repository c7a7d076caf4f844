"""The launcher with real Dagster processes: start, clean stop, SIGKILL at its different members, and the next start."""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from assets_pkg.launcher import _answers, _as_variables, _environment, running_stack
from assets_pkg.leftovers import MARKER
from resources.errors import ConfigurationError
from resources.timescale.server import EmbeddedServer, ensure_databases, lease
from resources.wiring import Settings
from tests.web_server import free_port

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"), pytest.mark.timeout(1500)]
PATIENCE_S = 480

DEFINITIONS = """
import os, time
from pathlib import Path
import dagster as dg

@dg.asset
def quick() -> None:
    pass

@dg.asset(pool="api")
def slow(context) -> None:
    seen = Path(os.environ["TIDEMARK_HOME"]) / "slow"
    with seen.open("a") as file:
        file.write(f"{os.getpid()}\\n")
    if len(seen.read_text().split()) == 1:
        time.sleep(3600)

defs = dg.Definitions(assets=[quick, slow], executor=dg.in_process_executor)
"""

UP = """
import sys
from pathlib import Path
from assets_pkg.launcher import run_up
from resources.wiring import settings
say = lambda line: print(line, flush=True)
sys.exit(run_up(settings(), port=int(sys.argv[1]), on_ready=say, project=Path(sys.argv[2])))
"""

LAUNCH = """mutation($e: ExecutionParams!) { launchRun(executionParams: $e) {
    __typename ... on LaunchRunSuccess { run { id } } ... on PythonError { message } } }"""


@pytest.fixture
def project() -> Iterator[Path]:
    """A small project with the repository's dagster.yaml; its home is `home` in it."""
    folder = Path(tempfile.mkdtemp(prefix="tidemark test "))
    folder.chmod(0o755)
    shutil.copy(ROOT / "dagster.yaml", folder)
    (folder / "tiny_definitions.py").write_text(DEFINITIONS)
    location = "load_from: [{python_module: {module_name: tiny_definitions, location_name: tidemark}}]"
    (folder / "workspace.yaml").write_text(location)
    yield folder
    for process in processes_of(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    wait_for(lambda: not processes_of(folder))
    shutil.rmtree(folder)


@pytest.fixture
def home(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TIDEMARK_HOME", str(project / "home"))
    return project / "home"


def processes_of(project: Path) -> list[int]:
    """Live processes of the project's stack, its PostgreSQL and its launchers."""
    marker, found = f"{MARKER}={project / 'home'}".encode(), []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environment = (entry / "environ").read_bytes().split(b"\0")
            in_data = str((entry / "cwd").readlink()).startswith(str(project / "home" / "postgres"))
            launches = str(project).encode() in (entry / "cmdline").read_bytes().split(b"\0")
            if marker in environment or in_data or launches:
                found.append(int(entry.name))
    return found


def wait_for(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)


def environment() -> dict[str, str]:
    paths = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH")) if part)
    return {**os.environ, "PYTHONPATH": paths}


@contextlib.contextmanager
def up(project: Path, port: int | None = None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`run_up` in a process of its own, and the line it says."""
    launcher = subprocess.Popen(
        [sys.executable, "-c", UP, str(port or free_port()), str(project)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert launcher.stdout is not None
    try:
        assert select.select([launcher.stdout], [], [], PATIENCE_S)[0], "the launcher says nothing"
        yield launcher, launcher.stdout.readline()
    finally:
        launcher.kill()
        launcher.wait()
        launcher.stdout.close()


def url_in(line: str) -> str:
    return next(word for word in line.split() if word.startswith("http://"))


def launch(url: str, asset: str) -> str:
    """Ask for a run of the asset; its id."""
    launched = try_to_launch(url, asset)
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return str(launched["run"]["id"])


def try_to_launch(url: str, asset: str) -> dict[str, Any]:
    selector = {
        "repositoryName": "__repository__",
        "repositoryLocationName": "tidemark",
        "pipelineName": "__ASSET_JOB",
        "assetSelection": [{"path": [asset]}],
    }
    variables = {"e": {"selector": selector, "runConfigData": {}, "mode": "default"}}
    return dict(graphql(url, LAUNCH, variables)["data"]["launchRun"])


def graphql(url: str, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    """Dagster's answer; where it is an error (HTTP 500), that is JSON with `errors`, too."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        with error:
            return dict(json.load(error))


def runs(home: Path) -> list[tuple[Any, ...]]:
    """(id, status) of all runs, oldest first."""
    return ask(home, "SELECT run_id, status FROM runs ORDER BY id")


def ask(home: Path, statement: str) -> list[tuple[Any, ...]]:
    return rows(EmbeddedServer(home), statement)


def rows(server: EmbeddedServer, statement: str) -> list[tuple[Any, ...]]:
    """Rows of a query to Dagster's database."""
    with contextlib.closing(psycopg2.connect(server.url("dagster"))) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def statuses(home: Path) -> list[str]:
    return [status for _, status in runs(home)]


def started_at(home: Path) -> object:
    """When the embedded server started; None while it is away."""
    try:
        return ask(home, "SELECT pg_postmaster_start_time()")
    except psycopg2.OperationalError:
        return None


def start_slow_run(url: str, home: Path) -> None:
    """Start the run that only ends when it is killed; its second attempt ends by itself."""
    launch(url, "slow")
    wait_for((home / "slow").exists)


def test_the_life_of_a_stack(project: Path, home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        port = taken.getsockname()[1]
        with up(project, port) as (launcher, line):
            url = url_in(line)
            assert f"Port {port} is taken" in line
            assert url.startswith("http://127.0.0.1:")
            assert str(home / "logs" / "dagster.log") in line
            assert (home / "dagster" / "dagster.yaml").resolve() == (project / "dagster.yaml").resolve()

            launch(url, "quick")
            wait_for(lambda: statuses(home) == ["SUCCESS"])
            assert ask(home, "SHOW synchronous_commit") == [("off",)]

            # A killed database comes back under the running stack.
            before = started_at(home)
            os.kill(int((home / "postgres" / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
            wait_for(lambda: started_at(home) not in (None, before))
            # The webserver finds out connection by connection that its own are gone: one request fails for each.
            wait_for(lambda: try_to_launch(url, "quick")["__typename"] == "LaunchRunSuccess")

            # Another process uses the stack that is up, and touches neither it nor its runs.
            start_slow_run(url, home)
            with running_stack(Settings(), project=project) as stack:
                assert stack.url == url
                assert stack.process is None
            assert launcher.poll() is None
            wait_for(lambda: statuses(home)[-1] == "STARTED")  # what a run says of itself is stored a little later

            launcher.terminate()
            assert launcher.wait(timeout=PATIENCE_S) == 0
    assert processes_of(project) == []
    assert not (home / "launcher.json").exists()


def test_ctrl_c_while_starting_leaves_no_process(project: Path, home: Path) -> None:
    launcher = subprocess.Popen([sys.executable, "-c", UP, str(free_port()), str(project)], env=environment())
    wait_for((home / "launcher.json").exists)
    launcher.send_signal(signal.SIGINT)
    assert launcher.wait(timeout=PATIENCE_S) == 0
    assert processes_of(project) == []


def test_after_a_killed_launcher_the_run_is_tried_again(project: Path, home: Path) -> None:
    with up(project) as (launcher, line):
        start_slow_run(url_in(line), home)
        launcher.kill()
        launcher.wait()
    with up(project) as (launcher, line):
        wait_for(lambda: statuses(home) == ["FAILURE", "SUCCESS"])
        assert len((home / "slow").read_text().split()) == 2
        # A second signal kills.
        launcher.send_signal(signal.SIGINT)
        time.sleep(0.3)
        launcher.send_signal(signal.SIGINT)
        assert launcher.wait(timeout=PATIENCE_S) == 0
    assert processes_of(project) == []


@pytest.mark.parametrize("is_configured", [False, True])
def test_after_a_power_cut_the_run_is_tried_again(
    project: Path, home: Path, monkeypatch: pytest.MonkeyPatch, is_configured: bool
) -> None:
    with contextlib.ExitStack() as stack:
        if is_configured:
            server = stack.enter_context(lease(project / "elsewhere"))
            ensure_databases(server, ["tidemark"])
            monkeypatch.setenv("TIDEMARK_DATABASE_URL", server.url("tidemark"))
        else:
            server = EmbeddedServer(home)
        with up(project) as (launcher, line):
            start_slow_run(url_in(line), home)
            for process in processes_of(project):
                os.kill(process, signal.SIGKILL)
            launcher.wait()
            wait_for(lambda: not processes_of(project))
        with up(project) as (launcher, _):
            wait_for(lambda: rows(server, "SELECT status FROM runs ORDER BY id") == [("FAILURE",), ("SUCCESS",)])
            assert rows(server, "SELECT run_id FROM concurrency_slots WHERE run_id IS NOT NULL") == []
            # Killed alone, Dagster takes the launcher along, with a reason.
            os.killpg(json.loads((home / "launcher.json").read_text())["group"], signal.SIGKILL)
            assert launcher.wait(timeout=PATIENCE_S) == 1
        assert processes_of(project) == []
        assert is_configured != (home / "postgres").exists()


def test_a_stack_that_does_not_start_says_why(project: Path, home: Path) -> None:
    (project / "workspace.yaml").write_text("nonsense: true")
    stack = running_stack(Settings(), project=project)
    with pytest.raises(ConfigurationError, match=r"did not start(.|\n)*nonsense"), stack:
        pass
    assert processes_of(project) == []


def test_plain_dagster_dev_starts_the_database_and_stops_it(project: Path, home: Path) -> None:
    port = free_port()
    command = ["-m", "dagster", "dev", "--port", str(port)]
    variables = {**environment(), "PYTHONWARNINGS": "ignore", MARKER: str(home)}
    with (project / "dev.log").open("wb") as log:
        dev = subprocess.Popen([sys.executable, *command], cwd=project, env=variables, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    wait_for(lambda: _answers(url) or dev.poll() is not None)
    launch(url, "quick")
    wait_for(lambda: statuses(home) == ["SUCCESS"])
    dev.send_signal(signal.SIGINT)
    dev.wait(timeout=PATIENCE_S)
    wait_for(lambda: not processes_of(project))


def test_given_settings_reach_the_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAQ_API_KEY", "some-key")
    settings = Settings().model_copy(update={"openaq_locations": (7, 8), "home": tmp_path})
    assert _as_variables(settings) == {
        "OPENAQ_API_KEY": "some-key",
        "TIDEMARK_OPENAQ_LOCATIONS": "7,8",
        "TIDEMARK_HOME": str(tmp_path),
    }


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("TIDEMARK_DATABASE_URL=postgresql://a:hidden@b/c\nOTHER=1\n")
    settings = Settings()
    environment = _environment(settings, tmp_path, tmp_path, tmp_path, tmp_path)
    assert environment["TIDEMARK_DATABASE_URL"] == "postgresql://a:hidden@b/c"
    assert environment["OTHER"] == "1"
    monkeypatch.setenv("OTHER", "2")
    assert _environment(settings, tmp_path, tmp_path, tmp_path, tmp_path)["OTHER"] == "2", "ours goes before the file"
