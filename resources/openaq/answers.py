"""What an answer of API v3 means: a page, come again, ask for less, or give up.

Belongs here: status codes, headers and bodies, judged without any I/O. Does not belong here: sending, waiting, paging.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from resources.errors import CredentialsRejected, SourceUnavailable, UnexpectedAnswer

LONGEST_WAIT_S = 3600.0
"""A server that asks for more silence than this is asked again after this; the budget's longest window is as long."""
WAIT_UNTOLD_S = 60.0
"""The wait after a 429 that names none: the length of the server's counter."""
EXCERPT = 500


class WindowTooWide(SourceUnavailable):
    """408: the server needs longer than it gives itself; ask for a smaller span of time."""


class SensorUnservable(SourceUnavailable):
    """The server fails on this sensor's page again and again; others may well work."""


class NotFound(UnexpectedAnswer):
    """404: there is no such location, sensor or path."""


class ComeAgain(Exception):
    """The same request may succeed later; `error` is what to raise when it is not tried again."""

    def __init__(
        self, error: SourceUnavailable, *, wait_s: float | None, is_outage: bool, attempts: int | None
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait_s = wait_s
        """What the server asked for; None if it did not say."""
        self.is_outage = is_outage
        """Whether it speaks against the whole API rather than this one page."""
        self.attempts = attempts
        """How often such a request is sent at most; None for the usual number."""


class Throttled(Exception):
    """429: nobody may send for `wait_s` seconds."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"429, {wait_s:.0f} s")
        self.wait_s = wait_s


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back for one request; `url` holds no secret."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    url: str

    def excerpt(self) -> str:
        return self.body[:EXCERPT].decode("utf-8", "replace")


@dataclass(frozen=True, kw_only=True)
class Page(Answer):
    """A good answer; `results` is the list inside `body`."""

    results: list[Any] = field(repr=False)
    found: int | None
    """`meta.found` where it is a number; on a full page it is a text like ">1000"."""


def judge(answer: Answer, *, now: datetime) -> Page:
    """The page in `answer`.

    Raises:
        Throttled: 429.
        ComeAgain: a 5xx or 408 that may pass.
        WindowTooWide: 408 on a sensor's series.
        NotFound, CredentialsRejected, UnexpectedAnswer: asking again changes nothing.
    """
    status = answer.status
    if status == 200:
        return _page(answer)
    what = f"OpenAQ answered {status} to {answer.url}"
    if status in (401, 403):
        raise CredentialsRejected(
            f"{what}: {answer.excerpt()} - check the API key, and with 403 whether the account or address is blocked"
            " (dev@openaq.org lifts it)"
        )
    if status == 404:
        raise NotFound(f"{what}: {answer.excerpt()}")
    if status == 429:
        told = told_wait_s(answer.headers, now=now)
        raise Throttled(WAIT_UNTOLD_S if told is None else told)
    if status == 408:
        if _is_series(answer):
            raise WindowTooWide(f"{what}: {answer.excerpt()}")
        raise _later(answer, SourceUnavailable(f"{what}: {answer.excerpt()}"), now=now, is_outage=True)
    if status == 500 and _is_series(answer):
        # One null among the values makes a whole page a text/plain 500, whoever asks and however often.
        never_helps = not _is_json(answer)
        error = SensorUnservable(f"{what}: {answer.excerpt()}")
        raise _later(answer, error, now=now, is_outage=False, attempts=2 if never_helps else None)
    if status >= 500:
        raise _later(answer, SourceUnavailable(f"{what}: {answer.excerpt()}"), now=now, is_outage=True)
    if 300 <= status < 400:
        raise UnexpectedAnswer(f"{what}, a redirect, which is not followed: check the base URL")
    raise UnexpectedAnswer(f"{what}: {_detail(answer)}")


def told_wait_s(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Seconds the server asks to wait, 0 to `LONGEST_WAIT_S`; None if it does not say.

    Retry-After may be seconds or a date, and a date counts from the server's own clock where it tells that;
    x-ratelimit-reset is seconds to go (a stamp since 1970 is understood as well: the documentation calls it one).
    """
    server_now = _http_date(headers.get("date")) or now
    wait = _seconds(headers.get("retry-after"))
    if wait is None and (until := _http_date(headers.get("retry-after"))):
        wait = (until - server_now).total_seconds()
    if wait is None:
        wait = _seconds(headers.get("x-ratelimit-reset"))
        if wait is not None and wait > 1e9:
            wait -= server_now.timestamp()
    return None if wait is None else min(max(wait, 0.0), LONGEST_WAIT_S)


def _page(answer: Answer) -> Page:
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise _unreadable(answer, f"not JSON ({type(error).__name__})") from error
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, list):
        raise _unreadable(answer, "JSON without a list of results")
    meta = document.get("meta")
    found = meta.get("found") if isinstance(meta, dict) else None
    return Page(
        status=answer.status,
        body=answer.body,
        headers=answer.headers,
        url=answer.url,
        results=results,
        found=found if isinstance(found, int) else None,
    )


def _unreadable(answer: Answer, what: str) -> UnexpectedAnswer:
    kind = answer.headers.get("content-type", "no content type")
    return UnexpectedAnswer(f"OpenAQ answered {answer.url} with {what}, {kind}; it begins: {answer.excerpt()}")


def _later(
    answer: Answer, error: SourceUnavailable, *, now: datetime, is_outage: bool, attempts: int | None = None
) -> ComeAgain:
    # Only Retry-After counts here: x-ratelimit-reset speaks of the budget, not of the outage.
    told = {name: value for name, value in answer.headers.items() if name in ("retry-after", "date")}
    return ComeAgain(error, wait_s=told_wait_s(told, now=now), is_outage=is_outage, attempts=attempts)


def _detail(answer: Answer) -> str:
    """The message of a 4xx: an object with `detail`, or a bare JSON string (both occur with 422)."""
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return answer.excerpt()
    detail = document.get("detail", document) if isinstance(document, dict) else document
    return (detail if isinstance(detail, str) else json.dumps(detail, ensure_ascii=False))[:EXCERPT]


def _is_series(answer: Answer) -> bool:
    return "/sensors/" in answer.url


def _is_json(answer: Answer) -> bool:
    return "json" in answer.headers.get("content-type", "")


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else float(int(text.strip()))
    except (ValueError, OverflowError):
        return None


def _http_date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        stamp = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError):
        return None
    return stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)
