"""The catalog's tables of alerts: what is wrong, who has been told, and what alerts are counted from.

Belongs here: SQLAlchemy tables of schema `catalog` about alerts. Does not belong here: queries (`resources/alerts/`),
when something is worth an alert (`resources/alerts/conditions.py`), addresses of channels, which are secrets and stay
in the settings.
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from schemas.catalog_features import METADATA as METADATA

LEVELS = ("info", "warning", "error", "critical")
"""From the least to the most urgent."""


def _instant(name: str, *, nullable: bool = False, now: bool = False, comment: str) -> sa.Column[object]:
    default = sa.func.now() if now else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=default, comment=comment)


ALERTS = sa.Table(
    "alerts",
    METADATA,
    sa.Column("alert_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("identity", sa.Text, nullable=False, comment="condition/subject; one alert of it is open at a time"),
    sa.Column("condition", sa.Text, nullable=False, comment="what was looked at, e.g. failure, quality, silence"),
    sa.Column("level", sa.Text, nullable=False, comment="the highest it had: info, warning, error or critical"),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False, comment="what, where, what to do; holds no secret"),
    sa.Column("root_asset", sa.Text, comment="schema.table it starts from, if it is about one"),
    sa.Column("silenced", JSONB, nullable=False, server_default="[]", comment="identities downstream it stands for"),
    sa.Column(
        "count", sa.BigInteger, nullable=False, comment="occurrences it stands for: failures in a row, days, ..."
    ),
    sa.Column("state", sa.Text, nullable=False, server_default="open"),
    _instant("first_seen_at", comment="when the condition was first seen"),
    _instant("last_seen_at", comment="when it was last seen"),
    _instant("resolved_at", nullable=True, comment="when it was gone"),
    _instant("acknowledged_at", nullable=True, comment="when somebody took it on; from then on nobody is told of it"),
    sa.CheckConstraint(sa.column("state").in_(["open", "resolved"]), name="alerts_state"),
    sa.CheckConstraint(sa.column("level").in_(LEVELS), name="alerts_level"),
    sa.Index(None, "last_seen_at"),
    comment="Alerts, open and resolved; one is open per identity.",
)
sa.Index("alerts_open_key", ALERTS.c.identity, unique=True, postgresql_where=ALERTS.c.state == "open")

ALERT_DELIVERIES = sa.Table(
    "alert_deliveries",
    METADATA,
    sa.Column("delivery_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("alert_id", sa.BigInteger, sa.ForeignKey(ALERTS.c.alert_id, ondelete="CASCADE"), nullable=False),
    sa.Column("channel", sa.Text, nullable=False, comment="name of the channel, never its address"),
    sa.Column("kind", sa.Text, nullable=False, comment="raised or resolved"),
    sa.Column("level", sa.Text, nullable=False, comment="of the alert when this was due; a higher one is told again"),
    sa.Column("state", sa.Text, nullable=False, server_default="pending"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    _instant("created_at", comment="when it became due"),
    _instant("next_attempt_at", comment="not before then is it tried"),
    _instant("sent_at", nullable=True, comment="when the channel took it"),
    sa.Column("message_id", sa.Uuid, comment="message it went out with; those of one digest share it"),
    sa.Column("last_error", sa.Text, comment="why the newest attempt failed; holds no secret"),
    sa.UniqueConstraint("alert_id", "channel", "kind", "level"),
    sa.CheckConstraint(sa.column("kind").in_(["raised", "resolved"]), name="alert_deliveries_kind"),
    sa.CheckConstraint(sa.column("level").in_(LEVELS), name="alert_deliveries_level"),
    sa.CheckConstraint(sa.column("state").in_(["pending", "sent", "failed", "dropped"]), name="alert_deliveries_state"),
    comment="The outbox: one row per alert, channel and thing to tell.",
)
sa.Index(
    "alert_deliveries_pending_idx",
    ALERT_DELIVERIES.c.channel,
    ALERT_DELIVERIES.c.next_attempt_at,
    postgresql_where=ALERT_DELIVERIES.c.state == "pending",
)
sa.Index(
    "alert_deliveries_sent_idx",
    ALERT_DELIVERIES.c.channel,
    ALERT_DELIVERIES.c.sent_at,
    postgresql_where=ALERT_DELIVERIES.c.state == "sent",
)

RUN_FAILURES = sa.Table(
    "run_failures",
    METADATA,
    sa.Column("subject", sa.Text, primary_key=True, comment="schema.table, or the job of a run that fills none"),
    sa.Column("is_table", sa.Boolean, nullable=False, comment="whether the subject is a table"),
    sa.Column("failures", sa.Integer, nullable=False, comment="failed runs in a row"),
    sa.Column("event_id", sa.BigInteger, nullable=False, comment="Dagster's event of the newest of them"),
    sa.Column("run_id", sa.Text, nullable=False, comment="Dagster run of the newest of them"),
    sa.Column("days", sa.Text, comment="UTC days it was about"),
    sa.Column("error", sa.Text, nullable=False, comment="why it failed; holds no secret"),
    _instant("failed_at", comment="when it failed"),
    comment="Tables whose newest run failed; a success removes the row.",
)

EVENT_POSITIONS = sa.Table(
    "event_positions",
    METADATA,
    sa.Column("reader", sa.Text, primary_key=True, comment="who reads Dagster's event log"),
    sa.Column("event_id", sa.BigInteger, nullable=False, comment="newest event it has taken in"),
    comment="How far Dagster's event log has been taken in, in the transaction that did so.",
)

API_ANSWERS = sa.Table(
    "api_answers",
    METADATA,
    sa.Column("api", sa.Text, nullable=False, comment="openaq, or source/<dataset>"),
    _instant("hour", comment="start of the UTC hour"),
    sa.Column("answers", sa.BigInteger, nullable=False, comment="answers and failures of the hour"),
    sa.Column("total_s", sa.Double, nullable=False, comment="what they took together, seconds"),
    sa.Column("slowest_s", sa.Double, nullable=False, comment="what the slowest took, seconds"),
    sa.PrimaryKeyConstraint("api", "hour"),
    comment="How long APIs took to answer, by the hour; older hours are removed.",
)
