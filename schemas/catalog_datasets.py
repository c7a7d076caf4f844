"""The catalog's tables of datasets: what there is, the versions of its columns, what comes from what, and who ran.

Belongs here: SQLAlchemy tables of schema `catalog` about datasets, tables and runs. Does not belong here: single files
(`catalog_files.py`), queries (`resources/catalog/`).
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from schemas.catalog import METADATA


def _instant(name: str, *, now: bool = False, nullable: bool = False, comment: str) -> sa.Column[object]:
    default = sa.func.now() if now else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=default, comment=comment)


SCHEMA_VERSIONS = sa.Table(
    "schema_versions",
    METADATA,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False, comment="1, 2, ... of the dataset"),
    sa.Column("fingerprint", sa.Text, nullable=False, comment="SHA-256 of the columns as canonical JSON"),
    sa.Column("columns", JSONB, nullable=False, comment="name, original, kind, convention, nullable; in order"),
    sa.Column("diff", JSONB, nullable=False, comment="against the version before"),
    sa.Column("first_file_id", sa.BigInteger, comment="file_metadata.id of the file that brought it"),
    _instant("created_at", now=True, comment="when it was first seen"),
    sa.UniqueConstraint("dataset", "version"),
    sa.UniqueConstraint("dataset", "fingerprint"),
    comment="Every set of columns the files of a dataset had.",
)

METADATA_DATASETS = sa.Table(
    "metadata_datasets",
    METADATA,
    sa.Column("dataset", sa.Text, primary_key=True),
    sa.Column("description", sa.Text, nullable=False, server_default=""),
    sa.Column("owner", sa.Text, comment="who answers for it"),
    sa.Column("tags", JSONB, nullable=False, server_default="[]"),
    sa.Column("source_kind", sa.Text, comment="files, api, database, ..."),
    sa.Column("mode", sa.Text, comment="how a change of its columns is met"),
    sa.Column("tables", JSONB, nullable=False, server_default="[]", comment="schema.table of each table it fills"),
    sa.Column("is_declared", sa.Boolean, nullable=False, server_default=sa.false(), comment="somebody described it"),
    sa.Column("current_schema_version", sa.Integer, comment="newest of schema_versions.version"),
    _instant("created_at", now=True, comment="when it was first heard of"),
    _instant("changed_at", now=True, comment="when anything here changed last"),
    comment="Datasets, declared or found.",
)

METADATA_LINEAGE = sa.Table(
    "metadata_lineage",
    METADATA,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("source", sa.Text, nullable=False, comment="what is read: a table, a file, a source"),
    sa.Column("destination", sa.Text, nullable=False, comment="what is made of it"),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("dataset", sa.Text),
    sa.Column("run_id", sa.Text, comment="run that showed it last"),
    _instant("created_at", now=True, comment="when it was first seen"),
    sa.UniqueConstraint("source", "destination"),
    sa.Index(None, "destination"),
    comment="What comes from what.",
)

PIPELINE_RUNS = sa.Table(
    "pipeline_runs",
    METADATA,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("kind", sa.Text, nullable=False, comment="ingestion, processing, feature or quality"),
    sa.Column("table_name", sa.Text, nullable=False, comment="schema.table it fills"),
    sa.Column("run_id", sa.Text, nullable=False, comment="Dagster run"),
    sa.Column("first_day", sa.Date, comment="UTC, inclusive"),
    sa.Column("last_day", sa.Date, comment="UTC, inclusive"),
    sa.Column("rows_read", sa.BigInteger),
    sa.Column("rows_written", sa.BigInteger),
    sa.Column("rows_quarantined", sa.BigInteger),
    sa.Column("bytes", sa.BigInteger, comment="read from files or sources"),
    _instant("started_at", comment="when it began"),
    _instant("ended_at", nullable=True, comment="when it ended; NULL while it runs"),
    sa.Column("status", sa.Text, nullable=False, comment="running, succeeded or failed"),
    sa.Column("error", sa.Text, comment="why it failed; holds no secret"),
    sa.CheckConstraint(
        sa.column("kind").in_(["ingestion", "processing", "feature", "quality"]), name="pipeline_runs_kind"
    ),
    sa.CheckConstraint(sa.column("status").in_(["running", "succeeded", "failed"]), name="pipeline_runs_status"),
    sa.Index(None, "kind", "started_at"),
    sa.Index(None, "table_name", "started_at"),
    sa.Index(None, "run_id"),
    comment="One entry per run and table; the views processing_runs, feature_runs and quality_runs are its kinds.",
)
