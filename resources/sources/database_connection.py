"""Reaching PostgreSQL, MySQL and MariaDB: drivers, a read-only snapshot in UTC, and what their errors mean.

Belongs here: engines, sessions, error codes. Does not belong here: what is selected (`database.py`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, quote_plus

import psycopg2.extensions
import sqlalchemy as sa

from resources.errors import (
    ConfigurationError,
    CredentialsRejected,
    SourceChanging,
    SourceUnavailable,
    TidemarkError,
    UnexpectedAnswer,
)

CONNECT_TIMEOUT_S = 10
MYSQL_ANSWER_S = 900
"""How long MySQL may be silent: a large table is sorted before its first row comes."""
DRIVERS = {
    "postgresql": "postgresql+psycopg2",
    "postgres": "postgresql+psycopg2",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
POSTGRES_TEXT = (1082, 1083, 1114, 1184, 1266, 1186, 114, 3802)
"""date, time, timestamp, timestamptz, timetz, interval, json, jsonb: Python's types hold less than they may."""
POSTGRES_SESSION = (
    "SET LOCAL TIME ZONE 'UTC'",
    "SET LOCAL datestyle = 'ISO, YMD'",
    "SET LOCAL intervalstyle = 'iso_8601'",
    "SET LOCAL bytea_output = 'hex'",
    "SET LOCAL lock_timeout = '60s'",
)
"""A table that somebody holds for good must not hold the source for good."""
MYSQL_SESSION = (
    "SET SESSION time_zone = '+00:00'",
    "SET SESSION sql_mode = 'ALLOW_INVALID_DATES'",
    "SET SESSION net_write_timeout = 3600",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
)
"""Invalid dates are compared as they are, and a slow reader is waited for."""

POSTGRES_PASSING = {"55P03", "25006", "25P03"}
POSTGRES_GONE = {"42P01", "42703", "3F000", "0A000"}
"""What was there when it was looked at: a table, a column, a schema, the plan of a query."""
MYSQL_REFUSED = {1044, 1045, 1142, 1143, 1227, 1370, 1698, 3118, 1820, 1862}
MYSQL_PASSING = {1040, 1053, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1317, 1927, 2002, 2003, 2006, 2013, 2055}
MYSQL_GONE = {1054, 1146, 1412}


