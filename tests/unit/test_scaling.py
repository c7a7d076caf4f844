"""Scaling and imputing: defined for every input, and the same whichever rows come together."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import ConfigurationError
from resources.feast.scaling import Missing, Parameters, imputed, scaled

ZERO_TO_TEN = {"x": Parameters(minimum=0.0, maximum=10.0, median=4.0)}


def frame(*values: float | None) -> pd.DataFrame:
    return pd.DataFrame({"x": pd.Series(values, dtype="float64")})


def test_values_become_shares_of_the_range_and_are_clipped() -> None:
    got = scaled(frame(0, 2.5, 10, -3, 11, None), ZERO_TO_TEN)["x"]
    assert got.tolist()[:5] == [0.0, 0.25, 1.0, 0.0, 1.0]
    assert math.isnan(got.iloc[5])


@pytest.mark.parametrize(
    "known",
    [
        Parameters(minimum=3.0, maximum=3.0, median=3.0),
        Parameters(minimum=None, maximum=None, median=None),
        Parameters(minimum=float("nan"), maximum=float("nan"), median=None),
    ],
)
def test_a_constant_or_never_seen_feature_is_zero(known: Parameters) -> None:
    assert scaled(frame(3.0, 5.0, -1.0), {"x": known})["x"].tolist() == [0.0, 0.0, 0.0]


@given(
    st.lists(st.floats(allow_nan=False), min_size=1),
    st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2).map(sorted),
)
def test_scaled_values_lie_in_the_unit_interval_and_keep_their_order(values: list[float], bounds: list[float]) -> None:
    known = {"x": Parameters(minimum=bounds[0], maximum=bounds[1], median=None)}
    got = scaled(frame(*sorted(values)), known)["x"].dropna()
    assert got.between(0, 1).all() and got.is_monotonic_increasing
    assert len(got) == sum(np.isfinite(values))


@given(st.lists(st.none() | st.floats(-20, 20), min_size=2, max_size=20), st.integers(1, 19))
def test_a_row_comes_out_the_same_alone_and_among_others(values: list[float | None], cut: int) -> None:
    whole = scaled(imputed(frame(*values), "impute", ZERO_TO_TEN), ZERO_TO_TEN)
    parts = [
        scaled(imputed(part, "impute", ZERO_TO_TEN), ZERO_TO_TEN)
        for part in (frame(*values[:cut]), frame(*values[cut:]))
    ]
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("impute", [1.0, 4.0, 4.0]),
        ("zero", [1.0, 0.0, 0.0]),
        ("drop", [1.0]),
        ("keep", [1.0, None, None]),
    ],
)
def test_what_is_missing_or_infinite_follows_the_policy(policy: Missing, expected: list[float | None]) -> None:
    got = imputed(frame(1.0, None, float("inf")), policy, ZERO_TO_TEN)
    assert [None if pd.isna(value) else value for value in got["x"]] == expected


def test_every_kind_of_feature_has_a_zero() -> None:
    mixed = pd.DataFrame(
        {
            "n": pd.array([1, None], dtype="Int64"),
            "b": pd.array([True, None], dtype="boolean"),
            "s": pd.array(["a", None], dtype="string[pyarrow]"),
            "t": pd.to_datetime(["2024-01-01", None], utc=True),
        }
    )
    got = imputed(mixed, "zero", {})
    assert got.iloc[1].tolist() == [0, False, "", pd.Timestamp(0, tz="UTC")]
    assert got.dtypes.tolist() == mixed.dtypes.tolist()
    pd.testing.assert_frame_equal(scaled(mixed[["b", "s"]], {}), mixed[["b", "s"]])


@pytest.mark.parametrize("known", [{}, {"x": Parameters(minimum=1.0, maximum=2.0, median=None)}])
def test_nothing_is_imputed_from_nothing(known: dict[str, Parameters]) -> None:
    with pytest.raises(ConfigurationError, match="x has missing values and no median"):
        imputed(frame(1.0, None), "impute", known)
    assert imputed(frame(1.0), "impute", known)["x"].tolist() == [1.0]


def test_text_has_no_median_and_numbers_without_parameters_no_scale() -> None:
    with pytest.raises(ConfigurationError, match="s is no number"):
        imputed(pd.DataFrame({"s": ["a", None]}), "impute", {})
    with pytest.raises(ConfigurationError, match="x has no scaling parameters"):
        scaled(frame(1.0), {})
