"""The counts that the dimensions of a table are made of, per UTC day, as the database has them.

Belongs here: one statement per question of `schemas.quality_dimensions.Judged`. Does not belong here: what the counts
come to (`assets_pkg/quality/dimensions.py`).
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import sqlalchemy as sa

from resources.catalog import ledger
from resources.catalog.file_questions import IS_VALUE_ASIDE
from resources.timescale import sql
from schemas.catalog import LEDGER
from schemas.catalog_files import BAD_CELLS, FILE_METADATA
from schemas.quality_dimensions import LOOK_BACK, Judged, Order, Reference, Same, Twins
from schemas.table_spec import TableSpec
from schemas.window import ONE_DAY, Window

MEASURES = (
    *("rows", "cells_filled", "values", "values_valid", "timely", "timely_of", "repeated", "bad_rows"),
    *("entities", "entities_expected", "twins", "twins_agree"),
)
"""Counts of a day; see `dimensions.py` for what becomes of them."""


def measures(connection: sa.Connection, judged: Judged, window: Window, specs: Mapping[str, TableSpec]) -> pd.DataFrame:
    """`MEASURES` and `known_at` (newest, those of the days looked back on included) per `day` (date) of the window that
    has rows, or on which somebody is missing."""
    spec = specs[judged.table]
    found = _frame(connection, _rows(connection, spec, judged, window))
    for query in (
        _repeated(spec, judged, window),
        _bad_rows(spec, judged, window),
        _expected(spec, judged, window),
        _twins(spec, judged, judged.twins, window) if judged.twins else None,
    ):
        if query is not None:
            more = _frame(connection, query)
            found = found.join(more, how="outer", rsuffix="_looked_back")
    if "known_at_looked_back" in found:
        found["known_at"] = found.pop("known_at_looked_back").fillna(found["known_at"])
    counts = found.reindex(columns=list(MEASURES)).fillna(0).astype("int64")
    return counts.assign(known_at=found["known_at"]).sort_index()


def agreements(
    connection: sa.Connection, judged: Judged, window: Window, specs: Mapping[str, TableSpec]
) -> pd.DataFrame:
    """Columns day (date), rule, asked, agree: of each rule of consistency, the rows it is about and those that keep it.

    `follows` is a rule, too: rows this table's step read, of those the step before loaded, or the other way round.
    """
    spec = specs[judged.table]
    found = []
    for rule in judged.consistent:
        rows = _frame(connection, _agreement(spec, rule, window, specs))
        found.append(rows.reset_index().assign(rule=rule.name))
    if judged.follows:
        found.append(_handed_over(connection, spec.qualified, judged.follows, window))
    columns = ["day", "rule", "asked", "agree"]
    found = [rows for rows in found if len(rows)]
    return pd.concat(found, ignore_index=True)[columns] if found else pd.DataFrame(columns=columns)


def _frame(connection: sa.Connection, query: sa.Select[Any]) -> pd.DataFrame:
    result = connection.execute(query)
    frame = pd.DataFrame(result.all(), columns=list(result.keys()))
    if "known_at" in frame:
        frame["known_at"] = pd.to_datetime(frame["known_at"], utc=True).dt.as_unit("us")
    # The same types where there is nothing, so that what is joined keeps them.
    return frame.astype(dict.fromkeys(frame.columns.difference(["day", "known_at"]), "Int64")).set_index("day")


def _rows(connection: sa.Connection, spec: TableSpec, judged: Judged, window: Window) -> sa.Select[Any]:
    """Everything one pass over the rows can count."""
    table = sql.table_of(spec)
    day = sql.utc_day(spec)
    is_told = ~table.c[judged.stand_in] if judged.stand_in else sa.true()
    filled = [sa.func.count(table.c[name]).filter(is_told) for name in judged.filled]
    has_value = sa.and_(is_told, table.c[judged.filled[0]].is_not(None))
    is_valid = sa.and_(has_value, table.c[judged.valid]) if judged.valid else has_value
    could_be, in_time = _timely(spec, judged, _first_write(connection, spec))
    return (
        sa.select(
            day.label("day"),
            sa.func.count().label("rows"),
            sum(filled[1:], filled[0]).label("cells_filled"),
            sa.func.count().filter(has_value).label("values"),
            sa.func.count().filter(is_valid).label("values_valid"),
            sa.func.count().filter(could_be).label("timely_of"),
            sa.func.count().filter(sa.and_(could_be, in_time)).label("timely"),
            sa.func.max(table.c[spec.known_at or ""]).label("known_at"),
        )
        .where(_inside(spec, window))
        .group_by(day)
    )


def _first_write(connection: sa.Connection, spec: TableSpec) -> Any:
    """When anything was first written to the table; what ended before could not be known in time."""
    query = sa.select(LEDGER.c.committed_at).where(LEDGER.c.table_name == spec.qualified)
    return connection.execute(query.order_by(LEDGER.c.entry_id).limit(1)).scalar()


def _timely(spec: TableSpec, judged: Judged, first_write: Any) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    """Which rows could be known in time, and which were: by the end of their day, or by their event where the table is
    cut by arrival."""
    table, due = sql.table_of(spec), sa.literal(judged.due_after, sa.Interval)
    about: sa.ColumnElement[Any]
    if spec.by_arrival and spec.event_time:
        about, known = table.c[spec.event_time], table.c[spec.time_column or ""]
    else:
        midnight = sa.func.timezone("UTC", sa.cast(sql.utc_day(spec) + 1, sa.DateTime))
        about, known = midnight, table.c[spec.known_at or ""]
    return about >= sa.literal(first_write, sa.DateTime(timezone=True)), known <= about + due


def _repeated(spec: TableSpec, judged: Judged, window: Window) -> sa.Select[Any] | None:
    """Rows beyond the first of each identity."""
    if not judged.identity:
        return None
    table, day = sql.table_of(spec), sql.utc_day(spec)
    identity = [table.c[name] for name in judged.identity]
    groups = (
        sa.select(day.label("day"), sa.func.count().label("n"))
        .where(_inside(spec, window), *(column.is_not(None) for column in identity))
        .group_by(day, *identity)
        .subquery()
    )
    return sa.select(groups.c.day, sa.cast(sa.func.sum(groups.c.n - 1), sa.BigInteger).label("repeated")).group_by(
        groups.c.day
    )


def _bad_rows(spec: TableSpec, judged: Judged, window: Window) -> sa.Select[Any] | None:
    """Rows that are loaded without some of their values, by the day their file arrived."""
    if not judged.counts_cells:
        return None
    days = window.days()
    row = sa.func.row(BAD_CELLS.c.file_metadata_id, BAD_CELLS.c.line_no)
    return (
        sa.select(FILE_METADATA.c.arrived_on.label("day"), sa.func.count(row.distinct()).label("bad_rows"))
        .join(FILE_METADATA, FILE_METADATA.c.id == BAD_CELLS.c.file_metadata_id)
        .where(
            FILE_METADATA.c.target_table == spec.qualified,
            FILE_METADATA.c.arrived_on.between(days[0], days[-1]),
            IS_VALUE_ASIDE,
        )
        .group_by(FILE_METADATA.c.arrived_on)
    )


def _expected(spec: TableSpec, judged: Judged, window: Window) -> sa.Select[Any] | None:
    """Different entities with a value on each day, and on it or in the `LOOK_BACK` before."""
    if not judged.entities:
        return None
    table, day = sql.table_of(spec), sql.utc_day(spec)
    entity = [table.c[name] for name in judged.entities]
    known_at = sa.func.max(table.c[spec.known_at or ""]).label("known_at")
    has_value = table.c[judged.filled[0]].is_not(None) if judged.valid else sa.true()
    seen = (
        sa.select(day.label("seen_on"), *entity, known_at)
        .where(_inside(spec, window.widened(before=LOOK_BACK)), has_value)
        .group_by(day, *entity)
        .subquery("seen")
    )
    days = window.days()
    on = (
        sa.func.generate_series(days[0], days[-1], ONE_DAY)
        .table_valued(sa.column("at", sa.DateTime))
        .render_derived(name="days")
    )
    that_day = sa.cast(on.c.at, sa.Date)
    per_entity = (
        sa.select(
            that_day.label("day"),
            sa.func.bool_or(seen.c.seen_on == that_day).label("is_there"),
            sa.func.max(seen.c.known_at).label("known_at"),
        )
        .join_from(on, seen, seen.c.seen_on.between(that_day - LOOK_BACK.days, that_day))
        .group_by(that_day, *(seen.c[name] for name in judged.entities))
        .subquery("per_entity")
    )
    return sa.select(
        per_entity.c.day,
        sa.func.count().filter(per_entity.c.is_there).label("entities"),
        sa.func.count().label("entities_expected"),
        sa.func.max(per_entity.c.known_at).label("known_at"),
    ).group_by(per_entity.c.day)


def _twins(spec: TableSpec, judged: Judged, twins: Twins, window: Window) -> sa.Select[Any]:
    """Measurements of one thing by two or more, and those that agree."""
    table, day = sql.table_of(spec), sql.utc_day(spec)
    value = table.c[twins.value]
    least, most, mean = (how(value) for how in (sa.func.min, sa.func.max, sa.func.avg))
    tolerance = sa.func.greatest(sa.func.abs(mean) * (twins.tolerance_pct / 100.0), twins.floor)
    terms = [_inside(spec, window), value.is_not(None)]
    terms += [table.c[judged.valid]] if judged.valid else []
    terms += [~table.c[judged.stand_in]] if judged.stand_in else []
    groups = (
        sa.select(day.label("day"), (most - least <= tolerance).label("agree"))
        .where(*terms)
        .group_by(day, *(table.c[name] for name in twins.group))
        .having(sa.func.count(table.c[twins.of].distinct()) > 1)
        .subquery()
    )
    return sa.select(
        groups.c.day,
        sa.func.count().label("twins"),
        sa.func.count().filter(groups.c.agree).label("twins_agree"),
    ).group_by(groups.c.day)


def _agreement(
    spec: TableSpec, rule: Reference | Order | Same, window: Window, specs: Mapping[str, TableSpec]
) -> sa.Select[Any]:
    if isinstance(rule, Reference):
        return _referring(spec, rule, window, specs[rule.table])
    return _ordered(spec, rule, window) if isinstance(rule, Order) else _same(spec, rule, window)


def _ordered(spec: TableSpec, rule: Order, window: Window) -> sa.Select[Any]:
    table, day = sql.table_of(spec), sql.utc_day(spec)
    earlier, later = table.c[rule.earlier], table.c[rule.later]
    asked = sa.and_(earlier.is_not(None), later.is_not(None))
    return (
        sa.select(
            day.label("day"),
            sa.func.count().filter(asked).label("asked"),
            sa.func.count().filter(earlier <= later).label("agree"),
        )
        .where(_inside(spec, window))
        .group_by(day)
    )


def _referring(spec: TableSpec, rule: Reference, window: Window, other: TableSpec) -> sa.Select[Any]:
    table, day = sql.table_of(spec), sql.utc_day(spec)
    columns = [table.c[name] for name in rule.columns]
    there = sql.table_of(other)
    known = (
        sa.select(sql.utc_day(other).label("day"), *(there.c[name].label(f"of_{name}") for name in rule.of))
        .where(_inside(other, window))
        .distinct()
        .subquery("known")
    )
    same = [known.c.day == day, *(known.c[f"of_{of}"] == one for of, one in zip(rule.of, columns, strict=True))]
    return (
        sa.select(day.label("day"), sa.func.count().label("asked"), sa.func.count(known.c.day).label("agree"))
        .select_from(table.outerjoin(known, sa.and_(*same)))
        .where(_inside(spec, window), *(column.is_not(None) for column in columns))
        .group_by(day)
    )


def _same(spec: TableSpec, rule: Same, window: Window) -> sa.Select[Any]:
    """Where one says different things, those that say what is said most often agree."""
    table, day = sql.table_of(spec), sql.utc_day(spec)
    per = [table.c[name] for name in rule.per]
    said = (
        sa.select(day.label("day"), *(column.label(f"per_{column.name}") for column in per), sa.func.count().label("n"))
        .where(_inside(spec, window), *(column.is_not(None) for column in per))
        .group_by(day, *per, *(table.c[name] for name in rule.columns))
        .subquery("said")
    )
    most = (
        sa.select(said.c.day, sa.func.sum(said.c.n).label("asked"), sa.func.max(said.c.n).label("agree"))
        .group_by(said.c.day, *(said.c[f"per_{name}"] for name in rule.per))
        .subquery("most")
    )
    sums = (sa.cast(sa.func.sum(most.c[name]), sa.BigInteger).label(name) for name in ("asked", "agree"))
    return sa.select(most.c.day, *sums).group_by(most.c.day)


def _handed_over(connection: sa.Connection, table: str, before: str, window: Window) -> pd.DataFrame:
    """Rows read here against rows loaded there, by the ledgers: the smaller of the two agree."""
    accounts = ledger.entries_of(connection, [table, before], window)
    by_day = accounts.groupby(["table_name", "day"])[["read", "loaded"]].sum()
    read = by_day["read"].reindex(index=[table], level=0).droplevel(0)
    loaded = by_day["loaded"].reindex(index=[before], level=0).droplevel(0)
    both = pd.DataFrame({"read": read, "loaded": loaded}).dropna().astype("int64")
    return pd.DataFrame(
        {
            "day": list(both.index),
            "rule": f"reads what {before} loaded",
            "asked": both.max(axis=1).to_numpy(),
            "agree": both.min(axis=1).to_numpy(),
        }
    )


def _inside(spec: TableSpec, window: Window) -> sa.ColumnElement[bool]:
    return sql.in_window(sql.table_of(spec).c[spec.time_column or ""], window, spec.closed)
