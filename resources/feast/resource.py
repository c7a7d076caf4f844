"""Feast as assets, checks, commands and servers use it: one store per process, its registry, and what it serves.

Belongs here: `FeastResource`. Does not belong here: how rows reach the online store (`serving.py`, `pending.py`), the
stores themselves (`online_stores.py`), the objects Feast is told (the module that `declarations` names). Feast is
imported when it is first needed: that takes seconds.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

import dagster as dg
import pandas as pd
import sqlalchemy as sa
from pydantic import Field

from resources.circuit.breaker import DEFAULT_POLICY, CircuitBreaker, CircuitPolicy
from resources.circuit.guard import asked
from resources.circuit.shared import SharedCircuitStore
from resources.errors import CircuitOpen, ConfigurationError, OnlineTablesMissing, TidemarkError
from resources.feast import pending, serving, views
from resources.feast.configuration import REGISTRY_SCHEMA, OnlineStore
from resources.feast.definition import Told, declared, definition, told
from resources.feast.feature_sets import stored
from resources.feast.feature_store import configured_online_store, feature_store
from resources.feast.online_errors import reaching
from resources.feast.serving import Pushed
from resources.timescale import sql
from resources.timescale.history import history_of
from resources.timescale.resource import TimescaleResource, engine_of, translated_sqlalchemy
from schemas.table_spec import TableSpec
from schemas.tables import SERVED

if TYPE_CHECKING:
    from feast import FeatureStore

APPLY_LOCK = f"{REGISTRY_SCHEMA}/apply"
KEYS_AT_ONCE = 5_000


class FeastResource(dg.ConfigurableResource):
    """The feature store on the product's database, with its online store."""

    timescale: dg.ResourceDependency[TimescaleResource]
    online_store_url: str = Field(
        default="", repr=False, description="redis://…, postgres or postgresql://…; empty: a SQLite file in `home`"
    )
    home: str = Field(default="", description="folder of the SQLite online store")
    declarations: str = Field(default="feature_repo.objects", description="module that declares Feast's objects")
    circuit_failures: int = Field(default=DEFAULT_POLICY.fail_max, description="failures after which it is left alone")
    circuit_reset_s: float = Field(default=DEFAULT_POLICY.reset_s, description="seconds until it is tried again")

    @property
    def store(self) -> "FeatureStore":
        """Feast's own store, one per process; its registry is there.

        Raises:
            ConfigurationError: the online store's URL is wrong.
            DatabaseUnavailable, CredentialsRejected: as `TimescaleResource.connect`.
        """
        return feature_store(self.timescale.url(), self.online_store_url, self.home, self.declarations)

    @property
    def online_store(self) -> OnlineStore:
        """The online store as configured."""
        return configured_online_store(self.timescale.url(), self.online_store_url, self.home)

    def ensure_registry(self) -> None:
        """Makes Feast's registry where it is not there; one process at a time."""
        self.store.registry.refresh(self.store.project)

    def ensure_applied(self, spec: TableSpec) -> bool:
        """Tells Feast of the table's view unless it knows it as it is; whether it had to.

        Where the view's columns are others than those that were served, or the online store is another than the one
        that was filled, every key of the table is marked to be served.

        Raises:
            OnlineStoreUnavailable, CredentialsRejected, ConfigurationError: the online store.
        """
        view, store = _view_of(spec), self.store
        wanted = Told(definition(self.declarations, spec), self.online_store.name)
        with self.timescale.connect() as connection:
            is_known = told(connection, view) == wanted
        if not is_known:
            with self.timescale.connect() as connection:
                connection.execute(sql.lock([APPLY_LOCK]))
                if is_changed := (known := told(connection, view)) != wanted:
                    with reaching(wanted.online_store), translated_sqlalchemy():
                        store.apply([_project(store), *declared(self.declarations, spec)])
                    if not known.serves(wanted):
                        _mark_all(connection, spec)
                    connection.execute(views.applied(view, wanted.definition, wanted.online_store))
        _refresh_once(store, wanted.definition)
        return not is_known and is_changed

    def apply_all(self) -> list[str]:
        """Tells Feast of every table that is served, and of the feature sets that are stored; the views it had to tell
        of. Nothing is deleted."""
        told = [view for view, spec in SERVED.items() if self.ensure_applied(spec)]
        self.apply_sets()
        return told

    def apply_sets(self) -> None:
        """Tells Feast of the feature sets that are stored, each as a service; their views are known to it."""
        with self.timescale.connect() as connection:
            sets = stored(connection)
        if not sets:
            return
        store, names = self.store, {one.name for one in sets}
        everything = import_module(self.declarations).declared(sets=sets).values()
        services = [each for each in everything if type(each).__name__ == "FeatureService" and each.name in names]
        with self.timescale.connect() as connection, translated_sqlalchemy():
            connection.execute(sql.lock([APPLY_LOCK]))
            store.apply(services)
        store.refresh_registry()  # type: ignore[no-untyped-call]

    def push(self, spec: TableSpec, progress: Callable[[int], object] = lambda _: None) -> Pushed:
        """Brings the online store to what the table says; see `serving.push`. Failures are noted with the view.

        Raises:
            OnlineStoreUnavailable: the marks stay, and are tried again when they are due.
            CircuitOpen: it failed so often that it is left alone; nothing was tried, and nothing counts as a failure.
            CredentialsRejected, ConfigurationError: likewise, when somebody has mended it.
        """
        view = _view_of(spec)
        try:
            with asked(self._breaker) as admission:
                pushed = self._pushed(spec, progress)
        except CircuitOpen:
            raise
        except Exception as error:
            # What failed must not be hidden by a database that is away.
            with contextlib.suppress(TidemarkError), self.timescale.connect() as connection:
                connection.execute(views.failed(view, str(error)))
            raise
        with self.timescale.connect() as connection:
            connection.execute(views.succeeded(view))
            if admission.is_trial:
                connection.execute(views.again())
            return replace(pushed, pending=connection.execute(views.pending_keys(view)).scalar_one())

    def _pushed(self, spec: TableSpec, progress: Callable[[int], object]) -> Pushed:
        self.ensure_applied(spec)
        try:
            return self._push(spec, progress)
        except OnlineTablesMissing:  # a file that was moved away, a database restored without them
            with self.timescale.connect() as connection:
                connection.execute(views.forgotten(_view_of(spec)))
            self.ensure_applied(spec)
            return self._push(spec, progress)

    def left_alone(self) -> str | None:
        """Why nobody may write to the online store now; None: one may.

        Raises:
            DatabaseUnavailable: the state of its breaker cannot be read.
        """
        return self._breaker.left_alone()

    def try_again(self) -> None:
        """Asks an online store that was left alone whether it is back; then all that waits for it is due at once.

        Raises:
            OnlineStoreUnavailable, CredentialsRejected, ConfigurationError: it is not.
            CircuitOpen: another process is asking.
        """
        if self._breaker.is_closed():
            return
        with asked(self._breaker):
            self.probe()
        with self.timescale.connect() as connection:
            connection.execute(views.again())

    def pending_keys(self, spec: TableSpec) -> int:
        """How many keys of the table wait to be served."""
        with self.timescale.connect() as connection:
            return int(connection.execute(views.pending_keys(_view_of(spec))).scalar_one())

    @property
    def _breaker(self) -> CircuitBreaker:
        policy = CircuitPolicy(fail_max=self.circuit_failures, reset_s=self.circuit_reset_s)
        return CircuitBreaker("online_store", policy, SharedCircuitStore(engine_of(self.timescale.url())))

    def _push(self, spec: TableSpec, progress: Callable[[int], object]) -> Pushed:
        return serving.push(self.timescale, self.store, spec, online_name=self.online_store.name, progress=progress)

    def mark_all(self, spec: TableSpec) -> None:
        """Marks every key of the table to be served again: the online store lost them."""
        with self.timescale.connect() as connection:
            _mark_all(connection, spec)

    def states(self) -> list[views.ViewState]:
        """The views that have marks or failures."""
        with self.timescale.connect() as connection:
            return views.states(connection)

    def probe(self) -> int:
        """Asks the online store whether it is there; how many views Feast knows. Errors as `online`."""
        store = self.store
        online: Any = store._get_provider().online_store
        with reaching(self.online_store.name):
            online.ping(store.config)
        return len(store.registry.list_feature_views(store.project))

    def online(self, wanted: str | Sequence[str], keys: pd.DataFrame) -> pd.DataFrame:
        """What is served now for the keys: `wanted` is a view, or `view:feature` references of one view.

        The rows of `keys` (the view's entities) in their order, with the values in the model's dtypes (null where there
        are none), `event_timestamp` (aware UTC; NaT for a key without rows) and `is_stale`: whether that is older than
        the view's ttl, or missing.

        Raises:
            ConfigurationError: there is no such view or feature, or `keys` lacks an entity.
            OnlineStoreUnavailable, CredentialsRejected: the online store.
        """
        spec, features = _wanted(wanted)
        if missing := [name for name in spec.entities if name not in keys.columns]:
            raise ConfigurationError(f"{_view_of(spec)} is asked by {list(spec.entities)}; the keys lack {missing}")
        references = [f"{_view_of(spec)}:{name}" for name in features]
        asked = keys[list(spec.entities)].reset_index(drop=True)
        parts = [
            self._online(spec, references, features, asked.iloc[start : start + KEYS_AT_ONCE])
            for start in range(0, max(len(asked), 1), KEYS_AT_ONCE)
        ]
        return pd.concat([asked, pd.concat(parts, ignore_index=True)], axis=1)

    def _online(self, spec: TableSpec, references: list[str], features: list[str], keys: pd.DataFrame) -> pd.DataFrame:
        from resources.feast.encoding import served

        rows = {name: keys[name].tolist() for name in keys.columns}
        if keys.empty:
            answers: dict[str, list[Any]] = {name: [] for name in (*features, f"{features[0]}__ts")}
        else:
            with reaching(self.online_store.name):
                found = self.store.get_online_features(references, rows, full_feature_names=False)
            answers = found.to_dict(include_event_timestamps=True)
        values = served(answers, spec, features)
        stamps = pd.to_datetime(pd.Series(answers[f"{features[0]}__ts"], dtype="int64"), unit="s", utc=True)
        at = stamps.where(stamps > pd.Timestamp(0, tz="UTC")).astype("datetime64[us, UTC]")
        oldest = pd.Timestamp(datetime.now(UTC)) - (spec.served.ttl if spec.served else pd.Timedelta(0))
        return values.assign(event_timestamp=at, is_stale=~(at >= oldest))

    def historical(self, entity_frame: pd.DataFrame, wanted: str | Sequence[str]) -> pd.DataFrame:
        """What was so at each row's `event_timestamp`: `wanted` is a feature service, or `view:feature` references.

        `entity_frame` has the entities and `event_timestamp` (naive means UTC); its other columns stay.
        """
        features = self.store.get_feature_service(wanted) if isinstance(wanted, str) else list(wanted)
        found: pd.DataFrame = self.store.get_historical_features(entity_frame, features).to_df()
        return found


