"""What `feature_store.yaml` is told: the database under libpq's names, and the online store as one JSON object.

Belongs here: reading both off the running configuration, and Feast's own configuration object built from the same file.
Does not belong here: where settings come from (`resources/wiring.py`). Feast is imported inside functions only.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy as sa
import yaml
from psycopg.conninfo import conninfo_to_dict

from resources.errors import ConfigurationError
from resources.timescale.server import explain_refusal

if TYPE_CHECKING:
    from feast import RepoConfig

REGISTRY_SCHEMA = "feast"
"""Where Feast keeps its registry; `feature_store.yaml` says the same."""

ONLINE_SCHEMA = "feast_online"
SQLITE_FILE = "feast_online.db"
OWN_DATABASE = "postgres"
STORES = "resources.feast.online_stores.NewestWins"
TLS = {
    "sslmode": "sslmode",
    "sslkey": "sslkey_path",
    "sslcert": "sslcert_path",
    "sslrootcert": "sslrootcert_path",
}
"""libpq's options of TLS and Feast's names for them."""


@dataclass(frozen=True)
class OnlineStore:
    """The online store as configured: its block of `feature_store.yaml`, with secrets, and its name without."""

    block: Mapping[str, object]
    name: str


def online_store(url: str, *, home: str, variables: Mapping[str, str]) -> OnlineStore:
    """The online store of a URL: empty is a SQLite file in `home`; `redis://…`; `postgres`, the database that the libpq
    `variables` name; or another `postgresql://…`.

    Raises:
        ConfigurationError: it is none of these. The message does not repeat it, for it may hold a password.
    """
    if not url:
        path = Path(home).absolute() / SQLITE_FILE
        return OnlineStore({"type": f"{STORES}SqliteOnlineStore", "path": str(path)}, f"sqlite:{path}")
    if url == OWN_DATABASE:
        options = {name: variables.get(f"PG{name.upper()}", "") for name in TLS}
        return _postgres(_address_of(variables) | {theirs: options[name] for name, theirs in TLS.items()}, OWN_DATABASE)
    scheme = url.split(":", 1)[0]
    try:
        parsed = sa.make_url(url)
        if scheme in ("redis", "rediss") and parsed.host and int(parsed.database or 0) >= 0:
            name = f"{scheme}://{parsed.host}:{parsed.port or 6379}/{parsed.database or 0}"
            return OnlineStore({"type": f"{STORES}RedisOnlineStore", "url": url}, name)
        if scheme in ("postgresql", "postgres") and parsed.host:
            return _other_postgres(url)
    except (sa.exc.ArgumentError, ValueError, psycopg.ProgrammingError):
        pass
    raise ConfigurationError(
        "TIDEMARK_ONLINE_STORE_URL must read redis://user:password@host:6379/0, postgres (the product's own database), "
        "or postgresql://user:password@host:5432/database, with special characters of the password percent-encoded"
    )


def libpq_variables(url: str) -> dict[str, str]:
    """What libpq makes of a URL, its own variables and password file, under the names of its variables; holds the
    password, so it is never logged.

    Raises:
        DatabaseUnavailable, CredentialsRejected, ConfigurationError: as `TimescaleResource.connect`.
        ConfigurationError: a value has a line break, which `feature_store.yaml` cannot take.
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
    return {(option.envvar or b"").decode(): (option.val or b"").decode() for option in used} | address


def as_json(store: OnlineStore) -> str:
    """The block as `TIDEMARK_ONLINE_STORE` has it. Other than ASCII stays as it is: YAML does not join surrogates."""
    return json.dumps(store.block, ensure_ascii=False)


def repository(declarations: str) -> Path:
    """The folder of `feature_store.yaml`: that of the module that declares Feast's objects."""
    return Path(str(files(declarations.partition(".")[0])))


def repo_config(declarations: str, *, url: str, variables: Mapping[str, str], store: OnlineStore) -> "RepoConfig":
    """Feast's configuration from `feature_store.yaml`, without touching the environment."""
    from feast import RepoConfig

    folder = repository(declarations)
    told = {**variables, "TIDEMARK_ONLINE_STORE": as_json(store)}
    text = re.sub(
        r"\$\{(\w+)\}", lambda name: told.get(name[1], name[0]), (folder / "feature_store.yaml").read_text("utf-8")
    )
    raw: dict[str, Any] = yaml.safe_load(text)
    raw["registry"]["path"] = _registry_url(url)
    raw["offline_store"] |= {
        theirs: variables[f"PG{name.upper()}"] for name, theirs in TLS.items() if variables.get(f"PG{name.upper()}")
    }
    config = RepoConfig(**raw)
    config.repo_path = folder
    return config


def _registry_url(url: str) -> str:
    parsed = sa.make_url(url).set(drivername="postgresql+psycopg")
    given = parsed.query.get("options", "")
    options = f"{given if isinstance(given, str) else ' '.join(given)} -csearch_path={REGISTRY_SCHEMA}".strip()
    return parsed.update_query_dict({"options": options}).render_as_string(hide_password=False)


def _address_of(variables: Mapping[str, str]) -> dict[str, object]:
    return {
        "host": variables["PGHOST"],
        "port": int(variables["PGPORT"]),
        "database": variables["PGDATABASE"],
        "user": variables["PGUSER"],
        "password": variables["PGPASSWORD"],
    }


def _other_postgres(url: str) -> OnlineStore:
    given = conninfo_to_dict(url)
    address = {
        "host": given["host"],
        "port": int(given.get("port") or 5432),
        "database": given.get("dbname") or given["user"],
        "user": given["user"],
        "password": given.get("password") or "",
    }
    name = f"postgresql://{address['host']}:{address['port']}/{address['database']}"
    return _postgres(address | {theirs: given.get(ours) for ours, theirs in TLS.items()}, name)


def _postgres(options: Mapping[str, object], name: str) -> OnlineStore:
    given = {key: value or None for key, value in options.items() if key in TLS.values()}
    block = {"type": f"{STORES}PostgresOnlineStore", **options, **given, "db_schema": ONLINE_SCHEMA}
    return OnlineStore(block, name)
