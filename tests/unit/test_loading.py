"""Which tables `tidemark backfill` loads of a dataset, and what it refuses before anything is started."""

from datetime import UTC, date, datetime, timedelta

import pytest

from assets_pkg.commands.backfill import backfill
from assets_pkg.commands.demo_delivery import demo_days
from assets_pkg.commands.loading import datasets, tables_of_dataset
from resources.errors import ConfigurationError
from resources.wiring import Settings
from schemas.tables import OPENAQ_TABLES, TABLES

DAY = date(2026, 1, 5)


def test_every_dataset_with_days_can_be_loaded() -> None:
    assert {"openaq", "delivery", "sales"} <= set(datasets())
    assert tables_of_dataset("openaq") == tuple(OPENAQ_TABLES.values())


def test_a_dataset_with_a_source_is_loaded_from_staging_to_features() -> None:
    found = [spec.qualified for spec in tables_of_dataset("delivery")]
    assert found[0] == "staging.delivery_users"
    assert {"staging.delivery_activities", "features.user", "features.team"} <= set(found)
    assert all(read.marks for name in found for read in TABLES[name].reads)


def test_the_staging_table_of_files_is_left_out_because_its_days_are_those_of_arrival() -> None:
    found = tables_of_dataset("sales")
    assert found
    assert not [spec for spec in found if spec.schema == "staging"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"dataset": "deliveries"}, "there are .*delivery"),
        ({"locations": (1,)}, "no locations"),
        ({"first": date(2019, 12, 31)}, "first day of delivery, 2020-01-01"),
        ({"first": DAY + timedelta(days=1)}, "before it begins"),
        ({"last": datetime.now(UTC).date() + timedelta(days=2)}, "future"),
    ],
)
def test_what_cannot_be_loaded_is_refused_at_once(asked: dict[str, object], words: str) -> None:
    given = {"dataset": "delivery", "first": DAY, "last": DAY, "locations": ()} | asked
    with pytest.raises(ConfigurationError, match=words):
        backfill(Settings(_env_file=None), **given)  # type: ignore[arg-type]


def test_the_demo_organisation_ends_with_yesterday() -> None:
    assert demo_days(DAY, 3).days() == [DAY - timedelta(days=3), DAY - timedelta(days=2), DAY - timedelta(days=1)]
