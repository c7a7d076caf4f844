"""Staged rows of a dataset of files to its series: which rows count, and which steps of time there are.

Belongs here: the account of every row, steps in which nothing happened, flags. Does not belong here: how rows add up
(`file_aggregates.py`), reading files, features, Dagster, input, output.
"""

import json
from collections.abc import Collection, Hashable
from dataclasses import dataclass
from datetime import timedelta
from itertools import compress
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assets_pkg.timeseries.file_aggregates import aggregate
from assets_pkg.timeseries.flags import as_bits, as_text
from schemas.base import conform
from schemas.file_dataset import FileDataset, Metric
from schemas.file_tables import ACTIVE_FOR, tables_of
from schemas.timeseries import Flag
from schemas.window import ONE_DAY, Window, midnight

Integers = NDArray[np.int64]

OUTCOMES = ("loaded", "duplicate", "quarantined", "filtered")
"""What becomes of a row; its position is its number."""
LOADED, DUPLICATE, QUARANTINED, FILTERED = range(4)

REJECT_COLUMNS = ["day", "unit", "rule", "reason", "raw", "source_id", "line_no"]
ENTITY_MISSING = "entity missing"

_MICROSECOND = timedelta(microseconds=1)
_DAY_US = ONE_DAY // _MICROSECOND
_UNKNOWN = np.iinfo(np.int64).min
"""`known_at` of a day without a row."""


@dataclass(frozen=True)
class Cleaned:
    """What became of the staged rows about one window."""

    rows: pd.DataFrame
    """The model `tables_of(dataset.name).series.model`, ordered by its key."""
    accounts: pd.DataFrame
    """Per UTC day of the event (date) that has rows: day, unit (""), read and `OUTCOMES`; read is their sum."""
    rejects: pd.DataFrame
    """Quarantined rows: `REJECT_COLUMNS`; day as a date, unit "", raw the row as JSON."""


def series_of(
    staged: pd.DataFrame,
    dataset: FileDataset,
    window: Window,
    superseded: Collection[int] = (),
    known_entities: pd.DataFrame | None = None,
) -> Cleaned:
    """The series of the steps that START in the window (whole UTC days, closed left) from `staged`, in any order.

    Of each row one thing becomes, the first that applies:
    - filtered: its file is one of `superseded` (`source_id`s) and the dataset replaces former versions;
    - quarantined: an entity is missing;
    - duplicate: another row of its key is newer by (known_at, source_id, line_no); a key with a missing part
      identifies nothing, so its row is a fact of its own;
    - loaded.

    A combination of entities has a row per metric for every step with a loaded row. A row in which a column of a metric
    is missing or infinite does not count for that metric; if none counts, the value is null. Sums are rounded once, so
    no order of rows changes a bit. The origin is that of the step's last loaded row by event time, and `known_at` is
    the newest of its loaded rows. Outside `Metric.valid` a value is kept, flagged and not valid; one too large for a
    float is null.

    A metric that `fills_with_zero` is also zero, flagged `imputed`, in every step without a loaded row, if the
    combination had a row on the same day or in the `ACTIVE_FOR` before, and if the day has a row of any combination: a
    day without a file is unknown. Such a zero is known once the step is over and the day's newest row is known; while
    the day is running, that lies ahead. Superseded rows speak for neither a day nor a combination.

    Args:
        staged: shape of `dataset.staging`: the rows whose event time lies in the window. Rows outside it may be among
            them: they stand for older rows of the same key, and nothing else. Where the key leaves the event time open,
            a day comes out the same in every window only if all rows of its keys are given, whichever day they are
            about.
        known_entities: the entity columns and `day` (instants, UTC; all of a UTC day mean the same): when combinations
            had rows before the window, as far back as `ACTIVE_FOR`; needed for zeros only.

    Raises:
        ValueError: the window is not of whole UTC days, or a column of a sum, mean or last is not numeric.
    """
    for bound in (window.start, window.end):
        if bound != midnight(bound.date()):
            raise ValueError(f"{dataset.name}: a series is made of whole UTC days, the window's bound {bound} is none")
    outcome = _outcomes(staged, dataset, superseded)
    held = window.holds(staged[dataset.event_time], "left").to_numpy()
    staged, outcome = staged.loc[held], outcome[held]
    return Cleaned(
        rows=_rows(staged, outcome, dataset, window, known_entities),
        accounts=_accounts(staged, outcome, dataset),
        rejects=_rejects(staged.loc[outcome == QUARANTINED], dataset),
    )


