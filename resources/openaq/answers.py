"""What an answer of API v3 means: a page, come again, ask for less, or give up.

Belongs here: status codes, headers and bodies, judged without any I/O. Does not belong here: sending, waiting, paging.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from resources.errors import CredentialsRejected, SourceUnavailable, UnexpectedAnswer
from resources.http.answer import EXCERPT, WAIT_UNTOLD_S, Answer, Throttled, later, told_wait_s


class WindowTooWide(SourceUnavailable):
    """408: the server needs longer than it gives itself; ask for a smaller span of time."""


class SensorUnservable(SourceUnavailable):
    """The server fails on this sensor's page again and again; others may well work."""


class NotFound(UnexpectedAnswer):
    """404: there is no such location, sensor or path."""


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
        raise later(answer, SourceUnavailable(f"{what}: {answer.excerpt()}"), now=now, is_outage=True)
    if status == 500 and _is_series(answer):
        # One null among the values makes a whole page a text/plain 500, whoever asks and however often.
        never_helps = not _is_json(answer)
        error = SensorUnservable(f"{what}: {answer.excerpt()}")
        raise later(answer, error, now=now, is_outage=False, attempts=2 if never_helps else None)
    if status >= 500:
        raise later(answer, SourceUnavailable(f"{what}: {answer.excerpt()}"), now=now, is_outage=True)
    if 300 <= status < 400:
        raise UnexpectedAnswer(f"{what}, a redirect, which is not followed: check the base URL")
    raise UnexpectedAnswer(f"{what}: {_detail(answer)}")


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
