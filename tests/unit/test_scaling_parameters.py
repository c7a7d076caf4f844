"""Scaling parameters: exactly numpy's, defined for whatever comes, under a version that stands for them."""

import numpy as np
import pandas as pd
import pytest

from assets_pkg.features.scaling_parameters import scaling_of
from schemas.feature_selection import FeatureScaling
from schemas.window import Window
from tests.features import LAST, SALES, planted

WINDOW = Window.of_days(LAST, LAST)


def fitted(rows: pd.DataFrame) -> pd.DataFrame:
    found = scaling_of(rows, SALES, LAST, WINDOW).rows
    FeatureScaling.validate(found, lazy=True)
    return found.set_index("feature")


def test_parameters_are_those_of_numpy() -> None:
    rows = planted(days=28)
    rows.loc[3, "revenue"] = np.nan
    found, values = fitted(rows).loc["revenue"], rows["revenue"].dropna().to_numpy()
    assert found["minimum"] == values.min() and found["maximum"] == values.max()
    assert found["median"] == np.median(values) and found["mean"] == values.mean()
    assert found["std"] == np.std(values, ddof=1)
    assert found["rows"] == len(values) == len(rows) - 1
    assert (found["fitted_from"], found["fitted_until"]) == (pd.Timestamp(WINDOW.start), pd.Timestamp(WINDOW.end))


def test_missing_constant_and_single_values_are_defined() -> None:
    rows = planted(days=28, orders=7.0)
    rows["quantity"] = np.nan
    rows.loc[0, "quantity"] = 5.0
    found = fitted(rows)
    parameters = ["minimum", "maximum", "median", "mean", "std"]
    assert found.loc["orders", parameters].tolist() == [7, 7, 7, 7, 0]
    assert found.loc["quantity", parameters[:-1]].tolist() == [5, 5, 5, 5] and np.isnan(found.loc["quantity", "std"])
    assert found.loc["orders_lag_7", parameters].isna().all() and found.loc["orders_lag_7", "rows"] == 0
    assert set(found.index) == set(SALES.features)


def test_without_rows_there_is_no_parameter_and_a_reason() -> None:
    answer = scaling_of(planted(days=28).iloc[:0], SALES, LAST, WINDOW)
    assert answer.rows.empty and answer.why_none


def test_an_infinite_value_spoils_nothing() -> None:
    rows = planted(days=28)
    rows.loc[0, "revenue"] = np.inf
    assert np.isfinite(fitted(rows).loc["revenue", "maximum"])


def test_a_version_stands_for_the_parameters() -> None:
    rows = planted(days=28)
    (version,) = set(fitted(rows)["scaling_version"])
    assert len(version) == 12
    assert set(fitted(rows.assign(known_at=rows["known_at"] + pd.Timedelta(1, "h")))["scaling_version"]) == {version}
    rows.loc[0, "revenue"] += 1
    assert set(fitted(rows)["scaling_version"]) != {version}


@pytest.mark.parametrize("count", [1, 2])
def test_few_rows_are_enough(count: int) -> None:
    assert (fitted(planted(days=28).iloc[:count])["rows"] <= count).all()
