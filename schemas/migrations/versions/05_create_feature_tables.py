"""The catalog's tables of served features and of reads from sources."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "05_create_feature_tables"
down_revision = "04_create_file_tables"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(sa.schema.CreateSequence(sa.Sequence("pending_version", schema="catalog")))
    op.create_table(
        "feature_pending",
        sa.Column("view", sa.Text(), nullable=False, comment="Feast view whose online row is out of date"),
        sa.Column("key", sa.Text(), nullable=False, comment="values of the view's entities, as a JSON array"),
        sa.Column(
            "touched_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="newest row that changed; NULL: whichever is the newest",
        ),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="of the mark; a new one with every change"),
        sa.Column(
            "marked_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when it was marked last",
        ),
        sa.PrimaryKeyConstraint("view", "key", name=op.f("feature_pending_pkey")),
        schema="catalog",
        comment="Keys whose newest row has still to be written to the online store; writing it removes the mark.",
    )
    op.create_table(
        "feature_views",
        sa.Column("view", sa.Text(), nullable=False, comment="name of the Feast view"),
        sa.Column("definition", sa.Text(), nullable=False, comment="digest of the definition Feast was told last"),
        sa.Column(
            "online_store", sa.Text(), nullable=False, comment="online store that was filled under it, no secrets"
        ),
        sa.Column(
            "applied_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when Feast was told",
        ),
        sa.Column(
            "failures", sa.Integer(), server_default="0", nullable=False, comment="online writes failed in a row"
        ),
        sa.Column("last_error", sa.Text(), nullable=True, comment="why the newest of them failed"),
        sa.Column(
            "next_attempt_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="not before then are pending keys tried again",
        ),
        sa.PrimaryKeyConstraint("view", name=op.f("feature_views_pkey")),
        schema="catalog",
        comment="Feature views as they are served.",
    )
    op.create_table(
        "source_reads",
        sa.Column(
            "read_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="source_id of the rows it gave"
        ),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("table_name", sa.Text(), nullable=False, comment="schema.table it fills"),
        sa.Column("kind", sa.Text(), nullable=False, comment="database, object_store or rest"),
        sa.Column("source_table", sa.Text(), nullable=False, comment="what the source calls it"),
        sa.Column("address", sa.Text(), nullable=False, comment="address of the source, without secrets"),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column(
            "since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="rows stamped after it were asked for; NULL: from the beginning",
        ),
        sa.Column(
            "until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="rows stamped up to it were asked for; NULL: all",
        ),
        sa.Column(
            "columns",
            postgresql.JSONB(),
            nullable=False,
            comment="columns of the source as found: name and type, in order",
        ),
        sa.Column("records_read", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("records_written", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("records_failed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("records_duplicate", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "bytes_read", sa.BigInteger(), server_default="0", nullable=False, comment="of the values as received"
        ),
        sa.Column("duration_s", sa.Double(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), nullable=True, comment="why it failed; NULL: it did not"),
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when it began",
        ),
        sa.PrimaryKeyConstraint("read_id", name=op.f("source_reads_pkey")),
        schema="catalog",
        comment="Every read from a source, failed ones too.",
    )
    op.create_index(
        op.f("source_reads_table_name_started_at_idx"),
        "source_reads",
        ["table_name", "started_at"],
        unique=False,
        schema="catalog",
    )
    op.create_table(
        "training_sets",
        sa.Column("training_set_id", sa.Text(), nullable=False, comment="digest of the recipe"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "recipe",
            postgresql.JSONB(),
            nullable=False,
            comment="what it was made of: features, as-of instant, entities, policy",
        ),
        sa.Column("digest", sa.Text(), nullable=False, comment="SHA-256 of the rows, in order"),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column(
            "built_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when it was built first",
        ),
        sa.PrimaryKeyConstraint("training_set_id", name=op.f("training_sets_pkey")),
        schema="catalog",
        comment="Training sets that were built, so that they can be built again.",
    )


def downgrade() -> None:
    op.drop_table("training_sets", schema="catalog")
    op.drop_index(op.f("source_reads_table_name_started_at_idx"), table_name="source_reads", schema="catalog")
    op.drop_table("source_reads", schema="catalog")
    op.drop_table("feature_views", schema="catalog")
    op.drop_table("feature_pending", schema="catalog")
    op.execute(sa.schema.DropSequence(sa.Sequence("pending_version", schema="catalog")))
