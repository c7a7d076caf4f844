"""JSON files of every shape become rows of exact text, and what is no record is accounted for."""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import ConfigurationError, LedgerNotClosed, RejectedFile
from resources.landing.limits import Limits
from resources.landing.readers.hints import Hints
from resources.landing.readers.json_documents import read_json
from resources.landing.readers.table_writer import RAW_CHARACTERS
from resources.landing.text_table import REJECTS, TextTable, require_every_line

LIMITS = Limits()
SITES = (
    '{"exported": "2026-01-01", "sites": [{"site_id": "S1", "place": {"lat": 1.50, "tags": ["x"]}, "meters": ['
    '{"meter_id": 7, "readings": [{"at": "t1", "value": 1.10}, {"at": "t2", "value": null}]},'
    '{"meter_id": 8, "readings": [{"at": "t1", "value": 3}]}]}]}'
)
SITES_PATH = ("sites", "[]", "meters", "[]", "readings", "[]")


def read(folder: Path, content: str | bytes, hints: Hints | None = None, limits: Limits = LIMITS) -> TextTable:
    path = folder / "dropped.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_json(path, folder, limits, hints or Hints())


def rows_of(table: TextTable) -> list[dict[str, str | None]]:
    found = table.connection.execute(
        "SELECT * EXCLUDE (line_no, line_count) FROM rows_read ORDER BY line_no"
    ).fetchall()
    return [dict(zip(table.header or (), row, strict=True)) for row in found]


def lines_of(table: TextTable) -> list[tuple[int, int]]:
    return table.connection.execute("SELECT line_no, line_count FROM rows_read ORDER BY line_no").fetchall()


def rejects_of(table: TextTable) -> list[tuple[int, str, str]]:
    return table.connection.execute("SELECT line_no, raw, rule FROM rejects_read ORDER BY line_no").fetchall()


def refusal(folder: Path, content: str | bytes, hints: Hints | None = None, limits: Limits = LIMITS) -> str:
    with pytest.raises(RejectedFile) as caught:
        read(folder, content, hints, limits)
    return caught.value.rule


@pytest.mark.parametrize(
    "content",
    [
        '[{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]',
        '{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}\n',
        '{"a": 1, "b": "x"}{"a": 2, "b": "y"}',
        '{\n"a": 1,\n"b": "x"}\n{\n"a": 2,\n"b": "y"\n}',
        '{"meta": {"page": 1}, "data": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]}',
        '{"answer": {"data": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]}}',
        '\x1e{"a": 1, "b": "x"}\n\x1e{"a": 2, "b": "y"}\n',
        '[{"a": 1, "b": "x"},\r\n{"a": 2, "b": "y"},\r\n]\r\n',
    ],
)
def test_every_shape_gives_the_same_rows(tmp_path: Path, content: str) -> None:
    with read(tmp_path, content) as table:
        assert rows_of(table) == [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]
        assert table.count(REJECTS) == 0


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_encodings_are_recognised(tmp_path: Path, encoding: str) -> None:
    with read(tmp_path, '[{"städte": "Köln 🌊"}]'.encode(encoding)) as table:
        assert rows_of(table) == [{"städte": "Köln 🌊"}]


def test_a_declared_encoding_is_used(tmp_path: Path) -> None:
    with read(tmp_path, '[{"a": "é"}]'.encode("cp1252"), Hints(encoding="cp1252")) as table:
        assert rows_of(table) == [{"a": "é"}]


def test_an_unknown_declared_encoding_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        read(tmp_path, "[]", Hints(encoding="utf-99"))


def test_a_single_object_is_one_row(tmp_path: Path) -> None:
    with read(tmp_path, '{"a": 1, "b": {"c": 2}}') as table:
        assert rows_of(table) == [{"a": "1", "b.c": "2"}]


@pytest.mark.parametrize("content", ["", "\n \n", "[]", "[\n]\n", "\ufeff"])
def test_a_file_without_records_has_no_rows_and_accounts_for_its_lines(tmp_path: Path, content: str) -> None:
    with read(tmp_path, content) as table:
        assert table.count() == 0
        assert table.header is None
        assert table.lines == len(content.splitlines())


def test_numbers_keep_their_text(tmp_path: Path) -> None:
    numbers = ["1.10", "12345678901234567890", "1e5", "-0", "0.1E-7", "NaN", "-Infinity", "9" * 5000]
    with read(tmp_path, "[" + ",".join(f'{{"n": {number}}}' for number in numbers) + "]") as table:
        assert [row["n"] for row in rows_of(table)] == numbers


