"""Raw measurements to a clean hourly series: every row accounted for, every doubt flagged.

Belongs here: the order of the rules and how they combine. The rules themselves are in the modules beside it:
`screening` (what becomes of a raw row) with `units` and `sentinels`, `grid` (hours), `stuck`, `spikes`, `gaps`,
`flags`.
Does not belong here: Dagster, input, output.
"""

import json
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assets_pkg.timeseries import screening
from assets_pkg.timeseries.flags import INVALIDATING_BITS, UNFIT_BITS, as_bits, as_text
from assets_pkg.timeseries.gaps import carried_from, is_followed
from assets_pkg.timeseries.grid import HOUR_US, Grid, hour_of, hourly
from assets_pkg.timeseries.spikes import PAST_H, floor_of, is_spike, leaps
from assets_pkg.timeseries.stuck import COARSE_STUCK_AFTER_H, is_stuck
from schemas.base import conform
from schemas.datasets import Dataset, Measure
from schemas.tables import CLEANING_CONTEXT
from schemas.timeseries import AirQuality, Flag
from schemas.window import Window

HOUR = timedelta(hours=1)
DAY_US = 24 * HOUR_US

REJECT_COLUMNS = ["day", "location_id", "rule", "reason", "raw", "source_id", "line_no"]


@dataclass(frozen=True)
class Cleaned:
    """What became of the measurements of one window."""

    rows: pd.DataFrame
    """`schemas.timeseries.AirQuality`: hours in `(window.start, window.end]`, ordered by series and hour."""
    rejects: pd.DataFrame
    """Quarantined rows: day (date), location_id, rule, reason, raw (JSON text of the row), source_id, line_no."""
    accounts: pd.DataFrame
    """Per day (date) and location_id: read, loaded, duplicate, quarantined, filtered; read is the sum of the others."""


