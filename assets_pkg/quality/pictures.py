"""Pictures and tables of quality for the Dagster UI: PNG bytes and Markdown, made from data frames.

Belongs here: how a day and a window look. Does not belong here: what is counted (`transforms.py`), Dagster, files.

The same input gives the same bytes. Matplotlib is imported when the first picture is drawn, because its import takes
longer than a picture, and only its objects are used: no pyplot, so nothing is shared between threads.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from assets_pkg.drawing import (
    FAINT,
    INK,
    LEFT,
    LINE_COLOURS,
    NO_VALUE,
    OTHERS,
    RIGHT,
    SOFT,
    blank_figure,
    escaped,
    listed,
    percent,
    plain,
    png,
    soften,
)
from assets_pkg.quality.drawing import IMPUTED, MARKS, MAX_PANELS
from schemas.datasets import OPENAQ
from schemas.window import Window, midnight

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_HEAT_MAP_LOCATIONS = 60
MAX_HEAT_MAP_COLUMNS = 180
MAX_TABLE_ROWS = 100

_BANDS_PCT = (0, 50, 70, 80, 90, 95, 99, 100)
_BAND_COLOURS = ("#4A1804", "#8C2F04", "#C8501B", "#F08A3C", "#FBC27A", "#FEE6BE", "#E3F0F7")
"""Dark is bad and pale is good, so that trouble stands out; lightness alone tells the bands apart."""

_SHARES = {
    "score_pct": "score",
    "completeness_pct": "completeness",
    "validity_pct": "validity",
    "uniqueness_pct": "uniqueness",
}
_FLAG_COUNTS = {
    f"hours_{name.replace(' ', '_')}": name
    for name in ("sentinel", "negative", "stuck", "spike", "out of range", "imputed")
}


def day_picture(series: pd.DataFrame, report: pd.DataFrame, day: date) -> bytes:
    """A PNG, `WIDTH_PX` wide: the series of one UTC day, a panel per parameter and a line per sensor.

    `series` has rows of `schemas.timeseries.AirQuality` (stamps at the END of the hour), `report` rows of
    `schemas.quality.AirQualityReport`; other days of both are ignored. Each location has a colour, with many locations
    only the worst have and the others are grey. The scale is that of the values features may use; what lies far beyond
    it is drawn on the edge with its number. Parameters beyond `MAX_PANELS` are named, not drawn.
    """
    hours = _hours_of(series, day)
    scores = _scores_of(report, day)
    parameters = _in_order(hours["parameter"].unique())
    colours = _colours_of(hours["location_id"].unique(), scores)
    lines, marks = _legend_entries(hours, scores, colours)
    panels = min(len(parameters), MAX_PANELS)
    legend_in = 0.12 + 0.2 * (-(-len(lines) // 4) + -(-len(marks) // 6))
    height_in = 0.72 + 1.25 * max(panels, 1) + 0.45 + legend_in
    figure = blank_figure(height_in, f"Air quality on {day:%Y-%m-%d} (UTC)", _day_in_words(hours, scores, parameters))
    if not panels:
        figure.text(0.5, 0.4, "no hours in the series on this day", ha="center", color=SOFT, fontsize=11)
        return png(figure)
    grid = figure.add_gridspec(
        panels,
        1,
        left=LEFT,
        right=RIGHT,
        top=1 - 0.72 / height_in,
        bottom=(0.45 + legend_in) / height_in,
        hspace=0.16,
    )
    for row, parameter in enumerate(parameters[:panels]):
        axes = figure.add_subplot(grid[row])
        _draw_parameter(axes, hours[hours["parameter"] == parameter], parameter, colours)
        axes.tick_params(labelbottom=row == panels - 1)
    axes.set_xlabel("end of the hour, UTC", fontsize=8.5, color=SOFT)
    look: dict[str, Any] = {"loc": "lower left", "frameon": False, "fontsize": 8.5, "labelcolor": INK}
    look |= {"borderaxespad": 0, "columnspacing": 1.6, "handletextpad": 0.5}
    marks_in = 0.06 + 0.2 * -(-len(marks) // 6)
    figure.legend(handles=lines, ncols=4, bbox_to_anchor=(LEFT, marks_in / height_in), **look)
    figure.legend(handles=marks, ncols=6, bbox_to_anchor=(LEFT, 0.04 / height_in), **look)
    return png(figure)


def score_picture(report: pd.DataFrame) -> bytes:
    """A PNG, `WIDTH_PX` wide: the score and its three parts by location and day, as heat maps on one scale.

    `report` has rows of `schemas.quality.AirQualityReport`; grey is no value. With more than `MAX_HEAT_MAP_LOCATIONS`
    locations those of the lowest mean score are shown, with more than `MAX_HEAT_MAP_COLUMNS` days a cell is the worst
    of several; the line below the title says so.
    """
    means = report.groupby("location_id")["score_pct"].mean()
    shown = sorted(means.sort_values(kind="stable").index[:MAX_HEAT_MAP_LOCATIONS])
    days = pd.date_range(report["day"].min(), report["day"].max(), freq="D", unit="us") if shown else []
    days_per_column = -(-len(days) // MAX_HEAT_MAP_COLUMNS)
    map_in = min(max(0.17 * len(shown), 0.5), 6.0)
    height_in = 0.85 + 2 * map_in + 0.35 + 1.05
    words = _scores_in_words(means, len(shown), days_per_column)
    figure = blank_figure(height_in, "Quality scores by location and UTC day", words)
    if not shown:
        figure.text(0.5, 0.4, "the report has no rows", ha="center", color=SOFT, fontsize=11)
        return png(figure)
    top, bottom = 1 - 0.85 / height_in, 1.05 / height_in
    grid = figure.add_gridspec(2, 2, left=LEFT, right=RIGHT, top=top, bottom=bottom, wspace=0.06, hspace=0.35 / map_in)
    for n, (column, name) in enumerate(_SHARES.items()):
        axes = figure.add_subplot(grid[n // 2, n % 2])
        table = report.pivot(index="location_id", columns="day", values=column).reindex(index=shown, columns=days)
        worst = table.T.groupby(days[np.arange(len(days)) // days_per_column * days_per_column]).min().T
        image = _draw_heat_map(axes, worst)
        axes.set_title(name, loc="left", fontsize=9.5, color=INK, pad=4)
        axes.tick_params(labelbottom=n >= 2, labelleft=n % 2 == 0)
        if n % 2 == 0:
            axes.set_ylabel("location", fontsize=8.5, color=SOFT)
            axes.yaxis.set_label_coords(-0.24, 0.5)
    _draw_band_scale(figure, image, height_in)
    return png(figure)


def report_table(report: pd.DataFrame) -> str:
    """The rows of `schemas.quality.AirQualityReport` of one day as a Markdown table, the lowest score first.

    With more than `MAX_TABLE_ROWS` rows the best are left out, and a line below the table counts them.
    """
    ordered = report.sort_values(["score_pct", "location_id"], kind="stable")
    head = ["location", "score", "completeness", "validity", "duplicates", "quarantined", "flagged hours", "ledger"]
    lines = [f"| {' | '.join(head)} |", "|---:|---:|---:|---:|---:|---:|---|---|"]
    for row in ordered.head(MAX_TABLE_ROWS).to_dict("records"):
        flags = [f"{name} {row[column]:,}" for column, name in _FLAG_COUNTS.items() if row[column]]
        cells = [
            str(row["location_id"]),
            *(percent(row[column]) for column in ("score_pct", "completeness_pct", "validity_pct")),
            f"{row['rows_duplicate']:,}",
            f"{row['rows_quarantined']:,}",
            ", ".join(flags),
            "closed" if row["is_ledger_closed"] else "NOT closed",
        ]
        lines.append(f"| {' | '.join(map(escaped, cells))} |")
    if (more := len(ordered) - MAX_TABLE_ROWS) > 0:
        lines += ["", f"and {more:,} more, none with a lower score"]
    return "\n".join(lines)


def _hours_of(series: pd.DataFrame, day: date) -> pd.DataFrame:
    """The day's rows with `hour` (hours since its midnight), `kind` (the flag it is marked with, empty if none) and
    infinite values as missing, sorted by sensor and time."""
    hours = series[Window.of_days(day, day).holds(series["datetime_utc"], "right")]
    return hours.assign(
        hour=(hours["datetime_utc"] - midnight(day)) / pd.Timedelta(hours=1),
        value=hours["value"].where(np.isfinite(hours["value"])),
        kind=_kind_of(hours["flags"]),
    ).sort_values(["location_id", "sensors_id", "hour"], kind="stable", ignore_index=True)


def _scores_of(report: pd.DataFrame, day: date) -> "pd.Series[float]":
    """The day's score of each location, by location id."""
    return report[report["day"] == midnight(day)].set_index("location_id")["score_pct"].sort_index()


