"""The dashboard against what `/metrics` says: names, labels, and every query put to a real Prometheus."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import sqlalchemy as sa
import yaml

from assets_pkg.api.serving import build_app
from assets_pkg.commands.serve import budgets_of
from resources.catalog.figures import figures
from resources.catalog.run_summaries import EndedRun, summarise
from resources.catalog.schema import CatalogedTimescale
from resources.wiring import Settings
from schemas.catalog import LEDGER
from schemas.tables import OPENAQ_MEASUREMENTS, TABLES
from tests.web_server import free_port, running

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana/dashboards/tidemark.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]
VARIABLES = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}

METRIC = re.compile(r"\b(?:tidemark|process)_\w+")
MATCHERS = re.compile(r"((?:tidemark|process)_\w+)\{([^}]*)\}")
GROUPED = re.compile(r"\b(?:by|without|ignoring|on) \(?\(?([\w, ]+)\)")
PROCESS = {"process_resident_memory_bytes": {"job"}, "process_cpu_seconds_total": {"job"}}
"""What the process tells of itself; `job` is Prometheus' own label."""


@pytest.fixture(scope="module")
def timescale(module_postgres_url: str) -> CatalogedTimescale:
    found = CatalogedTimescale(database_url=module_postgres_url)
    now = datetime.now(UTC)
    with found.connect() as connection:
        entry = {"table_name": OPENAQ_MEASUREMENTS.qualified, "day": date(2025, 3, 1), "unit": "1", "run_id": "r"}
        counts = {"read": 10, "loaded": 8, "quarantined": 2, "known_at": now}
        connection.execute(sa.insert(LEDGER).values(entry | counts))
        for number, status in enumerate(("succeeded", "succeeded", "succeeded", "failed")):
            run = EndedRun(
                run_id=f"r{number}",
                job="j",
                status=status,
                tables=[],
                first_day=None,
                last_day=None,
                started_at=now - timedelta(seconds=30),
                ended_at=now,
                error=None,
            )
            summarise(connection, run)
    return found


@pytest.fixture(scope="module")
def labels_of(timescale: CatalogedTimescale) -> dict[str, set[str]]:
    """Name of each quantity there is -> the names of its labels."""
    with timescale.connect() as connection:
        found = figures(connection, TABLES, budgets_of(Settings(_env_file=None)))
        told = {figure.name: set(figure.labels) for figure in found}
    return PROCESS | {"tidemark_scrape_seconds": set()} | told


@pytest.mark.parametrize(("title", "target"), QUERIES, ids=[f"{t} {q['refId']}" for t, q in QUERIES])
def test_a_panel_asks_for_what_there_is(title: str, target: dict[str, Any], labels_of: dict[str, set[str]]) -> None:
    names = set(METRIC.findall(target["expr"]))
    assert names and names <= labels_of.keys()
    for name, matchers in MATCHERS.findall(target["expr"]):
        assert set(re.findall(r"(\w+)(?:=|!=|=~|!~)\"", matchers)) <= labels_of[name]
    there = set().union(*(labels_of[name] for name in names))
    for group in GROUPED.findall(target["expr"]):
        assert set(group.split(", ")) <= there
    assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= there
    assert set(re.findall(r"\$(\w+)", target["expr"])) <= VARIABLES.keys()


def test_all_that_is_told_is_shown(labels_of: dict[str, set[str]]) -> None:
    shown = {name for _, target in QUERIES for name in METRIC.findall(target["expr"])}
    # How many circuits are not closed is for alerts; the panel shows each.
    assert labels_of.keys() - shown <= {"tidemark_circuits"}


def test_variables_ask_for_labels_there_are(labels_of: dict[str, set[str]]) -> None:
    for name, variable in VARIABLES.items():
        asked = re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", variable["query"]["query"])
        assert asked and asked[2] in labels_of[asked[1]], name


def test_the_dashboard_is_well_formed() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())
    uids = {one["uid"] for one in source["datasources"]}
    named = set(re.findall(r'"uid": "([\w-]+)"', json.dumps(DASHBOARD)))
    assert named - {DASHBOARD["uid"]} == uids
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/tidemark.yaml").read_text())["providers"][0]
    assert provider["type"] == "file" and provider["options"]["path"]
    for panel in PANELS:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        columns, rows = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        cells = {(column, row) for column in columns for row in rows}
        assert not cells & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells


@pytest.fixture(scope="module")
def prometheus(timescale: CatalogedTimescale, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a Prometheus that has scraped this database by the scrape config that is shipped."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("no Prometheus: .ci/programs installs it")
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "token").write_text("t")
    budgets = budgets_of(Settings(_env_file=None))
    app = build_app(SimpleNamespace(timescale=timescale), "t", budgets)  # type: ignore[arg-type]
    with running(app) as url:
        yield from scraped_by(program, url, folder)


def scraped_by(program: str, url: str, folder: Path) -> Iterator[str]:
    config = (DEPLOY / "prometheus/prometheus.yml").read_text()
    for shipped, here in (
        ("127.0.0.1:6566", url.removeprefix("http://")),
        ("/etc/prometheus/tidemark_token", str(folder / "token")),
        ("scrape_interval: 30s", "scrape_interval: 1s"),
        ("scrape_timeout: 20s", "scrape_timeout: 1s"),
    ):
        assert shipped in config
        config = config.replace(shipped, here)
    (folder / "prometheus.yml").write_text(config)
    address = f"127.0.0.1:{free_port()}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        wait_for_scrapes(f"http://{address}", folder / "log", process)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait()


def wait_for_scrapes(url: str, log: Path, process: subprocess.Popen[bytes]) -> None:
    """A rate takes two scrapes."""
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            if ask(url, "count_over_time(tidemark_scrape_seconds[1m]) > 2"):
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.2)
    pytest.fail(f"nothing was scraped: {log.read_text()[-2000:]}")


def ask(url: str, query: str) -> list[dict[str, Any]]:
    answer = requests.get(f"{url}/api/v1/query", params={"query": query}, timeout=10).json()
    assert answer["status"] == "success", (query, answer)
    result: list[dict[str, Any]] = answer["data"]["result"]
    return result


def test_prometheus_takes_every_query(prometheus: str) -> None:
    found = {}
    for title, target in QUERIES:
        query = re.sub(r"\$\w+", ".*", target["expr"])
        found[title, target["refId"]] = ask(prometheus, query)
    health = requests.get(f"{prometheus}/api/v1/targets", timeout=10).json()["data"]["activeTargets"]
    assert [one["health"] for one in health] == ["up"]

    def value(title: str) -> float:
        (only,) = found[title, "A"]
        return float(only["value"][1])

    assert value("Runs that failed, 24 h") == 25
    assert value("Rows put aside") == 20
    assert value("Ledger not closed") == 0
    assert value("CPU of tidemark serve") >= 0
    fates = {one["metric"]["fate"]: float(one["value"][1]) for one in found["Rows by fate", "A"]}
    assert fates == {"read": 10, "loaded": 8, "duplicate": 0, "quarantined": 2, "filtered": 0}
    assert len(found["Request budget", "A"]) >= 2
    shown = {title for (title, _), series in found.items() if series}
    assert {"Freshness", "Features served"} <= shown
