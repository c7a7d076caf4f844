"""Connections to the database, and one transaction of statements and Arrow tables.

Belongs here: `TimescaleResource` (configuration, engine, transactions) and `Transaction`. Does not belong here: what is
written, in which order (`io_manager.py`), or how a server comes to run (`server.py`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as adbc
import dagster as dg
import pyarrow as pa
import sqlalchemy as sa
from pydantic import Field

from resources.errors import ConfigurationError, ContractBroken, CredentialsRejected, DatabaseUnavailable, TidemarkError
from resources.timescale import server, sql
from resources.timescale.addresses import plain_url
from resources.timescale.arrow_driver import arrow_connection

CONFIGURATION_LIMIT_EXCEEDED = "53400"
PASSING = {"55P03", "25006", "25P03"}
"""A lock not to be had, a standby before it is promoted, a session that idled too long."""


class Transaction:
    """Everything between BEGIN and COMMIT on one connection; statements are SQLAlchemy Core, rows are Arrow."""

    def __init__(self, connection: adbc.Connection) -> None:
        self._connection = connection

    def execute(self, statement: sa.Executable) -> None:
        """Runs a statement whose rows nobody wants."""
        text, values = sql.render(statement)
        with self._connection.cursor() as cursor:
            cursor.execute(text, values or None)

    def fetch(self, statement: sa.Executable) -> pa.Table:
        """The rows of a statement."""
        text, values = sql.render(statement)
        with self._connection.cursor() as cursor:
            cursor.execute(text, values or None)
            return cursor.fetch_arrow_table()

    def fetch_pieces(self, statement: sa.Executable, rows: int) -> Iterator[pa.Table]:
        """The rows of a statement, so many at a time; one table at least, which may be empty."""
        text, values = sql.render(statement)
        with self._connection.cursor() as cursor:
            cursor.execute(f"DECLARE pieces NO SCROLL CURSOR FOR {text}", values or None)
        yield (piece := self._next_piece(rows))
        while piece.num_rows == rows and (piece := self._next_piece(rows)).num_rows:
            yield piece
        self.execute(sa.text("CLOSE pieces"))

    def _next_piece(self, rows: int) -> pa.Table:
        with self._connection.cursor() as cursor:
            cursor.adbc_statement.set_options(**{"adbc.postgresql.use_copy": "false"})  # COPY takes no FETCH
            cursor.execute(f"FETCH FORWARD {rows:d} FROM pieces")
            return cursor.fetch_arrow_table()

    def copy(self, table: sa.Table, rows: pa.Table | pa.RecordBatchReader) -> None:
        """Appends Arrow rows to a table by COPY; column names and types must be the table's."""
        with self._connection.cursor() as cursor:
            cursor.adbc_ingest(table.name, rows, mode="append", db_schema_name=table.schema)

    def stage(self, name: str, rows: pa.Table) -> None:
        """Puts Arrow rows into a temporary table, which goes with the connection; replaces the one of that name."""
        with self._connection.cursor() as cursor:
            cursor.adbc_ingest(name, rows, mode="replace", temporary=True)

    def commit(self) -> None:
        """Makes it so; what follows is a new transaction."""
        self._connection.commit()


