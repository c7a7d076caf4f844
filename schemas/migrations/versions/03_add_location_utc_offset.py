"""The UTC offset of a location whose time zone nobody tells."""

import sqlalchemy as sa
from alembic import op

revision = "03_add_location_utc_offset"
down_revision = "02_create_catalog_tables"
branch_labels = None
depends_on = None

COMMENT = "of the newest stamp, like +05:45; stands in for an unknown timezone"


def upgrade() -> None:
    op.add_column("openaq_locations", sa.Column("utc_offset", sa.Text(), comment=COMMENT), schema="catalog")


def downgrade() -> None:
    op.drop_column("openaq_locations", "utc_offset", schema="catalog")
