"""The outbox on a real database, told to real local servers: once, grouped, held back, retried, and never lost."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resources.alerts import failures
from resources.alerts.delivery import GIVEN_UP_AFTER, MOST_MESSAGES, MOST_SINGLE
from resources.alerts.failures import FailedRun, Success
from resources.alerts.finding import CONDITIONS, FAILURE, SILENCE, Finding
from resources.alerts.level import Level
from resources.alerts.message import Message
from resources.alerts.outbox import Recorded
from resources.alerts.resource import AlertsResource
from resources.alerts.sending import AppriseSender, Arrival, Outcome
from resources.catalog.api_answers import AnswerTimes
from resources.catalog.schema import CatalogedTimescale
from resources.errors import ConfigurationError, DatabaseUnavailable
from resources.timescale import sql
from resources.timescale.capabilities import read_capabilities
from resources.timescale.resource import engine_of
from resources.timescale.tables import ensure
from schemas.catalog import LEDGER as LEDGER_TABLE
from schemas.catalog_alerts import ALERT_DELIVERIES, ALERTS, API_ANSWERS, EVENT_POSITIONS, RUN_FAILURES
from schemas.catalog_budget import CIRCUITS
from schemas.table_spec import TableSpec
from schemas.tables import AIR_QUALITY_ANOMALIES, AIR_QUALITY_REPORT, FEATURE_DRIFT, FEATURE_PARITY
from tests.alert_receivers import HttpReceiver, SmtpReceiver, receivers
from tests.builders import report_rows, rows_of

CANARY = "canary-9b1e"
PARENTS = {"features.t": ("timeseries.t",), "timeseries.t": ("staging.t",)}


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2025, 3, 10, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **length: float) -> None:
        self.now += timedelta(**length)


class Told:
    """A channel that keeps what it is told, or fails as it was told to."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, Message]] = []
        self.outcomes: list[Outcome] = []

    def send(self, channel: Any, message: Message) -> Outcome:
        outcome = self.outcomes.pop(0) if self.outcomes else Outcome(Arrival.ARRIVED)
        if outcome.arrival is Arrival.ARRIVED:
            self.messages.append((channel.name, message))
        return outcome

    @property
    def titles(self) -> list[str]:
        return [message.title for _, message in self.messages]


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[HttpReceiver, SmtpReceiver]]:
    with receivers() as both:
        yield both


@pytest.fixture(scope="module")
def database(module_postgres_url: str) -> CatalogedTimescale:
    return CatalogedTimescale(database_url=module_postgres_url)


@pytest.fixture
def timescale(database: CatalogedTimescale) -> CatalogedTimescale:
    with database.connect() as connection:
        for table in (ALERT_DELIVERIES, ALERTS, RUN_FAILURES, EVENT_POSITIONS, API_ANSWERS, LEDGER_TABLE):
            connection.execute(sa.delete(table))
        connection.execute(sa.schema.DropSchema("quality", cascade=True, if_exists=True))
        connection.execute(sa.schema.CreateSchema("quality"))
    return database


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told() -> Told:
    return Told()


def alerts_on(timescale: CatalogedTimescale, urls: str = f"ops=json://{CANARY}/", **settings: Any) -> AlertsResource:
    return AlertsResource(timescale=timescale, urls=urls, **settings)


def failed(name: str = "staging.t", *, count: int = 1, level: Level = Level.ERROR) -> Finding:
    return Finding(
        condition=SILENCE if name.startswith("sensor/") else FAILURE,
        subject=name,
        level=level,
        title=f"{name} failed",
        body="no disk",
        asset=name,
        count=count,
    )


def look(alerts: AlertsResource, found: Sequence[Finding], clock: Clock) -> Any:
    return alerts.look(found, {SILENCE}, PARENTS, clock.now)


def deliver(alerts: AlertsResource, sender: Any, clock: Clock) -> Any:
    return alerts.deliver(until=clock.now + timedelta(minutes=1), sender=sender, clock=clock)


