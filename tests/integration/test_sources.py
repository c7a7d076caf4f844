"""Databases, object stores and REST APIs as sources: what all stand, and what only one kind has."""

import gzip
import io
import json
import math
import shutil
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from assets_pkg.commands import doctor
from resources.catalog.schema import CatalogedTimescale
from resources.circuit.breaker import LocalCircuitStore
from resources.errors import ConfigurationError, SourceChanging, SourceUnavailable, TidemarkError, UnexpectedAnswer
from resources.http.client import Patience
from resources.openaq.rate_budget import LocalRateBudget, Rate
from resources.sources.database import DatabaseSource
from resources.sources.ingestion import BaseIngestion, DatabaseIngestion, DataSourceType, IngestionConfig, S3Ingestion
from resources.sources.object_store import ObjectStoreSource
from resources.sources.resource import SourcesResource
from resources.sources.rest import RestSource
from resources.sources.source import Extract
from resources.timescale import server
from resources.wiring import Settings, build_resources, sources_resource
from tests.integration.conftest import own_database
from tests.integration.source_stands import (
    CANARY,
    MariaDbStand,
    PostgresStand,
    RestStand,
    S3Stand,
    Stand,
    mariadb_server,
)
from tests.integration.sources_kit import MINUTE, NOON, AcceptanceKit, Reader, ids, ids_of, taken, thing

KINDS = ["postgres", "mariadb", "s3", "rest_page", "rest_cursor"]
"""All four styles of pages are walked through by `api`."""


@pytest.fixture(scope="module")
def catalog(embedded: server.EmbeddedServer) -> Iterator[CatalogedTimescale]:
    """The product's own database, for all tests of this module."""
    with own_database(embedded.url("postgres")) as url:
        yield CatalogedTimescale(database_url=url)


@pytest.fixture(scope="module")
def mariadb() -> Iterator[int]:
    if not shutil.which("mariadbd"):
        pytest.skip("no MariaDB on this machine")
    with mariadb_server() as port:
        yield port


