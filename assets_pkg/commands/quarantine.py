"""`tidemark quarantine` and `tidemark replay`: what was put aside, why, and what a changed declaration would free.

Belongs here: questions to the quarantine, trying files again without writing, and launching what writes. Does not
belong here: reading a file (`resources/landing/`), loading one (`assets_pkg/staging/`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from assets_pkg.commands.progress import explain, watch
from assets_pkg.commands.tables import show_ledger, terminal
from assets_pkg.dagster_client import DagsterClient
from assets_pkg.launcher import running_stack
from assets_pkg.planning import ranges
from resources.catalog.file_loads import stale_days
from resources.catalog.file_questions import put_aside_files
from resources.catalog.files import KnownFile
from resources.errors import ConfigurationError, RejectedFile
from resources.landing.names import escaped
from resources.landing.preparation import Declaration, prepared
from resources.timescale.resource import TimescaleResource
from resources.wiring import Settings, build_timescale, landing_resource
from schemas.catalog import QUARANTINE
from schemas.catalog_files import FILE_METADATA, Status
from schemas.declared_files import file_datasets
from schemas.file_dataset import FileDataset
from schemas.file_tables import tables_of

SHOWN = 200
"""Characters of a row that a list shows."""


def list_quarantine(chosen: Settings) -> int:
    """Prints, per table and rule, how many rows are put aside, and files that were refused as a whole."""
    console, timescale = terminal(), build_timescale(chosen)
    with timescale.connect() as connection:
        columns = (QUARANTINE.c.table_name, QUARANTINE.c.rule)
        query = sa.select(
            *columns,
            sa.func.count(),
            sa.func.min(QUARANTINE.c.day),
            sa.func.max(QUARANTINE.c.day),
            sa.func.min(QUARANTINE.c.reason),
        )
        groups = connection.execute(query.group_by(*columns).order_by(sa.func.count().desc(), *columns)).all()
        refused = connection.execute(_refused()).all()
    rows = Table(title="Rows put aside")
    for name in ("table", "rule", "rows", "first day", "last day", "for example"):
        rows.add_column(name, justify="right" if name == "rows" else "left", overflow="fold")
    for table, rule, count, first, last, reason in groups:
        rows.add_row(table, escape(rule), f"{count:,}", str(first), str(last), escape(escaped(reason[:SHOWN])))
    console.print(rows)
    if refused:
        console.print(_refused_table(refused))
    if not groups and not refused:
        console.print("Nothing is put aside.")
    return 0


def show_quarantine(chosen: Settings, *, name: str, rule: str | None, most: int) -> int:
    """Prints single rows put aside of a table or dataset: file, line, rule, reason and the row as received."""
    console, timescale = terminal(), build_timescale(chosen)
    tables = [spec.qualified for spec in tables_of(name)] if name in file_datasets() else [name]
    query = (
        sa.select(QUARANTINE, FILE_METADATA.c.file_name)
        .outerjoin(
            FILE_METADATA,
            sa.and_(
                FILE_METADATA.c.id == QUARANTINE.c.source_id, FILE_METADATA.c.target_table == QUARANTINE.c.table_name
            ),
        )
        .where(QUARANTINE.c.table_name.in_(tables))
        .order_by(QUARANTINE.c.source_id, QUARANTINE.c.line_no)
        .limit(most)
    )
    if rule:
        query = query.where(QUARANTINE.c.rule.contains(rule, autoescape=True))
    with timescale.connect() as connection:
        found = connection.execute(query).all()
    for row in found:
        where = (
            f"{row.file_name or row.table_name}, line {row.line_no}" if row.line_no else f"{row.table_name}, {row.day}"
        )
        console.print(f"[bold]{escape(escaped(where))}[/]  {escape(row.rule)}: {escape(escaped(row.reason))}")
        console.print(f"  {escape(escaped(row.raw[:2_000]))}", style="dim", highlight=False)
    if not found:
        console.print(f"Nothing of {name} is put aside. Tables: tidemark quarantine list")
    return 0


@dataclass(frozen=True)
class Trial:
    """What reading one file again would do."""

    file: KnownFile
    freed: int
    """Rows that are put aside now and would be loaded."""
    lost: int
    """Rows that are loaded now and would be put aside."""
    put_aside: int
    event_days: tuple[date, ...]
    error: str | None


def replay(chosen: Settings, *, dataset_name: str, is_dry: bool) -> int:
    """Reads files that have rows put aside, or were refused, once more under the declaration as it is now.

    A dry run writes nothing and says what would come of it. The real one is one Dagster run per range of days of
    arrival; running it again changes nothing.

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
    trials = [_try_again(chosen, timescale, dataset, file) for file, _ in files]
    _tell(console, dataset, trials)
    worth = [trial.file for trial in trials if trial.freed]
    if is_dry or not worth:
        return 0
    return _launch(chosen, timescale, dataset, worth, console)


