"""Feast's `get_historical_features` through the product's store on a real PostgreSQL in a far time zone."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resources.errors import ContractBroken, CredentialsRejected, DatabaseUnavailable
from resources.timescale import server
from tests.point_in_time import looked_up, rows_of

pytestmark = [pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]
DAY = datetime(2024, 3, 30, tzinfo=UTC)
TTL = timedelta(hours=2)
TABLES = """
CREATE SCHEMA features;
CREATE TABLE features.pairs (a bigint, b text, t timestamptz, created timestamptz, p double precision, q bigint, r text,
                             PRIMARY KEY (a, b, t, created));
CREATE TABLE features."od""d" (a bigint, "T s" timestamptz, "the value" double precision, PRIMARY KEY (a, "T s"));
"""


class Stage:
    """A Feast store over two tables: `pairs` (two keys, ties, ttl 2 h) and `odd` (one key, odd names, no ttl)."""

    def __init__(self, url: str, folder: Path, **options: Any) -> None:
        from feast import Entity, FeatureStore, FeatureView, Field, RepoConfig, ValueType
        from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
        from feast.types import Float64, Int64, String

        self.url, self.folder = url, folder
        told = sa.make_url(url)
        self.options = {
            "type": "resources.feast.offline_store.TidemarkOfflineStore",
            "host": told.host or told.query["host"],
            "port": told.port or 5432,
            "database": told.database,
            "user": told.username,
            "password": told.password or "",
            "sslmode": None,
            **options,
        }
        self.store = FeatureStore(
            config=RepoConfig(
                project="tidemark",
                provider="local",
                registry=str(folder / "registry.db"),
                online_store={"type": "sqlite", "path": str(folder / "online.db")},
                offline_store=self.options,
                entity_key_serialization_version=3,
            )
        )
        a = Entity(name="a", join_keys=["a"], value_type=ValueType.INT64)
        b = Entity(name="b", join_keys=["b"], value_type=ValueType.STRING)
        pairs = FeatureView(
            name="pairs",
            entities=[a, b],
            ttl=TTL,
            schema=[
                Field(name="a", dtype=Int64),
                Field(name="b", dtype=String),
                Field(name="p", dtype=Float64),
                Field(name="q", dtype=Int64),
                Field(name="r", dtype=String),
            ],
            source=PostgreSQLSource(
                name="pairs", table="features.pairs", timestamp_field="t", created_timestamp_column="created"
            ),
        )
        odd = FeatureView(
            name="odd",
            entities=[a],
            ttl=timedelta(0),
            schema=[Field(name="a", dtype=Int64), Field(name="the value", dtype=Float64)],
            source=PostgreSQLSource(name="odd", query='SELECT * FROM features."od""d"', timestamp_field="T s"),
        )
        if not options:
            self.store.apply([a, b, pairs, odd])

    def fill(self, pairs: pd.DataFrame, odd: pd.DataFrame) -> None:
        with psycopg.connect(self.url) as connection, connection.cursor() as cursor:
            cursor.execute('TRUNCATE features.pairs, features."od""d"')
            for table, frame in (("features.pairs", pairs), ('features."od""d"', odd)):
                with cursor.copy("COPY " + table + " FROM STDIN") as copy:
                    for row in frame.itertuples(index=False):
                        copy.write_row([None if pd.isna(value) else value for value in row])

    def ask(self, entities: Any, features: list[str], **options: Any) -> pd.DataFrame:
        return self.store.get_historical_features(entities, features, **options).to_df()


@pytest.fixture(scope="module")
def stage(embedded: server.EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    server.ensure_databases(embedded, ["offline_store"])
    url = embedded.url("offline_store")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER DATABASE offline_store SET timezone TO 'Europe/Berlin'")
        connection.execute(TABLES)
    yield Stage(url, tmp_path_factory.mktemp("feast"))


def pair(a: int, b: str, minutes: float, value: float | None, known: float = 0.0) -> dict[str, object]:
    at = DAY + timedelta(minutes=minutes)
    return {"a": a, "b": b, "t": at, "created": at + timedelta(minutes=known), "p": value, "q": 7, "r": f"{a}/{b}"}


def frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["a", "b", "t", "created", "p", "q", "r"])


NO_ODD = pd.DataFrame({"a": pd.Series([], dtype="int64"), "T s": [], "the value": []})
PAIR_FEATURES = ["pairs:p", "pairs:q", "pairs:r"]


def asked(*rows: tuple[object, object, float]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "a": [row[0] for row in rows],
            "b": [row[1] for row in rows],
            "event_timestamp": pd.to_datetime([DAY + timedelta(minutes=row[2]) for row in rows], utc=True),
        }
    )


# Keys that are one text when joined without a separator, minutes around the ttl's edge, ties of event time.
KEYS = st.sampled_from([(1, "2pm"), (12, "pm"), (1, "2"), (11, "2"), (1, "12"), (2, "'; --")])
MINUTES = st.sampled_from([0.0, 1.0, 119.0, 120.0, 121.0, 240.0, 1 / 60_000_000])
ROWS = st.lists(
    st.tuples(KEYS, MINUTES, st.one_of(st.none(), st.floats(allow_nan=False)), st.sampled_from([0.0, 1.0, 500.0])),
    max_size=25,
    unique_by=lambda row: (row[0], row[1], row[3]),
)
ASKED = st.lists(st.tuples(KEYS | st.just((99, "nobody")), MINUTES), min_size=1, max_size=25)


@given(rows=ROWS, odd=ROWS, entities=ASKED, known_by_then=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_row_is_what_the_plain_join_finds(
    stage: Stage,
    rows: list[tuple[tuple[int, str], float, float | None, float]],
    odd: list[tuple[tuple[int, str], float, float | None, float]],
    entities: list[tuple[tuple[int, str], float]],
    known_by_then: bool,
) -> None:
    pairs = frame([pair(*key, minutes, value, known) for key, minutes, value, known in rows])
    others = pd.DataFrame(
        [(key[0], DAY + timedelta(minutes=minutes), value) for key, minutes, value, _ in odd],
        columns=["a", "T s", "the value"],
    ).drop_duplicates(["a", "T s"])
    stage.fill(pairs, others)
    want = asked(*((*key, minutes) for key, minutes in entities))
    got = stage.ask(want, [*PAIR_FEATURES, "odd:the value"], filter_by_created_timestamp=known_by_then)
    expected = looked_up(want, pairs, keys=["a", "b"], features=["p", "q", "r"], ttl=TTL, known_by_then=known_by_then)
    plain = looked_up(want, others, keys=["a"], features=["the value"], ttl=None, time="T s", created=None)
    assert rows_of(got, ["p", "q", "r"]) == expected
    assert rows_of(got, ["the value"]) == plain
    assert rows_of(got, ["a", "b", "event_timestamp"]) == rows_of(want, ["a", "b", "event_timestamp"])


@pytest.fixture
def simple(stage: Stage) -> Stage:
    stage.fill(frame([pair(1, "2pm", 0, 1.5), pair(12, "pm", 0, 2.5), pair(1, "2pm", 60, 3.5)]), NO_ODD)
    return stage


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({"b": lambda s: s.astype("category")}, id="category"),
        pytest.param({"b": lambda s: s.astype("string[pyarrow]")}, id="arrow text"),
        pytest.param({"a": lambda s: s.astype("int8")}, id="int8"),
        pytest.param({"a": lambda s: s.astype("float64")}, id="whole floats"),
        pytest.param({"a": lambda s: s.astype("string")}, id="numbers as text"),
        pytest.param({"event_timestamp": lambda s: s.dt.tz_localize(None)}, id="naive is UTC"),
        pytest.param({"event_timestamp": lambda s: s.dt.tz_convert("Asia/Kathmandu")}, id="another zone"),
        pytest.param({"event_timestamp": lambda s: s.astype(object)}, id="Python's instants"),
        pytest.param({"event_timestamp": lambda s: s.astype("datetime64[s, UTC]")}, id="seconds"),
    ],
)
def test_entity_rows_of_odd_dtypes_mean_what_they_say(simple: Stage, odd: dict[str, Any]) -> None:
    entities = asked((1, "2pm", 59), (12, "pm", 60), (1, "2pm", 60), (1, "2pm", 59))
    entities = entities.assign(**{name: change(entities[name]) for name, change in odd.items()})
    entities.index = [7, 7, 3, 1]
    got = simple.ask(entities, PAIR_FEATURES)
    assert got["p"].tolist() == [1.5, 2.5, 3.5, 1.5]
    assert str(got["event_timestamp"].dtype) == "datetime64[us, UTC]"


def test_other_columns_of_the_entity_rows_come_back_as_they_were(simple: Stage) -> None:
    entities = asked((1, "2pm", 59), (5, "x", 59)).assign(
        nothing=[None, None],
        kind=pd.Categorical(["x", "y"]),
        small=pd.array([1, 2], dtype="int8"),
        lists=[["a"], []],
        length=pd.to_timedelta([1, 2], unit="s"),
        day=[DAY.date(), DAY.date()],
    )
    got = simple.ask(entities, PAIR_FEATURES)
    assert got["p"].tolist()[0] == 1.5 and got.loc[1, ["p", "q", "r"]].isna().all()
    assert got["kind"].tolist() == ["x", "y"]
    assert got["small"].dtype == "int8"
    assert [list(one) for one in got["lists"]] == [["a"], []]
    assert got["nothing"].isna().all()


def test_a_key_of_nothing_but_gaps_finds_nothing(simple: Stage) -> None:
    entities = asked((1, "2pm", 59), (1, "2pm", 60)).assign(b=[None, None])
    assert simple.ask(entities, PAIR_FEATURES)["p"].isna().all()


def test_no_entity_rows_give_no_rows_and_all_columns(simple: Stage) -> None:
    got = simple.ask(asked((1, "2pm", 59)).iloc[:0], PAIR_FEATURES)
    assert got.empty and list(got.columns) == ["a", "b", "event_timestamp", "p", "q", "r"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"a": ["1", "x"]}, "a is object where the features have int64"),
        ({"a": [1.0, 1.5]}, "a is float64 where the features have int64"),
        ({"event_timestamp": ["2024-01-01", "noon"]}, "no instant"),
        ({"event_timestamp": [1, 2]}, "event_timestamp is int64, not an instant"),
        ({"p": [1.0, 2.0]}, "both have p"),
        ({"mixed": [1, "a"]}, "values of several kinds"),
    ],
)
def test_what_cannot_be_looked_up_is_said_clearly(simple: Stage, change: dict[str, Any], told: str) -> None:
    with pytest.raises(ContractBroken, match=told):
        simple.ask(asked((1, "2pm", 59), (12, "pm", 60)).assign(**change), PAIR_FEATURES)


def test_a_key_that_is_missing_is_named(simple: Stage) -> None:
    with pytest.raises(ContractBroken, match="no column b"):
        simple.ask(asked((1, "2pm", 59)).drop(columns="b"), PAIR_FEATURES)


def test_a_query_asks_as_a_frame_does(simple: Stage) -> None:
    query = (
        "SELECT a, b, t + interval '1 minute' AS event_timestamp, 5 AS label FROM features.pairs ORDER BY t DESC, a ;"
    )
    got = simple.ask(query, PAIR_FEATURES)
    assert rows_of(got, ["a", "b", "label", "p"]) == [(1, "2pm", 5, 3.5), (1, "2pm", 5, 1.5), (12, "pm", 5, 2.5)]
    with pytest.raises(ContractBroken, match="no column b"):
        simple.ask("SELECT a, t AS event_timestamp FROM features.pairs", PAIR_FEATURES)


def test_full_names_tell_views_apart(simple: Stage) -> None:
    got = simple.ask(asked((1, "2pm", 59)), ["pairs:p", "odd:the value"], full_feature_names=True)
    assert list(got.columns)[3:] == ["pairs__p", "odd__the value"]


def test_a_range_of_time_instead_of_entity_rows(simple: Stage) -> None:
    job = simple.store.get_historical_features(
        features=PAIR_FEATURES, start_date=DAY - timedelta(hours=1), end_date=DAY + timedelta(hours=1)
    )
    table = job.to_arrow()
    assert sorted(table.column("p").to_pylist()) == [1.5, 2.5, 3.5]
    assert table.schema.field("event_timestamp").type == pa.timestamp("us", "UTC")


def test_rows_are_pulled_with_their_zone(simple: Stage) -> None:
    from resources.feast.offline_store import TidemarkOfflineStore

    view = simple.store.get_feature_view("pairs")
    named = (["a", "b"], ["p"], "t", "created", DAY - TTL, DAY + TTL)
    pull: Any = TidemarkOfflineStore.pull_latest_from_table_or_query(simple.store.config, view.batch_source, *named)
    latest = pull.to_arrow()
    assert latest.schema.field("t").type == pa.timestamp("us", "UTC")
    assert sorted(latest.column("p").to_pylist()) == [2.5, 3.5]
    pull = TidemarkOfflineStore.pull_all_from_table_or_query(simple.store.config, view.batch_source, *named)
    assert sorted(pull.to_arrow().column("p").to_pylist()) == [1.5, 2.5, 3.5]


def test_rows_written_through_feast_are_upserted(simple: Stage) -> None:
    stamp = pd.Timestamp(DAY)
    rows = pd.DataFrame(
        {
            "a": [1, 1, 3],
            "b": pd.Categorical(["2pm", "2pm", "new"]),
            "t": [stamp] * 3,
            "created": [stamp, stamp, stamp],
            "p": [10.0, 10.0, 30.0],
            "q": [1, 1, 3],
            "r": [None, None, None],
        }
    )
    from resources.feast.offline_store import TidemarkOfflineStore

    with psycopg.connect(simple.url, autocommit=True) as connection:
        connection.execute("DROP INDEX IF EXISTS features.one_per_instant")
        connection.execute("CREATE UNIQUE INDEX one_per_instant ON features.pairs (a, b, t)")
    try:
        view, counted = simple.store.get_feature_view("pairs"), []
        for value in (10.0, 11.0):
            table = pa.Table.from_pandas(rows.assign(p=value), preserve_index=False)
            TidemarkOfflineStore.offline_write_batch(simple.store.config, view, table, counted.append)
        older = rows.assign(p=-1.0, created=stamp - pd.Timedelta(days=1))
        simple.store.write_to_offline_store("pairs", older)
        assert counted == [3, 3]
        got = simple.ask(asked((1, "2pm", 1), (3, "new", 1), (12, "pm", 1)), PAIR_FEATURES)
        assert got["p"].tolist() == [11.0, 11.0, 2.5]
    finally:
        with psycopg.connect(simple.url, autocommit=True) as connection:
            connection.execute("DROP INDEX features.one_per_instant")


def test_a_server_that_is_away_or_refuses_is_one_of_our_errors(simple: Stage, tmp_path: Path) -> None:
    away = Stage(simple.url, simple.folder, host="127.0.0.1", port=1)
    with pytest.raises(DatabaseUnavailable):
        away.ask(asked((1, "2pm", 59)), PAIR_FEATURES)
    stranger = Stage(simple.url, simple.folder, user="nobody_we_know")
    with pytest.raises(CredentialsRejected):
        stranger.ask(asked((1, "2pm", 59)), PAIR_FEATURES)


def test_nothing_is_left_in_the_database(simple: Stage) -> None:
    simple.ask(asked((1, "2pm", 59)), PAIR_FEATURES)
    with psycopg.connect(simple.url) as connection:
        found = connection.execute("SELECT count(*) FROM pg_tables WHERE tablename LIKE '%entit%'").fetchone()
    assert found == (0,)
