"""Messages arrive at real local servers, whoever refuses is told apart from whoever is away, and no secret is said."""

import io
import logging
import socket
import threading
from collections.abc import Iterator

import pytest

from resources.alerts.channel import Channel
from resources.alerts.level import Level
from resources.alerts.message import Message
from resources.alerts.sending import AppriseSender, Arrival, Outcome
from tests.alert_receivers import SLACK_TOKENS, HttpReceiver, SmtpReceiver, receivers

MESSAGE = Message(
    title="[ERROR] staging.sales failed", body="Run 1 failed: <no disk>", level=Level.ERROR, identity="f#1"
)
OVER = Message(
    title="[RESOLVED] staging.sales failed", body="Gone.", level=Level.ERROR, identity="f#1", is_resolved=True
)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[HttpReceiver, SmtpReceiver]]:
    with receivers() as both:
        yield both


@pytest.fixture
def http(servers: tuple[HttpReceiver, SmtpReceiver], monkeypatch: pytest.MonkeyPatch) -> HttpReceiver:
    servers[0].posts.clear()
    servers[0].answers.clear()
    servers[0].stands_for_services(monkeypatch)
    return servers[0]


@pytest.fixture
def smtp(servers: tuple[HttpReceiver, SmtpReceiver]) -> SmtpReceiver:
    servers[1].mails.clear()
    servers[1].refuses = False
    return servers[1]


@pytest.fixture
def root_log() -> Iterator[io.StringIO]:
    """What a process that logs everything writes. Not `caplog`: that also listens to loggers that hand nothing on."""
    text, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(text), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.removeHandler(handler)
    root.setLevel(level)


def send(url: str, message: Message = MESSAGE) -> Outcome:
    return AppriseSender().send(Channel(name="ops", url=url), message)


def test_a_webhook_gets_title_body_and_type(http: HttpReceiver) -> None:
    assert send(http.webhook).arrival is Arrival.ARRIVED
    assert send(http.webhook, OVER).arrival is Arrival.ARRIVED
    first, second = http.to("/hook")
    assert (first["title"], first["message"], first["type"]) == (MESSAGE.title, MESSAGE.body, "failure")
    assert second["type"] == "success"


@pytest.mark.parametrize(("level", "kind"), [*zip(Level, ["info", "warning", "failure", "failure"], strict=True)])
def test_levels_have_types(http: HttpReceiver, level: Level, kind: str) -> None:
    send(http.webhook, Message(title="t", body="b", level=level))
    assert http.to("/hook")[0]["type"] == kind


def test_slack_gets_its_payload_on_its_path(http: HttpReceiver) -> None:
    assert send(http.slack).arrival is Arrival.ARRIVED
    (body,) = http.to(f"/services/{'/'.join(SLACK_TOKENS)}")
    assert MESSAGE.title in str(body)
    assert body["channel"] == "#ops"


def test_pagerduty_opens_and_closes_one_incident_of_the_level(http: HttpReceiver) -> None:
    assert send(http.pagerduty).arrival is Arrival.ARRIVED
    assert send(http.pagerduty, OVER).arrival is Arrival.ARRIVED
    opened, closed = http.to("/v2/enqueue")
    assert (opened["event_action"], opened["payload"]["severity"]) == ("trigger", "error")
    assert (closed["event_action"], closed["dedup_key"]) == ("resolve", opened["dedup_key"])
    assert MESSAGE.title in opened["payload"]["summary"]


def test_what_the_user_says_of_pagerduty_stands(http: HttpReceiver) -> None:
    send(f"{http.pagerduty}?severity=info&dedup=mine")
    (body,) = http.to("/v2/enqueue")
    assert (body["payload"]["severity"], body["dedup_key"]) == ("info", "mine")


def test_a_mail_arrives_with_subject_and_text(smtp: SmtpReceiver) -> None:
    assert send(smtp.address).arrival is Arrival.ARRIVED
    (mail,) = smtp.mails
    assert mail["subject"] == MESSAGE.title
    assert mail["to"] == "ops@example.org"
    body = mail.get_body()
    assert body is not None and "no disk" in body.get_content()


def test_a_title_of_two_lines_is_no_header_of_its_own(smtp: SmtpReceiver) -> None:
    send(smtp.address, Message(title="a\r\nBcc: other@example.org", body="b", level=Level.INFO))
    (mail,) = smtp.mails
    assert mail["bcc"] is None


@pytest.mark.parametrize(
    ("status", "arrival"),
    [(500, Arrival.LATER), (503, Arrival.LATER), (429, Arrival.LATER), (404, Arrival.NEVER), (403, Arrival.NEVER)],
)
def test_refusals_that_pass_are_told_from_those_that_stay(http: HttpReceiver, status: int, arrival: Arrival) -> None:
    for url in (http.webhook, http.slack, http.pagerduty):
        http.answers.append(status)
        outcome = send(url)
        assert outcome.arrival is arrival
        assert str(status) in outcome.told
    assert http.posts == []


def test_a_redirect_is_not_followed(http: HttpReceiver) -> None:
    http.answers.append(307)
    assert send(http.webhook).arrival is Arrival.LATER
    assert http.posts == []


def test_a_server_that_is_away_or_refuses_a_mail_is_asked_again(smtp: SmtpReceiver) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert send(f"json://127.0.0.1:{free.getsockname()[1]}/").arrival is Arrival.LATER
    smtp.refuses = True
    assert send(smtp.address).arrival is Arrival.LATER


def test_a_server_that_does_not_answer_is_given_up(http: HttpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    http.stalled = threading.Event()
    try:
        outcome = send(f"{http.webhook}?rto=0.2")
    finally:
        http.stalled.set()
        http.stalled = None
    assert outcome.arrival is Arrival.LATER


def test_an_address_nobody_knows_is_final_and_found_beforehand() -> None:
    channel = Channel(name="ops", url="nonsense://canary-7f3a")
    outcome = AppriseSender().send(channel, MESSAGE)
    assert outcome.arrival is Arrival.NEVER
    assert "canary" not in outcome.told
    assert "canary" not in str(AppriseSender().check(channel))
    assert AppriseSender().check(Channel(name="ops", url="json://127.0.0.1/")) is None


@pytest.mark.parametrize(
    "url",
    [
        "slack://T1JJ3T3L2/A1BRTD4JD/canary7f3aCANARY7f3acanar/#ops",
        "pagerduty://canary7f3a@canary7f3aapi",
        "json://user:canary7f3a@127.0.0.1:{port}/canary7f3a",
        "mailto://user:canary7f3a@127.0.0.1:1?smtp=127.0.0.1&to=a@example.org",
        "slack://canary7f3a",
        "pagerduty://canary7f3a",
    ],
)
def test_no_secret_is_logged_or_told(
    http: HttpReceiver, url: str, root_log: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    channel = Channel(name="ops", url=url.format(port=http.port))
    for answers in ([], [500], [404]):
        http.answers[:] = answers
        outcome = AppriseSender().send(channel, MESSAGE)
        assert "canary7f3a" not in f"{outcome} {channel!r} {channel.described()}"
    told = f"{root_log.getvalue()} {capfd.readouterr()}".lower()
    assert "canary7f3a" not in told
