"""Formats are told by content, never by name."""

import json
from pathlib import Path

import pytest

from resources.errors import RejectedFile
from resources.landing.readers.formats import HEAD, format_of, require_agreement

RECORDS = [{"a": number, "b": "x"} for number in range(5)]


def told(data: bytes, folder: Path) -> str:
    path = folder / "x.csv"
    path.write_bytes(data)
    return format_of(path)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "csv"),
        (b"a,b\n1,2\n", "csv"),
        (b"PAR1....PAR1", "parquet"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 100, "excel"),
        (json.dumps(RECORDS).encode(), "json"),
        (json.dumps(RECORDS, indent=2).encode("utf-16"), "json"),
        ("\n".join(map(json.dumps, RECORDS)).encode(), "json"),
        (b'\xef\xbb\xbf\n {"data": []}', "json"),
        ((json.dumps(RECORDS[0]) + "\n" + '{"a": 1, oops\n' + json.dumps(RECORDS[1])).encode(), "json"),
        (json.dumps(RECORDS * HEAD).encode()[: HEAD * 2], "json"),
        (json.dumps([{"a": 1, "long": "x" * 2 * HEAD}]).encode(), "json"),
        (b'["a,b\n' + b"1,2\n" * 1000, "csv"),
        (b"[a],[b]\n1,2\n", "csv"),
        (b'{"a": 1},2\n{"a": 2},3\n', "csv"),
        (b"{not json at all\n", "csv"),
        ("a,b\n1,ü\n".encode("utf-16"), "csv"),
        ("a,b\n1,2\n".encode("utf-32-be"), "csv"),
        ("name,value\nsomething,12345\n".encode("cp037"), "csv"),
        ("名前,値\n東京,1\n".encode("cp932"), "csv"),
        (b"a,b\n1,\0\n3,4\n" + b"5,6\n" * 10 + b"\0" * 5_000, "csv"),
    ],
)
def test_the_format_is_found(data: bytes, name: str, tmp_path: Path) -> None:
    assert told(data, tmp_path) == name


@pytest.mark.parametrize(
    "data",
    [
        b"%PDF-1.7\n",
        b"\x89PNG\r\n\x1a\n",
        b"\x7fELF\x02",
        b"<!DOCTYPE html><html>",
        b"<?xml version='1.0'?>",
        bytes(range(256)) * 20,
    ],
)
def test_what_is_no_table_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(RejectedFile) as refused:
        told(data, tmp_path)
    assert refused.value.rule == "not_a_table"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.csv", "csv"),
        ("a.TSV", "csv"),
        ("a.csv.gz", "csv"),
        ("folder.json/a.csv", "csv"),
        ("a.jsonl.zip", "json"),
        ("a.XLS", "excel"),
        ("a.pq", "parquet"),
        ("a.txt", "json"),
        ("a", "parquet"),
        ("a.2026-03", "csv"),
        ("a.zip", "excel"),
    ],
)
def test_a_name_may_claim_the_format_or_none(name: str, found: str) -> None:
    require_agreement(name, found)


@pytest.mark.parametrize(
    ("name", "found"),
    [("a.csv", "excel"), ("a.xlsx", "csv"), ("a.json", "csv"), ("a.csv.gz", "json"), ("a.parquet", "csv")],
)
def test_a_name_that_claims_another_format_is_refused(name: str, found: str) -> None:
    with pytest.raises(RejectedFile, match=f"holds {found}: rename it") as refused:
        require_agreement(name, found)
    assert refused.value.rule == "wrong_extension"
