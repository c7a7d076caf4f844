"""Dropped files are found, copied whole, kept under their hash, and never followed, overwritten or lost."""

import hashlib
import os
import re
import socket
import time
import unicodedata
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import (
    ConfigurationError,
    CorruptSource,
    RejectedFile,
    SourceChanging,
    SourceUnavailable,
    SourceVanished,
)
from resources.landing.files_seen import Seen
from resources.landing.limits import Limits
from resources.landing.names import DEEPEST, dataset_name, escaped, is_temporary, suffix_of
from resources.landing.places.folder import FolderPlace
from resources.landing.zone import LandingZone

AT = datetime(2026, 11, 21, 23, 4, 5, tzinfo=UTC)
DATA = b"time,value\n2026-11-21,1\n"
HASH = hashlib.sha256(DATA).hexdigest()
ODD_NAMES = [
    "😀 ☃.csv",
    "تقرير‏.csv",
    "e" * 251 + ".csv",
    "'; drop table x; --.csv",
    "-rf",
    'a"b`$(c)%s{}\\.csv',
    "  spaces  ",
    "a\u202egnp.csv",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "zone"


@pytest.fixture
def zone(root: Path) -> LandingZone:
    made = LandingZone(str(root))
    made.prepare()
    return made


@pytest.fixture(params=["folder", "memory"])
def any_zone(request: pytest.FixtureRequest, root: Path) -> LandingZone:
    made = LandingZone(str(root) if request.param == "folder" else f"memory://{uuid4().hex}")
    made.prepare()
    return made


def drop(root: Path, path: str, data: bytes = DATA) -> Path:
    file = root / "landing" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def put(zone: LandingZone, path: str, data: bytes = DATA) -> None:
    """Drop a file in any kind of place."""
    with zone._place.draft(f"landing/{path}".rpartition("/")[0]) as draft:
        draft.write(data)
        draft.keep(f"landing/{path}", is_new=False)


def only(zone: LandingZone) -> Seen:
    (file,) = zone.look().files
    return file


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


# --- looking ----------------------------------------------------------------------------------------------------------


def test_a_look_sees_files_at_any_depth_with_size_and_time(zone: LandingZone, root: Path) -> None:
    path = drop(root, "air/2026/a.csv")
    os.utime(path, ns=(0, 1_700_000_000_123_456_789))
    assert only(zone) == Seen(
        dataset="air",
        folder="air",
        path="2026/a.csv",
        size=len(DATA),
        modified_at=datetime.fromtimestamp(1_700_000_000.123_456_789, UTC),
        version="1700000000123456789",
        has_marker=False,
        placed=str(path.stat().st_ctime_ns),
    )


def test_the_same_file_put_there_again_with_its_time_has_another_key(zone: LandingZone, root: Path) -> None:
    path = drop(root, "air/a.csv")
    keys = set()
    for _ in range(2):
        path.unlink(missing_ok=True)
        time.sleep(0.05)  # file systems note the time in steps of some milliseconds
        os.utime(drop(root, "air/a.csv"), (0, 0))
        keys |= {only(zone).key, only(zone).key}
    assert len(keys) == 2


def test_a_look_is_sorted_and_can_be_at_one_dataset(zone: LandingZone, root: Path) -> None:
    for path in ("b/2", "b/1", "a/3", "c/1"):
        drop(root, path)
    assert [(file.dataset, file.path) for file in zone.look().files] == [("a", "3"), ("b", "1"), ("b", "2"), ("c", "1")]
    assert [file.path for file in zone.look("b").files] == ["1", "2"]
    assert zone.look("nobody").files == []


@pytest.mark.parametrize(
    "name",
    [".a.csv", "_a.csv", "a.tmp", "a.PART", "a.csv.crdownload", "a.filepart", "a.csv~", "~$a.xlsx", "_temporary/a.csv"],
)
def test_a_temporary_name_is_passed_over_until_it_is_renamed(zone: LandingZone, root: Path, name: str) -> None:
    file = drop(root, f"air/{name}")
    assert (zone.look().files, zone.look().refused) == ([], [])
    file.rename(root / "landing/air/done.csv")
    assert only(zone).path == "done.csv"


def test_a_marker_is_no_data_and_marks_its_file(any_zone: LandingZone) -> None:
    put(any_zone, "air/a.csv")
    put(any_zone, "air/b.csv")
    put(any_zone, "air/b.csv.done", b"")
    put(any_zone, "air/alone.csv.done", b"")
    assert {file.path: file.has_marker for file in any_zone.look().files} == {"a.csv": False, "b.csv": True}


def test_a_marker_older_than_its_file_says_nothing(zone: LandingZone, root: Path) -> None:
    drop(root, "air/a.csv.done", b"")
    os.utime(root / "landing/air/a.csv.done", (1_700_000_000, 1_700_000_000))
    drop(root, "air/a.csv")
    assert not only(zone).has_marker


def test_links_and_special_files_are_refused_and_never_opened(
    zone: LandingZone, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    folder = root / "landing/air"
    drop(root, "air/good.csv")
    (folder / "link.csv").symlink_to(secret)
    (folder / "folder").symlink_to(tmp_path)
    (root / "landing/linked").symlink_to(tmp_path)
    os.mkfifo(folder / "fifo.csv")
    monkeypatch.chdir(folder)  # the path of a socket is at most 108 bytes long
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.csv")
    look = zone.look()
    assert [file.path for file in look.files] == ["good.csv"]
    assert {refused.path: refused.reason.split(",")[0] for refused in look.refused} == {
        "landing/air/link.csv": "it is a symbolic link",
        "landing/air/folder": "it is a symbolic link",
        "landing/linked": "it is a symbolic link",
        "landing/air/fifo.csv": "it is a FIFO",
        "landing/air/socket.csv": "it is a socket",
    }


@pytest.mark.parametrize("name", [b"new\nline.csv", b"bell\x07.csv", b"\x7f", b"caf\xe9.csv", b"c1\xc2\x85.csv"])
def test_a_name_with_control_characters_or_that_is_not_utf_8_is_refused_and_printed_escaped(
    zone: LandingZone, root: Path, name: bytes
) -> None:
    (root / "landing/air").mkdir()
    with open(os.fsencode(root) + b"/landing/air/" + name, "wb"):  # noqa: PTH123
        pass
    look = zone.look()
    assert look.files == []
    (refused,) = look.refused
    assert refused.path.isprintable()
    assert "rename it" in refused.reason


def test_a_file_outside_any_dataset_is_refused(any_zone: LandingZone) -> None:
    put(any_zone, "a.csv")
    (refused,) = any_zone.look().refused
    assert (refused.path, "move it" in refused.reason) == ("landing/a.csv", True)


def test_what_lies_too_deep_is_refused(any_zone: LandingZone) -> None:
    put(any_zone, "air/" + "d/" * DEEPEST + "a.csv")
    put(any_zone, "air/" + "e/" * (DEEPEST + 1) + "a.csv")
    look = any_zone.look()
    assert [file.path for file in look.files] == ["d/" * DEEPEST + "a.csv"]
    (refused,) = look.refused
    assert "move it up" in refused.reason


def test_a_file_beyond_the_limit_is_refused_before_it_is_copied(root: Path) -> None:
    zone = LandingZone(str(root), limits=Limits(file_bytes=len(DATA)))
    zone.prepare()
    drop(root, "air/a.csv")
    file = only(zone)
    drop(root, "air/a.csv", DATA + b"x")
    (refused,) = zone.look().refused
    assert "split it" in refused.reason
    with pytest.raises(RejectedFile, match="split it"):
        zone.snapshot(file)
    assert not (root / "processing").exists()


@pytest.mark.parametrize("at", [-(2**40), 2**33])
def test_a_time_of_change_no_calendar_has_is_no_obstacle(
    zone: LandingZone, root: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    drop(root, "air/a.csv")
    monkeypatch.setattr(
        "resources.landing.places.regular_files.datetime",
        type("Narrow", (datetime,), {"fromtimestamp": classmethod(lambda *_: datetime.fromtimestamp(at * 10**9, UTC))}),
    )
    assert only(zone).modified_at.year in (1, 9999)


def test_a_zone_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    for url in (str(tmp_path / "nowhere"), f"memory://{uuid4().hex}"):
        with pytest.raises(ConfigurationError, match="address"):
            LandingZone(url).look()


@pytest.mark.parametrize("url", ["", "s3://user:secret@bucket/x", "sftp://host/x?password=secret", "nothing://x"])
def test_an_address_nobody_can_use_is_refused_without_printing_secrets(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        LandingZone(url)
    assert "secret" not in str(caught.value)


def test_a_file_url_is_a_folder(root: Path) -> None:
    zone = LandingZone((root.parent / "with a space").as_uri())
    zone.prepare()
    drop(root.parent / "with a space", "air/a.csv")
    assert only(zone).path == "a.csv"


# --- names ------------------------------------------------------------------------------------------------------------


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_dataset_has_a_safe_name_of_its_own(folder: str, other: str) -> None:
    assert re.fullmatch("[a-z][a-z0-9_]{0,39}", dataset_name(folder))
    assert dataset_name(dataset_name(folder)) == dataset_name(folder)
    assert (dataset_name(folder) == dataset_name(other)) == (folder == other)


@pytest.mark.parametrize(
    "folders", [("Air", "air", "AIR"), ("a b", "a-b", "a_b"), ("x" * 41, "x" * 42, "x" * 40), ("", "1", "é")]
)
def test_folders_alike_become_different_datasets(folders: tuple[str, ...]) -> None:
    assert len({dataset_name(folder) for folder in folders}) == len(folders)


def test_a_folder_that_imitates_the_name_of_another_is_refused(zone: LandingZone, root: Path) -> None:
    drop(root, "Air/a.csv")
    imitation = dataset_name("Air")
    drop(root, f"{imitation}/b.csv")
    look = zone.look()
    assert [file.folder for file in look.files] == [imitation]
    assert [refused.path for refused in look.refused] == ["landing/Air"]


@given(st.text(), st.text())
def test_an_escaped_name_hides_nothing_and_is_still_told_from_any_other(name: str, other: str) -> None:
    assert not {unicodedata.category(character) for character in escaped(name)} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert (escaped(name) == escaped(other)) == (name == other)


def test_escaping_spells_out_what_cannot_be_seen() -> None:
    assert escaped("a\nb\u202ec\\d\ud800\U000e0001é😀") == "a\\x0ab\\u202ec\\\\d\\ud800\\U000e0001é😀"


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.CSV", ".csv"),
        ("a.csv.gz", ".csv.gz"),
        ("a", ""),
        ("a.b c", ""),
        ("2026.11.21.csv", ".21.csv"),
        ("a.;rm", ""),
    ],
)
def test_of_a_name_only_its_suffix_is_kept(name: str, suffix: str) -> None:
    assert suffix_of(name) == suffix
    assert not is_temporary(name)


# --- copying ----------------------------------------------------------------------------------------------------------


def test_a_snapshot_is_a_copy_under_its_hash(any_zone: LandingZone) -> None:
    put(any_zone, "air/a.csv")
    snapshot = any_zone.snapshot(only(any_zone))
    assert (snapshot.sha256, snapshot.size, snapshot.content_changed) == (HASH, len(DATA), False)
    assert snapshot.path == f"processing/air/{HASH}"
    with any_zone.local_path(snapshot) as path:
        assert path.read_bytes() == DATA


def test_taking_the_same_content_again_uses_the_copy_that_is_there(zone: LandingZone, root: Path) -> None:
    drop(root, "air/a.csv")
    drop(root, "air/b.csv")
    first, second = (zone.snapshot(file) for file in zone.look().files)
    assert first == second
    assert sorted(tree(root / "processing")) == [f"air/{HASH}"]


def test_a_copy_of_the_wrong_size_is_replaced(zone: LandingZone, root: Path) -> None:
    drop(root, "air/a.csv")
    (root / "processing/air").mkdir(parents=True)
    (root / "processing/air" / HASH).write_bytes(b"half")
    with zone.local_path(zone.snapshot(only(zone))) as path:
        assert path.read_bytes() == DATA


def test_a_file_that_changed_since_it_was_seen_is_marked_so(any_zone: LandingZone) -> None:
    put(any_zone, "air/a.csv")
    file = only(any_zone)
    put(any_zone, "air/a.csv", DATA + b"more")
    snapshot = any_zone.snapshot(file)
    assert (snapshot.content_changed, snapshot.size) == (True, len(DATA) + 4)


def test_a_file_that_is_gone_ends_as_vanished(any_zone: LandingZone) -> None:
    put(any_zone, "air/a.csv")
    file = only(any_zone)
    any_zone._place.remove("landing/air/a.csv")
    with pytest.raises(SourceVanished, match="landing/air/a.csv"):
        any_zone.snapshot(file)


def test_a_snapshot_that_is_gone_has_to_be_taken_again(any_zone: LandingZone) -> None:
    put(any_zone, "air/a.csv")
    file = only(any_zone)
    snapshot = any_zone.snapshot(file)
    any_zone._place.remove(snapshot.path)
    with pytest.raises(SourceUnavailable, match="take it again"), any_zone.local_path(snapshot):
        pass
    with pytest.raises(SourceUnavailable, match="take it again"):
        any_zone.archive(snapshot, [file], AT)
    assert only(any_zone) == file


def rewriting(monkeypatch: pytest.MonkeyPatch, file: Path, *, times: int, append: bool) -> list[bytes]:
    """Let a writer at `file` each time some of it was read; what it left, in order."""
    read, left = os.read, []

    def reading(descriptor: int, size: int) -> bytes:
        data = read(descriptor, size)
        if data and len(left) < times:
            monkeypatch.setattr(os, "read", read)
            new = file.read_bytes() + b"x" if append else os.urandom(len(DATA))
            file.write_bytes(new)
            os.utime(file, ns=(0, time.time_ns() + len(left) + 1))
            left.append(new)
            monkeypatch.setattr(os, "read", reading)
        return data

    monkeypatch.setattr(os, "read", reading)
    return left


@pytest.mark.parametrize("append", [True, False])
@pytest.mark.parametrize("times", [1, 2])
def test_a_file_that_is_written_to_while_it_is_copied_is_copied_again(
    zone: LandingZone, root: Path, monkeypatch: pytest.MonkeyPatch, append: bool, times: int
) -> None:
    file = drop(root, "air/a.csv")
    written = rewriting(monkeypatch, file, times=times, append=append)
    snapshot = zone.snapshot(only(zone))
    assert len(written) == times
    assert tree(root / "processing") == {f"air/{hashlib.sha256(written[-1]).hexdigest()}": written[-1]}
    assert snapshot.content_changed


@pytest.mark.parametrize("append", [True, False])
def test_a_file_that_never_stands_still_is_left_for_later_with_both_hashes(
    zone: LandingZone, root: Path, monkeypatch: pytest.MonkeyPatch, append: bool
) -> None:
    file = drop(root, "air/a.csv")
    seen = only(zone)
    rewriting(monkeypatch, file, times=99, append=append)
    with pytest.raises(SourceChanging, match="[0-9a-f]{64}, then as [0-9a-f]{64}"):
        zone.snapshot(seen)
    assert tree(root / "processing") == {}


def test_a_change_that_leaves_size_and_time_is_found_by_the_second_reading(
    zone: LandingZone, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = drop(root, "air/a.csv")
    seen, found, read = only(zone), file.stat(), os.read
    other = DATA.replace(b"1\n", b"2\n")

    def reading(descriptor: int, size: int) -> bytes:
        data = read(descriptor, size)
        if data == DATA:
            file.write_bytes(other)
            os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
        return data

    monkeypatch.setattr(os, "read", reading)
    assert zone.snapshot(seen).sha256 == hashlib.sha256(other).hexdigest()
    assert list(tree(root / "processing").values()) == [other]


@pytest.mark.parametrize("when", ["before", "while"])
def test_one_reading_gives_one_version_or_says_that_it_changed(zone: LandingZone, root: Path, when: str) -> None:
    file = drop(root, "air/a.csv", b"a" * 3_000_000)
    stamp = zone._place.stamp("landing/air/a.csv")
    assert stamp is not None
    chunks = zone._place.chunks("landing/air/a.csv", stamp)
    if when == "while":
        next(chunks)
    with file.open("r+b") as writing:
        writing.write(b"b")
    os.utime(file, (0, 0))
    with pytest.raises(SourceChanging, match=f"{when} it was read"):
        list(chunks)


def test_drafts_of_killed_processes_are_cleared_and_those_of_living_ones_are_not(zone: LandingZone, root: Path) -> None:
    drop(root, "air/a.csv")
    (root / "processing/air").mkdir(parents=True)
    (root / "processing/air/.dead.part").write_bytes(b"half")
    with zone._place.draft("processing/air") as living:
        living.write(b"whole")
        snapshot = zone.snapshot(only(zone))
        assert living.keep("processing/air/living", is_new=True)
    assert sorted(tree(root / "processing")) == sorted([f"air/{snapshot.sha256}", "air/living"])


# --- keeping ----------------------------------------------------------------------------------------------------------


def test_an_archived_file_lies_under_its_day_and_hash_and_is_gone_elsewhere(any_zone: LandingZone) -> None:
    put(any_zone, "air/x/a b.CSV.gz")
    put(any_zone, "air/x/a b.CSV.gz.done", b"")
    file = only(any_zone)
    snapshot = any_zone.snapshot(file)
    path = any_zone.archive(snapshot, [file], AT.astimezone(timezone(timedelta(hours=9))))
    assert path == f"archive/air/2026-11-21/230405_{HASH[:16]}.csv.gz"
    with any_zone.fetch_archived(path, HASH) as kept:
        assert kept.read_bytes() == DATA
    assert any_zone.look("air").files == []
    assert any_zone._place.names("landing/air/x") == []
    assert any_zone._place.names("processing/air") == []


def test_archiving_again_changes_nothing(any_zone: LandingZone) -> None:
    put(any_zone, "air/a.csv")
    file = only(any_zone)
    snapshot = any_zone.snapshot(file)
    assert any_zone.archive(snapshot, [file], AT) == any_zone.archive(snapshot, [file], AT)
    assert len(any_zone._place.names("archive/air/2026-11-21")) == 1


def test_other_files_with_the_same_content_go_too(any_zone: LandingZone) -> None:
    for path in ("air/a.csv", "air/b.csv", "air/c.csv"):
        put(any_zone, path, b"other" if path == "air/c.csv" else DATA)
    files = any_zone.look().files
    any_zone.archive(any_zone.snapshot(files[0]), files, AT)
    assert only(any_zone).path == "c.csv"


def test_a_new_version_stays_for_the_next_look(any_zone: LandingZone) -> None:
    put(any_zone, "air/a.csv")
    file = only(any_zone)
    snapshot = any_zone.snapshot(file)
    put(any_zone, "air/a.csv", b"new")
    put(any_zone, "air/a.csv.done", b"")
    old = any_zone.archive(snapshot, [file], AT)
    assert (only(any_zone).size, only(any_zone).has_marker) == (3, True)
    new = any_zone.archive(any_zone.snapshot(only(any_zone)), [only(any_zone)], AT)
    assert old != new
    with any_zone.fetch_archived(old, HASH) as kept:
        assert kept.read_bytes() == DATA


def test_a_new_version_of_the_same_size_and_time_stays_too(zone: LandingZone, root: Path) -> None:
    found = drop(root, "air/a.csv").stat()
    file = only(zone)
    snapshot = zone.snapshot(file)
    other = DATA.replace(b"1\n", b"2\n")
    os.utime(drop(root, "air/a.csv", other), ns=(found.st_atime_ns, found.st_mtime_ns))
    zone.archive(snapshot, [file], AT)
    assert (root / "landing/air/a.csv").read_bytes() == other


def test_the_same_content_that_was_written_again_is_no_new_version(zone: LandingZone, root: Path) -> None:
    drop(root, "air/a.csv")
    file = only(zone)
    snapshot = zone.snapshot(file)
    os.utime(drop(root, "air/a.csv"), (0, 0))
    zone.archive(snapshot, [file], AT)
    assert zone.look().files == []


def test_a_link_to_a_file_makes_no_other_version_of_it(root: Path) -> None:
    place = FolderPlace(root)
    path = drop(root, "air/a.csv")
    stamp = place.stamp("landing/air/a.csv")
    assert stamp is not None
    os.link(path, root / "link")
    assert place.stamp("landing/air/a.csv") != stamp
    assert b"".join(place.chunks("landing/air/a.csv", stamp)) == DATA


def test_a_refused_file_whose_copy_is_gone_is_archived_once_it_is_dropped_again(
    any_zone: LandingZone,
) -> None:
    put(any_zone, "air/a.csv")
    file = only(any_zone)
    refused = any_zone.reject(any_zone.snapshot(file), [file], AT, "no")
    any_zone._place.remove(refused)
    put(any_zone, "air/a.csv")
    file = only(any_zone)
    kept = any_zone.archive(any_zone.snapshot(file), [file], AT, refused=refused)
    with any_zone.fetch_archived(kept, HASH) as content:
        assert content.read_bytes() == DATA


def test_an_archived_file_is_never_overwritten(zone: LandingZone, root: Path) -> None:
    drop(root, "air/a.csv")
    file = only(zone)
    snapshot = zone.snapshot(file)
    target = root / f"archive/air/2026-11-21/230405_{HASH[:16]}.csv"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"something else")
    with pytest.raises(CorruptSource, match="left alone"):
        zone.archive(snapshot, [file], AT)
    assert target.read_bytes() == b"something else"
    assert only(zone) == file


def test_a_rejected_file_lies_beside_its_reason(any_zone: LandingZone) -> None:
    put(any_zone, "air/ta\u202eble 😀.csv")
    file = only(any_zone)
    path = any_zone.reject(
        any_zone.snapshot(file), [file], AT, "truncated: the gzip ends early.\nGet it again.\x1b[31m"
    )
    assert path == f"rejected/air/2026-11-21/230405_{HASH[:16]}_ta_ble_.csv"
    with any_zone.fetch_archived(path, HASH) as kept:
        assert kept.read_bytes() == DATA
    with any_zone._place.local(f"{path}.reason.txt") as reason:
        text = reason.read_text(encoding="utf-8")
    for part in ("truncated: the gzip ends early.", "landing/air/ta\\u202eble 😀.csv", HASH, "2026-11-21 23:04:05 UTC"):
        assert part in text
    assert "drop it into landing/air/ again" in text and "\x1b" not in text
    assert any_zone.look().files == []


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_is_data_only(zone: LandingZone, root: Path, name: str) -> None:
    drop(root, f"air/{name}")
    file = only(zone)
    assert file.path == name
    path = zone.archive(zone.snapshot(file), [file], AT)
    assert path.startswith(f"archive/air/2026-11-21/230405_{HASH[:16]}") and path.isascii()
    drop(root, f"air/{name}")
    path = zone.reject(zone.snapshot(file), [file], AT, "wrong")
    assert path.isascii() and (root / f"{path}.reason.txt").is_file()
    assert zone.look().files == []


def test_a_folder_with_an_odd_name_has_its_files_archived(zone: LandingZone, root: Path) -> None:
    drop(root, "Luft Qualität/a.csv")
    file = only(zone)
    assert file.dataset == dataset_name("Luft Qualität") != file.folder
    assert zone.datasets() == {file.dataset: "Luft Qualität"}
    assert zone.archive(zone.snapshot(file), [file], AT).startswith(f"archive/{file.dataset}/")


def test_an_archived_file_that_was_changed_or_lost_is_noticed(zone: LandingZone, root: Path) -> None:
    drop(root, "air/a.csv")
    file = only(zone)
    path = zone.archive(zone.snapshot(file), [file], AT)
    (root / path).chmod(0o600)
    (root / path).write_bytes(b"changed")
    with pytest.raises(CorruptSource, match="restore it"), zone.fetch_archived(path, HASH):
        pass
    (root / path).unlink()
    with pytest.raises(CorruptSource, match="gone"), zone.fetch_archived(path, HASH):
        pass


@pytest.mark.parametrize(
    "path", ["landing/air/a.csv", "archive/../secret", "/etc/passwd", "archive/air/2026-11-21/../../x", ""]
)
def test_only_kept_files_are_fetched(zone: LandingZone, path: str) -> None:
    with pytest.raises(CorruptSource, match="no path"), zone.fetch_archived(path, HASH):
        pass


def test_an_error_of_the_reader_stays_its_own(zone: LandingZone, root: Path) -> None:
    drop(root, "air/a.csv")
    file = only(zone)
    snapshot = zone.snapshot(file)
    with pytest.raises(IsADirectoryError), zone.local_path(snapshot):
        raise IsADirectoryError
    path = zone.archive(snapshot, [file], AT)
    with pytest.raises(SourceVanished), zone.fetch_archived(path, HASH):
        raise SourceVanished


def test_retiring_deletes_whole_days_of_one_dataset(any_zone: LandingZone) -> None:
    kept = {}
    for dataset in ("air", "water"):
        for day in (19, 20, 21):
            put(any_zone, f"{dataset}/a.csv")
            (file,) = any_zone.look(dataset).files
            kept[dataset, day] = any_zone.archive(any_zone.snapshot(file), [file], AT.replace(day=day))
    assert any_zone.retire("air", date(2026, 11, 21)) == [kept["air", 19], kept["air", 20]]
    assert any_zone.retire("air", date(2026, 11, 21)) == []
    assert any_zone.retire("nobody", date(2026, 11, 21)) == []
    with any_zone.fetch_archived(kept["air", 21], HASH), any_zone.fetch_archived(kept["water", 19], HASH):
        pass


def test_retiring_rejected_files_takes_their_reasons_along(zone: LandingZone, root: Path) -> None:
    drop(root, "air/a.csv")
    file = only(zone)
    zone.reject(zone.snapshot(file), [file], AT, "wrong")
    assert len(zone.retire("air", date(2026, 11, 22), area="rejected")) == 2
    assert not (root / "rejected/air/2026-11-21").exists()


# --- nothing outside the root -----------------------------------------------------------------------------------------


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A folder that looks like a dataset's and that nobody may touch."""
    folder = tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.csv", "sub/a.csv", HASH):
        (folder / name).write_bytes(DATA)
    before = traces(folder)
    yield folder
    assert traces(folder) == before


def traces(folder: Path) -> dict[Path, tuple[int, ...]]:
    """What reading, writing, linking or deleting a file leaves; listing a folder to see it leaves something, too."""
    found = {path: path.stat() for path in folder.rglob("*")}
    return {
        path: (stat.st_mtime_ns, stat.st_nlink, stat.st_atime_ns if path.is_file() else 0)
        for path, stat in found.items()
    }


@pytest.mark.parametrize(
    "path", ["../../outside/a.csv", "/etc/passwd", "x/../../../outside/a.csv", "", ".", "a//b", "a\0b"]
)
def test_a_path_that_leads_out_is_refused(zone: LandingZone, root: Path, outside: Path, path: str) -> None:
    drop(root, "air/a.csv")
    good = only(zone)
    bad = good._replace(path=path)
    with pytest.raises(RejectedFile, match="nothing was opened"):
        zone.snapshot(bad)
    with pytest.raises(RejectedFile, match="nothing was opened"):
        zone.snapshot(good._replace(folder=f"../{path}"))
    with pytest.raises(RejectedFile, match="nothing was opened"):
        zone.retire(f"../{path}", date(2030, 1, 1))


@pytest.mark.parametrize("where", ["landing", "landing/air", "landing/air/sub", "landing/air/sub/a.csv"])
def test_a_link_that_took_the_place_of_what_was_seen_is_not_followed(
    zone: LandingZone, root: Path, outside: Path, where: str
) -> None:
    drop(root, "air/sub/a.csv")
    file = only(zone)
    snapshot = zone.snapshot(file)
    (root / where).rename(root / "moved")
    (root / where).symlink_to(outside / "a.csv" if where.endswith(".csv") else outside)
    with pytest.raises(RejectedFile, match="link"):
        zone.snapshot(file)
    path = zone.archive(snapshot, [file], AT)
    assert (root / path).read_bytes() == DATA


@pytest.mark.parametrize("area", ["processing", "processing/air", "archive", "archive/air", "archive/air/2026-11-21"])
def test_nothing_is_written_or_deleted_over_a_linked_folder(
    zone: LandingZone, root: Path, outside: Path, area: str
) -> None:
    drop(root, "air/a.csv")
    file = only(zone)
    (root / area).parent.mkdir(parents=True, exist_ok=True)
    (root / area).symlink_to(outside)
    with pytest.raises(RejectedFile, match="link"):
        zone.archive(zone.snapshot(file), [file], AT)
    assert only(zone) == file


def test_a_linked_day_is_not_retired(zone: LandingZone, root: Path, outside: Path) -> None:
    (root / "archive/air").mkdir(parents=True)
    (root / "archive/air/2026-11-21").symlink_to(outside)
    assert zone.retire("air", date(2030, 1, 1)) == []


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    zone = LandingZone(str(tmp_path / "link"))
    zone.prepare()
    drop(tmp_path / "real", "air/a.csv")
    file = only(zone)
    assert zone.archive(zone.snapshot(file), [file], AT)


def test_a_fifo_that_took_the_place_of_a_file_does_not_block(zone: LandingZone, root: Path) -> None:
    file = drop(root, "air/a.csv")
    seen = only(zone)
    snapshot = zone.snapshot(seen)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(RejectedFile, match="FIFO"):
        zone.snapshot(seen)
    zone.archive(snapshot, [seen], AT)
    assert file.is_fifo()


# --- speed ------------------------------------------------------------------------------------------------------------


def test_a_look_at_many_files_costs_little_more_than_listing_them(zone: LandingZone, root: Path) -> None:
    folder = root / "landing/air"
    folder.mkdir()
    for number in range(10_000):
        (folder / f"station_{number:05d}.csv").touch()

    def listing() -> int:
        with os.scandir(folder) as entries:
            return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)

    def fastest(work: object) -> float:
        durations = []
        for _ in range(5):
            started = time.process_time()
            work()  # type: ignore[operator]
            durations.append(time.process_time() - started)
        return min(durations)

    assert len(zone.look().files) == 10_000
    assert fastest(zone.look) < 8 * fastest(listing) + 0.05
