"""The databases of a server, embedded or not: creating those that are missing, and saying why one refuses.

Does not belong here: what is in them.
"""

import contextlib
import time
from collections.abc import Iterable
from typing import Protocol

import psycopg2
import psycopg2.errors
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from resources.errors import CredentialsRejected, DatabaseUnavailable

MAINTENANCE_DATABASE = "postgres"


class HasUrls(Protocol):
    """A server that knows the libpq URLs of its databases."""

    def url(self, database: str) -> str: ...


def ensure_databases(server: HasUrls | str, names: Iterable[str]) -> None:
    """Create the databases that are missing, on an embedded server or the one a libpq URL points to.

    Processes may do so at the same time.

    Raises:
        DatabaseUnavailable: the server does not answer.
        CredentialsRejected: wrong password, or a database is missing and may not be created.
    """
    url = server.url(MAINTENANCE_DATABASE) if not isinstance(server, str) else server
    with contextlib.closing(_connect_to_maintenance(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database")
            found = {name for (name,) in cursor.fetchall()}
        for name in names:
            if name not in found:
                _create_database(connection, name)


def explain_refusal(error: Exception) -> CredentialsRejected | DatabaseUnavailable:
    """Tell a wrong account from a server that is away; libpq gives no code for a failed connection, only words."""
    words = " ".join(str(error).split())
    if any(sign in words for sign in ("password", "authentication", "pg_hba.conf", "role ", "permission denied")):
        return CredentialsRejected(f"the database refuses the account: {words}; check TIDEMARK_DATABASE_URL")
    return DatabaseUnavailable(f"the database does not answer: {words}; start it or check TIDEMARK_DATABASE_URL")


def _connect_to_maintenance(url: str) -> Connection:
    """Connect to the database every server has, or, where that is closed to us, to the one the URL names."""
    try:
        return psycopg2.connect(url, dbname=MAINTENANCE_DATABASE, connect_timeout=10)
    except psycopg2.OperationalError:
        try:
            return psycopg2.connect(url, connect_timeout=10)
        except psycopg2.OperationalError as error:
            raise explain_refusal(error) from None


def _create_database(connection: Connection, name: str) -> None:
    for attempts_left in reversed(range(20)):
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            return
        except (psycopg2.errors.DuplicateDatabase, psycopg2.errors.UniqueViolation):
            return
        except psycopg2.errors.ObjectInUse:
            # Two creations copy the same template: one must wait for the other.
            if not attempts_left:
                raise
            time.sleep(0.25)
        except psycopg2.errors.InsufficientPrivilege as error:
            raise CredentialsRejected(
                f'database "{name}" is missing and the account may not create it; create it (CREATE DATABASE "{name}") '
                "or grant the account CREATEDB"
            ) from error
