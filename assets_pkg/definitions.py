"""The only place of assembly: assets, checks, jobs, schedule, sensors and resources become one graph.

Belongs here: the list of what is deployed. Does not belong here: anything that does something. Importing it reads no
environment and opens no connection.
"""

from collections.abc import Mapping
from datetime import timedelta

import dagster as dg

from assets_pkg import checks
from assets_pkg.automation import build_jobs, build_schedule
from assets_pkg.features import assets as features
from assets_pkg.quality import assets as quality
from assets_pkg.sensors import build_news_sensor, build_stale_sensor
from assets_pkg.staging import assets as staging
from assets_pkg.timeseries import assets as timeseries
from resources.openaq.resource import ARCHIVE_DELAY
from resources.wiring import Settings, build_resources, settings


def build_definitions(resources: Mapping[str, object], chosen: Settings) -> dg.Definitions:
    """The graph on the given resources; tests hand in others."""
    return dg.Definitions(
        assets=dg.load_assets_from_modules([staging, timeseries, features, quality]),
        asset_checks=checks.all_checks(),
        jobs=build_jobs(),
        schedules=[
            build_schedule(chosen.openaq_schedule, ARCHIVE_DELAY if chosen.openaq_mode == "archive" else timedelta(0))
        ],
        sensors=[build_news_sensor(timedelta(days=chosen.openaq_look_back_days)), build_stale_sensor()],
        resources=resources,
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads."""
    chosen = settings()
    return build_definitions(build_resources(chosen), chosen)
