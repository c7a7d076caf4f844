"""What the quality of a table is made of: six dimensions, their weights, and what is asked of each table.

Belongs here: `Dimension`, `WEIGHTS`, `Judged` and its parts. Does not belong here: which table is asked what
(`judged_tables.py`), how it is counted (`resources/profiling/`), the formulas (`assets_pkg/quality/dimensions.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from schemas.rules import Kind


class Dimension(StrEnum):
    """One way in which data can be good or bad; each is a share in percent."""

    COMPLETENESS = "completeness"
    """What should be there is there: values of the columns that carry the table, of the entities expected."""
    VALIDITY = "validity"
    """What is there may be so: rows that kept the contract, values that no flag forbids, numbers that are finite."""
    UNIQUENESS = "uniqueness"
    """It is told once: rows less those another row stands for."""
    CONSISTENCY = "consistency"
    """It does not contradict itself, what it refers to, or what the step before handed over."""
    TIMELINESS = "timeliness"
    """It was known in time."""
    ACCURACY = "accuracy"
    """It agrees with a reference. Where there is none it is not measured."""


FORMULAS: Mapping[Dimension, str] = {
    Dimension.COMPLETENESS: "filled cells / cells x rows there / rows expected",
    Dimension.VALIDITY: "rows kept / read x values valid / values x finite / numbers",
    Dimension.UNIQUENESS: "1 - rows another row stands for / rows read",
    Dimension.CONSISTENCY: "mean over the rules of rows that agree / rows asked",
    Dimension.TIMELINESS: "rows known in time / rows that could be",
    Dimension.ACCURACY: "measurements that agree with their reference / those that have one",
}
"""Each dimension in a line; `assets_pkg/quality/dimensions.py` tells the whole of it."""

DIMENSION_OF: Mapping[Kind, Dimension] = {
    Kind.COMPLETENESS: Dimension.COMPLETENESS,
    Kind.UNIQUENESS: Dimension.UNIQUENESS,
    Kind.FRESHNESS: Dimension.TIMELINESS,
    Kind.SCHEMA: Dimension.VALIDITY,
    Kind.RANGE: Dimension.VALIDITY,
    Kind.CATEGORICAL: Dimension.VALIDITY,
    Kind.BUSINESS: Dimension.CONSISTENCY,
    Kind.DISTRIBUTION: Dimension.CONSISTENCY,
}
"""The dimension that a broken rule of each kind lowers."""

WEIGHTS: Mapping[Dimension, float] = {
    Dimension.COMPLETENESS: 0.25,
    Dimension.VALIDITY: 0.25,
    Dimension.UNIQUENESS: 0.15,
    Dimension.CONSISTENCY: 0.15,
    Dimension.TIMELINESS: 0.10,
    Dimension.ACCURACY: 0.10,
}
"""Weights of the score. A dimension that is not measured is left out, and those of the others are scaled to 1."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Every row whose `columns` are filled has a row of `table`, in the partition of the same day, with these `of`."""

    columns: tuple[str, ...]
    table: str
    of: tuple[str, ...]

    @property
    def name(self) -> str:
        """What a reader calls it."""
        return f"{', '.join(self.columns)} in {self.table}"


@dataclass(frozen=True, kw_only=True)
class Order:
    """Where both are filled, `earlier` is not after `later`."""

    earlier: str
    later: str

    @property
    def name(self) -> str:
        """What a reader calls it."""
        return f"{self.earlier} not after {self.later}"


@dataclass(frozen=True, kw_only=True)
class Same:
    """Rows of one day with the same `per` say the same of `columns`; what most of them say is right."""

    columns: tuple[str, ...]
    per: tuple[str, ...]

    @property
    def name(self) -> str:
        """What a reader calls it."""
        return f"one {', '.join(self.columns)} per {', '.join(self.per)}"


@dataclass(frozen=True, kw_only=True)
class Twins:
    """A reference inside the table: rows alike in `group` that differ in `of` measure the same thing.

    They agree where their largest and smallest `value` differ by no more than `tolerance_pct` of their mean, or by
    `floor`, in the value's unit.
    """

    group: tuple[str, ...]
    of: str
    value: str
    tolerance_pct: float
    floor: float


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What is asked of one table, per day of it."""

    table: str
    """`schema.name`."""
    filled: tuple[str, ...]
    """Columns without which a row says little; their cells are counted for completeness."""
    stand_in: str | None = None
    """A boolean column; where it is true the row's values are guesses and count as missing."""
    entities: tuple[str, ...] = ()
    """Columns that name what is expected on a day because it was there in the `LOOK_BACK` before; empty: nothing is."""
    per_day: int | None = None
    """Rows an entity has on a whole day; None: any number is right."""
    valid: str | None = None
    """A boolean column that says whether a value may be used."""
    identity: tuple[str, ...] = ()
    """Columns that tell two rows apart, where the key is technical."""
    consistent: tuple[Reference | Order | Same, ...] = ()
    follows: str | None = None
    """A table, cut alike, whose loaded rows are exactly the rows this one's step reads."""
    twins: Twins | None = None
    due_after: timedelta = timedelta(days=1)
    """So long after its day has ended, or after the event in a table that is cut by arrival, a row is in time."""
    counts_cells: bool = False
    """Whether single values of its rows may have been put aside, as those of files are."""


LOOK_BACK = timedelta(days=7)
"""An entity that falls silent is missed for so long; one that was given up is not missed for ever."""
