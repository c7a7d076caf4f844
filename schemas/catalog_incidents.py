"""The catalog's table of incidents: what people know of a series that its values do not say.

Belongs here: the SQLAlchemy table. Does not belong here: queries (`resources/catalog/incidents.py`), what follows for a
baseline (`assets_pkg/quality/`).
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from schemas.catalog_profiles import METADATA as METADATA

INCIDENTS = sa.Table(
    "incidents",
    METADATA,
    sa.Column("incident_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("entity", JSONB, nullable=False, comment="entity columns it is about; those left out: any"),
    sa.Column("metric", sa.Text, comment="NULL: any"),
    sa.Column("kind", sa.Text, comment="kind of anomaly it explains; NULL: any"),
    sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, comment="first instant it is about"),
    sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False, comment="last instant it is about"),
    sa.Column(
        "is_expected",
        sa.Boolean,
        nullable=False,
        comment="whether it is how things are, so that baselines learn from its rows; else they leave them out",
    ),
    sa.Column("note", sa.Text, nullable=False, comment="what happened, in words"),
    sa.Column("created_by", sa.Text, nullable=False, comment="who said so"),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now(), comment="when"),
    sa.Index(None, "dataset", "started_at"),
    sa.CheckConstraint("ended_at >= started_at", name="incidents_end_after_start"),
    comment="Periods of series that people explained: incidents, and anomalies that were expected.",
)
