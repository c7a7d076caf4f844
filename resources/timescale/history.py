"""What a table said at an instant: rows that a write replaced, removed or first brought, kept with the time of it.

Every write of a table with `TableSpec.keeps_history` leaves in `history.<schema>_<name>`, in its own transaction, what
each key it changed was before: the row as it stood, or that there was none. So the table as it was at any instant since
can be put together again, whatever `known_at` says.

Belongs here: the table of the past, filling it, and asking it. Does not belong here: the order of a write
(`io_manager.py`), what is asked for at which instant.
"""

from datetime import datetime
from functools import cache
from typing import Any

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from resources.errors import ContractBroken
from resources.timescale import sql
from resources.timescale.arrow import arrow_type, to_arrow
from resources.timescale.resource import Transaction
from schemas.base import NullableBool, NullableInt, TableModel, Text, UtcTimestamp, dtypes_of
from schemas.table_spec import TableSpec

SCHEMA = "history"
SUPERSEDED_AT = "superseded_at"
EXISTED = "existed"


@cache
def history_of(spec: TableSpec) -> TableSpec:
    """The table that keeps the past of `spec`: its columns, which may all be missing but the key, `superseded_at` (when
    the row ceased to be the truth) and `existed` (whether there was a row before, or none).

    Raises:
        ContractBroken: a column is named like one of these two, or a row's origin is part of the key.
    """
    if taken := {SUPERSEDED_AT, EXISTED} & set(spec.columns):
        raise ContractBroken(f"{spec.qualified} keeps history, so it can have no column {', '.join(sorted(taken))}")
    if technical := set(spec.origin) & set(spec.key):
        raise ContractBroken(
            f"{spec.qualified} keeps history, so its key says what a row is about, not where it came from: "
            f"{', '.join(sorted(technical))}"
        )
    return TableSpec(
        schema=SCHEMA,
        name=f"{spec.schema}_{spec.name}",
        model=_model(spec),
        dataset=spec.dataset,
        first_day=spec.first_day,
        key=(*spec.key, SUPERSEDED_AT),
        time_column=spec.time_column,
        closed=spec.closed,
        unit=spec.unit,
        origin=spec.origin,
        known_at=spec.known_at,
        indexes=(SUPERSEDED_AT,),
        chunk=spec.chunk,
        compress_after=spec.compress_after,
        retain=spec.retain,
    )


def keep(
    transaction: Transaction, spec: TableSpec, *, before: pd.DataFrame, after: pd.DataFrame, superseded: pd.DataFrame
) -> None:
    """Notes what a write changes, inside its transaction: the rows `superseded`, and the keys that `after` has and
    `before`, the slice as it stood, has not.

    The time is the server's clock once the slice is locked, not the start of the transaction: a writer that waited for
    another one's lock must not date its change before that one's.
    """
    new = _keys_only_in(after, before, list(spec.key))
    now = transaction.fetch(sa.select(sa.func.clock_timestamp().label("now"))).column("now")[0].as_py()
    parts = [to_arrow(superseded[spec.columns], spec.model), _absent(new, spec)]
    noted = [
        part.append_column(SUPERSEDED_AT, pa.array([now] * len(part), pa.timestamp("us", tz="UTC"))).append_column(
            EXISTED, pa.array([existed] * len(part), pa.bool_())
        )
        for part, existed in zip(parts, (True, False), strict=True)
        if len(part)
    ]
    if noted:
        transaction.copy(sql.table_of(history_of(spec)), pa.concat_tables(noted))


def versions(spec: TableSpec, instant: datetime, later: sa.FromClause | None = None) -> tuple[sa.Select, sa.Select]:
    """The table's rows as they were at `instant` (aware), but for those known only after it: its columns, in two parts
    that share no key, rows that are still the same and rows that have changed since.

    Of each key, the earliest change after the instant tells what there was; where there is none, the row of today.

    `later` is the result of `later_than`, where it was put somewhere.
    """
    table = sql.table_of(spec)
    changed = later if later is not None else later_than(spec, instant).subquery("later")
    has_changed = sa.exists().where(*(changed.c[name] == table.c[name] for name in spec.key))
    still = sa.select(*(table.c[name] for name in spec.columns)).where(sa.not_(has_changed))
    before = sa.select(*(changed.c[name] for name in spec.columns)).where(changed.c[EXISTED])
    if spec.known_at is None:
        return still, before
    moment = sa.literal(instant, sa.DateTime(timezone=True))
    return still.where(table.c[spec.known_at] <= moment), before.where(changed.c[spec.known_at] <= moment)


def later_than(spec: TableSpec, instant: datetime) -> sa.Select:
    """Per key that changed after `instant`, what there was at it: the table's columns and `existed`."""
    past = sql.table_of(history_of(spec))
    key = [past.c[name] for name in spec.key]
    return (
        sa.select(*(past.c[name] for name in (*spec.columns, EXISTED)))
        .ext(distinct_on(*key))
        .where(past.c[SUPERSEDED_AT] > sa.literal(instant, sa.DateTime(timezone=True)))
        .order_by(*key, past.c[SUPERSEDED_AT])
    )


def _keys_only_in(rows: pd.DataFrame, others: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    if others.empty:
        return rows[key]
    found = rows[key].merge(others[key], on=key, how="left", indicator=True)
    return found.loc[found["_merge"] == "left_only", key]


def _absent(keys: pd.DataFrame, spec: TableSpec) -> pa.Table:
    told = to_arrow(keys, spec.model)
    return pa.table(
        {
            name: told.column(name) if name in spec.key else pa.nulls(len(keys), arrow_type(dtype))
            for name, dtype in dtypes_of(spec.model).items()
        }
    )


def _model(spec: TableSpec) -> type[TableModel]:
    """The model's columns without their rules: a row that was let in under older rules is kept as it was."""
    columns = spec.model.to_schema().columns
    kinds: dict[str, Any] = {name: _kind(dtype) for name, dtype in dtypes_of(spec.model).items()}
    fields: dict[str, Any] = {
        name: pandera.Field(nullable=name not in spec.key, description=columns[name].description) for name in kinds
    }
    kinds |= {SUPERSEDED_AT: UtcTimestamp, EXISTED: bool}
    fields[SUPERSEDED_AT] = pandera.Field(description="when the row ceased to be the truth, UTC")
    fields[EXISTED] = pandera.Field(description="whether there was a row before, or none")
    return type(
        f"{spec.model.__name__}History",
        (TableModel,),
        {
            "__doc__": f"What rows of {spec.qualified} were before they changed.",
            "__module__": __name__,
            "__annotations__": kinds,
            **fields,
        },
    )


def _kind(dtype: object) -> Any:
    """The annotation of a column that may be missing."""
    if isinstance(dtype, pd.DatetimeTZDtype):
        return UtcTimestamp
    if pd.api.types.is_bool_dtype(dtype):  # type: ignore[arg-type]
        return NullableBool
    if pd.api.types.is_integer_dtype(dtype):  # type: ignore[arg-type]
        return NullableInt
    return float if pd.api.types.is_float_dtype(dtype) else Text  # type: ignore[arg-type]
