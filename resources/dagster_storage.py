"""Dagster's own storage: runs, events and schedules in a PostgreSQL database `dagster`, named in dagster.yaml.

Belongs here: finding that database, making it, and handing it to dagster-postgres. Does not belong here: the data's
database (resources/timescale).

Every Dagster process (webserver, daemon, code server, run worker) builds this storage, so this is also where each of
them takes its share in the embedded server when no database is configured: plain `dagster dev` works with nothing
running.
"""

import contextlib
import re
from collections.abc import Mapping
from typing import Any

import psycopg2
from dagster import Field
from dagster._config.config_schema import UserConfigSchema
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from psycopg2 import sql
from sqlalchemy import make_url

from resources import wiring
from resources.timescale import server
from resources.timescale.addresses import plain_url

DATABASE = "dagster"


class TidemarkDagsterStorage(DagsterPostgresStorage):
    """dagster-postgres on `TIDEMARK_DAGSTER_DATABASE_URL`, else on database `dagster` of the data's server."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {"should_autocreate_tables": Field(bool, is_required=False, default_value=True)}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "TidemarkDagsterStorage":
        return cls(
            postgres_url=sqlalchemy_url(ready_database(wiring.settings())),
            should_autocreate_tables=config_value["should_autocreate_tables"],
            inst_data=inst_data,
        )


def database_url(settings: wiring.Settings) -> str | None:
    """libpq URL of Dagster's database as configured; None where the embedded server is to be used.

    Raises:
        ConfigurationError: it is no PostgreSQL URL.
    """
    if settings.dagster_database_url is not None:
        return plain_url(settings.dagster_database_url.get_secret_value())
    if settings.database_url is not None:
        data = make_url(plain_url(settings.database_url.get_secret_value()))
        return plain_url(data.set(database=DATABASE).render_as_string(hide_password=False))
    return None


def ready_database(settings: wiring.Settings) -> str:
    """libpq URL of Dagster's database, which exists; the embedded server then runs as long as this process.

    Raises:
        DatabaseUnavailable: the server does not answer or start.
        CredentialsRejected: wrong password, or the database is missing and may not be created.
        ConfigurationError: the URL is none, or the embedded server cannot run here.
    """
    configured = database_url(settings)
    if configured is not None:
        if not _exists(configured):
            server.ensure_databases(configured, [str(make_url(configured).database)])
        return configured
    embedded = server.hold(settings.home)
    url = plain_url(embedded.url(DATABASE))
    if not _exists(url):
        server.ensure_databases(embedded, [DATABASE])
        # Events are stored 2-3 times faster. What a power cut may take, the last instants of Dagster's own log, the
        # next start puts right (runs are marked failed); the data's database keeps its commits.
        with contextlib.closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(sql.Identifier(DATABASE)))
    return url


def sqlalchemy_url(url: str) -> str:
    """The URL with driver psycopg2.

    SQLAlchemy 2.1 takes `postgresql://` for psycopg 3, with which dagster-postgres fails on its first event: it sends
    NOTIFY with a bind parameter, which only a client-side driver can (dagster issue 33958).
    """
    return make_url(url).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)


def _exists(url: str) -> bool:
    """Whether the database can be connected to; False where the server answers and has no such database."""
    try:
        psycopg2.connect(url).close()
    except psycopg2.OperationalError as error:
        if re.search(r'database ".*" does not exist', str(error)):
            return False
        raise server.explain_refusal(error) from None
    return True