def _in_order(parameters: Iterable[str]) -> list[str]:
    """The parameters in the order of their declaration, unknown ones last."""
    known = list(OPENAQ.measures)
    return sorted(parameters, key=lambda name: (known.index(name) if name in known else len(known), name))


def _colours_of(locations: Iterable[int], scores: "pd.Series[float]") -> dict[int, str]:
    """A colour for each location, or for those of the lowest score if there are too many."""
    ordered = sorted(locations)
    if len(ordered) > len(LINE_COLOURS):
        ordered = sorted(ordered, key=lambda location: (scores.get(location, np.inf), location))
    return dict(zip(ordered, LINE_COLOURS, strict=False))


def _legend_entries(
    hours: pd.DataFrame, scores: "pd.Series[float]", colours: Mapping[int, str]
) -> tuple[list[Any], list[Any]]:
    """Legend handles for the lines and for the marks that occur."""
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=colour, lw=1.6, label=f"location {location}, {percent(scores.get(location))}")
        for location, colour in colours.items()
    ]
    if others := hours["location_id"].nunique() - len(colours):
        lines.append(Line2D([], [], color=OTHERS, lw=1.6, label=f"{others} more"))
    kinds = hours["kind"]
    look: dict[str, Any] = {"ls": "", "markeredgecolor": INK, "markersize": 6}
    marks = [
        Line2D([], [], marker=marker, markerfacecolor=OTHERS, label=name, **look)
        for kind, (marker, name) in MARKS.items()
        if kinds.eq(kind.value).any()
    ]
    if hours["is_imputed"].any():
        marks.append(Line2D([], [], marker=IMPUTED[0], markerfacecolor="white", label=IMPUTED[1], **look))
    return lines, marks


