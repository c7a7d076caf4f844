"""Columns that come, go, change or have names nobody expects, through the whole graph.

Belongs here: headers and kinds of columns. Does not belong here: single cells (`test_file_contents.py`).
"""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from resources.catalog import registry
from resources.catalog.registry import Version
from resources.landing.limits import Limits
from resources.landing.resource import LandingResource
from schemas.catalog_files import COLUMN_METADATA
from schemas.declared_files import file_datasets
from schemas.file_dataset import Mode
from schemas.physical_names import PATTERN
from tests.file_graph import FileGraph
from tests.written_sales import HEADER, loaded, put_aside, sale, staged, written

ARRIVALS = file_datasets()["sales"].arrivals
FROZEN_PRICE = {"arrivals": ARRIVALS | {"price": replace(ARRIVALS["price"], mode=Mode.FREEZE)}}
Built = Callable[..., FileGraph]
STRANGE = [
    *("v", "v", " V", "", "", "select", 'a"b', "%s", "{}", "'; drop table catalog.ledger; --", "x\ny"),
    *("n" * 70 + "1", "n" * 70 + "2", "caf\u00e9", "cafe\u0301", "Größe", "größe", "日本", "🙂"),
    *("tableoid", "ctid", "xmin", "source_id", "line_no", "extra", "2024", "_2024", "validate", "to_schema", "Config"),
]


def versions(graph: FileGraph, dataset: str) -> list[Version]:
    """What the registry holds of the dataset, the oldest first."""
    with graph.connect() as connection:
        return registry.history(connection, dataset)


def text_file(*lines: list[str]) -> bytes:
    """The lines as CSV, every cell in quotes; the first is the header."""
    quoted = ([f'"{cell}"' for cell in (one.replace('"', '""') for one in line)] for line in lines)
    return "".join(f"{','.join(line)}\n" for line in quoted).encode()


def test_strange_names_become_safe_ones_and_originals_are_kept(graph_under: Built) -> None:
    graph = graph_under()
    cells = [f"cell {n}" for n in range(len(STRANGE))]
    first = loaded(graph, text_file(STRANGE, cells, cells), dataset="strange")
    (version,) = versions(graph, "strange")
    assert [column.original for column in version.columns] == STRANGE
    names = [column.name for column in version.columns]
    assert len(set(names)) == len(names)
    assert all(PATTERN.fullmatch(name) for name in names)
    assert staged(graph, first)[names].iloc[0].tolist() == cells
    with graph.connect() as connection:
        columns = (COLUMN_METADATA.c.column_name, COLUMN_METADATA.c.original_name)
        kept = dict(tuple(row) for row in connection.execute(sa.select(*columns)))
    assert kept == dict(zip(names, STRANGE, strict=True))
    turned = loaded(graph, text_file(STRANGE[::-1], cells, cells), dataset="strange", name="turned.csv")
    row = staged(graph, turned).iloc[0]
    of_name = {column.name: column.original for column in versions(graph, "strange")[-1].columns}
    unique = [name for name in of_name if STRANGE.count(of_name[name]) == 1]
    assert all(row[name] == cells[STRANGE[::-1].index(of_name[name])] for name in unique)
    assert set(of_name) == set(names)
    graph.require_invariants()


def test_columns_nobody_declared_stay_in_extra_under_names_of_their_own(graph_under: Built) -> None:
    graph = graph_under()
    header = [*HEADER, "colour", "size", "size", "", " Price"]
    content = text_file(header, [*sale(0).values(), "red", "1", "2", "3", "4"], [*sale(1).values(), "", "", "", "", ""])
    file = loaded(graph, content)
    extra = {line: json.loads(text) for line, text in staged(graph, file)["extra"].items()}
    values = extra[2]
    assert (values["colour"], values["size"], values[" Price"], values["column_12"]) == ("red", "1", "4", "3")
    assert len(values) == 5 and sorted(values.values()) == ["1", "2", "3", "4", "red"]
    assert staged(graph, file)["price"].tolist() == [19.5, 19.5]
    (version,) = versions(graph, "sales")
    names = {column.name for column in version.columns if column.name.startswith("extra.")}
    assert len(names) == 5
    assert "extra.colour" in names
    graph.require_invariants()


