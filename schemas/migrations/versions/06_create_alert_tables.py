"""The catalog's tables of alerts, and of how long APIs took to answer."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "06_create_alert_tables"
down_revision = "05_create_feature_tables"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("alert_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "identity", sa.Text(), nullable=False, comment="condition/subject; one alert of it is open at a time"
        ),
        sa.Column("condition", sa.Text(), nullable=False, comment="what was looked at, e.g. failure, quality, silence"),
        sa.Column("level", sa.Text(), nullable=False, comment="the highest it had: info, warning, error or critical"),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False, comment="what, where, what to do; holds no secret"),
        sa.Column("root_asset", sa.Text(), nullable=True, comment="schema.table it starts from, if it is about one"),
        sa.Column(
            "silenced",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="[]",
            nullable=False,
            comment="identities downstream it stands for",
        ),
        sa.Column(
            "count",
            sa.BigInteger(),
            nullable=False,
            comment="occurrences it stands for: failures in a row, days, ...",
        ),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column(
            "first_seen_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when the condition was first seen",
        ),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False, comment="when it was last seen"),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True, comment="when it was gone"),
        sa.Column(
            "acknowledged_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when somebody took it on; from then on nobody is told of it",
        ),
        sa.CheckConstraint("state IN ('open', 'resolved')", name="alerts_state"),
        sa.CheckConstraint("level IN ('info', 'warning', 'error', 'critical')", name="alerts_level"),
        sa.PrimaryKeyConstraint("alert_id", name=op.f("alerts_pkey")),
        schema="catalog",
        comment="Alerts, open and resolved; one is open per identity.",
    )
    op.create_index(op.f("alerts_last_seen_at_idx"), "alerts", ["last_seen_at"], unique=False, schema="catalog")
    op.create_index(
        "alerts_open_key",
        "alerts",
        ["identity"],
        unique=True,
        schema="catalog",
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "alert_deliveries",
        sa.Column("delivery_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("alert_id", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False, comment="name of the channel, never its address"),
        sa.Column("kind", sa.Text(), nullable=False, comment="raised or resolved"),
        sa.Column(
            "level",
            sa.Text(),
            nullable=False,
            comment="of the alert when this was due; a higher one is told again",
        ),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, comment="when it became due"),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False, comment="not before then is it tried"),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True, comment="when the channel took it"),
        sa.Column(
            "message_id", sa.Uuid(), nullable=True, comment="message it went out with; those of one digest share it"
        ),
        sa.Column("last_error", sa.Text(), nullable=True, comment="why the newest attempt failed; holds no secret"),
        sa.CheckConstraint("kind IN ('raised', 'resolved')", name="alert_deliveries_kind"),
        sa.CheckConstraint("level IN ('info', 'warning', 'error', 'critical')", name="alert_deliveries_level"),
        sa.CheckConstraint("state IN ('pending', 'sent', 'failed', 'dropped')", name="alert_deliveries_state"),
        sa.ForeignKeyConstraint(["alert_id"], ["catalog.alerts.alert_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("delivery_id", name=op.f("alert_deliveries_pkey")),
        sa.UniqueConstraint(
            "alert_id", "channel", "kind", "level", name=op.f("alert_deliveries_alert_id_channel_kind_level_key")
        ),
        schema="catalog",
        comment="The outbox: one row per alert, channel and thing to tell.",
    )
    for state, column in (("pending", "next_attempt_at"), ("sent", "sent_at")):
        op.create_index(
            f"alert_deliveries_{state}_idx",
            "alert_deliveries",
            ["channel", column],
            unique=False,
            schema="catalog",
            postgresql_where=sa.column("state") == sa.literal_column(f"'{state}'"),
        )
    op.create_table(
        "run_failures",
        sa.Column("subject", sa.Text(), nullable=False, comment="schema.table, or the job of a run that fills none"),
        sa.Column("is_table", sa.Boolean(), nullable=False, comment="whether the subject is a table"),
        sa.Column("failures", sa.Integer(), nullable=False, comment="failed runs in a row"),
        sa.Column("event_id", sa.BigInteger(), nullable=False, comment="Dagster's event of the newest of them"),
        sa.Column("run_id", sa.Text(), nullable=False, comment="Dagster run of the newest of them"),
        sa.Column("days", sa.Text(), nullable=True, comment="UTC days it was about"),
        sa.Column("error", sa.Text(), nullable=False, comment="why it failed; holds no secret"),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=False, comment="when it failed"),
        sa.PrimaryKeyConstraint("subject", name=op.f("run_failures_pkey")),
        schema="catalog",
        comment="Tables whose newest run failed; a success removes the row.",
    )
    op.create_table(
        "event_positions",
        sa.Column("reader", sa.Text(), nullable=False, comment="who reads Dagster's event log"),
        sa.Column("event_id", sa.BigInteger(), nullable=False, comment="newest event it has taken in"),
        sa.PrimaryKeyConstraint("reader", name=op.f("event_positions_pkey")),
        schema="catalog",
        comment="How far Dagster's event log has been taken in, in the transaction that did so.",
    )
    op.create_table(
        "api_answers",
        sa.Column("api", sa.Text(), nullable=False, comment="openaq, or source/<dataset>"),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False, comment="start of the UTC hour"),
        sa.Column("answers", sa.BigInteger(), nullable=False, comment="answers and failures of the hour"),
        sa.Column("total_s", sa.Double(), nullable=False, comment="what they took together, seconds"),
        sa.Column("slowest_s", sa.Double(), nullable=False, comment="what the slowest took, seconds"),
        sa.PrimaryKeyConstraint("api", "hour", name=op.f("api_answers_pkey")),
        schema="catalog",
        comment="How long APIs took to answer, by the hour; older hours are removed.",
    )


def downgrade() -> None:
    for name in ("api_answers", "event_positions", "run_failures", "alert_deliveries", "alerts"):
        op.drop_table(name, schema="catalog")
