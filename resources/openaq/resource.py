"""OpenAQ as assets and sensors use it: two modes, one kind of row.

Belongs here: configuration, and the questions both modes answer. Does not belong here: HTTP (`client.py`), files
(`archive.py`), what is done with the rows.
"""

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any

import dagster as dg
from pydantic import Field, SecretStr

from resources.catalog.api_answers import AnswerTimes
from resources.circuit.breaker import DEFAULT_POLICY, CircuitBreaker, CircuitPolicy
from resources.circuit.shared import SharedCircuitStore
from resources.errors import (
    CircuitOpen,
    ConfigurationError,
    CredentialsRejected,
    RateLimited,
    SourceUnavailable,
    TerminalError,
    TidemarkError,
)
from resources.openaq.api import AT_ONCE, ApiMode
from resources.openaq.archive import ArchiveMode, Known
from resources.openaq.archive_layout import utc_days_of
from resources.openaq.client import OpenAQClient
from resources.openaq.fetched import Fetched, FetchFailed
from resources.openaq.location import Location
from resources.openaq.rate_budget import Rate
from resources.openaq.rate_budget_shared import SharedRateBudget
from resources.openaq.raw_store import RawStore
from resources.timescale.resource import TimescaleResource, engine_of
from schemas.window import ONE_DAY, Window

ARCHIVE_DELAY = timedelta(days=5)
"""The archive writes a day's file three days after the day ends, and is seen to take one or two more."""

log = logging.getLogger(__name__)


