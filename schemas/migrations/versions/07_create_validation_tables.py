"""The catalog's tables of verdicts on rules, and of the rows that break them."""

import sqlalchemy as sa
from alembic import op

revision = "07_create_validation_tables"
down_revision = "06_create_alert_tables"
branch_labels = None
depends_on = None

HELD = sa.text("severity = 'error' AND NOT passed")


def upgrade() -> None:
    op.create_table(
        "rule_results",
        sa.Column("table_name", sa.Text(), nullable=False, comment="schema.table that was judged"),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day of the rows"),
        sa.Column("rule", sa.Text(), nullable=False, comment="name of the rule, unique in its table"),
        sa.Column("kind", sa.Text(), nullable=False, comment="schema, completeness, uniqueness, range, ..."),
        sa.Column("severity", sa.Text(), nullable=False, comment="error, warning or info"),
        sa.Column("outcome", sa.Text(), nullable=False, comment="passed, failed or not enough data"),
        sa.Column("passed", sa.Boolean(), nullable=False, comment="whether it did not fail"),
        sa.Column("checked", sa.BigInteger(), nullable=False, comment="rows the rule is about"),
        sa.Column("failed", sa.BigInteger(), nullable=False, comment="rows that break it; some may be tolerated"),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False, comment="Dagster run that judged"),
        sa.Column(
            "judged_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when the rows were judged",
        ),
        sa.PrimaryKeyConstraint("table_name", "day", "rule", name=op.f("rule_results_pkey")),
        schema="catalog",
        comment="The newest verdict on each rule, table and day; a day with a failed error is held back downstream.",
    )
    op.create_index(
        "rule_results_held_idx",
        "rule_results",
        ["table_name", "day"],
        unique=False,
        schema="catalog",
        postgresql_where=HELD,
    )
    op.create_table(
        "rule_violations",
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column(
            "number",
            sa.BigInteger(),
            nullable=False,
            comment="1, 2, ... of the rule and day, in the table's order",
        ),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("column_name", sa.Text(), nullable=False, comment="column, or several that together break it"),
        sa.Column("row_key", sa.Text(), nullable=True, comment="the columns that name the row, as a JSON object"),
        sa.Column("value", sa.Text(), nullable=True, comment="what stands there; of several columns a JSON object"),
        sa.Column(
            "source_id", sa.BigInteger(), nullable=True, comment="where the row was read from, if the table tells"
        ),
        sa.Column("line_no", sa.BigInteger(), nullable=True, comment="line or number of the record there"),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("table_name", "day", "rule", "number", name=op.f("rule_violations_pkey")),
        schema="catalog",
        comment="Every row that breaks a rule that failed: rule, row, column, value, origin.",
    )


def downgrade() -> None:
    op.drop_table("rule_violations", schema="catalog")
    op.drop_index("rule_results_held_idx", table_name="rule_results", schema="catalog", postgresql_where=HELD)
    op.drop_table("rule_results", schema="catalog")
