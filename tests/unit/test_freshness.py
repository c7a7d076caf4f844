"""How old tables may be: from the datasets' declarations to Dagster's policies."""

from datetime import UTC, datetime, timedelta

import pytest

from assets_pkg.dagster_types import table_options
from schemas.freshness import GRACE, Fresh, fresh
from schemas.tables import OPENAQ_TABLES, TABLES

HOUR = timedelta(hours=1)
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_layers_are_promised_what_the_dataset_says_and_later_ones_a_little_more() -> None:
    promised = {spec.schema: fresh(spec) for spec in OPENAQ_TABLES.values()}
    assert list(GRACE) == ["staging", "timeseries", "features", "quality"]
    assert [promised[layer] for layer in GRACE] == [Fresh((24 + n) * HOUR, (48 + n) * HOUR) for n in (2, 3, 4, 5)]


def test_files_that_come_when_they_come_are_never_late() -> None:
    assert fresh(TABLES["staging.sales_data"]) is None
    assert table_options(TABLES["staging.sales_data"], dataset="sales")["freshness_policy"] is None


def test_dagster_is_told_the_same_numbers() -> None:
    for qualified, spec in TABLES.items():
        policy, promised = table_options(spec, dataset=spec.dataset)["freshness_policy"], fresh(spec)
        assert (policy is None) == (promised is None), qualified
        if promised:
            assert (policy.warn_window.to_timedelta(), policy.fail_window.to_timedelta()) == (
                promised.warn,
                promised.fail,
            )


@pytest.mark.parametrize(
    ("age", "verdict"), [(0 * HOUR, "fresh"), (26 * HOUR, "fresh"), (27 * HOUR, "late"), (51 * HOUR, "overdue")]
)
def test_a_table_is_late_and_then_overdue(age: timedelta, verdict: str) -> None:
    assert Fresh(26 * HOUR, 50 * HOUR).verdict(NOW - age, NOW) == verdict
    assert Fresh(26 * HOUR, 50 * HOUR).verdict(None, NOW) == "never written"
