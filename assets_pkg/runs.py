"""Runs as ranges of days: how a range is asked for, and which ranges are under way.

Belongs here: Dagster's tags for ranges, and reading them back from runs. Does not belong here: deciding what to run.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from assets_pkg.planning import DayRange, Work, is_due
from schemas.tables import TABLES

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
PARTITION = "dagster/partition"
WORK = "tidemark/work"
"""Tag of a run a sensor asked for: `Work.name`."""

MOST_RUNS = 8
"""Runs of the sensors under way at a time; whoever starts one by hand need not queue behind a thousand."""

REMEMBERED = timedelta(days=1)
"""Tries longer ago do not make work wait."""

UNDER_WAY = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def range_tags(days: DayRange) -> dict[str, str]:
    """The tags that make a run one range of daily partitions."""
    return {RANGE_START: days.first.isoformat(), RANGE_END: days.last.isoformat()}


def asset_key(table: str) -> dg.AssetKey:
    """The asset of a table `schema.name`."""
    return dg.AssetKey(table.split("."))


def under_way(instance: dg.DagsterInstance) -> Sequence[dg.DagsterRun]:
    """The runs that are queued or at work."""
    return instance.get_runs(filters=dg.RunsFilter(statuses=UNDER_WAY))


def busy_ranges(runs: Iterable[dg.DagsterRun], jobs: Mapping[str, Iterable[str]]) -> dict[str, list[DayRange]]:
    """Per table, the days of the runs; `jobs` names the tables of jobs that run without a selection. A run of an
    unknown job without a selection may write any table."""
    busy: dict[str, list[DayRange]] = {}
    for run in runs:
        days = _days_of(run.tags)
        if days is None:
            continue
        selected = [".".join(key.path) for key in run.asset_selection or ()]
        for table in selected or jobs.get(run.job_name, TABLES):
            busy.setdefault(table, []).append(days)
    return busy


def places(runs: Iterable[dg.DagsterRun]) -> int:
    """How many more runs the sensors may ask for."""
    return max(0, MOST_RUNS - sum(WORK in run.tags for run in runs))


def due(instance: dg.DagsterInstance, works: Collection[Work]) -> list[Work]:
    """The work that may be asked for now: what was tried lately and is still there waits, the longer the oftener."""
    if not works:
        return []
    now = datetime.now(UTC)
    names = [work.name for work in works]
    tries: dict[str, list[datetime]] = {}
    for record in instance.get_run_records(filters=dg.RunsFilter(tags={WORK: names}, updated_after=now - REMEMBERED)):
        ended = datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.update_timestamp
        tries.setdefault(record.dagster_run.tags[WORK], []).append(ended)
    return [
        work
        for work in works
        if is_due(len(tries.get(work.name, ())), max(tries.get(work.name, ()), default=None), now)
    ]


def request(instance: dg.DagsterInstance, work: Work, run_config: Mapping[str, object] | None = None) -> dg.RunRequest:
    """A run for the work. Its key names the try before it, so that work which is still there can be asked for again,
    and a tick that is repeated asks for nothing twice."""
    before = instance.get_run_records(filters=dg.RunsFilter(tags={WORK: work.name}), limit=1)
    return dg.RunRequest(
        run_key=f"{work.name} after {before[0].dagster_run.run_id if before else 'none'}",
        run_config=run_config,
        asset_selection=[asset_key(table) for table in work.tables],
        tags={**range_tags(work.days), WORK: work.name},
    )


def _days_of(tags: Mapping[str, str]) -> DayRange | None:
    first = tags.get(RANGE_START, tags.get(PARTITION))
    last = tags.get(RANGE_END, tags.get(PARTITION))
    try:
        return DayRange(date.fromisoformat(first or ""), date.fromisoformat(last or ""))
    except ValueError:
        return None
