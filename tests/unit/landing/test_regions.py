"""Titles, headers, notes and further tables are told from rows."""

import pytest

from tests.delimited_text import Read, read

BODY = "".join(f"town {number},{number * 3}.5,{number + 10}\n" for number in range(12))


def kinds(found: Read) -> list[tuple[int, str]]:
    return [(entry.line_no, entry.kind) for entry in found.skipped]


def test_a_title_and_a_note_are_no_rows() -> None:
    found = read(f"Report of the year\n\nname,rain,sun\n{BODY}\nSource: the bureau, 2024\n")
    assert found.header == ("name", "rain", "sun")
    assert len(found.rows) == 12
    assert kinds(found) == [(1, "preamble"), (2, "blank"), (3, "header"), (16, "blank"), (17, "footer")]


def test_a_title_padded_with_delimiters_is_a_title() -> None:
    found = read(f"Report of the year,,\n,,\nname,rain,sun\n{BODY}* estimated,,\n")
    assert found.header == ("name", "rain", "sun")
    assert kinds(found) == [(1, "preamble"), (2, "preamble"), (3, "header"), (16, "footer")]


def test_comments_at_the_top_are_comments() -> None:
    assert kinds(read(f"# made by hand\nname,rain,sun\n{BODY}")) == [(1, "comment"), (2, "header")]


def test_a_header_of_two_lines_is_joined_and_spread() -> None:
    rows = "".join(f"town {number},{number},{number + 1},{number + 2},{number + 3}\n" for number in range(9))
    found = read(f"Town,Men,,Women,\n,2001,2002,2001,2002\n{rows}")
    assert found.header == ("Town", "Men 2001", "Men 2002", "Women 2001", "Women 2002")


def test_years_may_be_names() -> None:
    found = read("town,2001,2002\n" + "".join(f"t{number},{number}.5,{number}.25\n" for number in range(5)))
    assert found.header == ("town", "2001", "2002")


@pytest.mark.parametrize(
    "text", ["1,2,3\n4,5,6\n7,8,9\n", "a,1.5,x\nb,2.5,y\nc,3.5,z\n", "2024-01-01,a\n2024-01-02,b\n"]
)
def test_a_table_may_have_no_header(text: str) -> None:
    found = read(text)
    assert found.header is None
    assert len(found.rows) == text.count("\n")


def test_a_header_without_the_name_of_the_row_names_is_moved() -> None:
    assert read('"x1","x2"\n"1","a","b"\n"2","c","d"\n"3","e","f"\n').header == ("", "x1", "x2")


def test_a_sparse_first_row_without_a_header_is_a_row() -> None:
    found = read("path/a.pyc,,\n" + "".join(f"path/{number}.py,sha256={number}abc,{number}\n" for number in range(9)))
    assert len(found.rows) == 10


def test_a_truncated_last_line_is_a_reject_and_no_note() -> None:
    found = read(f"name,rain,sun\n{BODY}town 99,4")
    assert found.rules == {14: "ragged"}


def test_an_empty_row_in_a_plain_table_is_a_row() -> None:
    assert (None, None, None) in read(f"name,rain,sun\n{BODY},,\n{BODY}").rows


def test_one_word_among_numbers_right_below_the_header_stays_a_row() -> None:
    found = read("name,v\nx,closed\n" + "".join(f"y{number},{number}\n" for number in range(9)))
    assert found.rows[0] == ("x", "closed")


def test_notes_at_the_end_of_a_long_file_are_found() -> None:
    rows = "".join(f"{number},x,2.5\n" for number in range(8_000))
    found = read(f"id,name,v\n{rows}\nSource: nobody\n")
    assert len(found.rows) == 8_000
    assert kinds(found) == [(1, "header"), (8_002, "blank"), (8_003, "footer")]