def test_true_false_null_and_text_that_looks_like_them_stay_apart(tmp_path: Path) -> None:
    with read(tmp_path, '[{"v": true}, {"v": false}, {"v": null}, {"v": "null"}, {"v": ""}, {"v": "NA"}]') as table:
        assert [row["v"] for row in rows_of(table)] == ["true", "false", None, "null", "", "NA"]


def test_nested_objects_become_columns_and_lists_stay_json(tmp_path: Path) -> None:
    content = '[{"a": {"b": {"c": "x"}, "d": {}}, "l": [1.10, "q\\"", {"k": [null, true]}]}]'
    with read(tmp_path, content) as table:
        assert rows_of(table) == [{"a.b.c": "x", "a.d": "{}", "l": '[1.10, "q\\"", {"k": [null, true]}]'}]


def test_a_dotted_key_and_a_nested_one_are_two_columns(tmp_path: Path) -> None:
    with read(tmp_path, '[{"a.b": 1, "a": {"b": 2}}]') as table:
        assert table.header == ("a.b", "a.b")
        assert table.connection.execute("SELECT c0, c1 FROM rows_read").fetchall() == [("1", "2")]


def test_a_late_key_becomes_a_column_in_order_of_appearance(tmp_path: Path) -> None:
    records = [{"a": number} for number in range(29_000)] + [{"late": "x", "a": -1}, {"a": 0}]
    with read(tmp_path, "\n".join(map(json.dumps, records))) as table:
        assert table.header == ("a", "late")
        late = table.connection.execute("SELECT line_no, c0, c1 FROM rows_read WHERE c1 IS NOT NULL").fetchall()
        assert late == [(29_001, "-1", "x")]
        assert table.count() == 29_002


def test_one_bad_line_is_one_reject_with_its_number_and_text(tmp_path: Path) -> None:
    with read(tmp_path, '{"a": 1}\n{"a": tru}\n\n{"a": 3}\n{"a"') as table:
        assert rejects_of(table) == [(2, '{"a": tru}', "malformed_record"), (5, '{"a"', "malformed_record")]
        assert lines_of(table) == [(1, 1), (4, 1)]
        assert [(entry.line_no, entry.line_count, entry.kind) for entry in table.skipped] == [(3, 1, "blank")]
        assert table.lines == 5


def test_a_bad_record_of_a_list_is_put_aside_and_the_rest_read(tmp_path: Path) -> None:
    with read(tmp_path, '[{"a": 1},\n{"a": 01},\n7,\n{"a": 3}]') as table:
        assert [row["a"] for row in rows_of(table)] == ["1", "3"]
        assert rejects_of(table) == [(2, '{"a": 01}', "malformed_record"), (3, "7", "not_an_object")]


@pytest.mark.parametrize(
    ("record", "rule"),
    [
        ('{"a": 1, "a": 2}', "duplicate_key"),
        ('{"l": [{"a": 1, "a": 1}]}', "duplicate_key"),
        ('{"a": "\\ud800"}', "undecodable"),
        ('{"\\udfff": 1}', "undecodable"),
        ('{"a": "x\\u0000y"}', "nul"),
        ('{"l": ["\\u0000"]}', "nul"),
        ('{"a": "\0"}', "nul"),
        ('{"a": ' + "[" * 101 + "]" * 101 + "}", "too_deep"),
        ("[" * 100_000 + "]" * 100_000, "too_deep"),
        ("[" * 100_000, "too_deep"),
        ("[1, 2]", "not_an_object"),
    ],
)
def test_a_record_that_cannot_be_held_is_put_aside(tmp_path: Path, record: str, rule: str) -> None:
    with read(tmp_path, f'{{"a": "fine"}}\n{record}\n{{"a": "fine"}}\n{{"a": "\\ud83c\\udf0a \\\\ud800"}}') as table:
        assert [(line, found) for line, _, found in rejects_of(table)] == [(2, rule)]
        assert [row["a"] for row in rows_of(table)] == ["fine", "fine", "🌊 \\ud800"]


def test_undecodable_bytes_put_their_record_aside_and_are_shown_in_hex(tmp_path: Path) -> None:
    content = "\n".join(f'{{"a": "é{n}"}}' for n in range(20)).encode() + b'\n{"a": "\xff\xfe"}\n{"a": "b"}'
    with read(tmp_path, content, Hints(encoding="utf-8")) as table:
        assert rejects_of(table) == [(21, '{"a": "\\xff\\xfe"}', "undecodable")]
        assert table.count() == 21


