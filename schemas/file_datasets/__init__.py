"""The datasets that arrive in files: each module of this package declares one, as `DATASET`.

`tidemark propose` writes such a module for a folder nobody declared. Does not belong here: anything but declarations.
"""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from schemas.file_dataset import FileDataset


@cache
def file_datasets() -> dict[str, FileDataset]:
    """The declared datasets by name.

    Raises:
        ValueError: two modules declare the same name.
    """
    found: dict[str, FileDataset] = {}
    for module in iter_modules(__path__):
        dataset: FileDataset = import_module(f"{__name__}.{module.name}").DATASET
        if dataset.name in found:
            raise ValueError(f"two modules of {__name__} declare the dataset {dataset.name!r}")
        found[dataset.name] = dataset
    return found
