"""The outbox: which keys' newest rows have still to reach the online store, and the proof that none is forgotten.

Whoever changes rows of a served table marks their keys in the same transaction; every mark carries a new version and
the newest time that changed. Whoever serves reads marks and newest rows in one statement, writes online, and removes
exactly the marks whose version was read, in one transaction under the view's lock. A change that comes between the two
has another version, so its mark stays; a process that dies leaves the marks, and writing twice writes the same. What
is served is therefore always the newest row there is, in whichever order days are filled, corrected and deleted.

A key whose newest row is younger than anything that changed is right online already: its mark goes, nothing is written.

Belongs here: statements on `catalog.feature_pending` and the newest rows. Does not belong here: the online store
(`serving.py`), when it is tried again (`views.py`).
"""

from typing import Any

import pandas as pd
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert

from resources.timescale import sql
from resources.timescale.arrow import to_arrow
from resources.timescale.resource import Transaction
from schemas.catalog_features import FEATURE_PENDING, PENDING_VERSION
from schemas.table_spec import TableSpec

TOUCHED = "touched_keys"
KEY = "pending key"
VERSION = "pending version"
IS_DUE = "pending is due"
"""Names of the marks' columns beside those of a feature table, which has none with a space."""


def mark(transaction: Transaction, view: str, touched: pd.DataFrame, spec: TableSpec) -> None:
    """Marks the keys of `touched` (the spec's entities and its time column: the newest time of a row that changed)."""
    if touched.empty:
        return
    transaction.stage(TOUCHED, to_arrow(touched, spec.model))
    table = sql.table_of(spec)
    staged = sa.table(TOUCHED, *(sa.column(name, table.c[name].type) for name in touched.columns))
    given = sa.select(_key(staged, spec).label("key"), staged.c[spec.time_column or ""].label("touched_until"))
    transaction.execute(_marked(view, given))


def mark_all(view: str, spec: TableSpec, past: TableSpec | None = None) -> sa.Executable:
    """Marks every key of the table, those that are marked already, and those of its history `past`, whatever changed:
    an online store that was away may still have a key whose rows went meanwhile."""
    tables = [sql.table_of(one) for one in (spec, past) if one]
    keys = sa.union(*(sa.select(*(table.c[name] for name in spec.entities)) for table in tables)).subquery()
    marked = sa.select(FEATURE_PENDING.c.key).where(FEATURE_PENDING.c.view == view)
    found = sa.select(_key(keys, spec).label("key")).union(marked).subquery()
    whichever: sa.ColumnElement[object] = sa.cast(sa.null(), sa.DateTime(timezone=True))
    return _marked(view, sa.select(found.c.key, whichever.label("touched_until")))


def is_marked(spec: TableSpec, rows: sa.FromClause) -> sa.ColumnElement[bool]:
    """Whether the key of a row (with the spec's entities) is marked."""
    view = spec.view
    return sa.exists().where(FEATURE_PENDING.c.view == view, FEATURE_PENDING.c.key == _key(rows, spec))


def newest_version(view: str) -> sa.Select[Any]:
    """The newest version among the view's marks; -1 if there is none."""
    newest = sa.func.coalesce(sa.func.max(FEATURE_PENDING.c.version), -1)
    return sa.select(newest).where(FEATURE_PENDING.c.view == view)


def take(view: str, spec: TableSpec, *, up_to_version: int, most: int) -> sa.Select[tuple[object, ...]]:
    """Marks up to a version with the newest row of each key: `KEY`, `VERSION`, `IS_DUE` (whether the online row may be
    wrong) and the table's columns, which are null for a key that has no row left; but its entities are there."""
    table = sql.table_of(spec)
    marks = (
        sa.select(FEATURE_PENDING.c.key, FEATURE_PENDING.c.version, FEATURE_PENDING.c.touched_until)
        .where(FEATURE_PENDING.c.view == view, FEATURE_PENDING.c.version <= up_to_version)
        .order_by(FEATURE_PENDING.c.key)
        .limit(most)
        .cte("marks")
    )
    values = sa.cast(marks.c.key, JSONB)
    entities = {name: sa.cast(values[place].astext, table.c[name].type) for place, name in enumerate(spec.entities)}
    stamp = table.c[spec.time_column or ""]
    newest = (
        sa.select(table)
        .where(*(table.c[name] == value for name, value in entities.items()))
        .order_by(stamp.desc())
        .limit(1)
        .lateral("newest")
    )
    at = newest.c[stamp.name]
    is_due = sa.or_(marks.c.touched_until.is_(None), at.is_(None), at <= marks.c.touched_until)
    return sa.select(
        marks.c.key.label(KEY),
        marks.c.version.label(VERSION),
        is_due.label(IS_DUE),
        *(entities[column.name].label(column.name) if column.name in entities else column for column in newest.c),
    ).select_from(marks.outerjoin(newest, sa.true()))


def done(view: str, taken: pa.Table) -> sa.Delete:
    """Removes the marks that still carry the version that was taken. Sorted like `mark`, for the same reason."""
    given = (
        sa.func.unnest(
            sa.literal(taken.column(KEY).to_pylist(), sa.ARRAY(sa.Text)),
            sa.literal(taken.column(VERSION).to_pylist(), sa.ARRAY(sa.BigInteger)),
        )
        .table_valued(sa.column("key", sa.Text), sa.column("version", sa.BigInteger))
        .render_derived(name="given")
    )
    mine = FEATURE_PENDING.alias("mine")
    answered = (
        sa.select(mine.c.key, mine.c.version)
        .where(mine.c.view == view)
        .where(sa.exists().where(given.c.key == mine.c.key, given.c.version == mine.c.version))
        .order_by(mine.c.key)
        .with_for_update()
        .cte("answered")
    )
    return sa.delete(FEATURE_PENDING).where(
        FEATURE_PENDING.c.view == view,
        FEATURE_PENDING.c.key == answered.c.key,
        FEATURE_PENDING.c.version == answered.c.version,
    )


def _key(rows: sa.FromClause, spec: TableSpec) -> sa.ColumnElement[str]:
    """The entities' values as one JSON array, written as PostgreSQL writes it: the same key is the same text."""
    return sa.cast(sa.func.jsonb_build_array(*(rows.c[name] for name in spec.entities)), sa.Text)


def _marked(view: str, given: sa.Select[tuple[object, ...]]) -> sa.Executable:
    """Marks the rows (key, touched_until). Sorted, so that two writers that mark the same keys wait for each other
    instead of deadlocking."""
    found = given.subquery("given")
    rows = sa.select(
        sa.literal(view, sa.Text), found.c.key, found.c.touched_until, PENDING_VERSION.next_value()
    ).order_by(found.c.key)
    statement = insert(FEATURE_PENDING).from_select(["view", "key", "touched_until", "version"], rows)
    held, new = FEATURE_PENDING.c.touched_until, statement.excluded.touched_until
    return statement.on_conflict_do_update(
        index_elements=["view", "key"],
        set_={
            "touched_until": sa.case(
                (sa.or_(held.is_(None), new.is_(None)), sa.null()), else_=sa.func.greatest(held, new)
            ),
            "version": statement.excluded.version,
            "marked_at": sa.func.now(),
        },
    )
