"""Which faults are caught in files as OpenAQ's archive has them, on planted truth.

    python -m benchmarks.planted_faults [--files 100] [--seed 5]

`--files` files are given one fault each, their kinds in turn, in the text of their lines, and as many others are left
as they are: both of made-up sites. Every file is read as in the product, its rows are judged by the rules of staging
(after the week before, of the same site) and cleaned. A row is caught if the reader put it aside, a rule of severity
WARNING or ERROR names it, or cleaning put it aside; a file that the reader refuses is caught with all of its rows.

Recall is the share of planted rows that are caught; precision the share of planted ones among those caught in the
files of a kind (all rows caught in files without a fault count in their own line). Prints a Markdown table.
"""

import argparse
import csv
import gzip
import io
import tempfile
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from assets_pkg.quality.validation import Context, validate
from assets_pkg.staging.transforms import staged
from assets_pkg.timeseries.transforms import clean
from resources.errors import CorruptSource
from resources.openaq.archive_file import parse
from resources.openaq.archive_layout import file_path
from resources.openaq.generator.generate import generate
from resources.openaq.generator.places import DEMO_LOCATIONS
from schemas.datasets import OPENAQ
from schemas.rules import Severity
from schemas.table_rules import rules_of
from schemas.tables import OPENAQ_MEASUREMENTS
from schemas.window import ONE_DAY, Window, midnight

FIRST_DAY = date(2025, 3, 1)
LEAD_D = 8
KNOWN_AT = datetime(2025, 12, 1, tzinfo=UTC)
RULES = rules_of(OPENAQ_MEASUREMENTS)
HEADER_LINE = 1

Lines = list[dict[str, str]]
Places = set[int]
Fault = Callable[[np.random.Generator, Lines], tuple[Lines, Places]]
"""Given the lines of a file, what becomes of them and which are planted, counted from 0 below the header."""


def some(rng: np.random.Generator, among: list[int], share: float = 0.1) -> list[int]:
    return sorted(int(one) for one in rng.choice(among, max(2, int(share * len(among))), replace=False))


def of_sensor(rng: np.random.Generator, lines: Lines, parameters: tuple[str, ...] = ()) -> list[int]:
    """The lines of one sensor, in order of time."""
    sensors = sorted({one["sensors_id"] for one in lines if not parameters or one["parameter"] in parameters})
    chosen = str(rng.choice(sensors))
    mine = [place for place, one in enumerate(lines) if one["sensors_id"] == chosen]
    return sorted(mine, key=lambda place: lines[place]["datetime"])


def changed(lines: Lines, places: list[int], **values: object) -> tuple[Lines, Places]:
    new = [dict(one) for one in lines]
    for place in places:
        new[place] |= {name: str(value) for name, value in values.items()}
    return new, set(places)


def times(lines: Lines, places: list[int], factor: float) -> tuple[Lines, Places]:
    new = [dict(one) for one in lines]
    for place in places:
        new[place]["value"] = f"{float(new[place]['value']) * factor:.9g}"
    return new, set(places)


def wrong_units(rng: np.random.Generator, lines: Lines) -> tuple[Lines, Places]:
    """Particles as a mixing ratio."""
    return changed(lines, of_sensor(rng, lines, ("pm25", "pm10")), units=rng.choice(["ppb", "ppm", "%"]))


def coordinates(rng: np.random.Generator, lines: Lines) -> tuple[Lines, Places]:
    latitude, longitude = ((0.0, 0.0), (123.4, 500.0), (-95.0, 20.0))[int(rng.integers(3))]
    return changed(lines, some(rng, list(range(len(lines)))), lat=latitude, lon=longitude)


def nulls(rng: np.random.Generator, lines: Lines) -> tuple[Lines, Places]:
    return changed(lines, some(rng, list(range(len(lines))), 0.2), value="")


def duplicates(rng: np.random.Generator, lines: Lines) -> tuple[Lines, Places]:
    again = some(rng, list(range(len(lines))))
    return [*lines, *(lines[place] for place in again)], set(range(len(lines), len(lines) + len(again)))


def outliers(rng: np.random.Generator, lines: Lines) -> tuple[Lines, Places]:
    """A thousand times too much, as of ng/m³ that are labelled µg/m³, on some lines."""
    high = [n for n, one in enumerate(lines) if one["parameter"] in ("pm25", "pm10") and float(one["value"]) > 3]
    return times(lines, some(rng, high), 1000.0)


def thousandths(rng: np.random.Generator, lines: Lines) -> tuple[Lines, Places]:
    """A sensor's values in mg/m³, labelled as before."""
    return times(lines, of_sensor(rng, lines), 0.001)


def stuck(rng: np.random.Generator, lines: Lines) -> tuple[Lines, Places]:
    mine = of_sensor(rng, lines)[3:16]
    return changed(lines, mine, value=f"{float(lines[mine[0]]['value']) * 1.01 + 0.017:.6g}")


def sentinels(rng: np.random.Generator, lines: Lines) -> tuple[Lines, Places]:
    return changed(lines, some(rng, list(range(len(lines)))), value=rng.choice([-999, -9999, -99, -995]))


def missing_column(rng: np.random.Generator, lines: Lines) -> tuple[Lines, Places]:
    gone = str(rng.choice(["value", "units", "parameter", "datetime", "sensors_id"]))
    return [{name: value for name, value in one.items() if name != gone} for one in lines], set(range(len(lines)))


