"""The IO manager's write and read in rows/s, against `to_sql`, `read_sql` and a bare COPY of the same rows.

    python -m benchmarks.io_manager [--rows 1000000] [--rounds 3] [--to-sql-share 0.1] [--memory]

The rows are those of `timeseries.air_quality`, made up: a month of hours of as many sensors as it takes. The IO
manager is measured whole, `handle_output` and `load_input` with validation, comparison with what is there, lock, COPY
and commit. The bare COPY is psycopg2's `copy_expert` of ready-made CSV text into an identical table with the same key
and no validation. `to_sql` and `read_sql` get a table of their own with the same key; `to_sql` may get a share of the
rows, its rate is per row it wrote. Ways take turns, each round into emptied tables; figures are medians of the rounds.

Servers: the embedded PostgreSQL, in a folder of its own, or that of TIDEMARK_BENCHMARK_DATABASE_URL; in a database
made for this and dropped after. `--memory` adds the resident memory's peak of each way, each in a process of its own.
"""

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import ClassVar

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow.csv
import sqlalchemy as sa

from resources.timescale import server, sql
from resources.timescale.arrow import to_arrow
from resources.timescale.io_manager import TimescaleIOManager
from resources.timescale.resource import TimescaleResource, engine_of
from schemas.base import conform
from schemas.tables import AIR_QUALITY
from schemas.timeseries import AirQuality

BARE = replace(AIR_QUALITY, name="bare_copy")
PANDAS = replace(AIR_QUALITY, name="to_sql")
HOURS = pd.date_range("2024-05-01 01:00", "2024-06-01", freq="h", tz="UTC", unit="us")
PARAMETERS = np.array(["co", "no2", "o3", "pm10", "pm25", "so2"])
FRAME = dg.PythonObjectDagsterType(pd.DataFrame)
KEY = dg.AssetKey([AIR_QUALITY.schema, AIR_QUALITY.name])


class BenchmarkIOManager(TimescaleIOManager):
    """The IO manager with the one table."""

    tables: ClassVar = {AIR_QUALITY.qualified: AIR_QUALITY}


class Ways:
    """Every way to write or read the same rows; each method is one measurement."""

    def __init__(self, timescale: TimescaleResource, rows: int, to_sql_share: float) -> None:
        self.timescale = timescale
        self.engine = engine_of(timescale.url())
        self.manager = BenchmarkIOManager(timescale=timescale)
        self.frame = made_up(rows)
        self.changed = self.frame.copy()
        self.changed.loc[::100, "value"] += 1.0
        self.part = self.frame.head(int(rows * to_sql_share))
        text = io.BytesIO()
        pyarrow.csv.write_csv(to_arrow(self.frame, AirQuality), text, pyarrow.csv.WriteOptions(include_header=False))
        self.csv = text.getvalue()
        for spec in (AIR_QUALITY, BARE, PANDAS):
            self.manager._ensure(spec)

    def empty(self) -> None:
        """Empties all three tables and lets the server come to rest."""
        with self.engine.begin() as connection:
            for spec in (AIR_QUALITY, BARE, PANDAS):
                connection.execute(sa.text(f"TRUNCATE {_quoted(spec.schema)}.{_quoted(spec.name)}"))
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("CHECKPOINT"))

    def write(self) -> int:
        """The IO manager into an empty table."""
        self.manager.handle_output(dg.build_output_context(asset_key=KEY), self.frame)
        return len(self.frame)

    def write_again(self) -> int:
        """The IO manager, the same rows once more."""
        return self.write()

    def write_one_percent(self) -> int:
        """The IO manager, one row in a hundred has another value."""
        self.manager.handle_output(dg.build_output_context(asset_key=KEY), self.changed)
        return len(self.changed)

    def bare_copy(self) -> int:
        """COPY of ready-made CSV text."""
        connection = self.engine.raw_connection()
        try:
            with connection.cursor() as cursor:
                target = f"COPY {_quoted(BARE.schema)}.{_quoted(BARE.name)} FROM STDIN (FORMAT csv)"
                cursor.copy_expert(target, io.BytesIO(self.csv))
            connection.commit()
        finally:
            connection.close()
        return len(self.frame)

    def to_sql(self) -> int:
        """`DataFrame.to_sql` as it comes."""
        with self.engine.begin() as connection:
            self.part.to_sql(PANDAS.name, connection, schema=PANDAS.schema, if_exists="append", index=False)
        return len(self.part)

    def read(self) -> int:
        """The IO manager's `load_input`."""
        upstream = dg.build_output_context(asset_key=KEY)
        frame = self.manager.load_input(
            dg.build_input_context(asset_key=KEY, upstream_output=upstream, dagster_type=FRAME)
        )
        assert isinstance(frame, pd.DataFrame)
        return len(frame)

    def read_sql(self) -> int:
        """`pandas.read_sql` in the same order."""
        query = sa.select(sql.table_of(BARE)).order_by(*(sql.table_of(BARE).c[name] for name in BARE.key))
        with self.engine.connect() as connection:
            return len(pd.read_sql(query, connection))


ROUND = ("write", "bare_copy", "to_sql", "read", "read_sql", "write_again", "write_one_percent")
"""In this order: a read comes after the writes it needs."""
REFERENCES = {
    "write": ("to_sql", "bare_copy"),
    "read": ("read_sql",),
    "write_again": ("write",),
    "write_one_percent": ("write",),
}


