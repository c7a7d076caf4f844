"""`tidemark up`: database, Dagster's webserver, daemon and code server as one thing that starts and ends together.

Belongs here: the life of these processes. Does not belong here: what is done with them (commands), what a dead launcher
left (leftovers.py), the database's own life (resources/timescale/server.py).
"""

import contextlib
import ctypes
import fcntl
import hashlib
import http.client
import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import dagster as dg
from dotenv import dotenv_values
from pydantic import SecretStr

from assets_pkg.leftovers import MARKER, close_lost_runs, end_group, group_is_alive, wait_until
from resources.dagster_storage import ready_database
from resources.errors import ConfigurationError, DatabaseUnavailable
from resources.timescale.server import EmbeddedServer, ensure_databases, lease
from resources.timescale.server_paths import private_temporary_folder
from resources.wiring import PROJECT_ROOT, Settings, build_timescale

HOST = "127.0.0.1"
STATE_FILE = "launcher.json"
LOCK_FILE = "launcher.lock"
START_LIMIT_S = 300.0
STOP_LIMIT_S = 45.0
LARGEST_LOG_BYTES = 20_000_000
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Stack:
    """A stack that answers."""

    url: str
    log_path: Path
    process: subprocess.Popen[bytes] | None
    """`dagster dev`, leader of its process group; None: another launcher of the same home runs it."""
    server: EmbeddedServer | None
    """None: a database is configured, or another launcher runs the stack."""
    notice: str
    """What the user should know about how it came up, or empty."""


def run_up(settings: Settings, *, port: int, on_ready: Callable[[str], None], project: Path = PROJECT_ROOT) -> int:
    """Run the stack until a signal or its own end; the exit code.

    `on_ready` gets one line with the URL. The first SIGINT, SIGTERM or SIGHUP ends the stack in order (exit code 0), a
    second kills it. Runs in the main thread.

    Raises:
        ConfigurationError, DatabaseUnavailable: it does not come up; says why.
    """
    with _signals_as_interrupt() as stopping:
        try:
            with running_stack(settings, port, project=project, stopping=stopping) as stack:
                on_ready(f"Tidemark runs: {stack.url} (log: {stack.log_path}) {stack.notice}".rstrip())
                return 0 if stack.process is None else _watch(stack.process, stack)
        except KeyboardInterrupt:
            return 0


@contextlib.contextmanager
def running_stack(
    settings: Settings,
    port: int | None = None,
    *,
    project: Path = PROJECT_ROOT,
    stopping: "Stopping | None" = None,
) -> Iterator[Stack]:
    """The stack during a block, on 127.0.0.1; its output goes to `<home>/logs/dagster.log`.

    Where another launcher of the same home is up, the block uses that one and leaves it running. The next free port
    stands in for a taken one. `project` holds workspace.yaml and dagster.yaml. On Linux the stack also ends when the
    thread that entered the block ends (or its process is killed).

    Raises:
        ConfigurationError, DatabaseUnavailable: it does not come up; says why.
    """
    home = settings.home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    state_file = home / STATE_FILE
    with contextlib.ExitStack() as exits:
        if not exits.enter_context(_launcher_lock(home / LOCK_FILE)):
            yield _running_elsewhere(state_file, home)
            return
        (home / LOCK_FILE).write_text(str(os.getpid()))
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
            end_group(int(json.loads(state_file.read_text())["group"]), home)
        state_file.unlink(missing_ok=True)
        server = exits.enter_context(lease(home)) if settings.database_url is None else None
        _require_databases(settings, server)
        chosen = _free_port(port or settings.port)
        notice = "" if chosen == (port or settings.port) else f"Port {port or settings.port} is taken."
        log_path = _log_file(home)
        sockets = _socket_folder(home)
        exits.callback(shutil.rmtree, sockets, ignore_errors=True)
        is_alone = server is not None and server.is_sole
        process = _start(settings, project, home, log_path, sockets, chosen, is_alone=is_alone)
        exits.callback(_stop, process, home)
        if stopping is not None:
            stopping.group = process.pid
        stack = Stack(f"http://{HOST}:{chosen}", log_path, process, server, notice)
        state_file.write_text(json.dumps({"group": process.pid, "url": stack.url}))
        exits.callback(state_file.unlink, missing_ok=True)
        wait_until(lambda: _answers(stack.url) or process.poll() is not None, START_LIMIT_S)
        if process.poll() is not None or not _answers(stack.url):
            raise ConfigurationError(f"Dagster did not start; the end of {log_path}:\n{_tail(log_path)}")
        yield stack