FAULTS: dict[str, Fault] = {
    "wrong units": wrong_units,
    "impossible coordinates": coordinates,
    "nulls": nulls,
    "duplicates": duplicates,
    "outliers": outliers,
    "value / 1000": thousandths,
    "missing column": missing_column,
    "stuck": stuck,
    "sentinels": sentinels,
}


def main() -> None:
    """Measures and prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100, help="files with a fault, and as many without")
    parser.add_argument("--seed", type=int, default=5)
    chosen = parser.parse_args()
    rng = np.random.default_rng(chosen.seed)
    days = -(-2 * chosen.files // len(DEMO_LOCATIONS))
    first = FIRST_DAY + timedelta(days=LEAD_D)
    with tempfile.TemporaryDirectory() as folder:
        last = first + timedelta(days=days)
        generate(folder, locations=DEMO_LOCATIONS, first_day=FIRST_DAY, last_day=last, seed=chosen.seed, kinds=())
        files = [(place.id, first + timedelta(days=day)) for day in range(days) for place in DEMO_LOCATIONS]
        files = [files[place] for place in sorted(rng.choice(len(files), 2 * chosen.files, replace=False))]
        order = rng.permutation(len(files))
        kinds = dict.fromkeys(range(len(files)), "no fault")
        kinds |= {int(place): list(FAULTS)[n % len(FAULTS)] for n, place in enumerate(order[: chosen.files])}
        tallies: dict[str, Tally] = defaultdict(Tally)
        for number, (location, day) in enumerate(files):
            kind, data = kinds[number], (Path(folder) / file_path(location, day)).read_bytes()
            planted: Places = set()
            if kind in FAULTS:
                lines, planted = FAULTS[kind](rng, lines_of(data))
                data = packed(lines)
            caught, by = judged(data, location, day, history(Path(folder), location, day))
            tallies[kind].add(caught, planted, by)
    print("| fault | files | files caught | rows planted | recall | precision | caught by |")
    print("|---|---:|---:|---:|---:|---:|---|")
    for kind in (*FAULTS, "no fault"):
        print(f"| {kind} | {tallies[kind].line()} |")


class Tally:
    """Files and rows of one kind."""

    def __init__(self) -> None:
        self.files = self.caught_files = self.planted = self.hits = self.caught = 0
        self.by: set[str] = set()

    def add(self, caught: Places, planted: Places, by: set[str]) -> None:
        self.files += 1
        self.caught_files += bool(caught & planted) if planted else bool(caught)
        self.planted += len(planted)
        self.hits += len(caught & planted)
        self.caught += len(caught)
        self.by |= by

    def line(self) -> str:
        recall = f"{self.hits / self.planted:.3f}" if self.planted else "n/a"
        precision = f"{self.hits / self.caught:.3f}" if self.planted and self.caught else f"{self.caught} rows"
        told = ", ".join(sorted(self.by))
        return f"{self.files} | {self.caught_files} | {self.planted} | {recall} | {precision} | {told}"


def lines_of(data: bytes) -> Lines:
    return list(csv.DictReader(io.StringIO(gzip.decompress(data).decode(), newline="")))


def packed(lines: Lines) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return gzip.compress(text.getvalue().encode(), mtime=0)


def history(folder: Path, location: int, day: date) -> pd.DataFrame:
    """What is staged of the site in the week before the file."""
    parts = [
        parse(path.read_bytes(), source_id=1, location_id=location, local_day=one).rows
        for one in Window.of_days(day - timedelta(days=7), day - ONE_DAY).days()
        if (path := folder / file_path(location, one)).exists()
    ]
    return staged(pd.concat(parts, ignore_index=True), KNOWN_AT)


def judged(data: bytes, location: int, day: date, before: pd.DataFrame) -> tuple[Places, set[str]]:
    """The lines that are caught, counted from 0 below the header, and by what."""
    try:
        parsed = parse(data, source_id=2, location_id=location, local_day=day)
    except CorruptSource:
        return set(range(len(lines_of(data)))), {"the reader refuses the file"}
    caught = {reject.line_no - HEADER_LINE - 1: f"reader: {reject.rule}" for reject in parsed.rejects}
    rows = staged(parsed.rows, KNOWN_AT)
    context = Context(
        now=KNOWN_AT,
        until=max(rows["datetime_utc"].max(), midnight(day)),
        identity=OPENAQ_MEASUREMENTS.identity,
        before=before,
        time_column="datetime_utc",
    )
    report = validate(rows, RULES, context)
    telling = {one.rule.name for one in report.failed(Severity.ERROR, Severity.WARNING)}
    found = report.violations[report.violations["rule"].isin(telling)].dropna(subset="position")
    for rule, position in zip(found["rule"], found["position"].astype(int), strict=True):
        caught.setdefault(int(rows["line_no"].iloc[position]) - HEADER_LINE - 1, str(rule))
    window = Window.of_days(day - ONE_DAY, day + ONE_DAY)
    rejects = clean(pd.concat([before, rows], ignore_index=True), OPENAQ, window).rejects
    mine = rejects[rejects["source_id"] == 2]
    for rule, line_no in zip(mine["rule"], mine["line_no"], strict=True):
        caught.setdefault(int(line_no) - HEADER_LINE - 1, f"cleaning: {rule}")
    return set(caught), set(caught.values())


if __name__ == "__main__":
    main()
