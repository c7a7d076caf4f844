"""What is served against what the table says: every kind of difference is found, and only differences are."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pandera.pandas as pa
import pytest

from assets_pkg.quality.parity import Look, parity_rows
from schemas.base import NullableInt, TableModel, Text, UtcTimestamp, conform
from schemas.quality import FeatureParity
from schemas.table_spec import Served, TableSpec

DAY = datetime(2026, 3, 1, tzinfo=UTC)


class Weather(TableModel):
    """Rows of a made-up table."""

    place: Text = pa.Field(description="where")
    at: UtcTimestamp = pa.Field(description="when")
    warmth: float = pa.Field(nullable=True, description="°C")
    gusts: NullableInt = pa.Field(nullable=True, description="number of gusts")
    is_calm: bool = pa.Field(description="no wind")
    sky: Text = pa.Field(nullable=True, description="in words")
    known_at: UtcTimestamp = pa.Field(description="when known")


WEATHER = TableSpec(
    schema="features",
    name="weather",
    model=Weather,
    key=("place", "at"),
    time_column="at",
    served=Served(view="weather", ttl=timedelta(days=1)),
)


def table_rows() -> pd.DataFrame:
    rows = [
        ("a", DAY, 0.1 + 0.2, 2**53 + 1, True, "blue", DAY),
        ("b", DAY + timedelta(hours=1), None, None, False, None, DAY),
    ]
    return conform(pd.DataFrame(rows, columns=WEATHER.columns, dtype=object), Weather)


def served_rows(**changes: Any) -> pd.DataFrame:
    """What an online store answers for the same keys: Python values, None where there is none."""
    columns: dict[str, list[Any]] = {
        "warmth": [0.1 + 0.2, None],
        "gusts": [2**53 + 1, None],
        "is_calm": [True, False],
        "sky": ["blue", None],
        "event_timestamp": [DAY, DAY + timedelta(hours=1)],
    }
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in (columns | changes).items()})


def looked_at(online: pd.DataFrame, *, pending: int = 0, overdue: int = 0) -> pd.Series:
    look = Look(
        view="weather",
        online_store="sqlite",
        checked_at=DAY + timedelta(hours=3),
        keys=7,
        pending=pending,
        overdue=overdue,
        newest=table_rows(),
        online=online,
    )
    rows = parity_rows([(WEATHER, look)], DAY)
    FeatureParity.validate(rows, lazy=True)
    return rows.iloc[0]


def test_the_same_values_are_equal_missing_ones_too() -> None:
    row = looked_at(served_rows())
    assert row["is_equal"] and pd.isna(row["difference"])
    assert (row["keys"], row["keys_sampled"], row["keys_equal"]) == (7, 2, 2)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"warmth": [0.3, None]}, "a: warmth is 0.30000000000000004 in the table and 0.3 online"),
        ({"warmth": [0.1 + 0.2, 0.0]}, "place b: warmth is nan in the table and 0.0 online"),
        ({"gusts": [2**53, None]}, "gusts is 9007199254740993 in the table and 9007199254740992 online"),
        ({"is_calm": [True, None]}, "is_calm is False in the table and None online"),
        ({"sky": ["blue", ""]}, "sky"),
        ({"sky": [None, None]}, "sky is blue in the table and None online"),
        ({"event_timestamp": [DAY, DAY]}, "at is 2026-03-01 01:00:00+00:00 in the table"),
        ({"gusts": ["many", None]}, "gusts is 9007199254740993 in the table and many online"),
    ],
)
def test_every_difference_is_found_and_told(change: dict[str, list[Any]], told: str) -> None:
    row = looked_at(served_rows(**change))
    assert not row["is_equal"]
    assert row["keys_different"] >= 1 and row["keys_missing"] == 0
    assert told in row["difference"]


def test_a_key_without_an_online_row_is_missing_and_not_different() -> None:
    gone = served_rows(warmth=[0.1 + 0.2, None], event_timestamp=[DAY, None])
    row = looked_at(gone)
    assert (row["keys_equal"], row["keys_different"], row["keys_missing"]) == (1, 0, 1)
    assert row["difference"] == "place b: no row online"


def test_pending_keys_are_told_and_overdue_ones_are_wrong() -> None:
    assert looked_at(served_rows(), pending=3)["is_equal"]
    assert not looked_at(served_rows(), pending=3, overdue=1)["is_equal"]


def test_a_table_without_rows_is_equal() -> None:
    look = Look(
        view="weather",
        online_store="sqlite",
        checked_at=DAY,
        keys=0,
        pending=0,
        overdue=0,
        newest=table_rows().iloc[:0],
        online=served_rows().iloc[:0],
    )
    row = parity_rows([(WEATHER, look)], DAY).iloc[0]
    assert row["is_equal"] and row["keys_sampled"] == 0
