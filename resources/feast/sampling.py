"""A sample of a feature table's keys, each with its newest row.

Belongs here: the statements. Does not belong here: what the rows are compared with (`assets_pkg/quality/parity.py`).
"""

from dataclasses import dataclass

import pandas as pd
import sqlalchemy as sa

from resources.timescale import sql
from resources.timescale.arrow import from_arrow
from resources.timescale.resource import TimescaleResource
from schemas.table_spec import TableSpec


@dataclass(frozen=True)
class Sample:
    """What was drawn of a table."""

    keys: int
    """Different keys of the whole table."""
    newest: pd.DataFrame
    """The newest row of each sampled key: the table's columns and dtypes, ordered by key."""


def sample_of(timescale: TimescaleResource, spec: TableSpec, *, most: int, seed: int) -> Sample:
    """At most `most` keys drawn by chance, the same ones for the same seed and keys.

    Raises:
        DatabaseUnavailable: the database went away.
    """
    table = sql.table_of(spec)
    names = list(spec.entities)
    every = sa.select(*(table.c[name] for name in names)).distinct().cte("every_key")
    lot = sa.func.hash_record_extended(sa.func.row(*(every.c[name] for name in names)), seed)
    drawn = sa.select(every).order_by(lot, *every.c).limit(most).cte("drawn")
    newest = (
        sa.select(table)
        .where(*(table.c[name] == drawn.c[name] for name in names))
        .order_by(table.c[spec.time_column or ""].desc())
        .limit(1)
        .lateral("newest")
    )
    rows = sa.select(newest).select_from(drawn.join(newest, sa.true())).order_by(*(drawn.c[name] for name in names))
    with timescale.transaction() as transaction:
        found = transaction.fetch(rows)
        keys = transaction.fetch(sa.select(sa.func.count()).select_from(every)).column(0)[0].as_py()
    return Sample(keys, from_arrow(found, spec.model))
