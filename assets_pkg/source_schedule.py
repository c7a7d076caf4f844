"""The schedule that reads the sources.

Belongs here: which days of which tables are asked for, and when. Does not belong here: reading them
(`staging/source_assets.py`).
"""

from collections.abc import Collection, Iterator
from datetime import date

import dagster as dg

from assets_pkg.automation import JOB_TABLES
from assets_pkg.planning import DayRange, ranges, without
from assets_pkg.runs import asset_key, busy_ranges, range_tags, under_way
from resources.catalog.resource import CatalogResource
from resources.errors import TransientError
from resources.sources.resource import SourcesResource, setting_of
from schemas.source_dataset import SourceDataset
from schemas.source_tables import sourced_tables
from schemas.window import ONE_DAY

Asked = dict[tuple[str, DayRange], list[str]]
"""Dataset and days -> tables."""


def build_source_schedule(cron: str, datasets: Collection[SourceDataset]) -> dg.ScheduleDefinition:
    """Asks, whenever the clock says so, every source that has a URL for yesterday and today, and for the days before
    that were not read since nothing of them could be late any more: so neither rows that are committed late nor days
    on which nothing ran are lost. What is under way already is left alone. What is downstream follows by itself.
    """
    keys = [asset_key(spec.qualified) for dataset in datasets for spec in sourced_tables(dataset)]

    @dg.schedule(
        name="source_snapshots",
        cron_schedule=cron,
        execution_timezone="UTC",
        target=keys,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=build_source_schedule.__doc__,
    )
    def source_snapshots(
        context: dg.ScheduleEvaluationContext, sources: SourcesResource, catalog: CatalogResource
    ) -> list[dg.RunRequest] | dg.SkipReason:
        now = context.scheduled_execution_time
        configured = [dataset for dataset in datasets if sources.urls.get(dataset.name)]
        if not configured:
            return dg.SkipReason(f"no source has a URL: set {', '.join(setting_of(one.name) for one in datasets)}")
        busy = busy_ranges(under_way(context.instance), JOB_TABLES)
        asked: Asked = {}
        try:
            for dataset in configured:
                for table, days in _unsettled(catalog, dataset, now.date()):
                    for one in ranges(without(days, busy.get(table, ()))):
                        asked.setdefault((dataset.name, one), []).append(table)
        except TransientError as error:
            return dg.SkipReason(f"the catalog does not answer: {error}")
        if not asked:
            return dg.SkipReason("what there is to read is being read already")
        return [
            dg.RunRequest(
                run_key=f"{now.isoformat()} {name} {days.first} {days.last}",
                asset_selection=[asset_key(table) for table in tables],
                tags={**range_tags(days), "dataset": name},
            )
            for (name, days), tables in asked.items()
        ]

    return source_snapshots


def _unsettled(catalog: CatalogResource, dataset: SourceDataset, today: date) -> Iterator[tuple[str, list[date]]]:
    """Per table, the days to ask for. Days before the first one that was ever read are a backfill's matter."""
    for spec in sourced_tables(dataset):
        settled = catalog.settled_until(spec, dataset.table(spec.name).lag)
        yesterday = today - ONE_DAY
        first = min(yesterday, settled + ONE_DAY) if settled else yesterday
        yield spec.qualified, DayRange(first, today).days()
