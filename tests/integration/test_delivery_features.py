"""The four feature assets of the delivery dataset on a real database, from staging rows that the IO manager wrote."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
import sqlalchemy as sa

from assets_pkg.dagster_types import table_options
from assets_pkg.delivery_checks import delivery_checks
from assets_pkg.features import delivery_assets
from assets_pkg.planning import DayRange
from assets_pkg.runs import asset_key, range_tags
from resources.catalog.io_manager import LedgerIOManager
from resources.catalog.resource import CatalogResource
from resources.catalog.schema import CatalogedTimescale
from resources.feast.io_manager import FeastIOManager
from resources.feast.resource import FeastResource
from resources.timescale import sql
from resources.timescale.slices import SliceStream, SliceWrite, TableReader
from resources.timescale.table_slice import TableSlice
from schemas.delivery import DELIVERY
from schemas.delivery_tables import DELIVERY_FEATURES, TASK, TEAM, USER
from schemas.source_datasets.delivery import DATASET
from schemas.table_spec import TableSpec
from schemas.tables import TABLES
from schemas.window import ONE_DAY, Window, midnight
from tests.delivery_rows import EVERY, Organisation, organisation, together
from tests.graph import checks_of, failure_of

FIRST, LAST = date(2025, 3, 1), date(2025, 3, 3)
DAYS = Window.of_days(FIRST, LAST).days()
STAGING = [TABLES[f"staging.{table.staging_table}"] for table in DATASET.tables]
FEATURES = [spec.qualified for spec in DELIVERY_FEATURES]
ALL = [*(spec.qualified for spec in STAGING), *FEATURES]


class Delivery:
    """The dataset's assets on one database; staging holds what `rows` says at the time of a run."""

    def __init__(self, url: str, instance: dg.DagsterInstance, home: Path) -> None:
        self.timescale = CatalogedTimescale(database_url=url)
        feast = FeastResource(timescale=self.timescale, home=str(home))
        self.catalog = CatalogResource(timescale=self.timescale)
        self.instance = instance
        self.rows = snapshots()
        definitions = dg.Definitions(
            assets=[*(self._staging(spec) for spec in STAGING), *dg.load_assets_from_modules([delivery_assets])],
            asset_checks=delivery_checks(),
            resources={
                "timescale": self.timescale,
                "catalog": self.catalog,
                "io_manager": LedgerIOManager(timescale=self.timescale),
                "feast_io_manager": FeastIOManager(timescale=self.timescale, feast=feast),
            },
            executor=dg.in_process_executor,
        )
        self._job = definitions.resolve_implicit_global_asset_job_def()

    def _staging(self, spec: TableSpec) -> dg.AssetsDefinition:
        @dg.asset(**table_options(spec, dataset=spec.dataset), partitions_def=delivery_assets.DELIVERY_DAILY)
        def staging(context: dg.AssetExecutionContext) -> SliceStream:
            window = Window(context.partition_time_window.start, context.partition_time_window.end)
            rows = self.rows[spec.name.removeprefix("delivery_")]

            def writes() -> Iterator[SliceWrite]:
                inside = rows[window.holds(rows[spec.time_column], spec.closed)]
                yield SliceWrite(rows=inside.reset_index(drop=True), window=window)

            return SliceStream(writes())

        return staging

    def run(self, first: date = FIRST, last: date = LAST, tables: list[str] = ALL) -> dg.ExecuteInProcessResult:
        result = self._job.execute_in_process(
            instance=self.instance,
            asset_selection=[asset_key(table) for table in tables],
            tags=range_tags(DayRange(first, last)),
            raise_on_error=False,
        )
        assert result.success, failure_of(result)
        return result

    def check(self, spec: TableSpec) -> dg.AssetCheckEvaluation:
        """The check of its entities, by itself."""
        checks = [one for one in delivery_checks() if one.check_key.name == "one_row_per_entity"]
        definitions = dg.Definitions(
            asset_checks=[one for one in checks if one.check_key.asset_key == asset_key(spec.qualified)],
            resources={"timescale": self.timescale, "catalog": self.catalog},
        )
        job = definitions.resolve_implicit_global_asset_job_def()
        (found,) = job.execute_in_process(instance=self.instance).get_asset_check_evaluations()
        return found

    def held(self, spec: TableSpec) -> pd.DataFrame:
        return TableReader(self.timescale, TableSlice(spec)).read()

    def all_held(self) -> dict[str, pd.DataFrame]:
        return {spec.name: self.held(spec) for spec in DELIVERY_FEATURES}

    def dirty(self, spec: TableSpec) -> set[date]:
        return {mark.day for mark in self.catalog.stale() if mark.table_name == spec.qualified}


