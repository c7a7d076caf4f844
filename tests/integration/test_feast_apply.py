"""`tidemark feast ...` with Feast's own command line on a real PostgreSQL whose server keeps a far time zone."""

import gc
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import psycopg
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from psycopg import sql as pgsql

from assets_pkg.commands.feast import REPOSITORY, feast, feast_environment
from resources.errors import ConfigurationError, TidemarkError
from resources.feast.configuration import REGISTRY_SCHEMA as SCHEMA
from resources.timescale import server, sql
from resources.timescale.addresses import plain_url
from resources.timescale.arrow import to_arrow
from resources.timescale.capabilities import read_capabilities
from resources.timescale.resource import TimescaleResource
from resources.timescale.tables import ensure
from resources.wiring import Settings
from schemas.tables import AIR_QUALITY_HOURLY, TABLES
from tests.builders import FIRST_HOUR, feature_rows, together
from tests.served import DAY, SALES, Serving

with warnings.catch_warnings():  # what Feast warns of while it is imported is its own affair
    warnings.simplefilter("ignore")
    from feast import FeatureStore
    from feast.cli.cli import cli

pytestmark = pytest.mark.timeout(600)
ROOT = Path(__file__).resolve().parents[2]
SECRET = 'it\'s "#1": ${HOME} p%y'
PATIENCE_S = 240

COMMAND = """
import sys
from assets_pkg.commands.feast import feast
from resources.wiring import settings
sys.exit(feast(settings(), sys.argv[1:]))
"""


class Inside:
    """Feast's command line in this process, which has loaded it, in place of a process of its own."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        assert command[:3] == [sys.executable, "-m", "feast.cli.cli"]
        with as_if_in(env):
            self._result = CliRunner().invoke(cli, command[3:])

    def __enter__(self) -> "Inside":
        return self

    def __exit__(self, *_: object) -> None:
        print(self._result.output)

    def wait(self) -> int:
        return self._result.exit_code


@contextmanager
def as_if_in(variables: Mapping[str, str]) -> Iterator[None]:
    """This process with the variables of another; what Feast loads of the repository and where it goes is undone."""
    loaded = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Feast warns of is its own affair
        patch.setattr(sys, "path", list(sys.path))
        patch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
        patch.chdir(Path.cwd())
        for name, value in variables.items():
            patch.setenv(name, value)
        try:
            yield
        finally:
            gc.collect()  # connections Feast leaves to the garbage end here, where nobody warns of it
            for name in sys.modules.keys() - loaded:
                if str(REPOSITORY) in str(getattr(sys.modules[name], "__file__", "")):
                    del sys.modules[name]


class Stage:
    """A database with a few feature rows, a home, and Feast's command line on both."""

    def __init__(self, url: str, home: Path) -> None:
        self.url = url
        self.settings = Settings(TIDEMARK_HOME=home, TIDEMARK_DATABASE_URL=url)
        self.printed = ""

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        mine = {"TIDEMARK_HOME": str(self.settings.home), "TIDEMARK_DATABASE_URL": self.url, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments],
            env=os.environ | mine,
            cwd=self.settings.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        """What the command prints; it ends with that code. Feast is loaded once for all of them."""
        printed = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
            patch.setattr("assets_pkg.commands.feast.subprocess", SimpleNamespace(Popen=Inside))
            ended_with = feast(self.settings, arguments)
        self.printed += printed.getvalue()
        assert ended_with == code, printed.getvalue()
        return printed.getvalue()

    def run_alone(self, *arguments: str) -> str:
        """As `run`, in a process of its own, from which Feast gets one of its own."""
        with self.start(*arguments) as process:
            printed, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, printed
        self.printed += printed
        return printed

    def as_of(self, moments: list[tuple[int, str]]) -> dict[tuple[int, str], dict[str, Any]]:
        """The historical features of (location, UTC moment)."""
        asked = pd.DataFrame(moments, columns=["location_id", "event_timestamp"])
        asked["event_timestamp"] = pd.to_datetime(asked["event_timestamp"], utc=True)
        with as_if_in(feast_environment(self.settings, self.url)):
            rows = _historical(asked)
        rows["asked"] = rows["event_timestamp"].dt.strftime("%Y-%m-%dT%H:%M")
        found = json.loads(rows.drop(columns="event_timestamp").to_json(orient="records"))
        return {(row["location_id"], row["asked"]): row for row in found}

    def registered(self) -> dict[str, list[tuple[Any, ...]]]:
        """The registry's tables, but for what also says when someone last applied."""
        found = self.tables()
        del found["feast_metadata"]
        found["managed_infra"] = [row[-1:] for row in found["managed_infra"]]
        found["projects"] = [row[:2] for row in found["projects"]]
        return found

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table of Feast's schema."""
        with psycopg.connect(self.url) as connection:
            names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [SCHEMA]).fetchall()
            query = pgsql.SQL("SELECT * FROM {}")
            return {
                name: sorted(connection.execute(query.format(pgsql.Identifier(SCHEMA, name))).fetchall(), key=repr)
                for (name,) in names
            }


