"""How a REST endpoint is asked for page after page.

Belongs here: which request comes first and which next, for each style, without any I/O. Does not belong here: sending,
and what makes a page suspicious (`rest.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from requests.utils import parse_header_links

from resources.errors import ConfigurationError, UnexpectedAnswer
from resources.sources.source import Extract
from schemas.source_dataset import RestPages

STYLES = ("page", "offset", "cursor", "link")


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request."""

    path: str
    """Below the base URL; or the whole URL, of the same host."""
    params: Mapping[str, str | int] = field(default_factory=dict)
    overlap: int = 0
    """So many records at the start of the answer were the last ones of the page before."""


def declared(extract: Extract) -> RestPages:
    """How the endpoint of `extract` hands out its rows.

    Raises:
        ConfigurationError: nobody declared it, or the style is none of `STYLES`.
    """
    pages = extract.pages
    if pages is None:
        raise ConfigurationError(f"{extract.name}: a table of a REST source declares its pages (RestPages)")
    if pages.style not in STYLES:
        raise ConfigurationError(f"{extract.name}: pages come by {', '.join(STYLES)}, not by {pages.style!r}")
    if pages.style == "cursor" and not pages.next_cursor:
        raise ConfigurationError(
            f"{extract.name}: pages by cursor need next_cursor, the keys that lead to the next one"
        )
    return pages


def first(pages: RestPages, extract: Extract) -> Ask:
    """The request for the first page."""
    params: dict[str, str | int] = {pages.size_parameter: extract.batch_size}
    if pages.style == "page":
        params[pages.page_parameter] = 1
    elif pages.style == "offset":
        params[pages.page_parameter] = 0
    for name, at in ((pages.since_parameter, extract.since), (pages.until_parameter, extract.until)):
        if name and at is not None:
            params[name] = spelled(at)
    return Ask(path=pages.path if pages.path.startswith("/") else f"/{pages.path}", params=params)


def following(
    pages: RestPages, ask: Ask, *, document: Any, records: Sequence[Any], link: str | None, url: str
) -> Ask | None:
    """The request for the page after the one that `ask` gave; None after the last.

    Pages and offsets end with the first empty page: a server may give fewer rows than it is asked for. Offsets go back
    by one record where they can, so that a shift between two pages shows.
    """
    match pages.style:
        case "page":
            number = int(ask.params[pages.page_parameter]) + 1
            return Ask(path=ask.path, params={**ask.params, pages.page_parameter: number}) if records else None
        case "offset":
            if len(records) <= ask.overlap:
                return None
            overlap = 1 if len(records) > 1 else 0
            offset = int(ask.params[pages.page_parameter]) + len(records) - overlap
            return Ask(path=ask.path, params={**ask.params, pages.page_parameter: offset}, overlap=overlap)
        case "cursor":
            token = at_path(document, pages.next_cursor)
            if token is None or token == "":
                _require_told(pages, ask, document, records, url)
                return None
            if isinstance(token, bool) or not isinstance(token, str | int):
                raise UnexpectedAnswer(f"{url}: the next cursor is a {type(token).__name__}, neither text nor number")
            return Ask(path=ask.path, params={**ask.params, pages.page_parameter: token})
        case _:
            return _linked(link, url)


def _require_told(pages: RestPages, ask: Ask, document: Any, records: Sequence[Any], url: str) -> None:
    """A full first page that says nothing of a next one may be all there is, or its cursor is called otherwise: then
    the rest would be missed, and nobody would know."""
    is_first = pages.page_parameter not in ask.params
    parent = at_path(document, pages.next_cursor[:-1])
    is_told = isinstance(parent, dict) and pages.next_cursor[-1] in parent
    if is_first and not is_told and len(records) >= int(ask.params[pages.size_parameter]):
        raise UnexpectedAnswer(
            f"{url}: the page is full and has no next cursor at {'.'.join(pages.next_cursor)}: check next_cursor; if "
            "the API leaves it out on its last page, ask for pages of another size (batch_size)"
        )


def at_path(document: Any, keys: Sequence[str]) -> Any:
    """What `keys` lead to; None where they lead nowhere."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def spelled(at: datetime) -> str:
    """ISO 8601 with Z; microseconds where there are some."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _linked(link: str | None, url: str) -> Ask | None:
    """What `Link: <…>; rel="next"` leads to, on the same host only: the token goes with it."""
    targets = [str(one["url"]) for one in parse_header_links(link or "") if "next" in one.get("rel", "").split()]
    if not targets:
        return None
    target = urljoin(url, targets[0]).partition("#")[0]
    if urlsplit(target)[:2] != urlsplit(url)[:2]:
        raise UnexpectedAnswer(f"{url}: the next page is said to be on another host ({urlsplit(target).netloc})")
    return Ask(path=target)
