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

import sqlalchemy as sa

from assets_pkg.commands.feast_rebuild import rebuild
from resources.errors import ConfigurationError
from resources.feast.configuration import REGISTRY_SCHEMA, as_json, libpq_variables, online_store
from resources.feast.feature_store import DDL_LOCK
from resources.feast.resource import APPLY_LOCK
from resources.timescale import sql
from resources.timescale.capabilities import read_capabilities
from resources.timescale.resource import TimescaleResource
from resources.timescale.tables import ensure
from resources.wiring import PROJECT_ROOT, Settings, build_timescale
from schemas.tables import TABLES

REPOSITORY = PROJECT_ROOT / "feature_repo"
REGISTRY_TABLE = "projects"
REBUILD = "rebuild"
"""Our own word among Feast's."""

LOOPBACK = "127.0.0.1"


def feast(chosen: Settings, arguments: Sequence[str]) -> int:
    """Runs `feast ARGUMENTS` in `feature_repo/`; Feast's exit code, 128 + n if signal n ended it.

    Makes sure first that the tables and the registry Feast looks for are there.

    Raises:
        ConfigurationError: the command would show the database's password; or the password cannot be handed over.
        DatabaseUnavailable, CredentialsRejected: as `TimescaleResource.connect`.
    """
    if arguments[:1] == [REBUILD]:
        return rebuild(chosen, arguments[1:])
    timescale = build_timescale(chosen)
    environment = feast_environment(chosen, timescale.url())
    if "configuration" in arguments and (environment["PGPASSWORD"] or chosen.online_store_url):
        raise ConfigurationError(
            "`feast configuration` would show the database's password or that of the online store; see "
            "feature_repo/feature_store.yaml"
        )
    if "teardown" in arguments:
        raise ConfigurationError(
            "`feast teardown` leaves half of a registry behind, which Feast cannot fill again; to empty it, drop the "
            f"schema {REGISTRY_SCHEMA} and run `tidemark feast rebuild`"
        )
    _ensure_tables(timescale)
    if code := _ensure_registry(timescale, environment):
        return code
    with _alone(timescale, arguments):
        return _run(_on_loopback(arguments), environment)


@contextmanager
def _alone(timescale: TimescaleResource, arguments: Sequence[str]) -> Iterator[None]:
    """What changes the registry waits for runs that do, and they for it: Feast reads, compares and writes."""
    if not {"apply", "delete"} & set(arguments):
        yield
        return
    with timescale.connect() as connection:
        connection.execute(sql.lock([APPLY_LOCK]))
        yield


def feast_environment(chosen: Settings, url: str) -> dict[str, str]:
    """Our environment and the variables of `feature_store.yaml`; holds passwords, so it is never logged.

    What libpq made of the URL, its own variables and password file decides, so that Feast reaches what we do.
    """
    variables = libpq_variables(url)
    given = chosen.online_store_url.get_secret_value() if chosen.online_store_url else ""
    store = online_store(given, home=str(chosen.home), variables=variables)
    return {
        **os.environ,
        **variables,
        "PGTZ": "UTC",
        "TIDEMARK_ONLINE_STORE": as_json(store),
        "FEAST_USAGE": "False",
        "PYTHONPATH": os.pathsep.join([str(PROJECT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }


def _ensure_tables(timescale: TimescaleResource) -> None:
    with timescale.connect() as connection:
        capabilities = read_capabilities(connection)
        for spec in TABLES.values():
            if spec.served:
                ensure(connection, spec, capabilities)


def _ensure_registry(timescale: TimescaleResource, environment: Mapping[str, str]) -> int:
    """Makes the registry if it is not there, one process at a time: two at once and one of them fails."""
    with timescale.connect() as connection:
        connection.execute(sql.lock([DDL_LOCK]))
        if REGISTRY_SCHEMA not in sa.inspect(connection).get_schema_names():
            connection.execute(sa.schema.CreateSchema(REGISTRY_SCHEMA))
    with timescale.connect() as connection:
        connection.execute(sql.lock([DDL_LOCK]))
        if sa.inspect(connection).has_table(REGISTRY_TABLE, schema=REGISTRY_SCHEMA):
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
