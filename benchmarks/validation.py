"""The validators in rows per second, against Pandera's checks row by row and against Great Expectations.

    python -m benchmarks.validation [--rows 10000000] [--slow-rows 100000] [--rounds 3]

One rule of each of the seven kinds is judged on made-up hourly readings, a thousandth of which break each rule on
single rows. Pandera row by row is the same rules as `element_wise` checks, and as functions called for each row where a
rule looks at several columns; of what no row alone can tell (keys, freshness, distribution) its frame-wide check is
timed. It, and Great Expectations (its pandas engine, with the expectations that say the same and the index of every
failing row asked for), see the first `--slow-rows` rows only, since the time they take grows with the rows; rows per
second compare. Where Great Expectations is not installed its line says so.

All ways have to find the same failing rows on the rows they see. Seconds are medians over the rounds, ways taking
turns; making the rows is not timed. Memory is what a way holds at its peak beyond its input, from a round of its own
under tracemalloc.
"""

import argparse
import importlib.util
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from statistics import median

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors
from scipy.stats import ks_2samp

from assets_pkg.quality.validation import Context, validate
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
    has_expectations = importlib.util.find_spec("great_expectations") is not None
    if has_expectations:
        ways["Great Expectations"] = (expectations, few)
    found = {name: way(given, before) for name, (way, given) in ways.items()}
    _require_equal(found, len(few))
    rounds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, (way, given) in ways.items():
            started = time.perf_counter()
            way(given, before)
            rounds[name].append(time.perf_counter() - started)
    peaks = {name: _peak_mb(way, given, before) for name, (way, given) in ways.items()}
    told = ", ".join(f"{rule} {count:,}" for rule, count in found["tidemark"].items())
    print(f"{len(rows):,} rows, {len(RULES)} rules; rows that break one: {told}\n")
    print("| way | rows | s | rows/s | x Pandera element_wise | peak MB beyond the rows |")
    print("|---|---:|---:|---:|---:|---:|")
    speed = {name: len(given) / median(rounds[name]) for name, (_, given) in ways.items()}
    for name, (_, given) in ways.items():
        print(
            f"| {name} | {len(given):,} | {median(rounds[name]):.2f} | {speed[name]:,.0f}"
            f" | {speed[name] / speed['Pandera, element_wise']:.1f} | {peaks[name]:,.0f} |"
        )
    if has_expectations:
        print(f"\nx Great Expectations: {speed['tidemark'] / speed['Great Expectations']:.1f}")
    else:
        print("\nGreat Expectations is not installed: it was not measured.")


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


def expectations(rows: pd.DataFrame, before: pd.DataFrame) -> Broken:
    """The same rules as expectations, each failing row's index asked for."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    context = gx.get_context(mode="ephemeral")
    source = context.data_sources.add_pandas("rows")
    batch = source.add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")
    suite = gx.ExpectationSuite(
        name="rules",
        expectations=[
            gxe.ExpectTableColumnsToMatchOrderedList(column_list=list(rows.columns)),
            gxe.ExpectColumnValuesToNotBeNull(column="value"),
            gxe.ExpectCompoundColumnsToBeUnique(column_list=["sensors_id", "datetime_utc"]),
            gxe.ExpectColumnValuesToBeBetween(column="value", min_value=LOW, max_value=HIGH),
            gxe.ExpectColumnValuesToBeInSet(column="units", value_set=list(UNITS)),
            gxe.ExpectColumnMaxToBeBetween(column="datetime_utc", min_value=NOW - timedelta(hours=6)),
        ],
    )
    definition = context.validation_definitions.add(gx.ValidationDefinition(name="rules", data=batch, suite=suite))
    result = definition.run(batch_parameters={"dataframe": rows}, result_format={"result_format": "COMPLETE"})
    names = {
        "expect_table_columns_to_match_ordered_list": "schema",
        "expect_column_values_to_not_be_null": "completeness",
        "expect_compound_columns_to_be_unique": "uniqueness",
        "expect_column_values_to_be_between": "range",
        "expect_column_values_to_be_in_set": "categorical",
        "expect_column_max_to_be_between": "freshness",
    }
    broken = {
        names[one.expectation_config.type]: int(one.result.get("unexpected_count") or 0) for one in result.results
    }
    # It tells every row of a key that repeats, the rules all but the first.
    broken["uniqueness"] = int(rows.duplicated(["sensors_id", "datetime_utc"]).sum())
    return broken | {"distribution": int(_is_shifted(rows["value"], before))}


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
    return parser.parse_args()


if __name__ == "__main__":
    main()