def _kind_of(flags: "pd.Series[str]") -> "pd.Series[str]":
    """The flag each hour is marked with; empty if none."""
    tokens = "|" + flags.astype("object").fillna("") + "|"
    kinds = [tokens.str.contains(f"|{kind.value}|", regex=False).to_numpy(dtype=bool) for kind in MARKS]
    return pd.Series(np.select(kinds, [kind.value for kind in MARKS], default=""), index=flags.index, dtype="object")


def _draw_parameter(axes: "Axes", hours: pd.DataFrame, parameter: str, colours: Mapping[int, str]) -> None:
    """One panel: the lines of each colour (grey below), marks, scale."""
    bottom, top = _scale_of(hours)
    colour_of = hours["location_id"].map(dict(colours)).fillna(OTHERS)
    for colour in dict.fromkeys([OTHERS, *colours.values()]):
        if (rows := hours[colour_of == colour]).empty:
            continue
        is_new_line = (rows["sensors_id"].diff() != 0) | (rows["location_id"].diff() != 0) | (rows["hour"].diff() > 1)
        breaks = np.flatnonzero(is_new_line)
        at, values = (np.insert(rows[name].to_numpy("float64"), breaks, np.nan) for name in ("hour", "value"))
        is_grey = colour == OTHERS
        width, dot = (0.8, 1.0) if is_grey else (1.3, 2.8)
        axes.plot(at, values, color=colour, lw=width, marker=".", markersize=dot, zorder=2 if is_grey else 3)
        _draw_marks(axes, rows[(rows["kind"] != "") | rows["is_imputed"]], (bottom, top), colour)
    _label_values_beyond(axes, hours, bottom, top)
    units = ", ".join(plain(unit) for unit in sorted(hours["unit"].dropna().unique()))
    axes.set_ylabel(f"{plain(parameter)}\n{units}", fontsize=8.5, color=INK)
    axes.yaxis.set_label_coords(-0.07, 0.5)
    axes.set_xlim(0, 24.25)
    axes.set_xticks(range(0, 25, 3), [f"{hour:02}:00" for hour in range(0, 25, 3)])
    axes.set_ylim(bottom, top)
    axes.locator_params(axis="y", nbins=4)
    axes.grid(color=FAINT, lw=0.8)
    soften(axes)


