"""What Feast is told of the features is what `schemas` says, and nothing beside it; and nobody else needs Feast."""

import ast
import importlib
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

import pandera.pandas as pa
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from assets_pkg.commands.feast import REPOSITORY, _on_loopback
from resources.errors import ConfigurationError
from resources.feast.configuration import (
    REGISTRY_SCHEMA,
    OnlineStore,
    as_json,
    online_store,
    repo_config,
    repository,
)
from schemas.base import NullableBool, NullableInt, TableModel, Text, UtcTimestamp
from schemas.feature_set import FeatureSet
from schemas.table_spec import Served, TableSpec
from schemas.tables import TABLES

ROOT = Path(__file__).resolve().parents[2]
FEATURE_TABLES = [spec for spec in TABLES.values() if spec.served]
FEAST_TYPE = {
    "int64": "Int64",
    "Int64": "Int64",
    "float64": "Float64",
    "boolean": "Bool",
    "bool": "Bool",
    "string": "String",
    "string[pyarrow]": "String",
}


class Wind(TableModel):
    """Rows of a made-up table with a key of two columns."""

    location_id: int = pa.Field(description="the same entity as in the real table")
    height_m: int = pa.Field(description="height above ground, m")
    at: UtcTimestamp = pa.Field(description="when")
    speed_mps: float = pa.Field(nullable=True, description="speed, m/s")
    gusts: NullableInt = pa.Field(nullable=True, description="number of gusts")
    is_calm: NullableBool = pa.Field(nullable=True, description="below 0.5 m/s")
    sector: Text = pa.Field(description="N, E, S or W")
    seen_at: UtcTimestamp = pa.Field(nullable=True, description="last look")
    line_no: int = pa.Field(description="line of the file")
    heard_at: UtcTimestamp = pa.Field(description="when known")


WIND = TableSpec(
    schema="features",
    name="wind",
    model=Wind,
    key=("location_id", "height_m", "at"),
    time_column="at",
    origin=("line_no",),
    known_at="heard_at",
    served=Served(view="wind_as_served", ttl=timedelta(hours=6), version=3),
)


