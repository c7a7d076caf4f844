"""Feature sets: which features of a view go together, as Feast is told of them.

Belongs here: the value, and the question for those that are stored. Does not belong here: connections (whoever asks has
its own), how members are chosen.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

STORED = sa.table(
    "feature_sets", *(sa.column(name, sa.Text) for name in ("feature_set", "view", "feature")), schema="features"
)
"""Where feature sets are stored: one row or more per set and member."""


@dataclass(frozen=True, kw_only=True)
class FeatureSet:
    """A Feast feature service: some of a view's features under a name of their own."""

    name: str
    view: str
    members: tuple[str, ...]


def stored_sets() -> sa.Select[Any]:
    """The members of all stored sets: columns feature_set, view, feature, sorted."""
    return sa.select(*STORED.c).distinct().order_by(*STORED.c)


def sets_of(rows: Iterable[tuple[str, str, str]]) -> list[FeatureSet]:
    """The sets whose members `rows` (feature_set, view, feature) are, by name; members in their order."""
    members: dict[tuple[str, str], list[str]] = {}
    for name, view, feature in rows:
        members.setdefault((name, view), []).append(feature)
    return [FeatureSet(name=name, view=view, members=tuple(found)) for (name, view), found in sorted(members.items())]