def rows(timescale: CatalogedTimescale, table: sa.Table) -> list[Any]:
    with timescale.connect() as connection:
        return list(connection.execute(sa.select(table).order_by(*table.primary_key.columns)).all())


# --- one alert --------------------------------------------------------------------------------------------------------


def test_what_stays_wrong_is_told_once_and_its_end_once(
    timescale: CatalogedTimescale, clock: Clock, told: Told
) -> None:
    alerts = alerts_on(timescale)
    for _ in range(3):
        look(alerts, [failed()], clock)
        deliver(alerts, told, clock)
        clock.pass_(minutes=1)
    assert told.titles == ["[ERROR] staging.t failed"]
    (alert,) = rows(timescale, ALERTS)
    assert (alert.state, alert.last_seen_at - alert.first_seen_at) == ("open", timedelta(minutes=2))
    for _ in range(2):
        look(alerts, [], clock)
        deliver(alerts, told, clock)
    assert told.titles[1:] == ["[RESOLVED] staging.t failed"]
    look(alerts, [failed()], clock)
    deliver(alerts, told, clock)
    assert len(told.messages) == 3, "it is another incident"


def test_a_level_that_rises_is_told_again_and_one_that_falls_is_not(
    timescale: CatalogedTimescale, clock: Clock, told: Told
) -> None:
    alerts = alerts_on(timescale)
    for count, level in ((1, Level.ERROR), (3, Level.CRITICAL), (3, Level.ERROR), (4, Level.CRITICAL)):
        look(alerts, [failed(count=count, level=level)], clock)
        deliver(alerts, told, clock)
    assert told.titles == ["[ERROR] staging.t failed", "[CRITICAL] staging.t failed"]
    assert rows(timescale, ALERTS)[0].count == 4


def test_a_level_that_rises_before_anybody_was_told_is_one_message(
    timescale: CatalogedTimescale, clock: Clock, told: Told
) -> None:
    alerts = alerts_on(timescale)
    look(alerts, [failed()], clock)
    look(alerts, [failed(level=Level.CRITICAL)], clock)
    deliver(alerts, told, clock)
    assert told.titles == ["[CRITICAL] staging.t failed"]
    assert [row.state for row in rows(timescale, ALERT_DELIVERIES)] == ["dropped", "sent"]


def test_the_end_need_not_be_told(timescale: CatalogedTimescale, clock: Clock, told: Told) -> None:
    alerts = alerts_on(timescale, is_end_told=False)
    for found in ([failed()], []):
        look(alerts, found, clock)
        deliver(alerts, told, clock)
    assert len(told.messages) == 1


def test_what_ended_before_anybody_was_told_is_one_message_that_says_so(
    timescale: CatalogedTimescale, clock: Clock, told: Told
) -> None:
    alerts = alerts_on(timescale)
    look(alerts, [failed()], clock)
    look(alerts, [], clock)
    deliver(alerts, told, clock)
    assert told.titles == ["[RESOLVED] staging.t failed"]
    assert rows(timescale, ALERT_DELIVERIES)[0].state == "sent"


def test_a_condition_nobody_looked_at_is_not_over(timescale: CatalogedTimescale, clock: Clock) -> None:
    alerts = alerts_on(timescale)
    look(alerts, [failed("sensor/dirty_days")], clock)
    assert alerts.look([], set(), PARENTS, clock.now).resolved == ()
    assert alerts.look([], {SILENCE}, PARENTS, clock.now).resolved == ("silence/sensor/dirty_days",)


def test_without_channels_alerts_are_kept_and_a_channel_that_comes_later_is_told(
    timescale: CatalogedTimescale, clock: Clock, told: Told
) -> None:
    nobody = alerts_on(timescale, "")
    look(nobody, [failed()], clock)
    assert deliver(nobody, told, clock).sent == 0
    assert [row.title for row in nobody.open_alerts()] == ["staging.t failed"]
    look(alerts_on(timescale), [failed()], clock)
    deliver(alerts_on(timescale), told, clock)
    assert told.titles == ["[ERROR] staging.t failed"]


