"""What Feast is told of the features is what `schemas` says, and nothing beside it; and nobody else needs Feast."""

import ast
import importlib
import re
import sys
import warnings
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pandera.pandas as pa
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from assets_pkg.commands.feast import FEATURE_LAYER, REPOSITORY, SCHEMA, _on_loopback
from schemas.base import NullableBool, NullableInt, TableModel, Text, UtcTimestamp
from schemas.table_spec import TableSpec
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
)


@pytest.fixture(scope="module")
def definitions() -> ModuleType:
    """The module as Feast imports it; what Feast itself warns of while it is imported is its own affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("feature_repo.definitions")


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
    names = [spec.name for spec in FEATURE_TABLES]
    assert sorted(view.name for view in found["FeatureView"]) == names
    assert sorted(service.name for service in found["FeatureService"]) == names
    assert sorted(source.name for source in found["PostgreSQLSource"]) == [spec.qualified for spec in FEATURE_TABLES]
    assert set(found) == {"Entity", "FeatureView", "FeatureService", "PostgreSQLSource"}


@pytest.mark.parametrize("spec", FEATURE_TABLES, ids=lambda spec: spec.name)
def test_a_view_is_the_models_columns_with_their_types_and_descriptions(
    found: dict[str, list[Any]], spec: TableSpec
) -> None:
    view = next(view for view in found["FeatureView"] if view.name == spec.name)
    columns = dict(spec.model.to_schema().columns)
    assert view.batch_source.timestamp_field == spec.time_column
    assert view.batch_source.created_timestamp_column == "known_at"
    assert view.batch_source.get_table_query_string() == spec.qualified
    del columns[view.batch_source.timestamp_field], columns[view.batch_source.created_timestamp_column]
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


def test_any_feature_table_becomes_feast_objects(definitions: ModuleType) -> None:
    entities: dict[str, Any] = {}
    for spec in FEATURE_TABLES:
        definitions.feast_objects(spec, entities)
    shared = entities["location_id"]
    *keys, source, view, service = definitions.feast_objects(WIND, entities)
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
    assert view.ttl > timedelta(0)
    assert service.name == "wind"


def test_a_feature_table_without_a_time_column_is_refused(definitions: ModuleType) -> None:
    timeless = TableSpec(schema="features", name="timeless", model=Wind, key=("location_id",), known_at="heard_at")
    with pytest.raises(ValueError, match=r"features\.timeless: a feature table needs a time column"):
        definitions.feast_objects(timeless, {})


def test_the_definitions_import_schemas_and_feast_only() -> None:
    packages = {name.split(".")[0] for name in _imports(REPOSITORY / "definitions.py")}
    assert packages - set(sys.stdlib_module_names) == {"feast", "schemas"}
    assert [path.name for path in sorted(REPOSITORY.glob("*.py"))] == ["__init__.py", "definitions.py"]
    assert list(_imports(REPOSITORY / "__init__.py")) == []


def test_nobody_else_imports_feast_or_its_definitions() -> None:
    offenders = [
        str(path.relative_to(ROOT))
        for package in ("schemas", "resources", "assets_pkg")
        for path in sorted((ROOT / package).rglob("*.py"))
        if {name.split(".")[0] for name in _imports(path)} & {"feast", "feature_repo"}
    ]
    assert offenders == []


def test_the_file_names_few_variables_and_documents_each() -> None:
    lines = (REPOSITORY / "feature_store.yaml").read_text().splitlines()
    comments = " ".join(line for line in lines if line.lstrip().startswith("#"))
    used = set(re.findall(r"\$\{(.*?)\}", "\n".join(line for line in lines if not line.lstrip().startswith("#"))))
    assert used == {"PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "TIDEMARK_HOME"}
    assert [name for name in used if name not in comments.split()] == []


def test_the_command_and_the_repository_agree_on_schemas(
    definitions: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _load(monkeypatch, PGPASSWORD="")
    assert config.offline_store.db_schema == SCHEMA
    assert config.registry.path.endswith(f"search_path%3D{SCHEMA}")
    assert definitions.FEATURE_LAYER == FEATURE_LAYER


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


def _load(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Any:
    """Feast's configuration as it reads it from the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        repo_config = importlib.import_module("feast.repo_config")
    address = {"PGHOST": "/run/a folder", "PGPORT": "5433", "PGDATABASE": "a b", "PGUSER": "me"}
    for name, value in {**address, "TIDEMARK_HOME": "/home/a folder", **variables}.items():
        monkeypatch.setenv(name, value)
    return repo_config.load_repo_config(REPOSITORY, REPOSITORY / "feature_store.yaml")


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
