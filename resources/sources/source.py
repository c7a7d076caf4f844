"""What every kind of source offers, in the source's own words.

Belongs here: `Source`, what is asked of one (`Extract`) and what it gives (`SourceBatch`). Does not belong here: a kind
(`database.py`, `object_store.py`, `rest.py`), our names and types for its columns (`row_contract.py`).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from schemas.source_dataset import RestPages, SourceTable


@dataclass(frozen=True, kw_only=True)
class Extract:
    """What is asked of a source; all names are the source's."""

    name: str
    """The table or `schema.table`, the prefix of objects, the endpoint."""
    columns: tuple[str, ...] | None = None
    """What is wanted, as far as the source has it; None: everything."""
    key: tuple[str, ...] = ()
    changed_at: str | None = None
    since: datetime | None = None
    """Rows stamped after it (aware UTC); None: from the beginning. A source that cannot narrow gives more."""
    until: datetime | None = None
    """Rows stamped up to and including it (aware UTC); None: all."""
    batch_size: int = 10_000
    """Rows in one batch at most."""
    pages: RestPages | None = None

    @classmethod
    def of(cls, table: SourceTable, *, since: datetime | None, until: datetime | None) -> "Extract":
        """Rows of `table` stamped in `(since - lag, until]`."""
        at_source = {ours: theirs for theirs, ours in table.column_mapping.items()}
        return cls(
            name=table.name,
            columns=tuple(at_source.get(name, name) for name in table.data_columns),
            key=tuple(at_source.get(name, name) for name in table.key),
            changed_at=at_source.get(table.changed_at, table.changed_at),
            since=None if since is None else since - table.lag,
            until=until,
            batch_size=table.batch_size,
            pages=table.pages,
        )


@dataclass(frozen=True)
class FoundColumn:
    """A column as the source has it."""

    name: str
    type: str
    """In the source's words; empty where it has none."""


@dataclass(frozen=True, kw_only=True)
class PutAside:
    """Something that should have been a row, or an object of rows, and is none."""

    rule: str
    reason: str
    raw: str
    at: datetime | None = None
    """When it came about (aware), where the source says: so it is accounted to one day, and to no other read."""


@dataclass(frozen=True, kw_only=True)
class SourceBatch:
    """Some rows, as the source has them."""

    rows: pd.DataFrame
    """Columns of dtype object by the source's names; None where a value is missing."""
    columns: tuple[FoundColumn, ...]
    """All columns the source has now, wanted or not; none if an empty answer does not tell."""
    put_aside: tuple[PutAside, ...] = ()
    bytes_read: int = 0
    """Of the values, or of the answer or object they came in."""
    in_order: bool = False
    """No later batch has a row with an earlier `changed_at`."""


class Source(ABC):
    """One source. A new kind is a subclass and a line in `kinds.py`.

    All methods raise `SourceUnavailable`, `RateLimited`, `CircuitOpen` or `SourceChanging` if trying again may help;
    `CredentialsRejected`, `ConfigurationError` or `UnexpectedAnswer` if not. No message holds a secret.
    """

    address: str
    """Where it is, without user, password and token."""
    opening_attempts = 3
    """How often it is asked for the first batch, while what goes wrong may pass."""

    @abstractmethod
    def batches(self, extract: Extract) -> Iterator[SourceBatch]:
        """The rows, of one state of the source where it can give one. Reads only."""

    @abstractmethod
    def columns(self, extract: Extract) -> tuple[FoundColumn, ...]:
        """The columns of `extract.name` as found now."""

    @abstractmethod
    def check(self, extract: Extract) -> str:
        """What the source says of itself and of `extract.name`: it is reachable, and the credentials are right."""

    def close(self) -> None:  # noqa: B027
        """Let go of connections; most kinds hold none between reads."""


def frame_of(names: Sequence[str], rows: Iterable[Sequence[object]]) -> pd.DataFrame:
    """Rows of Python values as a frame that changes none of them."""
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    data = {number: pd.Series(values, dtype=object) for number, values in enumerate(columns)}
    frame = pd.DataFrame(data)
    frame.columns = pd.Index(names, dtype=object)
    return frame


def bytes_of(frame: pd.DataFrame) -> int:
    """Size of the values as text is sent: characters in UTF-8, eight bytes for what is none."""
    total = 0
    for _, values in frame.items():
        for value in values:
            if isinstance(value, str):
                total += len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
            elif isinstance(value, bytes | bytearray | memoryview):
                total += len(value)
            elif value is not None:
                total += 8
    return total
