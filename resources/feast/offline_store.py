"""Feast's offline store on PostgreSQL: exact point-in-time joins, rows in and out as Arrow.

Feast's own joins composite keys that only look alike, loses the time zone, leaves a table per question, and is slower
by an order of magnitude. Named in `feature_store.yaml`; whoever imports this module imports Feast, which takes seconds.

Belongs here: Feast's interface. Does not belong here: the join itself (`as_of.py`), what entity rows may look like
(`entity_rows.py`), what Feast knows of the tables (`feature_repo/`).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as adbc
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from feast.feature_view import DUMMY_ENTITY_ID, FeatureView
from feast.infra.offline_stores import offline_utils
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres import (
    PostgreSQLOfflineStore,
    PostgreSQLOfflineStoreConfig,
    PostgreSQLRetrievalJob,
)
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.infra.utils.postgres.connection_utils import _get_conn_kwargs, _get_conninfo
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import RepoConfig
from feast.type_map import feast_value_type_to_pa
from psycopg.conninfo import make_conninfo
from pydantic import AfterValidator
from sqlalchemy.dialects.postgresql import distinct_on, insert

from resources.errors import ContractBroken
from resources.feast.as_of import FeatureRows, as_of, text_of
from resources.feast.entity_rows import entity_rows, instants
from resources.timescale.arrow_driver import arrow_connection
from resources.timescale.resource import translation_of

ENTITIES = "tidemark_entities"
STORE = "resources.feast.offline_store.TidemarkOfflineStore"
ROW = "tidemark_row"
WRITTEN = "tidemark_written"


def _is_this(name: str) -> str:
    if name != STORE:
        raise ValueError(f"the type of this store is {STORE}")
    return name


class TidemarkOfflineStoreConfig(PostgreSQLOfflineStoreConfig):
    """As Feast's own for PostgreSQL; `sslmode: null` leaves it to libpq."""

    type: Annotated[str, AfterValidator(_is_this)] = STORE  # type: ignore[assignment]


