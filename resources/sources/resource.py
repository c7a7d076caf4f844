"""Sources as assets use them.

Belongs here: configuration, and reads that the catalog knows of. Does not belong here: reading (`reading.py`), kinds of
sources (`kinds.py`), what is done with the rows.
"""

import secrets
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
from pydantic import Field, SecretStr

from resources.catalog import source_reads
from resources.catalog.api_answers import AnswerTimes
from resources.circuit.breaker import DEFAULT_POLICY, CircuitBreaker, CircuitPolicy
from resources.circuit.shared import SharedCircuitStore
from resources.errors import ConfigurationError
from resources.openaq.rate_budget import Rate
from resources.openaq.rate_budget_shared import SharedRateBudget
from resources.sources.kinds import Reach, open_source
from resources.sources.reading import ReadMetrics, TableRead, counts_of
from resources.sources.row_contract import RowContract
from resources.sources.source import Extract, FoundColumn, Source
from resources.timescale.resource import TimescaleResource, engine_of
from schemas.source_dataset import SourceDataset, SourceTable


class SourcesResource(dg.ConfigurableResource["SourcesResource"]):
    """The sources of the declared datasets, by their names; their circuit breakers and the budgets of REST sources
    are shared by all processes through the database."""

    timescale: dg.ResourceDependency[TimescaleResource]
    urls: dict[str, str] = Field(default={}, repr=False, description="dataset -> URL of its source")
    tokens: dict[str, str] = Field(default={}, repr=False, description="dataset -> token of its REST API")
    token_headers: dict[str, str] = Field(
        default={}, description="dataset -> header that carries the token; others: Authorization: Bearer"
    )
    work_dir: str = Field(default="", description="folder for objects while they are read; empty: the system's")
    circuit_failures: int = Field(default=DEFAULT_POLICY.fail_max, description="failures after which one is left alone")
    circuit_reset_s: float = Field(default=DEFAULT_POLICY.reset_s, description="seconds until it is tried again")

    def read(
        self,
        dataset: SourceDataset,
        table: SourceTable,
        *,
        since: datetime | None,
        until: datetime | None,
        run_id: str,
    ) -> TableRead:
        """The rows of `table` stamped in `(since - table.lag, until]` (aware UTC), batch by batch, ready for staging.

        A row of `catalog.source_reads` tells of the read from its first batch on. Rows stamped later than now are put
        aside, whatever `until` is.

        Raises:
            ConfigurationError: the dataset has no URL, or one that is none; the message names the setting.
            And as `TableRead` does while it is iterated.
        """
        source = self.source(dataset)
        now = datetime.now(UTC)
        since = None if since is None else min(since, now)
        narrowed = Extract.of(table, since=since, until=until)
        # What lies ahead is asked for as well wherever now is asked for: nobody would ever hear of it else.
        asked = Extract.of(table, since=since, until=until if until is not None and until < now else None)
        read_id = secrets.randbits(62) or 1
        note = _CatalogNote(
            self.timescale,
            read_id=read_id,
            dataset=dataset.name,
            table_name=f"staging.{table.staging_table}",
            kind=dataset.kind.value,
            source_table=table.name,
            address=source.address,
            run_id=run_id,
            since=narrowed.since,
            until=until,
        )
        return TableRead(
            source,
            asked,
            RowContract.of(table),
            read_id=read_id,
            note=note,
            since=narrowed.since,
            until=until,
        )

    def breaker(self, dataset: SourceDataset) -> CircuitBreaker:
        """The breaker of the dataset's source."""
        policy = CircuitPolicy(fail_max=self.circuit_failures, reset_s=self.circuit_reset_s)
        return CircuitBreaker(f"source/{dataset.name}", policy, SharedCircuitStore(engine_of(self.timescale.url())))

    def check(self, dataset: SourceDataset) -> str:
        """What the source says of itself: it is reachable; tells its breaker. Raises as `Source.check`."""
        source = self.source(dataset)
        try:
            return source.check(Extract.of(dataset.tables[0], since=None, until=None))
        finally:
            source.close()

    def source(self, dataset: SourceDataset) -> Source:
        """The source of a dataset; nothing is connected yet. Raises as `read`."""
        setting = setting_of(dataset.name)
        url = self.urls.get(dataset.name)
        if not url:
            raise ConfigurationError(f"the dataset {dataset.name!r} has no source: set {setting} to its URL")
        engine = engine_of(self.timescale.url())
        token = self.tokens.get(dataset.name)
        reach = Reach(
            name=dataset.name,
            url=SecretStr(url),
            setting=setting,
            token=SecretStr(token) if token else None,
            token_header=self.token_headers.get(dataset.name, "Authorization"),
            budget=SharedRateBudget(engine, (Rate(dataset.requests_per_minute, 60.0),), name=f"source/{dataset.name}"),
            circuits=SharedCircuitStore(engine),
            policy=CircuitPolicy(fail_max=self.circuit_failures, reset_s=self.circuit_reset_s),
            heard=AnswerTimes(engine, f"source/{dataset.name}"),
            work_dir=Path(self.work_dir) if self.work_dir else None,
        )
        return open_source(dataset.kind, reach)


def setting_of(dataset: str, part: str = "URL") -> str:
    """The environment variable that holds a part (URL, TOKEN, TOKEN_HEADER) of what leads to a dataset's source."""
    return f"TIDEMARK_SOURCE_{dataset.upper()}_{part}"


class _CatalogNote:
    """A row of `catalog.source_reads`."""

    def __init__(self, timescale: TimescaleResource, *, read_id: int, **told: object) -> None:
        self._timescale = timescale
        self._read_id = read_id
        self._told = told

    def begun(self) -> None:
        with self._timescale.connect() as connection:
            connection.execute(source_reads.begun(read_id=self._read_id, **self._told))  # type: ignore[arg-type]

    def ended(self, columns: tuple[FoundColumn, ...], metrics: ReadMetrics, error: str | None) -> None:
        found: list[Mapping[str, str]] = [asdict(column) for column in columns]
        with self._timescale.connect() as connection:
            connection.execute(source_reads.ended(self._read_id, columns=found, counts=counts_of(metrics), error=error))