def _try_again(chosen: Settings, timescale: TimescaleResource, dataset: FileDataset, file: KnownFile) -> Trial:
    landing, spec = landing_resource(chosen), tables_of(dataset.name).staging
    declaration = Declaration(name=dataset.name, spec=spec, dataset=dataset)
    before = _lines_aside(timescale, file)
    with landing.zone().fetch_archived(file.archive_path or "", file.sha256) as path, landing.scratch() as work_dir:
        try:
            with prepared(path, declaration, file.arrived_at, work_dir, landing.limits) as found:
                days = tuple(found.event_days)
                if file.status is Status.REJECTED:
                    return Trial(file, found.rows, 0, found.read, days, None)
                after = {line for batch in found.rejects() for line in batch.column("line_no").to_pylist()}
                return Trial(file, len(before - after), len(after - before), len(before), days, None)
        except RejectedFile as error:
            return Trial(file, 0, 0, len(before), (), str(error))


def _lines_aside(timescale: TimescaleResource, file: KnownFile) -> set[int]:
    query = sa.select(QUARANTINE.c.line_no).where(
        QUARANTINE.c.source_id == file.id, QUARANTINE.c.table_name == file.target_table
    )
    with timescale.connect() as connection:
        return set(connection.execute(query).scalars())


def _tell(console: Console, dataset: FileDataset, trials: Sequence[Trial]) -> None:
    spec = tables_of(dataset.name).staging
    freed = [trial for trial in trials if trial.freed]
    touched = stale_days(spec, {day for trial in freed for day in (*trial.event_days, *trial.file.event_days)})
    rows, total = sum(trial.freed for trial in trials), sum(trial.put_aside for trial in trials)
    days = len({day for _, day in touched})
    console.print(f"frees {rows:,} of {total:,} rows, touches {days:,} days", style="bold", highlight=False)
    for trial in trials:
        told = f"still refused, {trial.error}" if trial.error else f"frees {trial.freed:,} of {trial.put_aside:,} rows"
        if trial.lost:
            told += f", but puts aside {trial.lost:,} that are loaded now"
        console.print(f"  {escape(escaped(f'{trial.file.file_name}: {told}'))}", style="dim", highlight=False)


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


def _refused() -> sa.Select[tuple[object, ...]]:
    columns = ("dataset", "file_name", "arrived_on", "error_rule", "error_message", "archive_path")
    query = sa.select(*(FILE_METADATA.c[name] for name in columns))
    is_refused = FILE_METADATA.c.ingestion_status == Status.REJECTED.value
    return query.where(is_refused).order_by(FILE_METADATA.c.arrived_at.desc()).limit(100)


def _refused_table(refused: Sequence[sa.Row[tuple[object, ...]]]) -> Table:
    table = Table(title="Files refused as a whole")
    for name in ("dataset", "file", "arrived", "rule", "why", "kept as"):
        table.add_column(name, overflow="fold")
    for row in refused:
        told = (row.dataset, row.file_name, str(row.arrived_on), row.error_rule, row.error_message, row.archive_path)
        table.add_row(*(escape(escaped(str(text or ""))) for text in told))
    return table
