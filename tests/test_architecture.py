"""The house keeps its order: who may import whom, names that match, nothing done at import.

Imports are read from the source, so that one hidden in a function counts too.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import dagster as dg
import pytest

from assets_pkg.definitions import build_definitions
from resources.wiring import Settings, build_resources
from schemas.datasets import DATASETS
from schemas.declared_files import file_datasets
from schemas.feature_selection import FEATURE_STORE
from schemas.source_tables import source_datasets
from schemas.tables import TABLES

ROOT = Path(__file__).resolve().parents[1]
UNDECLARED = "staging.undeclared_files"
"""The asset whose tables are found in files: no declaration knows them."""
PACKAGES = ("schemas", "resources", "feature_repo", "assets_pkg")
MODULES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
ALLOWED = {
    "schemas": {"schemas"},
    "resources": {"schemas", "resources"},
    "feature_repo": {"schemas", "feature_repo"},
    "assets_pkg": set(PACKAGES),
}
LAYERS = ("staging", "timeseries", "features", "quality")
ASSEMBLY = {
    "assets_pkg/definitions.py": "the graph",
    "assets_pkg/cli.py": "the command line; `assets_pkg/commands/` is the rest of it",
    "assets_pkg/launcher.py": "starts the server and Dagster's processes with the settings",
    "resources/dagster_storage.py": "Dagster builds its storage by class name, before there are definitions",
    "resources/configured_logs.py": "Dagster builds handlers by class name too",
}
"""Where settings are read and resources put together."""

NO_TRANSFORMS = ("assets.py", "pictures.py", "__init__.py")
"""How modules of a layer end that may know Dagster, or draw."""

TRANSFORMS_MAY = {
    "schemas",
    "pandas",
    "numpy",
    "scipy",
    "pint",
    "pyarrow",
    "sklearn",
    "statsmodels",
    "ruptures",
    "threadpoolctl",
    "pymoo",
    "tsfresh",
    "pandera",
}
LONG_FOR_A_REASON = {
    "assets_pkg/launcher.py": "one life cycle: server, webserver and daemon start and end together",
    "assets_pkg/quality/pictures.py": "one picture, drawn from top to bottom",
    "resources/wiring.py": "every setting is named in one place",
    "schemas/migrations/versions/02_create_catalog_tables.py": "a migration is generated and never edited",
    "schemas/migrations/versions/04_create_file_tables.py": "a migration is generated and never edited",
}
PORTABLE_NEEDS = {"schemas.base", "schemas.table_spec", "schemas.window", "resources.errors"}
"""What another project takes along with `resources/timescale/`."""


def path_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


@cache
def imports_of(file: Path) -> frozenset[str]:
    """The dotted names a module imports; `from a import b` counts as `a.b` where that is a module, else as `a`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path_of(file)} imports relatively"
            base = node.module or ""
            found.update(f"{base}.{alias.name}" if is_module(f"{base}.{alias.name}") else base for alias in node.names)
    return frozenset(found)


def is_module(name: str) -> bool:
    place = ROOT.joinpath(*name.split("."))
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


def ours(file: Path) -> Iterator[str]:
    """The modules of ours that a module imports."""
    return (name for name in imports_of(file) if name.split(".")[0] in (*PACKAGES, "tests"))


def test_the_walk_sees_the_modules() -> None:
    assert len(MODULES) > 50
    assert "schemas.tables" in imports_of(ROOT / "assets_pkg/sensors.py")
    assert "assets_pkg.checks" in imports_of(ROOT / "assets_pkg/definitions.py")


@pytest.mark.parametrize("file", MODULES, ids=path_of)
def test_imports_point_one_way(file: Path) -> None:
    package = path_of(file).split("/")[0]
    assert {name.split(".")[0] for name in ours(file)} <= ALLOWED[package]


@pytest.mark.parametrize("file", [file for file in MODULES if file.parent.name in LAYERS], ids=path_of)
def test_layers_never_import_each_other(file: Path) -> None:
    others = {layer for layer in LAYERS if layer != file.parent.name}
    assert not {name for name in ours(file) if name.startswith(tuple(f"assets_pkg.{layer}" for layer in others))}


