"""Rows of a series table as a grid of series by steps, and which cells may train a baseline.

Belongs here: `Grid`, what people know of it (`Incident`), medians that skip what is missing. Does not belong here: any
detector.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from schemas.anomalies import WEEK, WatchedSeries
from schemas.window import ONE_DAY, Window

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MAD_TO_SIGMA = 1.4826
"""Of a normal distribution, the standard deviation in median absolute deviations."""


@dataclass(frozen=True, kw_only=True)
class Incident:
    """A period of some series that somebody explained."""

    incident_id: int
    entity: Mapping[str, object]
    """Entity columns it is about; those left out: any."""
    metric: str | None
    kind: str | None
    started_at: datetime
    ended_at: datetime
    is_expected: bool


@dataclass(frozen=True)
class Grid:
    """Series by steps of time: matrices have one row per series and one column per step."""

    start: datetime
    """Midnight UTC at which the first step begins."""
    cadence: timedelta
    is_right: bool
    """Whether steps are stamped with their END."""
    keys: pd.DataFrame
    """Per series its entity columns, `metric` and `unit`."""
    value: Floats
    """NaN where no value came."""
    is_sound: Bools
    """Cells that may train: with a value that cleaning let pass, and in no incident."""
    is_expected: Bools
    """Cells that somebody said are how things are: they train, however odd."""
    known_us: NDArray[np.int64]
    """Per day, when the newest row of the grid up to its end became known, microseconds since 1970 UTC."""

    @property
    def per_day(self) -> int:
        return ONE_DAY // self.cadence

    def stamp(self, step: int) -> datetime:
        """The stamp of a step, UTC."""
        return self.start + (step + self.is_right) * self.cadence


def grid_of(rows: pd.DataFrame, watched: WatchedSeries, window: Window, incidents: Sequence[Incident]) -> Grid:
    """The rows of the window as a grid; its bounds are midnights. Series without a value in it are left out."""
    closed, names = watched.table.closed, [*watched.entities, watched.metric]
    rows = rows[window.holds(rows["datetime_utc"], closed).to_numpy()]
    is_right = closed == "right"
    since = ((rows["datetime_utc"] - window.start) / watched.cadence).to_numpy("float64")
    step = (np.ceil(since) - 1 if is_right else np.floor(since)).astype(np.int64)
    by_key = rows.groupby(names, sort=True)
    series = by_key.ngroup().to_numpy()
    keys = by_key["unit"].last().reset_index().rename(columns={watched.metric: "metric"})
    days, per_day = (window.end - window.start) // ONE_DAY, ONE_DAY // watched.cadence
    shape = (len(keys), days * per_day)
    value = np.full(shape, np.nan)
    came = rows["value"].to_numpy("float64", na_value=np.nan)
    if watched.is_imputed_missing:
        came = np.where(rows["is_imputed"], np.nan, came)
    value[series, step] = np.where(np.isfinite(came), came, np.nan)
    is_sound = np.zeros(shape, dtype=np.bool_)
    is_sound[series, step] = rows["is_valid"].to_numpy("bool")
    known = np.zeros(days, dtype=np.int64)
    if len(rows):
        known_us = rows["known_at"].astype("datetime64[us, UTC]").astype("int64").to_numpy()
        np.maximum.at(known, step // per_day, known_us)
    grid = Grid(
        start=window.start,
        cadence=watched.cadence,
        is_right=is_right,
        keys=keys,
        value=value,
        is_sound=is_sound & ~np.isnan(value),
        is_expected=np.zeros(shape, dtype=np.bool_),
        known_us=np.maximum.accumulate(known),
    )
    _mark(grid, incidents)
    return grid


def _mark(grid: Grid, incidents: Sequence[Incident]) -> None:
    """Takes incidents out of what may train; what is expected stays, and what came before an expected shift of the
    level goes: the baseline begins anew there."""
    for one in incidents:
        series = matching(grid.keys, one)
        if not series.any():
            continue
        cells = np.ix_(series, np.arange(grid.value.shape[1])[steps_of(grid, one.started_at, one.ended_at)])
        if not one.is_expected:
            grid.is_sound[cells] = False
            continue
        grid.is_expected[cells] = True
        grid.is_sound[cells] |= ~np.isnan(grid.value[cells])
        if one.kind == "level_shift":
            grid.is_sound[series, : steps_of(grid, one.started_at, one.ended_at).start] = False


def matching(keys: pd.DataFrame, incident: Incident) -> Bools:
    """Which series the incident is about; ids match whether they are written as numbers or as text."""
    found = np.ones(len(keys), dtype=np.bool_)
    for name, wanted in incident.entity.items():
        found &= (keys[name].astype("str") == str(wanted)).to_numpy("bool")
    if incident.metric is not None:
        found &= (keys["metric"] == incident.metric).to_numpy("bool")
    return found


def steps_of(grid: Grid, first: datetime, last: datetime) -> slice:
    """The steps that are stamped from `first` to `last`, both included."""
    begin = -((grid.stamp(0) - first) // grid.cadence)
    end = (last - grid.stamp(0)) // grid.cadence + 1
    steps = grid.value.shape[1]
    return slice(min(max(begin, 0), steps), min(max(end, 0), steps))


def entity_text(key: Mapping[str, object], names: Sequence[str]) -> str:
    """The entity columns as the tables of anomalies write them: a JSON object."""
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in key.items()}
    return json.dumps({name: plain[name] for name in names}, ensure_ascii=False)


def median(values: Floats, *, least: int = 1) -> Floats:
    """Median over the last axis of what is not NaN; NaN of fewer than `least` values."""
    ordered = np.sort(values, axis=-1)  # NaN comes last
    count = (~np.isnan(values)).sum(axis=-1)
    low, high = (np.maximum(count - 1, 0) // 2)[..., None], (count // 2)[..., None]
    high = np.minimum(high, values.shape[-1] - 1)
    middle = (np.take_along_axis(ordered, low, -1) + np.take_along_axis(ordered, high, -1))[..., 0] / 2
    return np.where(count >= max(least, 1), middle, np.nan)


def robust_scale(values: Floats, *, least: int) -> Floats:
    """1.4826 × the median absolute deviation over the last axis; NaN of fewer than `least` values."""
    return MAD_TO_SIGMA * median(np.abs(values - median(values)[..., None]), least=least)


def rms(values: Floats) -> Floats:
    """Root of the mean square over the last axis of what is not NaN; 0 of nothing."""
    count = np.maximum((~np.isnan(values)).sum(axis=-1), 1)
    return np.asarray(np.sqrt(np.nansum(values**2, axis=-1) / count))


def weeks_of(window: Window) -> list[Window]:
    """The window cut at Mondays."""
    found, start = [], window.start
    while start < window.end:
        end = min(start - timedelta(days=start.weekday()) + WEEK, window.end)
        found.append(Window(start, end))
        start = end
    return found
