"""A source behind a circuit breaker.

Belongs here: when a read counts as an answer and when as an outage. Does not belong here: sources, REST APIs (each of
their requests goes through the breaker: `resources/http/client.py`).
"""

from collections.abc import Iterator

from resources.circuit.breaker import Admission, CircuitBreaker
from resources.circuit.guard import asked, tell
from resources.sources.source import Extract, FoundColumn, Source, SourceBatch

ANSWERED = Admission(is_trial=False, had_failures=False)


class GuardedSource(Source):
    """`source`, asked only while its breaker lets one; methods raise `CircuitOpen` as well."""

    def __init__(self, source: Source, breaker: CircuitBreaker) -> None:
        self.address = source.address
        self.opening_attempts = source.opening_attempts
        self._source = source
        self._breaker = breaker

    def batches(self, extract: Extract) -> Iterator[SourceBatch]:
        """As the source's: its first batch is an answer; one that breaks off afterwards is an outage again."""
        admission = self._breaker.admit()
        try:
            for batch in self._source.batches(extract):
                if admission is not ANSWERED:
                    self._breaker.succeeded(admission)
                    admission = ANSWERED
                yield batch
        except BaseException as error:
            tell(self._breaker, admission, error)
            raise
        if admission is not ANSWERED:
            self._breaker.succeeded(admission)

    def columns(self, extract: Extract) -> tuple[FoundColumn, ...]:
        """As the source's."""
        with asked(self._breaker):
            return self._source.columns(extract)

    def check(self, extract: Extract) -> str:
        """As the source's."""
        with asked(self._breaker):
            return self._source.check(extract)

    def close(self) -> None:
        """As the source's."""
        self._source.close()
