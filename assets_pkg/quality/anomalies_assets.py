"""Assets of anomalies: what is odd in the series of a dataset, per day.

Belongs here: which rows and incidents a day is judged by, and what the UI shows of it. Does not belong here: how an
anomaly is found (`anomalies.py`), how a picture is drawn (`anomalies_pictures.py`).
"""

from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg
import pandas as pd

from assets_pkg.dagster_types import table_options
from assets_pkg.drawing import as_markdown
from assets_pkg.partitions import pieces
from assets_pkg.quality.anomalies import anomalies_of
from assets_pkg.quality.anomalies_grid import Incident
from assets_pkg.quality.anomalies_pictures import anomalies_picture, anomalies_table, shown_before
from assets_pkg.quality.assets import PICTURES_PER_RUN
from resources.catalog.resource import CatalogResource
from resources.timescale.slices import SliceStream, SliceWrite, TableReader
from schemas.anomalies import Kind, WatchedSeries
from schemas.table_spec import TableSpec
from schemas.window import Window


def build_anomalies_asset(
    watched: WatchedSeries, table: TableSpec, days: dg.DailyPartitionsDefinition
) -> dg.AssetsDefinition:
    """The asset of what is odd in the series; `days` are those of its dataset."""

    @dg.asset(
        **table_options(table, dataset=table.dataset),
        partitions_def=days,
        ins={"series": dg.AssetIn([watched.table.schema, watched.table.name])},
        description=(
            "Points, values off the daily course, level shifts, odd combinations, gaps and stuck runs of every series, "
            "judged against the weeks before. Incidents and what was expected: tidemark incident."
        ),
    )
    def anomalies(context: dg.AssetExecutionContext, series: TableReader, catalog: CatalogResource) -> SliceStream:
        def writes() -> Iterator[SliceWrite]:
            incidents = [_incident(row) for row in catalog.incidents(table.dataset)]
            drawn = {day for window in series.windows for day in window.days()[-PICTURES_PER_RUN:]}
            for piece in pieces(series.windows):
                rows = series.read(piece.widened(before=watched.reach))
                found = anomalies_of(rows, watched, piece, incidents)
                yield SliceWrite(rows=found, window=piece)
                for day in piece.days():
                    _show(context, watched, rows, found, day, with_picture=day in drawn)
                days = piece.days()
                context.log.info(f"{table.qualified}, {days[0]} to {days[-1]}: {len(found)} anomalies")

        return SliceStream(writes())

    return anomalies


def _incident(row: object) -> Incident:
    names = ("incident_id", "entity", "metric", "kind", "started_at", "ended_at", "is_expected")
    return Incident(**{name: getattr(row, name) for name in names})


def _show(
    context: dg.AssetExecutionContext,
    watched: WatchedSeries,
    series: pd.DataFrame,
    found: pd.DataFrame,
    day: date,
    *,
    with_picture: bool,
) -> None:
    """The day's picture and table, in the metadata of its partition alone; a day without anomalies has their number."""
    rows = found[found["day"].dt.date == day]
    shown: dict[str, object] = {"anomalies": len(rows), "unexpected": int((~rows["is_expected"]).sum())}
    shown |= {kind.value: count for kind in Kind if (count := int((rows["kind"] == kind.value).sum()))}
    if len(rows):
        shown["found"] = dg.MetadataValue.md(anomalies_table(rows))
        if with_picture:
            window = Window.of_days(day, day).widened(before=shown_before(watched) - timedelta(days=1))
            part = series[window.holds(series["datetime_utc"], watched.table.closed)]
            picture = anomalies_picture(part, rows, watched, window)
            shown["picture"] = dg.MetadataValue.md(as_markdown(picture, f"Anomalies of {watched.table.name} on {day}"))
    context.add_asset_metadata(shown, partition_key=day.isoformat())
