"""Fixtures every tier shares: a clean environment and the folder of real sample data."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Machines are noisy: how long an example takes says nothing about whether it is right.
# `--hypothesis-profile=thorough` looks ten times longer.
settings.register_profile("tidemark", deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", parent=settings.get_profile("tidemark"), max_examples=300)
settings.load_profile("tidemark")

ROOT = Path(__file__).resolve().parents[1]
OWN_PREFIXES = ("TIDEMARK_", "OPENAQ_", "DAGSTER_")
KEPT = {
    "TIDEMARK_SHARED_DATA",
    "TIDEMARK_TEST_TIMESCALE_URL",
    "TIDEMARK_TEST_TIMESCALE_COMMUNITY_URL",
    "TIDEMARK_TEST_REQUIRE_ALL",
}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With TIDEMARK_TEST_REQUIRE_ALL, a skipped test is a failed one: somewhere everything has to run."""
    report = yield
    noted = item.config.getoption("--note-passed")
    if noted and report.when == "call" and report.passed:
        with noted.open("a") as ids:
            ids.write(f"{item.nodeid}\n")
    by_who_runs_it = item.get_closest_marker("skipif") is not None
    if report.skipped and not by_who_runs_it and os.environ.get("TIDEMARK_TEST_REQUIRE_ALL"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but everything is required: {call.excinfo.value if call.excinfo else ''}"
    return report


def pytest_addoption(parser: pytest.Parser) -> None:
    """Two runs can make one: the second leaves out what passed in the first."""
    parser.addoption("--note-passed", type=Path, help="append the ids of the tests that pass to this file")
    parser.addoption("--without-passed", type=Path, help="leave out the tests whose ids are in this file")


def pytest_make_parametrize_id(val: object) -> str | None:
    """Every process names the tests alike, though what a program packs holds the time it was packed."""
    return "bytes" if isinstance(val, bytes) and not val.isascii() else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files of tests that may take long come first, so that no core waits for another at the end. No package brings the
    Community edition of TimescaleDB: its tests are there where a server is."""
    items.sort(key=_patience_s, reverse=True)
    passed = config.getoption("--without-passed")
    done = set(passed.read_text().splitlines()) if passed else set()
    has_community = bool(os.environ.get("TIDEMARK_TEST_TIMESCALE_COMMUNITY_URL"))
    left_out = [
        item
        for item in items
        if item.nodeid in done or ("community" in getattr(item, "fixturenames", ()) and not has_community)
    ]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _patience_s(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0.0


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of the machine it runs on."""
    for name in list(os.environ):
        if name.startswith(OWN_PREFIXES) and name not in KEPT:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recorded answers and files, where there is one."""
    folder = Path(os.environ.get("TIDEMARK_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no folder of real sample data: set TIDEMARK_SHARED_DATA to one")
    return folder