def _draw_marks(axes: "Axes", rows: pd.DataFrame, scale: tuple[float, float], colour: str) -> None:
    """Marks on the flagged and imputed hours of one colour; an hour without a value is marked at the bottom."""
    if rows.empty:
        return
    kinds, at = rows["kind"], rows["value"].fillna(scale[0]).clip(*scale)
    size = 4.0 if colour == OTHERS else 5.5
    look: dict[str, Any] = {"ls": "", "clip_on": False, "zorder": 4, "markersize": size}
    for kind, (marker, _) in MARKS.items():
        if (here := kinds.eq(kind.value)).any():
            is_cross = marker == "x"
            edge: dict[str, Any] = {"markeredgecolor": colour if is_cross else INK}
            edge["markeredgewidth"] = 1.6 if is_cross else 0.7
            axes.plot(rows.loc[here, "hour"], at[here], marker=marker, markerfacecolor=colour, **edge, **look)
    if (here := rows["is_imputed"].astype(bool) & rows["value"].notna()).any():
        hollow: dict[str, Any] = {"markerfacecolor": "white", "markeredgecolor": colour, "markeredgewidth": 1.2}
        axes.plot(rows.loc[here, "hour"], at[here], marker=IMPUTED[0], **hollow, **look)


def _label_values_beyond(axes: "Axes", hours: pd.DataFrame, bottom: float, top: float) -> None:
    """The number of the farthest value beyond each end of the scale, beside its mark on the edge."""
    values = hours["value"]
    for beyond, edge, align in ((values[values > top], top, "top"), (values[values < bottom], bottom, "bottom")):
        if beyond.empty:
            continue
        farthest = (beyond - edge).abs().idxmax()
        is_early = hours["hour"][farthest] < 18
        more = f" and {len(beyond) - 1} more" if len(beyond) > 1 else ""
        axes.annotate(
            _number(beyond[farthest]) + more,
            (hours["hour"][farthest], edge),
            xytext=(6 if is_early else -6, -4 if align == "top" else 4),
            textcoords="offset points",
            ha="left" if is_early else "right",
            va=align,
            fontsize=8.5,
            color=INK,
            zorder=3.5,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
        )


def _scale_of(hours: pd.DataFrame) -> tuple[float, float]:
    """Lower and upper end of a panel: zero, all values features may use, and others that are not far from them."""
    values = hours["value"].dropna()
    usable = values[hours.loc[values.index, "is_valid"].astype(bool)]
    if usable.empty:
        usable = values
    reach = usable.abs().max() if len(usable) else 1.0
    drawn = pd.concat([usable, values[values.abs() <= 1.5 * reach], pd.Series([0.0])])
    bottom, top = drawn.min(), drawn.max()
    span = (top - bottom) or 1.0
    return (bottom - 0.08 * span if bottom < 0 else 0.0), top + 0.12 * span