def clean(measurements: pd.DataFrame, dataset: Dataset, window: Window) -> Cleaned:
    """The clean series of the hours in `(window.start, window.end]` from raw `measurements`, in any order.

    `measurements` has the shape of `schemas.staging.OpenaqMeasurements` and should reach `CLEANING_CONTEXT` before and
    after the window: then an hour comes out the same however time is cut into windows. What lies further away is not
    looked at; rows of the context are not accounted for.

    An hour is a row if any raw row of it was loaded, or if it was imputed. Its value is the mean of its measurements;
    an hour with none but sentinels or nulls is missing: it is imputed like a gap, and else null. The flags sentinel,
    negative, out_of_range and converted say that some measurement of the hour is such; stuck, spike and partial
    are about the hour. Valid is what has a value and no invalidating flag; an imputed hour is valid even if a sentinel
    stands in it. A value that is itself stuck, out of range or a leap from the hours before is not carried forward.

    Raises:
        ValueError: the dataset is not hourly, its rules look further than the context, or the window is not of whole
            UTC hours.
    """
    _check(dataset, window)
    context = window.widened(CLEANING_CONTEXT, CLEANING_CONTEXT)
    near = context.holds(measurements["datetime_utc"], "right")
    if not near.all():
        measurements = measurements.loc[near]
    raw = screening.screen(measurements, dataset)
    loaded = raw.loc[raw["outcome"] == screening.LOADED].reset_index(drop=True)

    first_hour = _hour(context) + 1
    hours = (context.end - context.start) // HOUR
    grid = hourly(loaded, first_hour, hours)
    grid = _flagged(grid, dataset)
    grid, imputed = _imputed(grid, dataset, _alive(raw, grid, hours))

    wanted = slice(_hour(window) + 1 - first_hour, _hour(window) + 1 - first_hour + (window.end - window.start) // HOUR)
    held = window.holds(measurements["datetime_utc"], "right").to_numpy()
    in_window = raw.loc[held[raw["position"].to_numpy()]]
    return Cleaned(
        rows=_rows(grid, imputed, wanted, loaded, dataset),
        rejects=_rejects(in_window, measurements, dataset),
        accounts=_accounts(in_window),
    )


def _check(dataset: Dataset, window: Window) -> None:
    if dataset.cadence != HOUR:
        raise ValueError(f"dataset {dataset.name!r} has a cadence of {dataset.cadence}; the series is hourly")
    for bound in (window.start, window.end):
        if (bound.minute, bound.second, bound.microsecond) != (0, 0, 0):
            raise ValueError(f"a window to clean begins and ends at whole UTC hours, {bound} is none")
    longest_run = max([COARSE_STUCK_AFTER_H, *(measure.stuck_after for measure in dataset.measures.values())])
    reach = dataset.impute_up_to + max(longest_run - 1, PAST_H)
    if reach > CLEANING_CONTEXT // HOUR:
        raise ValueError(
            f"dataset {dataset.name!r}: runs of {longest_run} h carried over gaps of {dataset.impute_up_to} h need "
            f"{reach} h of context, cleaning has {CLEANING_CONTEXT // HOUR}; lower stuck_after or impute_up_to"
        )


def _hour(window: Window) -> int:
    """Hours from 1970 to the start of the window."""
    return int(window.start.timestamp()) // 3600


def _measures(grid: Grid, dataset: Dataset) -> list[Measure]:
    names = screening.measure_names(dataset)
    return [dataset.measures[names[number]] for number in grid.measure]


def _floors(grid: Grid, dataset: Dataset) -> NDArray[np.float64]:
    return np.array([floor_of(measure) for measure in _measures(grid, dataset)], dtype=np.float64)


def _flagged(grid: Grid, dataset: Dataset) -> Grid:
    """The grid with the flags that come from comparing hours."""
    stuck_after = np.array([measure.stuck_after for measure in _measures(grid, dataset)], dtype=np.int64)
    stuck = is_stuck(grid.value, grid.received, stuck_after)
    spikes = is_spike(grid.value, _floors(grid, dataset))
    return replace(grid, bits=grid.bits | as_bits(Flag.STUCK, stuck) | as_bits(Flag.SPIKE, spikes))


def _alive(raw: pd.DataFrame, grid: Grid, hours: int) -> NDArray[np.bool_]:
    """For every series and hour, whether its location sent anything, of any parameter, that was not put aside."""
    sent = raw.loc[raw["outcome"] != screening.QUARANTINED]
    locations, place = np.unique(sent["location_id"], return_inverse=True)
    alive = np.zeros((len(locations), hours), dtype=np.bool_)
    alive[place, hour_of(sent["end_us"].to_numpy()) - grid.first_hour] = True
    return alive[np.searchsorted(locations, grid.location_id)]


def _imputed(grid: Grid, dataset: Dataset, alive: NDArray[np.bool_]) -> tuple[Grid, NDArray[np.bool_]]:
    """The grid with short gaps filled from earlier hours, and which hours were.

    Whether a spike is one shows only afterwards, so what may be carried is judged by the hours before it alone.
    """
    missing = np.isnan(grid.value)
    usable = (grid.bits & UNFIT_BITS) == 0
    before_gap = is_before(missing, dataset.impute_up_to)
    fit = ~missing & usable & before_gap & ~leaps(grid.value, _floors(grid, dataset), before_gap)
    source = carried_from(missing, fit, dataset.impute_up_to)
    source = np.where(is_followed(alive), source, -1)
    imputed = source >= 0
    series, _ = np.nonzero(imputed)
    column = source[imputed]
    value, known_us = grid.value.copy(), grid.known_us.copy()
    value[imputed] = grid.value[series, column]
    known_us[imputed] = np.maximum(known_us[imputed], grid.known_us[series, column])
    return replace(grid, value=value, known_us=known_us, bits=grid.bits | as_bits(Flag.IMPUTED, imputed)), imputed


def is_before(missing: NDArray[np.bool_], up_to: int) -> NDArray[np.bool_]:
    """Which hours have a missing one among the `up_to` hours after them."""
    before = np.zeros(missing.shape, dtype=np.bool_)
    for hours in range(1, up_to + 1):
        before[:, :-hours] |= missing[:, hours:]
    return before


def _rows(
    grid: Grid, imputed: NDArray[np.bool_], wanted: slice, loaded: pd.DataFrame, dataset: Dataset
) -> pd.DataFrame:
    """The hours of the columns `wanted` as rows of the table."""
    there = (grid.rows > 0) | imputed
    there[:, : wanted.start] = False
    there[:, wanted.stop :] = False
    series, hour = np.nonzero(there)
    value, bits, last_row = grid.value[there], grid.bits[there], grid.last_row[there]
    # -1, an imputed hour of no raw row, takes any row and is blanked
    origin = loaded[["source_id", "line_no"]].take(last_row).reset_index(drop=True).astype("Int64")
    measures = _measures(grid, dataset)
    columns = {
        "location_id": grid.location_id[series],
        "sensors_id": grid.sensors_id[series],
        "parameter": _text([measure.name for measure in measures], series),
        "datetime_utc": _utc((hour + grid.first_hour) * HOUR_US),
        "value": value,
        "unit": _text([measure.unit for measure in measures], series),
        "flags": as_text(bits),
        "is_valid": ~np.isnan(value) & (imputed[there] | ((bits & INVALIDATING_BITS) == 0)),
        "is_imputed": imputed[there],
        "samples": grid.samples[there],
        "coverage_pct": grid.coverage_pct[there],
        "source_id": origin["source_id"].mask(last_row < 0),
        "line_no": origin["line_no"].mask(last_row < 0),
        "known_at": _utc(grid.known_us[there]),
    }
    return conform(pd.DataFrame(columns), AirQuality)


def _text(words: list[str], take: NDArray[np.int64]) -> pd.Series:
    """`words[take]` as arrow-backed text."""
    return pd.Series(words, dtype=pd.StringDtype("pyarrow", pd.NA)).take(take).reset_index(drop=True)


def _utc(microseconds: NDArray[np.int64]) -> pd.Series:
    return pd.Series(microseconds.astype("datetime64[us]")).dt.tz_localize("UTC")


def _days(raw: pd.DataFrame) -> pd.Series:
    """The UTC day (date) each row is accounted to: that in which its hours end, midnight to the day before."""
    number, codes = np.unique((raw["end_us"].to_numpy() - 1) // DAY_US, return_inverse=True)
    dates = np.array(number.astype("datetime64[D]").tolist(), dtype=object)
    return pd.Series(dates[codes] if len(dates) else dates, index=raw.index, dtype=object)


def _rejects(raw: pd.DataFrame, measurements: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    aside = raw.loc[raw["outcome"] == screening.QUARANTINED]
    received = measurements.iloc[aside["position"].to_numpy()]
    rules = [screening.RULES[number] for number in aside["rule"]]
    reasons = [
        screening.reason_of(rule, dataset, parameter, units, value)
        for rule, parameter, units, value in zip(
            rules, received["parameter"], received["units"], aside["value"], strict=True
        )
    ]
    columns = {
        "day": _days(aside).to_numpy(),
        "location_id": aside["location_id"].to_numpy(),
        "rule": rules,
        "reason": reasons,
        "raw": [_json(record) for record in received.to_dict(orient="records")],
        "source_id": aside["source_id"].to_numpy(),
        "line_no": aside["line_no"].to_numpy(),
    }
    return pd.DataFrame(columns, columns=REJECT_COLUMNS)


def _json(record: dict[str, object]) -> str:
    """The row as JSON: missing values null, instants in ISO 8601, numbers exact."""
    plain = {name: None if pd.isna(value) else value for name, value in record.items()}
    return json.dumps(plain, ensure_ascii=False, default=lambda value: value.isoformat())


def _accounts(raw: pd.DataFrame) -> pd.DataFrame:
    counted = pd.DataFrame({"day": _days(raw), "location_id": raw["location_id"], "read": 1})
    for number, outcome in enumerate(screening.OUTCOMES):
        counted[outcome] = (raw["outcome"] == number).astype(np.int64)
    return counted.groupby(["day", "location_id"]).sum()
