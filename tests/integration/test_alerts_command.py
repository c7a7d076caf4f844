"""`tidemark alerts`, and what `doctor` and `status` say of alerts: the state, and never an address."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from assets_pkg import cli
from resources.alerts.finding import SILENCE, Finding
from resources.alerts.level import Level
from resources.alerts.resource import AlertsResource
from resources.catalog.schema import CatalogedTimescale
from tests.alert_receivers import HttpReceiver, receivers

CANARY = "canary-77d0"


@pytest.fixture(scope="module")
def http() -> Iterator[HttpReceiver]:
    with receivers() as (http, _):
        yield http


@pytest.fixture
def tidemark(
    postgres_url: str,
    tmp_path: Path,
    http: HttpReceiver,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str]]:
    """Runs a command with two channels; its exit code and all it printed, which never holds the secret."""
    http.posts.clear()
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TIDEMARK_DATABASE_URL", postgres_url)
    monkeypatch.setenv("TIDEMARK_OPENAQ_ARCHIVE_URL", str(tmp_path / "no archive"))
    monkeypatch.setenv(
        "TIDEMARK_ALERT_URLS", f"ops=json://u:{CANARY}@127.0.0.1:{http.port}/hook pager=pagerduty://{CANARY}@{CANARY}"
    )
    monkeypatch.setenv("TIDEMARK_ALERT_LEVELS", "pager=off")

    def run(*arguments: str, **environment: str) -> tuple[int, str]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        code = cli.main(arguments)
        said = capsys.readouterr()
        text = " ".join((said.out + said.err).split())
        assert CANARY not in text
        return code, text

    return run


def raise_one(url: str) -> int:
    alerts = AlertsResource(timescale=CatalogedTimescale(database_url=url), urls="ops=json://127.0.0.1:1/")
    wrong = Finding(condition=SILENCE, subject="sensor/x", level=Level.ERROR, title="The sensor x is silent", body="-")
    alerts.look([wrong], {SILENCE}, {}, datetime.now(UTC))
    return int(alerts.open_alerts()[0].alert_id)


def test_list_and_status_show_channels_and_open_alerts_and_ack_takes_one_on(
    tidemark: Callable[..., tuple[int, str]], postgres_url: str
) -> None:
    code, said = tidemark("alerts")
    assert code == 0 and "no open alerts" in said
    assert "ops: json, warning and above" in said and "pager: pagerduty, off" in said
    number = raise_one(postgres_url)
    assert "The sensor x is silent" in tidemark("alerts", "list")[1]
    code, said = tidemark("status")
    assert code == 0 and f"Alert {number}: error, The sensor x is silent" in said and "Channel ops: json" in said
    assert tidemark("alerts", "ack", str(number)) == (0, "Taken on: The sensor x is silent")
    assert "taken on" in tidemark("alerts", "list")[1]
    code, said = tidemark("alerts", "ack", "999999")
    assert code == 1 and "no open alert has the number 999999" in said


def test_a_channel_is_tried_and_the_exit_code_says_whether_it_took_the_message(
    tidemark: Callable[..., tuple[int, str]], http: HttpReceiver
) -> None:
    assert tidemark("alerts", "test") == (0, "ops: arrived")
    assert [body["title"] for body in http.to("/hook")] == ["[INFO] Test of this channel"]
    http.answers[:] = [403]
    code, said = tidemark("alerts", "test", "ops")
    assert code == 1 and "json answered 403" in said
    code, said = tidemark("alerts", "test", "nobody")
    assert code == 1 and "there is ops, pager" in said


def test_doctor_names_the_channels_and_what_is_wrong_with_an_address(tidemark: Callable[..., tuple[int, str]]) -> None:
    assert "channels: ops: json, warning and above; pager: pagerduty, off" in tidemark("doctor")[1]
    said = tidemark("doctor", TIDEMARK_ALERT_URLS=f"ops=nonsense://{CANARY}", TIDEMARK_ALERT_LEVELS="")[1]
    assert "the address of channel ops is not one Apprise knows" in said
