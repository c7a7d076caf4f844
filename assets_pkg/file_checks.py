"""Checks of datasets that arrive in files.

Belongs here: questions to the catalog about the run's days. Does not belong here: checks that every table has
(`checks.py`), rules on single rows (`schemas/`).
"""

from collections.abc import Iterable

import dagster as dg

from assets_pkg.checks import ledger_closed, schema_as_declared
from assets_pkg.partitions import judged_window
from resources.catalog.file_catalog import FileCatalog
from resources.landing.names import escaped
from schemas.catalog_files import Status
from schemas.file_tables import FileTables
from schemas.table_spec import TableSpec


def file_checks(datasets: Iterable[FileTables]) -> list[dg.AssetChecksDefinition]:
    """The checks of the datasets' tables."""
    found = []
    for tables in datasets:
        found += [ledger_closed(spec) for spec in (tables.staging, tables.series)]
        found += [schema_as_declared(spec) for spec in tables]
        found.append(files_accepted(tables.staging))
    return found


def files_accepted(spec: TableSpec) -> dg.AssetChecksDefinition:
    """Warns of files that were refused as a whole; each lies in `rejected/` with the reason beside it."""

    @dg.asset_check(
        asset=dg.AssetKey([spec.schema, spec.name]), name="files_accepted", description=files_accepted.__doc__
    )
    def check(context: dg.AssetCheckExecutionContext, files: FileCatalog) -> dg.AssetCheckResult:
        arrived = files.between(spec.dataset, judged_window(context))
        refused = [file for file in arrived if file.status is Status.REJECTED]
        return dg.AssetCheckResult(
            passed=not refused,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{len(refused)} of {len(arrived)} file(s) were refused" if refused else None,
            metadata={"files": len(arrived), "refused": [escaped(file.file_name) for file in refused[:20]]},
        )

    return check
