"""Series -> wide features and a verdict on each: tsfresh's efficient set, as of the end of UTC days.

Belongs here: which rows make a series, how its features and the verdict are computed, and when they are null. Does not
belong here: which days are asked for (`series_wide_assets.py`), I/O. tsfresh comes with an extra and is imported when
something is computed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from schemas.base import conform, empty
from schemas.series_wide import DeclaredSeries, SeriesWide
from schemas.window import ONE_DAY, Window, day_of, midnight

LEAST_VALUES = 7
"""A series of fewer valid values in the window has no features: most of them would not be defined."""

LEAST_PAIRS = 20
"""Fewer pairs of an entity's day and the day after say nothing of a feature."""

FDR_LEVEL = 0.05

KIND = "value__"
"""What tsfresh puts in front of each feature's name: that of the column it is of."""

SERIES = ["metric", "entity"]
"""Identifies a series of one dataset."""


@dataclass(frozen=True)
class DayFeatures:
    """The features of every series with enough values, as of the end of `day`, indexed by `SERIES`."""

    day: date
    values: pd.DataFrame
    """One column per feature; NaN where it is not defined or not finite."""
    known_at: pd.Series
    """When the newest row of the series' window became known."""


@dataclass(frozen=True)
class Verdict:
    """What a metric's features are worth on one day."""

    table: pd.DataFrame
    """Indexed by feature: `p_value`, `is_selected`."""
    known_at: pd.Timestamp
    """When the newest row behind it became known."""


def long_series(rows: pd.DataFrame, declared: DeclaredSeries) -> pd.DataFrame:
    """Rows of a dataset's series table as one series per entity and metric, valid and finite values only.

    Returns:
        Columns `metric`, `entity` (JSON text), `datetime_utc`, `day` (partition day, midnight UTC), `value` (mean of
        the rows of the same instant), `known_at` (their newest), ordered by series and time.
    """
    value = rows["value"].to_numpy()
    rows = rows[rows["is_valid"].to_numpy() & np.isfinite(value)]
    columns = [*declared.entities, declared.metric, "datetime_utc"]
    merged = rows.groupby(columns, sort=True).agg(value=("value", "mean"), known_at=("known_at", "max")).reset_index()
    entities = merged[list(declared.entities)].drop_duplicates()
    spelled = [json.dumps(one, ensure_ascii=False) for one in entities.astype(object).to_dict("records")]
    merged = merged.merge(entities.assign(entity=pd.array(spelled, dtype="object")), on=list(declared.entities))
    series = merged.rename(columns={declared.metric: "metric"}).assign(
        day=day_of(merged["datetime_utc"], declared.table.closed)
    )
    return series[[*SERIES, "datetime_utc", "day", "value", "known_at"]].sort_values(
        [*SERIES, "datetime_utc"], ignore_index=True
    )


def features_of_day(series: pd.DataFrame, day: date, window_days: int) -> DayFeatures:
    """tsfresh's `EfficientFCParameters` of the `window_days` days up to the end of `day`.

    Steps without a valid value are left out, not filled: a feature by position counts the values there are.

    Args:
        series: what `long_series` gives, of these days at least; other rows are ignored.
    """
    from tsfresh import extract_features
    from tsfresh.feature_extraction import EfficientFCParameters

    window = Window.of_days(day - (window_days - 1) * ONE_DAY, day)
    inside = series[window.holds(series["day"], "left")]
    by_series = inside.groupby(SERIES, sort=True)
    inside = inside[by_series["value"].transform("size") >= LEAST_VALUES]
    by_series = inside.groupby(SERIES, sort=True)
    known_at = by_series["known_at"].max()
    if inside.empty:
        return DayFeatures(day, pd.DataFrame(index=known_at.index), known_at)
    # One feature reads the time from the index: the trend per hour, which gaps do not bend.
    ordered = pd.DataFrame(
        {"id": by_series.ngroup().to_numpy(), "value": inside["value"].to_numpy()},
        index=pd.DatetimeIndex(inside["datetime_utc"]),
    )
    values = extract_features(
        ordered,
        column_id="id",
        column_value="value",
        default_fc_parameters=EfficientFCParameters(),
        n_jobs=0,
        disable_progressbar=True,
    )
    values = values.astype("float64").replace([np.inf, -np.inf], np.nan).rename(columns=lambda name: name[len(KIND) :])
    return DayFeatures(day, values.set_axis(known_at.index), known_at)


