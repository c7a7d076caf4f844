"""The catalog's table of runs that ended: what each did, in a row.

Belongs here: the SQLAlchemy table. Does not belong here: how a row comes about (`resources/catalog/run_summaries.py`),
the entries per table a run filled (`catalog_datasets.PIPELINE_RUNS`).
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from schemas.catalog_incidents import METADATA as METADATA

ENDS = ("succeeded", "failed", "cancelled")
"""How a run ends."""


def _instant(name: str, *, nullable: bool = False, now: bool = False, comment: str) -> sa.Column[object]:
    default = sa.func.now() if now else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=default, comment=comment)


RUN_SUMMARIES = sa.Table(
    "run_summaries",
    METADATA,
    sa.Column("run_id", sa.Text, primary_key=True, comment="Dagster run"),
    sa.Column("job", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("datasets", JSONB, nullable=False, comment="datasets whose tables it filled, or tried to"),
    sa.Column("tables", JSONB, nullable=False, comment="schema.table of these tables"),
    sa.Column("first_day", sa.Date, comment="UTC, inclusive; NULL: it was about no days"),
    sa.Column("last_day", sa.Date, comment="UTC, inclusive"),
    _instant("started_at", comment="when it began"),
    _instant("ended_at", comment="when it ended"),
    sa.Column("duration_s", sa.Double, nullable=False, comment="from its start to its end, seconds"),
    sa.Column("rows_read", sa.BigInteger, nullable=False, comment="by the ledger, over all its tables"),
    sa.Column("rows_written", sa.BigInteger, nullable=False, comment="rows in the slices it wrote"),
    sa.Column("rows_quarantined", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False, comment="of files, and of values from sources"),
    sa.Column("records_ingested", sa.BigInteger, nullable=False, comment="rows written to tables of staging"),
    sa.Column("rules_judged", sa.BigInteger, nullable=False, comment="verdicts, those without enough data left out"),
    sa.Column("rules_passed", sa.BigInteger, nullable=False),
    sa.Column("feature_count", sa.BigInteger, nullable=False, comment="features of the feature tables it wrote"),
    sa.Column("code_version", sa.Text, nullable=False, comment="version of this product"),
    sa.Column("error", sa.Text, comment="why it failed; holds no secret"),
    _instant("summarised_at", now=True, comment="when this was written"),
    _instant("tracked_at", nullable=True, comment="when the tracking server took it; NULL: not yet, or there is none"),
    sa.CheckConstraint(sa.column("status").in_(ENDS), name="run_summaries_status"),
    sa.Index(None, "ended_at"),
    comment="Every run that ended: what it was about, what it did, how it ended.",
)
sa.Index(
    "run_summaries_untracked_idx",
    RUN_SUMMARIES.c.ended_at,
    postgresql_where=RUN_SUMMARIES.c.tracked_at.is_(None),
)
