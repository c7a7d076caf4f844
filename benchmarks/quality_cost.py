"""What quality adds to one day's partition of OpenAQ's graph.

    python -m benchmarks.quality_cost [--days 3] [--locations 8]

Days are computed one by one, each in a process of its own, as Dagster's launcher does. Every other one is staged,
cleaned and computed only, with the checks of its ledger and schema; the others are judged as well: rules of every
table, quality of the three layers, daily report, anomalies. Counted are the seconds of the run, with and without the
start of its process (interpreter, libraries, definitions), and those of the processor, which other work on the machine
disturbs less and which leave out the database's. Events are kept in memory. Belongs here: measuring. Does not belong
here: limits.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from statistics import median

from resources.openaq.generator.generate import generate
from resources.openaq.generator.places import DEMO_LOCATIONS, GeneratedLocation
from resources.timescale import server

DAY = date(2025, 3, 1)
SEED = 5
CORE = ("staging.openaq_measurements", "timeseries.air_quality", "features.air_quality_hourly")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=3, help="pairs of days")
    parser.add_argument("--locations", type=int, default=len(DEMO_LOCATIONS))
    parser.add_argument("--run", nargs=2, metavar=("HOW", "DAY"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.run:
        how, day = chosen.run
        print(json.dumps(run(how == "judged", date.fromisoformat(day))))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)
        measure(folder, chosen.days, chosen.locations)


def measure(folder: Path, pairs: int, locations: int) -> None:
    places = locations_of(locations)
    last = DAY + timedelta(days=2 * pairs + 1)
    generate(folder / "archive", locations=places, seed=SEED, first_day=DAY - timedelta(days=1), last_day=last)
    environment = os.environ | {
        "TIDEMARK_HOME": str(folder / "home"),
        "TIDEMARK_OPENAQ_MODE": "archive",
        "TIDEMARK_OPENAQ_ARCHIVE_URL": str(folder / "archive"),
        "TIDEMARK_OPENAQ_LOCATIONS": ",".join(str(place.id) for place in places),
    }
    with server.lease(folder / "home"):
        started("judged", DAY, environment)  # Makes the tables.
        found: dict[str, list[dict[str, float]]] = {"plain": [], "judged": []}
        for n in range(2 * pairs):
            how = "judged" if n % 2 else "plain"
            found[how].append(started(how, DAY + timedelta(days=n + 1), environment))
    show(found, locations)


def locations_of(number: int) -> list[GeneratedLocation]:
    """The demo's locations, and as many more like them as are asked for."""
    found = list(DEMO_LOCATIONS[:number])
    for n in range(len(found), number):
        like = DEMO_LOCATIONS[n % len(DEMO_LOCATIONS)]
        sensors = tuple(replace(sensor, id=1_000_000 * n + sensor.id) for sensor in like.sensors)
        found.append(replace(like, id=1_000_000 * n + like.id, sensors=sensors))
    return found


def started(how: str, day: date, environment: dict[str, str]) -> dict[str, float]:
    """Seconds of a run in a process of its own, by what they went to."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.quality_cost", "--run", how, str(day)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-4000:])
    spent: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return spent | {"process": time.perf_counter() - begin}


def run(is_judged: bool, day: date) -> dict[str, float]:
    """One day, in this process: seconds of the run, of the processor, and of each step."""
    import dagster as dg

    from assets_pkg.definitions import build_definitions
    from assets_pkg.rule_checks import RULES_HOLD, RULES_HOLD_WARNINGS
    from assets_pkg.runs import asset_key
    from resources.wiring import build_resources, settings
    from schemas.tables import OPENAQ_TABLES

    logging.getLogger("dagster").setLevel(logging.ERROR)
    chosen = settings()
    selection = dg.AssetSelection.assets(*(asset_key(table) for table in (OPENAQ_TABLES if is_judged else CORE)))
    if not is_judged:
        rules = (RULES_HOLD, RULES_HOLD_WARNINGS)
        keys = [dg.AssetCheckKey(asset_key(table), name) for table in CORE for name in rules]
        selection -= dg.AssetSelection.checks(*keys)
    definitions = build_definitions(build_resources(chosen), chosen)
    job = dg.Definitions.merge(
        definitions, dg.Definitions(jobs=[dg.define_asset_job("measured", selection)])
    ).resolve_job_def("measured")
    with dg.DagsterInstance.ephemeral() as instance:
        begin, cpu_before = time.perf_counter(), time.process_time()
        result = job.execute_in_process(instance=instance, partition_key=str(day), raise_on_error=False)
        spent = Counter({"run": time.perf_counter() - begin, "cpu": time.process_time() - cpu_before})
    spent["cpu with start"] = time.process_time()
    for event in result.all_events:
        if event.is_step_failure:
            raise SystemExit(str(event.step_failure_data.error_display_string))
        if event.event_type_value == "STEP_SUCCESS":
            spent[f"step {part_of(event.step_key or '')}"] += event.step_success_data.duration_ms / 1_000
    return dict(spent)


def part_of(step: str) -> str:
    """What a step is a part of, for the reader."""
    table = step.replace("__", ".", 1)
    if step.endswith("_rules"):
        return f"rules of {'what is computed' if table.startswith(CORE) else 'the quality tables'}"
    if table in CORE:
        return "staging to features"
    if table.startswith(CORE):
        return "other checks of what is computed"
    for name in ("air_quality_report", "air_quality_anomalies"):
        if step == f"quality__{name}":
            return name
        if step.startswith(f"quality__{name}"):
            return "other checks of the quality tables"
    return "quality of layers"


def show(found: dict[str, list[dict[str, float]]], locations: int) -> None:
    def middle(how: str, name: str) -> float:
        return median(one.get(name, 0.0) for one in found[how])

    print(f"| a day of {locations} locations, median of {len(found['plain'])} | without quality | with | it adds |")
    print("|---|---:|---:|---:|")
    for name, label in (
        ("process", "seconds, process start included"),
        ("run", "seconds, process start excluded"),
        ("cpu with start", "processor seconds, process start included"),
        ("cpu", "processor seconds, process start excluded"),
    ):
        plain, judged = middle("plain", name), middle("judged", name)
        print(f"| {label} | {plain:.2f} | {judged:.2f} | {judged / plain - 1:.0%} |")
    steps = sorted({name for one in found["judged"] for name in one if name.startswith("step ")})
    print("\n| seconds of steps | without quality | with |")
    print("|---|---:|---:|")
    for name in sorted(steps, key=lambda name: -middle("judged", name)):
        print(f"| {name.removeprefix('step ')} | {middle('plain', name):.2f} | {middle('judged', name):.2f} |")


if __name__ == "__main__":
    main()