def snapshots() -> Organisation:
    """An organisation on three days: snapshots change from day to day, activities reach back for five weeks."""
    ends = [midnight(day) + ONE_DAY for day in DAYS]
    parts = [organisation(number, people=6, work=20, at=end) for number, end in enumerate(ends)]
    by_table = {name: together(*(part[name] for part in parts)) for name in parts[0] if name != "activities"}
    acts = organisation(99, people=6, work=80, at=ends[-1])["activities"]
    spread = [ends[-1] - timedelta(hours=10 * number) for number in range(len(acts))]
    return by_table | {"activities": acts.assign(occurred_at=pd.Series(spread, dtype=acts["occurred_at"].dtype))}


def assert_same(one: dict[str, pd.DataFrame], other: dict[str, pd.DataFrame]) -> None:
    for name in one:
        pd.testing.assert_frame_equal(one[name], other[name], check_exact=True)


@pytest.fixture(scope="module")
def staged(module_postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Delivery]:
    """Staging of the days, and the activities of the weeks before."""
    with dg.DagsterInstance.ephemeral() as instance:
        delivery = Delivery(module_postgres_url, instance, tmp_path_factory.mktemp("delivery"))
        delivery.run(tables=[spec.qualified for spec in STAGING])
        delivery.run(FIRST - 40 * ONE_DAY, FIRST - ONE_DAY, tables=["staging.delivery_activities"])
        yield delivery


def test_each_day_holds_what_the_transforms_say_of_it_however_the_range_is_cut(staged: Delivery) -> None:
    result = staged.run(FIRST - ONE_DAY, LAST, tables=FEATURES)
    checks = checks_of(result)
    assert len(checks) == 12
    assert all(checks.values()), checks
    whole = staged.all_held()
    for spec in DELIVERY_FEATURES:
        expected = together(*(EVERY[spec.name](staged.rows, midnight(day) + ONE_DAY) for day in DAYS))
        keys = list(spec.key)
        pd.testing.assert_frame_equal(
            whole[spec.name].sort_values(keys, ignore_index=True),
            expected.sort_values(keys, ignore_index=True),
            check_exact=True,
        )
    staged.run(DAYS[1], LAST, tables=FEATURES)
    assert_same(staged.all_held(), whole)  # written twice, and none the worse for it
    with staged.timescale.connect() as connection:
        for spec in DELIVERY_FEATURES:
            connection.execute(sa.delete(sql.table_of(spec)))
    staged.run(DAYS[1], LAST, tables=FEATURES)
    staged.run(FIRST, FIRST, tables=FEATURES)
    assert_same(staged.all_held(), whole)


def test_the_check_fails_of_an_entity_without_features_and_of_features_without_an_entity(staged: Delivery) -> None:
    staged.run(tables=[TASK.qualified])
    table = sql.table_of(TASK)
    with staged.timescale.connect() as connection:
        connection.execute(sa.update(table).where(table.c.task_id == "t3").values(task_id="nobody"))
    found = staged.check(TASK)
    assert not found.passed
    assert found.metadata["without_features"].value == found.metadata["without_entity"].value == len(DAYS)
    staged.run(tables=[TASK.qualified])
    assert staged.check(TASK).passed


def test_late_rows_make_stale_what_looks_back_on_them_and_later_ones_change_nothing(staged: Delivery) -> None:
    staged.run(tables=FEATURES)
    before = staged.all_held()
    assert not any(staged.dirty(spec) & set(DAYS) for spec in DELIVERY_FEATURES)
    later, acts = organisation(7, people=6, work=20, at=midnight(LAST) + 2 * ONE_DAY), staged.rows["activities"]
    staged.rows = {name: together(rows, later[name]) for name, rows in staged.rows.items()}
    staged.rows["activities"] = acts
    staged.run(LAST + ONE_DAY, LAST + ONE_DAY, tables=[spec.qualified for spec in STAGING])
    staged.run(tables=FEATURES)
    assert_same(staged.all_held(), before)

    act: dict[str, Any] = {"activity_id": "late", "occurred_at": pd.Timestamp(midnight(DAYS[1]) + timedelta(hours=3))}
    staged.rows["activities"] = together(acts, acts.iloc[[0]].assign(**act).astype(acts.dtypes))
    staged.run(DAYS[1], DAYS[1], tables=["staging.delivery_activities"])
    reach = {DAYS[1] + n * ONE_DAY for n in range(DELIVERY.activity_window.days)}
    assert staged.dirty(USER) & reach == reach
    assert set(DAYS) & staged.dirty(USER) == set(DAYS) & staged.dirty(TEAM) == set(DAYS[1:])
    assert not set(DAYS) & staged.dirty(TASK)
