"""The demo's features as they are served: online lookups beside the tables' rows, and the proof over all views.

Belongs here: which features are shown, and their layout. Does not belong here: looking up (`resources/feast/`), the
proof itself (`assets_pkg/quality/parity_assets.py`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd
from rich.console import Console
from rich.table import Table

from assets_pkg.commands.progress import explain, watch
from assets_pkg.dagster_client import DagsterClient
from assets_pkg.planning import DayRange
from resources.feast.resource import FeastResource
from resources.feast.sampling import sample_of
from resources.timescale.resource import TimescaleResource
from resources.timescale.slices import TableReader
from resources.timescale.table_slice import TableSlice
from resources.wiring import Settings, build_timescale, feast_resource
from schemas.delivery_tables import USER
from schemas.table_spec import TableSpec
from schemas.tables import AIR_QUALITY_HOURLY, FEATURE_PARITY
from schemas.window import Window

SHOWN: tuple[tuple[TableSpec, str], ...] = ((USER, "skill_score_backend"), (AIR_QUALITY_HOURLY, "pm25_nowcast_ugm3"))
KEYS_SHOWN = 2


@dataclass(frozen=True)
class Lookup:
    """One value as the table has it and as it is served."""

    feature: str
    key: str
    at: datetime
    table: object
    online: object

    @property
    def is_equal(self) -> bool:
        return self.table == self.online or (pd.isna(self.table) and pd.isna(self.online))  # type: ignore[call-overload]


def show_online(chosen: Settings, url: str, console: Console, *, specs: tuple[TableSpec, ...]) -> bool:
    """Looks up features of the tables `specs` online and shows them beside their rows, then compares all views; whether
    everything served is what the tables say."""
    timescale = build_timescale(chosen)
    feast = feast_resource(chosen, timescale)
    console.print("\nFeatures as they are served", highlight=False)
    table = Table(title="Online lookup, and the newest row of the table")
    for name in ("feature", "key", "as of (UTC)", "table", "online", ""):
        table.add_column(name, justify="right" if name in ("table", "online") else "left", overflow="fold")
    lookups = [one for spec, feature in SHOWN if spec in specs for one in _lookups(timescale, feast, spec, feature)]
    for one in lookups:
        told = "equal" if one.is_equal else "DIFFERENT"
        table.add_row(one.feature, one.key, f"{one.at:%Y-%m-%d %H:%M}", _number(one.table), _number(one.online), told)
    console.print(table)
    is_equal = _prove(DagsterClient(url), timescale, console)
    console.print(
        "Over HTTP: tidemark serve --demo; a training set: tidemark training-set build --help",
        style="dim",
        highlight=False,
    )
    return is_equal and bool(lookups) and all(one.is_equal for one in lookups)


def _prove(client: DagsterClient, timescale: TimescaleResource, console: Console) -> bool:
    """Has the parity asset look at every view, and shows what it saw; whether all is equal."""
    today = datetime.now(UTC).date()
    specs, days = (FEATURE_PARITY,), DayRange(today, today)
    run_id = client.launch_range(specs, days, {})
    ended = watch(client, timescale, lambda: [client.run(run_id)], specs, days, console)
    if not explain(client, ended, console):
        return False
    rows = TableReader(timescale, TableSlice.of_window(FEATURE_PARITY, Window.of_days(today, today))).read()
    table = Table(title="Sampled keys of every view: is what is served the table's newest row, in every feature?")
    for name in ("view", "keys", "sampled", "equal", ""):
        table.add_column(name, justify="left" if name in ("view", "") else "right")
    for row in rows.itertuples():
        told = "equal" if row.is_equal else row.difference
        table.add_row(row.view, f"{row.keys:,}", f"{row.keys_sampled:,}", f"{row.keys_equal:,}", told)
    console.print(table)
    return bool(rows["is_equal"].all())


def _lookups(timescale: TimescaleResource, feast: FeastResource, spec: TableSpec, feature: str) -> list[Lookup]:
    """Some keys' newest values; such as are known, where there are."""
    newest = sample_of(timescale, spec, most=20, seed=1).newest
    newest = newest.sort_values(feature, key=lambda values: values.isna(), kind="stable").head(KEYS_SHOWN)
    view = spec.view
    online = feast.online([f"{view}:{feature}"], newest[list(spec.entities)].reset_index(drop=True))
    return [
        Lookup(
            feature=f"{view}:{feature}",
            key=", ".join(f"{name} {row[name]}" for name in spec.entities),
            at=row[spec.time_column],
            table=row[feature],
            online=answer,
        )
        for (_, row), answer in zip(newest.iterrows(), online[feature], strict=True)
    ]


def _number(value: object) -> str:
    return "null" if pd.isna(value) else repr(float(str(value)))  # type: ignore[call-overload]
