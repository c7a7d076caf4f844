"""A source's table into a Parquet file, without Dagster and without a database: the library's front door.

Belongs here: `IngestionConfig` and the classes that run it, under the names their users know. Does not belong here:
reading (`reading.py`), sources; nothing is done twice.

    metrics = DatabaseIngestion(IngestionConfig(
        source_type=DataSourceType.DATABASE,
        source_config={"connection_string": "postgresql://…", "table": "users", "column_mapping": {"id": "user_id"}},
        target_path="/data/users.parquet",
    )).run()
"""

import secrets
from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

import pandera.pandas as pa
from pydantic import SecretStr

from resources.errors import ConfigurationError
from resources.openaq.rate_budget import LocalRateBudget, Rate
from resources.sources.detection import INSTANT, dtypes_found
from resources.sources.kinds import Reach, open_source
from resources.sources.parquet_file import write_parquet
from resources.sources.reading import TableRead
from resources.sources.row_contract import RowContract
from resources.sources.source import Extract, Source
from schemas.base import dtypes_of
from schemas.source_dataset import RestPages, SourceKind

KEYS = (
    *("connection_string", "url", "bucket", "endpoint_url", "table", "name", "prefix", "endpoint", "pages"),
    *("token", "token_header", "requests_per_minute", "required_columns", "critical_columns", "column_mapping"),
    *("key", "deduplication_keys", "changed_at", "since", "until", "model"),
)
"""What `source_config` may have."""


class DataSourceType(StrEnum):
    """What is read."""

    DATABASE = "database"
    S3 = "s3"
    API = "api"


@dataclass(frozen=True, kw_only=True)
class IngestionConfig:
    """What is read, and the Parquet file it becomes.

    Keys of `source_config`: `connection_string` (or `url`) and `table` (or `prefix`, `endpoint`) are needed; `bucket`
    and `endpoint_url` may stand for a URL of S3. `required_columns` (the source must have them), `critical_columns`
    (a row without a value there is put aside), `column_mapping` (name at the source -> name in the file), `key` or
    `deduplication_keys`, `changed_at` (column of the instant of a change), `since` and `until` (aware datetimes; rows
    stamped in between), `model` (a Pandera model; without one, types are detected), `token`, `token_header`, `pages`
    (`RestPages` or its fields), `requests_per_minute`.
    """

    source_type: DataSourceType
    source_config: Mapping[str, Any] = field(repr=False)
    target_path: str | Path
    batch_size: int = 1000


@dataclass(frozen=True, kw_only=True)
class IngestionMetrics:
    """`records_read = records_written + records_failed + records_duplicate`."""

    records_read: int
    records_written: int
    records_failed: int
    """Rows put aside, in `<target>.rejects.parquet` beside the target."""
    records_duplicate: int
    bytes_processed: int
    duration_seconds: float
    error_rate: float
    """Share of the rows that were put aside, 0 to 1."""


class BaseIngestion(ABC):
    """One run from a source to a file; `create` picks the class by the type of the source."""

    source_type: ClassVar[DataSourceType]
    kind: ClassVar[SourceKind]

    def __init__(self, config: IngestionConfig) -> None:
        if config.source_type != self.source_type:
            raise ConfigurationError(f"{type(self).__name__} reads {self.source_type}, not {config.source_type}")
        self.config = config
        self._given = _Given(config)

    @staticmethod
    def create(config: IngestionConfig) -> "BaseIngestion":
        """The ingestion for the type of the source."""
        return {one.source_type: one for one in (DatabaseIngestion, S3Ingestion, APIIngestion)}[config.source_type](
            config
        )

    def run(self) -> IngestionMetrics:
        """Reads everything and replaces the target, whole or not at all.

        Raises:
            ConfigurationError: the configuration is wrong. And as `TableRead` does; the target stays as it was then.
        """
        source = self._source()
        try:
            contract = self._given.contract(source)
            read = TableRead(
                source,
                self._given.extract(),
                contract,
                read_id=secrets.randbits(62) or 1,
                since=self._given.get("since"),
                until=self._given.get("until"),
            )
            write_parquet(read, contract, Path(self.config.target_path))
        finally:
            source.close()
        metrics = read.metrics
        return IngestionMetrics(
            records_read=metrics.records_read,
            records_written=metrics.records_written,
            records_failed=metrics.records_failed,
            records_duplicate=metrics.records_duplicate,
            bytes_processed=metrics.bytes_read,
            duration_seconds=metrics.duration_s,
            error_rate=metrics.error_rate,
        )

    def _source(self) -> Source:
        token = self._given.get("token")
        per_minute = int(self._given.get("requests_per_minute", 60))
        reach = Reach(
            name=self._given.name,
            url=SecretStr(self._given.url()),
            setting="connection_string",
            token=SecretStr(str(token)) if token else None,
            token_header=str(self._given.get("token_header", "Authorization")),
            budget=LocalRateBudget((Rate(per_minute, 60.0),)),
        )
        return open_source(self.kind, reach)


