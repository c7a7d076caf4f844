"""Staging assets of datasets that arrive in files, declared or not.

Belongs here: which files a run takes, and what Dagster is told of them. Does not belong here: the way of a file
(`intake.py`).
"""

from collections import Counter
from collections.abc import Generator

import dagster as dg

from assets_pkg.dagster_types import RETRY, table_options
from assets_pkg.intake.fates import Fate
from assets_pkg.intake.intake import Intake
from assets_pkg.partitions import ARRIVALS, window_of
from assets_pkg.runs import asset_key
from resources.catalog.file_catalog import FileCatalog
from resources.catalog.file_loads import FileLoad, write
from resources.catalog.runs import Described
from resources.errors import SourceUnavailable, TerminalError, TidemarkError, TransientError
from resources.landing.names import escaped
from resources.landing.preparation import Declaration
from resources.landing.resource import LandingResource
from resources.timescale.resource import TimescaleResource
from resources.timescale.slices import SliceStream, hand_over
from schemas.declared_files import UNDECLARED, file_datasets
from schemas.file_dataset import FileDataset
from schemas.file_tables import FileTables, undeclared_table

POOL = "files_{}"
"""One pool per dataset, so that a large file of one does not hold up the others."""
MOST_TOLD = 100
"""Files that the metadata of one day lists; the rest is in the catalog."""


class Files(dg.Config):
    """Which files to take."""

    keys: list[str] = []
    """Versions of files as the sensor saw them; empty: all that stand still, and those of the days are read again."""
    ids: list[int] = []
    """Files of `catalog.file_metadata` to read again, and no others."""


class UndeclaredFiles(Files):
    """Which files of which dataset to take."""

    dataset: str = ""
    """Empty: of all datasets nobody declared."""


def build_staging_asset(dataset: FileDataset, tables: FileTables) -> dg.AssetsDefinition:
    """The asset that loads the dataset's files, partitioned by the day they arrived."""

    @dg.asset(
        **table_options(tables.staging, dataset=dataset.name),
        partitions_def=ARRIVALS,
        pool=POOL.format(dataset.name),
        description=(
            f"{dataset.description} Rows as they were in the files, typed, with file and line; one file is loaded "
            "whole in one transaction, or refused with a reason. By the UTC day of arrival."
        ),
    )
    def staged(
        context: dg.AssetExecutionContext, config: Files, landing: LandingResource, files: FileCatalog
    ) -> SliceStream:
        intake = Intake(
            landing=landing,
            files=files,
            declaration=Declaration(name=dataset.name, spec=tables.staging, dataset=dataset),
            described=described(dataset, tables),
            window=window_of(context),
            run_id=context.run.run_id,
            log=context.log,
            keys=config.keys,
            ids=config.ids,
        )
        return SliceStream(_told(context, intake))

    return staged


def described(dataset: FileDataset, tables: FileTables) -> Described:
    """The dataset in the catalog's words."""
    return Described(
        dataset=dataset.name,
        description=dataset.description,
        source_kind="files",
        mode=dataset.mode.value,
        tables=[spec.qualified for spec in tables],
        is_declared=True,
    )


@dg.asset(
    key=asset_key(UNDECLARED),
    partitions_def=ARRIVALS,
    pool=POOL.format("undeclared"),
    group_name="files",
    kinds={"timescaledb", "duckdb"},
    tags={"layer": "staging"},
    owners=["team:data-engineering"],
    backfill_policy=dg.BackfillPolicy.single_run(),
    retry_policy=RETRY,
)
def undeclared_files(
    context: dg.AssetExecutionContext,
    config: UndeclaredFiles,
    landing: LandingResource,
    files: FileCatalog,
    timescale: TimescaleResource,
) -> None:
    """Files of folders nobody declared: each folder becomes a table `staging.<folder>_files` with the columns and types
    found in its files. `tidemark propose <folder>` writes the declaration that makes it a full dataset."""
    window = window_of(context)
    names = [config.dataset] if config.dataset else sorted({*landing.zone().datasets(), *files.datasets()})
    failures: list[TidemarkError] = []
    for name in names:
        if name in file_datasets():
            continue
        intake = Intake(
            landing=landing,
            files=files,
            declaration=Declaration(name=name, spec=None, dataset=None),
            described=Described(
                dataset=name,
                description=f"Files dropped in the folder {name}, which nobody declared.",
                source_kind="files",
                mode="evolve",
                tables=[undeclared_table(name, []).qualified],
                is_declared=False,
            ),
            window=window,
            run_id=context.run.run_id,
            log=context.log,
            keys=config.keys,
            ids=config.ids,
        )
        try:
            hand_over(_told(context, intake), lambda load: write(timescale, load, run_id=context.run.run_id))
        except (TerminalError, SourceUnavailable) as error:
            # What ails the files of one folder does not hold up the others.
            context.log.warning(f"{name}: {error}")
            failures.append(error)
    if failures:
        may_pass = any(isinstance(error, TransientError) for error in failures)
        raise dg.Failure("; ".join(map(str, failures)), allow_retries=may_pass) from failures[0]


def _told(context: dg.AssetExecutionContext, intake: Intake) -> Generator[FileLoad]:
    """The loads, and at their end, however it comes, what became of each file in the metadata of its day."""
    try:
        yield from intake.loads()
    finally:
        for day in sorted({fate.day for fate in intake.fates}):
            _tell(context, [fate for fate in intake.fates if fate.day == day], day.isoformat())


def _tell(context: dg.AssetExecutionContext, fates: list[Fate], partition: str) -> None:
    counts = Counter(fate.fate for fate in fates)
    days = sorted({day for fate in fates for day in fate.event_days})
    about = f"{days[0]} to {days[-1]}, {len(days)} day(s)" if days else "none"
    context.add_asset_metadata(
        {
            "files": dg.MetadataValue.md(_table(fates)),
            "about": about,
            **{f"files_{fate}": count for fate, count in sorted(counts.items())},
        },
        partition_key=partition,
    )


def _table(fates: list[Fate]) -> str:
    lines = [
        "| file | fate | lines | rows | put aside | no rows | about | |",
        "|---|---|---:|---:|---:|---:|---|---|",
    ]
    for fate in fates[:MOST_TOLD]:
        numbers = ["" if n is None else f"{n:,}" for n in (fate.lines, fate.rows, fate.rejected, fate.skipped)]
        days = f"{fate.event_days[0]} … {fate.event_days[-1]}" if fate.event_days else ""
        cells = [_cell(fate.name), fate.fate, *numbers, days, _cell(fate.detail[:300])]
        lines.append(f"| {' | '.join(cells)} |")
    if len(fates) > MOST_TOLD:
        lines.append(f"\nand {len(fates) - MOST_TOLD} more, see `catalog.file_metadata`")
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Text from outside as a cell of a Markdown table: it shows as it is and formats nothing."""
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>()#+-!|~" else char for char in escaped(text))
