"""A thin HTTP client: one request, within the budget, past what goes wrong in passing.

Belongs here: sending, deadlines, retries, the secret's header. Does not belong here: what an answer means (the
`judge` of a client), paging.
"""

import random
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.cookiejar import DefaultCookiePolicy
from ipaddress import ip_address
from typing import Generic, Protocol, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from resources.circuit.breaker import CircuitBreaker
from resources.errors import (
    ConfigurationError,
    CredentialsRejected,
    SourceUnavailable,
    TidemarkError,
    UnexpectedAnswer,
)
from resources.http.answer import Answer, ComeAgain, Throttled, told_wait_s
from resources.openaq.rate_budget import RateBudget

USER_AGENT = "tidemark"
BLOCK = 64 * 1024


Good = TypeVar("Good", bound=Answer)
Judged = TypeVar("Judged", bound=Answer, covariant=True)


class Judge(Protocol[Judged]):
    """What an answer means, without any I/O."""

    def __call__(self, answer: Answer, *, now: datetime) -> Judged: ...


class Secret(Protocol):
    """What pydantic's SecretStr and its like offer."""

    def get_secret_value(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait for what, in seconds, and how often to ask."""

    connect_s: float = 5.0
    read_s: float = 30.0
    """Between two bytes."""
    answer_s: float = 90.0
    """From sending a request to its answer's last byte."""
    call_s: float = 300.0
    """For all attempts at one page together, without the time spent waiting for the budget."""
    budget_s: float = 900.0
    """For the budget, per page: 429s count here."""
    attempts: int = 5
    backoff_s: float = 1.0
    """Upper bound of the first random wait; it doubles with every attempt."""
    longest_backoff_s: float = 30.0
    largest_body: int = 64 * 1024 * 1024
    """Bytes, decompressed; a page of 1000 measurements has less than 1 MiB."""


class SecretHeader(AuthBase):
    """Puts a secret into a request at the last moment; as requests' `auth` it also keeps ~/.netrc out.

    Raises:
        ConfigurationError: it is empty or has characters no key has; the message says `advice`.
    """

    def __init__(self, name: str, secret: Secret | None, *, prefix: str = "", advice: str = "") -> None:
        key = secret.get_secret_value().strip() if secret else None
        if key is not None and (not key or not key.isascii() or not key.isprintable() or " " in key):
            raise ConfigurationError(advice)
        self._name, self._secret, self._prefix = name, secret, prefix

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._secret:
            request.headers[self._name] = self._prefix + self._secret.get_secret_value().strip()
        return request

    def scrub(self, body: bytes) -> bytes:
        """`body` without the secret, should the server repeat it."""
        return body.replace(self._secret.get_secret_value().strip().encode(), b"***") if self._secret else body


class HttpClient(Generic[Good]):
    """Asks for one answer at a time; used by several threads at once.

    The secret travels in its header only and is in no URL, repr, log line or exception.

    Args:
        base_url: root of the API, without a slash at its end (see `checked_url`).
        label: what messages call the API.
        judge: the good answer in an answer; raises `Throttled`, `ComeAgain` or one of our errors for any other.
        heard: is told how long each answer, or its failure, took, seconds.
    """

    def __init__(
        self,
        base_url: str,
        *,
        label: str,
        auth: SecretHeader,
        judge: Judge[Good],
        budget: RateBudget,
        breaker: CircuitBreaker,
        patience: Patience | None = None,
        heard: Callable[[float], None] = lambda _: None,
        connections: int = 8,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.base_url = base_url
        self.budget = budget
        self._label = label
        self._auth = auth
        self._judge = judge
        self._breaker = breaker
        self._patience = patience or Patience()
        self._heard = heard
        self._clock = clock
        self._sleep = sleep
        self._now = now
        self._rejected: str | None = None
        self._session = _session(connections)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def get(self, path: str, params: Mapping[str, str | int]) -> Good:
        """The answer at `path` (from the base URL on, with a leading slash; or a whole URL, which the caller trusts).

        Raises:
            SourceUnavailable: no good answer in time.
            RateLimited: the budget stays spent longer than one may wait.
            CircuitOpen: the API failed so often that it is not asked; neither budget nor attempts are spent.
            CredentialsRejected: 401 or 403; no further request is sent by this client.
            UnexpectedAnswer: anything the API's contract does not allow.
            DatabaseUnavailable: the shared budget or breaker cannot be reached.
        """
        budget_left_s = self._patience.budget_s
        call_left_s = self._patience.call_s
        failures = throttled = 0
        while True:
            started = self._clock()
            admission = self._breaker.admit()
            try:
                self._refuse_after_rejection()
                self.budget.acquire(deadline_s=budget_left_s)
            except TidemarkError:
                self._breaker.unused(admission)
                raise
            sent = self._clock()
            budget_left_s -= sent - started
            try:
                page = self._judge(self._send(path, params, min(call_left_s, self._patience.answer_s)), now=self._now())
            except Throttled as error:
                self._breaker.succeeded(admission)
                throttled += 1
                # A date in the past means "now", yet whoever was just refused does not storm back.
                self.budget.penalise(max(error.wait_s, self._least_wait(throttled)))
            except ComeAgain as error:
                if error.is_outage:
                    self._breaker.failed(admission, str(error))
                else:
                    self._breaker.succeeded(admission)
                failures += 1
                wait = self._backoff(failures, error.wait_s)
                call_left_s -= self._clock() - sent + wait
                if failures >= (error.attempts or self._patience.attempts) or call_left_s <= 0:
                    raise error.error from error.__cause__
                self._sleep(wait)
            except TidemarkError as error:
                self._breaker.succeeded(admission)
                if isinstance(error, CredentialsRejected):
                    self._rejected = str(error)
                raise
            else:
                self._breaker.succeeded(admission)
                self._heed(page)
                return page

    def _send(self, path: str, params: Mapping[str, str | int], deadline_s: float) -> Answer:
        url = self.base_url + path if path.startswith("/") else path
        request = requests.Request("GET", url, params=dict(params), auth=self._auth)
        prepared = self._session.prepare_request(request)
        url = prepared.url or self.base_url
        due = self._clock() + deadline_s
        # requests' proxies and certificates of the environment; a prepared request does not look for them by itself.
        settings = self._session.merge_environment_settings(url, {}, True, None, None)
        timeout = (min(self._patience.connect_s, deadline_s), min(self._patience.read_s, deadline_s))
        sent = self._clock()
        try:
            with self._session.send(prepared, timeout=timeout, allow_redirects=False, **settings) as response:
                body = self._read(response, due)
        except (requests.RequestException, urllib3.exceptions.HTTPError, zlib.error, OSError) as error:
            unavailable = SourceUnavailable(f"{self._label} cannot be read at {url}: {type(error).__name__}: {error}")
            raise ComeAgain(unavailable, wait_s=None, is_outage=True, attempts=None) from error
        finally:
            self._heard(self._clock() - sent)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(status=response.status_code, body=self._auth.scrub(body), headers=headers, url=url)

    def _read(self, response: requests.Response, due: float) -> bytes:
        """The whole body, decompressed. A read timeout alone would let one byte per second go on for ever."""
        encoded = response.headers.get("content-encoding", "").lower() == "gzip"
        decoder = zlib.decompressobj(wbits=31) if encoded else None
        body = bytearray()
        # A bound one byte above what is allowed shows that there is more.
        while block := response.raw.read1(BLOCK, decode_content=False):
            body += decoder.decompress(block, self._patience.largest_body + 1 - len(body)) if decoder else block
            if len(body) > self._patience.largest_body:
                raise UnexpectedAnswer(
                    f"{self._label} answered {response.url} with more than {self._patience.largest_body} B"
                )
            if self._clock() > due:
                raise TimeoutError(f"the answer was not complete in time, {len(body)} B came")
        if decoder and not decoder.eof:
            raise ConnectionError(f"the compressed answer is cut off after {len(body)} B")
        return bytes(body)

    def _heed(self, page: Answer) -> None:
        """Wait beforehand where the server says that nothing is left, as when the same key is used elsewhere too."""
        if page.headers.get("x-ratelimit-remaining") == "0":
            reset = {name: page.headers[name] for name in ("x-ratelimit-reset", "date") if name in page.headers}
            if wait := told_wait_s(reset, now=self._now()):
                self.budget.penalise(wait)

    def _refuse_after_rejection(self) -> None:
        if self._rejected:
            raise CredentialsRejected(self._rejected)

    def _least_wait(self, times: int) -> float:
        return min(self._patience.backoff_s * 2.0 ** min(times - 1, 10), self._patience.longest_backoff_s)

    def _backoff(self, failures: int, told_s: float | None) -> float:
        # Half of it at random, so that those who failed together do not come back together.
        wait = self._least_wait(failures) * random.uniform(0.5, 1.0)
        return max(wait, told_s or 0.0)


def _session(connections: int) -> requests.Session:
    session = requests.Session()
    session.headers.update({"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": USER_AGENT})
    # Threads share the session: nothing in it changes from here on, so no cookies.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = HTTPAdapter(pool_maxsize=connections, pool_block=True, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def checked_url(url: str, *, label: str, example: str) -> str:
    """The root of an API without a slash at its end; unencrypted only on this machine.

    Raises:
        ConfigurationError: it is no URL, names a user, or would carry the secret unencrypted to another machine.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        raise ConfigurationError(f"{label}'s base URL is like {example}; this is none") from None
    if parts.username or parts.password:
        raise ConfigurationError(f"{label}'s base URL names no user: remove it in front of {host}")
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise ConfigurationError(f"{label}'s base URL is like {example}; {host or 'this'} is not")
    if parts.scheme == "http" and not _is_this_machine(host):
        raise ConfigurationError(f"http://{host} would carry the API key unencrypted: use https")
    return url.rstrip("/")


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
