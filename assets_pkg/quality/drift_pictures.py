"""The picture and the table of drift for the Dagster UI.

Belongs here: how the drift of a view's features looks. Does not belong here: how it is measured (`drift.py`), the style
all pictures share (`assets_pkg/drawing.py`), Dagster. Same input, same bytes.
"""

import numpy as np
import pandas as pd

from assets_pkg.drawing import (
    FAINT,
    INK,
    LINE_COLOURS,
    NO_VALUE,
    RIGHT,
    SOFT,
    blank_figure,
    escaped,
    plain,
    png,
    soften,
)
from assets_pkg.quality.drift import LARGE_PSI, LARGE_WASSERSTEIN
from schemas.feature_drift import Verdict

MOST_BARS = 20
MOST_ROWS = 40

_COLOURS = {Verdict.DRIFT: LINE_COLOURS[5], Verdict.STABLE: LINE_COLOURS[0], Verdict.NOT_ENOUGH_DATA: NO_VALUE}
_NAMES_LEFT = 0.3


def drift_picture(rows: pd.DataFrame) -> bytes:
    """A PNG: PSI and Wasserstein distance of the `MOST_BARS` first features of one view and day (rows of
    `FeatureDrift`), with the lines from which on an effect is large; the colour is the verdict."""
    shown, first = rows.sort_values("rank").head(MOST_BARS), rows.iloc[0]
    height_in = 1.35 + 0.2 * len(shown)
    counts = rows["verdict"].value_counts()
    told = ", ".join(f"{counts[one.value]} {one.value}" for one in Verdict if one.value in counts)
    words = f"{len(shown)} of {len(rows)} features, what matters most first; {told}"
    figure = blank_figure(height_in, f"Drift of {plain(str(first['view']))}, {first['day']:%Y-%m-%d}", words)
    top, bottom = 1 - 0.68 / height_in, 0.75 / height_in
    grid = figure.add_gridspec(1, 2, left=_NAMES_LEFT, right=RIGHT, top=top, bottom=bottom, wspace=0.08)
    places = np.arange(len(shown))
    colours = [_COLOURS[Verdict(verdict)] for verdict in shown["verdict"]]
    parts = (
        ("psi", "population stability index", LARGE_PSI),
        ("wasserstein", "Wasserstein distance, standard deviations", LARGE_WASSERSTEIN),
    )
    for number, (name, label, large) in enumerate(parts):
        axes = figure.add_subplot(grid[number])
        axes.barh(places, shown[name].fillna(0).to_numpy(), color=colours, height=0.7)
        axes.axvline(large, color=INK, linestyle="--", linewidth=0.9)
        axes.set_yticks(places, [plain(feature) for feature in shown["feature"]] if number == 0 else [])
        axes.set_xlabel(label, fontsize=8.5, color=SOFT)
        axes.set_xlim(0, max(2 * large, 1.05 * float(shown[name].max() if shown[name].notna().any() else 0)))
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.grid(axis="x", color=FAINT)
        axes.set_axisbelow(True)
        soften(axes)
    _legend(figure)
    return png(figure)


def drift_table(rows: pd.DataFrame) -> str:
    """The first features as a Markdown table; more than `MOST_ROWS` are counted below it."""
    head = ["feature", "verdict", "importance", "PSI", "Wasserstein", "KS", "adjusted p", "median before", "median now"]
    lines = [f"| {' | '.join(head)} |", "|---|---|---:|---:|---:|---:|---:|---:|---:|"]
    names = ("psi", "wasserstein", "ks", "p_adjusted", "median_reference", "median_current")
    for row in rows.sort_values("rank").head(MOST_ROWS).to_dict("records"):
        numbers = ["" if pd.isna(row[name]) else f"{row[name]:.3g}" for name in names]
        importance = "" if pd.isna(row["importance_rank"]) else str(row["importance_rank"])
        lines.append(f"| {' | '.join(map(escaped, [row['feature'], row['verdict'], importance, *numbers]))} |")
    if (more := len(rows) - MOST_ROWS) > 0:
        lines += ["", f"and {more:,} more"]
    return "\n".join(lines)


def _legend(figure: object) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [Patch(color=colour, label=verdict.value) for verdict, colour in _COLOURS.items()]
    handles.append(Line2D([], [], color=INK, ls="--", lw=0.9, label="large effect"))  # type: ignore[arg-type]
    figure.legend(  # type: ignore[attr-defined]
        handles=handles, ncols=4, loc="lower left", frameon=False, fontsize=8.5, labelcolor=INK,
        bbox_to_anchor=(_NAMES_LEFT - 0.01, 0),
    )  # fmt: skip
