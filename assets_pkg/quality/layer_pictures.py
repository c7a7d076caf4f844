"""How the quality of a layer looks: its score and dimensions day by day, and a calendar of what is missing.

Belongs here: one picture and one table, made from rows of a layer's quality table. Does not belong here: what is
counted (`dimensions.py`), the style all pictures share (`assets_pkg/drawing.py`), Dagster, files.
"""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from assets_pkg.drawing import FAINT, INK, LEFT, LINE_COLOURS, RIGHT, SOFT, blank_figure, percent, png, soften
from schemas.quality_dimensions import Dimension
from schemas.window import midnight

SHOWN_DAYS = 30
"""Partitions of which the score is drawn."""

CALENDAR_DAYS = 182
"""Days of the calendar: half a year is 26 columns of weeks."""

MOST_CALENDAR_DAYS = 371
"""Weeks of a longer calendar would be narrower than a pen."""

BANDS_PCT = (0, 50, 70, 80, 90, 95, 99, 100)
BAND_COLOURS = ("#4A1804", "#8C2F04", "#C8501B", "#F08A3C", "#FBC27A", "#FEE6BE", "#E3F0F7")
"""Dark is bad and pale is good, so that trouble stands out; lightness alone tells the bands apart."""

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_HEIGHT_IN = 5.1


def layer_picture(
    rows: pd.DataFrame, title: str, day: date, *, score_days: int = SHOWN_DAYS, calendar_days: int = CALENDAR_DAYS
) -> bytes:
    """A PNG, `drawing.WIDTH_PX` wide: above, score and dimensions of the `score_days` up to `day`; below, completeness
    of the `calendar_days` up to `day` as a calendar, weeks as columns.

    `rows` are those of a layer's quality table; of several tables the mean is drawn above and the worst below. Days
    without a row are gaps.
    """
    figure = blank_figure(_HEIGHT_IN, title, _in_words(rows, day))
    above = figure.add_axes((LEFT, 0.505, RIGHT - LEFT - 0.16, 0.34))
    _draw_scores(above, rows, day, score_days)
    below = figure.add_axes((LEFT, 0.13, RIGHT - LEFT - 0.16, 0.225))
    image = _draw_calendar(below, rows, day, calendar_days)
    scale = figure.add_axes((RIGHT - 0.12, 0.13, 0.016, 0.225))
    bar = figure.colorbar(image, cax=scale, ticks=BANDS_PCT, spacing="uniform")
    bar.ax.set_yticklabels([f"{band} %" for band in BANDS_PCT])
    bar.ax.tick_params(labelsize=7.5, labelcolor=SOFT, length=0)
    bar.outline.set_visible(False)  # type: ignore[operator]
    return png(figure)


def layer_table(rows: pd.DataFrame) -> str:
    """The rows of one day as a Markdown table, the lowest score first; what is not measured says so."""
    heads = ["table", "score", *(one.value for one in Dimension), "rows", "read", "put aside", "duplicate"]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    for row in rows.sort_values("score_pct", kind="stable").to_dict("records"):
        shares = [told(row[f"{name}_pct"]) for name in ("score", *(one.value for one in Dimension))]
        counts = [row["rows"], row["rows_read"], row["rows_quarantined"], row["rows_duplicate"] + row["rows_repeated"]]
        lines.append(f"| {row['table_name']} | " + " | ".join((*shares, *(f"{count:,}" for count in counts))) + " |")
    return "\n".join(lines)


def told(share: float | None) -> str:
    """A share in words: rounded down to a tenth, so that only a perfect one reads 100 %."""
    return "not measured" if share is None or pd.isna(share) else f"{np.floor(share * 10) / 10:.1f} %"


def _in_words(rows: pd.DataFrame, day: date) -> str:
    today = rows[rows["day"] == midnight(day)]
    if today.empty:
        return "no rows of this day"
    means = {one.value: today[f"{one.value}_pct"].mean() for one in Dimension}
    unknown = [name for name, value in means.items() if pd.isna(value)]
    words = f"score {percent(today['score_pct'].mean())}, {len(today)} table(s), {int(today['rows'].sum()):,} rows"
    return f"{words}; not measured: {', '.join(unknown)}" if unknown else words