def test_channels_are_told_from_their_level_on_and_may_be_off(
    timescale: CatalogedTimescale, clock: Clock, told: Told
) -> None:
    urls = "all=json://a/ urgent=json://b/ off=json://c/"
    alerts = alerts_on(timescale, urls, levels="all=info urgent=critical off=off")
    look(alerts, [failed(), failed("staging.u", level=Level.CRITICAL)], clock)
    deliver(alerts, told, clock)
    assert sorted(name for name, _ in told.messages) == ["all", "all", "urgent"]


def test_who_takes_an_alert_on_hears_only_its_end(timescale: CatalogedTimescale, clock: Clock, told: Told) -> None:
    alerts = alerts_on(timescale, "a=json://a/ b=json://b/")
    told.outcomes = [Outcome(Arrival.ARRIVED), Outcome(Arrival.LATER, "away")]
    look(alerts, [failed()], clock)
    deliver(alerts, told, clock)
    assert alerts.acknowledge(rows(timescale, ALERTS)[0].alert_id) == "staging.t failed"
    clock.pass_(hours=1)
    look(alerts, [failed(level=Level.CRITICAL)], clock)
    deliver(alerts, told, clock)
    assert len(told.messages) == 1
    look(alerts, [], clock)
    deliver(alerts, told, clock)
    assert [(name, message.is_resolved) for name, message in told.messages] == [("a", False), ("a", True)]
    with pytest.raises(ConfigurationError, match="no open alert has the number"):
        alerts.acknowledge(rows(timescale, ALERTS)[0].alert_id)


# --- root causes and storms -------------------------------------------------------------------------------------------


def test_downstream_of_a_failed_asset_is_silenced_and_listed(
    timescale: CatalogedTimescale, clock: Clock, told: Told
) -> None:
    alerts = alerts_on(timescale)
    look(alerts, [failed("timeseries.t")], clock)
    deliver(alerts, told, clock)
    everything = [failed("features.t"), failed("timeseries.t"), failed("staging.t")]
    look(alerts, everything, clock)
    deliver(alerts, told, clock)
    assert told.titles == ["[ERROR] timeseries.t failed", "[ERROR] staging.t failed"]
    assert "failure/features.t" in told.messages[1][1].body
    assert rows(timescale, ALERTS)[0].state == "open", "what is silenced is not well"
    look(alerts, everything[:2], clock)  # the root is well again, what failed before waits to be computed again
    deliver(alerts, told, clock)
    assert told.titles[2:] == ["[RESOLVED] staging.t failed"]


def test_a_storm_of_a_thousand_failures_is_one_message(
    timescale: CatalogedTimescale, clock: Clock, servers: tuple[HttpReceiver, SmtpReceiver]
) -> None:
    http, smtp = servers
    http.posts.clear()
    smtp.mails.clear()
    alerts = alerts_on(timescale, f"hook={http.webhook} mail={smtp.address}")
    storm = [failed(f"staging.t{number}") for number in range(1000)]
    look(alerts, storm, clock)
    assert deliver(alerts, AppriseSender(), clock).sent == 2
    look(alerts, storm, clock)
    deliver(alerts, AppriseSender(), clock)
    assert [body["title"] for body in http.to("/hook")] == ["1000 alerts: 1000 error"]
    assert [mail["subject"] for mail in smtp.mails] == ["1000 alerts: 1000 error"]
    messages = {row.message_id for row in rows(timescale, ALERT_DELIVERIES) if row.channel == "hook"}
    assert len(messages) == 1 and None not in messages


