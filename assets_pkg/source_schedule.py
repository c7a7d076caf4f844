"""The schedule that reads the sources, and the sensor that catches up what it had to skip.

Belongs here: which days of which tables are asked for, and when. Does not belong here: reading them
(`staging/source_assets.py`).
"""

import json
from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime

import dagster as dg

from assets_pkg.automation import JOB_TABLES
from assets_pkg.planning import DayRange, ranges, without
from assets_pkg.runs import asset_key, busy_ranges, range_tags, under_way
from resources.catalog.resource import CatalogResource
from resources.errors import DatabaseUnavailable, TidemarkError, TransientError
from resources.sources.resource import SourcesResource, setting_of
from schemas.source_dataset import SourceDataset
from schemas.source_tables import sourced_tables
from schemas.window import ONE_DAY

Asked = dict[tuple[str, DayRange], list[str]]
"""Dataset and days -> tables."""

RECOVERY_EVERY_S = 30


def build_source_schedule(cron: str, datasets: Collection[SourceDataset]) -> dg.ScheduleDefinition:
    """Asks, whenever the clock says so, every source that has a URL for yesterday and today, and for the days before
    that were not read since nothing of them could be late any more: so neither rows that are committed late nor days
    on which nothing ran are lost. What is under way already is left alone, and so is a
    source that is out of order. What is downstream follows by itself.
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
        try:
            left_alone = {one.name: told for one in configured if (told := sources.breaker(one).left_alone())}
            free = [one for one in configured if one.name not in left_alone]
            asked = _asked(context.instance, catalog, free, now.date())
        except TransientError as error:
            return dg.SkipReason(f"the catalog does not answer: {error}")
        if not asked:
            told = (
                f"nothing is asked for: {'; '.join(left_alone.values())}; the sensor source_recovery has it caught up"
            )
            return dg.SkipReason(told if left_alone else "what there is to read is being read already")
        return _requests(asked, now.isoformat())

    return source_snapshots


def build_recovery_sensor(datasets: Collection[SourceDataset]) -> dg.SensorDefinition:
    """Asks a source that was left alone whether it is back, once it is time and by one process; when it is, or somebody
    else found out, what was skipped meanwhile is asked for at once.

    Its cursor holds the datasets that were out of order when it last looked.
    """
    keys = [asset_key(spec.qualified) for dataset in datasets for spec in sourced_tables(dataset)]

    @dg.sensor(
        name="source_recovery",
        asset_selection=keys,
        minimum_interval_seconds=RECOVERY_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tries sources that were left alone, and has what was skipped caught up when they are back.",
    )
    def source_recovery(
        context: dg.SensorEvaluationContext, sources: SourcesResource, catalog: CatalogResource
    ) -> dg.SensorResult | dg.SkipReason:
        before = set(json.loads(context.cursor or "[]"))
        away: dict[str, str] = {}
        back: list[SourceDataset] = []
        try:
            for dataset in [one for one in datasets if sources.urls.get(one.name)]:
                if told := _still_away(sources, dataset):
                    away[dataset.name] = told
                elif dataset.name in before:
                    back.append(dataset)
            asked = _asked(context.instance, catalog, back, datetime.now(UTC).date())
        except TransientError as error:
            return dg.SkipReason(f"the catalog does not answer: {error}")
        context.update_cursor(json.dumps(sorted(away)))
        if not asked:
            return dg.SkipReason("; ".join(away.values()) or "every source answers")
        return dg.SensorResult(run_requests=_requests(asked, f"recovered {datetime.now(UTC).isoformat()}"))

    return source_recovery


def _still_away(sources: SourcesResource, dataset: SourceDataset) -> str | None:
    """Why the dataset's source cannot be read yet; None: it answers.

    Raises:
        DatabaseUnavailable: the state of its breaker cannot be used.
    """
    breaker = sources.breaker(dataset)
    if breaker.is_closed():
        return None
    if told := breaker.left_alone():
        return told
    try:
        sources.check(dataset)
    except DatabaseUnavailable:
        raise
    except TidemarkError as error:
        return str(error)
    return None


def _asked(
    instance: dg.DagsterInstance, catalog: CatalogResource, datasets: Collection[SourceDataset], today: date
) -> Asked:
    """What of the datasets is to be read, but for what is being read."""
    busy = busy_ranges(under_way(instance), JOB_TABLES)
    asked: Asked = {}
    for dataset in datasets:
        for table, days in _unsettled(catalog, dataset, today):
            for one in ranges(without(days, busy.get(table, ()))):
                asked.setdefault((dataset.name, one), []).append(table)
    return asked


def _requests(asked: Asked, key: str) -> list[dg.RunRequest]:
    return [
        dg.RunRequest(
            run_key=f"{key} {name} {days.first} {days.last}",
            asset_selection=[asset_key(table) for table in tables],
            tags={**range_tags(days), "dataset": name},
        )
        for (name, days), tables in asked.items()
    ]


def _unsettled(catalog: CatalogResource, dataset: SourceDataset, today: date) -> Iterator[tuple[str, list[date]]]:
    """Per table, the days to ask for. Days before the first one that was ever read are a backfill's matter."""
    for spec in sourced_tables(dataset):
        settled = catalog.settled_until(spec, dataset.table(spec.name).lag)
        yesterday = today - ONE_DAY
        first = min(yesterday, settled + ONE_DAY) if settled else yesterday
        yield spec.qualified, DayRange(first, today).days()
