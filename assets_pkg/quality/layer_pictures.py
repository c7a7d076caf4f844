"""How the quality of a layer looks: its score and dimensions day by day, and a calendar of what is missing.

Belongs here: one picture and one table, made from rows of a layer's quality table. Does not belong here: what is
counted (`dimensions.py`), colours all pictures share (`assets_pkg/drawing.py`), Dagster, files.

The picture is written as SVG, not drawn: every run of a quality asset makes one, and drawing pixels took as long as all
it counts.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from assets_pkg.drawing import FAINT, INK, LINE_COLOURS, NO_VALUE, SOFT, WIDTH_PX, percent
from schemas.quality_dimensions import Dimension
from schemas.window import midnight

SHOWN_DAYS = 30
"""Partitions of which the score is drawn."""

CALENDAR_DAYS = 182
"""Days of the calendar: half a year is 26 columns of weeks."""

MOST_CALENDAR_DAYS = 371
"""Weeks of a longer calendar would be narrower than a pen."""

BANDS_PCT = (0, 50, 70, 80, 90, 95, 99, 100)
BAND_COLOURS = ("#4A1804", "#8C2F04", "#C8501B", "#F08A3C", "#FBC27A", "#FEE6BE", "#D3E7F3")
"""Dark is bad and pale is good, so that trouble stands out; lightness alone tells the bands apart."""

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LEFT, _RIGHT = 60.0, 660.0
"""Edges of both panels, in pixels; names of lines and the scale stand right of them."""
_SCORES_TOP, _SCORES_BOTTOM = 82.0, 262.0
_CALENDAR_TOP, _CELL_PX = 330.0, 15.0
_HEIGHT_PX = 470
_LABEL_PX = 14.0
"""Room a line of text takes."""


def layer_picture(
    rows: pd.DataFrame, title: str, day: date, *, score_days: int = SHOWN_DAYS, calendar_days: int = CALENDAR_DAYS
) -> str:
    """An SVG, `drawing.WIDTH_PX` wide: above, score and dimensions of the `score_days` up to `day`; below, completeness
    of the `calendar_days` up to `day` as a calendar, weeks as columns.

    `rows` are those of a layer's quality table; of several tables the mean is drawn above and the worst below. Days
    without a row are gaps.
    """
    size = {"width": str(WIDTH_PX), "height": str(_HEIGHT_PX), "viewBox": f"0 0 {WIDTH_PX} {_HEIGHT_PX}"}
    svg = ElementTree.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **size, "font-family": _FONT})
    ElementTree.SubElement(svg, "rect", {"width": "100%", "height": "100%", "fill": "white"})
    _text(svg, _LEFT, 24, title, size=16, weight="bold")
    _text(svg, _LEFT, 44, _in_words(rows, day), size=12, colour=SOFT)
    _draw_scores(svg, rows, day, score_days)
    _draw_calendar(svg, rows, day, calendar_days)
    return ElementTree.tostring(svg, encoding="unicode")


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
        return f"{day}: not judged"
    means = {one.value: today[f"{one.value}_pct"].mean() for one in Dimension}
    unknown = [name for name, value in means.items() if pd.isna(value)]
    words = (
        f"{day}: score {percent(today['score_pct'].mean())}, {len(today)} table(s), {int(today['rows'].sum()):,} rows"
    )
    return f"{words}; not measured: {', '.join(unknown)}" if unknown else words


_FONT = "DejaVu Sans, Segoe UI, Helvetica, Arial, sans-serif"


def _text(
    svg: ElementTree.Element,
    x: float,
    y: float,
    words: str,
    *,
    size: int = 11,
    colour: str = INK,
    anchor: str = "start",
    weight: str = "normal",
) -> None:
    style = {"font-size": str(size), "fill": colour, "text-anchor": anchor, "font-weight": weight}
    ElementTree.SubElement(svg, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", **style}).text = words


def _draw_scores(svg: ElementTree.Element, rows: pd.DataFrame, day: date, days: int) -> None:
    shown = pd.date_range(end=midnight(day), periods=days, freq="D", unit="us")
    columns = {"score_pct": ("score", INK)}
    columns |= {f"{one.value}_pct": (one.value, colour) for one, colour in zip(Dimension, LINE_COLOURS, strict=True)}
    by_day = rows.groupby("day")[list(columns)].mean().reindex(shown)
    known = by_day.to_numpy("float64")
    low = np.nanmin(known) if np.isfinite(known).any() else 0.0
    bottom = float(max(0.0, np.floor((low - 5) / 10) * 10))
    at = [_LEFT + (_RIGHT - _LEFT) * (n + 0.5) / days for n in range(days)]

    def height(share: float) -> float:
        return _SCORES_BOTTOM - (_SCORES_BOTTOM - _SCORES_TOP) * (share - bottom) / (100 - bottom)

    _text(svg, _LEFT, _SCORES_TOP - 12, f"Score and its dimensions, {days} UTC days, share in %", size=12)
    for share in _ticks(bottom):
        _line(svg, [(_LEFT, height(share)), (_RIGHT, height(share))], FAINT, 1)
        _text(svg, _LEFT - 6, height(share) + 4, f"{share:g}", colour=SOFT, anchor="end")
    for n in range(days - 1, -1, -max(1, -(-days // 9))):
        _text(svg, at[n], _SCORES_BOTTOM + 18, f"{shown[n]:%m-%d}", colour=SOFT, anchor="middle")
    ends = []
    for column, (name, colour) in reversed(columns.items()):
        values = by_day[column].to_numpy("float64")
        width = 2.4 if name == "score" else 1.3
        for part in _unbroken(values):
            points = [(at[n], height(values[n])) for n in part]
            _line(svg, points, colour, width)
            for x, y in points if days <= SHOWN_DAYS * 2 else points[:1]:
                dot = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": f"{width + 0.4:.1f}", "fill": colour}
                ElementTree.SubElement(svg, "circle", dot)
        if np.isfinite(values).any():
            ends.append((float(values[np.isfinite(values)][-1]), name, colour))
    ends.sort(key=lambda end: (-end[0], end[1] != "score"))
    for place, (share, name, colour) in zip(_apart([height(end[0]) + 4 for end in ends]), ends, strict=True):
        weight = "bold" if name == "score" else "normal"
        _text(svg, _RIGHT + 8, place, f"{name} {percent(share)}", colour=colour, weight=weight)


def _apart(heights: Sequence[float]) -> list[float]:
    """Heights of lines of text from the top, moved as far as it takes that none covers another or the axis below."""
    places: list[float] = []
    for height in heights:
        places.append(max(height, places[-1] + _LABEL_PX) if places else height)
    lowest = _SCORES_BOTTOM + 4
    for n in range(len(places) - 1, -1, -1):
        places[n] = lowest = min(places[n], lowest)
        lowest -= _LABEL_PX
    return places


def _ticks(bottom: float) -> Iterable[float]:
    step = next(step for step in (2, 5, 10, 20, 25) if (100 - bottom) / step <= 6)
    return np.arange(100, bottom - 1e-9, -step)


def _unbroken(values: np.ndarray) -> list[list[int]]:
    """The indices of finite values, as runs without a gap."""
    runs: list[list[int]] = []
    for n in np.flatnonzero(np.isfinite(values)):
        if runs and runs[-1][-1] == n - 1:
            runs[-1].append(int(n))
        else:
            runs.append([int(n)])
    return runs


def _line(svg: ElementTree.Element, points: Sequence[tuple[float, float]], colour: str, width: float) -> None:
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    style = {"fill": "none", "stroke": colour, "stroke-width": f"{width:g}", "stroke-linejoin": "round"}
    ElementTree.SubElement(svg, "polyline", {"points": drawn, **style})


def _draw_calendar(svg: ElementTree.Element, rows: pd.DataFrame, day: date, days: int) -> None:
    """Weeks as columns, weekdays as rows; an empty frame is a day without a row."""
    first = day - timedelta(days=days - 1)
    monday = first - timedelta(days=first.weekday())
    weeks = (day - monday).days // 7 + 1
    width = min(_CELL_PX * 1.45, (_RIGHT - _LEFT) / weeks)
    worst = rows.groupby(rows["day"].dt.date)["completeness_pct"].min()
    _text(svg, _LEFT, _CALENDAR_TOP - 12, "Completeness per UTC day, weeks as columns; empty: no partition", size=12)
    for n, name in enumerate(_WEEKDAYS):
        _text(svg, _LEFT - 6, _CALENDAR_TOP + _CELL_PX * (n + 0.78), name, size=10, colour=SOFT, anchor="end")
    for n in range(days):
        one = first + timedelta(days=n)
        week, weekday = (one - monday).days // 7, one.weekday()
        share = worst.get(one, np.nan)
        place = {"x": f"{_LEFT + week * width:.1f}", "y": f"{_CALENDAR_TOP + weekday * _CELL_PX:.1f}"}
        size = {"width": f"{width - 1.5:.1f}", "height": f"{_CELL_PX - 1.5:.1f}"}
        colour = {"fill": "white", "stroke": FAINT} if pd.isna(share) else {"fill": band(share)}
        ElementTree.SubElement(svg, "rect", {**place, **size, **colour})
    below = _CALENDAR_TOP + 7 * _CELL_PX + 14
    for week in range(weeks):
        start = monday + timedelta(days=7 * week)
        if start.day <= 7 and (week == 0 or width * 4 > 30):
            _text(svg, _LEFT + week * width, below, f"{start:%Y-%m}", size=10, colour=SOFT)
    _draw_scale(svg)


def _draw_scale(svg: ElementTree.Element) -> None:
    for n, colour in enumerate(reversed(BAND_COLOURS)):
        top = _CALENDAR_TOP + n * _CELL_PX
        low, high = BANDS_PCT[-2 - n], BANDS_PCT[-1 - n]
        place = {"x": f"{_RIGHT + 10:.1f}", "y": f"{top:.1f}", "width": "14", "height": f"{_CELL_PX - 1.5:.1f}"}
        ElementTree.SubElement(svg, "rect", {**place, "fill": colour, "stroke": NO_VALUE, "stroke-width": "0.5"})
        words = f"{low} % and more" if n == 0 else f"{low} to {high} %"
        _text(svg, _RIGHT + 30, top + _CELL_PX * 0.78, words, size=10, colour=SOFT)


def band(share: float) -> str:
    """The colour of a percentage."""
    return BAND_COLOURS[min(int(np.searchsorted(BANDS_PCT, share, side="right")) - 1, len(BAND_COLOURS) - 1)]
