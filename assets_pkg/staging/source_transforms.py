"""From rows of a source to the rows of staging tables, and the account of them.

Belongs here: pure functions on frames: which version of a row stands at the end of a day, what belongs to which day.
Does not belong here: reading a source, writing, Dagster.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import pandas as pd

from schemas.base import conform, empty
from schemas.source_dataset import SourceTable
from schemas.window import ONE_DAY, Window, day_of, midnight

SLOT = "number of the day"
"""A name that no column of a source has."""

TIE = "order of equals"

COMPACT_AFTER = 100_000
"""Rows that may wait before what newer ones replace is let go."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """How things were at the end of one UTC day."""

    day: date
    rows: pd.DataFrame
    """The table's data columns, `source_id` and `line_no`, one row per key, in the order of the key."""
    carried: int
    """Rows that the day began with."""
    stamped: int
    """Versions that are stamped in the day, counted as they came."""
    superseded: int
    """Versions that the day began with, or that came in it, and that a newer one of the day replaced; counted as they
    went, so that a version that is lost between the two shows."""

    @property
    def arrived(self) -> int:
        """Rows the day has to account for."""
        return self.carried + self.stamped


class Snapshots:
    """The state at the end of each day of `window`, out of versions that come in any order, batch by batch.

    A version counts from the first END of a day that is not before its stamp (closed right), until a newer one of the
    same key does. Of versions that share key and stamp the same one wins whatever their order. Memory holds, per key,
    the newest version of each day on which it changed, and of the time before. `state` is the state that the window
    begins with, where it is known: then versions stamped before the window are not needed.
    """

    def __init__(self, table: SourceTable, window: Window, state: pd.DataFrame | None = None) -> None:
        self._table = table
        self._days = window.days()
        self._kept = [] if state is None else [state.assign(**{SLOT: -1})]
        self._waiting = 0
        self._compacted = 0
        self._stamped: Counter[int] = Counter()
        self._replaced: Counter[int] = Counter()
        self.beyond = 0
        """Versions stamped after the window: they say nothing of its days."""

    def add(self, rows: pd.DataFrame) -> None:
        """Takes in versions: the table's data columns, `source_id` and `line_no`."""
        day = day_of(rows[self._table.changed_at], "right")
        slot = (day - pd.Timestamp(midnight(self._days[0]))).dt.days.clip(lower=-1)
        inside = slot < len(self._days)
        self.beyond += int((~inside).sum())
        self._stamped.update(slot[inside].value_counts().to_dict())
        self._kept.append(rows[inside].assign(**{SLOT: slot[inside]}))
        self._waiting += int(inside.sum())
        if self._waiting > max(COMPACT_AFTER, self._compacted):
            self._compact()

    def by_day(self) -> Iterator[Snapshot]:
        """The state at the end of each day, in order; to be asked for once, when all versions are in."""
        self._compact()
        (kept,) = self._kept
        by_slot = dict(iter(kept.groupby(SLOT, sort=True)))
        none = kept.iloc[:0]
        state = by_slot.get(-1, none).drop(columns=SLOT)
        key = list(self._table.key)
        for number, day in enumerate(self._days):
            carried = len(state)
            newer = by_slot.get(number, none).drop(columns=SLOT)
            replaced = self._replaced[number]
            if len(newer):
                replaced += int(newer[key].merge(state[key], on=key).shape[0])
                state = pd.concat([state, newer], ignore_index=True).drop_duplicates(key, keep="last")
            state = state.sort_values(key, kind="stable", ignore_index=True) if number == 0 or len(newer) else state
            yield Snapshot(day=day, rows=state, carried=carried, stamped=self._stamped[number], superseded=replaced)

    def _compact(self) -> None:
        kept = pd.concat(self._kept, ignore_index=True) if self._kept else self._nothing()
        table = self._table
        ordered = kept.assign(**{TIE: _tie_break(kept, table)}).sort_values([table.changed_at, TIE], kind="stable")
        newest = ordered.drop(columns=TIE).drop_duplicates([*table.key, SLOT], keep="last")
        self._replaced.update(Counter(kept[SLOT].tolist()) - Counter(newest[SLOT].tolist()))
        self._kept, self._waiting, self._compacted = [newest.reset_index(drop=True)], 0, len(newest)

    def _nothing(self) -> pd.DataFrame:
        columns = self._table.staging.to_schema().columns
        names = [*self._table.data_columns, "source_id", "line_no"]
        empty = {name: pd.Series([], dtype=columns[name].dtype.type) for name in names}
        return pd.DataFrame(empty | {SLOT: pd.Series([], dtype="int64")})


