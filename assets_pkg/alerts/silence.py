"""Sensors and schedules that should have run and did not, by Dagster's own records of their ticks.

Belongs here: when one is overdue. Does not belong here: the sensor that asks (`sensor.py`), which cannot tell that it
is silent itself: that the daemon is down, only somebody outside can see.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick, TickStatus
from dagster._utils.schedules import cron_string_iterator

from resources.alerts.finding import SILENCE, Finding
from resources.alerts.level import Level

WELL = [TickStatus.SUCCESS, TickStatus.SKIPPED]
STOPPED = "STOPPED"


@dataclass(frozen=True)
class Watched:
    """What should tick by itself."""

    name: str
    kind: InstigatorType
    every_s: float = 0.0
    """Of a sensor: its interval."""
    cron: str | None = None
    """Of a schedule."""
    zone: str = "UTC"

    def due_at(self, after: datetime) -> datetime:
        """When it should have ticked again after an instant."""
        if self.cron is None:
            return after + timedelta(seconds=self.every_s)
        return next(cron_string_iterator(after.timestamp() + 1, self.cron, self.zone)).astimezone(UTC)


def watched(repository: dg.RepositoryDefinition, *, but: str) -> Iterator[Watched]:
    """What is declared to run by itself, without the one called `but`."""
    for sensor in repository.sensor_defs:
        if sensor.name != but and sensor.default_status is dg.DefaultSensorStatus.RUNNING:
            yield Watched(sensor.name, InstigatorType.SENSOR, every_s=sensor.minimum_interval_seconds or 30)
    for schedule in repository.schedule_defs:
        if schedule.default_status is dg.DefaultScheduleStatus.RUNNING and isinstance(schedule.cron_schedule, str):
            zone = schedule.execution_timezone or "UTC"
            yield Watched(schedule.name, InstigatorType.SCHEDULE, cron=schedule.cron_schedule, zone=zone)


def silent(
    instance: dg.DagsterInstance, repository: dg.RepositoryDefinition, *, but: str, limit_s: float, since: datetime
) -> list[Finding]:
    """Who is overdue by more than `limit_s` seconds. What happened before `since` is held against nobody: the daemon
    was down. Who is switched off is not silent."""
    now = datetime.now(UTC)
    states = {(state.instigator_type, state.instigator_name): state for state in instance.all_instigator_state()}
    found = []
    for one in watched(repository, but=but):
        state = states.get((one.kind, one.name))
        if state is not None and state.status.value == STOPPED:
            continue
        last = _newest(instance, state, WELL)
        due_at = one.due_at(max(since, _at(last)) if last else since)
        if now > due_at + timedelta(seconds=limit_s):
            found.append(_finding(one, last, _newest(instance, state, [TickStatus.FAILURE]), due_at))
    return found


def _newest(
    instance: dg.DagsterInstance, state: InstigatorState | None, statuses: list[TickStatus]
) -> InstigatorTick | None:
    if state is None:
        return None
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1, statuses=statuses)
    return ticks[0] if ticks else None


def _finding(one: Watched, last: InstigatorTick | None, failed: InstigatorTick | None, due_at: datetime) -> Finding:
    kind = one.kind.value.lower()
    ran = f"It last ran well at {_at(last):%Y-%m-%d %H:%M} UTC." if last else "It has never run."
    is_failing = failed is not None and (last is None or failed.timestamp > last.timestamp)
    why = ""
    if is_failing and failed is not None and failed.error:
        why = f" Since then it fails: {' '.join(failed.error.message.split())[:500]}"
    return Finding(
        condition=SILENCE,
        subject=f"{kind}/{one.name}",
        level=Level.ERROR,
        title=f"The {kind} {one.name} is silent",
        body=f"{ran} It was due at {due_at:%Y-%m-%d %H:%M} UTC.{why}",
    )


def _at(tick: InstigatorTick) -> datetime:
    return datetime.fromtimestamp(tick.timestamp, UTC)
