"""One read of one table: batches of a source become rows for the staging model, and an account of all the others.

Belongs here: the order of steps, windows of time, duplicates, metrics. Does not belong here: what a row has to be
(`row_contract.py`), sources, the catalog's table (`resources/catalog/source_reads.py`).

Every row of the window asked for is written, put aside or a duplicate, and the three add up. Rows of other windows,
which a source that cannot narrow gives as well, are left out and not counted. A stamp later than now is no time yet:
such a row is put aside, so that nothing that goes by the newest stamp ever goes beyond now.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import numpy as np
import pandas as pd
import stamina

from resources.errors import ContractBroken, LedgerNotClosed, SourceChanging, SourceUnavailable, TidemarkError
from resources.sources.row_contract import RowContract, raw_of, rejects_of
from resources.sources.source import Extract, FoundColumn, Source, SourceBatch

FUTURE_TOLERANCE = timedelta(minutes=5)
"""How far the clocks of a source and of this machine may lie apart."""

NO_STAMP = pd.DatetimeIndex([pd.NaT]).tz_localize("UTC")


@dataclass(frozen=True, kw_only=True)
class ReadMetrics:
    """`records_read = records_written + records_failed + records_duplicate`."""

    records_read: int = 0
    records_written: int = 0
    """Rows handed over for the table."""
    records_failed: int = 0
    """Rows put aside."""
    records_duplicate: int = 0
    """Rows dropped because the read had one with the same key and stamp."""
    bytes_read: int = 0
    duration_s: float = 0.0
    """Of reading and converting, without what was done with the batches in between."""

    @property
    def error_rate(self) -> float:
        """Share of the rows that were put aside, 0 to 1."""
        return self.records_failed / self.records_read if self.records_read else 0.0


@dataclass(frozen=True, kw_only=True)
class ReadBatch:
    """A part of the rows, ready."""

    rows: pd.DataFrame
    """The contract's columns and dtypes, then source_id and line_no."""
    rejects: pd.DataFrame
    """Columns rule, reason, raw (the source's row as JSON), source_id, line_no, moment (UTC; NaT: it has no stamp)."""
    duplicates: int
    duplicate_moments: pd.Series
    """The stamp of each duplicate (UTC)."""


class ReadNote(Protocol):
    """Where it is noted that a read began and how it ended."""

    def begun(self) -> None: ...

    def ended(self, columns: tuple[FoundColumn, ...], metrics: ReadMetrics, error: str | None) -> None: ...


