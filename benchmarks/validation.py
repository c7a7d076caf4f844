"""The validators in rows per second, against Pandera's checks row by row and against Great Expectations.

    python -m benchmarks.validation [--rows 10000000] [--slow-rows 100000] [--rounds 3] [--gx-python PATH]

One rule of each of the seven kinds is judged on made-up hourly readings, a thousandth of which break each rule on
single rows. Pandera row by row is the same rules as `element_wise` checks, and as functions called for each row where a
rule looks at several columns; of what no row alone can tell (keys, freshness, distribution) its frame-wide check is
timed. It sees the first `--slow-rows` rows only, since the time it takes grows with the rows; rows per second compare.

Great Expectations is run by an interpreter that has it (`benchmarks/expectations.py`) on the same rows: by its pandas
engine, and by its SQL engine on a PostgreSQL that holds them, where reading them is part of what it does; once with the
number of failing rows (BASIC), once with every failing row named (COMPLETE), which is what is kept here. The SQL engine
judges the first `--slow-rows`.

All ways have to find the same failing rows on the rows they see. Seconds are medians over the rounds, ways in this
process taking turns; making and loading the rows is not timed. Memory is what a way holds at its peak beyond its input,
from a round of its own under tracemalloc; of Great Expectations, the process at its peak beyond what it held when the
rows were read.
"""

import argparse
import json
import subprocess
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import pandera.pandas as pa
import sqlalchemy as sa
from pandera.errors import SchemaErrors
from scipy.stats import ks_2samp

