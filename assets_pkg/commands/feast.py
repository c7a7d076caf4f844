"""`tidemark feast ...`: Feast's own command line on this product's features and database.

Belongs here: what Feast's process is given: variables, folder, schema. Does not belong here: what Feast knows of the
features (`feature_repo/`). Feast itself is never imported here, for that takes seconds.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import psycopg
import sqlalchemy as sa

from resources.errors import ConfigurationError
from resources.timescale import sql
from resources.timescale.capabilities import read_capabilities
from resources.timescale.resource import TimescaleResource
from resources.timescale.server import explain_refusal
from resources.timescale.tables import ensure
from resources.wiring import PROJECT_ROOT, Settings, build_timescale
from schemas.tables import TABLES

REPOSITORY = PROJECT_ROOT / "feature_repo"
SCHEMA = "feast"
"""Where Feast keeps its registry; `feature_store.yaml` says the same."""

REGISTRY_TABLE = "projects"
FEATURE_LAYER = "features"
LOOPBACK = "127.0.0.1"


def feast(chosen: Settings, arguments: Sequence[str]) -> int:
    """Runs `feast ARGUMENTS` in `feature_repo/`; Feast's exit code, 128 + n if signal n ended it.

    Makes sure first that the tables and the registry Feast looks for are there.

    Raises:
        ConfigurationError: the command would show the database's password; or the password cannot be handed over.
        DatabaseUnavailable, CredentialsRejected: as `TimescaleResource.connect`.
    """
    timescale = build_timescale(chosen)
    environment = feast_environment(chosen, timescale.url())
    if "configuration" in arguments and environment["PGPASSWORD"]:
        raise ConfigurationError(
            "`feast configuration` would show the database's password; see feature_repo/feature_store.yaml"
        )
    _ensure_tables(timescale)
    return _ensure_registry(timescale, environment) or _run(_on_loopback(arguments), environment)


def feast_environment(chosen: Settings, url: str) -> dict[str, str]:
    """Our environment and the variables of `feature_store.yaml`; holds the password, so it is never logged.

    What libpq made of the URL, its own variables and password file decides, so that Feast reaches what we do.
    """
    try:
        with psycopg.connect(url) as connection:
            used = [option for option in connection.pgconn.info if option.envvar and option.val is not None]
            told = connection.info
            address = {
                "PGHOST": told.host,
                "PGPORT": str(told.port),
                "PGDATABASE": told.dbname,
                "PGUSER": told.user,
                "PGPASSWORD": told.password,
            }
    except psycopg.OperationalError as error:
        raise explain_refusal(error) from None
    for name, value in address.items():
        if value.splitlines() not in ([], [value]):
            raise ConfigurationError(f"Feast cannot be told {name}: there is a line break in it")
    return {
        **os.environ,
        **{os.fsdecode(option.envvar or b""): os.fsdecode(option.val or b"") for option in used},
        **address,
        "PGTZ": "UTC",
        "TIDEMARK_HOME": str(chosen.home),
        "FEAST_USAGE": "False",
        "PYTHONPATH": os.pathsep.join([str(PROJECT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }


def _ensure_tables(timescale: TimescaleResource) -> None:
    with timescale.connect() as connection:
        capabilities = read_capabilities(connection)
        for spec in TABLES.values():
            if spec.schema == FEATURE_LAYER:
                ensure(connection, spec, capabilities)


def _ensure_registry(timescale: TimescaleResource, environment: Mapping[str, str]) -> int:
    """Makes the registry if it is not there, one process at a time: two at once and one of them fails."""
    with timescale.connect() as connection:
        connection.execute(sql.lock([f"{SCHEMA}/ddl"]))
        if SCHEMA not in sa.inspect(connection).get_schema_names():
            connection.execute(sa.schema.CreateSchema(SCHEMA))
    with timescale.connect() as connection:
        connection.execute(sql.lock([f"{SCHEMA}/ddl"]))
        if sa.inspect(connection).has_table(REGISTRY_TABLE, schema=SCHEMA):
            return 0
        return _run(["registry", "create-schema"], environment)


def _on_loopback(arguments: Sequence[str]) -> list[str]:
    """The arguments; Feast's UI listens on all interfaces unless it is told where."""
    has_host = any(argument in ("--host", "-h") or argument.startswith("--host=") for argument in arguments)
    if arguments[:1] == ["ui"] and not has_host:
        return ["ui", "--host", LOOPBACK, *arguments[1:]]
    return list(arguments)


def _run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """A process of its own instead of this one: the embedded server runs as long as this one uses it."""
    store = ["--chdir", str(REPOSITORY), "--feature-store-yaml", str(REPOSITORY / "feature_store.yaml")]
    command = [sys.executable, "-m", "feast.cli.cli", *store, *arguments]
    with subprocess.Popen(command, env=environment) as process, _signals_left_to(process):
        code = process.wait()
    return code if code >= 0 else 128 - code


@contextmanager
def _signals_left_to(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Ctrl-C reaches Feast from the terminal, SIGTERM from us; we end after it, and so give the server back."""
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: process.terminate()),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
