"""The catalog's tables: ledger, quarantine, sources, dirty days, failures, locations, budget, circuits."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "02_create_catalog_tables"
down_revision = "01_create_schemas"
branch_labels = None
depends_on = None


DIRTY_VERSION = sa.Sequence("dirty_version", schema="catalog")


def upgrade() -> None:
    op.execute(sa.schema.CreateSequence(DIRTY_VERSION))
    op.create_table(
        "dirty_days",
        sa.Column("table_name", sa.Text(), nullable=False, comment="table that is stale"),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day that is stale"),
        sa.Column(
            "version", sa.BigInteger(), nullable=False, comment="of the mark; a new one with every change upstream"
        ),
        sa.Column("marked_by", sa.Text(), nullable=False, comment="table whose change made it stale"),
        sa.Column(
            "marked_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when the newest mark was set",
        ),
        sa.PrimaryKeyConstraint("table_name", "day", name=op.f("dirty_days_pkey")),
        schema="catalog",
        comment="Days of a table that have to be computed again because a table it reads has changed.",
    )
    op.create_table(
        "fetch_failures",
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False, comment="entity that could not be fetched"),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day that could not be fetched"),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("is_transient", sa.Boolean(), nullable=False, comment="whether trying again may help"),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="failures in a row"),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=False, comment="when it last failed"),
        sa.Column(
            "next_attempt_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="not before then is it asked for again",
        ),
        sa.PrimaryKeyConstraint("table_name", "unit", "day", name=op.f("fetch_failures_pkey")),
        schema="catalog",
        comment="What is still owed because a source failed; success removes the row.",
    )
    op.create_table(
        "ledger",
        sa.Column("entry_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("table_name", sa.Text(), nullable=False, comment="schema.table"),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day of the slice"),
        sa.Column("unit", sa.Text(), nullable=False, comment="entity inside the slice, e.g. a location id"),
        sa.Column("run_id", sa.Text(), nullable=False, comment="Dagster run that wrote the entry"),
        sa.Column(
            "is_current",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="no later entry replaces it",
        ),
        sa.Column("read", sa.BigInteger(), server_default="0", nullable=False, comment="rows read for the slice"),
        sa.Column(
            "loaded",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="rows that are in the table, or went into its rows",
        ),
        sa.Column(
            "duplicate", sa.BigInteger(), server_default="0", nullable=False, comment="rows another row stands for"
        ),
        sa.Column(
            "quarantined",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="rows put aside with rule and reason",
        ),
        sa.Column(
            "filtered", sa.BigInteger(), server_default="0", nullable=False, comment="rows the declaration leaves out"
        ),
        sa.Column(
            "written", sa.BigInteger(), server_default="0", nullable=False, comment="rows of the table in the slice"
        ),
        sa.Column("inserted", sa.BigInteger(), server_default="0", nullable=False, comment="rows the write added"),
        sa.Column("changed", sa.BigInteger(), server_default="0", nullable=False, comment="rows the write changed"),
        sa.Column("vanished", sa.BigInteger(), server_default="0", nullable=False, comment="rows the write removed"),
        sa.Column(
            "is_closed",
            sa.Boolean(),
            sa.Computed("read = loaded + duplicate + quarantined + filtered", persisted=True),
            nullable=False,
            comment="whether every row read is accounted for",
        ),
        sa.Column(
            "known_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the newest row of the slice became known",
        ),
        sa.Column(
            "committed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when the entry was written",
        ),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("ledger_pkey")),
        schema="catalog",
        comment="One entry per write, day and entity: read = loaded + duplicate + quarantined + filtered.",
    )
    op.create_index(
        "ledger_current_key",
        "ledger",
        ["table_name", "day", "unit"],
        unique=True,
        schema="catalog",
        postgresql_where=sa.text("is_current"),
    )
    op.create_index(
        "ledger_open_idx",
        "ledger",
        ["table_name", "day", "unit"],
        unique=False,
        schema="catalog",
        postgresql_where=sa.text("is_current AND NOT is_closed"),
    )
    op.create_table(
        "openaq_locations",
        sa.Column("location_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=True, comment="IANA name, if told"),
        sa.Column("country_code", sa.Text(), nullable=True, comment="ISO 3166-1 alpha-2"),
        sa.Column("latitude", sa.Double(), nullable=True),
        sa.Column("longitude", sa.Double(), nullable=True),
        sa.Column("provider", sa.Text(), nullable=True),
        sa.Column("licenses", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="names of the licences"),
        sa.Column(
            "sensors",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="id, parameter and units of each sensor",
        ),
        sa.Column(
            "datetime_first", sa.DateTime(timezone=True), nullable=True, comment="first measurement at the source"
        ),
        sa.Column(
            "datetime_last",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="last measurement at the source when last asked",
        ),
        sa.Column(
            "asked_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when the source was last asked",
        ),
        sa.PrimaryKeyConstraint("location_id", name=op.f("openaq_locations_pkey")),
        schema="catalog",
        comment="What OpenAQ says of the locations in use.",
    )
    op.create_table(
        "quarantine",
        sa.Column("quarantine_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("table_name", sa.Text(), nullable=False, comment="table the row was meant for"),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day it is accounted to"),
        sa.Column("unit", sa.Text(), nullable=False, comment="entity it is accounted to"),
        sa.Column("rule", sa.Text(), nullable=False, comment="rule it broke"),
        sa.Column("reason", sa.Text(), nullable=False, comment="why, in words"),
        sa.Column("raw", sa.Text(), nullable=False, comment="the row as received"),
        sa.Column("source_id", sa.BigInteger(), nullable=True, comment="source it was read from"),
        sa.Column("line_no", sa.BigInteger(), nullable=True, comment="line or result number in the source"),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column(
            "quarantined_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when it was put aside",
        ),
        sa.PrimaryKeyConstraint("quarantine_id", name=op.f("quarantine_pkey")),
        schema="catalog",
        comment="Rows that were read and not loaded, each with the rule it broke.",
    )
    op.create_index(
        op.f("quarantine_table_name_day_unit_idx"),
        "quarantine",
        ["table_name", "day", "unit"],
        unique=False,
        schema="catalog",
    )
    op.create_table(
        "sources",
        sa.Column("source_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("uri", sa.Text(), nullable=False, comment="address it was read from, without secrets"),
        sa.Column("kind", sa.Text(), nullable=False, comment="archive or api"),
        sa.Column("location_id", sa.BigInteger(), nullable=False),
        sa.Column("local_day", sa.Date(), nullable=True, comment="archive: local calendar day of the file"),
        sa.Column("sha256", sa.Text(), nullable=False, comment="of the bytes as received"),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="bytes as received"),
        sa.Column("etag", sa.Text(), nullable=True, comment="version mark of the store, if it gives one"),
        sa.Column(
            "modified_at", sa.DateTime(timezone=True), nullable=True, comment="last change at the source, if told"
        ),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False, comment="when the bytes were received"),
        sa.Column("raw_path", sa.Text(), nullable=False, comment="where the bytes are kept in the raw store"),
        sa.Column(
            "seen_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when the source was last found to hold these bytes",
        ),
        sa.PrimaryKeyConstraint("source_id", name=op.f("sources_pkey")),
        schema="catalog",
        comment="Files and pages rows were read from; the bytes are kept.",
    )
    op.create_index(
        op.f("sources_location_id_local_day_idx"),
        "sources",
        ["location_id", "local_day"],
        unique=False,
        schema="catalog",
    )
    op.create_index(op.f("sources_uri_seen_at_idx"), "sources", ["uri", "seen_at"], unique=False, schema="catalog")
    op.create_table(
        "api_budgets",
        sa.Column("budget", sa.Text(), nullable=False),
        sa.Column(
            "blocked_until",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="nobody sends before this instant: the server answered 429",
        ),
        sa.PrimaryKeyConstraint("budget"),
        schema="catalog",
        comment="A budget the server has closed for a while.",
    )
    op.create_table(
        "api_requests",
        sa.Column("request_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("budget", sa.Text(), nullable=False, comment="whose budget the request is taken from"),
        sa.Column(
            "admitted_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when the request may be sent, database time; in the future while its owner still waits",
        ),
        sa.PrimaryKeyConstraint("request_id"),
        schema="catalog",
        comment="One row per request admitted within the longest window of its budget; older rows are removed.",
    )
    op.create_index(
        "api_requests_newest",
        "api_requests",
        ["budget", sa.literal_column("admitted_at DESC")],
        unique=False,
        schema="catalog",
    )
    op.create_table(
        "circuits",
        sa.Column("name", sa.Text(), nullable=False, comment="the dependency, e.g. openaq or openaq/sensor/3919"),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False, comment="failures in a row"),
        sa.Column(
            "retry_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="from then on one trial request is let through",
        ),
        sa.Column("last_error", sa.Text(), nullable=True, comment="why it failed last; holds no secret"),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('closed', 'open', 'half_open')", name="circuits_state"),
        sa.PrimaryKeyConstraint("name"),
        schema="catalog",
        comment="State of each circuit breaker; a dependency without a row never failed.",
    )


def downgrade() -> None:
    op.drop_table("circuits", schema="catalog")
    op.drop_index("api_requests_newest", table_name="api_requests", schema="catalog")
    op.drop_table("api_requests", schema="catalog")
    op.drop_table("api_budgets", schema="catalog")
    op.drop_index(op.f("sources_uri_seen_at_idx"), table_name="sources", schema="catalog")
    op.drop_index(op.f("sources_location_id_local_day_idx"), table_name="sources", schema="catalog")
    op.drop_table("sources", schema="catalog")
    op.drop_index(op.f("quarantine_table_name_day_unit_idx"), table_name="quarantine", schema="catalog")
    op.drop_table("quarantine", schema="catalog")
    op.drop_table("openaq_locations", schema="catalog")
    op.drop_index(
        "ledger_open_idx",
        table_name="ledger",
        schema="catalog",
        postgresql_where=sa.text("is_current AND NOT is_closed"),
    )
    op.drop_index("ledger_current_key", table_name="ledger", schema="catalog", postgresql_where=sa.text("is_current"))
    op.drop_table("ledger", schema="catalog")
    op.drop_table("fetch_failures", schema="catalog")
    op.drop_table("dirty_days", schema="catalog")
    op.execute(sa.schema.DropSequence(DIRTY_VERSION))
