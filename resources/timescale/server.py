"""The embedded PostgreSQL: one server per state folder, shared by all processes that need it.

Belongs here: counting the users of the server, and so when it starts and stops. Does not belong here: how it starts
(postmaster.py), where it lies and as whom it runs (server_paths.py), its databases (databases.py).

Users are counted by a shared flock on `users.lock`, which the kernel gives back even after SIGKILL; the last user that
leaves in order stops the server. A server whose users were all killed runs on and is found again by the next one.
"""

import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from resources.timescale.databases import ensure_databases, explain_refusal
from resources.timescale.postmaster import Answer, Postmaster, forget_children
from resources.timescale.server_paths import hand_over, locate, prepare_base

if sys.platform != "win32":
    import fcntl

__all__ = ["EmbeddedServer", "ensure_databases", "explain_refusal", "hold", "lease"]


class EmbeddedServer:
    """The server of a state folder; runs while somebody has it by `lease` or `hold`."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir.expanduser().resolve()
        self._base = prepare_base(state_dir)
        self._postmaster = Postmaster(locate(self._base))
        self.is_sole = False
        """Whether nobody else used the server when this reference was taken."""
        self._number: int | None = None
        self._has: set[str] = set()

    @property
    def data_dir(self) -> Path:
        """The database cluster; outside `state_dir` where the server's account cannot reach that."""
        return self._postmaster.data_dir

    @property
    def log_path(self) -> Path:
        return self._postmaster.log_path

    def url(self, database: str) -> str:
        """libpq URL of a database (`postgresql://postgres@/name?host=...&port=...`), valid while the server runs."""
        return self._postmaster.url(database)

    def is_running(self) -> bool:
        """Whether the server answers (also when it has no connection left to give)."""
        return self._postmaster.answer() is Answer.YES

    def ensure_running(self) -> None:
        """Start the server again if it died under its users; errors as `lease`.

        Asked before every connection, so it looks for the process that answered last: to connect takes far longer.
        """
        if self._number is not None and self._postmaster.is_process(self._number):
            return
        if not self.is_running():
            with _exclusive(self._base / "start.lock"):
                self._postmaster.start()
        self._number, self._has = self._postmaster.processes()[0], set()

    def ensure_database(self, name: str) -> None:
        """Create the database if it is missing, once as long as the server runs; errors as `ensure_databases`."""
        if name not in self._has:
            ensure_databases(self, (name,))
            self._has.add(name)


@contextlib.contextmanager
def lease(state_dir: Path) -> Iterator[EmbeddedServer]:
    """Use the server of a state folder during a block: start it when needed, stop it when the last user leaves.

    Raises:
        DatabaseUnavailable: it does not start; with the end of its log.
        ConfigurationError: it cannot run here, or cannot write its folder.
    """
    reference = _Reference(state_dir)
    try:
        yield reference.server
    finally:
        reference.release()


def hold(state_dir: Path) -> EmbeddedServer:
    """Use the server of a state folder for the rest of this process; errors as `lease`.

    Asked again it hands out the same server, started again if it died.
    """
    folder = state_dir.expanduser().resolve()
    with _held_lock:
        if folder in _held:
            _held[folder].ensure_running()
        else:
            reference = _Reference(folder)
            _held[folder] = reference.server
            atexit.register(reference.release)
        return _held[folder]


class _Reference:
    """One counted use of a server."""

    def __init__(self, state_dir: Path) -> None:
        self._process = os.getpid()
        base = prepare_base(state_dir)
        _watch_forks()
        self._start_lock = base / "start.lock"
        with _exclusive(self._start_lock):
            self.server = EmbeddedServer(state_dir)
            self._postmaster = self.server._postmaster
            self._lock = _open_lock(base / "users.lock")
            try:
                self.server.is_sole = _try_exclusive(self._lock)
                fcntl.flock(self._lock, fcntl.LOCK_SH)
                self._postmaster.start()
            except BaseException:
                os.close(self._lock)
                raise
        _references.add(self)

    def release(self) -> None:
        """Leave; the last one stops the server. Nothing happens in a forked child: the reference is its parent's."""
        if self._process != os.getpid():
            return
        _references.discard(self)
        if not self._start_lock.parent.exists():
            # Somebody deleted the state folder; PostgreSQL misses its pid file within a minute and ends by itself.
            os.close(self._lock)
            return
        with _exclusive(self._start_lock):
            try:
                if _try_exclusive(self._lock):
                    self._postmaster.stop()
            finally:
                fcntl.flock(self._lock, fcntl.LOCK_UN)
                os.close(self._lock)

    def forget(self) -> None:
        """In a forked child: close the parent's lock without giving it up for the parent."""
        os.close(self._lock)


_references: set[_Reference] = set()
_held: dict[Path, EmbeddedServer] = {}
_held_lock = threading.Lock()
_forks_watched = False


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    lock = _open_lock(path)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            # Given back explicitly: a child forked meanwhile by another thread may still have the file open.
            fcntl.flock(lock, fcntl.LOCK_UN)
    finally:
        os.close(lock)


def _open_lock(path: Path) -> int:
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    hand_over(path)
    return lock


def _try_exclusive(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _watch_forks() -> None:
    global _forks_watched
    if not _forks_watched:
        _forks_watched = True
        os.register_at_fork(after_in_child=_start_anew_in_child)


def _start_anew_in_child() -> None:
    global _held_lock
    for reference in _references:
        reference.forget()
    _references.clear()
    _held.clear()
    forget_children()
    _held_lock = threading.Lock()
