"""What the model of a staging table demands of a value puts aside exactly the rows the model would not pass."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pandera.errors
import pandera.pandas as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.landing.columns.casting import TYPED, cast
from resources.landing.columns.inference import infer
from resources.landing.planning import Planned, found_columns, plan_declared
from schemas.base import NullableBool, NullableInt, Text, UtcTimestamp
from schemas.file_dataset import Arrival, FileDataset, Metric, StagedRows
from schemas.file_tables import build_tables
from tests.unit.landing.builders import rows_of, text_table

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
BOUNDS = ("ge", "gt", "le", "lt")
INTEGERS = st.integers(-5, 5) | st.sampled_from([2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)])
DOUBLES = st.floats(-3, 3) | st.sampled_from([0.0, -0.0, 5e-324, 0.1, 0.30000000000000004, 1e308, -1e308])
INSTANTS = st.integers(-3, 3).map(lambda ticks: NOON + ticks * TICK)
KINDS: dict[Any, st.SearchStrategy[Any]] = {NullableInt: INTEGERS, float: DOUBLES, UtcTimestamp: INSTANTS}


def declared(kind: Any, arrival: Arrival | None = None, **checks: Any) -> FileDataset:
    """A dataset whose column `value` has these checks."""

    class Rows(StagedRows):
        """Rows with one column to look at."""

        at: UtcTimestamp = pa.Field(description="when")
        place: Text = pa.Field(description="where")
        value: kind = pa.Field(nullable=True, description="what", **checks)  # type: ignore[valid-type]

    return FileDataset(
        name="looked_at",
        description="Rows.",
        staging=Rows,
        staging_table="looked_at_files",
        event_time="at",
        entities=("place",),
        metrics=(Metric(name="rows", unit="rows", how="count", description="rows"),),
        arrivals={"value": arrival or Arrival()},
    )


def kept(cells: list[str], dataset: FileDataset) -> list[Any]:
    """The values of the rows that are not put aside."""
    header = ["at", "place", "value"]
    with text_table([NOON.isoformat()] * len(cells), ["here"] * len(cells), cells, header=header) as table:
        guesses = infer(table)
        planned: Planned = plan_declared(
            found_columns(header, 3, dataset), guesses, dataset, build_tables(dataset).staging
        )
        cast(table, [plan for plan in planned.plans if plan.name == "value"])
        return [row[2] for row in rows_of(table, TYPED)]


def passes(value: Any, dataset: FileDataset) -> bool:
    """Whether the model takes the value."""
    column = dataset.staging.to_schema().columns["value"]
    try:
        column.validate(pd.DataFrame({"value": pd.Series([value], dtype=column.dtype.type)}))
    except pandera.errors.SchemaError:
        return False
    return True


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_row_is_put_aside_exactly_if_the_model_would_not_pass_it(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(list(KINDS)), label="kind")
    values = data.draw(st.lists(KINDS[kind], min_size=1, max_size=8), label="values")
    bounds = KINDS[kind] | (st.floats(-3, 3) if kind is NullableInt else st.nothing())
    names = data.draw(st.sets(st.sampled_from(BOUNDS)), label="checks")
    checks: dict[str, Any] = {name: data.draw(bounds, label=name) for name in sorted(names)}
    # At a bound lies the value that tells `gt` from `ge`.
    values += [bound for bound in checks.values() if kind is not NullableInt or isinstance(bound, int)]
    if data.draw(st.booleans(), label="isin"):
        checks["isin"] = data.draw(st.lists(KINDS[kind], min_size=1, max_size=4), label="allowed")
    dataset = declared(kind, **checks)
    assert kept(list(map(str, values)), dataset) == [value for value in values if passes(value, dataset)]


@pytest.mark.parametrize(
    ("kind", "check", "cells", "expected"),
    [
        (float, {"gt": 0}, ["0", "-0", "5e-324", "-5e-324"], [5e-324]),
        (float, {"lt": 1}, ["1", "0.9999999999999999"], [0.9999999999999999]),
        (NullableInt, {"gt": 2**53}, [str(2**53), str(2**53 + 1)], [2**53 + 1]),
        (NullableInt, {"lt": 2.5}, ["2", "3"], [2]),
        (float, {"in_range": {"min_value": 0, "max_value": 1, "include_max": False}}, ["0", "0.5", "1"], [0, 0.5]),
        (float, {"isin": [1, 0.1]}, ["1.0", "0.10", "0.2"], [1.0, 0.1]),
        (NullableInt, {"isin": [1.5, 3.0]}, ["1", "2", "3"], [3]),
        (NullableBool, {"isin": [True]}, ["true", "false"], [True]),
        (UtcTimestamp, {"gt": NOON}, [NOON.isoformat(), (NOON + TICK).isoformat()], [NOON + TICK]),
        (UtcTimestamp, {"le": pd.Timestamp(NOON)}, [NOON.isoformat(), (NOON + TICK).isoformat()], [NOON]),
        (Text, {"isin": ["a", "b'"]}, ["a", "b'", "c"], ["a", "b'"]),
    ],
)
def test_each_way_to_bound_a_value(kind: Any, check: dict[str, Any], cells: list[str], expected: list[Any]) -> None:
    assert kept(cells, declared(kind, **check)) == expected


def test_of_the_model_and_the_arrival_the_stricter_counts() -> None:
    cells = [str(number) for number in range(8)]
    assert kept(cells, declared(NullableInt, Arrival(minimum=3, maximum=9), ge=1, lt=6)) == [3, 4, 5]
    assert kept(cells, declared(NullableInt, Arrival(minimum=0, maximum=4), gt=1)) == [2, 3, 4]
    letters = declared(Text, Arrival(categories=("a", "b", "c")), isin=["b", "c", "d"])
    assert kept(["a", "b", "c", "d"], letters) == ["b", "c"]
