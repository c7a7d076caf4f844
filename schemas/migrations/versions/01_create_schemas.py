"""The schemas: one per layer, and the catalog."""

import sqlalchemy as sa
from alembic import op

revision = "01_create_schemas"
down_revision = None
branch_labels = None
depends_on = None

LAYERS = ("staging", "timeseries", "features", "quality")


def upgrade() -> None:
    present = sa.inspect(op.get_bind()).get_schema_names()
    for name in LAYERS:
        if name not in present:
            op.execute(sa.schema.CreateSchema(name))


def downgrade() -> None:
    for name in reversed(LAYERS):
        op.execute(sa.schema.DropSchema(name))