class TidemarkOfflineStore(PostgreSQLOfflineStore):
    """PostgreSQL and TimescaleDB."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        **kwargs: Any,
    ) -> RetrievalJob:
        """The features as of each entity row, in the order of a frame; `entity_df` is a frame, a query, or None for all
        rows between `start_date` and `end_date`.

        Raises:
            ContractBroken: the entity rows lack a key, or hold what no feature row can have.
            DatabaseUnavailable, CredentialsRejected: when the job runs.
        """
        if entity_df is None:
            options = {"filter_by_created_timestamp": filter_by_created_timestamp, **kwargs}
            return _as_arrow(
                PostgreSQLOfflineStore.get_historical_features(
                    config, feature_views, feature_refs, None, registry, project, full_feature_names, **options
                )
            )
        moment, columns = _shape(config, entity_df)
        bounds = _bounds(config, entity_df, moment)
        contexts = offline_utils.get_feature_view_query_context(feature_refs, feature_views, registry, project, bounds)
        looked_up = [_feature_rows(one, full_feature_names, filter_by_created_timestamp) for one in contexts]
        names = [name for one in looked_up for name in one.features.values()]
        if taken := sorted(set(names) & set(columns)):
            raise ContractBroken(f"the entity rows and the features both have {', '.join(taken)}: rename the former's")
        keys = {
            view.projection.join_key_map.get(one.name, one.name): feast_value_type_to_pa(one.dtype.to_value_type())
            for view in feature_views
            for one in view.entity_columns
            if one.name != DUMMY_ENTITY_ID
        }
        details: dict[str, Any] = {
            "config": config,
            "full_feature_names": full_feature_names,
            "on_demand_feature_views": OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            "metadata": RetrievalMetadata(feature_refs, [name for name in columns if name != moment], *bounds),
        }
        if isinstance(entity_df, str):
            if missing := sorted(set(keys) - set(columns)):
                raise ContractBroken(f"the entity query has no column {', '.join(missing)}; it has {columns}")
            asked = _raw(_query(entity_df), columns).alias("asked")
            numbered = sa.select(*asked.c, sa.func.row_number().over().label(ROW)).subquery("entities")
            return _ArrowJob(query=text_of(as_of(numbered, moment, columns, looked_up, order_by=ROW)), **details)
        rows = entity_rows(entity_df, moment, keys)
        sent = sa.table(ENTITIES, *map(sa.column, (*keys, moment, ROW)))
        query = text_of(as_of(sent, moment, (), looked_up, order_by=ROW))
        return _AsOfJob(frame=entity_df, rows=rows, moment=moment, query=query, **details)

    @staticmethod
    def pull_latest_from_table_or_query(*args: Any, **kwargs: Any) -> RetrievalJob:
        """The newest row per key, as Arrow."""
        return _as_arrow(PostgreSQLOfflineStore.pull_latest_from_table_or_query(*args, **kwargs))

    @staticmethod
    def pull_all_from_table_or_query(*args: Any, **kwargs: Any) -> RetrievalJob:
        """All rows, as Arrow."""
        return _as_arrow(PostgreSQLOfflineStore.pull_all_from_table_or_query(*args, **kwargs))

    @staticmethod
    def offline_write_batch(
        config: RepoConfig, feature_view: FeatureView, table: pa.Table, progress: Callable[[int], Any] | None
    ) -> None:
        """Writes rows by key and event time: of rows about the same instant, in the table or not, the newest known one
        stays. No ledger and no history is kept of it: the pipeline's own tables are written by their assets.

        Raises:
            ContractBroken: a row does not fit the table.
        """
        source = feature_view.batch_source
        if source is None:
            raise ContractBroken(f"the view {feature_view.name} has no table to write to")
        key = [*(one.name for one in feature_view.entity_columns), source.timestamp_field]
        created = source.created_timestamp_column
        written = sa.table(WRITTEN, *map(sa.column, table.column_names))
        newest_first = [written.c[created].desc().nulls_last()] if created in table.column_names else []
        rows = sa.select(written).ext(distinct_on(*(written.c[name] for name in key)))
        rows = rows.order_by(*(written.c[name] for name in key), *newest_first)
        target = _raw(source.get_table_query_string(), table.column_names)
        upsert = insert(target).from_select(table.column_names, rows)
        upsert = upsert.on_conflict_do_update(
            index_elements=[sa.column(name) for name in key],
            set_={name: upsert.excluded[name] for name in table.column_names if name not in key},
            where=(target.c[created] <= upsert.excluded[created]) if newest_first else None,
        )
        with _connected(config) as connection, connection.cursor() as cursor:
            cursor.adbc_ingest(WRITTEN, _plain(table), mode="create", temporary=True)
            cursor.execute(text_of(upsert))
            connection.commit()
        if progress:
            progress(len(table))


class _ArrowJob(PostgreSQLRetrievalJob):
    """A query, fetched as Arrow: instants keep their zone, and no value passes through Python."""

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        with (
            self._query_generator() as query,
            _connected(self.config) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(query)
            return cursor.fetch_arrow_table().replace_schema_metadata(None)


class _AsOfJob(_ArrowJob):
    """Features of a frame's rows. Only keys and moments go to the server; the frame's other columns wait here."""

    def __init__(self, *, frame: pd.DataFrame, rows: pa.Table, moment: str, **details: Any) -> None:
        super().__init__(**details)
        self._frame, self._rows, self._moment = frame, rows, moment

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        numbered = self._rows.append_column(ROW, pa.array(range(len(self._rows)), pa.int64()))
        with _connected(self.config) as connection, connection.cursor() as cursor:
            cursor.adbc_ingest(ENTITIES, numbered, mode="create", temporary=True)
            cursor.execute("ANALYZE tidemark_entities")
            with self._query_generator() as query:
                cursor.execute(query)
            features = cursor.fetch_arrow_table().replace_schema_metadata(None)
        try:
            mine = pa.Table.from_pandas(self._frame, preserve_index=False).replace_schema_metadata(None)
        except (pa.ArrowException, TypeError) as error:
            raise ContractBroken(f"a column of the entity rows holds values of several kinds: {error}") from error
        at = mine.column_names.index(self._moment)
        mine = mine.set_column(at, self._moment, self._rows.column(self._moment))
        for name in features.column_names:
            mine = mine.append_column(name, features.column(name))
        return mine


def _as_arrow(job: RetrievalJob) -> _ArrowJob:
    """The same query, fetched as Arrow."""
    if not isinstance(job, PostgreSQLRetrievalJob):
        raise TypeError(f"Feast's PostgreSQL store made a {type(job).__name__}")
    return _ArrowJob(
        query=job._query_generator,
        config=job.config,
        full_feature_names=job.full_feature_names,
        on_demand_feature_views=job.on_demand_feature_views,
        metadata=job.metadata,
    )


def _shape(config: RepoConfig, entity_df: pd.DataFrame | str) -> tuple[str, list[str]]:
    """The name of the column of moments, and those of all columns."""
    if not isinstance(entity_df, str):
        kinds = dict(zip(entity_df.columns, entity_df.dtypes, strict=True))
    else:
        with _connected(config) as connection, connection.cursor() as cursor:
            none: sa.Select = (
                sa.select(sa.literal_column("*")).select_from(_raw(_query(entity_df), ()).alias("asked")).limit(0)
            )
            cursor.execute(text_of(none))
            kinds = dict(cursor.fetch_arrow_table().to_pandas().dtypes)
    return offline_utils.infer_event_timestamp_from_entity_df(kinds), list(kinds)


def _bounds(config: RepoConfig, entity_df: pd.DataFrame | str, moment: str) -> tuple[datetime, datetime]:
    """The first and the last moment that is asked about; now where there is none."""
    if isinstance(entity_df, str):
        stamp: sa.ColumnClause[Any] = sa.column(moment)
        asked = _raw(_query(entity_df), (moment,)).alias("asked")
        with _connected(config) as connection, connection.cursor() as cursor:
            cursor.execute(text_of(sa.select(sa.func.min(stamp), sa.func.max(stamp)).select_from(asked)))
            first, last = cursor.fetchone()
    else:
        found = instants(entity_df[moment], moment)
        first, last = pc.min_max(found).as_py().values()
    now = datetime.now(UTC)
    return first or now, last or now


def _feature_rows(context: Any, has_full_names: bool, is_known_by_then: bool) -> FeatureRows:
    """What Feast calls the context of a view's query."""
    prefix = f"{context.name}__" if has_full_names else ""
    keys = dict(selection.split(" AS ") for selection in context.entity_selections)
    keys.pop(DUMMY_ENTITY_ID, None)  # of a view about nothing in particular
    created = context.created_timestamp_column or None
    columns = dict.fromkeys([*keys, context.timestamp_field, *filter(None, [created]), *context.features])
    return FeatureRows(
        parts=(_raw(context.table_subquery, tuple(columns)),),
        keys=keys,
        time=context.timestamp_field,
        created=created,
        ttl=timedelta(seconds=context.ttl) if context.ttl else None,
        features={name: prefix + context.field_mapping.get(name, name) for name in context.features},
        known_by_then=is_known_by_then,
    )