@pytest.mark.parametrize(
    "file",
    [file for file in MODULES if file.parent.name in LAYERS and not file.name.endswith(NO_TRANSFORMS)],
    ids=path_of,
)
def test_transforms_are_pure_computation(file: Path) -> None:
    own = f"assets_pkg.{file.parent.name}"
    foreign = {name for name in imports_of(file) if name.split(".")[0] not in sys.stdlib_module_names}
    assert not {name for name in foreign if name.split(".")[0] not in TRANSFORMS_MAY and not name.startswith(own)}
    assert not imports_of(file) & {"os", "pathlib", "io", "socket", "subprocess", "urllib.request"}


@pytest.mark.parametrize("file", [file for file in MODULES if "/resources/timescale/" in str(file)], ids=path_of)
def test_the_io_manager_can_be_taken_as_it_is(file: Path) -> None:
    assert {name for name in ours(file) if not name.startswith("resources.timescale")} <= PORTABLE_NEEDS


@pytest.mark.parametrize("file", [file for file in MODULES if path_of(file).startswith("schemas/")], ids=path_of)
def test_schemas_know_no_dagster_and_no_driver(file: Path) -> None:
    roots = {name.split(".")[0] for name in imports_of(file)}
    assert not roots & {"dagster", "psycopg2", "adbc_driver_postgresql", "requests", "fsspec", "os"}


def test_only_the_assembly_puts_resources_together() -> None:
    importers = {path_of(file) for file in MODULES if "resources.wiring" in imports_of(file)}
    allowed = {path for path in importers if path in ASSEMBLY or path.startswith("assets_pkg/commands/")}
    assert importers == allowed


def test_only_the_wiring_reads_the_environment() -> None:
    readers = set()
    for file in MODULES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Attribute)
                and node.attr in ("environ", "getenv")
                and path_of(file) != "resources/wiring.py"
            ):
                readers.add(path_of(file))
    assert readers <= {
        "assets_pkg/launcher.py",  # hands the environment on to the processes it starts
        "assets_pkg/leftovers.py",  # tells its own processes by their environment
        "assets_pkg/cli.py",
        "resources/timescale/server.py",  # the account and folders a server runs in
        "resources/timescale/server_paths.py",
        "feature_repo/definitions.py",
    } | {path_of(file) for file in MODULES if path_of(file).startswith("assets_pkg/commands/")}


@pytest.mark.parametrize("file", MODULES, ids=path_of)
def test_a_module_says_what_belongs_in_it_and_has_no_empty_name(file: Path) -> None:
    assert file.stem not in {"utils", "util", "helpers", "helper", "common", "misc", "constants"}
    tree = ast.parse(file.read_text(encoding="utf-8"))
    docstring = ast.get_docstring(tree)
    assert docstring
    if file.name == "__init__.py":
        assert len(tree.body) == 1, "a package's __init__ holds its docstring only"
    elif "migrations/versions" not in path_of(file):
        assert re.search(r"[Bb]elongs? here", docstring), "says neither what belongs in it nor what does not"


@pytest.mark.parametrize("file", MODULES, ids=path_of)
def test_a_long_module_has_a_reason(file: Path) -> None:
    lines = len(file.read_text(encoding="utf-8").splitlines())
    assert lines <= 300 or path_of(file) in LONG_FOR_A_REASON, f"{lines} lines"


def test_reasons_are_given_for_long_modules_only() -> None:
    assert {path for path in LONG_FOR_A_REASON if len((ROOT / path).read_text().splitlines()) <= 300} == set()


@pytest.mark.parametrize("file", [file for file in MODULES if "dagster" in imports_of(file)], ids=path_of)
def test_annotations_are_what_dagster_can_read(file: Path) -> None:
    assert "__future__" not in imports_of(file)


