"""Pictures of a dataset of files for the Dagster UI: what led up to a day, and what became of its rows.

Belongs here: how a day of such a dataset looks. Does not belong here: what is counted (`file_report.py`), the style all
pictures share (`assets_pkg/drawing.py`), Dagster, files.
"""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from assets_pkg.drawing import (
    FAINT,
    INK,
    LEFT,
    LINE_COLOURS,
    RIGHT,
    SOFT,
    blank_figure,
    listed,
    percent,
    plain,
    png,
    soften,
)
from assets_pkg.quality.drawing import IMPUTED, MARKS, MAX_PANELS
from schemas.file_dataset import FileDataset, Metric
from schemas.timeseries import Flag
from schemas.window import ONE_DAY, Window, midnight

SHOWN_DAYS = 28

_COLOUR = LINE_COLOURS[0]
_HEAD_IN, _PANEL_IN, _FOOT_IN = 0.92, 1.25, 0.75


def dataset_picture(series: pd.DataFrame, report: pd.DataFrame, dataset: FileDataset, day: date) -> bytes:
    """A PNG, `drawing.WIDTH_PX` wide: a panel per metric with the `SHOWN_DAYS` UTC days up to `day`, and in words what
    became of the rows about `day`, which is shaded.

    `series` and `report` have rows of the dataset's tables; other days are ignored. A line is the sum over all
    combinations of entities of the values features may use, or their mean where the metric is a mean or the last value.
    A step in which any value is out of range is marked, as is one in which all values follow from the absence of rows.
    Metrics beyond `MAX_PANELS` are named, not drawn.
    """
    window = Window.of_days(day - timedelta(days=SHOWN_DAYS - 1), day)
    series = series[window.holds(series["datetime_utc"], "left")]
    metrics = dataset.metrics[:MAX_PANELS]
    height_in = _HEAD_IN + _PANEL_IN * len(metrics) + _FOOT_IN
    figure = blank_figure(height_in, f"{plain(dataset.name)} up to {day:%Y-%m-%d} (UTC)", _score_in_words(report, day))
    figure.text(LEFT, 1 - 0.58 / height_in, _rows_in_words(report, day), va="top", fontsize=9, color=SOFT)
    if left_out := dataset.metrics[MAX_PANELS:]:
        words = f"not drawn: {listed(plain(metric.name) for metric in left_out)}"
        figure.text(RIGHT, 0.08 / height_in, words, ha="right", fontsize=8.5, color=SOFT)
    edges = {"top": 1 - _HEAD_IN / height_in, "bottom": _FOOT_IN / height_in, "left": LEFT, "right": RIGHT}
    grid = figure.add_gridspec(len(metrics), 1, hspace=0.22, **edges)
    marks: dict[str, Any] = {}
    for row, metric in enumerate(metrics):
        axes = figure.add_subplot(grid[row])
        marks |= _draw(axes, _per_step(series, metric, dataset, window), metric)
        labelled = range(SHOWN_DAYS - 1, -1, -3)
        axes.set_xticks([n + 0.5 for n in labelled], [f"{window.days()[n]:%m-%d}" for n in labelled])
        axes.tick_params(labelbottom=row == len(metrics) - 1)
    axes.set_xlabel("UTC day the rows are about", fontsize=8.5, color=SOFT)
    look: dict[str, Any] = {"loc": "lower left", "frameon": False, "fontsize": 8.5, "labelcolor": INK}
    if marks:
        figure.legend(list(marks.values()), list(marks), ncols=2, bbox_to_anchor=(LEFT, 0), borderaxespad=0.3, **look)
    return png(figure)


