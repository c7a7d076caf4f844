"""One verdict everywhere: the same rows, told by the asset check, the catalog, the API and `tidemark validate`."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
import requests

from assets_pkg import cli
from assets_pkg.api.serving import build_app
from assets_pkg.commands.report_findings import broken_rules
from resources.catalog import rule_results
from resources.catalog.schema import CatalogedTimescale
from schemas.file_tables import tables_of
from schemas.table_rules import rules_of
from schemas.window import Window
from tests.file_graph import FileGraph
from tests.graph import checks_of
from tests.web_server import running
from tests.written_sales import sale, written

STAGING = tables_of("sales").staging
TOKEN = {"Authorization": "Bearer t"}
READER = {"rows_are_readable", "cells_are_readable"}
"""What only who reads the file can tell; the catalog has it as quarantine and cells."""
Said = dict[str, tuple[str, int, int]]
"""Rule -> outcome, rows checked, rows that break it."""


def app_on(url: str) -> Any:
    return build_app(SimpleNamespace(timescale=CatalogedTimescale(database_url=url)), "t")  # type: ignore[arg-type]


@pytest.fixture
def api(postgres_url: str) -> Iterator[Callable[..., requests.Response]]:
    """Asks for verdicts."""
    with running(app_on(postgres_url)) as url:

        def ask(table: str, *, headers: dict[str, str] = TOKEN, **days: str) -> requests.Response:
            return requests.get(f"{url}/api/quality/{table}/verdicts", params=days, headers=headers, timeout=30)

        yield ask


def test_everybody_says_the_same_of_a_table_and_of_the_file_it_was_loaded_from(
    graph_under: Callable[..., FileGraph],
    api: Callable[..., requests.Response],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = graph_under()
    yesterday = str(datetime.now(UTC).date() - timedelta(days=1))
    rows = [sale(n, transaction_date=yesterday, price="" if n % 30 else "9", quantity=str(n)) for n in range(300)]
    content = written([*rows, sale(1, transaction_date=yesterday, region="Atlantis"), sale(998, quantity="many")])
    graph.drop("sales", "day.csv", content)
    run = graph.load("sales")
    day = datetime.now(UTC).date()
    assert checks_of(run)["sales_data.rules_hold"] is False

    with graph.connect() as connection:
        stored = rule_results.results_of(connection, STAGING.qualified, Window.of_days(day, day))
    catalog = {one.rule: (one.outcome, one.checked, one.failed) for one in stored.itertuples()}
    assert {one.name for one in rules_of(STAGING)} == set(catalog)
    assert len([rule for rule, (outcome, *_) in catalog.items() if outcome == "failed"]) >= 2

    answer = api(STAGING.qualified, **{"from": str(day), "to": str(day)})
    assert answer.status_code == 200, answer.text
    (told,) = answer.json()["days"]
    assert said(told["rules"]) == catalog
    assert told["is_blocking"] is answer.json()["is_blocking"] is True and told["day"] == str(day)
    assert told["run_id"] == run.run_id

    broken, judged = broken_rules(graph.timescale, "sales", Window.of_days(day, day))
    of_staging = {one.rule: (one.checked, one.failed) for one in broken if one.table == STAGING.qualified}
    assert of_staging == {rule: tuple(counts) for rule, (outcome, *counts) in catalog.items() if outcome == "failed"}, (
        "report"
    )
    assert broken[0].severity == "error" and judged >= len(catalog)

    assert checked(run) == {rule: counts for rule, (_, *counts) in catalog.items()}

    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TIDEMARK_DATABASE_URL", graph.timescale.database_url)
    report = tmp_path / "report.json"
    window = ("--from", str(day), "--to", str(day), "--json", str(report))
    assert cli.main(("validate", STAGING.qualified, *window)) == 1
    assert said_of_day(report, day) == catalog

    file = tmp_path / "sales" / "day.csv"
    file.parent.mkdir()
    file.write_bytes(content)
    assert cli.main(("validate", str(file), "--json", str(report))) == 1
    of_file = said_of_day(report, day)
    assert {rule: verdict for rule, verdict in of_file.items() if rule not in READER} == catalog
    assert set(of_file) >= READER


def test_what_cannot_be_answered_says_why(api: Callable[..., requests.Response]) -> None:
    day = {"from": "2025-03-01", "to": "2025-03-01"}
    assert api(STAGING.qualified, **day).json() == {"what": STAGING.qualified, "is_blocking": False, "days": []}
    assert api("staging.nothing", **day).status_code == 404
    for wrong in ({"from": "2025-03-02", "to": "2025-03-01"}, {"from": "2025-03-01", "to": "2026-03-02"}):
        answer = api(STAGING.qualified, **wrong)
        assert answer.status_code == 422 and "366 days" in answer.json()["detail"]
    for malformed in ({"from": "yesterday", "to": "2025-03-01"}, {"from": "2025-03-01"}):
        answer = api(STAGING.qualified, **malformed)
        assert answer.status_code == 422 and answer.headers["content-type"] == "application/problem+json"
    assert api(STAGING.qualified, headers={}, **day).status_code == 401


def test_without_a_catalog_nothing_is_invented() -> None:
    with running(app_on("postgresql://nobody@127.0.0.1:1/nothing")) as url:
        address = f"{url}/api/quality/{STAGING.qualified}/verdicts"
        answer = requests.get(address, params={"from": "2025-03-01", "to": "2025-03-01"}, headers=TOKEN, timeout=60)
    assert answer.status_code == 503 and "nobody" not in answer.text


def said(rules: list[dict[str, Any]]) -> Said:
    return {one["rule"]: (one["outcome"], one["checked"], one["failed"]) for one in rules}


def said_of_day(report: Path, day: date) -> Said:
    (told,) = json.loads(report.read_text())["days"]
    assert told["day"] == str(day) and told["is_blocking"]
    return said(told["rules"])


def checked(run: dg.ExecuteInProcessResult) -> dict[str, list[int]]:
    """Rule -> rows checked and rows that break it, as the asset's two checks show them."""
    found = {}
    for one in run.get_asset_check_evaluations():
        if one.asset_key.path[-1] == STAGING.name and "verdicts" in one.metadata:
            header, _, *lines = (
                [cell.strip() for cell in line.strip("|").split("|")]
                for line in str(one.metadata["verdicts"].value).splitlines()
            )
            for cells in (dict(zip(header, line, strict=True)) for line in lines):
                found[cells["rule"]] = [int(cells["checked"]), int(cells["failed"])]
    return found
