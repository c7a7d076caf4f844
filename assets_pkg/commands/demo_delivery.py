"""The demo's delivery organisation: a database on the demo's own server, and its load through Dagster's backfill.

Belongs here: creating the database, loading it, showing what landed. Does not belong here: what happens in the
organisation (`resources/sources/samples/`).
"""

from datetime import date, timedelta
from pathlib import Path

import sqlalchemy as sa
from rich.console import Console

from assets_pkg.commands.loading import load, tables_of_dataset
from assets_pkg.dagster_client import DagsterClient
from assets_pkg.planning import DayRange
from resources.timescale import server
from resources.timescale.databases import ensure_databases
from resources.wiring import Settings, build_timescale
from schemas.source_datasets.delivery import DATASET

DATABASE = "delivery"
USERS = 40
SEED = 11


def delivery_url(home: Path) -> str:
    """libpq URL of the organisation's database on the embedded server of the demo in `home`."""
    return server.EmbeddedServer(home).url(DATABASE)


def generate_delivery(home: Path, days: DayRange, console: Console) -> None:
    """Writes the organisation's days into its database, unless it is there from a demo before; its server runs."""
    from resources.sources.samples.delivery import Organisation
    from resources.sources.samples.delivery_database import write_database

    url = delivery_url(home)
    ensure_databases(server.EmbeddedServer(home), [DATABASE])
    if _is_filled(url):
        return
    organisation = Organisation(users=USERS, first_day=days.first, seed=SEED)
    database = write_database(url, organisation, days=len(days.days()))
    rejected = sum(sum(truth.rejected.values()) for truth in database.truth)
    console.print(
        f"\nA software organisation's database: {USERS} users, {days.first} to {days.last}, "
        f"{rejected} planted broken row(s)",
        highlight=False,
    )


def load_delivery(chosen: Settings, url: str, days: DayRange, console: Console) -> bool:
    """Loads the days of all tables of the dataset; whether that succeeded."""
    return load(DagsterClient(url), build_timescale(chosen), tables_of_dataset(DATASET.name), days, console)


def demo_days(today: date, count: int) -> DayRange:
    """The `count` days before `today`."""
    return DayRange(today - timedelta(days=count), today - timedelta(days=1))


def _is_filled(url: str) -> bool:
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg2"), poolclass=sa.NullPool)
    with engine.connect() as connection:
        return bool(sa.inspect(connection).has_table(DATASET.tables[0].name))