@dataclass
class Stopping:
    """How far a launcher is told to stop."""

    signals: int = 0
    group: int | None = None

    def handle(self, number: int, frame: FrameType | None) -> None:
        """First signal: interrupt what runs, so that it is taken down in order. Later ones: kill the stack."""
        self.signals += 1
        if self.signals == 1:
            raise KeyboardInterrupt
        if self.group is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.group, signal.SIGKILL)


def url_of(home: Path) -> str | None:
    """Where the stack of this home answers; None if none does."""
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
        url = str(json.loads((home / STATE_FILE).read_text())["url"])
        return url if _answers(url) else None
    return None


def launcher_of(home: Path) -> int | None:
    """Process id of the launcher that holds this home; None if none lives."""
    home.mkdir(parents=True, exist_ok=True)
    with _launcher_lock(home / LOCK_FILE) as is_free:
        if is_free:
            return None
    with contextlib.suppress(ValueError):
        return int((home / LOCK_FILE).read_text())
    return None


def dagster_dev() -> None:
    """Body of the `dagster dev` process: bind its life to the launcher's, close lost runs, then be Dagster.

    Arguments: the launcher's process id, the folder of the code servers' sockets, `alone` or `shared`, Dagster's own.
    """
    _, launcher, sockets, company, *arguments = sys.argv
    _end_with(int(launcher))
    with dg.DagsterInstance.get() as instance:
        for run_id in close_lost_runs(instance, Path(sockets), is_alone=company == "alone"):
            print(f"run {run_id} had lost its process and was closed", flush=True)  # noqa: T201  # the log is our output
    sys.argv = ["dagster", *arguments]
    runpy.run_module("dagster", run_name="__main__", alter_sys=True)


def _require_databases(settings: Settings, server: EmbeddedServer | None) -> None:
    """The databases answer and are as this code needs them; better said here in a line than in Dagster's traceback.

    A server we lease is asked by its URL: asked by its folder it would be held until the end of this process.
    """
    timescale = build_timescale(settings)
    if server is None:
        ready_database(settings)
    else:
        ensure_databases(server, (timescale.database,))
        timescale = timescale.model_copy(update={"database_url": server.url(timescale.database)})
    with timescale.connect():
        pass


def _start(
    settings: Settings, project: Path, home: Path, log_path: Path, sockets: Path, port: int, *, is_alone: bool
) -> subprocess.Popen[bytes]:
    dagster_home = home / "dagster"
    dagster_home.mkdir(exist_ok=True)
    _link(dagster_home / "dagster.yaml", project / "dagster.yaml")
    arguments = ["dev", "--workspace", str(project / "workspace.yaml"), "--host", HOST, "--port", str(port)]
    body = "from assets_pkg.launcher import dagster_dev; dagster_dev()"
    company = "alone" if is_alone else "shared"
    with log_path.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", body, str(os.getpid()), str(sockets), company, *arguments],
            # Dagster reads the .env of its working directory by itself and puts it above everything: this one has none.
            cwd=dagster_home,
            env=_environment(settings, project, home, dagster_home, sockets),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _environment(settings: Settings, project: Path, home: Path, dagster_home: Path, sockets: Path) -> dict[str, str]:
    """The stack's environment: `.env`, over it ours, over both the settings in force."""
    from_file = {name: value for name, value in dotenv_values(project / ".env").items() if value is not None}
    environment = {"DAGSTER_EVENT_BATCH_SIZE": "500", **from_file, **os.environ, **_as_variables(settings)}
    importable = [str(project), str(PROJECT_ROOT), environment.get("PYTHONPATH", "")]
    path = os.pathsep.join(dict.fromkeys(filter(None, importable)))
    return environment | {
        "DAGSTER_HOME": str(dagster_home),
        "PYTHONPATH": path,
        "TMPDIR": str(sockets),
        MARKER: str(home),
    }


