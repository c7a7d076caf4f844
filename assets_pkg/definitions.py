"""The only place of assembly: assets, checks, jobs, schedule, sensors and resources become one graph.

Belongs here: the list of what is deployed. Does not belong here: anything that does something. Importing it reads no
environment and opens no connection.
"""

from collections.abc import Mapping
from datetime import timedelta

import dagster as dg

from assets_pkg import checks
from assets_pkg.alerts.sensor import build_alerts_sensor
from assets_pkg.anomaly_checks import anomaly_checks
from assets_pkg.automation import build_drift_schedule, build_jobs, build_schedule, build_selection_schedule
from assets_pkg.delivery_checks import delivery_checks
from assets_pkg.features import assets as features
from assets_pkg.features import delivery_assets
from assets_pkg.features import selection_assets as selection
from assets_pkg.features.file_assets import build_features_asset
from assets_pkg.features.series_wide_assets import build_series_wide_asset
from assets_pkg.file_checks import file_checks
from assets_pkg.file_sensor import build_landing_sensor
from assets_pkg.finished_runs import build_finished_runs_sensor
from assets_pkg.partitions import OPENAQ_DAILY, event_days
from assets_pkg.quality import assets as quality
from assets_pkg.quality import drift_assets, parity_assets
from assets_pkg.quality.anomalies_assets import build_anomalies_asset
from assets_pkg.quality.file_assets import build_report_asset
from assets_pkg.quality.layer_assets import build_layer_assets
from assets_pkg.retention import build_profile_schedule, build_retention_schedule, file_retention, profile_retention
from assets_pkg.rule_checks import rule_checks
from assets_pkg.sensors import build_news_sensor, build_stale_sensor
from assets_pkg.serving import build_serving_sensor, serve_pending_features
from assets_pkg.source_schedule import build_recovery_sensor, build_source_schedule
from assets_pkg.staging import assets as staging
from assets_pkg.staging.file_assets import build_staging_asset, undeclared_files
from assets_pkg.staging.source_assets import build_source_assets
from assets_pkg.timeseries import assets as timeseries
from assets_pkg.timeseries.file_assets import build_series_asset
from resources.openaq.resource import ARCHIVE_DELAY
from resources.wiring import Settings, build_resources, settings
from schemas.declared_files import file_datasets
from schemas.file_dataset import FileDataset
from schemas.file_tables import FileTables, tables_of
from schemas.source_tables import source_datasets
from schemas.tables import AIR_QUALITY_ANOMALIES, TABLES, WATCHED, WATCHED_AIR_QUALITY


def build_definitions(resources: Mapping[str, object], chosen: Settings) -> dg.Definitions:
    """The graph on the given resources; tests hand in others."""
    sourced = source_datasets().values()
    declared = {dataset.name: tables_of(dataset.name) for dataset in file_datasets().values()}
    return dg.Definitions(
        assets=[
            *dg.load_assets_from_modules(
                [
                    staging,
                    timeseries,
                    features,
                    delivery_assets,
                    selection,
                    quality,
                    parity_assets,
                    drift_assets,
                ]
            ),
            build_anomalies_asset(WATCHED_AIR_QUALITY, AIR_QUALITY_ANOMALIES, OPENAQ_DAILY),
            *(asset for name, tables in declared.items() for asset in _file_assets(file_datasets()[name], tables)),
            undeclared_files,
            *(asset for dataset in sourced for asset in build_source_assets(dataset)),
            build_series_wide_asset(),
            *build_layer_assets(),
        ],
        asset_checks=[
            *checks.all_checks(),
            *file_checks(declared.values()),
            *anomaly_checks([AIR_QUALITY_ANOMALIES, *(tables.anomalies for tables in declared.values())]),
            *checks.source_checks(sourced),
            *delivery_checks(),
            parity_assets.online_equals_offline,
            *rule_checks(TABLES.values()),
        ],
        jobs=[
            *build_jobs(),
            file_retention,
            profile_retention,
            serve_pending_features,
        ],
        schedules=[
            build_schedule(chosen.openaq_schedule, ARCHIVE_DELAY if chosen.openaq_mode == "archive" else timedelta(0)),
            build_retention_schedule(),
            build_profile_schedule(),
            parity_assets.build_parity_schedule(),
            build_source_schedule(chosen.sources_schedule, sourced),
            build_selection_schedule(),
            build_drift_schedule(),
        ],
        sensors=[
            build_news_sensor(timedelta(days=chosen.openaq_look_back_days)),
            build_stale_sensor(),
            build_landing_sensor(declared),
            build_serving_sensor(),
            build_recovery_sensor(sourced),
            build_alerts_sensor(),
            build_finished_runs_sensor(),
        ],
        resources=resources,
        executor=dg.in_process_executor,
    )


def _file_assets(dataset: FileDataset, tables: FileTables) -> list[dg.AssetsDefinition]:
    """The five assets of a dataset that arrives in files."""
    return [
        build_staging_asset(dataset, tables),
        build_series_asset(dataset, tables),
        build_features_asset(dataset, tables),
        build_report_asset(dataset, tables),
        build_anomalies_asset(WATCHED[dataset.name], tables.anomalies, event_days(dataset.first_day)),
    ]


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads."""
    chosen = settings()
    return build_definitions(build_resources(chosen), chosen)
