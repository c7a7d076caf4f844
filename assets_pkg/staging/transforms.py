"""From fetched rows to staging rows, and the account of them.

Belongs here: pure functions on frames. Does not belong here: fetching, writing, Dagster.
"""

from collections.abc import Mapping
from datetime import date, datetime

import pandas as pd

from schemas.base import conform
from schemas.staging import OpenaqMeasurements
from schemas.window import Window, day_of


def staged(rows: pd.DataFrame, known_at: datetime) -> pd.DataFrame:
    """The rows as `schemas.staging.OpenaqMeasurements`: nothing but `known_at` (aware UTC) is added."""
    return conform(rows.assign(known_at=pd.Timestamp(known_at).as_unit("us")), OpenaqMeasurements)


def beside(rows: pd.DataFrame, held: pd.DataFrame) -> pd.DataFrame:
    """Staging rows and those that are held already, of other sensors, together: neither changes."""
    if held.empty:
        return rows
    return conform(pd.concat([rows, held], ignore_index=True), OpenaqMeasurements)


def newest_offset(rows: pd.DataFrame) -> str | None:
    """The UTC offset of the newest row's local time, like `+05:45`; None without rows or without an offset in it."""
    if rows.empty:
        return None
    offset = datetime.fromisoformat(rows.loc[rows["datetime_utc"].idxmax(), "datetime_local"]).utcoffset()
    if offset is None:
        return None
    minutes = round(offset.total_seconds() / 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def accounts(rows: pd.DataFrame, rejected: Mapping[date, int], window: Window, unit: int) -> pd.DataFrame:
    """One row per UTC day of the window: day, unit, read, loaded, duplicate, quarantined, filtered.

    A day nobody has rows of is there too, all zeros: it was asked for. Rows that a file or page holds of other days are
    those days' to account for, so that a day's account is the same whatever window it was fetched in. Days of
    `rejected` outside the window are accounted to the nearest day inside it.
    """
    days = window.days()
    loaded = day_of(rows["datetime_utc"], "right").dt.date.value_counts().to_dict()
    table = pd.DataFrame({"day": days, "unit": str(unit), "duplicate": 0, "filtered": 0})
    for name, counts in (("loaded", loaded), ("quarantined", rejected)):
        inside = dict.fromkeys(days, 0)
        for day, count in counts.items():
            inside[min(max(day, days[0]), days[-1])] += int(count)
        table[name] = [inside[day] for day in days]
    table["read"] = table[["loaded", "duplicate", "quarantined", "filtered"]].sum(axis=1)
    return table
