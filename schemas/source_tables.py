"""The staging tables that follow from the declaration of a dataset with a source.

Belongs here: finding the declarations, and their `TableSpec`s. Does not belong here: declarations (`source_datasets/`).
"""

from datetime import date, timedelta
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from schemas import source_datasets as declarations
from schemas.source_dataset import SourceDataset, SourceTable
from schemas.table_spec import TableSpec


@cache
def source_datasets() -> dict[str, SourceDataset]:
    """The declared datasets by name.

    Raises:
        ValueError: two modules declare the same name, or the same staging table.
    """
    found: dict[str, SourceDataset] = {}
    for module in iter_modules(declarations.__path__):
        dataset: SourceDataset = import_module(f"{declarations.__name__}.{module.name}").DATASET
        if dataset.name in found:
            raise ValueError(f"two modules of {declarations.__name__} declare the dataset {dataset.name!r}")
        found[dataset.name] = dataset
    names = [table.staging_table for dataset in found.values() for table in dataset.tables]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{declarations.__name__}: two tables are staged as {', '.join(sorted(twice))}")
    return found


def sourced_tables(dataset: SourceDataset) -> list[TableSpec]:
    """The staging tables of the dataset, in the order of its declaration."""
    return [staging_spec(dataset, table) for table in dataset.tables]


def staging_spec(dataset: SourceDataset, table: SourceTable) -> TableSpec:
    """The staging table of one table of the source. A day of it is closed on the right: what was so, or happened, at
    midnight belongs to the day that ends there, which is the instant its features are about.

    Raises:
        ValueError: the model does not say that its rows are unique in key and time.
    """
    key = (*table.key, table.time_column)
    if sorted(table.staging.to_schema().unique or ()) != sorted(key):
        raise ValueError(f"{table.staging_table}: {table.staging.__name__}.Config has to say unique = {list(key)}")
    return TableSpec(
        schema="staging",
        name=table.staging_table,
        model=table.staging,
        dataset=dataset.name,
        first_day=date.fromisoformat(dataset.first_day),
        key=key,
        time_column=table.time_column,
        closed="right",
        origin=("source_id", "line_no"),
        chunk=timedelta(days=30),
        compress_after=timedelta(days=60),
    )
