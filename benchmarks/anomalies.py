"""How many planted anomalies are told, and how often one is told that is none, on generated air quality series.

    python -m benchmarks.anomalies [--days 90] [--locations 8] [--seed 3]

Three experiments, each over `--days` days that are judged, after the weeks that only train:

- the generator's own defects, read from its archive files and cleaned as in the product. A defect that cleaning takes
  away (another unit, a duplicate) must not be told;
- sound series, in which incidents are planted: spikes, jumps of the level, gaps, stuck runs, and hours in which the
  pollutants of a place stop going together;
- sound series as they are: whatever is told is a false alarm.

A planted defect is told if an anomaly of its sensor covers any of its hours; precision is the share of anomalies that
cover a planted hour of their sensor. Anomalies that last several days count once. Prints Markdown tables.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from assets_pkg.quality.anomalies import anomalies_of
from assets_pkg.staging.transforms import staged
from assets_pkg.timeseries.transforms import clean
from resources.openaq.archive_file import parse
from resources.openaq.archive_layout import file_path
from resources.openaq.generator.generate import generate
from resources.openaq.generator.places import DEMO_LOCATIONS, GeneratedLocation
from resources.openaq.generator.truth import KINDS, Kind
from schemas.datasets import OPENAQ
from schemas.tables import WATCHED_AIR_QUALITY
from schemas.window import Window

FIRST_DAY = date(2024, 1, 1)
MARGIN = timedelta(hours=2)
"""An anomaly may begin or end so much beside what was planted: hours right after a gap are its aftermath."""

TOLD_BY: dict[str, tuple[str, ...]] = {
    "spike": ("point", "seasonal", "multivariate"),
    "stuck": ("stuck",),
    "long_gap": ("gap",),
    "missing_day": ("gap",),
    "level_shift": ("level_shift",),
    "multivariate": ("multivariate", "point", "seasonal"),
    "gap": ("gap",),
}
"""Planted kind -> kinds of anomalies that tell it; other planted kinds are cleaning's matter."""


@dataclass(frozen=True)
class Planted:
    """What was planted: stamps of its first and last hour; `sensors_id` None is the whole location."""

    kind: str
    location_id: int
    sensors_id: int | None
    first: datetime
    last: datetime


