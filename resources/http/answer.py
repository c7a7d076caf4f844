"""What came back for one request, and what of it holds for every HTTP API.

Belongs here: the answer, "come again" and "too many requests", how long a server asks to wait. Does not belong here:
what the body of a particular API means, sending (`client.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from resources.errors import SourceUnavailable

LONGEST_WAIT_S = 3600.0
"""A server that asks for more silence than this is asked again after this; the budget's longest window is as long."""
WAIT_UNTOLD_S = 60.0
"""The wait after a 429 that names none: the length of the server's counter."""
EXCERPT = 500


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


def later(
    answer: Answer, error: SourceUnavailable, *, now: datetime, is_outage: bool, attempts: int | None = None
) -> ComeAgain:
    # Only Retry-After counts here: x-ratelimit-reset speaks of the budget, not of the outage.
    told = {name: value for name, value in answer.headers.items() if name in ("retry-after", "date")}
    return ComeAgain(error, wait_s=told_wait_s(told, now=now), is_outage=is_outage, attempts=attempts)


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