def test_a_storm_that_goes_on_and_on_is_few_messages(timescale: CatalogedTimescale, clock: Clock, told: Told) -> None:
    alerts = alerts_on(timescale)
    for number in range(40):
        look(alerts, [failed(f"staging.t{n}") for n in range(number + 1)], clock)
        deliver(alerts, told, clock)
        clock.pass_(seconds=15)
    clock.pass_(minutes=10)
    deliver(alerts, told, clock)
    assert len(told.messages) == MOST_MESSAGES + 1
    assert {row.state for row in rows(timescale, ALERT_DELIVERIES)} == {"sent"}


def test_quiet_hours_end_in_one_message(timescale: CatalogedTimescale, clock: Clock, told: Told) -> None:
    alerts = alerts_on(timescale, quiet="22:00-07:00 Europe/Berlin")
    clock.now = datetime(2025, 3, 10, 22, 30, tzinfo=UTC)
    look(alerts, [failed("staging.a"), failed("staging.b"), failed("staging.c", level=Level.CRITICAL)], clock)
    deliver(alerts, told, clock)
    look(alerts, [failed("staging.a"), failed("staging.c", level=Level.CRITICAL)], clock)
    clock.pass_(hours=7)
    deliver(alerts, told, clock)
    assert told.titles == ["[CRITICAL] staging.c failed"]
    clock.pass_(hours=1)
    deliver(alerts, told, clock)
    assert told.titles[1:] == ["2 alerts: 1 error, 1 resolved"]


# --- failed runs in a row ---------------------------------------------------------------------------------------------


