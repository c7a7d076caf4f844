"""What Feast knows of the feature tables: entities, sources, views and services, all read off `schemas.tables`.

Belongs here: how a `TableSpec` becomes Feast objects. Does not belong here: names, types and meanings of features; a
column added to a model of `schemas/features.py` is a feature here.
"""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.type_map import python_type_to_feast_value_type
from feast.types import from_value_type

from schemas.base import dtypes_of
from schemas.table_spec import TableSpec
from schemas.tables import TABLES

FEATURE_LAYER = "features"
"""Schema of the tables that Feast sees."""

OLDEST_ANSWER = timedelta(days=1)
"""How old a row may be to answer for a moment: a station that is silent for a day says nothing of today's air."""

FeastObject = Entity | PostgreSQLSource | FeatureView | FeatureService


def feast_objects(spec: TableSpec, entities: dict[str, Entity]) -> list[FeastObject]:
    """The objects of one feature table, dependencies first.

    `entities` holds those of the tables before, by join key, and is added to: tables with a key in common share it.

    Raises:
        ValueError: the table has no time column, so nothing can be looked up in it as of a moment.
    """
    if spec.time_column is None:
        raise ValueError(f"{spec.qualified}: a feature table needs a time column")
    columns, types = spec.model.to_schema().columns, _value_types(spec)
    keys = [name for name in spec.key if name != spec.time_column]
    for name in keys:
        if name not in entities:
            entities[name] = Entity(
                name=name, join_keys=[name], value_type=types[name], description=columns[name].description or ""
            )
    about = (spec.model.__doc__ or "").strip()
    tags = {"dagster_asset": f"{spec.schema}/{spec.name}", "interval_closed": spec.closed}
    source = PostgreSQLSource(
        name=spec.qualified,
        table=spec.qualified,
        timestamp_field=spec.time_column,
        created_timestamp_column=spec.known_at or "",
        description=about,
        tags=tags,
    )
    view = FeatureView(
        name=spec.name,
        entities=[entities[name] for name in keys],
        ttl=OLDEST_ANSWER,
        source=source,
        schema=[
            Field(name=name, dtype=from_value_type(types[name]), description=columns[name].description or "")
            for name in [*keys, *_features(spec)]
        ],
        description=about,
        tags=tags,
    )
    service = FeatureService(name=spec.name, features=[view], description=about, tags=tags)
    return [*(entities[name] for name in keys), source, view, service]


def _features(spec: TableSpec) -> list[str]:
    """The columns that are neither key nor origin nor time of knowledge."""
    return [name for name in spec.content if name not in spec.key]


def _value_types(spec: TableSpec) -> dict[str, ValueType]:
    dtypes = dtypes_of(spec.model)
    return {name: python_type_to_feast_value_type(name, type_name=str(dtype)) for name, dtype in dtypes.items()}


def _all_objects() -> dict[str, FeastObject]:
    entities: dict[str, Entity] = {}
    return {
        f"{type(found).__name__} {found.name}": found
        for spec in TABLES.values()
        if spec.schema == FEATURE_LAYER and spec.served
        for found in feast_objects(spec, entities)
    }


globals().update(_all_objects())  # Feast sees only module-level names, none inside a list or dict