def _raw(text: str, columns: Sequence[str]) -> sa.TableClause:
    """A table or query as its owner wrote it: Feast takes both as text, from the repository and from the caller."""
    return sa.table(sa.sql.quoted_name(text, quote=False), *map(sa.column, columns))


def _query(text: str) -> str:
    return "(" + text.strip().rstrip(";") + ")"


def _plain(table: pa.Table) -> pa.Table:
    """In types the driver writes: no dictionaries, no columns of nothing, microseconds."""
    kinds = []
    for field in table.schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        kind = pa.timestamp("us", kind.tz or "UTC") if pa.types.is_timestamp(kind) else kind
        kinds.append(field.with_type(pa.string() if pa.types.is_null(kind) else kind))
    return table.cast(pa.schema(kinds), safe=False).replace_schema_metadata(None)


@contextmanager
def _connected(config: RepoConfig) -> Iterator[adbc.Connection]:
    """A connection by Feast's own options, in UTC; what goes wrong on it as an error of ours."""
    store = config.offline_store
    given = {**_get_conn_kwargs(store), "keepalives_idle": store.keepalives_idle}
    given["options"] = f"{given['options']} -c timezone=UTC"
    address = make_conninfo(_get_conninfo(store), **{name: value for name, value in given.items() if value is not None})
    try:
        with arrow_connection(address) as connection:
            yield connection
    except adbc_driver_manager.Error as error:
        if (translation := translation_of(str(error), getattr(error, "sqlstate", None))) is None:
            raise
        raise translation from error
