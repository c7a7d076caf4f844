"""The sensor on real runs, ticks and a real database: what it counts, groups, tells, and what it survives."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster_shared.error import SerializableErrorInfo

from assets_pkg.alerts.sensor import GAP, build_alerts_sensor
from assets_pkg.alerts.silence import silent
from resources.alerts.resource import AlertsResource
from resources.catalog.schema import CatalogedTimescale
from schemas.catalog_alerts import ALERT_DELIVERIES, ALERTS, EVENT_POSITIONS, RUN_FAILURES
from schemas.tables import OPENAQ_MEASUREMENTS
from tests.alert_receivers import HttpReceiver, receivers
from tests.graph import Graph

BROKEN: set[str] = set()
"""Names of the assets that fail."""

SECRET = "canary-2c8f"


def _asset(name: str, *deps: str) -> dg.AssetsDefinition:
    @dg.asset(key=["staging", name], deps=[dg.AssetKey(["staging", one]) for one in deps])
    def made() -> None:
        if name in BROKEN:
            raise ValueError(f"no disk for {name} at postgresql://reader:{SECRET}@host/db")

    return made


@dg.op
def do_work() -> None:
    if "work" in BROKEN:
        raise ValueError("no work")


@dg.job
def plain_job() -> None:
    do_work()


@dg.sensor(name="other", job=plain_job, minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def other() -> dg.SkipReason:
    return dg.SkipReason("nothing")


@dg.schedule(name="hourly", job=plain_job, cron_schedule="0 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def hourly() -> dg.SkipReason:
    return dg.SkipReason("nothing")


class Stand:
    """A small graph a → b → c with the sensor, its channel at a local server."""

    def __init__(self, timescale: CatalogedTimescale, instance: dg.DagsterInstance, http: HttpReceiver) -> None:
        self.instance, self.http, self.timescale = instance, http, timescale
        self.alerts = AlertsResource(timescale=timescale, urls=f"hook={http.webhook}")
        self.definitions = dg.Definitions(
            assets=[_asset("a"), _asset("b", "a"), _asset("c", "b")],
            jobs=[plain_job],
            sensors=[build_alerts_sensor(), other],
            schedules=[hourly],
            resources={"alerts": self.alerts},
            executor=dg.in_process_executor,
        )
        self.repository = self.definitions.get_repository_def()
        self.cursor: str | None = None

    def run(self, *names: str) -> bool:
        job = self.definitions.resolve_implicit_global_asset_job_def()
        keys = [dg.AssetKey(["staging", name]) for name in names]
        done = job.execute_in_process(instance=self.instance, asset_selection=keys, raise_on_error=False)
        return done.success

    def run_job(self) -> bool:
        job = self.definitions.resolve_job_def("plain_job")
        return job.execute_in_process(instance=self.instance, raise_on_error=False).success

    def tick(self, **resources: Any) -> str:
        """What one tick says."""
        sensor = self.definitions.resolve_sensor_def("alerts")
        with dg.build_sensor_context(
            instance=self.instance,
            resources={"alerts": self.alerts} | resources,
            cursor=self.cursor,
            definitions=self.definitions,
        ) as context:
            data = sensor.evaluate_tick(context)
        self.cursor = data.cursor
        return str(data.skip_message)

    @property
    def titles(self) -> list[str]:
        return [body["title"] for body in self.http.to("/hook")]

    def failures(self) -> dict[str, int]:
        with self.timescale.connect() as connection:
            return {row.subject: row.failures for row in connection.execute(sa.select(RUN_FAILURES))}


@pytest.fixture(scope="module")
def http() -> Iterator[HttpReceiver]:
    with receivers() as (http, _):
        yield http


@pytest.fixture(scope="module")
def database(module_postgres_url: str) -> CatalogedTimescale:
    return CatalogedTimescale(database_url=module_postgres_url)


@pytest.fixture(scope="module")
def instance(database: CatalogedTimescale) -> Iterator[dg.DagsterInstance]:
    """Dagster's storage as it is deployed, in the database."""
    url = database.url().replace("postgresql://", "postgresql+psycopg2://", 1)
    with dg.instance_for_test(overrides={"storage": {"postgres": {"postgres_url": url}}}) as instance:
        yield instance


