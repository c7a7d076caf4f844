"""The catalog as assets, checks and sensors use it.

Belongs here: questions and notes in the words of the graph. Does not belong here: statements (`ledger.py`,
`dirty_days.py`, `sources.py`), anything written together with rows (`io_manager.py`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg
import pandas as pd
import sqlalchemy as sa

from resources.catalog import dirty_days, incidents, ledger, rule_results, source_reads, sources
from resources.catalog.ledger import Scope
from resources.openaq.location import Location
from resources.timescale import sql
from resources.timescale.resource import TimescaleResource
from resources.timescale.slices import TableReader
from resources.timescale.table_slice import Part, TableSlice
from schemas.base import empty
from schemas.table_spec import TableSpec
from schemas.window import Window


class CatalogResource(dg.ConfigurableResource):
    """What was read, what became of it, what is owed, what is stale."""

    timescale: dg.ResourceDependency[TimescaleResource]

    def accounts(self, specs: Sequence[TableSpec], window: Window) -> pd.DataFrame:
        """Current ledger entries of the window's days; see `ledger.entries_of`."""
        with self.timescale.connect() as connection:
            return ledger.entries_of(connection, [spec.qualified for spec in specs], window)

    def stale(self) -> list[dirty_days.Mark]:
        """All dirty days."""
        with self.timescale.connect() as connection:
            return dirty_days.marks_of(connection)

    def held_back(self) -> dict[str, set[date]]:
        """Per table, the days that rules hold back from what is downstream."""
        with self.timescale.connect() as connection:
            return rule_results.held_days(connection)

    def known_sources(self, location_ids: Collection[int], first: date, last: date) -> dict[str, sources.KnownSource]:
        """What was last read of the locations' files about the local days `first` to `last`, by address."""
        with self.timescale.connect() as connection:
            return sources.known(connection, location_ids, first, last)

    def owed(self, spec: TableSpec) -> list[sources.Owed]:
        """What failed to be fetched and has not come since."""
        with self.timescale.connect() as connection:
            return sources.owed(connection, spec.qualified)

    def owe(
        self,
        spec: TableSpec,
        unit: object,
        days: Sequence[date],
        error: str,
        *,
        is_transient: bool,
        run_id: str,
        was_asked: bool = True,
    ) -> None:
        """Notes that the unit's days could not be fetched; see `sources.owe`."""
        told = {"is_transient": is_transient, "run_id": run_id, "was_asked": was_asked}
        with self.timescale.connect() as connection:
            connection.execute(sources.owe(spec.qualified, str(unit), days, error, **told))  # type: ignore[arg-type]

    def held(
        self, spec: TableSpec, window: Window, unit: object, among: Mapping[str, Collection[object]]
    ) -> pd.DataFrame:
        """The rows the table has of the unit in `window`, each column of `among` having one of the values given."""
        with self.timescale.connect() as connection:
            if not sa.inspect(connection).has_table(spec.name, schema=spec.schema):
                return empty(spec.model)
        values = ((spec.unit or "", (unit,)), *((name, tuple(found)) for name, found in among.items()))
        return TableReader(self.timescale, TableSlice(spec, (Part(window, values),))).read()

    def put_aside(self, spec: TableSpec, days: Sequence[date], unit: object, uri_parts: Sequence[str]) -> pd.DataFrame:
        """What is in quarantine of the unit's days and came from an address that holds one of `uri_parts`: columns day,
        unit, rule, reason, raw, source_id, line_no."""
        scope = Scope(table_name=spec.qualified, days=tuple(days), units=(str(unit),))
        with self.timescale.connect() as connection:
            return sources.put_aside_from(connection, scope, uri_parts)

    def watermarks(self, spec: TableSpec, since: datetime) -> dict[str, datetime]:
        """Per unit with rows after `since`, the newest stamp in the table (aware UTC)."""
        table = sql.table_of(spec)
        unit, stamp = table.c[spec.unit or ""], table.c[spec.time_column or ""]
        with self.timescale.connect() as connection:
            if not sa.inspect(connection).has_table(spec.name, schema=spec.schema):
                return {}
            rows = connection.execute(sa.select(unit, sa.func.max(stamp)).where(stamp > since).group_by(unit))
            return {str(name): newest for name, newest in rows}

    def entered_at(
        self, spec: TableSpec, units: Collection[object], days: Collection[date]
    ) -> dict[tuple[str, date], datetime]:
        """Per unit and day that has a ledger entry, when it was written last."""
        scope = Scope(table_name=spec.qualified, days=tuple(days), units=tuple(str(unit) for unit in units))
        with self.timescale.connect() as connection:
            return ledger.entered_at(connection, scope)

    def settled_until(self, spec: TableSpec, lag: timedelta) -> date | None:
        """The newest day of the table that was written when no row of it could be late any more, `lag` after its END;
        None: there is none."""
        with self.timescale.connect() as connection:
            return ledger.settled_until(connection, spec.qualified, lag)

    def incidents(self, dataset: str) -> list[sa.Row[Any]]:
        """Rows of `catalog.incidents` of the dataset."""
        with self.timescale.connect() as connection:
            return incidents.of(connection, [dataset])

    def columns_read_before(self, table_name: str, read_id: int) -> dict[str, str]:
        """The columns of the source, each with its type, as the newest read of the table before this one found them."""
        with self.timescale.connect() as connection:
            return source_reads.columns_before(connection, table_name, read_id)

    def undescribed(self, location_ids: Collection[int], since: datetime) -> list[int]:
        """Those of the locations that the source was not asked about since then."""
        with self.timescale.connect() as connection:
            described = sources.described_since(connection, location_ids, since)
        return [number for number in location_ids if number not in described]

    def remember(self, locations: Iterable[Location], offsets: Mapping[int, str]) -> None:
        """Notes what the source says of the locations, and the UTC offset of the newest stamp of each."""
        with self.timescale.connect() as connection:
            if places := list(locations):
                connection.execute(sources.remember_locations(places))
            if offsets:
                connection.execute(sources.remember_offsets(offsets))

    def timezones(self) -> dict[int, str | None]:
        """The IANA zone, or else the fixed UTC offset, of every location we know."""
        with self.timescale.connect() as connection:
            return sources.timezones(connection)
