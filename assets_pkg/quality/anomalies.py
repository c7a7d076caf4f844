"""From clean series to the table of what is odd in them.

Belongs here: `anomalies_of`, the thresholds, and how scores become rows. Does not belong here: the detectors
(`anomalies_baseline.py`, `anomalies_shift.py`, `anomalies_together.py`, `anomalies_runs.py`), Dagster, SQL.

Pure functions: the same rows and incidents give the same anomalies, however a range of days is cut. Statsmodels,
ruptures and scikit-learn are imported when they are needed.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from assets_pkg.quality import anomalies_shift
from assets_pkg.quality.anomalies_baseline import (
    Baselines,
    Judged,
    against_course,
    against_slots,
    baselines_of,
    evened,
)
from assets_pkg.quality.anomalies_grid import Grid, Incident, entity_text, grid_of, matching, weeks_of
from assets_pkg.quality.anomalies_runs import Runs, gaps_of, runs_of, stuck_of
from assets_pkg.quality.anomalies_shift import shifts_of
from assets_pkg.quality.anomalies_together import TIMES as TOGETHER_TIMES
from assets_pkg.quality.anomalies_together import together
from schemas.anomalies import KEY, Kind, WatchedSeries, anomaly_table
from schemas.base import conform, empty
from schemas.window import ONE_DAY, Window, midnight

POINT_TIMES = 7.0
"""Robust z against the same hour of the week from which on a value is told. High: weather is real."""
SEASONAL_TIMES = 8.0
"""The same against the daily course and the hours around."""
BRIDGED = 2
"""Odd steps of a day with so few others between them are one anomaly."""


@dataclass(frozen=True)
class Found:
    """One anomaly of a day, on its way to a row: steps are those of the grid, `stop` is excluded."""

    kind: Kind
    series: tuple[int, ...]
    start: int
    stop: int
    score: float
    value: float = np.nan
    baseline: float = np.nan
    detector: Mapping[str, float] | None = None


def anomalies_of(
    rows: pd.DataFrame, watched: WatchedSeries, window: Window, incidents: Sequence[Incident] = ()
) -> pd.DataFrame:
    """What is odd on the days of `window`: rows of the anomaly table of the series, sorted by its key.

    `rows` of the series table, of the window and of `watched.reach` before it; others are ignored. `incidents` of the
    dataset: their rows train no baseline, those that are expected do. A day is told the same whatever window it is in.

    Raises:
        ValueError: the window cuts a UTC day.
    """
    if any(bound != midnight(bound.date()) for bound in (window.start, window.end)):
        raise ValueError(f"anomalies are told of whole UTC days, not from {window.start} to {window.end}")
    model = anomaly_table(watched).model
    found = []
    for week in weeks_of(window):
        monday = week.start - timedelta(days=week.start.weekday())
        grid = grid_of(rows, watched, Window(monday - watched.look_back, week.end), incidents)
        if len(grid.keys):
            found += _rows_of_week(grid, watched, week, monday, incidents)
    if not found:
        return empty(model)
    return conform(pd.DataFrame(found).sort_values(list(KEY), ignore_index=True), model)


def _rows_of_week(
    grid: Grid, watched: WatchedSeries, week: Window, monday: datetime, incidents: Sequence[Incident]
) -> Iterator[dict[str, Any]]:
    tested = watched.look_back // grid.cadence
    baselines = baselines_of(grid, tested)
    first_day = tested // grid.per_day + (week.start - monday) // ONE_DAY
    days = range(first_day, grid.value.shape[1] // grid.per_day)
    told = [
        *_told_by_value(baselines, watched),
        *_told_by_run(grid, tested, days),
        *_told_by_level(baselines, watched, days),
    ]
    for day, one in told:
        if day >= first_day:
            yield _row(one, day, grid, watched, incidents)


def _told_by_value(baselines: Baselines, watched: WatchedSeries) -> Iterator[tuple[int, Found]]:
    """Points, values off the daily course, steps that are odd as a whole; with each the day's number in the grid."""
    grid, tested = baselines.grid, baselines.tested
    by_kind = {
        Kind.POINT: (against_slots(baselines), POINT_TIMES),
        Kind.SEASONAL: (against_course(baselines), SEASONAL_TIMES),
    }
    is_told = np.zeros(by_kind[Kind.POINT][0].score.shape, dtype=np.bool_)
    for kind, (judged, times) in by_kind.items():
        with np.errstate(invalid="ignore"):
            is_odd = np.abs(judged.score) > times
        is_told |= is_odd
        for series in np.flatnonzero(is_odd.any(axis=1)):
            for day, start, stop in _within_days(is_odd[series], grid.per_day):
                yield (
                    tested // grid.per_day + day,
                    _worst(kind, judged, times, grid, int(series), tested, start, stop),
                )
    for one in together(baselines, by_kind[Kind.POINT][0].score, watched.together, is_told):
        for day, start, stop in _within_days(one.score > 0, grid.per_day):
            worst = float(one.score[start:stop].max())
            series = tuple(map(int, one.series))
            detector = {"times": TOGETHER_TIMES}
            yield (
                tested // grid.per_day + day,
                Found(Kind.MULTIVARIATE, series, tested + start, tested + stop, worst, detector=detector),
            )


