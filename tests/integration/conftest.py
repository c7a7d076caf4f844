"""Real servers for the integration tests: the embedded PostgreSQL always, others where their URL is given."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from resources.timescale import server
from resources.timescale.resource import TimescaleResource, engine_of, plain_url
from schemas.declared_files import file_datasets
from tests.file_graph import FileGraph
from tests.redis_server import RedisServer, redis_server


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder every account may enter: root's server runs as another account, and leaves nothing elsewhere then."""
    folder = Path(tempfile.mkdtemp(prefix="tidemark-tests-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def embedded(open_folder: Path) -> Iterator[server.EmbeddedServer]:
    """The embedded PostgreSQL, for the whole session."""
    with server.lease(open_folder / "state") as leased:
        yield leased


@pytest.fixture
def postgres_url(embedded: server.EmbeddedServer) -> Iterator[str]:
    """libpq URL of an empty database of the test's own on the embedded PostgreSQL."""
    with own_database(embedded.url("postgres")) as url:
        yield url


@pytest.fixture
def source_url(embedded: server.EmbeddedServer) -> Iterator[str]:
    """libpq URL of another empty database, which stands for somebody's own that is read from."""
    with own_database(embedded.url("postgres")) as url:
        yield url


@pytest.fixture(scope="module")
def module_postgres_url(embedded: server.EmbeddedServer) -> Iterator[str]:
    """As `postgres_url`, of a module's own: its tests share what was expensive to load."""
    with own_database(embedded.url("postgres")) as url:
        yield url


@pytest.fixture(scope="session")
def timescale_server() -> str:
    """libpq URL of a real TimescaleDB server."""
    url = os.environ.get("TIDEMARK_TEST_TIMESCALE_URL")
    if not url:
        pytest.skip("no TimescaleDB: `.ci/real-servers start` starts one and says how to name it")
    return plain_url(url)


@pytest.fixture
def timescale_url(timescale_server: str) -> Iterator[str]:
    """libpq URL of an empty database of the test's own on a real TimescaleDB."""
    with own_database(timescale_server) as url:
        yield url


@pytest.fixture(params=["postgres_url", "timescale_url"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database, once on plain PostgreSQL and once on TimescaleDB."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def timescale(database_url: str) -> TimescaleResource:
    """The resource on an empty database, once per kind of server."""
    return TimescaleResource(database_url=database_url)


@pytest.fixture
def graph_under(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., FileGraph]]:
    """Builds the graph under other declarations, as `graph_under(sales={"timezone": "Europe/Berlin"})`; the next one
    built finds the same database and the same folder. Pictures take longer than all else, and others test them."""
    for module in ("file_assets", "anomalies_assets"):
        monkeypatch.setattr(f"assets_pkg.quality.{module}._show", lambda *_, **__: None)
    with dg.DagsterInstance.ephemeral() as instance:

        def built(**declared: dict[str, Any]) -> FileGraph:
            for name, changes in declared.items():
                monkeypatch.setitem(file_datasets(), name, replace(file_datasets()[name], **changes))
            return FileGraph(postgres_url, tmp_path, instance)

        yield built


@contextmanager
def own_database(server_url: str) -> Iterator[str]:
    """libpq URL of an empty database of its own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = sa.create_engine(
        server_url.replace("postgresql://", "postgresql+psycopg2://", 1),
        isolation_level="AUTOCOMMIT",
        poolclass=sa.NullPool,
    )
    quoted = sa.sql.quoted_name(name, quote=True)
    with admin.connect() as connection:
        connection.execute(sa.DDL("CREATE DATABASE %(name)s", context={"name": quoted}))
    url = sa.make_url(server_url).set(database=name).render_as_string(hide_password=False)
    try:
        yield url
    finally:
        engine_of(url).dispose()
        with admin.connect() as connection:
            connection.execute(sa.DDL("DROP DATABASE %(name)s WITH (FORCE)", context={"name": quoted}))


@pytest.fixture(scope="session")
def redis_store() -> Iterator[RedisServer]:
    """A Redis server for the whole session; a test that stops it starts it again."""
    with redis_server() as server:
        if server is None:
            pytest.skip("no redis-server: install the package of that name")
        yield server


@pytest.fixture
def raw_folder(tmp_path: Path) -> Path:
    """An empty folder for a raw store."""
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder
