"""The landing zone in a bucket: the same promises as in a folder, on a real S3 server."""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import obstore
import pytest
from obstore.store import S3Store

from resources.errors import (
    ConfigurationError,
    CorruptSource,
    CredentialsRejected,
    SourceChanging,
    SourceUnavailable,
    SourceVanished,
)
from resources.landing.files_seen import Seen
from resources.landing.zone import LandingZone

AT = datetime(2026, 11, 21, 23, 4, 5, tzinfo=UTC)
BUCKET = "tidemark-landing"
DATA = b"time,value\n2026-11-21,1\n"
HASH = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A loopback S3 server."""
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client(url).create_bucket(Bucket=BUCKET)
    yield url
    server.stop()


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are found where every AWS tool looks for them."""
    for name, value in (("ACCESS_KEY_ID", "key"), ("SECRET_ACCESS_KEY", "secret"), ("REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)


@pytest.fixture
def prefix() -> str:
    return f"zone/{uuid4().hex}"


@pytest.fixture
def store(endpoint: str, prefix: str) -> S3Store:
    """What others see of the zone's prefix."""
    return S3Store(BUCKET, prefix=prefix, endpoint=endpoint, client_options={"allow_http": True})


@pytest.fixture
def work_dir(tmp_path: Path) -> Iterator[Path]:
    """Where copies lie while they are used: nothing may stay there."""
    folder = tmp_path / "work"
    folder.mkdir()
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def zone(endpoint: str, prefix: str, work_dir: Path) -> LandingZone:
    made = LandingZone(f"s3://{BUCKET}/{prefix}", endpoint_url=endpoint, work_dir=work_dir)
    made.prepare()
    return made


def client(endpoint: str) -> Any:
    return boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
    )


def drop(store: S3Store, path: str, data: bytes = DATA) -> None:
    obstore.put(store, f"landing/{path}", data)


def only(zone: LandingZone) -> Seen:
    (file,) = zone.look().files
    return file


def paths(store: S3Store) -> set[str]:
    return {meta["path"] for chunk in obstore.list(store) for meta in chunk}


def content(store: S3Store, path: str) -> bytes:
    return bytes(obstore.get(store, path).bytes())


def test_a_file_goes_from_the_landing_to_the_archive(zone: LandingZone, store: S3Store) -> None:
    drop(store, "air/2026/a b.csv.gz")
    drop(store, "air/2026/a b.csv.gz.done", b"")
    file = only(zone)
    assert (file.dataset, file.path, file.size, file.has_marker) == ("air", "2026/a b.csv.gz", len(DATA), True)
    snapshot = zone.snapshot(file)
    assert (snapshot.sha256, snapshot.size, snapshot.content_changed) == (HASH, len(DATA), False)
    with zone.local_path(snapshot) as path:
        assert path.read_bytes() == DATA
    kept = zone.archive(snapshot, [file], AT)
    assert kept == f"archive/air/2026-11-21/230405_{HASH[:16]}.csv.gz"
    assert paths(store) == {kept}
    with zone.fetch_archived(kept, HASH) as path:
        assert path.read_bytes() == DATA
    assert zone.archive(snapshot, [file], AT) == kept


def test_a_refused_file_lies_beside_its_reason(zone: LandingZone, store: S3Store) -> None:
    drop(store, "air/😀 'x'.csv")
    file = only(zone)
    kept = zone.reject(zone.snapshot(file), [file], AT, "truncated")
    assert paths(store) == {kept, f"{kept}.reason.txt"}
    assert "landing/air/😀 'x'.csv" in content(store, f"{kept}.reason.txt").decode()


def test_a_file_of_several_parts_is_whole(zone: LandingZone, store: S3Store) -> None:
    """Its ETag is no hash of its content."""
    data = os.urandom(1 << 20) * 12
    drop(store, "air/big.csv", data)
    file = only(zone)
    assert file.version.rstrip('"').endswith("-3")
    snapshot = zone.snapshot(file)
    assert snapshot.sha256 == hashlib.sha256(data).hexdigest()
    kept = zone.archive(snapshot, [file], AT)
    assert content(store, kept) == data


def test_a_listing_of_many_pages_is_complete(zone: LandingZone, store: S3Store) -> None:
    for number in range(1_050):
        obstore.put(store, f"landing/air/{number:04d}.csv", b"x", use_multipart=False)
    assert [file.path for file in zone.look().files] == [f"{number:04d}.csv" for number in range(1_050)]


def test_names_are_data_only(zone: LandingZone, store: S3Store) -> None:
    names = ["-rf", '\'; drop "t"', "x%20y#~*?{}.csv", "تقرير.csv", "back\\slash", "ä" * 100 + ".csv"]
    for name in names:
        drop(store, f"air/{name}", name.encode())
    for file in zone.look().files:
        kept = zone.archive(zone.snapshot(file), [file], AT)
        assert content(store, kept) == file.path.encode()
    assert len(paths(store)) == len(names)


def test_temporary_names_are_passed_over_and_files_in_no_dataset_are_refused(zone: LandingZone, store: S3Store) -> None:
    for path in ("air/_temporary/0/part-0.csv", "air/a.csv.part", "_x/a.csv", "loose.csv"):
        drop(store, path)
    look = zone.look()
    assert look.files == []
    assert [refused.path for refused in look.refused] == ["landing/loose.csv"]


def test_what_marks_a_folder_is_no_empty_file(zone: LandingZone, store: S3Store, endpoint: str, prefix: str) -> None:
    client(endpoint).put_object(Bucket=BUCKET, Key=f"{prefix}/landing/air/sub/", Body=b"")
    drop(store, "air/empty.csv", b"")
    assert only(zone).path == "empty.csv"


@pytest.mark.parametrize("key", ["bad/x//y.csv", "bad/../x.csv", "bad/tab\tx.csv"])
def test_a_key_no_path_can_have_stops_its_own_dataset_only(
    zone: LandingZone, store: S3Store, endpoint: str, prefix: str, key: str
) -> None:
    s3 = client(endpoint)
    drop(store, "good/a.csv")
    s3.put_object(Bucket=BUCKET, Key=f"{prefix}/landing/{key}", Body=DATA)
    look = zone.look()
    assert [file.dataset for file in look.files] == ["good"]
    (refused,) = look.refused
    assert refused.path == "landing/bad" and refused.reason.isprintable() and "delete or rename" in refused.reason
    s3.delete_object(Bucket=BUCKET, Key=f"{prefix}/landing/{key}")


def test_an_object_that_was_listed_but_is_gone_ends_as_vanished(zone: LandingZone, store: S3Store) -> None:
    drop(store, "air/a.csv")
    file = only(zone)
    obstore.delete(store, "landing/air/a.csv")
    with pytest.raises(SourceVanished):
        zone.snapshot(file)


def writing_between_reads(
    monkeypatch: pytest.MonkeyPatch, write: Callable[[int], None], *, times: int, path: str = "landing/air/a.csv"
) -> None:
    """Write to the object each time between a look at its ETag and reading it."""
    get, calls = obstore.get, 0

    def getting(store: S3Store, wanted: str, **options: Any) -> Any:
        nonlocal calls
        if wanted == path and calls < times:
            calls += 1
            write(calls)
        return get(store, wanted, **options)

    monkeypatch.setattr(obstore, "get", getting)


def test_an_etag_that_changes_while_the_object_is_read_makes_it_be_read_again(
    zone: LandingZone, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(store, "air/a.csv")
    file = only(zone)
    writing_between_reads(monkeypatch, lambda call: drop(store, "air/a.csv", f"{call}".encode()), times=1)
    snapshot = zone.snapshot(file)
    assert (snapshot.content_changed, content(store, snapshot.path)) == (True, b"1")


def test_an_object_that_never_stands_still_is_left_for_later(
    zone: LandingZone, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(store, "air/a.csv")
    file = only(zone)
    writing_between_reads(monkeypatch, lambda call: drop(store, "air/a.csv", f"{call}".encode()), times=99)
    with pytest.raises(SourceChanging, match="each of 3 attempts"):
        zone.snapshot(file)
    assert paths(store) == {"landing/air/a.csv"}


def test_a_new_version_stays_for_the_next_look(zone: LandingZone, store: S3Store) -> None:
    drop(store, "air/a.csv")
    file = only(zone)
    snapshot = zone.snapshot(file)
    new = DATA.replace(b"1\n", b"2\n")
    drop(store, "air/a.csv", new)
    kept = zone.archive(snapshot, [file], AT)
    assert (content(store, kept), content(store, "landing/air/a.csv")) == (DATA, new)
    assert only(zone).key != file.key


def test_the_same_bytes_put_there_again_have_another_key(zone: LandingZone, store: S3Store) -> None:
    drop(store, "air/a.csv")
    file = only(zone)
    assert only(zone).key == file.key
    time.sleep(1.1)  # such stores tell whole seconds
    drop(store, "air/a.csv")
    again = only(zone)
    assert again.version == file.version
    assert again.key != file.key


def test_a_new_version_that_comes_while_the_old_one_is_checked_stays_too(
    zone: LandingZone, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(store, "air/a.csv")
    file = only(zone)
    snapshot = zone.snapshot(file)
    head, calls = obstore.head, 0

    def heading(store: S3Store, path: str) -> object:
        nonlocal calls
        calls += path == "landing/air/a.csv"
        if calls == 2:
            drop(store, "air/a.csv", b"new")
        return head(store, path)

    monkeypatch.setattr(obstore, "head", heading)
    zone.archive(snapshot, [file], AT)
    assert calls > 1 and content(store, "landing/air/a.csv") == b"new"


@pytest.mark.parametrize("operation", ["get", "head", "put", "copy", "delete"])
def test_cut_off_at_any_request_the_next_run_completes_it(
    zone: LandingZone, store: S3Store, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    plain = getattr(obstore, operation)
    drop(store, "air/a.csv")
    snapshot = zone.snapshot(only(zone))
    for number in range(1, 20):
        drop(store, "air/a.csv")
        file = only(zone)
        calls = 0

        def failing(*arguments: object, number: int = number, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == number:
                raise obstore.exceptions.GenericError("cut off")
            return plain(*arguments, **options)

        at = AT.replace(minute=number)
        with monkeypatch.context() as patch:
            patch.setattr(obstore, operation, failing)
            try:
                zone.reject(zone.snapshot(file), [file], at, "wrong")
            except SourceUnavailable as error:
                assert "cut off" in str(error)
        assert DATA in {content(store, path) for path in paths(store)}
        if zone.look().files:
            snapshot = zone.snapshot(file)
        kept = zone.reject(snapshot, [file], at, "wrong")
        assert {path for path in paths(store) if not path.startswith("rejected")} == set()
        assert content(store, kept) == DATA and f"{kept}.reason.txt" in paths(store)
        if calls < number:
            return
    pytest.fail("there were more requests than expected")


def test_an_archived_object_is_never_overwritten(zone: LandingZone, store: S3Store) -> None:
    drop(store, "air/a.csv")
    file = only(zone)
    target = f"archive/air/2026-11-21/230405_{HASH[:16]}.csv"
    obstore.put(store, target, b"something else")
    with pytest.raises(CorruptSource, match="left alone"):
        zone.archive(zone.snapshot(file), [file], AT)
    assert content(store, target) == b"something else"
    with pytest.raises(CorruptSource, match="restore it"), zone.fetch_archived(target, HASH):
        pass
    assert only(zone) == file


def test_retiring_deletes_whole_days_of_one_dataset(zone: LandingZone, store: S3Store) -> None:
    kept = {}
    for dataset in ("air", "water"):
        for day in (19, 20, 21):
            drop(store, f"{dataset}/a.csv")
            (file,) = zone.look(dataset).files
            kept[dataset, day] = zone.archive(zone.snapshot(file), [file], AT.replace(day=day))
    assert zone.retire("air", date(2026, 11, 21)) == [kept["air", 19], kept["air", 20]]
    assert paths(store) == set(kept.values()) - {kept["air", 19], kept["air", 20]}
    assert zone.retire("nobody", date(2026, 11, 21)) == []


def test_the_server_can_come_from_the_environment(
    store: S3Store, endpoint: str, prefix: str, work_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    drop(store, "air/a.csv")
    assert only(LandingZone(f"s3://{BUCKET}/{prefix}", work_dir=work_dir)).path == "a.csv"


def test_an_empty_prefix_is_an_empty_zone_and_a_missing_bucket_is_told(zone: LandingZone, endpoint: str) -> None:
    assert (zone.datasets(), zone.look().files) == ({}, [])
    with pytest.raises(ConfigurationError, match="no such bucket"):
        LandingZone("s3://no-such-bucket/x", endpoint_url=endpoint).look()


def test_credentials_that_are_refused_are_told_without_the_secret(work_dir: Path) -> None:
    class Refusing(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    zone = LandingZone(f"s3://{BUCKET}/x", endpoint_url=f"http://127.0.0.1:{server.server_port}", work_dir=work_dir)
    with pytest.raises(CredentialsRejected, match="not expired") as caught:
        zone.look()
    server.shutdown()
    thread.join()
    server.server_close()
    assert "secret" not in str(caught.value) and "?" not in str(caught.value)


def test_a_server_that_is_down_is_unavailable(work_dir: Path) -> None:
    zone = LandingZone(f"s3://{BUCKET}/x", endpoint_url="http://127.0.0.1:9", work_dir=work_dir)
    with pytest.raises(SourceUnavailable, match="tried again"):
        zone.look()