@pytest.mark.parametrize("opening", ['{"a":', "[", '{"a":['])
def test_a_document_of_100_000_levels_is_refused_or_put_aside(tmp_path: Path, opening: str) -> None:
    closing = {"[": "]", "{": "}"}
    ends = "".join(closing[char] for char in reversed(opening) if char in closing)
    content = opening * 100_000 + "1" + ends * 100_000
    try:
        with read(tmp_path, content) as table:
            assert {rule for _, _, rule in rejects_of(table)} == {"too_deep"}
            assert table.count() == 0
    except RejectedFile as refused:
        assert refused.rule == "too_deep"


@pytest.mark.parametrize(
    "content",
    ['[{"a": 1}, {"a": 2}', '[{"a": 1}, {"a', '[{"a": 1},', '{"data": [{"a": 1}', '{"data": [{"a": 1}]', '{"a": "x\\'],
)
def test_a_truncated_document_is_refused_as_a_whole(tmp_path: Path, content: str) -> None:
    assert refusal(tmp_path, content) == "truncated"


@pytest.mark.parametrize("content", ['[{"a": 1} {"a": 2}]', '{"a" 1}', "{a: 1}", '{"a": 1]', '[{"a": 1}:', '{"a": 1}]'])
def test_a_document_whose_parts_cannot_be_told_is_refused(tmp_path: Path, content: str) -> None:
    assert refusal(tmp_path, content) == "malformed"


def test_text_that_is_no_json_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "a,b\n1,2\n") == "not_json"


def test_a_list_that_stands_twice_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, '{"d": [{"a": 1}], "d": [{"a": 2}]}') == "duplicate_key"


def test_scalars_beside_the_list_are_structure_and_noted(tmp_path: Path) -> None:
    with read(tmp_path, '{\n"meta": {"page": 1.0},\n"data": [\n{"a": 1},\n\n{"a": 2}\n],\n"n": 2\n}\n') as table:
        assert table.facts["beside.meta.page"] == "1.0"
        assert table.facts["beside.n"] == "2"
        assert table.facts["records_path"] == "data"
        assert lines_of(table) == [(4, 1), (6, 1)]
        kinds = [(entry.line_no, entry.line_count, entry.kind) for entry in table.skipped]
        assert kinds == [(1, 3, "structure"), (5, 1, "structure"), (7, 3, "structure")]
        assert table.skipped[0].text == '{\n"meta": {"page": 1.0},\n"data": ['
        assert table.skipped[2].text == '],\n"n": 2\n}'
        assert table.lines == 9


def test_records_of_further_lists_are_put_aside(tmp_path: Path) -> None:
    content = '{"shop": {"customers": [{"id": 1}, {"id": 2}]}, "tags": ["a"], "orders": [{"o": 1}, {"o": 2}, {"o": 3}]}'
    with read(tmp_path, content) as table:
        assert rows_of(table) == [{"o": "1"}, {"o": "2"}, {"o": "3"}]
        assert rejects_of(table) == [(1, '{"id": 1}', "another_list"), (2, '{"id": 2}', "another_list")]
        reason = table.connection.execute("SELECT reason FROM rejects_read").fetchall()[0][0]
        assert "'shop.customers'" in reason
        assert "'orders'" in reason


def test_records_of_further_lists_have_their_lines(tmp_path: Path) -> None:
    content = '{"orders": [\n{"o": 1},\n{"o": 2}\n],\n"customers": [\n{"id": 1}\n]\n}\n'
    with read(tmp_path, content) as table:
        assert lines_of(table) == [(2, 1), (3, 1)]
        assert rejects_of(table) == [(6, '{"id": 1}', "another_list")]
        kinds = [(entry.line_no, entry.line_count, entry.kind) for entry in table.skipped]
        assert kinds == [(1, 1, "structure"), (4, 2, "structure"), (7, 2, "structure")]


def test_a_declared_path_puts_nothing_of_further_lists_aside(tmp_path: Path) -> None:
    with read(tmp_path, '{"few": [{"z": 1}], "data": [{"a": 1}]}', Hints(records_path=("few",))) as table:
        assert rows_of(table) == [{"z": "1"}]
        assert rejects_of(table) == []


def test_records_on_lines_of_their_own_have_physical_lines(tmp_path: Path) -> None:
    with read(tmp_path, '[\n  {\n    "a": 1\n  },\n  {\n    "a": 2\n  }\n]') as table:
        assert lines_of(table) == [(2, 3), (5, 3)]
        assert table.lines == 8
        assert table.facts["line_numbers"] == "physical"