@given(history=st.lists(st.lists(st.sampled_from(["fails", "succeeds", "fails in part"]), max_size=4), max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_failures_in_a_row_are_counted_whenever_one_looks(
    timescale: CatalogedTimescale, history: list[list[str]]
) -> None:
    """Each inner list happens between two looks. A run that failed in part wrote something before it failed, which
    hides a success before it: then it may be more that is counted, never less."""
    with timescale.connect() as connection:
        connection.execute(sa.delete(RUN_FAILURES))
    event, expected, last = 0, 0, None
    for happened in history:
        runs = []
        for what in happened:
            event += 2
            run_id = f"run {event}"
            if what != "fails":
                last = Success(event, run_id)
            if what == "succeeds":
                expected = 0
                continue
            expected += 1
            runs.append(
                FailedRun(event_id=event + 1, run_id=run_id, subject="staging.t", is_table=True, days=None, error="x",
                          failed_at=datetime.now(UTC))
            )  # fmt: skip
        with timescale.connect() as connection:
            failures.count(connection, runs, {"staging.t": last} if last else {})
            held = [row.failures for row in connection.execute(sa.select(RUN_FAILURES))]
        assert len(held) == bool(expected)
        is_exact = not any("fails in part" in before for before in history)
        assert not held or (held[0] == expected if is_exact else held[0] >= expected)


# --- delivery ---------------------------------------------------------------------------------------------------------


def test_a_channel_that_is_away_is_tried_again_after_growing_waits_and_keeps_no_other_waiting(
    timescale: CatalogedTimescale, clock: Clock, told: Told
) -> None:
    alerts = alerts_on(timescale, "a=json://a/ b=json://b/")
    look(alerts, [failed("staging.x"), failed("staging.y")], clock)
    told.outcomes = [Outcome(Arrival.LATER, "a is away")]
    result = deliver(alerts, told, clock)
    assert result.troubles == {"a": "a is away"}
    assert [name for name, _ in told.messages] == ["b", "b"]
    tries = []
    for second in range(0, 400, 5):
        told.outcomes = [Outcome(Arrival.LATER, "a is away")]
        if deliver(alerts, told, clock).troubles:
            tries.append(second)
        clock.pass_(seconds=5)
    waits = [after - before for before, after in pairwise(tries)]
    assert len(waits) >= 2 and waits == sorted(waits) and waits[-1] > waits[0]
    told.outcomes = []
    clock.pass_(hours=1)
    deliver(alerts, told, clock)
    mine = [row for row in rows(timescale, ALERT_DELIVERIES) if row.channel == "a"]
    assert [row.state for row in mine] == ["sent", "sent"]
    assert [name for name, _ in told.messages[2:]] == ["a", "a"]


def test_a_refusal_that_stays_is_noted_and_not_tried_again(
    timescale: CatalogedTimescale, clock: Clock, servers: tuple[HttpReceiver, SmtpReceiver]
) -> None:
    http, _ = servers
    http.posts.clear()
    http.answers[:] = [404]
    alerts = alerts_on(timescale, f"hook={http.webhook}")
    look(alerts, [failed()], clock)
    for _ in range(3):
        deliver(alerts, AppriseSender(), clock)
        clock.pass_(hours=1)
    (row,) = rows(timescale, ALERT_DELIVERIES)
    assert (row.state, row.attempts, row.last_error) == ("failed", 1, "json answered 404: check its address")
    assert http.posts == []


def test_a_channel_that_stays_away_is_given_up_and_said_so(
    timescale: CatalogedTimescale, clock: Clock, told: Told
) -> None:
    alerts = alerts_on(timescale)
    look(alerts, [failed()], clock)
    while clock.now < datetime(2025, 3, 10, 12, tzinfo=UTC) + GIVEN_UP_AFTER + timedelta(hours=2):
        told.outcomes = [Outcome(Arrival.LATER, "away")]
        deliver(alerts, told, clock)
        clock.pass_(minutes=30)
    (row,) = rows(timescale, ALERT_DELIVERIES)
    assert (row.state, row.last_error) == ("failed", "away")


def test_what_waits_for_a_channel_that_is_gone_is_dropped(
    timescale: CatalogedTimescale, clock: Clock, told: Told
) -> None:
    look(alerts_on(timescale, "old=json://a/"), [failed()], clock)
    deliver(alerts_on(timescale, "new=json://b/"), told, clock)
    assert [(row.state, row.last_error) for row in rows(timescale, ALERT_DELIVERIES)] == [
        ("dropped", "the channel is off or gone")
    ]


def test_two_sensors_at_once_raise_one_alert_and_send_one_message(
    timescale: CatalogedTimescale, clock: Clock, servers: tuple[HttpReceiver, SmtpReceiver]
) -> None:
    http, smtp = servers
    http.posts.clear()
    smtp.mails.clear()
    found = [failed(f"staging.t{number}") for number in range(MOST_SINGLE)]
    start = threading.Barrier(4)

    def sensor() -> None:
        alerts = alerts_on(timescale, f"hook={http.webhook} mail={smtp.address}")
        start.wait()
        for _ in range(3):
            look(alerts, found, clock)
            deliver(alerts, AppriseSender(), clock)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(sensor) for _ in range(4)]:
            done.result()
    assert len(rows(timescale, ALERTS)) == MOST_SINGLE
    expected = sorted(f"[ERROR] staging.t{number} failed" for number in range(MOST_SINGLE))
    assert sorted(body["title"] for body in http.to("/hook")) == expected
    assert sorted(str(mail["subject"]) for mail in smtp.mails) == expected


def test_what_one_process_is_sending_another_skips(
    timescale: CatalogedTimescale, clock: Clock, told: Told, servers: tuple[HttpReceiver, SmtpReceiver]
) -> None:
    http, _ = servers
    http.posts.clear()
    http.came.clear()
    http.stalled = threading.Event()
    alerts = alerts_on(timescale, f"hook={http.webhook}")
    look(alerts, [failed()], clock)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(deliver, alerts, AppriseSender(), clock)
        assert http.came.wait(10)
        assert deliver(alerts, told, clock).sent == 0
        http.stalled.set()
        assert sending.result().sent == 1
    http.stalled = None
    assert told.messages == []
    assert len(http.posts) == 1


def test_killed_between_sending_and_noting_it_is_sent_again_and_never_lost(
    timescale: CatalogedTimescale, clock: Clock, told: Told
) -> None:
    class Killed(BaseException): ...

    class Dying(Told):
        def send(self, channel: Any, message: Message) -> Outcome:
            super().send(channel, message)
            raise Killed

    alerts, dying = alerts_on(timescale), Dying()
    look(alerts, [failed()], clock)
    with pytest.raises(Killed):
        deliver(alerts, dying, clock)
    deliver(alerts, told, clock)
    assert dying.titles == told.titles == ["[ERROR] staging.t failed"]


def test_an_error_of_the_database_is_told_as_such(clock: Clock) -> None:
    alerts = alerts_on(CatalogedTimescale(database_url="postgresql://nobody@127.0.0.1:1/none?connect_timeout=2"))
    with pytest.raises(DatabaseUnavailable):
        look(alerts, [], clock)


# --- every kind, on every channel -------------------------------------------------------------------------------------


def write(timescale: CatalogedTimescale, spec: TableSpec, frame: Any) -> None:
    with timescale.connect() as connection:
        ensure(connection, spec, read_capabilities(connection))
        plain = frame.astype(object).where(frame.notna(), None)
        connection.execute(sa.insert(sql.table_of(spec)), plain.to_dict("records"))


def anomaly_rows(count: int, *, day: Any, sensor: int = 12, location: int = 1, **columns: Any) -> pd.DataFrame:
    """Anomalies of one sensor, each with a name of its own."""
    told = {
        "day": day,
        "entity": f'{{"location_id": {location}, "sensors_id": {sensor}}}',
        "metric": "pm25",
        "kind": "point",
        "started_at": [day + timedelta(hours=number) for number in range(count)],
        "anomaly_id": [f"a{number}" for number in range(count)],
        "is_expected": False,
        "incident_id": pd.array([None] * count, dtype="Int64"),
    }
    return rows_of(AIR_QUALITY_ANOMALIES, count).assign(**(told | columns))


def drift_rows(count: int, *, day: Any, **columns: Any) -> pd.DataFrame:
    """Features `f0`, `f1`, … of a view."""
    features = [f"f{number}" for number in range(count)]
    return rows_of(FEATURE_DRIFT, count).assign(
        **({"day": day, "view": "v", "feature": features, "rank": range(1, count + 1)} | columns)
    )


def judged(timescale: CatalogedTimescale, day: datetime) -> None:
    """Notes in the ledger that anomalies of the day were sought."""
    with timescale.connect() as connection:
        table = AIR_QUALITY_ANOMALIES.qualified
        connection.execute(sa.insert(LEDGER_TABLE).values(table_name=table, day=day.date(), unit="", run_id="r"))


def plant_everything(timescale: CatalogedTimescale, clock: Clock) -> None:
    """One thing wrong for each condition the database answers."""
    day = clock.now.replace(hour=0) - timedelta(days=3)
    with timescale.connect() as connection:
        connection.execute(
            sa.insert(LEDGER_TABLE).values(
                table_name="staging.t", day=day.date(), unit="1", run_id="r", read=3, loaded=2
            )
        )
        connection.execute(
            sa.insert(API_ANSWERS).values(
                api="openaq", hour=clock.now.replace(minute=0), answers=2, total_s=70, slowest_s=61
            )
        )
        connection.execute(
            sa.insert(CIRCUITS).values(
                name="online_store", state="open", failures=5, opened_at=clock.now - timedelta(minutes=6)
            )
        )
    write(timescale, AIR_QUALITY_REPORT, report_rows(2, first=day, score_pct=[95.0, 42.0]))
    write(timescale, FEATURE_PARITY, rows_of(FEATURE_PARITY, 1).assign(day=day, is_equal=False, keys_missing=4))
    write(timescale, AIR_QUALITY_ANOMALIES, anomaly_rows(2, day=day, is_expected=[True, False]))
    write(timescale, FEATURE_DRIFT, drift_rows(2, day=day, verdict=["stable", "drift"]))


def test_scores_count_after_the_day_is_settled_and_within_the_look_back(
    timescale: CatalogedTimescale, clock: Clock
) -> None:
    alerts = alerts_on(timescale, look_back_days=10, settled_h=6, score_pct=90)
    today = clock.now.replace(hour=0)
    write(
        timescale,
        AIR_QUALITY_REPORT,
        report_rows(4, day=[today, today - timedelta(days=1), today - timedelta(days=2), today - timedelta(days=11)],
                    score_pct=[1.0, 89.9, 90.0, 1.0]),
    )  # fmt: skip
    clock.now = today + timedelta(hours=5, minutes=59)
    assert look(alerts, [], clock).raised == ()
    clock.now = today + timedelta(hours=6)
    assert look(alerts, [], clock).raised == ("quality/quality.air_quality_report",)
    (alert,) = alerts.open_alerts()
    assert "89.9 % on 2025-03-09, location_id 1" in alert.body and alert.count == 1
    assert look(alerts_on(timescale, look_back_days=10, score_pct=80), [], clock).resolved == (
        "quality/quality.air_quality_report",
    )


PLACE = "anomalies/quality.air_quality_anomalies/location_id 1"


def test_what_is_odd_at_a_place_is_one_alert_until_it_was_quiet_for_days(
    timescale: CatalogedTimescale, clock: Clock, told: Told
) -> None:
    alerts, today = alerts_on(timescale), clock.now.replace(hour=0)
    write(timescale, AIR_QUALITY_ANOMALIES, anomaly_rows(7, day=today, sensor=12))
    write(timescale, AIR_QUALITY_ANOMALIES, anomaly_rows(1, day=today, sensor=13, anomaly_id="b", kind="level_shift"))
    judged(timescale, today)
    assert look(alerts, [], clock).raised == (PLACE,)
    (alert,) = alerts.open_alerts()
    assert alert.count == 8 and "level shift, point" in alert.title and "and 3 more" in alert.body
    deliver(alerts, told, clock)
    for days in (1, 2):
        clock.pass_(days=1)
        judged(timescale, today + timedelta(days=days))
        assert look(alerts, [], clock) == Recorded()
    clock.pass_(days=1)
    judged(timescale, today + timedelta(days=3))
    assert look(alerts, [], clock).resolved == (PLACE,)
    write(timescale, AIR_QUALITY_ANOMALIES, anomaly_rows(1, day=today + timedelta(days=3), anomaly_id="c"))
    write(timescale, AIR_QUALITY_ANOMALIES, anomaly_rows(1, day=today + timedelta(days=3), location=2, sensor=21))
    assert look(alerts, [], clock).raised == (PLACE, PLACE.replace("id 1", "id 2"))
    deliver(alerts, told, clock)
    assert len([title for title in told.titles if "location_id 1" in title]) == 3, "raised, well again, raised"


def test_what_is_expected_or_explained_is_no_alert(timescale: CatalogedTimescale, clock: Clock) -> None:
    alerts, today = alerts_on(timescale), clock.now.replace(hour=0)
    write(timescale, AIR_QUALITY_ANOMALIES, anomaly_rows(1, day=today, is_expected=True, incident_id=4))
    write(timescale, AIR_QUALITY_ANOMALIES, anomaly_rows(1, day=today, anomaly_id="b", kind="gap", incident_id=5))
    assert look(alerts, [], clock).raised == ()


def test_drift_is_an_alert_of_its_view_as_long_as_its_newest_day_says_so(
    timescale: CatalogedTimescale, clock: Clock
) -> None:
    alerts, today = alerts_on(timescale), clock.now.replace(hour=0)
    write(timescale, FEATURE_DRIFT, drift_rows(3, day=today, verdict=["drift", "drift", "not enough data"]))
    write(timescale, FEATURE_DRIFT, drift_rows(2, day=today, view="w", verdict="stable"))
    assert look(alerts, [], clock).raised == ("drift/quality.feature_drift/v",)
    (alert,) = alerts.open_alerts()
    assert alert.count == 2 and "f0, f1" in alert.body and "f2" not in alert.body
    clock.pass_(days=1)
    write(timescale, FEATURE_DRIFT, drift_rows(3, day=today + timedelta(days=1), verdict="stable"))
    assert look(alerts, [], clock).resolved == ("drift/quality.feature_drift/v",)


def test_slow_answers_are_a_warning_until_they_are_hours_ago(timescale: CatalogedTimescale, clock: Clock) -> None:
    heard = AnswerTimes(engine_of(timescale.url()), "openaq")
    for duration_s in (1.0, 59.0):
        heard(duration_s)
    clock.now = datetime.now(UTC)
    assert look(alerts_on(timescale), [], clock).raised == ()
    heard(61.0)
    assert look(alerts_on(timescale), [], clock).raised == ("api/openaq",)
    assert [(row.answers, row.total_s, row.slowest_s) for row in rows(timescale, API_ANSWERS)] == [(3, 121.0, 61.0)]
    assert look(alerts_on(timescale, api_s=62), [], clock).resolved == ("api/openaq",)
    clock.pass_(hours=3)
    assert look(alerts_on(timescale), [], clock).raised == ()


def test_an_alert_of_every_kind_arrives_once_on_every_kind_of_channel(
    timescale: CatalogedTimescale,
    clock: Clock,
    servers: tuple[HttpReceiver, SmtpReceiver],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    http, smtp = servers
    http.posts.clear()
    smtp.mails.clear()
    http.stands_for_services(monkeypatch)
    monkeypatch.setattr("apprise.plugins.slack.NotifySlack.request_rate_per_sec", 0)
    monkeypatch.setattr("apprise.plugins.pagerduty.NotifyPagerDuty.request_rate_per_sec", 0)
    monkeypatch.setattr("resources.alerts.delivery.MOST_SINGLE", 100)
    monkeypatch.setattr("resources.alerts.delivery.MOST_MESSAGES", 100)
    urls = f"slack={http.slack} mail={smtp.address} pager={http.pagerduty} hook={http.webhook}"
    alerts = alerts_on(timescale, urls)
    plant_everything(timescale, clock)
    found = [failed("staging.x"), failed("staging.y", level=Level.CRITICAL, count=3), failed("sensor/dirty_days")]
    for _ in range(2):
        look(alerts, found, clock)
        deliver(alerts, AppriseSender(), clock)
    identities = {row.identity for row in alerts.open_alerts()}
    assert {one.partition("/")[0] for one in identities} == set(CONDITIONS)
    number = len(identities)
    assert number == len(CONDITIONS) + 1
    titles = sorted(str(mail["subject"]) for mail in smtp.mails)
    assert len(set(titles)) == len(titles) == number
    assert sorted(body["title"] for body in http.to("/hook")) == titles
    slack, pager = http.to("/services"), http.to("/v2/enqueue")
    assert len(slack) == len(pager) == number
    for title in titles:
        assert sum(title in str(body) for body in slack) == 1
        assert sum(title in str(body) for body in pager) == 1
    assert {body["payload"]["severity"] for body in pager} == {"warning", "error", "critical"}
    look(alerts, found[1:], clock)
    deliver(alerts, AppriseSender(), clock)
    opened = next(body for body in pager if "staging.x" in body["payload"]["summary"])
    assert http.to("/v2/enqueue")[-1]["dedup_key"] == opened["dedup_key"]
    assert http.to("/v2/enqueue")[-1]["event_action"] == "resolve"


def test_addresses_are_in_no_table(timescale: CatalogedTimescale, clock: Clock) -> None:
    alerts = alerts_on(timescale, f"ops=nonsense://{CANARY} hook=json://u:{CANARY}@127.0.0.1:1/{CANARY}")
    look(alerts, [failed()], clock)
    deliver(alerts, AppriseSender(), clock)
    kept = f"{rows(timescale, ALERTS)} {rows(timescale, ALERT_DELIVERIES)}"
    assert "not one Apprise knows" in kept
    assert CANARY not in kept
