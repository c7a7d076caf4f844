"""Workbooks of every kind become rows of exact text; every row of every sheet is accounted for."""

import datetime as dt
import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import xlwt
from hypothesis import given, settings
from hypothesis import strategies as st
from odf.opendocument import OpenDocumentSpreadsheet
from odf.table import Table, TableCell, TableRow
from odf.text import P
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from resources.errors import RejectedFile
from resources.landing.limits import Limits
from resources.landing.readers.hints import Hints
from resources.landing.readers.workbooks import read_workbook
from resources.landing.text_table import TextTable

LIMITS = Limits()
STATIONS: list[list[Any]] = [["station", "value", "note"], ["S1", 1.5, "x"], ["S2", 42, None], ["S3", -7, "y"]]


def workbook(sheets: dict[str, list[list[Any]]]) -> openpyxl.Workbook:
    made = openpyxl.Workbook()
    made.remove(made.active)
    for name, rows in sheets.items():
        sheet = made.create_sheet(name)
        for row in rows:
            sheet.append(row)
    return made


def bytes_of(made: openpyxl.Workbook) -> bytes:
    sink = io.BytesIO()
    made.save(sink)
    return sink.getvalue()


def read(
    folder: Path, content: openpyxl.Workbook | bytes, hints: Hints | None = None, limits: Limits = LIMITS
) -> TextTable:
    path = folder / "dropped"
    path.write_bytes(content if isinstance(content, bytes) else bytes_of(content))
    return read_workbook(path, folder, limits, hints or Hints())


def rows_of(table: TextTable) -> list[tuple[Any, ...]]:
    return table.connection.execute("SELECT * EXCLUDE (line_no, line_count) FROM rows_read ORDER BY line_no").fetchall()


def lines_of(table: TextTable) -> list[int]:
    return [line for (line,) in table.connection.execute("SELECT line_no FROM rows_read ORDER BY line_no").fetchall()]


def rejects_of(table: TextTable) -> list[tuple[int, str, str]]:
    return table.connection.execute("SELECT line_no, raw, rule FROM rejects_read ORDER BY line_no").fetchall()


def skipped_of(table: TextTable) -> list[tuple[int, int, str]]:
    return [(entry.line_no, entry.line_count, entry.kind) for entry in table.skipped]


def refusal(
    folder: Path, content: openpyxl.Workbook | bytes, hints: Hints | None = None, limits: Limits = LIMITS
) -> str:
    with pytest.raises(RejectedFile) as caught:
        read(folder, content, hints, limits)
    return caught.value.rule


def column_of(folder: Path, values: list[Any], made: openpyxl.Workbook | None = None) -> list[str | None]:
    """What the values of one column, beside one of text, are read as."""
    made = made or openpyxl.Workbook()
    made.active.append(["name", "value"])
    for number, value in enumerate(values):
        made.active.append([f"row {number}", value])
    with read(folder, made) as table:
        return [row[1] for row in rows_of(table)]


def with_sheet_xml(content: bytes, before: str, after: str) -> bytes:
    """The workbook with a piece of its first sheet's XML exchanged."""
    sink = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            text = source.read(name)
            if name == "xl/worksheets/sheet1.xml":
                assert before in text.decode()
                text = text.decode().replace(before, after).encode()
            target.writestr(name, text)
    return sink.getvalue()


def test_an_xlsx_table_is_read_with_its_rows(tmp_path: Path) -> None:
    with read(tmp_path, workbook({"Data": STATIONS})) as table:
        assert table.header == ("station", "value", "note")
        assert rows_of(table) == [("S1", "1.5", "x"), ("S2", "42", None), ("S3", "-7", "y")]
        assert lines_of(table) == [2, 3, 4]
        assert skipped_of(table) == [(1, 1, "header")]
        assert table.lines == 4
        assert table.facts["sheet"] == "Data"


