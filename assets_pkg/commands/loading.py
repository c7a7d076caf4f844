"""Ranges of days loaded from the command line: which tables belong to a dataset, Dagster's own backfill of them.

Belongs here: what `tidemark backfill` and the demo share. Does not belong here: what a run does.
"""

from collections.abc import Sequence

from rich.console import Console

from assets_pkg.commands.progress import explain, watch
from assets_pkg.commands.tables import show_ledger
from assets_pkg.dagster_client import DagsterClient, RunState
from assets_pkg.planning import DayRange
from resources.errors import ConfigurationError
from resources.timescale.resource import TimescaleResource
from schemas.table_spec import TableSpec
from schemas.tables import TABLES

BACKFILL_FAILED = frozenset({"FAILED", "COMPLETED_FAILED", "CANCELED", "FAILING", "CANCELING"})


def datasets() -> list[str]:
    """Datasets whose days can be loaded."""
    return list(dict.fromkeys(spec.dataset for spec in TABLES.values() if tables_of_dataset(spec.dataset)))


def tables_of_dataset(name: str) -> tuple[TableSpec, ...]:
    """The dataset's tables that a range of event days fills, in the order they are declared: not those that run by the
    clock or by hand, nor those of files whose days are those of arrival."""
    own = [spec for spec in TABLES.values() if spec.dataset == name and all(read.marks for read in spec.reads)]
    return tuple(spec for spec in own if not spec.by_arrival)


def load(
    client: DagsterClient, timescale: TimescaleResource, specs: Sequence[TableSpec], days: DayRange, console: Console
) -> bool:
    """Dagster's own backfill of the tables over the days, watched to its end; whether it succeeded."""
    backfill_id = client.launch_backfill(specs, days)
    console.print(
        f"Dagster's backfill of {len(days.days())} days x {len(specs)} tables, in one run: "
        f"{client.url}/runs/b/{backfill_id}",
        highlight=False,
    )
    runs = watch(client, timescale, lambda: _runs_of(client, backfill_id), specs, days, console)
    succeeded = explain(client, runs, console)
    show_ledger(timescale, [run.run_id for run in runs], console)
    return succeeded


def _runs_of(client: DagsterClient, backfill_id: str) -> list[RunState]:
    status, runs = client.backfill(backfill_id)
    if not runs and status in BACKFILL_FAILED:
        raise ConfigurationError(f"Dagster's backfill {backfill_id} ended as {status}: see {client.url}/backfills")
    return runs
