"""OpenAQ through its API v3: locations, and measurements of many locations at once.

Belongs here: what the assets and the sensor ask of the API, and how a failure stays with its location. Does not belong
here: requests (`client.py`), paging (`series.py`), rows (`api_rows.py`), the archive.
"""

import hashlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Protocol
from urllib.parse import urlsplit

from resources.circuit.breaker import CircuitBreaker, CircuitPolicy, CircuitStore
from resources.errors import (
    ConfigurationError,
    CredentialsRejected,
    DatabaseUnavailable,
    SourceUnavailable,
    TidemarkError,
    UnexpectedAnswer,
    UnknownLocation,
)
from resources.openaq.answers import NotFound, Page
from resources.openaq.api_location import Gathered, SensorLeftAlone, asked, together
from resources.openaq.api_rows import rows_of_page
from resources.openaq.client import OpenAQClient
from resources.openaq.fetched import Fetched, FetchFailed, Source
from resources.openaq.location import Location, Sensor
from resources.openaq.series import PAGE_ROWS, WIDEST, SeriesReader
from schemas.window import Window

AT_ONCE = 2
"""Several threads ask the API at once, and one hiccup fails them all: twice as many failures in a row open it."""
"""For the API as a whole."""

SENSOR_POLICY = CircuitPolicy(fail_max=3, reset_s=6 * 3600.0)
"""For one sensor: those that fail do so for days."""

MOST_LOCATION_PAGES = 100

EVERYONES_ERRORS = (CredentialsRejected, ConfigurationError, DatabaseUnavailable)
"""What concerns no single location: it ends the whole fetch."""

SENSORS_OWN_ERRORS = (SensorLeftAlone, SourceUnavailable, UnexpectedAnswer)
"""What may concern a single sensor: the others of its location are asked all the same."""

log = logging.getLogger(__name__)


class PageStore(Protocol):
    """Keeps raw pages."""

    def put(self, data: bytes, *, suffix: str) -> str:
        """Keep `data`; the path it is found under."""
        ...


