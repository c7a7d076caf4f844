"""How alembic reaches the database: over the connection it is handed (`resources/catalog/schema.py`).

Belongs here: nothing more. The version table lies in the catalog beside the tables it speaks of.
"""

from alembic import context

from schemas.catalog import SCHEMA
from schemas.catalog_budget import BUDGET_METADATA
from schemas.catalog_runs import METADATA


def run() -> None:
    """Runs the migrations on `config.attributes["connection"]`, in that connection's transaction."""
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=[METADATA, BUDGET_METADATA],
        version_table="alembic_version",
        version_table_schema=SCHEMA,
        include_schemas=True,
        include_name=lambda name, kind, _: kind != "schema" or name == SCHEMA,
        compare_server_default=False,
    )
    context.run_migrations()


run()
