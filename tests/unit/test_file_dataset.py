"""Declarations of datasets of files: what contradicts itself is refused when it is declared."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from schemas.declared_files import file_datasets
from schemas.file_dataset import Arrival, FileDataset, Metric
from schemas.file_tables import build_tables

SALES = file_datasets()["sales"]


@pytest.mark.parametrize("dataset", file_datasets().values(), ids=lambda dataset: dataset.name)
def test_a_declared_dataset_has_its_four_tables(dataset: FileDataset) -> None:
    tables = list(build_tables(dataset))
    assert [spec.schema for spec in tables] == ["staging", "timeseries", "features", "quality"]
    assert len({spec.name for spec in tables}) == 4
    assert {spec.dataset for spec in tables} == {dataset.name}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"event_time": "nobody"}, "no column nobody"),
        ({"key": ("nobody",)}, "no column nobody"),
        ({"indexes": ("nobody",)}, "no column nobody"),
        ({"arrivals": {"nobody": Arrival()}}, "no column nobody"),
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
