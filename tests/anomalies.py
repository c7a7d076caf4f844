"""Series with nothing odd in them, and ways to make them odd.

Belongs here: planted truth for tests of anomalies. Does not belong here: expectations.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from schemas.base import conform
from schemas.tables import WATCHED, WATCHED_AIR_QUALITY
from schemas.timeseries import AirQuality
from schemas.window import Window

MONDAY = date(2025, 3, 3)
"""First day that is judged; the four weeks before it only train."""
DAYS = 10
JUDGED = Window.of_days(MONDAY, MONDAY + timedelta(days=DAYS - 1))
LOOK_BACK = WATCHED_AIR_QUALITY.look_back
START = JUDGED.start - LOOK_BACK
PARAMETERS = ("pm25", "pm10", "no2")


def hour(day: int, clock: int) -> datetime:
    """The instant `clock` o'clock of the judged day number `day`, UTC."""
    return JUDGED.start + timedelta(days=day, hours=clock)


def quiet(seed: int = 1, *, locations: int = 1, parameters: Sequence[str] = PARAMETERS) -> pd.DataFrame:
    """Rows of the air quality series over look-back and judged days: a daily course with weather that lasts for hours;
    the parameters of a location share most of it."""
    rng = np.random.default_rng(seed)
    stamps = pd.date_range(START, JUDGED.end, freq="h", inclusive="right").as_unit("us")
    frames = []
    for location in range(1, locations + 1):
        weather = _lasting(rng, len(stamps))
        for number, parameter in enumerate(parameters, start=1):
            course = 1 + 0.4 * np.sin(2 * np.pi * (stamps.hour.to_numpy() - 3 * number) / 24)
            own = np.exp(0.25 * weather + 0.08 * _lasting(rng, len(stamps)) + 0.03 * rng.normal(size=len(stamps)))
            frames.append(
                pd.DataFrame(
                    {
                        "location_id": location,
                        "sensors_id": 10 * location + number,
                        "parameter": parameter,
                        "datetime_utc": stamps,
                        "value": 20.0 * number * course * own,
                        "unit": "µg/m³",
                    }
                )
            )
    return _whole(pd.concat(frames, ignore_index=True))


def sales(seed: int = 1, *, days: int = DAYS) -> pd.DataFrame:
    """Rows of the sales series: two products, three metrics, more at weekends, over their look-back and judged days."""
    rng, watched = np.random.default_rng(seed), WATCHED["sales"]
    stamps = pd.date_range(JUDGED.start - watched.look_back, periods=56 + days, freq="D").as_unit("us")
    frames = []
    for product in ("apples", "pears"):
        orders = rng.poisson(np.where(stamps.dayofweek >= 5, 90, 60)).astype("float64")
        for metric, per_order in (("orders", 1.0), ("quantity", 2.5), ("revenue", 7.0)):
            noise = np.exp(0.05 * rng.normal(size=len(stamps))) if per_order > 1 else 1.0
            frame = {"region": "North", "product_name": product, "metric": metric, "datetime_utc": stamps}
            frames.append(pd.DataFrame(frame | {"value": np.round(orders * per_order * noise, 2), "unit": metric}))
    return _whole(pd.concat(frames, ignore_index=True), watched.table.model)


def changed(rows: pd.DataFrame, how: Any, first: datetime, last: datetime, **where: Any) -> pd.DataFrame:
    """The rows with `how` (a number, or a function of the values) in place of the values stamped `first` to `last`, of
    the rows whose columns have the values `where`."""
    here = (rows["datetime_utc"] >= first) & (rows["datetime_utc"] <= last)
    for name, value in where.items():
        here &= rows[name] == value
    rows = rows.copy()
    rows.loc[here, "value"] = how(rows.loc[here, "value"]) if callable(how) else how
    rows["is_valid"] = rows["value"].notna()
    return rows


def _lasting(rng: np.random.Generator, count: int) -> np.ndarray:
    """Unit variance, lag-1 autocorrelation 0.9."""
    shocks, values = rng.normal(size=count), np.zeros(count)
    for number in range(1, count):
        values[number] = 0.9 * values[number - 1] + np.sqrt(1 - 0.81) * shocks[number]
    return values


def _whole(rows: pd.DataFrame, model: Any = AirQuality) -> pd.DataFrame:
    rest = {
        "flags": "",
        "is_valid": True,
        "is_imputed": False,
        "samples": 1,
        "known_at": datetime(2025, 6, 1, tzinfo=UTC),
    }
    rest |= {"coverage_pct": 100.0} if model is AirQuality else {}
    return conform(rows.assign(**rest), model)
