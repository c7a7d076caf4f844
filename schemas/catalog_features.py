"""The catalog's tables of served features and of reads from sources: what still has to reach the online store, which
definition Feast was told, how a training set was made, and what a read brought.

Belongs here: SQLAlchemy tables of schema `catalog` about serving and sources. Does not belong here: queries
(`resources/catalog/`, `resources/feast/`, `resources/sources/`), tables of data.
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from schemas.catalog_files import METADATA as METADATA


def _instant(name: str, *, nullable: bool = False, now: bool = False, comment: str) -> sa.Column[object]:
    default = sa.func.now() if now else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=default, comment=comment)


FEATURE_VIEWS = sa.Table(
    "feature_views",
    METADATA,
    sa.Column("view", sa.Text, primary_key=True, comment="name of the Feast view"),
    sa.Column("definition", sa.Text, nullable=False, comment="digest of the definition Feast was told last"),
    sa.Column("online_store", sa.Text, nullable=False, comment="online store that was filled under it, no secrets"),
    _instant("applied_at", now=True, comment="when Feast was told"),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0", comment="online writes failed in a row"),
    sa.Column("last_error", sa.Text, comment="why the newest of them failed"),
    _instant("next_attempt_at", nullable=True, comment="not before then are pending keys tried again"),
    comment="Feature views as they are served.",
)

PENDING_VERSION = sa.Sequence("pending_version", metadata=METADATA, schema=METADATA.schema)

FEATURE_PENDING = sa.Table(
    "feature_pending",
    METADATA,
    sa.Column("view", sa.Text, primary_key=True, comment="Feast view whose online row is out of date"),
    sa.Column("key", sa.Text, primary_key=True, comment="values of the view's entities, as a JSON array"),
    _instant("touched_until", nullable=True, comment="newest row that changed; NULL: whichever is the newest"),
    sa.Column("version", sa.BigInteger, nullable=False, comment="of the mark; a new one with every change"),
    _instant("marked_at", now=True, comment="when it was marked last"),
    comment="Keys whose newest row has still to be written to the online store; writing it removes the mark.",
)

TRAINING_SETS = sa.Table(
    "training_sets",
    METADATA,
    sa.Column("training_set_id", sa.Text, primary_key=True, comment="digest of the recipe"),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column(
        "recipe", JSONB, nullable=False, comment="what it was made of: features, as-of instant, entities, policy"
    ),
    sa.Column("digest", sa.Text, nullable=False, comment="SHA-256 of the rows, in order"),
    sa.Column("rows", sa.BigInteger, nullable=False),
    _instant("built_at", now=True, comment="when it was built first"),
    comment="Training sets that were built, so that they can be built again.",
)

SOURCE_READS = sa.Table(
    "source_reads",
    METADATA,
    sa.Column("read_id", sa.BigInteger, primary_key=True, autoincrement=False, comment="source_id of the rows it gave"),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("table_name", sa.Text, nullable=False, comment="schema.table it fills"),
    sa.Column("kind", sa.Text, nullable=False, comment="database, object_store or rest"),
    sa.Column("source_table", sa.Text, nullable=False, comment="what the source calls it"),
    sa.Column("address", sa.Text, nullable=False, comment="address of the source, without secrets"),
    sa.Column("run_id", sa.Text, nullable=False),
    _instant("since", nullable=True, comment="rows stamped after it were asked for; NULL: from the beginning"),
    _instant("until", nullable=True, comment="rows stamped up to it were asked for; NULL: all"),
    sa.Column("columns", JSONB, nullable=False, comment="columns of the source as found: name and type, in order"),
    sa.Column("records_read", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("records_written", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("records_failed", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("records_duplicate", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("bytes_read", sa.BigInteger, nullable=False, server_default="0", comment="of the values as received"),
    sa.Column("duration_s", sa.Double, nullable=False, server_default="0"),
    sa.Column("error", sa.Text, comment="why it failed; NULL: it did not"),
    _instant("started_at", now=True, comment="when it began"),
    sa.Index(None, "table_name", "started_at"),
    comment="Every read from a source, failed ones too.",
)
