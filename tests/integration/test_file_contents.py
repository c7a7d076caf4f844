"""What files hold, broken in every way, through the whole graph: each line has one fate, and each cell its own value.

Belongs here: rows and cells of delimited files. Does not belong here: columns that come and go
(`test_file_columns.py`), instants (`test_file_instants.py`), other formats (`test_file_formats.py`).
"""

from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest
import sqlalchemy as sa

from schemas.catalog_files import COLUMN_METADATA
from schemas.declared_files import file_datasets
from schemas.file_dataset import Mode
from schemas.file_tables import tables_of
from tests.file_graph import FileGraph
from tests.written_sales import loaded, put_aside, sale, staged, written

SALES = tables_of("sales")
ARRIVALS = file_datasets()["sales"].arrivals
Built = Callable[..., FileGraph]


def test_a_row_of_another_length_is_put_aside_and_neither_shifted_nor_padded(graph_under: Built) -> None:
    graph = graph_under()
    whole = written([sale(0), sale(1), sale(2), sale(3)]).decode().splitlines()
    whole[2] += ",left over"
    whole[3] = whole[3].rsplit(",", 4)[0]
    file = loaded(graph, "\n".join([*whole, ""]).encode())
    assert {line: rule for line, (rule, _) in put_aside(graph, file).items()} == {3: "ragged", 4: "ragged"}
    reasons = {line: reason for line, (_, reason) in put_aside(graph, file).items()}
    assert reasons == {3: "9 cells; the table has 8", 4: "4 cells; the table has 8"}
    assert staged(graph, file)["transaction_id"].to_dict() == {2: "T0000", 5: "T0003"}
    assert staged(graph, file)["region"].tolist() == ["North", "North"]
    graph.require_invariants()


def test_numbers_are_exact_or_put_aside(graph_under: Built) -> None:
    graph = graph_under()
    prices = ["NaN", "Infinity", "-inf", "1e400", "-0", "0.1", "0.30000000000000004", "-1", ""]
    file = loaded(graph, written(sale(n, price=price) for n, price in enumerate(prices)))
    rules = {line: rule for line, (rule, _) in put_aside(graph, file).items()}
    assert rules == {line: "price: not_finite" for line in (3, 4, 5)} | {9: "price: below minimum"}
    assert graph.bad_cells(file["id"]) == [(2, "price", "NaN", "nan")]
    kept = staged(graph, file)["price"]
    assert kept.dropna().to_dict() == {6: 0.0, 7: 0.1, 8: 0.30000000000000004}
    assert set(kept.index[kept.isna()]) == {2, 10}
    graph.require_invariants()


def test_identifiers_stay_the_text_they_are(graph_under: Built) -> None:
    graph = graph_under()
    ids = [
        *map(str, range(60)),
        "NA",
        "None",
        "nan",
        "007",
        "1e5",
        "9007199254740993",
        "123456789012345678901234567890",
    ]
    file = loaded(graph, written(sale(n, transaction_id=text) for n, text in enumerate(ids)))
    assert staged(graph, file)["transaction_id"].tolist() == ids
    graph.drop("ids", "ids.csv", ("id,wide\n" + "".join(f"{text},{n or ''}\n" for n, text in enumerate(ids))).encode())
    graph.drop("ids", "wide.csv", b"id,wide\n1,9007199254740993\n2,\n3,-9223372036854775808\n4,9223372036854775807\n")
    assert graph.load("ids").success
    first, second = graph.catalog_files()[1:]
    assert staged(graph, first)["id"].tolist() == ids
    assert staged(graph, second)["wide"].tolist() == [2**53 + 1, pd.NA, -(2**63), 2**63 - 1]
    graph.require_invariants()


def test_integers_beyond_64_bits_and_fractions_are_no_quantity(graph_under: Built) -> None:
    graph = graph_under()
    cells = ["9223372036854775808", "9007199254740993", "", "7", "1.5", "1e2", "-3"]
    file = loaded(graph, written(sale(n, quantity=cell) for n, cell in enumerate(cells)))
    rules = {line: rule.removeprefix("quantity: ") for line, (rule, _) in put_aside(graph, file).items()}
    assert rules == {2: "beyond 64 bits", 3: "above maximum", 6: "not an integer", 7: "not an integer"}
    assert staged(graph, file)["quantity"].tolist() == [pd.NA, 7, -3]
    graph.require_invariants()


