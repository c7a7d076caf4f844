"""The picture and the table of a day's anomalies for the Dagster UI.

Belongs here: how series with anomalies look. Does not belong here: what an anomaly is (`anomalies.py`), the style all
pictures share (`assets_pkg/drawing.py`), Dagster. Same input, same bytes.
"""

import json
from datetime import timedelta
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
    escaped,
    listed,
    plain,
    png,
    soften,
)
from assets_pkg.quality.drawing import MARKS, MAX_PANELS
from schemas.anomalies import Kind, WatchedSeries
from schemas.window import ONE_DAY, Window

MOST_ROWS = 30
KIND_COLOURS = dict(zip(Kind, LINE_COLOURS[5:] + LINE_COLOURS[1:5] + ("#7A7A7A",), strict=True))
"""Kinds are told apart by colour and named in the legend."""

_HEAD_IN, _PANEL_IN, _FOOT_IN = 0.75, 1.25, 0.85


def shown_before(watched: WatchedSeries) -> timedelta:
    """The days a picture shows, the judged one included: a week, of daily series four."""
    return timedelta(days=28 if watched.cadence >= ONE_DAY else 7)


def anomalies_picture(series: pd.DataFrame, found: pd.DataFrame, watched: WatchedSeries, window: Window) -> bytes:
    """A PNG: the series with anomalies on the last day of the window, those with the highest scores first, a panel each
    with the days before it. Anomalies are shaded in the colour of their kind, faint where expected; values that
    cleaning flagged are marked; a cross is what was usual at the worst step. Series beyond `MAX_PANELS` are counted.

    `series`: rows of the series table, of the window. `found`: rows of the anomaly table, of its last day.
    """
    day = window.days()[-1]
    panels = _panels(found)
    height_in = _HEAD_IN + _PANEL_IN * min(len(panels), MAX_PANELS) + _FOOT_IN
    counts = found["kind"].value_counts()
    words = listed(f"{kind.value.replace('_', ' ')} {counts[kind.value]}" for kind in Kind if kind.value in counts)
    expected = int(found["is_expected"].sum())
    words += f"; {expected} of {len(found)} expected" if expected else ""
    words += f"; {len(panels) - MAX_PANELS} more series not drawn" if len(panels) > MAX_PANELS else ""
    figure = blank_figure(height_in, f"Anomalies of {plain(watched.table.name)} on {day:%Y-%m-%d} (UTC)", words)
    edges = {"top": 1 - _HEAD_IN / height_in, "bottom": _FOOT_IN / height_in, "left": LEFT, "right": RIGHT}
    grid = figure.add_gridspec(min(len(panels), MAX_PANELS), 1, hspace=0.42, **edges)
    flags: set[str] = set()
    for number, (entity, metric) in enumerate(panels[:MAX_PANELS]):
        axes = figure.add_subplot(grid[number])
        of_panel = found[found["entity"].map(json.loads).map(lambda one, e=entity: one.items() <= e.items())]
        of_panel = of_panel[of_panel["metric"].map(lambda names, m=metric: m in str(names).split(", "))]
        rows = _rows_of(series, entity, metric, watched)
        _draw(axes, rows, of_panel, window)
        flags |= set("|".join(rows["flags"].dropna().astype("str")).split("|"))
        axes.set_title(", ".join(f"{plain(name)} {plain(str(value))}" for name, value in entity.items()), loc="right",
                       fontsize=8, color=SOFT, pad=2)  # fmt: skip
        unit = rows["unit"].dropna()
        label = f"{plain(metric)}\n{plain(str(unit.iloc[0])) if len(unit) else ''}"
        axes.set_ylabel(label, fontsize=8.5, color=INK)
        axes.yaxis.set_label_coords(-0.07, 0.5)
        axes.tick_params(labelbottom=number == min(len(panels), MAX_PANELS) - 1)
    axes.set_xlabel("UTC", fontsize=8.5, color=SOFT)
    _legend(figure, found, flags)
    return png(figure)


def anomalies_table(found: pd.DataFrame) -> str:
    """The rows of a day as a Markdown table, the highest score first; more than `MOST_ROWS` are counted below it."""
    ordered = found.sort_values(["is_expected", "score", "entity", "metric"], ascending=[True, False, True, True])
    head = ["id", "kind", "entity", "metric", "from", "to", "score", "value", "usual", "explained"]
    lines = [f"| {' | '.join(head)} |", "|---|---|---|---|---|---|---:|---:|---:|---|"]
    for row in ordered.head(MOST_ROWS).to_dict("records"):
        entity = ", ".join(f"{name} {value}" for name, value in json.loads(row["entity"]).items())
        state = "expected" if row["is_expected"] else "known" if pd.notna(row["incident_id"]) else ""
        numbers = ["" if pd.isna(row[name]) else f"{row[name]:,.4g}" for name in ("value", "baseline")]
        stamps = [f"{row[name]:%m-%d %H:%M}" for name in ("started_at", "ended_at")]
        cells = [row["anomaly_id"], row["kind"], entity, row["metric"], *stamps, f"{row['score']:.1f}", *numbers, state]
        lines.append(f"| {' | '.join(map(escaped, cells))} |")
    if (more := len(ordered) - MOST_ROWS) > 0:
        lines += ["", f"and {more:,} more"]
    return "\n".join(lines)


