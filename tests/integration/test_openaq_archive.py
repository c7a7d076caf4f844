"""The archive as a source: the right files for a window in every zone, every row accounted for, every failure told."""

import gzip
import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

import fsspec
import obstore
import pandas as pd
import pytest
from obstore.store import S3Store

from resources.errors import (
    ConfigurationError,
    CorruptSource,
    CredentialsRejected,
    SourceUnavailable,
    TidemarkError,
    UnknownLocation,
)
from resources.openaq import archive_layout, archive_store
from resources.openaq.archive import ArchiveMode, Patience
from resources.openaq.archive_file import parse
from resources.openaq.fetched import Fetched, FetchFailed
from resources.openaq.generator.files import deliver_late
from resources.openaq.generator.generate import generate
from resources.openaq.generator.places import DEMO_LOCATIONS, GeneratedLocation
from resources.openaq.raw_store import RawStore
from schemas.window import ONE_DAY, Window

FIRST, LAST = date(2026, 9, 1), date(2026, 9, 12)
KATHMANDU, NEW_YORK, GUADALAJARA, SANTIAGO, DELHI, PARIS, KIRITIMATI, ACCRA = (place.id for place in DEMO_LOCATIONS)
BUCKET = "openaq-data-archive"
HASTY = Patience(attempts=3, first_wait_s=0.01, longest_wait_s=0.05, request_timeout_s=2.0)


class WebServer:
    """A web server over a folder, with ETags, that counts requests and can be told to fail."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.faults: dict[str, list[int | str]] = {}
        """Part of a path -> what to answer next: a status, `cut` or `hang`; the last one stays."""
        self.released = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                outer.answer(self)

            do_HEAD = do_GET

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        fault = next((queue for part, queue in self.faults.items() if part in request.path), None)
        what = (fault.pop(0) if len(fault) > 1 else fault[0]) if fault else 200
        target = self.root / request.path.lstrip("/")
        data = target.read_bytes() if target.is_file() else b""
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        status = what if isinstance(what, int) else 200
        if status == 200 and not target.is_file():
            status = 404
        if status == 200 and request.headers.get("If-None-Match") == etag:
            status = 304
        self.requests[request.command, request.path.rsplit("/", 1)[-1], status] += 1
        if what == "hang":
            self.released.wait(30)
            request.close_connection = True
            return
        body = data if status == 200 else b""
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.send_header("ETag", etag)
        request.send_header("Last-Modified", formatdate(1_790_000_000, usegmt=True))
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(body[: len(body) // 2] if what == "cut" else body)

    def count(self, name: str) -> int:
        return sum(number for (_, file, _), number in self.requests.items() if name in file)

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("archive") / "with a space"
    generate(root, locations=DEMO_LOCATIONS, first_day=FIRST, last_day=LAST, seed=2)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small archive of the test's own: two sites, sound."""
    generate(tmp_path / "own", locations=DEMO_LOCATIONS[:2], first_day=FIRST, last_day=LAST, seed=2, kinds=())
    return tmp_path / "own"


@pytest.fixture
def web(root: Path) -> Iterator[WebServer]:
    server = WebServer(root)
    yield server
    server.close()


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """A loopback S3 server; it asks nobody for credentials."""
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def raw_store(tmp_path: Path) -> RawStore:
    return RawStore(str(tmp_path / "raw"))


@pytest.fixture
def archive(root: Path, raw_store: RawStore) -> ArchiveMode:
    return ArchiveMode(str(root), raw_store, max_workers=4, patience=HASTY)


def fetched(mode: ArchiveMode, window: Window, ids: Sequence[int], **arguments) -> list[Fetched]:
    answers = list(mode.fetch(window, ids, **arguments))
    assert [type(answer) for answer in answers] == [Fetched] * len(answers), answers
    return [answer for answer in answers if isinstance(answer, Fetched)]


def failure(mode: ArchiveMode, window: Window, location_id: int) -> TidemarkError:
    (answer,) = mode.fetch(window, [location_id])
    assert isinstance(answer, FetchFailed), answer
    assert (answer.location_id, answer.window) == (location_id, window)
    return answer.error