def assert_nothing_changed(printed: str) -> None:
    """Feast tells of each object it creates, updates or deletes; the infrastructure of a store it does not know it only
    says to look after."""
    assert not re.search(r"^(Created|Updated|Deleted|Removed)", printed, re.MULTILINE), printed


@pytest.fixture(scope="module")
def stage(embedded: server.EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Six hours of location 1, one of location 2, and Feast applied once."""
    server.ensure_databases(embedded, ["feast_apply"])
    with psycopg.connect(embedded.url("feast_apply"), autocommit=True) as connection:
        connection.execute("ALTER DATABASE feast_apply SET timezone TO 'Asia/Kathmandu'")
    url = _with(embedded.url("feast_apply"), password=SECRET)
    hours = 6
    _fill(
        url,
        together(
            feature_rows(hours, pm25_ugm3=[float(n) for n in range(1, hours + 1)], aqi=list(range(51, 51 + hours))),
            feature_rows(1, location_id=2, pm25_ugm3=99.5),
        ),
    )
    stage = Stage(url, tmp_path_factory.mktemp("home"))
    stage.run_alone("apply")
    yield stage
    assert SECRET not in stage.printed


def _historical(asked: pd.DataFrame) -> pd.DataFrame:
    store = FeatureStore(str(REPOSITORY))
    return store.get_historical_features(asked, store.get_feature_service("air_quality_hourly")).to_df()


def _with(url: str, **parts: str) -> str:
    return plain_url(sa.make_url(url).set(**parts).render_as_string(hide_password=False))


def _fill(url: str, rows: Any) -> None:
    timescale = TimescaleResource(database_url=url)
    with timescale.connect() as connection:
        ensure(connection, AIR_QUALITY_HOURLY, read_capabilities(connection))
    with timescale.transaction() as transaction:
        transaction.copy(sql.table_of(AIR_QUALITY_HOURLY), to_arrow(rows, AIR_QUALITY_HOURLY.model))


def test_apply_registers_the_table_in_feasts_own_schema(stage: Stage) -> None:
    assert "Deploying infrastructure for air_quality_hourly" in stage.printed
    assert "air_quality_hourly" in stage.run("feature-views", "list")
    views = {row[0] for row in stage.tables()["feature_views"]}
    assert views == {spec.served.view for spec in TABLES.values() if spec.served}
    with psycopg.connect(stage.url) as connection:
        assert connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall() == []
    assert (stage.settings.home / "feast_online.db").is_file()


def test_a_second_apply_changes_nothing(stage: Stage) -> None:
    before = stage.registered()
    assert_nothing_changed(stage.run("apply"))
    assert stage.registered() == before


def test_what_runs_told_feast_is_what_the_command_would_tell_it(postgres_url: str, tmp_path: Path) -> None:
    """A registry that only runs have written: `feast apply` finds nothing to change and changes nothing; nor does a run
    after it."""
    stage, serving = Stage(postgres_url, tmp_path), Serving(postgres_url, tmp_path)
    serving.sell({(("north", "tea"), DAY): 1.0})
    told = serving.feast.apply_all()
    assert SALES.served and SALES.served.view not in told  # the run had told it
    assert serving.feast.apply_all() == []
    before = stage.registered()
    assert_nothing_changed(stage.run("apply"))
    assert stage.registered() == before
    assert serving.feast.apply_all() == []
    assert serving.served([("north", "tea")]) == {("north", "tea"): 1.0}


def test_stored_feature_sets_are_services_that_apply_keeps(postgres_url: str, tmp_path: Path) -> None:
    """`feast apply` deletes what is not in the repository; a set that is stored is in it."""
    stage, serving = Stage(postgres_url, tmp_path), Serving(postgres_url, tmp_path)
    serving.sell({(("north", "tea"), DAY): 1.0})
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE features.feature_sets (feature_set text, view text, members text)")
        stored = ("sales_few_v1", "sales_features", '["revenue", "orders"]')
        connection.execute("INSERT INTO features.feature_sets VALUES (%s, %s, %s)", stored)
    serving.feast.apply_all()
    assert_nothing_changed(stage.run("apply"))
    service = serving.feast.store.get_feature_service("sales_few_v1")
    (projection,) = service.feature_view_projections
    assert sorted(field.name for field in projection.features) == ["orders", "revenue"]


def test_historical_features_are_the_newest_row_up_to_the_moment(stage: Stage) -> None:
    """Stamps are ends of hours, 01:00 to 06:00; a stamp itself is known at its moment, and a day later no more."""
    seen = stage.as_of(
        [
            (1, "2025-03-01T03:00"),
            (1, "2025-03-01T03:59"),
            (1, "2025-03-01T00:59"),
            (1, "2025-03-02T06:00"),
            (1, "2025-03-02T06:01"),
            (2, "2025-03-01T03:00"),
            (3, "2025-03-01T03:00"),
        ]
    )
    values = {key: (row["pm25_ugm3"], row["aqi"]) for key, row in seen.items()}
    assert values == {
        (1, "2025-03-01T03:00"): (3.0, 53),
        (1, "2025-03-01T03:59"): (3.0, 53),
        (1, "2025-03-01T00:59"): (None, None),
        (1, "2025-03-02T06:00"): (6.0, 56),
        (1, "2025-03-02T06:01"): (None, None),
        (2, "2025-03-01T03:00"): (99.5, None),
        (3, "2025-03-01T03:00"): (None, None),
    }
    columns = set(next(iter(seen.values())))
    not_features = {"datetime_utc", "known_at"}
    assert columns - {"asked"} == set(AIR_QUALITY_HOURLY.columns) - not_features
    assert [name for name in stage.tables() if "entity_df" in name] == []


def test_the_online_store_holds_the_newest_row(stage: Stage) -> None:
    last = FIRST_HOUR + timedelta(hours=5)
    stage.run("materialize", FIRST_HOUR.isoformat(), last.isoformat())
    served = stage.run(
        "get-online-features", "-f", "air_quality_hourly:pm25_ugm3", "-e", "location_id=1", "-e", "location_id=2"
    )
    assert "6.0" in served
    assert "99.5" in served


def test_the_password_is_nowhere_to_be_read(stage: Stage) -> None:
    with pytest.raises(ConfigurationError, match="would show the database's password"):
        feast(stage.settings, ["configuration"])
    kept = [value for rows in stage.tables().values() for row in rows for value in row]
    for value in kept:
        assert SECRET.encode() not in (value if isinstance(value, bytes) else str(value).encode())
    for path in stage.settings.home.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()


def test_a_password_with_a_line_break_is_refused_without_showing_it(stage: Stage) -> None:
    url = _with(stage.url, password="first\nsecond")
    with pytest.raises(ConfigurationError, match="PGPASSWORD") as refused:
        feast_environment(stage.settings, url)
    assert "second" not in str(refused.value)


def test_a_database_that_went_away_is_told_without_the_password(stage: Stage) -> None:
    with pytest.raises(TidemarkError) as refused:
        feast_environment(stage.settings, _with(stage.url, database="nowhere"))
    assert SECRET not in str(refused.value)


def test_first_uses_at_the_same_moment_do_not_disturb_each_other(postgres_url: str, tmp_path: Path) -> None:
    stage = Stage(postgres_url, tmp_path)
    processes = [stage.start("entities", "list") for _ in range(2)]
    printed = [process.communicate(timeout=PATIENCE_S)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(printed)


def test_a_wrong_command_ends_with_feasts_own_exit_code(stage: Stage) -> None:
    assert "No such command" in stage.run("no-such-command", code=2)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 is no address of this machine")
def test_the_ui_is_local_and_ends_with_the_command(stage: Stage) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with stage.start("ui", "--port", str(port)) as process:
        deadline = time.monotonic() + PATIENCE_S
        while not _listens("127.0.0.1", port) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        local, beyond = _listens("127.0.0.1", port), _listens("127.0.0.2", port)
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=PATIENCE_S)
    assert (local, beyond) == (True, False), printed
    # Its server ends in order, and then, as a rule, by the signal once more.
    assert process.returncode in (0, 128 + signal.SIGTERM)
    assert not _listens("127.0.0.1", port)


def _listens(host: str, port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex((host, port)) == 0
