"""What changed between two profiles, and how much: the largest change first, and nothing where nothing changed."""

from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from resources.profiling.profile_changes import CHANGE_COLUMNS, changes
from resources.profiling.profiles import PROFILE_COLUMNS, framed
from schemas.catalog_profiles import QUANTILES

NUMBERS = {name: float(share * 100) for name, share in QUANTILES.items()}


def profile(**columns: dict[str, Any]) -> pd.DataFrame:
    rows = []
    for position, (name, told) in enumerate(columns.items(), 1):
        empty: dict[str, Any] = dict.fromkeys(PROFILE_COLUMNS)
        counts = {"rows": 100, "nulls": 0, "nans": 0, "infinities": 0, "distinct_values": 10, "common": []}
        about = {
            "table_name": "t",
            "day": date(2026, 3, 1),
            "column_name": name,
            "position": position,
            "kind": "number",
        }
        rows.append(empty | counts | about | told)
    return framed(rows)


def told(found: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(found["column_name"], found["what"], strict=True))


def test_the_same_profile_has_no_changes() -> None:
    one = profile(
        a=NUMBERS | {"mean": 50.0}, b={"kind": "text", "common": [["x", 5]], "length_min": 1, "length_max": 3}
    )
    found = changes(one, one)
    assert found.empty
    assert list(found.columns) == CHANGE_COLUMNS


def test_changes_come_the_largest_first() -> None:
    before = profile(a=NUMBERS | {"mean": 50.0}, b={"kind": "text", "common": [["x", 90]]}, gone={})
    moved = {name: value + 90 for name, value in NUMBERS.items()}
    after = profile(
        a=moved | {"mean": 50.0, "rows": 50, "nulls": 5},
        b={"kind": "text", "common": [["y", 30]], "rows": 50},
        new={"rows": 50},
    )
    found = changes(before, after)
    assert list(found["change"]) == sorted(found["change"], reverse=True)
    by_what = found.set_index(["column_name", "what"])["change"]
    assert np.isclose(by_what["", "rows"], 0.5)
    assert np.isclose(by_what["a", "p50"], 0.5)
    assert np.isclose(by_what["a", "share of nulls"], 0.1)
    assert np.isclose(by_what["b", "new common value 'y'"], 0.6)
    assert np.isclose(by_what["b", "vanished common value 'x'"], 0.9)
    assert by_what["gone", "column"] == by_what["new", "column"] == 1.0
    assert ("a", "mean") not in told(found)


def test_the_number_of_rows_is_told_of_the_table() -> None:
    found = changes(profile(a={"rows": 100}), profile(a={"rows": 80}))
    assert told(found) == [("", "rows")]
    assert tuple(found.iloc[0][["before", "after", "change"]]) == ("100", "80", 0.2)


def test_a_constant_that_became_another_moved_as_far_as_can_be() -> None:
    constant = dict.fromkeys(QUANTILES, 5.0)
    found = changes(profile(a=constant), profile(a=dict.fromkeys(QUANTILES, 5.5)))
    assert set(found["change"]) == {1.0}
    assert len(found) == len(QUANTILES)


def test_a_column_that_lost_all_its_numbers_says_so() -> None:
    found = changes(profile(a=NUMBERS), profile(a={"nulls": 100, "distinct_values": 0})).set_index("what")
    assert found.loc["share of nulls", "after"] == "100.00 %"
    assert found.loc["p50", "after"] == "none"
    assert set(found["change"]) == {1.0}


def test_another_kind_is_all_that_is_told_of_a_column() -> None:
    assert told(changes(profile(a={}), profile(a={"kind": "text"}))) == [("a", "kind")]


def test_new_values_of_numbers_with_fractions_are_no_news() -> None:
    found = changes(profile(a={"common": [["1.5", 3]]}), profile(a={"common": [["2.5", 3]]}))
    assert found.empty