def _worst(
    kind: Kind, judged: Judged, times: float, grid: Grid, series: int, tested: int, start: int, stop: int
) -> Found:
    """A run of odd values, told by its worst step."""
    step = start + int(np.nanargmax(np.abs(judged.score[series, start:stop])))  # a step between may have no value
    z = float(judged.score[series, step])
    return Found(
        kind,
        (series,),
        tested + start,
        tested + stop,
        score=abs(z) / times,
        value=float(grid.value[series, tested + step]),
        baseline=float(judged.usual[series, step]),
        detector={"z": round(z, 2), "times": times},
    )


def _told_by_run(grid: Grid, tested: int, days: range) -> Iterator[tuple[int, Found]]:
    for day in days:
        yield from ((day, one) for one in _runs(Kind.GAP, gaps_of(grid, day, tested), grid))
        yield from ((day, one) for one in _runs(Kind.STUCK, stuck_of(grid, day, tested), grid))


def _runs(kind: Kind, runs: Runs, grid: Grid) -> Iterator[Found]:
    for series, start, stop, least, score in zip(
        runs.series, runs.start, runs.stop, runs.least, runs.score, strict=True
    ):
        value = float(grid.value[series, stop - 1])
        yield Found(
            kind,
            (int(series),),
            int(start),
            int(stop),
            float(score),
            value=value,
            detector={"least_steps": float(least)},
        )


def _told_by_level(baselines: Baselines, watched: WatchedSeries, days: range) -> Iterator[tuple[int, Found]]:
    grid, tested = baselines.grid, baselines.tested
    even = evened(baselines)
    places = [np.sort(own) for own in grid.keys.groupby(list(watched.together), sort=True).indices.values()]
    for day in days:
        end = (day + 1) * grid.per_day
        for shift in shifts_of(even, end=end, look_back=tested, per_day=grid.per_day, places=places):
            own = np.where(grid.is_sound[shift.series], grid.value[shift.series], np.nan)
            yield (
                day,
                Found(
                    Kind.LEVEL_SHIFT,
                    (shift.series,),
                    shift.start,
                    end,
                    shift.score,
                    value=float(np.nanmedian(own[shift.start : end])),
                    baseline=float(np.nanmedian(own[max(end - tested, 0) : shift.start])),
                    detector={"times": anomalies_shift.TIMES, "least": anomalies_shift.LEAST},
                ),
            )


def _within_days(is_odd: Any, per_day: int) -> Iterator[tuple[int, int, int]]:
    """Runs of True, up to `BRIDGED` other steps between them left aside, cut at midnight: day, start, stop."""
    for day, of_day in enumerate(is_odd.reshape(-1, per_day)):
        runs = runs_of(of_day)
        while runs:
            start, stop = runs.pop(0)
            while runs and runs[0][0] - stop <= BRIDGED:
                stop = runs.pop(0)[1]
            yield day, day * per_day + start, day * per_day + stop


def _row(one: Found, day: int, grid: Grid, watched: WatchedSeries, incidents: Sequence[Incident]) -> dict[str, Any]:
    keys = grid.keys.iloc[list(one.series)]
    names = watched.entities if len(one.series) == 1 else watched.together
    entity = entity_text(keys.iloc[0].to_dict(), names)
    metric = ", ".join(sorted(set(keys["metric"])))
    started_at, ended_at = grid.stamp(one.start), grid.stamp(one.stop - 1)
    explained = _explained(one, keys, started_at, ended_at, incidents)
    name = "|".join((watched.table.dataset, entity, metric, one.kind.value, started_at.isoformat()))
    detector = {"look_back_d": watched.look_back // ONE_DAY, **(one.detector or {})}
    return {
        "day": grid.start + day * ONE_DAY,
        "entity": entity,
        "metric": metric,
        "kind": one.kind.value,
        "started_at": started_at,
        "ended_at": ended_at,
        "anomaly_id": hashlib.sha256(name.encode()).hexdigest()[:12],
        "steps": one.stop - one.start,
        "score": one.score,
        "value": one.value,
        "baseline": one.baseline,
        "unit": keys["unit"].iloc[0] if len(one.series) == 1 else None,
        "is_expected": explained is not None and explained.is_expected,
        "incident_id": explained.incident_id if explained else None,
        "detector": json.dumps(detector),
        "known_at": pd.Timestamp(grid.known_us[day], unit="us", tz="UTC"),
    }


def _explained(
    one: Found, keys: pd.DataFrame, started_at: datetime, ended_at: datetime, incidents: Sequence[Incident]
) -> Incident | None:
    """The incident that explains the anomaly, rather one that makes it expected."""
    about = [
        incident
        for incident in incidents
        if incident.kind in (None, one.kind.value)
        and incident.started_at <= ended_at
        and incident.ended_at >= started_at
        and matching(keys, incident).any()
    ]
    return min(about, key=lambda incident: (not incident.is_expected, incident.incident_id), default=None)
