"""A profile says of each column what its rows hold, in numbers that add up."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.landing.columns import profile as profiling
from resources.landing.columns.casting import Plan, cast
from resources.landing.columns.kinds import Kind
from resources.landing.columns.profile import ColumnProfile, profile
from tests.unit.landing.builders import text_table


def profile_of(cells: Sequence[str | None], kind: Kind, line_nos: Sequence[int] | None = None) -> ColumnProfile:
    with text_table(cells, line_nos=line_nos) as table:
        (found,) = profile(cast(table, [Plan(name="a column", source="c0", kind=kind, on_failure="cell")]))
        return found


def test_a_profile_of_integers() -> None:
    assert profile_of(["3", "1", "", "x", "3", None], Kind.INTEGER) == ColumnProfile(
        name="a column",
        kind=Kind.INTEGER,
        values=3,
        nulls=3,
        distinct=2,
        distinct_is_exact=True,
        minimum="1",
        maximum="3",
        mean=7 / 3,
        samples=("3", "1"),
        bad=1,
    )


def test_instants_are_shown_in_utc() -> None:
    found = profile_of(["2026-01-01T00:00:00+02:00", "2026-01-01 00:00"], Kind.TIMESTAMP)
    assert (found.minimum, found.maximum) == ("2025-12-31 22:00:00+00", "2026-01-01 00:00:00+00")
    assert found.mean is None


def test_long_texts_are_cut() -> None:
    found = profile_of(["x" * 1_000], Kind.TEXT)
    assert found.minimum == found.maximum == found.samples[0] == "x" * 200


def test_a_column_of_nothing() -> None:
    for cells in ([], ["", None]):
        found = profile_of(cells, Kind.NUMBER)
        assert (found.values, found.nulls, found.distinct, found.minimum, found.mean) == (0, len(cells), 0, None, None)
        assert (found.samples, found.distinct_is_exact) == ((), True)


def test_samples_are_the_first_lines_wherever_the_rows_are() -> None:
    lines = [9, 3, 7, 1, 5, 2]
    assert profile_of([f"line {line}" for line in lines], Kind.TEXT, lines).samples == (
        "line 1",
        "line 2",
        "line 3",
        "line 5",
        "line 7",
    )


def test_samples_are_found_far_down() -> None:
    cells = [*["same"] * 12_000, "other", "", *["same"] * 5]
    assert profile_of(cells, Kind.TEXT).samples == ("same", "other")


def test_too_many_different_values_are_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "COUNTED_DISTINCT", 1_000)
    found = profile_of([str(number) for number in range(5_000)], Kind.INTEGER)
    assert not found.distinct_is_exact
    assert 4_000 < found.distinct < 6_000
    few = profile_of([str(number % 7) for number in range(5_000)], Kind.INTEGER)
    assert (few.distinct, few.distinct_is_exact) == (7, True)


def test_columns_are_in_the_order_of_the_plans_with_their_own_bad_cells() -> None:
    with text_table(["1", "x"], ["y", "z"]) as table:
        plans = [
            Plan(name='b"', source="c1", kind=Kind.NUMBER, on_failure="cell"),
            Plan(name="a", source="c0", kind=Kind.INTEGER, on_failure="cell"),
            Plan(name="gone", source=None, kind=Kind.BOOLEAN),
        ]
        found = profile(cast(table, plans))
    assert [(one.name, one.values, one.bad) for one in found] == [('b"', 0, 2), ("a", 1, 1), ("gone", 0, 0)]


@given(st.lists(st.none() | st.integers(-5, 5).map(str) | st.just("x"), min_size=1))
def test_values_nulls_and_bad_cells_add_up(cells: list[str | None]) -> None:
    found = profile_of(cells, Kind.INTEGER)
    numbers = [int(cell) for cell in cells if cell not in (None, "x")]
    missing = sum(cell is None for cell in cells)
    assert found.values + missing + found.bad == found.values + found.nulls == len(cells)
    assert (found.values, found.distinct) == (len(numbers), len(set(numbers)))
    assert found.samples == tuple(map(str, dict.fromkeys(numbers)))[:5]
    assert found.minimum == (str(min(numbers)) if numbers else None)
