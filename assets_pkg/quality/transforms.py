"""From clean series and the ledger to the daily quality report: counts, shares, a score.

Belongs here: pure functions of data frames. Does not belong here: pictures and text (`pictures.py`), Dagster, SQL,
and the rules that set a flag (`assets_pkg/timeseries/`).
"""

from collections.abc import Hashable
from datetime import timedelta

import numpy as np
import pandas as pd

from schemas.base import conform
from schemas.quality import AirQualityReport
from schemas.tables import AIR_QUALITY, OPENAQ_MEASUREMENTS
from schemas.timeseries import Flag
from schemas.window import ONE_DAY, Window, day_of, midnight

ACTIVE_LOOK_BACK = timedelta(days=7)
"""A sensor is active on a day if it has a row on that day or in so many days before: one that falls silent is missed
for a week, and one that was taken away is not missed for ever."""

HOURS_PER_DAY = 24

SCORE_WEIGHTS = {"completeness_pct": 1.0, "validity_pct": 1.0, "uniqueness_pct": 1.0}
"""What the score is made of. Equal weights make it the plain mean."""

COUNTED_FLAGS = (Flag.SENTINEL, Flag.NEGATIVE, Flag.STUCK, Flag.SPIKE, Flag.OUT_OF_RANGE)
"""The flags the report counts, as `hours_<flag>`; imputed hours are counted from `is_imputed`."""

_KEY: list[Hashable] = ["location_id", "day"]
_COUNTS = ("read", "loaded", "duplicate", "quarantined", "filtered")
_ACCOUNT_COLUMNS = ("table_name", "day", "location_id", *_COUNTS, "known_at")


def daily_report(series: pd.DataFrame, accounts: pd.DataFrame, *, window: Window) -> pd.DataFrame:
    """How good each location's data of each day is: rows of `schemas.quality.AirQualityReport`, sorted by its key.

    `series`: rows of `schemas.timeseries.AirQuality`, stamps at the END of the hour, of the window and, to know the
    active sensors, of the `ACTIVE_LOOK_BACK` before it; what lies elsewhere is ignored. `samples`, `coverage_pct`,
    `unit` and the origin are not read and may be left out.

    `accounts`: the ledger, one row per `table_name`, `day` (UTC) and `location_id` with the row counts `read`,
    `loaded`, `duplicate`, `quarantined`, `filtered` and `known_at`; other tables and days are ignored.

    There is a row for each day and location that has an account of that day or a sensor active on it. A day's row is
    the same whatever window it is computed in.

    The two steps' ledgers are chained, so that the row's own counts add up from the source to the clean series:
    read is what staging read; loaded is what cleaning kept, or staging where cleaning has no account yet; duplicate,
    quarantined and filtered are the sums of both. The ledger is closed if each step's is and cleaning read exactly what
    staging loaded; measured hours that nobody accounts for leave it open.

    Shares follow their descriptions in the model and are null where the denominator is 0. `freshness_h` looks back as
    far as the active sensors do. The score is the mean of its known parts by `SCORE_WEIGHTS`, and 0 if no hour was
    measured, however many sentinels came.

    Raises:
        ValueError: the window cuts a UTC day, or the ledger lacks a column or a value, or accounts for a slice twice.
    """
    for bound in (window.start, window.end):
        if bound != midnight(bound.date()):
            raise ValueError(
                f"a report is of whole UTC days, but its window has the bound {bound}: widen it to midnight"
            )
    series = _hours(series, window.widened(before=ACTIVE_LOOK_BACK))
    accounts = _accounts_of(accounts, window)
    seen = _seen(series, window)
    report = _keys(seen, accounts).join(_ledger(accounts)).join(seen).join(_hour_counts(series))
    counted = [name for name in report.columns if name.startswith(("rows_", "hours_"))]
    report[counted] = report[counted].fillna(0).astype("int64")
    report["is_ledger_closed"] = report["is_ledger_closed"].eq(True) | (
        report["is_ledger_closed"].isna() & report["hours_measured"].eq(0)
    )
    report["known_at"] = report[["known_at_rows", "known_at_ledger"]].max(axis=1)
    report = report.reset_index()
    report["freshness_h"] = (report["day"] + ONE_DAY - report["measured_until"]) / pd.Timedelta(hours=1)
    _add_shares(report)
    kept = report.drop(columns=["measured_until", "known_at_rows", "known_at_ledger", "hours_measured_valid"])
    return conform(kept, AirQualityReport)