BROKEN = {
    "a word": (["1.234,56", "zwölf", "7", "0,5"], {2: 1234.56, 4: 7.0, 5: 0.5}),
    "another decimal sign": (["3,5", "4,25", "2.5", "7,0"], {2: 3.5, 3: 4.25, 5: 7.0}),
    "another currency": (["5,00 €", "$5", "12,50 €", "9 €"], {2: 5.0, 4: 12.5, 5: 9.0}),
    "a percentage": (["1.5", "20%", "2.5", "3.5"], {2: 1.5, 4: 2.5, 5: 3.5}),
    "Arabic digits": (["١٢٫٥", "٣", "zwei", "٧"], {2: 12.5, 3: 3.0, 5: 7.0}),
}
"""Prices of which one is broken, and by line what the others are."""


def test_one_broken_cell_does_not_change_how_the_others_are_read(graph_under: Built) -> None:
    graph = graph_under()
    for name, (cells, read) in BROKEN.items():
        rows = (sale(n, price=cell) for n, cell in enumerate(cells))
        file = loaded(graph, written(rows, delimiter=";"), name=f"{name}.csv")
        assert staged(graph, file)["price"].to_dict() == read, name
        ((line, (rule, _)),) = put_aside(graph, file).items()
        assert (line, rule) == (({2, 3, 4, 5} - read.keys()).pop(), "price: not a number")
    graph.require_invariants()


@pytest.mark.parametrize("cells", [["1.234", "5.678"], ["1.234", "5.678", "about six", "9.999"]])
def test_a_price_that_may_be_a_thousand_times_another_is_not_guessed(graph_under: Built, cells: list[str]) -> None:
    graph = graph_under()
    content = written((sale(n, price=cell) for n, cell in enumerate(cells)), delimiter=";")
    file = loaded(graph, content)
    assert {rule for rule, _ in put_aside(graph, file).values()} == {"price: ambiguous"}
    assert len(put_aside(graph, file)) == len(cells)
    assert all("declare decimal" in reason for _, reason in put_aside(graph, file).values())
    graph.require_invariants()
    graph = graph_under(sales={"arrivals": ARRIVALS | {"price": replace(ARRIVALS["price"], decimal=",")}})
    assert graph.load("sales", config={"ids": [file["id"]]}).success
    assert staged(graph, file)["price"].tolist()[:2] == [1234.0, 5678.0]
    assert {line: rule for line, (rule, _) in put_aside(graph, file).items()} == {
        line: "price: not a number" for line, cell in enumerate(cells, start=2) if cell == "about six"
    }
    graph.require_invariants()


def test_formulas_in_text_are_text_and_signed_numbers_are_numbers(graph_under: Built) -> None:
    graph = graph_under()
    texts = ["=cmd|'/c calc'!A0", "@SUM(1)", "+1", "-5", "\tx", "\rx", "=1+1"]
    file = loaded(graph, written(sale(n, product_name=t, quantity="-5", price="+1") for n, t in enumerate(texts)))
    rows = staged(graph, file)
    assert rows["product_name"].tolist() == texts
    assert (set(rows["quantity"]), set(rows["price"])) == ({-5}, {1.0})
    graph.require_invariants()


def test_keys_are_compared_code_point_by_code_point(graph_under: Built) -> None:
    graph = graph_under()
    keys = ["caf\u00e9", "cafe\u0301", "cafe", "\u0441afe", "cafe\u200b", "👩\u200d🔬", "cafe"]
    file = loaded(graph, written(sale(n, transaction_id=key) for n, key in enumerate(keys)))
    assert staged(graph, file)["transaction_id"].tolist() == keys
    graph.settle()
    series = graph.table(SALES.series)
    assert series.loc[series["metric"] == "orders", "value"].iloc[0] == len(set(keys))
    assert graph.table(SALES.report)["rows_duplicate"].sum() == 1
    graph.require_invariants()


def test_a_huge_cell_is_put_aside_by_its_beginning(graph_under: Built) -> None:
    graph = graph_under()
    huge = "x" * 10_000_001
    file = loaded(graph, written([sale(0), sale(1, product_name=huge), sale(2)]))
    ((line, (rule, _)),) = put_aside(graph, file).items()
    assert (line, rule) == (3, "cell_too_large")
    (row,) = graph.put_aside_rows(file["id"])
    assert len(row.raw) < 100_000
    assert staged(graph, file)["transaction_id"].tolist() == ["T0000", "T0002"]
    graph.require_invariants()


