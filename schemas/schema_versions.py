"""The columns of a dataset's files at one time, and how two such times differ.

Columns are the same when their physical names are; what is only similar is a rename with a question mark.

Belongs here: columns, their fingerprint, the difference. Does not belong here: keeping versions
(`resources/catalog/registry.py`), what to do about a difference (the declaration of the dataset).
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from difflib import SequenceMatcher
from hashlib import sha256
from typing import Literal, get_args

Kind = Literal["text", "integer", "number", "boolean", "timestamp"]
KINDS: tuple[str, ...] = get_args(Kind)

SIMILAR = 0.6
"""From this share of common characters on a name that goes and one that comes may be the same column."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: its physical name, what the file calls it, what its values are and how they are written."""

    name: str
    original: str
    kind: str
    convention: Mapping[str, object] = field(default_factory=dict)
    """How values are written, as JSON: decimal sign, order of day and month, unit of an epoch, ..."""
    nullable: bool = True

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"column {self.name!r}: {self.kind!r} is no kind of values ({', '.join(KINDS)})")


@dataclass(frozen=True, kw_only=True)
class Change:
    """A column before and after."""

    old: Column
    new: Column


@dataclass(frozen=True, kw_only=True)
class Rename(Change):
    """A column that may have another name now; nobody said so."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Diff:
    """What has to be done to a list of columns to make it another one."""

    added: tuple[Column, ...] = ()
    removed: tuple[Column, ...] = ()
    renamed: tuple[Rename, ...] = ()
    widened: tuple[Change, ...] = ()
    """Kinds that hold all values of the old one: integer to number, anything to text."""
    narrowed: tuple[Change, ...] = ()
    """Kinds that do not."""
    changed: tuple[Change, ...] = ()
    """The kind is the same; convention, nullability or the file's own name is another."""
    reordered: tuple[str, ...] = ()
    """The names both have in their new order, where it is another one."""
    order: tuple[str, ...] = ()
    """All new names in order, where they are not the old ones followed by those added."""

    def __bool__(self) -> bool:
        return self != Diff()

    @property
    def is_additive(self) -> bool:
        """Whether every row that fitted before still fits as it is: nothing but more columns, another order or another
        convention."""
        return not (self.removed or self.renamed or self.widened or self.narrowed)

    def as_json(self) -> dict[str, object]:
        """Plain values for the catalog."""
        return {name: [_plain(one) for one in found] for name, found in vars(self).items() if found}

    def describe(self) -> str:
        """The difference as a Markdown list, for people."""
        return "\n".join(f"- {line}" for line in self._lines()) or "No difference."

    def _lines(self) -> Iterator[str]:
        for column in self.added:
            yield f"added {_told(column)}: {column.kind}"
        for column in self.removed:
            yield f"removed {_told(column)}: {column.kind}"
        for rename in self.renamed:
            yield f"renamed? {_told(rename.old)} → {_told(rename.new)} ({rename.reason})"
        for word, changes in (("widened", self.widened), ("narrowed", self.narrowed)):
            for change in changes:
                yield f"{word} {_told(change.new)}: {change.old.kind} → {change.new.kind}"
        for change in self.changed:
            yield f"changed {_told(change.new)}: {_what_changed(change)}"
        if self.reordered:
            yield "reordered: " + ", ".join(f"`{name}`" for name in self.reordered)


def fingerprint(columns: Sequence[Column]) -> str:
    """SHA-256 (hex) of the columns, in order, as canonical JSON.

    Raises:
        TypeError: a convention holds what JSON does not.
    """
    text = json.dumps([asdict(column) for column in columns], sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256(text.encode()).hexdigest()


def diff(old: Sequence[Column], new: Sequence[Column]) -> Diff:
    """What makes `new` of `old`."""
    before, after = {column.name: column for column in old}, {column.name: column for column in new}
    renamed = _renames(old, new)
    gone, came = {one.old.name for one in renamed}, {one.new.name for one in renamed}
    kept = [Change(old=before[name], new=after[name]) for name in before if name in after]
    new_name = {one.old.name: one.new.name for one in renamed}
    unmoved = [new_name.get(name, name) for name in before if name in after or name in gone]
    stay = [name for name in after if name in before]
    added = [column for column in new if column.name not in before and column.name not in came]
    naive = [*unmoved, *(column.name for column in added)]
    return Diff(
        added=tuple(added),
        removed=tuple(column for column in old if column.name not in after and column.name not in gone),
        renamed=tuple(renamed),
        widened=tuple(one for one in kept if one.old.kind != one.new.kind and _is_wider(one)),
        narrowed=tuple(one for one in kept if one.old.kind != one.new.kind and not _is_wider(one)),
        changed=tuple(one for one in kept if one.old.kind == one.new.kind and one.old != one.new),
        reordered=tuple(stay) if stay != [name for name in before if name in after] else (),
        order=tuple(after) if naive != list(after) else (),
    )


def _is_wider(change: Change) -> bool:
    return change.new.kind == "text" or (change.old.kind, change.new.kind) == ("integer", "number")


def _renames(old: Sequence[Column], new: Sequence[Column]) -> list[Rename]:
    """Columns that went and came at the same place with the same kind and a similar name; the most similar first."""
    went, came = (
        list(_placed(old, {column.name for column in new})),
        list(_placed(new, {column.name for column in old})),
    )
    pairs = [
        (-alike, lost, found)
        for old_place, old_left, lost in went
        for place, left, found in came
        if (place == old_place or left == old_left)
        and lost.kind == found.kind
        and (alike := SequenceMatcher(None, lost.name, found.name).ratio()) >= SIMILAR
    ]
    renames: list[Rename] = []
    for alike, lost, found in sorted(pairs, key=lambda pair: (pair[0], pair[1].name, pair[2].name)):
        if not any(lost == one.old or found == one.new for one in renames):
            reason = f"same place, same kind, names {-alike:.0%} alike"
            renames.append(Rename(old=lost, new=found, reason=reason))
    return renames


def _placed(columns: Sequence[Column], without: Collection[str]) -> Iterator[tuple[int, str | None, Column]]:
    """Each column but those named, with its place and the name to the left of it."""
    left = None
    for place, column in enumerate(columns):
        if column.name not in without:
            yield place, left, column
        left = column.name


def _what_changed(change: Change) -> str:
    old, new = change.old, change.new
    parts = []
    if old.original != new.original:
        parts.append(f"called {_code(new.original)} instead of {_code(old.original)}")
    if old.convention != new.convention:
        parts.append(f"written as {_code(_json(new.convention))} instead of {_code(_json(old.convention))}")
    if old.nullable != new.nullable:
        parts.append("may be empty now" if new.nullable else "is never empty now")
    return "; ".join(parts)


def _told(column: Column) -> str:
    name = f"`{column.name}`"
    return name if column.original == column.name else f"{name} ({_code(column.original)} in the file)"


def _code(text: str) -> str:
    """Foreign text as Markdown code on one line: nothing in it becomes markup."""
    line = " ".join(text.split()).replace("`", "ˋ").replace("|", "¦")
    return f"`{line}`" if line else "no name"


def _json(convention: Mapping[str, object]) -> str:
    return json.dumps(dict(convention), sort_keys=True, ensure_ascii=False)


def _plain(one: Column | Change | str) -> object:
    return one if isinstance(one, str) else asdict(one)
