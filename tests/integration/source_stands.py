"""Sources that tests fill and break: real servers of every kind behind one interface.

Belongs here: how each kind is filled, changed, taken down and refused. Does not belong here: what is expected
(`sources_kit.py`).
"""

import csv
import io
import json
import os
import socket
import subprocess
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from uuid import uuid4

import boto3
import pymysql
import sqlalchemy as sa

from schemas.source_dataset import RestPages, SourceKind

CANARY = "kanarienvogel-7f3a9c51"
COLUMNS = ("id", "label", "amount", "count", "is_good", "at")
INDIA = timezone(timedelta(hours=5, minutes=30))
Row = Mapping[str, Any]


class Proxy:
    """A loopback port before a server, which can be cut and mended."""

    def __init__(self, target: tuple[str, int] | str) -> None:
        self._target = target
        self._is_cut = False
        self._forbids = False
        self._open: set[socket.socket] = set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._is_cut = True
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._is_cut = self._forbids = False

    def forbid(self) -> None:
        """Every request is answered 403 from now on."""
        self.cut()
        self._is_cut, self._forbids = False, True

    def close(self) -> None:
        self.cut()
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            if self._is_cut:
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        if self._forbids:
            with closing(client), suppress(OSError):
                client.recv(65536)
                client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        family = socket.AF_UNIX if isinstance(self._target, str) else socket.AF_INET
        server = socket.socket(family)
        with closing(client), closing(server), suppress(OSError):
            server.connect(self._target)
            self._open |= {client, server}
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            _pump(client, server)
            back.join()
        self._open -= {client, server}


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class Stand(ABC):
    """One source with one table of things: id, label, amount, count, is_good, at."""

    kind: SourceKind
    has_snapshot = False
    """Whether what is changed during a read leaves it alone."""
    holds_nul = True
    refusal_names = "_URL"
    """What a refusal tells to look at."""
    table = "things"
    rows_per_object = 100
    pages: RestPages | None = None
    token: str | None = None

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy

    @property
    @abstractmethod
    def url(self) -> str:
        """Its address, with the canary where a secret goes."""

    @abstractmethod
    def put(self, rows: Sequence[Row], columns: Sequence[str] = COLUMNS, *, is_unique: bool = True) -> None:
        """The table holds these rows and no others."""

    @abstractmethod
    def add(self, rows: Sequence[Row]) -> None:
        """Further rows."""

    @abstractmethod
    def drop_column(self, name: str) -> None: ...

    @abstractmethod
    def drop_table(self) -> None: ...

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """The credentials are wrong meanwhile."""
        self.proxy.forbid()
        yield
        self.proxy.mend()

    def close(self) -> None:
        self.proxy.close()


class SqlStand(Stand):
    """What both kinds of databases have in common."""

    kind = SourceKind.DATABASE
    has_snapshot = True
    types: Mapping[str, str]
    quote: str

    def __init__(self, proxy: Proxy, engine: sa.Engine) -> None:
        super().__init__(proxy)
        self.engine = engine
        self.columns: list[str] = list(COLUMNS)

    def run(self, *statements: str) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def put(self, rows: Sequence[Row], columns: Sequence[str] = COLUMNS, *, is_unique: bool = True) -> None:
        self.columns = list(columns)
        spelled = ", ".join(f"{self._named(name)} {self.types[name]}" for name in columns)
        has_key = is_unique and {"id", "at"} <= set(columns)
        key = f", CONSTRAINT one_version UNIQUE ({self._named('id')}, {self._named('at')})" if has_key else ""
        self.run(f"DROP TABLE IF EXISTS {self.table}", f"CREATE TABLE {self.table} ({spelled}{key})")
        self.add(rows)

    def add(self, rows: Sequence[Row]) -> None:
        table = sa.table(self.table, *(sa.column(name) for name in self.columns))
        if rows:
            with self.engine.begin() as connection:
                connection.execute(sa.insert(table), [{name: row.get(name) for name in self.columns} for row in rows])

    def drop_column(self, name: str) -> None:
        self.run(f"ALTER TABLE {self.table} DROP CONSTRAINT one_version, DROP COLUMN {self._named(name)}")

    def drop_table(self) -> None:
        self.run(f"DROP TABLE {self.table}")

    def _named(self, name: str) -> str:
        return f"{self.quote}{name}{self.quote}"

    def close(self) -> None:
        super().close()
        self.engine.dispose()


