"""Delivery: what is due goes out, once per channel, as few messages as possible.

The rows of a message are locked while it is sent and noted in the same transaction, and whoever comes meanwhile skips
them: two sensors at once send nothing twice. A process that is killed after the channel took a message and before that
is noted sends it again: at least once, never lost.

Belongs here: what goes into which message, when it is tried again, when it is given up. Does not belong here: wording
(`message.py`), Apprise (`sending.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

import sqlalchemy as sa

from resources.alerts.channel import Channel
from resources.alerts.level import Level, level_of
from resources.alerts.message import RESOLVED, Message, Told, digest, single
from resources.alerts.quiet import QuietHours
from resources.alerts.sending import Arrival, Outcome, Sender
from resources.timescale.resource import TimescaleResource
from schemas.catalog_alerts import ALERT_DELIVERIES, ALERTS

MOST_SINGLE = 5
"""More alerts than that due at once are one message."""

MOST_MESSAGES, WITHIN = 10, timedelta(minutes=10)
"""So many messages a channel gets in that time; what is less than critical waits for the next digest."""

FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(hours=1)
"""Until the second attempt, and between any two; it doubles with every attempt."""

GIVEN_UP_AFTER = timedelta(days=1)
"""A channel that takes nothing for so long is not told what is that old."""


@dataclass(frozen=True)
class Plan:
    """One message."""

    message: Message
    rows: tuple[Told, ...]


@dataclass
class Delivered:
    """What became of what was due."""

    sent: int = 0
    """Messages."""
    troubles: dict[str, str] = field(default_factory=dict)
    """Channel -> why its newest message did not arrive."""


def plan(
    due: Sequence[Told], *, channel: Channel, quiet: QuietHours | None, now: datetime, sent_lately: int
) -> Plan | None:
    """The next message to a channel of what is due there; None: nothing may be told now."""
    is_held = (quiet is not None and quiet.holds(now)) or sent_lately >= MOST_MESSAGES
    ready = [one for one in due if one.level >= Level.CRITICAL or not is_held]
    ends = [one for one in ready if one.kind == RESOLVED]
    if channel.kind == "pagerduty" and ends:
        # It closes an incident by the name of the alert, which a digest has not.
        return Plan(single(ends[0]), (ends[0],))
    was_held = quiet is not None and any(quiet.holds(one.created_at) for one in ready)
    if len(ready) > MOST_SINGLE or (was_held and len(ready) > 1):
        return Plan(digest(ready), tuple(ready))
    if not ready:
        return None
    first = min(ready, key=lambda one: (-one.level, one.delivery_id))
    return Plan(single(first), (first,))


def next_wait(attempts: int) -> timedelta:
    """How long to wait after so many attempts."""
    doubled = FIRST_WAIT * float(2 ** min(max(attempts, 1) - 1, 20))
    return min(doubled, LONGEST_WAIT)


def deliver(
    timescale: TimescaleResource,
    channels: Sequence[Channel],
    sender: Sender,
    *,
    quiet: QuietHours | None,
    clock: Callable[[], datetime],
    until: datetime,
) -> Delivered:
    """Sends what is due, until nothing is or `until` has come. A channel that is away is left alone until its next
    attempt is due, and keeps no other waiting."""
    done = Delivered()
    _drop_unknown(timescale, [channel.name for channel in channels if channel.is_on])
    for channel in channels:
        while channel.is_on and clock() < until and _deliver_next(timescale, channel, sender, quiet, clock, done):
            pass
    return done


def is_anything_due(connection: sa.Connection, now: datetime) -> bool:
    """Whether any channel has something due; one look at an index."""
    mine = sa.and_(ALERT_DELIVERIES.c.state == "pending", ALERT_DELIVERIES.c.next_attempt_at <= now)
    return bool(connection.execute(sa.select(sa.exists().where(mine))).scalar_one())


def _deliver_next(
    timescale: TimescaleResource,
    channel: Channel,
    sender: Sender,
    quiet: QuietHours | None,
    clock: Callable[[], datetime],
    done: Delivered,
) -> bool:
    """Sends one message; whether there may be another one to send now."""
    now = clock()
    with timescale.connect() as connection:
        due = _take(connection, channel.name, now)
        sent_lately = _sent_since(connection, channel.name, now - WITHIN) if due else 0
        found = plan(due, channel=channel, quiet=quiet, now=now, sent_lately=sent_lately) if due else None
        if found is None:
            return False
        outcome = sender.send(channel, found.message)
        _note(connection, found, due, outcome, clock())
    if outcome.arrival is Arrival.ARRIVED:
        done.sent += 1
    else:
        done.troubles[channel.name] = outcome.told
    return outcome.arrival is not Arrival.LATER


def _take(connection: sa.Connection, channel: str, now: datetime) -> list[Told]:
    """What is due, locked; what another process is sending is not there."""
    query = (
        sa.select(
            *(ALERT_DELIVERIES.c[name] for name in ("delivery_id", "kind", "level", "created_at", "attempts")),
            *(
                ALERTS.c[name]
                for name in (
                    "alert_id",
                    "identity",
                    "title",
                    "body",
                    "silenced",
                    "count",
                    "first_seen_at",
                    "resolved_at",
                )
            ),
        )
        .join_from(ALERT_DELIVERIES, ALERTS, ALERTS.c.alert_id == ALERT_DELIVERIES.c.alert_id)
        .where(
            ALERT_DELIVERIES.c.channel == channel,
            ALERT_DELIVERIES.c.state == "pending",
            ALERT_DELIVERIES.c.next_attempt_at <= now,
        )
        .order_by(ALERT_DELIVERIES.c.delivery_id)
        .with_for_update(of=ALERT_DELIVERIES, skip_locked=True)
    )
    return [Told(**(row._asdict() | {"level": level_of(row.level)})) for row in connection.execute(query)]


def _sent_since(connection: sa.Connection, channel: str, since: datetime) -> int:
    query = sa.select(sa.func.count(ALERT_DELIVERIES.c.message_id.distinct())).where(
        ALERT_DELIVERIES.c.channel == channel, ALERT_DELIVERIES.c.state == "sent", ALERT_DELIVERIES.c.sent_at >= since
    )
    return int(connection.execute(query).scalar_one())


def _note(connection: sa.Connection, found: Plan, due: Sequence[Told], outcome: Outcome, now: datetime) -> None:
    ids = [one.delivery_id for one in found.rows]
    attempts = ALERT_DELIVERIES.c.attempts + 1
    told = sa.update(ALERT_DELIVERIES).where(ALERT_DELIVERIES.c.delivery_id.in_(ids))
    if outcome.arrival is Arrival.ARRIVED:
        sent = {"state": "sent", "sent_at": now, "message_id": uuid4(), "last_error": None}
        connection.execute(told.values(attempts=attempts, **sent))
        return
    if outcome.arrival is Arrival.NEVER:
        connection.execute(told.values(attempts=attempts, state="failed", last_error=outcome.told))
        return
    connection.execute(told.values(attempts=attempts, last_error=outcome.told))
    # Whatever else is due there would meet the same closed door.
    again_at = now + next_wait(max(one.attempts for one in found.rows) + 1)
    waits = sa.update(ALERT_DELIVERIES).where(ALERT_DELIVERIES.c.delivery_id.in_([one.delivery_id for one in due]))
    connection.execute(waits.values(next_attempt_at=again_at))
    old = waits.where(ALERT_DELIVERIES.c.delivery_id.in_(ids), ALERT_DELIVERIES.c.created_at < now - GIVEN_UP_AFTER)
    connection.execute(old.values(state="failed"))


def _drop_unknown(timescale: TimescaleResource, names: Sequence[str]) -> None:
    waits = sa.and_(ALERT_DELIVERIES.c.state == "pending", ALERT_DELIVERIES.c.channel.not_in(list(names)))
    with timescale.connect() as connection:
        connection.execute(
            sa.update(ALERT_DELIVERIES).where(waits).values(state="dropped", last_error="the channel is off or gone")
        )