def test_an_xls_table_is_read(tmp_path: Path) -> None:
    made = xlwt.Workbook()
    sheet = made.add_sheet("Data")
    day = xlwt.easyxf(num_format_str="yyyy-mm-dd hh:mm")
    for column, name in enumerate(["name", "value", "at", "flag"]):
        sheet.write(0, column, name)
    sheet.write_merge(1, 2, 0, 0, "both")
    sheet.write(1, 1, 42)
    sheet.write(1, 2, dt.datetime(2024, 1, 2, 3, 4), day)
    sheet.write(1, 3, True)
    sheet.write(2, 1, 0.1)
    hidden = made.add_sheet("Secret")
    hidden.visibility = 1
    hidden.write(0, 0, "never")
    sink = io.BytesIO()
    made.save(sink)
    with read(tmp_path, sink.getvalue()) as table:
        assert rows_of(table) == [("both", "42", "2024-01-02T03:04:00", "true"), ("both", "0.1", None, None)]
        assert table.facts["hidden_sheets"] == "Secret"
        assert skipped_of(table) == [(1, 1, "header"), (4, 1, "structure")]


def test_an_ods_table_is_read(tmp_path: Path) -> None:
    made = OpenDocumentSpreadsheet()
    sheet = Table(name="Data")
    cells = [
        [("string", "name"), ("string", "value"), ("string", "at"), ("string", "lasts")],
        [("string", "a"), ("float", "42"), ("date", "2024-01-02T03:04:05"), ("time", "PT08H30M00S")],
        [("string", "b"), ("percentage", "0.125"), ("date", "2024-01-03"), None],
    ]
    for row in cells:
        made_row = TableRow()
        for cell in row:
            if cell is None:
                made_cell = TableCell()
            elif cell[0] == "string":
                made_cell = TableCell(valuetype="string")
                made_cell.addElement(P(text=cell[1]))
            else:
                named = {"float": "value", "percentage": "value", "date": "datevalue", "time": "timevalue"}[cell[0]]
                made_cell = TableCell(valuetype=cell[0], **{named: cell[1]})
            made_row.addElement(made_cell)
        sheet.addElement(made_row)
    made.spreadsheet.addElement(sheet)
    made.save(str(tmp_path / "made.ods"))
    with read(tmp_path, (tmp_path / "made.ods").read_bytes()) as table:
        assert rows_of(table) == [("a", "42", "2024-01-02T03:04:05", "08:30:00"), ("b", "0.125", "2024-01-03", None)]


def test_numbers_are_written_exactly(tmp_path: Path) -> None:
    assert column_of(tmp_path, [42, 42.0, 0.1, 1e300, -3, 1e15, 2**53]) == [
        "42",
        "42",
        "0.1",
        "1e+300",
        "-3",
        "1000000000000000",
        "9007199254740992",
    ]


@pytest.mark.parametrize("epoch_1904", [False, True])
def test_dates_times_and_durations_are_iso_in_both_calendars(tmp_path: Path, epoch_1904: bool) -> None:
    made = openpyxl.Workbook()
    if epoch_1904:
        made.epoch = CALENDAR_MAC_1904
    values = [
        dt.datetime(2024, 2, 29, 3, 4, 5),
        dt.date(2024, 3, 1),
        dt.time(8, 30),
        dt.timedelta(hours=30, seconds=1.5),
    ]
    assert column_of(tmp_path, values, made) == ["2024-02-29T03:04:05", "2024-03-01", "08:30:00", "PT30H0M1.5S"]


def test_booleans_and_texts_that_look_like_something_else_stay(tmp_path: Path) -> None:
    texts = ["00042", "NA", "2024-01-02", "1e5", " x ", "=", "a\nb"]
    assert column_of(tmp_path, [True, False, *texts]) == ["true", "false", *texts]


def test_zero_padded_numbers_are_as_shown_and_percentages_the_number(tmp_path: Path) -> None:
    made = workbook({"Data": [["name", "code", "share"], ["a", 42, 0.125], ["b", -7, 1], ["c", 1.5, 2]]})
    for row in (2, 3, 4):
        made["Data"].cell(row, 2).number_format = "00000"
        made["Data"].cell(row, 3).number_format = "0.0%"
    with read(tmp_path, made) as table:
        assert rows_of(table) == [("a", "00042", "0.125"), ("b", "-00007", "1"), ("c", "1.5", "2")]


