"""The catalog's tables of files and datasets: names, columns, quality, schema versions, lineage, runs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "04_create_file_tables"
down_revision = "03_add_location_utc_offset"
branch_labels = None
depends_on = None

RUNS = sa.table(
    "pipeline_runs",
    *(
        sa.column(name)
        for name in (
            "id",
            "kind",
            "table_name",
            "run_id",
            "first_day",
            "last_day",
            "rows_read",
            "rows_written",
            "rows_quarantined",
            "bytes",
            "started_at",
            "ended_at",
            "status",
            "error",
        )
    ),
    schema="catalog",
)
RUN_VIEWS = {"processing_runs": "processing", "feature_runs": "feature", "quality_runs": "quality"}


def upgrade() -> None:
    op.create_table(
        "metadata_datasets",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("owner", sa.Text(), nullable=True, comment="who answers for it"),
        sa.Column("tags", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
        sa.Column("source_kind", sa.Text(), nullable=True, comment="files, api, database, ..."),
        sa.Column("mode", sa.Text(), nullable=True, comment="how a change of its columns is met"),
        sa.Column(
            "tables",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="[]",
            nullable=False,
            comment="schema.table of each table it fills",
        ),
        sa.Column(
            "is_declared",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="somebody described it",
        ),
        sa.Column("current_schema_version", sa.Integer(), nullable=True, comment="newest of schema_versions.version"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when it was first heard of",
        ),
        sa.Column(
            "changed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when anything here changed last",
        ),
        sa.PrimaryKeyConstraint("dataset", name=op.f("metadata_datasets_pkey")),
        schema="catalog",
        comment="Datasets, declared or found.",
    )
    op.create_table(
        "metadata_lineage",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="what is read: a table, a file, a source"),
        sa.Column("destination", sa.Text(), nullable=False, comment="what is made of it"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True, comment="run that showed it last"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when it was first seen",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("metadata_lineage_pkey")),
        sa.UniqueConstraint("source", "destination", name=op.f("metadata_lineage_source_destination_key")),
        schema="catalog",
        comment="What comes from what.",
    )
    op.create_index(
        op.f("metadata_lineage_destination_idx"), "metadata_lineage", ["destination"], unique=False, schema="catalog"
    )
    op.create_table(
        "pipeline_runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="ingestion, processing, feature or quality"),
        sa.Column("table_name", sa.Text(), nullable=False, comment="schema.table it fills"),
        sa.Column("run_id", sa.Text(), nullable=False, comment="Dagster run"),
        sa.Column("first_day", sa.Date(), nullable=True, comment="UTC, inclusive"),
        sa.Column("last_day", sa.Date(), nullable=True, comment="UTC, inclusive"),
        sa.Column("rows_read", sa.BigInteger(), nullable=True),
        sa.Column("rows_written", sa.BigInteger(), nullable=True),
        sa.Column("rows_quarantined", sa.BigInteger(), nullable=True),
        sa.Column("bytes", sa.BigInteger(), nullable=True, comment="read from files or sources"),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, comment="when it began"),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True, comment="when it ended; NULL while it runs"),
        sa.Column("status", sa.Text(), nullable=False, comment="running, succeeded or failed"),
        sa.Column("error", sa.Text(), nullable=True, comment="why it failed; holds no secret"),
        sa.CheckConstraint("kind IN ('ingestion', 'processing', 'feature', 'quality')", name="pipeline_runs_kind"),
        sa.CheckConstraint("status IN ('running', 'succeeded', 'failed')", name="pipeline_runs_status"),
        sa.PrimaryKeyConstraint("id", name=op.f("pipeline_runs_pkey")),
        schema="catalog",
        comment="One entry per run and table; the views processing_runs, feature_runs and quality_runs are its kinds.",
    )
    op.create_index(
        op.f("pipeline_runs_kind_started_at_idx"),
        "pipeline_runs",
        ["kind", "started_at"],
        unique=False,
        schema="catalog",
    )
    op.create_index(op.f("pipeline_runs_run_id_idx"), "pipeline_runs", ["run_id"], unique=False, schema="catalog")
    op.create_index(
        op.f("pipeline_runs_table_name_started_at_idx"),
        "pipeline_runs",
        ["table_name", "started_at"],
        unique=False,
        schema="catalog",
    )
    op.create_table(
        "schema_versions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, comment="1, 2, ... of the dataset"),
        sa.Column("fingerprint", sa.Text(), nullable=False, comment="SHA-256 of the columns as canonical JSON"),
        sa.Column(
            "columns",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="name, original, kind, convention, nullable; in order",
        ),
        sa.Column(
            "diff", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="against the version before"
        ),
        sa.Column(
            "first_file_id", sa.BigInteger(), nullable=True, comment="file_metadata.id of the file that brought it"
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when it was first seen",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("schema_versions_pkey")),
        sa.UniqueConstraint("dataset", "fingerprint", name=op.f("schema_versions_dataset_fingerprint_key")),
        sa.UniqueConstraint("dataset", "version", name=op.f("schema_versions_dataset_version_key")),
        schema="catalog",
        comment="Every set of columns the files of a dataset had.",
    )
    op.create_table(
        "file_metadata",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False, comment="folder it was dropped into"),
        sa.Column("target_table", sa.Text(), nullable=False, comment="schema.table its rows go to"),
        sa.Column(
            "file_name", sa.Text(), nullable=False, comment="inside the dataset; the same name again is a new version"
        ),
        sa.Column("file_path", sa.Text(), nullable=False, comment="where it was dropped"),
        sa.Column("sha256", sa.Text(), nullable=False, comment="of the bytes as dropped"),
        sa.Column("file_size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("arrived_on", sa.Date(), nullable=False, comment="UTC day of arrival: its slice of staging"),
        sa.Column("arrived_at", sa.DateTime(timezone=True), nullable=False, comment="when it was first found"),
        sa.Column("version", sa.Integer(), nullable=False, comment="1, 2, ... of the files of this name"),
        sa.Column("supersedes", sa.BigInteger(), nullable=True, comment="version before it"),
        sa.Column("ingestion_status", sa.Text(), server_default="new", nullable=False, comment="what became of it"),
        sa.Column(
            "previous_status",
            sa.Text(),
            nullable=True,
            comment="the state it came from, for the check of the way it went",
        ),
        sa.Column("archive_path", sa.Text(), nullable=True, comment="where its bytes are kept"),
        sa.Column("row_count", sa.BigInteger(), nullable=True, comment="rows loaded"),
        sa.Column("column_count", sa.Integer(), nullable=True),
        sa.Column(
            "columns_info",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="name, original and type of each column, in order",
        ),
        sa.Column(
            "reader_facts",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="encoding, delimiter, sheet, ...: how it was read",
        ),
        sa.Column("schema_version_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "event_days",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="UTC days its rows are about, ISO",
        ),
        sa.Column("lines", sa.BigInteger(), nullable=True, comment="physical lines, or records where there are none"),
        sa.Column(
            "rejected_rows",
            sa.BigInteger(),
            nullable=True,
            comment="rows put aside; they are in quarantine under this id",
        ),
        sa.Column("skipped_lines", sa.BigInteger(), nullable=True, comment="lines that hold no record"),
        sa.Column("error_rule", sa.Text(), nullable=True, comment="why it was refused, in a word"),
        sa.Column("error_message", sa.Text(), nullable=True, comment="why it was refused, in words"),
        sa.Column("processing_duration_seconds", sa.Double(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=False, comment="run that worked on it last"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when it was registered",
        ),
        sa.Column(
            "changed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when its state changed last",
        ),
        sa.CheckConstraint(
            "ingestion_status IN ('new', 'processing', 'validated', 'loaded', 'archived', 'retained', 'rejected')",
            name="file_metadata_status",
        ),
        sa.CheckConstraint(
            "previous_status IS NULL"
            " OR previous_status = 'new' AND ingestion_status IN ('processing', 'rejected')"
            " OR previous_status = 'processing' AND ingestion_status IN ('processing', 'rejected', 'validated')"
            " OR previous_status = 'validated' AND ingestion_status IN ('loaded', 'processing', 'rejected')"
            " OR previous_status = 'loaded' AND ingestion_status IN ('archived', 'processing')"
            " OR previous_status = 'archived' AND ingestion_status IN ('processing', 'retained')"
            " OR previous_status = 'rejected' AND ingestion_status IN ('processing')",
            name="file_metadata_transition",
        ),
        sa.ForeignKeyConstraint(["schema_version_id"], ["catalog.schema_versions.id"]),
        sa.ForeignKeyConstraint(["supersedes"], ["catalog.file_metadata.id"]),
        sa.PrimaryKeyConstraint("id", name=op.f("file_metadata_pkey")),
        sa.UniqueConstraint(
            "dataset", "file_name", "version", name=op.f("file_metadata_dataset_file_name_version_key")
        ),
        sa.UniqueConstraint("dataset", "sha256", name=op.f("file_metadata_dataset_sha256_key")),
        schema="catalog",
        comment="Files that arrived; each content once per dataset.",
    )
    op.create_index(
        op.f("file_metadata_arrived_at_idx"), "file_metadata", ["arrived_at"], unique=False, schema="catalog"
    )
    op.create_index(
        op.f("file_metadata_dataset_arrived_on_idx"),
        "file_metadata",
        ["dataset", "arrived_on"],
        unique=False,
        schema="catalog",
    )
    op.create_index(
        op.f("file_metadata_dataset_ingestion_status_idx"),
        "file_metadata",
        ["dataset", "ingestion_status"],
        unique=False,
        schema="catalog",
    )
    op.create_table(
        "bad_cells",
        sa.Column("file_metadata_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("line_no", sa.BigInteger(), nullable=False, comment="line of its row"),
        sa.Column("column_name", sa.Text(), nullable=False, comment="physical name"),
        sa.Column("raw", sa.Text(), nullable=False, comment="the cell as read"),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["file_metadata_id"], ["catalog.file_metadata.id"], ondelete="CASCADE"),
        schema="catalog",
        comment="Cells put aside while their row was loaded.",
    )
    op.create_index(
        op.f("bad_cells_file_metadata_id_line_no_idx"),
        "bad_cells",
        ["file_metadata_id", "line_no"],
        unique=False,
        schema="catalog",
    )
    op.create_table(
        "column_metadata",
        sa.Column("file_metadata_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("column_name", sa.Text(), nullable=False, comment="physical name"),
        sa.Column("original_name", sa.Text(), nullable=False, comment="name in the file"),
        sa.Column("column_type", sa.Text(), nullable=False),
        sa.Column(
            "convention", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="how values are written"
        ),
        sa.Column("confidence", sa.Double(), nullable=True, comment="share of values that fit the type"),
        sa.Column("null_count", sa.BigInteger(), nullable=False),
        sa.Column("unique_count", sa.BigInteger(), nullable=True),
        sa.Column("unique_is_exact", sa.Boolean(), nullable=False),
        sa.Column("min_value", sa.Text(), nullable=True),
        sa.Column("max_value", sa.Text(), nullable=True),
        sa.Column("mean", sa.Double(), nullable=True),
        sa.Column("sample_values", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("bad_count", sa.BigInteger(), nullable=False, comment="cells put aside"),
        sa.ForeignKeyConstraint(["file_metadata_id"], ["catalog.file_metadata.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("file_metadata_id", "column_name", name=op.f("column_metadata_pkey")),
        schema="catalog",
        comment="What each column of a file holds.",
    )
    op.create_table(
        "data_quality_metrics",
        sa.Column("file_metadata_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("metric_name", sa.Text(), nullable=False),
        sa.Column("metric_value", sa.Double(), nullable=True, comment="NULL: cannot be computed"),
        sa.Column("metric_type", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["file_metadata_id"], ["catalog.file_metadata.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("file_metadata_id", "metric_name", name=op.f("data_quality_metrics_pkey")),
        schema="catalog",
        comment="Measures of a file's quality.",
    )
    op.create_table(
        "file_names",
        sa.Column("file_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("file_path", sa.Text(), nullable=False, comment="where the bytes were seen"),
        sa.Column("file_name", sa.Text(), nullable=False, comment="name inside the dataset there"),
        sa.Column(
            "seen_key", sa.Text(), nullable=True, comment="stands for path, size and version as they were seen there"
        ),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False, comment="when the bytes were last seen there"),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["catalog.file_metadata.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("file_id", "file_path", name=op.f("file_names_pkey")),
        schema="catalog",
        comment="All names under which the same bytes were seen.",
    )
    op.create_index(op.f("file_names_file_path_idx"), "file_names", ["file_path"], unique=False, schema="catalog")
    op.create_index(op.f("file_names_seen_key_idx"), "file_names", ["seen_key"], unique=False, schema="catalog")
    op.create_table(
        "skipped_lines",
        sa.Column("file_metadata_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("line_no", sa.BigInteger(), nullable=False, comment="first of them, from 1"),
        sa.Column("line_count", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="preamble, header, footer, blank, comment or structure"),
        sa.Column("text", sa.Text(), nullable=False, comment="as read, shortened"),
        sa.ForeignKeyConstraint(["file_metadata_id"], ["catalog.file_metadata.id"], ondelete="CASCADE"),
        schema="catalog",
        comment="Lines of a file that hold no record.",
    )
    op.create_index(
        op.f("skipped_lines_file_metadata_id_line_no_idx"),
        "skipped_lines",
        ["file_metadata_id", "line_no"],
        unique=False,
        schema="catalog",
    )
    for name, kind in RUN_VIEWS.items():
        op.execute(_view(name, kind))


def downgrade() -> None:
    for name, kind in RUN_VIEWS.items():
        op.execute(sa.schema.DropView(_view(name, kind).table))
    op.drop_index(op.f("skipped_lines_file_metadata_id_line_no_idx"), table_name="skipped_lines", schema="catalog")
    op.drop_table("skipped_lines", schema="catalog")
    op.drop_index(op.f("file_names_seen_key_idx"), table_name="file_names", schema="catalog")
    op.drop_index(op.f("file_names_file_path_idx"), table_name="file_names", schema="catalog")
    op.drop_table("file_names", schema="catalog")
    op.drop_table("data_quality_metrics", schema="catalog")
    op.drop_table("column_metadata", schema="catalog")
    op.drop_index(op.f("bad_cells_file_metadata_id_line_no_idx"), table_name="bad_cells", schema="catalog")
    op.drop_table("bad_cells", schema="catalog")
    op.drop_index(op.f("file_metadata_dataset_ingestion_status_idx"), table_name="file_metadata", schema="catalog")
    op.drop_index(op.f("file_metadata_dataset_arrived_on_idx"), table_name="file_metadata", schema="catalog")
    op.drop_index(op.f("file_metadata_arrived_at_idx"), table_name="file_metadata", schema="catalog")
    op.drop_table("file_metadata", schema="catalog")
    op.drop_table("schema_versions", schema="catalog")
    op.drop_index(op.f("pipeline_runs_table_name_started_at_idx"), table_name="pipeline_runs", schema="catalog")
    op.drop_index(op.f("pipeline_runs_run_id_idx"), table_name="pipeline_runs", schema="catalog")
    op.drop_index(op.f("pipeline_runs_kind_started_at_idx"), table_name="pipeline_runs", schema="catalog")
    op.drop_table("pipeline_runs", schema="catalog")
    op.drop_index(op.f("metadata_lineage_destination_idx"), table_name="metadata_lineage", schema="catalog")
    op.drop_table("metadata_lineage", schema="catalog")
    op.drop_table("metadata_datasets", schema="catalog")


def _view(name: str, kind: str) -> sa.schema.CreateView:
    columns = [column for column in RUNS.c if column.name != "kind"]
    return sa.schema.CreateView(sa.select(*columns).where(RUNS.c.kind == kind), name, schema="catalog")