@pytest.fixture(scope="module")
def s3() -> Iterator[tuple[str, int]]:
    moto = pytest.importorskip("moto.server")
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    yield running.get_host_and_port()
    running.stop()


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for seconds between two attempts; keys of S3 are where every tool looks for them."""
    defaults = Patience.__init__.__kwdefaults__
    for name, value in {"backoff_s": 0.01, "longest_backoff_s": 0.05, "attempts": 3}.items():
        monkeypatch.setitem(defaults, name, value)
    for name, key in (("ACCESS_KEY_ID", "key"), ("SECRET_ACCESS_KEY", CANARY), ("REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", key)


def made(kind: str, request: pytest.FixtureRequest) -> Iterator[Stand]:
    if kind == "postgres":
        stand: Stand = PostgresStand(request.getfixturevalue("postgres_url"))
    elif kind == "mariadb":
        stand = MariaDbStand(request.getfixturevalue("mariadb"))
    elif kind == "s3":
        stand = S3Stand(*request.getfixturevalue("s3"))
    else:
        stand = RestStand(kind.removeprefix("rest_"))
    yield stand
    stand.close()


@pytest.fixture(params=KINDS)
def stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    yield from made(request.param, request)


@pytest.fixture
def reader(stand: Stand, catalog: CatalogedTimescale) -> Reader:
    return Reader(stand, catalog)


class TestEverySource(AcceptanceKit):
    """The kit, on every kind."""


# Databases


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[PostgresStand]:
    with closing(PostgresStand(postgres_url)) as stand:
        yield stand


@pytest.fixture
def maria(mariadb: int) -> Iterator[MariaDbStand]:
    with closing(MariaDbStand(mariadb)) as stand:
        yield stand


def test_postgres_values_are_taken_exactly_or_put_aside(postgres: PostgresStand, catalog: CatalogedTimescale) -> None:
    postgres.run(
        "CREATE TABLE things (id uuid, label jsonb, amount numeric, count bigint, is_good boolean, at timestamp)",
        """INSERT INTO things VALUES
            ('00000000-0000-0000-0000-000000000001', '{"a": [1, "é"]}', 0.1, 9007199254740993, true, '2026-11-20 12:0'),
            ('00000000-0000-0000-0000-000000000002', NULL, 12345678901234567.89, 1, true, '2026-11-20 12:00'),
            ('00000000-0000-0000-0000-000000000003', NULL, 'NaN', 1, NULL, '2026-11-20 12:00:00.123456'),
            ('00000000-0000-0000-0000-000000000004', NULL, 1, 1, true, 'infinity'),
            ('00000000-0000-0000-0000-000000000005', NULL, 1, 1, true, '1066-10-14 09:00 BC')""",
    )
    rows, rejects = taken(Reader(postgres, catalog).read())
    rows = rows.set_index("thing_id")
    first = rows.loc["00000000-0000-0000-0000-000000000001"]
    assert (json.loads(first["label"]), first["amount"], first["count"]) == ({"a": [1, "é"]}, 0.1, 2**53 + 1)
    assert first["at"] == datetime(2026, 11, 20, 12, tzinfo=UTC)
    third = rows.loc["00000000-0000-0000-0000-000000000003"]
    assert math.isnan(third["amount"])
    assert third["at"].microsecond == 123456
    assert sorted(rejects["rule"]) == ["type: amount", "type: at", "type: at"]
    assert "more digits" in rejects.set_index("rule").loc["type: amount", "reason"]


def test_mariadb_values_are_taken_exactly_or_put_aside(maria: MariaDbStand, catalog: CatalogedTimescale) -> None:
    maria.run(
        "CREATE TABLE things (id int, label json, amount double, count bigint unsigned, is_good bit(1), "
        "at timestamp(6) NULL, KEY (at))",
    )
    with maria.engine.begin() as connection:
        connection.exec_driver_sql("SET SESSION sql_mode = 'ALLOW_INVALID_DATES'")
        connection.exec_driver_sql(
            """INSERT INTO things VALUES (1, '{"a": 1}', 0.1, 9007199254740993, b'1', '2026-11-20 12:00:00.5'),
            (2, NULL, 1, 18446744073709551615, b'0', '2026-11-20 12:00:00'), (3, NULL, 1, 1, b'0', '0000-00-00')"""
        )
    rows, rejects = taken(Reader(maria, catalog).read(batch_size=1))
    (held,) = rows.to_dict("records")
    assert (held["thing_id"], json.loads(held["label"]), held["count"]) == ("1", {"a": 1}, 2**53 + 1)
    # The server's own zone is India's: what was written there as noon is half past six.
    assert held["at"] == datetime(2026, 11, 20, 6, 30, 0, 500_000, tzinfo=UTC)
    assert held["is_good"]
    assert sorted(rejects["rule"]) == ["type: at", "type: count"]
    assert "0000-00-00" in "".join(rejects["raw"])


@pytest.mark.parametrize("name", ["select", 'odd "`name%s', "Größe; drop table x", "UPPER"])
def test_names_are_names_and_nothing_else(postgres: PostgresStand, catalog: CatalogedTimescale, name: str) -> None:
    quoted = sa.sql.quoted_name(name, quote=True)
    metadata = sa.MetaData(schema="from")
    table = sa.Table(
        quoted,
        metadata,
        sa.Column(quoted, sa.Text),
        sa.Column("order", sa.DateTime(timezone=True)),
        sa.UniqueConstraint(quoted, "order"),
    )
    postgres.run('CREATE SCHEMA "from"')
    metadata.create_all(postgres.engine)
    with postgres.engine.begin() as connection:
        rows = [{name: f"k{n}", "order": NOON + n * MINUTE} for n in range(5)]
        connection.execute(sa.insert(table).values(rows))
    mapping = {name: "thing_id", "order": "at"}
    found, _ = taken(Reader(postgres, catalog).read(name=f"from.{name}", column_mapping=mapping, batch_size=2))
    assert ids(found) == [f"k{n}" for n in range(5)]


def test_names_are_names_in_mariadb_too(maria: MariaDbStand, catalog: CatalogedTimescale) -> None:
    maria.run(
        'CREATE TABLE `group` (`key %s "x"` varchar(20), `order` datetime, UNIQUE (`key %s "x"`, `order`))'.replace(
            "%", "%%"
        ),
        "INSERT INTO `group` VALUES ('a', '2026-11-20 12:00'), ('b', '2026-11-20 12:00'), ('c', '2026-11-20 12:01')",
    )
    mapping = {'key %s "x"': "thing_id", "order": "at"}
    found, _ = taken(Reader(maria, catalog).read(name="group", column_mapping=mapping, batch_size=1))
    assert ids(found) == ["a", "b", "c"]


@pytest.mark.parametrize("stand", ["postgres", "mariadb"], indirect=True)
@pytest.mark.parametrize("is_unique", [True, False])
def test_all_batches_are_of_one_state(stand: Stand, reader: Reader, is_unique: bool) -> None:
    stand.put([thing(n) for n in range(100)], is_unique=is_unique)
    batches = iter(reader.read())
    count = len(next(batches).rows)
    stand.add([thing(n) for n in range(1000, 1050)])
    assert count + sum(len(batch.rows) for batch in batches) == 100


def test_a_query_the_server_gives_up_is_asked_again(postgres: PostgresStand, catalog: CatalogedTimescale) -> None:
    """A view fails with the code of a conflict for as long as somebody holds a lock."""
    postgres.put([thing(n) for n in range(5)])
    postgres.run(
        """CREATE FUNCTION fails() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$ BEGIN
            IF NOT pg_try_advisory_xact_lock_shared(77) THEN
                RAISE EXCEPTION 'could not serialize' USING ERRCODE = '40001';
            END IF; RETURN true; END $$""",
        "CREATE VIEW failing AS SELECT * FROM things WHERE fails()",
    )
    reader = Reader(postgres, catalog)
    with postgres.engine.connect() as holder:
        holder.exec_driver_sql("SELECT pg_advisory_lock(77)")
        with pytest.raises(SourceUnavailable, match="serialize"):
            taken(reader.read(name="failing"))
        threading.Timer(0.1, holder.exec_driver_sql, ["SELECT pg_advisory_unlock(77)"]).start()
        rows, _ = taken(reader.read(name="failing"))
    assert ids(rows) == ids_of(range(5))


def test_a_deadlock_is_asked_again(maria: MariaDbStand, catalog: CatalogedTimescale) -> None:
    maria.put([thing(n) for n in range(5)])
    maria.run(
        """CREATE FUNCTION fails() RETURNS int NOT DETERMINISTIC READS SQL DATA SQL SECURITY DEFINER BEGIN
            IF IS_USED_LOCK('kit') IS NOT NULL THEN
                SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock found';
            END IF; RETURN 1; END""",
        "CREATE VIEW failing AS SELECT * FROM things WHERE fails() = 1",
    )
    reader = Reader(maria, catalog)
    with maria.engine.connect() as holder:
        holder.exec_driver_sql("SELECT GET_LOCK('kit', 1)").all()
        with pytest.raises(SourceUnavailable, match="Deadlock"):
            taken(reader.read(name="failing"))
        threading.Timer(0.1, lambda: holder.exec_driver_sql("SELECT RELEASE_LOCK('kit')").all()).start()
        rows, _ = taken(reader.read(name="failing"))
    assert ids(rows) == ids_of(range(5))


def test_a_view_that_fails_in_the_middle_ends_the_read_for_good(
    postgres: PostgresStand, catalog: CatalogedTimescale
) -> None:
    postgres.put([thing(n) for n in range(100)])
    postgres.run("CREATE VIEW failing AS SELECT id, label, amount / (count - 70) AS amount, count, at FROM things")
    with pytest.raises(UnexpectedAnswer, match="division by zero"):
        taken(Reader(postgres, catalog).read(name="failing"))


@pytest.mark.parametrize("stand", ["postgres", "mariadb", "rest_cursor"], indirect=True)
def test_a_connection_that_is_cut_in_the_middle_may_be_tried_again(stand: Stand, reader: Reader) -> None:
    stand.put([thing(n) for n in range(20_000)])
    batches = iter(reader.read(batch_size=100))
    next(batches)
    stand.proxy.cut()
    with pytest.raises(SourceUnavailable):
        list(batches)
    assert reader.noted()[0]["records_written"] < 20_000


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "oracle://user:kanarienvogel-7f3a9c51@host/db",
        "postgresql://user:kanarienvogel-7f3a9c51@127.0.0.1:1/db?sslmode=nonsense",
        "postgresql://user:kanarienvogel-7f3a9c51@127.0.0.1:1/db?no_such_option=1",
        "mysql://user:kanarienvogel-7f3a9c51@127.0.0.1:1/db?no_such_option=1",
        "postgresql://user:kanarienvogel-7f3a9c51@host:port/db",
    ],
)
def test_a_url_that_is_none_is_told_without_its_secret(url: str) -> None:
    with pytest.raises(ConfigurationError, match="TIDEMARK_SOURCE_X_URL") as found:
        DatabaseSource(url, setting="TIDEMARK_SOURCE_X_URL").check(Extract(name="things"))
    assert CANARY not in "".join(traceback.format_exception(found.value))


def test_options_of_tls_reach_the_driver(postgres: PostgresStand, maria: MariaDbStand) -> None:
    with pytest.raises(SourceUnavailable, match="SSL"):
        DatabaseSource(f"{postgres.url}&sslmode=require").check(Extract(name="things"))
    with pytest.raises((SourceUnavailable, ConfigurationError), match="(?i)ssl|no such file"):
        DatabaseSource(f"{maria.url}?ssl_ca=/nowhere.pem").check(Extract(name="things"))


# Object stores


@pytest.fixture
def bucket(s3: tuple[str, int]) -> Iterator[S3Stand]:
    with closing(S3Stand(*s3)) as stand:
        yield stand


def test_a_broken_object_leaves_the_others_alone(bucket: S3Stand, catalog: CatalogedTimescale) -> None:
    bucket.put([thing(n) for n in range(3)])
    bucket.write("part-00000.csv.gz", gzip.compress(b"id,at\nx,2026-11-20T12:00:00Z\n" * 100)[:-9])
    bucket.write("twice.csv", b"id,id,at\nx,y,2026-11-20T12:00:00Z\n")
    lines = ["id,at", "z1,2026-11-20T12:00:00Z", "z2,2026-11-20T12:01:00Z", "z3,2026-11-20T12:00:00Z,9,9"]
    bucket.write("ragged.csv", "\n".join(lines).encode())
    before = {key: bucket.client.head_object(Bucket=bucket.bucket, Key=key)["ETag"] for key in bucket.held()}
    rows, rejects = taken(Reader(bucket, catalog).read())
    assert ids(rows) == [*ids_of(range(3)), "z1", "z2"]
    rules = sorted(rejects["rule"])
    assert rules[:2] == ["object: duplicate_columns", "object: truncated"]
    assert len(rules) == 3
    assert "part-00000.csv.gz" in rejects.set_index("rule").loc["object: truncated", "raw"]
    # Nothing is moved, changed or deleted.
    assert before == {key: bucket.client.head_object(Bucket=bucket.bucket, Key=key)["ETag"] for key in bucket.held()}


def test_files_of_any_format_are_objects(bucket: S3Stand, catalog: CatalogedTimescale) -> None:
    frame = pd.DataFrame({"id": ["p1"], "at": [pd.Timestamp(NOON)], "count": [3]})
    data = io.BytesIO()
    frame.to_parquet(data)
    bucket.write("a.parquet", data.getvalue())
    bucket.write("b.jsonl.gz", gzip.compress(b'{"id": "j1", "at": "2026-11-20T12:00:00Z", "count": 4}\n' * 1))
    bucket.write("c.json", b'[{"id": "j2", "at": "2026-11-20T12:00:00Z", "count": 5}]')
    rows, rejects = taken(Reader(bucket, catalog).read())
    assert rejects.empty
    assert dict(zip(rows["thing_id"], rows["count"], strict=True)) == {"p1": 3, "j1": 4, "j2": 5}


def test_only_objects_that_are_newer_are_fetched(bucket: S3Stand, catalog: CatalogedTimescale) -> None:
    bucket.put([thing(1)])
    read = Reader(bucket, catalog).read(since=datetime.now(UTC) + timedelta(hours=1), lag=timedelta(0))
    rows, _ = taken(read)
    assert rows.empty
    # `since` never counts as later than now: the object is a moment older than that.
    assert read.metrics.bytes_read == 0


def test_a_folder_is_an_object_store_too(tmp_path: Path) -> None:
    (tmp_path / "things").mkdir()
    (tmp_path / "things" / "a.csv").write_text("id,at\nf1,2026-11-20T12:00:00Z\n")
    source = ObjectStoreSource(str(tmp_path))
    (batch, *_) = [one for one in source.batches(Extract(name="things")) if len(one.rows)]
    assert batch.rows.to_dict("records") == [{"id": "f1", "at": "2026-11-20T12:00:00Z"}]
    assert source.check(Extract(name="things")) == "1 objects below things"
    with pytest.raises(UnexpectedAnswer, match="nothing below"):
        source.check(Extract(name="other"))


# REST


@pytest.fixture(params=["page", "offset", "cursor", "link"])
def api(request: pytest.FixtureRequest) -> Iterator[RestStand]:
    with closing(RestStand(request.param)) as stand:
        stand.put([thing(n) for n in range(250)])
        yield stand


def test_all_pages_are_read_whatever_their_style(api: RestStand, catalog: CatalogedTimescale) -> None:
    read = Reader(api, catalog).read()
    rows, rejects = taken(read)
    assert ids(rows) == ids_of(range(250))
    assert rejects.empty
    assert read.metrics.records_duplicate == 0


def repeated(api: RestStand) -> tuple[int, Mapping[str, str], bytes]:
    return api.answer("/v1/things?limit=40&page=1&offset=0", f"Bearer {CANARY}")


def test_a_page_that_comes_again_ends_the_read(api: RestStand, catalog: CatalogedTimescale) -> None:
    """The server gives its first page whatever is asked for."""
    status, headers, body = repeated(api)
    answers = [(status, headers, body)] * 10
    api.answers = answers
    with pytest.raises((UnexpectedAnswer, SourceChanging), match="came before|never end|moved"):
        taken(Reader(api, catalog).read())


def test_rows_that_move_between_pages_are_noticed(catalog: CatalogedTimescale) -> None:
    for style in ("page", "offset"):
        with closing(RestStand(style)) as api:
            api.put([thing(n) for n in range(250)])

            def deleting(number: int, api: RestStand = api) -> None:
                if number == 3 and api.rows:
                    api.rows = api.rows[1:]

            api.before = deleting
            with pytest.raises(SourceChanging, match="moved|changed"):
                taken(Reader(api, catalog).read())
            api.before = lambda _: None
            rows, _ = taken(Reader(api, catalog).read())
            assert ids(rows) == ids_of(range(1, 250))


def test_new_rows_in_front_are_duplicates_at_most(catalog: CatalogedTimescale) -> None:
    with closing(RestStand("page")) as api:
        api.put([thing(n) for n in range(250)])

        def inserting(number: int) -> None:
            if number == 3 and api.rows:
                api.put([thing(999), *[thing(n) for n in range(250)]])

        api.before = inserting
        read = Reader(api, catalog).read()
        rows, _ = taken(read)
        assert set(ids_of(range(250))) <= set(ids(rows))
        assert read.metrics.records_duplicate == 1


ONE_ITEM = b'{"data": {"items": [{"id": "a", "at": "2026-11-20T12:00:00Z"}]}}'


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        ((200, {}, b"<html>maintenance</html>"), UnexpectedAnswer, "not JSON.*maintenance"),
        ((200, {}, b'{"data": {"items": null}}'), UnexpectedAnswer, "data.items is no list"),
        ((200, {}, b'{"data": {"items": [1, "x"]'), UnexpectedAnswer, "not JSON"),
        ((200, {}, b'{"data": ' + b"[" * 5000 + b"]" * 5000 + b"}"), UnexpectedAnswer, "JSON"),
        ((200, {}, b'{"data": ' + b"[" * 500 + b"]" * 500 + b"}"), UnexpectedAnswer, "levels deep"),
        ((302, {"Location": "http://169.254.169.254/"}, b""), UnexpectedAnswer, "redirect"),
        ((422, {}, b'{"detail": "limit is at most 10"}'), UnexpectedAnswer, "limit is at most 10"),
        (
            (200, {"Link": '<https://evil.example/things?page=2>; rel="next"'}, ONE_ITEM),
            UnexpectedAnswer,
            "another host",
        ),
    ],
)
def test_answers_that_are_none_end_the_read(
    catalog: CatalogedTimescale, answer: tuple[int, dict[str, str], bytes], error: type[Exception], says: str
) -> None:
    with closing(RestStand("link")) as api:
        api.put([thing(1)])
        api.answers = [answer] * 3
        with pytest.raises(error, match=says):
            taken(Reader(api, catalog).read(required=(), key=("thing_id",)))


def test_a_429_and_a_503_are_waited_for(api: RestStand, catalog: CatalogedTimescale) -> None:
    api.answers = [(429, {"Retry-After": "0"}, b""), (503, {"Retry-After": "0"}, b""), (500, {}, b"oops")]
    rows, _ = taken(Reader(api, catalog).read())
    assert ids(rows) == ids_of(range(250))


def test_records_that_are_no_objects_are_put_aside(catalog: CatalogedTimescale) -> None:
    with closing(RestStand("cursor")) as api:
        items = [{"id": "a", "at": "2026-11-20T12:00:00.123456789Z", "amount": 0.30000000000000004}, 7, None, ["x"]]
        api.answers = [(200, {}, json.dumps({"data": {"items": items}}).encode())]
        rows, rejects = taken(Reader(api, catalog).read())
    assert rows["amount"].tolist() == [0.1 + 0.2]
    assert rows["at"].iloc[0].microsecond == 123456
    assert list(rejects["rule"]) == ["record: no object"] * 3


def test_a_record_without_its_key_on_a_page_of_its_own_is_put_aside(catalog: CatalogedTimescale) -> None:
    """What the API holds at its end decides nothing about the table's shape, and blocks nothing for ever."""
    with closing(RestStand("cursor")) as api:
        api.put([thing(n) for n in range(201)])
        assert api.rows is not None
        del api.rows[200]["id"]
        rows, rejects = taken(Reader(api, catalog).read())
    assert (len(rows), list(rejects["rule"])) == (200, ["null: thing_id"])