class ApiMode:
    """OpenAQ's API v3, for several threads and processes within one budget.

    What it was told of a location it keeps: one instance serves one run, or one tick of a sensor.
    """

    def __init__(
        self,
        client: OpenAQClient,
        pages: PageStore,
        circuits: CircuitStore,
        *,
        workers: int = 4,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._pages = pages
        self._circuits = circuits
        self._workers = workers
        self._now = now
        self._known: dict[int, Location] = {}

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def locations(self, ids: Iterable[int]) -> list[Location]:
        """The locations with these ids, in their order; one request for each not yet known.

        Raises:
            UnknownLocation: OpenAQ does not know one of them.
            And whatever `OpenAQClient.get` raises.
        """
        return [self._known.get(location_id) or self._ask(location_id) for location_id in ids]

    def find_locations(
        self, *, iso: str | None = None, bbox: tuple[float, float, float, float] | None = None
    ) -> list[Location]:
        """All locations of a country (`iso`, two letters) and/or a box (west, south, east, north; degrees), by id.

        Raises:
            ConfigurationError: neither is given; that would be every location there is.
            UnexpectedAnswer: the pages do not end or repeat.
            And whatever `OpenAQClient.get` raises.
        """
        if iso is None and bbox is None:
            raise ConfigurationError("name a country or a box: all of OpenAQ's locations at once are not asked for")
        query: dict[str, str | int] = {"limit": PAGE_ROWS, "order_by": "id", "sort_order": "asc"}
        if iso is not None:
            query["iso"] = iso
        if bbox is not None:
            query["bbox"] = ",".join(f"{degrees:.4f}" for degrees in bbox)
        found: dict[int, Location] = {}
        for number in range(1, MOST_LOCATION_PAGES + 1):
            page = self._client.get("/locations", {**query, "page": number})
            new = {location.id: location for location in map(Location.from_json, page.results)}
            if new and new.keys() <= found.keys():
                raise UnexpectedAnswer(f"OpenAQ repeats a page of locations: {page.url}")
            found |= new
            if len(page.results) < PAGE_ROWS:
                return [found[location_id] for location_id in sorted(found)]
        raise UnexpectedAnswer(f"OpenAQ's pages of locations do not end: {MOST_LOCATION_PAGES} were read")

    def latest(self, ids: Iterable[int]) -> dict[int, datetime | None]:
        """When each location's last measurement was (END of its period, UTC); None if it never had one.

        A location OpenAQ does not know is left out, with a warning: one gone location must not blind the sensor.
        The API caches its answers: this may be 15 minutes old.
        """
        found = {}
        for location_id in ids:
            try:
                found[location_id] = self._ask(location_id).datetime_last
            except UnknownLocation as error:
                log.warning("%s", error)
        return found

    def calls_for(self, window: Window, n_sensors: int) -> int:
        """Requests that `n_sensors` hourly sensors over `window` will take, beside one per location."""
        return -((window.start - window.end) // WIDEST) * n_sensors

    def fetch(self, window: Window, location_ids: Iterable[int]) -> Iterator[Fetched | FetchFailed]:
        """Each location's measurements in `(window.start, window.end]`, several at once, as they are complete.

        A sensor that cannot be had is named in its location's `Fetched.failed_sensors`; a location that cannot be had,
        or none of whose sensors can, comes back as `FetchFailed`. The others are not affected.

        Raises:
            CredentialsRejected, DatabaseUnavailable: they concern everyone.
        """
        ids = iter(dict.fromkeys(location_ids))
        given_up = threading.Event()
        with ThreadPoolExecutor(self._workers, thread_name_prefix="openaq") as pool:
            # No more than the workers are under way, so that what is complete but not yet taken stays small.
            running = {pool.submit(self._fetch, window, id_, given_up) for id_ in islice(ids, self._workers)}
            try:
                while running:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    running |= {pool.submit(self._fetch, window, id_, given_up) for id_ in islice(ids, len(done))}
                    yield from _results(done)
            finally:
                given_up.set()
                for future in running:
                    future.cancel()

    def _fetch(self, window: Window, location_id: int, given_up: threading.Event) -> Fetched | FetchFailed:
        try:
            location = self._known.get(location_id) or self._ask(location_id)
            return self._fetch_location(window, location, given_up)
        except EVERYONES_ERRORS:
            raise
        except TidemarkError as error:
            return FetchFailed(location_id=location_id, window=window, error=error)

    def _fetch_location(self, window: Window, location: Location, given_up: threading.Event) -> Fetched:
        """The location's sensors, each whole; one that cannot be had is left out and named.

        Raises:
            SourceUnavailable, UnexpectedAnswer, CircuitOpen: not one of its sensors can be had.
            RateLimited, CircuitOpen, CredentialsRejected, DatabaseUnavailable: nobody can be asked any more.
        """
        gathered = Gathered()
        failed: dict[int, TidemarkError] = {}
        for sensor in location.sensors:
            if given_up.is_set():
                raise SourceUnavailable(f"location {location.id} was given up half way")
            try:
                gathered.merge(self._fetch_sensor(window, location, sensor))
            except SENSORS_OWN_ERRORS as error:
                failed[sensor.id] = error
        if failed and len(failed) == len(location.sensors):
            raise together(location, failed)
        return gathered.fetched(location, window, failed)

    def _fetch_sensor(self, window: Window, location: Location, sensor: Sensor) -> Gathered:
        gathered = Gathered()
        with asked(sensor, CircuitBreaker(f"openaq/sensor/{sensor.id}", SENSOR_POLICY, self._circuits)):
            for span in SeriesReader(self._client, sensor.id).spans(window):
                gathered.note(span.note)
                for part in span.pages:
                    source = self._keep(part.page, location)
                    gathered.add(
                        source,
                        len(part.page.results),
                        rows_of_page(
                            part.page.results,
                            series=part.series,
                            location=location,
                            sensor=sensor,
                            source_id=source.source_id,
                            window=part.window,
                        ),
                    )
        return gathered

    def _keep(self, page: Page, location: Location) -> Source:
        address = urlsplit(page.url)
        modified = page.headers.get("last-modified")
        return Source(
            uri=f"{address.path}?{address.query}",
            kind="api",
            location_id=location.id,
            sha256=hashlib.sha256(page.body).hexdigest(),
            size=len(page.body),
            etag=page.headers.get("etag"),
            modified_at=parsedate_to_datetime(modified) if modified else None,
            fetched_at=self._now(),
            raw_path=self._pages.put(page.body, suffix=".json"),
        )

    def _ask(self, location_id: int) -> Location:
        try:
            page = self._client.get(f"/locations/{location_id}", {})
        except NotFound as error:
            raise UnknownLocation(
                f"OpenAQ knows no location {location_id}: remove it from the configuration"
            ) from error
        if len(page.results) != 1:
            raise UnexpectedAnswer(f"OpenAQ gave {len(page.results)} locations for the one asked for: {page.url}")
        location = Location.from_json(page.results[0])
        self._known[location_id] = location
        return location


def _results(done: Iterable[Future[Fetched | FetchFailed]]) -> Iterator[Fetched | FetchFailed]:
    for future in done:
        yield future.result()
