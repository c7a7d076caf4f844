"""The outbox: alerts and what has still to be told of them, written together.

An alert is open once per identity (a partial unique index decides), and due once per channel, kind and level: two
sensors that see the same thing at the same time write the same rows. A level that rises is told again; one that falls
is not. What is gone is told where its beginning was; where that is still waiting, one message tells both.

Belongs here: statements on `catalog.alerts`, and those that make deliveries due. Does not belong here: sending them
(`delivery.py`), what is an incident (`finding.py`).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from resources.alerts.channel import Channel
from resources.alerts.finding import FAILURE, GRACE, Grouped, Incident
from resources.alerts.level import Level, level_of
from resources.alerts.message import RAISED, RESOLVED
from resources.catalog.rows import selected, storable
from resources.errors import ConfigurationError
from schemas.catalog_alerts import ALERT_DELIVERIES, ALERTS, LEVELS

KEPT_FOR = timedelta(days=180)
"""Resolved alerts older than that are removed, with their deliveries."""

MOST_SILENCED = 1_000
"""Identities kept of what an incident silences; the count says how many there are."""


@dataclass(frozen=True)
class Recorded:
    """What one look changed."""

    raised: tuple[str, ...] = ()
    resolved: tuple[str, ...] = ()


def record(
    connection: sa.Connection,
    found: Grouped,
    looked_at: Collection[str],
    channels: Sequence[Channel],
    *,
    now: datetime,
    is_resolved_told: bool = True,
) -> Recorded:
    """Takes in one look at the conditions `looked_at`: raises incidents, resolves what is gone, makes both due.

    Open alerts of a condition that could not be looked at stay as they are.
    """
    before = {
        row.identity for row in connection.execute(sa.select(ALERTS.c.identity).where(_is_open()).with_for_update())
    }
    raised = _raise(connection, found.incidents, now)
    _make_due(connection, raised, channels, now)
    present = {one.finding.identity for one in found.incidents} | found.held
    gone = before - present
    resolved = _resolve(connection, gone, looked_at, now)
    if is_resolved_told:
        _make_ends_due(connection, resolved, channels, now)
    connection.execute(sa.delete(ALERTS).where(ALERTS.c.state == "resolved", ALERTS.c.last_seen_at < now - KEPT_FOR))
    return Recorded(
        tuple(sorted(row.identity for row in raised if row.identity not in before)),
        tuple(sorted(row.identity for row in resolved)),
    )


def open_alerts(connection: sa.Connection) -> Sequence[sa.Row[Any]]:
    """The open alerts, the most urgent and then the oldest first."""
    urgency = _rank(ALERTS.c.level).desc()
    return connection.execute(sa.select(ALERTS).where(_is_open()).order_by(urgency, ALERTS.c.alert_id)).all()


def deliveries_of(connection: sa.Connection, alert_ids: Collection[int]) -> Sequence[sa.Row[Any]]:
    """What was told, or is still to be told, of the alerts."""
    mine = ALERT_DELIVERIES.c.alert_id.in_(list(alert_ids))
    return connection.execute(sa.select(ALERT_DELIVERIES).where(mine).order_by(ALERT_DELIVERIES.c.delivery_id)).all()


def acknowledge(connection: sa.Connection, alert_id: int, *, now: datetime) -> str:
    """Notes that somebody took the alert on; what was still to be told of it is dropped. Its title.

    Raises:
        ConfigurationError: no open alert has this number.
    """
    statement = (
        sa.update(ALERTS)
        .where(ALERTS.c.alert_id == alert_id, _is_open())
        .values(acknowledged_at=sa.func.coalesce(ALERTS.c.acknowledged_at, now))
        .returning(ALERTS.c.title)
    )
    title = connection.execute(statement).scalar_one_or_none()
    if title is None:
        raise ConfigurationError(f"no open alert has the number {alert_id}: see tidemark alerts list")
    _drop(connection, ALERT_DELIVERIES.c.alert_id == alert_id, "acknowledged")
    return str(title)


def recovered_since(connection: sa.Connection, failing: Collection[str], now: datetime) -> dict[str, datetime]:
    """Tables that had failed, are not among those that are failing, and were found to be well lately: when that was."""
    lately = sa.and_(ALERTS.c.last_seen_at >= now - GRACE - GRACE, ALERTS.c.resolved_at >= now - GRACE)
    query = sa.select(ALERTS.c.root_asset, sa.func.max(sa.func.coalesce(ALERTS.c.resolved_at, now))).where(
        ALERTS.c.condition == FAILURE,
        ALERTS.c.root_asset.is_not(None),
        ALERTS.c.root_asset.not_in(sorted(failing)),
        sa.or_(_is_open(), lately),
    )
    return {name: at for name, at in connection.execute(query.group_by(ALERTS.c.root_asset))}


def _is_open() -> sa.ColumnElement[bool]:
    return ALERTS.c.state == "open"


def _rank(level: sa.ColumnElement[str]) -> sa.ColumnElement[int]:
    return sa.func.array_position(sa.cast(list(LEVELS), sa.ARRAY(sa.Text)), level)


def _raise(connection: sa.Connection, incidents: Iterable[Incident], now: datetime) -> Sequence[sa.Row[Any]]:
    names = ["identity", "condition", "level", "title", "body", "root_asset", "silenced", "count"]
    rows = sorted((_row(one) for one in incidents), key=lambda row: str(row["identity"]))
    if not rows:
        return []
    moments = [sa.literal(now, sa.DateTime(timezone=True)).label(name) for name in ("first_seen_at", "last_seen_at")]
    given = selected(ALERTS, names, rows).add_columns(*moments)
    statement = insert(ALERTS).from_select([*names, "first_seen_at", "last_seen_at"], given)
    new = statement.excluded
    rises = _rank(new.level) > _rank(ALERTS.c.level)
    fresh = {name: new[name] for name in ("title", "body", "root_asset", "silenced", "count", "last_seen_at")}
    upsert = statement.on_conflict_do_update(
        index_elements=[ALERTS.c.identity],
        index_where=ALERTS.c.state == "open",
        set_={**fresh, "level": sa.case((rises, new.level), else_=ALERTS.c.level)},
    )
    return connection.execute(upsert.returning(*ALERTS.c)).all()


def _row(incident: Incident) -> dict[str, object]:
    one = incident.finding
    return {
        "identity": storable(one.identity),
        "condition": one.condition,
        "level": one.level.word,
        "title": one.title,
        "body": one.body,
        "root_asset": one.asset,
        "silenced": [silenced.identity for silenced in incident.silenced[:MOST_SILENCED]],
        "count": one.count,
    }


def _make_due(
    connection: sa.Connection, raised: Sequence[sa.Row[Any]], channels: Sequence[Channel], now: datetime
) -> None:
    told = [row for row in raised if row.acknowledged_at is None]
    _enter(connection, ((row.alert_id, channel.name, RAISED, row.level) for row in told for channel in channels
                        if channel.wants(level_of(row.level))), now)  # fmt: skip
    for level in Level:
        ids = [row.alert_id for row in told if row.level == level.word]
        lower = ALERT_DELIVERIES.c.level.in_(LEVELS[:level])
        if ids and level > Level.INFO:
            _drop(connection, sa.and_(ALERT_DELIVERIES.c.alert_id.in_(ids), lower), "told with a higher level")


def _resolve(
    connection: sa.Connection, gone: Collection[str], looked_at: Collection[str], now: datetime
) -> Sequence[sa.Row[Any]]:
    if not gone:
        return []
    statement = (
        sa.update(ALERTS)
        .where(_is_open(), ALERTS.c.identity.in_(sorted(gone)), ALERTS.c.condition.in_(list(looked_at)))
        .values(state="resolved", resolved_at=now)
    )
    return connection.execute(statement.returning(ALERTS.c.alert_id, ALERTS.c.identity, ALERTS.c.level)).all()


def _make_ends_due(
    connection: sa.Connection, resolved: Sequence[sa.Row[Any]], channels: Sequence[Channel], now: datetime
) -> None:
    if not resolved:
        return
    levels = {row.alert_id: row.level for row in resolved}
    # Locked, so that a message that is being sent right now counts as sent.
    begun = connection.execute(
        sa.select(ALERT_DELIVERIES.c.alert_id, ALERT_DELIVERIES.c.channel, ALERT_DELIVERIES.c.state)
        .where(ALERT_DELIVERIES.c.alert_id.in_(list(levels)), ALERT_DELIVERIES.c.kind == RAISED)
        .with_for_update()
    ).all()
    present = {channel.name for channel in channels if channel.is_on}
    pending = {(row.alert_id, row.channel) for row in begun if row.state == "pending"}
    sent = {(row.alert_id, row.channel) for row in begun if row.state == "sent" and row.channel in present}
    _enter(connection, ((alert_id, name, RESOLVED, levels[alert_id]) for alert_id, name in sorted(sent - pending)), now)


def _enter(connection: sa.Connection, due: Iterable[tuple[int, str, str, str]], now: datetime) -> None:
    names = ["alert_id", "channel", "kind", "level"]
    rows = [dict(zip(names, one, strict=True)) for one in due]
    if not rows:
        return
    moments = [sa.literal(now, sa.DateTime(timezone=True)).label(name) for name in ("created_at", "next_attempt_at")]
    given = selected(ALERT_DELIVERIES, names, rows).add_columns(*moments)
    statement = insert(ALERT_DELIVERIES).from_select([*names, "created_at", "next_attempt_at"], given)
    connection.execute(statement.on_conflict_do_nothing(index_elements=names))


def _drop(connection: sa.Connection, which: sa.ColumnElement[bool], reason: str) -> None:
    waits = sa.and_(which, ALERT_DELIVERIES.c.state == "pending", ALERT_DELIVERIES.c.kind == RAISED)
    connection.execute(sa.update(ALERT_DELIVERIES).where(waits).values(state="dropped", last_error=reason))
