"""Feast's online stores, mended: whoever writes, the newest row of a key wins, and one of the same time replaces it.

Feast 0.67 lets an older row that is written later overwrite a newer one (SQLite, PostgreSQL), or drops a correction of
the same time (Redis); its times depend on the zone of the process (SQLite) or of the server (PostgreSQL). Here a write
compares and replaces in one step inside the store, so that two writers cannot disturb each other either. `trusted()` is
the way around for whoever has the truth at hand: a key whose newest row was deleted goes back to the one before.

Belongs here: the classes `feature_store.yaml` names. Does not belong here: what is written when (`pending.py`). Loaded
by Feast, with Feast: nothing that runs when definitions load may import it.
"""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import psycopg
import redis
import redis.asyncio
from feast import FeatureView, RepoConfig
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3
from feast.infra.online_stores.postgres_online_store.postgres import PostgreSQLOnlineStore, PostgreSQLOnlineStoreConfig
from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig
from feast.infra.utils.postgres.connection_utils import _get_conn_kwargs as connect_options
from feast.infra.utils.postgres.connection_utils import _get_conninfo as connect_address
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.utils import make_tzaware
from google.protobuf.timestamp_pb2 import Timestamp
from psycopg import sql
from pydantic import StrictStr

from resources.feast.newest_wins import ONE_SECOND_US, NewestWins, Row, microseconds, table_id

Found = tuple[datetime | None, dict[str, Value] | None]

BUSY_TIMEOUT_S = 60
CONNECT_TIMEOUT_S = 10
ANSWER_TIMEOUT_S = 60
IDLE_S = 5


class NewestWinsSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):
    """See `feature_store.yaml`."""

    type: Literal["resources.feast.online_stores.NewestWinsSqliteOnlineStore"] = (
        "resources.feast.online_stores.NewestWinsSqliteOnlineStore"  # type: ignore[assignment]
    )


class NewestWinsSqliteOnlineStore(NewestWins, SqliteOnlineStore):
    """One file, many processes: readers do not wait for a writer, writers wait for each other. Times are microseconds
    since 1970 in UTC."""

    _local: threading.local

    def _get_conn(self, config: RepoConfig) -> sqlite3.Connection:
        """A connection per thread: a transaction is its connection's."""
        local = self.__dict__.setdefault("_local", threading.local())
        if getattr(local, "connection", None) is None:
            path = Path(self._get_db_path(config))
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")  # the marks of what is written go when it is
            local.connection = connection
        found: sqlite3.Connection = local.connection
        return found

    def ping(self, config: RepoConfig) -> None:
        """Whether it is there."""
        self._get_conn(config).execute("SELECT count(*) FROM sqlite_master")

    def _write(self, config: RepoConfig, table: FeatureView, rows: dict[bytes, Row], *, is_guarded: bool) -> None:
        guard = "WHERE excluded.event_ts >= event_ts" if is_guarded else ""
        statement = (
            f"INSERT INTO {_quoted(table_id(config, table))} (entity_key, feature_name, value, event_ts, created_ts) "  # noqa: S608
            "VALUES (?, ?, ?, ?, ?) ON CONFLICT (entity_key, feature_name) DO UPDATE SET "
            f"value = excluded.value, event_ts = excluded.event_ts, created_ts = excluded.created_ts {guard}"
        )
        values = (
            (key, name, value.SerializeToString(), at, known_at)
            for key, row in rows.items()
            for at, known_at in [(microseconds(row[2]), microseconds(row[3]) if row[3] else None)]
            for name, value in row[1].items()
        )
        with self._get_conn(config) as connection:
            connection.executemany(statement, values)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: Sequence[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Found]:
        """Time and values per key, in their order; (None, None) for a key that is not there."""
        keys = [serialize_entity_key(key, config.entity_key_serialization_version) for key in entity_keys]
        features = requested_features or [field.name for field in table.features]
        found: dict[bytes, Found] = {}
        cursor = self._get_conn(config).execute(
            "SELECT entity_key, feature_name, value, event_ts + 0 "  # noqa: S608
            f"FROM {_quoted(table_id(config, table))} "
            f"WHERE entity_key IN ({', '.join('?' * len(keys))}) "
            f"AND feature_name IN ({', '.join('?' * len(features))}) ORDER BY entity_key",
            [*keys, *features],
        )
        for key, rows in groupby(cursor, key=lambda row: row[0]):
            held = list(rows)
            values = {name: Value.FromString(value) for _, name, value, _ in held}
            found[key] = datetime.fromtimestamp(max(at for *_, at in held) / ONE_SECOND_US, UTC), values
        return [found.get(key, (None, None)) for key in keys]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


NEWEST_WINS = """
local function moment(raw)
  local read, at = {0, 0}, 1
  while at <= #raw do
    local field, value, place, byte = math.floor(raw:byte(at) / 8), 0, 1, 0
    repeat
      at = at + 1
      byte = raw:byte(at)
      value = value + (byte % 128) * place
      place = place * 128
    until byte < 128
    read[field] = value >= 2^63 and value - 2^64 or value
    at = at + 1
  end
  return read[1], read[2]
end
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held then
  local held_s, held_ns = moment(held)
  local given_s, given_ns = moment(ARGV[2])
  if given_s < held_s or (given_s == held_s and given_ns < held_ns) then return 0 end
end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
"""
"""Writes a hash unless the one there is newer. The first field is the time, a serialised google.protobuf.Timestamp: its
fields 1 (seconds) and 2 (nanoseconds) are varints."""


