"""One day and thirty days of features to the online store: our IO manager against Feast's own `materialize`.

`python -m benchmarks.feature_store [--keys 500] [--days 30] [--stores sqlite,redis,postgres] [--many 1000000]`

Both work on the same rows of the same table of the embedded PostgreSQL, in one process, warm: Feast's stock store of
each kind with Feast's defaults, and again told to pull only the newest row of each key. Ours writes the offline slice
with its ledger as well: "ours" is the whole run, "online" that part of it which `materialize` does. At last a process
of its own marks and serves `--many` keys and tells its peak memory. A ratio is within one line: its figures were taken
one after the other.
"""

import argparse
import io
import json
import logging
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dagster as dg
import numpy as np
import pandas as pd
import pandera.pandas as pa
import sqlalchemy as sa

from resources.catalog.schema import CatalogedTimescale
from resources.feast import pending
from resources.feast.configuration import libpq_variables
from resources.feast.io_manager import FeastIOManager
from resources.feast.resource import FeastResource
from resources.timescale import server, sql
from resources.timescale.arrow import to_arrow
from resources.timescale.capabilities import read_capabilities
from resources.timescale.tables import ensure
from schemas.base import NullableInt, TableModel, Text, UtcTimestamp, conform
from schemas.table_spec import Served, TableSpec
from schemas.tables import TABLES
from tests.redis_server import RedisServer, redis_server

FIRST = date(2025, 1, 1)
KNOWN_AT = datetime(2025, 6, 1, tzinfo=UTC)
DAILY = dg.DailyPartitionsDefinition(start_date="2025-01-01", end_date="2026-01-01")

TITLES = (
    "store",
    "rows",
    "ours, s",
    "online, s",
    "again unchanged, s",
    "Feast, s",
    "Feast newest only, s",
    "Feast / ours",
    "newest only / ours",
    "newest only / online",
)


class Bench(TableModel):
    """Six features of a key, hourly."""

    key: int = pa.Field(description="key")
    at: UtcTimestamp = pa.Field(description="START of the hour, UTC")
    a: float = pa.Field(nullable=True, description="a")
    b: float = pa.Field(nullable=True, description="b")
    c: float = pa.Field(nullable=True, description="c")
    d: NullableInt = pa.Field(nullable=True, description="d")
    e: NullableInt = pa.Field(nullable=True, description="e")
    f: Text = pa.Field(nullable=True, description="f")
    known_at: UtcTimestamp = pa.Field(description="when known, UTC")

    class Config(TableModel.Config):
        """A row per key and hour."""

        unique = ["key", "at"]


BENCH = TableSpec(
    schema="features",
    name="bench",
    model=Bench,
    dataset="bench",
    key=("key", "at"),
    time_column="at",
    served=Served(view="bench", ttl=timedelta(days=1)),
)


@dataclass
class Ours:
    """The product's side."""

    timescale: CatalogedTimescale
    feast: FeastResource

    def write(self, rows: pd.DataFrame, days: int) -> None:
        """One run of the first `days` days."""

        @dg.asset(
            key=["features", "bench"],
            partitions_def=DAILY,
            io_manager_key="feast_io_manager",
            backfill_policy=dg.BackfillPolicy.single_run(),
        )
        def bench() -> pd.DataFrame:
            return rows

        last = FIRST + timedelta(days=days - 1)
        ends = {"start": FIRST.isoformat(), "end": last.isoformat()}
        done = dg.materialize(
            [bench],
            tags={f"dagster/asset_partition_range_{side}": day for side, day in ends.items()},
            resources={"feast_io_manager": FeastIOManager(timescale=self.timescale, feast=self.feast)},
        )
        assert done.success


def rows_of(keys: int, hours_each: int, seed: int) -> pd.DataFrame:
    """Rows of `hours_each` hours per key."""
    random = np.random.default_rng(seed)
    hours = pd.date_range(FIRST, periods=hours_each, freq="h", tz="UTC", unit="us")
    count = keys * len(hours)
    frame = {
        "key": np.repeat(np.arange(1, keys + 1), len(hours)),
        "at": pd.DatetimeIndex(np.tile(hours.tz_localize(None).to_numpy(), keys)).tz_localize("UTC"),
        **{name: random.random(count) for name in "abc"},
        **{name: random.integers(0, 1000, count) for name in "de"},
        "f": random.choice(["good", "fair", "poor"], count),
    }
    found = pd.DataFrame(frame).assign(known_at=KNOWN_AT)
    return conform(found, Bench)


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


@contextmanager
def timed_pushes() -> Iterator[list[float]]:
    """How long each push to the online store takes meanwhile."""
    took: list[float] = []
    push = FeastResource.push

    def timed(self: FeastResource, *arguments: Any, **options: Any) -> Any:
        begun = time.perf_counter()
        try:
            return push(self, *arguments, **options)
        finally:
            took.append(time.perf_counter() - begun)

    with patch.object(FeastResource, "push", timed):
        yield took


