"""The datasets of files that are declared: every module of `schemas/file_datasets/` is one.

Belongs here: finding the declarations, and that no two of them claim one name. Does not belong here: the declarations,
what follows from one (`file_tables`).
"""

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from schemas import file_datasets as declarations
from schemas.file_dataset import FileDataset
from schemas.file_tables import build_tables
from schemas.table_spec import TableSpec

UNDECLARED = "staging.undeclared_files"
"""The asset of files nobody declared: a name that no table may have."""


@cache
def file_datasets() -> dict[str, FileDataset]:
    """The declared datasets by name. `tidemark propose` writes a module for a folder nobody declared.

    Raises:
        ValueError: two modules declare the same name, or tables of the same name, or one that another dataset has.
    """
    from schemas.tables import OPENAQ_TABLES  # that module lists all tables, and asks here for those of files

    tables = list(OPENAQ_TABLES.values())
    found: dict[str, FileDataset] = {}
    for module in iter_modules(declarations.__path__):
        dataset: FileDataset = import_module(f"{declarations.__name__}.{module.name}").DATASET
        if dataset.name in found:
            raise ValueError(f"two modules of {declarations.__name__} declare the dataset {dataset.name!r}")
        require_own_names(dataset, tables)
        tables += build_tables(dataset)
        found[dataset.name] = dataset
    return found


def require_own_names(dataset: FileDataset, others: Iterable[TableSpec]) -> None:
    """A dataset, its tables and their models have names of their own: with two of a name the graph cannot be built.

    Raises:
        ValueError: the dataset, a table of it or a model of one has the name of another.
    """
    tables = list(others)
    owners = {f"table {UNDECLARED}": "the files nobody declared"}
    owners |= {f"dataset {spec.dataset}": spec.dataset for spec in tables}
    owners |= {name: spec.dataset for spec in tables for name in _names(spec)}
    for name in (f"dataset {dataset.name}", *(name for spec in build_tables(dataset) for name in _names(spec))):
        if name in owners:
            raise ValueError(
                f"{dataset.name} cannot be declared: there is a {name} already, of {owners[name]}; give the dataset, "
                "and the landing folder its files come in, another name"
            )
        owners[name] = dataset.name


def _names(spec: TableSpec) -> list[str]:
    views = (f"table {spec.schema}.{aggregate.name}" for aggregate in spec.aggregates)
    return [f"table {spec.qualified}", *views, f"model {spec.model.__name__}"]