def _project(store: "FeatureStore") -> Any:
    """The project as `feast apply` makes it."""
    from feast import Project

    return Project(name=store.project, description=store.config.project_description or "")


def _mark_all(connection: sa.Connection, spec: TableSpec) -> None:
    """Marks every key that the table has, or had."""
    inspector = sa.inspect(connection)
    if not inspector.has_table(spec.name, schema=spec.schema):
        return
    past = history_of(spec) if spec.keeps_history else None
    if past and not inspector.has_table(past.name, schema=past.schema):
        past = None
    connection.execute(pending.mark_all(_view_of(spec), spec, past))


def _refresh_once(store: "FeatureStore", definition: str) -> None:
    """Once per definition and process: what the registry's cache holds may be older."""
    seen: set[str] = store.__dict__.setdefault("_tidemark_definitions", set())
    if definition not in seen:
        store.refresh_registry()  # type: ignore[no-untyped-call]
        seen.add(definition)


def _view_of(spec: TableSpec) -> str:
    if spec.served is None:
        raise ConfigurationError(f"{spec.qualified} is not served: give its TableSpec `served`")
    return spec.served.view


def _wanted(wanted: str | Sequence[str]) -> tuple[TableSpec, list[str]]:
    """The table and the features that are asked for."""
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    found = {name.partition(":")[0] for name in names}
    if len(found) != 1 or not found <= set(SERVED):
        raise ConfigurationError(f"one view is asked for at a time, of {sorted(SERVED)}; not {sorted(found)}")
    spec = SERVED[found.pop()]
    features = [name.partition(":")[2] for name in names if ":" in name] or spec.features
    if unknown := [name for name in features if name not in spec.features]:
        raise ConfigurationError(f"{_view_of(spec)} has no feature {unknown}")
    return spec, features
