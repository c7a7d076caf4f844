"""`tidemark backfill`: a range of days through all four tables, in one run, with progress and a result.

Belongs here: what is launched and what the user is told. Does not belong here: the run itself.
"""

from datetime import UTC, date, datetime

from assets_pkg.commands.progress import explain, watch
from assets_pkg.commands.tables import show_ledger, terminal
from assets_pkg.dagster_client import DagsterClient
from assets_pkg.launcher import running_stack
from assets_pkg.planning import DayRange
from resources.errors import ConfigurationError
from resources.wiring import Settings, build_timescale
from schemas.datasets import OPENAQ
from schemas.tables import OPENAQ_TABLES


def backfill(chosen: Settings, *, first: date, last: date, locations: tuple[int, ...]) -> int:
    """Loads the days through the running stack, or through one started for the purpose.

    Raises:
        ConfigurationError: the range is empty, lies in the future or before the dataset's first day.
    """
    days = _checked(first, last)
    specs = tuple(OPENAQ_TABLES.values())
    console = terminal()
    config = {"ops": {"staging__openaq_measurements": {"config": {"locations": list(locations)}}}} if locations else {}
    with running_stack(chosen) as stack:
        client = DagsterClient(stack.url)
        timescale = build_timescale(chosen)
        run_id = client.launch_range(specs, days, config)
        console.print(f"run {run_id[:8]}: {stack.url}/runs/{run_id}", highlight=False)
        ended = watch(client, timescale, lambda: [client.run(run_id)], specs, days, console)
        succeeded = explain(client, ended, console)
        show_ledger(timescale, [run_id], console)
    return 0 if succeeded else 1


def _checked(first: date, last: date) -> DayRange:
    today = datetime.now(UTC).date()
    if last < first:
        raise ConfigurationError(f"the range ends on {last}, before it begins on {first}")
    if last > today:
        raise ConfigurationError(f"{last} is in the future; the newest day there can be is {today} (UTC)")
    if first < date.fromisoformat(OPENAQ.first_day):
        raise ConfigurationError(f"{first} is before the first day of {OPENAQ.name}, {OPENAQ.first_day}")
    return DayRange(first, last)