def _draw_heat_map(axes: "Axes", table: pd.DataFrame) -> Any:
    """One map of percentages, locations down and days across; few enough cells carry their number."""
    from matplotlib.colors import BoundaryNorm, ListedColormap

    colours = ListedColormap(list(_BAND_COLOURS)).with_extremes(bad=NO_VALUE)
    cells = table.to_numpy("float64", na_value=np.nan)
    image = axes.imshow(
        cells, cmap=colours, norm=BoundaryNorm(_BANDS_PCT, len(_BAND_COLOURS)), aspect="auto", interpolation="nearest"
    )
    rows, columns = cells.shape
    down, across = max(-(-rows // 30), 1), max(-(-columns // 4), 1)
    axes.set_yticks(range(0, rows, down), [str(location) for location in table.index[::down]])
    axes.set_xticks(range(0, columns, across), list(table.columns.strftime("%Y-%m-%d")[::across]))
    if columns <= 8:
        for row, column in np.argwhere(np.isfinite(cells)):
            cell = cells[row, column]
            ink = "white" if cell < _BANDS_PCT[3] else INK
            axes.text(column, row, f"{np.floor(cell):.0f}", ha="center", va="center", fontsize=7.5, color=ink)
    axes.set_xticks(np.arange(0.5, columns - 1), minor=True)
    axes.set_yticks(np.arange(0.5, rows - 1), minor=True)
    if columns <= 93:
        axes.grid(which="minor", color="white", lw=0.7)
    axes.tick_params(which="minor", length=0)
    soften(axes)
    return image


def _draw_band_scale(figure: "Figure", image: Any, height_in: float) -> None:
    """The key to the colours, at the foot of the figure."""
    axes = figure.add_axes((LEFT, 0.42 / height_in, 0.6, 0.14 / height_in))
    figure.colorbar(image, cax=axes, orientation="horizontal", spacing="uniform", ticks=_BANDS_PCT)
    axes.set_xlabel("percent", fontsize=8.5, color=SOFT)
    soften(axes)
    void = figure.add_axes((0.75, 0.42 / height_in, 0.03, 0.14 / height_in), facecolor=NO_VALUE, xticks=[], yticks=[])
    void.text(1.3, 0.5, "no value", transform=void.transAxes, va="center", fontsize=8.5, color=SOFT)
    soften(void)


def _day_in_words(hours: pd.DataFrame, scores: "pd.Series[float]", parameters: Sequence[str]) -> str:
    """The scores of the day, and what the picture does not show."""
    words = ["no score"]
    if len(scores):
        words = [f"score {percent(scores.mean())}"]
        if len(scores) > 1:
            words[0] += (
                f" (mean of {len(scores)} locations), lowest {percent(scores.min())} at location {scores.idxmin()}"
            )
    if silent := sorted(set(scores.index) - set(hours["location_id"])):
        words.append(f"no hours from {listed(silent)}")
    if left_out := parameters[MAX_PANELS:]:
        words.append(f"not drawn: {listed(map(plain, left_out))}")
    return "; ".join(words)


def _scores_in_words(means: "pd.Series[float]", shown: int, days_per_column: int) -> str:
    """The mean score, the worst location, and what is left out or drawn together."""
    if means.empty:
        return "no score"
    words = [f"mean score {percent(means.mean())}, lowest {percent(means.min())} at location {means.idxmin()}"]
    if shown < len(means):
        words.append(f"the {shown} lowest of {len(means)} locations")
    if days_per_column > 1:
        words.append(f"each cell the worst of {days_per_column} days")
    return "; ".join(words)


def _number(value: float) -> str:
    """A measured value in at most four digits or whole thousands, whichever is longer."""
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
