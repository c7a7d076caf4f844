"""Databases, object stores and REST APIs as sources: what all stand, and what only one kind has."""

import shutil
from collections.abc import Iterator

import pytest

from resources.catalog.schema import CatalogedTimescale
from resources.http.client import Patience
from resources.timescale import server
from tests.integration.conftest import _own_database
from tests.integration.source_stands import (
    CANARY,
    MariaDbStand,
    PostgresStand,
    RestStand,
    S3Stand,
    Stand,
    mariadb_server,
)
from tests.integration.sources_kit import AcceptanceKit, Reader

KINDS = ["postgres", "mariadb", "s3", "rest_page", "rest_offset", "rest_cursor", "rest_link"]


@pytest.fixture(scope="module")
def catalog(embedded: server.EmbeddedServer) -> Iterator[CatalogedTimescale]:
    """The product's own database, for all tests of this module."""
    for url in _own_database(embedded.url("postgres")):
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
