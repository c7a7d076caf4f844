"""What Feast knows of the feature tables: entities, sources, views and services, all read off `schemas.tables`.

Belongs here: how a `TableSpec` that is served, or a feature set, becomes Feast objects. Does not belong here: names,
types and meanings of features; a column added to a model of `schemas/features.py` is a feature here. Functions only: an
object among the names of this module would be registered twice.
"""

from collections.abc import Iterable
from datetime import timedelta

import sqlalchemy as sa
from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.type_map import python_type_to_feast_value_type
from feast.types import from_value_type
from sqlalchemy.dialects import postgresql

from schemas.base import dtypes_of
from schemas.feature_set import FeatureSet
from schemas.table_spec import TableSpec
from schemas.tables import SERVED

WHOLE_AT = "event_timestamp"

FeastObject = Entity | PostgreSQLSource | FeatureView | FeatureService


def declared(*, sets: Iterable[FeatureSet] = ()) -> dict[str, FeastObject]:
    """Everything the repository declares, by kind and name: the objects of every table that is served, and a service
    for each feature set. A set of a view, or of features, that are no more is left out."""
    entities: dict[str, Entity] = {}
    found = [each for spec in SERVED.values() for each in objects_of(spec, entities)]
    views = {each.name: each for each in found if isinstance(each, FeatureView)}
    for one in sets:
        view = views.get(one.view)
        if view is not None and set(one.members) <= {field.name for field in view.features}:
            found.append(service_of(one, view))
    return {f"{type(each).__name__} {each.name}": each for each in found}


def objects_of(spec: TableSpec, entities: dict[str, Entity] | None = None) -> list[FeastObject]:
    """The objects of one table that is served, dependencies first, its feature service last.

    `entities` holds those of the tables before, by join key, and is added to: tables with a key in common share it.

    Raises:
        ValueError: the table is not served.
    """
    if spec.served is None or spec.time_column is None:
        raise ValueError(f"{spec.qualified} is not served: give its TableSpec `served`")
    entities = {} if entities is None else entities
    columns, types = spec.model.to_schema().columns, _value_types(spec)
    for name in spec.entities:
        if name not in entities:
            entities[name] = Entity(
                name=name, join_keys=[name], value_type=types[name], description=columns[name].description or ""
            )
    about = (spec.model.__doc__ or "").strip()
    tags = {
        "dagster_asset": f"{spec.schema}/{spec.name}",
        "dataset": spec.dataset,
        "interval_closed": spec.closed,
        "version": str(spec.served.version),
        **({"unit": spec.unit} if spec.unit else {}),
    }
    source = PostgreSQLSource(
        name=spec.qualified,
        **_rows_of(spec, spec.served.complete_after),
        created_timestamp_column=spec.known_at or "",
        description=about,
        tags=tags,
    )
    view = FeatureView(
        name=spec.served.view,
        entities=[entities[name] for name in spec.entities],
        ttl=spec.served.ttl,
        source=source,
        schema=[
            Field(name=name, dtype=from_value_type(types[name]), description=columns[name].description or "")
            for name in [*spec.entities, *spec.features]
        ],
        description=about,
        tags=tags,
    )
    service = FeatureService(name=spec.served.view, features=[view], description=about, tags=tags)
    return [*(entities[name] for name in spec.entities), source, view, service]


def _rows_of(spec: TableSpec, complete_after: timedelta) -> dict[str, str]:
    """Where the view's rows are, and their time: that from which on they are whole."""
    if not complete_after:
        return {"table": spec.qualified, "timestamp_field": spec.time_column or ""}
    if WHOLE_AT in spec.columns:
        raise ValueError(f"{spec.qualified}: {WHOLE_AT} is when a row is whole; give that column another name")
    table = sa.table(spec.name, *map(sa.column, spec.columns), schema=spec.schema)
    delay = sa.cast(sa.literal(f"{complete_after // timedelta(seconds=1)} seconds", sa.Text), sa.Interval)
    rows = sa.select(*table.c, (table.c[spec.time_column or ""] + delay).label(WHOLE_AT))
    text = rows.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    return {"query": str(text), "timestamp_field": WHOLE_AT}


def service_of(one: FeatureSet, view: FeatureView) -> FeatureService:
    """The service of a feature set."""
    return FeatureService(
        name=one.name,
        features=[view[list(one.members)]],
        description=f"{len(one.members)} feature(s) of {view.name}.",
        tags={**view.tags, "feature_set": one.name},
    )


def _value_types(spec: TableSpec) -> dict[str, ValueType]:
    dtypes = dtypes_of(spec.model)
    return {name: python_type_to_feast_value_type(name, type_name=str(dtype)) for name, dtype in dtypes.items()}
