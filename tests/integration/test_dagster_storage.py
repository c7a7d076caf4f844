"""Dagster's storage on a real server, built as Dagster builds it: from the repository's dagster.yaml."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psycopg2
import pytest
from dagster._core.instance.ref import InstanceRef

from resources.dagster_storage import database_url, ready_database, sqlalchemy_url
from resources.errors import CredentialsRejected, DatabaseUnavailable
from resources.timescale.server import EmbeddedServer, ensure_databases, lease
from resources.wiring import Settings

AT = "postgresql://{}?connect_timeout=10"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    folder = Path(tempfile.mkdtemp(prefix="tidemark test "))
    folder.chmod(0o755)
    with lease(folder) as running:
        ensure_databases(running, ["tidemark"])
        yield running
    shutil.rmtree(folder)


@dg.asset
def answer() -> int:
    return 42


def configured(monkeypatch: pytest.MonkeyPatch, url: str) -> Settings:
    monkeypatch.setenv("TIDEMARK_DATABASE_URL", url)
    return Settings()


@contextlib.contextmanager
def instance_at(folder: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(folder), config_dir=str(ROOT))) as instance:
        yield instance


def test_runs_are_stored_in_a_database_of_their_own_made_on_demand(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(monkeypatch, server.url("tidemark"))
    with instance_at(tmp_path) as instance:
        result = dg.materialize([answer], instance=instance)
        assert result.success
    with instance_at(tmp_path) as again:
        assert again.get_latest_materialization_event(dg.AssetKey("answer")) is not None
    with contextlib.closing(psycopg2.connect(server.url("dagster"))) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT run_id FROM runs")
        assert cursor.fetchall() == [(result.run_id,)]


def test_the_account_may_lack_the_right_to_make_the_database(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(psycopg2.connect(server.url("postgres"))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("CREATE ROLE plain LOGIN")
    monkeypatch.setenv("TIDEMARK_DAGSTER_DATABASE_URL", server.url("absent").replace("postgres@", "plain@", 1))
    with pytest.raises(CredentialsRejected, match=r'"absent" is missing .*CREATE DATABASE "absent"'):
        ready_database(Settings())


def test_an_unknown_account_is_not_taken_for_a_missing_database(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = configured(monkeypatch, server.url("tidemark").replace("postgres@", "database@", 1))
    with pytest.raises(CredentialsRejected, match="refuses the account"):
        ready_database(settings)


def test_a_server_that_is_away_is_one_line_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = configured(monkeypatch, "postgresql://me:secret-word@127.0.0.1:1/tidemark")
    with pytest.raises(DatabaseUnavailable) as caught:
        ready_database(settings)
    assert "secret-word" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_driver_in_the_url_is_no_obstacle(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    url = server.url("tidemark").replace("postgresql://", "postgresql+psycopg://")
    assert ready_database(configured(monkeypatch, url)).startswith("postgresql://")


def test_dagster_gets_the_driver_it_works_with() -> None:
    given = "postgresql://me:p%40ss%2Fword@host:5433/dagster?sslmode=require"
    assert sqlalchemy_url(given) == "postgresql+psycopg2://me:p%40ss%2Fword@host:5433/dagster?sslmode=require"


def test_its_own_url_goes_before_the_data_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert database_url(Settings()) is None
    assert database_url(configured(monkeypatch, "postgresql://me@host/tidemark")) == AT.format("me@host/dagster")
    monkeypatch.setenv("TIDEMARK_DAGSTER_DATABASE_URL", "postgresql://you@other/events")
    assert database_url(Settings()) == AT.format("you@other/events")
