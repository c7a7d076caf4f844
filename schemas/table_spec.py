"""What is known of a table beside its columns: key, time column, closed side, chunk, what it reads, how it is served.

Belongs here: `TableSpec` and its parts. Does not belong here: the tables themselves (`tables.py`), SQL, Dagster.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

from schemas.base import TableModel, columns_of
from schemas.window import Closed


@dataclass(frozen=True, kw_only=True)
class Read:
    """One table that another is computed from.

    A row of the reader at time t depends on rows of `table` from `t - before` to `t + after`; so a change of day D
    makes the reader's days `D - after` to `D + before` stale. Both are whole days.
    """

    table: str
    before: timedelta = timedelta(0)
    after: timedelta = timedelta(0)
    by_event: bool = False
    """Whether it reads by `event_time` and not by the time `table` is cut by: what becomes stale is then told by the
    rows that changed, not by the day of the slice they lie in."""
    marks: bool = True
    """Whether a change of `table` makes the reader's days stale. A reader that runs by the clock, or by hand, says no:
    what it found out on a day was true of what was there then."""


@dataclass(frozen=True, kw_only=True)
class Aggregate:
    """A continuous aggregate, where TimescaleDB's licence has them: `value_column` by `by` in buckets of `bucket`
    (mean, min, max, count), closed like its table."""

    name: str
    bucket: timedelta
    by: tuple[str, ...]
    value_column: str
    where: str | None = None
    """A boolean column; only rows in which it is true are aggregated."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What models are to tell from a feature table: the value that `column` of the same entity has `horizon` later."""

    name: str
    column: str
    horizon: timedelta


@dataclass(frozen=True, kw_only=True)
class Served:
    """How a feature table is served: Feast's view of it. The view's entities are the key without the time column."""

    view: str
    """Name of the Feast view, which may differ from the table's."""
    ttl: timedelta
    """How old a row may be to answer for a moment; older ones say nothing of it."""
    complete_after: timedelta = timedelta(0)
    """How much later than its time a row is whole: one that is stamped with the START of its step tells of the step to
    its end, so nobody may be given it before."""
    version: int = 1
    """Goes up when a feature's meaning changes under its old name."""
    predicts: tuple[Prediction, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TableSpec:
    """One table: where it lies, what its rows are, how it is cut into slices.

    `key` identifies a row and contains `time_column`, which a table that is not cut by time does without. `unit` names
    the column a slice can be narrowed by, so that one entity's rows are replaced and accounted for on their own.
    Columns of `origin` say where a row came from; they and `known_at` are no content: rows that differ in nothing else
    are the same row, and the older one stays.
    """

    schema: str
    name: str
    model: type[TableModel]
    dataset: str = ""
    """Dataset it belongs to; tables of one dataset are cut alike."""
    first_day: date | None = None
    """First UTC day that rows may be about; nothing before it is ever stale."""
    key: tuple[str, ...]
    time_column: str | None = None
    event_time: str | None = None
    """Column of the instant a row is about, where the table is cut by another time (that of arrival)."""
    fact_key: tuple[str, ...] = ()
    """Columns that identify a fact which several rows may tell, so that only the newest of them counts."""
    closed: Closed = "left"
    by_arrival: bool = False
    """Whether its days are those on which something arrived, and not those that rows are about: a range of event days
    says nothing of it."""
    sees_held: bool = False
    """Whether its rows tell of the tables it reads, held days included, and are no data made of them."""
    unit: str | None = None
    origin: tuple[str, ...] = ()
    known_at: str | None = "known_at"
    natural_key: tuple[str, ...] = ()
    """What identifies a row for counting changes where `key` is technical; `key` when empty. Need not be unique."""
    indexes: tuple[str, ...] = ()
    """Columns by which people look for rows; each has an index of its own."""
    reads: tuple[Read, ...] = ()
    chunk: timedelta = timedelta(days=7)
    compress_after: timedelta | None = None
    retain: timedelta | None = None
    aggregates: tuple[Aggregate, ...] = ()
    served: Served | None = None
    """How its rows are served; None: they are not."""
    keeps_history: bool = False
    """Whether rows that are replaced or go are kept, with the time at which that happened, so that what the table said
    at an instant can be asked for later."""

    def __post_init__(self) -> None:
        named = {*self.key, *self.origin, *self.natural_key, *self.fact_key, *self.indexes}
        named |= {name for name in (self.time_column, self.event_time, self.unit, self.known_at) if name}
        if unknown := named - set(self.columns):
            raise ValueError(f"{self.qualified}: {self.model.__name__} has no column {sorted(unknown)}")
        if self.time_column and self.time_column not in self.key:
            raise ValueError(f"{self.qualified}: the key of a time-partitioned table contains {self.time_column!r}")
        if self.keeps_history and not self.known_at:
            raise ValueError(f"{self.qualified}: a table that keeps history says when a row became known")
        if self.served:
            self._require_servable(self.served)

    def _require_servable(self, served: Served) -> None:
        if not self.time_column or not self.entities or set(self.entities) & set(self.origin):
            raise ValueError(f"{self.qualified}: a served table's key is a time column and entities, and no origin")
        if unknown := {one.column for one in served.predicts} - set(self.features):
            raise ValueError(f"{self.qualified}: nothing can be predicted of {sorted(unknown)}, no features of it")
        names = [one.name for one in served.predicts]
        if len(set(names)) < len(names) or min([served.ttl, *(one.horizon for one in served.predicts)]) <= timedelta(0):
            raise ValueError(
                f"{self.qualified}: predictions differ in name, and ttl and horizons are longer than nothing"
            )

    @property
    def qualified(self) -> str:
        """`schema.name`, as the catalog writes it."""
        return f"{self.schema}.{self.name}"

    @property
    def view(self) -> str:
        """The name of the feature view it is served as, or would be."""
        return self.served.view if self.served else self.name

    @cached_property
    def columns(self) -> list[str]:
        """The table's columns, in order."""
        return columns_of(self.model)

    @property
    def entities(self) -> tuple[str, ...]:
        """The columns that say what a row is about: the key without the time column."""
        return tuple(name for name in self.key if name != self.time_column)

    @property
    def features(self) -> list[str]:
        """The columns a model may learn from: all but key, origin and `known_at`."""
        return [name for name in self.content if name not in self.key]

    @property
    def has_rivals(self) -> bool:
        """Whether rows about another time may tell the same fact."""
        return bool(self.fact_key) and self.event_time not in self.fact_key

    @property
    def identity(self) -> tuple[str, ...]:
        """The columns that identify a row for counting changes."""
        return self.natural_key or self.key

    @property
    def content(self) -> list[str]:
        """The columns that make two rows different: all but origin and `known_at`."""
        return [name for name in self.columns if name not in self.origin and name != self.known_at]


def registry(*groups: Iterable[TableSpec]) -> dict[str, TableSpec]:
    """The tables of all groups by `schema.name`.

    Raises:
        ValueError: two have a name, or a view they are served as, in common. The graph shows the last part of an
            asset's key only, so names differ between schemas too.
    """
    specs = [spec for group in groups for spec in group]
    for names in ([spec.name for spec in specs], [spec.served.view for spec in specs if spec.served]):
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two tables are called, or served as, {', '.join(twice)}: give one of them another name")
    return {spec.qualified: spec for spec in specs}