def test_records_that_share_a_line_are_numbered_by_record(tmp_path: Path) -> None:
    many = "\n".join(f'{{"a": {n}}},' for n in range(20_000))
    with read(tmp_path, f'[\n{many}\n{{"a": tru}}, {{"a": -1}}]') as table:
        assert table.facts["line_numbers"] == "record"
        assert table.lines == 20_002
        assert lines_of(table)[-2:] == [(20_000, 1), (20_002, 1)]
        assert [line for line, _, _ in rejects_of(table)] == [20_001]
        reason = table.connection.execute("SELECT reason FROM rejects_read").fetchall()[0][0]
        assert reason.endswith("(line 20002)")
        assert table.skipped == []


def test_nested_lists_are_exploded_with_the_fields_of_the_records_around(tmp_path: Path) -> None:
    with read(tmp_path, SITES, Hints(records_path=SITES_PATH)) as table:
        around = {"sites.site_id": "S1", "sites.place.lat": "1.50"}
        assert rows_of(table) == [
            {**around, "sites.meters.meter_id": "7", "at": "t1", "value": "1.10"},
            {**around, "sites.meters.meter_id": "7", "at": "t2", "value": None},
            {**around, "sites.meters.meter_id": "8", "at": "t1", "value": "3"},
        ]
        assert lines_of(table) == [(1, 1), (2, 1), (3, 1)]
        assert table.facts["left_out"] == "sites.place.tags"


def test_exploded_names_are_the_same_in_json_lines(tmp_path: Path) -> None:
    with read(tmp_path, f"{SITES}\n{SITES}\n", Hints(records_path=SITES_PATH)) as table:
        assert table.header == ("sites.site_id", "sites.place.lat", "sites.meters.meter_id", "at", "value")
        assert table.count() == 6


@pytest.mark.parametrize(
    "content",
    [
        '{"id": 1, "r": [{"id": "x"}]}\n{"id": 2, "r": [{"id": "y"}]}\n',
        '[{"id": 1, "r": [{"id": "x"}]}, {"id": 2, "r": [{"id": "y"}]}]',
    ],
)
def test_a_leading_mark_makes_what_is_at_the_top_a_record(tmp_path: Path, content: str) -> None:
    with read(tmp_path, content, Hints(records_path=("[]", "r", "[]"))) as table:
        assert rows_of(table) == [{"[].id": "1", "id": "x"}, {"[].id": "2", "id": "y"}]
    (tmp_path / "read.duckdb").unlink()
    with read(tmp_path, content, Hints(records_path=("r", "[]"))) as table:
        assert rows_of(table) == [{"id": "x"}, {"id": "y"}]


def test_a_record_without_inner_records_is_put_aside_and_not_lost(tmp_path: Path) -> None:
    content = '{"s": [{"id": 1, "r": []}, {"id": 2}, {"id": 3, "r": [{"v": 1}, 5]}]}'
    with read(tmp_path, content, Hints(records_path=("s", "[]", "r", "[]"))) as table:
        assert [row["s.id"] for row in rows_of(table)] == ["3"]
        assert rejects_of(table) == [
            (1, '{"id": 1, "r": []}', "no_records"),
            (2, '{"id": 2}', "no_records"),
            (4, "5", "not_an_object"),
        ]


def test_the_declared_path_wins_over_the_longest_list(tmp_path: Path) -> None:
    content = '{"long": [{"a": 1}, {"a": 2}], "short": [{"b": 3}]}'
    with read(tmp_path, content, Hints(records_path=("short",))) as table:
        assert rows_of(table) == [{"b": "3"}]


def test_a_declared_path_that_is_not_there_refuses_the_file(tmp_path: Path) -> None:
    assert refusal(tmp_path, '{"data": [{"a": 1}]}', Hints(records_path=("items",))) == "no_records"


def test_too_many_columns_or_rows_refuse_the_file(tmp_path: Path) -> None:
    assert refusal(tmp_path, '[{"a": 1, "b": 2}]', limits=Limits(columns=1)) == "too_many_columns"
    (tmp_path / "read.duckdb").unlink()
    assert refusal(tmp_path, '[{"a": 1}, {"a": 2}]', limits=Limits(rows=1)) == "too_many_rows"


