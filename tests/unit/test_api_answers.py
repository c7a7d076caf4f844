"""What an answer of API v3 means, status by status."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from resources.errors import CredentialsRejected, SourceUnavailable, UnexpectedAnswer
from resources.http.answer import LONGEST_WAIT_S, WAIT_UNTOLD_S, Answer, ComeAgain, Throttled, told_wait_s
from resources.openaq.answers import NotFound, SensorUnservable, WindowTooWide, judge

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
JSON = {"content-type": "application/json"}
TEXT = {"content-type": "text/plain; charset=utf-8"}
SERIES = "http://api/v3/sensors/7/measurements?limit=1000"
PLACE = "http://api/v3/locations/7"


def answer(status: int, body: object, headers: dict[str, str] = JSON, url: str = SERIES) -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status=status, body=data, headers=headers, url=url)


@pytest.mark.parametrize(("found", "read"), [(">1000", None), (3, 3), (None, None)])
def test_found_may_be_a_number_or_a_text(found: object, read: int | None) -> None:
    page = judge(answer(200, {"meta": {"found": found, "new": 1}, "results": [1, 2, 3], "new": {}}), now=NOW)
    assert (page.results, page.found) == ([1, 2, 3], read)


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>We'll be right back</body></html>",
        b'{"meta": {}, "results": [{"value": 1.0}, {"val',
        b"",
        b"[]",
        b"null",
        b'{"results": null}',
        b'{"results": {"0": 1}}',
        b"\xff\xfe\x00",
        b"[" * 200_000,
    ],
)
def test_a_200_that_is_no_page_is_shown_by_its_beginning_and_not_retried(body: bytes) -> None:
    with pytest.raises(UnexpectedAnswer) as refused:
        judge(answer(200, body, {"content-type": "text/html"}), now=NOW)
    assert body[:500].decode("utf-8", "replace") in str(refused.value)
    assert len(str(refused.value)) < 800
    assert "text/html" in str(refused.value)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("body", [{"detail": "Invalid credentials"}, {"message": "Forbidden. violation of rate limit"}])
def test_a_rejected_key_says_what_the_server_said(status: int, body: dict[str, str]) -> None:
    with pytest.raises(CredentialsRejected, match="|".join(body.values())):
        judge(answer(status, body), now=NOW)


@pytest.mark.parametrize("status", [301, 307, 400, 405, 410, 418, 204])
def test_other_answers_are_terminal(status: int) -> None:
    with pytest.raises(UnexpectedAnswer, match=str(status)):
        judge(answer(status, {"message": "no"}), now=NOW)


@pytest.mark.parametrize(
    "body",
    [
        {"detail": [{"type": "less_than_equal", "msg": "Input should be less than or equal to 1000"}]},
        "Date/time from must be older. Input should be less than or equal to 1000",
    ],
)
def test_both_bodies_of_422_are_read(body: object) -> None:
    with pytest.raises(UnexpectedAnswer, match=r"422.*Input should be less than or equal to 1000"):
        judge(answer(422, body), now=NOW)


def test_404_is_told_apart() -> None:
    with pytest.raises(NotFound, match="Location not found"):
        judge(answer(404, {"detail": "Location not found"}, url=PLACE), now=NOW)


def test_408_asks_for_less_of_a_series_and_to_come_again_otherwise() -> None:
    with pytest.raises(WindowTooWide):
        judge(answer(408, {"detail": "Connection timed out"}), now=NOW)
    with pytest.raises(ComeAgain):
        judge(answer(408, {"detail": "Connection timed out"}, url=PLACE), now=NOW)


def test_a_text_500_of_a_series_is_the_sensors_fault_and_hardly_retried() -> None:
    with pytest.raises(ComeAgain) as told:
        judge(answer(500, b"Internal Server Error", TEXT), now=NOW)
    assert isinstance(told.value.error, SensorUnservable)
    assert (told.value.is_outage, told.value.attempts) == (False, 2)


def test_a_json_500_of_a_series_may_pass() -> None:
    with pytest.raises(ComeAgain) as told:
        judge(answer(500, {"detail": "deadlock"}), now=NOW)
    assert isinstance(told.value.error, SensorUnservable)
    assert (told.value.is_outage, told.value.attempts) == (False, None)


@pytest.mark.parametrize(("status", "url"), [(500, PLACE), (502, SERIES), (503, SERIES), (504, PLACE)])
def test_other_5xx_speak_against_the_whole_api(status: int, url: str) -> None:
    with pytest.raises(ComeAgain) as told:
        judge(answer(status, b"Bad Gateway", TEXT, url), now=NOW)
    assert type(told.value.error) is SourceUnavailable
    assert (told.value.is_outage, told.value.wait_s) == (True, None)


def test_503_with_retry_after_is_heeded() -> None:
    with pytest.raises(ComeAgain) as told:
        judge(answer(503, {}, {**JSON, "retry-after": "7", "x-ratelimit-reset": "50"}), now=NOW)
    assert told.value.wait_s == 7.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-reset": "42"}, 42.0),
        ({"retry-after": "7", "x-ratelimit-reset": "42"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "999999999"}, LONGEST_WAIT_S),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": format_datetime(NOW + timedelta(seconds=30), usegmt=True)}, 30.0),
        ({"retry-after": format_datetime(NOW - timedelta(days=30), usegmt=True)}, 0.0),
        ({"retry-after": "soon", "x-ratelimit-reset": "12"}, 12.0),
        ({"x-ratelimit-reset": str(int(NOW.timestamp()) + 20)}, 20.0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_the_wait_a_server_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    assert told_wait_s(headers, now=NOW) == seconds


@pytest.mark.parametrize("skew", [timedelta(hours=-1), timedelta(hours=1)])
def test_a_date_counts_from_the_servers_own_clock(skew: timedelta) -> None:
    server_now = NOW + skew
    headers = {
        "date": format_datetime(server_now, usegmt=True),
        "retry-after": format_datetime(server_now + timedelta(seconds=30), usegmt=True),
    }
    assert told_wait_s(headers, now=NOW) == 30.0


@pytest.mark.parametrize(("headers", "seconds"), [({}, WAIT_UNTOLD_S), ({"retry-after": "0"}, 0.0)])
def test_429_waits_as_told_or_a_full_window(headers: dict[str, str], seconds: float) -> None:
    with pytest.raises(Throttled) as told:
        judge(answer(429, {"detail": "Too many requests"}, headers), now=NOW)
    assert told.value.wait_s == seconds
