"""Checks of datasets that arrive in files.

Belongs here: questions to the catalog about the run's days. Does not belong here: checks that every table has
(`checks.py`), rules on single rows (`schemas/`).
"""

from collections.abc import Iterable, Sequence

import dagster as dg
import sqlalchemy as sa

from assets_pkg.checks import ledger_closed, schema_as_declared
from assets_pkg.partitions import judged_window
from resources.catalog.file_catalog import FileCatalog
from resources.catalog.files import KnownFile
from resources.landing.names import escaped
from schemas.catalog_files import FILE_METADATA, Status
from schemas.file_dataset import FROZEN_COLUMN, FROZEN_SCHEMA
from schemas.file_tables import FileTables
from schemas.table_spec import TableSpec

MOST_TOLD = 20
"""Files that a check names."""


def file_checks(datasets: Iterable[FileTables]) -> list[dg.AssetChecksDefinition]:
    """The checks of the datasets' tables."""
    found = []
    for tables in datasets:
        found += [ledger_closed(spec) for spec in (tables.staging, tables.series)]
        found += [schema_as_declared(spec) for spec in tables]
        found.append(files_accepted(tables.staging))
    return found


def files_accepted(spec: TableSpec) -> dg.AssetChecksDefinition:
    """Warns of files that were refused as a whole; each lies in `rejected/` with the reason beside it. What a frozen
    dataset or a frozen column refuses is an error."""

    @dg.asset_check(
        asset=dg.AssetKey([spec.schema, spec.name]), name="files_accepted", description=files_accepted.__doc__
    )
    def check(context: dg.AssetCheckExecutionContext, files: FileCatalog) -> dg.AssetCheckResult:
        arrived = files.between(spec.dataset, judged_window(context))
        refused = [file for file in arrived if file.status is Status.REJECTED]
        frozen = _refused_frozen(files, refused)
        return dg.AssetCheckResult(
            passed=not refused,
            severity=dg.AssetCheckSeverity.ERROR if frozen else dg.AssetCheckSeverity.WARN,
            description=_told(len(arrived), len(refused), len(frozen)),
            metadata={
                "files": len(arrived),
                "refused": [escaped(file.file_name) for file in refused[:MOST_TOLD]],
                "refused_frozen": list(map(escaped, frozen[:MOST_TOLD])),
            },
        )

    return check


def _refused_frozen(files: FileCatalog, refused: Sequence[KnownFile]) -> list[str]:
    """Names of those that do not fit what is frozen, by arrival."""
    query = (
        sa.select(FILE_METADATA.c.file_name)
        .where(
            FILE_METADATA.c.id.in_([file.id for file in refused]),
            FILE_METADATA.c.error_rule.in_([FROZEN_SCHEMA, FROZEN_COLUMN]),
        )
        .order_by(FILE_METADATA.c.arrived_at, FILE_METADATA.c.id)
    )
    with files.timescale.connect() as connection:
        return list(connection.execute(query).scalars())


def _told(arrived: int, refused: int, frozen: int) -> str | None:
    if not refused:
        return None
    return f"{refused} of {arrived} file(s) were refused" + (f", {frozen} for what is frozen" if frozen else "")
