"""The catalog's tables of files: every file that arrived, its names, and what was found in it.

Belongs here: SQLAlchemy tables of schema `catalog` about single files, and the states a file goes through. Does not
belong here: tables about datasets and runs (`catalog_datasets.py`), queries (`resources/catalog/files.py`).
"""

from collections.abc import Mapping
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from schemas.catalog import METADATA as METADATA
from schemas.catalog_datasets import SCHEMA_VERSIONS


class Status(StrEnum):
    """What became of a file so far."""

    NEW = "new"
    """Registered; nothing of it was read."""
    PROCESSING = "processing"
    """A run reads it."""
    VALIDATED = "validated"
    """It was read and fits; its rows are not in the table yet."""
    LOADED = "loaded"
    """Its rows are in the table."""
    ARCHIVED = "archived"
    """Its bytes are in the archive too, and gone from where it was dropped."""
    RETAINED = "retained"
    """It lay in the archive for as long as its dataset wants it at hand."""
    REJECTED = "rejected"
    """Refused as a whole; nothing of it is in the table."""


TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.NEW: frozenset({Status.PROCESSING, Status.REJECTED}),
    Status.PROCESSING: frozenset({Status.PROCESSING, Status.VALIDATED, Status.REJECTED}),
    Status.VALIDATED: frozenset({Status.PROCESSING, Status.LOADED, Status.REJECTED}),
    Status.LOADED: frozenset({Status.PROCESSING, Status.ARCHIVED}),
    Status.ARCHIVED: frozenset({Status.PROCESSING, Status.RETAINED}),
    Status.RETAINED: frozenset(),
    Status.REJECTED: frozenset({Status.PROCESSING}),
}
"""Which state may follow which. A run that was killed leaves a file in processing or validated, so the next one may
begin again from there; so may one that reads a refused file under another declaration, or a loaded one once more."""

VISIBLE = (Status.LOADED, Status.ARCHIVED, Status.RETAINED)
"""The rows of a file in one of these states are in its table."""

PENDING = (Status.NEW, Status.PROCESSING, Status.VALIDATED, Status.LOADED)
"""There is work left on a file in one of these states."""


def _instant(name: str, *, now: bool = False, nullable: bool = False, comment: str) -> sa.Column[object]:
    default = sa.func.now() if now else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=default, comment=comment)


def _file(*, is_key: bool = False) -> sa.Column[int]:
    reference = sa.ForeignKey("catalog.file_metadata.id", ondelete="CASCADE")
    return sa.Column(
        "file_metadata_id", sa.BigInteger, reference, primary_key=is_key, nullable=False, autoincrement=False
    )


FILE_METADATA = sa.Table(
    "file_metadata",
    METADATA,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("dataset", sa.Text, nullable=False, comment="folder it was dropped into"),
    sa.Column("target_table", sa.Text, nullable=False, comment="schema.table its rows go to"),
    sa.Column("file_name", sa.Text, nullable=False, comment="inside the dataset; the same name again is a new version"),
    sa.Column("file_path", sa.Text, nullable=False, comment="where it was dropped"),
    sa.Column("sha256", sa.Text, nullable=False, comment="of the bytes as dropped"),
    sa.Column("file_size_bytes", sa.BigInteger, nullable=False),
    sa.Column("arrived_on", sa.Date, nullable=False, comment="UTC day of arrival: its slice of staging"),
    _instant("arrived_at", comment="when it was first found"),
    sa.Column("version", sa.Integer, nullable=False, comment="1, 2, ... of the files of this name"),
    sa.Column("supersedes", sa.BigInteger, sa.ForeignKey("catalog.file_metadata.id"), comment="version before it"),
    sa.Column("ingestion_status", sa.Text, nullable=False, server_default=Status.NEW, comment="what became of it"),
    sa.Column("previous_status", sa.Text, comment="the state it came from, for the check of the way it went"),
    sa.Column("archive_path", sa.Text, comment="where its bytes are kept"),
    sa.Column("row_count", sa.BigInteger, comment="rows loaded"),
    sa.Column("column_count", sa.Integer),
    sa.Column("columns_info", JSONB, comment="name, original and type of each column, in order"),
    sa.Column("reader_facts", JSONB, comment="encoding, delimiter, sheet, ...: how it was read"),
    sa.Column("schema_version_id", sa.BigInteger, sa.ForeignKey(SCHEMA_VERSIONS.c.id)),
    sa.Column("event_days", JSONB, comment="UTC days its rows are about, ISO"),
    sa.Column("lines", sa.BigInteger, comment="physical lines, or records where there are none"),
    sa.Column("rejected_rows", sa.BigInteger, comment="rows put aside; they are in quarantine under this id"),
    sa.Column("skipped_lines", sa.BigInteger, comment="lines that hold no record"),
    sa.Column("error_rule", sa.Text, comment="why it was refused, in a word"),
    sa.Column("error_message", sa.Text, comment="why it was refused, in words"),
    sa.Column("processing_duration_seconds", sa.Double),
    sa.Column("run_id", sa.Text, nullable=False, comment="run that worked on it last"),
    _instant("created_at", now=True, comment="when it was registered"),
    _instant("changed_at", now=True, comment="when its state changed last"),
    sa.CheckConstraint(sa.column("ingestion_status", sa.Text).in_([*Status]), name="file_metadata_status"),
    sa.CheckConstraint(
        sa.or_(
            sa.column("previous_status", sa.Text).is_(None),
            *(
                sa.and_(
                    sa.column("previous_status", sa.Text) == old,
                    sa.column("ingestion_status", sa.Text).in_(sorted(new)),
                )
                for old, new in TRANSITIONS.items()
                if new
            ),
        ),
        name="file_metadata_transition",
    ),
    sa.UniqueConstraint("dataset", "sha256"),
    sa.UniqueConstraint("dataset", "file_name", "version"),
    sa.Index(None, "dataset", "arrived_on"),
    sa.Index(None, "arrived_at"),
    sa.Index(None, "dataset", "ingestion_status"),
    comment="Files that arrived; each content once per dataset.",
)

