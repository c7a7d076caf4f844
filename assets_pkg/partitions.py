"""How time is cut, one definition per dataset, and a context's partitions as windows.

Belongs here: every PartitionsDefinition with grain, start, zone and reason. Does not belong here: assets.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from resources.errors import ConfigurationError
from schemas.datasets import OPENAQ
from schemas.window import ONE_DAY, Window

OPENAQ_DAILY = dg.DailyPartitionsDefinition(start_date=OPENAQ.first_day, timezone="UTC", end_offset=1)
"""UTC days, so that no day has 23 or 25 hours; the running day is one of them (`end_offset`), since the API has its
measurements within the hour. All of OpenAQ's assets share it: a range over several of them stays one run."""

ARRIVALS = dg.DailyPartitionsDefinition(start_date="2024-01-01", timezone="UTC", end_offset=1)
"""UTC days on which files arrived. A file is never a partition: ten thousand make the UI and every tick slow."""

PIECE = timedelta(days=31)
"""How much of a long range is held in memory at a time."""


def event_days(first_day: str) -> dg.DailyPartitionsDefinition:
    """UTC days that the rows of a dataset of files are about, the running day among them."""
    return dg.DailyPartitionsDefinition(start_date=first_day, timezone="UTC", end_offset=1)


def window_of(context: dg.AssetExecutionContext) -> Window:
    """The window of the run: one day or a whole range.

    Raises:
        ConfigurationError: it reaches beyond the running UTC day.
    """
    window = Window(context.partition_time_window.start, context.partition_time_window.end)
    if window.start > datetime.now(UTC) or window.end > datetime.now(UTC) + ONE_DAY:
        raise ConfigurationError(
            f"{window.days()[0]} to {window.days()[-1]} reaches into the future: ask for days up to today, "
            f"{datetime.now(UTC):%Y-%m-%d} (UTC)"
        )
    return window


def judged_window(context: dg.AssetCheckExecutionContext) -> Window:
    """The window of the run whose asset is checked; of a check that is run by itself, all there is."""
    try:
        window = context.partition_time_window
    except dg.DagsterInvariantViolationError:
        return Window.of_days(date.fromisoformat(OPENAQ.first_day), datetime.now(UTC).date())
    return Window(window.start, window.end)


def pieces(windows: Iterable[Window]) -> Iterator[Window]:
    """The windows, in order, cut so that each fits in memory."""
    for window in windows:
        yield from window.split(PIECE)
