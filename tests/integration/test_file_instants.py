"""Instants as files write them, through the whole graph: UTC in the table, the text as received beside it.

Belongs here: what becomes of a row by the time it is about. Does not belong here: other cells
(`test_file_contents.py`).
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from resources.catalog import registry
from schemas.declared_files import file_datasets
from schemas.file_tables import tables_of
from tests.file_graph import FileGraph
from tests.written_sales import loaded, put_aside, sale, staged, written

SALES = tables_of("sales")
ARRIVALS = file_datasets()["sales"].arrivals
Built = Callable[..., FileGraph]


def dated(stamps: list[str]) -> bytes:
    return written(sale(n, transaction_date=stamp) for n, stamp in enumerate(stamps))


def instants(graph: FileGraph, file: dict[str, Any]) -> dict[int, str]:
    """What the file's rows are about, in UTC, by line."""
    found = staged(graph, file)["transaction_date"]
    return {line: pd.Timestamp(at).tz_convert("UTC").isoformat() for line, at in found.items()}


def rules(graph: FileGraph, file: dict[str, Any]) -> dict[int, str]:
    """What is wrong with the transaction's time, by line."""
    return {
        line: rule.removeprefix("transaction_date: ").removeprefix("transaction_date, ")
        for line, (rule, _) in put_aside(graph, file).items()
    }


def test_counts_since_1970_have_one_unit_per_column_and_others_are_put_aside(graph_under: Built) -> None:
    graph = graph_under()
    units = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
    for unit, factor in units.items():
        stamps = [str(1_767_225_600 * factor), str(1_767_225_601 * factor), "5", str(1_767_225_600 * factor * 1_000)]
        file = loaded(graph, dated([*stamps, stamps[0]]), name=f"{unit}.csv")
        expected = ["2026-01-01T00:00:00+00:00", "2026-01-01T00:00:01+00:00", "2026-01-01T00:00:00+00:00"]
        assert instants(graph, file) == dict(zip((2, 3, 6), expected, strict=True)), unit
        assert rules(graph, file) == dict.fromkeys((4, 5), f"not a count of {unit} within 1990 to 2100")
        assert staged(graph, file)["event_text"].tolist() == [stamps[0], stamps[1], stamps[0]]
    with graph.connect() as connection:
        last = registry.history(connection, "sales")[-1].columns
    assert {column.name: column.convention for column in last}["transaction_date"]["epoch_unit"] == "ns"
    graph.require_invariants()


def test_local_times_are_those_of_the_declared_zone_unless_they_say_their_own(graph_under: Built) -> None:
    graph = graph_under(sales={"timezone": "Europe/Berlin"})
    stamps = {
        "2026-03-29 02:30": "nonexistent local time",
        "2025-10-26 02:30": "ambiguous local time",
        "2025-10-26T02:30:00+01:00": "2025-10-26T01:30:00+00:00",
        "2025-10-26T02:30:00+02:00": "2025-10-26T00:30:00+00:00",
        "2026-03-29T02:30:00+05:30": "2026-03-28T21:00:00+00:00",
        "2026-01-01 10:00 America/New_York": "2026-01-01T15:00:00+00:00",
        "2026-01-01 10:00 Atlantis/City": "unknown time zone",
        "2026-07-01 12:00": "2026-07-01T10:00:00+00:00",
        "2026-03-29": "2026-03-28T23:00:00+00:00",
        "2026-03-29 03:00": "2026-03-29T01:00:00+00:00",
        "2026-07-01 12:00Z": "2026-07-01T12:00:00+00:00",
    }
    file = loaded(graph, dated(list(stamps)))
    assert {**instants(graph, file), **rules(graph, file)} == dict(enumerate(stamps.values(), start=2))
    texts = staged(graph, file)["event_text"].to_dict()
    assert texts == {line: text for line, text in enumerate(stamps, start=2) if line in instants(graph, file)}
    graph.require_invariants()


