"""Rows of the sales features in which it is known what tells tomorrow's revenue.

Belongs here: planted truth for tests of importance and feature sets. Does not belong here: expectations.
"""

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd

from schemas.base import conform
from schemas.tables import TABLES

SALES = TABLES["features.sales_features"]
TARGET = next(one for one in SALES.served.predicts if one.column == "revenue") if SALES.served else None
LAST = date(2025, 3, 31)
DAYS = 60
ENTITIES = tuple((region, product) for region in ("north", "south") for product in ("apples", "pears", "plums"))
NOISE = ("orders", "orders_mean_7", "orders_lag_1", "quantity", "quantity_mean_28", "quantity_share_pct")


def planted(seed: int = 5, *, days: int = DAYS, **columns: Any) -> pd.DataFrame:
    """Six series of `days` days up to `LAST`: tomorrow's revenue is 100, 30 times today's `revenue_mean_7`, 20 times
    today's `revenue_lag_1` and noise of deviation 10. `NOISE` tells nothing, `orders_max_7` is `revenue_mean_7` again,
    other features are missing. `columns` replace some: values, or functions of (rng, row count, day numbers)."""
    rng, frames = np.random.default_rng(seed), []
    stamps = pd.date_range(end=pd.Timestamp(LAST, tz="UTC"), periods=days, freq="D").as_unit("us")
    for region, product in ENTITIES:
        strong, weak = rng.normal(size=days), rng.normal(size=days)
        told = 100 + 30 * strong + 20 * weak + 10 * rng.normal(size=days)
        frame = {
            "region": region,
            "product_name": product,
            "datetime_utc": stamps,
            **{name: rng.normal(size=days) for name in NOISE},
            "revenue_mean_7": strong,
            "orders_max_7": strong,
            "revenue_lag_1": weak,
            "revenue": np.r_[100.0, told[:-1]],
            "known_at": datetime(2025, 4, 2, tzinfo=UTC),
        }
        more = {name: how(rng, days, np.arange(days)) if callable(how) else how for name, how in columns.items()}
        frames.append(pd.DataFrame(frame | more))
    return conform(pd.concat(frames, ignore_index=True), SALES.model)
