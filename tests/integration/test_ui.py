"""What a user does in Dagster's UI: look at the graph, launch a range from the dialog, look at a day's picture.

The stack is the real one (`running_stack`), the browser is Chromium, the backfill is the mutation the dialog sends.
"""

import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
import requests

from assets_pkg import cli
from assets_pkg.dagster_client import DagsterClient, RunState
from assets_pkg.launcher import running_stack
from assets_pkg.planning import DayRange
from resources.openaq.generator.generate import generate
from resources.openaq.generator.places import DEMO_LOCATIONS
from resources.wiring import Settings
from schemas.table_spec import TableSpec
from schemas.tables import (
    AIR_QUALITY,
    AIR_QUALITY_HOURLY,
    AIR_QUALITY_REPORT,
    OPENAQ_MEASUREMENTS,
    OPENAQ_TABLES,
    TABLES,
)
from tests.graph import blank_lines

SPAN = DayRange(date(2025, 3, 3), date(2025, 3, 7))
PLACES = DEMO_LOCATIONS[:2]
CHROMIUM = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--window-size=2400,1600",  # only what is in sight is drawn
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=20000",
]

_METADATA = """
query($key: AssetKeyInput!, $days: [String!]) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  assetMaterializations(partitions: $days) {
    partition metadataEntries { label ... on MarkdownMetadataEntry { mdStr } }
  }
} } }"""

_STATES = """
{ assetNodes { assetKey { path } assetPartitionStatuses {
  ... on TimePartitionStatuses { ranges { status startKey endKey } }
} } }"""

_EVENTS = """
query($run: ID!) { logsForRun(runId: $run, limit: 1000) { ... on EventConnection { events {
  ... on MaterializationEvent { assetKey { path } }
} } } }"""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def stack_url(open_folder: Path) -> Iterator[str]:
    """The UI of a stack that was given a range to backfill, and has done it."""
    folder = open_folder / "ui"
    folder.mkdir()
    generate(folder / "archive", locations=PLACES, first_day=date(2025, 3, 1), last_day=date(2025, 3, 9), seed=1)
    chosen = Settings(
        TIDEMARK_HOME=folder / "home",
        TIDEMARK_OPENAQ_ARCHIVE_URL=str(folder / "archive"),
        TIDEMARK_OPENAQ_LOCATIONS=",".join(str(place.id) for place in PLACES),
        TIDEMARK_PORT=3700,
    )
    with running_stack(chosen) as stack:
        yield stack.url


@pytest.fixture(scope="module")
def runs_of_backfill(stack_url: str) -> list[str]:
    """States of the runs of a backfill of all four assets, as the dialog launches it."""
    return [run.status for run in backfilled(stack_url, tuple(OPENAQ_TABLES.values()), SPAN)]


def backfilled(stack_url: str, specs: tuple[TableSpec, ...], span: DayRange) -> list[RunState]:
    """The runs of a backfill, once it has ended."""
    client = DagsterClient(stack_url)
    backfill_id = client.launch_backfill(specs, span)
    end = time.monotonic() + 400
    while time.monotonic() < end:
        _, runs = client.backfill(backfill_id)
        if runs and all(run.has_ended for run in runs):
            return list(runs)
        time.sleep(1)
    pytest.fail(f"the backfill of {span} has not ended: {client.backfill(backfill_id)}")


def page(url: str, folder: Path) -> str:
    """The page as the browser shows it."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium: apt-get install chromium")
    shown = subprocess.run(
        [chromium, *CHROMIUM, f"--user-data-dir={folder / 'profile'}", "--dump-dom", url],
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    return shown.stdout


def test_a_range_launched_from_the_dialog_is_one_run_that_succeeds(runs_of_backfill: list[str]) -> None:
    assert runs_of_backfill == ["SUCCESS"]


def pictures_of(stack_url: str, label: str) -> dict[str, str]:
    """Pictures of that name in the quality report's metadata, by day."""
    key = {"path": [AIR_QUALITY_REPORT.schema, AIR_QUALITY_REPORT.name]}
    variables = {"key": key, "days": [day.isoformat() for day in SPAN.days()]}
    answer = requests.post(f"{stack_url}/graphql", json={"query": _METADATA, "variables": variables}, timeout=60).json()
    return {
        one["partition"]: entry["mdStr"]
        for one in answer["data"]["assetNodeOrError"]["assetMaterializations"]
        for entry in one["metadataEntries"]
        if entry["label"] == label
    }


