"""A year in one run against single days, through the running stack, as a user would start them.

    python -m benchmarks.backfill [--days 365] [--single 20] [--folder FOLDER]

Prints seconds per partition of both and the peak memory of the run's process, as a Markdown table. The data are the
demo's generated locations; database, webserver, daemon and queue are real. Belongs here: measuring. Does not belong
here: limits.
"""

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import requests

from assets_pkg.dagster_client import LOCATION, REPOSITORY, DagsterClient, RunState
from assets_pkg.launcher import running_stack
from assets_pkg.planning import DayRange
from resources.openaq.generator.generate import generate
from resources.openaq.generator.places import DEMO_LOCATIONS
from resources.wiring import settings
from schemas.tables import TABLES

_SENSORS = """
query($r: RepositorySelector!) { sensorsOrError(repositorySelector: $r) { ... on Sensors { results {
  name sensorState { id }
} } } }"""
_STOP = "mutation($id: String!) { stopSensor(id: $id) { __typename } }"

FIRST_DAY = date(2025, 1, 1)
SEED = 5


class PeakMemory:
    """Peak resident memory, in MB, of Dagster's run workers while a block runs."""

    def __init__(self) -> None:
        self.mb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(0.2):
            self.mb = max([self.mb, *(_resident_mb(process) for process in Path("/proc").glob("[0-9]*"))])


def _resident_mb(process: Path) -> float:
    """The process's highest resident memory so far if it executes a run (the code server spawns one each), else 0."""
    try:
        if b"spawn_main" not in (process / "cmdline").read_bytes():
            return 0.0
        lines = (process / "status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


@contextmanager
def environment(folder: Path, port: int):  # type: ignore[no-untyped-def]
    """A stack of the benchmark's own, without sensors."""
    os.environ |= {
        "TIDEMARK_HOME": str(folder / "home"),
        "TIDEMARK_OPENAQ_MODE": "archive",
        "TIDEMARK_OPENAQ_ARCHIVE_URL": str(folder / "archive"),
        "TIDEMARK_OPENAQ_LOCATIONS": ",".join(str(place.id) for place in DEMO_LOCATIONS),
        "TIDEMARK_PORT": str(port),
    }
    with running_stack(settings()) as stack:
        _stop_sensors(stack.url)
        yield DagsterClient(stack.url)


def _stop_sensors(url: str) -> None:
    """Single days make their neighbours stale; what the sensors would do about it is not what is measured."""
    repository = {"repositoryName": REPOSITORY, "repositoryLocationName": LOCATION}
    found = requests.post(f"{url}/graphql", json={"query": _SENSORS, "variables": {"r": repository}}, timeout=60).json()
    for sensor in found["data"]["sensorsOrError"]["results"]:
        stop = {"query": _STOP, "variables": {"id": sensor["sensorState"]["id"]}}
        answer = requests.post(f"{url}/graphql", json=stop, timeout=60).json()
        if answer["data"]["stopSensor"]["__typename"] != "StopSensorMutationResult":
            raise SystemExit(f"sensor {sensor['name']} does not stop: {answer}")


def timed(runs: Callable[[], list[RunState]]) -> float:
    """Seconds until all of the runs have succeeded."""
    begin = time.monotonic()
    found = runs()
    while not all(run.has_ended for run in found):
        time.sleep(0.5)
        found = runs()
    if any(run.status != "SUCCESS" for run in found):
        raise SystemExit(f"a run did not succeed: {found}")
    return time.monotonic() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--single", type=int, default=20)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--port", type=int, default=3900)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        measure(chosen.folder or Path(scratch), chosen.days, chosen.single, chosen.port)


def measure(folder: Path, days: int, single: int, port: int) -> None:
    last = FIRST_DAY + timedelta(days=days - 1)
    margin = timedelta(days=single + 2)
    span = {"first_day": FIRST_DAY - margin, "last_day": last + timedelta(days=1)}
    generate(folder / "archive", locations=DEMO_LOCATIONS, seed=SEED, **span)
    specs = tuple(TABLES.values())
    with environment(folder, port) as client:
        lone_days = [FIRST_DAY - timedelta(days=n + 1) for n in range(single)]
        lone_runs = [client.launch_range(specs, DayRange(day, day), {}) for day in lone_days]
        lone_s = timed(lambda: [client.run(run_id) for run_id in lone_runs])
        with PeakMemory() as memory:
            year_run = client.launch_range(specs, DayRange(FIRST_DAY, last), {})
            year_s = timed(lambda: [client.run(year_run)])
    per_lone, per_year = lone_s / single, year_s / days
    print(f"| {len(DEMO_LOCATIONS)} locations, 4 tables | seconds | seconds per partition | ratio |")
    print("|---|---:|---:|---:|")
    print(f"| {single} runs of one day | {lone_s:.1f} | {per_lone:.3f} | 1 |")
    print(f"| one run of {days} days | {year_s:.1f} | {per_year:.3f} | {per_lone / per_year:.1f} |")
    print(f"\nPeak resident memory of the run of {days} days: {memory.mb:.0f} MB")


if __name__ == "__main__":
    main()
