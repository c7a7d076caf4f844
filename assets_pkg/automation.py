"""Jobs and the schedule, by the names engineers look for.

Belongs here: what starts by hand or by the clock. Does not belong here: what starts because something is new or stale
(`sensors.py`).
"""

from datetime import UTC, timedelta
from typing import Any

import dagster as dg

from assets_pkg.planning import DayRange, without
from assets_pkg.runs import asset_key, busy_ranges, range_tags, under_way
from resources.errors import TransientError
from resources.openaq.resource import OpenAQResource
from schemas.delivery_tables import TASK, USER
from schemas.table_spec import TableSpec
from schemas.tables import (
    AIR_QUALITY,
    AIR_QUALITY_ANOMALIES,
    AIR_QUALITY_HOURLY,
    AIR_QUALITY_REPORT,
    FEATURE_DRIFT,
    FEATURE_SCALING,
    FEATURE_SETS,
    IMPORTANCE,
    OPENAQ_MEASUREMENTS,
    OPENAQ_QUALITY,
    SERIES_WIDE,
    TABLES,
)
from schemas.window import ONE_DAY


def _with_all_it_reads(spec: TableSpec) -> tuple[TableSpec, ...]:
    """The table behind those it is computed from."""
    return (*(TABLES[read.table] for read in spec.reads), spec)


JOBS: dict[str, tuple[TableSpec, ...]] = {
    "data_ingestion": (OPENAQ_MEASUREMENTS,),
    "data_processing": (AIR_QUALITY,),
    "feature_extraction": (AIR_QUALITY_HOURLY,),
    "quality_monitoring": (
        AIR_QUALITY_REPORT,
        AIR_QUALITY_ANOMALIES,
        *(quality.spec for quality in OPENAQ_QUALITY),
        FEATURE_DRIFT,
    ),
    "drift_monitoring": (FEATURE_DRIFT,),
    "wide_series_features": (SERIES_WIDE,),
    "feature_selection": (FEATURE_SCALING, IMPORTANCE, FEATURE_SETS),
    "user_pipeline": _with_all_it_reads(USER),
    "task_pipeline": _with_all_it_reads(TASK),
}
"""Job -> tables it fills."""

JOB_TABLES = {job: tuple(spec.qualified for spec in specs) for job, specs in JOBS.items()}


def build_jobs() -> list[Any]:
    """One job per stage of air quality, per kind of entity from its source to its features, and for what is computed on
    demand only."""
    return [
        dg.define_asset_job(
            name,
            selection=dg.AssetSelection.assets(*(asset_key(spec.qualified) for spec in specs)),
            description=f"Fills {', '.join(spec.qualified for spec in specs)} for a day or a range of days.",
            tags={"dataset": specs[0].dataset},
        )
        for name, specs in JOBS.items()
    ]


def build_schedule(cron: str, lag: timedelta) -> dg.ScheduleDefinition:
    """Asks the source for the two newest days it can have, `lag` ago and the day before, whenever the clock says so,
    unless they are under way already. What is downstream follows by itself: the write marks it stale.
    """

    @dg.schedule(
        name="openaq_schedule",
        job_name="data_ingestion",
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=build_schedule.__doc__,
    )
    def openaq_schedule(context: dg.ScheduleEvaluationContext, openaq: OpenAQResource) -> dg.RunRequest | dg.SkipReason:
        try:
            openaq.try_again()
        except TransientError as error:
            return dg.SkipReason(f"nothing is asked for: {error}; the sensor asks for what is new afterwards")
        now = context.scheduled_execution_time
        newest = now.date() - lag
        days = [newest - ONE_DAY, newest]
        free = without(
            days, busy_ranges(under_way(context.instance), JOB_TABLES).get(OPENAQ_MEASUREMENTS.qualified, ())
        )
        if not free:
            return dg.SkipReason(f"{days[0]} and {days[1]} are being fetched already")
        return dg.RunRequest(run_key=now.isoformat(), tags=range_tags(DayRange(free[0], free[-1])))

    return openaq_schedule


def build_selection_schedule() -> dg.ScheduleDefinition:
    """Once a week, which features matter is found out as of the end of the week, a Sunday; a day before that is a
    matter of asking for it."""

    @dg.schedule(
        name="feature_selection_weekly",
        job_name="feature_selection",
        cron_schedule="0 5 * * 1",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=build_selection_schedule.__doc__,
    )
    def feature_selection_weekly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        day = context.scheduled_execution_time.astimezone(UTC).date() - ONE_DAY
        return dg.RunRequest(run_key=day.isoformat(), tags=range_tags(DayRange(day, day)))

    return feature_selection_weekly


def build_drift_schedule() -> dg.ScheduleDefinition:
    """Every morning, whether features still look as they did is found out as of the end of the day before."""

    @dg.schedule(
        name="feature_drift_daily",
        job_name="drift_monitoring",
        cron_schedule="30 5 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=build_drift_schedule.__doc__,
    )
    def feature_drift_daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        day = context.scheduled_execution_time.astimezone(UTC).date() - ONE_DAY
        return dg.RunRequest(run_key=day.isoformat(), tags=range_tags(DayRange(day, day)))

    return feature_drift_daily