class OpenAQResource(dg.ConfigurableResource):
    """OpenAQ through its public archive (`mode="archive"`, no key needed) or through API v3 (`mode="api"`).

    Both give the same rows for the same day. Request budget and circuit breakers are shared by all processes through
    the database. Dagster makes one for each run and each tick of a sensor, so what it caches is no older than that.
    """

    timescale: dg.ResourceDependency[TimescaleResource]
    mode: str = Field("archive", pattern="^(archive|api)$", description="archive or api")
    listed_locations: list[int] = Field([], description="OpenAQ location ids")
    country: str = Field("", description="ISO code: all its locations instead (api only)")
    bbox: list[float] = Field([], description="west, south, east, north: all locations inside instead (api only)")
    archive_url: str = Field("s3://openaq-data-archive", description="bucket, folder or URL with the archive's layout")
    api_url: str = Field("https://api.openaq.org/v3", description="root of API v3")
    api_key: str = Field("", description="key of API v3; needed in mode api")
    raw_url: str = Field(description="folder or URL that keeps raw pages and files")
    per_minute: int = Field(60, description="requests to the API per minute, all processes together")
    per_hour: int = Field(2000, description="requests to the API per hour, all processes together")
    circuit_failures: int = Field(DEFAULT_POLICY.fail_max, description="failures in a row after which it is left alone")
    circuit_reset_s: float = Field(DEFAULT_POLICY.reset_s, description="seconds until it is tried again")

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """The run is over."""
        self.close()

    def close(self) -> None:
        """Close all connections; whoever made the resource without Dagster calls it."""
        if api := self.__dict__.pop("_api", None):
            api.close()

    def location_ids(self) -> tuple[int, ...]:
        """The configured locations; a country or box is asked for once per run.

        Raises:
            ConfigurationError: none is configured, or a query in archive mode.
        """
        if self.country or self.bbox:
            return self._queried_ids
        if not self.listed_locations:
            raise ConfigurationError("no OpenAQ location is configured: set TIDEMARK_OPENAQ_LOCATIONS")
        return tuple(dict.fromkeys(self.listed_locations))

    def locations(self, ids: Iterable[int]) -> list[Location]:
        """What is told of the locations; one that cannot be described is left out, with a warning."""
        found = []
        for number in ids:
            try:
                found += self._mode.locations([number])
            except CredentialsRejected:
                raise
            except TidemarkError as error:
                log.warning("location %s cannot be described: %s", number, error)
        return found

    def probe(self, location_id: int) -> Location:
        """One location, as the source describes it now: whether it answers at all.

        Raises:
            SourceUnavailable, CredentialsRejected, UnknownLocation, ConfigurationError: it does not.
        """
        return self._mode.locations([location_id])[0]

    def try_again(self) -> None:
        """Asks a source that was left alone, once it is time, whether it is back: one small question, so that the many
        that follow need not all wait for it. Nothing is asked of one that is well.

        Raises:
            CircuitOpen: it is left alone.
            SourceUnavailable, RateLimited, DatabaseUnavailable: it is not back, or nobody can tell.
        """
        if self._breaker is None or self._breaker.is_closed():
            return
        if told := self._breaker.left_alone():
            raise CircuitOpen(told)
        with contextlib.suppress(TerminalError):  # an answer
            self._mode.locations(self.location_ids()[:1])

    def fetch(self, window: Window, ids: Sequence[int], known: Known) -> Iterator[Fetched | FetchFailed]:
        """Each location's rows in `(window.start, window.end]`; a location that fails is a `FetchFailed`, a sensor that
        fails is named in its location's `Fetched`.

        Raises:
            CredentialsRejected, ConfigurationError, DatabaseUnavailable: they concern every location.
        """
        with contextlib.suppress(SourceUnavailable, RateLimited, CircuitOpen):  # each location's failure tells of it
            self.try_again()
        if self.mode == "api":
            return self._api.fetch(window, ids)
        return self._archive.fetch(window, ids, known=known)

    def days_with_news(
        self, ids: Sequence[int], known: Known, watermarks: Mapping[int, datetime], *, today: date, look_back: timedelta
    ) -> set[date]:
        """UTC days on which the source has something we have not: newer stamps (API), new or changed files (archive).

        Nothing is known of a location without a watermark but its last `look_back`; older days are a backfill's matter.

        Raises:
            SourceUnavailable, CredentialsRejected, RateLimited, CircuitOpen: the source does not answer.
        """
        if self.mode == "api":
            return self._api_news(ids, watermarks, today, look_back)
        oldest = min((watermarks[number].date() for number in ids if number in watermarks), default=today)
        first = min(oldest, today - look_back - ARCHIVE_DELAY)
        changed = self._archive.changed_since(known, ids, Window.of_days(first, today + ONE_DAY).days())
        return {day for _, local_day in changed for day in utc_days_of(local_day) if day <= today}

    def known_files(self, sources: Mapping[str, Any]) -> Known:
        """The catalog's sources as the archive wants them: address -> (ETag, path in the raw store)."""
        return {uri: (source.etag, source.raw_path) for uri, source in sources.items()}

    def calls_for(self, window: Window, sensors: int) -> int:
        """Requests a fetch will take: none in archive mode."""
        return self._api.calls_for(window, sensors) if self.mode == "api" else 0

    def calls_left(self) -> int | None:
        """Requests the hour still allows; None where nothing limits them."""
        if self.mode != "api":
            return None
        return min(self._budget.remaining().values())

    def _api_news(
        self, ids: Sequence[int], watermarks: Mapping[int, datetime], today: date, look_back: timedelta
    ) -> set[date]:
        days: set[date] = set()
        for number, newest in self._api.latest(ids).items():
            if newest is None:
                continue
            since = watermarks.get(number, datetime.combine(today - look_back, datetime.min.time(), UTC))
            if newest > since:
                # A stamp of midnight still belongs to the day before it.
                days.update(Window(since, newest).days())
        return {day for day in days if day <= today}

    @property
    def _mode(self) -> ApiMode | ArchiveMode:
        return self._api if self.mode == "api" else self._archive

    @cached_property
    def _queried_ids(self) -> tuple[int, ...]:
        if self.mode != "api":
            raise ConfigurationError(
                "the archive cannot be searched by country or box: list TIDEMARK_OPENAQ_LOCATIONS, or set "
                "TIDEMARK_OPENAQ_MODE=api"
            )
        box = (self.bbox[0], self.bbox[1], self.bbox[2], self.bbox[3]) if self.bbox else None
        found = self._api.find_locations(iso=self.country or None, bbox=box)
        return tuple(location.id for location in found)

    @cached_property
    def _archive(self) -> ArchiveMode:
        return ArchiveMode(self.archive_url, RawStore(self.raw_url), breaker=self._breaker)

    @cached_property
    def _api_breaker(self) -> CircuitBreaker:
        policy = CircuitPolicy(fail_max=self.circuit_failures * AT_ONCE, reset_s=self.circuit_reset_s)
        return CircuitBreaker("openaq", policy, self._circuits)

    @cached_property
    def _breaker(self) -> CircuitBreaker | None:
        """The breaker of the mode's dependency; a folder is none."""
        if self.mode == "api":
            return self._api_breaker
        if "://" not in self.archive_url or self.archive_url.startswith("file://"):
            return None
        policy = CircuitPolicy(fail_max=self.circuit_failures, reset_s=self.circuit_reset_s)
        return CircuitBreaker("openaq/archive", policy, self._circuits)

    @cached_property
    def _circuits(self) -> SharedCircuitStore:
        return SharedCircuitStore(engine_of(self.timescale.url()))

    @cached_property
    def _api(self) -> ApiMode:
        if not self.api_key:
            raise ConfigurationError("mode api needs a key: set OPENAQ_API_KEY, or TIDEMARK_OPENAQ_MODE=archive")
        client = OpenAQClient(
            self.api_url,
            SecretStr(self.api_key),
            budget=self._budget,
            breaker=self._api_breaker,
            heard=AnswerTimes(engine_of(self.timescale.url()), "openaq"),
        )
        return ApiMode(client, RawStore(self.raw_url), self._circuits)

    @cached_property
    def _budget(self) -> SharedRateBudget:
        rates = (Rate(self.per_minute, 60.0), Rate(self.per_hour, 3600.0))
        return SharedRateBudget(engine_of(self.timescale.url()), rates)
