"""`tidemark propose`: a folder nobody declared becomes a dataset, and its files are loaded again as they are."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from logging import getLogger
from pathlib import Path

import pytest

from assets_pkg import cli
from assets_pkg.intake.intake import Intake
from resources.catalog.file_loads import write
from resources.catalog.runs import Described
from resources.landing.preparation import Declaration
from resources.wiring import PROJECT_ROOT
from schemas.file_dataset import FileDataset
from schemas.file_tables import build_tables
from schemas.window import Window
from tests.file_graph import FileGraph
from tests.written_sales import loaded, staged

Built = Callable[..., FileGraph]
FILES = {
    "1.csv": "station;class;Seen at;2026;°C\n"
    + "".join(f"S{n % 3};a;{n + 1:02d}.03.2026 10:00;{n};{n},5\n" for n in range(28)),
    "2.csv": "station;class;Seen at;2026;°C;note\n"
    + "".join(f"S{n % 3};b;{n + 1:02d}.04.2026 10:00;{n};{n},5;x\n" for n in range(28)),
}


def test_files_of_a_folder_are_loaded_again_under_the_declaration_proposed_for_it(
    graph_under: Built, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_under()
    files = [loaded(graph, text.encode(), dataset="weather", name=name) for name, text in FILES.items()]
    before = [staged(graph, file) for file in files]
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TIDEMARK_DATABASE_URL", postgres_url)
    assert cli.main(("propose", "weather", "--to", str(tmp_path))) == 0
    dataset = declared_in(tmp_path / "weather.py")
    assert (dataset.event_time, dataset.staging_table) == ("seen_at", "weather_files")
    assert "station" in dataset.entities
    assert {"class", "_2026"} <= set(dataset.data_columns)
    load_again(graph, dataset)
    for file, rows in zip(files, before, strict=True):
        again = staged(graph, file)
        columns = [name for name in dataset.data_columns if name in rows]
        assert again[columns].equals(rows[columns])
        assert again["event_text"].notna().all()
    by_id = {file["id"]: file for file in graph.catalog_files()}
    assert all(len(by_id[file["id"]]["event_days"]) == 28 for file in files)
    assert cli.main(("propose", "weather", "--to", str(tmp_path))) == 1, "never over a module that is there"
    assert cli.main(("propose", "sales", "--to", str(tmp_path))) == 1
    assert cli.main(("propose", "nothing", "--to", str(tmp_path))) == 1


def test_a_folder_whose_tables_would_have_the_names_of_others_is_refused(
    graph_under: Built,
    postgres_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    graph = graph_under()
    loaded(graph, FILES["1.csv"].encode(), dataset="air_quality", name="1.csv")
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TIDEMARK_DATABASE_URL", postgres_url)
    assert cli.main(("propose", "air_quality", "--to", str(tmp_path))) == 1
    told = capsys.readouterr().err
    assert "air_quality cannot be declared: there is a table timeseries.air_quality already, of openaq" in told
    assert "landing folder" in told
    assert not (tmp_path / "air_quality.py").exists()


def test_a_code_location_with_what_is_proposed_has_all_assets_of_the_dataset(
    graph_under: Built, postgres_url: str, tmp_path: Path
) -> None:
    graph = graph_under()
    for name, text in FILES.items():
        loaded(graph, text.encode(), dataset="weather", name=name)
    project = tmp_path / "project"
    for package in ("assets_pkg", "resources", "schemas"):
        shutil.copytree(PROJECT_ROOT / package, project / package, ignore=shutil.ignore_patterns("__pycache__"))
    own = {name: text for name, text in os.environ.items() if not name.startswith("TIDEMARK_")}
    environment = own | {
        "PYTHONPATH": str(project),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TIDEMARK_HOME": str(tmp_path / "home"),
        "TIDEMARK_DATABASE_URL": postgres_url,
    }
    before = assets_in(project, environment)
    run(project, environment, "-m", "assets_pkg.cli", "propose", "weather")
    assert (project / "schemas" / "file_datasets" / "weather.py").is_file()
    tables = {"staging/weather_files", "timeseries/weather", "features/weather_features", "quality/weather_report"}
    quality = {f"quality/weather_{name}" for name in ("anomalies", "staging", "timeseries", "features_quality")}
    tables |= quality
    assert assets_in(project, environment) == before | tables
    assert not before & tables


LISTED = """
import json
import dagster as dg
from assets_pkg.definitions import defs

specs = defs().resolve_all_asset_specs()
print(json.dumps(["/".join(spec.key.path) for spec in specs]))
"""
"""Loads the code location and says which assets its graph has."""


def assets_in(project: Path, environment: dict[str, str]) -> set[str]:
    """The assets of the code location of a copy of the product."""
    return set(json.loads(run(project, environment, "-c", LISTED)))


def run(project: Path, environment: dict[str, str], *arguments: str) -> str:
    """What a Python process in the copy prints."""
    command = [sys.executable, "-W", "ignore", *arguments]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def declared_in(path: Path) -> FileDataset:
    """The declaration in a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert isinstance(module.DATASET, FileDataset)
    return module.DATASET


def load_again(graph: FileGraph, dataset: FileDataset) -> None:
    """Reads all files of the dataset again, as its staging asset does once the code location knows it."""
    tables = build_tables(dataset)
    days = [file["arrived_on"] for file in graph.catalog_files()]
    intake = Intake(
        landing=graph.landing,
        files=graph.files,
        declaration=Declaration(name=dataset.name, spec=tables.staging, dataset=dataset),
        described=Described(
            dataset=dataset.name,
            description=dataset.description,
            source_kind="files",
            mode=dataset.mode.value,
            tables=[table.qualified for table in tables],
            is_declared=True,
        ),
        window=Window.of_days(min(days), max(days)),
        run_id="again",
        log=getLogger(__name__),
    )
    for load in intake.loads():
        write(graph.timescale, load, run_id="again")
