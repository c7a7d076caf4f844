"""A served feature table on a database and an online store of a test's own: written by Dagster's runs, looked up.

Belongs here: what every test of serving does. Does not belong here: expectations.
"""

import io
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import sqlalchemy as sa

from resources.catalog.schema import CatalogedTimescale
from resources.feast.io_manager import FeastIOManager
from resources.feast.resource import FeastResource
from resources.timescale import sql
from resources.timescale.slices import TableReader
from resources.timescale.table_slice import TableSlice
from schemas.base import conform
from schemas.catalog import METADATA
from schemas.catalog_features import FEATURE_PENDING, FEATURE_VIEWS
from schemas.table_spec import TableSpec
from schemas.tables import TABLES

with warnings.catch_warnings():  # what Feast warns of while it is imported is its own affair
    warnings.simplefilter("ignore")
    from feast.infra.online_stores.postgres_online_store.postgres import PostgreSQLOnlineStoreConfig
    from feast.infra.online_stores.redis import RedisOnlineStoreConfig

SALES = TABLES["features.sales_features"]
"""A key of two texts, an int where none is expected, and rows at midnight."""

DAY = date(2025, 3, 1)
KNOWN_AT = datetime(2025, 6, 1, tzinfo=UTC)
DAILY = dg.DailyPartitionsDefinition(start_date="2025-01-01", end_date="2026-01-01")

Key = tuple[str, str]
Revenue = Mapping[tuple[Key, date], float | None]