class TableRead:
    """The batches of one read; to be iterated once. Whoever stops before the end closes the iterator.

    Raises (while iterated):
        UnexpectedAnswer: the source lacks a required column, at the start or later on.
        TransientError, TerminalError: as `Source` does; batches that came before are sound, but not all.
    """

    def __init__(
        self,
        source: Source,
        extract: Extract,
        contract: RowContract,
        *,
        read_id: int,
        note: ReadNote | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.read_id = read_id
        self.metrics = ReadMetrics()
        """Final once the last batch was taken."""
        self.columns: tuple[FoundColumn, ...] = ()
        """The source's columns as found, in order of appearance."""
        self._source, self._extract, self._contract = source, extract, contract
        self._note = note
        self._since, self._until = since, until
        self._clock = clock
        self._seen: set[bytes] = set()
        self._line_no = 0
        self._is_begun = False
        self._received = self._left_out = 0

    def __iter__(self) -> Iterator[ReadBatch]:
        if self._is_begun:
            raise ContractBroken(f"a read of {self._extract.name} is iterated once: read again for more")
        self._is_begun = True
        return self._noted()

    def _noted(self) -> Iterator[ReadBatch]:
        if self._note:
            self._note.begun()
        try:
            yield from self._ready()
        except GeneratorExit:
            self._end(f"it was abandoned after {self.metrics.records_read} rows")
            raise
        except BaseException as error:
            self._end(str(error) if isinstance(error, TidemarkError) else type(error).__name__)
            raise
        self._end(None)

    def _end(self, error: str | None) -> None:
        self._source.close()
        if self._note:
            self._note.ended(self.columns, self.metrics, error)

    def _ready(self) -> Iterator[ReadBatch]:
        started = time.monotonic()
        for batch in self._batches():
            found = [column.name for column in batch.columns]
            if found:
                self._contract.require(found, f"{self._extract.name} at {self._source.address}")
            known = {column.name for column in self.columns}
            self.columns += tuple(column for column in batch.columns if column.name not in known)
            self._received += len(batch.rows) + len(batch.put_aside)
            ready = self._made(batch)
            self._count(ready, batch.bytes_read, time.monotonic() - started)
            if len(ready.rows) or len(ready.rejects) or ready.duplicates:
                yield ready
            started = time.monotonic()
        if self._received != self.metrics.records_read + self._left_out:
            raise LedgerNotClosed(
                f"{self._extract.name} at {self._source.address} gave {self._received} rows, but "
                f"{self.metrics.records_read} are accounted for and {self._left_out} belong to other windows"
            )
        self.metrics = replace(self.metrics, duration_s=self.metrics.duration_s + time.monotonic() - started)

    def _batches(self) -> Iterator[SourceBatch]:
        """What fails before there is anything is tried again at once; later, rows would come twice."""
        for attempt in stamina.retry_context(
            on=(SourceUnavailable, SourceChanging),
            attempts=self._source.opening_attempts,
            wait_initial=0.2,
            wait_max=5.0,
            wait_jitter=0.2,
        ):
            with attempt:
                batches = iter(self._source.batches(self._extract))
                first = next(batches, None)
        if first is not None:
            yield first
            yield from batches

    def _made(self, batch: SourceBatch) -> ReadBatch:
        fitted = self._contract.fit(batch.rows)
        rows, faults = fitted.rows, dict(fitted.faults)
        count = len(rows)
        stamps = self._stamps(rows)
        latest = self._clock() + FUTURE_TOLERANCE
        for position in np.flatnonzero(stamps > pd.Timestamp(latest)).tolist():
            told = f"{self._contract.changed_at} is later than now ({latest:%Y-%m-%d %H:%M} UTC at most)"
            faults.setdefault(position, (f"{self._contract.changed_at}: in the future", told))
        future = {position for position, (rule, _) in faults.items() if rule.endswith(": in the future")}
        outside = self._outside(stamps)
        for position in future:
            outside[position] = False
        left_out = int(outside.sum())
        is_sound = ~outside
        is_sound[list(faults)] = False
        is_duplicate = self._duplicates(rows, stamps, is_sound, in_order=batch.in_order)
        numbers = self._line_no + 1 + np.arange(count, dtype="int64")
        put_aside: list[tuple[str, str, str, int, int, object]] = [
            (rule, reason, raw_of(batch.rows, position), self.read_id, int(numbers[position]), stamps[position])
            for position, (rule, reason) in sorted(faults.items())
            if not outside[position]
        ]
        self._line_no += count
        for entry in batch.put_aside:
            self._line_no += 1
            at = pd.NaT if entry.at is None else pd.Timestamp(entry.at)
            if self._outside(pd.DatetimeIndex([at]).tz_convert("UTC") if entry.at else NO_STAMP)[0]:
                left_out += 1
            else:
                put_aside.append((entry.rule, entry.reason, entry.raw, self.read_id, self._line_no, at))
        self._left_out += left_out
        kept = np.flatnonzero(is_sound & ~is_duplicate)
        own = {"source_id": np.full(len(kept), self.read_id, dtype="int64"), "line_no": numbers[kept]}
        return ReadBatch(
            rows=rows.iloc[kept].reset_index(drop=True).assign(**own),
            rejects=rejects_of(put_aside),
            duplicates=int(is_duplicate.sum()),
            duplicate_moments=pd.Series(stamps[is_duplicate]),
        )

    def _stamps(self, rows: pd.DataFrame) -> pd.DatetimeIndex:
        if self._contract.changed_at is None:
            return pd.DatetimeIndex(np.full(len(rows), "NaT", dtype="datetime64[us]")).tz_localize("UTC")
        return pd.DatetimeIndex(rows[self._contract.changed_at])

    def _outside(self, stamps: pd.DatetimeIndex) -> np.ndarray:
        outside = np.zeros(len(stamps), dtype=bool)
        if self._since is not None:
            outside |= stamps <= pd.Timestamp(self._since)
        if self._until is not None:
            outside |= stamps > pd.Timestamp(self._until)
        return outside

    def _duplicates(
        self, rows: pd.DataFrame, stamps: pd.DatetimeIndex, is_sound: np.ndarray, *, in_order: bool
    ) -> np.ndarray:
        """Which sound rows the read had before. Of rows in order, only those of the last stamp can come again."""
        is_duplicate = np.zeros(len(rows), dtype=bool)
        if not self._contract.key:
            return is_duplicate
        keys = zip(*(rows[name] for name in self._contract.key), strict=True)
        digests: list[tuple[int, bytes]] = []
        for position, (key, stamp) in enumerate(zip(keys, stamps.astype("int64"), strict=True)):
            if is_sound[position]:
                digest = hashlib.blake2b(repr((*key, stamp)).encode(), digest_size=16).digest()
                is_duplicate[position] = digest in self._seen
                self._seen.add(digest)
                digests.append((int(stamp), digest))
        if in_order and digests:
            self._seen = {digest for stamp, digest in digests if stamp == digests[-1][0]}
        return is_duplicate

    def _count(self, batch: ReadBatch, bytes_read: int, seconds: float) -> None:
        held = self.metrics
        written, failed = len(batch.rows), len(batch.rejects)
        self.metrics = ReadMetrics(
            records_read=held.records_read + written + failed + batch.duplicates,
            records_written=held.records_written + written,
            records_failed=held.records_failed + failed,
            records_duplicate=held.records_duplicate + batch.duplicates,
            bytes_read=held.bytes_read + bytes_read,
            duration_s=held.duration_s + seconds,
        )


def counts_of(metrics: ReadMetrics) -> Mapping[str, int | float]:
    """The metrics by the names of `catalog.source_reads`."""
    return {
        "records_read": metrics.records_read,
        "records_written": metrics.records_written,
        "records_failed": metrics.records_failed,
        "records_duplicate": metrics.records_duplicate,
        "bytes_read": metrics.bytes_read,
        "duration_s": metrics.duration_s,
    }
