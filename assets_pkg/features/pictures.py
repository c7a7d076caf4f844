"""Pictures and tables of what was found out about features: PNG bytes and Markdown, made from rows of the tables.

Belongs here: how importance and a front look. Does not belong here: what is computed (`importance.py`,
`feature_sets.py`), the style all pictures share (`assets_pkg/drawing.py`), Dagster. Same input, same bytes.
"""

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from assets_pkg.drawing import (
    FAINT,
    INK,
    LEFT,
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

MOST_BARS = 20
MOST_NAMED = 6
"""Members of a set that the table names."""

_METRICS = {"r2": "R²", "auc": "area under the ROC curve"}
_NAMES_LEFT = 0.27


def importance_picture(rows: pd.DataFrame) -> bytes:
    """A PNG: permutation importance and mutual information of the `MOST_BARS` first features of one view, target and
    day (rows of `Importance`), each with its interval of 90 %; grey is what may be chance."""
    first, shown = rows.iloc[0], rows.sort_values("rank", kind="stable").head(MOST_BARS)
    metric = _METRICS[str(first["metric"])]
    height_in = 1.25 + 0.2 * len(shown)
    scored = f"{first['score']:.2f} ({first['score_low']:.2f} to {first['score_high']:.2f})"
    words = (
        f"{len(shown)} of {len(rows)} features. {metric} of all of them on {first['rows_test']:,} later rows: "
        f"{scored}, naive {first['baseline_score']:.2f}"
    )
    figure = blank_figure(height_in, f"What tells {plain(str(first['target']))}, {first['day']:%Y-%m-%d}", words)
    grid = figure.add_gridspec(
        1, 2, left=_NAMES_LEFT, right=RIGHT, top=1 - 0.68 / height_in, bottom=0.5 / height_in, wspace=0.08
    )
    colours = [LINE_COLOURS[0] if told else NO_VALUE for told in shown["is_significant"]]
    places = np.arange(len(shown))
    for number, (name, label) in enumerate(
        (("permutation", f"loss of {metric} when shuffled"), ("mi", "mutual information, nats"))
    ):
        axes = figure.add_subplot(grid[number])
        value = shown[name].to_numpy()
        spread = np.array([value - shown[f"{name}_low"].to_numpy(), shown[f"{name}_high"].to_numpy() - value])
        axes.barh(places, value, color=colours, height=0.7)
        axes.errorbar(value, places, xerr=spread, fmt="none", ecolor=INK, elinewidth=0.9, capsize=2)
        axes.set_yticks(places, [_short(feature) for feature in shown["feature"]] if number == 0 else [])
        axes.set_xlabel(label, fontsize=8.5, color=SOFT)
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.axvline(0, color=SOFT, linewidth=0.8)
        axes.grid(axis="x", color=FAINT)
        axes.set_axisbelow(True)
        soften(axes)
    return png(figure)


def sets_picture(rows: pd.DataFrame) -> bytes:
    """A PNG: predictive value, with its interval of 90 %, against cost of the sets of one view, target and day (rows of
    `FeatureSets`). The numbers are those of `sets_table`."""
    ordered, first = in_order(rows), rows.iloc[0]
    metric = _METRICS[str(first["metric"])]
    height_in = 4.6
    words = f"{metric} on {first['rows_test']:,} later rows from {first['test_from']:%Y-%m-%d}; bars hold 90 %"
    figure = blank_figure(height_in, f"Sets of features that tell {plain(str(first['target']))}", words)
    axes = figure.add_axes((LEFT, 0.85 / height_in, RIGHT - LEFT, 1 - 1.53 / height_in))
    axes.axhline(float(first["baseline_score"]), color=SOFT, linestyle="--", linewidth=1, label="all stays as it is")
    looks = (
        ("on the front", ~ordered["is_all"] & ~ordered["is_knee"], LINE_COLOURS[0], "o"),
        ("recommended", ordered["is_knee"], LINE_COLOURS[5], "o"),
        ("all features, for comparison", ordered["is_all"], NO_VALUE, "D"),
    )
    for label, chosen, colour, marker in looks:
        some = ordered[chosen]
        if some.empty:
            continue
        names = ("cost_h", "predictive_value", "predictive_value_low", "predictive_value_high")
        cost, value, low, high = (some[name].to_numpy() for name in names)
        spread = np.array([value - low, high - value])
        axes.errorbar(cost, value, yerr=spread, fmt="none", ecolor=colour, elinewidth=1.1, capsize=2)
        sizes = 30 + 4 * some["size"].clip(upper=40).to_numpy()
        axes.scatter(cost, value, s=sizes, c=colour, marker=marker, label=label, zorder=3)
    for number, one in zip(ordered.index + 1, ordered.itertuples(), strict=True):
        place = (one.cost_h, one.predictive_value)
        axes.annotate(str(number), place, xytext=(7, 5), textcoords="offset points", fontsize=8.5, color=INK)
    axes.set_xscale("log")
    axes.set_xlabel("cost: hours of history read for one row, sum over the features", fontsize=8.5, color=SOFT)
    axes.set_ylabel(metric, fontsize=8.5, color=SOFT)
    axes.grid(color=FAINT)
    axes.set_axisbelow(True)
    axes.margins(x=0.08)
    soften(axes)
    figure.legend(
        loc="lower left", ncols=4, frameon=False, fontsize=8.5, labelcolor=INK, bbox_to_anchor=(LEFT - 0.01, 0)
    )
    return png(figure)


def in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Sets as they are listed: those of the front by predictive value, best first, the set of all features last."""
    return rows.sort_values(
        ["is_all", "predictive_value", "feature_set"], ascending=[True, False, True], kind="stable", ignore_index=True
    )


def sets_table(rows: pd.DataFrame) -> str:
    """The sets as a Markdown table."""
    head = ["", "set", "features", "value", "90 %", "redundancy", "cost", "missing", "drift", "members"]
    lines = []
    for number, one in enumerate(in_order(rows).itertuples(), start=1):
        mark = " (recommended)" if one.is_knee else " (all features)" if one.is_all else ""
        lines.append(
            [
                str(number),
                escaped(str(one.feature_set)) + mark,
                str(one.size),
                f"{one.predictive_value:.3f}",
                f"{one.predictive_value_low:.3f} to {one.predictive_value_high:.3f}",
                f"{one.redundancy:.2f}",
                f"{one.cost_h:,.0f} h",
                f"{one.missing_pct:.1f} %",
                f"{one.drift_psi:.2f}",
                _named(json.loads(str(one.members))),
            ]
        )
    return _markdown(head, lines)


def importance_table(rows: pd.DataFrame) -> str:
    """The first features as a Markdown table."""
    head = ["rank", "feature", "permutation", "90 %", "information", "90 %", "more than chance", "missing", "drift"]
    lines = [
        [
            str(one.rank),
            escaped(str(one.feature)),
            f"{one.permutation:.4f}",
            f"{one.permutation_low:.4f} to {one.permutation_high:.4f}",
            f"{one.mi:.3f}",
            f"{one.mi_low:.3f} to {one.mi_high:.3f}",
            "yes" if one.is_significant else "no",
            f"{one.missing_pct:.1f} %",
            f"{one.drift_psi:.2f}",
        ]
        for one in rows.sort_values("rank", kind="stable").head(MOST_BARS).itertuples()
    ]
    return _markdown(head, lines)


def _named(members: Sequence[str]) -> str:
    more = f" and {len(members) - MOST_NAMED} more" if len(members) > MOST_NAMED else ""
    return escaped(", ".join(members[:MOST_NAMED])) + more


def _short(feature: str) -> str:
    return plain(feature) if len(feature) <= 24 else plain(f"{feature[:11]}..{feature[-11:]}")


def _markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = f"|{'---|' * len(head)}"
    return "\n".join([f"| {' | '.join(head)} |", rule, *(f"| {' | '.join(line)} |" for line in lines)])
