"""JSON APIs as sources.

Belongs here: what an answer means, its records as rows, and pages that cannot be right. Does not belong here: sending,
budgets and retries (`resources/http/client.py`), which page comes next (`rest_pages.py`).

Redirects are not followed. An API has no snapshot: a page or offset that shifts while it is read is noticed where it
can be (one record of each offset is asked for twice, the first page again at the end), and the read ends as one that
may be tried again; rows that come twice are duplicates.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from resources.circuit.breaker import DEFAULT_POLICY, CircuitBreaker, CircuitPolicy, CircuitStore
from resources.errors import (
    ConfigurationError,
    CredentialsRejected,
    SourceChanging,
    SourceUnavailable,
    UnexpectedAnswer,
)
from resources.http.answer import WAIT_UNTOLD_S, Answer, Throttled, later, told_wait_s
from resources.http.client import HttpClient, Patience, Secret, SecretHeader, checked_url
from resources.openaq.rate_budget import RateBudget
from resources.sources.rest_pages import Ask, at_path, declared, first, following
from resources.sources.source import Extract, FoundColumn, PutAside, Source, SourceBatch, frame_of

MOST_PAGES = 100_000
DEEPEST = 100
"""How many objects and lists may lie inside each other."""
JSON_TYPES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", Decimal: "number"}


_WIDER = {("integer", "number"): "number"}


class NoSuchPage(UnexpectedAnswer):
    """404: no such endpoint, or no page behind the last."""


@dataclass(frozen=True, kw_only=True)
class JsonAnswer(Answer):
    """A good answer, parsed; numbers with a fraction are exact decimals."""

    document: Any = field(repr=False)


class RestSource(Source):
    """An API at `https://…`; `http://` on this machine only.

    Each request counts against `budget`. Asking is stopped for a while after several failures in a row (`circuits`).
    """

    opening_attempts = 1
    """The client has its own patience."""

    def __init__(
        self,
        url: str,
        *,
        setting: str = "the source's URL",
        name: str = "the API",
        token: Secret | None = None,
        token_header: str = "Authorization",
        budget: RateBudget,
        circuits: CircuitStore,
        policy: CircuitPolicy = DEFAULT_POLICY,
        patience: Patience | None = None,
        heard: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.address = checked_url(url, label=setting, example="https://api.example.org/v1")
        _refuse_link_local(self.address, setting)
        token_setting = setting.removesuffix("_URL") + "_TOKEN"
        self._client = HttpClient[JsonAnswer](
            self.address,
            label=name,
            auth=SecretHeader(
                token_header,
                token,
                prefix="Bearer " if token_header.lower() == "authorization" else "",
                advice=f"the token of {name} is empty or has characters none has: check {token_setting}",
            ),
            judge=_Judge(token_setting),
            budget=budget,
            breaker=CircuitBreaker(f"source/{name}", policy, circuits),
            patience=patience,
            heard=heard,
        )

    def close(self) -> None:
        self._client.close()

    def check(self, extract: Extract) -> str:
        return f"answers, the first page of {extract.name} has {len(self._records(extract, self._first(extract)))} rows"

    def columns(self, extract: Extract) -> tuple[FoundColumn, ...]:
        return _found(self._records(extract, self._first(extract)))

    def batches(self, extract: Extract) -> Iterator[SourceBatch]:
        pages = declared(extract)
        ask: Ask | None = first(pages, extract)
        asked: set[tuple[str, str]] = set()
        seen: set[bytes] = set()
        before: list[Any] = []
        opening: list[Any] = []
        known: dict[str, str] = {}
        is_over = False
        while ask is not None:
            self._count(ask, asked)
            try:
                answer = self._client.get(ask.path, ask.params)
            except NoSuchPage:
                if pages.style != "page" or not before:
                    raise
                is_over = True
                break
            records = self._records(extract, answer)
            _require_no_shift(ask, before, records, extract.key, answer.url)
            fresh = records[ask.overlap :]
            _require_new(fresh, seen, answer.url)
            _require_keys(fresh, known, extract, answer.url)
            yield from _batches(fresh, extract, len(answer.body), known)
            opening = opening or records
            before = records
            ask = following(
                pages,
                ask,
                document=answer.document,
                records=records,
                link=answer.headers.get("link"),
                url=answer.url,
            )
        if pages.style == "page" and (is_over or len(asked) > 2):
            # Behind the last page a server may know of none; without the first there is no table any more.
            _require_same_start(opening, self._records(extract, self._first(extract)), extract.key, self.address)

    def _first(self, extract: Extract) -> JsonAnswer:
        ask = first(declared(extract), extract)
        return self._client.get(ask.path, ask.params)

    def _records(self, extract: Extract, answer: JsonAnswer) -> list[Any]:
        keys = declared(extract).records
        records = at_path(answer.document, keys)
        if not isinstance(records, list):
            where = ".".join(keys) or "the answer itself"
            raise UnexpectedAnswer(f"{answer.url}: {where} is no list of records; it begins: {answer.excerpt()}")
        return records

    def _count(self, ask: Ask, asked: set[tuple[str, str]]) -> None:
        mark = (ask.path, json.dumps(dict(ask.params), sort_keys=True))
        if mark in asked or len(asked) >= MOST_PAGES:
            raise UnexpectedAnswer(
                f"{self.address}{ask.path if ask.path.startswith('/') else ''}: its pages never end "
                f"({len(asked)} were read, the next one leads back): check how they are declared"
            )
        asked.add(mark)


@dataclass(frozen=True)
class _Judge:
    token_setting: str

    def __call__(self, answer: Answer, *, now: datetime) -> JsonAnswer:
        status = answer.status
        what = f"{answer.url} answered {status}"
        if status == 200:
            return JsonAnswer(
                status=status, body=answer.body, headers=answer.headers, url=answer.url, document=_parsed(answer)
            )
        if status in (401, 403):
            raise CredentialsRejected(f"{what}: check {self.token_setting} and what its owner may read")
        if status == 404:
            raise NoSuchPage(f"{what}: {answer.excerpt()}")
        if status == 429:
            told = told_wait_s(answer.headers, now=now)
            raise Throttled(WAIT_UNTOLD_S if told is None else told)
        if status == 408 or status >= 500:
            raise later(answer, SourceUnavailable(f"{what}: {answer.excerpt()}"), now=now, is_outage=True)
        if 300 <= status < 400:
            raise UnexpectedAnswer(f"{what}, a redirect, which is not followed: check the URL")
        raise UnexpectedAnswer(f"{what}: {answer.excerpt()}")


def _parsed(answer: Answer) -> Any:
    kind = answer.headers.get("content-type", "no content type")
    try:
        document = json.loads(answer.body, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise UnexpectedAnswer(
            f"{answer.url} answered something that is not JSON ({type(error).__name__}, {kind}); it begins: "
            f"{answer.excerpt()}"
        ) from None
    open_ends: list[tuple[Any, int]] = [(document, 1)]
    while open_ends:
        value, depth = open_ends.pop()
        inside = value.values() if isinstance(value, dict) else value
        if depth > DEEPEST:
            raise UnexpectedAnswer(f"{answer.url} answered JSON that is more than {DEEPEST} levels deep")
        if isinstance(value, dict | list):
            open_ends += [(one, depth + 1) for one in inside if isinstance(one, dict | list)]
    return document


def _batches(records: Sequence[Any], extract: Extract, bytes_read: int, known: dict[str, str]) -> Iterator[SourceBatch]:
    """A server may give more rows in a page than it was asked for. `known` are the columns of the records so far, by
    name: many APIs leave out what is null, and a page of such records alone has its columns all the same."""
    for start in range(0, max(len(records), 1), extract.batch_size):
        part = records[start : start + extract.batch_size]
        found = _found(part, known)
        wanted = [one.name for one in found if extract.columns is None or one.name in extract.columns]
        sound = [record for record in part if isinstance(record, dict)]
        yield SourceBatch(
            rows=frame_of(wanted, ([record.get(name) for name in wanted] for record in sound)),
            columns=found,
            put_aside=tuple(_no_object(record) for record in part if not isinstance(record, dict)),
            bytes_read=bytes_read if start == 0 else 0,
        )


def _found(records: Sequence[Any], known: dict[str, str] | None = None) -> tuple[FoundColumn, ...]:
    kinds = {} if known is None else known
    for record in records:
        for name, value in record.items() if isinstance(record, dict) else ():
            kind, held = JSON_TYPES.get(type(value), ""), kinds.get(name, "")
            kinds[name] = _WIDER.get((held, kind), held or kind)
    return tuple(FoundColumn(name, kind) for name, kind in kinds.items())


def _no_object(record: object) -> PutAside:
    raw = json.dumps(record, ensure_ascii=True, default=str)[:10_000]
    return PutAside(rule="record: no object", reason="it is no JSON object, so it has no columns", raw=raw)


def _identity(record: Any, key: Sequence[str]) -> str:
    """What tells a record from others: its key where one is declared."""
    if key and isinstance(record, dict):
        record = [record.get(name) for name in key]
    return json.dumps(record, sort_keys=True, default=str)


def _require_no_shift(ask: Ask, before: Sequence[Any], now: Sequence[Any], key: Sequence[str], url: str) -> None:
    if not ask.overlap:
        return
    if not now or _identity(before[-1], key) != _identity(now[0], key):
        raise SourceChanging(f"{url}: rows moved between two pages; it is read again")


def _require_new(records: Sequence[Any], seen: set[bytes], url: str) -> None:
    if not records:
        return
    digest = hashlib.sha256(json.dumps(records, sort_keys=True, default=str).encode()).digest()
    if digest in seen:
        raise UnexpectedAnswer(f"{url} is a page that came before: check how its pages are declared")
    seen.add(digest)


def _require_keys(records: Sequence[Any], known: Mapping[str, str], extract: Extract, url: str) -> None:
    """One record without its key is put aside; a page of which no record has it is of another shape."""
    held = {name for record in records if isinstance(record, dict) for name in record}
    lost = [name for name in dict.fromkeys((*extract.key, extract.changed_at)) if name in known and name not in held]
    if len(records) > 1 and lost:
        raise UnexpectedAnswer(
            f"{url}: none of its {len(records)} records has {', '.join(map(str, lost))}, those of the pages before had "
            "it: the API changed while it was read; check the endpoint, and read again"
        )


def _require_same_start(before: Sequence[Any], now: Sequence[Any], key: Sequence[str], address: str) -> None:
    """New rows in front only shift others into pages where they come twice; any other change may have hidden some."""
    held, found = ([_identity(record, key) for record in page] for page in (before, now))
    added = next((n for n, one in enumerate(found) if one in set(held)), len(found))
    if len(found) < len(held) or found[added:] != held[: len(found) - added]:
        raise SourceChanging(f"{address}: its first page changed while the others were read; it is read again")


def _refuse_link_local(url: str, setting: str) -> None:
    try:
        is_link_local = ip_address(urlsplit(url).hostname or "").is_link_local
    except ValueError:
        return
    if is_link_local:
        raise ConfigurationError(f"{setting} leads to an address of this machine's own network, which is not asked")