def all_rows(root: Path, location_id: int) -> pd.DataFrame:
    frames = [
        parse(
            path.read_bytes(),
            source_id=0,
            location_id=location_id,
            local_day=datetime.strptime(path.name[-15:-7], "%Y%m%d").date(),
        ).rows
        for path in sorted(root.glob(f"records/csv.gz/locationid={location_id}/*/*/*.csv.gz"))
    ]
    return pd.concat(frames)


def contents(rows: pd.DataFrame) -> list[tuple]:
    columns = ["sensors_id", "datetime_utc", "value", "units", "line_no"]
    return sorted(rows[columns].itertuples(index=False, name=None))


def path_of(location_id: int, day: date) -> str:
    return archive_layout.file_path(location_id, day)


# --- which files, which rows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location_id", "neighbour"),
    [(KATHMANDU, 1), (NEW_YORK, -1), (GUADALAJARA, -1), (SANTIAGO, -1), (DELHI, 1), (KIRITIMATI, 1)],
)
def test_a_utc_day_takes_its_own_file_and_the_needed_neighbour_only(
    root: Path, raw_store: RawStore, tmp_path: Path, location_id: int, neighbour: int
) -> None:
    place = next(place for place in DEMO_LOCATIONS if place.id == location_id)
    generate(tmp_path / "one", locations=[place], first_day=FIRST, last_day=LAST, seed=2, kinds=())
    day = date(2026, 9, 8)
    (answer,) = fetched(ArchiveMode(str(tmp_path / "one"), raw_store), Window.of_days(day, day), [location_id])
    assert [source.local_day for source in answer.sources] == sorted([day, day + neighbour * ONE_DAY])
    assert len(answer.rows) == 24 * len(place.sensors)
    assert answer.rows["datetime_utc"].min() > pd.Timestamp(day, tz="UTC")
    assert answer.rows["datetime_utc"].max() <= pd.Timestamp(day + ONE_DAY, tz="UTC")
    assert answer.missing == ()


def place_in(timezone: str) -> GeneratedLocation:
    return replace(DEMO_LOCATIONS[0], timezone=timezone)


@pytest.mark.parametrize(
    ("timezone", "change"),
    [
        ("America/New_York", date(2026, 3, 8)),
        ("America/New_York", date(2026, 11, 1)),
        ("America/Santiago", date(2026, 4, 5)),
        ("America/Santiago", date(2026, 9, 6)),
        ("Europe/London", date(2026, 3, 29)),
        ("Europe/London", date(2026, 10, 25)),
        ("Atlantic/Azores", date(2026, 3, 29)),
        ("Atlantic/Azores", date(2026, 10, 25)),
        ("Australia/Lord_Howe", date(2026, 4, 5)),
        ("Asia/Kathmandu", date(2026, 5, 1)),
        ("Pacific/Kiritimati", date(2026, 5, 1)),
        ("Etc/GMT+12", date(2026, 5, 1)),
        ("Africa/Accra", date(2026, 5, 1)),
    ],
)
def test_windows_of_any_length_tile_the_rows_in_every_zone(
    tmp_path: Path, raw_store: RawStore, timezone: str, change: date
) -> None:
    """Every row of every file in exactly one of abutting windows, whichever way time is cut."""
    place = place_in(timezone)
    first, last = change - 3 * ONE_DAY, change + 3 * ONE_DAY
    generate(tmp_path / "zone", locations=[place], first_day=first, last_day=last, seed=1, kinds=())
    mode = ArchiveMode(str(tmp_path / "zone"), raw_store)
    everything = contents(all_rows(tmp_path / "zone", place.id))
    whole = Window.of_days(first - 2 * ONE_DAY, last + 2 * ONE_DAY)
    for length in (1, 3, 30):
        pieces = [fetched(mode, window, [place.id])[0].rows for window in whole.split(length * ONE_DAY)]
        assert contents(pd.concat(pieces)) == everything, length


