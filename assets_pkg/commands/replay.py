"""`tidemark replay`: files with something put aside are read again under the declaration as it is now.

Belongs here: trying files without writing, saying what would come of it, launching what writes. Does not belong here:
reading a file (`resources/landing/`), loading one (`assets_pkg/staging/`), showing what is put aside (`quarantine.py`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa
from rich.console import Console
from rich.markup import escape

from assets_pkg.commands.progress import explain, watch
from assets_pkg.commands.tables import show_ledger, terminal
from assets_pkg.dagster_client import DagsterClient
from assets_pkg.launcher import running_stack
from assets_pkg.planning import ranges
from resources.catalog.file_loads import stale_days
from resources.catalog.file_questions import IS_VALUE_ASIDE, put_aside_files
from resources.catalog.files import KnownFile
from resources.errors import ConfigurationError, CorruptSource, RejectedFile
from resources.landing.columns.conversion import LEAP_RULE
from resources.landing.names import escaped
from resources.landing.preparation import Declaration, Prepared, prepared
from resources.timescale.resource import TimescaleResource
from resources.wiring import Settings, build_timescale, landing_resource
from schemas.catalog import QUARANTINE
from schemas.catalog_files import BAD_CELLS, Status
from schemas.declared_files import file_datasets
from schemas.file_dataset import FileDataset
from schemas.file_tables import tables_of

NAMED = 5
"""Files that a line names."""


@dataclass(frozen=True)
class Aside:
    """What is put aside of a file."""

    rows: frozenset[int]
    """Lines."""
    values: frozenset[tuple[int, str]]
    """Line and column, of rows that are loaded without them."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What reading a file again would do, in rows or in values."""

    freed: int = 0
    """Put aside now, and would be loaded."""
    lost: int = 0
    """Loaded now, and would be put aside."""
    put_aside: int = 0


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What reading one file again would do."""

    file: KnownFile
    rows: Change
    values: Change
    event_days: tuple[date, ...] = ()
    error: str | None = None

    @property
    def frees(self) -> bool:
        """Whether anything would be loaded that is not."""
        return bool(self.rows.freed or self.values.freed)


def replay(chosen: Settings, *, dataset_name: str, is_dry: bool) -> int:
    """Reads files that have rows or values put aside, or were refused, again under the declaration as it is now.

    A dry run writes nothing and says what would come of it. The real one is one Dagster run per range of days of
    arrival; running it again changes nothing. Files whose time in the archive is over are named and left out.

    Raises:
        ConfigurationError: nobody declared the dataset.
    """
    if dataset_name not in file_datasets():
        raise ConfigurationError(
            f"{dataset_name!r} is not declared; declared are {', '.join(sorted(file_datasets()))}. "
            f"`tidemark propose {dataset_name}` writes a declaration"
        )
    dataset, console, timescale = file_datasets()[dataset_name], terminal(), build_timescale(chosen)
    with timescale.connect() as connection:
        files = put_aside_files(connection, dataset_name)
    if not files:
        console.print(f"Nothing of {dataset_name} is put aside.")
        return 0
    if kept := [file for file in files if file.status is not Status.RETAINED]:
        trials = [_try_again(chosen, timescale, dataset, file) for file in kept]
        _tell(console, dataset, trials)
    _tell_left_out(console, [file for file in files if file.status is Status.RETAINED])
    worth = [trial.file for trial in trials if trial.frees] if kept else []
    if is_dry or not worth:
        return 0
    return _launch(chosen, timescale, dataset, worth, console)


def _try_again(chosen: Settings, timescale: TimescaleResource, dataset: FileDataset, file: KnownFile) -> Trial:
    landing, spec = landing_resource(chosen), tables_of(dataset.name).staging
    declaration = Declaration(name=dataset.name, spec=spec, dataset=dataset)
    before = _aside_now(timescale, file)
    try:
        with (
            landing.zone().fetch_archived(file.archive_path or "", file.sha256) as path,
            landing.scratch() as work_dir,
            prepared(path, declaration, file.arrived_at, work_dir, landing.limits) as found,
        ):
            return _compared(file, before, found)
    except (RejectedFile, CorruptSource) as error:
        told = f"still refused, {error}" if isinstance(error, RejectedFile) else f"cannot be read again, {error}"
        rows, values = Change(put_aside=len(before.rows)), Change(put_aside=len(before.values))
        return Trial(file=file, rows=rows, values=values, error=told)


def _compared(file: KnownFile, before: Aside, found: Prepared) -> Trial:
    days = tuple(found.event_days)
    if file.status is Status.REJECTED:
        return Trial(file=file, rows=Change(freed=found.rows, put_aside=found.read), values=Change(), event_days=days)
    after = Aside(
        frozenset(line for batch in found.rejects() for line in batch.column("line_no").to_pylist()),
        frozenset((line, column) for line, column, _, rule, _ in found.bad_cells() if rule != LEAP_RULE),
    )
    freed, lost = before.values - after.values, after.values - before.values
    return Trial(
        file=file,
        rows=Change(
            freed=len(before.rows - after.rows), lost=len(after.rows - before.rows), put_aside=len(before.rows)
        ),
        # A value leaves with its row, and what a row is loaded without that was put aside whole is no loss.
        values=Change(
            freed=sum(line not in after.rows for line, _ in freed),
            lost=sum(line not in before.rows | after.rows for line, _ in lost),
            put_aside=len(before.values),
        ),
        event_days=days,
    )


def _aside_now(timescale: TimescaleResource, file: KnownFile) -> Aside:
    rows = sa.select(QUARANTINE.c.line_no).where(
        QUARANTINE.c.source_id == file.id, QUARANTINE.c.table_name == file.target_table
    )
    values = sa.select(BAD_CELLS.c.line_no, BAD_CELLS.c.column_name).where(
        BAD_CELLS.c.file_metadata_id == file.id, IS_VALUE_ASIDE
    )
    with timescale.connect() as connection:
        return Aside(
            frozenset(connection.execute(rows).scalars()),
            frozenset((line, column) for line, column in connection.execute(values)),
        )


def _tell(console: Console, dataset: FileDataset, trials: Sequence[Trial]) -> None:
    spec = tables_of(dataset.name).staging
    freed = [trial for trial in trials if trial.frees]
    touched = stale_days(spec, {day for trial in freed for day in (*trial.event_days, *trial.file.event_days)})
    days = len({day for _, day in touched})
    console.print(f"{_freed(trials)}, touches {days:,} days", style="bold", highlight=False)
    for trial in trials:
        told = trial.error or _freed([trial]) + _lost(trial)
        console.print(f"  {escape(escaped(f'{trial.file.file_name}: {told}'))}", style="dim", highlight=False)


def _freed(trials: Iterable[Trial]) -> str:
    rows, values = [trial.rows for trial in trials], [trial.values for trial in trials]
    told = f"frees {sum(one.freed for one in rows):,} of {sum(one.put_aside for one in rows):,} rows"
    if aside := sum(one.put_aside for one in values):
        told += f" and {sum(one.freed for one in values):,} of {aside:,} values"
    return told


def _lost(trial: Trial) -> str:
    rows, values = trial.rows.lost, trial.values.lost
    if values:
        return f", but puts aside {rows:,} rows and {values:,} values that are loaded now"
    return f", but puts aside {rows:,} that are loaded now" if rows else ""


def _tell_left_out(console: Console, files: Sequence[KnownFile]) -> None:
    if not files:
        return
    names = ", ".join(file.file_name for file in files[:NAMED]) + " and more" * (len(files) > NAMED)
    told = f"left out, for their time in the archive is over and their bytes are gone: {len(files):,} file(s), {names}"
    console.print(f"  {escape(escaped(told))}", style="dim", highlight=False)


def _launch(
    chosen: Settings, timescale: TimescaleResource, dataset: FileDataset, files: Sequence[KnownFile], console: Console
) -> int:
    spec = tables_of(dataset.name).staging
    op = spec.qualified.replace(".", "__")
    succeeded = True
    with running_stack(chosen) as stack:
        client = DagsterClient(stack.url)
        for days in ranges({file.arrived_on for file in files}):
            ids = [file.id for file in files if days.first <= file.arrived_on <= days.last]
            run_id = client.launch_range((spec,), days, {"ops": {op: {"config": {"ids": ids}}}})
            console.print(f"run {run_id[:8]}: {stack.url}/runs/{run_id}", highlight=False)
            ended = watch(client, timescale, lambda run_id=run_id: [client.run(run_id)], (spec,), days, console)
            succeeded &= explain(client, ended, console)
            show_ledger(timescale, [run_id], console)
    console.print("What is downstream follows by itself while the stack runs (tidemark up).", style="dim")
    return 0 if succeeded else 1
