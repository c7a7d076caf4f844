"""What a write changes: the slice as it stands against the slice as it will be.

Belongs here: counting inserted, changed and vanished rows, and keeping origin and `known_at` of rows that stay the
same. Does not belong here: SQL, connections.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from schemas.table_spec import TableSpec
from schemas.window import day_of

KINDS = ("inserted", "changed", "vanished")


@dataclass(frozen=True, kw_only=True)
class Changes:
    """How many rows a write inserts, changes and removes.

    `counts` has one row per UTC day and unit on which anything changed: columns `day` (date; None without a time
    column), `unit` (None without a unit), `inserted`, `changed`, `vanished`.
    """

    counts: pd.DataFrame
    unchanged: int
    touched: pd.DataFrame
    """Per entity (`TableSpec.entities`) of which any row was inserted, changed or vanished, the newest time of such a
    row: the entities' columns and the time column; empty for a table that is not served."""
    superseded: pd.DataFrame
    """The rows as they were that were changed or vanished: the table's columns."""

    def __bool__(self) -> bool:
        return not self.counts.empty

    def total(self, kind: str) -> int:
        """Rows of one of `KINDS` over all days and units."""
        return int(self.counts[kind].sum())

    @property
    def days(self) -> set[date]:
        """The UTC days on which anything changed."""
        return set(self.counts["day"].dropna())


def settle(old: pd.DataFrame, new: pd.DataFrame, spec: TableSpec) -> tuple[pd.DataFrame, Changes]:
    """`new` with origin and `known_at` of the rows that `old` already had, and what differs between the two.

    Rows are the same when they agree in every column of `spec.content` (missing equals missing, -0.0 equals 0.0); equal
    rows are matched one to one. What is left over is matched by `spec.identity`: a match is a changed row. Where the
    old origin of a row is part of the key and another row of `new` has it now, the row gets its new one.
    """
    new = new.reset_index(drop=True)
    if old.empty:
        return new, Changes(
            counts=_counts(spec, inserted=new), unchanged=0, touched=_touched(spec, new), superseded=old
        )
    old = old.reset_index(drop=True)
    old_at, new_at = _same(old, new, spec)
    old_rest, new_rest = _without(old, old_at), _without(new, new_at)
    matched = _occurrences(old_rest, list(spec.identity)).merge(
        _occurrences(new_rest, list(spec.identity)), on=[*spec.identity, "n"], suffixes=("_old", "_new")
    )
    counts = _counts(
        spec,
        inserted=new_rest.drop(index=matched["row_new"].tolist()),
        changed=new_rest.loc[matched["row_new"]],
        vanished=old_rest.drop(index=matched["row_old"].tolist()),
    )
    return _carried(old, new, old_at, new_at, spec), Changes(
        counts=counts,
        unchanged=len(new_at),
        touched=_touched(spec, new_rest, old_rest),
        superseded=old_rest,
    )


def rows_by_day(rows: pd.DataFrame, spec: TableSpec) -> dict[date, int]:
    """How many of the rows lie on each UTC day; empty for a table without a time column."""
    if spec.time_column is None:
        return {}
    counts = day_of(rows[spec.time_column], spec.closed).value_counts()
    return dict(zip(pd.DatetimeIndex(counts.index).date, counts.tolist(), strict=True))


def _touched(spec: TableSpec, *rows: pd.DataFrame) -> pd.DataFrame:
    """The newest time per entity among the rows."""
    stamp = spec.time_column or ""
    names = [*spec.entities, *filter(None, [stamp])]
    if spec.served is None:
        return rows[0][names].iloc[:0]
    together = pd.concat([one[names] for one in rows], ignore_index=True)
    newest: pd.DataFrame = together.groupby(list(spec.entities), sort=True)[stamp].max().reset_index()
    return newest


def _without(rows: pd.DataFrame, positions: np.ndarray) -> pd.DataFrame:
    stay = np.ones(len(rows), dtype=bool)
    stay[positions] = False
    return rows[stay]


