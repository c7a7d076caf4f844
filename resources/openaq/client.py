"""The client of OpenAQ's API v3.

Belongs here: which header carries the key, and who judges answers. Does not belong here: sending and retries
(`resources/http/client.py`), what an answer means (`answers.py`), which pages make a series (`series.py`).

The official SDK is not used: it drops flags and licences, sends timed out requests twice and does not handle 429.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from resources.circuit.breaker import CircuitBreaker
from resources.http.client import HttpClient, Patience, Secret, SecretHeader, checked_url
from resources.openaq.answers import Page, judge
from resources.openaq.rate_budget import RateBudget

OPENAQ_URL = "https://api.openaq.org/v3"
BAD_KEY = "the OpenAQ API key is empty or has characters no key has: set it (.env.example)"


class OpenAQClient(HttpClient[Page]):
    """Asks API v3 for one page at a time; used by several threads at once.

    `get` raises as `HttpClient.get` does; `SensorUnservable` and `WindowTooWide` are kinds of `SourceUnavailable`,
    `NotFound` (404) is one of `UnexpectedAnswer`.

    Raises:
        ConfigurationError: no usable key, or a base URL that is none, names a user, or would carry the key unencrypted
            to another machine.
    """

    def __init__(
        self,
        base_url: str,
        api_key: Secret,
        *,
        budget: RateBudget,
        breaker: CircuitBreaker,
        patience: Patience | None = None,
        heard: Callable[[float], None] = lambda _: None,
        connections: int = 8,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(
            checked_url(base_url, label="OpenAQ", example=OPENAQ_URL),
            label="OpenAQ",
            auth=SecretHeader("X-API-Key", api_key, advice=BAD_KEY),
            judge=judge,
            budget=budget,
            breaker=breaker,
            patience=patience,
            heard=heard,
            connections=connections,
            clock=clock,
            sleep=sleep,
            now=now,
        )