@pytest.fixture
def stand(database: CatalogedTimescale, instance: dg.DagsterInstance, http: HttpReceiver) -> Stand:
    BROKEN.clear()
    http.posts.clear()
    http.answers.clear()
    with database.connect() as connection:
        for table in (ALERT_DELIVERIES, ALERTS, RUN_FAILURES, EVENT_POSITIONS):
            connection.execute(sa.delete(table))
    instance.wipe()
    instance.schedule_storage.wipe()
    return Stand(database, instance, http)


def test_an_idle_system_is_told_nothing(stand: Stand) -> None:
    stand.run("a", "b", "c")
    assert stand.tick() == stand.tick() == "nothing new"
    assert stand.titles == []


def test_a_failed_run_is_an_error_three_in_a_row_are_critical_and_a_success_ends_it(stand: Stand) -> None:
    BROKEN.add("a")
    for _ in range(3):
        assert not stand.run("a")
        stand.tick()
        stand.tick()
    assert stand.titles == ["[ERROR] staging.a failed", "[CRITICAL] staging.a failed 3 times in a row"]
    told = str(stand.http.posts)
    assert "ValueError" in told and "no disk for a" in told and SECRET not in told
    BROKEN.clear()
    assert stand.run("a")
    assert "well again failure/staging.a" in stand.tick()
    assert stand.titles[2:] == ["[RESOLVED] staging.a failed 3 times in a row"]
    assert stand.failures() == {}


def test_a_run_counts_for_what_failed_first_in_it(stand: Stand) -> None:
    BROKEN.update({"a", "b"})
    assert not stand.run("a", "b", "c")
    stand.tick()
    assert stand.failures() == {"staging.a": 1}


def test_downstream_failures_are_silenced_under_the_root(stand: Stand) -> None:
    BROKEN.update({"a", "b", "c"})
    for name in ("c", "b", "a"):
        stand.run(name)
    stand.tick()
    assert stand.titles == ["[ERROR] staging.a failed"]
    assert "failure/staging.b" in str(stand.http.posts) and "failure/staging.c" in str(stand.http.posts)
    BROKEN.clear()
    stand.run("a")
    stand.tick()
    assert stand.titles[1:] == ["[RESOLVED] staging.a failed"], "b and c get time to be computed again"


def test_a_failed_job_without_assets_is_told_and_ends(stand: Stand) -> None:
    BROKEN.add("work")
    assert not stand.run_job()
    stand.tick()
    BROKEN.clear()
    assert stand.run_job()
    stand.tick()
    assert stand.titles == ["[ERROR] plain_job failed", "[RESOLVED] plain_job failed"]


def test_a_look_that_was_cut_off_counts_nothing_twice(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    BROKEN.add("a")
    stand.run("a")

    class Killed(Exception): ...

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(AlertsResource, "look", killed)
        with pytest.raises(Killed):
            stand.tick()
    stand.tick()
    assert stand.failures() == {"staging.a": 1}
    assert stand.titles == ["[ERROR] staging.a failed"]


def test_a_new_event_log_is_read_from_where_it_begins_to_differ(stand: Stand) -> None:
    BROKEN.add("a")
    with stand.timescale.connect() as connection:
        connection.execute(sa.insert(EVENT_POSITIONS).values(reader="alerts", event_id=10**9))
    stand.tick()
    stand.run("a")
    stand.tick()
    assert stand.failures() == {"staging.a": 1}


def test_a_table_that_is_no_more_is_forgotten(stand: Stand) -> None:
    with stand.timescale.connect() as connection:
        gone = {"subject": "staging.gone", "is_table": True, "failures": 2, "event_id": 1, "run_id": "r", "error": ""}
        connection.execute(sa.insert(RUN_FAILURES).values(**gone, failed_at=datetime.now(UTC)))
    stand.tick()
    assert stand.failures() == {}


def test_neither_a_channel_nor_the_database_that_is_away_fails_a_tick(stand: Stand) -> None:
    BROKEN.add("a")
    stand.run("a")
    stand.http.answers[:] = [503]
    assert "channel hook: json answered 503" in stand.tick()
    nowhere = CatalogedTimescale(database_url="postgresql://nobody@127.0.0.1:1/none?connect_timeout=2")
    assert "the catalog does not answer" in stand.tick(alerts=AlertsResource(timescale=nowhere))


def test_the_deployed_graph_is_looked_at_and_its_failed_run_told(stand: Stand, tmp_path: Path) -> None:
    graph = Graph(stand.timescale.database_url, tmp_path, instance=stand.instance)
    stand.definitions = graph.definitions
    assert stand.tick(alerts=graph.alerts) == "nothing new"
    assert not graph.run(date(2025, 3, 1), tables=[OPENAQ_MEASUREMENTS.qualified]).success
    assert "failure/staging.openaq_measurements" in stand.tick(alerts=graph.alerts)
    (alert,) = graph.alerts.open_alerts()
    assert (alert.root_asset, alert.level) == (OPENAQ_MEASUREMENTS.qualified, "error")
    assert "for 2025-03-01" in alert.body


# --- silence ----------------------------------------------------------------------------------------------------------


def ticked(
    instance: dg.DagsterInstance,
    kind: InstigatorType,
    name: str,
    at: datetime,
    status: TickStatus = TickStatus.SKIPPED,
    *,
    is_on: bool = True,
) -> None:
    """Notes a tick as the daemon does."""
    origin = RemoteInstigatorOrigin(
        RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("tidemark"), "__repository__"), name
    )
    state = InstigatorStatus.DECLARED_IN_CODE if is_on else InstigatorStatus.STOPPED
    data = (
        SensorInstigatorData(min_interval=60)
        if kind is InstigatorType.SENSOR
        else ScheduleInstigatorData("0 * * * *", start_timestamp=None)
    )
    if not instance.get_instigator_state(origin.get_id(), origin.get_selector().get_id()):
        instance.add_instigator_state(InstigatorState(origin, kind, state, data))
    selector, error = origin.get_selector().get_id(), None
    if status is TickStatus.FAILURE:
        error = SerializableErrorInfo("it broke", [], "ValueError")
    told = TickData(origin.get_id(), name, kind, status, at.timestamp(), error=error, selector_id=selector)
    instance.create_tick(told)