def test_error_cells_put_their_row_aside(tmp_path: Path) -> None:
    made = workbook({"Data": STATIONS})
    made["Data"]["B3"] = "#DIV/0!"
    made["Data"]["C4"] = "#N/A"
    with read(tmp_path, made) as table:
        assert rows_of(table) == [("S1", "1.5", "x")]
        assert rejects_of(table) == [
            (3, '["S2", "#DIV/0!", null]', "error_cell"),
            (4, '["S3", "-7", "#N/A"]', "error_cell"),
        ]
        reasons = table.connection.execute("SELECT reason FROM rejects_read ORDER BY line_no").fetchall()
        assert reasons[0][0] == "sheet 'Data', row 3: cell B3 holds an error: #DIV/0!"


def test_formulas_nobody_has_calculated_put_their_row_aside(tmp_path: Path) -> None:
    made = workbook({"Data": [*STATIONS, ["S4", "=SUM(B2:B3)", "z"], [None, None, None, "=1+1"]]})
    with read(tmp_path, made) as table:
        assert [(line, rule) for line, _, rule in rejects_of(table)] == [
            (5, "formula_without_value"),
            (6, "formula_without_value"),
        ]
        assert json.loads(rejects_of(table)[0][1])[:3] == ["S4", "=SUM(B2:B3)", "z"]


def test_formulas_with_a_value_are_read_by_it(tmp_path: Path) -> None:
    content = bytes_of(workbook({"Data": [*STATIONS, ["S4", "=1+1", "=A1"]]}))
    content = with_sheet_xml(content, "<f>1+1</f><v />", "<f>1+1</f><v>2</v>")
    content = with_sheet_xml(content, '<c r="C5"><f>A1</f><v />', '<c r="C5" t="str"><f>A1</f><v></v>')
    with read(tmp_path, content) as table:
        assert rows_of(table)[-1] == ("S4", "2", None)
        assert rejects_of(table) == []


def test_cells_without_references_are_counted_through(tmp_path: Path) -> None:
    made = workbook({"Data": STATIONS})
    made["Data"]["B3"] = "#DIV/0!"
    content = bytes_of(made)
    for reference in ("A3", "B3", "C3"):
        if f'r="{reference}"' in zipfile.ZipFile(io.BytesIO(content)).read("xl/worksheets/sheet1.xml").decode():
            content = with_sheet_xml(content, f' r="{reference}"', "")
    with read(tmp_path, content) as table:
        assert [(line, rule) for line, _, rule in rejects_of(table)] == [(3, "error_cell")]


def test_cells_merged_downwards_stand_in_every_row(tmp_path: Path) -> None:
    made = workbook({"Data": [["region", "v"], ["north", 1], [None, 2], [None, None], ["south", 3], [None, 4]]})
    made["Data"].merge_cells("A2:A4")
    with read(tmp_path, made) as table:
        assert rows_of(table) == [("north", "1"), ("north", "2"), ("south", "3"), (None, "4")]
        assert skipped_of(table) == [(1, 1, "header"), (4, 1, "blank")]


def test_cells_merged_to_the_right_are_not_repeated_in_rows(tmp_path: Path) -> None:
    made = workbook({"Data": [*STATIONS, ["closed", None, "z"]]})
    made["Data"].merge_cells("A5:B5")
    with read(tmp_path, made) as table:
        assert rows_of(table)[-1] == ("closed", None, "z")


def test_cells_merged_to_the_right_in_the_header_name_each_column(tmp_path: Path) -> None:
    rows: list[list[Any]] = [["site", "ozone", None, "dust", None], [None, "min", "max", "min", "max"]]
    made = workbook({"Data": [*rows, *([f"S{n}", n + 0.5, n + 1.5, n, n + 2] for n in range(9))]})
    made["Data"].merge_cells("B1:C1")
    made["Data"].merge_cells("D1:E1")
    made["Data"].merge_cells("A1:A2")
    with read(tmp_path, made) as table:
        assert table.header == ("site", "ozone min", "ozone max", "dust min", "dust max")
        assert table.count() == 9


