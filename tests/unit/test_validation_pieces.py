"""Rows judged piece by piece get the verdict that all of them get together."""

from datetime import UTC, datetime

import pandas as pd
import pytest

from assets_pkg.quality.validation import Context, validate
from assets_pkg.quality.validation_pieces import validate_pieces
from schemas.table_rules import rules_of
from schemas.tables import OPENAQ_MEASUREMENTS
from tests.builders import staging_rows

RULES = rules_of(OPENAQ_MEASUREMENTS)
CONTEXT = Context(now=datetime(2025, 3, 3, tzinfo=UTC), identity=OPENAQ_MEASUREMENTS.identity)


def spoilt() -> pd.DataFrame:
    rows = staging_rows([float(n % 7) for n in range(60)], first=datetime(2025, 3, 1, tzinfo=UTC))
    rows.loc[[3, 40], "latitude"] = 95.0
    rows.loc[[5, 6, 41], "value"] = None
    rows.loc[7, "value"] = -999.0
    return pd.concat([rows, rows.iloc[[10]]], ignore_index=True)


@pytest.mark.parametrize("size", [1, 7, 61, 1000])
@pytest.mark.parametrize("kind", ["sound", "spoilt", "without a column", "with one more", "of another type"])
def test_the_verdict_is_that_of_all_rows_together(kind: str, size: int) -> None:
    rows = spoilt()
    if kind == "sound":
        rows = staging_rows([float(n % 7) for n in range(60)], first=datetime(2025, 3, 1, tzinfo=UTC))
    elif kind == "without a column":
        rows = rows.drop(columns="latitude")
    elif kind == "with one more":
        rows = rows.assign(surplus=1)
    elif kind == "of another type":
        rows = rows.assign(latitude=rows["latitude"].astype(object).where(rows.index != 50, "north"))
    whole = validate(rows, RULES, CONTEXT)
    pieces = validate_pieces((rows.iloc[n : n + size] for n in range(0, len(rows), size)), RULES, CONTEXT)
    assert pieces.rows == whole.rows
    assert [(one.rule, one.outcome, one.checked, one.failed) for one in pieces.results] == [
        (one.rule, one.outcome, one.checked, one.failed) for one in whole.results
    ]
    assert [one.message for one in pieces.results if one.rule.kind != "schema"] == [
        one.message for one in whole.results if one.rule.kind != "schema"
    ]
    order = ["rule", "column_name", "position"]
    pd.testing.assert_frame_equal(
        pieces.violations.sort_values(order, ignore_index=True),
        whole.violations.sort_values(order, ignore_index=True),
    )
    assert kind == "sound" or len(whole.violations)