def test_each_day_has_a_picture_of_its_own(stack_url: str, runs_of_backfill: list[str]) -> None:
    days = [day.isoformat() for day in SPAN.days()]
    pictures = pictures_of(stack_url, "picture")
    assert sorted(pictures) == days
    assert len(set(pictures.values())) == len(days)
    assert all(picture.startswith("![") and "data:image/png;base64," in picture for picture in pictures.values())


def test_the_newest_day_shows_the_scores_of_all(stack_url: str, runs_of_backfill: list[str]) -> None:
    assert list(pictures_of(stack_url, "scores")) == [SPAN.last.isoformat()]


def test_the_graph_shows_each_dataset(stack_url: str, tmp_path: Path) -> None:
    shown = page(f"{stack_url}/asset-groups", tmp_path)
    for dataset in {spec.dataset for spec in TABLES.values()}:
        assert f">{dataset}<" in shown


@pytest.mark.parametrize("dataset", ["openaq", "sales", "meters"])
def test_the_graph_of_a_dataset_shows_all_its_assets(stack_url: str, dataset: str, tmp_path: Path) -> None:
    shown = page(f"{stack_url}/locations/tidemark/asset-groups/{dataset}", tmp_path)
    names = [spec.name for spec in TABLES.values() if spec.dataset == dataset]
    assert len(names) == 8
    assert [name for name in names if name not in shown] == []


def test_an_assets_page_shows_its_columns_and_its_table(
    stack_url: str, runs_of_backfill: list[str], tmp_path: Path
) -> None:
    shown = page(f"{stack_url}/assets/timeseries/air_quality", tmp_path)
    for words in ("timeseries.air_quality", "datetime_utc", "END of the hour, UTC", "primary key", "quality flags"):
        assert words in shown


def states(stack_url: str, spec: TableSpec) -> dict[str, str]:
    """What the UI's bar of partitions shows of each of them that is not missing."""
    answer = requests.post(f"{stack_url}/graphql", json={"query": _STATES}, timeout=60).json()
    (node,) = (one for one in answer["data"]["assetNodes"] if one["assetKey"]["path"] == [spec.schema, spec.name])
    return {
        str(day): part["status"]
        for part in node["assetPartitionStatuses"]["ranges"]
        for day in DayRange(date.fromisoformat(part["startKey"]), date.fromisoformat(part["endKey"])).days()
    }


def written_by(stack_url: str, run_id: str) -> set[str]:
    """Names of the assets that a run materialized."""
    question = {"query": _EVENTS, "variables": {"run": run_id}}
    answer = requests.post(f"{stack_url}/graphql", json=question, timeout=60).json()
    events = answer["data"]["logsForRun"]["events"]
    return {event["assetKey"]["path"][-1] for event in events if event.get("assetKey")}


def test_an_error_stops_what_is_downstream_of_its_partition_and_nothing_else(
    stack_url: str, runs_of_backfill: list[str], open_folder: Path, tmp_path: Path
) -> None:
    day = SPAN.first + timedelta(days=2)  # sensors are at work on the days around the span
    blank_lines((open_folder / "ui" / "archive").rglob("*.csv.gz"), day)
    specs = (OPENAQ_MEASUREMENTS, AIR_QUALITY, AIR_QUALITY_HOURLY)
    (run,) = backfilled(stack_url, specs, DayRange(day, day))
    assert run.status == "FAILURE"
    assert written_by(stack_url, run.run_id) == {OPENAQ_MEASUREMENTS.name}, "what was received is kept"
    assert states(stack_url, OPENAQ_MEASUREMENTS)[str(day)] == "MATERIALIZED"
    of_series = states(stack_url, AIR_QUALITY)
    assert [one for one, state in of_series.items() if state == "FAILED"] == [str(day)], of_series
    assert set(of_series) >= {str(one) for one in SPAN.days()}
    shown = page(f"{stack_url}/assets/staging/openaq_measurements?view=checks&checkDetail=rules_hold", tmp_path)
    assert f"held back: {day}" in shown


def test_the_command_backfills_through_the_running_stack(
    stack_url: str,
    runs_of_backfill: list[str],
    open_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TIDEMARK_HOME", str(open_folder / "ui" / "home"))
    monkeypatch.setenv("TIDEMARK_OPENAQ_ARCHIVE_URL", str(open_folder / "ui" / "archive"))
    days = ("--from", str(SPAN.first), "--to", str(SPAN.first))
    code = cli.main(["backfill", "openaq", *days, "--locations", str(PLACES[0].id)])
    said = capsys.readouterr().out
    assert code == 0, said
    assert stack_url in said
    assert "staging.openaq_measurements" in said
    assert "closed" in said
    assert "OPEN" not in said
