"""Folders of files that are being read: gone afterwards, cleared after the dead, left to the living."""

import errno
from pathlib import Path

import duckdb
import pytest

from resources.errors import RejectedFile, SourceUnavailable
from resources.landing.scratch import PREFIX, scratch_folder


def test_a_folder_is_empty_and_gone_afterwards_with_all_that_is_in_it(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as folder:
        assert not list(folder.iterdir())
        (folder / "deep").mkdir()
        (folder / "deep/x").write_bytes(b"x")
    assert not list(tmp_path.iterdir())


def test_what_the_dead_left_is_cleared_and_what_the_living_use_is_not(tmp_path: Path) -> None:
    dead, other = tmp_path / f"{PREFIX}dead", tmp_path / "other"
    for folder in (dead, other):
        folder.mkdir()
        (folder / "x").write_bytes(b"x")
    (tmp_path / f"{PREFIX}no_folder").write_bytes(b"x")
    with scratch_folder(tmp_path) as living:
        (living / "x").write_bytes(b"x")
        with scratch_folder(tmp_path) as second:
            assert living != second
        assert (living / "x").exists()
    assert not dead.exists()
    assert (other / "x").exists()


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), duckdb.IOException("IO Error: No space left on device\nmore")],
)
def test_a_disk_that_fails_while_it_is_used_may_pass(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(SourceUnavailable, match="No space left on device"), scratch_folder(tmp_path):
        raise error
    assert not list(tmp_path.iterdir())


def test_what_is_wrong_with_the_file_stays_wrong_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(RejectedFile), scratch_folder(tmp_path):
        raise RejectedFile("corrupt", "damaged")