class TimescaleResource(dg.ConfigurableResource["TimescaleResource"]):
    """A TimescaleDB or PostgreSQL database: that of `database_url`, else the embedded server of `state_dir`."""

    database_url: str = Field(
        default="", repr=False, description="postgresql://user:password@host:port/database; empty: embedded server"
    )
    state_dir: str = Field(default="", description="folder of the embedded server; used when there is no URL")
    database: str = Field(default="tidemark", description="name of the database on the embedded server")

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """One transaction: committed when the block ends, rolled back when it raises.

        Raises:
            DatabaseUnavailable: no server, it went away, or two writers deadlocked.
            CredentialsRejected: the server refused the user, or the user lacks a right.
            ConfigurationError: the URL is wrong or the database does not exist.
        """
        with _translated(), arrow_connection(self.url()) as connection:
            transaction = Transaction(connection)
            try:
                yield transaction
                transaction.commit()
            except BaseException:
                with _quiet_rollback():
                    connection.rollback()
                raise

    @contextmanager
    def connect(self) -> Iterator[sa.Connection]:
        """A SQLAlchemy connection in a transaction, for the catalog's small queries. Errors as `transaction`."""
        with translated_sqlalchemy(), engine_of(self.url()).begin() as connection:
            yield connection

    def url(self) -> str:
        """The libpq URL; holds the password, so it is never logged. Starts the embedded server if need be."""
        if self.database_url:
            return plain_url(self.database_url)
        if not self.state_dir:
            raise ConfigurationError("neither a database URL nor a folder for the embedded PostgreSQL is set")
        embedded = server.hold(Path(self.state_dir))
        embedded.ensure_database(self.database)
        return plain_url(embedded.url(self.database))


@cache
def engine_of(url: str) -> sa.Engine:
    """The process's engine for a libpq URL. Named driver: SQLAlchemy takes plain `postgresql://` for psycopg 3."""
    return sa.create_engine(
        url.replace("postgresql://", "postgresql+psycopg2://", 1),
        pool_size=2,
        pool_pre_ping=True,
    )


@contextmanager
def translated_sqlalchemy() -> Iterator[None]:
    """Turns SQLAlchemy's errors of the connection into ours; others pass as they are."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        state = getattr(error.orig, "pgcode", None) or getattr(error.orig, "sqlstate", None)  # psycopg2 or psycopg 3
        if (translation := translation_of(str(error.orig), state)) is None:
            raise
        raise translation from error.orig


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except adbc_driver_manager.Error as error:
        if (translation := translation_of(str(error), getattr(error, "sqlstate", None))) is None:
            raise
        raise translation from error


@contextmanager
def _quiet_rollback() -> Iterator[None]:
    """A rollback on a connection that is gone has nothing to add to the error that is already on its way."""
    try:
        yield
    except adbc_driver_manager.Error:
        return


def translation_of(message: str, sqlstate: str | None) -> TidemarkError | None:
    """Our error for the server's; None where it is none of the connection's doing."""
    told = " ".join(message.split()) or "no answer"
    if sqlstate:
        return _by_state(sqlstate, told)
    # An attempt to connect that fails carries no state, only words.
    if "authentication failed" in told or "no password supplied" in told or ("role" in told and "not exist" in told):
        return CredentialsRejected(f"the database refused the user: check TIDEMARK_DATABASE_URL ({told})")
    if "database" in told and "does not exist" in told:
        return ConfigurationError(f"the database named in TIDEMARK_DATABASE_URL does not exist: {told}")
    if "invalid URI" in told or "invalid connection option" in told:
        return ConfigurationError("TIDEMARK_DATABASE_URL is malformed: postgresql://user:password@host:port/database")
    if any(words in told for words in ("connect", "server closed", "no answer")):
        return DatabaseUnavailable(f"the database does not answer: {told}")
    return None


def _by_state(state: str, told: str) -> TidemarkError | None:
    """By PostgreSQL's error codes: https://www.postgresql.org/docs/current/errcodes-appendix.html."""
    if state.startswith("28"):
        return CredentialsRejected(f"the database refused the user: check TIDEMARK_DATABASE_URL ({told})")
    if state == "42501":
        return CredentialsRejected(f"the database user lacks a right: {told}; docs/operations.md lists the rights")
    if state == "3D000":
        return ConfigurationError(f"the database named in TIDEMARK_DATABASE_URL does not exist: {told}")
    if state[:2] in {"22", "23"}:
        return ContractBroken(f"the database refuses the rows: {told}")
    if state != CONFIGURATION_LIMIT_EXCEEDED and (state[:2] in {"08", "40", "53", "57"} or state in PASSING):
        return DatabaseUnavailable(f"the database does not answer: {told}")
    return None
