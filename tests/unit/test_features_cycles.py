"""The daily and weekly cycle at local time."""

from datetime import UTC, datetime
from math import atan2, pi

import numpy as np
import pytest

from assets_pkg.features.cycles import cycles


def local(stamp: datetime, zone: str | None) -> tuple[float, float]:
    """(hour of day, hour of week) that the cycles of the hour ending at `stamp` stand for."""
    columns = cycles(np.array([int(stamp.timestamp()) // 3600]), zone)

    def turns(name: str) -> float:
        return (atan2(columns[f"{name}_sin"][0], columns[f"{name}_cos"][0]) / (2 * pi)) % 1

    return round(turns("hour") * 24, 6) % 24, round(turns("week") * 168, 6) % 168


@pytest.mark.parametrize(
    ("stamp", "zone", "hour_of_day", "hour_of_week"),
    [
        (datetime(2025, 3, 3, 1, tzinfo=UTC), None, 0, 0),  # Monday, 00:00-01:00
        (datetime(2025, 3, 3, 0, tzinfo=UTC), None, 23, 167),
        (datetime(2025, 3, 3, 1, tzinfo=UTC), "UTC", 0, 0),
        (datetime(2025, 3, 5, 13, tzinfo=UTC), "Europe/Paris", 13, 2 * 24 + 13),
        (datetime(2025, 3, 3, 1, tzinfo=UTC), "Asia/Kathmandu", 5.75, 5.75),
        (datetime(2025, 3, 3, 1, tzinfo=UTC), "America/Mexico_City", 18, 6 * 24 + 18),
        (datetime(1969, 12, 29, 1, tzinfo=UTC), None, 0, 0),
        # The night summer time begins: 01:00-02:00 is followed by 03:00-04:00.
        (datetime(2025, 3, 30, 1, tzinfo=UTC), "Europe/Paris", 1, 6 * 24 + 1),
        (datetime(2025, 3, 30, 2, tzinfo=UTC), "Europe/Paris", 3, 6 * 24 + 3),
        # The night it ends: 02:00-03:00 comes twice.
        (datetime(2025, 10, 26, 1, tzinfo=UTC), "Europe/Paris", 2, 6 * 24 + 2),
        (datetime(2025, 10, 26, 2, tzinfo=UTC), "Europe/Paris", 2, 6 * 24 + 2),
    ],
)
def test_the_start_of_the_hour_at_local_time_counts(
    stamp: datetime, zone: str | None, hour_of_day: float, hour_of_week: float
) -> None:
    assert local(stamp, zone) == (hour_of_day, hour_of_week)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd"])
def test_a_zone_that_does_not_exist_is_an_error(zone: str) -> None:
    with pytest.raises(ValueError, match="is no IANA time zone"):
        cycles(np.array([480_000]), zone)
