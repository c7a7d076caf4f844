"""Quality assets of datasets that arrive in files: per day that rows are about, what became of them.

Belongs here: which tables are judged, and what the UI shows of it. Does not belong here: how a score is computed
(`file_report.py`), how a picture is drawn (`file_pictures.py`).
"""

from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg
import pandas as pd

from assets_pkg.dagster_types import table_options
from assets_pkg.drawing import as_markdown
from assets_pkg.partitions import event_days, pieces
from assets_pkg.quality.assets import PICTURES_PER_RUN
from assets_pkg.quality.file_pictures import dataset_picture
from assets_pkg.quality.file_report import report_of
from resources.catalog.resource import CatalogResource
from resources.timescale.slices import SliceStream, SliceWrite, TableReader
from schemas.file_dataset import FileDataset
from schemas.file_tables import FileTables

SHOWN = timedelta(days=27)
"""So long before a day its picture begins."""


def build_report_asset(dataset: FileDataset, tables: FileTables) -> dg.AssetsDefinition:
    """The asset of the dataset's daily report."""

    @dg.asset(
        **table_options(tables.report, dataset=dataset.name),
        partitions_def=event_days(dataset.first_day),
        ins={"series": dg.AssetIn([tables.series.schema, tables.series.name])},
        description="Per day that rows are about: the row ledger, completeness, flags, delay and a score.",
    )
    def report(context: dg.AssetExecutionContext, series: TableReader, catalog: CatalogResource) -> SliceStream:
        def writes() -> Iterator[SliceWrite]:
            drawn = {day for window in series.windows for day in window.days()[-PICTURES_PER_RUN:]}
            for piece in pieces(series.windows):
                rows = series.read(piece.widened(before=SHOWN))
                judged = report_of(rows, catalog.accounts([tables.series], piece), dataset, piece)
                yield SliceWrite(rows=judged, window=piece)
                for day in piece.days():
                    _show(context, dataset, rows, judged, day, with_picture=day in drawn)
                context.log.info(f"quality of {piece.days()[0]} to {piece.days()[-1]}: {len(judged)} days with rows")

        return SliceStream(writes())

    return report


def _show(
    context: dg.AssetExecutionContext,
    dataset: FileDataset,
    series: pd.DataFrame,
    report: pd.DataFrame,
    day: date,
    *,
    with_picture: bool,
) -> None:
    """The day's picture and numbers, in the metadata of its partition alone."""
    rows = report[report["day"].dt.date == day]
    if rows.empty:
        return
    picture = {}
    if with_picture:
        drawn = as_markdown(dataset_picture(series, report, dataset, day), f"{dataset.name} up to {day}")
        picture["picture"] = dg.MetadataValue.md(drawn)
    numbers = rows.iloc[0]
    context.add_asset_metadata(
        {
            **picture,
            "score_pct": round(float(numbers["score_pct"]), 2),
            **{name: int(numbers[name]) for name in ("rows_read", "rows_quarantined", "files", "entities")},
        },
        partition_key=day.isoformat(),
    )
