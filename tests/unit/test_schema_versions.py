"""Versions of a dataset's columns: the same columns have the same fingerprint, and a difference says everything."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.schema_versions import KINDS, Column, Diff, diff, fingerprint

COLUMNS = st.lists(
    st.builds(
        Column,
        name=st.sampled_from(["a", "b", "c", "temp", "temp_c", "temperature", "temperatur"]),
        original=st.sampled_from(["a", "A", "T °C", ""]),
        kind=st.sampled_from(KINDS),
        convention=st.sampled_from([{}, {"decimal": ","}, {"order": "dmy", "zone": None}]),
        nullable=st.booleans(),
    ),
    max_size=6,
    unique_by=lambda column: column.name,
)


def column(name: str, kind: str = "number", **more: Any) -> Column:
    return Column(**{"name": name, "original": name, "kind": kind} | more)


@given(COLUMNS)
def test_a_list_of_columns_does_not_differ_from_itself(columns: list[Column]) -> None:
    assert not diff(columns, columns)
    assert diff(columns, columns).describe() == "No difference."
    assert diff(columns, columns).as_json() == {}


@given(COLUMNS, COLUMNS)
def test_a_difference_holds_all_it_takes_to_make_one_list_of_the_other(old: list[Column], new: list[Column]) -> None:
    found = diff(old, new)
    assert applied(old, found) == new
    assert bool(found) == (old != new) == (fingerprint(old) != fingerprint(new))
    assert json.loads(json.dumps(found.as_json())) == found.as_json()
    assert len(found.describe().splitlines()) >= 1


@pytest.mark.parametrize("old", KINDS)
@pytest.mark.parametrize("new", KINDS)
def test_text_holds_everything_and_number_holds_integers(old: str, new: str) -> None:
    found = diff([column("a", old)], [column("a", new)])
    wider = {("integer", "number"), *((kind, "text") for kind in KINDS if kind != "text")}
    assert bool(found.widened) == ((old, new) in wider)
    assert bool(found.narrowed) == (old != new and (old, new) not in wider)
    assert found.is_additive == (old == new)


def test_more_columns_in_any_place_and_order_are_an_addition() -> None:
    a, b, c = column("a"), column("b"), column("c")
    found = diff([a, b], [c, b, a])
    assert (found.added, found.reordered, found.is_additive) == ((c,), ("b", "a"), True)
    assert diff([a, b], [a, c, b]).reordered == ()
    assert diff([a], [replace(a, convention={"decimal": ","})]).is_additive


def test_a_column_less_is_no_addition() -> None:
    found = diff([column("a"), column("b")], [column("a")])
    assert (found.removed, found.is_additive) == ((column("b"),), False)


@pytest.mark.parametrize(
    ("old", "new", "is_renamed"),
    [
        (["id", "temperature"], ["id", "temperature_c"], True),
        (["id", "temperature"], ["new", "id", "temperature_c"], True),
        (["id", "x", "temperature"], ["id", "temperature_c"], False),
        (["id", "temperature"], ["id", "pressure_hpa"], False),
        (["id", "temperature"], ["temperature_c", "other", "id"], False),
    ],
)
def test_a_similar_name_at_the_same_place_may_be_a_rename(old: list[str], new: list[str], is_renamed: bool) -> None:
    found = diff([column(name) for name in old], [column(name) for name in new])
    assert bool(found.renamed) is is_renamed
    assert not found.is_additive
    assert ("temperature" in {one.name for one in found.removed}) is ("temperature" not in new and not is_renamed)


def test_a_column_of_another_kind_is_not_renamed() -> None:
    found = diff([column("temperature")], [column("temperature_c", "text")])
    assert (found.renamed, len(found.added), len(found.removed)) == ((), 1, 1)


def test_of_two_candidates_the_more_similar_is_the_rename() -> None:
    found = diff([column("temperature")], [column("temp_erature"), column("temperature_c")])
    assert [one.new.name for one in found.renamed] == ["temp_erature"]


def test_the_description_is_for_people_and_holds_foreign_text_as_code() -> None:
    old = [column("a"), column("b", "integer"), column("temperature"), column("z", nullable=False)]
    new = [
        column("b", "number"),
        column("a", original="A |`*x*\n`", convention={"decimal": ","}),
        column("temperature_c"),
        column("z"),
        column("n", original="№"),
    ]
    assert diff(old, new).describe().splitlines() == [
        "- added `n` (`№` in the file): number",
        "- renamed? `temperature` → `temperature_c` (same place, same kind, names 92% alike)",
        "- widened `b`: integer → number",
        "- changed `a` (`A ¦ˋ*x* ˋ` in the file): called `A ¦ˋ*x* ˋ` instead of `a`; "
        'written as `{"decimal": ","}` instead of `{}`',
        "- changed `z`: may be empty now",
        "- reordered: `b`, `a`, `z`",
    ]


def test_the_fingerprint_is_of_content_in_order() -> None:
    one, two = column("a", convention={"x": 1, "y": 2}), column("b")
    assert fingerprint([one, two]) == fingerprint([replace(one, convention={"y": 2, "x": 1}), two])
    assert fingerprint([one, two]) != fingerprint([two, one])
    assert fingerprint([]) == "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="'float' is no kind"):
        column("a", "float")


def applied(old: Sequence[Column], found: Diff) -> list[Column]:
    """The columns after the difference, by what it says alone."""
    fresh = {one.old.name: one.new for one in (*found.renamed, *found.widened, *found.narrowed, *found.changed)}
    gone = {one.name for one in found.removed}
    columns = [fresh.get(one.name, one) for one in old if one.name not in gone] + list(found.added)
    if found.order:
        columns.sort(key=lambda one: found.order.index(one.name))
    return columns
