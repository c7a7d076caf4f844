"""What a dataset is that is read from a database, an object store or a REST API: its tables, and what they mean.

Belongs here: `SourceDataset` and its parts, and the bases of staging models. Does not belong here: the declarations
(`source_datasets/`), the `TableSpec`s that follow (`source_tables.py`), addresses and secrets (settings), reading.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Literal

import pandas as pd
import pandera.pandas as pa

from schemas.base import TableModel, UtcTimestamp, columns_of


class SourceKind(StrEnum):
    """What a source is; each has one class in `resources/sources/`."""

    DATABASE = "database"
    """PostgreSQL, MySQL or MariaDB."""
    OBJECT_STORE = "object_store"
    """Files in a bucket (S3, MinIO) or below any fsspec URL."""
    REST = "rest"
    """A JSON API."""


class SourcedRows(TableModel):
    """Base of the staging tables of events: where a row came from, and when."""

    source_id: int = pa.Field(ge=1, description="catalog.source_reads: the read the row came with")
    line_no: int = pa.Field(ge=1, description="number of the row in that read")
    known_at: UtcTimestamp = pa.Field(description="when this row first became known to us, UTC")


class SnapshotRows(SourcedRows):
    """Base of the staging tables of states: a copy of the source's table per UTC day."""

    snapshot_at: UtcTimestamp = pa.Field(description="when the row was so: the END of a UTC day")


OWN_COLUMNS = frozenset(columns_of(SnapshotRows))
"""Columns of staging tables that do not come from the source."""


class Shows(StrEnum):
    """What a table of a source shows, and so what a partition of its staging table holds."""

    STATE = "state"
    """How things are: partition D holds, per key, the newest version whose `changed_at` is not after the END of D."""
    EVENTS = "events"
    """What happened: partition D holds the rows whose `changed_at` lies in D. Rows are never changed afterwards, but
    may be committed up to `lag` later than they are stamped."""


@dataclass(frozen=True, kw_only=True)
class RestPages:
    """How a REST endpoint hands out its rows, page by page."""

    path: str
    """Below the source's address, e.g. `/v1/orders`."""
    records: tuple[str, ...] = ()
    """Keys that lead from the answer to the list of records; empty: the answer is the list."""
    style: Literal["page", "offset", "cursor", "link"] = "page"
    """`page` (number of the page), `offset` (rows to skip), `cursor` (a token in the answer), `link` (header
    `Link: <…>; rel="next"`)."""
    page_parameter: str = "page"
    size_parameter: str = "limit"
    next_cursor: tuple[str, ...] = ()
    """Style `cursor`: keys that lead to the next token; a missing or empty one ends the reading."""
    since_parameter: str | None = None
    until_parameter: str | None = None
    """Parameters that narrow by `changed_at`, ISO 8601 with Z; None: it cannot, rows are left out here."""


@dataclass(frozen=True, kw_only=True)
class SourceTable:
    """One table of a source, and the staging table it fills. Names of columns are ours unless said otherwise."""

    name: str
    """What the source calls it: a table or `schema.table`, a prefix of objects, an endpoint."""
    staging: type[SourcedRows]
    staging_table: str
    shows: Shows
    key: tuple[str, ...]
    """Identifies a thing (state) or an event. Rows of one read that agree in key and `changed_at` are duplicates."""
    changed_at: str
    """Column of the instant since when the row is as it is, or at which the event happened; orders versions."""
    keeps_versions: bool = False
    """States only: whether the source keeps the earlier versions of a row, so that the state of a past day can be read.
    Where it does not, only the running day can be: the state of an earlier one is gone."""
    column_mapping: Mapping[str, str] = field(default_factory=dict)
    """Name at the source -> name of the column; others have the same name in both."""
    required: tuple[str, ...] = ()
    """Columns the source must have, beside those that may not be null; another one it lacks stays empty."""
    lag: timedelta = timedelta(hours=1)
    """How much later than its stamp a row may be committed: so much is read again."""
    batch_size: int = 10_000
    """Rows that are read, converted and in memory at a time."""
    pages: RestPages | None = None
    """REST sources only."""

    def __post_init__(self) -> None:
        columns = columns_of(self.staging)
        named = {*self.key, self.changed_at, *self.required, *self.column_mapping.values()}
        if unknown := named - set(self.data_columns):
            raise ValueError(f"{self.staging_table}: {self.staging.__name__} has no column {sorted(unknown)}")
        if (self.shows is Shows.STATE) != ("snapshot_at" in columns):
            raise ValueError(f"{self.staging_table}: models of states, and only those, build on SnapshotRows")
        if self.keeps_versions and self.shows is not Shows.STATE:
            raise ValueError(f"{self.staging_table}: events have no versions")
        if self.batch_size < 1 or self.lag < timedelta(0):
            raise ValueError(
                f"{self.staging_table}: a batch holds at least one row, and nothing is late by less than 0"
            )
        ours = self.staging.to_schema().columns
        if nullable := [name for name in (*self.key, self.changed_at) if ours[name].nullable]:
            raise ValueError(f"{self.staging_table}: {', '.join(nullable)} tell rows apart and may not be null")
        if not isinstance(ours[self.changed_at].dtype.type, pd.DatetimeTZDtype):
            raise ValueError(f"{self.staging_table}: {self.changed_at} is no instant; rows are ordered by it")
        if len(set(self.column_mapping.values())) < len(self.column_mapping):
            raise ValueError(f"{self.staging_table}: two columns of the source become one")

    @property
    def data_columns(self) -> list[str]:
        """Columns that come from the source, in order."""
        return [name for name in columns_of(self.staging) if name not in OWN_COLUMNS]

    @property
    def critical(self) -> list[str]:
        """Columns that may not be null: a row without a value there is put aside."""
        columns = self.staging.to_schema().columns
        return [name for name in self.data_columns if not columns[name].nullable]

    @property
    def time_column(self) -> str:
        """The column the staging table is cut by."""
        return "snapshot_at" if self.shows is Shows.STATE else self.changed_at


@dataclass(frozen=True, kw_only=True)
class SourceDataset:
    """One dataset that is read from a source. Its address is the setting `TIDEMARK_SOURCE_<NAME>_URL`."""

    name: str
    description: str
    kind: SourceKind
    tables: tuple[SourceTable, ...]
    first_day: str
    """First UTC day anybody may ask for, ISO 8601."""
    arrives_every: timedelta | None = timedelta(days=1)
    """The longest time in which nothing is read while all is well; None: it is read when somebody asks."""
    requests_per_minute: int = 60
    """REST sources only: the budget, all processes together."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise ValueError(f"{self.name!r} is no name: it is part of names of tables and settings, so a-z, 0-9 and _")
        if self.requests_per_minute < 1:
            raise ValueError(f"{self.name}: a budget of {self.requests_per_minute} requests a minute reads nothing")
        date.fromisoformat(self.first_day)
        if bare := [one.name for one in self.tables if (one.pages is None) == (self.kind is SourceKind.REST)]:
            raise ValueError(
                f"{self.name}: tables of REST sources, and only those, say how pages come: {', '.join(bare)}"
            )

    def table(self, staging_table: str) -> SourceTable:
        """The table that fills `staging.<staging_table>`.

        Raises:
            KeyError: there is none.
        """
        return {table.staging_table: table for table in self.tables}[staging_table]
