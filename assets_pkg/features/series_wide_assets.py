"""The asset of wide series features: the series of any dataset become hundreds of statistics, when somebody asks.

Belongs here: which series of which days feed which rows, and what the UI shows of them. Does not belong here: features
and verdicts (`series_wide.py`).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date

import dagster as dg
import pandas as pd
from pydantic import Field

from assets_pkg.dagster_types import table_options
from assets_pkg.features.series_wide import (
    DayFeatures,
    features_of_day,
    has_target,
    long_series,
    rows_of_day,
    targets_of,
    verdict_of,
)
from assets_pkg.partitions import event_days, pieces, window_of
from resources.errors import ConfigurationError
from resources.timescale.slices import SliceStream, SliceWrite, TableReader
from schemas.series_wide import WINDOW_DAYS, DeclaredSeries, look_back
from schemas.tables import SERIES, SERIES_WIDE
from schemas.window import ONE_DAY, Window

EXTRA = "tidemark[tsfresh]"

MOST_SHOWN = 10
"""Selected features per metric in the metadata of a day."""


class SeriesWideConfig(dg.Config):
    """What a run computes."""

    datasets: list[str] = Field([], description=f"Datasets whose series to take, of {', '.join(SERIES)}; none: all.")
    window_days: int = Field(
        WINDOW_DAYS, ge=2, le=366, description="Days that a feature looks back and that a verdict on it pools."
    )


def build_series_wide_asset() -> dg.AssetsDefinition:
    """The asset over all declared series. Only a run by hand fills it: it costs a tenth of a second per series and day,
    of the days in front of the first one, too."""
    days = dg.TimeWindowPartitionMapping(
        start_offset=-(look_back(WINDOW_DAYS) // ONE_DAY), end_offset=1, allow_nonexistent_upstream_partitions=True
    )
    reader = dg.PythonObjectDagsterType(TableReader, name="SeriesReader")
    options = table_options(SERIES_WIDE, dataset=SERIES_WIDE.dataset)

    @dg.asset(
        **options | {"kinds": {*options["kinds"], "tsfresh"}},
        partitions_def=event_days(str(SERIES_WIDE.first_day)),
        ins={
            name: dg.AssetIn(
                [declared.table.schema, declared.table.name],
                partition_mapping=days,
                dagster_type=reader,
            )
            for name, declared in SERIES.items()
        },
        description=(
            "tsfresh's efficient set per series and day, with the verdict whether a feature goes with the metric's "
            f"mean of the following day. On demand only; needs the extra {EXTRA}."
        ),
    )
    def series_wide(context: dg.AssetExecutionContext, config: SeriesWideConfig, **readers: TableReader) -> SliceStream:
        return SliceStream(_writes(context, config, readers))

    return series_wide


def _writes(
    context: dg.AssetExecutionContext, config: SeriesWideConfig, readers: Mapping[str, TableReader]
) -> Iterator[SliceWrite]:
    """Per dataset and day, one slice."""
    _require_extra()
    window = window_of(context)
    by_day: dict[date, list[pd.DataFrame]] = defaultdict(list)
    for name in _chosen(config.datasets):
        for day, rows in _days_of(context, SERIES[name], readers[name], window, config.window_days):
            yield SliceWrite(rows=rows, window=Window.of_days(day, day), units=(name,))
            by_day[day].append(_summary(rows))
    for day, summaries in by_day.items():
        _show(context, day, pd.concat(summaries, ignore_index=True))


def _days_of(
    context: dg.AssetExecutionContext, declared: DeclaredSeries, reader: TableReader, window: Window, window_days: int
) -> Iterator[tuple[date, pd.DataFrame]]:
    """The rows of each day of the window. The features of a day are computed once, however many verdicts pool them."""
    known: dict[date, DayFeatures] = {}
    for piece in pieces([window]):
        rows = reader.read(piece.widened(before=look_back(window_days), after=ONE_DAY))
        series = long_series(rows, declared)
        targets = targets_of(series)
        for day in piece.days():
            # Without a day after it there is no verdict, and so no need of the days before.
            before = window_days - 1 if has_target(day, targets) else 0
            pool = Window.of_days(day - before * ONE_DAY, day).days()
            known = {one: found for one, found in known.items() if one > day - window_days * ONE_DAY}
            for one in pool:
                if one not in known:
                    known[one] = features_of_day(series, one, window_days)
                    count, width = known[one].values.shape
                    context.log.info(f"{declared.dataset}: {count} series x {width} features of {one}")
            metrics = known[day].values.index.unique("metric")
            verdicts = {metric: verdict_of(metric, [known[one] for one in pool], targets) for metric in metrics}
            yield day, rows_of_day(declared.dataset, known[day], verdicts)


def _chosen(datasets: Sequence[str]) -> list[str]:
    """
    Raises:
        ConfigurationError: one of them has no series.
    """
    if unknown := sorted(set(datasets) - set(SERIES)):
        raise ConfigurationError(f"no series of {', '.join(unknown)} are declared: there are {', '.join(SERIES)}")
    return list(dict.fromkeys(datasets)) or list(SERIES)


def _require_extra() -> None:
    """
    Raises:
        ConfigurationError: the extra is not installed.
    """
    try:
        import tsfresh  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"wide series features need a package that is not installed ({error.name}): pip install '{EXTRA}', in this "
            "folder pip install -e '.[tsfresh]'"
        ) from error


def _summary(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per metric and feature: in how many series it is, and the verdict."""
    by = ["dataset", "metric", "feature"]
    told = {"series": ("entity", "size"), "p_value": ("p_value", "first"), "is_selected": ("is_selected", "first")}
    return rows.groupby(by, sort=True).agg(**told).reset_index()


def _show(context: dg.AssetExecutionContext, day: date, features: pd.DataFrame) -> None:
    """The day's counts and best features, in the metadata of its partition alone."""
    selected = features[features["is_selected"].fillna(False).astype(bool)]
    best = selected.sort_values(["dataset", "metric", "p_value", "feature"]).groupby(["dataset", "metric"])
    shown = best.head(MOST_SHOWN)[["dataset", "metric", "feature", "p_value"]]
    context.add_asset_metadata(
        {
            "series": int(features.groupby(["dataset", "metric"])["series"].max().sum()),
            "features_per_series": int(features["feature"].nunique()),
            "features_tested": int(features["p_value"].notna().sum()),
            "features_selected": len(selected),
            "top_features": dg.MetadataValue.md(
                shown.to_markdown(index=False, floatfmt=".2g") if len(shown) else "nothing selected"
            ),
        },
        partition_key=day.isoformat(),
    )
