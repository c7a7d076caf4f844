"""What an online store's driver says becomes what a person or a retry policy can act on; no secret comes along."""

import sqlite3
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
import redis

from resources.errors import (
    ConfigurationError,
    CredentialsRejected,
    OnlineStoreUnavailable,
    OnlineTablesMissing,
    TidemarkError,
)
from resources.feast.online_errors import reaching
from resources.feast.views import ViewState, due

NOW = datetime(2025, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (redis.exceptions.ConnectionError("Error 111 connecting to h:1. Connection refused."), OnlineStoreUnavailable),
        (redis.exceptions.TimeoutError("Timeout reading from socket"), OnlineStoreUnavailable),
        (redis.exceptions.BusyLoadingError("LOADING"), OnlineStoreUnavailable),
        (redis.exceptions.OutOfMemoryError("OOM command not allowed"), OnlineStoreUnavailable),
        (redis.exceptions.ReadOnlyError("READONLY You can't write"), OnlineStoreUnavailable),
        (redis.exceptions.AuthenticationError("WRONGPASS invalid username-password pair"), CredentialsRejected),
        (redis.exceptions.AuthenticationError("Authentication required."), CredentialsRejected),
        (redis.exceptions.NoPermissionError("this user has no permissions"), CredentialsRejected),
        (redis.exceptions.ResponseError("DB index is out of range"), ConfigurationError),
        (sqlite3.OperationalError("database is locked"), OnlineStoreUnavailable),
        (sqlite3.OperationalError("database or disk is full"), OnlineStoreUnavailable),
        (sqlite3.OperationalError("unable to open database file"), ConfigurationError),
        (sqlite3.OperationalError("attempt to write a readonly database"), ConfigurationError),
        (sqlite3.DatabaseError("file is not a database"), ConfigurationError),
        (psycopg.OperationalError("connection refused"), OnlineStoreUnavailable),
        (psycopg.OperationalError("SSL SYSCALL error: EOF detected"), OnlineStoreUnavailable),
        (psycopg.errors.AdminShutdown("terminating connection"), OnlineStoreUnavailable),
        (psycopg.OperationalError('password authentication failed for user "u"'), CredentialsRejected),
        (psycopg.errors.InsufficientPrivilege("permission denied for schema"), CredentialsRejected),
        (psycopg.OperationalError('database "x" does not exist'), ConfigurationError),
        (psycopg.errors.UndefinedTable("relation does not exist"), OnlineTablesMissing),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else f"{type(value).__name__}: {value}",
)
def test_a_drivers_error_is_ours(error: Exception, ours: type[TidemarkError]) -> None:
    with pytest.raises(TidemarkError) as raised, reaching("store"):
        raise error
    assert type(raised.value) is ours
    assert "store" in str(raised.value)


def test_an_address_in_an_error_is_shown_without_its_user() -> None:
    with pytest.raises(OnlineStoreUnavailable) as raised, reaching("store"):
        raise redis.exceptions.ConnectionError("cannot reach redis://me:hunter2@cache:6379")
    assert "hunter2" not in str(raised.value)
    assert "cache:6379" in str(raised.value)


@pytest.mark.parametrize("error", [ValueError("ours"), sqlite3.ProgrammingError("a wrong statement")])
def test_an_error_of_the_code_stays_what_it_is(error: Exception) -> None:
    with pytest.raises(type(error)), reaching("store"):
        raise error


@pytest.mark.parametrize(
    ("marked_s_ago", "next_in_s", "is_due"),
    [(None, None, False), (10, None, False), (31, None, True), (31, 5, False), (3600, -1, True)],
)
def test_marks_are_due_when_their_run_had_time_and_the_wait_is_over(
    marked_s_ago: int | None, next_in_s: int | None, is_due: bool
) -> None:
    state = ViewState(
        view="v",
        pending=1,
        oldest_mark_at=None if marked_s_ago is None else NOW - timedelta(seconds=marked_s_ago),
        failures=0,
        last_error=None,
        next_attempt_at=None if next_in_s is None else NOW + timedelta(seconds=next_in_s),
    )
    assert due([state], NOW) == ([state] if is_due else [])
