"""The raw store keeps bytes as received, under the name of their content, and notices when they changed."""

import gzip
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import ConfigurationError, CorruptSource, SourceUnavailable
from resources.openaq.raw_store import RawStore

PAGE = b'{"results": []}'


@pytest.fixture(params=["folder", "folder with spaces", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> RawStore:
    if request.param == "memory":
        return RawStore(f"memory://{uuid4().hex}")
    return RawStore(str(tmp_path / request.param))


@given(data=st.binary(max_size=500), suffix=st.sampled_from([".json", ".csv.gz"]))
def test_what_was_put_is_got(tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str) -> None:
    store = RawStore(str(tmp_path_factory.getbasetemp() / "round-trip"))
    assert store.get(store.put(data, suffix=suffix)) == data


def test_path_names_the_bytes_as_received(store: RawStore) -> None:
    digest = hashlib.sha256(PAGE).hexdigest()
    assert store.put(PAGE, suffix=".json") == f"{digest[:2]}/{digest[2:4]}/{digest}.json.gz"


def test_putting_twice_keeps_one_file(tmp_path: Path) -> None:
    store = RawStore(str(tmp_path))
    path = store.put(PAGE, suffix=".json")
    written_at = (tmp_path / path).stat().st_mtime_ns
    assert store.put(PAGE, suffix=".json") == path
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [tmp_path / path]
    assert (tmp_path / path).stat().st_mtime_ns == written_at


def test_pages_are_zipped_the_same_way_every_time(tmp_path: Path) -> None:
    kept = [(tmp_path / name / RawStore(str(tmp_path / name)).put(PAGE, suffix=".json")).read_bytes() for name in "ab"]
    assert kept[0] == kept[1]
    assert gzip.decompress(kept[0]) == PAGE


def test_archive_files_are_kept_byte_for_byte(tmp_path: Path) -> None:
    data = gzip.compress(b"a,b\n", mtime=1_700_000_000)
    assert (tmp_path / RawStore(str(tmp_path)).put(data, suffix=".csv.gz")).read_bytes() == data


def test_a_damaged_archive_file_is_kept_as_evidence(store: RawStore) -> None:
    data = gzip.compress(b"a,b\n" * 100)[:-9]
    assert store.get(store.put(data, suffix=".csv.gz")) == data


@pytest.mark.parametrize("suffix", [".json", ".csv.gz"])
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(b"", id="emptied"),
        pytest.param(b"other", id="other text"),
        pytest.param(gzip.compress(b"other"), id="other page"),
        pytest.param(gzip.compress(PAGE)[:-4], id="cut short"),
    ],
)
def test_changed_bytes_are_noticed_and_healed_by_the_next_put(tmp_path: Path, suffix: str, damage: bytes) -> None:
    store = RawStore(str(tmp_path))
    path = store.put(PAGE, suffix=suffix)
    (tmp_path / path).write_bytes(damage)
    with pytest.raises(CorruptSource, match="fetch its day again"):
        store.get(path)
    assert store.put(PAGE, suffix=suffix) == path
    assert store.get(path) == PAGE


def test_what_is_not_there_is_said_so(store: RawStore) -> None:
    path = RawStore(f"memory://{uuid4().hex}").put(PAGE, suffix=".json")
    assert not store.exists(path)
    with pytest.raises(CorruptSource, match="has no"):
        store.get(path)
    store.put(PAGE, suffix=".json")
    assert store.exists(path)


@pytest.mark.parametrize(
    "path", ["../../etc/passwd", "/etc/passwd", "", "ab/cd/short.json.gz", f"ab/cd/{'a' * 64}.gz/../x"]
)
def test_only_paths_of_the_store_are_followed(store: RawStore, path: str) -> None:
    with pytest.raises(CorruptSource, match="no path of the raw store"):
        store.get(path)
    with pytest.raises(CorruptSource, match="no path of the raw store"):
        store.exists(path)


@pytest.mark.parametrize("suffix", ["", "json", "/../x", ".JSON"])
def test_a_suffix_cannot_leave_the_folder(store: RawStore, suffix: str) -> None:
    with pytest.raises(ValueError, match="a suffix is like"):
        store.put(PAGE, suffix=suffix)


def test_many_threads_may_put_the_same_bytes(tmp_path: Path) -> None:
    store = RawStore(str(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: store.put(PAGE, suffix=".json"), range(64)))
    assert len(paths) == 1
    assert store.get(paths.pop()) == PAGE
    assert not list(tmp_path.rglob("*.part"))


def test_a_place_that_cannot_be_written_is_no_corrupt_source(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SourceUnavailable, match="check that its place exists"):
        RawStore(str(tmp_path / "file" / "below")).put(PAGE, suffix=".json")


@pytest.mark.parametrize("url", ["", "nosuchscheme://bucket"])
def test_an_address_that_is_none_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError):
        RawStore(url).put(PAGE, suffix=".json")