class DatabaseAddress:
    """The URL of a database; knows what of it is secret.

    Raises:
        ConfigurationError: it is no URL of a database that can be read here. The message does not repeat it.
    """

    def __init__(self, url: str, setting: str) -> None:
        try:
            parsed = sa.make_url(url.strip())
        except (sa.exc.ArgumentError, ValueError):
            parsed = None
        backend = parsed.get_backend_name() if parsed else ""
        # An @ that is not encoded moves a part of the password into the host, which is shown.
        if parsed is None or backend not in DRIVERS or "@" in (parsed.host or ""):
            raise ConfigurationError(
                f"{setting} must read postgresql://user:password@host:port/database or mysql://…, with special "
                "characters of the password percent-encoded"
            )
        self.setting = setting
        self.url = parsed.set(drivername=DRIVERS[backend])
        self.is_postgres = "postgres" in backend
        where = parsed.host or str(parsed.query.get("host", parsed.query.get("unix_socket", "localhost")))
        port = f":{parsed.port}" if parsed.port else ""
        self.shown = f"{'postgresql' if self.is_postgres else backend}://{where}{port}/{parsed.database or ''}"
        password = parsed.password or ""
        secrets = {password, quote(password, safe=""), quote_plus(password), url}
        secrets |= {str(value) for name, value in parsed.query.items() if "pass" in name or name == "sslkey"}
        self._secrets = sorted((secret for secret in secrets if secret), key=len, reverse=True)

    def engine(self) -> sa.Engine:
        """An engine that keeps no connection."""
        if self.is_postgres:
            arguments: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT_S, "client_encoding": "utf8"}
            arguments |= {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 6}
        else:
            arguments = {"connect_timeout": CONNECT_TIMEOUT_S, "read_timeout": MYSQL_ANSWER_S, "charset": "utf8mb4"}
            arguments["conv"] = _mysql_decoders()
        given = {name: value for name, value in arguments.items() if name not in self.url.query}
        try:
            engine = sa.create_engine(self.url, poolclass=sa.NullPool, connect_args=given)
        except (TypeError, ValueError, sa.exc.ArgumentError) as error:
            raise ConfigurationError(
                f"{self.setting} has an option its driver does not know ({self.scrubbed(str(error))})"
            ) from error
        if self.is_postgres:
            sa.event.listen(engine, "connect", _dates_as_text)
        return engine

    def scrubbed(self, text: str) -> str:
        """`text` in one line, without the password."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return " ".join(text.split())[:500]

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turns what drivers raise into our errors, secrets left out."""
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise self._translation(error.orig) from None
        except sa.exc.NoSuchTableError as error:
            raise UnexpectedAnswer(
                f"{self.shown} has no table {self.scrubbed(str(error))!r}, or its user may not see it: check the "
                "declaration"
            ) from None
        except UnicodeDecodeError as error:
            raise UnexpectedAnswer(f"{self.shown} holds text that is not UTF-8 ({error.reason})") from None
        except RuntimeError as error:
            # PyMySQL's way to say that a package for the server's way to log in is missing.
            raise ConfigurationError(f"{self.shown} cannot be used: {self.scrubbed(str(error))}") from None
        except (OSError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"{self.setting} has an option its driver does not take ({self.scrubbed(str(error))})"
            ) from None

    def _translation(self, error: BaseException | None) -> TidemarkError:
        told = self.scrubbed(str(error) if error else "no answer")
        state = getattr(error, "pgcode", None)
        if self.is_postgres:
            return self._by_state(state, told) if state else self._by_words(told)
        number = error.args[0] if error and error.args and isinstance(error.args[0], int) else 0
        return self._by_number(number, told)

    def _by_state(self, state: str, told: str) -> TidemarkError:
        if state.startswith("28"):
            return self._refused(told)
        if state == "42501":
            return CredentialsRejected(f"{self.shown}: the user of {self.setting} lacks a right: {told}")
        if state == "3D000":
            return ConfigurationError(f"the database named in {self.setting} does not exist: {told}")
        if state in POSTGRES_GONE:
            return self._changed(told)
        if state[:2] in {"08", "40", "53", "57"} or state in POSTGRES_PASSING:
            return self._away(told)
        return UnexpectedAnswer(f"{self.shown} cannot give the rows ({state}): {told}")

    def _by_words(self, told: str) -> TidemarkError:
        """An attempt to connect that fails carries no code, only words."""
        if "authentication failed" in told or "no password supplied" in told or "pg_hba.conf" in told:
            return self._refused(told)
        if "role" in told and "not exist" in told:
            return self._refused(told)
        if "database" in told and "does not exist" in told:
            return ConfigurationError(f"the database named in {self.setting} does not exist: {told}")
        if "invalid" in told and ("option" in told or "value" in told):
            return ConfigurationError(f"{self.setting} has an option that is none: {told}")
        return self._away(told)

    def _by_number(self, number: int, told: str) -> TidemarkError:
        if number in MYSQL_REFUSED:
            return self._refused(told)
        if number == 1049:
            return ConfigurationError(f"the database named in {self.setting} does not exist: {told}")
        if number in MYSQL_GONE:
            return self._changed(told)
        if number in MYSQL_PASSING or number == 0:
            return self._away(told)
        return UnexpectedAnswer(f"{self.shown} cannot give the rows ({number}): {told}")

    def _refused(self, told: str) -> TidemarkError:
        return CredentialsRejected(f"{self.shown} refused the user: check {self.setting} ({told})")

    def _changed(self, told: str) -> TidemarkError:
        return SourceChanging(f"{self.shown}: the table changed between being looked at and being read: {told}")

    def _away(self, told: str) -> TidemarkError:
        return SourceUnavailable(f"{self.shown} does not answer: {told}")


@contextmanager
def snapshot(address: DatabaseAddress) -> Iterator[sa.Connection]:
    """A connection inside one read-only transaction that sees one state of the database, in UTC."""
    engine = address.engine()
    with address.translated(), engine.connect() as plain:
        connection = plain
        if address.is_postgres:
            connection = plain.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        for statement in POSTGRES_SESSION if address.is_postgres else MYSQL_SESSION:
            connection.exec_driver_sql(statement)
        yield connection


def _mysql_decoders() -> dict[Any, Any]:
    """Times stay text, for the same reason. The driver is loaded where it is used: cryptography comes with it."""
    from pymysql.constants import FIELD_TYPE
    from pymysql.converters import conversions

    times = (FIELD_TYPE.DATE, FIELD_TYPE.NEWDATE, FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP, FIELD_TYPE.TIME)
    return {**conversions, **dict.fromkeys(times)}


def _dates_as_text(connection: Any, _: object) -> None:
    kind = psycopg2.extensions.new_type(POSTGRES_TEXT, "AS_TEXT", lambda value, _: value)
    psycopg2.extensions.register_type(kind, connection)
