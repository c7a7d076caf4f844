"""A proposal is a module that imports, whose tables build, whatever the columns are called."""

import importlib.util
import keyword
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets_pkg.proposal import Observed, declaration_source
from resources.errors import ConfigurationError
from schemas.base import dtypes_of
from schemas.file_dataset import FileDataset, Mode
from schemas.file_tables import build_tables, undeclared_table
from schemas.physical_names import physical_names
from schemas.schema_versions import KINDS, Column


def seen(
    name: str, kind: str, *, distinct: int = 5, nulls: int = 0, original: str | None = None, **how: str
) -> Observed:
    column = Column(name=name, original=name if original is None else original, kind=kind, convention=how)
    return Observed(column=column, distinct=distinct, nulls=nulls, rows=100, confidence=1.0)


def imported(source: str, folder: Path) -> ModuleType:
    path = folder / "proposed.py"
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("proposed", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def proposed(observed: Sequence[Observed], folder: Path) -> FileDataset:
    source, _ = declaration_source("weather", observed)
    dataset = imported(source, folder).DATASET
    assert isinstance(dataset, FileDataset)
    return dataset


def test_time_entities_and_measures_are_found(tmp_path: Path) -> None:
    observed = [
        seen("station", "text", distinct=4),
        seen("note", "text", distinct=90),
        seen("seen_at", "timestamp", original="Seen at", date_order="DMY"),
        seen("recorded_at", "timestamp", nulls=3),
        seen("celsius", "number", original="°C", decimal=","),
        seen("constant", "integer", distinct=1),
        seen("is_dry", "boolean", distinct=2),
    ]
    dataset = proposed(observed, tmp_path)
    assert (dataset.event_time, dataset.entities) == ("seen_at", ("station",))
    assert [metric.name for metric in dataset.metrics] == ["rows", "celsius"]
    assert (dataset.arrival("seen_at").aliases, dataset.arrival("seen_at").date_order) == (("Seen at",), "DMY")
    assert (dataset.arrival("celsius").aliases, dataset.arrival("celsius").decimal) == (("°C",), ",")
    assert (dataset.mode, dataset.key) == (Mode.EVOLVE, ())


def test_the_staging_table_is_the_one_the_files_are_in(tmp_path: Path) -> None:
    observed = [
        seen("station", "text", distinct=4),
        seen("at", "timestamp"),
        seen("class", "number"),
        seen("_2026", "integer"),
    ]
    dataset = proposed(observed, tmp_path)
    columns = [(one.column.name, one.column.kind, one.column.original) for one in observed]
    before, after = undeclared_table("weather", columns), build_tables(dataset).staging
    assert (after.qualified, after.key) == (before.qualified, before.key)
    assert dtypes_of(after.model) == dtypes_of(before.model)


AWKWARD = [
    "class",
    "import",
    "_2026",
    "column_2026",
    "validate",
    "to_schema",
    "config",
    "rows",
    "pa",
    "float",
    "n" * 55,
    "n" * 54 + "m",
]


def test_awkward_names_are_kept_in_the_tables(tmp_path: Path) -> None:
    observed = [
        seen("station", "text", distinct=4),
        seen("at", "timestamp"),
        *(seen(name, "number") for name in AWKWARD),
    ]
    dataset = proposed(observed, tmp_path)
    assert dataset.data_columns == ["station", "at", *AWKWARD]
    tables = build_tables(dataset)
    assert len({metric.name for metric in dataset.metrics}) == len(AWKWARD) + 1
    assert {name for metric in dataset.metrics for name in metric.of} == set(AWKWARD)
    statistics = [name for name in tables.features.columns if name.startswith(dataset.metrics[3].name)]
    assert f"{dataset.metrics[3].name}_mean_7" in statistics
    assert max(len(name.encode()) for table in tables for name in table.columns) <= 63
    assert not any(keyword.iskeyword(name) for name in vars(dataset.staging))


def test_names_of_the_series_own_columns_are_no_entities(tmp_path: Path) -> None:
    texts = [seen(name, "text", distinct=3) for name in ("metric", "unit", "flags", "station")]
    dataset = proposed([*texts, seen("at", "timestamp"), seen("v", "number")], tmp_path)
    assert dataset.entities == ("station",)
    with pytest.raises(ValueError, match="every series has columns metric of its own"):
        build_tables(replace(dataset, entities=("metric",)))


def test_what_a_file_calls_its_columns_does_no_harm(tmp_path: Path) -> None:
    originals = ['"); import os  # ', "'''", "\\", "a\nb", "\u2028", "{}", "%s", "naïve 🙂"]
    names = physical_names(originals)
    measures = [seen(name, "number", original=original) for name, original in zip(names, originals, strict=True)]
    dataset = proposed([seen("station", "text", distinct=4), seen("at", "timestamp"), *measures], tmp_path)
    assert [dataset.arrival(name).aliases for name in names] == [
        (original.strip(),) if original.strip() else () for original in originals
    ]


@given(
    st.lists(st.tuples(st.text(st.characters(codec="utf-8"), max_size=70), st.sampled_from(KINDS)), max_size=12),
)
def test_any_columns_give_a_module_that_compiles_and_tables_that_build(columns: list[tuple[str, str]]) -> None:
    names = physical_names(["station", "at", *(original for original, _ in columns)])
    kinds = ["text", "timestamp", *(kind for _, kind in columns)]
    originals = ["station", "at", *(original for original, _ in columns)]
    observed = [
        seen(name, kind, original=original, distinct=4)
        for name, kind, original in zip(names, kinds, originals, strict=True)
    ]
    source, _ = declaration_source("weather", observed)
    found: dict[str, object] = {"__name__": "proposed"}
    exec(compile(source, "proposed.py", "exec"), found)
    dataset = found["DATASET"]
    assert isinstance(dataset, FileDataset)
    assert dataset.data_columns == names
    for table in build_tables(dataset):
        assert len(set(table.columns)) == len(table.columns)


def test_without_an_instant_or_a_name_there_is_no_series() -> None:
    with pytest.raises(ConfigurationError, match="no column of weather holds instants"):
        declaration_source("weather", [seen("station", "text")])
    with pytest.raises(ConfigurationError, match="names what its rows are about"):
        declaration_source("weather", [seen("at", "timestamp"), seen("station", "text", nulls=1)])
