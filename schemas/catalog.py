"""The catalog's own tables: what was read, from where, what became of it, and what has to be computed again.

Belongs here: SQLAlchemy tables of schema `catalog`; migrations are compared against them. Does not belong here: queries
(`resources/catalog/`), tables of data (`tables.py`).
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA = "catalog"

METADATA = sa.MetaData(
    schema=SCHEMA,
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
    },
)


def _instant(name: str, *, nullable: bool = False, now: bool = False, comment: str) -> sa.Column[object]:
    default = sa.func.now() if now else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=default, comment=comment)


def _count(name: str, comment: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0", comment=comment)


LEDGER = sa.Table(
    "ledger",
    METADATA,
    sa.Column("entry_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("table_name", sa.Text, nullable=False, comment="schema.table"),
    sa.Column("day", sa.Date, nullable=False, comment="UTC day of the slice"),
    sa.Column("unit", sa.Text, nullable=False, comment="entity inside the slice, e.g. a location id"),
    sa.Column("run_id", sa.Text, nullable=False, comment="Dagster run that wrote the entry"),
    sa.Column("is_current", sa.Boolean, nullable=False, server_default=sa.true(), comment="no later entry replaces it"),
    _count("read", "rows read for the slice"),
    _count("loaded", "rows that are in the table, or went into its rows"),
    _count("duplicate", "rows another row stands for"),
    _count("quarantined", "rows put aside with rule and reason"),
    _count("filtered", "rows the declaration leaves out"),
    _count("written", "rows of the table in the slice"),
    _count("inserted", "rows the write added"),
    _count("changed", "rows the write changed"),
    _count("vanished", "rows the write removed"),
    sa.Column(
        "is_closed",
        sa.Boolean,
        sa.Computed("read = loaded + duplicate + quarantined + filtered", persisted=True),
        nullable=False,
        comment="whether every row read is accounted for",
    ),
    _instant("known_at", nullable=True, comment="when the newest row of the slice became known"),
    _instant("committed_at", now=True, comment="when the entry was written"),
    comment="One entry per write, day and entity: read = loaded + duplicate + quarantined + filtered.",
)
sa.Index(
    "ledger_current_key",
    LEDGER.c.table_name,
    LEDGER.c.day,
    LEDGER.c.unit,
    unique=True,
    postgresql_where=LEDGER.c.is_current,
)
sa.Index(
    "ledger_open_idx",
    LEDGER.c.table_name,
    LEDGER.c.day,
    LEDGER.c.unit,
    postgresql_where=sa.and_(LEDGER.c.is_current, sa.not_(LEDGER.c.is_closed)),
)

QUARANTINE = sa.Table(
    "quarantine",
    METADATA,
    sa.Column("quarantine_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("table_name", sa.Text, nullable=False, comment="table the row was meant for"),
    sa.Column("day", sa.Date, nullable=False, comment="UTC day it is accounted to"),
    sa.Column("unit", sa.Text, nullable=False, comment="entity it is accounted to"),
    sa.Column("rule", sa.Text, nullable=False, comment="rule it broke"),
    sa.Column("reason", sa.Text, nullable=False, comment="why, in words"),
    sa.Column("raw", sa.Text, nullable=False, comment="the row as received"),
    sa.Column("source_id", sa.BigInteger, comment="source it was read from"),
    sa.Column("line_no", sa.BigInteger, comment="line or result number in the source"),
    sa.Column("run_id", sa.Text, nullable=False),
    _instant("quarantined_at", now=True, comment="when it was put aside"),
    sa.Index(None, "table_name", "day", "unit"),
    comment="Rows that were read and not loaded, each with the rule it broke.",
)

SOURCES = sa.Table(
    "sources",
    METADATA,
    sa.Column("source_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("uri", sa.Text, nullable=False, comment="address it was read from, without secrets"),
    sa.Column("kind", sa.Text, nullable=False, comment="archive or api"),
    sa.Column("location_id", sa.BigInteger, nullable=False),
    sa.Column("local_day", sa.Date, comment="archive: local calendar day of the file"),
    sa.Column("sha256", sa.Text, nullable=False, comment="of the bytes as received"),
    sa.Column("size", sa.BigInteger, nullable=False, comment="bytes as received"),
    sa.Column("etag", sa.Text, comment="version mark of the store, if it gives one"),
    _instant("modified_at", nullable=True, comment="last change at the source, if told"),
    _instant("fetched_at", comment="when the bytes were received"),
    sa.Column("raw_path", sa.Text, nullable=False, comment="where the bytes are kept in the raw store"),
    _instant("seen_at", now=True, comment="when the source was last found to hold these bytes"),
    sa.Index(None, "uri", "seen_at"),
    sa.Index(None, "location_id", "local_day"),
    comment="Files and pages rows were read from; the bytes are kept.",
)

DIRTY_VERSION = sa.Sequence("dirty_version", metadata=METADATA, schema=SCHEMA)

DIRTY_DAYS = sa.Table(
    "dirty_days",
    METADATA,
    sa.Column("table_name", sa.Text, primary_key=True, comment="table that is stale"),
    sa.Column("day", sa.Date, primary_key=True, comment="UTC day that is stale"),
    sa.Column("version", sa.BigInteger, nullable=False, comment="of the mark; a new one with every change upstream"),
    sa.Column("marked_by", sa.Text, nullable=False, comment="table whose change made it stale"),
    _instant("marked_at", now=True, comment="when the newest mark was set"),
    comment="Days of a table that have to be computed again because a table it reads has changed.",
)

FETCH_FAILURES = sa.Table(
    "fetch_failures",
    METADATA,
    sa.Column("table_name", sa.Text, primary_key=True),
    sa.Column("unit", sa.Text, primary_key=True, comment="entity that could not be fetched"),
    sa.Column("day", sa.Date, primary_key=True, comment="UTC day that could not be fetched"),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("is_transient", sa.Boolean, nullable=False, comment="whether trying again may help"),
    sa.Column("attempts", sa.Integer, nullable=False, comment="failures in a row"),
    sa.Column("run_id", sa.Text, nullable=False),
    _instant("failed_at", comment="when it last failed"),
    _instant("next_attempt_at", comment="not before then is it asked for again"),
    comment="What is still owed because a source failed; success removes the row.",
)

LOCATIONS = sa.Table(
    "openaq_locations",
    METADATA,
    sa.Column("location_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text),
    sa.Column("timezone", sa.Text, comment="IANA name, if told"),
    sa.Column("utc_offset", sa.Text, comment="of the newest stamp, like +05:45; stands in for an unknown timezone"),
    sa.Column("country_code", sa.Text, comment="ISO 3166-1 alpha-2"),
    sa.Column("latitude", sa.Double),
    sa.Column("longitude", sa.Double),
    sa.Column("provider", sa.Text),
    sa.Column("licenses", JSONB, nullable=False, comment="names of the licences"),
    sa.Column("sensors", JSONB, nullable=False, comment="id, parameter and units of each sensor"),
    _instant("datetime_first", nullable=True, comment="first measurement at the source"),
    _instant("datetime_last", nullable=True, comment="last measurement at the source when last asked"),
    _instant("asked_at", now=True, comment="when the source was last asked"),
    comment="What OpenAQ says of the locations in use.",
)