def test_more_columns_than_a_table_holds_are_refused_in_one_file_and_over_many(
    graph_under: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_under()
    names = [f"n{n}" for n in range(1_700)]
    file = loaded(graph, text_file(names, ["1"] * 1_700), dataset="wide")
    assert (file["ingestion_status"], file["error_rule"]) == ("rejected", "too_many_columns")
    assert "1700 columns; the limit is 1500" in file["error_message"]
    monkeypatch.setattr(LandingResource, "limits", property(lambda _: Limits(columns=4, memory_bytes=200_000_000)))
    loaded(graph, text_file(["a", "b", "c"], ["1", "2", "3"], ["4", "5", "6"]), dataset="grown", name="1.csv")
    file = loaded(graph, text_file(["c", "d", "e"], ["1", "2", "3"], ["4", "5", "6"]), dataset="grown", name="2.csv")
    assert (file["ingestion_status"], file["error_rule"]) == ("rejected", "too_many_columns")
    assert "staging.grown_files would have 5 columns" in file["error_message"]
    assert len(versions(graph, "grown")) == 1
    graph.require_invariants()


def test_a_row_wider_than_a_page_of_the_database_is_put_aside(graph_under: Built) -> None:
    graph = graph_under()
    names = [f"n{n}" for n in range(350)]
    full, sparse = ["x" * 23] * 350, ["y" * 23] * 100 + [""] * 250
    file = loaded(graph, text_file(names, full, sparse, ["z" * 300] * 350), dataset="wide")
    assert {line: rule for line, (rule, _) in put_aside(graph, file).items()} == {2: "too wide", 4: "too wide"}
    assert staged(graph, file)["n99"].to_dict() == {3: "y" * 23}
    graph.require_invariants()


def test_a_column_that_changes_its_kind_late_is_text_from_the_first_row_on(graph_under: Built) -> None:
    graph = graph_under()
    lines = [f'{{"n": {number}, "t": "a"}}' for number in range(60_000)]
    lines += ['{"n": "6o000", "t": "b", "late": 1}', '{"n": 60001, "t": "c"}']
    file = loaded(graph, "\n".join(lines).encode(), dataset="log", name="log.jsonl")
    rows = staged(graph, file)
    assert rows["n"].tolist() == [*map(str, range(60_000)), "6o000", "60001"]
    assert rows["late"].dropna().to_dict() == {60_001: 1}
    assert put_aside(graph, file) == {}
    assert {column.name: column.kind for column in versions(graph, "log")[0].columns}["n"] == "text"


def test_an_undeclared_dataset_widens_and_grows_and_every_change_has_its_file(graph_under: Built) -> None:
    graph = graph_under()
    old = loaded(graph, b"id,value,gone,at\n1,1,a,2026-01-02\n2,20,b,2026-01-03\n", dataset="drift", name="1.csv")
    new = loaded(graph, b"id,value,at,fresh\n3,1.50,2026-01-02,yes\n4,2,2026-01-03,no\n", dataset="drift", name="2.csv")
    assert staged(graph, old)["value"].tolist() == [1.0, 20.0]
    assert staged(graph, new)["value"].tolist() == [1.5, 2.0]
    assert staged(graph, old)["fresh"].isna().all() and staged(graph, new)["gone"].isna().all()
    third = loaded(graph, b"id,value,at\n5,none yet,soon\n6,3,2026-01-04\n", dataset="drift", name="3.csv")
    assert staged(graph, third)["value"].tolist() == ["none yet", "3"]
    assert staged(graph, old)["value"].tolist() == ["1", "20"]
    assert staged(graph, new)["value"].tolist() == ["1.50", "2"]
    assert staged(graph, old)["at"].tolist() == ["2026-01-02", "2026-01-03"]
    changes = [({name for name in one.diff if name != "order"}, one.first_file_id) for one in versions(graph, "drift")]
    assert changes[0] == ({"added"}, old["id"])
    assert changes[1][1] == new["id"] and {"added", "widened"} <= changes[1][0]
    assert changes[2][1] == third["id"] and "widened" in changes[2][0]
    widened = versions(graph, "drift")[2].diff["widened"]
    assert {(one["old"]["kind"], one["new"]["kind"]) for one in widened} == {("number", "text"), ("timestamp", "text")}
    graph.require_invariants()


@pytest.mark.parametrize("is_long_first", [True, False])
def test_integers_that_a_number_would_round_become_text(graph_under: Built, is_long_first: bool) -> None:
    graph = graph_under()
    long, short = b"id,value\n1,9007199254740993\n2,3\n", b"id,value\n3,1.50\n4,2\n"
    contents = [long, short] if is_long_first else [short, long]
    files = [loaded(graph, data, dataset="drift", name=f"{n}.csv") for n, data in enumerate(contents)]
    found = [staged(graph, file)["value"].tolist() for file in files]
    assert sorted(found) == [["1.50", "2"], ["9007199254740993", "3"]]
    graph.require_invariants()


def test_a_long_integer_seen_once_is_remembered(graph_under: Built) -> None:
    graph = graph_under()
    first = loaded(graph, b"id,value\n1,9007199254740993\n", dataset="drift", name="1.csv")
    loaded(graph, b"id,value\n2,5\n", dataset="drift", name="2.csv")
    loaded(graph, b"id,value\n3,0.5\n", dataset="drift", name="3.csv")
    assert staged(graph, first)["value"].tolist() == ["9007199254740993"]


def test_a_change_of_the_schema_is_told_with_what_it_reaches(graph_under: Built) -> None:
    graph = graph_under()
    wide = [name for name in HEADER if name != "created_at"]
    graph.drop("sales", "1.csv", written([sale(0)], header=wide))
    first = told_of_files(graph.load("sales"))
    assert "schema version" not in first
    graph.drop("sales", "2.csv", text_file([*wide, "colour"], [*[*sale(2).values()][:7], "red"]))
    told = told_of_files(graph.load("sales"))
    assert "schema version 2: added" in told and "colour" in told
    assert "reaches timeseries.sales, features.sales\\_features, quality.sales\\_report" in told


def told_of_files(result: dg.ExecuteInProcessResult) -> str:
    """The table of files in the metadata of the day."""
    assert result.success
    (event,) = result.get_asset_materialization_events()
    return str(event.materialization.metadata["files"].value)


def test_files_of_one_run_see_the_columns_of_the_one_before(graph_under: Built) -> None:
    graph = graph_under()
    graph.drop("drift", "1.csv", b"id,value\n1,one\n2,two\n")
    graph.drop("drift", "2.csv", b"id,value\n3,3\n4,4\n")
    graph.drop("drift", "3.csv", b"id,other\n5,3\n6,4\n")
    assert graph.load("drift").success
    assert {file["ingestion_status"] for file in graph.catalog_files()} == {"archived"}
    assert staged(graph, graph.catalog_files()[1])["value"].tolist() == ["3", "4"]
    graph.require_invariants()


def test_a_declared_dataset_notes_every_change_of_its_files(graph_under: Built) -> None:
    graph = graph_under()
    wide = [name for name in HEADER if name != "created_at"]
    loaded(graph, written([sale(0), sale(1, price="5.5")], header=wide), name="1.csv")
    added = loaded(graph, text_file([*wide, "colour"], [*[*sale(2).values()][:7], "red"]), name="2.csv")
    lean = [name for name in wide if name != "customer_id"]
    dropped = loaded(graph, written([sale(3), sale(4)], header=lean), name="3.csv")
    narrowed = loaded(graph, written([sale(5, price="7"), sale(6, price="8")], header=lean), name="4.csv")
    found = [(one.first_file_id, set(one.diff) - {"order"}) for one in versions(graph, "sales")][1:]
    assert found[0] == (added["id"], {"added"})
    assert found[1][0] == dropped["id"] and "removed" in found[1][1]
    assert found[2] == (narrowed["id"], {"narrowed"})
    assert staged(graph, narrowed)["price"].tolist() == [7.0, 8.0]
    assert staged(graph, dropped)["customer_id"].isna().all()
    graph.require_invariants()


@pytest.mark.parametrize(
    ("header", "cells", "told"),
    [
        ([*HEADER, "colour"], {"colour": "red"}, "added colour"),
        ([name for name in HEADER if name != "price"], {}, "missing price"),
        (["cost" if name == "price" else name for name in HEADER], {"cost": "2"}, "added cost; missing price"),
        (HEADER, {"price": "dear"}, 'line 2: price: not a number (price: not a number: "dear")'),
    ],
    ids=["added", "dropped", "renamed", "another kind"],
)
def test_a_frozen_dataset_refuses_another_schema_and_says_what_is_different(
    graph_under: Built, header: list[str], cells: dict[str, str], told: str
) -> None:
    graph = graph_under(sales={"mode": Mode.FREEZE})
    fitting = loaded(graph, written([sale(0)]), name="fits.csv")
    file = loaded(graph, written([sale(1) | cells], header=header), name="other.csv")
    assert (fitting["ingestion_status"], file["ingestion_status"]) == ("archived", "rejected")
    assert file["error_rule"] == "frozen_schema"
    assert told in file["error_message"]
    assert len(staged(graph, file)) == 0
    assert len(versions(graph, "sales")) == 1
    graph.require_invariants()


@pytest.mark.parametrize(
    ("frozen", "header", "cells", "told"),
    [
        ("price", [name for name in HEADER if name != "price"], {}, "price of sales is frozen and missing"),
        (
            "price",
            HEADER,
            {"price": "dear"},
            '1 cell(s) do not fit, line 3: price: not a number: "dear"',
        ),
        (
            "price",
            HEADER,
            {"price": "-1"},
            '1 cell(s) do not fit, line 3: price: below minimum: "-1"',
        ),
        (
            "price",
            HEADER,
            {"quantity": "few", "price": "-1"},
            "price is frozen and 1 cell(s) do not fit, line 3",
        ),
        ("region", HEADER, {"region": ""}, "region is frozen and 1 cell(s) do not fit, line 3: region: null"),
        (
            "transaction_date",
            HEADER,
            {"transaction_date": "1999-01-01"},
            "transaction_date is frozen and 1 cell(s) do not fit, before the first day",
        ),
    ],
    ids=["missing", "another kind", "out of range", "not the first bad cell", "empty", "too early"],
)
def test_a_frozen_column_refuses_the_file_that_lacks_it_or_has_a_bad_cell_in_it(
    graph_under: Built, frozen: str, header: list[str], cells: dict[str, str], told: str
) -> None:
    graph = graph_under(sales={"arrivals": ARRIVALS | {frozen: replace(ARRIVALS[frozen], mode=Mode.FREEZE)}})
    file = loaded(graph, written([sale(1), sale(2) | cells], header=header), name="other.csv")
    assert (file["ingestion_status"], file["error_rule"]) == ("rejected", "frozen_column")
    assert told in file["error_message"]
    assert len(staged(graph, file)) == 0
    assert put_aside(graph, file) == {}
    graph.require_invariants()


def test_beside_a_frozen_column_rows_are_put_aside_and_new_columns_kept(graph_under: Built) -> None:
    graph = graph_under(sales=FROZEN_PRICE)
    rows = [sale(0), sale(1, quantity="few"), sale(2, price="")]
    file = loaded(graph, written((row | {"colour": "red"} for row in rows), header=[*HEADER, "colour"]))
    assert {line: rule for line, (rule, _) in put_aside(graph, file).items()} == {3: "quantity: not an integer"}
    assert staged(graph, file)["extra"].to_dict() == dict.fromkeys((2, 4), '{"colour":"red"}')
    graph.require_invariants()


@pytest.mark.parametrize(
    ("declared", "cells", "severity", "names"),
    [
        ({"mode": Mode.FREEZE}, {"price": "dear"}, dg.AssetCheckSeverity.ERROR, ["other.csv"]),
        (FROZEN_PRICE, {"price": "dear"}, dg.AssetCheckSeverity.ERROR, ["other.csv"]),
        ({"min_rows": 1}, {"price": "dear"}, dg.AssetCheckSeverity.WARN, []),
    ],
    ids=["frozen dataset", "frozen column", "too few rows"],
)
def test_files_accepted_is_an_error_where_what_is_frozen_refused_a_file(
    graph_under: Built,
    declared: dict[str, Any],
    cells: dict[str, str],
    severity: dg.AssetCheckSeverity,
    names: list[str],
) -> None:
    graph = graph_under(sales=declared)
    graph.drop("sales", "fits.csv", written([sale(0)]))
    graph.drop("sales", "other.csv", written([sale(1) | cells]))
    result = graph.load("sales")
    assert result.success
    (found,) = [one for one in result.get_asset_check_evaluations() if one.check_name == "files_accepted"]
    assert (found.passed, found.severity) == (False, severity)
    assert found.metadata["refused"].value == ["other.csv"]
    assert found.metadata["refused_frozen"].value == names


def test_columns_without_which_there_is_no_row_refuse_the_file(graph_under: Built) -> None:
    graph = graph_under()
    loaded(graph, written([sale(0)]), name="fits.csv")
    header = [name for name in HEADER if name != "region"]
    cells = [sale(1)[name] for name in header]
    file = loaded(graph, text_file([*header, "regoin"], [*cells, "North"]), name="1.csv")
    assert file["error_rule"] == "missing_column"
    assert "sales needs region" in file["error_message"] and "region? 'regoin'" in file["error_message"]
    twice = text_file([*header, "area", "territory"], [*cells, "North", "South"])
    file = loaded(graph, twice, name="2.csv")
    assert file["error_rule"] == "missing_column"
    assert "'area', 'territory' fit" in file["error_message"]
    graph.require_invariants()


def test_a_file_without_a_header_has_the_declared_columns_or_is_refused(graph_under: Built) -> None:
    graph = graph_under()
    lines = written([sale(0), sale(1, quantity="3")]).splitlines(keepends=True)[1:]
    file = loaded(graph, b"".join(lines), name="bare.csv")
    assert staged(graph, file)["quantity"].to_dict() == {1: 2, 2: 3}
    short = b"".join(line.rsplit(b",", 2)[0] + b"\n" for line in lines)
    file = loaded(graph, short, name="short.csv")
    assert (file["ingestion_status"], file["error_rule"]) == ("rejected", "no_header")
    assert "6 columns, sales declares 8" in file["error_message"]
    graph.require_invariants()
