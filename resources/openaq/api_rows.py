"""Results of API v3 become rows of the staging table.

Belongs here: pure functions from one page's results to rows, rejects and what lies outside the window. Does not belong
here: HTTP, which pages are asked for, cleaning.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import pandas as pd

from resources.openaq.fetched import ROW_COLUMNS, Reject, no_rows
from resources.openaq.location import Location, Sensor
from schemas.base import dtypes_of
from schemas.staging import OpenaqMeasurements
from schemas.window import Window, day_of

Series = Literal["measurements", "hours"]
RAW_LENGTH = 10_000
INTERVAL = re.compile(r"(\d{1,6}):([0-5]\d):([0-5]\d)")


class Unreadable(Exception):
    """One result that cannot become a row: `rule` names what it breaks."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class PageRows:
    """What one page's results amount to; `len(rows) + len(rejects) + sum(filtered.values())` is their number."""

    rows: pd.DataFrame
    """`ROW_COLUMNS`, stamps in `(window.start, window.end]`, in the order of the page."""
    rejects: tuple[Reject, ...]
    filtered: Mapping[date, int]
    """Results outside the window, by the nearest UTC day inside it."""


def rows_of_page(
    results: Sequence[Any], *, series: Series, location: Location, sensor: Sensor, source_id: int, window: Window
) -> PageRows:
    """The rows of one page of `/sensors/{id}/{series}`.

    Of `hours` the exact mean is taken (`summary.avg`), as `value` is rounded to three significant digits there.
    Stamps are the period's END, UTC; a result without a usable stamp is accounted to the window's first day.
    """
    stamps = stamps_utc(results)
    readable = stamps.notna().to_numpy()
    inside = window.holds(stamps, "right").to_numpy()
    early = (stamps <= window.start).to_numpy()
    days = window.days()
    kept: list[int] = []
    records: list[tuple[Any, ...]] = []
    rejects: list[Reject] = []
    filtered = Counter[date]()
    for index, result in enumerate(results):
        if readable[index] and not inside[index]:
            filtered[days[0 if early[index] else -1]] += 1
            continue
        try:
            if not readable[index]:
                raise Unreadable("datetime_utc", "period.datetimeTo.utc is missing or no instant with an offset")
            records.append(_record(result, series, location, sensor))
            kept.append(index)
        except Unreadable as error:
            own_day = day_of(stamps.iloc[index : index + 1], "right").iloc[0]
            rejects.append(
                Reject(
                    day=own_day.date() if readable[index] else days[0],
                    rule=error.rule,
                    reason=error.reason,
                    raw=json.dumps(result)[:RAW_LENGTH],
                    source_id=source_id,
                    line_no=index + 1,
                )
            )
    rows = _frame(records, kept, stamps, location, sensor, source_id)
    return PageRows(rows=rows, rejects=tuple(rejects), filtered=dict(filtered))


def stamps_utc(results: Sequence[Any]) -> pd.Series:
    """The END of each result's period, UTC; missing where it cannot be read."""
    texts = [_stamp_text(result) for result in results]
    parsed = pd.to_datetime(pd.Series(texts, dtype="object"), utc=True, format="ISO8601", errors="coerce")
    return parsed.astype("datetime64[us, UTC]")


RECORD = ("parameter", "units", "value", "datetime_local", "interval_s", "has_flags", "latitude", "longitude")


def _record(result: Any, series: Series, location: Location, sensor: Sensor) -> tuple[Any, ...]:
    """The columns `RECORD` of one result whose stamp could be read."""
    period = result["period"]
    parameter = result.get("parameter")
    told = parameter if isinstance(parameter, dict) else {}
    flags = result.get("flagInfo")
    has_flags = flags.get("hasFlags") if isinstance(flags, dict) else None
    latitude, longitude = _coordinates(result.get("coordinates"), location)
    return (
        _text("parameter", told.get("name") or sensor.parameter),
        _text("units", told.get("units") or sensor.units),
        _value(result, series),
        _text("datetime_local", period["datetimeTo"].get("local")),
        3600 if series == "hours" else _interval_s(period.get("interval")),
        has_flags if isinstance(has_flags, bool) else None,
        latitude,
        longitude,
    )


def _value(result: Mapping[str, Any], series: Series) -> float | None:
    summary = result.get("summary")
    value = result.get("value")
    if series == "hours" and isinstance(summary, dict) and summary.get("avg") is not None:
        value = summary["avg"]
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unreadable("value", f"{str(value)[:100]!r} is no number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Unreadable("value", f"{number} is no finite number")
    return number


def _coordinates(found: Any, location: Location) -> tuple[float | None, float | None]:
    """A mobile sensor's own coordinates where they are told, else the location's."""
    pair = (location.latitude, location.longitude)
    if isinstance(found, dict):
        pair = (found.get("latitude"), found.get("longitude"))
    for value, bound in zip(pair, (90, 180), strict=True):
        is_degrees = isinstance(value, int | float) and not isinstance(value, bool) and -bound <= value <= bound
        if value is not None and not is_degrees:
            raise Unreadable("coordinates", f"{pair} are no degrees north and east")
    return pair


def _interval_s(text: Any) -> int | None:
    """Seconds of "HH:MM:SS", where hours may exceed a day; None if it is not told so."""
    match = INTERVAL.fullmatch(text) if isinstance(text, str) else None
    return None if match is None else int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3])


def _text(rule: str, found: Any) -> str:
    if not isinstance(found, str) or not found:
        raise Unreadable(rule, f"{rule} is missing or no text: {str(found)[:100]!r}")
    # PostgreSQL's text cannot hold NUL, and no encoding holds a lone surrogate.
    if "\x00" in found or (not found.isascii() and any("\ud800" <= char <= "\udfff" for char in found)):
        raise Unreadable(rule, f"{rule} holds a character no text may hold: {found[:100]!a}")
    return found


def _stamp_text(result: Any) -> str | None:
    try:
        text = result["period"]["datetimeTo"]["utc"]
    except (KeyError, TypeError, IndexError):
        return None
    # Without an offset it would be taken for UTC, which nobody said.
    return text if isinstance(text, str) and re.search(r"T.+(Z|[+-]\d\d:?\d\d)$", text) else None


def _frame(
    records: list[tuple[Any, ...]],
    kept: list[int],
    stamps: pd.Series,
    location: Location,
    sensor: Sensor,
    source_id: int,
) -> pd.DataFrame:
    if not records:
        return no_rows()
    columns: dict[str, Any] = {
        **dict(zip(RECORD, map(list, zip(*records, strict=True)), strict=True)),
        "location_id": [location.id] * len(kept),
        "sensors_id": [sensor.id] * len(kept),
        "location_name": [location.name] * len(kept),
        "datetime_utc": stamps.take(kept).reset_index(drop=True),
        "source_id": [source_id] * len(kept),
        "line_no": [index + 1 for index in kept],
    }
    dtypes = dtypes_of(OpenaqMeasurements)
    return pd.DataFrame({name: pd.Series(columns[name], dtype=dtypes[name]) for name in ROW_COLUMNS})
