"""Column profiles in rows per second, and what quality adds to a day's partition.

    python -m benchmarks.profiling [--rows 10000000] [--days 5]

The first table profiles one day of so many rows of `timeseries.air_quality`, made up in the database, and counts what
the dimensions are made of; a plain count of the same rows is the unit of the ratios. The second runs days of OpenAQ's
graph one by one, in this process, and adds up the seconds of its steps: what stages, cleans and computes, the report
that was there, and the quality of the three layers. Belongs here: measuring. Does not belong here: limits.
"""

import argparse
import logging
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import sqlalchemy as sa

from assets_pkg.definitions import build_definitions
from assets_pkg.runs import asset_key
from resources.catalog.schema import CatalogedTimescale
from resources.openaq.generator.generate import generate
from resources.openaq.generator.places import DEMO_LOCATIONS
from resources.profiling.measures import agreements, measures
from resources.profiling.profiles import profiles
from resources.timescale import server, sql
from resources.wiring import Settings, build_resources
from schemas.tables import AIR_QUALITY, AIR_QUALITY_REPORT, OPENAQ_QUALITY, OPENAQ_TABLES, TABLES
from schemas.window import Window, midnight

DAY = date(2025, 3, 1)
SEED = 5
LOCATIONS = 1_000
QUALITY = {quality.spec.qualified for quality in OPENAQ_QUALITY}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--days", type=int, default=5)
    chosen = parser.parse_args()
    logging.getLogger("dagster").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)
        with server.lease(folder / "state") as leased:
            server.ensure_databases(leased, ("profiled",))
            measure_profile(CatalogedTimescale(database_url=leased.url("profiled")), chosen.rows)
        measure_days(folder / "home", folder / "archive", chosen.days)


def measure_profile(timescale: CatalogedTimescale, rows: int) -> None:
    window = Window.of_days(DAY, DAY)
    (judged,) = next(quality for quality in OPENAQ_QUALITY if quality.layer == "timeseries").judged
    with timescale.connect() as connection:
        fill(connection, rows)
    table = sql.table_of(AIR_QUALITY)
    ways: dict[str, Callable[[sa.Connection], object]] = {
        "count(*)": lambda connection: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one(),
        f"profile of {len(AIR_QUALITY.columns)} columns": lambda connection: profiles(connection, AIR_QUALITY, window),
        "counts of the dimensions": lambda connection: (
            measures(connection, judged, window, TABLES),
            agreements(connection, judged, window, TABLES),
        ),
    }
    spent = {}
    for name, way in ways.items():
        with timescale.connect() as connection:
            begin = time.perf_counter()
            way(connection)
            spent[name] = time.perf_counter() - begin
    print(f"| {rows:,} rows of one day | seconds | rows/s | x the count |")
    print("|---|---:|---:|---:|")
    for name, seconds in spent.items():
        print(f"| {name} | {seconds:.2f} | {rows / seconds:,.0f} | {seconds / spent['count(*)']:.1f} |")


def fill(connection: sa.Connection, rows: int) -> None:
    """A day of so many rows: thousands of sensors, values with fractions, a flag here and there."""
    for spec in (AIR_QUALITY, TABLES["staging.openaq_measurements"]):
        sql.table_of(spec).create(connection)
    n = sa.func.generate_series(1, rows).table_valued("n").render_derived().c.n
    stamp = sa.literal(midnight(DAY), sa.DateTime(timezone=True)) + (n % 24 + 1) * sa.literal(timedelta(hours=1))
    is_bad = n % 50 == 0
    values = {
        "location_id": n % LOCATIONS + 1,
        "sensors_id": n / 24 + 1,
        "parameter": sa.case((n % 3 == 0, "pm25"), (n % 3 == 1, "pm10"), else_="o3"),
        "datetime_utc": stamp,
        "value": sa.func.random() * 100,
        "unit": sa.literal("µg/m³"),
        "flags": sa.case((is_bad, "stuck"), else_=""),
        "is_valid": sa.not_(is_bad),
        "is_imputed": sa.false(),
        "samples": sa.literal(1),
        "coverage_pct": sa.literal(100.0),
        "source_id": n / 1_000,
        "line_no": n % 1_000 + 1,
        "known_at": sa.literal(datetime(2025, 3, 3, tzinfo=UTC), sa.DateTime(timezone=True)),
    }
    chosen = sa.select(*(value.label(name) for name, value in values.items()))
    connection.execute(sa.insert(sql.table_of(AIR_QUALITY)).from_select(list(values), chosen))


def measure_days(home: Path, archive: Path, days: int) -> None:
    generate(
        archive,
        locations=DEMO_LOCATIONS,
        seed=SEED,
        first_day=DAY - timedelta(days=1),
        last_day=DAY + timedelta(days=days),
    )
    settings = Settings(
        _env_file=None,
        TIDEMARK_HOME=str(home),
        TIDEMARK_OPENAQ_MODE="archive",
        TIDEMARK_OPENAQ_ARCHIVE_URL=str(archive),
        TIDEMARK_OPENAQ_LOCATIONS=",".join(str(place.id) for place in DEMO_LOCATIONS),
    )
    job = build_definitions(build_resources(settings), settings).resolve_implicit_global_asset_job_def()
    spent: Counter[str] = Counter()
    with dg.DagsterInstance.ephemeral() as instance:
        for n in range(days + 1):
            result = job.execute_in_process(
                instance=instance,
                asset_selection=[asset_key(table) for table in OPENAQ_TABLES],
                partition_key=str(DAY + timedelta(days=n)),
            )
            if n:  # The first day loads libraries and makes tables.
                spent.update(_seconds(result))
    report = AIR_QUALITY_REPORT.qualified
    quality = sum(seconds for table, seconds in spent.items() if table in QUALITY)
    rest = sum(spent.values()) - quality - spent[report]
    print(f"\n| {days} days, {len(DEMO_LOCATIONS)} locations, one by one | seconds a day | share of the rest |")
    print("|---|---:|---:|")
    for name, seconds in (
        ("staging to features", rest),
        ("daily report", spent[report]),
        ("quality of layers", quality),
    ):
        print(f"| {name} | {seconds / days:.2f} | {seconds / rest:.0%} |")


def _seconds(result: dg.ExecuteInProcessResult) -> Counter[str]:
    """Seconds of each asset's step."""
    found: Counter[str] = Counter()
    for event in result.all_events:
        table = (event.step_key or "").replace("__", ".", 1)
        if event.event_type_value == "STEP_SUCCESS" and table in OPENAQ_TABLES:
            found[table] += event.step_success_data.duration_ms / 1_000
    return found


if __name__ == "__main__":
    main()
