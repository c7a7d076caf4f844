"""The catalog's table of runs that ended."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "11_create_run_summaries"
down_revision = "10_add_circuit_opened_at"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "run_summaries",
        sa.Column("run_id", sa.Text(), nullable=False, comment="Dagster run"),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column(
            "datasets", postgresql.JSONB(), nullable=False, comment="datasets whose tables it filled, or tried to"
        ),
        sa.Column("tables", postgresql.JSONB(), nullable=False, comment="schema.table of these tables"),
        sa.Column("first_day", sa.Date(), nullable=True, comment="UTC, inclusive; NULL: it was about no days"),
        sa.Column("last_day", sa.Date(), nullable=True, comment="UTC, inclusive"),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, comment="when it began"),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False, comment="when it ended"),
        sa.Column("duration_s", sa.Double(), nullable=False, comment="from its start to its end, seconds"),
        sa.Column("rows_read", sa.BigInteger(), nullable=False, comment="by the ledger, over all its tables"),
        sa.Column("rows_written", sa.BigInteger(), nullable=False, comment="rows in the slices it wrote"),
        sa.Column("rows_quarantined", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False, comment="of files, and of values from sources"),
        sa.Column("records_ingested", sa.BigInteger(), nullable=False, comment="rows written to tables of staging"),
        sa.Column(
            "rules_judged", sa.BigInteger(), nullable=False, comment="verdicts, those without enough data left out"
        ),
        sa.Column("rules_passed", sa.BigInteger(), nullable=False),
        sa.Column("feature_count", sa.BigInteger(), nullable=False, comment="features of the feature tables it wrote"),
        sa.Column("code_version", sa.Text(), nullable=False, comment="version of this product"),
        sa.Column("error", sa.Text(), nullable=True, comment="why it failed; holds no secret"),
        sa.Column(
            "summarised_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when this was written",
        ),
        sa.Column(
            "tracked_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the tracking server took it; NULL: not yet, or there is none",
        ),
        sa.CheckConstraint("status IN ('succeeded', 'failed', 'cancelled')", name="run_summaries_status"),
        sa.PrimaryKeyConstraint("run_id", name=op.f("run_summaries_pkey")),
        schema="catalog",
        comment="Every run that ended: what it was about, what it did, how it ended.",
    )
    op.create_index(op.f("run_summaries_ended_at_idx"), "run_summaries", ["ended_at"], unique=False, schema="catalog")
    op.create_index(
        "run_summaries_untracked_idx",
        "run_summaries",
        ["ended_at"],
        unique=False,
        schema="catalog",
        postgresql_where=sa.text("tracked_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_index("run_summaries_untracked_idx", table_name="run_summaries", schema="catalog")
    op.drop_index(op.f("run_summaries_ended_at_idx"), table_name="run_summaries", schema="catalog")
    op.drop_table("run_summaries", schema="catalog")
