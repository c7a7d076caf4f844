"""Files that are harmless but odd: without columns or rows, or with column names the product uses itself."""

from collections.abc import Callable

import pytest

from schemas.file_dataset import OWN_COLUMNS
from tests.file_graph import FileGraph
from tests.written_sales import loaded, put_aside, staged

Built = Callable[..., FileGraph]


@pytest.mark.parametrize(
    "name",
    ["day", "Day", "utc day", "line_count", "line_no", "row key", "in doubt", "metric", "c0", "v0", "t", "r", "rowid"],
)
def test_a_column_may_have_any_name(graph_under: Built, name: str) -> None:
    graph = graph_under()
    file = loaded(graph, f"{name},b\n1,2\n3,4\n".encode(), dataset="things")
    again = loaded(graph, f"{name},b\n5,6\n".encode(), dataset="things", name="more.csv")
    first, _ = [name for name in staged(graph, file).columns if name not in OWN_COLUMNS]
    assert staged(graph, file)[first].tolist() == [1, 3]
    assert staged(graph, again)[first].tolist() == [5]
    graph.require_invariants()


@pytest.mark.parametrize("content", [b"", b"\n\n", b"[]", b"{}", b"[[1]]", b"[{}]", b" ", b"\xef\xbb\xbf"])
def test_a_first_file_without_columns_does_not_keep_the_next_one(graph_under: Built, content: bytes) -> None:
    graph = graph_under()
    graph.drop("things", "a.txt", content)
    assert graph.load("things").success
    (odd,) = graph.catalog_files()
    assert odd["ingestion_status"] in ("archived", "rejected")
    file = loaded(graph, b"a,b\n1,2\n", dataset="things", name="b.csv")
    assert staged(graph, file)["a"].tolist() == [1]
    graph.require_invariants()


def test_an_empty_document_of_a_declared_dataset_is_a_row_put_aside(graph_under: Built) -> None:
    graph = graph_under()
    file = loaded(graph, b"{}", name="empty.json")
    assert [rule for rule, _ in put_aside(graph, file).values()] == ["transaction_id: null"]
    graph.require_invariants()


def test_columns_go_by_no_place_where_a_line_holds_their_names(graph_under: Built) -> None:
    graph = graph_under()
    header = "customer_id,transaction_id,product_name,quantity,price,transaction_date,region,created_at"
    lines = [header, "C1,T7,Lamp,1,2,2026-03-04,North,", header, "C2,T8,Lamp,1,2,2026-03-04,South,"]
    file = loaded(graph, "\n".join(lines).encode(), name="pasted.csv")
    rows = [] if file["ingestion_status"] == "rejected" else staged(graph, file)["transaction_id"].tolist()
    assert rows in ([], ["T7", "T8"])
    assert rows or "keep one header" in file["error_message"]
    graph.require_invariants()