def _hours(series: pd.DataFrame, window: Window) -> pd.DataFrame:
    """The series' rows in the window, with the day they belong to and one boolean column per thing to count."""
    series = series[window.holds(series["datetime_utc"], "right")]
    imputed = series["is_imputed"].astype(bool)
    known = pd.Series(np.isfinite(series["value"].to_numpy("float64", na_value=np.nan)), index=series.index)
    valid = series["is_valid"].astype(bool) & known
    measured = known & ~imputed
    hours = series[["location_id", "sensors_id", "parameter", "known_at"]].assign(
        day=day_of(series["datetime_utc"], "right"),
        measured_until=series["datetime_utc"].where(measured),
        hours_measured=measured,
        hours_valid=valid,
        hours_measured_valid=measured & valid,
        hours_imputed=imputed,
    )
    codes, combinations = pd.factorize(series["flags"])
    tokens = [frozenset(str(combination).split("|")) for combination in combinations]
    for flag in COUNTED_FLAGS:
        has_flag = np.array([flag.value in each for each in tokens] + [False])  # the last is code -1: no flags at all
        hours[f"hours_{flag.value}"] = has_flag[codes]
    return hours


def _accounts_of(accounts: pd.DataFrame, window: Window) -> pd.DataFrame:
    """The ledger's rows of our two tables in the window, `day` as midnight UTC; raises if they cannot be relied on."""
    if missing := [name for name in _ACCOUNT_COLUMNS if name not in accounts.columns]:
        raise ValueError(f"the ledger has no column {', '.join(missing)}: pass all of {', '.join(_ACCOUNT_COLUMNS)}")
    ours = accounts.loc[
        accounts["table_name"].isin([OPENAQ_MEASUREMENTS.qualified, AIR_QUALITY.qualified]), list(_ACCOUNT_COLUMNS)
    ]
    ours = ours.assign(
        day=pd.to_datetime(ours["day"], utc=True).dt.as_unit("us"),
        known_at=pd.to_datetime(ours["known_at"], utc=True).dt.as_unit("us"),
    )
    ours = ours[window.holds(ours["day"], "left") | ours["day"].isna()]
    if ours.isna().any(axis=None):
        column = ours.columns[ours.isna().any()][0]
        raise ValueError(f"the ledger has a row without {column}: each account must be whole")
    key = ["table_name", *_KEY]
    if (twice := ours.duplicated(key)).any():
        table, location, day = ours.loc[twice, key].iloc[0]
        raise ValueError(
            f"the ledger accounts twice for {table}, location {location}, {day:%Y-%m-%d}: pass the last only"
        )
    if not ours["day"].eq(ours["day"].dt.normalize()).all():
        raise ValueError("the ledger has a day that does not begin at midnight UTC: pass days, not instants")
    return ours.astype({"location_id": "int64", **dict.fromkeys(_COUNTS, "int64")})


def _seen(series: pd.DataFrame, window: Window) -> pd.DataFrame:
    """Per location and day of the window: what its series and the look-back before it tell of it."""
    sensors = series[["location_id", "day", "sensors_id", "parameter"]].drop_duplicates()
    active = _looked_back_on(sensors, window).drop_duplicates().groupby(_KEY).size()
    newest = series.groupby(_KEY, as_index=False)[["measured_until", "known_at"]].max()
    seen = _looked_back_on(newest, window).groupby(_KEY).max().rename(columns={"known_at": "known_at_rows"})
    return seen.assign(hours_expected=active * HOURS_PER_DAY)


