"""One sensor's series over a window, page by page.

Belongs here: which pages are asked for, narrowing, falling back to hourly means. Does not belong here: HTTP, rows.

Pages are asked for by time, never by depth: a full page is followed by the time after its last row. Rows that arrive
meanwhile shift no page then, and the server's bound on `page` is never met.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from resources.errors import SourceUnavailable, UnexpectedAnswer
from resources.openaq.answers import Page, SensorUnservable, WindowTooWide
from resources.openaq.api_rows import Series, stamps_utc
from resources.openaq.client import OpenAQClient
from schemas.window import Window

PAGE_ROWS = 1000
"""Most rows the API gives in one page."""

WIDEST = timedelta(days=41)
"""Hours of 41 days (984) fit one page that is not full: a year of an hourly sensor is 9 requests."""

NARROWEST = timedelta(hours=1)

MOST_PAGES = 2000
"""Pages one sensor may have in one call: more than a year of measurements every 20 s."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SensorPage:
    """One page of one sensor and the window it was asked for."""

    page: Page
    series: Series
    window: Window


@dataclass(frozen=True, kw_only=True)
class SensorSpan:
    """All pages of one sensor over a span of at most `WIDEST`."""

    pages: tuple[SensorPage, ...]
    note: str | None
    """What is unusual about the span, if anything."""


class SeriesReader:
    """Reads the spans of one sensor and remembers how wide a span the server can take."""

    def __init__(self, client: OpenAQClient, sensor_id: int) -> None:
        self._client = client
        self._sensor_id = sensor_id
        self._width = WIDEST
        self._count = 0

    def spans(self, window: Window) -> Iterator[SensorSpan]:
        """Every page of the sensor's measurements with the period's END in `(window.start, window.end]`.

        Where the server cannot serve the measurements (one null makes it fail), hourly means of the same span are
        taken instead, and a note says so.

        Raises:
            SensorUnservable: neither measurements nor hourly means can be had.
            SourceUnavailable, RateLimited, CircuitOpen, CredentialsRejected, UnexpectedAnswer, DatabaseUnavailable:
                as `OpenAQClient.get`.
        """
        for span in window.split(WIDEST):
            try:
                yield SensorSpan(pages=self._pages("measurements", span), note=None)
            except SensorUnservable as error:
                note = f"sensor {self._sensor_id}, {_with_offset(span.start)} to {_with_offset(span.end)}: hourly means"
                note += " instead of measurements, which OpenAQ fails to serve"
                log.warning("%s: %s", note, error)
                yield SensorSpan(pages=self._pages("hours", span), note=note)

    def _pages(self, series: Series, span: Window) -> tuple[SensorPage, ...]:
        """The pages of `span`: all of them, as half a span of measurements is not to be mixed with hourly means."""
        found: list[SensorPage] = []
        start = span.start
        while start < span.end:
            asked = Window(start, min(start + self._width, span.end))
            try:
                page = self._page(series, asked)
            except WindowTooWide as error:
                self._narrow(asked, error)
                continue
            found.append(SensorPage(page=page, series=series, window=asked))
            start = asked.end if len(page.results) < PAGE_ROWS else _last_stamp(page, asked)
        return tuple(found)

    def _page(self, series: Series, asked: Window) -> Page:
        self._count += 1
        if self._count > MOST_PAGES:
            raise UnexpectedAnswer(f"OpenAQ's pages of sensor {self._sensor_id} do not end: {MOST_PAGES} were read")
        # Without an offset the server would take them for the station's local time.
        params: dict[str, str | int] = {
            "datetime_from": _with_offset(asked.start),
            "datetime_to": _with_offset(asked.end),
            "limit": PAGE_ROWS,
            "page": 1,
        }
        page = self._client.get(f"/sensors/{self._sensor_id}/{series}", params)
        if page.found is not None and len(page.results) < min(page.found, PAGE_ROWS):
            raise UnexpectedAnswer(f"OpenAQ found {page.found} rows and sent {len(page.results)} of them: {page.url}")
        return page

    def _narrow(self, asked: Window, error: WindowTooWide) -> None:
        width = asked.end - asked.start
        if width <= NARROWEST:
            raise SourceUnavailable(f"not even one hour can be had: {error}") from error
        self._width = max(width / 2, NARROWEST)
        log.info("sensor %d: spans of %s from now on: %s", self._sensor_id, self._width, error)


def _last_stamp(page: Page, asked: Window) -> datetime:
    """The stamp after which a full page's successor begins."""
    stamps = stamps_utc(page.results).dropna()
    if stamps.empty or not stamps.is_monotonic_increasing:
        raise UnexpectedAnswer(f"OpenAQ's page {page.url} is not in order of time, so that what follows is unknown")
    last: datetime = stamps.iloc[-1].to_pydatetime()
    if not asked.start < last <= asked.end:
        raise UnexpectedAnswer(
            f"OpenAQ's page {page.url} is full and ends at {last}, outside of what was asked for: the server ignores"
            " the window, or repeats a page"
        )
    return last


def _with_offset(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