def _panels(found: pd.DataFrame) -> list[tuple[dict[str, Any], str]]:
    """Entity and metric of every series with an anomaly of its own, the highest score first; where there are only such
    of several series together, one panel for the first of their metrics."""
    ordered = found.sort_values(["is_expected", "score", "entity"], ascending=[True, False, True], kind="stable")
    # Of each kind the worst first: six gaps would hide the one shift.
    ordered = pd.concat([ordered.drop_duplicates(["is_expected", "kind"]), ordered])
    pairs = [(row.entity, str(row.metric).split(", ")[0]) for row in ordered.itertuples()]
    return [(json.loads(entity), metric) for entity, metric in dict.fromkeys(pairs)]


def _rows_of(series: pd.DataFrame, entity: dict[str, Any], metric: str, watched: WatchedSeries) -> pd.DataFrame:
    chosen = (series[watched.metric] == metric).to_numpy("bool")
    for name, value in entity.items():
        chosen &= (series[name] == value).to_numpy("bool")
    rows = series[chosen].sort_values("datetime_utc")
    return rows[~rows["is_imputed"].astype(bool)] if watched.is_imputed_missing else rows


def _draw(axes: Any, rows: pd.DataFrame, found: pd.DataFrame, window: Window) -> None:
    at = _days_since(rows["datetime_utc"], window)
    value = rows["value"].to_numpy("float64", na_value=np.nan)
    days = len(window.days())
    axes.axvspan(days - 1, days, color=FAINT, lw=0, zorder=0)
    for row in found.itertuples():
        first, last = _days_since(pd.Series([row.started_at, row.ended_at]), window)
        alpha = 0.15 if row.is_expected else 0.4
        axes.axvspan(max(first, 0) - 0.02, last + 0.02, color=KIND_COLOURS[Kind(row.kind)], alpha=alpha, lw=0, zorder=1)
    breaks = np.flatnonzero(np.diff(at) > 1.5 * np.median(np.diff(at))) + 1 if len(at) > 2 else np.array([], int)
    line = np.insert(value, breaks, np.nan)
    axes.plot(np.insert(at, breaks, np.nan), line, color=INK, lw=0.9, marker=".", markersize=1.5, zorder=2)
    flags = rows["flags"].astype("object").fillna("").map(lambda text: set(str(text).split("|")))
    for flag, (marker, _) in MARKS.items():
        here = flags.map(lambda some, f=flag: f.value in some).to_numpy("bool") & np.isfinite(value)
        axes.plot(at[here], value[here], ls="", marker=marker, markersize=5, color=SOFT, zorder=3)
    usual = found[found["baseline"].notna()]
    axes.plot(
        _days_since(usual["ended_at"], window), usual["baseline"], ls="", marker="+", markersize=8, color=INK, zorder=4
    )
    axes.set_xlim(0, days)
    step = max(days // 7, 1)
    ticks = list(range(days - 1, -1, -step))
    axes.set_xticks(ticks, [f"{window.days()[tick]:%m-%d}" for tick in ticks])
    axes.locator_params(axis="y", nbins=4)
    axes.grid(color=FAINT, lw=0.8)
    soften(axes)


def _days_since(stamps: pd.Series, window: Window) -> Any:
    return ((stamps - window.start) / ONE_DAY).to_numpy("float64")


def _legend(figure: Any, found: pd.DataFrame, flags: set[str]) -> None:
    """Names the kinds and the flags that occur."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    kinds = [kind for kind in Kind if (found["kind"] == kind.value).any()]
    handles: list[Any] = [
        Patch(color=KIND_COLOURS[kind], alpha=0.5, lw=0, label=kind.value.replace("_", " ")) for kind in kinds
    ]
    handles.append(Line2D([], [], ls="", marker="+", markersize=8, color=INK, label="usual there"))
    handles += [
        Line2D([], [], ls="", marker=marker, markersize=5, color=SOFT, label=f"flag: {name}")
        for flag, (marker, name) in MARKS.items()
        if flag.value in flags
    ]
    figure.legend(
        handles=handles, ncols=5, loc="lower left", bbox_to_anchor=(LEFT - 0.01, 0), frameon=False, fontsize=8,
        labelcolor=INK, borderaxespad=0.3, columnspacing=1.4, handletextpad=0.5,
    )  # fmt: skip
