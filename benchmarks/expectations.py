"""The rules of `benchmarks.validation` as Great Expectations has them, in seconds: run by its own interpreter.

    python benchmarks/expectations.py ROWS.parquet --until STAMP --low L --high H --units A,B --quartiles A,B,C
        [--format COMPLETE] [--rounds 3] [--database URL --table NAME]

Reads the rows once, judges them so many times, and prints JSON: seconds of each round, rows that break each
expectation, peak memory beyond that before. With a database its SQL engine judges the table there instead. Great
Expectations has no Kolmogorov-Smirnov test; quartiles between bounds are the nearest it does by the same effort.

Belongs here: expectations, and nothing of this product: where they run it is not installed. Does not belong here:
what is compared (`validation.py`).
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd

NAMES = {
    "expect_table_columns_to_match_ordered_list": "schema",
    "expect_column_values_to_not_be_null": "completeness",
    "expect_compound_columns_to_be_unique": "uniqueness",
    "expect_column_values_to_be_between": "range",
    "expect_column_values_to_be_in_set": "categorical",
    "expect_column_max_to_be_between": "freshness",
    "expect_column_quantile_values_to_be_between": "distribution",
}
KEY = ["sensors_id", "datetime_utc"]


def main() -> None:
    chosen = _arguments()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    rows = None if chosen.database else pd.read_parquet(chosen.rows)
    if chosen.database:
        asset = context.data_sources.add_sql("rows", connection_string=chosen.database).add_table_asset(
            "rows", table_name=chosen.table
        )
        batch, parameters = asset.add_batch_definition_whole_table("all"), {}
    else:
        asset = context.data_sources.add_pandas("rows").add_dataframe_asset("rows")
        batch, parameters = asset.add_batch_definition_whole_dataframe("all"), {"dataframe": rows}
    suite = gx.ExpectationSuite(name="rules", expectations=_expectations(chosen))
    told: dict[str, Any] = {"result_format": chosen.format}
    if chosen.database and chosen.format == "COMPLETE":
        told["unexpected_index_column_names"] = KEY
    Path("/proc/self/clear_refs").write_text("5")  # from here on the peak is that of judging
    seconds, at_start = [], _memory_mb("VmRSS")
    for _ in range(chosen.rounds):
        started = time.perf_counter()
        result = batch.get_batch(parameters).validate(suite, result_format=told)
        seconds.append(time.perf_counter() - started)
    raised = [one for one in result.results if one.exception_info.get("raised_exception")]
    if raised:
        raise SystemExit(str(raised[0].exception_info)[:2000])
    answer = {
        "version": gx.__version__,
        "seconds": seconds,
        "broken": {NAMES[one.expectation_config.type]: _failed(one) for one in result.results},
        "told": {NAMES[one.expectation_config.type]: _told(one) for one in result.results},
        "peak_mb": _memory_mb("VmHWM") - at_start,
    }
    print(json.dumps(answer))


def _expectations(chosen: argparse.Namespace) -> list[Any]:
    columns = ["sensors_id", "datetime_utc", "value", "units", "line_no"]
    return [
        gxe.ExpectTableColumnsToMatchOrderedList(column_list=columns),
        gxe.ExpectColumnValuesToNotBeNull(column="value"),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=KEY),
        gxe.ExpectColumnValuesToBeBetween(column="value", min_value=chosen.low, max_value=chosen.high),
        gxe.ExpectColumnValuesToBeInSet(column="units", value_set=chosen.units),
        gxe.ExpectColumnMaxToBeBetween(column="datetime_utc", min_value=pd.Timestamp(chosen.until).to_pydatetime()),
        gxe.ExpectColumnQuantileValuesToBeBetween(
            column="value",
            quantile_ranges={
                "quantiles": [0.25, 0.5, 0.75],
                "value_ranges": [[value / 2, value * 2] for value in chosen.quartiles],
            },
        ),
    ]


def _memory_mb(figure: str) -> float:
    """Of this process, as Linux tells it."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(figure))
    return int(line.split()[1]) / 1024


def _failed(one: Any) -> int:
    count = one.result.get("unexpected_count")
    return int(count) if count is not None else int(not one.success)


def _told(one: Any) -> int:
    """Failing rows it names."""
    return len(one.result.get("unexpected_index_list") or [])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows")
    parser.add_argument("--until", required=True)
    parser.add_argument("--low", type=float, required=True)
    parser.add_argument("--high", type=float, required=True)
    parser.add_argument("--units", type=lambda text: text.split(","), required=True)
    parser.add_argument("--quartiles", type=lambda text: [float(one) for one in text.split(",")], required=True)
    parser.add_argument("--format", default="COMPLETE", choices=("BOOLEAN_ONLY", "BASIC", "SUMMARY", "COMPLETE"))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--database", help="connection string of SQLAlchemy")
    parser.add_argument("--table")
    return parser.parse_args()


if __name__ == "__main__":
    main()
