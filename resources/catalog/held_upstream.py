"""Days that may not be made anew, for rules hold back the same day of a table they are made of.

Readers see none of a held day's rows, so that what would be written is a day without them. What is there of it stays,
and so does its mark as stale: it is computed when the verdict turns.

Belongs here: which days those are, and a slice without them. Does not belong here: verdicts (`rule_results.py`),
whether a sensor asks for such days (`assets_pkg/planning.py`).
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import date
from itertools import groupby

import pandas as pd

from schemas.table_spec import TableSpec
from schemas.window import Window


def left_alone(spec: TableSpec, held: Mapping[str, Collection[date]]) -> set[date]:
    """Days of the table that stay as they are; `held`: per table, the days that are held back."""
    if spec.sees_held:
        return set()
    return {day for read in spec.reads if not read.by_event for day in held.get(read.table, ())}


def stretches(window: Window, without: Collection[date]) -> Iterator[Window]:
    """The window's other days, those that follow each other as one window each."""
    for is_out, days in groupby(window.days(), key=lambda day: day in without):
        if not is_out:
            together = list(days)
            yield Window.of_days(together[0], together[-1])


def of_days(told: pd.DataFrame | None, window: Window) -> pd.DataFrame | None:
    """The rows of an account or of rejects (column `day`) that are about the window."""
    if told is None:
        return None
    return told[pd.to_datetime(told["day"]).dt.date.isin(window.days())].reset_index(drop=True)