def test_leap_seconds_midnights_and_dates_that_are_none(graph_under: Built) -> None:
    graph = graph_under()
    stamps = {
        "2016-12-31T23:59:60Z": "2016-12-31T23:59:59.999999+00:00",
        "2026-06-15T12:59:60Z": "no leap second at this time",
        "2026-03-04T24:00:00Z": "2026-03-05T00:00:00+00:00",
        "0001-01-01T00:00:00Z": "year outside 1678 to 2261",
        "9999-12-31T00:00:00Z": "year outside 1678 to 2261",
        "1677-01-01T00:00:00Z": "year outside 1678 to 2261",
        "2026-02-30T00:00:00Z": "not a timestamp",
        "2026-02-28T00:00:00Z": "2026-02-28T00:00:00+00:00",
        "2026-03-04": "2026-03-04T00:00:00+00:00",
    }
    file = loaded(graph, dated(list(stamps)))
    assert {**instants(graph, file), **rules(graph, file)} == dict(enumerate(stamps.values(), start=2))
    assert graph.bad_cells(file["id"]) == [(2, "transaction_date", "2016-12-31T23:59:60Z", "leap second")]
    graph.require_invariants()


@pytest.mark.parametrize("stamps", [["01/02/2026", "03/04/2026", "05/06/2026"], ["01/02/2026", "03/04/2026", "soon"]])
def test_a_day_that_may_be_a_month_is_not_guessed_and_freed_once_declared(
    graph_under: Built, stamps: list[str]
) -> None:
    graph = graph_under()
    file = loaded(graph, dated(stamps))
    assert rules(graph, file) == dict.fromkeys((2, 3, 4), "ambiguous")
    assert all("declare date_order" in reason for _, reason in put_aside(graph, file).values())
    assert (file["row_count"], file["event_days"]) == (0, [])
    graph.require_invariants()
    declared = ARRIVALS | {"transaction_date": replace(ARRIVALS["transaction_date"], date_order="DMY")}
    graph = graph_under(sales={"arrivals": declared})
    assert graph.load("sales", config={"ids": [file["id"]]}).success
    readable = [line for line, stamp in enumerate(stamps, start=2) if stamp != "soon"]
    assert list(instants(graph, file)) == readable
    assert list(instants(graph, file).values())[:2] == ["2026-02-01T00:00:00+00:00", "2026-04-03T00:00:00+00:00"]
    assert rules(graph, file) == {line: "not a timestamp" for line in (2, 3, 4) if line not in readable}
    graph.require_invariants()


def test_a_day_past_the_twelfth_tells_the_order_of_all(graph_under: Built) -> None:
    graph = graph_under()
    file = loaded(graph, dated(["01/02/2026", "13/02/2026", "never"]))
    assert list(instants(graph, file).values()) == ["2026-02-01T00:00:00+00:00", "2026-02-13T00:00:00+00:00"]
    assert rules(graph, file) == {4: "not a timestamp"}
    graph.require_invariants()


def test_rows_about_a_time_too_early_or_too_late_are_put_aside_and_make_no_days(graph_under: Built) -> None:
    graph = graph_under()
    now = datetime.now(UTC).replace(microsecond=0)
    near, far = now + timedelta(hours=23), now + timedelta(hours=25)
    stamps = ["2014-12-31T23:59:59Z", "2015-01-01T00:00:00Z", near.isoformat(), far.isoformat(), "1900-01-01T00:00:00Z"]
    file = loaded(graph, dated(stamps))
    assert rules(graph, file) == {2: "before the first day", 5: "in the future", 6: "before the first day"}
    assert file["event_days"] == ["2015-01-01", near.date().isoformat()]
    assert {day.isoformat() for _, day in graph.dirty()} >= {"2015-01-01"}
    assert not [day for _, day in graph.dirty() if day.year < 2015]
    graph.require_invariants()


def test_time_columns_need_no_header_that_says_so(graph_under: Built) -> None:
    graph = graph_under()
    lines = dated(["1767225600000", "1767225601000"]).split(b"\n", 1)[1]
    file = loaded(graph, lines)
    assert list(instants(graph, file).values()) == ["2026-01-01T00:00:00+00:00", "2026-01-01T00:00:01+00:00"]
    graph.require_invariants()
