"""What is kept for a time only: files in the archive, whose bytes go while what the catalog knows of them stays, and
column profiles.

Belongs here: the daily jobs. Does not belong here: deleting (`resources/landing/zone.py`, `resources/profiling/`).
"""

from datetime import UTC, datetime, timedelta

import dagster as dg
from pydantic import Field

from resources.catalog.file_catalog import FileCatalog
from resources.landing.resource import LandingResource
from resources.profiling import profile_store
from resources.timescale.resource import TimescaleResource
from schemas.catalog_files import Status
from schemas.window import midnight


@dg.op
def retire_files(context: dg.OpExecutionContext, landing: LandingResource, files: FileCatalog) -> None:
    """Deletes loaded files that arrived more than `TIDEMARK_FILES_RETENTION_DAYS` ago from the archive. Their rows
    stay, but can no longer be read again; with 0 days every file is kept for good."""
    if not landing.retention_days:
        context.log.info("files are kept for good: TIDEMARK_FILES_RETENTION_DAYS is 0")
        return
    before = datetime.now(UTC).date() - timedelta(days=landing.retention_days)
    zone = landing.zone()
    for dataset in files.datasets():
        # The catalog first: a file it calls archived is never missing, whatever happens in between.
        for file in files.past_retention(dataset, midnight(before)):
            files.set_status(file.id, Status.RETAINED, run_id=context.run_id)
        gone = zone.retire(dataset, before)
        context.log.info(f"{dataset}: {len(gone)} file(s) that arrived before {before} left the archive")


@dg.job(description=retire_files.__doc__)
def file_retention() -> None:
    """See `retire_files`."""
    retire_files()


class ProfileRetention(dg.Config):
    """How long column profiles are kept."""

    keep_days: int = Field(731, ge=1, description="days back from today whose profiles stay")


@dg.op
def forget_profiles(context: dg.OpExecutionContext, config: ProfileRetention, timescale: TimescaleResource) -> None:
    """Deletes the column profiles of days longer ago than two years, or as configured. Scores and verdicts stay, and
    `tidemark profile` computes what is asked of such a day from its rows."""
    before = datetime.now(UTC).date() - timedelta(days=config.keep_days)
    with timescale.connect() as connection:
        gone = profile_store.forget(connection, before)
    context.log.info(f"{gone} column profile(s) of days before {before} deleted")


@dg.job(description=forget_profiles.__doc__)
def profile_retention() -> None:
    """See `forget_profiles`."""
    forget_profiles()


def build_profile_schedule() -> dg.ScheduleDefinition:
    """Once a day, after that of the files."""
    return _daily(profile_retention, "45 3 * * *", "Lets go of column profiles that are past their retention.")


def build_retention_schedule() -> dg.ScheduleDefinition:
    """Once a day, when little else runs."""
    return _daily(file_retention, "30 3 * * *", "Asks the archive of files to let go of what is past its retention.")


def _daily(job: dg.JobDefinition, cron_schedule: str, description: str) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name=f"{job.name}_daily",
        job=job,
        cron_schedule=cron_schedule,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=description,
    )
