"""Delimited text: rows exactly as written, every line accounted for, whatever the file."""

import csv
import hashlib
import io
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resources.errors import RejectedFile
from resources.landing.limits import Limits
from resources.landing.readers import delimited
from resources.landing.readers.delimited import BULK_FROM
from resources.landing.readers.hints import Hints
from tests.delimited_text import lines_of, read

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=8)
CELL = TEXT | st.text("ab,;\t|'\" \n\r", max_size=6)
TABLES = st.integers(2, 5).flatmap(
    lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=1, max_size=8)
)


@given(
    rows=TABLES,
    delimiter=st.sampled_from(",;\t|^~:# \x1f"),
    quote=st.sampled_from("\"'"),
    escape=st.sampled_from(["", "\\"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_any_table_in_any_declared_dialect_comes_back_exactly(
    rows: list[list[str]], delimiter: str, quote: str, escape: str, end: str
) -> None:
    out = io.StringIO()
    options = {"doublequote": False, "escapechar": escape} if escape else {}
    writer = csv.writer(out, delimiter=delimiter, quotechar=quote, lineterminator=end, quoting=csv.QUOTE_ALL, **options)
    writer.writerows(rows)
    hints = Hints(encoding="utf-8", delimiter=delimiter, quote=quote, escape=escape, header_lines=0, skip_lines=0)
    found = read(out.getvalue(), hints)
    assert found.rows == [tuple(row) for row in rows]
    assert found.rejects == []


@given(st.binary(max_size=300) | st.text("a1,;\"'\n\r\0\\ é", max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused_and_no_line_is_lost(data: bytes) -> None:
    try:
        found = read(data)
    except RejectedFile:
        return
    assert lines_of(found) == found.lines
    if found.facts["encoding"] == "utf-8" and b"\0" not in data:
        assert found.lines == len(re.findall(rb"\r\n|\r|\n|(?<=[^\r\n])\Z", data))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("a1,;\"'\n\r é", max_size=200), st.integers(1, 9))
def test_no_line_is_lost_of_a_file_that_is_longer_than_its_head(
    monkeypatch: pytest.MonkeyPatch, text: str, head: int
) -> None:
    monkeypatch.setattr(delimited, "HEAD_LINES", head)
    monkeypatch.setattr(delimited, "TAIL_SIZE", 20)
    monkeypatch.setattr(delimited, "BULK_FROM", 2)
    found = read(text)
    assert lines_of(found) == found.lines


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_clean_long_file_is_read_without_walking_it_line_by_line(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def walk(*_: object, **__: object) -> None:
        raise AssertionError("walked line by line")

    monkeypatch.setattr(delimited, "_scan", walk)
    found = read("number,name" + end + "".join(f"{n},name {n}{end}" for n in range(BULK_FROM + 10)))
    assert len(found.rows) == BULK_FROM + 10
    assert found.places[-1] == (BULK_FROM + 11, 1)


@given(
    st.lists(
        st.sampled_from(
            ["1,2,3", "4,5", "6,7,8,9", 'a,"b\nc",d', 'a,"b\r\n\r\nc",d', "", 'x,"y,z', "1,\0,2", '"q"w,e,r', "p,q,r"]
        ),
        min_size=1,
        max_size=25,
    ),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_line_numbers_are_those_of_a_slow_count(records: list[str], end: str) -> None:
    text = "n1,n2,n3" + end + "".join(record + end for record in records)
    hints = Hints(encoding="utf-8", delimiter=",", quote='"', has_header=True, header_lines=1, skip_lines=0)
    found = read(text, hints)
    lines = re.findall(r"[^\r\n]*(?:\r\n|\r|\n)", text)
    assert found.lines == len(lines)
    for (line_no, count), row in zip(found.places, found.rows, strict=True):
        raw = "".join(lines[line_no - 1 : line_no - 1 + count]).rstrip("\r\n")
        assert next(csv.reader(io.StringIO(raw, newline=""))) == [cell or "" for cell in row]
    for line_no, count, raw, rule, _ in found.rejects:
        whole = "".join(lines[line_no - 1 : line_no - 1 + count])
        assert raw == whole[: -len(end)].replace("\0", "\\x00"), rule
    assert lines_of(found) == found.lines


@settings(max_examples=8, deadline=None)
@given(
    st.integers(100, BULK_FROM * 2),
    st.sampled_from(['3,"x\ny",z', "1,2", 'a,"b,c', "", '"q",w,e', 'a,5" x,c', ",,"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_a_long_file_is_read_in_bulk_as_line_by_line(place: int, odd: str, end: str) -> None:
    lines = [f"{number},é{number},z" for number in range(BULK_FROM * 2)]
    lines.insert(place, odd)
    found = read("a,b,c" + end + end.join(lines) + end)
    assert found.header == ("a", "b", "c")
    good = [row for row in found.rows if row[0] is not None and row[0].isdigit() and row[1] == f"é{row[0]}"]
    assert len(good) == BULK_FROM * 2
    assert lines_of(found) == found.lines
    for (line_no, _), row in zip(found.places, found.rows, strict=True):
        if row in good[:3] + good[-3:]:
            number = int(row[0] or 0)
            assert line_no == number + 2 + (number >= place) * (1 + odd.count("\n"))


def test_a_record_of_another_length_is_put_aside_and_never_padded_or_shifted() -> None:
    found = read("a,b,c\n1,2,3\n4,5\n6,7,8,9\n10,11,12\n")
    assert found.rows == [("1", "2", "3"), ("10", "11", "12")]
    assert found.rejects == [
        (3, 1, "4,5", "ragged", "2 cells; the table has 3"),
        (4, 1, "6,7,8,9", "ragged", "4 cells; the table has 3"),
    ]


def test_an_empty_cell_too_many_is_dropped_and_counted() -> None:
    found = read("a,b\n1,2\n3,4,\n5,6\n")
    assert found.rows[1] == ("3", "4")
    assert found.facts["trimmed_records"] == 1


def test_an_unclosed_quote_costs_its_own_line_only() -> None:
    rows = "".join(f"{number},text,9\n" for number in range(50))
    found = read("a,b,c\n" + rows + '50,"never closed,9\n' + rows.replace("\n", "\n"))
    assert found.rules == {52: "unclosed_quote"}
    assert len(found.rows) == 100


def test_two_unclosed_quotes_do_not_swallow_the_records_between_them() -> None:
    found = read('a,b,c\n1,"x,3\n4,y,6\n7,8,9\n10,z",12\n13,14\n15,16,17\n')
    assert ("4", "y", "6") in found.rows
    assert found.rules[2] == "unclosed_quote"


def test_a_cell_of_several_lines_may_look_like_records() -> None:
    found = read('a,b,c\n1,"x\n4,y,6\n7,8,9",3\n10,z,12\n')
    assert found.rows == [("1", "x\n4,y,6\n7,8,9", "3"), ("10", "z", "12")]
    assert found.places == [(2, 3), (5, 1)]


def test_text_after_a_closing_quote_is_put_aside() -> None:
    found = read('a,b\n1,"x"\n2,"y"z\n3,"w"\n4,"v"\n' + "".join(f'{n},"u"\n' for n in range(5, 60)))
    assert found.rules == {3: "stray_quote"}


def test_a_habit_of_unescaped_quotes_is_the_dialect_of_the_file() -> None:
    found = read("a,b\n" + "".join(f'{number},"he said "hi" twice"\n' for number in range(9)))
    assert found.rows[0] == ("0", 'he said "hi" twice')
    assert found.facts["unescaped_quotes"] is True


def test_an_empty_cell_is_null_and_a_quoted_one_is_empty_text() -> None:
    assert read('a,b,c\n1,"",\nNA,null,3\n').rows == [("1", "", None), ("NA", "null", "3")]


def test_cells_are_never_trimmed() -> None:
    assert read("a,b\n 1 , x\n2,y \n").rows == [(" 1 ", " x"), ("2", "y ")]


def test_zero_bytes_put_a_line_aside() -> None:
    found = read(b"a,b\n1,2\n3,\x004\n5,6\n")
    assert found.rejects == [(3, 1, "3,\\x004", "nul", "the line has zero bytes, which no text may have")]


def test_bytes_that_are_no_text_put_a_line_aside_as_hex() -> None:
    found = read("a,b\né,ü\n".encode() + b"x,\xff\xfe\n" + "ö,ä\n".encode())
    assert found.rejects[0][:4] == (3, 1, "x,\\xff\\xfe", "undecodable")
    assert len(found.rows) == 2


def test_zero_bytes_at_the_end_are_padding() -> None:
    found = read(b"a,b\n1,2\n" + b"\0" * 100)
    assert found.rows == [("1", "2")]
    assert found.facts["padding_bytes"] == 100


@pytest.mark.parametrize("quoted", [True, False])
def test_a_huge_cell_is_put_aside_with_its_digest(quoted: bool) -> None:
    huge = "x" * 5_000
    line = f'3,"{huge}"' if quoted else f"3,{huge}"
    found = read(f"a,b\n1,2\n{line}\n5,6\n", limits=Limits(cell_bytes=1_000))
    (line_no, _, raw, rule, _) = found.rejects[0]
    assert (line_no, rule) == (3, "cell_too_large")
    assert hashlib.sha256(line.encode()).hexdigest() in raw
    assert len(raw) < 1_000
    assert found.rows == [("1", "2"), ("5", "6")]


def test_a_further_table_is_put_aside() -> None:
    first = "".join(f"{number},x,2.5\n" for number in range(10))
    found = read("id,name,v\n" + first + "\ncode,total\nA,1\nB,2\n")
    assert len(found.rows) == 10
    assert found.rules == {13: "another_table", 14: "another_table", 15: "another_table"}


def test_the_header_again_among_the_rows_is_no_row() -> None:
    lines = [f"{number},x" for number in range(BULK_FROM + 10)]
    lines.insert(BULK_FROM, "a,b")
    found = read("a,b\n" + "\n".join(lines))
    assert ("a", "b") not in found.rows
    assert [(entry.line_no, entry.kind) for entry in found.skipped] == [(1, "header"), (BULK_FROM + 2, "header")]


@pytest.mark.parametrize(
    ("data", "header", "width"),
    [
        (b"", None, 0),
        (b"\xef\xbb\xbf", None, 0),
        (b"\n\n\r\n", None, 0),
        (b"a,b,c\n", ("a", "b", "c"), 3),
        (b"a;b", ("a", "b"), 2),
        (b"word", ("word",), 1),
    ],
)
def test_files_without_rows_are_read_as_such(data: bytes, header: tuple[str, ...] | None, width: int) -> None:
    found = read(data)
    assert (found.rows, found.rejects, found.header) == ([], [], header)


def test_what_a_first_line_declares_is_believed() -> None:
    found = read("sep=;\na;b,c\n1;2,5\n3;4,5\n")
    assert found.header == ("a", "b,c")
    assert found.skipped[0].text == "sep=;"


def test_lines_may_end_differently() -> None:
    found = read(b"a,b\r\n1,2\n3,4\r5,6\r\n\r\n7,8")
    assert [row[0] for row in found.rows] == ["1", "3", "5", "7"]
    assert [place[0] for place in found.places] == [2, 3, 4, 6]


def test_a_byte_order_mark_inside_the_rows_stays() -> None:
    assert read("a,b\n\ufeff1,2\n3,4\n").rows[0] == ("\ufeff1", "2")


def test_too_many_columns_refuse_the_file() -> None:
    with pytest.raises(RejectedFile) as refused:
        read(",".join("abcdef") + "\n" + "1,2,3,4,5,6\n" * 3, limits=Limits(columns=5))
    assert refused.value.rule == "too_many_columns"


def test_too_many_rows_refuse_the_file() -> None:
    with pytest.raises(RejectedFile) as refused:
        read("a,b\n" + "1,2\n" * 10, limits=Limits(rows=9))
    assert refused.value.rule == "too_many_rows"


def test_many_rejects_go_to_the_table_in_batches() -> None:
    found = read("a,b,c\n" + "1,2,3\n4,5,6\n7,8\n" * 5_000)
    assert (len(found.rows), len(found.rejects)) == (10_000, 5_000)
    assert found.rejects[-1][0] == 15_001
