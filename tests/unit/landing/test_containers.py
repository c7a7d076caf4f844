"""Containers are told by their bytes and unpacked whole or not at all, within limits."""

import bz2
import gzip
import io
import lzma
import random
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resources.errors import RejectedFile
from resources.landing.containers import unpack
from resources.landing.limits import Limits

DATA = b"a,b\n" + b"".join(b"%d,%d\n" % (number, number * number) for number in range(5_000))


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


def unpacked(
    data: bytes, folder: Path, limits: Limits | None = None, name: str = "x.csv"
) -> tuple[bytes, tuple[str, ...]]:
    path = folder / name
    path.write_bytes(data)
    work_dir = folder / "work"
    work_dir.mkdir(exist_ok=True)
    found = unpack(path, work_dir, limits or Limits())
    return found.path.read_bytes(), found.containers


def refused(data: bytes, folder: Path, limits: Limits | None = None) -> str:
    with pytest.raises(RejectedFile) as caught:
        unpacked(data, folder, limits)
    assert list((folder / "work").iterdir()) == []
    return caught.value.rule


@pytest.mark.parametrize(
    ("packed", "containers"),
    [
        (DATA, ()),
        (b"", ()),
        (gzip.compress(DATA), ("gzip",)),
        (gzip.compress(DATA[:100]) + gzip.compress(DATA[100:]), ("gzip",)),
        (gzip.compress(DATA) + b"\0" * 600, ("gzip",)),
        (gzip.compress(DATA[:100]) + b"\0" * (1 << 20) + gzip.compress(DATA[100:]), ("gzip",)),
        (bz2.compress(DATA), ("bzip2",)),
        (bz2.compress(DATA[:9]) + bz2.compress(DATA[9:]), ("bzip2",)),
        (lzma.compress(DATA), ("xz",)),
        (zipped(("x.csv", DATA)), ("zip",)),
        (zipped(("../../etc/x", DATA), ("__MACOSX/._x", b"junk")), ("zip",)),
        (gzip.compress(zipped(("x.csv", DATA))), ("gzip", "zip")),
    ],
)
def test_what_is_inside_comes_out_whatever_the_name(packed: bytes, containers: tuple[str, ...], tmp_path: Path) -> None:
    assert unpacked(packed, tmp_path, name="x.parquet") == (DATA if packed else b"", containers)


def test_names_of_members_are_no_paths(tmp_path: Path) -> None:
    unpacked(zipped(("../escaped.csv", DATA)), tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["unpacked_0", "work", "x.csv"]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_truncated_stream_is_refused_and_leaves_nothing(pack, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert refused(pack(DATA)[:-20], tmp_path) == "truncated"


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_junk_behind_a_stream_is_refused(pack, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert refused(pack(DATA) + b"more", tmp_path) == "corrupt"


def test_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(DATA))
    packed[-6] ^= 0xFF
    assert refused(bytes(packed), tmp_path) == "corrupt"


def test_a_damaged_zip_is_refused(tmp_path: Path) -> None:
    packed = bytearray(zipped(("x.csv", DATA)))
    packed[200] ^= 0xFF
    assert refused(bytes(packed), tmp_path) == "corrupt"
    assert refused(zipped(("x.csv", DATA))[:-30], tmp_path) == "corrupt"


def test_a_zip_of_several_files_is_refused(tmp_path: Path) -> None:
    assert refused(zipped(("a.csv", DATA), ("b.csv", DATA)), tmp_path) == "several_members"


def test_a_zip_of_nothing_is_refused(tmp_path: Path) -> None:
    assert refused(zipped(), tmp_path) == "not_a_table"


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    packed = bytearray(zipped(("x.csv", DATA)))
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        packed[packed.index(magic) + flags] |= 1
    assert refused(bytes(packed), tmp_path) == "encrypted"


@pytest.mark.parametrize("member", ["xl/workbook.xml", "mimetype"])
def test_a_workbook_is_left_as_it_is(member: str, tmp_path: Path) -> None:
    packed = zipped((member, b"application/vnd.oasis.opendocument.spreadsheet"), ("other.xml", b""))
    assert unpacked(packed, tmp_path) == (packed, ())


def test_a_bomb_is_stopped_by_its_ratio(tmp_path: Path) -> None:
    assert refused(gzip.compress(b"\0" * 30_000_000), tmp_path) == "bomb"


def test_a_small_file_may_be_packed_well(tmp_path: Path) -> None:
    assert len(unpacked(gzip.compress(b"a" * 3_000_000), tmp_path)[0]) == 3_000_000


def test_a_bomb_is_stopped_by_its_size(tmp_path: Path) -> None:
    packed = zipped(("x.csv", random.Random(1).randbytes(50_000)), method=zipfile.ZIP_STORED)
    assert refused(packed, tmp_path, Limits(unpacked_bytes=10_000)) == "bomb"


def test_containers_inside_each_other_end_somewhere(tmp_path: Path) -> None:
    packed = DATA
    for _ in range(4):
        packed = gzip.compress(packed)
    path = tmp_path / "x"
    path.write_bytes(packed)
    with pytest.raises(RejectedFile) as caught:
        unpack(path, tmp_path, Limits())
    assert caught.value.rule == "bomb"


def test_a_file_larger_than_the_limit_is_refused_unread(tmp_path: Path) -> None:
    assert refused(DATA, tmp_path, Limits(file_bytes=100)) == "too_large"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.sampled_from(
        [gzip.compress(b"x,y\n1,2\n"), bz2.compress(b"x"), lzma.compress(b"x"), zipped(("x", b"1,2\n"))]
    ),
    place=st.integers(0, 200),
    junk=st.binary(max_size=20),
)
def test_damage_of_any_kind_is_refused_or_harmless(start: bytes, place: int, junk: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(start[:place] + junk + start[place + len(junk) :])
    for left in tmp_path.glob("unpacked*"):
        left.unlink()
    try:
        assert unpack(path, tmp_path, Limits()).path.exists()
    except RejectedFile as error:
        assert error.rule in {"truncated", "corrupt", "encrypted", "not_a_table", "several_members"}
    assert not list(tmp_path.glob("*.part"))