def silent_ones(stand: Stand, since: datetime) -> list[str]:
    found = silent(stand.instance, stand.repository, but="alerts", limit_s=1800, since=since)
    return [one.subject for one in found]


def test_who_is_overdue_is_silent_and_who_ticks_or_is_off_is_not(stand: Stand) -> None:
    now = datetime.now(UTC)
    long_ago = now - timedelta(days=9)
    ticked(stand.instance, InstigatorType.SENSOR, "other", now - timedelta(minutes=32))
    ticked(stand.instance, InstigatorType.SCHEDULE, "hourly", now - timedelta(hours=4))
    assert silent_ones(stand, long_ago) == ["sensor/other", "schedule/hourly"]
    ticked(stand.instance, InstigatorType.SENSOR, "other", now - timedelta(seconds=5), TickStatus.FAILURE)
    found = silent(stand.instance, stand.repository, but="alerts", limit_s=1800, since=long_ago)
    assert found[0].subject == "sensor/other" and "it fails: it broke" in found[0].body
    ticked(stand.instance, InstigatorType.SENSOR, "other", now)
    ticked(stand.instance, InstigatorType.SCHEDULE, "hourly", now.replace(minute=0, second=0))
    assert silent_ones(stand, long_ago) == []


def test_who_was_switched_off_is_not_silent(stand: Stand) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=9)
    for kind, name in ((InstigatorType.SENSOR, "other"), (InstigatorType.SCHEDULE, "hourly")):
        ticked(stand.instance, kind, name, long_ago, is_on=False)
    assert silent_ones(stand, long_ago) == []


def test_who_never_ticked_is_silent_once_everything_ran_long_enough(stand: Stand) -> None:
    now = datetime.now(UTC)
    assert silent_ones(stand, now - timedelta(minutes=20)) == []
    assert silent_ones(stand, now - timedelta(hours=3)) == ["sensor/other", "schedule/hourly"]


def test_what_the_daemon_missed_while_it_was_down_is_held_against_nobody(stand: Stand) -> None:
    ticked(stand.instance, InstigatorType.SENSOR, "other", datetime.now(UTC) - timedelta(days=1))
    assert stand.tick() == "nothing new"
    first = stand.cursor
    assert stand.tick() == "nothing new"
    assert str(stand.cursor).split('"last"')[0] == str(first).split('"last"')[0], "it has looked without a gap"
    stand.cursor = str(first).replace(str(datetime.now(UTC).year), str(datetime.now(UTC).year - 1))
    assert timedelta(days=300) > GAP
    assert stand.tick() == "nothing new"