@pytest.fixture(scope="module")
def definitions() -> ModuleType:
    """The module as Feast imports it; what Feast itself warns of while it is imported is its own affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("feature_repo.definitions")


@pytest.fixture(scope="module")
def objects(definitions: ModuleType) -> ModuleType:
    """The module that makes the objects."""
    return importlib.import_module("feature_repo.objects")


@pytest.fixture(scope="module")
def found(definitions: ModuleType) -> dict[str, list[Any]]:
    """What Feast finds: the objects among the module-level names, by the name of their class."""
    objects: dict[str, list[Any]] = {}
    for name in dir(definitions):
        value = getattr(definitions, name)
        if type(value).__module__.startswith("feast"):
            objects.setdefault(type(value).__name__, []).append(value)
    return objects


def test_each_feature_table_has_one_source_view_and_service(found: dict[str, list[Any]]) -> None:
    assert FEATURE_TABLES
    names = sorted(spec.served.view for spec in FEATURE_TABLES if spec.served)
    assert sorted(view.name for view in found["FeatureView"]) == names
    assert sorted(service.name for service in found["FeatureService"]) == names
    tables = sorted(spec.qualified for spec in FEATURE_TABLES)
    assert sorted(source.name for source in found["PostgreSQLSource"]) == tables
    assert set(found) == {"Entity", "FeatureView", "FeatureService", "PostgreSQLSource"}


@pytest.mark.parametrize("spec", FEATURE_TABLES, ids=lambda spec: spec.name)
def test_a_view_is_the_models_columns_with_their_types_and_descriptions(
    found: dict[str, list[Any]], spec: TableSpec
) -> None:
    assert spec.served
    view = next(view for view in found["FeatureView"] if view.name == spec.served.view)
    assert view.ttl == spec.served.ttl
    assert view.tags["version"] == str(spec.served.version)
    columns = dict(spec.model.to_schema().columns)
    # A row that is stamped with the start of its step is there from the end of the step on.
    assert view.batch_source.timestamp_field == (
        "event_timestamp" if spec.served and spec.served.complete_after else spec.time_column
    )
    assert view.batch_source.created_timestamp_column == "known_at"
    assert spec.qualified in view.batch_source.get_table_query_string()
    del columns[spec.time_column], columns[view.batch_source.created_timestamp_column]
    expected = {name: (FEAST_TYPE[str(column.dtype)], column.description) for name, column in columns.items()}
    assert {field.name: (str(field.dtype), field.description) for field in view.schema} == expected
    assert [field.name for field in view.features] == [name for name in columns if name not in spec.key]
    assert view.join_keys == [name for name in spec.key if name != spec.time_column]
    assert view.tags["dagster_asset"] == f"{spec.schema}/{spec.name}"


def test_everything_is_described(found: dict[str, list[Any]]) -> None:
    described = [*found["Entity"], *found["FeatureView"], *found["FeatureService"], *found["PostgreSQLSource"]]
    assert [each.name for each in described if not each.description] == []
    for view in found["FeatureView"]:
        assert [field.name for field in view.schema if not field.description] == []


def test_a_service_serves_every_feature_of_its_view(found: dict[str, list[Any]]) -> None:
    for service, view in zip(found["FeatureService"], found["FeatureView"], strict=True):
        (projection,) = service.feature_view_projections
        assert projection.name == view.name
        assert [field.name for field in projection.features] == [field.name for field in view.features]


def test_any_served_table_becomes_feast_objects(objects: ModuleType) -> None:
    entities: dict[str, Any] = {}
    for spec in FEATURE_TABLES:
        objects.objects_of(spec, entities)
    shared = entities["location_id"]
    *keys, source, view, service = objects.objects_of(WIND, entities)
    assert keys == [shared, entities["height_m"]]
    assert keys[0] is shared
    assert (keys[1].join_key, keys[1].value_type.name, keys[1].description) == (
        "height_m",
        "INT64",
        "height above ground, m",
    )
    assert view.entities == ["location_id", "height_m"]
    assert (source.timestamp_field, source.created_timestamp_column) == ("at", "heard_at")
    assert {field.name: (str(field.dtype), field.description) for field in view.features} == {
        "speed_mps": ("Float64", "speed, m/s"),
        "gusts": ("Int64", "number of gusts"),
        "is_calm": ("Bool", "below 0.5 m/s"),
        "sector": ("String", "N, E, S or W"),
        "seen_at": ("UnixTimestamp", "last look"),
    }
    assert (view.name, view.ttl, view.tags["version"]) == ("wind_as_served", timedelta(hours=6), "3")
    assert service.name == "wind_as_served"


def test_a_table_that_is_not_served_is_refused(objects: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"features\.wind is not served"):
        objects.objects_of(replace(WIND, served=None))


def test_feature_sets_become_services_of_their_members(objects: ModuleType) -> None:
    view = "air_quality_hourly"
    sets = [
        FeatureSet(name="few", view=view, members=("pm25_ugm3", "aqi")),
        FeatureSet(name="of_a_view_that_is_gone", view="gone", members=("aqi",)),
        FeatureSet(name="of_a_feature_that_is_gone", view=view, members=("aqi", "gone")),
    ]
    added = set(objects.declared(sets=sets)) - set(objects.declared())
    assert added == {"FeatureService few"}
    (projection,) = objects.declared(sets=sets)["FeatureService few"].feature_view_projections
    assert (projection.name, {field.name for field in projection.features}) == (view, {"pm25_ugm3", "aqi"})


def test_without_a_database_there_are_no_stored_sets(definitions: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGDATABASE", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    assert definitions.feature_sets() == []


def test_the_definitions_import_no_more_than_they_need() -> None:
    foreign = {
        path.name: {name.split(".")[0] for name in _imports(path)} - set(sys.stdlib_module_names)
        for path in REPOSITORY.glob("*.py")
    }
    assert foreign == {
        "__init__.py": set(),
        "definitions.py": {"psycopg", "sqlalchemy", "feature_repo", "schemas"},
        "objects.py": {"feast", "schemas", "sqlalchemy"},
    }


def test_nobody_else_imports_feast_when_it_is_loaded() -> None:
    """Whoever is loaded with the definitions imports Feast in a function, or in a module of those Feast loads."""
    with_feast = {"online_stores.py", "newest_wins.py", "encoding.py", "offline_store.py"}
    offenders = [
        str(path.relative_to(ROOT))
        for package in ("schemas", "resources", "assets_pkg")
        for path in sorted((ROOT / package).rglob("*.py"))
        if {name.split(".")[0] for name in _imports_at_load(path)} & {"feast", "feature_repo"}
    ]
    assert {path for path in offenders if not path.startswith("resources/feast/")} == set()
    assert {Path(path).name for path in offenders} <= with_feast


def test_loading_the_definitions_loads_nothing_heavy() -> None:
    """Every process that Dagster starts does it first."""
    heavy = {"feast", "redis", "dask", "scipy", "sklearn", "statsmodels", "ruptures", "matplotlib", "pymysql"}
    code = f"import assets_pkg.definitions, sys; assert not {heavy} & set(sys.modules), sys.modules.keys() & {heavy}"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_file_names_few_variables_and_documents_each() -> None:
    lines = (REPOSITORY / "feature_store.yaml").read_text().splitlines()
    comments = " ".join(line for line in lines if line.lstrip().startswith("#"))
    used = set(re.findall(r"\$\{(.*?)\}", "\n".join(line for line in lines if not line.lstrip().startswith("#"))))
    assert used == {"PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "TIDEMARK_ONLINE_STORE"}
    assert [name for name in used if name not in comments.split()] == []


def test_the_code_and_the_repository_agree_on_schemas(monkeypatch: pytest.MonkeyPatch) -> None:
    config = _load(monkeypatch, PGPASSWORD="")
    assert config.offline_store.db_schema == REGISTRY_SCHEMA
    assert config.registry.path.endswith(f"search_path%3D{REGISTRY_SCHEMA}")
    assert repository("feature_repo.objects") == REPOSITORY


@given(secret=st.text(st.characters(categories=("L", "N", "P", "S", "Zs"), codec="utf-8"), max_size=20))
@example(secret="")
@example(secret='it\'s "#1": ${HOME} $HOME %40 \\n - |')
@example(secret=" leading and trailing ")
@example(secret="0123")
@hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_password_reaches_feast_as_it_is(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    config = _load(monkeypatch, PGPASSWORD=secret)
    assert config.offline_store.password == secret
    assert config.registry.path == _load(monkeypatch, PGPASSWORD="").registry.path
    assert (config.offline_store.host, config.offline_store.port) == ("/run/a folder", 5433)
    assert config.online_store.path == "/home/a folder/feast_online.db"


@given(secret=st.text(st.characters(categories=("L", "N", "P", "S", "Zs"), codec="utf-8"), min_size=1, max_size=20))
@example(secret='it\'s "#1": ${HOME} $HOME @/:? %40 \\n - |')
@example(secret="0123,x=1")
@example(secret="\U0001f511")
@hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_an_online_stores_password_reaches_it_as_it_is(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    url = f"redis://me:{quote(secret, safe='')}@cache:6380/2"
    told = online_store(url, home="", variables={})
    assert _load(monkeypatch, told, PGPASSWORD="").online_store.url == url
    given_url = f"postgresql://me:{quote(secret, safe='')}@db:5433/serving?sslmode=require"
    config = _load(monkeypatch, online_store(given_url, home="", variables={}), PGPASSWORD="").online_store
    assert (config.password, config.port, config.sslmode) == (secret, 5433, "require")


def test_code_builds_what_the_command_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the registry's address: in code it is the whole URL, and no variable is set."""
    read = _load(monkeypatch, PGPASSWORD="it's")
    variables = {**ADDRESS, "PGPASSWORD": "it's"}
    for name in variables:
        monkeypatch.delenv(name)
    built = repo_config(
        "feature_repo.objects",
        url="postgresql://me:it%27s@/a%20b?host=/run/a%20folder&port=5433&options=-cjit%3Doff",
        variables=variables,
        store=SQLITE,
    )
    assert built.online_store == read.online_store
    assert built.offline_store == read.offline_store
    assert built.registry.path.startswith("postgresql+psycopg://me:it%27s@/a b?")
    assert "-cjit%3Doff+-csearch_path%3Dfeast" in built.registry.path
    assert built.registry.model_dump(exclude={"path"}) == read.registry.model_dump(exclude={"path"})


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("", "sqlite:/home/me/feast_online.db"),
        ("redis://u:secret@cache", "redis://cache:6379/0"),
        ("rediss://:secret@cache:7000/4", "rediss://cache:7000/4"),
        ("postgres", "postgres"),
        ("postgresql://u:secret@db/serving", "postgresql://db:5432/serving"),
    ],
)
def test_an_online_stores_name_has_no_secret(url: str, name: str) -> None:
    assert online_store(url, home="/home/me", variables={**ADDRESS, "PGPASSWORD": "secret"}).name == name


