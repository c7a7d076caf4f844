"""Point-in-time joins in seconds: our Feast store, Feast's PostgreSQL store, DuckDB on Parquet; and who is right.

    python -m benchmarks.point_in_time [--entities 100000] [--rows 1000000] [--rounds 3] [--ttl 1d 7d none]
                                       [--exact-entities 2000] [--exact-rows 20000] [--without-stock]

Feature rows are made up: hours of as many keys as it takes, six features, one hour in fifty told twice (a correction:
same key and time, known later). Entity rows are moments at random, each for a key at random, one in a hundred unknown.
The reference is pandas' `merge_asof`; every row of every way is compared with it, bit for bit, and the rows that are
wrong, missing or there twice are counted.

Two parts. Seconds: a single whole number is the key, as Feast's own store does best with. Exactness: fewer rows under
pairs of keys that by twos are one text when joined without a separator, (1, "234") and (12, "34"), asked about at a few
moments all together; seconds are given there, too, and are those of a small table.

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
SINGLE, PAIR = ("a",), ("a", "b")
HOURS = 200
FIRST = np.datetime64("2024-01-01", "us")
KINDS = {"a": "bigint", "b": "text"}
TABLE = "CREATE TABLE {name} ({columns}, t timestamptz, created timestamptz, {features}, PRIMARY KEY ({key}))"
ASOF = """
WITH newest AS (
    SELECT * FROM read_parquet($file)
    QUALIFY row_number() OVER (PARTITION BY {key}, t ORDER BY created DESC) = 1
)
SELECT e.n, {columns} FROM asked e
ASOF LEFT JOIN newest f ON {same} AND e.event_timestamp >= f.t
ORDER BY e.n
"""


def main() -> None:
    """Measures and prints a Markdown table per part and time to live."""
    warnings.simplefilter("ignore")
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder, database() as timescale:
        parts = [("Seconds", SINGLE, arguments.entities, arguments.rows, arguments.ttl)]
        parts.append(("Exactness", PAIR, arguments.exact_entities, arguments.exact_rows, [None]))
        for title, key, asked, rows, ttls in parts:
            stage = Stage(title, key, asked, rows, timescale.url(), Path(folder))
            print(f"## {title}\n\n{asked:,} entity rows, {rows:,} feature rows, {len(FEATURES)} features\n")
            for ttl in ttls:
                measure(stage, ttl, arguments)


class Stage:
    """Feature rows in PostgreSQL and in a Parquet file, and entity rows to ask about."""

    def __init__(self, title: str, key: tuple[str, ...], asked: int, rows: int, url: str, folder: Path) -> None:
        self.name, self.key, self.url, self.folder = title.lower(), key, url, folder
        self.features = made_up_features(rows, key)
        self.entities = made_up_entities(self.features, asked, key)
        self.file = folder / f"{self.name}.parquet"
        pq.write_table(pa.Table.from_pandas(self.features, preserve_index=False), self.file)
        self.load()

    def load(self) -> None:
        """The feature rows into PostgreSQL."""
        table = TABLE.format(
            name=self.name,
            columns=", ".join(f"{name} {KINDS[name]}" for name in self.key),
            features=", ".join(f"{name} double precision" for name in FEATURES),
            key=", ".join((*self.key, "t", "created")),
        )
        with adbc.connect(self.url) as connection:
            with connection.cursor() as cursor:
                cursor.execute(table)
                rows = pa.Table.from_pandas(self.features, preserve_index=False)
                cursor.adbc_ingest(self.name, rows, mode="append")
            connection.commit()
            with connection.cursor() as cursor:
                cursor.execute(f"ANALYZE {self.name}")
            connection.commit()


def measure(stage: Stage, ttl: timedelta | None, arguments: argparse.Namespace) -> None:
    """One table: seconds, ratio to ours, wrong rows."""
    ours = feast_store(stage, "resources.feast.offline_store.TidemarkOfflineStore", ttl)
    ways: dict[str, Callable[[], pa.Table]] = {
        "Tidemark's store": lambda: ask(ours, stage.entities),
        "DuckDB, ASOF JOIN on Parquet": lambda: asof_join(stage, ttl),
    }
    if not arguments.without_stock:
        stock = feast_store(stage, "postgres", ttl)
        ways["Feast's PostgreSQL store"] = lambda: ask(stock, stage.entities)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    wrong = {}
    truth = reference(stage, ttl)
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


def made_up_features(rows: int, key: tuple[str, ...]) -> pd.DataFrame:
    """Hours of keys, and corrections of some of them."""
    random = np.random.default_rng(1)
    corrected = rows // 50
    plain = rows - corrected
    number, hour = np.arange(plain) // HOURS, np.arange(plain) % HOURS
    again = random.choice(plain, corrected, replace=False)
    number, hour = np.concatenate([number, number[again]]), np.concatenate([hour, hour[again]])
    known = np.where(np.arange(rows) < plain, 5, 90)
    stamps = FIRST + hour * np.timedelta64(3600, "s")
    keys = {"a": 1 + number}
    if key == PAIR:
        # Each second key is the one before, cut elsewhere: 1|234 and 12|34.
        text, cut = pd.Series(1000 + number // 2).astype(str), 1 + number % 2
        keys = {
            "a": np.where(cut == 1, text.str[:1], text.str[:2]).astype("int64"),
            "b": np.where(cut == 1, text.str[1:], text.str[2:]),
        }
    frame = pd.DataFrame(
        {
            **keys,
            "t": pd.DatetimeIndex(stamps).tz_localize("UTC"),
            "created": pd.DatetimeIndex(stamps + known * np.timedelta64(60, "s")).tz_localize("UTC"),
            **{name: random.random(rows) for name in FEATURES},
        }
    )
    return frame.sample(frac=1, random_state=1).reset_index(drop=True)


def made_up_entities(features: pd.DataFrame, rows: int, key: tuple[str, ...]) -> pd.DataFrame:
    """Keys and moments: in and a little beyond the hours, half of them on the hour; for pairs at four moments only."""
    random = np.random.default_rng(2)
    chosen = features[list(key)].iloc[random.integers(0, len(features), rows)].reset_index(drop=True)
    chosen.loc[random.random(rows) < 0.01, "a"] = 9_999_999
    hours = random.integers(0, HOURS + 48, rows) if key == SINGLE else random.integers(1, 5, rows) * 40
    minutes = hours * 60 + np.where(random.random(rows) < 0.5, 0, 17) * (key == SINGLE)
    stamps = FIRST + minutes * np.timedelta64(60, "s")
    return chosen.assign(event_timestamp=pd.DatetimeIndex(stamps).tz_localize("UTC"), n=np.arange(rows))


def reference(stage: Stage, ttl: timedelta | None) -> pd.DataFrame:
    """The features as they should be, in the order of the entity rows."""
    known = stage.features.sort_values(["t", "created"], kind="stable")
    newest = known.drop_duplicates([*stage.key, "t"], keep="last")
    asked = stage.entities.sort_values("event_timestamp", kind="stable")
    tolerance = pd.Timedelta(ttl) if ttl else None
    joined = pd.merge_asof(
        asked, newest, left_on="event_timestamp", right_on="t", by=list(stage.key), tolerance=tolerance
    )
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
    table: pa.Table = store.get_historical_features(entities, [f"rows:{name}" for name in FEATURES]).to_arrow()
    return table


def asof_join(stage: Stage, ttl: timedelta | None) -> pa.Table:
    """DuckDB's way; rows that are too old say nothing."""
    age = "f.t >= e.event_timestamp - to_microseconds($age)" if ttl else "f.t IS NOT NULL"
    columns = ", ".join(f"CASE WHEN {age} THEN f.{name} END AS {name}" for name in FEATURES)
    same = " AND ".join(f"e.{name} = f.{name}" for name in stage.key)
    query = ASOF.format(columns=columns, key=", ".join(stage.key), same=same)
    given: dict[str, Any] = {"file": str(stage.file)}
    if ttl:
        given["age"] = ttl // timedelta(microseconds=1)
    with duckdb.connect() as connection:
        connection.register("asked", pa.Table.from_pandas(stage.entities, preserve_index=False))
        return connection.execute(query, given).to_arrow_table()


