"""Quality assets: what was read, what became of it, and how good it is.

Belongs here: which tables are judged in which report, and what the UI shows of it. Does not belong here: how a score is
computed (`transforms.py`), how a picture is drawn (`pictures.py`).
"""

from collections.abc import Iterator
from datetime import date

import dagster as dg
import pandas as pd

from assets_pkg.dagster_types import table_options
from assets_pkg.drawing import as_markdown
from assets_pkg.partitions import OPENAQ_DAILY, pieces
from assets_pkg.quality.pictures import day_picture, report_table, score_picture
from assets_pkg.quality.transforms import ACTIVE_LOOK_BACK, daily_report
from resources.catalog.resource import CatalogResource
from resources.timescale.slices import SliceStream, SliceWrite, TableReader
from schemas.datasets import OPENAQ
from schemas.tables import AIR_QUALITY, AIR_QUALITY_REPORT, OPENAQ_MEASUREMENTS

PICTURES_PER_RUN = 62
"""A picture takes a third of a second and up to 55 KB of Dagster's event log: of a longer range only the newest days
get one; materialising a day again draws it."""


@dg.asset(
    **table_options(AIR_QUALITY_REPORT, dataset=OPENAQ.name),
    partitions_def=OPENAQ_DAILY,
    ins={"air_quality": dg.AssetIn(["timeseries", "air_quality"])},
)
def air_quality_report(
    context: dg.AssetExecutionContext, air_quality: TableReader, catalog: CatalogResource
) -> SliceStream:
    """Per day and location: the row ledger, completeness, duplicates, flags by kind, freshness and a score.

    The metadata of each day's partition holds a picture of its series and a table of its locations; where a run covers
    several days, that of the newest one also holds a picture of the scores of all of them.
    """

    def writes() -> Iterator[SliceWrite]:
        drawn = {day for window in air_quality.windows for day in window.days()[-PICTURES_PER_RUN:]}
        reports = []
        for piece in pieces(air_quality.windows):
            series = air_quality.read(piece.widened(before=ACTIVE_LOOK_BACK))
            ledger = catalog.accounts([OPENAQ_MEASUREMENTS, AIR_QUALITY], piece)
            accounts = ledger.rename(columns={"unit": "location_id"}).astype({"location_id": "int64"})
            report = daily_report(series, accounts, window=piece)
            reports.append(report)
            yield SliceWrite(rows=report, window=piece)
            for day in piece.days():
                _show(context, series, report, day, with_picture=day in drawn)
            context.log.info(f"quality of {piece.days()[0]} to {piece.days()[-1]}: {len(report)} location-days")
        _show_scores(context, pd.concat(reports))

    return SliceStream(writes())


def _show(
    context: dg.AssetExecutionContext, series: pd.DataFrame, report: pd.DataFrame, day: date, *, with_picture: bool
) -> None:
    """The day's picture, table and numbers, in the metadata of its partition alone."""
    rows = report[report["day"].dt.date == day]
    if rows.empty:
        return
    picture = {}
    if with_picture:
        picture["picture"] = dg.MetadataValue.md(as_markdown(day_picture(series, report, day), f"Air quality on {day}"))
    context.add_asset_metadata(
        {
            **picture,
            "locations": dg.MetadataValue.md(report_table(rows)),
            "score_pct": round(float(rows["score_pct"].mean()), 2),
            "rows_read": int(rows["rows_read"].sum()),
            "rows_quarantined": int(rows["rows_quarantined"].sum()),
        },
        partition_key=day.isoformat(),
    )


def _show_scores(context: dg.AssetExecutionContext, report: pd.DataFrame) -> None:
    """How the scores went over the days of the run, in the metadata of the newest of them."""
    days = sorted(set(report["day"].dt.date))
    if len(days) > 1:
        title = f"Scores from {days[0]} to {days[-1]}"
        picture = dg.MetadataValue.md(as_markdown(score_picture(report), title))
        context.add_asset_metadata({"scores": picture}, partition_key=days[-1].isoformat())
