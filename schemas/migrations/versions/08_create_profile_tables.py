"""The catalog's table of column profiles."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "08_create_profile_tables"
down_revision = "07_create_validation_tables"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "column_profiles",
        sa.Column("table_name", sa.Text(), nullable=False, comment="schema.table"),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day of the partition"),
        sa.Column("column_name", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False, comment="of the column in its table, from 1"),
        sa.Column("kind", sa.Text(), nullable=False, comment="number, integer, boolean, timestamp or text"),
        sa.Column("rows", sa.BigInteger(), server_default="0", nullable=False, comment="rows of the partition"),
        sa.Column("nulls", sa.BigInteger(), server_default="0", nullable=False, comment="rows without a value"),
        sa.Column(
            "nans", sa.BigInteger(), server_default="0", nullable=False, comment="values that are no number (NaN)"
        ),
        sa.Column(
            "infinities", sa.BigInteger(), server_default="0", nullable=False, comment="values that are infinite"
        ),
        sa.Column(
            "distinct_values",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="different values, null left out",
        ),
        sa.Column(
            "minimum",
            sa.Text(),
            nullable=True,
            comment="smallest finite value, earliest instant (ISO 8601, UTC), first text",
        ),
        sa.Column(
            "maximum",
            sa.Text(),
            nullable=True,
            comment="largest finite value, latest instant, last text, code point by code point",
        ),
        sa.Column("mean", sa.Double(), nullable=True, comment="of the finite values; NULL where one is beyond 1e100"),
        sa.Column(
            "std",
            sa.Double(),
            nullable=True,
            comment="sample standard deviation of the finite values; NULL of fewer than two",
        ),
        sa.Column("p01", sa.Double(), nullable=True, comment="smallest finite value with 1% not above it"),
        sa.Column("p05", sa.Double(), nullable=True, comment="smallest finite value with 5% not above it"),
        sa.Column("p25", sa.Double(), nullable=True, comment="smallest finite value with 25% not above it"),
        sa.Column("p50", sa.Double(), nullable=True, comment="smallest finite value with 50% not above it"),
        sa.Column("p75", sa.Double(), nullable=True, comment="smallest finite value with 75% not above it"),
        sa.Column("p95", sa.Double(), nullable=True, comment="smallest finite value with 95% not above it"),
        sa.Column("p99", sa.Double(), nullable=True, comment="smallest finite value with 99% not above it"),
        sa.Column("length_min", sa.BigInteger(), nullable=True, comment="characters of the shortest text"),
        sa.Column("length_mean", sa.Double(), nullable=True, comment="characters of a text, mean"),
        sa.Column("length_max", sa.BigInteger(), nullable=True, comment="characters of the longest text"),
        sa.Column("true_pct", sa.Double(), nullable=True, comment="true among the values of a boolean, percent"),
        sa.Column(
            "common",
            postgresql.JSONB(),
            nullable=False,
            comment="[value, count] of the values that occur most, more than once",
        ),
        sa.PrimaryKeyConstraint("table_name", "day", "column_name", name=op.f("column_profiles_pkey")),
        schema="catalog",
        comment="What each column of a table held on a day.",
    )


def downgrade() -> None:
    op.drop_table("column_profiles", schema="catalog")
