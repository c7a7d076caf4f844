"""The catalog's tables through which all processes share request budgets and circuit breakers.

Belongs here: these tables and their MetaData, for the migration and for SQLAlchemy Core. Does not belong here: the
rules that read and write them (`resources/openaq/rate_budget_shared.py`, `resources/circuit/shared.py`).
"""

import sqlalchemy as sa

BUDGET_METADATA = sa.MetaData(schema="catalog")

API_REQUESTS = sa.Table(
    "api_requests",
    BUDGET_METADATA,
    sa.Column("request_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("budget", sa.Text, nullable=False, comment="whose budget the request is taken from"),
    sa.Column(
        "admitted_at",
        sa.DateTime(timezone=True),
        nullable=False,
        comment="when the request may be sent, database time; in the future while its owner still waits",
    ),
    sa.Index("api_requests_newest", "budget", sa.desc("admitted_at")),
    comment="One row per request admitted within the longest window of its budget; older rows are removed.",
)

API_BUDGETS = sa.Table(
    "api_budgets",
    BUDGET_METADATA,
    sa.Column("budget", sa.Text, primary_key=True),
    sa.Column(
        "blocked_until",
        sa.DateTime(timezone=True),
        nullable=False,
        comment="nobody sends before this instant: the server answered 429",
    ),
    comment="A budget the server has closed for a while.",
)

CIRCUITS = sa.Table(
    "circuits",
    BUDGET_METADATA,
    sa.Column("name", sa.Text, primary_key=True, comment="the dependency, e.g. openaq or openaq/sensor/3919"),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False, comment="failures in a row"),
    sa.Column("retry_at", sa.DateTime(timezone=True), comment="from then on one trial request is let through"),
    sa.Column("last_error", sa.Text, comment="why it failed last; holds no secret"),
    sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("opened_at", sa.DateTime(timezone=True), comment="since when it has not been closed"),
    sa.CheckConstraint(sa.column("state").in_(["closed", "open", "half_open"]), name="circuits_state"),
    comment="State of each circuit breaker; a dependency without a row never failed.",
)
