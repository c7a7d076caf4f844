"""The OpenAQ archive as a source: one location over one UTC window, whole, or the reason why not.

Belongs here: which files a window needs, reading them side by side, accounting for every row read. Does not belong
here: layout (`archive_layout.py`), parsing (`archive_file.py`), bytes (`archive_store.py`), metadata
(`archive_locations.py`).
"""

import hashlib
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Protocol, TypeVar

import pyarrow.compute as pc
import stamina

from resources.circuit.breaker import CircuitBreaker
from resources.circuit.guard import asked
from resources.errors import CorruptSource, SourceUnavailable, TidemarkError, UnknownLocation
from resources.openaq import archive_layout, archive_locations
from resources.openaq.archive_file import LARGEST_FILE, Parsed, parse, to_frame
from resources.openaq.archive_store import ArchiveStore, Blob, NotModified, Stamp, open_store
from resources.openaq.fetched import Fetched, FetchFailed, Reject, Source
from resources.openaq.location import Location
from resources.openaq.raw_store import RawStore
from schemas.window import Window, day_of

Known = Mapping[str, tuple[str | None, str]]
"""Files fetched before: address -> (ETag, path in the raw store)."""

LOCATIONS_AHEAD = 2
"""Locations that are read while the caller works on one; bounds memory to so many windows more."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to try: `attempts` per file, waiting exponentially with jitter in between."""

    attempts: int = 4
    first_wait_s: float = 0.5
    longest_wait_s: float = 10.0
    request_timeout_s: float = 30.0


class _Patiently(Protocol):
    def __call__(self, attempt: Callable[[], T], /) -> T: ...


@dataclass(frozen=True)
class _File:
    source: Source
    parsed: Parsed


