"""Rules of alerts that need no database: channels, quiet hours, root causes, what goes into one message."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.alerts.channel import Channel, channels_of
from resources.alerts.delivery import GIVEN_UP_AFTER, LONGEST_WAIT, MOST_MESSAGES, MOST_SINGLE, next_wait, plan
from resources.alerts.finding import FAILURE, GRACE, LEDGER, QUALITY, Finding, grouped
from resources.alerts.level import Level, level_of
from resources.alerts.message import LONGEST_BODY, LONGEST_TITLE, RAISED, RESOLVED, Told, digest, single
from resources.alerts.quiet import quiet_hours
from resources.errors import ConfigurationError
from resources.wiring import Settings, alerts_resource, build_timescale, settings

NOW = datetime(2025, 3, 10, 12, tzinfo=UTC)
NUMBERS = count(1)
CANARY = "canary-5e1d"
OPS = Channel(name="ops", url="json://127.0.0.1/")


def told(level: Level = Level.ERROR, **changes: Any) -> Told:
    number = next(NUMBERS)
    values: dict[str, Any] = {
        "delivery_id": number,
        "alert_id": number,
        "identity": f"failure/staging.t{number}",
        "kind": RAISED,
        "level": level,
        "title": f"staging.t{number} failed",
        "body": "no disk",
        "silenced": (),
        "count": 1,
        "first_seen_at": NOW,
        "resolved_at": None,
        "created_at": NOW,
    }
    return Told(**(values | changes))


def failure(asset: str, at: datetime = NOW) -> Finding:
    return Finding(
        condition=FAILURE, subject=asset, level=Level.ERROR, title=f"{asset} failed", body="", asset=asset, at=at
    )


def about(condition: str, asset: str) -> Finding:
    return Finding(condition=condition, subject=asset, level=Level.WARNING, title="", body="", asset=asset)


# --- channels ---------------------------------------------------------------------------------------------------------


def test_channels_have_names_addresses_levels_and_may_be_off() -> None:
    ops, mail, pager = channels_of(
        "ops=slack://a/b/c mail=mailtos://u:p@h?to=x,y\npager=pagerduty://a@b", "mail=off pager=critical"
    )
    assert (ops.kind, ops.least, ops.is_on) == ("slack", Level.WARNING, True)
    assert mail.url == "mailtos://u:p@h?to=x,y"
    assert not mail.wants(Level.CRITICAL)
    assert pager.wants(Level.CRITICAL) and not pager.wants(Level.ERROR)
    assert channels_of("") == ()


@pytest.mark.parametrize(
    ("urls", "levels", "words"),
    [
        (CANARY, "", "entry 1 is not of the form"),
        (f"ops={CANARY}", "", "no URL"),
        (f"ops=slack://{CANARY} ops=slack://b", "", "twice"),
        (f"ops=slack://{CANARY}", "mail=error", "no channel is called mail"),
        (f"ops=slack://{CANARY}", "ops=loud", "a level is one of"),
        (f"o/ps=slack://{CANARY}", "", "form"),
    ],
)
def test_what_is_wrong_with_a_channel_is_told_without_its_address(
    urls: str, levels: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        channels_of(urls, levels)
    assert CANARY not in str(raised.value)
    monkeypatch.setenv("TIDEMARK_ALERT_URLS", urls)
    monkeypatch.setenv("TIDEMARK_ALERT_LEVELS", levels)
    with pytest.raises(ConfigurationError, match=words) as refused:
        settings()
    assert CANARY not in str(refused.value)


def test_addresses_are_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_ALERT_URLS", f"ops=json://u:{CANARY}@127.0.0.1/")
    chosen = Settings(_env_file=None)
    alerts = alerts_resource(chosen, build_timescale(chosen))
    assert CANARY in alerts.channels[0].url
    shown = f"{chosen!r} {chosen} {alerts!r} {alerts} {alerts.channels} {alerts.channels[0].described()}"
    assert CANARY not in shown


# --- quiet hours ------------------------------------------------------------------------------------------------------


def test_quiet_hours_go_by_the_wall_clock_of_their_zone_and_over_midnight() -> None:
    quiet = quiet_hours("22:00-07:00 Europe/Berlin")
    assert quiet is not None
    winter, summer = datetime(2025, 1, 10, tzinfo=UTC), datetime(2025, 7, 10, tzinfo=UTC)
    assert [quiet.holds(winter + timedelta(hours=h)) for h in (5, 6, 20, 21)] == [True, False, False, True]
    assert [quiet.holds(summer + timedelta(hours=h)) for h in (4, 5, 19, 20)] == [True, False, False, True]
    lunch = quiet_hours("12:00-13:00")
    assert lunch is not None
    assert [lunch.holds(winter + timedelta(hours=h)) for h in (11, 12, 13)] == [False, True, False]
    assert quiet_hours(" ") is None


@pytest.mark.parametrize(
    "text", ["22", "22:00-22:00", "24:00-07:00", "22:00-07:00 Nowhere/None", "a-b", "22:00-07:00 /"]
)
def test_malformed_quiet_hours_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"quiet hours|time zone"):
        quiet_hours(text)


# --- root causes ------------------------------------------------------------------------------------------------------

CHAIN = {"b": ("a",), "c": ("b",), "d": ("c",), "x": (), "a": ()}


def test_one_incident_of_a_failed_asset_stands_for_what_is_downstream() -> None:
    found = grouped([failure("d"), failure("b"), about(QUALITY, "c"), failure("x")], CHAIN, now=NOW)
    assert {one.finding.asset: len(one.silenced) for one in found.incidents} == {"b": 2, "x": 0}
    assert found.held == {"failure/d", "quality/c"}


def test_a_ledger_that_does_not_close_is_told_whatever_failed_upstream() -> None:
    found = grouped([failure("a"), about(LEDGER, "c")], CHAIN, now=NOW)
    assert [one.finding.identity for one in found.incidents] == ["failure/a", "ledger/c"]


def test_low_quality_of_the_failed_asset_itself_stands_by_itself() -> None:
    found = grouped([failure("a"), about(QUALITY, "a")], CHAIN, now=NOW)
    assert len(found.incidents) == 2
    assert all(not one.silenced for one in found.incidents)


def test_after_its_upstream_recovered_a_table_gets_time_to_be_computed_again() -> None:
    before, after = NOW - timedelta(minutes=9), NOW - timedelta(minutes=1)
    recovered = {"a": NOW - timedelta(minutes=5)}
    waits = grouped([failure("c", before)], CHAIN, recovered=recovered, now=NOW)
    assert (waits.incidents, waits.held) == ((), {"failure/c"})
    for at, now in ((after, NOW), (before, NOW + GRACE)):
        assert len(grouped([failure("c", at)], CHAIN, recovered=recovered, now=now).incidents) == 1


@given(
    edges=st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda e: e[0] < e[1])),
    failed=st.sets(st.integers(0, 9), min_size=1),
)
def test_every_failure_is_told_once_or_listed_under_one_root(edges: set[tuple[int, int]], failed: set[int]) -> None:
    parents: dict[str, tuple[str, ...]] = {str(n): tuple(str(up) for up, down in edges if down == n) for n in range(10)}
    found = grouped([failure(str(n)) for n in failed], parents, now=NOW)
    told_of = [one.finding.subject for one in found.incidents]
    listed = [one.subject for incident in found.incidents for one in incident.silenced]
    assert sorted(told_of + listed) == sorted(str(n) for n in failed)
    assert found.held == {f"failure/{name}" for name in listed}
    assert told_of


# --- messages ---------------------------------------------------------------------------------------------------------


def chosen(due: Sequence[Told], *, channel: Channel = OPS, quiet: str = "", now: datetime = NOW, sent: int = 0) -> Any:
    return plan(due, channel=channel, quiet=quiet_hours(quiet), now=now, sent_lately=sent)


def test_few_alerts_are_told_one_by_one_the_most_urgent_first() -> None:
    due = [told(Level.WARNING), told(Level.CRITICAL), told(Level.ERROR)]
    found = chosen(due)
    assert found.rows == (due[1],)
    assert found.message.title == f"[CRITICAL] {due[1].title}"


def test_a_storm_is_one_message() -> None:
    due = [told() for _ in range(1000)]
    found = chosen(due)
    assert len(found.rows) == 1000
    assert found.message.title == "1000 alerts: 1000 error"
    assert "and 980 more" in found.message.body
    assert len(chosen(due[:MOST_SINGLE]).rows) == 1


def test_quiet_hours_hold_back_all_but_what_is_critical_and_end_in_one_message() -> None:
    night, morning = NOW.replace(hour=23), NOW.replace(hour=8) + timedelta(days=1)
    quiet = "22:00-07:00"
    held = [told(created_at=night), told(Level.WARNING, created_at=night)]
    assert chosen(held, quiet=quiet, now=night) is None
    urgent = told(Level.CRITICAL, created_at=night)
    assert chosen([*held, urgent], quiet=quiet, now=night).rows == (urgent,)
    assert len(chosen(held, quiet=quiet, now=morning).rows) == 2
    assert len(chosen(held[:1], quiet=quiet, now=morning).rows) == 1


def test_a_channel_that_got_many_messages_waits_for_the_next_unless_it_is_critical() -> None:
    assert chosen([told()], sent=MOST_MESSAGES) is None
    assert chosen([told()], sent=MOST_MESSAGES - 1) is not None
    assert chosen([told(), told(Level.CRITICAL)], sent=MOST_MESSAGES).rows[0].level is Level.CRITICAL


def test_pagerduty_is_told_the_end_of_each_incident_by_its_name() -> None:
    pager = Channel(name="pager", url="pagerduty://a@b")
    ends = [told(kind=RESOLVED, resolved_at=NOW) for _ in range(9)]
    found = chosen([told(), *ends], channel=pager)
    assert found.rows == (ends[0],)
    assert found.message.is_resolved and found.message.identity == f"{ends[0].identity}#{ends[0].alert_id}"


def test_a_message_says_what_is_silenced_since_when_and_what_to_do() -> None:
    message = single(told(silenced=["failure/features.sales"], alert_id=7))
    assert "failure/features.sales" in message.body
    assert "2025-03-10 12:00 UTC" in message.body
    assert "tidemark alerts ack 7" in message.body
    over = single(told(resolved_at=NOW + timedelta(hours=1)))
    assert over.title.startswith("[RESOLVED]")
    assert "Gone since 2025-03-10 13:00 UTC" in over.body


def test_messages_are_bounded_and_titles_are_one_line() -> None:
    long = told(title="a\r\nBcc: x" * 100, body="b" * 9999)
    for message in (single(long), digest([long] * 50)):
        assert len(message.title) <= LONGEST_TITLE and "\n" not in message.title and "\r" not in message.title
        assert len(message.body) <= LONGEST_BODY


def test_waits_grow_and_end() -> None:
    waits = [next_wait(n) for n in range(1, 60)]
    assert waits[0] == timedelta(seconds=30) and waits[1] == timedelta(seconds=60)
    assert sorted(waits) == waits and waits[-1] == LONGEST_WAIT < GIVEN_UP_AFTER


def test_levels_have_an_order_and_a_word() -> None:
    assert [level_of(level.word) for level in Level] == sorted(Level)
    with pytest.raises(ValueError, match="one of info, warning, error, critical"):
        level_of("loud")