def _tie_break(rows: pd.DataFrame, table: SourceTable) -> pd.Series:
    """What orders rows that agree in key and stamp: their content, not the order they came in."""
    tied = rows.duplicated([*table.key, table.changed_at], keep=False)
    content = pd.Series(0, index=rows.index, dtype="uint64")
    if tied.any():
        content[tied] = pd.util.hash_pandas_object(rows.loc[tied, table.data_columns], index=False)
    return content


def snapshot_rows(snapshots: Sequence[Snapshot], table: SourceTable, known_at: datetime) -> pd.DataFrame:
    """The snapshots as rows of the staging table, each stamped with the END of its day, UTC."""
    ends = [pd.Timestamp(midnight(one.day) + ONE_DAY).as_unit("us") for one in snapshots]
    stamped = [one.rows.assign(snapshot_at=end) for one, end in zip(snapshots, ends, strict=True) if len(one.rows)]
    if not stamped:
        return empty(table.staging)
    together = pd.concat(stamped, ignore_index=True)
    return conform(together.assign(known_at=pd.Timestamp(known_at).as_unit("us")), table.staging)


def event_rows(rows: Sequence[pd.DataFrame], table: SourceTable, known_at: datetime) -> pd.DataFrame:
    """Batches of events as rows of the staging table, in the order of time and key."""
    found = [one for one in rows if len(one)]
    if not found:
        return empty(table.staging)
    together = pd.concat(found, ignore_index=True)
    stamped = together.assign(known_at=pd.Timestamp(known_at).as_unit("us"))
    return conform(stamped.sort_values([table.changed_at, *table.key], kind="stable"), table.staging)


def accounts(
    days: Sequence[date],
    *,
    arrived: Mapping[date, int],
    loaded: Mapping[date, int],
    duplicate: Mapping[date, int],
    quarantined: Mapping[date, int],
    filtered: Mapping[date, int],
) -> pd.DataFrame:
    """One row per day: day, unit, read, loaded, duplicate, quarantined, filtered; a day nobody has rows of is there
    too, all zeros: it was asked for. `arrived` are the sound rows as they were counted on their way in: what is read is
    these, duplicates and what was put aside, so that the account closes only where none of them was lost."""
    classes = {"loaded": loaded, "duplicate": duplicate, "quarantined": quarantined, "filtered": filtered}
    table = pd.DataFrame({"day": list(days), "unit": ""})
    for name, counts in classes.items():
        table[name] = [int(counts.get(day, 0)) for day in days]
    table["read"] = [int(arrived.get(day, 0)) for day in days] + table["duplicate"] + table["quarantined"]
    return table


def days_of_rows(stamps: pd.Series) -> pd.Series:
    """The UTC day of each aware stamp, closed right, as dates; missing stamps stay missing."""
    return day_of(stamps, "right").dt.date


def on_days(rejects: pd.DataFrame, days: Sequence[date]) -> pd.DataFrame:
    """Rejects (columns rule, reason, raw, source_id, line_no, moment) with the day they are accounted to and no moment:
    that of their moment; those without one, or with one that is still to come, the last of `days`. Those of days before
    are those days' to account for."""
    stamps = rejects["moment"].astype("datetime64[us, UTC]")
    day = pd.Series(days_of_rows(stamps), index=rejects.index, dtype=object)
    day = day.where(stamps.notna() & (stamps <= pd.Timestamp(midnight(days[-1]) + ONE_DAY)), days[-1])
    found = rejects.drop(columns="moment").assign(day=day, unit="")
    return found[found["day"].isin(list(days))].reset_index(drop=True)


@dataclass(frozen=True, kw_only=True)
class ColumnChanges:
    """How the columns of a source differ from those of the read before."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    retyped: tuple[str, ...] = ()
    """`name: type before -> type now`."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.retyped)

    @property
    def told(self) -> str:
        """In words, empty where nothing differs."""
        kinds = (("added", self.added), ("removed", self.removed), ("of another type", self.retyped))
        return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds if names)


def column_changes(before: Mapping[str, str], now: Mapping[str, str]) -> ColumnChanges:
    """What differs between two reads; both map a column of the source to its type there."""
    return ColumnChanges(
        added=tuple(name for name in now if name not in before),
        removed=tuple(name for name in before if name not in now),
        retyped=tuple(
            f"{name}: {before[name]} -> {now[name]}" for name in now if name in before and before[name] != now[name]
        ),
    )