def targets_of(series: pd.DataFrame) -> pd.DataFrame:
    """What features are held against: the mean of each series over the day after.

    Args:
        series: what `long_series` gives.

    Returns:
        Indexed by metric, entity and `day`, the midnight at which the day begins that the target follows: `target` and
        `target_known_at`, when the newest value behind it became known.
    """
    before = series.assign(day=series["day"] - ONE_DAY)
    return before.groupby([*SERIES, "day"], sort=True).agg(
        target=("value", "mean"), target_known_at=("known_at", "max")
    )


def verdict_of(metric: str, pool: Sequence[DayFeatures], targets: pd.DataFrame) -> Verdict | None:
    """Which features of the metric go with its mean of the following day, over the entity-days of the pool.

    tsfresh's own selection: per feature Kendall's tau (two-valued ones: Mann-Whitney), over all of them the procedure
    of Benjamini and Yekutieli, which allows features to depend on each other. A feature that is not defined for a few
    entity-days takes its median there. Windows of neighbouring days overlap, so that pairs are not independent and
    p-values come out too small: they rank features, and are no proof.

    Args:
        pool: the days up to the one the verdict is about, which is the last of them.
        targets: what `targets_of` gives, of these days at least; others are ignored.

    Returns:
        None if nothing can be tested: after the last day the metric has no value yet, the pool has fewer than
        `LEAST_PAIRS` pairs, or all targets are equal. A feature with fewer than two different values has no p-value
        and is not selected.
    """
    from tsfresh.feature_selection.relevance import calculate_relevance_table
    from tsfresh.utilities.dataframe_functions import impute

    if not has_target(pool[-1].day, targets, metric):
        return None
    paired = [_pairs(metric, one, targets) for one in pool if metric in one.values.index]
    pairs = pd.concat([features for features, _ in paired], ignore_index=True) if paired else pd.DataFrame()
    if len(pairs) < LEAST_PAIRS:
        return None
    outcome = pd.concat([targets for _, targets in paired], ignore_index=True)
    if outcome["target"].nunique() < 2:
        return None
    table = pd.DataFrame({"p_value": np.nan, "is_selected": False}, index=pairs.columns)
    found = calculate_relevance_table(
        impute(pairs.dropna(axis="columns", how="all").copy()),
        outcome["target"],
        ml_task="regression",
        n_jobs=0,
        fdr_level=FDR_LEVEL,
    )
    table.loc[found.index, "p_value"] = found["p_value"].astype("float64")
    table.loc[found.index, "is_selected"] = found["relevant"].astype(bool)
    return Verdict(table, outcome[["target_known_at", "known_at"]].max().max())


def has_target(day: date, targets: pd.DataFrame, metric: str | None = None) -> bool:
    """Whether any series (of the metric) has a value on the day after."""
    known = targets if metric is None else targets[targets.index.get_level_values("metric") == metric]
    return pd.Timestamp(midnight(day)) in known.index.get_level_values("day")


def _pairs(metric: str, features: DayFeatures, targets: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The features of the entities that have a target, and these targets with the features' `known_at`."""
    of_metric = features.values.loc[metric]
    wanted = pd.MultiIndex.from_product(
        [[metric], of_metric.index, [pd.Timestamp(midnight(features.day))]], names=targets.index.names
    )
    known = targets.reindex(wanted).droplevel(["metric", "day"]).dropna(subset="target")
    return of_metric.loc[known.index], known.assign(known_at=features.known_at.loc[metric].loc[known.index])


def rows_of_day(dataset: str, features: DayFeatures, verdicts: Mapping[str, Verdict | None]) -> pd.DataFrame:
    """The features of a day, with their metrics' verdicts, in long form.

    Returns:
        The model `SeriesWide`, ordered by its key; no rows for a day without features.
    """
    parts = []
    for metric, of_metric in features.values.groupby(level="metric", sort=True):
        verdict = verdicts[str(metric)]
        long = of_metric.droplevel("metric").rename_axis(columns="feature").stack(future_stack=True).rename("value")
        rows = long.reset_index().assign(metric=metric)
        known_at = features.known_at.loc[metric]
        if verdict:
            rows = rows.join(verdict.table, on="feature")
            known_at = known_at.clip(lower=verdict.known_at)
        else:
            rows = rows.assign(p_value=np.nan, is_selected=pd.array([pd.NA] * len(rows), dtype="boolean"))
        parts.append(rows.assign(known_at=known_at.reindex(rows["entity"]).array))
    if not parts:
        return empty(SeriesWide)
    together = pd.concat(parts, ignore_index=True).assign(
        dataset=dataset, datetime_utc=pd.Timestamp(midnight(features.day + ONE_DAY)).as_unit("us")
    )
    return conform(together.sort_values(["entity", "metric", "feature"]), SeriesWide)