def main() -> None:
    """Measures and prints a Markdown table."""
    arguments = _arguments()
    with database() as timescale:
        ways = Ways(timescale, arguments.rows, arguments.to_sql_share)
        if arguments.only:
            _peak_of(ways, arguments.only)
            return
        rates: dict[str, list[float]] = {name: [] for name in ROUND}
        for _ in range(arguments.rounds):
            ways.empty()
            for name in ROUND:
                rates[name].append(_rate(getattr(ways, name)))
        peaks = {name: _peak_in_own_process(name, arguments, timescale) for name in ROUND} if arguments.memory else {}
        print(
            f"{arguments.rows:,} rows x {len(AIR_QUALITY.columns)} columns, {len(ways.csv) / 1e6:.0f} MB of CSV; ",
            end="",
        )
        print(
            f"to_sql wrote {arguments.to_sql_share:.0%} of them; {_version(ways.engine)}; {arguments.rounds} rounds\n"
        )
    print("| way | rows/s | spread | ratio | peak MB |\n|---|---:|---:|---|---:|")
    rate = {name: median(values) for name, values in rates.items()}
    for name in ROUND:
        ratio = ", ".join(f"{rate[name] / rate[other]:.2f} x {other}" for other in REFERENCES.get(name, ()))
        spread = f"{min(rates[name]):,.0f} .. {max(rates[name]):,.0f}"
        told = f"{(getattr(Ways, name).__doc__ or name).rstrip('.')} (`{name}`)"
        print(f"| {told} | {rate[name]:,.0f} | {spread} | {ratio} | {peaks.get(name, '')} |")


def made_up(rows: int) -> pd.DataFrame:
    """`rows` rows of `timeseries.air_quality`, in the order of its key, six parameters a location."""
    chance = np.random.default_rng(20240506)
    number = np.arange(rows)
    sensor, hour = number // len(HOURS), number % len(HOURS)
    cycle = 1 + 0.4 * np.sin(2 * np.pi * hour / 24)
    value = np.round(20 * cycle * chance.lognormal(0, 0.5, rows), 2)
    value[chance.random(rows) < 0.02] = np.nan
    flagged = chance.random(rows) < 0.05
    return conform(
        pd.DataFrame(
            {
                "location_id": 1 + sensor // len(PARAMETERS),
                "sensors_id": 1000 + sensor,
                "parameter": PARAMETERS[sensor % len(PARAMETERS)],
                "datetime_utc": HOURS[hour],
                "value": value,
                "unit": "µg/m³",
                "flags": np.where(flagged, "spike", ""),
                "is_valid": ~flagged & ~np.isnan(value),
                "is_imputed": False,
                "samples": 1,
                "coverage_pct": 100.0,
                "source_id": 10**15 + sensor,
                "line_no": 2 + hour,
                "known_at": pd.Timestamp("2024-06-02 03:04:05.678901", tz="UTC"),
            }
        ),
        AirQuality,
    )


@contextmanager
def database() -> Iterator[TimescaleResource]:
    """An empty database on the server that is asked for, dropped at the end."""
    given = os.environ.get("TIDEMARK_BENCHMARK_DATABASE_URL")
    if not given:
        with tempfile.TemporaryDirectory() as folder, server.lease(Path(folder)) as leased:
            server.ensure_databases(leased, ("benchmark",))
            yield TimescaleResource(database_url=leased.url("benchmark"))
        return
    name = f"benchmark_{uuid.uuid4().hex[:8]}"
    admin = engine_of(TimescaleResource(database_url=given).url()).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    url = sa.make_url(given).set(database=name).render_as_string(hide_password=False)
    try:
        yield TimescaleResource(database_url=url)
    finally:
        engine_of(TimescaleResource(database_url=url).url()).dispose()
        with admin.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


def _rate(way: Callable[[], int]) -> float:
    start = time.perf_counter()
    rows = way()
    return rows / (time.perf_counter() - start)


def _peak_in_own_process(name: str, arguments: argparse.Namespace, timescale: TimescaleResource) -> str:
    """Resident memory beyond the rows themselves that one way needs at its peak, in MB."""
    command = [sys.executable, "-m", "benchmarks.io_manager", "--only", name, "--rows", str(arguments.rows)]
    command += ["--to-sql-share", str(arguments.to_sql_share)]
    environment = {**os.environ, "TIDEMARK_BENCHMARK_DATABASE_URL": timescale.url()}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()[-1]


def _peak_of(ways: Ways, name: str) -> None:
    """Prints the peak of resident memory during the way beyond what was resident before it, in MB (Linux)."""
    if name in ("write_again", "write_one_percent", "read"):
        ways.write()
    if name == "read_sql":
        ways.bare_copy()
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is resident now
    before = _resident_kb("VmRSS")
    getattr(ways, name)()
    print(f"{(_resident_kb('VmHWM') - before) / 1024:.0f}")


def _resident_kb(field: str) -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0])


def _version(engine: sa.Engine) -> str:
    with engine.connect() as connection:
        told = connection.scalar(sa.text("SHOW server_version"))
        extension = connection.scalar(sa.text("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'"))
    return f"PostgreSQL {told}" + (f", TimescaleDB {extension}" if extension else "")


def _quoted(name: str) -> str:
    return sa.dialects.postgresql.dialect().identifier_preparer.quote_identifier(name)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--to-sql-share", type=float, default=0.1)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--only", choices=ROUND, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
