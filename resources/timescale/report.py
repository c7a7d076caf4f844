"""What a write says of itself in Dagster: row counts per partition, changes, the table's name and columns.

Belongs here: metadata of a materialization, and the column schema the UI shows. Does not belong here: writing.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import dagster as dg

from resources.timescale.changes import KINDS, Changes
from resources.timescale.streaming import Streamed
from schemas.table_spec import TableSpec


@dataclass(kw_only=True)
class Tally:
    """What the slices of one output come to, in all and per UTC day."""

    rows: int = 0
    unchanged: int = 0
    changed: Counter[str] = field(default_factory=Counter)
    rows_by_day: Counter[date] = field(default_factory=Counter)
    changed_by_day: Counter[tuple[date, str]] = field(default_factory=Counter)
    has_changed: bool = False

    def add(self, rows: int, rows_by_day: dict[date, int], changes: Changes) -> None:
        """Counts one more slice."""
        self.has_changed |= bool(changes)
        self.rows += rows
        self.unchanged += changes.unchanged
        self.rows_by_day.update(rows_by_day)
        for kind in KINDS:
            self.changed[kind] += changes.total(kind)
            for day, count in zip(changes.counts["day"], changes.counts[kind], strict=True):
                self.changed_by_day[day, kind] += int(count)

    def add_streamed(self, streamed: Streamed, days: Sequence[date]) -> None:
        """Counts one more slice, of the given days, that was replaced without comparing row by row: where it differs,
        all rows but the surplus count as changed."""
        self.has_changed |= bool(streamed.changed_days)
        self.rows += streamed.rows
        kept = min(streamed.rows, streamed.rows_before)
        if not streamed.changed_days:
            self.unchanged += kept
            counts = dict.fromkeys(KINDS, 0)
        else:
            counts = {"inserted": streamed.rows - kept, "changed": kept, "vanished": streamed.rows_before - kept}
        self.changed.update(counts)
        for day in days:
            self.rows_by_day[day] += streamed.rows
            self.changed_by_day.update({(day, kind): count for kind, count in counts.items()})

    def hold(self, rows_by_day: dict[date | None, int]) -> None:
        """Takes the rows that the partitions hold by now, for an output that wrote parts of them only."""
        self.rows = sum(rows_by_day.values())
        self.rows_by_day = Counter({day: rows for day, rows in rows_by_day.items() if day is not None})
        self.unchanged = self.rows - self.changed["inserted"] - self.changed["changed"]


def report(context: dg.OutputContext, spec: TableSpec, tally: Tally) -> None:
    """Puts the numbers of each partition on its own event.

    Dagster copies an output's metadata to the event of every partition, so numbers of the whole output stand there only
    where it is one partition or none. Of several partitions those of UTC days are told apart; others get none.
    """
    known = context.definition_metadata or {}
    metadata: dict[str, Any] = {}
    if "dagster/table_name" not in known:
        metadata["dagster/table_name"] = spec.qualified
    if "dagster/column_schema" not in known:
        metadata["dagster/column_schema"] = column_schema(spec)
    totals = {f"rows_{kind}": tally.changed[kind] for kind in KINDS} | {"rows_unchanged": tally.unchanged}
    keys = list(context.asset_partition_keys) if context.has_asset_partitions else []
    if len(keys) <= 1:
        rows = {"dagster/partition_row_count" if keys else "dagster/row_count": tally.rows}
        context.add_output_metadata({**metadata, **rows, **totals})
        return
    context.add_output_metadata(metadata)
    context.log.info(f"{spec.qualified}: {tally.rows} rows in {len(keys)} partitions; {totals}")
    for key in keys:
        if day := _utc_day(context.asset_partitions_def, key):
            changed = {f"rows_{kind}": tally.changed_by_day[day, kind] for kind in KINDS}
            context.step_context.add_asset_metadata(
                {
                    "dagster/partition_row_count": tally.rows_by_day[day],
                    **changed,
                    "rows_unchanged": tally.rows_by_day[day] - changed["rows_inserted"] - changed["rows_changed"],
                },
                partition_key=key,
            )


def column_schema(spec: TableSpec) -> dg.TableSchema:
    """The table's columns with types, descriptions and constraints, for the UI."""
    columns = spec.model.to_schema().columns
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=name,
                type=str(column.dtype),
                description=column.description,
                constraints=dg.TableColumnConstraints(
                    nullable=column.nullable,
                    unique=spec.key == (name,),
                    other=[str(check.error) for check in column.checks if check.error],
                ),
            )
            for name, column in columns.items()
        ],
        constraints=dg.TableConstraints(other=[f"primary key ({', '.join(spec.key)})"]),
    )


def _utc_day(definition: dg.PartitionsDefinition, key: str) -> date | None:
    """The UTC day that the partition is, if it is one."""
    if not isinstance(definition, dg.TimeWindowPartitionsDefinition):
        return None
    window = definition.time_window_for_partition_key(key)
    is_day = window.start.timestamp() % 86400 == 0 and window.end - window.start == timedelta(days=1)
    return window.start.date() if is_day else None