def stock_store(ours: Ours, kind: str, cache: RedisServer | None, home: Path, *, is_newest_only: bool) -> Any:
    """Feast with its own stores, on the same table, applied."""
    from feast import FeatureStore
    from feast.repo_config import RepoConfig

    from resources.feast.definition import declared

    variables = libpq_variables(ours.timescale.url())
    address = {
        "host": variables["PGHOST"],
        "port": int(variables["PGPORT"]),
        "database": variables["PGDATABASE"],
        "user": variables["PGUSER"],
        "password": variables["PGPASSWORD"],
        "sslmode": "prefer",
    }
    online = {
        "sqlite": {"type": "sqlite", "path": str(home / f"stock_{is_newest_only}.db")},
        "redis": {"type": "redis", "connection_string": f"127.0.0.1:{cache.port if cache else 0},db=5,password=stock"},
        "postgres": {"type": "postgres", **address, "db_schema": "stock_online"},
    }[kind]
    if kind == "redis" and cache:
        cache.client().execute_command("ACL", "SETUSER", "default", ">stock")  # one that its connection string can hold
    config = RepoConfig(
        project=f"stock_{str(is_newest_only).lower()}",
        provider="local",
        registry=str(home / f"registry_{kind}_{is_newest_only}.db"),
        offline_store={"type": "postgres", **address, "db_schema": "public"},
        online_store=online,
        entity_key_serialization_version=3,
        **({"materialization": {"pull_latest_features": True}} if is_newest_only else {}),
    )
    store = FeatureStore(config=config)
    store.apply(declared("feature_repo.objects", BENCH))
    return store


def materialize(store: Any, days: int) -> float:
    """Seconds of Feast's own `materialize` of the first `days` days."""
    start = datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC)
    with redirect_stdout(io.StringIO()):
        return seconds(lambda: store.materialize(start, start + timedelta(days=days), ["bench"]))


def compare(kind: str, keys: int, days: int, cache: RedisServer | None) -> Iterator[list[str]]:
    """Lines of the table: one day, then all days, on a database and an online store of their own."""
    with workplace(kind, cache) as (ours, home):
        ours.write(rows_of(2, 24, 0), 1)  # warm: imports, registry, tables
        for count in (1, days):
            rows = rows_of(keys, 24 * count, count)
            with timed_pushes() as pushes:
                mine = seconds(lambda rows=rows, count=count: ours.write(rows, count))
                again = seconds(lambda rows=rows, count=count: ours.write(rows, count))
            times = []
            for is_newest_only in (False, True):
                store = stock_store(ours, kind, cache, home, is_newest_only=is_newest_only)
                materialize(store, 1)  # warm as well
                times.append(materialize(store, count))
            yield [
                kind,
                f"{count} d, {len(rows):,} rows",
                f"{mine:.2f}",
                f"{pushes[0]:.2f}",
                f"{again:.2f}",
                f"{times[0]:.2f}",
                f"{times[1]:.2f}",
                f"{times[0] / mine:.1f} ×",
                f"{times[1] / mine:.1f} ×",
                f"{times[1] / pushes[0]:.1f} ×",
            ]


@contextmanager
def workplace(kind: str, cache: RedisServer | None) -> Iterator[tuple[Ours, Path]]:
    """A database of its own on the embedded server, and an online store of a kind."""
    home = Path(tempfile.mkdtemp(prefix="tidemark-bench-"))
    home.chmod(0o755)
    try:
        with server.lease(home / "state") as embedded, patch.dict(TABLES, {BENCH.qualified: BENCH}):
            server.ensure_databases(embedded, ["bench"])
            timescale = CatalogedTimescale(database_url=embedded.url("bench"))
            url = {"sqlite": "", "postgres": "postgres", "redis": cache.url(db=4) if cache else ""}[kind]
            yield Ours(timescale, FeastResource(timescale=timescale, home=str(home), online_store_url=url)), home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def many(kind: str, keys: int) -> dict[str, float]:
    """Seconds and peak memory of serving one row each of many keys; in a process of its own."""
    with redis_server() as cache, workplace(kind, cache) as (ours, _):
        with ours.timescale.connect() as connection:
            ensure(connection, BENCH, read_capabilities(connection))
        piece = 100_000
        for first in range(0, keys, piece):
            rows = rows_of(min(piece, keys - first), 1, first)
            with ours.timescale.transaction() as transaction:
                rows["key"] += first
                transaction.copy(sql.table_of(BENCH), to_arrow(rows, Bench))
        ours.feast.ensure_applied(BENCH)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        marking = seconds(lambda: mark(ours))
        took = seconds(lambda: ours.feast.push(BENCH))
        return {
            "marking_s": marking,
            "serving_s": took,
            "before_gb": before,
            "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        }


def mark(ours: Ours) -> None:
    """Marks every key as a write of the whole table does."""
    with ours.timescale.connect() as connection:
        touched = pd.read_sql(sa.select(sql.table_of(BENCH).c.key, sql.table_of(BENCH).c.at), connection)
    touched["at"] = touched["at"].dt.as_unit("us")
    with ours.timescale.transaction() as transaction:
        pending.mark(transaction, "bench", touched, BENCH)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--keys", type=int, default=500)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--stores", default="sqlite,redis,postgres")
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--child", action="store_true")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    if given.child:
        print(json.dumps(many(given.stores, given.many)))
        return
    print(f"| {' | '.join(TITLES)} |\n|{'---|' * len(TITLES)}")
    for kind in given.stores.split(","):
        with redis_server() as cache:
            if kind == "redis" and cache is None:
                print("| redis | no redis-server here |")
                continue
            for line in compare(kind, given.keys, given.days, cache):
                print(f"| {' | '.join(line)} |", flush=True)
    print(f"\n| store, {given.many:,} keys | marking, s | serving, s | before, GB | peak, GB |\n|---|---|---|---|---|")
    for kind in given.stores.split(","):
        command = [sys.executable, "-m", "benchmarks.feature_store", "--child", "--stores", kind]
        done = subprocess.run([*command, "--many", str(given.many)], capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        print(f"| {kind} | {' | '.join(f'{found[name]:.2f}' for name in found)} |", flush=True)


if __name__ == "__main__":
    main()