FILE_NAMES = sa.Table(
    "file_names",
    METADATA,
    sa.Column(
        "file_id",
        sa.BigInteger,
        sa.ForeignKey(FILE_METADATA.c.id, ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column("file_path", sa.Text, primary_key=True, comment="where the bytes were seen"),
    sa.Column("file_name", sa.Text, nullable=False, comment="name inside the dataset there"),
    sa.Column("seen_key", sa.Text, comment="stands for path, size and version as they were seen there"),
    _instant("seen_at", comment="when the bytes were last seen there"),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Index(None, "file_path"),
    sa.Index(None, "seen_key"),
    comment="All names under which the same bytes were seen.",
)

COLUMN_METADATA = sa.Table(
    "column_metadata",
    METADATA,
    _file(is_key=True),
    sa.Column("column_name", sa.Text, primary_key=True, comment="physical name"),
    sa.Column("original_name", sa.Text, nullable=False, comment="name in the file"),
    sa.Column("column_type", sa.Text, nullable=False),
    sa.Column("convention", JSONB, nullable=False, comment="how values are written"),
    sa.Column("confidence", sa.Double, comment="share of values that fit the type"),
    sa.Column("null_count", sa.BigInteger, nullable=False),
    sa.Column("unique_count", sa.BigInteger),
    sa.Column("unique_is_exact", sa.Boolean, nullable=False),
    sa.Column("min_value", sa.Text),
    sa.Column("max_value", sa.Text),
    sa.Column("mean", sa.Double),
    sa.Column("sample_values", JSONB, nullable=False),
    sa.Column("bad_count", sa.BigInteger, nullable=False, comment="cells put aside"),
    comment="What each column of a file holds.",
)

DATA_QUALITY_METRICS = sa.Table(
    "data_quality_metrics",
    METADATA,
    _file(is_key=True),
    sa.Column("metric_name", sa.Text, primary_key=True),
    sa.Column("metric_value", sa.Double, comment="NULL: cannot be computed"),
    sa.Column("metric_type", sa.Text, nullable=False),
    comment="Measures of a file's quality.",
)

SKIPPED_LINES = sa.Table(
    "skipped_lines",
    METADATA,
    _file(),
    sa.Column("line_no", sa.BigInteger, nullable=False, comment="first of them, from 1"),
    sa.Column("line_count", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False, comment="preamble, header, footer, blank, comment or structure"),
    sa.Column("text", sa.Text, nullable=False, comment="as read, shortened"),
    sa.Index(None, "file_metadata_id", "line_no"),
    comment="Lines of a file that hold no record.",
)

BAD_CELLS = sa.Table(
    "bad_cells",
    METADATA,
    _file(),
    sa.Column("line_no", sa.BigInteger, nullable=False, comment="line of its row"),
    sa.Column("column_name", sa.Text, nullable=False, comment="physical name"),
    sa.Column("raw", sa.Text, nullable=False, comment="the cell as read"),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Index(None, "file_metadata_id", "line_no"),
    comment="Cells put aside while their row was loaded.",
)