def test_the_budget_is_asked_before_every_request(catalog: CatalogedTimescale) -> None:
    acquired: list[int] = []

    class Counting(LocalRateBudget):
        def acquire(self, n: int = 1, *, deadline_s: float) -> None:
            acquired.append(n)
            super().acquire(n, deadline_s=deadline_s)

    with closing(RestStand("link")) as api:
        api.put([thing(n) for n in range(250)])
        source = RestSource(
            api.url,
            token=SecretStr(CANARY),
            budget=Counting((Rate(1000, 60.0),)),
            circuits=LocalCircuitStore(),
        )
        extract = Extract(name="things", pages=api.pages, batch_size=100)
        assert sum(len(batch.rows) for batch in source.batches(extract)) == 250
        assert len(acquired) == len(api.requests) == 3


@pytest.mark.parametrize(
    "url", ["http://api.example.org/v1", "https://169.254.169.254/latest", "ftp://x", "https://user:pw@api.example.org"]
)
def test_a_url_no_token_is_sent_to(url: str) -> None:
    with pytest.raises(ConfigurationError):
        RestSource(url, token=SecretStr(CANARY), budget=LocalRateBudget((Rate(1, 1.0),)), circuits=LocalCircuitStore())


# The library's front door


@pytest.mark.parametrize("stand", ["postgres", "mariadb", "s3", "rest_page"], indirect=True)
def test_a_table_becomes_a_parquet_file(stand: Stand, tmp_path: Path) -> None:
    stand.put([thing(n) for n in range(120)] + [thing(500, label=None)])
    target = tmp_path / "out" / "things.parquet"
    kinds = {"database": DataSourceType.DATABASE, "object_store": DataSourceType.S3, "rest": DataSourceType.API}
    config = IngestionConfig(
        source_type=kinds[stand.kind.value],
        source_config={
            "connection_string": stand.url,
            "table": stand.table,
            "required_columns": ["thing_id", "label"],
            "critical_columns": ["label"],
            "column_mapping": {"id": "thing_id"},
            "deduplication_keys": ["thing_id"],
            **({"pages": stand.pages, "token": stand.token} if stand.pages else {}),
        },
        target_path=target,
        batch_size=50,
    )
    assert CANARY not in repr(config)
    metrics = BaseIngestion.create(config).run()
    assert (metrics.records_read, metrics.records_written, metrics.records_failed) == (121, 120, 1)
    assert metrics.error_rate == pytest.approx(1 / 121)
    assert metrics.bytes_processed > 0
    frame = pd.read_parquet(target)
    assert list(frame.columns) == ["thing_id", "label", "amount", "count", "is_good", "at"]
    assert sorted(frame["thing_id"]) == ids_of(range(120))
    assert frame["count"].sum() == sum(range(120))
    assert frame["is_good"].sum() == 60
    assert pd.read_parquet(target.with_name("things.rejects.parquet"))["rule"].tolist() == ["null: label"]
    before = target.read_bytes()
    stand.drop_table()
    with pytest.raises(TidemarkError):
        BaseIngestion.create(config).run()
    assert target.read_bytes() == before
    assert sorted(path.name for path in target.parent.iterdir()) == ["things.parquet", "things.rejects.parquet"]


