"""Asking a dependency through its breaker, where one call is one question.

Belongs here: which of our errors mean that it is out of order, and `asked`. Does not belong here: states and rules
(`breaker.py`); callers that tell outages from answers themselves (`resources/http/client.py`).
"""

from collections.abc import Iterator
from contextlib import contextmanager

from resources.circuit.breaker import Admission, CircuitBreaker
from resources.errors import (
    CircuitOpen,
    DatabaseUnavailable,
    OnlineStoreUnavailable,
    OnlineTablesMissing,
    RateLimited,
    SourceUnavailable,
    TidemarkError,
)

SAYS_NOTHING = CircuitOpen | DatabaseUnavailable | RateLimited
"""Something else was in the way."""


@contextmanager
def asked(breaker: CircuitBreaker) -> Iterator[Admission]:
    """Leave to ask once, taken before and handed back with the outcome.

    An answer that is an error (refused credentials, a table that is not there) is an answer. Whoever stops before there
    is one (the process is told to end, a bug) gives the trial back.

    Raises:
        CircuitOpen: it is left alone now; nothing was asked.
        DatabaseUnavailable: the shared state cannot be used.
    """
    admission = breaker.admit()
    try:
        yield admission
    except BaseException as error:
        tell(breaker, admission, error)
        raise
    breaker.succeeded(admission)


def tell(breaker: CircuitBreaker, admission: Admission, error: BaseException) -> None:
    """Hands leave back with what went wrong."""
    if is_outage(error):
        breaker.failed(admission, str(error))
    elif isinstance(error, TidemarkError) and not isinstance(error, SAYS_NOTHING):
        breaker.succeeded(admission)
    else:
        breaker.unused(admission)


def is_outage(error: BaseException) -> bool:
    """Whether the error says that nobody answers, so that others need not find out for themselves."""
    if isinstance(error, OnlineTablesMissing):
        return False
    return isinstance(error, SourceUnavailable | OnlineStoreUnavailable)