class NewestWinsRedisOnlineStoreConfig(RedisOnlineStoreConfig):
    """See `feature_store.yaml`. Feast's own connection string cannot hold a comma, nor a password that is a number."""

    type: Literal["resources.feast.online_stores.NewestWinsRedisOnlineStore"] = (
        "resources.feast.online_stores.NewestWinsRedisOnlineStore"  # type: ignore[assignment]
    )
    url: StrictStr
    """`redis://[user:password@]host:port/db`, or `rediss://` for TLS; special characters percent-encoded."""


class NewestWinsRedisOnlineStore(NewestWins, RedisOnlineStore):
    """A hash per key, in Feast's own layout."""

    def _get_client(self, online_store_config: Any) -> Any:
        if self._client is None:
            self._client = redis.Redis.from_url(online_store_config.url, **_patience())
        return self._client

    async def _get_client_async(self, online_store_config: Any) -> Any:
        if self._client_async is None:
            self._client_async = redis.asyncio.Redis.from_url(online_store_config.url, **_patience())
        return self._client_async

    def ping(self, config: RepoConfig) -> None:
        """Whether it is there."""
        self._get_client(config.online_store).ping()

    def _write(self, config: RepoConfig, table: FeatureView, rows: dict[bytes, Row], *, is_guarded: bool) -> None:
        project = config.project.encode()
        client = self._get_client(config.online_store)
        hashes = {name: _mmh3(f"{table.name}:{name}") for name in (field.name for field in table.features)}
        script = client.register_script(NEWEST_WINS)
        with client.pipeline(transaction=False) as pipe:
            for key, (_, values, at, _) in rows.items():
                stamp = Timestamp()
                stamp.FromDatetime(make_tzaware(at))
                fields: list[Any] = [f"_ts:{table.name}", stamp.SerializeToString()]
                for name, value in values.items():
                    fields += [hashes[name], value.SerializeToString()]
                if is_guarded:
                    script(keys=[key + project], args=fields, client=pipe)
                else:
                    pipe.hset(key + project, items=fields)
            pipe.execute()


def _patience() -> dict[str, Any]:
    return {"socket_connect_timeout": CONNECT_TIMEOUT_S, "socket_timeout": ANSWER_TIMEOUT_S}


class NewestWinsPostgresOnlineStoreConfig(PostgreSQLOnlineStoreConfig):
    """See `feature_store.yaml`."""

    type: Literal["resources.feast.online_stores.NewestWinsPostgresOnlineStore"] = (
        "resources.feast.online_stores.NewestWinsPostgresOnlineStore"  # type: ignore[assignment]
    )


class NewestWinsPostgresOnlineStore(NewestWins, PostgreSQLOnlineStore):
    """One COPY and one upsert per batch; times go as instants, so that no server's zone is asked."""

    _local: threading.local

    @contextlib.contextmanager
    def _get_conn(self, config: RepoConfig, autocommit: bool = False) -> Iterator[psycopg.Connection[Any]]:
        """A connection per thread, made anew where it is gone."""
        local = self.__dict__.setdefault("_local", threading.local())
        connection = getattr(local, "connection", None)
        if connection is None or connection.closed or not _answers(connection, idle_s=time.monotonic() - local.used_at):
            connection = local.connection = _connected(config.online_store)
        connection.set_autocommit(autocommit)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        local.used_at = time.monotonic()

    def ping(self, config: RepoConfig) -> None:
        """Whether it is there."""
        with self._get_conn(config, autocommit=True) as connection:
            connection.execute("SELECT 1")

    def _write(self, config: RepoConfig, table: FeatureView, rows: dict[bytes, Row], *, is_guarded: bool) -> None:
        name = sql.Identifier(table_id(config, table))
        guard = sql.SQL("WHERE excluded.event_ts >= held.event_ts") if is_guarded else sql.SQL("")
        with self._get_conn(config) as connection, connection.cursor() as cursor:
            cursor.execute(sql.SQL("CREATE TEMP TABLE given (LIKE {}) ON COMMIT DROP").format(name))
            columns = sql.SQL("entity_key, feature_name, value, event_ts, created_ts")
            with cursor.copy(sql.SQL("COPY given ({}) FROM STDIN (FORMAT BINARY)").format(columns)) as copy:
                copy.set_types(["bytea", "text", "bytea", "timestamptz", "timestamptz"])
                for key, (_, values, at, known_at) in rows.items():
                    times = make_tzaware(at), make_tzaware(known_at) if known_at else None
                    for feature, value in values.items():
                        copy.write_row((key, feature, value.SerializeToString(), *times))
            cursor.execute(
                sql.SQL(
                    "INSERT INTO {name} AS held ({columns}) SELECT {columns} FROM given ORDER BY 1, 2 "
                    "ON CONFLICT (entity_key, feature_name) DO UPDATE SET value = excluded.value, value_text = NULL, "
                    "event_ts = excluded.event_ts, created_ts = excluded.created_ts {guard}"
                ).format(name=name, columns=columns, guard=guard)
            )
            connection.commit()


def _connected(config: Any) -> psycopg.Connection[Any]:
    """As Feast connects, but nobody waits for ever: whoever writes holds the view's lock."""
    given = connect_options(config)
    given["options"] = f"{given['options']} -c statement_timeout={ANSWER_TIMEOUT_S}s"
    return psycopg.connect(
        connect_address(config),
        connect_timeout=CONNECT_TIMEOUT_S,
        tcp_user_timeout=ANSWER_TIMEOUT_S * 1000,
        keepalives_idle=30,
        keepalives_interval=10,
        keepalives_count=3,
        **given,
    )


def _answers(connection: psycopg.Connection[Any], *, idle_s: float) -> bool:
    """Whether a connection that was idle for long is still there: a server that restarted tells nobody."""
    if idle_s < IDLE_S:
        return True
    try:
        connection.set_autocommit(True)
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        connection.close()
        return False
    return True
