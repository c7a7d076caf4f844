"""The breakers of all dependencies, for people and for what watches from outside.

Sensors of OpenAQ have breakers as well, as many as there are instruments: they are counted elsewhere, and not listed
here, so that this stays as short as the configuration.

Belongs here: questions to `catalog.circuits`. Does not belong here: changing a state (`breaker.py`, `shared.py`).
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from schemas.catalog_budget import CIRCUITS

PER_INSTRUMENT = "openaq/sensor/"
LEVELS = {"closed": 0.0, "half_open": 1.0, "open": 2.0}


def dependencies(connection: sa.Connection) -> Sequence[sa.Row[Any]]:
    """The dependencies that ever failed, by name: `CIRCUITS`' columns."""
    query = sa.select(CIRCUITS).where(sa.not_(CIRCUITS.c.name.startswith(PER_INSTRUMENT, autoescape=True)))
    return connection.execute(query.order_by(CIRCUITS.c.name)).all()


def instruments_left_alone(connection: sa.Connection) -> int:
    """How many sensors of OpenAQ are left alone by themselves."""
    query = sa.select(sa.func.count()).where(
        CIRCUITS.c.name.startswith(PER_INSTRUMENT, autoescape=True), CIRCUITS.c.state != "closed"
    )
    return int(connection.execute(query).scalar_one())
