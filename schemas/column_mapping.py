"""Which column of an arriving file is which declared one; what is not certain stays open and is reported.

A declared name is looked for in four steps, and the first that finds it ends the search: the very name; the name but
for case, spaces and punctuation; a declared alias (likewise); one of these followed by the declared unit, as
`price_eur`, `price (EUR)` or `weight [kg]`. Two columns for one name, or one column for two, decide nothing. Similar
names and other units are proposals for a person, never a mapping.

Belongs here: matching names. Does not belong here: names in the database (`physical_names.py`), values and their types.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

SIMILAR = 0.75
"""From this share of common characters on a name is proposed."""


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A column the declaration of a dataset asks for."""

    name: str
    aliases: tuple[str, ...] = ()
    is_required: bool = False
    unit: str | None = None


@dataclass(frozen=True, kw_only=True)
class Ambiguous:
    """Declared names and arriving columns (by index, from 0) that fit each other in more than one way."""

    names: tuple[str, ...]
    indexes: tuple[int, ...]
    how: str


@dataclass(frozen=True, kw_only=True)
class ColumnMapping:
    """What became of the header; indexes count its columns from 0."""

    of_declared: dict[str, int]
    how: dict[str, str]
    """Per mapped name: exact, case, alias or unit."""
    unmatched: list[int]
    """Columns that are none of the declared ones, those of `ambiguous` among them."""
    missing: list[str]
    """Required names without a column, those of `ambiguous` among them."""
    ambiguous: list[Ambiguous]


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A column that might be the declared `name`: for a person to look at."""

    index: int
    name: str
    reason: str


def match(header: Sequence[str], declared: Sequence[Declared]) -> ColumnMapping:
    """Maps declared names to the columns of a header.

    Raises:
        ValueError: two declared columns have the same name.
    """
    if len({one.name for one in declared}) != len(declared):
        raise ValueError("two declared columns have the same name")
    of_declared: dict[str, int] = {}
    how: dict[str, str] = {}
    ambiguous: list[Ambiguous] = []
    names, columns = list(declared), [index for index, text in enumerate(header) if text.strip()]
    for step, fits in _STEPS.items():
        pairs = [(one.name, index) for index in columns for one in names if fits(header[index], one)]
        for found_names, indexes in _groups(pairs):
            if len(found_names) == len(indexes) == 1:
                of_declared[found_names[0]], how[found_names[0]] = indexes[0], step
            else:
                ambiguous.append(Ambiguous(names=found_names, indexes=indexes, how=step))
        decided = {name for name, _ in pairs}
        taken = {index for _, index in pairs}
        names = [one for one in names if one.name not in decided]
        columns = [index for index in columns if index not in taken]
    mapped = set(of_declared.values())
    return ColumnMapping(
        of_declared=of_declared,
        how=how,
        unmatched=[index for index in range(len(header)) if index not in mapped],
        missing=[one.name for one in declared if one.is_required and one.name not in of_declared],
        ambiguous=ambiguous,
    )


def proposals(header: Sequence[str], declared: Sequence[Declared], mapping: ColumnMapping) -> list[Proposal]:
    """What the unmatched columns might be: the name in another unit, or a similar name."""
    open_names = [one for one in declared if one.name not in mapping.of_declared]
    spellings = {key: one for one in open_names for text in (one.name, *one.aliases) if (key := _key(text))}
    found = []
    for index in mapping.unmatched:
        base, unit = _split_unit(header[index])
        if unit and (one := spellings.get(_key(base))):
            told = f"the declared one is {one.unit!r}" if one.unit else "none is declared"
            found.append(Proposal(index=index, name=one.name, reason=f"its unit may be {unit!r}, {told}"))
        elif close := get_close_matches(_key(header[index]), spellings, n=1, cutoff=SIMILAR):
            found.append(Proposal(index=index, name=spellings[close[0]].name, reason="a similar name"))
    return found


def _is_exact(text: str, one: Declared) -> bool:
    return text == one.name


def _is_spelled_so(text: str, one: Declared) -> bool:
    return bool(key := _key(text)) and key == _key(one.name)


def _is_alias(text: str, one: Declared) -> bool:
    return bool(key := _key(text)) and key in {_key(alias) for alias in one.aliases}


def _has_its_unit(text: str, one: Declared) -> bool:
    if not one.unit:
        return False
    if not _folded(text).rstrip(")] ").casefold().endswith(_folded(one.unit).casefold()):
        return False
    unit = re.escape(_folded(one.unit))
    flags = re.NOFLAG if _case_matters(one.unit) else re.IGNORECASE
    found = re.fullmatch(rf"(.+?)\s*(?:\({unit}\)|\[{unit}\]|[\s_,;/-]+(?:in[\s_]+)?{unit})", _folded(text), flags)
    if found is None:
        return False
    key = _key(found[1])
    return bool(key) and key in {_key(name) for name in (one.name, *one.aliases)}


_STEPS: dict[str, Callable[[str, Declared], bool]] = {
    "exact": _is_exact,
    "case": _is_spelled_so,
    "alias": _is_alias,
    "unit": _has_its_unit,
}


def _groups(pairs: Sequence[tuple[str, int]]) -> Iterator[tuple[tuple[str, ...], tuple[int, ...]]]:
    """The pairs as groups of names and columns that have nothing to do with each other."""
    left = list(pairs)
    while left:
        names, indexes = {left[0][0]}, {left[0][1]}
        while grown := [pair for pair in left if (pair[0] in names) != (pair[1] in indexes)]:
            names.update(name for name, _ in grown)
            indexes.update(index for _, index in grown)
        left = [pair for pair in left if pair[0] not in names]
        yield tuple(sorted(names)), tuple(sorted(indexes))


@lru_cache(maxsize=8192)
def _key(text: str) -> str:
    """What is left to compare when case, spaces and punctuation do not count; signs like %, + or < do."""
    return "".join(
        char for char in _folded(text).casefold() if char in "%‰" or unicodedata.category(char)[0] not in "PZC"
    )


@lru_cache(maxsize=8192)
def _folded(text: str) -> str:
    """One form for characters that look the same: composed letters, one µ, plain digits for ² and ³."""
    return unicodedata.normalize("NFKC", text).strip()


def _case_matters(unit: str) -> bool:
    """Whether the unit in another case could be another unit: mW and MW, kb and kB, s and S."""
    return len(unit) == 1 or unit[0] in "mMpP" or unit[-1] in "bB"


def _split_unit(text: str) -> tuple[str, str | None]:
    """A header's text before what may be a unit, and that."""
    found = re.fullmatch(r"(.+?)\s*(?:\((.+)\)|\[(.+)\]|[\s_,;/-]+([^\s_,;]+))", _folded(text))
    return (found[1], found[2] or found[3] or found[4]) if found else (text, None)