class DatabaseIngestion(BaseIngestion):
    """PostgreSQL, MySQL and MariaDB."""

    source_type = DataSourceType.DATABASE
    kind = SourceKind.DATABASE


class S3Ingestion(BaseIngestion):
    """Files in S3, MinIO or a folder: CSV, JSON, Excel, Parquet, packed or not."""

    source_type = DataSourceType.S3
    kind = SourceKind.OBJECT_STORE


class APIIngestion(BaseIngestion):
    """JSON APIs."""

    source_type = DataSourceType.API
    kind = SourceKind.REST


class _Given:
    """`source_config`, checked."""

    def __init__(self, config: IngestionConfig) -> None:
        self._config = config
        self._given = dict(config.source_config)
        if unknown := sorted(set(self._given) - set(KEYS)):
            raise ConfigurationError(f"source_config has no {', '.join(unknown)}; it may have {sorted(KEYS)}")
        if config.batch_size < 1:
            raise ConfigurationError(f"batch_size is the number of rows at a time, at least 1, not {config.batch_size}")
        if "://" in str(config.target_path):
            raise ConfigurationError("target_path is a file of this machine")
        for bound in ("since", "until"):
            if (at := self.get(bound)) is not None and (not isinstance(at, datetime) or at.tzinfo is None):
                raise ConfigurationError(f"{bound} is a datetime with a time zone, not {at!r}")

    @property
    def name(self) -> str:
        """The table, prefix or endpoint."""
        for key in ("table", "name", "prefix", "endpoint"):
            if value := self._given.get(key):
                return str(value)
        raise ConfigurationError("source_config names no table (table, prefix or endpoint)")

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key that need not be there."""
        value = self._given.get(key)
        return default if value is None else value

    def url(self) -> str:
        """The address of the source."""
        url = str(self.get("connection_string") or self.get("url") or "")
        if not url and self.get("bucket"):
            url = f"s3://{self.get('bucket')}"
        if not url:
            raise ConfigurationError("source_config has no connection_string")
        endpoint = self.get("endpoint_url")
        return f"{url}?endpoint_url={endpoint}" if endpoint else url

    def extract(self) -> Extract:
        """What is asked of the source."""
        at_source = {ours: theirs for theirs, ours in self.get("column_mapping", {}).items()}
        changed_at = self.get("changed_at")
        pages = self.get("pages")
        if pages is None and self._config.source_type is DataSourceType.API:
            pages = RestPages(path=self.name)
        return Extract(
            name=self.name,
            key=tuple(at_source.get(name, name) for name in self._key),
            changed_at=at_source.get(changed_at, changed_at),
            since=self.get("since"),
            until=self.get("until"),
            batch_size=self._config.batch_size,
            pages=RestPages(**pages) if isinstance(pages, Mapping) else pages,
        )

    def contract(self, source: Source) -> RowContract:
        """What rows have to be: as the model says, else as the source says."""
        mapping: dict[str, str] = dict(self.get("column_mapping", {}))
        model, changed_at = self.get("model"), self.get("changed_at")
        critical = tuple(self.get("critical_columns", ()))
        checks = None
        if model is not None:
            schema: pa.DataFrameSchema = model.to_schema()
            dtypes = dtypes_of(model)
            critical = tuple(dict.fromkeys((*critical, *(n for n, c in schema.columns.items() if not c.nullable))))
            checks = pa.DataFrameSchema(schema.columns)
        else:
            found = dtypes_found(source.columns(self.extract()))
            dtypes = {mapping.get(name, name): dtype for name, dtype in found.items()}
            if changed_at in dtypes:
                dtypes[changed_at] = INSTANT
        wanted = dict.fromkeys((*self.get("required_columns", ()), *critical, *self._key, *filter(None, [changed_at])))
        contract = RowContract(
            label=f"the target of {self.name}",
            dtypes=dtypes,
            mapping=mapping,
            required=tuple(wanted),
            critical=critical,
            key=self._key,
            changed_at=changed_at,
            checks=checks,
        )
        if model is None:
            at_source = {ours: theirs for theirs, ours in mapping.items()}
            contract.require([at_source.get(name, name) for name in dtypes], f"{self.name} at {source.address}")
        return contract

    @property
    def _key(self) -> tuple[str, ...]:
        given = self.get("key") or self.get("deduplication_keys") or ()
        return (given,) if isinstance(given, str) else tuple(given)