def test_titles_above_and_notes_below_are_no_rows(tmp_path: Path) -> None:
    rows = [["Air quality 2025"], [], ["site", "value", "unit"], *([f"S{n}", n * 1.5, "ppb"] for n in range(9)), []]
    made = workbook({"Data": [*rows, ["Source: the ministry"]]})
    made["Data"].merge_cells("A1:C1")
    with read(tmp_path, made) as table:
        assert table.header == ("site", "value", "unit")
        assert lines_of(table) == list(range(4, 13))
        assert skipped_of(table) == [
            (1, 1, "preamble"),
            (2, 1, "blank"),
            (3, 1, "header"),
            (13, 1, "blank"),
            (14, 1, "footer"),
        ]


def test_notes_below_a_long_table_are_no_rows(tmp_path: Path) -> None:
    rows = [["site", "value", "unit"], *([f"S{n}", n * 1.5, "ppb"] for n in range(3000)), ["Source: the ministry"]]
    with read(tmp_path, workbook({"Data": rows})) as table:
        assert table.count() == 3000
        assert skipped_of(table) == [(1, 1, "header"), (3002, 1, "footer")]


def test_empty_rows_and_columns_before_the_table_keep_its_row_numbers(tmp_path: Path) -> None:
    made = openpyxl.Workbook()
    for row, cells in enumerate(STATIONS, start=3):
        for column, value in enumerate(cells, start=2):
            made.active.cell(row, column, value)
    with read(tmp_path, made) as table:
        assert lines_of(table) == [4, 5, 6]
        assert rows_of(table)[0] == (None, "S1", "1.5", "x")


def test_a_cell_beyond_the_table_puts_its_row_aside(tmp_path: Path) -> None:
    rows = [["a", "b"], *([f"x{n}", n] for n in range(2500)), ["late", 1, "stray"]]
    with read(tmp_path, workbook({"Data": rows})) as table:
        assert [(line, rule) for line, _, rule in rejects_of(table)] == [(2502, "ragged")]
        assert table.count() == 2500


def test_nul_puts_its_row_aside(tmp_path: Path) -> None:
    with read(tmp_path, workbook({"Data": [*STATIONS, ["a_x0000_b", 1, "x"]]})) as table:
        assert [(line, rule) for line, _, rule in rejects_of(table)] == [(5, "nul")]


def test_rows_of_further_sheets_are_put_aside_and_not_lost(tmp_path: Path) -> None:
    with read(tmp_path, workbook({"Jan": STATIONS, "Feb": STATIONS, "Notes": [["some words"]]})) as table:
        assert table.facts["sheet"] == "Jan"
        assert table.count() == 3
        assert {rule for _, _, rule in rejects_of(table)} == {"another_sheet"}
        assert [line for line, _, _ in rejects_of(table)] == [5, 6, 7, 8, 9]
        assert json.loads(rejects_of(table)[1][1]) == ["S1", "1.5", "x"]
        assert table.facts["first_line.Feb"] == 5


def test_the_fullest_sheet_is_read_when_headers_differ(tmp_path: Path) -> None:
    with read(tmp_path, workbook({"Read me": [["some words"]], "Data": STATIONS})) as table:
        assert table.facts["sheet"] == "Data"
        assert lines_of(table) == [2, 3, 4]


def test_all_sheets_with_one_header_are_read_when_declared(tmp_path: Path) -> None:
    made = workbook({"Jan": STATIONS, "Notes": [["some words"]], "Feb": STATIONS})
    with read(tmp_path, made, Hints(sheet="*")) as table:
        assert table.facts["sheet"] == "Jan, Feb"
        assert lines_of(table) == [2, 3, 4, 6, 7, 8]
        assert [(line, rule) for line, _, rule in rejects_of(table)] == [(9, "another_sheet")]


