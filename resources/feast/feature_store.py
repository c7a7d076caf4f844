"""Feast's own store, one per process, built when it is first needed.

Belongs here: importing Feast, and the registry's first use. Does not belong here: what it is told (`configuration.py`),
what is asked of it (`resource.py`). Importing Feast takes seconds: it happens in functions only.
"""

import threading
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from resources.feast.configuration import (
    REGISTRY_SCHEMA,
    OnlineStore,
    libpq_variables,
    online_store,
    repo_config,
)
from resources.timescale import sql
from resources.timescale.resource import TimescaleResource

if TYPE_CHECKING:
    from feast import FeatureStore

DDL_LOCK = f"{REGISTRY_SCHEMA}/ddl"


def feature_store(url: str, online_url: str, home: str, declarations: str) -> "FeatureStore":
    """The store on the database of `url`; the same one when asked again. Its registry is there.

    Raises:
        ConfigurationError: the online store's URL is wrong.
        DatabaseUnavailable, CredentialsRejected: as `TimescaleResource.connect`.
    """
    with _building:
        return _built(url, online_url, home, declarations)


@cache
def configured_online_store(url: str, online_url: str, home: str) -> OnlineStore:
    """The online store as configured, of a product on the database of `url`."""
    return online_store(online_url, home=home, variables=libpq_variables(url))


_building = threading.RLock()


@cache
def _built(url: str, online_url: str, home: str, declarations: str) -> "FeatureStore":
    """The registry's tables are made under a lock: two processes that make them at once disturb each other."""
    _load_feast()
    from feast import FeatureStore

    online = configured_online_store(url, online_url, home)
    config = repo_config(declarations, url=url, variables=libpq_variables(url), store=online)
    timescale = TimescaleResource(database_url=url)
    with timescale.connect() as connection:
        connection.execute(sql.lock([DDL_LOCK]))
        if REGISTRY_SCHEMA not in sa.inspect(connection).get_schema_names():
            connection.execute(sa.schema.CreateSchema(REGISTRY_SCHEMA))
    with timescale.connect() as connection:
        connection.execute(sql.lock([DDL_LOCK]))
        store = FeatureStore(config=config)
        store.registry.list_projects()
    return store


def _load_feast() -> None:
    """Imports Feast without its run-time checks of its own annotations, which are half of the time it takes; what it
    warns of while it is imported is its own affair."""
    import typeguard

    checked = typeguard.typechecked
    typeguard.typechecked = _unchecked
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import feast
            import feast.feature_store  # noqa: F401
    finally:
        typeguard.typechecked = checked


def _unchecked(target: Any = None, **_: Any) -> Any:
    return target if target is not None else lambda function: function