def test_a_configuration_that_is_none_says_so(tmp_path: Path) -> None:
    def config(**given: object) -> IngestionConfig:
        return IngestionConfig(source_type=DataSourceType.DATABASE, source_config=given, target_path=tmp_path / "x")

    with pytest.raises(ConfigurationError, match="colum_mapping"):
        DatabaseIngestion(config(connection_string="postgresql://h/d", table="t", colum_mapping={}))
    with pytest.raises(ConfigurationError, match="connection_string"):
        DatabaseIngestion(config(table="t")).run()
    with pytest.raises(ConfigurationError, match="names no table"):
        DatabaseIngestion(config(connection_string="postgresql://h/d")).run()
    with pytest.raises(ConfigurationError, match="reads s3"):
        S3Ingestion(config(table="t"))
    with pytest.raises(ConfigurationError, match="time zone"):
        DatabaseIngestion(config(connection_string="postgresql://h/d", table="t", since=datetime(2026, 1, 1)))


# Configuration


def test_settings_become_sources_and_the_ui_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_SOURCE_DELIVERY_URL", f"postgresql://reader:{CANARY}@db/delivery")
    monkeypatch.setenv("TIDEMARK_SOURCE_DELIVERY_TOKEN", CANARY)
    resource = build_resources(Settings(_env_file=None))["sources"]
    assert isinstance(resource, SourcesResource)
    shown = str(dg.Definitions(resources={"sources": resource}).resources["sources"])
    assert CANARY not in shown + repr(resource)
    assert resource.urls == {"delivery": "TIDEMARK_SOURCE_DELIVERY_URL"}
    seen = sources_resource(Settings(_env_file=None), resource.timescale)
    assert seen.urls == {"delivery": f"postgresql://reader:{CANARY}@db/delivery"}
    assert CANARY not in repr(seen)


def test_the_doctor_looks_at_each_configured_source(
    postgres: PostgresStand,
    catalog: CatalogedTimescale,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TIDEMARK_DATABASE_URL", catalog.database_url)
    monkeypatch.setenv("TIDEMARK_SOURCE_DELIVERY_URL", postgres.url)
    monkeypatch.setattr(doctor, "_source", lambda _: doctor.Finding(True, "not asked"))
    doctor.doctor(Settings(_env_file=None))
    told = " ".join(capsys.readouterr().out.split())
    assert "FAIL delivery" in told
    assert "has no table" in told
    for name in ("users", "tasks", "projects", "teams", "activities"):
        postgres.run(f"CREATE TABLE {name} (id text)")
    doctor.doctor(Settings(_env_file=None))
    told = " ".join(capsys.readouterr().out.split())
    assert "ok delivery database at postgresql://127.0.0.1" in told
    assert "activities has 1 columns" in told
    assert CANARY not in told
