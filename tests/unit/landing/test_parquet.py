"""Parquet files become rows of exact text; what cannot be, or must not be, is refused before it does harm."""

import datetime as dt
import json
import math
import struct
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import RejectedFile
from resources.landing.limits import Limits
from resources.landing.readers.hints import Hints
from resources.landing.readers.parquet import read_parquet
from resources.landing.text_table import REJECTS, TextTable

LIMITS = Limits()


def read(folder: Path, content: pa.Table | bytes, limits: Limits = LIMITS, **options: Any) -> TextTable:
    path = folder / "dropped.parquet"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        pq.write_table(content, path, **options)
    return read_parquet(path, folder, limits, Hints())


def rows_of(table: TextTable) -> list[tuple[str | None, ...]]:
    return table.connection.execute("SELECT * EXCLUDE (line_no, line_count) FROM rows_read ORDER BY line_no").fetchall()


def column_of(folder: Path, values: list[Any], kind: pa.DataType, **options: Any) -> list[str | None]:
    with read(folder, pa.table({"v": pa.array(values, kind)}), **options) as table:
        return [row[0] for row in rows_of(table)]


def refusal(folder: Path, content: pa.Table | bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(RejectedFile) as caught:
        read(folder, content, limits)
    return caught.value.rule


def bytes_of(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return bytes(sink.getvalue())


@pytest.mark.parametrize(
    ("kind", "values", "texts"),
    [
        (pa.int64(), [2**63 - 1, -1], ["9223372036854775807", "-1"]),
        (pa.uint64(), [2**64 - 1], ["18446744073709551615"]),
        (pa.bool_(), [True, False], ["true", "false"]),
        (
            pa.decimal128(38, 8),
            [Decimal("1.10"), Decimal("123456789012345678901234567890.1")],
            ["1.10000000", "123456789012345678901234567890.10000000"],
        ),
        (
            pa.float64(),
            [0.1, 1e300, 5e-324, -0.0, float("nan"), float("-inf")],
            ["0.1", "1e+300", "5e-324", "-0.0", "nan", "-inf"],
        ),
        (pa.float32(), [0.1, 1e-5], ["0.1", "1e-05"]),
        (pa.date32(), [dt.date(1, 1, 1), dt.date(9999, 12, 31)], ["0001-01-01", "9999-12-31"]),
        (pa.time64("us"), [dt.time(8, 30, 0, 5)], ["08:30:00.000005"]),
        (pa.timestamp("us"), [dt.datetime(2024, 1, 2, 3, 4, 5, 6)], ["2024-01-02T03:04:05.000006"]),
        (
            pa.timestamp("us", "Europe/Berlin"),
            [dt.datetime(2024, 7, 2, 3, tzinfo=dt.UTC)],
            ["2024-07-02T03:00:00+00:00"],
        ),
        (pa.timestamp("ns"), [1704164645123456789], ["2024-01-02T03:04:05.123456789"]),
        (pa.timestamp("ns", "UTC"), [1704164645123456789], ["2024-01-02T03:04:05.123456789+00:00"]),
        (pa.binary(), [b"\x00\xff", b""], ["00ff", ""]),
        (pa.string(), ["NA", "", "é🌊", "null"], ["NA", "", "é🌊", "null"]),
        (pa.dictionary(pa.int8(), pa.string()), ["a", "b", "a"], ["a", "b", "a"]),
    ],
    ids=str,
)
def test_every_type_has_its_text(tmp_path: Path, kind: pa.DataType, values: list[Any], texts: list[str]) -> None:
    assert column_of(tmp_path, [*values, None], kind) == [*texts, None]


def test_int96_reaches_beyond_what_nanoseconds_hold(tmp_path: Path) -> None:
    values = [dt.datetime(9999, 12, 31), dt.datetime(2024, 1, 2, 3, 4, 5, 6), None]
    found = column_of(tmp_path, values, pa.timestamp("us"), use_deprecated_int96_timestamps=True)
    assert found == ["9999-12-31T00:00:00", "2024-01-02T03:04:05.000006", None]


def test_int96_columns_are_named_in_the_facts(tmp_path: Path) -> None:
    made = pa.table({"at": pa.array([dt.datetime(2024, 1, 2)], pa.timestamp("us"))})
    with read(tmp_path, made, use_deprecated_int96_timestamps=True) as table:
        assert table.facts["int96_columns"] == "at"


def test_nested_values_are_json_with_exact_numbers(tmp_path: Path) -> None:
    kind = pa.struct([("d", pa.decimal128(30, 2)), ("l", pa.list_(pa.uint64())), ("t", pa.string())])
    found = column_of(tmp_path, [{"d": Decimal("1.10"), "l": [2**64 - 1, None], "t": 'q"'}, None], kind)
    assert found == ['{"d":1.10,"l":[18446744073709551615,null],"t":"q\\""}', None]


def test_maps_are_json_objects(tmp_path: Path) -> None:
    assert column_of(tmp_path, [[("k", 1)]], pa.map_(pa.string(), pa.int32())) == ['{"k":1}']


def test_names_are_those_of_the_file(tmp_path: Path) -> None:
    names = ["v", "V", 'a"; --', "", "s.x", "nested"]
    made = pa.table([[1], [2], [3], [4], [5], [{"inner": [{"x": 1}]}]], names=names)
    with read(tmp_path, made) as table:
        assert table.header == tuple(names)
        assert rows_of(table) == [("1", "2", "3", "4", "5", '{"inner":[{"x":1}]}')]
        assert table.facts["source_type.c0"] == "BIGINT"


def test_rows_are_numbered_through_all_row_groups(tmp_path: Path) -> None:
    with read(tmp_path, pa.table({"v": list(range(30_000))}), row_group_size=1000) as table:
        found = table.connection.execute("SELECT line_no, line_count, c0 FROM rows_read ORDER BY rowid").fetchall()
        assert found == [(number + 1, 1, str(number)) for number in range(30_000)]
        assert table.lines == 30_000
        assert table.facts["row_groups"] == 30


def test_signs_of_patterns_in_a_path_stand_for_themselves(tmp_path: Path) -> None:
    folder = tmp_path / "a=1[x]*?'"
    folder.mkdir()
    pq.write_table(pa.table({"v": [1]}), folder / "x?.parquet")
    with read_parquet(folder / "x?.parquet", tmp_path, LIMITS, Hints()) as table:
        assert table.header == ("v",)
        assert rows_of(table) == [("1",)]


def test_no_rows_and_no_columns_are_no_error(tmp_path: Path) -> None:
    with read(tmp_path, pa.table({"v": pa.array([], pa.int64())})) as table:
        assert (table.header, table.lines, table.count()) == (("v",), 0, 0)


def test_rows_with_nul_are_put_aside(tmp_path: Path) -> None:
    made = pa.table({"v": ["a\0b", "fine", "\\u0000"], "n": [["x"], ["\\u0000"], ["y\0"]]})
    with read(tmp_path, made) as table:
        found = table.connection.execute("SELECT line_no, raw, rule FROM rejects_read ORDER BY line_no").fetchall()
        assert [(line, rule) for line, _, rule in found] == [(1, "nul"), (3, "nul")]
        assert json.loads(found[0][1]) == {"c0": "a\0b", "c1": '["x"]'}
        assert rows_of(table) == [("fine", '["\\\\u0000"]')]


def test_a_huge_cell_puts_its_row_aside(tmp_path: Path) -> None:
    with read(tmp_path, pa.table({"v": ["x" * 200_000, "fine"]}), Limits(cell_bytes=100_000)) as table:
        raw, rule = table.connection.execute("SELECT raw, rule FROM rejects_read").fetchall()[0]
        assert rule == "cell_too_large"
        assert len(raw) < 1200
        assert "SHA-256" in raw
        assert rows_of(table) == [("fine",)]


def test_text_that_is_not_utf8_refuses_the_file(tmp_path: Path) -> None:
    bad = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())
    assert refusal(tmp_path, pa.table({"v": bad})) == "undecodable"


def test_decimals_nobody_holds_exactly_refuse_the_file(tmp_path: Path) -> None:
    made = pa.table({"v": pa.array([Decimal("1.10")], pa.decimal256(50, 2))})
    assert refusal(tmp_path, made) == "unsupported_type"


def test_a_text_repeated_by_a_dictionary_is_a_bomb(tmp_path: Path) -> None:
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), pa.array(["x" * 50_000]))
    assert refusal(tmp_path, pa.table({"v": text})) == "bomb"


