"""Arriving columns meet declared ones: by name, spelling, alias and unit, and never by a guess."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.column_mapping import Ambiguous, Declared, Proposal, match, proposals

PRICE = Declared(name="price", aliases=("unit cost",), is_required=True, unit="EUR")


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("price", "exact"),
        ("Price", "case"),
        (" PRICE: ", "case"),
        ("Unit_Cost", "alias"),
        ("price_eur", "unit"),
        ("Price (EUR)", "unit"),
        ("price [Eur]", "unit"),
        ("PRICE, EUR", "unit"),
        ("Price in EUR", "unit"),
        ("unit cost (EUR)", "unit"),
    ],
)
def test_a_column_is_found_by_name_spelling_alias_and_unit(text: str, how: str) -> None:
    found = match(["id", text], [PRICE])
    assert (found.of_declared, found.how) == ({"price": 1}, {"price": how})
    assert (found.unmatched, found.missing, found.ambiguous) == ([0], [], [])


@pytest.mark.parametrize(
    "text", ["price_usd", "price (USD)", "prices", "pric", "", "  ", "eur", "price %", "priceeur", "+"]
)
def test_nothing_is_mapped_by_guessing(text: str) -> None:
    found = match([text], [PRICE])
    assert (found.of_declared, found.unmatched, found.missing) == ({}, [0], ["price"])


@pytest.mark.parametrize(
    ("text", "unit", "is_found"),
    [
        ("x (MW)", "MW", True),
        ("x (mW)", "MW", False),
        ("x_mw", "MW", False),
        ("x [kB]", "kB", True),
        ("x [kb]", "kB", False),
        ("x_s", "s", True),
        ("x_S", "s", False),
        ("X_KG", "kg", True),
        ("x µg/m³", "μg/m3", True),
        ("x_km/h", "km/h", True),
        ("x (%)", "%", True),
        ("x [m.s]", "m.s", True),
        ("x [mxs]", "m.s", False),
        ("x (kg)", None, False),
        ("x (kg)", "", False),
    ],
)
def test_a_unit_counts_only_where_it_is_the_declared_one(text: str, unit: str | None, is_found: bool) -> None:
    assert match([text], [Declared(name="x", unit=unit)]).of_declared == ({"x": 0} if is_found else {})


def test_a_unit_alone_or_with_another_name_is_no_match() -> None:
    assert match(["(EUR)", "cost_eur"], [PRICE]).of_declared == {}


def test_the_very_name_goes_before_other_spellings_of_it() -> None:
    found = match(["Price", "price", "price (EUR)", "unit cost"], [PRICE])
    assert (found.of_declared, found.unmatched, found.ambiguous) == ({"price": 1}, [0, 2, 3], [])


@pytest.mark.parametrize(
    ("header", "how"),
    [
        (["price", "id", "price"], "exact"),
        (["Price", "id", "PRICE"], "case"),
        (["unit cost", "id", "UnitCost"], "alias"),
        (["price_eur", "id", "price (EUR)"], "unit"),
    ],
)
def test_two_columns_for_one_name_decide_nothing_and_are_reported(header: list[str], how: str) -> None:
    found = match(header, [PRICE, Declared(name="id")])
    assert found.of_declared == {"id": 1}
    assert found.ambiguous == [Ambiguous(names=("price",), indexes=(0, 2), how=how)]
    assert (found.unmatched, found.missing) == ([0, 2], ["price"])


def test_an_ambiguous_name_is_not_settled_by_a_weaker_match() -> None:
    found = match(["Price", "PRICE", "unit cost"], [PRICE])
    assert (found.of_declared, found.unmatched) == ({}, [0, 1, 2])


def test_one_column_for_two_names_decides_nothing() -> None:
    first, second = Declared(name="from", aliases=("station",)), Declared(name="to", aliases=("Station",))
    found = match(["station"], [first, second])
    assert (found.of_declared, found.missing) == ({}, [])
    assert found.ambiguous == [Ambiguous(names=("from", "to"), indexes=(0,), how="alias")]


def test_an_optional_column_may_be_absent() -> None:
    assert match([], [Declared(name="note")]).missing == []


def test_a_name_declared_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        match(["a"], [Declared(name="a"), Declared(name="a")])


def test_other_units_and_similar_names_are_proposed() -> None:
    header = ["Price (USD)", "quantty", "weight_kg", "zzz", "id"]
    declared = [PRICE, Declared(name="quantity"), Declared(name="weight"), Declared(name="id")]
    assert proposals(header, declared, match(header, declared)) == [
        Proposal(index=0, name="price", reason="its unit may be 'USD', the declared one is 'EUR'"),
        Proposal(index=1, name="quantity", reason="a similar name"),
        Proposal(index=2, name="weight", reason="its unit may be 'kg', none is declared"),
    ]


TEXTS = st.sampled_from(["a", "A", " a", "b", "B_", "a_kg", "a (kg)", "b [kg]", "c", "", "ab", "%"])


@given(
    st.lists(TEXTS, max_size=8),
    st.lists(
        st.builds(
            Declared, name=TEXTS, aliases=st.lists(TEXTS, max_size=2).map(tuple), unit=st.sampled_from([None, "kg"])
        ),
        max_size=4,
        unique_by=lambda one: one.name,
    ),
)
def test_every_column_is_mapped_once_or_unmatched(header: list[str], declared: list[Declared]) -> None:
    found = match(header, declared)
    mapped = list(found.of_declared.values())
    assert len(set(mapped)) == len(mapped)
    assert sorted(mapped + found.unmatched) == list(range(len(header)))
    assert found.how.keys() == found.of_declared.keys()
    for one in found.ambiguous:
        assert len(one.names) > 1 or len(one.indexes) > 1
        assert not set(one.names) & set(found.of_declared)
        assert set(one.indexes) <= set(found.unmatched)


@given(st.permutations(["Price", "unit cost", "id", "weight [kg]", "x"]))
def test_the_order_of_the_columns_does_not_matter(header: list[str]) -> None:
    declared = [PRICE, Declared(name="weight", unit="kg"), Declared(name="id")]
    found = match(header, declared)
    assert {name: header[index] for name, index in found.of_declared.items()} == {
        "price": "Price",
        "weight": "weight [kg]",
        "id": "id",
    }
