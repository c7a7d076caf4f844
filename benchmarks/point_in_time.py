"""Point-in-time joins in seconds: our Feast store, Feast's PostgreSQL store, DuckDB on Parquet; and who is right.

    python -m benchmarks.point_in_time [--entities 100000] [--rows 1000000] [--rounds 3] [--ttl 1d 7d none]
                                       [--without-stock]

Feature rows are made up: hours of as many pairs of keys (a whole number and a text) as it takes, six features, one hour
in fifty told twice (a correction: same key and time, known later). Keys are such that joined without a separator some
are one text: (1, "12") and (11, "2"). Entity rows are moments at random, each for a key at random. The reference is
pandas' `merge_asof` on keys as they are; every row of every way is compared with it, bit for bit, and the rows that are
wrong, missing or there twice are counted.

Our store and Feast's own are asked by `get_historical_features` from the same table with the same index, result as
Arrow. DuckDB gets entity rows as Arrow and the features as Parquet (it has no server to ask), and joins by its ASOF
JOIN; Feast's DuckDB store needs Ibis and adds to that. Ways take turns; seconds are medians by the wall's clock. One
database, made for this and dropped after: the embedded PostgreSQL, or on the server of TIDEMARK_BENCHMARK_DATABASE_URL.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from benchmarks.io_manager import database

FEATURES = tuple(f"f{n}" for n in range(6))
KEY = ["a", "b"]
HOURS = 200
FIRST = np.datetime64("2024-01-01", "us")
TABLE = """
CREATE TABLE point_in_time (a bigint, b text, t timestamptz, created timestamptz, {features},
                            PRIMARY KEY (a, b, t, created))
"""
ASOF = """
WITH newest AS (
    SELECT * FROM read_parquet($file)
    QUALIFY row_number() OVER (PARTITION BY a, b, t ORDER BY created DESC) = 1
)
SELECT e.n, {columns} FROM asked e
ASOF LEFT JOIN newest f ON e.a = f.a AND e.b = f.b AND e.event_timestamp >= f.t
ORDER BY e.n
"""


def main() -> None:
    """Measures and prints a Markdown table per time to live."""
    warnings.simplefilter("ignore")
    arguments = _arguments()
    features = made_up_features(arguments.rows)
    entities = made_up_entities(features, arguments.entities)
    print(f"{len(entities):,} entity rows, {len(features):,} feature rows, {len(FEATURES)} features\n")
    with tempfile.TemporaryDirectory() as folder, database() as timescale:
        url = timescale.url()
        load(url, features)
        file = Path(folder) / "features.parquet"
        pq.write_table(pa.Table.from_pandas(features, preserve_index=False), file)
        for ttl in arguments.ttl:
            measure(url, Path(folder), file, features, entities, ttl, arguments)


def measure(
    url: str,
    folder: Path,
    file: Path,
    features: pd.DataFrame,
    entities: pd.DataFrame,
    ttl: timedelta | None,
    arguments: argparse.Namespace,
) -> None:
    """One table: seconds, ratio to ours, wrong rows."""
    ours = feast_store(url, folder, "resources.feast.offline_store.TidemarkOfflineStore", ttl)
    ways: dict[str, Callable[[], pa.Table]] = {
        "Tidemark's store": lambda: ask(ours, entities),
        "DuckDB, ASOF JOIN on Parquet": lambda: asof_join(file, entities, ttl),
    }
    if not arguments.without_stock:
        stock = feast_store(url, folder, "postgres", ttl)
        ways["Feast's PostgreSQL store"] = lambda: ask(stock, entities)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    wrong = {}
    truth = reference(features, entities, ttl)
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            got = way()
            seconds[name].append(time.perf_counter() - started)
            wrong[name] = wrong_rows(got, truth)
    fastest = median(seconds["Tidemark's store"])
    print(f"ttl {ttl or 'none'}\n\n| way | s | times ours | wrong rows |\n|---|---:|---:|---:|")
    for name, spent in seconds.items():
        print(f"| {name} | {median(spent):.2f} | {median(spent) / fastest:.1f} | {wrong[name]:,} |")
    print(flush=True)


def made_up_features(rows: int) -> pd.DataFrame:
    """Hours of pairs of keys, and corrections of some of them."""
    random = np.random.default_rng(1)
    corrected = rows // 50
    plain = rows - corrected
    pair, hour = np.arange(plain) // HOURS, np.arange(plain) % HOURS
    again = random.choice(plain, corrected, replace=False)
    pair, hour = np.concatenate([pair, pair[again]]), np.concatenate([hour, hour[again]])
    known = np.where(np.arange(rows) < plain, 5, 90)
    stamps = FIRST + hour * np.timedelta64(3600, "s")
    frame = pd.DataFrame(
        {
            # 1|12 and 11|2, 1|1 and 11|, ... : the second key starts where the first one ends.
            "a": 1 + pair // 30,
            "b": pd.Series(pair % 30).astype(str),
            "t": pd.DatetimeIndex(stamps).tz_localize("UTC"),
            "created": pd.DatetimeIndex(stamps + known * np.timedelta64(60, "s")).tz_localize("UTC"),
            **{name: random.random(rows) for name in FEATURES},
        }
    )
    return frame.sample(frac=1, random_state=1).reset_index(drop=True)


def made_up_entities(features: pd.DataFrame, rows: int) -> pd.DataFrame:
    """Keys at random, one in a hundred unknown; moments in and a little beyond the hours, half of them on the hour."""
    random = np.random.default_rng(2)
    chosen = features[KEY].iloc[random.integers(0, len(features), rows)].reset_index(drop=True)
    chosen.loc[random.random(rows) < 0.01, "b"] = "nobody"
    minutes = random.integers(0, HOURS + 48, rows) * 60 + np.where(random.random(rows) < 0.5, 0, 17)
    stamps = FIRST + minutes * np.timedelta64(60, "s")
    return chosen.assign(event_timestamp=pd.DatetimeIndex(stamps).tz_localize("UTC"), n=np.arange(rows))


def reference(features: pd.DataFrame, entities: pd.DataFrame, ttl: timedelta | None) -> pd.DataFrame:
    """The features as they should be, in the order of the entity rows."""
    newest = features.sort_values(["t", "created"], kind="stable").drop_duplicates([*KEY, "t"], keep="last")
    asked = entities.sort_values("event_timestamp", kind="stable")
    tolerance = pd.Timedelta(ttl) if ttl else None
    joined = pd.merge_asof(asked, newest, left_on="event_timestamp", right_on="t", by=KEY, tolerance=tolerance)
    return joined.set_index("n").sort_index()[list(FEATURES)]


def wrong_rows(got: pa.Table, truth: pd.DataFrame) -> int:
    """Entity rows whose features are not exactly those of the reference, or that are there not exactly once."""
    rows = got.select(["n", *FEATURES]).to_pandas().set_index("n")
    once = rows[~rows.index.duplicated(keep=False)].reindex(truth.index)
    is_there = truth.index.isin(rows.index) & ~truth.index.isin(rows.index[rows.index.duplicated()])
    left, right = once.to_numpy(dtype=float), truth.to_numpy(dtype=float)
    same = ((left == right) | (np.isnan(left) & np.isnan(right))).all(axis=1)
    return int((~(same & is_there)).sum())


def ask(store: Any, entities: pd.DataFrame) -> pa.Table:
    """Feast's way."""
    table: pa.Table = store.get_historical_features(entities, [f"pairs:{name}" for name in FEATURES]).to_arrow()
    return table


