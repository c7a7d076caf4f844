"""What a rule on the rows of a table is: seven kinds of validators and business rules, each with its severity.

Belongs here: the classes of rules; they say what has to hold and hold no data. Does not belong here: the rules
themselves (`model_rules.py`, `quality_rules/`), how one is judged (`assets_pkg/quality/`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import timedelta
from enum import StrEnum
from typing import Any, ClassVar

import pandera.pandas as pa

from schemas.base import TableModel, dtypes_of


class Kind(StrEnum):
    """What a rule asks."""

    SCHEMA = "schema"
    COMPLETENESS = "completeness"
    UNIQUENESS = "uniqueness"
    RANGE = "range"
    CATEGORICAL = "categorical"
    FRESHNESS = "freshness"
    DISTRIBUTION = "distribution"
    BUSINESS = "business"


class Severity(StrEnum):
    """What a rule that does not hold means."""

    ERROR = "error"
    """The day's rows are held back from what is downstream until they are mended."""
    WARNING = "warning"
    """Somebody should look; everything goes on."""
    INFO = "info"
    """Good to know."""


When = tuple[tuple[str, tuple[object, ...]], ...]
"""Columns, each with the values it has in the rows a rule is about."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Base of all rules. A cell without a value breaks none but `Completeness`."""

    kind: ClassVar[Kind]

    name: str
    """Unique in its table."""
    description: str
    columns: tuple[str, ...]
    severity: Severity = Severity.ERROR
    unit: str | None = None
    """Unit of the values and of the parameters that are compared with them."""
    tolerated_pct: float = 0.0
    """Share of the rows asked about that may break it, percent; up to it the rule holds."""
    least_rows: int = 1
    """With fewer rows there is no verdict."""
    when: When = ()
    """Rows the rule is about; empty: all."""

    def __post_init__(self) -> None:
        if not self.columns or not 0 <= self.tolerated_pct < 100 or self.least_rows < 1:
            raise ValueError(f"rule {self.name}: it names columns, tolerates 0 to 100 % and needs a row at least")

    @property
    def needs(self) -> tuple[str, ...]:
        """Every column it looks at, each once."""
        by = (*getattr(self, "by", ()), *getattr(self, "ordered_by", ()))
        return tuple(dict.fromkeys((*self.columns, *by, *(name for name, _ in self.when))))

    @property
    def parameters(self) -> dict[str, Any]:
        """What it compares with, by name."""
        base = {one.name for one in fields(Rule)} - {"tolerated_pct", "least_rows", "when"}
        told = ((one.name, getattr(self, one.name)) for one in fields(self) if one.name not in base and one.repr)
        return {name: value for name, value in told if value not in (None, (), 0.0)}


@dataclass(frozen=True, kw_only=True)
class Schema(Rule):
    """The columns are those of the model, no more and no fewer, in order, and every cell is of its column's type."""

    kind: ClassVar[Kind] = Kind.SCHEMA
    model: type[TableModel]

    @property
    def parameters(self) -> dict[str, Any]:
        """The type of each column."""
        return {name: str(dtype) for name, dtype in dtypes_of(self.model).items()}


@dataclass(frozen=True, kw_only=True)
class Readable(Rule):
    """A file's reader puts nothing aside: it is told what it did, and not asked again."""

    kind: ClassVar[Kind] = Kind.SCHEMA


@dataclass(frozen=True, kw_only=True)
class Completeness(Rule):
    """Every one of the columns has a value."""

    kind: ClassVar[Kind] = Kind.COMPLETENESS


@dataclass(frozen=True, kw_only=True)
class Uniqueness(Rule):
    """No two rows agree in all of the columns; the first of those that do is the one that counts."""

    kind: ClassVar[Kind] = Kind.UNIQUENESS


@dataclass(frozen=True, kw_only=True)
class Range(Rule):
    """Every value of the columns lies between the bounds."""

    kind: ClassVar[Kind] = Kind.RANGE
    minimum: Any = None
    maximum: Any = None
    is_minimum_included: bool = True
    is_maximum_included: bool = True

    def checks(self) -> Iterator[pa.Check]:
        """The Pandera checks that say the same."""
        if self.minimum is not None:
            yield pa.Check.ge(self.minimum) if self.is_minimum_included else pa.Check.gt(self.minimum)
        if self.maximum is not None:
            yield pa.Check.le(self.maximum) if self.is_maximum_included else pa.Check.lt(self.maximum)


