"""What a fetch brings home: rows as received, what could not be read, and where all of it came from.

Belongs here: the values both modes of OpenAQ (API, archive) return. Does not belong here: HTTP, files, SQL.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

import pandas as pd

from resources.errors import TidemarkError
from schemas.base import columns_of, dtypes_of
from schemas.staging import OpenaqMeasurements
from schemas.window import Window

ROW_COLUMNS = [name for name in columns_of(OpenaqMeasurements) if name != "known_at"]
"""Columns of `Fetched.rows`, in order: the staging table's but `known_at`, which the writer sets."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file or one answered page, kept raw under `raw_path`.

    `source_id` follows from the address and the bytes alone, so the same bytes from the same place always get the
    same number.
    """

    uri: str
    """Where it came from; holds no secret."""
    kind: str
    """`archive` or `api`."""
    location_id: int
    sha256: str
    size: int
    """Bytes as received."""
    etag: str | None
    modified_at: datetime | None
    fetched_at: datetime
    raw_path: str
    """Where the raw bytes are kept, relative to the raw store."""
    local_day: date | None = None
    """Archive files: the local calendar day the file is about."""

    @property
    def source_id(self) -> int:
        digest = hashlib.sha256(f"{self.uri}\n{self.sha256}".encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)


@dataclass(frozen=True, kw_only=True)
class Reject:
    """One line or result that could not become a row."""

    day: date
    """The UTC day it is accounted to: its own if it could be read, else the source's."""
    rule: str
    reason: str
    raw: str
    source_id: int
    line_no: int


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """One location over one window: whole, but for the sensors of `failed_sensors`."""

    location_id: int
    window: Window
    rows: pd.DataFrame
    """`ROW_COLUMNS` with the staging model's dtypes; only rows in `(window.start, window.end]`."""
    rejects: tuple[Reject, ...] = ()
    records: int
    """Lines or results the sources held, counted before any was looked into: rows, rejects and filtered together."""
    filtered: Mapping[date, int] = field(default_factory=dict)
    """Rows that were read but lie outside the window, accounted to the nearest UTC day inside it."""
    sources: tuple[Source, ...] = ()
    missing: tuple[str, ...] = ()
    """Addresses that do not exist (a day without a file is no error)."""
    failed_sensors: Mapping[int, str] = field(default_factory=dict)
    """Sensors that could not be had, and why; that `rows` holds nothing of them does not say that there is nothing."""
    notes: tuple[str, ...] = ()
    """What is unusual about the rows, e.g. hourly means where the measurements could not be had."""


@dataclass(frozen=True, kw_only=True)
class FetchFailed:
    """One location over one window that could not be fetched; nothing of it may be written."""

    location_id: int
    window: Window
    error: TidemarkError


def no_rows() -> pd.DataFrame:
    """A frame of no rows in the shape of `Fetched.rows`."""
    dtypes = dtypes_of(OpenaqMeasurements)
    return pd.DataFrame({name: pd.Series([], dtype=dtypes[name]) for name in ROW_COLUMNS})
