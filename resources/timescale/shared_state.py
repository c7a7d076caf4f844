"""Transactions on state that all processes share: budgets of requests, circuit breakers.

Belongs here: what an error of the database means for those who need such state. Does not belong here: the state
(`resources/circuit/shared.py`, `resources/openaq/rate_budget_shared.py`).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from resources.errors import DatabaseUnavailable


@contextmanager
def shared_state(engine: sa.Engine, named: str) -> Iterator[sa.Connection]:
    """A transaction; `named` is the state in the words of an error.

    Raises:
        DatabaseUnavailable: the database does not answer, or lacks what is asked for.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except DBAPIError as error:
        raise DatabaseUnavailable(
            f"the {named} cannot be used ({type(error.orig).__name__}): check that the database runs and that its"
            " schema is up to date"
        ) from error