def main() -> None:
    """Measures and prints Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--locations", type=int, default=8, help=f"at most {len(DEMO_LOCATIONS)}")
    parser.add_argument("--seed", type=int, default=3)
    chosen = parser.parse_args()
    places = DEMO_LOCATIONS[: chosen.locations]
    lead = WATCHED_AIR_QUALITY.reach
    judged = Window.of_days(FIRST_DAY + lead, FIRST_DAY + lead + timedelta(days=chosen.days - 1))

    rows, planted = generated(places, judged, chosen.seed, KINDS)
    report("Defects of the generator", rows, planted, judged)
    sound, _ = generated(places, judged, chosen.seed + 1, ())
    rows, planted = with_incidents(sound, judged, np.random.default_rng(chosen.seed))
    report("Incidents planted into sound series", rows, planted, judged)
    report("Sound series", sound, [], judged)


def generated(
    places: Sequence[GeneratedLocation], judged: Window, seed: int, kinds: Sequence[Kind]
) -> tuple[pd.DataFrame, list[Planted]]:
    """The clean series of the judged days and those they are judged against, and what was planted."""
    days = [judged.days()[0] - WATCHED_AIR_QUALITY.reach - timedelta(days=1), judged.days()[-1] + timedelta(days=1)]
    whole = Window.of_days(days[0] + timedelta(days=1), days[-1] - timedelta(days=1))
    with tempfile.TemporaryDirectory() as folder:
        truth = generate(folder, locations=places, first_day=days[0], last_day=days[1], seed=seed, kinds=kinds)
        series = []
        for place in places:
            found = []
            for day in Window.of_days(*days).days():
                path = Path(folder) / file_path(place.id, day)
                if path.exists():
                    parsed = parse(path.read_bytes(), source_id=1, location_id=place.id, local_day=day)
                    found.append(parsed.rows)
            raw = staged(pd.concat(found, ignore_index=True), judged.end + timedelta(days=1))
            series.append(clean(raw, OPENAQ, whole).rows)
    planted = [
        Planted(one.kind, one.location_id, one.sensors_id, one.first, one.last)
        for one in truth.planted
        if judged.start - WATCHED_AIR_QUALITY.reach < one.first and one.last <= judged.end
    ]
    return pd.concat(series, ignore_index=True), planted


def with_incidents(rows: pd.DataFrame, judged: Window, rng: np.random.Generator) -> tuple[pd.DataFrame, list[Planted]]:
    """One incident per sensor, their kinds in turn, at a time by chance; of the metrics together one per location."""
    rows, planted = rows.copy(), []
    kinds = ("spike", "level_shift", "gap", "stuck", "spike", "level_shift")
    sensors = rows[["location_id", "sensors_id"]].drop_duplicates().itertuples(index=False)
    value, is_imputed = rows["value"].to_numpy(copy=True), rows["is_imputed"].to_numpy(copy=True)
    hours = int((judged.end - judged.start) / timedelta(hours=1))
    for number, (location, sensor) in enumerate(sensors):
        kind = kinds[number % len(kinds)]
        length = {"spike": 2, "level_shift": 24 * 14, "gap": 30, "stuck": 18}[kind]
        first = judged.start + timedelta(hours=int(rng.integers(24, hours - min(length, 24 * 10) - 48)))
        last = first + timedelta(hours=length - 1)
        here = _cells(rows, [sensor], first, last)
        if kind == "spike":
            value[here] *= rng.uniform(10, 15)
        elif kind == "level_shift":
            value[here] *= rng.choice([5.0, 0.2])
        elif kind == "gap":
            value[here] = np.nan
        else:
            value[here] = value[here][0]
        planted.append(Planted(kind, int(location), int(sensor), first, last))
    for location, own in rows.groupby("location_id"):
        first = judged.start + timedelta(hours=int(rng.integers(24, hours - 48)))
        last = first + timedelta(hours=11)
        pair = [own.loc[own["parameter"] == name, "sensors_id"].iloc[0] for name in ("pm25", "co")]
        for sensor, factor in zip(pair, (4.0, 0.25), strict=True):
            value[_cells(rows, [sensor], first, last)] *= factor
        planted.append(Planted("multivariate", int(str(location)), None, first, last))
    rows["value"], rows["is_imputed"] = value, is_imputed
    rows["is_valid"] = rows["is_valid"] & np.isfinite(value)
    return rows, planted


def _cells(rows: pd.DataFrame, sensors: Sequence[int], first: datetime, last: datetime) -> np.ndarray:
    stamps = rows["datetime_utc"]
    return np.flatnonzero(rows["sensors_id"].isin(sensors) & (stamps >= first) & (stamps <= last))


def report(title: str, rows: pd.DataFrame, planted: Sequence[Planted], judged: Window) -> None:
    """Judges the days, and prints what was told and what was not."""
    begun = time.perf_counter()
    found = anomalies_of(rows, WATCHED_AIR_QUALITY, judged)
    spent = time.perf_counter() - begun
    events = found.groupby(["anomaly_id", "entity", "kind"], as_index=False).agg(
        first=("started_at", "min"), last=("ended_at", "max")
    )
    keys = [json.loads(entity) for entity in events["entity"]]
    hits = [
        [one for one in planted if _covers(one, key, event)]
        for key, event in zip(keys, events.itertuples(index=False), strict=True)
    ]
    sensors, weeks = rows["sensors_id"].nunique(), len(judged.days()) / 7
    print(f"\n**{title}**: {sensors} sensors, {weeks:.1f} weeks, {len(events)} anomalies, {spent:.1f} s\n")
    print("| planted | told | of | recall |")
    print("|---|---:|---:|---:|")
    for kind in sorted({one.kind for one in planted if one.first > judged.start}):
        every = [one for one in planted if one.kind == kind and one.first > judged.start]
        kinds = TOLD_BY.get(kind)
        told = {
            one
            for event, some in zip(events.itertuples(), hits, strict=True)
            for one in some
            if one.kind == kind
            if one in every and (kinds is None or event.kind in kinds)
        }
        note = "" if kinds else " (cleaning's matter)"
        print(f"| {kind}{note} | {len(told)} | {len(every)} | {len(told) / len(every):.2f} |")
    print("\n| told as | anomalies | true | precision | false alarms per sensor-week |")
    print("|---|---:|---:|---:|---:|")
    kinds_told = [*sorted(set(events["kind"])), "all"]
    for kind in kinds_told:
        chosen = [bool(some) for one, some in zip(events["kind"], hits, strict=True) if kind in (one, "all")]
        true = sum(chosen)
        rate = (len(chosen) - true) / (sensors * weeks)
        precision = f"{true / len(chosen):.2f}" if chosen else "n/a"
        print(f"| {kind} | {len(chosen)} | {true} | {precision} | {rate:.4f} |")
    false = sum(not some for some in hits)
    print(f"\nfalse alarms per week over all {sensors} sensors: {false / weeks:.2f}")


def _covers(one: Planted, key: dict[str, int], event: object) -> bool:
    is_place = key["location_id"] == one.location_id
    is_sensor = one.sensors_id is None or key.get("sensors_id", one.sensors_id) == one.sensors_id
    first, last = event.first - MARGIN, event.last + MARGIN  # type: ignore[attr-defined]
    return is_place and is_sensor and first <= one.last and last >= one.first


if __name__ == "__main__":
    main()
