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


@pytest.mark.parametrize(
    "text",
    [
        "x1 x2 x3\n" + "".join(f"{number} a b{number} {number}.5\n" for number in range(1, 9)),
        '"mpg","kind","cyl"\n"Mazda",21.5,"a",6\n"Datsun",22.5,"b",4\n"Fiat",19.5,"c",8\n',
        '"gear","cyl","kind"\n"1",4,6,"a"\n"2",5,4,"b"\n"3",4,8,"c"\n',
        "      mpg  cyl  kind\n" + "".join(f"car{number}  {number}.5    6  good\n" for number in range(9)),
    ],
)
def test_row_names_of_r_are_told_by_their_numbers_or_quotes_or_by_a_blank_header(text: str) -> None:
    found = read(text)
    assert found.header is not None
    assert found.header[0] == ""
    assert found.rejects == []


@pytest.mark.parametrize(
    "text",
    [
        "id,customer,product,price,day\nT1,C1,Lamp,19,50,2026-03-04\nT2,C2,Desk,199,00,2026-03-05\n"
        "T3,C1,Bed,49,90,2026-03-06\n",
        "id,customer,price,city\n1,Anna,19,50,Rome\n2,Bob,19,55,Rome\n3,Carl,20,00,Oslo\n",
        '"id","customer","price"\n"T1","Anna",19,50\n"T2","Bob",19,55\n"T3","Carl",20,00\n',
        "customer,qty,price,city\nAnna,2,19,50,Rome\nAnna,2,19,55,Rome\nBob,1,20,00,Oslo\n",
        "id,name,low,mid,high,note,city\n" + "".join(f"T{n},x,1,5{n},2,7{n},8,n,Rome\n" for n in range(1, 6)),
    ],
    ids=["codes", "row numbers", "quoted", "no key", "two commas"],
)
def test_a_decimal_comma_too_many_in_all_rows_puts_them_aside_and_shifts_none(text: str) -> None:
    found = read(text)
    header, *rows = text.splitlines()
    assert found.header == tuple(header.replace('"', "").split(","))
    assert found.rows == []
    assert found.rules == dict.fromkeys(range(2, len(rows) + 2), "ragged")


def test_a_decimal_comma_too_many_in_most_rows_keeps_the_header_and_the_other_rows() -> None:
    found = read("id,price,city\nT0,19,Rome\nT1,19,50,Rome\nT2,199,00,Oslo\nT3,49,90,Bonn\n")
    assert found.header == ("id", "price", "city")
    assert found.rows == [("T0", "19", "Rome")]
    assert found.rules == {3: "ragged", 4: "ragged", 5: "ragged"}


def test_last_rows_with_only_their_first_cell_are_rows() -> None:
    found = read("customer,qty,price,city\nAnna,5,1.5,Rome\nBob,6,2.5,Rome\nCarl,7,3.5,Rome\nDora,,,\nEva K,,,\n")
    assert found.rows[3:] == [("Dora", None, None, None), ("Eva K", None, None, None)]


@pytest.mark.parametrize("note", ["Total", "Grand total", "Summe:", "Source: the bureau", "* estimated"])
def test_a_note_padded_with_delimiters_below_the_rows_is_a_note(note: str) -> None:
    found = read(f"name,rain,sun\n{BODY}{note},,\n")
    assert len(found.rows) == 12
    assert kinds(found) == [(1, "header"), (14, "footer")]


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
