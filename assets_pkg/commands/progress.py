"""Runs watched from the command line: one bar per table, by the days the ledger has seen.

Belongs here: showing how far runs are and how they ended. Does not belong here: starting them.
"""

import time
from collections.abc import Callable, Sequence

import sqlalchemy as sa
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from assets_pkg.dagster_client import DagsterClient, RunState
from assets_pkg.planning import DayRange
from resources.timescale.resource import TimescaleResource
from schemas.catalog import LEDGER
from schemas.table_spec import TableSpec

POLL_S = 1.0


def watch(
    client: DagsterClient,
    timescale: TimescaleResource,
    runs: Callable[[], Sequence[RunState]],
    specs: Sequence[TableSpec],
    days: DayRange,
    console: Console,
) -> list[RunState]:
    """Shows progress until there are runs and all of them have ended; on Ctrl-C they are stopped."""
    with _bars(console) as bars:
        tasks = {spec.qualified: bars.add_task(spec.qualified, total=len(days.days())) for spec in specs}
        found: list[RunState] = []
        try:
            while not found or not all(run.has_ended for run in found):
                time.sleep(POLL_S)
                found = list(runs())
                _advance(bars, tasks, timescale, found)
        except KeyboardInterrupt:
            for run in found:
                if not run.has_ended:
                    client.terminate(run.run_id)
            raise
        _advance(bars, tasks, timescale, found)
    return found


def explain(client: DagsterClient, runs: Sequence[RunState], console: Console) -> bool:
    """Whether all runs succeeded; says why not and where to look."""
    for run in runs:
        if run.status != "SUCCESS":
            console.print(
                f"run {run.run_id[:8]} ended as {run.status}: {client.url}/runs/{run.run_id}", highlight=False
            )
            for reason in client.failures(run.run_id):
                console.print(f"  {reason}", highlight=False, markup=False)
    return all(run.status == "SUCCESS" for run in runs)


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<30}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("days"),
        TimeElapsedColumn(),
        console=console,
    )


def _advance(bars: Progress, tasks: dict[str, TaskID], timescale: TimescaleResource, runs: Sequence[RunState]) -> None:
    query = (
        sa.select(LEDGER.c.table_name, sa.func.count(LEDGER.c.day.distinct()))
        .where(LEDGER.c.run_id.in_([run.run_id for run in runs]))
        .group_by(LEDGER.c.table_name)
    )
    with timescale.connect() as connection:
        done = {table: days for table, days in connection.execute(query)}
    for table, task in tasks.items():
        bars.update(task, completed=min(done.get(table, 0), bars.tasks[task].total or 0))
