"""Since when a circuit breaker has not been closed."""

import sqlalchemy as sa
from alembic import op

revision = "10_add_circuit_opened_at"
down_revision = "09_create_incident_tables"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "circuits",
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True, comment="since when it has not been closed"),
        schema="catalog",
    )
    op.execute("UPDATE catalog.circuits SET opened_at = changed_at WHERE state <> 'closed'")


def downgrade() -> None:
    op.drop_column("circuits", "opened_at", schema="catalog")
