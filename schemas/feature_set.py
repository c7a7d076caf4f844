"""Feature sets: which features of a view go together, as Feast is told of them.

Belongs here: the value, and the question for those that are stored. Does not belong here: connections (whoever asks has
its own), how members are chosen.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

STORED = sa.table(
    "feature_sets", *(sa.column(name, sa.Text) for name in ("feature_set", "view", "members")), schema="features"
)
"""Where feature sets are stored: a row per day and set, whose members are a JSON array of texts."""


@dataclass(frozen=True, kw_only=True)
class FeatureSet:
    """A Feast feature service: some of a view's features under a name of their own."""

    name: str
    view: str
    members: tuple[str, ...]


def stored_sets() -> sa.Select[Any]:
    """All sets that were ever stored: columns feature_set, view, members. A name stands for the same members always."""
    return sa.select(*STORED.c).distinct().order_by(*STORED.c)


def sets_of(rows: Iterable[tuple[str, str, str]]) -> list[FeatureSet]:
    """The sets that `rows` (feature_set, view, members as JSON) name, by name."""
    found = {name: FeatureSet(name=name, view=view, members=tuple(json.loads(told))) for name, view, told in rows}
    return [found[name] for name in sorted(found)]