def _looked_back_on(rows: pd.DataFrame, window: Window) -> pd.DataFrame:
    """Each row once for every day of the window that looks back on its `day`, with that day in its place."""
    reach = ACTIVE_LOOK_BACK // ONE_DAY + 1
    later = pd.to_timedelta(np.tile(np.arange(reach), len(rows)), unit="D").as_unit("us")
    spread = rows.take(np.repeat(np.arange(len(rows)), reach)).reset_index(drop=True)
    spread["day"] = spread["day"] + pd.Series(later)
    return spread[window.holds(spread["day"], "left")]


def _keys(seen: pd.DataFrame, accounts: pd.DataFrame) -> pd.DataFrame:
    """A frame without columns, indexed by every location and day the report has a row for."""
    accounted = pd.MultiIndex.from_frame(accounts[_KEY].drop_duplicates())
    return pd.DataFrame(index=seen.index.union(accounted).sort_values())


def _ledger(accounts: pd.DataFrame) -> pd.DataFrame:
    """Per location and day: the chained row counts, whether they add up, and when the newest account was made."""
    is_closed = accounts["read"] == accounts[["loaded", "duplicate", "quarantined", "filtered"]].sum(axis=1)
    steps = accounts.assign(is_closed=is_closed).set_index(_KEY)
    both = steps.index.unique().sort_values()
    figures = [*_COUNTS, "is_closed"]
    staging_all = steps.loc[steps["table_name"].eq(OPENAQ_MEASUREMENTS.qualified), figures]
    cleaning_all = steps.loc[steps["table_name"].eq(AIR_QUALITY.qualified), figures]
    has_staging, has_cleaning = both.isin(staging_all.index), both.isin(cleaning_all.index)
    staging, cleaning = (step.reindex(both, fill_value=0) for step in (staging_all, cleaning_all))
    return pd.DataFrame(
        {
            "rows_read": np.where(has_staging, staging["read"], cleaning["read"]),
            "rows_loaded": np.where(has_cleaning, cleaning["loaded"], staging["loaded"]),
            **{f"rows_{name}": staging[name] + cleaning[name] for name in ("duplicate", "quarantined", "filtered")},
            "is_ledger_closed": (~has_staging | staging["is_closed"].eq(1))
            & (~has_cleaning | (cleaning["is_closed"].eq(1) & cleaning["read"].eq(staging["loaded"]))),
            "known_at_ledger": steps.groupby(_KEY)["known_at"].max(),
        },
        index=both,
    )


def _hour_counts(series: pd.DataFrame) -> pd.DataFrame:
    """Per location and day: how many sensor-hours there are of each kind."""
    kinds = [name for name in series.columns if str(name).startswith("hours_")]
    return series.groupby(_KEY)[kinds].sum()


def _add_shares(report: pd.DataFrame) -> None:
    """Adds the three shares in percent, null without a denominator, and the score."""
    report["completeness_pct"] = _percent(report["hours_measured"], report["hours_expected"])
    report["validity_pct"] = _percent(report["hours_measured_valid"], report["hours_measured"])
    report["uniqueness_pct"] = 100 - _percent(report["rows_duplicate"], report["rows_read"])
    weights = pd.Series(SCORE_WEIGHTS)
    parts = report[list(weights.index)]
    total = (parts * weights).sum(axis=1)
    weight = (parts.notna() * weights).sum(axis=1)
    report["score_pct"] = (total / weight).where(report["hours_measured"] > 0, 0.0).clip(0, 100)


def _percent(part: pd.Series, whole: pd.Series) -> pd.Series:
    """100 x part / whole, null where the whole is 0; never beyond 100, however broken a ledger is."""
    return (100 * part / whole.where(whole > 0)).astype("float64").clip(0, 100)