def asof_join(file: Path, entities: pd.DataFrame, ttl: timedelta | None) -> pa.Table:
    """DuckDB's way; rows that are too old say nothing."""
    age = "f.t >= e.event_timestamp - to_microseconds($age)" if ttl else "f.t IS NOT NULL"
    columns = ", ".join(f"CASE WHEN {age} THEN f.{name} END AS {name}" for name in FEATURES)
    given: dict[str, Any] = {"file": str(file)}
    if ttl:
        given["age"] = ttl // timedelta(microseconds=1)
    with duckdb.connect() as connection:
        connection.register("asked", pa.Table.from_pandas(entities, preserve_index=False))
        return connection.execute(ASOF.format(columns=columns), given).to_arrow_table()


def load(url: str, features: pd.DataFrame) -> None:
    """The feature rows into PostgreSQL."""
    with adbc.connect(url) as connection:
        with connection.cursor() as cursor:
            cursor.execute(TABLE.format(features=", ".join(f"{name} double precision" for name in FEATURES)))
            cursor.adbc_ingest("point_in_time", pa.Table.from_pandas(features, preserve_index=False), mode="append")
        connection.commit()
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE point_in_time")
        connection.commit()


def feast_store(url: str, folder: Path, kind: str, ttl: timedelta | None) -> Any:
    """A Feast store of one view over the table."""
    from feast import Entity, FeatureStore, FeatureView, Field, RepoConfig, ValueType
    from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
    from feast.types import Float64, Int64, String

    told = sa.make_url(url)
    store = FeatureStore(
        config=RepoConfig(
            project="benchmark",
            provider="local",
            registry=str(folder / f"{kind}.{ttl}.db"),
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
            offline_store={
                "type": kind,
                "host": told.host or told.query["host"],
                "port": told.port or 5432,
                "database": told.database,
                "user": told.username,
                "password": told.password or "",
                "sslmode": "prefer",
            },
            entity_key_serialization_version=3,
        )
    )
    entities = [
        Entity(name="a", join_keys=["a"], value_type=ValueType.INT64),
        Entity(name="b", join_keys=["b"], value_type=ValueType.STRING),
    ]
    source = PostgreSQLSource(
        name="pairs", table="point_in_time", timestamp_field="t", created_timestamp_column="created"
    )
    fields = [
        Field(name="a", dtype=Int64),
        Field(name="b", dtype=String),
        *(Field(name=name, dtype=Float64) for name in FEATURES),
    ]
    view = FeatureView(name="pairs", entities=entities, ttl=ttl or timedelta(0), schema=fields, source=source)
    store.apply([*entities, view])
    return store


def _ttl(text: str) -> timedelta | None:
    return None if text == "none" else pd.Timedelta(text).to_pytimedelta()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entities", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ttl", type=_ttl, nargs="+", default=[timedelta(days=1), timedelta(days=7), None])
    parser.add_argument("--without-stock", action="store_true", help="leave out Feast's own store, which takes longest")
    return parser.parse_args()


if __name__ == "__main__":
    main()