@dataclass(frozen=True, kw_only=True)
class RangeBy(Rule):
    """The value lies between the bounds (ends included) that its group has; groups without bounds are not asked."""

    kind: ClassVar[Kind] = Kind.RANGE
    by: tuple[str, ...]
    """Columns that name the group."""
    bounds: tuple[tuple[tuple[object, ...], tuple[float, float]], ...]
    """Values of `by`, and the bounds that go with them."""


@dataclass(frozen=True, kw_only=True)
class Categorical(Rule):
    """Every value of the columns is one of those allowed."""

    kind: ClassVar[Kind] = Kind.CATEGORICAL
    allowed: tuple[object, ...]
    separator: str | None = None
    """What joins several values in one cell; each of them has to be allowed."""

    def check(self) -> pa.Check:
        """The Pandera check that says the same of cells with one value."""
        return pa.Check.isin(self.allowed)


@dataclass(frozen=True, kw_only=True)
class Combination(Rule):
    """The columns together have one of the combinations of values, or (not `is_allowed`) none of them."""

    kind: ClassVar[Kind] = Kind.CATEGORICAL
    values: tuple[tuple[object, ...], ...]
    is_allowed: bool = True


@dataclass(frozen=True, kw_only=True)
class Forbidden(Rule):
    """No value of the columns is one of these numbers, which stand for something else than a value."""

    kind: ClassVar[Kind] = Kind.CATEGORICAL
    values: tuple[float, ...]
    tolerance: float = 1e-6
    """Relative; wide enough for a value that once was stored in single precision."""


@dataclass(frozen=True, kw_only=True)
class Freshness(Rule):
    """The newest stamp of each group is not older than `max_age`, counted back from the end of the rows' window or from
    now, whichever is earlier. What breaks it is the newest row of a group."""

    kind: ClassVar[Kind] = Kind.FRESHNESS
    max_age: timedelta
    by: tuple[str, ...] = ()
    """Columns that name the group; empty: all rows are one."""


@dataclass(frozen=True, kw_only=True)
class NotInFuture(Rule):
    """No stamp is later than now by more than clocks differ."""

    kind: ClassVar[Kind] = Kind.FRESHNESS
    tolerance: timedelta = timedelta(minutes=15)


@dataclass(frozen=True, kw_only=True)
class Distribution(Rule):
    """The values of a group are distributed as they were in the `look_back` before.

    They are not where the difference is large (an effect, so that many rows alone prove nothing) AND not by chance: the
    two-sample Kolmogorov-Smirnov statistic is above `max_ks`, or the ratio of the medians beyond `max_scale` either
    way, with p-values adjusted over the groups (Benjamini and Hochberg 1995) below `alpha`. A group with fewer than
    `least_rows` values, now or before, has no verdict.
    """

    kind: ClassVar[Kind] = Kind.DISTRIBUTION
    look_back: timedelta
    by: tuple[str, ...] = ()
    max_ks: float = 1.0
    """From 0 (the same) to 1 (no overlap); 1: only the scale is asked about."""
    max_scale: float | None = None
    alpha: float = 0.001


@dataclass(frozen=True, kw_only=True)
class Ordered(Rule):
    """In every row each of the columns is at least the one before it."""

    kind: ClassVar[Kind] = Kind.BUSINESS
    tolerance: float | timedelta | None = None
    """How much smaller it may be all the same."""


@dataclass(frozen=True, kw_only=True)
class SumOf(Rule):
    """In every row the first column is the sum of the others."""

    kind: ClassVar[Kind] = Kind.BUSINESS
    tolerance: float = 1e-9


@dataclass(frozen=True, kw_only=True)
class Repeats(Rule):
    """Within a group, in order, no value comes more than `at_most` times in a row: an instrument that shows the same
    number for long is stuck."""

    kind: ClassVar[Kind] = Kind.BUSINESS
    by: tuple[str, ...]
    ordered_by: tuple[str, ...]
    at_most: int


@dataclass(frozen=True, kw_only=True)
class Reference(Rule):
    """Every value is one of `key` in the rows another table has of the same day."""

    kind: ClassVar[Kind] = Kind.BUSINESS
    table: str
    key: str
    separator: str | None = None
    """What joins several values in one cell; each of them has to be known."""


@dataclass(frozen=True, kw_only=True)
class Contract(Rule):
    """A check of the table's model that is none of the above, as Pandera carries it out: on the column, or without one
    on the whole frame."""

    kind: ClassVar[Kind] = Kind.BUSINESS
    check: pa.Check
    is_of_frame: bool = False

    @property
    def parameters(self) -> dict[str, Any]:
        """What the check says of itself."""
        return dict(self.check.statistics or {})