def test_a_column_that_evolves_loses_cells_and_the_others_rows(graph_under: Built) -> None:
    arrivals = ARRIVALS | {"price": replace(ARRIVALS["price"], mode=Mode.EVOLVE)}
    graph = graph_under(sales={"arrivals": arrivals})
    file = loaded(graph, written([sale(0, price="zwölf"), sale(1, quantity="x"), sale(2, price="-3"), sale(3)]))
    assert {line: rule for line, (rule, _) in put_aside(graph, file).items()} == {3: "quantity: not an integer"}
    expected = [(2, "price", "zwölf", "not a number"), (4, "price", "-3", "below minimum")]
    assert graph.bad_cells(file["id"]) == expected
    assert staged(graph, file)["price"].to_dict() == pytest.approx(
        {2: float("nan"), 4: float("nan"), 5: 19.5}, nan_ok=True
    )
    graph.require_invariants()


def test_a_dataset_that_evolves_keeps_rows_but_not_without_what_they_need(graph_under: Built) -> None:
    graph = graph_under(sales={"mode": Mode.EVOLVE})
    file = loaded(graph, written([sale(0, quantity="x", price="?"), sale(1, region="Atlantis"), sale(2)]))
    assert {line: rule for line, (rule, _) in put_aside(graph, file).items()} == {3: "region: not a category"}
    assert [cell[:3] for cell in graph.bad_cells(file["id"])] == [(2, "price", "?"), (2, "quantity", "x")]
    graph.require_invariants()


def test_too_few_rows_refuse_the_file(graph_under: Built) -> None:
    graph = graph_under(sales={"min_rows": 2})
    file = loaded(graph, written([sale(0)]))
    assert (file["ingestion_status"], file["error_rule"]) == ("rejected", "too_few_rows")
    assert file["error_message"].startswith("of 1 line(s) read 0 are put aside and 1 left, sales wants at least 2")
    graph.require_invariants()


def test_rows_that_are_put_aside_do_not_count_as_rows(graph_under: Built) -> None:
    graph = graph_under(sales={"min_rows": 2})
    file = loaded(graph, written([sale(0, region="x"), sale(1, transaction_date="1999-01-01"), sale(2)]))
    assert (file["ingestion_status"], file["error_rule"]) == ("rejected", "too_few_rows")
    told = "of 3 line(s) read 2 are put aside and 1 left, sales wants at least 2, line 2: region: not a category"
    assert file["error_message"].startswith(told)
    assert len(staged(graph, file)) == 0
    enough = loaded(graph, written([sale(0, region="x"), sale(1), sale(2)]), name="enough.csv")
    assert (enough["ingestion_status"], enough["row_count"], enough["rejected_rows"]) == ("archived", 2, 1)
    graph.require_invariants()


def test_a_row_its_model_would_not_pass_is_put_aside_though_its_arrival_says_nothing(graph_under: Built) -> None:
    silent = {name: replace(one, minimum=None, maximum=None, categories=None) for name, one in ARRIVALS.items()}
    graph = graph_under(sales={"arrivals": silent})
    broken = {"price": "-0.5", "quantity": "10001", "region": "Atlantis"}
    file = loaded(
        graph, written(sale(n, **{name: cell}) for n, (name, cell) in enumerate([*broken.items(), ("price", "0")]))
    )
    assert {line: rule for line, (rule, _) in put_aside(graph, file).items()} == {
        2: "price: below minimum",
        3: "quantity: above maximum",
        4: "region: not a category",
    }
    assert staged(graph, file)["price"].to_dict() == {5: 0.0}
    graph.require_invariants()


def test_what_is_found_of_a_column_is_recorded_with_how_it_is_written(graph_under: Built) -> None:
    graph = graph_under()
    cells = ["1.234,56", "2,5"]
    file = loaded(graph, written((sale(n, price=cell) for n, cell in enumerate(cells)), delimiter=";"))
    query = sa.select(COLUMN_METADATA.c.convention, COLUMN_METADATA.c.mean).where(
        COLUMN_METADATA.c.file_metadata_id == file["id"], COLUMN_METADATA.c.column_name == "price"
    )
    with graph.connect() as connection:
        assert connection.execute(query).one() == ({"decimal": ",", "thousands": "."}, pytest.approx(618.53))
    graph.require_invariants()