from assets_pkg.quality.validation import Context, validate
from resources.timescale import server
from resources.timescale.arrow import to_arrow
from resources.timescale.resource import TimescaleResource
from schemas.base import TableModel, Text, UtcTimestamp, conform
from schemas.rules import (
    Categorical,
    Completeness,
    Distribution,
    Freshness,
    Range,
    Rule,
    Schema,
    Severity,
    Uniqueness,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UNITS = ("µg/m³", "ppb", "ppm")
BROKEN = 0.001
SCRIPT = Path(__file__).with_name("expectations.py")
LOW, HIGH = -15.0, 1000.0
Broken = dict[str, int]
"""Rows that break each rule."""


class Readings(TableModel):
    """Made up."""

    sensors_id: int = pa.Field()
    datetime_utc: UtcTimestamp = pa.Field()
    value: float = pa.Field(nullable=True)
    units: Text = pa.Field()
    line_no: int = pa.Field()


def _rules() -> tuple[Rule, ...]:
    told = {"description": "", "severity": Severity.ERROR}
    return (
        Schema(name="schema", columns=tuple(Readings.to_schema().columns), model=Readings, **told),
        Completeness(name="completeness", columns=("value",), **told),
        Uniqueness(name="uniqueness", columns=("sensors_id", "datetime_utc"), **told),
        Range(name="range", columns=("value",), minimum=LOW, maximum=HIGH, **told),
        Categorical(name="categorical", columns=("units",), allowed=UNITS, **told),
        Freshness(name="freshness", columns=("datetime_utc",), max_age=timedelta(hours=6), **told),
        Distribution(
            name="distribution", columns=("value",), look_back=timedelta(days=7), max_ks=0.5, least_rows=100, **told
        ),
    )


RULES = _rules()


def main() -> None:
    """Measures and prints a Markdown table."""
    arguments = _arguments()
    rows, before = made_up(arguments.rows, seed=1), made_up(100_000, seed=2)
    few = rows.head(arguments.slow_rows).copy()
    ways: dict[str, tuple[Callable[[pd.DataFrame, pd.DataFrame], Broken], pd.DataFrame]] = {
        "tidemark": (engine, rows),
        f"tidemark, first {len(few):,} rows": (engine, few),
        "Pandera, element_wise": (element_wise, few),
    }
    found = {name: way(given, before) for name, (way, given) in ways.items()}
    _require_equal(found, len(few))
    rounds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, (way, given) in ways.items():
            started = time.perf_counter()
            way(given, before)
            rounds[name].append(time.perf_counter() - started)
    peaks = {name: _peak_mb(way, given, before) for name, (way, given) in ways.items()}
    measured = {name: (len(given), median(rounds[name]), peaks[name]) for name, (_, given) in ways.items()}
    if arguments.gx_python:
        expected = {len(rows): found["tidemark"], len(few): found[f"tidemark, first {len(few):,} rows"]}
        measured |= expectations(arguments.gx_python, rows, few, before, arguments.rounds, expected)
    told = ", ".join(f"{rule} {count:,}" for rule, count in found["tidemark"].items())
    print(f"{len(rows):,} rows, {len(RULES)} rules; rows that break one: {told}\n")
    print("| way | rows | s | rows/s | tidemark is faster by | peak MB beyond the rows |")
    print("|---|---:|---:|---:|---:|---:|")
    of_product = {count: count / seconds for name, (count, seconds, _) in measured.items() if "tidemark" in name}
    for name, (count, seconds, peak) in measured.items():
        speed = count / seconds
        print(f"| {name} | {count:,} | {seconds:.2f} | {speed:,.0f} | {of_product[count] / speed:.1f} | {peak:,.0f} |")
    if not arguments.gx_python:
        print("\nGreat Expectations was not measured: say which interpreter has it with --gx-python.")


def made_up(count: int, *, seed: int) -> pd.DataFrame:
    """Hourly readings of 1,000 sensors, the newest of now; of each kind of fault a thousandth of the rows."""
    draw = np.random.default_rng(seed)
    number = np.arange(count)
    value = draw.gamma(2.0, 12.0, count)
    for wrong in (np.nan, -999.0, 5000.0):
        value[draw.random(count) < BROKEN / 2] = wrong
    units = np.array([*UNITS, "%"], dtype=object)[np.where(draw.random(count) < BROKEN, 3, number % 3)]
    hours = number // 1000
    again = draw.random(count) < BROKEN
    hours[again] = np.maximum(hours[again] - 1, 0)
    stamps = pd.Timestamp(NOW) - pd.to_timedelta(hours, unit="h")
    frame = pd.DataFrame(
        {
            "sensors_id": number % 1000,
            "datetime_utc": stamps.astype("datetime64[us, UTC]"),
            "value": value,
            "units": pd.array(units, dtype=pd.StringDtype("pyarrow")),
            "line_no": number + 1,
        }
    )
    return conform(frame, Readings)


def engine(rows: pd.DataFrame, before: pd.DataFrame) -> Broken:
    """The product's."""
    context = Context(now=NOW, until=NOW, identity=("sensors_id", "datetime_utc"), before=before)
    report = validate(rows, RULES, context)
    assert len(report.violations) == sum(one.failed for one in report.results), "every failing row is told"
    return {one.rule.name: one.failed for one in report.results}


def element_wise(rows: pd.DataFrame, before: pd.DataFrame) -> Broken:
    """The same rules as Pandera's checks row by row."""
    allowed, seen = set(UNITS), set()

    def is_new(row: pd.Series) -> bool:
        key = (row["sensors_id"], row["datetime_utc"])
        known = key in seen
        seen.add(key)
        return not known

    schema = pa.DataFrameSchema(
        {
            "sensors_id": pa.Column(int),
            "datetime_utc": pa.Column(
                "datetime64[us, UTC]",
                pa.Check(lambda stamps: stamps.max() >= pd.Timestamp(NOW) - timedelta(hours=6), name="freshness"),
            ),
            "value": pa.Column(
                float,
                [
                    pa.Check(lambda value: value == value, element_wise=True, ignore_na=False, name="completeness"),
                    pa.Check(lambda value: LOW <= value <= HIGH, element_wise=True, name="range"),
                    pa.Check(lambda values: not _is_shifted(values, before), name="distribution"),
                ],
                nullable=True,
            ),
            "units": pa.Column(
                "string[pyarrow]", pa.Check(lambda unit: unit in allowed, element_wise=True, name="categorical")
            ),
            "line_no": pa.Column(int),
        },
        checks=pa.Check(is_new, element_wise=True, name="uniqueness"),
        strict=True,
        ordered=True,
    )
    broken: Broken = {rule.name: 0 for rule in RULES}
    try:
        schema.validate(rows, lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases
        for name, of_rule in cases.groupby("check"):
            broken[str(name)] = int(of_rule["index"].nunique())
    return broken


def expectations(
    python: str, rows: pd.DataFrame, few: pd.DataFrame, before: pd.DataFrame, rounds: int, expected: dict[int, Broken]
) -> dict[str, tuple[int, float, float]]:
    """Rows, seconds and peak MB of Great Expectations' engines."""
    measured = {}
    quartiles = ",".join(str(value) for value in before["value"].quantile([0.25, 0.5, 0.75]))
    oldest = (NOW - timedelta(hours=6)).isoformat()
    rules = ["--until", oldest, f"--low={LOW}", f"--high={HIGH}", "--units", ",".join(UNITS), "--quartiles", quartiles]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)
        with server.lease(folder / "state") as leased:
            server.ensure_databases(leased, ("expected",))
            url = leased.url("expected")
            _load(url, few)
            for given, engine_name, options in (
                (rows, "pandas", []),
                (few, "PostgreSQL", ["--database", url.replace("postgresql://", "postgresql+psycopg2://", 1)]),
            ):
                file = folder / f"{engine_name}.parquet"
                given.to_parquet(file)
                for told in ("BASIC", "COMPLETE"):
                    command = [python, str(SCRIPT), str(file), *rules, "--format", told, "--rounds", str(rounds)]
                    ran = subprocess.run([*command, *options], stdout=subprocess.PIPE, text=True, check=True)
                    answer = json.loads(ran.stdout.splitlines()[-1])
                    _require_expected(answer["broken"], given, expected[len(given)])
                    name = f"Great Expectations {answer['version']}, {engine_name}, {told}"
                    measured[name] = (len(given), median(answer["seconds"]), answer["peak_mb"])
    return measured


def _load(url: str, rows: pd.DataFrame) -> None:
    timescale = TimescaleResource(database_url=url)
    table = sa.Table(
        "rows",
        sa.MetaData(schema="public"),
        sa.Column("sensors_id", sa.BigInteger),
        sa.Column("datetime_utc", sa.DateTime(timezone=True)),
        sa.Column("value", sa.Double),
        sa.Column("units", sa.Text),
        sa.Column("line_no", sa.BigInteger),
    )
    with timescale.connect() as connection:
        table.create(connection)
    with timescale.transaction() as transaction:
        transaction.copy(table, to_arrow(rows, Readings))


def _require_expected(broken: Broken, rows: pd.DataFrame, expected: Broken) -> None:
    """It tells every row of a key that repeats, the rules all but the first."""
    every = int(rows.duplicated(["sensors_id", "datetime_utc"], keep=False).sum())
    if broken != expected | {"uniqueness": every}:
        raise AssertionError(f"Great Expectations finds {broken}, tidemark {expected}")


def _is_shifted(values: pd.Series, before: pd.DataFrame) -> bool:
    return bool(ks_2samp(values.dropna(), before["value"].dropna(), method="asymp").statistic > 0.5)


def _require_equal(found: dict[str, Broken], rows: int) -> None:
    reference = found[f"tidemark, first {rows:,} rows"]
    for name, broken in found.items():
        if name != "tidemark" and broken != reference:
            raise AssertionError(f"{name} finds {broken}, tidemark {reference}")


def _peak_mb(way: Callable[[pd.DataFrame, pd.DataFrame], Broken], rows: pd.DataFrame, before: pd.DataFrame) -> float:
    tracemalloc.start()
    way(rows, before)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 2**20


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--slow-rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gx-python", help="an interpreter that has great_expectations, pyarrow and psycopg2")
    return parser.parse_args()


if __name__ == "__main__":
    main()