def test_rows_that_take_no_room_are_a_bomb(tmp_path: Path) -> None:
    made = pa.table({f"v{number}": pa.nulls(1_000_000, pa.int64()) for number in range(20)})
    assert refusal(tmp_path, made) == "bomb"


def test_too_many_columns_or_rows_refuse_the_file(tmp_path: Path) -> None:
    made = pa.table({"a": [1, 2], "b": [1, 2]})
    assert refusal(tmp_path, made, Limits(columns=1)) == "too_many_columns"
    assert refusal(tmp_path, made, Limits(rows=1)) == "too_many_rows"


def test_a_footer_that_claims_too_much_is_refused(tmp_path: Path) -> None:
    content = bytes_of(pa.table({"v": [1]}))
    assert refusal(tmp_path, content[:-8] + struct.pack("<I", 2**32 - 1) + b"PAR1") == "corrupt"
    footer = len(content) - 8 - struct.unpack("<I", content[-8:-4])[0]
    assert refusal(tmp_path, content[:footer] + b"\xff" * 20 + content[footer + 20 :]) == "corrupt"


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, bytes_of(pa.table({"v": [1, 2, 3]}))[:-20]) == "truncated"


def test_a_footer_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    content = bytes_of(pa.table({f"column {number}": [1] for number in range(500)}))
    assert refusal(tmp_path, content, Limits(memory_bytes=100_000)) == "too_large"


