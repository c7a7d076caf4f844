"""Rolling statistics: right to the definition, and the same to the last bit wherever a row begins."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets_pkg.features.rolling import Moments, rolling_count, rolling_max, rolling_min, rolling_moments

LENGTHS = (1, 2, 3, 5, 8, 24)

values_with_gaps = st.lists(st.none() | st.floats(-20, 1000, width=32), min_size=24, max_size=60)


def as_row(values: list[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values])


def expected(window: np.ndarray) -> tuple[float, float, float]:
    """Mean, sample standard deviation and slope by their definitions, summed exactly."""
    at = np.flatnonzero(np.isfinite(window))
    x = window[at].tolist()
    if not x:
        return 0.0, math.nan, math.nan
    mean, middle = math.fsum(x) / len(x), math.fsum(at) / len(at)
    if len(x) < 2:
        return mean, math.nan, math.nan
    spread = math.fsum((t - middle) ** 2 for t in at)
    return (
        mean,
        math.sqrt(math.fsum((v - mean) ** 2 for v in x) / (len(x) - 1)),
        math.fsum((t - middle) * (v - mean) for t, v in zip(at, x, strict=True)) / spread,
    )


@given(values_with_gaps)
def test_moments_equal_their_definitions(values: list[float | None]) -> None:
    row = as_row(values)
    hours = len(row) - max(LENGTHS) + 1
    for length, moments in rolling_moments(row, LENGTHS, hours).items():
        windows = np.lib.stride_tricks.sliding_window_view(row, length)[-hours:]
        mean, std, slope = np.array([expected(window) for window in windows]).T
        np.testing.assert_array_equal(moments.present, np.isfinite(windows).sum(axis=-1))
        np.testing.assert_allclose(moments.mean, mean, rtol=1e-12, atol=1e-10)
        np.testing.assert_allclose(moments.std(), std, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(moments.slope_per_h(), slope, rtol=1e-9, atol=1e-9)


@given(values_with_gaps)
def test_extremes_equal_their_definitions(values: list[float | None]) -> None:
    row = as_row(values)
    hours = len(row) - max(LENGTHS) + 1
    lowest, highest = rolling_min(row, LENGTHS, hours), rolling_max(row, LENGTHS, hours)
    for length in LENGTHS:
        windows = np.lib.stride_tricks.sliding_window_view(row, length)[-hours:]
        np.testing.assert_array_equal(lowest[length], np.where(np.isnan(windows), np.inf, windows).min(axis=-1))
        np.testing.assert_array_equal(highest[length], np.where(np.isnan(windows), -np.inf, windows).max(axis=-1))


@given(st.lists(st.booleans(), min_size=24, max_size=60))
def test_counts_equal_their_definition(flags: list[bool]) -> None:
    hours = len(flags) - max(LENGTHS) + 1
    for length, counted in rolling_count(np.array(flags), LENGTHS, hours).items():
        windows = np.lib.stride_tricks.sliding_window_view(flags, length)[-hours:]
        np.testing.assert_array_equal(counted, windows.sum(axis=-1))


def bits_of_last(moments: Moments) -> list[bytes]:
    """Every moment of the last row's last window."""
    return [part[-1, -1].tobytes() for part in moments[1:]]


@given(st.integers(0, 2**32 - 1), st.integers(0, 400), st.integers(0, 3))
def test_a_window_is_bit_for_bit_the_same_wherever_the_row_begins(seed: int, before: int, rows: int) -> None:
    chance = np.random.default_rng(seed)
    grid = chance.lognormal(3, 1, (rows + 1, before + 168))
    grid[chance.random(grid.shape) < 0.2] = np.nan
    in_a_long_row = rolling_moments(grid, (3, 24, 168), before + 1)
    for length, moments in rolling_moments(grid[-1:, -168:], (3, 24, 168), 1).items():
        assert bits_of_last(moments) == bits_of_last(in_a_long_row[length])


@pytest.mark.parametrize("level", [35.4, 0.1, 1e6 / 3, -7.7])
def test_a_constant_has_no_spread_at_all(level: float) -> None:
    row = np.full(200, level)
    row[[3, 50, 51, 120]] = np.nan
    for moments in rolling_moments(row, (3, 24, 168), 33).values():
        assert set(moments.mean) == {level}
        assert set(moments.std()[moments.present > 1]) == {0.0}
        assert set(moments.slope_per_h()[moments.present > 1]) == {0.0}


def test_a_small_spread_on_a_high_level_keeps_its_digits() -> None:
    row = 1e6 + 1e-3 * (np.arange(168) % 2)
    assert rolling_moments(row, (168,), 1)[168].std()[0] == pytest.approx(
        np.std(np.arange(168) % 2, ddof=1) * 1e-3, rel=1e-6
    )


def test_a_line_has_its_slope_whatever_is_missing() -> None:
    row = 5.0 + 0.25 * np.arange(200)
    row[[0, 10, 11, 12, 60, 199]] = np.nan
    for moments in rolling_moments(row, (24, 168), 33).values():
        np.testing.assert_allclose(moments.slope_per_h(), 0.25, rtol=1e-12)
