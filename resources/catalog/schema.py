"""Brings the database's schemas and catalog tables to the version this code needs.

Belongs here: running alembic. Does not belong here: the migrations (`schemas/migrations/`), tables of data.
"""

from functools import cache
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import schemas.migrations
from resources.errors import ConfigurationError
from resources.timescale import sql
from resources.timescale.resource import TimescaleResource, engine_of, translated_sqlalchemy
from schemas.catalog import SCHEMA


class CatalogedTimescale(TimescaleResource):
    """The database with this product's schemas and catalog in it: migrated before its first use by a process."""

    def url(self) -> str:
        """As `TimescaleResource.url`; the catalog is at this code's version.

        Raises:
            ConfigurationError: the database was migrated by a newer version of this code.
            DatabaseUnavailable, CredentialsRejected: as `TimescaleResource.connect`.
        """
        url = super().url()
        migrate(url)
        return url


@cache
def migrate(url: str) -> None:
    """Brings the database to this code's version; one process at a time, nothing to do when it is there."""
    with translated_sqlalchemy(), engine_of(url).begin() as connection:
        connection.execute(sql.lock([f"{SCHEMA}/migrations"]))
        config = configuration(connection)
        scripts = ScriptDirectory.from_config(config)
        head, present = scripts.get_current_head(), current_version(connection)
        if present == head:
            return
        if present is not None and present not in {script.revision for script in scripts.walk_revisions()}:
            raise ConfigurationError(
                f"the database's catalog is at version {present!r}, which this code does not know: "
                f"it was written by a newer version; update the code (it knows up to {head!r})"
            )
        if SCHEMA not in sa.inspect(connection).get_schema_names():
            connection.execute(sa.schema.CreateSchema(SCHEMA))
        command.upgrade(config, "head")


def current_version(connection: sa.Connection) -> str | None:
    """The catalog's version in the database; None before the first migration."""
    context = MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA})
    return context.get_current_revision()


def configuration(connection: sa.Connection) -> Config:
    """Alembic's configuration: our migrations, on the given connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(schemas.migrations.__path__[0])).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
