"""Killed, out of space or overtaken by a writer between any two steps, the zone loses nothing and is completed later.

Every call into the file system that a drop, an archive or a rejection makes is found by counting; the fault then comes
before each of them in turn.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from resources.errors import SourceUnavailable, TidemarkError
from resources.landing.files_seen import Seen
from resources.landing.layout import Snapshot
from resources.landing.zone import LandingZone

AT = datetime(2026, 11, 21, 23, 4, 5, tzinfo=UTC)
DATA = b"time,value\n2026-11-21,1\n"
NEW = b"time,value\n2026-11-22,2\n2026-11-23,3\n"
SECRET = b"x" * len(DATA)
HASH = hashlib.sha256(DATA).hexdigest()
CALLS = ("open", "read", "write", "mkdir", "link", "rename", "unlink", "fsync", "stat", "fstat", "scandir")
KILLED = 9

Ending = Callable[[LandingZone, Snapshot, Seen], str]


def archived(zone: LandingZone, snapshot: Snapshot, seen: Seen) -> str:
    return zone.archive(snapshot, [seen], AT)


def rejected(zone: LandingZone, snapshot: Snapshot, seen: Seen) -> str:
    return zone.reject(snapshot, [seen], AT, "truncated")


endings = pytest.mark.parametrize("end", [archived, rejected])


def zone_at(root: Path) -> tuple[LandingZone, Seen]:
    """A zone where `air/a.csv` was dropped and marked."""
    zone = LandingZone(str(root))
    zone.prepare()
    (root / "landing/air").mkdir()
    for name, data in (("a.csv", DATA), ("a.csv.done", b"")):
        (root / "landing/air" / name).write_bytes(data)
    (file,) = zone.look().files
    return zone, file


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def taken(place: Path) -> set[bytes]:
    """The contents of all files there, or of the file that it is."""
    files = [place] if place.is_file() else place.rglob("*")
    return {file.read_bytes() for file in files if file.is_file() and not file.is_symlink()}


@contextmanager
def before_call(number: int, fault: Callable[[], None]) -> Iterator[Callable[[], int]]:
    """Have `fault` come once before the call of that number; gives how many calls there were."""
    plain = {name: getattr(os, name) for name in CALLS}
    calls = 0

    def counted(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == number:
                use(plain)
                try:
                    fault()
                finally:
                    use(wrapped)
            return plain[name](*arguments, **options)

        return call

    def use(functions: dict[str, Callable[..., Any]]) -> None:
        for name, function in functions.items():
            setattr(os, name, function)

    wrapped = {name: counted(name) for name in CALLS}
    use(wrapped)
    try:
        yield lambda: calls
    finally:
        use(plain)


def at_every_call(tmp_path: Path, steps: Callable[[Path], None]) -> Iterator[tuple[int, Path]]:
    """A fresh root for each call `steps` makes, and the number of that call."""
    with before_call(-1, lambda: None) as count:
        steps(tmp_path / "counted")
        total = count()
    assert total > 20
    for number in range(1, total + 1):
        yield number, tmp_path / str(number)


def completed(zone: LandingZone, end: Ending, seen: Seen, snapshot: Snapshot) -> None:
    """What the next run does: what still lies there is taken again, what does not is archived again."""
    for file in zone.look().files:
        snapshot = zone.snapshot(file)
    end(zone, snapshot, seen)


@endings
def test_a_process_killed_at_any_call_loses_nothing_and_the_next_run_completes_it(tmp_path: Path, end: Ending) -> None:
    zone, seen = zone_at(tmp_path / "undisturbed")
    snapshot = zone.snapshot(seen)
    end(zone, snapshot, seen)
    expected = tree(tmp_path / "undisturbed")
    assert len(expected) == (1 if end is archived else 2)

    def steps(root: Path) -> None:
        zone, seen = zone_at(root)
        end(zone, zone.snapshot(seen), seen)

    for number, root in at_every_call(tmp_path, steps):
        zone, seen = zone_at(root)
        child = os.fork()
        if not child:
            with before_call(number, lambda: os._exit(KILLED)):
                end(zone, zone.snapshot(seen), seen)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert DATA in tree(root).values(), f"lost at call {number}"
        completed(zone, end, seen, snapshot)
        assert tree(root) == expected, f"killed at call {number}"
        if status == 0:
            return
    pytest.fail("the last run should have had fewer calls than counted: looking is not part of it")


@pytest.mark.parametrize(("end", "number_of_error"), [(archived, errno.EACCES), (rejected, errno.ENOSPC)])
def test_an_error_at_any_call_loses_nothing_and_the_next_run_completes_it(
    tmp_path: Path, end: Ending, number_of_error: int
) -> None:
    zone, seen = zone_at(tmp_path / "undisturbed")
    snapshot = zone.snapshot(seen)
    end(zone, snapshot, seen)
    expected = tree(tmp_path / "undisturbed")

    def fail() -> None:
        raise OSError(number_of_error, os.strerror(number_of_error))

    def steps(root: Path) -> None:
        zone, seen = zone_at(root)
        end(zone, zone.snapshot(seen), seen)

    told = 0
    for number, root in at_every_call(tmp_path, steps):
        zone, seen = zone_at(root)
        with before_call(number, fail):
            try:
                end(zone, zone.snapshot(seen), seen)
            except SourceUnavailable as error:
                told += 1
                assert os.strerror(number_of_error) in str(error)
        assert DATA in tree(root).values(), f"lost at call {number}"
        completed(zone, end, seen, snapshot)
        assert tree(root) == expected, f"failed at call {number}"
    assert told > 20


@endings
def test_what_a_writer_puts_there_between_any_two_calls_is_never_lost(tmp_path: Path, end: Ending) -> None:
    """It replaces the file by renaming, as careful writers do."""

    def steps(root: Path) -> None:
        zone, seen = zone_at(root)
        end(zone, zone.snapshot(seen), seen)

    for number, root in at_every_call(tmp_path, steps):
        zone, seen = zone_at(root)

        def replace(root: Path = root) -> None:
            (root / "new").write_bytes(NEW)
            os.replace(root / "new", root / "landing/air/a.csv")  # noqa: PTH105

        with before_call(number, replace) as count:
            snapshot = zone.snapshot(seen)
            end(zone, snapshot, seen)
            reached = count() >= number
        assert not reached or NEW in tree(root).values(), f"lost at call {number}"
        kept = {data for path, data in tree(root).items() if path.startswith(("archive", "rejected"))}
        assert (DATA if snapshot.sha256 == HASH else NEW) in kept


@pytest.mark.parametrize("swapped", ["landing", "landing/air", "landing/air/a.csv"])
def test_what_is_swapped_for_a_link_between_any_two_calls_leads_nowhere(tmp_path: Path, swapped: str) -> None:
    """The link leads to a file with the size and the time of change of the one that was seen."""
    outside = tmp_path / "outside"
    (outside / "air").mkdir(parents=True)
    secrets = (outside / "a.csv", outside / "air/a.csv")
    for file in secrets:
        file.write_bytes(SECRET)
        os.utime(file, (1_700_000_000, 1_700_000_000))

    def steps(root: Path) -> None:
        zone, seen = zone_at(root)
        archived(zone, zone.snapshot(seen), seen)

    refused = 0
    for number, root in at_every_call(tmp_path, steps):
        zone, seen = zone_at(root)
        os.utime(root / "landing/air/a.csv", (1_700_000_000, 1_700_000_000))

        def swap(root: Path = root) -> None:
            place = root / swapped
            if place.exists():
                place.rename(root / "moved")
                place.symlink_to(outside / "a.csv" if place.suffix else outside)

        with before_call(number, swap):
            try:
                archived(zone, zone.snapshot(seen), seen)
            except TidemarkError:
                refused += 1
        for file in secrets:
            stat = file.stat()  # most file systems note the first time a file is read
            assert (stat.st_atime, stat.st_nlink) == (1_700_000_000, 1), f"call {number}"
        found = {data for area in ("processing", "archive", "moved") for data in taken(root / area)}
        assert SECRET not in found, f"call {number}"
        assert DATA in found, f"call {number}"
    assert refused > 5


@endings
def test_a_file_system_without_links_keeps_files_as_well(
    tmp_path: Path, end: Ending, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked, seen = zone_at(tmp_path / "linked")
    end(linked, linked.snapshot(seen), seen)

    def no_links(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", no_links)
    zone, seen = zone_at(tmp_path / "plain")
    snapshot = zone.snapshot(seen)
    end(zone, snapshot, seen)
    end(zone, snapshot, seen)
    assert tree(tmp_path / "plain") == tree(tmp_path / "linked")


def test_a_file_cut_off_while_it_left_is_put_back_and_seen_again(tmp_path: Path) -> None:
    """The process was killed between setting it aside and deleting it, and the archive was lost with it."""
    zone, seen = zone_at(tmp_path / "zone")
    snapshot = zone.snapshot(seen)
    unlink, last = os.unlink, []

    def remembering(name: Any, **options: Any) -> None:
        last.append(name)
        if str(name).endswith(".leaving"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        unlink(name, **options)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(SourceUnavailable):
        patch.setattr(os, "unlink", remembering)
        archived(zone, snapshot, seen)
    assert zone.look().files == []
    (tmp_path / "zone/landing/air/a.csv").write_bytes(NEW)
    archived(zone, snapshot, seen)
    assert [file.size for file in zone.look().files] == [len(NEW)]
    assert {file.name for file in (tmp_path / "zone/landing/air").iterdir()} == {"a.csv", "a.csv.done"}


def test_a_full_disk_is_told_and_gives_back_what_the_copy_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zone, seen = zone_at(tmp_path / "zone")
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if os.fstat(descriptor).st_size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, bytes(data)[:5])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(SourceUnavailable, match="has room"):
        zone.snapshot(seen)
    assert sorted(tree(tmp_path / "zone")) == ["landing/air/a.csv", "landing/air/a.csv.done"]
    monkeypatch.undo()
    shutil.rmtree(tmp_path / "zone/processing")
    assert zone.snapshot(seen).sha256 == HASH