@pytest.mark.parametrize(
    "url", ["mysql://u:secret@db/x", "redis://:secret@", "secret", "postgresql://", "redis://:secret@h/x"]
)
def test_an_online_store_nobody_knows_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="TIDEMARK_ONLINE_STORE_URL must read") as refused:
        online_store(url, home="/home/me", variables=ADDRESS)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("given_arguments", "told"),
    [
        (["ui"], ["ui", "--host", "127.0.0.1"]),
        (["ui", "--port", "1"], ["ui", "--host", "127.0.0.1", "--port", "1"]),
        (["ui", "--host", "::1"], ["ui", "--host", "::1"]),
        (["ui", "-h", "::1"], ["ui", "-h", "::1"]),
        (["ui", "--host=::1"], ["ui", "--host=::1"]),
        (["apply"], ["apply"]),
        ([], []),
    ],
)
def test_the_ui_listens_on_this_machine_only_unless_told(given_arguments: list[str], told: list[str]) -> None:
    assert _on_loopback(given_arguments) == told


ADDRESS = {"PGHOST": "/run/a folder", "PGPORT": "5433", "PGDATABASE": "a b", "PGUSER": "me"}
SQLITE = online_store("", home="/home/a folder", variables={})


def _load(monkeypatch: pytest.MonkeyPatch, store: OnlineStore = SQLITE, **variables: str) -> Any:
    """Feast's configuration as it reads it from the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = importlib.import_module("feast.repo_config")
    for name, value in {**ADDRESS, "TIDEMARK_ONLINE_STORE": as_json(store), **variables}.items():
        monkeypatch.setenv(name, value)
    return found.load_repo_config(REPOSITORY, REPOSITORY / "feature_store.yaml")


def _imports_at_load(path: Path) -> Iterator[str]:
    """The imports of a module itself: not in a function, not for type checkers only."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
