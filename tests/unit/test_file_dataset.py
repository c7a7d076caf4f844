"""Declarations of datasets of files: what contradicts itself, or others, is refused when it is declared."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas import file_datasets as file_dataset_modules
from schemas.declared_files import UNDECLARED, file_datasets, require_own_names
from schemas.file_dataset import Arrival, FileDataset, Metric
from schemas.file_tables import build_tables
from schemas.tables import TABLES

SALES = file_datasets()["sales"]


@pytest.mark.parametrize("dataset", file_datasets().values(), ids=lambda dataset: dataset.name)
def test_a_declared_dataset_has_its_tables(dataset: FileDataset) -> None:
    tables = list(build_tables(dataset))
    assert [spec.schema for spec in tables] == ["staging", "timeseries", "features", "quality", "quality"]
    assert len({spec.name for spec in tables}) == len(tables)
    assert {spec.dataset for spec in tables} == {dataset.name}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"event_time": "nobody"}, "no column nobody"),
        ({"key": ("nobody",)}, "no column nobody"),
        ({"indexes": ("nobody",)}, "no column nobody"),
        ({"arrivals": {"nobody": Arrival()}}, "no column nobody"),
        ({"arrivals": {"region": Arrival(minimum=0)}}, "region is no number"),
        ({"cadence": timedelta(hours=5)}, "does not divide a day"),
        ({"entities": ()}, "at least one entity"),
        ({"metrics": ()}, "at least one entity and one metric"),
        ({"windows": (7, 7)}, "windows are different"),
        ({"lags": (0,)}, "lags are different"),
        ({"metrics": (SALES.metrics[0], SALES.metrics[0])}, "revenue names two columns"),
        ({"metrics": (replace(SALES.metrics[0], name="region"),)}, "region names two columns"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        replace(SALES, **changed)


@pytest.mark.parametrize(
    ("how", "of"), [("count", ("price",)), ("distinct", ()), ("distinct", ("a", "b")), ("sum", ())]
)
def test_a_metric_of_the_wrong_number_of_columns_is_refused(how: Any, of: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="means nothing"):
        Metric(name="m", unit="1", how=how, of=of, description="d")


class ShopRows(SALES.staging):  # type: ignore[name-defined,misc]
    """The columns of sales under a model of another name."""


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"name": "sales"}, "there is a dataset sales already"),
        ({"name": "openaq"}, "there is a dataset openaq already"),
        ({"name": "air_quality"}, "there is a table timeseries.air_quality already, of openaq"),
        ({"name": "air_quality_daily"}, "there is a table timeseries.air_quality_daily already, of openaq"),
        ({"name": "air_quality_"}, "there is a model AirQuality already, of openaq"),
        ({"name": "shop_rows"}, "there is a model ShopRows already, of shop_rows"),
        ({"staging_table": "sales_data"}, "there is a table staging.sales_data already, of sales"),
        ({"staging_table": "undeclared_files"}, f"there is a table {UNDECLARED} already, of the files nobody declared"),
        ({"staging": SALES.staging}, "there is a model SalesData already, of sales"),
    ],
    ids=["dataset", "OpenAQ", "table", "aggregate", "model", "own model", "staging", "undeclared", "staging model"],
)
def test_a_name_that_another_dataset_has_is_refused(changed: dict[str, Any], told: str) -> None:
    fitting = replace(SALES, name="shops", staging=ShopRows, staging_table="shops_files")
    require_own_names(fitting, TABLES.values())
    with pytest.raises(ValueError, match=f"cannot be declared: {told}"):
        require_own_names(replace(fitting, **changed), TABLES.values())


def test_declarations_are_refused_where_they_are_gathered_if_two_have_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (
        "from dataclasses import replace\n"
        "from schemas.file_datasets.meters import DATASET as METERS\n"
        "DATASET = replace(METERS, name='air_quality', staging_table='air_quality_files')\n"
    )
    (tmp_path / "zz_air_quality.py").write_text(source, encoding="utf-8")
    monkeypatch.setattr(file_dataset_modules, "__path__", [*file_dataset_modules.__path__, str(tmp_path)])
    gather = file_datasets.__wrapped__
    with pytest.raises(ValueError, match="air_quality cannot be declared"):
        gather()
