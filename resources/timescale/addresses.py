"""How the database's URL is written, so that every driver reads the same.

Belongs here: the URL as text. Does not belong here: connecting. No driver of the data is loaded for it: each process of
Dagster's asks for the URL of its own database first of all.
"""

import sqlalchemy as sa

from resources.errors import ConfigurationError

CONNECT_TIMEOUT_S = 10


def plain_url(url: str) -> str:
    """The URL as the Arrow driver and libpq know it, its parts quoted so that all drivers read the same.

    Raises:
        ConfigurationError: it is no PostgreSQL URL. The message does not repeat it, for it holds a password.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        parsed = None
    if parsed is None or parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise ConfigurationError(
            "the database URL must read postgresql://user:password@host:port/database, with special characters of the "
            "password percent-encoded"
        )
    if "connect_timeout" not in parsed.query:
        parsed = parsed.update_query_dict({"connect_timeout": str(CONNECT_TIMEOUT_S)})
    address, _, options = parsed.set(drivername="postgresql").render_as_string(hide_password=False).partition("?")
    return f"{address.replace(' ', '%20')}?{options.replace('+', '%20')}"  # libpq does not read + as a space
