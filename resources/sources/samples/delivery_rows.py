"""What the simulation keeps: columns that grow, versions as they come about, and random members of groups.

Belongs here: bookkeeping on arrays. Does not belong here: what happens in an organisation.
"""

from collections.abc import Mapping

import numpy as np

Columns = dict[str, np.ndarray]


class Things:
    """Things of one kind, numbered from 0: a column per attribute, and the versions of the running day."""

    def __init__(self, **columns: np.ndarray) -> None:
        self.columns: Columns = columns
        self._versions: list[Columns] = []

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def append(self, **columns: np.ndarray) -> np.ndarray:
        """Adds things; their numbers."""
        before = len(self)
        self.columns = {name: np.concatenate([self.columns[name], columns[name]]) for name in self.columns}
        return np.arange(before, len(self))

    def note(self, numbers: np.ndarray, at: np.ndarray) -> None:
        """A version of each of the things as it is now, stamped `at` (microseconds)."""
        if len(numbers):
            version = {name: values[numbers] for name, values in self.columns.items()}
            self._versions.append(version | {"number": numbers, "at": at})

    def versions(self) -> Columns:
        """The versions noted since the last call."""
        if not self._versions:
            nothing = np.arange(0)
            self.note_nothing(nothing)
        noted, self._versions = self._versions, []
        return {name: np.concatenate([one[name] for one in noted]) for name in noted[0]}

    def note_nothing(self, nothing: np.ndarray) -> None:
        """No version, with all columns."""
        version = {name: values[nothing] for name, values in self.columns.items()}
        self._versions.append(version | {"number": nothing, "at": nothing})


class Groups:
    """Numbers by the group they are in, to draw from."""

    def __init__(self, members: np.ndarray, groups: np.ndarray, count: int) -> None:
        order = np.argsort(groups, kind="stable")
        self._members = members[order]
        self._sizes = np.bincount(groups, minlength=count)
        self._starts = np.cumsum(self._sizes) - self._sizes

    def draw(self, rng: np.random.Generator, groups: np.ndarray) -> np.ndarray:
        """For each group a random member of it; -1 where it has none."""
        sizes = self._sizes[groups]
        place = self._starts[groups] + np.floor(rng.random(len(groups)) * sizes).astype("int64")
        drawn: np.ndarray = np.full(len(groups), -1)
        some = sizes > 0
        drawn[some] = self._members[place[some]]
        return drawn


def taken(columns: Mapping[str, np.ndarray], rows: np.ndarray) -> Columns:
    """The rows of every column."""
    return {name: values[rows] for name, values in columns.items()}
