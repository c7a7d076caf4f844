"""Staging assets of datasets that are read from a database, an object store or an API.

Belongs here: what of a source is read for which days, how it is accounted for, and what Dagster is told of it. Does not
belong here: reading a source (`resources/sources/`), which version of a row stands (`source_transforms.py`).
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import dagster as dg
import pandas as pd

from assets_pkg.dagster_types import table_options
from assets_pkg.partitions import event_days, pieces, window_of
from assets_pkg.staging.source_transforms import (
    Snapshot,
    Snapshots,
    accounts,
    column_changes,
    days_of_rows,
    event_rows,
    on_days,
    snapshot_rows,
)
from resources.catalog.accounts import REJECT_COLUMNS
from resources.catalog.io_manager import LedgerWrite
from resources.catalog.resource import CatalogResource
from resources.errors import ConfigurationError, SourceChanging
from resources.sources.reading import TableRead
from resources.sources.resource import SourcesResource
from resources.timescale.slices import SliceStream
from schemas.source_dataset import Shows, SourceDataset, SourceTable
from schemas.source_tables import staging_spec
from schemas.table_spec import TableSpec
from schemas.window import ONE_DAY, Window, midnight

ROWS_AT_A_TIME = 200_000
"""Rows from which on the days of a state are written: those of fewer rows wait for the next day."""

POOL = "source_{}"
"""One pool per dataset: a source is read by one run at a time."""


def build_source_assets(dataset: SourceDataset) -> list[dg.AssetsDefinition]:
    """The staging asset of each of the dataset's tables.

    Each day of a table has an account of its own, which is the same however the range of days is cut:

    - `read`: the rows the day began with (states: one per key, from the day before) and those stamped in it
    - `loaded`: the rows of the day
    - `duplicate`: rows stamped in it that agree with another one in key and stamp
    - `quarantined`: rows stamped in it that break a rule; rows without a stamp count to the last day of the read
    - `filtered`: states only: versions that a newer one of the day, or before its end, replaced; of a source without
      versions also rows stamped after its end
    """
    return [_source_asset(dataset, table, staging_spec(dataset, table)) for table in dataset.tables]


def _source_asset(dataset: SourceDataset, table: SourceTable, spec: TableSpec) -> dg.AssetsDefinition:
    @dg.asset(
        **table_options(spec, dataset=dataset.name),
        partitions_def=event_days(dataset.first_day),
        pool=POOL.format(dataset.name),
        description=f"{spec.model.__doc__} {_meaning(table)}",
    )
    def staged(context: dg.AssetExecutionContext, sources: SourcesResource, catalog: CatalogResource) -> SliceStream:
        return SliceStream(_writes(_Task(context, sources, catalog, dataset, table, spec)))

    return staged


def _meaning(table: SourceTable) -> str:
    if table.shows is Shows.EVENTS:
        return f"From `{table.name}` of the source, by the UTC day of `{table.changed_at}`."
    whole = f"From `{table.name}` of the source: of each key the newest version at the END of the UTC day."
    return whole if table.keeps_versions else f"{whole} The source keeps no versions: only the running day can be read."


@dataclass(frozen=True)
class _Task:
    """One table to be read in one run."""

    context: dg.AssetExecutionContext
    sources: SourcesResource
    catalog: CatalogResource
    dataset: SourceDataset
    table: SourceTable
    spec: TableSpec


@dataclass
class _Found:
    """What one read gave beside the rows that are good, by the days of `window`."""

    window: Window
    every_on: date | None = None
    """The day all of it is accounted to, whatever its stamp; None: each to the day of its own."""
    rejects: list[pd.DataFrame] = field(default_factory=list)
    duplicates: Counter[date] = field(default_factory=Counter)
    is_last: bool = True
    """Whether no later piece of the run is read: what has no stamp comes with every piece, and counts once."""
    told: dict[str, object] = field(default_factory=dict)
    """What Dagster is told of the read."""

    def put_aside(self, rejects: pd.DataFrame) -> None:
        """Takes in rejects: rule, reason, raw, source_id, line_no, moment."""
        if not self.is_last:
            rejects = rejects[rejects["moment"].notna() & (rejects["moment"] <= pd.Timestamp(self.window.end))]
        if len(rejects):
            moment = rejects["moment"] if self.every_on is None else _end_of(self.every_on)
            self.rejects.append(on_days(rejects.assign(moment=moment), self.window.days()))

    def repeated(self, stamps: pd.Series) -> None:
        """Takes in the stamps of duplicates."""
        self.duplicates.update(days_of_rows(stamps) if self.every_on is None else [self.every_on] * len(stamps))

    def rejects_of(self, days: Collection[date]) -> pd.DataFrame:
        """Those accounted to the days: `REJECT_COLUMNS`."""
        own = [one[one["day"].isin(list(days))] for one in self.rejects]
        whole = [one for one in own if len(one)]
        return pd.concat(whole, ignore_index=True) if whole else pd.DataFrame(columns=REJECT_COLUMNS)


def _writes(task: _Task) -> Iterator[LedgerWrite]:
    window = window_of(task.context)
    if task.table.shows is Shows.EVENTS:
        return _events(task, window)
    if task.table.keeps_versions:
        return _states(task, window)
    return _running_state(task, window)


def _events(task: _Task, window: Window) -> Iterator[LedgerWrite]:
    """The rows stamped in each piece, which replace what is there of it: rows that were committed late are among them,
    and the schedule asks for a day until nothing of it can be late any more."""
    for piece in pieces([window]):
        found = _Found(piece, is_last=piece.end == window.end)
        arrived: Counter[date] = Counter()
        batches = []
        for rows in _rows(task, found, since=piece.start, until=piece.end):
            batches.append(rows[piece.holds(rows[task.table.changed_at], "right")])
            arrived.update(days_of_rows(batches[-1][task.table.changed_at]))
        rows = event_rows(batches, task.table, datetime.now(UTC))
        loaded = Counter(days_of_rows(rows[task.table.changed_at]))
        yield _write(task, piece, rows, found, arrived=arrived, loaded=loaded, filtered={})


def _states(task: _Task, window: Window) -> Iterator[LedgerWrite]:
    """A day after the other; the state that a piece ends with is the one the next begins with."""
    state: pd.DataFrame | None = None
    for piece in pieces([window]):
        snapshots, found = Snapshots(task.table, piece, state), _Found(piece, is_last=piece.end == window.end)
        since = None if state is None else piece.start
        for rows in _rows(task, found, since=since, until=piece.end):
            snapshots.add(rows)
        waiting: list[Snapshot] = []
        for snapshot in snapshots.by_day():
            state = snapshot.rows
            waiting.append(snapshot)
            if sum(len(one.rows) for one in waiting) >= ROWS_AT_A_TIME:
                yield _snapshots_write(task, waiting, found)
                waiting = []
        if waiting:
            yield _snapshots_write(task, waiting, found)


def _snapshots_write(task: _Task, snapshots: Sequence[Snapshot], found: _Found) -> LedgerWrite:
    """Days in a row, in one transaction: a small table costs as much for a day as for a month."""
    return _write(
        task,
        Window.of_days(snapshots[0].day, snapshots[-1].day),
        snapshot_rows(snapshots, task.table, datetime.now(UTC)),
        found,
        arrived={one.day: one.arrived for one in snapshots},
        loaded={one.day: len(one.rows) for one in snapshots},
        filtered={one.day: one.superseded for one in snapshots},
    )


def _running_state(task: _Task, window: Window) -> Iterator[LedgerWrite]:
    """The source keeps no versions: only the running day is read and written, whatever else was asked for.

    Raises:
        ConfigurationError: all days are past, and one of them was never read.
        SourceChanging: the day ended while it was read.
    """
    today = datetime.now(UTC).date()
    if today not in window.days():
        _require_read_then(task, window)
        return
    running = Window.of_days(today, today)
    snapshots, found = Snapshots(task.table, running), _Found(running, every_on=today)
    for rows in _rows(task, found, since=None, until=None):
        snapshots.add(rows)
    if snapshots.beyond and datetime.now(UTC) > running.end:
        raise SourceChanging(
            f"{task.spec.qualified}: {today} (UTC) ended while it was read, what was there of it stays"
        )
    (snapshot,) = snapshots.by_day()
    yield _write(
        task,
        running,
        snapshot_rows([snapshot], task.table, datetime.now(UTC)),
        found,
        arrived={today: snapshot.arrived + snapshots.beyond},
        loaded={today: len(snapshot.rows)},
        filtered={today: snapshot.superseded + snapshots.beyond},
    )


def _require_read_then(task: _Task, window: Window) -> None:
    days = window.days()
    read = {day for _, day in task.catalog.entered_at(task.spec, [""], days)}
    if missing := [day for day in days if day not in read]:
        raise ConfigurationError(
            f"{task.spec.qualified}: {task.table.name} keeps no versions, so how it was on {missing[0]} cannot be read "
            f"any more ({len(missing)} of the {len(days)} day(s) asked for were never read); ask for days up to "
            f"today, {datetime.now(UTC):%Y-%m-%d} (UTC), and let the schedule read each day while it runs"
        )
    task.context.log.info(f"{task.table.name} keeps no versions: {days[0]} to {days[-1]} stay as they were read then")


def _rows(task: _Task, found: _Found, *, since: datetime | None, until: datetime | None) -> Iterator[pd.DataFrame]:
    """The batches of one read; what its reader put aside or saw twice is noted in `found`, and at the end what there is
    to tell of the read. A reader goes back a little before `since`, for rows that were committed late."""
    read = task.sources.read(task.dataset, task.table, since=since, until=until, run_id=task.context.run.run_id)
    with closing(iter(read)) as batches:
        for batch in batches:
            found.put_aside(batch.rejects)
            found.repeated(batch.duplicate_moments)
            yield batch.rows
    found.told = _told(task, read)


def _told(task: _Task, read: TableRead) -> dict[str, object]:
    """The read in Dagster's metadata; also in the log if the source's columns are others than at the read before."""
    told: dict[str, object] = {
        "read_id": read.read_id,
        "bytes_read": read.metrics.bytes_read,
        "duration_s": round(read.metrics.duration_s, 3),
    }
    before = task.catalog.columns_read_before(task.spec.qualified, read.read_id)
    now = {column.name: column.type for column in read.columns}
    if before and now and (changes := column_changes(before, now)):
        task.context.log.warning(f"{task.table.name}: columns of the source changed: {changes.told}")
        told["schema_changes"] = changes.told
    return told


def _write(
    task: _Task,
    window: Window,
    rows: pd.DataFrame,
    found: _Found,
    *,
    arrived: Mapping[date, int],
    loaded: Mapping[date, int],
    filtered: Mapping[date, int],
) -> LedgerWrite:
    days = window.days()
    rejects = found.rejects_of(days)
    account = accounts(
        days,
        arrived=arrived,
        loaded=loaded,
        duplicate=found.duplicates,
        quarantined=Counter(rejects["day"]),
        filtered=filtered,
    )
    for one in account.itertuples():
        counts = {
            "rows_read": one.read,
            "rows_loaded": one.loaded,
            "rows_failed": one.quarantined,
            "rows_duplicate": one.duplicate,
            "error_rate_pct": round(100 * one.quarantined / one.read, 4) if one.read else 0.0,
        }
        task.context.add_asset_metadata(counts | found.told, partition_key=one.day.isoformat())
    return LedgerWrite(rows=rows, window=window, accounts=account, rejects=rejects)


def _end_of(day: date) -> pd.Timestamp:
    return pd.Timestamp(midnight(day) + ONE_DAY)
