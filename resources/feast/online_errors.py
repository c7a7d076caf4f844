"""What goes wrong on the way to the online store, in this product's words.

Belongs here: telling what may pass from what a person must mend, per kind of store. Does not belong here: trying again
(`views.py`). Drivers are asked by what is loaded already: nobody loads Redis to find out that it was not Redis.
"""

import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from resources.errors import (
    ConfigurationError,
    ContractBroken,
    CredentialsRejected,
    OnlineStoreUnavailable,
    OnlineTablesMissing,
    TidemarkError,
)
from resources.timescale.resource import translation_of

SETTING = "TIDEMARK_ONLINE_STORE_URL"
SECRETS = re.compile(r"//[^/@\s]*@")
PASSING_SQLITE = ("locked", "busy", "disk", "full", "interrupted")
REFUSED_REDIS = ("NOAUTH", "WRONGPASS", "NOPERM", "AUTH", "invalid username-password", "invalid password")


@contextmanager
def reaching(name: str) -> Iterator[None]:
    """Turns a store's errors into ours; `name` is the store's, without secrets.

    Raises:
        OnlineStoreUnavailable: it does not answer, or is too busy to.
        CredentialsRejected: it refused the user.
        ConfigurationError: it is not there, or is no store.
    """
    try:
        yield
    except TidemarkError:
        raise
    except Exception as error:
        translated = _translated(error, name)
        if translated is None:
            raise
        raise translated from error


def _translated(error: Exception, name: str) -> TidemarkError | None:
    told = SECRETS.sub("//", " ".join(str(error).split())) or type(error).__name__
    if isinstance(error, sqlite3.DatabaseError):
        return _of_sqlite(error, told, name)
    if isinstance(error, psycopg.Error):
        return _of_postgres(error, told, name)
    redis = sys.modules.get("redis")
    if redis is not None and isinstance(error, redis.exceptions.RedisError):
        return _of_redis(error, told, name)
    return None


def _of_sqlite(error: sqlite3.DatabaseError, told: str, name: str) -> TidemarkError | None:
    if isinstance(error, sqlite3.OperationalError):
        if any(word in told for word in PASSING_SQLITE):
            return OnlineStoreUnavailable(f"the online store {name} does not answer: {told}")
        if "no such table" in told:
            return OnlineTablesMissing(f"the online store {name} is new, and its tables are not there yet: {told}")
        return ConfigurationError(f"the online store {name} cannot be used: {told}; check TIDEMARK_HOME and its rights")
    if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
        return None
    return ConfigurationError(
        f"the online store {name} is damaged: {told}; move the file away and run `tidemark feast rebuild`"
    )


def _of_postgres(error: psycopg.Error, told: str, name: str) -> TidemarkError | None:
    if error.sqlstate == "42P01":
        return OnlineTablesMissing(f"the online store {name} is new, and its tables are not there yet: {told}")
    ours = translation_of(told, error.sqlstate)
    if isinstance(ours, CredentialsRejected):
        return CredentialsRejected(f"the online store {name} refused the user: check {SETTING} ({told})")
    if isinstance(ours, ConfigurationError):
        return ConfigurationError(f"the online store {name} does not exist: check {SETTING} ({told})")
    if isinstance(ours, ContractBroken):
        return None  # a value it cannot hold: trying again changes nothing
    if ours is not None or isinstance(error, psycopg.OperationalError):
        return OnlineStoreUnavailable(f"the online store {name} does not answer: {told}")
    return None


def _of_redis(error: Exception, told: str, name: str) -> TidemarkError:
    redis = sys.modules["redis"]
    refusal = redis.exceptions.AuthenticationError | redis.exceptions.NoPermissionError
    if isinstance(error, refusal) or any(word in told for word in REFUSED_REDIS):
        return CredentialsRejected(f"the online store {name} refused the user: check {SETTING} ({told})")
    if isinstance(error, redis.exceptions.ResponseError) and "DB index" in told:
        return ConfigurationError(f"the online store {name} has no such database: check {SETTING} ({told})")
    return OnlineStoreUnavailable(f"the online store {name} does not answer: {told}")
