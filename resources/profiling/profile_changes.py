"""What changed between two profiles of a table, and how much.

Belongs here: comparing two days' profiles. Does not belong here: how it is printed (`assets_pkg/commands/profile.py`),
whether a change is drift, which takes the rows.
"""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from schemas.catalog_profiles import QUANTILES

CHANGE_COLUMNS = ["column_name", "what", "before", "after", "change"]

MOVED_QUANTILES = tuple(QUANTILES)

SAME_WITHIN = 1e-12
"""Relative difference of two numbers that the order of adding them up can make."""


def changes(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """What differs between the profiles of two days of one table: `CHANGE_COLUMNS`, the largest change first.

    `change` is between 0 and 1 and says how much of what could change did:

    - rows, distinct values, lengths: |a - b| / max(|a|, |b|);
    - share of nulls, of NaN and infinite values, of true ones: |a - b|, as a share;
    - mean and quantiles: |a - b| / (|a - b| + width), where width is the distance from the 5 % to the 95 % quantile,
      the wider of the two days: 0.5 means that it moved as far as nine tenths of the values lie apart;
    - common values that are new or vanished: their share of the rows.

    Columns that only one of the days has are changes of 1. `before` and `after` hold text for people; the row about the
    whole table has no column.
    """
    first, second = (frame.set_index("column_name") for frame in (before, after))
    rows = [_told("", "rows", _rows(first), _rows(second), _relative(_rows(first), _rows(second)))]
    for name in dict.fromkeys((*first.index, *second.index)):
        if name not in first.index or name not in second.index:
            was, now = ("there", "gone") if name in first.index else ("absent", "there")
            rows.append({"column_name": name, "what": "column", "before": was, "after": now, "change": 1.0})
        else:
            rows += _of_column(str(name), first.loc[name], second.loc[name])
    found = pd.DataFrame(rows, columns=CHANGE_COLUMNS)
    found = found[found["change"] > SAME_WITHIN]
    return found.sort_values("change", ascending=False, kind="stable", ignore_index=True)


def _rows(profile: pd.DataFrame) -> float:
    return float(profile["rows"].max()) if len(profile) else 0.0


def _of_column(name: str, before: Any, after: Any) -> Iterator[dict[str, Any]]:
    if before["kind"] != after["kind"]:
        yield {"column_name": name, "what": "kind", "before": before["kind"], "after": after["kind"], "change": 1.0}
        return
    for what in ("nulls", "nans", "infinities"):
        was, now = (one[what] / max(one["rows"], 1) for one in (before, after))
        yield _told(name, f"share of {what}", was, now, abs(was - now), is_share=True)
    for what in ("distinct_values", "length_min", "length_mean", "length_max"):
        yield _told(name, what.replace("_", " "), before[what], after[what], _relative(before[what], after[what]))
    was, now = before["true_pct"] / 100, after["true_pct"] / 100
    yield _told(name, "share of true", was, now, _apart(was, now), is_share=True)
    width = max(_width(before), _width(after))
    for what in ("mean", *MOVED_QUANTILES):
        yield _told(name, what, before[what], after[what], _moved(before[what], after[what], width))
    if after["kind"] in ("text", "boolean", "integer"):
        yield from _common(name, before, after)


def _common(name: str, before: Any, after: Any) -> Iterator[dict[str, Any]]:
    was, now = dict(before["common"]), dict(after["common"])
    for value in [*now, *(value for value in was if value not in now)]:
        if value in was and value in now:
            continue
        rows, count = (after["rows"], now[value]) if value in now else (before["rows"], was[value])
        words = f"{count:,} rows"
        yield {
            "column_name": name,
            "what": f"{'new' if value in now else 'vanished'} common value {value!r}",
            "before": "" if value in now else words,
            "after": words if value in now else "",
            "change": count / rows,
        }


def _told(name: str, what: str, was: Any, now: Any, change: float, *, is_share: bool = False) -> dict[str, Any]:
    words = [_number(value, is_share=is_share) for value in (was, now)]
    return {"column_name": name, "what": what, "before": words[0], "after": words[1], "change": change}


def _number(value: Any, *, is_share: bool) -> str:
    if pd.isna(value):
        return "none"
    if is_share:
        return f"{100 * float(value):.2f} %"
    return f"{int(value):,}" if float(value).is_integer() and abs(value) < 1e15 else f"{float(value):.6g}"


def _relative(was: Any, now: Any) -> float:
    if pd.isna(was) or pd.isna(now):
        return _apart(was, now)
    largest = max(abs(float(was)), abs(float(now)))
    return abs(float(was) - float(now)) / largest if largest else 0.0


def _apart(was: Any, now: Any) -> float:
    """The difference of two shares; one that is not there at all is as different as can be."""
    if pd.isna(was) or pd.isna(now):
        return 0.0 if pd.isna(was) and pd.isna(now) else 1.0
    return abs(float(was) - float(now))


def _moved(was: Any, now: Any, width: float) -> float:
    if pd.isna(was) or pd.isna(now):
        return _apart(was, now)
    distance = abs(float(was) - float(now))
    if distance <= SAME_WITHIN * max(abs(float(was)), abs(float(now))):
        return 0.0
    return 1.0 if width == 0 else distance / (distance + width)


def _width(profile: Any) -> float:
    width = profile["p95"] - profile["p05"]
    return 0.0 if pd.isna(width) else float(width)
