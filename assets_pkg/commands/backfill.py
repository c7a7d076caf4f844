"""`tidemark backfill`: a range of days through all tables of a dataset, in one run, with progress and a result.

Belongs here: what is launched and what the user is told. Does not belong here: the run itself.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime

from assets_pkg.commands.loading import datasets, tables_of_dataset
from assets_pkg.commands.progress import explain, watch
from assets_pkg.commands.tables import show_ledger, terminal
from assets_pkg.dagster_client import DagsterClient
from assets_pkg.launcher import running_stack
from assets_pkg.planning import DayRange
from resources.errors import ConfigurationError
from resources.wiring import Settings, build_timescale
from schemas.datasets import OPENAQ
from schemas.table_spec import TableSpec


def backfill(chosen: Settings, *, dataset: str, first: date, last: date, locations: tuple[int, ...]) -> int:
    """Loads the days through the running stack, or through one started for the purpose.

    Raises:
        ConfigurationError: there is no such dataset, or it has no locations; the range is empty, lies in the future or
            before the dataset's first day.
    """
    specs = _specs(dataset, locations)
    days = _checked(specs, first, last)
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


def _specs(dataset: str, locations: tuple[int, ...]) -> tuple[TableSpec, ...]:
    specs = tables_of_dataset(dataset)
    if not specs:
        raise ConfigurationError(f"there is no dataset {dataset!r}; there are {', '.join(datasets())}")
    if locations and dataset != OPENAQ.name:
        raise ConfigurationError(f"{dataset} has no locations; only those of {OPENAQ.name} can be chosen")
    return specs


def _checked(specs: Sequence[TableSpec], first: date, last: date) -> DayRange:
    today = datetime.now(UTC).date()
    if last < first:
        raise ConfigurationError(f"the range ends on {last}, before it begins on {first}")
    if last > today:
        raise ConfigurationError(f"{last} is in the future; the newest day there can be is {today} (UTC)")
    begins = max(spec.first_day for spec in specs if spec.first_day)
    if first < begins:
        raise ConfigurationError(f"{first} is before the first day of {specs[0].dataset}, {begins}")
    return DayRange(first, last)