def _as_variables(settings: Settings) -> dict[str, str]:
    """The settings that were given (by whatever way), as the variables that say the same; home always."""
    variables = {}
    for name in {*settings.model_fields_set, "home"}:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if value is not None:
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            variables[str(type(settings).model_fields[name].validation_alias)] = text
    return variables


def _watch(process: subprocess.Popen[bytes], stack: Stack) -> int:
    """Wait for the end of the stack; meanwhile start the embedded server again if it dies."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(timeout=2)
            end = f"the end of {stack.log_path}:\n{_tail(stack.log_path)}"
            raise ConfigurationError(f"Dagster ended by itself ({code}); {end}")
        if stack.server is not None:
            stack.server.ensure_running()


def _stop(process: subprocess.Popen[bytes], home: Path) -> None:
    """End the stack in order; what does not go by itself is made to. Leaves no process of the group."""
    if process.poll() is None:
        # Only the leader: it ends webserver, daemon and code server itself, in the right order.
        process.send_signal(signal.SIGINT)
        wait_until(lambda: process.poll() is not None, STOP_LIMIT_S)
    wait_until(lambda: not group_is_alive(process.pid, home), 5.0)
    end_group(process.pid, home)
    process.wait()


def _end_with(launcher: int) -> None:
    """Get Ctrl-C when the launcher dies, however it dies. Linux only; elsewhere the next start ends the orphans."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != launcher:
            sys.exit("the launcher has ended")


@contextlib.contextmanager
def _signals_as_interrupt() -> Iterator[Stopping]:
    stopping = Stopping()
    if threading.current_thread() is not threading.main_thread():
        raise ConfigurationError("run_up handles signals, so it runs in the main thread; use running_stack elsewhere")
    before = {number: signal.signal(number, stopping.handle) for number in STOP_SIGNALS}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _launcher_lock(path: Path) -> Iterator[bool]:
    """Whether we are the launcher of this home; the kernel gives the lock back even after SIGKILL."""
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _running_elsewhere(state_file: Path, home: Path) -> Stack:
    def url() -> str:
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
            return str(json.loads(state_file.read_text())["url"])
        return ""

    if not wait_until(lambda: _answers(url()), START_LIMIT_S):
        raise DatabaseUnavailable(f"another tidemark starts or stops in {home} and does not answer; try again later")
    return Stack(url(), home / "logs" / "dagster.log", None, None, "It was running already.")


def _answers(url: str) -> bool:
    if not url:
        return False
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
    try:
        connection.request("GET", "/server_info")
        return "dagster_version" in json.loads(connection.getresponse().read())
    except (OSError, ValueError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _free_port(wanted: int) -> int:
    for port in range(wanted, min(wanted + 200, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                return port
    raise ConfigurationError(f"no free port from {wanted} on; set TIDEMARK_PORT to another one")


def _socket_folder(home: Path) -> Path:
    """Temporary folder of the stack. Its name says whose the sockets in it are, on which host."""
    whose = hashlib.sha256(f"{socket.gethostname()}\0{home}".encode(errors="surrogateescape")).hexdigest()[:12]
    return private_temporary_folder(f"tidemark-up-{whose}")


def _log_file(home: Path) -> Path:
    path = home / "logs" / "dagster.log"
    path.parent.mkdir(exist_ok=True)
    if path.exists() and path.stat().st_size > LARGEST_LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path


def _link(link: Path, target: Path) -> None:
    """Point the link to the project's file; a file the user put there himself stays."""
    if link.is_symlink():
        link.unlink()
    if not link.exists():
        link.symlink_to(target)


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-15:])
