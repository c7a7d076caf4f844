"""NowCast: published vectors, what is enough, and the ozone surrogate."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets_pkg.features.aqi import nowcast_sub_index, ppb_per_ugm3
from assets_pkg.features.nowcast import PM_HOURS, hourly_nowcast, o3_nowcast, pm_nowcast


def hours(newest_first: Sequence[float | None]) -> np.ndarray:
    return np.array([[np.nan if value is None else float(value) for value in reversed(newest_first)]])


def of_newest(newest_first: Sequence[float | None]) -> float:
    return float(pm_nowcast(hours(newest_first), 1)[0, 0])


@pytest.mark.parametrize(
    ("newest_first", "expected"),
    [
        ([13, 16, 10, 21, 74, 64, 53, 82, 90, 75, 80, 50], 17.4139),
        ([10] * 12, 10.0),
        ([50, None, 40, 30, 20, 10, 10, 10, 10, 10, 10, 10], 43.76),
    ],
)
def test_particles_give_the_published_nowcast(newest_first: list[float | None], expected: float) -> None:
    assert of_newest(newest_first) == pytest.approx(expected, abs=5e-3)


@pytest.mark.parametrize(("steady", "index"), [(35.4, 100), (35.5, 101), (9.0, 50), (9.1, 51)])
def test_a_steady_concentration_is_its_own_nowcast(steady: float, index: int) -> None:
    assert of_newest([steady] * 12) == pytest.approx(steady, rel=1e-12)
    assert nowcast_sub_index("pm25", pm_nowcast(hours([steady] * 12), 1)) == index


@pytest.mark.parametrize(
    ("newest_first", "is_valid"),
    [
        ([1, 2, None] + [None] * 9, True),
        ([1, None, 2] + [None] * 9, True),
        ([None, 1, 2] + [None] * 9, True),
        ([1, None, None] + [5] * 9, False),
        ([None, None, 1] + [5] * 9, False),
        ([None] * 12, False),
    ],
)
def test_two_of_the_newest_three_hours_are_needed(newest_first: list[float | None], is_valid: bool) -> None:
    assert np.isfinite(of_newest(newest_first)) == is_valid


def test_clean_air_is_zero_and_negative_noise_counts_as_clean_air() -> None:
    assert of_newest([0.0] * 12) == 0
    assert of_newest([-1.5] * 12) == 0
    assert of_newest([8, -2, 8] + [8] * 9) == of_newest([8, 0, 8] + [8] * 9)


def plain(newest_first: Sequence[float | None]) -> float:
    """The definition, hour by hour."""
    there = [(age, value) for age, value in enumerate(newest_first) if value is not None]
    if sum(age < 3 for age, _ in there) < 2:
        return float("nan")
    highest, lowest = max(v for _, v in there), min(v for _, v in there)
    weight = max(lowest / highest, 0.5) if highest else 1.0
    return sum(weight**age * value for age, value in there) / sum(weight**age for age, _ in there)


@given(st.lists(st.none() | st.floats(0, 1000), min_size=12, max_size=30))
def test_every_hour_of_a_row_equals_the_definition(newest_first: list[float | None]) -> None:
    count = len(newest_first) - PM_HOURS + 1
    expected = [plain(newest_first[n : n + PM_HOURS]) for n in range(count)][::-1]
    np.testing.assert_allclose(pm_nowcast(hours(newest_first), count)[0], expected, rtol=1e-9, atol=1e-12)


@given(st.lists(st.none() | st.floats(0, 1000), min_size=30, max_size=30))
def test_an_hour_is_bit_for_bit_the_same_in_a_longer_row(newest_first: list[float | None]) -> None:
    for nowcast in (pm_nowcast, o3_nowcast):
        alone = [float(nowcast(hours(newest_first[n : n + PM_HOURS]), 1)[0, 0]) for n in range(19)]
        assert np.array(alone[::-1]).tobytes() == nowcast(hours(newest_first), 19)[0].tobytes()


@pytest.mark.parametrize(
    ("newest_first_ppb", "expected_ppb"),
    [
        ([60, 10, 10], 55.5),
        ([None, 40, 10], 38.5),
        ([None, None, 20], 21.5),
        ([None, None, None], None),
        ([-5, 40, 40], 4.5),
    ],
)
def test_ozone_is_the_surrogate_of_the_newest_of_three_hours(
    newest_first_ppb: list[float | None], expected_ppb: float | None
) -> None:
    result = o3_nowcast(hours(newest_first_ppb) / ppb_per_ugm3("o3"), 1)[0, 0] * ppb_per_ugm3("o3")
    assert result == pytest.approx(np.nan if expected_ppb is None else expected_ppb, nan_ok=True)


def test_a_fourth_hour_is_too_old_for_ozone() -> None:
    assert np.isnan(o3_nowcast(hours([None, None, None, 80.0]), 1)[0, 0])


def test_a_pollutant_without_nowcast_is_an_error() -> None:
    with pytest.raises(ValueError, match="no NowCast of 'so2'"):
        hourly_nowcast("so2", hours([1.0] * 12), 1)
