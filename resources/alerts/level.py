"""How urgent an alert is.

Belongs here: the four levels and their order. Does not belong here: which condition has which (`conditions.py`).
"""

from enum import IntEnum

from schemas.catalog_alerts import LEVELS


class Level(IntEnum):
    """From the least to the most urgent."""

    INFO = 0
    WARNING = 1
    ERROR = 2
    CRITICAL = 3

    @property
    def word(self) -> str:
        """As it is written in settings and tables."""
        return LEVELS[self]


def level_of(word: str) -> Level:
    """The level of a word.

    Raises:
        ValueError: there is none.
    """
    if word not in LEVELS:
        raise ValueError(f"a level is one of {', '.join(LEVELS)}")
    return Level(LEVELS.index(word))
