"""Failed runs, as Dagster's event log tells them.

A run counts for the table whose step failed first: what is behind it in the run was never tried. A run that died
without a failed step counts for the tables it would have begun with.

Belongs here: reading events, runs and materializations. Does not belong here: counting
(`resources/alerts/failures.py`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster import RunStatusChangeRecordsFilter

from assets_pkg.alerts.graph import AlertGraph
from assets_pkg.runs import PARTITION, RANGE_END, RANGE_START, asset_key
from resources.alerts.failures import FailedRun, News, Success
from resources.logs.redaction import redacted

MOST_EVENTS = 500
"""Per look; the next one goes on where this one ended."""

FIRST_LOOK_BACK = timedelta(days=1)
"""How far back the very first look goes."""


@dataclass(frozen=True)
class _Failure:
    event_id: int
    run_id: str
    at: datetime
    step: str | None
    error: str


def read_news(
    instance: dg.DagsterInstance, graph: AlertGraph, position: int | None, failing: Mapping[str, bool]
) -> News:
    """What failed since `position`, and whether what failed before (`failing`: subject -> is a table) is well again."""
    position, failures = _failures(instance, position)
    runs = {run.run_id: run for run in _runs(instance, [one.run_id for one in failures])}
    found = [run for one in failures for run in _counted(one, runs.get(one.run_id), graph)]
    tables = {run.subject for run in found if run.is_table} | {name for name, is_table in failing.items() if is_table}
    gone = [name for name, is_table in failing.items() if is_table and name not in graph.parents]
    jobs = [name for name, is_table in failing.items() if not is_table]
    well = [job for job in jobs if job not in {run.subject for run in found} and _is_well(instance, job)]
    return News(
        position=position,
        runs=found,
        successes=_successes(instance, tables & graph.parents.keys()),
        forgotten=[*gone, *well],
    )


def _failures(instance: dg.DagsterInstance, position: int | None) -> tuple[int, list[_Failure]]:
    kind = dg.DagsterEventType.RUN_FAILURE
    newest = instance.fetch_run_status_changes(kind, limit=1).records
    newest_id = newest[0].storage_id if newest else 0
    if position is None:
        since = (datetime.now(UTC) - FIRST_LOOK_BACK).timestamp()
        wanted = RunStatusChangeRecordsFilter(kind, after_timestamp=since)
    elif newest_id <= position:
        return newest_id, []  # nothing new; or Dagster's database is another one, and its numbers begin again
    else:
        wanted = RunStatusChangeRecordsFilter(kind, after_storage_id=position)
    records = instance.fetch_run_status_changes(wanted, limit=MOST_EVENTS, ascending=True).records
    failures = [_failure(record) for record in records]
    return (records[-1].storage_id if records else newest_id), failures


def _failure(record: dg.EventLogRecord) -> _Failure:
    entry = record.event_log_entry
    event = entry.get_dagster_event()
    step = event.job_failure_data.first_step_failure_event
    return _Failure(
        event_id=record.storage_id,
        run_id=entry.run_id,
        at=datetime.fromtimestamp(entry.timestamp, UTC),
        step=step.step_key if step else None,
        error=why(event),
    )


def why(event: dg.DagsterEvent) -> str:
    """Why the run failed whose end the event tells, in one line and without secrets."""
    failure = event.job_failure_data
    step = failure.first_step_failure_event
    data = step.step_failure_data if step else failure
    otherwise = event.message or "it ended without saying why"
    described = getattr(getattr(data, "user_failure_data", None), "description", None)
    error = getattr(data, "error", None)
    while error is not None and error.cause is not None:
        error = error.cause
    text = described or (error.message if error else otherwise)
    return redacted(" ".join(text.split()))


def _counted(failure: _Failure, run: dg.DagsterRun | None, graph: AlertGraph) -> Iterable[FailedRun]:
    tables = graph.steps.get(failure.step or "") or (() if run is None else graph.begun_with(run))
    job = "unknown" if run is None else run.job_name
    for subject in tables or (job,):
        yield FailedRun(
            event_id=failure.event_id,
            run_id=failure.run_id,
            subject=subject,
            is_table=bool(tables),
            days=None if run is None else _days(run.tags),
            error=failure.error,
            failed_at=failure.at,
        )


def _runs(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> Sequence[dg.DagsterRun]:
    return instance.get_runs(filters=dg.RunsFilter(run_ids=list(run_ids))) if run_ids else []


def _successes(instance: dg.DagsterInstance, tables: Collection[str]) -> dict[str, Success]:
    if not tables:
        return {}
    found = {}
    for record in instance.get_asset_records([asset_key(table) for table in sorted(tables)]):
        if last := record.asset_entry.last_materialization_record:
            found[".".join(record.asset_entry.asset_key.path)] = Success(last.storage_id, last.event_log_entry.run_id)
    return found


def _is_well(instance: dg.DagsterInstance, job: str) -> bool:
    """Whether the newest run of the job that ended succeeded."""
    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
    newest = instance.get_runs(filters=dg.RunsFilter(job_name=job, statuses=ended), limit=1)
    return bool(newest) and newest[0].status is dg.DagsterRunStatus.SUCCESS


def _days(tags: Mapping[str, str]) -> str | None:
    first, last = tags.get(RANGE_START, tags.get(PARTITION)), tags.get(RANGE_END, tags.get(PARTITION))
    return first if first == last else f"{first} to {last}"
