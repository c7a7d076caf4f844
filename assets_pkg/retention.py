"""Files whose time in the archive is over: their bytes go, what the catalog knows of them stays.

Belongs here: the daily job. Does not belong here: deleting (`resources/landing/zone.py`).
"""

from datetime import UTC, datetime, timedelta

import dagster as dg

from resources.catalog.file_catalog import FileCatalog
from resources.landing.resource import LandingResource
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


def build_retention_schedule() -> dg.ScheduleDefinition:
    """Once a day, when little else runs."""
    return dg.ScheduleDefinition(
        name="file_retention_daily",
        job=file_retention,
        cron_schedule="30 3 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Asks the archive of files to let go of what is past its retention.",
    )
