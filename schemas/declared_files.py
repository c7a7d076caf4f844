"""The datasets of files that are declared: every module of `schemas/file_datasets/` is one.

Belongs here: finding the declarations. Does not belong here: the declarations, what follows from one (`file_tables`).
"""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from schemas import file_datasets as declarations
from schemas.file_dataset import FileDataset


@cache
def file_datasets() -> dict[str, FileDataset]:
    """The declared datasets by name. `tidemark propose` writes a module for a folder nobody declared.

    Raises:
        ValueError: two modules declare the same name.
    """
    found: dict[str, FileDataset] = {}
    for module in iter_modules(declarations.__path__):
        dataset: FileDataset = import_module(f"{declarations.__name__}.{module.name}").DATASET
        if dataset.name in found:
            raise ValueError(f"two modules of {declarations.__name__} declare the dataset {dataset.name!r}")
        found[dataset.name] = dataset
    return found
