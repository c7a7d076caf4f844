"""The sensor that looks whether anything is wrong, and has people told.

Belongs here: one look. Does not belong here: conditions and channels (`resources/alerts/`). It starts no run, and a
channel that is away fails no tick.
"""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg

from assets_pkg.alerts.failed_runs import read_news
from assets_pkg.alerts.graph import graph_of
from assets_pkg.alerts.silence import silent
from resources.alerts.delivery import Delivered
from resources.alerts.finding import SILENCE
from resources.alerts.outbox import Recorded
from resources.alerts.resource import AlertsResource
from resources.errors import TransientError

NAME = "alerts"
LOOK_EVERY_S = 30
SENDS_FOR = timedelta(seconds=30)
"""After that no message is begun: Dagster gives a tick a minute, and a message takes a quarter of one at most."""

GAP = timedelta(minutes=5)
"""If the sensor itself did not run for so long, everything was down, and silence is counted from then on."""


def build_alerts_sensor() -> dg.SensorDefinition:
    """The sensor behind `tidemark alerts`."""

    @dg.sensor(
        name=NAME,
        minimum_interval_seconds=LOOK_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks for failed runs, low quality, open ledgers, silent sensors and slow APIs; tells people.",
    )
    def alerts(context: dg.SensorEvaluationContext, alerts: AlertsResource) -> dg.SkipReason:
        now = datetime.now(UTC)
        since = _watching_since(context.cursor, now)
        repository = context.repository_def
        if repository is None:
            raise dg.DagsterInvariantViolationError("the sensor looks at the definitions it is loaded with")
        graph = graph_of(repository)
        instance = context.instance
        try:
            alerts.take_in(lambda position, failing: read_news(instance, graph, position, failing))
            quiet_ones = silent(instance, repository, but=NAME, limit_s=alerts.silent_s, since=since)
            recorded = alerts.look(quiet_ones, {SILENCE}, graph.parents, now)
            delivered = alerts.deliver(until=now + SENDS_FOR)
        except TransientError as error:
            return dg.SkipReason(f"the catalog does not answer: {error}")
        context.update_cursor(json.dumps({"since": since.isoformat(), "last": now.isoformat()}))
        return dg.SkipReason(_summary(recorded, delivered))

    return alerts


def _watching_since(cursor: str | None, now: datetime) -> datetime:
    """Since when this sensor has looked without a gap."""
    try:
        known = json.loads(cursor or "")
        since, last = datetime.fromisoformat(known["since"]), datetime.fromisoformat(known["last"])
    except (ValueError, KeyError, TypeError):
        return now
    return since if now - last <= GAP else now


def _summary(recorded: Recorded, delivered: Delivered) -> str:
    parts = []
    if recorded.raised:
        parts.append(f"raised {', '.join(recorded.raised[:5])}{' …' if len(recorded.raised) > 5 else ''}")
    if recorded.resolved:
        parts.append(f"well again {', '.join(recorded.resolved[:5])}{' …' if len(recorded.resolved) > 5 else ''}")
    if delivered.sent:
        parts.append(f"{delivered.sent} message(s) sent")
    parts += [f"channel {name}: {told}" for name, told in delivered.troubles.items()]
    return "; ".join(parts) or "nothing new"