def _outcomes(staged: pd.DataFrame, dataset: FileDataset, superseded: Collection[int]) -> Integers:
    """The number of each row's outcome."""
    outcome = np.full(len(staged), LOADED, dtype=np.int64)
    outcome[staged[list(dataset.entities)].isna().any(axis=1).to_numpy()] = QUARANTINED
    if dataset.on_new_version == "replace":
        outcome[staged["source_id"].isin(list(superseded)).to_numpy()] = FILTERED
    if dataset.key:
        keys = staged[list(dataset.key)]
        rivals = np.flatnonzero((outcome == LOADED) & keys.notna().all(axis=1).to_numpy())
        rivals = rivals[np.lexsort(_age(staged.iloc[rivals]))]
        outcome[rivals[keys.iloc[rivals].duplicated(keep="last").to_numpy()]] = DUPLICATE
    return outcome


def _age(rows: pd.DataFrame) -> tuple[Integers, ...]:
    """What orders rows from old to new, as `np.lexsort` takes it: the last is the first to decide."""
    return rows["line_no"].to_numpy(), rows["source_id"].to_numpy(), _microseconds(rows["known_at"])


@dataclass(frozen=True)
class _Steps:
    """The steps of a window, numbered from 0; a cell is a combination of entities and a step."""

    first_us: int
    step_us: int
    count: int

    @classmethod
    def of(cls, window: Window, dataset: FileDataset) -> "_Steps":
        first_us = int(window.start.timestamp()) * 1_000_000
        return cls(first_us, dataset.cadence // _MICROSECOND, (window.end - window.start) // dataset.cadence)

    def cell(self, combination: Integers, event_us: Integers) -> Integers:
        """Numbered by combination, then by step."""
        return combination * self.count + (event_us - self.first_us) // self.step_us

    def start_us(self, cell: Integers) -> Integers:
        return self.first_us + cell % self.count * self.step_us

    def day(self, event_us: Integers) -> Integers:
        """Days since the window's start; negative before it."""
        return (event_us - self.first_us) // _DAY_US


def _rows(
    staged: pd.DataFrame, outcome: Integers, dataset: FileDataset, window: Window, known_entities: pd.DataFrame | None
) -> pd.DataFrame:
    steps, entities = _Steps.of(window, dataset), list(dataset.entities)
    is_seen = (outcome == LOADED) | (outcome == DUPLICATE)
    seen = staged.loc[is_seen]
    active = _active(seen, known_entities, dataset, window)
    number, combinations = _numbered(active[entities])

    event_us = _microseconds(seen[dataset.event_time])
    cell = steps.cell(number[: len(seen)], event_us)
    order = np.lexsort((*_age(seen), event_us, cell))
    order = order[outcome[is_seen][order] == LOADED]
    counted = seen.iloc[order]
    filled, starts, place = np.unique(cell[order], return_index=True, return_inverse=True)
    cells = pd.DataFrame(
        {
            "cell": filled,
            "last": np.append(starts, len(order))[1:] - 1,
            "known_us": _newest_us(counted["known_at"], place, len(filled)),
        }
    )
    if any(metric.fills_with_zero for metric in dataset.metrics):
        told = staged.loc[outcome != FILTERED]
        days = (window.end - window.start) // ONE_DAY
        day_known_us = _newest_us(told["known_at"], steps.day(_microseconds(told[dataset.event_time])), days)
        is_expected = _expected(number, steps.day(_microseconds(active[dataset.event_time])), len(combinations), days)
        zeros = _zeros(is_expected & (day_known_us != _UNKNOWN), day_known_us, filled, steps)
        cells = pd.concat([cells, zeros], ignore_index=True)

    metrics = sorted(dataset.metrics, key=lambda metric: metric.name)
    rows = pd.concat([_of_metric(metric, cells, counted, place) for metric in metrics], ignore_index=True)
    # Metrics, and the steps of each, are in their order already.
    rows = rows.sort_values("cell", key=lambda cell: cell // steps.count, kind="stable", ignore_index=True)
    combination = combinations.take(rows["cell"].to_numpy() // steps.count)
    columns = {
        **{name: combination[name].array for name in entities},
        "datetime_utc": _utc(steps.start_us(rows.pop("cell").to_numpy())),
        **_origin(counted, rows.pop("last").to_numpy()),
        "known_at": _utc(rows.pop("known_us").to_numpy()),
    }
    return conform(rows.assign(**columns), tables_of(dataset.name).series.model)


def _active(
    seen: pd.DataFrame, known_entities: pd.DataFrame | None, dataset: FileDataset, window: Window
) -> pd.DataFrame:
    """Entities and event time of the rows `seen`, and after them of the combinations known from before the window."""
    columns = [*dataset.entities, dataset.event_time]
    if known_entities is None or known_entities.empty:
        return seen[columns]
    known = known_entities.loc[known_entities["day"] < window.start].rename(columns={"day": dataset.event_time})
    return pd.concat([seen[columns], known[columns].dropna()], ignore_index=True)


def _numbered(rows: pd.DataFrame) -> tuple[Integers, pd.DataFrame]:
    """The number of each row's combination, and the combinations in order, by number."""
    number = rows.groupby(list(rows.columns), sort=True).ngroup().to_numpy()
    return number.astype(np.int64), rows.iloc[np.unique(number, return_index=True)[1]]


def _expected(number: Integers, day: Integers, combinations: int, days: int) -> NDArray[np.bool_]:
    """Per combination and day of the window, whether it had a row on that day or in the look-back before."""
    last = np.full((combinations, days), _UNKNOWN // 2)
    np.maximum.at(last, (number, np.maximum(day, 0)), day)
    return np.arange(days) - np.maximum.accumulate(last, axis=1) <= ACTIVE_FOR // ONE_DAY


def _zeros(is_expected: NDArray[np.bool_], day_known_us: Integers, filled: Integers, steps: _Steps) -> pd.DataFrame:
    """The cells of the expected days that are not `filled`."""
    is_empty = np.repeat(is_expected, _DAY_US // steps.step_us, axis=1).reshape(-1)
    is_empty[filled] = False
    cell = np.flatnonzero(is_empty)
    start_us = steps.start_us(cell)
    known_us = np.maximum(start_us + steps.step_us, day_known_us[steps.day(start_us)])
    return pd.DataFrame({"cell": cell, "last": -1, "known_us": known_us})


def _of_metric(metric: Metric, cells: pd.DataFrame, counted: pd.DataFrame, place: Integers) -> pd.DataFrame:
    """The metric's rows; `place` is the position in `cells` of each of the rows `counted`."""
    is_zero = cells["last"].to_numpy() < 0
    value, samples = aggregate(counted, place, len(cells), metric)
    value = np.where(is_zero, 0.0, value)
    is_out = (value < metric.valid[0]) | (value > metric.valid[1]) | np.isinf(value)
    value = np.where(np.isinf(value), np.nan, value)
    rows = cells.assign(
        metric=metric.name,
        value=value,
        unit=metric.unit,
        flags=as_text(as_bits(Flag.IMPUTED, is_zero) | as_bits(Flag.OUT_OF_RANGE, is_out)),
        is_valid=~np.isnan(value) & ~is_out,
        is_imputed=is_zero,
        samples=samples,
    )
    return rows.loc[metric.fills_with_zero | ~is_zero].sort_values("cell")


def _origin(counted: pd.DataFrame, last: Integers) -> dict[str, pd.arrays.IntegerArray]:
    """File and line of the rows at the positions `last`, null where that is -1."""
    # -1 takes the 0 at the end, which is blanked
    taken = {name: np.append(counted[name].to_numpy(), 0)[last] for name in ("source_id", "line_no")}
    return {name: pd.arrays.IntegerArray(numbers, last < 0) for name, numbers in taken.items()}


def _accounts(staged: pd.DataFrame, outcome: Integers, dataset: FileDataset) -> pd.DataFrame:
    number, code = np.unique(_microseconds(staged[dataset.event_time]) // _DAY_US, return_inverse=True)
    counts = np.bincount(code * len(OUTCOMES) + outcome, minlength=len(number) * len(OUTCOMES))
    counts = counts.reshape(len(number), len(OUTCOMES))
    days = pd.Series(number.astype("datetime64[D]").tolist(), dtype=object)
    return pd.DataFrame(
        {"day": days, "unit": "", "read": counts.sum(axis=1), **dict(zip(OUTCOMES, counts.T, strict=True))}
    )


def _rejects(aside: pd.DataFrame, dataset: FileDataset) -> pd.DataFrame:
    entities = list(dataset.entities)
    missing = aside[entities].isna().to_numpy()
    columns = {
        "day": aside[dataset.event_time].dt.date,
        "unit": "",
        "rule": ENTITY_MISSING,
        "reason": [f"the row belongs to no series without {', '.join(compress(entities, row))}" for row in missing],
        "raw": [_json(record) for record in aside.to_dict(orient="records")],
        "source_id": aside["source_id"],
        "line_no": aside["line_no"],
    }
    return pd.DataFrame(columns, columns=REJECT_COLUMNS, index=aside.index).reset_index(drop=True)


def _json(record: dict[Hashable, Any]) -> str:
    """The row as JSON: missing values null, instants in ISO 8601, numbers exact."""
    plain = {name: None if pd.isna(value) else value for name, value in record.items()}
    return json.dumps(plain, ensure_ascii=False, default=lambda value: value.isoformat())


def _newest_us(known_at: pd.Series, place: Integers, places: int) -> Integers:
    """The newest `known_at` at each place; `_UNKNOWN` where there is none."""
    newest = np.full(places, _UNKNOWN)
    np.maximum.at(newest, place, _microseconds(known_at))
    return newest


def _microseconds(stamps: pd.Series) -> Integers:
    return stamps.to_numpy(dtype="datetime64[us]").view(np.int64)


def _utc(microseconds: Integers) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(microseconds.view("datetime64[us]")).tz_localize("UTC")
