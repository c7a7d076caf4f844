"""`tidemark propose`: what the files of an undeclared dataset look like, written down as its declaration.

Belongs here: asking the catalog, writing the module, saying what to look at. Does not belong here: choosing and
spelling (`assets_pkg/proposal.py`).
"""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from rich.syntax import Syntax

from assets_pkg.commands.tables import terminal
from assets_pkg.proposal import Observed, declaration_source
from resources.catalog import registry
from resources.errors import ConfigurationError
from resources.wiring import PROJECT_ROOT, Settings, build_timescale
from schemas.catalog_files import COLUMN_METADATA, FILE_METADATA
from schemas.declared_files import file_datasets, require_own_names
from schemas.tables import TABLES

FOLDER = PROJECT_ROOT / "schemas" / "file_datasets"


def propose(chosen: Settings, *, dataset_name: str, folder: Path | None) -> int:
    """Writes `<folder>/<dataset>.py` from what was found in the dataset's files; never over a module that is there.

    Raises:
        ConfigurationError: the dataset has no files, is declared already, has no column a series could be made of, or
            would have a table that is there already.
    """
    target = (folder or FOLDER) / f"{dataset_name}.py"
    if dataset_name in file_datasets():
        raise ConfigurationError(f"{dataset_name} is declared already; change its declaration by hand")
    if target.exists():
        raise ConfigurationError(f"{target} is there already; move it away first")
    observed = _observed(chosen, dataset_name)
    source, remarks = declaration_source(dataset_name, observed)
    _require_loadable(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(source, encoding="utf-8")
    console = terminal()
    console.print(Syntax(source, "python", word_wrap=True))
    for remark in remarks:
        console.print(f"look at: {remark}", highlight=False, markup=False)
    console.print(
        f"{target} is written. Check it, reload the code location in the UI (or start tidemark up anew), and the graph "
        f"shows the tables of {dataset_name}. Then materialise the days of arrival of its staging table once.",
        highlight=False,
    )
    return 0


def _require_loadable(source: str) -> None:
    """Tries the module before it is written: once it is there, one that cannot be loaded takes the whole graph down."""
    module: dict[str, Any] = {"__name__": "proposed"}
    try:
        exec(compile(source, "proposed.py", "exec"), module)
        require_own_names(module["DATASET"], TABLES.values())
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def _observed(chosen: Settings, dataset_name: str) -> list[Observed]:
    """The newest schema's columns with what the newest files say of them."""
    with build_timescale(chosen).connect() as connection:
        version = registry.current(connection, dataset_name)
        if version is None:
            raise ConfigurationError(
                f"no file of {dataset_name!r} was loaded yet: drop one into its landing folder while the stack runs"
            )
        table = COLUMN_METADATA
        query = (
            sa.select(
                table.c.column_name,
                sa.func.max(table.c.unique_count),
                sa.func.sum(table.c.null_count),
                sa.func.sum(FILE_METADATA.c.row_count),
                sa.func.min(table.c.confidence),
            )
            .join(FILE_METADATA, FILE_METADATA.c.id == table.c.file_metadata_id)
            .where(FILE_METADATA.c.dataset == dataset_name)
            .group_by(table.c.column_name)
        )
        facts = {row[0]: row[1:] for row in connection.execute(query)}
        whole = sa.select(sa.func.sum(FILE_METADATA.c.row_count)).where(FILE_METADATA.c.dataset == dataset_name)
        total = int(connection.execute(whole).scalar_one() or 0)
    found = []
    for column in version.columns:
        distinct, nulls, rows, confidence = facts.get(column.name, (0, 0, 0, None))
        found.append(
            Observed(
                column=column,
                distinct=int(distinct or 0),
                # A file without the column has it empty.
                nulls=int(nulls or 0) + total - int(rows or 0),
                rows=total,
                confidence=confidence,
            )
        )
    return found
