"""The catalog's table of incidents."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "09_create_incident_tables"
down_revision = "08_create_profile_tables"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "incidents",
        sa.Column("incident_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column(
            "entity", postgresql.JSONB(), nullable=False, comment="entity columns it is about; those left out: any"
        ),
        sa.Column("metric", sa.Text(), nullable=True, comment="NULL: any"),
        sa.Column("kind", sa.Text(), nullable=True, comment="kind of anomaly it explains; NULL: any"),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, comment="first instant it is about"),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False, comment="last instant it is about"),
        sa.Column(
            "is_expected",
            sa.Boolean(),
            nullable=False,
            comment="whether it is how things are, so that baselines learn from its rows; else they leave them out",
        ),
        sa.Column("note", sa.Text(), nullable=False, comment="what happened, in words"),
        sa.Column("created_by", sa.Text(), nullable=False, comment="who said so"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when",
        ),
        sa.CheckConstraint("ended_at >= started_at", name="incidents_end_after_start"),
        sa.PrimaryKeyConstraint("incident_id", name=op.f("incidents_pkey")),
        schema="catalog",
        comment="Periods of series that people explained: incidents, and anomalies that were expected.",
    )
    op.create_index(
        op.f("incidents_dataset_started_at_idx"),
        "incidents",
        ["dataset", "started_at"],
        unique=False,
        schema="catalog",
    )


def downgrade() -> None:
    op.drop_index(op.f("incidents_dataset_started_at_idx"), table_name="incidents", schema="catalog")
    op.drop_table("incidents", schema="catalog")
