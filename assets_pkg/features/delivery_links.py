"""Lists of ids or skills in one text, joined by `|`, as links between rows and the things they name.

Belongs here: reading such lists, once for all features. Does not belong here: what the links mean.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from assets_pkg.features.delivery_sums import Codes, Flags, counts, distinct

SEPARATOR = "|"


@dataclass(frozen=True)
class Links:
    """Pairs of a row and a thing it names, each pair once, ordered by row and thing; both are positions."""

    row: Codes
    thing: Codes

    def __len__(self) -> int:
        return len(self.row)

    def where(self, keep: Flags) -> "Links":
        """Some of the pairs."""
        return Links(self.row[keep], self.thing[keep])

    def per_row(self, rows: int) -> Codes:
        """How many things each row names."""
        return counts(self.row, rows)


def links(lists: pd.Series, names: pd.Series) -> Links:
    """What each of the `lists` names, as positions in `names`.

    Blanks around a name are dropped, a name that stands twice in a list counts once, and one that is not among `names`
    (or an empty one) is ignored: nothing is known of it. A missing list names nothing.
    """
    row, named = _split(lists)
    thing = positions(named, names)
    is_known = thing >= 0
    if not is_known.any():
        return Links(row[:0], thing[:0])
    pairs = distinct(row[is_known] * len(names) + thing[is_known])
    return Links(pairs // len(names), pairs % len(names))


def all_named(lists: pd.Series) -> pd.Series:
    """Every name that stands in any of the lists, once."""
    found = pc.unique(_split(lists)[1])
    return pd.Series(found.filter(pc.not_equal(found, "")), dtype=pd.StringDtype("pyarrow"))


def link(texts: pd.Series, names: pd.Series) -> Links:
    """The one thing each of the `texts` names, as positions in `names`; rows that name none, or an unknown one, have no
    pair."""
    thing = positions(texts, names)
    row = np.flatnonzero(thing >= 0)
    return Links(row, thing[row])


def positions(texts: pd.Series | pa.Array, names: pd.Series) -> Codes:
    """Where each of the texts stands in `names`; -1: nowhere, or missing."""
    found = pc.index_in(_text(texts), value_set=_text(names), skip_nulls=True)
    return pc.fill_null(found, -1).to_numpy().astype("int64")


def _split(lists: pd.Series) -> tuple[Codes, pa.Array]:
    """The names in all lists, one after another, and the row each stands in."""
    split = pc.split_pattern(_text(lists), SEPARATOR)
    return pc.list_parent_indices(split).to_numpy().astype("int64"), pc.utf8_trim_whitespace(pc.list_flatten(split))


def _text(texts: pd.Series | pa.Array) -> pa.Array:
    if isinstance(texts, pa.Array):
        return texts
    text = pa.array(texts, type=pa.large_string(), from_pandas=True)
    return text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text
