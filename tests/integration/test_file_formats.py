"""Workbooks, Parquet files and JSON documents, broken or unusual, through the whole graph.

Belongs here: what a format makes possible. Does not belong here: delimited text (`test_file_contents.py`).
"""

import datetime as dt
import io
import json
import math
from collections.abc import Callable
from typing import Any

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.file_graph import FileGraph
from tests.written_sales import HEADER, loaded, put_aside, sale, staged

Built = Callable[..., FileGraph]
ENCRYPTED = bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 24 + "EncryptedPackage".encode("utf-16-le") + b"\0" * 2048


def saved(book: openpyxl.Workbook) -> bytes:
    sink = io.BytesIO()
    book.save(sink)
    return sink.getvalue()


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, **options)
    return sink.getvalue()


def document(readings: list[str]) -> bytes:
    """A document of one meter with these readings, spelled as JSON."""
    inner = ", ".join(readings)
    return f'{{"sites": [{{"id": "S1", "meters": [{{"id": "M1", "readings": [{inner}]}}]}}]}}'.encode()


def test_a_workbook_is_read_by_its_fullest_sheet_and_nothing_in_it_runs(graph_under: Built) -> None:
    graph = graph_under()
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "March"
    sheet.append([*HEADER])
    rows = [
        ["007", "C1", "=cmd|'/c calc'!A0", 2, 19.5, dt.datetime(2026, 3, 4, 10, 30), "North", None],
        ["T2", "C2", "Lamp", "3", "19.5", "2026-03-05", "North", None],
        ["T3", "C3", "Lamp", -1, "=D2*2", dt.date(2026, 3, 6), "South", None],
        ["T4", "C4", "Lamp", 1, 5, dt.date(2026, 3, 7), "South", None],
        [None, "C5", "Lamp", 1, 5, dt.date(2026, 3, 7), "South", None],
    ]
    for row in rows:
        sheet.append(row)
    sheet["C2"].data_type = "s"
    sheet.merge_cells("A5:A6")
    other = book.create_sheet("Notes")
    other.append(["what", "who"])
    other.append(["checked", "me"])
    hidden = book.create_sheet("Secret")
    hidden.append([*HEADER])
    hidden.append(list(sale(9).values()))
    hidden.sheet_state = "hidden"
    file = loaded(graph, saved(book), name="march.xlsx")
    aside = put_aside(graph, file)
    kept = staged(graph, file)
    assert kept["transaction_id"].to_dict() == {2: "007", 3: "T2", 5: "T4", 6: "T4"}
    assert kept["product_name"][2] == "=cmd|'/c calc'!A0"
    assert pd.Timestamp(kept["transaction_date"][2]) == pd.Timestamp("2026-03-04T10:30Z")
    assert kept["price"].tolist() == [19.5, 19.5, 5.0, 5.0]
    assert "formula" in aside[4][0]
    assert file["reader_facts"]["hidden_sheets"] == "Secret"
    assert len(aside) == 3, "the rows of the other sheet are not lost"
    graph.require_invariants()


def test_a_declared_sheet_is_read_alone(graph_under: Built) -> None:
    graph = graph_under(sales={"sheet": "April"})
    book = openpyxl.Workbook()
    book.active.title = "March"
    for title, number in (("March", 1), ("April", 2)):
        sheet = book[title] if title in book.sheetnames else book.create_sheet(title)
        sheet.append([*HEADER])
        sheet.append(list(sale(number).values()))
    file = loaded(graph, saved(book), name="spring.xlsx")
    assert staged(graph, file)["transaction_id"].tolist() == ["T0002"]
    graph.require_invariants()


def test_files_that_cannot_be_opened_are_refused_as_a_whole(graph_under: Built) -> None:
    graph = graph_under()
    book = openpyxl.Workbook()
    book.active.append([*HEADER])
    whole = saved(book)
    table = parquet({name: ["x"] for name in HEADER})
    broken = {
        "cut.xlsx": (whole[:-200], {"corrupt", "truncated"}),
        "password.xlsx": (ENCRYPTED, {"encrypted", "corrupt"}),
        "cut.parquet": (table[:-20], {"truncated"}),
        "footer.parquet": (table[:-8] + b"\xff\xff\xff\x7fPAR1", {"corrupt", "too_large"}),
        "pages.parquet": (b"PAR1" + b"\x00" * 60 + table[64:], {"corrupt"}),
        "deep.json": (b'{"a":' * 100_000, {"too_deep", "truncated", "malformed"}),
    }
    for name, (content, rules) in broken.items():
        file = loaded(graph, content, name=name)
        assert (file["ingestion_status"], file["error_rule"] in rules) == ("rejected", True), (name, file["error_rule"])
        assert file["archive_path"].startswith("rejected/")
        assert file["error_message"]
    assert graph.nothing_lies_in_landing()
    graph.require_invariants()


