"""A column's type and convention are found from all its cells; whatever is doubtful stays text."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import ConfigurationError
from resources.landing.columns import evidence, inference
from resources.landing.columns.casting import Plan, cast
from resources.landing.columns.inference import infer
from resources.landing.columns.kinds import Convention, Kind
from tests.unit.landing.builders import guess, rows_of, text_table

POINT = {"decimal": "."}


@pytest.mark.parametrize(
    ("cells", "kind", "convention"),
    [
        (["1", "-2", "30"], "integer", {}),
        (["0", "1", "1"], "integer", {}),
        (["9007199254740993", None, "-9223372036854775808"], "integer", {}),
        (["1.5", "2"], "number", POINT),
        (["0.1", "0.30000000000000004"], "number", POINT),
        (["1e-05", "1E+20"], "number", POINT),
        (["1e5", "2.5"], "number", POINT),
        (["1,5", "2,25"], "number", {"decimal": ","}),
        (["1,234", "1,234,567"], "integer", {"thousands": ","}),
        (["1.234.567"], "integer", {"thousands": "."}),
        (["1,234.5", "1,234"], "number", {"decimal": ".", "thousands": ","}),
        (["1.234,5", "2"], "number", {"decimal": ",", "thousands": "."}),
        (["1 234,5", "1\u00a0234\u202f567"], "number", {"decimal": ",", "thousands": " "}),
        (["1\u00a0234,5", "2\u00a0345,75"], "number", {"decimal": ",", "thousands": " "}),
        (["1\u202f234", "2\u202f345\u202f678"], "integer", {"thousands": " "}),
        (["1'234.5", "1’234"], "number", {"decimal": ".", "thousands": "'"}),
        (["0.234", "1.567"], "number", POINT),
        (["1234.567", "1.567"], "number", POINT),
        (["$5.5", "-$1,000.50"], "number", {"decimal": ".", "thousands": ",", "currency": "$"}),
        (["5,00 €", "12,50 €"], "number", {"decimal": ",", "currency": "€"}),
        (["CHF 5", "CHF 7"], "integer", {"currency": "CHF"}),
        (["5%", "7.5 %"], "number", {"decimal": ".", "percent": True}),
        (["(5.00)", "3.00"], "number", {"decimal": ".", "parentheses": True}),
        (["5.00-", "3.00"], "number", {"decimal": ".", "trailing_minus": True}),
        (["١٢", "٣"], "integer", {"native_digits": True}),
        (["１２．５", "１"], "number", {"decimal": ".", "native_digits": True}),
        (["−5", "3"], "integer", {"native_digits": True}),
        (["yes", "No", "YES"], "boolean", {"true_words": ["yes"], "false_words": ["no"]}),
        (["t", "f"], "boolean", {"true_words": ["t"], "false_words": ["f"]}),
        (["ja", "nein"], "boolean", {"true_words": ["ja"], "false_words": ["nein"]}),
        (["oui", "non"], "boolean", {"true_words": ["oui"], "false_words": ["non"]}),
        (["TRUE", "true"], "boolean", {"true_words": ["true"], "false_words": ["false"]}),
        (["2026-01-02", "2026-03-04"], "timestamp", {"date_order": "YMD"}),
        (["2026-01-02 03:04", "2026-03-04T05:06:07.5"], "timestamp", {"date_order": "YMD", "has_time": True}),
        (
            ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05+05:30"],
            "timestamp",
            {"date_order": "YMD", "has_time": True, "zoned": True},
        ),
        (["01/02/2026", "13/02/2026"], "timestamp", {"date_order": "DMY"}),
        (["1/2/2026 3:04 PM", "1/25/2026 4:00 AM"], "timestamp", {"date_order": "MDY", "has_time": True}),
        (["2 Jan 2026", "3 Feb 2026"], "timestamp", {"date_order": "DMY"}),
        (["Jan 2, 2026", "Feb 3, 2026"], "timestamp", {"date_order": "MDY"}),
    ],
)
def test_a_column_is_what_all_its_cells_are(cells: list[str | None], kind: str, convention: dict[str, Any]) -> None:
    found = guess(cells)
    assert (found.kind, found.convention.to_dict()) == (kind, convention)
    assert (found.confidence, found.failing, found.ambiguous) == (1.0, 0, None)


@pytest.mark.parametrize(
    "cells",
    [
        ["alpha", "beta"],
        ["+4912345678", "+4998765432"],
        ["1.2.3", "1.2.4"],
        ["10.0.0.1", "10.0.0.2"],
        ["12:30", "13:45"],
        ["$5", "€5"],
        ["A1", "B2"],
        ["01/02/26", "13/02/26"],
    ],
)
def test_text_stays_text_without_a_word(cells: list[str]) -> None:
    found = guess(cells)
    assert (found.kind, found.confidence, found.ambiguous) == (Kind.TEXT, 1.0, None)


@pytest.mark.parametrize(
    ("cells", "proposed", "words"),
    [
        (["007", "12", "13"], "integer", "such as '007'"),
        (["9223372036854775808", "1"], "integer", "such as '9223372036854775808'"),
        (["0.12345678901234567890", "1.1"], "number", "such as '0.12345678901234567890'"),
        (["1e5", "22"], "number", "identifiers"),
        (["yes", "yes"], "boolean", "codes"),
        (["1.234", "5.678"], "number", "declare decimal"),
        (["1,234", "12"], "number", "declare decimal"),
        (["01/02/2026", "12/11/2026"], "timestamp", "DMY or MDY"),
        (["2026-01-02T03:04Z", "2026-01-02T03:04"], "timestamp", "1 of 2 cells say their time zone"),
        (["2026-02-28", "2026-02-30"], "timestamp", "such as '2026-02-30'"),
        (["5%", "6%", "7"], "integer", "such as '7'"),
        (["1", "2", "3", "x"], "integer", "1 of 4 cells do not convert without loss, such as 'x'"),
        (["1", "2", "3", "NA"], "integer", "declare missing_words"),
        (["1.5", "inf"], "number", "such as 'inf'"),
    ],
)
def test_what_cannot_be_decided_stays_text_and_is_proposed(cells: list[str], proposed: str, words: str) -> None:
    found = guess(cells)
    assert found.kind is Kind.TEXT
    assert found.confidence < 1
    assert words in (found.ambiguous or "")
    if words != "declare decimal":
        assert found.proposed == proposed


def test_a_text_column_keeps_the_convention_of_what_is_proposed() -> None:
    found = guess(["1.234,50", "2,25", "oops"])
    assert (found.kind, found.proposed) == (Kind.TEXT, Kind.NUMBER)
    assert found.convention == Convention(decimal=",", thousands=".")


@pytest.mark.parametrize("word", ["NA", "n/a", "null", "None", "-"])
def test_words_for_missing_are_recorded_among_many_numbers(word: str) -> None:
    found = guess([*(str(number) for number in range(38)), word, word])
    assert (found.kind, found.convention.missing_words) == (Kind.INTEGER, (word,))
    assert (found.values, found.missing, found.confidence) == (38, 2, 0.95)


def test_words_for_missing_are_text_where_they_are_many() -> None:
    assert guess([*(str(number) for number in range(37)), "NA", "NA"]).kind is Kind.TEXT


def test_nan_among_numbers_is_missing_without_being_a_word() -> None:
    found = guess([*(f"{number}.5" for number in range(38)), "NaN", "nan"])
    assert (found.kind, found.convention.missing_words, found.missing) == (Kind.NUMBER, (), 2)


def test_cells_of_spaces_are_missing_to_numbers() -> None:
    found = guess(["1", "  ", "   ", " 4"])
    assert (found.kind, found.values, found.missing) == (Kind.INTEGER, 2, 2)


@pytest.mark.parametrize("cells", [[None, ""], [""], [None]])
def test_an_empty_column_is_text_of_no_confidence(cells: list[str | None]) -> None:
    found = guess(cells)
    assert (found.kind, found.confidence, found.values, found.missing) == (Kind.TEXT, 0.0, 0, len(cells))


def test_a_table_without_rows_has_columns_of_no_confidence() -> None:
    with text_table([], []) as table:
        assert [found.confidence for found in infer(table)] == [0.0, 0.0]


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1_000), ("us", 1_000_000), ("ns", 1_000_000_000)])
@pytest.mark.parametrize("header", ["time", "event_time_ms", "createdAt", "updated_at", "Timestamp", "unix"])
def test_counts_since_1970_need_a_header_that_says_time(header: str, unit: str, factor: int) -> None:
    cells = [str(seconds * factor) for seconds in (1_700_000_000, 1_700_000_060)]
    assert guess(cells, header).convention.epoch_unit == unit
    for other in ("count", "points", "events", "latitude", "centimeters"):
        assert guess(cells, other).kind is Kind.INTEGER


def test_counts_outside_of_the_window_are_integers() -> None:
    assert guess(["1700000000", "1700000000000"], "time").kind is Kind.INTEGER
    assert guess(["1700000000", "5"], "time").kind is Kind.INTEGER


@pytest.mark.parametrize(
    ("usual", "late", "kind", "convention"),
    [
        ("01/02/2026", "13/02/2026", "timestamp", {"date_order": "DMY"}),
        ("01/02/2026", "02/13/2026", "timestamp", {"date_order": "MDY"}),
        ("12", "12,5", "number", {"decimal": ","}),
        ("1,234", "1.5", "number", {"decimal": ".", "thousands": ","}),
        ("12", "1e-3", "number", {"decimal": "."}),
        ("", "5", "integer", {}),
        ("2026-01-01", "2026-01-01T00:00:00", "timestamp", {"date_order": "YMD", "has_time": True}),
        ("yes", "no", "boolean", {"true_words": ["yes"], "false_words": ["no"]}),
        ("12", "x", "text", {}),
        ("12", "007", "text", {}),
        ("5", "5 €", "integer", {"currency": "€"}),
    ],
)
def test_one_cell_far_down_decides(usual: str, late: str, kind: str, convention: dict[str, Any]) -> None:
    found = guess([*[usual] * 4_321, late, *[usual] * 800])
    assert (found.kind, found.convention.to_dict()) == (kind, convention)


def test_a_declaration_settles_what_is_ambiguous() -> None:
    cells = ["01/02/2026", "03/04/2026"]
    assert guess(cells, declared=Convention(date_order="MDY")).convention.date_order == "MDY"
    assert guess(["1.234"], declared=Convention(decimal=".")).kind is Kind.NUMBER
    assert guess(["1.234"], declared=Convention(thousands=".")).kind is Kind.INTEGER
    assert guess(["1.234"], declared=Convention(decimal=",")).kind is Kind.INTEGER
    assert guess(["1700000000"], "n", declared=Convention(epoch_unit="s")).convention.epoch_unit == "s"
    zoned = guess(["2026-01-02T03:04Z", "2026-01-02T03:04"], declared=Convention(timezone="Europe/Berlin"))
    assert (zoned.kind, zoned.convention.timezone) == (Kind.TIMESTAMP, "Europe/Berlin")


def test_a_local_time_that_never_was_keeps_a_column_text() -> None:
    cells = ["2026-03-29 02:30:00", "2026-03-29 04:00:00"]
    assert guess(cells).kind is Kind.TIMESTAMP
    assert guess(cells, declared=Convention(timezone="Europe/Berlin")).kind is Kind.TEXT


def test_columns_are_decided_each_by_itself() -> None:
    with text_table(["1,5", "2"], ["1,234", "1,234,567"], ["a", "b"], header=["x", "y", "z"]) as table:
        kinds = [found.kind for found in infer(table)]
    assert kinds == [Kind.NUMBER, Kind.INTEGER, Kind.TEXT]


CELLS = st.one_of(
    st.none(),
    st.just(""),
    st.text(alphabet="0123456789.,-+ eE%$€()/:T'", max_size=12),
    st.integers(-(10**20), 10**20).map(str),
    st.floats(allow_nan=True).map(repr),
    st.datetimes().map(str),
    st.dates().map(lambda day: f"{day.day:02}/{day.month:02}/{day.year}"),
    st.sampled_from(["NA", "-", "nan", "  ", "true", "false", "no", "007", "1e5", "1.234", "x\x00y"]),
)


@given(st.lists(CELLS, min_size=1, max_size=30), st.sampled_from(["time", "value"]))
def test_inference_never_loses_a_cell(cells: list[str | None], header: str) -> None:
    """Whatever is guessed, casting by it rejects nothing and keeps every value; only `nan` is noted."""
    with text_table(cells, header=[header]) as table:
        (found,) = infer(table)
        assert found.values + found.missing == len(cells)
        assert 0 <= found.failing <= found.values
        plan = Plan(name="v", source="c0", kind=found.kind, convention=found.convention, on_failure="cell")
        plan = plan if found.kind is not Kind.TEXT else Plan(name="v", source="c0", kind=Kind.TEXT, on_failure="cell")
        casted = cast(table, [plan])
        assert casted.rejects == 0
        kept = sum(row[2] is not None for row in rows_of(table, "rows_typed"))
        rules = [row[3] for row in rows_of(table, "bad_cells")]
        assert set(rules) <= {"nan", "NUL character", "leap second"}
        assert kept == found.values - rules.count("NUL character")


SMALL = st.lists(st.sampled_from(["1", "1.5", "-2", "1.234", "12.345"]), min_size=1, max_size=4)


@given(SMALL)
def test_three_digits_behind_one_point_decide_nothing(cells: list[str]) -> None:
    found = guess(cells)
    if "1.5" in cells:
        assert found.kind is Kind.NUMBER
    elif any("." in cell for cell in cells):
        assert found.kind is Kind.TEXT
    else:
        assert found.kind is Kind.INTEGER


CELLS = ["1", "1.5", "0.275", "1.275", "1.234.567", "1,5", "NA", "", " ", "x", "1700000000", "03/04/2026", "13/04/2026"]
CELLS += ["2026-03-04T05:06:07", "2026-03-04T05:06:07Z", "yes", "no", "5 %", "9007199254740993"]


@given(st.lists(st.sampled_from(CELLS), min_size=1, max_size=12), st.sampled_from([2, 1_000]))
def test_a_look_at_a_sample_first_changes_no_guess(cells: list[str], sampled: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence, "SAMPLED_ROWS", sampled)
        plain = guess(cells)
        patch.setattr(inference, "LARGE", 0)
        assert guess(cells) == plain


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_as_programs_write_them_are_numbers(value: float) -> None:
    assert guess([repr(value), "0.5"]).kind is Kind.NUMBER


CONVENTIONS = st.builds(
    Convention,
    decimal=st.sampled_from([None, "."]),
    thousands=st.sampled_from([None, ",", " "]),
    percent=st.booleans(),
    currency=st.none() | st.text(min_size=1, max_size=3),
    date_order=st.sampled_from([None, "DMY"]),
    zoned=st.booleans(),
    timezone=st.sampled_from([None, "Europe/Berlin"]),
    epoch_unit=st.sampled_from([None, "ms"]),
    true_words=st.lists(st.text(), max_size=2).map(tuple),
    missing_words=st.lists(st.text(), max_size=2).map(tuple),
)


@given(CONVENTIONS)
def test_a_convention_survives_json(convention: Convention) -> None:
    assert Convention.from_dict(json.loads(json.dumps(convention.to_dict()))) == convention


@pytest.mark.parametrize(
    "wrong",
    [
        {"decimal": ";"},
        {"decimal": ",", "thousands": ","},
        {"date_order": "YDM"},
        {"epoch_unit": "h"},
        {"timezone": "Mars/Olympus"},
        {"colour": "red"},
    ],
)
def test_a_convention_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Convention.from_dict(wrong)
