"""Connections of the Arrow driver.

Belongs here: how one is opened. Does not belong here: transactions and what errors mean (`resource.py`).
"""

from functools import cache

import adbc_driver_manager
import adbc_driver_postgresql
import adbc_driver_postgresql.dbapi as adbc


def arrow_connection(url: str) -> adbc.Connection:
    """A connection to a libpq URL, in a transaction; whoever opens it closes it.

    The driver asks a server for all of its types whenever it is told of a database, which takes far longer than to
    connect. They are asked for once per process here; those the product uses are PostgreSQL's own, the same for good.

    Raises:
        adbc_driver_manager.Error: no connection.
    """
    known = _Known(url)
    connection = adbc_driver_manager.AdbcConnection(known.database)
    try:
        return adbc.Connection(known, connection)
    except BaseException:
        connection.close()
        raise


class _Known:
    """A database that outlives the connections that close it."""

    def __init__(self, url: str) -> None:
        self.database = _database(url)

    def close(self) -> None:
        """Leaves it open: others use it as well."""


@cache
def _database(url: str) -> adbc_driver_manager.AdbcDatabase:
    database: adbc_driver_manager.AdbcDatabase = adbc_driver_postgresql.connect(url)
    return database