def feast_store(stage: Stage, kind: str, ttl: timedelta | None) -> Any:
    """A Feast store of one view over the table."""
    from feast import Entity, FeatureStore, FeatureView, Field, RepoConfig, ValueType
    from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
    from feast.types import Float64, Int64, String

    told = sa.make_url(stage.url)
    store = FeatureStore(
        config=RepoConfig(
            project="benchmark",
            provider="local",
            registry=str(stage.folder / f"{stage.name}.{kind}.{ttl}.db"),
            online_store={"type": "sqlite", "path": str(stage.folder / "online.db")},
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
    kinds = {"a": (ValueType.INT64, Int64), "b": (ValueType.STRING, String)}
    entities = [Entity(name=name, join_keys=[name], value_type=kinds[name][0]) for name in stage.key]
    source = PostgreSQLSource(name="rows", table=stage.name, timestamp_field="t", created_timestamp_column="created")
    fields = [Field(name=name, dtype=kinds[name][1]) for name in stage.key]
    fields += [Field(name=name, dtype=Float64) for name in FEATURES]
    view = FeatureView(name="rows", entities=entities, ttl=ttl or timedelta(0), schema=fields, source=source)
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
    parser.add_argument("--exact-entities", type=int, default=2_000)
    parser.add_argument("--exact-rows", type=int, default=20_000)
    parser.add_argument("--without-stock", action="store_true", help="leave out Feast's own store, which takes longest")
    return parser.parse_args()


if __name__ == "__main__":
    main()