def moment(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def sales_rows(revenue: Revenue, **columns: Any) -> pd.DataFrame:
    """One row per key and day with its revenue; everything else is null unless given."""
    rows = [
        {"region": key[0], "product_name": key[1], "datetime_utc": moment(day), "revenue": value, "known_at": KNOWN_AT}
        for (key, day), value in revenue.items()
    ]
    frame = pd.DataFrame(rows, columns=["region", "product_name", "datetime_utc", "revenue", "known_at"])
    return conform(frame.assign(**columns), SALES.model)


class Serving:
    """The product's feature store on one database."""

    def __init__(self, url: str, home: Path, online_store_url: str = "", spec: TableSpec = SALES) -> None:
        self.spec = spec
        self.timescale = CatalogedTimescale(database_url=url)
        self.feast = FeastResource(timescale=self.timescale, home=str(home), online_store_url=online_store_url)

    def write(
        self, rows: Any, first: date = DAY, last: date | None = None, *, instance: dg.DagsterInstance | None = None
    ) -> dg.ExecuteInProcessResult:
        """One run that replaces the days `first` to `last` of the table by `rows`."""

        @dg.asset(
            key=[self.spec.schema, self.spec.name],
            partitions_def=DAILY,
            io_manager_key="feast_io_manager",
            backfill_policy=dg.BackfillPolicy.single_run(),
            retry_policy=dg.RetryPolicy(max_retries=1, delay=0),
        )
        def written() -> Any:
            return rows() if callable(rows) else rows

        days = {"start": first.isoformat(), "end": (last or first).isoformat()}
        cut = (
            {"dagster/partition": first.isoformat()}
            if last is None
            else {f"dagster/asset_partition_range_{side}": day for side, day in days.items()}
        )
        return dg.materialize(
            [written],
            instance=instance,
            partition_key=first.isoformat() if last is None else None,
            tags={} if last is None else cut,
            resources={"feast_io_manager": FeastIOManager(timescale=self.timescale, feast=self.feast)},
            raise_on_error=False,
        )

    def sell(
        self, revenue: Mapping[tuple[Key, date], float | None], first: date = DAY, last: date | None = None
    ) -> Any:
        """One run with these revenues; it succeeds."""
        result = self.write(sales_rows(revenue), first, last)
        assert result.success, [event.message for event in result.all_events if event.is_failure]
        return result

    def served(self, keys: Iterable[Key], feature: str = "revenue") -> dict[Key, float | None]:
        """The online value of each key; None for null."""
        frame = self.lookup(keys, feature)
        return {
            (row.region, row.product_name): None if pd.isna(value) else value
            for row, value in zip(frame.itertuples(), frame[feature], strict=True)
        }

    def lookup(self, keys: Iterable[Key], *features: str) -> pd.DataFrame:
        """The online rows of the keys."""
        asked = pd.DataFrame(list(keys), columns=["region", "product_name"])
        view = self._view
        return self.feast.online([f"{view}:{name}" for name in features or self.spec.features], asked)

    def rows(self) -> pd.DataFrame:
        """The table."""
        return TableReader(self.timescale, TableSlice(self.spec)).read()

    def truth(self) -> pd.DataFrame:
        """The newest row of each key, by key."""
        newest = self.rows().sort_values("datetime_utc").groupby(list(self.spec.entities)).tail(1)
        return newest.sort_values(list(self.spec.entities)).reset_index(drop=True)

    def assert_online_is_offline(self) -> None:
        """Every feature of every key's newest row is what is served."""
        truth = self.truth()
        entities = list(self.spec.entities)
        found = self.feast.online(self._view, truth[entities])
        pd.testing.assert_frame_equal(
            found[[*entities, *self.spec.features]], truth[[*entities, *self.spec.features]], check_dtype=False
        )
        delay = self.spec.served.complete_after if self.spec.served else timedelta(0)
        assert found["event_timestamp"].tolist() == (truth["datetime_utc"] + delay).tolist()

    def pending(self) -> dict[str, Any]:
        """Per marked key, until when it was touched."""
        with self.timescale.connect() as connection:
            return dict(connection.execute(sa.select(FEATURE_PENDING.c.key, FEATURE_PENDING.c.touched_until)).all())

    def state(self) -> Any:
        """The view's row in the catalog."""
        with self.timescale.connect() as connection:
            return connection.execute(sa.select(FEATURE_VIEWS)).one_or_none()

    def delete(self, *, since: date) -> None:
        """Takes the rows from a day on out of the table as a run with no rows does."""
        result = self.write(sales_rows({}), since, since + timedelta(days=10))
        assert result.success

    def numbers(self, result: dg.ExecuteInProcessResult) -> dict[str, Any]:
        """The numbers a run of one partition shows of itself."""
        (event,) = [event for event in result.all_events if event.is_step_materialization]
        metadata = event.step_materialization_data.materialization.metadata
        return {name: value.value for name, value in metadata.items() if isinstance(value.value, int | float)}

    @contextmanager
    def written_online(self) -> Iterator[list[Key]]:
        """The keys that are written to the online store meanwhile, in order."""
        store: Any = self.feast.store._get_provider().online_store
        written: list[Key] = []
        write = store.online_write_batch

        def noting(config: Any, view: Any, rows: Any, progress: Any) -> None:
            write(config, view, rows, progress)
            for key, *_ in rows:
                named = dict(zip(key.join_keys, (value.string_val for value in key.entity_values), strict=True))
                written.append((named["region"], named["product_name"]))

        store.online_write_batch = noting
        try:
            yield written
        finally:
            del store.online_write_batch

    def push_by_feast(self, rows: pd.DataFrame) -> None:
        """Writes the rows online as Feast's own `push` does."""
        delay = self.spec.served.complete_after if self.spec.served else timedelta(0)
        self.feast.store.write_to_online_store(self._view, rows.assign(event_timestamp=rows["datetime_utc"] + delay))

    def materialize_by_feast(self, first: date, last: date) -> None:
        """Feast's own `materialize` of the rows from one midnight to another."""
        with redirect_stdout(io.StringIO()):
            self.feast.store.materialize(moment(first), moment(last), [self._view])

    def erase(self) -> None:
        """Empties the table, the catalog and the online store."""
        with self.timescale.connect() as connection:
            for table in (*METADATA.sorted_tables, sql.table_of(self.spec)):
                if sa.inspect(connection).has_table(table.name, schema=table.schema) and table is not FEATURE_VIEWS:
                    connection.execute(sa.delete(table))
        self.erase_online()

    def erase_online(self) -> None:
        """Empties the online store behind everybody's back."""
        store, config = self.feast.store._get_provider().online_store, self.feast.store.config
        name = f"tidemark_{self._view}"
        if isinstance(config.online_store, RedisOnlineStoreConfig):
            store._get_client(config.online_store).flushdb()
        elif isinstance(config.online_store, PostgreSQLOnlineStoreConfig):
            with self.timescale.connect() as connection:
                if sa.inspect(connection).has_table(name, schema="feast_online"):
                    connection.execute(sa.delete(sa.table(name, schema="feast_online")))
        else:
            with store._get_conn(config) as connection:
                if connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [name]).fetchone():
                    connection.execute(f'DELETE FROM "{name}"')  # noqa: S608

    @property
    def _view(self) -> str:
        return self.spec.served.view if self.spec.served else ""