def test_a_row_behind_a_change_of_clocks_is_found_in_the_day_before(tmp_path: Path, raw_store: RawStore) -> None:
    """On 29 March 2026 the Azores go from 00:00-01:00 to 01:00+00:00: that stamp ends the file of the 28th, while the
    file of the 29th alone shows no offset for which the 28th would be needed."""
    for day, hour in ((date(2026, 3, 28), 1), (date(2026, 3, 29), 2)):
        path = tmp_path / "azores" / path_of(77, day)
        path.parent.mkdir(parents=True, exist_ok=True)
        line = f"77,1,Horta,2026-03-29T{hour:02}:00:00+00:00,38.5,-28.6,pm25,µg/m³,5.0"
        header = "location_id,sensors_id,location,datetime,lat,lon,parameter,units,value"
        path.write_bytes(gzip.compress(f"{header}\n{line}\n".encode()))
    mode = ArchiveMode(str(tmp_path / "azores"), raw_store)
    (answer,) = fetched(mode, Window.of_days(date(2026, 3, 29), date(2026, 3, 29)), [77])
    assert answer.rows["datetime_utc"].dt.hour.tolist() == [1, 2]


def test_the_ledger_closes_and_counts_every_line_once(generated: Path, raw_store: RawStore) -> None:
    mode = ArchiveMode(str(generated), raw_store)
    whole = Window.of_days(FIRST - ONE_DAY, LAST + ONE_DAY)
    ids = [place.id for place in DEMO_LOCATIONS]
    rejects: Counter[tuple[int, int]] = Counter()
    for window in whole.split(ONE_DAY):
        for answer in fetched(mode, window, ids):
            read = sum(
                parse(
                    raw_store.get(source.raw_path),
                    source_id=source.source_id,
                    location_id=source.location_id,
                    local_day=source.local_day,
                ).rows_read
                for source in answer.sources
            )
            assert read == len(answer.rows) + len(answer.rejects) + sum(answer.filtered.values())
            assert set(answer.filtered) <= set(window.days())
            assert {reject.day for reject in answer.rejects} <= set(window.days())
            rejects.update((reject.source_id, reject.line_no) for reject in answer.rejects)
    (at_once,) = ([r for answer in fetched(mode, whole, ids) for r in answer.rejects],)
    assert at_once
    assert rejects == Counter((reject.source_id, reject.line_no) for reject in at_once)
    assert set(rejects.values()) == {1}


def test_rows_outside_the_window_are_counted_at_its_nearest_day(archive: ArchiveMode) -> None:
    window = Window.of_days(date(2026, 9, 5), date(2026, 9, 7))
    (answer,) = fetched(archive, window, [NEW_YORK])
    assert answer.filtered == {date(2026, 9, 5): 20 * 6, date(2026, 9, 7): 4 * 6}


def test_days_without_a_file_are_missing_and_no_error(archive: ArchiveMode, root: Path) -> None:
    (root / path_of(KATHMANDU, date(2026, 9, 5))).unlink()
    (answer,) = fetched(archive, Window.of_days(date(2026, 9, 4), date(2026, 9, 6)), [KATHMANDU])
    assert answer.missing == (f"{root.as_uri()}/{path_of(KATHMANDU, date(2026, 9, 5))}",)
    assert len(answer.sources) == 3
    assert len(answer.rows) == 2 * 24 * 6


def test_a_window_before_all_data_and_one_in_the_future_are_empty(archive: ArchiveMode) -> None:
    for day in (date(2016, 1, 1), date(2099, 1, 1)):
        (answer,) = fetched(archive, Window.of_days(day, day), [KATHMANDU])
        assert answer.rows.empty
        assert len(answer.missing) == 3


def test_an_unknown_location_is_told_apart_from_a_day_without_data(archive: ArchiveMode) -> None:
    assert isinstance(failure(archive, Window.of_days(FIRST, FIRST), 123), UnknownLocation)


def test_locations_come_in_the_order_asked_for_and_lazily(generated: Path, raw_store: RawStore) -> None:
    ids = [ACCRA, KATHMANDU, PARIS, DELHI, ACCRA]
    answers = ArchiveMode(str(generated), raw_store, max_workers=2).fetch(Window.of_days(FIRST, FIRST), ids)
    assert next(answers).location_id == ACCRA
    assert [answer.location_id for answer in answers] == [KATHMANDU, PARIS, DELHI]


def test_a_caller_who_stops_early_leaves_nothing_running(web: WebServer, raw_store: RawStore) -> None:
    ids = [KATHMANDU, NEW_YORK, *range(91_000_000, 91_000_200)]
    answers = ArchiveMode(web.url, raw_store, patience=HASTY).fetch(Window.of_days(FIRST, LAST), ids)
    assert next(answers).location_id == KATHMANDU
    answers.close()
    assert web.count("location-9100019") == 0


