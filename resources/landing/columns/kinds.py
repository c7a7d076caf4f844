"""What a column can be, and how its file writes it.

Belongs here: the kinds and the conventions, and their plain form for JSON. Does not belong here: finding a convention
(`inference.py`), applying one (`conversion.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from resources.errors import ConfigurationError


class Kind(StrEnum):
    """The type of a column."""

    TEXT = "text"
    INTEGER = "integer"
    """Fits 64 bits, signed."""
    NUMBER = "number"
    """A double, correctly rounded, finite."""
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    """An instant in UTC, in microseconds (finer digits are cut off), from the year 1678 to 2261."""


ALLOWED: Mapping[str, tuple[str | None, ...]] = {
    "decimal": (None, ".", ","),
    "thousands": (None, ",", ".", " ", "'"),
    "date_order": (None, "YMD", "DMY", "MDY"),
    "epoch_unit": (None, "s", "ms", "us", "ns"),
}


@dataclass(frozen=True, kw_only=True)
class Convention:
    """How the cells of one column are written; the defaults are those of plain numbers and ISO stamps.

    Raises:
        ConfigurationError: a field holds what it may not, or the time zone is unknown.
    """

    decimal: str | None = None
    """`.` or `,`; None is taken for `.` unless that groups the thousands."""
    thousands: str | None = None
    """`,`, `.`, `'` or a space of any width."""
    percent: bool = False
    """Every cell ends in `%`; the value is the number before it, not divided."""
    currency: str | None = None
    """The one sign or code that stands beside the numbers."""
    parentheses: bool = False
    """`(5.00)` is negative."""
    trailing_minus: bool = False
    """`5.00-` is negative."""
    native_digits: bool = False
    """Arabic-Indic, Persian, Devanagari or full-width digits."""
    date_order: str | None = None
    """YMD (the default), DMY or MDY."""
    has_time: bool = False
    """Some cell has a time of day; recorded only, cells are read with or without one."""
    zoned: bool = False
    """Every stamp carries its own offset or zone; one without is bad."""
    timezone: str | None = None
    """IANA name of the zone that stamps without one are local to; None is UTC."""
    epoch_unit: str | None = None
    """The stamps are counts since 1970-01-01 UTC in s, ms, us or ns, within the years 1990 to 2100."""
    true_words: tuple[str, ...] = ()
    """Lower case."""
    false_words: tuple[str, ...] = ()
    """Lower case."""
    missing_words: tuple[str, ...] = ()
    """Texts, besides the empty one, that stand for a missing value, without the spaces around them."""

    def __post_init__(self) -> None:
        for name, allowed in ALLOWED.items():
            if getattr(self, name) not in allowed:
                raise ConfigurationError(
                    f"{name} is {getattr(self, name)!r}; it may be {', '.join(map(repr, allowed))}"
                )
        if self.decimal is not None and self.decimal == self.thousands:
            raise ConfigurationError(f"{self.decimal!r} cannot be the decimal sign and group the thousands")
        if self.timezone is not None:
            try:
                ZoneInfo(self.timezone)
            except (ZoneInfoNotFoundError, ValueError, OSError) as error:
                raise ConfigurationError(f"there is no time zone {self.timezone!r}; use an IANA name") from error

    def to_dict(self) -> dict[str, Any]:
        """What differs from the defaults, in types that JSON has."""
        given = {field.name: getattr(self, field.name) for field in fields(self) if getattr(self, field.name)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Convention":
        """The inverse of `to_dict`.

        Raises:
            ConfigurationError: a name is no field of a convention, or its value is not allowed.
        """
        if unknown := sorted(set(plain) - {field.name for field in fields(cls)}):
            raise ConfigurationError(f"a convention has no {', '.join(unknown)}")
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()
        }
        return cls(**given)