def _per_step(series: pd.DataFrame, metric: Metric, dataset: FileDataset, window: Window) -> pd.DataFrame:
    """Per step of the window: `at` (its middle, days from the window's start), `value`, `is_out`, `is_imputed`."""
    rows = series[(series["metric"] == metric.name).to_numpy()]
    is_used = rows["is_valid"] & np.isfinite(rows["value"])
    by_step = pd.DataFrame(
        {
            "step": (rows["datetime_utc"] - window.start) // dataset.cadence,
            "value": rows["value"].where(is_used),
            "is_out": rows["flags"].str.contains(Flag.OUT_OF_RANGE.value, regex=False).astype(bool),
            "is_imputed": rows["is_imputed"],
        }
    ).groupby("step")
    value = by_step["value"].mean() if _is_mean(metric) else by_step["value"].sum(min_count=1)
    steps = pd.RangeIndex((window.end - window.start) // dataset.cadence)
    table = pd.DataFrame({"value": value}).reindex(steps)
    table["is_out"] = by_step["is_out"].any().reindex(steps, fill_value=False)
    table["is_imputed"] = by_step["is_imputed"].all().reindex(steps, fill_value=False)
    table["at"] = (steps + 0.5) * (dataset.cadence / ONE_DAY)
    return table


def _draw(axes: Any, steps: pd.DataFrame, metric: Metric) -> dict[str, Any]:
    """One panel; returns the handles of the marks that occur by what they mean."""
    axes.axvspan(SHOWN_DAYS - 1, SHOWN_DAYS, color=FAINT, lw=0, zorder=0)
    dot = 4.0 if len(steps) <= 4 * SHOWN_DAYS else 1.0
    axes.plot(steps["at"], steps["value"], color=_COLOUR, lw=1.2, marker=".", markersize=dot, zorder=2)
    bottom, top = _scale(steps["value"], metric)
    look: dict[str, Any] = {"ls": "", "markersize": 5.5, "clip_on": False, "zorder": 3, "markeredgewidth": 0.9}
    kinds = {
        f"all {IMPUTED[1]}: no rows": ("is_imputed", IMPUTED[0], "white", _COLOUR),
        f"a value {MARKS[Flag.OUT_OF_RANGE][1]}, left out": ("is_out", MARKS[Flag.OUT_OF_RANGE][0], _COLOUR, INK),
    }
    marks = {}
    for meaning, (column, marker, face, edge) in kinds.items():
        here = steps[steps[column]]
        if len(here):
            at = here["value"].fillna(bottom)
            marks[meaning] = axes.plot(
                here["at"], at, marker=marker, markerfacecolor=face, markeredgecolor=edge, **look
            )[0]
    axes.set_ylabel(f"{plain(metric.name)}\n{plain(metric.unit)}", fontsize=8.5, color=INK)
    axes.yaxis.set_label_coords(-0.07, 0.5)
    over = "mean" if _is_mean(metric) else "sum"
    axes.set_title(f"{over} over all entities", loc="right", fontsize=8, color=SOFT, pad=2)
    axes.set_xlim(0, SHOWN_DAYS)
    axes.set_ylim(bottom, top)
    axes.locator_params(axis="y", nbins=4)
    axes.grid(color=FAINT, lw=0.8)
    soften(axes)
    return marks


def _is_mean(metric: Metric) -> bool:
    return metric.how in ("mean", "last")


def _scale(values: "pd.Series[float]", metric: Metric) -> tuple[float, float]:
    """Lower and upper end of a panel: all values, and of sums also zero."""
    drawn = [*values.dropna(), *([] if _is_mean(metric) and values.notna().any() else [0.0])]
    bottom, top = min(drawn), max(drawn)
    span = (top - bottom) or abs(top) or 1.0
    return (bottom if bottom == 0 else bottom - 0.1 * span), top + 0.1 * span


def _score_in_words(report: pd.DataFrame, day: date) -> str:
    """The day's score and its parts, the ledger, what the series rest on."""
    if (rows := report[report["day"] == midnight(day)]).empty:
        return "no rows about this day"
    row = rows.iloc[0]
    parts = ", ".join(f"{name} {percent(row[f'{name}_pct'])}" for name in ("completeness", "validity", "uniqueness"))
    ledger = f"ledger {'closed' if row['is_ledger_closed'] else 'NOT closed'}"
    return f"score {percent(row['score_pct'])}: {parts}; {ledger}; {row['entities']:,} entities, {row['files']:,} files"


def _rows_in_words(report: pd.DataFrame, day: date) -> str:
    """What became of the rows about the day."""
    if (rows := report[report["day"] == midnight(day)]).empty:
        return ""
    row = rows.iloc[0]
    classes = ("loaded", "duplicate", "quarantined", "filtered")
    counts = ", ".join(f"{row[f'rows_{name}']:,} {name}" for name in classes)
    return f"{row['rows_read']:,} rows read: {counts}"
