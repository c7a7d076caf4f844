"""The one place that names environment variables and puts the resources together.

Belongs here: `Settings` (every variable, its default and its check) and `build_resources()`. Secrets reach a resource
as `dg.EnvVar`, so that the UI shows their name and never their value. Does not belong here: what a resource does.

Webserver and daemon read the settings and build no resource: each is imported where it is built, which takes seconds.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

import dagster as dg
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from resources.alerts.channel import channels_of
from resources.alerts.quiet import quiet_hours
from resources.alerts.thresholds import DEFAULTS
from resources.circuit.breaker import DEFAULT_POLICY
from resources.errors import ConfigurationError

if TYPE_CHECKING:
    from resources.alerts.resource import AlertsResource
    from resources.catalog.schema import CatalogedTimescale
    from resources.feast.resource import FeastResource
    from resources.landing.resource import LandingResource
    from resources.openaq.resource import OpenAQResource
    from resources.sources.resource import SourcesResource
    from resources.tracking import TrackingResource

PROJECT_ROOT = Path(__file__).resolve().parents[1]

DECLARATIONS = "feature_repo.objects"
"""The module that declares Feast's objects; named and not imported, for Feast takes seconds to load."""


class Settings(BaseSettings):
    """Everything that can be set, from the environment or a `.env` file in the project's root."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    home: Path = Field(PROJECT_ROOT / ".tidemark", validation_alias="TIDEMARK_HOME")
    """Where the embedded database, raw files, Dagster's files and logs lie."""
    database_url: SecretStr | None = Field(None, validation_alias="TIDEMARK_DATABASE_URL")
    """`postgresql://user:password@host:port/database`; unset: the embedded PostgreSQL."""
    dagster_database_url: SecretStr | None = Field(None, validation_alias="TIDEMARK_DAGSTER_DATABASE_URL")
    """Dagster's own database; unset: `dagster` on the same server."""
    online_store_url: SecretStr | None = Field(None, validation_alias="TIDEMARK_ONLINE_STORE_URL")
    """Where features are served from: `redis://user:password@host:port/db`, `postgres` (the product's own database) or
    `postgresql://…`; unset: a SQLite file in `TIDEMARK_HOME`."""
    openaq_mode: Literal["archive", "api"] = Field("archive", validation_alias="TIDEMARK_OPENAQ_MODE")
    openaq_locations: Annotated[tuple[int, ...], NoDecode] = Field(
        (2178, 8118), validation_alias="TIDEMARK_OPENAQ_LOCATIONS"
    )
    """OpenAQ location ids, separated by commas."""
    openaq_country: str | None = Field(None, validation_alias="TIDEMARK_OPENAQ_COUNTRY", pattern="^[A-Za-z]{2}$")
    """ISO 3166 code; with mode `api`: all its locations instead of the list."""
    openaq_bbox: Annotated[tuple[float, float, float, float] | None, NoDecode] = Field(
        None, validation_alias="TIDEMARK_OPENAQ_BBOX"
    )
    """`west,south,east,north` in degrees; with mode `api`: all locations inside instead of the list."""
    openaq_archive_url: str = Field("s3://openaq-data-archive", validation_alias="TIDEMARK_OPENAQ_ARCHIVE_URL")
    """A bucket, folder or URL with the archive's layout."""
    openaq_api_url: str = Field("https://api.openaq.org/v3", validation_alias="TIDEMARK_OPENAQ_API_URL")
    openaq_api_key: SecretStr | None = Field(None, validation_alias="OPENAQ_API_KEY")
    openaq_schedule: str = Field("0 */2 * * *", validation_alias="TIDEMARK_OPENAQ_SCHEDULE")
    """Cron expression in UTC, or a number of hours that divides a day."""
    openaq_per_minute: int = Field(60, ge=1, validation_alias="TIDEMARK_OPENAQ_PER_MINUTE")
    openaq_per_hour: int = Field(2000, ge=1, validation_alias="TIDEMARK_OPENAQ_PER_HOUR")
    openaq_look_back_days: int = Field(7, ge=0, le=60, validation_alias="TIDEMARK_OPENAQ_LOOK_BACK_DAYS")
    """How far back the sensor asks again for rows that arrived late."""
    raw_url: str | None = Field(None, validation_alias="TIDEMARK_RAW_URL")
    """Folder or fsspec URL that keeps raw pages and files; unset: `raw` in `TIDEMARK_HOME`."""
    files_url: str | None = Field(None, validation_alias="TIDEMARK_FILES_URL")
    """Folder or fsspec URL of `landing/`, `archive/` and `rejected/`; unset: `files` in `TIDEMARK_HOME`."""
    files_endpoint_url: str | None = Field(None, validation_alias="TIDEMARK_FILES_ENDPOINT_URL")
    """An S3-compatible server (MinIO) to ask instead of AWS."""
    files_quiet_s: float = Field(5.0, ge=0, le=3600, validation_alias="TIDEMARK_FILES_QUIET_S")
    """How long a file must stay as it is to count as whole, seconds."""
    files_retention_days: int = Field(0, ge=0, validation_alias="TIDEMARK_FILES_RETENTION_DAYS")
    """Days that loaded files stay in the archive; 0: for good."""
    files_workers: int = Field(2, ge=1, le=64, validation_alias="TIDEMARK_FILES_WORKERS")
    """Files that one run reads at the same time."""
    sources_schedule: str = Field("15 * * * *", validation_alias="TIDEMARK_SOURCES_SCHEDULE")
    """When sources that are configured are read: a cron expression in UTC, or a number of hours that divides a day."""
    source_delivery_url: SecretStr | None = Field(None, validation_alias="TIDEMARK_SOURCE_DELIVERY_URL")
    """Database of the dataset `delivery`; other datasets' sources are found by the name of the variable."""
    circuit_failures: int = Field(DEFAULT_POLICY.fail_max, ge=1, validation_alias="TIDEMARK_CIRCUIT_FAILURES")
    """Failures in a row after which a source or the online store is left alone."""
    circuit_reset_s: float = Field(DEFAULT_POLICY.reset_s, ge=1, le=86_400, validation_alias="TIDEMARK_CIRCUIT_RESET_S")
    """Seconds until one process tries it again."""
    port: int = Field(3000, ge=1, le=65535, validation_alias="TIDEMARK_PORT")
    """Port of the Dagster UI on 127.0.0.1."""
    serving_token: SecretStr | None = Field(None, validation_alias="TIDEMARK_SERVING_TOKEN")
    """Whoever asks for online features over HTTP sends it; unset: one is made and kept in `TIDEMARK_HOME`."""
    serving_port: int = Field(6566, ge=1, le=65535, validation_alias="TIDEMARK_SERVING_PORT")
    """Port of `tidemark serve`."""
    alert_urls: SecretStr | None = Field(None, validation_alias="TIDEMARK_ALERT_URLS")
    """Whom to tell what is wrong: `name=url` as Apprise writes them, separated by white space; unset: nobody."""
    alert_levels: str = Field("", validation_alias="TIDEMARK_ALERT_LEVELS")
    """`name=info`, `warning` (the default), `error`, `critical` or `off`, separated by white space."""
    alert_quiet_hours: str = Field("", validation_alias="TIDEMARK_ALERT_QUIET_HOURS")
    """`22:00-07:00 Europe/Berlin`: only what is critical is told then, the rest afterwards in one message."""
    alert_ends: bool = Field(True, validation_alias="TIDEMARK_ALERT_ENDS")
    """Whether it is told that something is well again."""
    alert_failures: int = Field(DEFAULTS.most_failures, ge=1, validation_alias="TIDEMARK_ALERT_FAILURES")
    """Failed runs of an asset in a row that are critical."""
    alert_score_pct: float = Field(DEFAULTS.score_pct, ge=0, le=100, validation_alias="TIDEMARK_ALERT_SCORE_PCT")
    """Quality scores below it are a warning, percent."""
    alert_settled_h: float = Field(DEFAULTS.settled_h, ge=0, le=240, validation_alias="TIDEMARK_ALERT_SETTLED_H")
    """Hours after the end of a day from which its score counts."""
    alert_look_back_days: int = Field(DEFAULTS.look_back_days, ge=1, validation_alias="TIDEMARK_ALERT_LOOK_BACK_DAYS")
    """Days whose quality, anomalies and drift count."""
    alert_api_s: float = Field(DEFAULTS.api_s, gt=0, validation_alias="TIDEMARK_ALERT_API_S")
    """Seconds an API may take to answer."""
    alert_circuit_s: float = Field(DEFAULTS.circuit_s, ge=0, validation_alias="TIDEMARK_ALERT_CIRCUIT_S")
    """Seconds a dependency may be out of order."""
    alert_silent_s: float = Field(DEFAULTS.silent_s, ge=60, validation_alias="TIDEMARK_ALERT_SILENT_S")
    """Seconds a sensor or schedule may be overdue."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", validation_alias="TIDEMARK_LOG_LEVEL")
    """From which level on the log file is told."""
    log_bytes: int = Field(20_000_000, ge=10_000, validation_alias="TIDEMARK_LOG_BYTES")
    """Size at which the log file starts anew, bytes."""
    log_files: int = Field(5, ge=1, le=1000, validation_alias="TIDEMARK_LOG_FILES")
    """Log files that are kept, the newest included."""
    mlflow_url: SecretStr | None = Field(None, validation_alias="TIDEMARK_MLFLOW_URL")
    """Tracking server, or database, that runs are logged to; unset: none. Needs the extra `mlflow`."""
    mlflow_experiment: str = Field("tidemark", min_length=1, validation_alias="TIDEMARK_MLFLOW_EXPERIMENT")

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @field_validator("openaq_locations", mode="before")
    @classmethod
    def _ids(cls, given: object) -> object:
        return tuple(part.strip() for part in given.split(",") if part.strip()) if isinstance(given, str) else given

    @field_validator("openaq_bbox", mode="before")
    @classmethod
    def _degrees(cls, given: object) -> object:
        return tuple(part.strip() for part in given.split(",")) if isinstance(given, str) else given

    @model_validator(mode="after")
    def _alerts(self) -> Self:
        quiet_hours(self.alert_quiet_hours)
        channels_of(self.alert_urls.get_secret_value() if self.alert_urls else "", self.alert_levels)
        return self

    @field_validator("openaq_schedule", "sources_schedule")
    @classmethod
    def _cron(cls, given: str) -> str:
        if given.strip().isdigit():
            hours = int(given)
            if not 1 <= hours <= 24 or 24 % hours:
                raise ValueError("it is 1, 2, 3, 4, 6, 8, 12 or 24 hours; anything else is a cron expression")
            return "0 0 * * *" if hours == 24 else f"0 */{hours} * * *"
        try:
            dg.ScheduleDefinition(name="probe", job_name="probe", cron_schedule=given)
        except dg.DagsterInvalidDefinitionError:
            raise ValueError("neither a cron expression nor a number of hours from 1 to 24") from None
        return given


def settings() -> Settings:
    """The settings in force.

    Raises:
        ConfigurationError: a variable is malformed; names it, never its value.
    """
    try:
        return Settings()
    except ValidationError as error:
        told = error.errors(include_input=False)
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'TIDEMARK_ALERT_*'}: {e['msg']}" for e in told)
        raise ConfigurationError(f"wrong setting, see .env.example: {wrong}") from None


def build_resources(chosen: Settings) -> dict[str, object]:
    """The resources of the graph, by the names assets ask for them."""
    from resources.catalog.file_catalog import FileCatalog
    from resources.catalog.io_manager import LedgerIOManager
    from resources.catalog.resource import CatalogResource
    from resources.catalog.schema import CatalogedTimescale
    from resources.feast.io_manager import FeastIOManager

    timescale = CatalogedTimescale(
        database_url=dg.EnvVar("TIDEMARK_DATABASE_URL") if chosen.database_url else "", state_dir=str(chosen.home)
    )
    feast = feast_resource(
        chosen, timescale, online_store_url=dg.EnvVar("TIDEMARK_ONLINE_STORE_URL") if chosen.online_store_url else ""
    )
    return {
        "timescale": timescale,
        "catalog": CatalogResource(timescale=timescale),
        "feast": feast,
        "feast_io_manager": FeastIOManager(timescale=timescale, feast=feast),
        "openaq": openaq_resource(chosen, timescale, api_key=dg.EnvVar("OPENAQ_API_KEY")),
        "io_manager": LedgerIOManager(timescale=timescale),
        "landing": landing_resource(chosen),
        "files": FileCatalog(timescale=timescale),
        "sources": sources_resource(chosen, timescale, is_dagster=True),
        "alerts": alerts_resource(chosen, timescale, urls=dg.EnvVar("TIDEMARK_ALERT_URLS")),
        "tracking": tracking_resource(chosen, url=dg.EnvVar("TIDEMARK_MLFLOW_URL")),
    }


def tracking_resource(chosen: Settings, *, url: str | None = None) -> "TrackingResource":
    """Where runs are logged; outside of Dagster (no `url` given) with the address itself in it."""
    from resources.tracking import TrackingResource

    secret = chosen.mlflow_url.get_secret_value() if chosen.mlflow_url else ""
    if secret:
        # Set before it is loaded, or it leaves a mark in the user's folder.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    return TrackingResource(url=(url or secret) if secret else "", experiment=chosen.mlflow_experiment)


def alerts_resource(chosen: Settings, timescale: "CatalogedTimescale", *, urls: str | None = None) -> "AlertsResource":
    """Alerts as configured; outside of Dagster (no `urls` given) with the addresses themselves in it."""
    from resources.alerts.resource import AlertsResource

    secret = chosen.alert_urls.get_secret_value() if chosen.alert_urls else ""
    return AlertsResource(
        timescale=timescale,
        urls=(urls or secret) if secret else "",
        levels=chosen.alert_levels,
        quiet=chosen.alert_quiet_hours,
        is_end_told=chosen.alert_ends,
        most_failures=chosen.alert_failures,
        score_pct=chosen.alert_score_pct,
        settled_h=chosen.alert_settled_h,
        look_back_days=chosen.alert_look_back_days,
        api_s=chosen.alert_api_s,
        circuit_s=chosen.alert_circuit_s,
        silent_s=chosen.alert_silent_s,
    )


def feast_resource(
    chosen: Settings, timescale: "CatalogedTimescale", *, online_store_url: str | None = None
) -> "FeastResource":
    """The feature store as configured; outside of Dagster (no URL given) with the URL itself in it."""
    from resources.feast.resource import FeastResource

    secret = chosen.online_store_url.get_secret_value() if chosen.online_store_url else ""
    url = secret if online_store_url is None else online_store_url
    return FeastResource(
        timescale=timescale,
        online_store_url=url,
        home=str(chosen.home),
        declarations=DECLARATIONS,
        circuit_failures=chosen.circuit_failures,
        circuit_reset_s=chosen.circuit_reset_s,
    )


def landing_resource(chosen: Settings) -> "LandingResource":
    """The landing zone as configured."""
    from resources.landing.resource import LandingResource

    return LandingResource(
        url=chosen.files_url or str(chosen.home / "files"),
        endpoint_url=chosen.files_endpoint_url or "",
        work_dir=str(chosen.home / "work"),
        quiet_s=chosen.files_quiet_s,
        retention_days=chosen.files_retention_days,
        workers=chosen.files_workers,
    )


def sources_resource(
    chosen: Settings, timescale: "CatalogedTimescale", *, is_dagster: bool = False
) -> "SourcesResource":
    """The sources of the declared datasets as configured; outside of Dagster with the secrets themselves in it."""
    from resources.sources.resource import SourcesResource, setting_of
    from schemas.source_tables import source_datasets

    given = source_settings(chosen)
    found: dict[str, dict[str, str]] = {"URL": {}, "TOKEN": {}, "TOKEN_HEADER": {}}
    for dataset in source_datasets():
        for part, values in found.items():
            if (name := setting_of(dataset, part)) in given:
                values[dataset] = dg.EnvVar(name) if is_dagster else given[name]
    return SourcesResource(
        timescale=timescale,
        urls=found["URL"],
        tokens=found["TOKEN"],
        token_headers=found["TOKEN_HEADER"],
        work_dir=str(chosen.home / "work"),
        circuit_failures=chosen.circuit_failures,
        circuit_reset_s=chosen.circuit_reset_s,
    )


def source_settings(chosen: Settings) -> dict[str, str]:
    """What is set of `TIDEMARK_SOURCE_<NAME>_*`: a dataset that is declared needs no field of `Settings`."""
    from resources.sources.resource import setting_of

    given = {name: value for name, value in os.environ.items() if name.startswith("TIDEMARK_SOURCE_") and value}
    if chosen.source_delivery_url:
        given[setting_of("delivery")] = chosen.source_delivery_url.get_secret_value()
    return given


def openaq_resource(
    chosen: Settings, timescale: "CatalogedTimescale", *, api_key: str | None = None
) -> "OpenAQResource":
    """OpenAQ as configured; outside of Dagster (no `api_key` given) with the key itself in it."""
    import stamina

    from resources.openaq.resource import OpenAQResource

    # A retry is told by the error it ends in; stamina would print each one to standard output.
    stamina.instrumentation.set_on_retry_hooks([])
    key = chosen.openaq_api_key
    return OpenAQResource(
        timescale=timescale,
        mode=chosen.openaq_mode,
        listed_locations=list(chosen.openaq_locations),
        country=chosen.openaq_country or "",
        bbox=list(chosen.openaq_bbox or ()),
        archive_url=chosen.openaq_archive_url,
        api_url=chosen.openaq_api_url,
        api_key=(api_key or key.get_secret_value()) if key else "",
        raw_url=chosen.raw_url or str(chosen.home / "raw"),
        per_minute=chosen.openaq_per_minute,
        per_hour=chosen.openaq_per_hour,
        circuit_failures=chosen.circuit_failures,
        circuit_reset_s=chosen.circuit_reset_s,
    )


def build_timescale(chosen: Settings) -> "CatalogedTimescale":
    """The database for use outside of Dagster, with the URL itself in it."""
    from resources.catalog.schema import CatalogedTimescale

    url = chosen.database_url.get_secret_value() if chosen.database_url else ""
    return CatalogedTimescale(database_url=url, state_dir=str(chosen.home))
