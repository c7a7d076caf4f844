"""The catalog's tables of verdicts: which rule held on which day of which table, and every row that broke one.

Belongs here: SQLAlchemy tables of schema `catalog` about rules. Does not belong here: rules (`rules.py`), queries
(`resources/catalog/rule_results.py`).
"""

import sqlalchemy as sa

from schemas.catalog_alerts import METADATA as METADATA

ERROR = "error"
"""The severity that holds a day back, as it is stored."""

RULE_RESULTS = sa.Table(
    "rule_results",
    METADATA,
    sa.Column("table_name", sa.Text, primary_key=True, comment="schema.table that was judged"),
    sa.Column("day", sa.Date, primary_key=True, comment="UTC day of the rows"),
    sa.Column("rule", sa.Text, primary_key=True, comment="name of the rule, unique in its table"),
    sa.Column("kind", sa.Text, nullable=False, comment="schema, completeness, uniqueness, range, ..."),
    sa.Column("severity", sa.Text, nullable=False, comment="error, warning or info"),
    sa.Column("outcome", sa.Text, nullable=False, comment="passed, failed or not enough data"),
    sa.Column("passed", sa.Boolean, nullable=False, comment="whether it did not fail"),
    sa.Column("checked", sa.BigInteger, nullable=False, comment="rows the rule is about"),
    sa.Column("failed", sa.BigInteger, nullable=False, comment="rows that break it; some may be tolerated"),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False, comment="Dagster run that judged"),
    sa.Column(
        "judged_at",
        sa.DateTime(timezone=True),
        nullable=False,
        server_default=sa.func.now(),
        comment="when the rows were judged",
    ),
    comment="The newest verdict on each rule, table and day; a day with a failed error is held back downstream.",
)
sa.Index(
    "rule_results_held_idx",
    RULE_RESULTS.c.table_name,
    RULE_RESULTS.c.day,
    postgresql_where=sa.and_(RULE_RESULTS.c.severity == ERROR, sa.not_(RULE_RESULTS.c.passed)),
)

RULE_VIOLATIONS = sa.Table(
    "rule_violations",
    METADATA,
    sa.Column("table_name", sa.Text, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("rule", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, comment="1, 2, ... of the rule and day, in the table's order"),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("column_name", sa.Text, nullable=False, comment="column, or several that together break it"),
    sa.Column("row_key", sa.Text, comment="the columns that name the row, as a JSON object"),
    sa.Column("value", sa.Text, comment="what stands there; of several columns a JSON object"),
    sa.Column("source_id", sa.BigInteger, comment="where the row was read from, if the table tells"),
    sa.Column("line_no", sa.BigInteger, comment="line or number of the record there"),
    sa.Column("run_id", sa.Text, nullable=False),
    comment="Every row that breaks a rule that failed: rule, row, column, value, origin.",
)