def test_parquet_types_are_mapped_and_nested_values_are_json(graph_under: Built) -> None:
    graph = graph_under()
    stamps = pa.array([dt.datetime(2026, 3, 4, 5, 6, 7), None], pa.timestamp("ns"))
    nested = pa.array([{"a": [1, 2], "b": "x"}, None])
    columns = {"at": stamps, "nested": nested, "wide": pa.array([2**53 + 1, None]), "ratio": [0.1, 2.0]}
    coded = pa.array(["red", "red"]).dictionary_encode()
    content = parquet(columns | {"code": coded}, use_deprecated_int96_timestamps=True)
    first = loaded(graph, content, dataset="columns", name="1.parquet")
    rows = staged(graph, first)
    assert pd.Timestamp(rows["at"][1]) == pd.Timestamp("2026-03-04T05:06:07Z")
    assert json.loads(rows["nested"][1]) == {"a": [1, 2], "b": "x"}
    assert (rows["wide"].tolist(), rows["ratio"][1], rows["code"].tolist()) == ([2**53 + 1, pd.NA], 0.1, ["red", "red"])
    second = loaded(graph, parquet({"at": ["soon"], "more": [True]}), dataset="columns", name="2.parquet")
    assert staged(graph, second)["at"].tolist() == ["soon"]
    assert staged(graph, second)["more"].tolist() == [True]
    assert staged(graph, first)["at"][1].startswith("2026-03-04T05:06:07")
    graph.require_invariants()


def test_parquet_of_a_declared_dataset_is_converted_as_declared(graph_under: Built) -> None:
    graph = graph_under()
    cells = {name: [sale(n)[name] for n in range(3)] for name in HEADER}
    stamps = [dt.datetime(2026, 3, day, tzinfo=dt.UTC) for day in (4, 5, 6)]
    content = parquet(
        cells | {"quantity": [1, None, -2], "price": [1.5, float("inf"), 2.5], "transaction_date": stamps}
    )
    file = loaded(graph, content, name="sales.parquet")
    assert {line: rule for line, (rule, _) in put_aside(graph, file).items()} == {2: "price: not_finite"}
    assert staged(graph, file)["quantity"].to_dict() == {1: 1, 3: -2}
    graph.require_invariants()


def test_readings_that_do_not_fit_are_put_aside_one_by_one(graph_under: Built) -> None:
    graph = graph_under()
    readings = [
        '{"at": "2026-03-04T00:00:00Z", "energy": 1.5, "power": 3}',
        '{"at": "2026-03-04T01:00:00Z", "energy": -1.5, "power": 3}',
        '{"at": "2026-03-04T02:00:00Z", "energy": null, "power": 3, "note": "new"}',
        '{"at": "2026-03-04T03:00:00Z", "energy": {"value": 1}, "power": 3}',
        '{"at": "2026-03-04T05:00:00Z", "energy": 2, "power": 4}',
    ]
    file = loaded(graph, document(readings), dataset="meters", name="site.json")
    rows = staged(graph, file)
    assert [pd.Timestamp(at).hour for at in rows["measured_at"]] == [0, 2, 3, 5]
    assert rows["energy_kwh"].tolist() == pytest.approx([1.5, math.nan, math.nan, 2.0], nan_ok=True)
    extra = [{name: cell for name, cell in json.loads(text).items() if cell} for text in rows["extra"]]
    assert [list(cells.values()) for cells in extra] == [[], ["new"], ["1"], []]
    assert [rule for rule, _ in put_aside(graph, file).values()] == ["energy_kwh: below minimum"]
    graph.require_invariants()


def test_a_record_too_deep_or_with_a_huge_value_is_put_aside_alone(graph_under: Built) -> None:
    graph = graph_under()
    deep, huge = "[" * 100_000 + "]" * 100_000, "x" * 10_000_001
    lines = ['{"n": 1, "v": "a"}', f'{{"n": 2, "v": {deep}}}', f'{{"n": 3, "v": "{huge}"}}', '{"n": 4, "v": "b"}']
    file = loaded(graph, "\n".join(lines).encode(), dataset="log", name="log.jsonl")
    assert staged(graph, file)["n"].to_dict() == {1: 1, 4: 4}
    aside = put_aside(graph, file)
    assert {line: rule for line, (rule, _) in aside.items()} == {2: "too_deep", 3: "cell_too_large"}
    assert "SHA-256" in {row.line_no: row.raw for row in graph.put_aside_rows(file["id"])}[3]
    assert max(len(row.raw) for row in graph.put_aside_rows(file["id"])) < 100_000
    graph.require_invariants()
