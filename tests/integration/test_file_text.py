"""Encodings, delimiters and quotes of files, through the whole graph."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from schemas.file_tables import tables_of
from tests.file_graph import FileGraph

SALES = tables_of("sales").staging
HEADER = "transaction_id,customer_id,product_name,quantity,price,transaction_date,region,created_at"


@pytest.fixture
def graph(postgres_url: str, tmp_path: Path) -> Iterator[FileGraph]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield FileGraph(postgres_url, tmp_path, instance)


def row(number: int, product: str = "Käse") -> str:
    return f"t{number},c1,{product},2,3.50,2026-03-{1 + number % 28:02},North,"


def load(graph: FileGraph, name: str, content: bytes) -> dict[str, object]:
    """Drops and loads a file; what the catalog says of it."""
    graph.drop("sales", name, content)
    assert graph.load("sales").success
    graph.require_invariants()
    return graph.catalog_files()[-1]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_is_what_was_written_in_whatever_encoding(graph: FileGraph, encoding: str) -> None:
    text = "\n".join([HEADER, *(row(number, f"Käse für {number} €") for number in range(60))]) + "\n"
    file = load(graph, "sales.csv", text.encode(encoding))
    assert (file["row_count"], file["rejected_rows"]) == (60, 0)
    assert set(graph.table(SALES)["product_name"]) == {f"Käse für {number} €" for number in range(60)}
    assert 0 < float(str(file["reader_facts"]["encoding_confidence"])) <= 1  # type: ignore[index]


def test_bytes_no_encoding_knows_and_nul_put_their_lines_aside_and_no_other(graph: FileGraph) -> None:
    lines = [HEADER.encode(), *(row(number).encode() for number in range(80))]
    lines[10] = lines[10].replace("ä".encode(), b"\xff\xfe")
    lines[20] = lines[20].replace("ä".encode(), b"a\x00b")
    file = load(graph, "sales.csv", b"\n".join(lines) + b"\n")
    assert (file["row_count"], file["rejected_rows"]) == (78, 2)
    aside = {entry.line_no: (entry.rule, entry.raw) for entry in graph.put_aside_rows(file["id"])}
    assert {line: rule for line, (rule, _) in aside.items()} == {11: "undecodable", 21: "nul"}
    assert "\\xff\\xfe" in aside[11][1]
    assert "?" not in "".join(graph.table(SALES)["product_name"])


def test_a_lone_surrogate_in_a_document_puts_its_record_aside(graph: FileGraph) -> None:
    def site(status: str) -> str:
        reading = f'{{"at": "2026-03-01T00:00:00Z", "energy_kwh": 1.5, "power_kw": 2, "status": "{status}"}}'
        return f'{{"site_id": "s", "meters": [{{"meter_id": "m", "readings": [{reading}]}}]}}'

    sites = ", ".join(map(site, ("ok", "\\ud800", "fine")))
    text = f'{{"sites": [{sites}]}}'
    graph.drop("meters", "readings.json", text.encode())
    assert graph.load("meters").success
    graph.require_invariants()
    (file,) = graph.catalog_files()
    assert (file["row_count"], file["rejected_rows"]) == (2, 1)
    (aside,) = graph.put_aside_rows(file["id"])
    assert aside.rule == "undecodable"


def test_a_delimiter_that_is_also_a_decimal_sign_is_told_apart_and_recorded(graph: FileGraph) -> None:
    lines = [HEADER.replace(",", ";")]
    lines += [row(number).replace(",", ";").replace("3.50", f"{number},5") for number in range(40)]
    file = load(graph, "sales.csv", "\n".join(lines).encode())
    assert file["reader_facts"]["delimiter"] == ";"  # type: ignore[index]
    assert sorted(graph.table(SALES)["price"]) == [number + 0.5 for number in range(40)]


def test_a_quoted_newline_stays_in_its_cell_and_an_unclosed_quote_takes_its_own_line_only(graph: FileGraph) -> None:
    lines = [HEADER, *(row(number) for number in range(60))]
    lines[5] = row(4, '"two\nlines"')
    lines[30] = row(29, '"never closed')
    file = load(graph, "sales.csv", "\n".join(lines).encode() + b"\n")
    assert (file["lines"], file["row_count"], file["rejected_rows"]) == (62, 59, 1)
    rows = graph.table(SALES).set_index("line_no")
    assert rows.loc[6, "product_name"] == "two\nlines"
    assert rows.loc[8, "transaction_id"] == "t5"
    (aside,) = graph.put_aside_rows(file["id"])
    assert (aside.line_no, aside.rule) == (32, "unclosed_quote")
    assert rows["product_name"].str.len().max() < 20