def test_encrypted_files_are_refused(tmp_path: Path) -> None:
    content = bytes_of(pa.table({"v": [1]}))
    assert refusal(tmp_path, b"PARE" + content[4:-4] + b"PARE") == "encrypted"


def test_spoilt_pages_are_refused(tmp_path: Path) -> None:
    content = bytes_of(pa.table({"v": ["some text"] * 500}), compression="zstd")
    assert refusal(tmp_path, content[:10] + bytes(40) + content[50:]) == "corrupt"


@given(st.lists(st.one_of(st.none(), st.floats(), st.floats(width=32)), min_size=1, max_size=20))
def test_floats_come_back_exactly(values: list[float | None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = column_of(Path(folder), values, pa.float64())
    for value, text in zip(values, found, strict=True):
        read_back = None if text is None else float(text)
        assert read_back == value or (value is not None and math.isnan(value) and math.isnan(read_back or 0.0))


GENUINE = bytes_of(
    pa.table({"n": [1, None, 3], "t": ["a", "b", None], "l": [[1], [], None], "d": [Decimal("1.1")] * 3})
)


@given(
    changes=st.lists(st.tuples(st.integers(0, len(GENUINE) - 1), st.integers(0, 255)), max_size=6),
    junk=st.one_of(st.none(), st.binary(max_size=60)),
)
def test_any_bytes_are_read_or_refused(changes: list[tuple[int, int]], junk: bytes | None) -> None:
    content = bytearray(GENUINE)
    for place, value in changes:
        content[place] = value
    with tempfile.TemporaryDirectory() as folder:
        try:
            with read(Path(folder), bytes(content) if junk is None else junk) as table:
                assert table.count() + table.count(REJECTS) == table.lines
        except RejectedFile as refused:
            assert refused.rule
