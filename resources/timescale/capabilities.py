"""What the server can do beyond plain PostgreSQL: TimescaleDB, its version, its licence.

Belongs here: finding that out, and saying it to people. Does not belong here: what is done with it (`policies.py`).
"""

from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

Licence = Literal["timescale", "apache"]
EXTENSION = "timescaledb"
INSUFFICIENT_PRIVILEGE = "42501"


@dataclass(frozen=True)
class Capabilities:
    """Versions as the server says them, "17.11" and "2.19.3"; `timescaledb` and `licence` are None where the extension
    is not in use."""

    timescaledb: str | None
    licence: Licence | None
    server_version: str
    hindrance: str | None = None
    """Why an installed TimescaleDB is not in use, and what to do."""

    @property
    def has_policies(self) -> bool:
        """Whether compression, continuous aggregates and retention policies exist (Community licence)."""
        return self.timescaledb is not None and self.licence == "timescale"

    def describe(self) -> str:
        """One plain sentence for users."""
        if self.timescaledb is None:
            reason = f" ({self.hindrance})" if self.hindrance else ""
            return (
                f"PostgreSQL {self.server_version} without TimescaleDB{reason}: the same tables, but hypertables, "
                "compression, continuous aggregates and retention policies off."
            )
        if self.licence == "timescale":
            return (
                f"TimescaleDB {self.timescaledb} under the Timescale (Community) licence on PostgreSQL "
                f"{self.server_version}: hypertables, compression, continuous aggregates and retention policies on."
            )
        return (
            f"TimescaleDB {self.timescaledb} under the Apache licence on PostgreSQL {self.server_version}: hypertables "
            "on; compression, continuous aggregates and retention policies off (they need the Community edition with "
            "timescaledb.license = 'timescale')."
        )


def read_capabilities(connection: sa.Connection) -> Capabilities:
    """Asks the server; creates the extension in this database where it is installed and the user may.

    The extension becomes visible to others when the connection's transaction commits.
    """
    # "17.11 (Debian 17.11-0+deb13u1)": the packager's part says nothing here.
    server_version = connection.execute(sa.select(sa.func.current_setting("server_version"))).scalar_one().split()[0]
    hindrance = None
    if _version(connection) is None:
        hindrance = _create_extension(connection)
    version = _version(connection)
    if version is None:
        return Capabilities(None, None, server_version, hindrance)
    licence: Licence = "timescale" if _setting(connection, "timescaledb.license") == "timescale" else "apache"
    return Capabilities(version, licence, server_version)


def _create_extension(connection: sa.Connection) -> str | None:
    """Why it could not be created; None when it was, or when the server does not have it."""
    available = connection.scalar(
        sa.select(sa.column("default_version"))
        .select_from(sa.table("pg_available_extensions", schema="pg_catalog"))
        .where(sa.column("name") == EXTENSION)
    )
    if available is None:
        return None
    # Set by the library's loader: without it, CREATE EXTENSION ends the session instead of failing.
    if _setting(connection, "timescaledb.disable_load") is None:
        return (
            f"version {available} is installed but not loaded: "
            "add timescaledb to shared_preload_libraries and restart the server"
        )
    # Two processes that create it at once would collide in the catalog despite IF NOT EXISTS.
    name = sa.func.hashtextextended(f"create extension {EXTENSION}", 0)
    connection.execute(sa.select(sa.literal_column("1")).select_from(sa.func.pg_advisory_xact_lock(name)))
    try:
        with connection.begin_nested():
            connection.execute(sa.text("CREATE EXTENSION IF NOT EXISTS timescaledb"))
    except sa.exc.DBAPIError as error:
        if getattr(error.orig, "pgcode", None) != INSUFFICIENT_PRIVILEGE:
            raise
        return (
            f"version {available} is installed, but this user may not create it: "
            "have the database's owner run CREATE EXTENSION timescaledb"
        )
    return None


def _version(connection: sa.Connection) -> str | None:
    version: str | None = connection.scalar(
        sa.select(sa.column("extversion"))
        .select_from(sa.table("pg_extension", schema="pg_catalog"))
        .where(sa.column("extname") == EXTENSION)
    )
    return version


def _setting(connection: sa.Connection, name: str) -> str | None:
    value: str | None = connection.scalar(sa.select(sa.func.current_setting(name, True)))
    return value or None
