"""Timeseries assets of datasets that arrive in files: staged rows become series by the time they are about.

Belongs here: which rows become which window. Does not belong here: the rules (`file_series.py`).
"""

from collections.abc import Collection, Iterator

import dagster as dg
import pandas as pd

from assets_pkg.dagster_types import table_options
from assets_pkg.partitions import event_days, pieces, window_of
from assets_pkg.timeseries.file_series import series_of
from resources.catalog.file_catalog import FileCatalog
from resources.catalog.io_manager import LedgerWrite
from resources.timescale.slices import SliceStream, TableReader
from schemas.file_dataset import FileDataset
from schemas.file_tables import FileTables, zeros_look_back


def build_series_asset(dataset: FileDataset, tables: FileTables) -> dg.AssetsDefinition:
    """The asset of the dataset's series. Any file may be about any day, so it depends on all days of arrival."""
    active_for = zeros_look_back(dataset)
    metrics = ", ".join(f"{metric.name} ({metric.unit})" for metric in dataset.metrics)

    @dg.asset(
        **table_options(tables.series, dataset=dataset.name),
        partitions_def=event_days(dataset.first_day),
        ins={"staged": dg.AssetIn(_key(tables), partition_mapping=dg.AllPartitionMapping())},
        description=f"{metrics} per {' and '.join(dataset.entities)}: of rows with the same key the newest counts.",
    )
    def series(context: dg.AssetExecutionContext, staged: TableReader, files: FileCatalog) -> SliceStream:
        def writes() -> Iterator[LedgerWrite]:
            superseded = files.superseded(dataset.name)
            for piece in pieces([window_of(context)]):
                rows = staged.read_about(piece.widened(before=active_for))
                found = series_of(rows, dataset, piece, superseded, _active(rows, dataset, superseded))
                yield LedgerWrite(rows=found.rows, window=piece, accounts=found.accounts, rejects=found.rejects)
                context.log.info(f"series of {piece.days()[0]} to {piece.days()[-1]}: {len(found.rows)} steps")

        return SliceStream(writes())

    return series


def _active(rows: pd.DataFrame, dataset: FileDataset, superseded: Collection[int]) -> pd.DataFrame:
    """When which entities had rows: their columns and `day`."""
    counted = rows.loc[~rows["source_id"].isin(list(superseded))] if dataset.on_new_version == "replace" else rows
    return counted[list(dataset.entities)].assign(day=counted[dataset.event_time]).drop_duplicates()


def _key(tables: FileTables) -> list[str]:
    return [tables.staging.schema, tables.staging.name]