class PostgresStand(SqlStand):
    """A database of its own on the embedded server, whose clock's zone is Mexico City's."""

    holds_nul = False
    quote = '"'
    types: Mapping[str, str] = {
        "id": "text",
        "label": "varchar(80)",
        "amount": "numeric(20, 6)",
        "count": "int",
        "is_good": "boolean",
        "at": "timestamptz",
    }

    def __init__(self, url: str) -> None:
        parsed = sa.make_url(url)
        folder, port = parsed.query["host"], parsed.query["port"]
        engine = sa.create_engine(parsed.set(drivername="postgresql+psycopg2"), poolclass=sa.NullPool)
        super().__init__(Proxy(f"{folder}/.s.PGSQL.{port}"), engine)
        self.database = parsed.database
        self.user = parsed.username
        self.run(f"ALTER DATABASE {self.database} SET timezone = 'America/Mexico_City'")

    @property
    def url(self) -> str:
        return f"postgresql://{self.user}:{CANARY}@127.0.0.1:{self.proxy.port}/{self.database}?gssencmode=disable"

    @contextmanager
    def refusing(self) -> Iterator[None]:
        user, self.user = self.user, "nobody_at_all"
        yield
        self.user = user


class MariaDbStand(SqlStand):
    """A database of its own on a real MariaDB whose session zone is India's."""

    quote = "`"
    types: Mapping[str, str] = {
        "id": "varchar(80)",
        "label": "varchar(200)",
        "amount": "decimal(20, 6)",
        "count": "int",
        "is_good": "tinyint(1)",
        "at": "datetime(6)",
    }

    def __init__(self, port: int) -> None:
        self.database = f"stand_{uuid4().hex[:8]}"
        admin = pymysql.connect(host="127.0.0.1", port=port, user="root", autocommit=True)
        with closing(admin), admin.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {self.database} CHARACTER SET utf8mb4")
            cursor.execute(f"CREATE USER '{self.database}'@'%' IDENTIFIED BY '{CANARY}'")
            cursor.execute(f"GRANT SELECT, EXECUTE ON {self.database}.* TO '{self.database}'@'%'")
        engine = sa.create_engine(
            f"mysql+pymysql://root@127.0.0.1:{port}/{self.database}?charset=utf8mb4", poolclass=sa.NullPool
        )
        super().__init__(Proxy(("127.0.0.1", port)), engine)
        self.password = CANARY

    @property
    def url(self) -> str:
        return f"mariadb://{self.database}:{quote(self.password)}@127.0.0.1:{self.proxy.port}/{self.database}"

    def add(self, rows: Sequence[Row]) -> None:
        super().add([{**row, "at": _naive(row.get("at"))} for row in rows])

    @contextmanager
    def refusing(self) -> Iterator[None]:
        self.password = f"{CANARY}-wrong"
        yield
        self.password = CANARY