def _draw_scores(axes: Any, rows: pd.DataFrame, day: date, days: int) -> None:
    shown = pd.date_range(end=midnight(day), periods=days, freq="D", unit="us")
    by_day = rows.groupby("day")[["score_pct", *(f"{one.value}_pct" for one in Dimension)]].mean().reindex(shown)
    at = np.arange(days)
    ends = []
    for one, colour in zip(Dimension, LINE_COLOURS, strict=True):
        values = by_day[f"{one.value}_pct"].to_numpy("float64")
        if np.isfinite(values).any():
            axes.plot(at, values, color=colour, lw=1.1, marker=".", markersize=3.5, zorder=2)
            ends.append((values[np.isfinite(values)][-1], one.value, colour, "normal"))
    score = by_day["score_pct"].to_numpy("float64")
    axes.plot(at, score, color=INK, lw=2.2, marker=".", markersize=5, zorder=3)
    if np.isfinite(score).any():
        ends.append((score[np.isfinite(score)][-1], "score", INK, "bold"))
    known = by_day.to_numpy("float64")
    low = np.nanmin(known) if np.isfinite(known).any() else 0.0
    bottom = max(0.0, np.floor((low - 5) / 10) * 10)
    axes.set_ylim(bottom, 100 + (100 - bottom) * 0.04)
    axes.set_xlim(-0.5, days - 0.5)
    every = max(1, -(-days // 10))
    labelled = list(range(days - 1, -1, -every))
    axes.set_xticks(labelled, [f"{shown[n]:%m-%d}" for n in labelled])
    axes.set_ylabel("share, %", fontsize=8.5, color=SOFT)
    axes.set_title(f"score and its dimensions, last {days} partitions (UTC days)", loc="left", fontsize=9, color=INK)
    axes.grid(color=FAINT, lw=0.8)
    soften(axes)
    _label_ends(axes, ends, bottom)


def _label_ends(axes: Any, ends: list[tuple[float, str, str, str]], bottom: float) -> None:
    """Each line's name behind its end, pushed apart where lines end together."""
    height, place = (100 - bottom) * 1.04, float("inf")
    for value, name, colour, weight in sorted(ends, key=lambda end: -end[0]):
        place = min(value, place - height * 0.105)
        axes.annotate(
            f"{name} {np.floor(value):.0f}",
            (1.01, (place - bottom) / height),
            xycoords="axes fraction",
            va="center",
            fontsize=8,
            color=colour,
            fontweight=weight,
        )


def _draw_calendar(axes: Any, rows: pd.DataFrame, day: date, days: int) -> Any:
    """Weeks as columns, weekdays as rows; white is a day without a row."""
    from matplotlib.colors import BoundaryNorm, ListedColormap

    first = day - timedelta(days=days - 1)
    monday = first - timedelta(days=first.weekday())
    weeks = (day - monday).days // 7 + 1
    worst = rows.groupby(rows["day"].dt.date)["completeness_pct"].min()
    cells = np.full((7, weeks), np.nan)
    for one, share in worst.items():
        if first <= one <= day:
            cells[one.weekday(), (one - monday).days // 7] = share
    colours = ListedColormap(BAND_COLOURS)
    image = axes.pcolormesh(
        cells, cmap=colours, norm=BoundaryNorm(BANDS_PCT, len(BAND_COLOURS)), edgecolors="white", lw=1
    )
    axes.set_ylim(7, 0)
    axes.set_yticks(np.arange(7) + 0.5, _WEEKDAYS)
    months = [n for n in range(weeks) if (monday + timedelta(days=7 * n)).day <= 7]
    axes.set_xticks([n + 0.5 for n in months], [f"{monday + timedelta(days=7 * n):%Y-%m}" for n in months])
    axes.set_title("completeness per UTC day, weeks as columns; white: no partition", loc="left", fontsize=9, color=INK)
    soften(axes)
    axes.tick_params(length=0, labelsize=7.5)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return image
