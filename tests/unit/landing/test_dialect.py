"""Dialects are found from the lines alone."""

import csv
import io

import pytest

from resources.landing.readers.dialect import declared_delimiter, find_dialect
from resources.landing.readers.hints import Hints
from resources.landing.readers.records import OPEN, STRAY, Dialect
from resources.landing.readers.text_file import split_lines

ROWS = [["id", "name", "amount", "day"]] + [
    [str(number), f"name {number}, jr", f"{number * 1.5}", f"2024-01-{number + 1:02d}"] for number in range(12)
]


def found(text: str, hints: Hints | None = None) -> Dialect:
    return find_dialect(split_lines(text), hints or Hints())


@pytest.mark.parametrize("delimiter", list(",;\t|^~:#\x1f\x01¦§"))
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_the_delimiter_is_found(delimiter: str, quoting: int) -> None:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, quoting=quoting).writerows(ROWS)  # type: ignore[arg-type]
    assert found(out.getvalue()).delimiter == delimiter


@pytest.mark.parametrize("delimiter", ["||", "::", "|~|"])
def test_a_delimiter_of_several_characters_is_found(delimiter: str) -> None:
    assert found("".join(delimiter.join(row) + "\n" for row in ROWS)).delimiter == delimiter


def test_a_decimal_comma_is_no_delimiter() -> None:
    assert found("a;b\n1,5;2,3\n2,5;3,3\n").delimiter == ";"


@pytest.mark.parametrize(
    "text",
    [
        "name\nJohn Smith\nMary Jones\n",
        "when\n12:30:00\n12:31:00\n",
        "v\n1.5\n2.5\n",
        "text\nwell, this is\nsome prose\nof a kind\n",
    ],
)
def test_one_column_is_not_cut(text: str) -> None:
    assert found(text).delimiter == ""


def test_blanks_in_a_row_may_be_one_delimiter() -> None:
    dialect = found("id   value   day\n1    2.5     2024-01-01\n22   3.75    2024-01-02\n")
    assert dialect.runs
    assert dialect.cells("22   3.75    2024-01-02") == ["22", "3.75", "2024-01-02"]


def test_single_quotes_are_quotes_only_where_they_enclose() -> None:
    assert found("'a';'b'\n'x;y';'1'\n'z';'2'\n").quote == "'"
    assert found("a;b\nit's;1\nthat's;2\n").quote == '"'


def test_a_backslash_is_an_escape_only_where_it_shields() -> None:
    assert found('a,b\n1,"x \\"y\\", z"\n2,"w"\n').escape == "\\"
    assert found('a,b\n1,"C:\\dir"\n2,"w ""v"""\n').escape == ""


def test_what_is_declared_is_taken() -> None:
    dialect = found("a,b;c\n", Hints(delimiter=";", quote="", escape="\\"))
    assert (dialect.delimiter, dialect.quote, dialect.escape) == (";", "", "\\")


@pytest.mark.parametrize(
    ("line", "delimiter"), [("sep=;\n", ";"), ('"sep=\t"\r\n', "\t"), ("sep=\\t", "\t"), ("sepal,b\n", None)]
)
def test_a_first_line_may_declare_it(line: str, delimiter: str | None) -> None:
    assert declared_delimiter(line) == delimiter


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ('a,"b ""c""",', ["a", 'b "c"', None]),
        ('"",5" x, "y" ,z', ["", '5" x', "y", "z"]),
        ('a,"b', OPEN),
        ('a,"b"c,d', STRAY),
        ("", [None]),
    ],
)
def test_cells_are_told_apart_strictly(text: str, cells: list[str | None] | str) -> None:
    assert Dialect(delimiter=",").cells(text) == cells
