"""Checks of the delivery features.

Belongs here: questions to the database about the run's days. Does not belong here: checks that every table has
(`checks.py`), rules on single rows (`schemas/`).
"""

from datetime import UTC, timedelta

import dagster as dg
import sqlalchemy as sa

from assets_pkg.checks import ledger_closed, schema_as_declared
from assets_pkg.partitions import judged_window
from resources.catalog.resource import CatalogResource
from resources.timescale import sql
from resources.timescale.resource import TimescaleResource
from schemas.delivery_tables import DELIVERY_FEATURES
from schemas.table_spec import TableSpec
from schemas.tables import TABLES
from schemas.window import Window


def delivery_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of the four feature tables."""
    return [
        check
        for spec in DELIVERY_FEATURES
        for check in (ledger_closed(spec), schema_as_declared(spec), one_row_per_entity(spec))
    ]


def one_row_per_entity(spec: TableSpec) -> dg.AssetChecksDefinition:
    """Fails where an entity of a day's snapshot has no features, or features are of none. That no entity has two rows
    of a day is the table's key. Days that are marked stale are left out: they are about to be computed again; so are
    those whose snapshot rules hold back."""
    snapshots = TABLES[f"staging.delivery_{spec.name}s"]

    @dg.asset_check(
        asset=dg.AssetKey([spec.schema, spec.name]),
        name="one_row_per_entity",
        description=one_row_per_entity.__doc__,
    )
    def check(
        context: dg.AssetCheckExecutionContext, timescale: TimescaleResource, catalog: CatalogResource
    ) -> dg.AssetCheckResult:
        window = judged_window(context)
        stale = {mark.day for mark in catalog.stale() if mark.table_name == spec.qualified}
        stale |= catalog.held_back().get(snapshots.qualified, set())
        with timescale.connect() as connection:
            inspector = sa.inspect(connection)
            if not all(inspector.has_table(one.name, schema=one.schema) for one in (spec, snapshots)):
                return dg.AssetCheckResult(passed=True, description="the tables come about with their first rows")
            there, computed = _entities(snapshots, window), _entities(spec, window)
            without = _by_day(connection, sa.except_(there, computed), stale)
            beyond = _by_day(connection, sa.except_(computed, there), stale)
        days = sorted({*without, *beyond})
        return dg.AssetCheckResult(
            passed=not days,
            description=f"{len(days)} day(s) differ from their snapshots, first {days[0]}" if days else None,
            metadata={"without_features": sum(without.values()), "without_entity": sum(beyond.values())},
        )

    return check


def _entities(spec: TableSpec, window: Window) -> sa.Select[tuple[object, ...]]:
    table = sql.table_of(spec)
    (entity,) = spec.entities
    stamp = table.c[spec.time_column]
    return sa.select(table.c[entity], stamp.label("at")).where(sql.in_window(stamp, window, spec.closed))


def _by_day(
    connection: sa.Connection, rows: sa.CompoundSelect[tuple[object, ...]], without: set[object]
) -> dict[object, int]:
    """How many rows per UTC day, but for the days `without`; both tables are closed on the right."""
    found = rows.subquery()
    counted = connection.execute(sa.select(found.c.at, sa.func.count()).group_by(found.c.at))
    days = {(at.astimezone(UTC) - timedelta(microseconds=1)).date(): number for at, number in counted}
    return {day: number for day, number in days.items() if day not in without}