class ArchiveMode:
    """Reads OpenAQ's archive, or anything with its layout, at `url`: `s3://bucket[/prefix]` without credentials,
    `http(s)://`, a folder, any other fsspec URL. Holds no connection until asked; safe for threads."""

    def __init__(
        self,
        url: str,
        raw_store: RawStore,
        max_workers: int = 8,
        *,
        endpoint_url: str | None = None,
        patience: Patience | None = None,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self._url = url
        self._raw_store = raw_store
        self._max_workers = max_workers
        self._endpoint_url = endpoint_url
        self._patience = patience or Patience()
        self._breaker = breaker

    def fetch(
        self, window: Window, location_ids: Iterable[int], *, known: Known | None = None
    ) -> Iterator[Fetched | FetchFailed]:
        """Each location over `window` (closed right; whole UTC days, about a month at most), in the order asked for.

        Lazy: a location's rows are let go when the next is asked for. A file with the ETag of `known` is taken from
        the raw store. Rows of a file outside the window are counted in `filtered`, bad lines of another day likewise,
        so that a line is accounted for by exactly one of several abutting windows. A day without a file is `missing`.

        Never raises for a location's sake; a `FetchFailed` carries
            CorruptSource: a file is damaged; UnknownLocation: the archive has no folder for the id;
            SourceUnavailable: still unreachable after `Patience.attempts`; CredentialsRejected: access denied;
            ConfigurationError: no such bucket or folder.

        Raises:
            ConfigurationError: the archive's address is no address.
        """
        fetch_one = _Fetch(self._store, self._raw_store, self._patiently, window, known or {})
        files = ThreadPoolExecutor(self._max_workers, thread_name_prefix="archive-file")
        locations = ThreadPoolExecutor(LOCATIONS_AHEAD, thread_name_prefix="archive-location")
        waiting = iter(dict.fromkeys(location_ids))
        running: deque[Future[Fetched | FetchFailed]] = deque()
        try:
            while True:
                while len(running) <= LOCATIONS_AHEAD and (location_id := next(waiting, None)) is not None:
                    running.append(locations.submit(fetch_one, location_id, files))
                if not running:
                    return
                yield running.popleft().result()
        finally:
            for pool in (locations, files):
                pool.shutdown(wait=False, cancel_futures=True)

    def changed_since(
        self, known: Known, location_ids: Iterable[int], local_days: Iterable[date]
    ) -> list[tuple[int, date]]:
        """Which of the files asked about exist and are new or have another ETag than in `known`, sorted.

        One listing per location and month (on a plain web server, which lists nothing, one small request per file).

        Raises:
            SourceUnavailable, CredentialsRejected, ConfigurationError: as for `fetch`, but for the whole question.
        """
        months: dict[tuple[int, int], list[date]] = defaultdict(list)
        for day in sorted(set(local_days)):
            months[day.year, day.month].append(day)
        asked = [(location_id, *month, days) for location_id in set(location_ids) for month, days in months.items()]

        def changed(question: tuple[int, int, int, list[date]]) -> list[tuple[int, date]]:
            location_id, year, month, days = question
            folder = archive_layout.month_folder(location_id, year, month)
            names = {archive_layout.file_name(location_id, day): day for day in days}
            stamps = self._patiently(lambda: self._store.stamps(folder, names))
            return [
                (location_id, names[name])
                for name, stamp in stamps.items()
                if known.get(self._store.uri(f"{folder}/{name}"), (None, ""))[0] != stamp.etag
            ]

        with ThreadPoolExecutor(self._max_workers, thread_name_prefix="archive-list") as pool:
            return sorted(found for answer in pool.map(changed, asked) for found in answer)

    def locations(self, location_ids: Iterable[int]) -> list[Location]:
        """What the archive tells of the locations: from `locations.json` in its root where there is one, else from the
        newest readable file (no time zone, no licence, no country there).

        Raises:
            UnknownLocation: the archive holds nothing of one of them.
            SourceUnavailable, CredentialsRejected, CorruptSource: as for `fetch`.
        """
        wanted = list(dict.fromkeys(location_ids))
        declared = self._patiently(lambda: archive_locations.declared(self._store))

        def described(location_id: int) -> Location:
            return declared.get(location_id) or self._patiently(
                lambda: archive_locations.from_newest_file(self._store, location_id)
            )

        with ThreadPoolExecutor(self._max_workers, thread_name_prefix="archive-location") as pool:
            return list(pool.map(described, wanted))

    @cached_property
    def _store(self) -> ArchiveStore:
        return open_store(self._url, endpoint_url=self._endpoint_url, timeout_s=self._patience.request_timeout_s)

    def _patiently(self, attempt: Callable[[], T]) -> T:
        """The result of `attempt`, tried again while the source is unavailable and not left alone (`CircuitOpen`)."""
        caller = stamina.RetryingCaller(
            attempts=self._patience.attempts,
            timeout=None,
            wait_initial=self._patience.first_wait_s,
            wait_max=self._patience.longest_wait_s,
            wait_jitter=self._patience.first_wait_s,
        )
        return caller(SourceUnavailable, self._asked, attempt)

    def _asked(self, attempt: Callable[[], T]) -> T:
        with asked(self._breaker) if self._breaker else nullcontext():
            return attempt()


@dataclass(frozen=True)
class _Fetch:
    """One window's worth of reading, for any location."""

    store: ArchiveStore
    raw_store: RawStore
    patiently: _Patiently
    window: Window
    known: Known

    def __call__(self, location_id: int, pool: ThreadPoolExecutor) -> Fetched | FetchFailed:
        try:
            return self._location(location_id, pool)
        except TidemarkError as error:
            return FetchFailed(location_id=location_id, window=self.window, error=error)

    def _location(self, location_id: int, pool: ThreadPoolExecutor) -> Fetched:
        found: dict[date, _File | None] = {}
        wanted = self.window.days()
        while wanted:
            found |= self._files(location_id, wanted, pool)
            needed = archive_layout.local_days(self.window, _offsets(found.values()))
            wanted = [day for day in needed if day not in found]
        files = [file for _, file in sorted(found.items()) if file is not None]
        folder = archive_layout.location_folder(location_id)
        if not files and self.patiently(lambda: self.store.folders(folder)) == []:
            raise UnknownLocation(f"the archive has nothing of location {location_id}: check the id")
        absent = sorted(day for day, file in found.items() if file is None)
        return self._account(location_id, files, missing=[self._uri(location_id, day) for day in absent])

    def _files(self, location_id: int, days: Sequence[date], pool: ThreadPoolExecutor) -> dict[date, _File | None]:
        futures = {day: pool.submit(self._file, location_id, day) for day in days}
        try:
            return {day: future.result() for day, future in futures.items()}
        finally:
            for future in futures.values():
                future.cancel()

    def _file(self, location_id: int, local_day: date) -> _File | None:
        uri = self._uri(location_id, local_day)
        blob = self._bytes(archive_layout.file_path(location_id, local_day), uri)
        if blob is None:
            return None
        source = Source(
            uri=uri,
            kind="archive",
            location_id=location_id,
            sha256=hashlib.sha256(blob.data).hexdigest(),
            size=len(blob.data),
            etag=blob.stamp.etag,
            modified_at=blob.stamp.modified_at,
            fetched_at=datetime.now(UTC),
            raw_path=self.raw_store.put(blob.data, suffix=".csv.gz"),
            local_day=local_day,
        )
        try:
            parsed = parse(blob.data, source_id=source.source_id, location_id=location_id, local_day=local_day)
        except CorruptSource as error:
            raise CorruptSource(f"{uri}: {error}") from error
        return _File(source, parsed)

    def _bytes(self, path: str, uri: str) -> Blob | None:
        """The file's bytes, from the raw store if they are there and still what the archive has."""
        etag, raw_path = self.known.get(uri, (None, ""))
        kept = self._kept(raw_path) if etag else None
        answer = self.patiently(lambda: self.store.read(path, unless=etag if kept else None, limit=LARGEST_FILE))
        if isinstance(answer, NotModified):
            return Blob(kept or b"", Stamp(etag or "", None))
        return answer

    def _kept(self, raw_path: str) -> bytes | None:
        try:
            return self.raw_store.get(raw_path)
        except CorruptSource:
            return None

    def _account(self, location_id: int, files: Sequence[_File], *, missing: Sequence[str]) -> Fetched:
        """Rows of the window; everything else that was read is counted."""
        days = self.window.days()
        tables = [file.parsed.table for file in files]
        inside, outside = [], Counter[date]()
        for table in tables:
            stamps = table["datetime_utc"]
            is_inside = pc.and_(pc.greater(stamps, self.window.start), pc.less_equal(stamps, self.window.end))
            inside.append(table.filter(is_inside))
            strays = day_of(stamps.filter(pc.invert(is_inside)).to_pandas(), "right").dt.date
            outside.update(_nearest(day, days) for day in strays)
        rejects = [reject for file in files for reject in file.parsed.rejects]
        outside.update(_nearest(reject.day, days) for reject in rejects if not _is_in(reject, days))
        return Fetched(
            location_id=location_id,
            window=self.window,
            rows=to_frame(inside),
            rejects=tuple(reject for reject in rejects if _is_in(reject, days)),
            records=sum(file.parsed.rows_read for file in files),
            filtered=dict(sorted(outside.items())),
            sources=tuple(file.source for file in files),
            missing=tuple(missing),
        )

    def _uri(self, location_id: int, local_day: date) -> str:
        return self.store.uri(archive_layout.file_path(location_id, local_day))


def _offsets(files: Iterable[_File | None]) -> tuple[timedelta, timedelta] | None:
    """Smallest and largest offset of the rows read so far."""
    seen = [file.parsed.offsets for file in files if file is not None and file.parsed.offsets is not None]
    return (min(low for low, _ in seen), max(high for _, high in seen)) if seen else None


def _nearest(day: date, days: Sequence[date]) -> date:
    return min(max(day, days[0]), days[-1])


def _is_in(reject: Reject, days: Sequence[date]) -> bool:
    return days[0] <= reject.day <= days[-1]
