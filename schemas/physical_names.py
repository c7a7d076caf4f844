"""Names that columns of arriving files get in the database: generated, never the file's own text.

A name matches `[a-z_][a-z0-9_]{0,54}`, so it needs no quotes, fits into the 63 bytes PostgreSQL keeps, and leaves room
for what indexes append. Where the file's name cannot be kept (taken, reserved, too long, letters that have no Latin
counterpart) six hex digits of its hash follow: they depend on the original alone, not on the rest of the file.

Belongs here: from an original name to a physical one. Does not belong here: which arriving column is which declared one
(`column_mapping.py`), keeping originals (`resources/catalog/registry.py`).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b
from itertools import count

from schemas.file_dataset import OWN_COLUMNS

PATTERN = re.compile(r"[a-z_][a-z0-9_]{0,54}")
LONGEST = 55
_DIGITS = 6

SYSTEM_COLUMNS = frozenset({"tableoid", "ctid", "xmin", "xmax", "cmin", "cmax", "oid"})
"""Columns that every PostgreSQL table has, or had: a second one of the name is refused."""

_WORDS = """
all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation
column concurrently constraint create cross current_catalog current_date current_role current_schema current_time
current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign freeze
from full grant group having ilike in initially inner intersect into is isnull join lateral leading left like limit
localtime localtimestamp natural not notnull null offset on only or order outer overlaps placing primary references
returning right select session_user similar some symmetric system_user table tablesample then to trailing true
union unique user using variadic verbose when where window with
"""
RESERVED_WORDS = frozenset(_WORDS.split())
"""What PostgreSQL does not take as the name of a column without quotes, or reads as something else in an expression."""

READERS_COLUMNS = frozenset({"line_count"})
"""What a reader says of a row beside our own columns."""

_REFUSED = frozenset(OWN_COLUMNS) | SYSTEM_COLUMNS | READERS_COLUMNS | RESERVED_WORDS
_SPELLED = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ħ": "h", "ı": "i", "ŋ": "ng", "ŧ": "t"}
    | {"μ": "u", "%": " pct ", "°": " deg ", "€": " eur "}
)
"""Characters that Unicode does not take apart; keys are in lower case."""


def physical_names(originals: Sequence[str], known: Mapping[tuple[str, int], str] | None = None) -> list[str]:
    """One distinct name per column of a file, in its order; those of the first columns do not depend on what follows.

    `known` are names given before in the same dataset, by original and its occurrence in the file (from 1): they are
    given again, and nobody else gets one.
    """
    known = known or {}
    taken = set(known.values())
    given: list[str] = []
    occurrences: Counter[str] = Counter()
    for position, original in enumerate(originals, start=1):
        occurrences[original] += 1
        name = known.get((original, occurrences[original]))
        if name is None or name in given:
            name = physical_name(original, taken, position)
        taken.add(name)
        given.append(name)
    return given


def physical_name(original: str, taken: Collection[str], position: int | None = None) -> str:
    """A name for the column the file calls `original`, other than those `taken`.

    A column without a name is called by its position in the file, from 1 (by default the one after those taken).
    """
    if original.strip():
        base, is_whole = _readable(original)
    else:
        base, is_whole = f"column_{position or len(taken) + 1}", True
    if is_whole and base not in taken and base not in _REFUSED:
        return base
    start = base[: LONGEST - 1 - _DIGITS]
    return next(name for number in count(1) if (name := f"{start}_{_digest(original, number)}") not in taken)


def _readable(original: str) -> tuple[str, bool]:
    """The original in the letters of a physical name, and whether no letter or digit of it was lost on the way."""
    if PATTERN.fullmatch(original):
        return original, True
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", original).casefold()).translate(_SPELLED)
    is_whole = all(char.isascii() or unicodedata.category(char)[0] not in "LN" for char in text)
    bare = "".join(char for char in text if not unicodedata.combining(char))
    base = re.sub(r"[^a-z0-9]+", "_", bare).strip("_")
    if not base:
        return "column", False
    if base[0].isdigit():
        base = f"_{base}"
    return base[:LONGEST], is_whole and len(base) <= LONGEST


def _digest(original: str, number: int) -> str:
    """Six hex digits; `number` counts on where the name they make is taken."""
    text = original if number == 1 else f"{original}\0{number}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGITS // 2).hexdigest()