def _same(old: pd.DataFrame, new: pd.DataFrame, spec: TableSpec) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the rows that agree in all content, pairwise."""
    if len(old) != len(new):
        return _same_anywhere(old, new, spec)
    # Mostly all rows are the same: those that stand at the same place in the order of the key need no search.
    key = list(spec.key)
    old_at, new_at = (frame[key].sort_values(key, kind="stable").index.to_numpy() for frame in (old, new))
    equal = _equal(old, new, old_at, new_at, spec)
    old_rest, new_rest = old_at[~equal], new_at[~equal]
    old_more, new_more = _same_anywhere(old.loc[old_rest], new.loc[new_rest], spec)
    return np.concatenate([old_at[equal], old_more]), np.concatenate([new_at[equal], new_more])


def _same_anywhere(old: pd.DataFrame, new: pd.DataFrame, spec: TableSpec) -> tuple[np.ndarray, np.ndarray]:
    """The same for rows in any order, by hashes; equal hashes are looked into."""
    if old.empty or new.empty:
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    keys = []
    for frame in (old, new):
        content = frame[spec.content]
        floats = list(content.select_dtypes("float").columns)
        # -0.0 becomes 0.0; one sum of all columns, for a wide table has hundreds
        content = pd.concat([content.drop(columns=floats), content[floats] + 0.0], axis=1)
        digest = pd.util.hash_pandas_object(content, index=False)
        keys.append(_occurrences(digest.to_frame("digest"), ["digest"]))
    pairs = keys[0].merge(keys[1], on=["digest", "n"], suffixes=("_old", "_new"))
    old_at, new_at = pairs["row_old"].to_numpy(), pairs["row_new"].to_numpy()
    equal = _equal(old, new, old_at, new_at, spec)
    return old_at[equal], new_at[equal]


def _equal(old: pd.DataFrame, new: pd.DataFrame, old_at: np.ndarray, new_at: np.ndarray, spec: TableSpec) -> np.ndarray:
    """Whether the rows labelled `old_at` and `new_at` agree, pair by pair, in all content."""
    agree = np.ones(len(old_at), dtype=bool)
    old_places, new_places = old.index.get_indexer(pd.Index(old_at)), new.index.get_indexer(pd.Index(new_at))
    for name in spec.content:
        left, right = old[name].array.take(old_places), new[name].array.take(new_places)
        same = pd.array(left == right, dtype="boolean").fillna(False).to_numpy(dtype=bool)
        agree &= same | (pd.isna(left) & pd.isna(right))
    return agree


def _carried(
    old: pd.DataFrame, new: pd.DataFrame, old_at: np.ndarray, new_at: np.ndarray, spec: TableSpec
) -> pd.DataFrame:
    """`new` with the columns that are no content taken from `old` where the rows are the same."""
    names = [*spec.origin, *((spec.known_at,) if spec.known_at else ())]
    while True:
        settled = new.copy(deep=False)
        for name in names:
            column = new[name].copy()
            column.iloc[new_at] = old[name].take(old_at).array
            settled[name] = column
        if not set(names) & set(spec.key):
            return settled
        clashing = settled.duplicated(list(spec.key), keep=False).to_numpy()[new_at]
        if not clashing.any():
            return settled
        old_at, new_at = old_at[~clashing], new_at[~clashing]


def _occurrences(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """The columns `by`, `n` (how many rows before have the same) and `row` (the row's label)."""
    numbered = rows[by].copy(deep=False)
    numbered["n"] = rows.groupby(by, dropna=False, sort=False).cumcount()
    numbered["row"] = rows.index
    return numbered


def _counts(spec: TableSpec, **rows_of: pd.DataFrame) -> pd.DataFrame:
    """Rows per day, unit and kind of change."""
    by = ["day", "unit"]
    parts = []
    for kind, rows in rows_of.items():
        if rows.empty:
            continue
        day = day_of(rows[spec.time_column], spec.closed) if spec.time_column else None
        keys = pd.DataFrame({"day": day, "unit": rows[spec.unit] if spec.unit else None}, index=rows.index)
        parts.append(keys.groupby(by, dropna=False).size().rename("rows").reset_index().assign(kind=kind))
    if not parts:
        return pd.DataFrame(columns=[*by, *KINDS])
    counts = pd.concat(parts).groupby([*by, "kind"], dropna=False)["rows"].sum().unstack("kind", fill_value=0)
    counts = counts.reindex(columns=list(KINDS), fill_value=0).reset_index().rename_axis(columns=None)
    return counts.assign(day=counts["day"].dt.date) if spec.time_column else counts
