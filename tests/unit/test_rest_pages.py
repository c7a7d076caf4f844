"""Pages of a REST endpoint: whatever a server holds and however it cuts it, every record is asked for once."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import ConfigurationError, UnexpectedAnswer
from resources.sources.rest_pages import STYLES, Ask, declared, first, following
from resources.sources.source import Extract
from schemas.source_dataset import RestPages

URL = "https://api.example.org/v1/things"
BY = {
    "page": RestPages(path="/things", style="page"),
    "offset": RestPages(path="/things", style="offset", page_parameter="skip"),
    "cursor": RestPages(path="/things", style="cursor", page_parameter="after", next_cursor=("meta", "next")),
    "link": RestPages(path="/things", style="link"),
}


def answer(rows: Sequence[int], ask: Ask, style: str, most: int) -> tuple[dict[str, Any], list[int], str | None]:
    """What a server of that style gives: the document, its records, the Link header."""
    params = dict(ask.params)
    if not ask.path.startswith("/"):
        params = {name: int(values[0]) for name, values in parse_qs(urlsplit(ask.path).query).items()}
    size = min(int(params.get("limit", most)), most)
    start = int(params.get({"offset": "skip", "cursor": "after"}.get(style, ""), 0))
    if style in ("page", "link"):
        start = (int(params.get("page", 1)) - 1) * size
    part = list(rows[start : start + size])
    has_more = start + size < len(rows)
    link = f'<things?page={start // size + 2}&limit={size}>; rel="next", <x>; rel="last"' if has_more else None
    return {"meta": {"next": start + size if has_more else None}}, part, link


@given(
    style=st.sampled_from(STYLES),
    count=st.integers(0, 60),
    asked=st.integers(1, 20),
    most=st.integers(1, 20),
)
def test_every_record_comes_once(style: str, count: int, asked: int, most: int) -> None:
    rows = list(range(count))
    pages, extract = BY[style], Extract(name="things", batch_size=asked)
    ask: Ask | None = first(pages, extract)
    got: list[int] = []
    requests = 0
    while ask is not None:
        requests += 1
        assert requests <= 2 * count + 3
        document, records, link = answer(rows, ask, style, most)
        if ask.overlap:
            assert records[: ask.overlap] == got[-ask.overlap :]
        got += records[ask.overlap :]
        ask = following(pages, ask, document=document, records=records, link=link, url=URL)
    assert got == rows


@pytest.mark.parametrize("document", [{"data": [1, 2]}, {"meta": {"cursor": 2}}, {"meta": None}])
def test_a_full_first_page_that_tells_of_no_next_one_is_refused(document: dict[str, Any]) -> None:
    extract = Extract(name="things", batch_size=2)
    ask = first(BY["cursor"], extract)
    with pytest.raises(UnexpectedAnswer, match=r"no next cursor at meta\.next"):
        following(BY["cursor"], ask, document=document, records=[1, 2], link=None, url=URL)
    assert following(BY["cursor"], ask, document=document, records=[1], link=None, url=URL) is None
    told = {"meta": {"next": None}}
    assert following(BY["cursor"], ask, document=told, records=[1, 2], link=None, url=URL) is None


def test_a_window_is_asked_for_where_the_endpoint_can_narrow() -> None:
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    pages = replace(BY["page"], since_parameter="from", until_parameter="to")
    ask = first(pages, Extract(name="things", since=at, until=at.replace(microsecond=5)))
    assert ask.params["from"] == "2026-11-20T12:00:00Z"
    assert ask.params["to"] == "2026-11-20T12:00:00.000005Z"


@pytest.mark.parametrize("link", ["https://evil.example/things?page=2", "http://api.example.org/v1/things?page=2"])
def test_a_link_to_another_host_is_not_followed(link: str) -> None:
    with pytest.raises(UnexpectedAnswer, match="another host"):
        following(BY["link"], Ask(path="/things"), document={}, records=[1], link=f'<{link}>; rel="next"', url=URL)


@pytest.mark.parametrize("token", [["a"], {"a": 1}, True, 1.5])
def test_a_cursor_is_text_or_a_number(token: object) -> None:
    with pytest.raises(UnexpectedAnswer, match="cursor"):
        following(BY["cursor"], Ask(path="/"), document={"meta": {"next": token}}, records=[1], link=None, url=URL)


@pytest.mark.parametrize(
    "pages", [None, RestPages(path="/x", style="guess"), RestPages(path="/x", style="cursor")], ids=str
)
def test_what_is_declared_must_make_sense(pages: RestPages | None) -> None:
    with pytest.raises(ConfigurationError):
        declared(Extract(name="things", pages=pages))