def test_importing_the_definitions_does_nothing(tmp_path: Path) -> None:
    code = """
import builtins, os, socket, sys
import dagster, pandas, pandera.pandas, sqlalchemy, adbc_driver_postgresql.dbapi, matplotlib
def refuse(name):
    def refused(*arguments, **_):
        raise AssertionError(f"{name} {arguments[:2]} at import")
    return refused
socket.socket.connect = refuse("connect")
opened = builtins.open
def reading(file, mode="r", *rest, **options):
    if set(mode) & set("wax+"):
        refuse("open")(file, mode)
    return opened(file, mode, *rest, **options)
builtins.open = reading
os.mkdir = refuse("mkdir")
class Watched(type(os.environ)):
    def __getitem__(self, name):
        if name.startswith(("TIDEMARK", "OPENAQ")):
            refuse("environ")(name)
        return super().__getitem__(name)
os.environ.__class__ = Watched
import assets_pkg.definitions
"""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file() and "matplotlib" not in str(path)] == []


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    """The graph as it is deployed, with nothing running behind it."""
    chosen = Settings(_env_file=None)
    return build_definitions(build_resources(chosen), chosen)


def specs_of(definitions: dg.Definitions) -> dict[dg.AssetKey, dg.AssetSpec]:
    return {spec.key: spec for spec in definitions.resolve_all_asset_specs()}


def test_every_asset_is_a_declared_table_and_every_table_an_asset(definitions: dg.Definitions) -> None:
    specs = specs_of(definitions)
    assert {".".join(key.path) for key in specs} == {*TABLES, UNDECLARED}
    last_parts = [key.path[-1] for key in specs]
    assert len(set(last_parts)) == len(last_parts)
    for key, spec in specs.items():
        if ".".join(key.path) == UNDECLARED:
            continue
        table = TABLES[".".join(key.path)]
        assert spec.metadata["dagster/table_name"] == table.qualified
        assert [column.name for column in spec.metadata["dagster/column_schema"].columns] == table.columns
        assert spec.group_name == table.dataset
        assert table.dataset in {*DATASETS, *file_datasets(), *source_datasets(), FEATURE_STORE}
        assert spec.owners
        assert {"timescaledb"} <= spec.kinds
        assert spec.tags["layer"] == table.schema
        assert spec.description
        assert isinstance(spec.partitions_def, dg.DailyPartitionsDefinition)


def test_every_asset_has_the_type_of_its_table_and_runs_ranges_at_once(definitions: dg.Definitions) -> None:
    found = definitions.resolve_asset_graph().assets_defs
    policies = {asset.backfill_policy for asset in found if asset.is_executable and not asset.check_keys}
    assert policies == {dg.BackfillPolicy.single_run()}
    for asset in found:
        for output in asset.node_def.output_defs if asset.keys else ():
            if asset.check_keys or ".".join(asset.key.path) == UNDECLARED:
                continue
            table = TABLES[".".join(asset.key.path)]
            assert output.dagster_type.display_name == table.model.__name__
            assert output.io_manager_key == ("feast_io_manager" if table.served else "io_manager")


def test_the_graph_says_what_the_tables_declare_that_they_read(definitions: dg.Definitions) -> None:
    specs = {key: spec for key, spec in specs_of(definitions).items() if ".".join(key.path) != UNDECLARED}
    for key, spec in specs.items():
        declared = {read.table for read in TABLES[".".join(key.path)].reads}
        drawn = {".".join(dep.asset_key.path) for dep in spec.deps}
        assert drawn <= declared
        assert bool(drawn) == bool(declared)


def test_jobs_sensors_and_the_schedule_have_the_names_engineers_look_for(definitions: dg.Definitions) -> None:
    jobs = {job.name for job in definitions.resolve_all_job_defs()}
    assert jobs >= {
        "data_ingestion",
        "data_processing",
        "feature_extraction",
        "quality_monitoring",
        "feature_selection",
        "serve_pending_features",
        "user_pipeline",
        "task_pipeline",
        "wide_series_features",
    }
    assert {sensor.name for sensor in definitions.sensors or ()} == {
        "openaq_new_data",
        "dirty_days",
        "landing_files",
        "feature_serving",
        "source_recovery",
        "alerts",
        "finished_runs",
    }
    assert {schedule.name for schedule in definitions.schedules or ()} == {
        "openaq_schedule",
        "file_retention_daily",
        "profile_retention_daily",
        "feature_parity_hourly",
        "source_snapshots",
        "feature_selection_weekly",
        "feature_drift_daily",
    }


def test_the_example_environment_lists_exactly_the_settings() -> None:
    example = ROOT / ".env.example"
    listed = re.findall(r"^#?([A-Z][A-Z0-9_]+)=", example.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == {str(field.validation_alias) for field in Settings.model_fields.values()}
