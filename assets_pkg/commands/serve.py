"""`tidemark serve`: online features over HTTP.

Belongs here: address, token, process. Does not belong here: routes (`assets_pkg/api/serving.py`).
"""

import contextlib
import ipaddress
import os
import secrets
import tempfile
from pathlib import Path

from assets_pkg.commands.tables import terminal
from resources.catalog.run_figures import Budgets
from resources.errors import ConfigurationError
from resources.openaq.rate_budget import Rate
from resources.wiring import Settings, build_timescale, feast_resource
from schemas.source_tables import source_datasets

TOKEN_FILE = "serving_token"


def serve(chosen: Settings, *, host: str, port: int) -> int:
    """Serves until Ctrl-C.

    Raises:
        ConfigurationError: it would listen beyond this machine with a token nobody chose.
    """
    import uvicorn

    from assets_pkg.api.serving import build_app

    console = terminal()
    token = token_of(chosen, is_local=_is_loopback(host))
    feast = feast_resource(chosen, build_timescale(chosen))
    feast.apply_all()
    where = "TIDEMARK_SERVING_TOKEN" if chosen.serving_token else str(chosen.home / TOKEN_FILE)
    console.print(f"POST http://{host}:{port}/get-online-features   token: see {where}", highlight=False)
    uvicorn.run(
        build_app(feast, token, budgets_of(chosen)),
        host=host,
        port=port,
        log_level="warning",
        log_config=None,
        server_header=False,
    )
    return 0


def budgets_of(chosen: Settings) -> Budgets:
    """The request budgets in force, by the names under which processes share them."""
    openaq = {"openaq": (Rate(chosen.openaq_per_minute, 60.0), Rate(chosen.openaq_per_hour, 3600.0))}
    sources = {f"source/{one.name}": (Rate(one.requests_per_minute, 60.0),) for one in source_datasets().values()}
    return openaq | sources


def token_of(chosen: Settings, *, is_local: bool) -> str:
    """The token in force: the configured one, or on loopback one that is made once and kept in `TIDEMARK_HOME`.

    Raises:
        ConfigurationError: none is configured and the server is to be reached from elsewhere.
    """
    if chosen.serving_token:
        return chosen.serving_token.get_secret_value()
    if not is_local:
        raise ConfigurationError("set TIDEMARK_SERVING_TOKEN before features are served beyond this machine")
    return _kept_token(chosen.home / TOKEN_FILE)


def _kept_token(file: Path) -> str:
    """The token in the file, which only its owner can read; made if it is not there, by one process of several."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        descriptor, draft = tempfile.mkstemp(dir=file.parent, prefix=file.name)
        with os.fdopen(descriptor, "w", encoding="ascii") as out:
            out.write(secrets.token_urlsafe(32))
        with contextlib.suppress(FileExistsError):
            os.link(draft, file)
        Path(draft).unlink()
    return file.read_text(encoding="ascii").strip()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