def test_sources_say_where_bytes_came_from_and_where_they_are_kept(
    archive: ArchiveMode, root: Path, raw_store: RawStore
) -> None:
    (answer,) = fetched(archive, Window.of_days(FIRST, FIRST), [KATHMANDU])
    source = answer.sources[0]
    data = (root / path_of(KATHMANDU, FIRST)).read_bytes()
    assert source.uri == f"{root.as_uri()}/{path_of(KATHMANDU, FIRST)}"
    assert (source.kind, source.local_day, source.size) == ("archive", FIRST, len(data))
    assert source.sha256 == hashlib.sha256(data).hexdigest()
    assert raw_store.get(source.raw_path) == data
    assert set(answer.rows["source_id"]) == {source.source_id for source in answer.sources}


# --- damaged files and failing sources --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-20], lambda data: data + b"junk", lambda data: b"<html>", lambda data: b""]
)
def test_nothing_of_a_location_with_a_damaged_file_is_visible(
    archive: ArchiveMode, root: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = root / path_of(KATHMANDU, date(2026, 9, 5))
    path.write_bytes(damage(path.read_bytes()))
    bad, good = archive.fetch(Window.of_days(date(2026, 9, 4), date(2026, 9, 6)), [KATHMANDU, NEW_YORK])
    assert isinstance(bad, FetchFailed)
    assert isinstance(bad.error, CorruptSource)
    assert path.name in str(bad.error)
    assert isinstance(good, Fetched)
    assert len(good.rows) == 3 * 24 * 6


def test_a_source_that_recovers_is_read(web: WebServer, raw_store: RawStore) -> None:
    web.faults["20260905"] = [503, "cut", 200]
    (answer,) = fetched(
        ArchiveMode(web.url, raw_store, patience=HASTY), Window.of_days(date(2026, 9, 5), date(2026, 9, 5)), [KATHMANDU]
    )
    assert len(answer.rows) == 24 * 6
    assert web.count("20260905") == 3


@pytest.mark.parametrize("fault", [500, 503, 429, "cut"])
def test_a_source_that_stays_away_is_asked_a_few_times_only(
    web: WebServer, raw_store: RawStore, fault: int | str
) -> None:
    web.faults["location-90000001-20260905"] = [fault]
    mode = ArchiveMode(web.url, raw_store, patience=HASTY)
    bad, good = mode.fetch(Window.of_days(date(2026, 9, 5), date(2026, 9, 5)), [KATHMANDU, NEW_YORK])
    assert isinstance(bad, FetchFailed)
    assert isinstance(bad.error, SourceUnavailable)
    assert isinstance(good, Fetched)
    assert web.count("location-90000001-20260905") == HASTY.attempts


@pytest.mark.parametrize("status", [401, 403])
def test_denied_access_is_told_at_once_and_not_tried_again(web: WebServer, raw_store: RawStore, status: int) -> None:
    web.faults["20260905"] = [status]
    mode = ArchiveMode(web.url, raw_store, patience=HASTY)
    assert isinstance(failure(mode, Window.of_days(date(2026, 9, 5), date(2026, 9, 5)), KATHMANDU), CredentialsRejected)
    assert web.count("20260905") == 1


def test_a_server_that_never_answers_does_not_hang_the_run(web: WebServer, raw_store: RawStore) -> None:
    web.faults["20260905"] = ["hang"]
    patience = Patience(attempts=2, first_wait_s=0.01, longest_wait_s=0.01, request_timeout_s=0.3)
    mode = ArchiveMode(web.url, raw_store, patience=patience)
    assert isinstance(failure(mode, Window.of_days(date(2026, 9, 5), date(2026, 9, 5)), KATHMANDU), SourceUnavailable)


def test_an_unreachable_server_is_unavailable(raw_store: RawStore) -> None:
    mode = ArchiveMode("http://127.0.0.1:1", raw_store, patience=HASTY)
    error = failure(mode, Window.of_days(FIRST, FIRST), KATHMANDU)
    assert isinstance(error, SourceUnavailable)
    assert "http://127.0.0.1:1/records/" in str(error)


@pytest.mark.parametrize(
    "url", ["", "nosuchscheme://x", "https://user:secret@example.org/a", "https://example.org/a?token=secret"]
)
def test_an_address_that_cannot_be_meant_is_a_configuration_error(raw_store: RawStore, url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        next(ArchiveMode(url, raw_store).fetch(Window.of_days(FIRST, FIRST), [KATHMANDU]))
    assert "secret" not in str(caught.value)


# --- what is known already --------------------------------------------------------------------------------------------


def known_of(answers: Sequence[Fetched]) -> dict[str, tuple[str | None, str]]:
    return {source.uri: (source.etag, source.raw_path) for answer in answers for source in answer.sources}


def test_a_known_file_is_not_downloaded_again(web: WebServer, raw_store: RawStore) -> None:
    mode, window = ArchiveMode(web.url, raw_store, patience=HASTY), Window.of_days(FIRST, LAST)
    before = fetched(mode, window, [KATHMANDU])
    web.requests.clear()
    after = fetched(mode, window, [KATHMANDU], known=known_of(before))
    assert {status for _, _, status in web.requests} == {304, 404}
    pd.testing.assert_frame_equal(before[0].rows, after[0].rows)
    assert [source.source_id for source in before[0].sources] == [source.source_id for source in after[0].sources]


@pytest.mark.parametrize("damage", [b"other", None])
def test_a_known_file_that_the_raw_store_lost_is_downloaded_again(
    web: WebServer, raw_store: RawStore, tmp_path: Path, damage: bytes | None
) -> None:
    mode, window = ArchiveMode(web.url, raw_store, patience=HASTY), Window.of_days(FIRST, FIRST)
    before = fetched(mode, window, [KATHMANDU])
    kept = tmp_path / "raw" / before[0].sources[0].raw_path
    kept.unlink() if damage is None else kept.write_bytes(damage)
    after = fetched(mode, window, [KATHMANDU], known=known_of(before))
    pd.testing.assert_frame_equal(before[0].rows, after[0].rows)
    assert raw_store.get(before[0].sources[0].raw_path)


@pytest.fixture(params=["folder", "web", "memory", "s3"])
def any_archive(request: pytest.FixtureRequest, tmp_path: Path, raw_store: RawStore) -> tuple[ArchiveMode, Path]:
    """The same archive behind each kind of address, with late rows held back; and the folder it was made in."""
    root = tmp_path / "any"
    generate(root, locations=DEMO_LOCATIONS[:2], first_day=FIRST, last_day=LAST, seed=2, kinds=())
    endpoint = None
    if request.param == "folder":
        url = str(root)
    elif request.param == "web":
        server = WebServer(root)
        request.addfinalizer(server.close)
        url = server.url
    elif request.param == "memory":
        url = f"memory://{uuid4().hex}"
        fsspec.filesystem("memory").put(str(root), url, recursive=True)
    else:
        endpoint, url = request.getfixturevalue("s3_endpoint"), f"s3://{BUCKET}/{uuid4().hex}"
        upload(root, endpoint, url.rsplit("/", 1)[-1])
    return ArchiveMode(url, raw_store, endpoint_url=endpoint, patience=HASTY), root


def upload(root: Path, endpoint: str, prefix: str) -> None:
    import boto3

    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any"
    )
    client.create_bucket(Bucket=BUCKET, ACL="public-read")
    store = S3Store(BUCKET, prefix=prefix, endpoint=endpoint, skip_signature=True, client_options={"allow_http": True})
    for path in root.rglob("*"):
        if path.is_file():
            obstore.put(store, path.relative_to(root).as_posix(), path.read_bytes())


def test_every_kind_of_address_gives_the_same_rows(any_archive: tuple[ArchiveMode, Path], tmp_path: Path) -> None:
    mode, root = any_archive
    window = Window.of_days(FIRST, LAST)
    plain = fetched(ArchiveMode(str(root), RawStore(str(tmp_path / "raw2"))), window, [KATHMANDU, NEW_YORK])
    for ours, theirs in zip(fetched(mode, window, [KATHMANDU, NEW_YORK]), plain, strict=True):
        pd.testing.assert_frame_equal(
            ours.rows.drop(columns="source_id"), theirs.rows.drop(columns="source_id"), check_exact=True
        )
        assert ours.filtered == theirs.filtered
        assert len(ours.missing) == len(theirs.missing)
        assert all(source.etag and source.modified_at and source.modified_at.tzinfo for source in ours.sources)


def test_new_files_are_told_until_they_are_known(any_archive: tuple[ArchiveMode, Path]) -> None:
    mode, _ = any_archive
    days = [date(2026, 8, 31), FIRST, LAST, LAST + ONE_DAY]
    assert mode.changed_since({}, [KATHMANDU, NEW_YORK, 123], days) == [
        (KATHMANDU, FIRST),
        (KATHMANDU, LAST),
        (NEW_YORK, FIRST),
        (NEW_YORK, LAST),
    ]
    known = known_of(fetched(mode, Window.of_days(FIRST - ONE_DAY, LAST + ONE_DAY), [KATHMANDU, NEW_YORK]))
    assert mode.changed_since(known, [KATHMANDU, NEW_YORK], days) == []


def test_every_kind_of_address_describes_its_locations(any_archive: tuple[ArchiveMode, Path]) -> None:
    mode, _ = any_archive
    (kathmandu,) = mode.locations([KATHMANDU])
    assert (kathmandu.name, kathmandu.timezone, kathmandu.country_code) == (
        "Synthetic Kathmandu",
        "Asia/Kathmandu",
        "NP",
    )
    assert [sensor.parameter for sensor in kathmandu.sensors] == ["pm25", "pm10", "o3", "no2", "so2", "co"]
    assert kathmandu.datetime_last == datetime(2026, 9, 12, 18, 15, tzinfo=UTC)
    with pytest.raises(UnknownLocation):
        mode.locations([123])


def test_files_that_got_late_rows_are_told_as_changed(tmp_path: Path, raw_store: RawStore) -> None:
    truth = generate(
        tmp_path / "late",
        locations=DEMO_LOCATIONS,
        first_day=FIRST,
        last_day=FIRST + 19 * ONE_DAY,
        seed=2,
        kinds=("late",),
    )
    mode, ids = ArchiveMode(str(tmp_path / "late"), raw_store), [place.id for place in DEMO_LOCATIONS]
    days = [FIRST + n * ONE_DAY for n in range(20)]
    before = fetched(mode, Window.of_days(days[0] - ONE_DAY, days[-1] + ONE_DAY), ids)
    delivered = deliver_late(tmp_path / "late", truth)
    assert delivered
    assert mode.changed_since(known_of(before), ids, days) == delivered
    after = fetched(mode, Window.of_days(days[0] - ONE_DAY, days[-1] + ONE_DAY), ids, known=known_of(before))
    late = sum(len(file.late) for file in truth.files.values())
    assert sum(len(a.rows) for a in after) == sum(len(a.rows) for a in before) + late
    assert mode.changed_since(known_of(after), ids, days) == []


def test_without_a_sidecar_the_newest_readable_file_describes_a_location(archive: ArchiveMode, root: Path) -> None:
    (root / "locations.json").unlink()
    (root / path_of(NEW_YORK, LAST)).write_bytes(b"damaged")
    (found,) = archive.locations([NEW_YORK])
    assert (found.name, found.timezone, found.is_mobile) == ("Synthetic New York-90000002", None, False)
    assert (found.latitude, found.longitude) == (40.7128, -74.006)
    assert found.datetime_last == datetime(2026, 9, 12, 4, tzinfo=UTC)
    assert [(sensor.parameter, sensor.units) for sensor in found.sensors][:3] == [
        ("pm25", "µg/m³"),
        ("pm10", "µg/m³"),
        ("o3", "ppm"),
    ]


@pytest.mark.parametrize("sidecar", ["{}", "[{}]", "not json"])
def test_a_broken_sidecar_is_corrupt(archive: ArchiveMode, root: Path, sidecar: str) -> None:
    (root / "locations.json").write_text(sidecar)
    with pytest.raises(CorruptSource, match=r"locations\.json"):
        archive.locations([NEW_YORK])


def test_an_unknown_zone_in_the_sidecar_is_told(archive: ArchiveMode, root: Path) -> None:
    sidecar = root / "locations.json"
    sidecar.write_text(sidecar.read_text().replace("America/New_York", "America/Nowhere"))
    with pytest.raises(CorruptSource, match="unknown time zone"):
        archive.locations([NEW_YORK])


def test_a_listing_costs_one_request_per_location_and_month(
    s3_endpoint: str, root: Path, raw_store: RawStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix, listed = uuid4().hex, []
    upload(root, s3_endpoint, prefix)
    real = obstore.list
    monkeypatch.setattr(obstore, "list", lambda store, folder: listed.append(folder) or real(store, folder))
    mode = ArchiveMode(f"s3://{BUCKET}/{prefix}", raw_store, endpoint_url=s3_endpoint)
    assert len(mode.changed_since({}, [KATHMANDU, NEW_YORK], [FIRST + n * ONE_DAY for n in range(40)])) == 24
    assert len(listed) == 4


def test_an_address_with_nothing_at_it_is_told_and_not_taken_for_no_data(
    s3_endpoint: str, raw_store: RawStore, tmp_path: Path
) -> None:
    for url in ("s3://no-such-bucket-anywhere", str(tmp_path / "nowhere"), f"memory://{uuid4().hex}"):
        mode = ArchiveMode(url, raw_store, endpoint_url=s3_endpoint, patience=HASTY)
        assert isinstance(failure(mode, Window.of_days(FIRST, FIRST), KATHMANDU), ConfigurationError)
        with pytest.raises(ConfigurationError, match="check the archive's address"):
            mode.changed_since({}, [KATHMANDU], [FIRST])


# --- local days and UTC days ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timezone", "day", "days"),
    [
        ("Asia/Kathmandu", date(2026, 5, 2), [1, 2]),
        ("America/New_York", date(2026, 5, 2), [2, 3]),
        ("Africa/Accra", date(2026, 5, 2), [2]),
        ("Pacific/Kiritimati", date(2026, 5, 2), [1, 2]),
        ("Etc/GMT+12", date(2026, 5, 2), [2, 3]),
        (None, date(2026, 5, 2), [1, 2, 3]),
    ],
)
def test_the_utc_days_of_a_local_day(timezone: str | None, day: date, days: list[int]) -> None:
    assert [touched.day for touched in archive_layout.utc_days_of(day, timezone)] == days


@pytest.mark.parametrize("timezone", ["America/New_York", "Asia/Kathmandu", "America/Santiago", "Australia/Lord_Howe"])
def test_the_utc_days_of_a_local_day_hold_all_its_stamps(timezone: str) -> None:
    for day in (date(2026, 3, 8), date(2026, 4, 5), date(2026, 9, 6), date(2026, 11, 1)):
        begin, end = (datetime(d.year, d.month, d.day, tzinfo=ZoneInfo(timezone)) for d in (day, day + ONE_DAY))
        stamp, touched = begin.astimezone(UTC) + timedelta(minutes=30), set()
        while stamp <= end.astimezone(UTC):
            touched.add((stamp - timedelta(microseconds=1)).date())
            stamp += timedelta(minutes=30)
        assert set(archive_layout.utc_days_of(day, timezone)) == touched


def test_real_excerpts_behind_the_archive_s_layout(shared_data: Path, tmp_path: Path, raw_store: RawStore) -> None:
    for name, location_id, day in (
        ("location-2178-20230222_docs_excerpt_unquoted.csv", 2178, date(2023, 2, 22)),
        ("location-8118-20260415_excerpt_quoted_crlf.csv", 8118, date(2026, 4, 15)),
    ):
        target = tmp_path / "real" / path_of(location_id, day)
        target.parent.mkdir(parents=True)
        target.write_bytes(gzip.compress((shared_data / "openaq/archive_excerpts" / name).read_bytes()))
    mode = ArchiveMode(str(tmp_path / "real"), raw_store)
    (albuquerque,) = fetched(mode, Window.of_days(date(2023, 2, 22), date(2023, 2, 22)), [2178])
    (delhi,) = fetched(mode, Window.of_days(date(2026, 4, 14), date(2026, 4, 14)), [8118])
    assert (len(albuquerque.rows), len(delhi.rows)) == (14, 2)
    assert mode.locations([8118])[0].name == "New Delhi-8118"


def test_the_public_buckets_own_address_needs_no_endpoint() -> None:
    """Opening a store asks nobody; the default address must not fail before the first request."""
    assert archive_store.open_store("s3://openaq-data-archive", endpoint_url=None, timeout_s=1.0)
