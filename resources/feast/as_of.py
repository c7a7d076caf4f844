"""The point-in-time join: for each entity row, the newest feature row that was there at its moment and not too old.

Belongs here: composing the statement, and how it is made text. Does not belong here: Feast, connections, where entity
rows come from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from resources.timescale.sql import ARROW_DIALECT

NO_TIME = timedelta(0)


@dataclass(frozen=True, kw_only=True)
class FeatureRows:
    """Rows that features are looked up in.

    Columns are named as they are in the rows, and mapped to those of the entity rows (`keys`) and of the result
    (`features`).
    """

    parts: tuple[sa.FromClause, ...]
    """Relations that share no key and are the rows together; mostly one."""
    keys: Mapping[str, str]
    time: str
    """Instant a row is about."""
    features: Mapping[str, str]
    created: str | None = None
    """Instant a row became known; of rows about the same instant the newest known one counts."""
    ttl: timedelta | None = None
    """How old a row may be, inclusive; None or nothing: as old as it likes."""
    ahead: timedelta = NO_TIME
    """How long after the entity row's moment is looked: what is sought then lies AFTER that moment (a label)."""
    until: datetime | None = None
    """What lies ahead of a moment is looked for only where it has come by then; the newest row before it would be the
    value of another, shorter time ahead."""
    complete_after: timedelta = NO_TIME
    """How much later than its time a row is whole, and may be looked up."""
    known_by_then: bool = False
    """Whether only rows count that were known at the entity row's moment already."""


def as_of(
    entities: sa.FromClause,
    moment: str,
    kept: Sequence[str],
    looked_up: Sequence[FeatureRows],
    *,
    order_by: str | None = None,
) -> sa.Select:
    """Per row of `entities` the columns `kept`, and of each of `looked_up` the features of its newest row with
    `moment - ttl <= t <= moment`; NULLs where there is none. As many rows as `entities` has, in the order of the column
    `order_by`.

    Keys are compared column by column, in their own types. `moment` names a column of `entities` (timestamptz).
    """
    found = [_newest(rows, entities, moment).lateral(f"found_{n}") for n, rows in enumerate(looked_up)]
    joined = entities
    for one in found:
        joined = sa.outerjoin(joined, one, sa.true())
    features = (one.c[name] for one, rows in zip(found, looked_up, strict=True) for name in rows.features.values())
    query = sa.select(*(entities.c[name] for name in kept), *features).select_from(joined)
    return query if order_by is None else query.order_by(entities.c[order_by])


def text_of(statement: sa.Executable) -> str:
    """The statement with its values in place, for whoever can bind none."""
    compiled = statement.compile(dialect=ARROW_DIALECT, compile_kwargs={"literal_binds": True})  # type: ignore[attr-defined]
    return str(compiled)


def seconds(length: timedelta) -> sa.ColumnElement[timedelta]:
    """An interval of that many seconds: a day is 24 hours, also where the session's clocks change."""
    microseconds = length // timedelta(microseconds=1)
    text = f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06d} seconds"
    return sa.cast(sa.literal(text, sa.Text), sa.Interval)


def _newest(rows: FeatureRows, entities: sa.FromClause, moment: str) -> sa.Select:
    """The newest of the rows for one entity row. Each part is asked for its own newest one first: so each finds it by
    its index."""
    candidates = [_newest_of(part, rows, entities, moment) for part in rows.parts]
    if len(candidates) == 1:
        return candidates[0]
    either = sa.union_all(*(sa.select(one.subquery()) for one in candidates)).subquery("either")
    features = (either.c[name] for name in rows.features.values())
    return sa.select(*features).order_by(*_newest_first(either.c["at_"], either.c.get("created_"))).limit(1)


def _newest_of(part: sa.FromClause, rows: FeatureRows, entities: sa.FromClause, moment: str) -> sa.Select:
    source = part.alias("source")
    stamp = source.c[rows.time]
    created = source.c[rows.created] if rows.created else None
    at = entities.c[moment]
    since = at - seconds(rows.complete_after) if rows.complete_after else at
    last = since + seconds(rows.ahead) if rows.ahead else since
    conditions = [source.c[name] == entities.c[own] for name, own in rows.keys.items()]
    conditions.append(stamp <= last)
    if rows.ttl:
        conditions.append(stamp >= last - seconds(rows.ttl))
    if rows.ahead:
        conditions.append(stamp > since)
    if rows.until is not None:
        conditions.append(at + seconds(rows.ahead) <= sa.literal(rows.until, sa.DateTime(timezone=True)))
    if rows.known_by_then and created is not None:
        conditions.append(created <= at)
    columns = [source.c[name].label(result) for name, result in rows.features.items()]
    if len(rows.parts) > 1:
        columns += [stamp.label("at_"), *([] if created is None else [created.label("created_")])]
    newest = sa.select(*columns).where(*conditions).order_by(*_newest_first(stamp, created)).limit(1)
    return newest.correlate(entities)


def _newest_first(
    stamp: sa.ColumnElement[object], created: sa.ColumnElement[object] | None
) -> list[sa.ColumnElement[object]]:
    return [stamp.desc(), *([] if created is None else [created.desc().nulls_last()])]
