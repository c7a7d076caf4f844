"""One location's sensors taken together: leave to ask for them, what came, what failed.

Belongs here: what one sensor's failure means for its location. Does not belong here: HTTP, paging (`series.py`), rows
(`api_rows.py`).
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date

import pandas as pd

from resources.circuit.breaker import CircuitBreaker
from resources.errors import CircuitOpen, SourceUnavailable, TerminalError, TidemarkError, UnexpectedAnswer
from resources.openaq.answers import SensorUnservable
from resources.openaq.api_rows import PageRows
from resources.openaq.fetched import Fetched, Reject, Source, no_rows
from resources.openaq.location import Location, Sensor
from schemas.window import Window


class SensorLeftAlone(CircuitOpen):
    """One sensor failed so often that it is not asked for a while; the others are."""


@contextmanager
def asked(sensor: Sensor, breaker: CircuitBreaker) -> Iterator[None]:
    """Leave to ask for the sensor, handed back with the outcome.

    Only what is the sensor's own fault (`SensorUnservable`) counts against it: an outage of the API must not keep
    healthy sensors out for hours after it.

    Raises:
        SensorLeftAlone: it failed too often.
    """
    try:
        admission = breaker.admit()
    except CircuitOpen as error:
        raise SensorLeftAlone(str(error)) from error
    try:
        yield
    except SensorUnservable as error:
        breaker.failed(admission, str(error))
        raise
    except BaseException:
        breaker.unused(admission)
        raise
    breaker.succeeded(admission)


class Gathered:
    """What the pages of one sensor, or of all sensors of a location, amount to."""

    def __init__(self) -> None:
        self._notes: list[str] = []
        self._sources: list[Source] = []
        self._rows: list[pd.DataFrame] = []
        self._rejects: list[Reject] = []
        self._filtered: Counter[date] = Counter()
        self._records = 0

    def add(self, source: Source, records: int, found: PageRows) -> None:
        self._sources.append(source)
        self._records += records
        self._rejects.extend(found.rejects)
        self._filtered.update(found.filtered)
        if len(found.rows):
            self._rows.append(found.rows)

    def note(self, text: str | None) -> None:
        if text:
            self._notes.append(text)

    def merge(self, other: "Gathered") -> None:
        self._notes += other._notes
        self._sources += other._sources
        self._rows += other._rows
        self._rejects += other._rejects
        self._filtered += other._filtered
        self._records += other._records

    def fetched(self, location: Location, window: Window, failed: Mapping[int, TidemarkError]) -> Fetched:
        return Fetched(
            location_id=location.id,
            window=window,
            rows=pd.concat(self._rows, ignore_index=True) if self._rows else no_rows(),
            rejects=tuple(self._rejects),
            records=self._records,
            filtered=dict(self._filtered),
            sources=tuple(self._sources),
            failed_sensors={sensor_id: str(error) for sensor_id, error in failed.items()},
            notes=tuple(self._notes),
        )


def together(location: Location, failed: Mapping[int, TidemarkError]) -> TidemarkError:
    """One error for a location none of whose sensors can be had: terminal if one of theirs is."""
    kind: type[TidemarkError] = SourceUnavailable
    if any(isinstance(error, TerminalError) for error in failed.values()):
        kind = UnexpectedAnswer
    elif all(isinstance(error, CircuitOpen) for error in failed.values()):
        kind = CircuitOpen
    listed = "; ".join(f"sensor {sensor_id}: {error}" for sensor_id, error in failed.items())
    count = f"{len(failed)} of its {len(location.sensors)} sensors fail"
    return kind(f"location {location.id} cannot be had, {count}: {listed}")