class S3Stand(Stand):
    """CSV files in a bucket; each call of `add` is one object, `put` spreads its rows over several."""

    kind = SourceKind.OBJECT_STORE
    refusal_names = "AWS_SECRET_ACCESS_KEY"

    def __init__(self, host: str, port: int) -> None:
        super().__init__(Proxy((host, port)))
        self.bucket = f"stand-{uuid4().hex[:8]}"
        self.client = boto3.client(
            "s3",
            endpoint_url=f"http://{host}:{port}",
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key=CANARY,
        )
        self.client.create_bucket(Bucket=self.bucket)
        self.columns: list[str] = list(COLUMNS)
        self.written = 0

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/exports?endpoint_url=http://127.0.0.1:{self.proxy.port}"

    def put(self, rows: Sequence[Row], columns: Sequence[str] = COLUMNS, *, is_unique: bool = True) -> None:
        self.drop_table()
        self.columns = list(columns)
        for start in range(0, max(len(rows), 1), self.rows_per_object):
            self.add(rows[start : start + self.rows_per_object])

    def add(self, rows: Sequence[Row]) -> None:
        self.written += 1
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(self.columns)
        writer.writerows([_cell(row.get(name)) for name in self.columns] for row in rows)
        self.write(f"part-{self.written:05}.csv", text.getvalue().encode())

    def write(self, name: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=f"exports/{self.table}/{name}", Body=data)

    def drop_column(self, name: str) -> None:
        for key in self.held():
            text = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read().decode()
            rows = list(csv.DictReader(io.StringIO(text)))
            out = io.StringIO()
            writer = csv.DictWriter(out, [one for one in self.columns if one != name], extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
            self.client.put_object(Bucket=self.bucket, Key=key, Body=out.getvalue().encode())

    def drop_table(self) -> None:
        for key in self.held():
            self.client.delete_object(Bucket=self.bucket, Key=key)

    def held(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=self.bucket, Prefix=f"exports/{self.table}/")
        return [one["Key"] for one in found.get("Contents", ())]


class RestStand(Stand):
    """A JSON API that hands out its rows by page, offset, cursor or link, a hundred at a time at most."""

    kind = SourceKind.REST
    refusal_names = "_TOKEN"
    token = CANARY
    largest = 100

    def __init__(self, style: str) -> None:
        self.rows: list[dict[str, Any]] | None = []
        self.style = style
        self.requests: list[str] = []
        self.answers: list[tuple[int, Mapping[str, str], bytes]] = []
        """What is answered before anything else, once each."""
        self.before: Callable[[int], None] = lambda number: None
        """Called with the number of each request, from 1."""
        self.refuses = False
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        super().__init__(Proxy(("127.0.0.1", self.server.server_address[1])))
        parameter = {"page": "page", "offset": "offset", "cursor": "after", "link": "page"}[style]
        self.pages = RestPages(
            path="/things",
            records=("data", "items"),
            style=style,
            page_parameter=parameter,
            next_cursor=("data", "next") if style == "cursor" else (),
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.proxy.port}/v1"

    def put(self, rows: Sequence[Row], columns: Sequence[str] = COLUMNS, *, is_unique: bool = True) -> None:
        self.rows = [{name: _json(row.get(name)) for name in columns} for row in rows]

    def add(self, rows: Sequence[Row]) -> None:
        assert self.rows is not None
        self.rows = [*self.rows, *({name: _json(row.get(name)) for name in COLUMNS} for row in rows)]

    def drop_column(self, name: str) -> None:
        self.rows = [{k: v for k, v in row.items() if k != name} for row in self.rows or ()]

    def drop_table(self) -> None:
        self.rows = None

    @contextmanager
    def refusing(self) -> Iterator[None]:
        self.refuses = True
        yield
        self.refuses = False

    def close(self) -> None:
        super().close()
        self.server.shutdown()
        self.server.server_close()

    def answer(self, path: str, token: str | None) -> tuple[int, Mapping[str, str], bytes]:
        self.requests.append(path)
        self.before(len(self.requests))
        if self.answers:
            return self.answers.pop(0)
        if self.refuses or token != f"Bearer {self.token}":
            return 401, {}, json.dumps({"error": f"no good token: {token}"}).encode()
        parts = urlsplit(path)
        if parts.path != "/v1/things" or self.rows is None:
            return 404, {}, b'{"error": "no such thing"}'
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        size = min(int(asked.get("limit", self.largest)), self.largest)
        start = self._start(asked, size)
        part = self.rows[start : start + size]
        data: dict[str, Any] = {"items": part}
        has_more = start + size < len(self.rows)
        if self.style == "cursor":
            data["next"] = f"c{start + size}" if has_more else None
        headers = {}
        if self.style == "link" and has_more:
            headers["Link"] = f'</v1/things?limit={size}&page={start // size + 2}>; rel="next"'
        return 200, headers, json.dumps({"data": data}, default=float).encode()

    def _start(self, asked: Mapping[str, str], size: int) -> int:
        match self.style:
            case "offset":
                return int(asked["offset"])
            case "cursor":
                return int(asked.get("after", "c0")[1:])
        return (int(asked.get("page", 1)) - 1) * size


def _handler(stand: RestStand) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, headers, body = stand.answer(self.path, self.headers.get("Authorization"))
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler


@contextmanager
def mariadb_server() -> Iterator[int]:
    """The port of a MariaDB that was made for this; root needs no password, and it runs in another zone than UTC."""
    with tempfile.TemporaryDirectory(prefix="tidemark-mariadb-") as folder:
        base = Path(folder)
        base.chmod(0o755)
        (base / "data").mkdir()
        account = []
        if os.getuid() == 0:
            account = ["--user=nobody"]
            for path in (base, base / "data"):
                os.chown(path, 65534, 65534)
        install = ["mariadb-install-db", "--no-defaults", *account, f"--datadir={base}/data", "--skip-test-db"]
        subprocess.run(
            [*install, "--auth-root-authentication-method=normal"], check=True, capture_output=True, timeout=120
        )
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = int(probe.getsockname()[1])
        command = ["mariadbd", "--no-defaults", *account, f"--datadir={base}/data", f"--socket={base}/socket"]
        command += [f"--port={port}", "--bind-address=127.0.0.1", f"--pid-file={base}/pid", "--skip-log-bin"]
        command += ["--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0", "--default-time-zone=+05:30"]
        with (base / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
            try:
                _wait_for(port, server, base / "log")
                yield port
            finally:
                server.terminate()
                server.wait(60)


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        with suppress(pymysql.err.OperationalError):
            pymysql.connect(host="127.0.0.1", port=port, user="root").close()
            return
        if server.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"MariaDB did not start: {log.read_text(errors='replace')[-500:]}")


def _naive(at: datetime | None) -> datetime | None:
    return at.astimezone(UTC).replace(tzinfo=None) if isinstance(at, datetime) else at


def _cell(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(INDIA).isoformat()
    return {True: "true", False: "false"}.get(value, value) if isinstance(value, bool) else value


def _json(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(INDIA).isoformat()
    return float(value) if isinstance(value, Decimal) else value