def test_a_huge_cell_puts_its_row_aside_with_a_preview_and_a_hash(tmp_path: Path) -> None:
    content = json.dumps([{"a": "x" * 200_000}, {"a": "fine"}])
    with read(tmp_path, content, limits=Limits(cell_bytes=100_000)) as table:
        ((_, raw, rule),) = rejects_of(table)
        assert rule == "cell_too_large"
        assert raw.startswith('{"a": "xxx')
        assert re.search(r"\[200009 characters, SHA-256 [0-9a-f]{64}\]$", raw)
        assert len(raw) < RAW_CHARACTERS
        assert [row["a"] for row in rows_of(table)] == ["fine"]


@pytest.mark.parametrize(
    "form", ['[{{"a": "{}"}}, {{"a": "fine"}}]', '{{"a": "{}"}}\n{{"a": "fine"}}\n{{"a": "fine"}}']
)
def test_a_record_too_long_for_memory_is_put_aside_without_being_held(tmp_path: Path, form: str) -> None:
    content = form.format('\\"x[{' * 600_000)
    with read(tmp_path, content, limits=Limits(memory_bytes=16_000_000)) as table:
        ((_, raw, rule),) = rejects_of(table)
        assert rule == "record_too_large"
        assert "SHA-256" in raw
        assert {row["a"] for row in rows_of(table)} == {"fine"}


def test_many_separate_blank_lines_are_all_accounted_for(tmp_path: Path) -> None:
    with read(tmp_path, '{"a": 1}\n\n' * 3000) as table:
        assert table.count() == 3000
        assert sum(entry.line_count for entry in table.skipped) == 3000
        assert len(table.skipped) <= 1000


@pytest.mark.parametrize("off", [-1, 1])
def test_a_line_that_is_lost_or_counts_twice_is_an_error(tmp_path: Path, off: int) -> None:
    with read(tmp_path, '{"a": 1}\n\n{"a": tru}\n') as table:
        require_every_line(table)
        table.lines += off
        with pytest.raises(LedgerNotClosed):
            require_every_line(table)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
NUMBERS = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXT)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)
RECORDS = st.lists(st.dictionaries(TEXT, VALUES, max_size=4), max_size=6)


def cells_of(record: dict[str, Any], way: tuple[str, ...] = ()) -> dict[tuple[str, ...], str | None]:
    """What a row is to say, written independently of the reader."""
    found: dict[tuple[str, ...], str | None] = {}
    for key, value in record.items():
        if isinstance(value, dict) and value:
            found |= cells_of(value, (*way, key))
        elif value is None or isinstance(value, str):
            found[(*way, key)] = value
        else:
            found[(*way, key)] = json.dumps(value, ensure_ascii=False)
    return found


@given(records=RECORDS, form=st.sampled_from(["list", "indented", "lines", "wrapped"]), ascii_only=st.booleans())
def test_any_objects_come_back_by_value(records: list[dict[str, Any]], form: str, ascii_only: bool) -> None:
    if form == "lines":
        content = "".join(json.dumps(record, ensure_ascii=ascii_only) + "\n" for record in records)
    elif form == "wrapped":
        content = json.dumps({"n": 1, "rows": records}, ensure_ascii=ascii_only)
    else:
        content = json.dumps(records, ensure_ascii=ascii_only, indent=2 if form == "indented" else None)
    path = ("rows",) if form == "wrapped" else ("[]",)
    with tempfile.TemporaryDirectory() as folder, read(Path(folder), content, Hints(records_path=path)) as table:
        wanted = [cells_of(record) for record in records]
        columns = list(dict.fromkeys(key for cells in wanted for key in cells))
        assert list(table.header or ()) == [".".join(column) for column in columns]
        if columns:
            found = table.connection.execute("SELECT * EXCLUDE (line_no, line_count) FROM rows_read ORDER BY line_no")
            assert found.fetchall() == [tuple(cells.get(column) for column in columns) for cells in wanted]
        assert table.count() == len(records)
        assert table.count(REJECTS) == 0


FRAGMENTS = st.lists(
    st.sampled_from(
        [b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b"\n", b'{"a":1}', b"\xff", b"\0", b"1", b" ", b"tru"]
    ),
    max_size=40,
).map(b"".join)


@given(content=st.one_of(st.binary(max_size=200), FRAGMENTS), path=st.sampled_from([None, ("a",), ("[]", "a", "[]")]))
def test_any_bytes_are_read_or_refused(content: bytes, path: tuple[str, ...] | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            read(Path(folder), content, Hints(records_path=path)).connection.close()
        except RejectedFile as refused:
            assert refused.rule
