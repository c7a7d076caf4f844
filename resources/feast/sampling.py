"""A sample of a feature table's keys, each with its newest row.

Belongs here: the statements. Does not belong here: what the rows are compared with (`assets_pkg/quality/parity.py`).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

from resources.feast.pending import is_marked
from resources.timescale import sql
from resources.timescale.arrow import from_arrow, to_arrow
from resources.timescale.resource import TimescaleResource, Transaction
from schemas.table_spec import TableSpec

KEYS = "sampled_keys"
PENDING = "key is pending"
"""A name that no column of a feature table has."""


@dataclass(frozen=True)
class Sample:
    """What was drawn of a table."""

    keys: int
    """Different keys of the whole table."""
    newest: pd.DataFrame
    """The newest row of each sampled key: the table's columns and dtypes, ordered by key."""
    is_pending: np.ndarray
    """Per row, whether its key is marked: its online row is about to be written."""


def sample_of(timescale: TimescaleResource, spec: TableSpec, *, most: int, seed: int) -> Sample:
    """At most `most` keys drawn by chance, the same ones for the same seed and keys.

    Raises:
        DatabaseUnavailable: the database went away.
    """
    table = sql.table_of(spec)
    names = list(spec.entities)
    every = sa.select(*(table.c[name] for name in names)).distinct().cte("every_key")
    lot = sa.func.hash_record_extended(sa.func.row(*(every.c[name] for name in names)), seed)
    count = sa.func.count().over().label("keys")
    drawn = sa.select(*every.c, count).order_by(lot, *every.c).limit(most).cte("drawn")
    with timescale.transaction() as transaction:
        found = transaction.fetch(_newest(spec, drawn).add_columns(drawn.c["keys"]))
    keys = found.column("keys")[0].as_py() if len(found) else 0
    return _sample(spec, keys, found.drop_columns(["keys"]))


def newest_of(timescale: TimescaleResource, spec: TableSpec, keys: pd.DataFrame) -> Sample:
    """The same of the given keys (the table's entities); one whose rows are gone is left out. Errors as `sample_of`."""
    with timescale.transaction() as transaction:
        found = transaction.fetch(_newest(spec, _staged(transaction, spec, keys)))
    return _sample(spec, len(keys), found)


def _staged(transaction: Transaction, spec: TableSpec, keys: pd.DataFrame) -> sa.TableClause:
    transaction.stage(KEYS, to_arrow(keys[list(spec.entities)], spec.model))
    return sa.table(KEYS, *(sa.column(name, sql.table_of(spec).c[name].type) for name in spec.entities))


def _newest(spec: TableSpec, drawn: sa.FromClause) -> sa.Select[tuple[object, ...]]:
    table = sql.table_of(spec)
    newest = (
        sa.select(table)
        .where(*(table.c[name] == drawn.c[name] for name in spec.entities))
        .order_by(table.c[spec.time_column or ""].desc())
        .limit(1)
        .lateral("newest")
    )
    rows = sa.select(newest, is_marked(spec, newest).label(PENDING)).select_from(drawn.join(newest, sa.true()))
    return rows.order_by(*(newest.c[name] for name in spec.entities))


def _sample(spec: TableSpec, keys: int, rows: pa.Table) -> Sample:
    pending = rows.column(PENDING).to_numpy(zero_copy_only=False).astype(bool)
    return Sample(keys, from_arrow(rows.drop_columns([PENDING]), spec.model), pending)