def test_a_declared_sheet_is_read_alone(tmp_path: Path) -> None:
    with read(tmp_path, workbook({"Jan": STATIONS, "Feb": STATIONS[:2]}), Hints(sheet="Feb")) as table:
        assert rows_of(table) == [("S1", "1.5", "x")]
        assert skipped_of(table) == [(1, 1, "header"), (3, 4, "structure")]


@pytest.mark.parametrize("state", ["hidden", "veryHidden"])
def test_hidden_sheets_are_not_read_but_counted(tmp_path: Path, state: str) -> None:
    made = workbook({"Data": STATIONS, "Secret": [["x"], ["y"]]})
    made["Secret"].sheet_state = state
    with read(tmp_path, made) as table:
        assert table.facts["hidden_sheets"] == "Secret"
        assert skipped_of(table) == [(1, 1, "header"), (5, 2, "structure")]
        assert rejects_of(table) == []
    assert refusal(tmp_path, made, Hints(sheet="Secret")) == "no_sheet"


def test_a_sheet_that_is_not_there_refuses_the_file(tmp_path: Path) -> None:
    assert refusal(tmp_path, workbook({"Data": STATIONS}), Hints(sheet="Dat")) == "no_sheet"


def test_an_empty_workbook_has_no_rows(tmp_path: Path) -> None:
    made = workbook({"Data": []})
    made.create_chartsheet("Chart")
    with read(tmp_path, made) as table:
        assert (table.header, table.lines, table.count()) == (None, 0, 0)


def test_two_cells_far_apart_do_not_take_the_process_down(tmp_path: Path) -> None:
    made = openpyxl.Workbook()
    made.active["A1"] = 1
    made.active["XFD1048576"] = 2
    assert refusal(tmp_path, made) == "too_large"


def test_too_many_columns_or_rows_refuse_the_file(tmp_path: Path) -> None:
    assert refusal(tmp_path, workbook({"Data": STATIONS}), limits=Limits(columns=2)) == "too_many_columns"
    assert refusal(tmp_path, workbook({"Data": STATIONS}), limits=Limits(rows=3)) == "too_many_rows"


def test_a_bomb_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    content = with_sheet_xml(bytes_of(workbook({"Data": STATIONS})), "<sheetData>", "<sheetData>" + " " * 20_000_000)
    assert refusal(tmp_path, content) == "bomb"
    assert refusal(tmp_path, content, limits=Limits(ratio=10_000, sheet_bytes=1_000_000)) == "too_large"


def test_encrypted_workbooks_are_refused(tmp_path: Path) -> None:
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000) + "EncryptedPackage".encode("utf-16-le") + bytes(2000)
    assert refusal(tmp_path, ole) == "encrypted"


def test_a_cut_workbook_is_refused(tmp_path: Path) -> None:
    content = bytes_of(workbook({"Data": STATIONS}))
    assert refusal(tmp_path, content[: len(content) // 2]) == "corrupt"


def test_spoilt_xml_is_refused(tmp_path: Path) -> None:
    content = with_sheet_xml(bytes_of(workbook({"Data": STATIONS})), "</sheetData>", "</sheet")
    assert refusal(tmp_path, content) == "corrupt"


GENUINE = bytes_of(workbook({"Data": STATIONS}))


@settings(max_examples=25, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, len(GENUINE) - 1), st.integers(0, 255)), max_size=8),
    junk=st.one_of(st.none(), st.binary(max_size=60).map(lambda end: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + end)),
)
def test_any_bytes_are_read_or_refused(changes: list[tuple[int, int]], junk: bytes | None) -> None:
    content = bytearray(GENUINE)
    for place, value in changes:
        content[place] = value
    with tempfile.TemporaryDirectory() as folder:
        try:
            read(Path(folder), bytes(content) if junk is None else junk).connection.close()
        except RejectedFile as refused:
            assert refused.rule
