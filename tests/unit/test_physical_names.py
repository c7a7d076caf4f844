"""Column names of files become names of the database: safe, distinct, and the same every time."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.file_dataset import OWN_COLUMNS
from schemas.physical_names import (
    PATTERN,
    READERS_COLUMNS,
    RESERVED_WORDS,
    SYSTEM_COLUMNS,
    physical_name,
    physical_names,
)

AWKWARD = st.sampled_from(
    [
        *(
            "v",
            "V",
            " v",
            "v ",
            "",
            " ",
            "select",
            "ctid",
            "source_id",
            "line_count",
            "é",
            "e\u0301",
            "e",
            "a b",
            "a_b",
            "a-b",
        ),
        *("x" * 70, "x" * 60 + "1", "x" * 60 + "2", "column_1", "column_2", "温度", "\0", "\ud800"),
        *("%s", "{}", '"', "'; drop table x"),
    ]
)
NAMES = st.lists(AWKWARD | st.text(max_size=80), max_size=30)


@given(NAMES)
def test_every_name_is_safe_and_no_two_are_the_same(originals: list[str]) -> None:
    names = physical_names(originals)
    assert len(set(names)) == len(names) == len(originals)
    for name in names:
        assert PATTERN.fullmatch(name)
        assert len(name.encode()) <= 55
        assert name not in {*OWN_COLUMNS} | SYSTEM_COLUMNS | READERS_COLUMNS | RESERVED_WORDS


@given(NAMES, NAMES)
def test_columns_appended_change_no_name_before_them(originals: list[str], more: list[str]) -> None:
    assert physical_names(originals + more)[: len(originals)] == physical_names(originals)


@given(NAMES, st.randoms())
def test_a_name_given_once_is_given_again_wherever_the_column_is(originals: list[str], chance: random.Random) -> None:
    known = _by_occurrence(originals, physical_names(originals))
    shuffled = list(originals)
    chance.shuffle(shuffled)
    assert _by_occurrence(shuffled, physical_names(shuffled, known)) == known
    assert not set(physical_names(["new", "V", "v"], known)) & {
        name for (original, number), name in known.items() if (original, number) not in {("new", 1), ("V", 1), ("v", 1)}
    }


@pytest.mark.parametrize(
    ("original", "name"),
    [
        ("amount", "amount"),
        ("_id", "_id"),
        ("a__b", "a__b"),
        ("Customer Name", "customer_name"),
        ("  Straße/Größe  ", "strasse_grosse"),
        ("PM2.5 (µg/m³)", "pm2_5_ug_m3"),
        ("Humidity %", "humidity_pct"),
        ("T [°C]", "t_deg_c"),
        ("Ærø", "aero"),
        ("2019", "_2019"),
        ("x" * 55, "x" * 55),
    ],
)
def test_a_name_that_can_be_read_is_kept_readable(original: str, name: str) -> None:
    assert physical_name(original, ()) == name


@pytest.mark.parametrize(
    ("original", "start"),
    [
        ("order", "order_"),
        ("Select", "select_"),
        ("tableoid", "tableoid_"),
        ("source_id", "source_id_"),
        ("x" * 56, "x" * 48 + "_"),
        ("温度", "column_"),
        ("temp 温度", "temp_"),
        ("%%%", "pct_pct_pct"),
        ("***", "column_"),
    ],
)
def test_a_name_that_cannot_be_kept_has_a_hash_at_its_end(original: str, start: str) -> None:
    name = physical_name(original, ())
    assert name.startswith(start)
    assert name == start or len(name) == len(start) + 6


def test_the_hash_does_not_depend_on_the_rest_of_the_file() -> None:
    assert physical_name("V", {"v"}) == physical_name("V", {"v", "w", "order"})
    assert physical_name("温度", ()) == physical_name("温度", {"a", "b"})


def test_long_names_with_the_same_start_stay_apart() -> None:
    first, second = physical_names(["x" * 63 + "1", "x" * 63 + "2"])
    assert first != second
    assert first[:48] == second[:48] == "x" * 48


def test_a_composed_and_a_decomposed_name_are_two_columns() -> None:
    first, second = physical_names(["caf\u00e9", "cafe\u0301"])
    assert first == "cafe"
    assert second.startswith("cafe_")


def test_names_that_differ_in_case_or_blanks_only_are_two_columns_and_doubles_are_too() -> None:
    names = physical_names(["v", "v", " V"])
    assert names[0] == "v"
    assert all(name.startswith("v_") and len(name) == 8 for name in names[1:])


def test_columns_without_a_name_are_called_by_their_position() -> None:
    assert physical_names(["a", "", " "]) == ["a", "column_2", "column_3"]
    assert physical_name("", ()) == "column_1"
    taken = physical_names(["column_2", ""])
    assert taken[0] == "column_2"
    assert taken[1].startswith("column_2_")


def _by_occurrence(originals: list[str], names: list[str]) -> dict[tuple[str, int], str]:
    return {
        (original, originals[: place + 1].count(original)): name
        for place, (original, name) in enumerate(zip(originals, names, strict=True))
    }
