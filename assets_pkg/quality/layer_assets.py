"""Quality assets of layers: `quality/<dataset>_staging`, `_timeseries` and `_features`, one row per table and day.

Belongs here: in which order a day is profiled and judged, and what the UI shows of it. Does not belong here: formulas
(`dimensions.py`), statements (`resources/profiling/`), pictures (`layer_pictures.py`).
"""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta

import dagster as dg
import pandas as pd
import sqlalchemy as sa

from assets_pkg.dagster_types import table_options
from assets_pkg.drawing import svg_as_markdown
from assets_pkg.partitions import ARRIVALS, OPENAQ_DAILY, event_days, pieces
from assets_pkg.quality.dimensions import quality_rows
from assets_pkg.quality.layer_pictures import CALENDAR_DAYS, layer_picture, layer_table
from resources.catalog import ledger, rule_results
from resources.profiling import profile_store
from resources.profiling.measures import agreements, measures
from resources.profiling.profiles import profiles
from resources.timescale import sql
from resources.timescale.resource import TimescaleResource
from resources.timescale.slices import SliceStream, SliceWrite, TableReader
from schemas.base import conform
from schemas.datasets import OPENAQ
from schemas.quality_dimensions import Judged
from schemas.quality_tables import LayerQuality
from schemas.table_spec import TableSpec
from schemas.tables import QUALITIES, TABLES
from schemas.window import Window, midnight


def build_layer_assets() -> list[dg.AssetsDefinition]:
    """The quality asset of every layer of every dataset."""
    reader = dg.PythonObjectDagsterType(TableReader, name="JudgedTable")
    return [_build(quality, reader) for quality in QUALITIES]


def _build(quality: LayerQuality, reader: dg.DagsterType) -> dg.AssetsDefinition:
    spec = quality.spec
    inputs = {read.table.replace(".", "__"): read.table for read in spec.reads}

    @dg.asset(
        **table_options(spec, dataset=quality.dataset),
        partitions_def=_partitions(spec),
        ins={name: dg.AssetIn(table.split("."), dagster_type=reader) for name, table in inputs.items()},
        description=(
            f"Per table of {quality.layer} and UTC day{' of arrival' if spec.by_arrival else ''}: column profiles, six "
            "dimensions and a score."
        ),
    )
    def layer(context: dg.AssetExecutionContext, timescale: TimescaleResource, **tables: TableReader) -> SliceStream:
        # The tables are looked at where they are; they are inputs so that what was stale is noted before.
        windows = next(iter(tables.values())).windows

        def writes() -> Iterator[SliceWrite]:
            days: list[date] = []
            for piece in pieces(windows):
                rows = pd.concat([judged_rows(timescale, one, piece, spec) for one in quality.judged])
                rows = rows.sort_values(list(spec.key), ignore_index=True)
                yield SliceWrite(rows=rows, window=piece)
                days += _show_days(context, rows)
                context.log.info(f"{spec.qualified}: {len(rows)} table-days, {piece.days()[0]} to {piece.days()[-1]}")
            if days:
                _show_newest(context, timescale, quality, max(days))

        return SliceStream(writes())

    return layer


def _partitions(spec: TableSpec) -> dg.DailyPartitionsDefinition:
    if spec.by_arrival:
        return ARRIVALS
    return OPENAQ_DAILY if spec.dataset == OPENAQ.name else event_days(str(spec.first_day))


def judged_rows(timescale: TimescaleResource, judged: Judged, window: Window, spec: TableSpec) -> pd.DataFrame:
    """The rows of one judged table in the quality table `spec`; its column profiles of the window are kept."""
    table = TABLES[judged.table]
    with timescale.connect() as connection:
        found = profiles(connection, table, window)
        profile_store.keep(connection, table, window, found)
        return quality_rows(
            judged,
            counts=measures(connection, judged, window, TABLES),
            agreements=agreements(connection, judged, window, TABLES),
            accounts=ledger.entries_of(connection, [judged.table], window),
            profiles=found,
            verdicts=rule_results.results_of(connection, judged.table, window),
            model=spec.model,
        )


def _show_days(context: dg.AssetExecutionContext, rows: pd.DataFrame) -> list[date]:
    """Each day's numbers and table in the metadata of its partition; the days."""
    by_day: Mapping[date, pd.DataFrame] = dict(iter(rows.groupby(rows["day"].dt.date)))
    for day, of_day in by_day.items():
        scores = of_day["score_pct"].dropna()
        context.add_asset_metadata(
            {
                "dimensions": dg.MetadataValue.md(layer_table(of_day)),
                **({"score_pct": round(float(scores.mean()), 2)} if len(scores) else {}),
                "rows": int(of_day["rows"].sum()),
            },
            partition_key=day.isoformat(),
        )
    return list(by_day)


def _show_newest(
    context: dg.AssetExecutionContext, timescale: TimescaleResource, quality: LayerQuality, day: date
) -> None:
    """What led up to the newest day, as a picture in its metadata alone."""
    rows = stored(timescale, quality.spec, Window.of_days(day - timedelta(days=CALENDAR_DAYS - 1), day))
    title = f"Quality of {quality.dataset} {quality.layer} up to {day}"
    picture = dg.MetadataValue.md(svg_as_markdown(layer_picture(rows, title, day), title))
    context.add_asset_metadata({"quality": picture}, partition_key=day.isoformat())
    if quality.layer == "features":  # whoever looks at features need not know where their quality is told
        for judged in quality.judged:
            key = dg.AssetKey(judged.table.split("."))
            context.log_event(dg.AssetObservation(key, metadata={"quality": picture}, partition=day.isoformat()))


def stored(timescale: TimescaleResource, spec: TableSpec, window: Window) -> pd.DataFrame:
    """What the quality table holds of the window, with its model's types, by table and day."""
    table = sql.table_of(spec)
    inside = sa.and_(table.c.day >= midnight(window.days()[0]), table.c.day < window.end)
    query = sa.select(table).where(inside).order_by(*(table.c[name] for name in spec.key))
    with timescale.connect() as connection:
        return conform(pd.DataFrame(connection.execute(query).all(), columns=spec.columns), spec.model)
