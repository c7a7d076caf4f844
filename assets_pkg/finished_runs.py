"""The sensor that keeps a summary of every run that ended, and hands it to the tracking server if there is one.

Belongs here: which runs have ended since, as Dagster tells. Does not belong here: the summary
(`resources/catalog/run_summaries.py`), the server (`resources/tracking.py`). It starts no run; a server that is away
fails no tick: what it lacks is sent when it is back.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta

import dagster as dg
from dagster import RunStatusChangeRecordsFilter

from assets_pkg.alerts.failed_runs import why
from assets_pkg.automation import JOB_TABLES
from assets_pkg.runs import PARTITION, RANGE_END, RANGE_START
from resources.catalog import run_summaries
from resources.catalog.run_summaries import EndedRun
from resources.errors import TidemarkError
from resources.timescale.resource import TimescaleResource
from resources.tracking import TrackingResource

LOOK_EVERY_S = 30
MOST_RUNS = 200
"""Per look and way to end; the next look goes on where this one ended."""

MOST_SENT = 20
"""Per look: a tick has a minute, and loading MLflow takes a part of the first."""

FIRST_LOOK_BACK = timedelta(days=1)
"""How far back the very first look goes."""

ENDINGS = {
    dg.DagsterEventType.RUN_SUCCESS: "succeeded",
    dg.DagsterEventType.RUN_FAILURE: "failed",
    dg.DagsterEventType.RUN_CANCELED: "cancelled",
}

_log = logging.getLogger(__name__)


def build_finished_runs_sensor() -> dg.SensorDefinition:
    """The sensor behind `catalog.run_summaries`."""

    @dg.sensor(
        name="finished_runs",
        minimum_interval_seconds=LOOK_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Keeps a summary of every run that ended; logs it to MLflow where TIDEMARK_MLFLOW_URL is set.",
    )
    def finished_runs(
        context: dg.SensorEvaluationContext, timescale: TimescaleResource, tracking: TrackingResource
    ) -> dg.SkipReason:
        positions: dict[str, int] = json.loads(context.cursor or "{}")
        try:
            kept = sum(_take_in(context.instance, timescale, positions, kind) for kind in ENDINGS)
            context.update_cursor(json.dumps(positions))
            sent = _send(timescale, tracking)
        except TidemarkError as error:
            # A tick that fails would keep no cursor; whether MLflow is usable `tidemark doctor` says too.
            return dg.SkipReason(f"{error}; it is tried again")
        parts = [f"{kept} run(s) summarised"] if kept else []
        parts += [f"{sent} run(s) logged to MLflow"] if sent else []
        return dg.SkipReason(", ".join(parts) or "nothing new")

    return finished_runs


def _take_in(
    instance: dg.DagsterInstance, timescale: TimescaleResource, positions: dict[str, int], kind: dg.DagsterEventType
) -> int:
    """Summarises the runs that ended this way since; how many. A tick that is repeated summarises them again."""
    records = list(_ended(instance, positions.get(kind.value), kind))
    runs = _runs(instance, [record.event_log_entry.run_id for record in records])
    for record in records:
        entry = record.event_log_entry
        if entry.run_id in runs:
            event = entry.get_dagster_event()
            error = why(event) if kind is dg.DagsterEventType.RUN_FAILURE else None
            ended = _described(runs[entry.run_id], ENDINGS[kind], entry.timestamp, error)
            with timescale.connect() as connection:
                run_summaries.summarise(connection, ended)
        positions[kind.value] = record.storage_id
    return len(records)


def _ended(
    instance: dg.DagsterInstance, position: int | None, kind: dg.DagsterEventType
) -> Iterable[dg.EventLogRecord]:
    newest = instance.fetch_run_status_changes(kind, limit=1).records
    if position is None or not newest or newest[0].storage_id < position:
        # The first look; or Dagster's database is another one, and its numbers begin again.
        since = (datetime.now(UTC) - FIRST_LOOK_BACK).timestamp()
        wanted = RunStatusChangeRecordsFilter(kind, after_timestamp=since)
    else:
        wanted = RunStatusChangeRecordsFilter(kind, after_storage_id=position)
    return instance.fetch_run_status_changes(wanted, limit=MOST_RUNS, ascending=True).records


def _runs(instance: dg.DagsterInstance, run_ids: list[str]) -> Mapping[str, dg.RunRecord]:
    if not run_ids:
        return {}
    found = instance.get_run_records(filters=dg.RunsFilter(run_ids=run_ids))
    return {record.dagster_run.run_id: record for record in found}


def _described(record: dg.RunRecord, status: str, at: float, error: str | None) -> EndedRun:
    run, ended_at = record.dagster_run, datetime.fromtimestamp(at, UTC)
    days = [day for tag in (RANGE_START, RANGE_END, PARTITION) if (day := _day(run.tags.get(tag)))]
    started_at = datetime.fromtimestamp(record.start_time, UTC) if record.start_time else ended_at
    return EndedRun(
        run_id=run.run_id,
        job=run.job_name,
        status=status,
        tables=list(_tables(run)),
        first_day=min(days, default=None),
        last_day=max(days, default=None),
        started_at=min(started_at, ended_at),
        ended_at=ended_at,
        error=error,
    )


def _tables(run: dg.DagsterRun) -> Iterator[str]:
    selected = [".".join(key.path) for key in run.asset_selection or ()]
    yield from selected or JOB_TABLES.get(run.job_name, ())


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None


def _send(timescale: TimescaleResource, tracking: TrackingResource) -> int:
    """Logs what the tracking server lacks; how many runs.

    Raises:
        ConfigurationError: MLflow is not installed, or refuses.
        SourceUnavailable: the server does not answer.
    """
    if not tracking.url:
        return 0
    with timescale.connect() as connection:
        waiting = run_summaries.untracked(connection, MOST_SENT)
    for summary in waiting:
        try:
            tracking.log(summary)
        except TidemarkError as error:
            _log.warning("run %s is not logged to MLflow: %s", summary.run_id, error)
            raise
        with timescale.connect() as connection:
            run_summaries.tracked(connection, summary.run_id)
    return len(waiting)
