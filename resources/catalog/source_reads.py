"""Every read from a source, failed ones too.

Belongs here: statements on `catalog.source_reads`. Does not belong here: reading (`resources/sources/`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa

from resources.catalog.rows import storable
from schemas.catalog_features import SOURCE_READS

NOT_FINISHED = "it did not finish: the process that read has ended, or still reads"
"""What a read says of itself until it ends."""


def begun(
    *,
    read_id: int,
    dataset: str,
    table_name: str,
    kind: str,
    source_table: str,
    address: str,
    run_id: str,
    since: datetime | None,
    until: datetime | None,
) -> sa.Executable:
    """Notes that a read begins; it counts as failed until it is `ended`."""
    return sa.insert(SOURCE_READS).values(
        read_id=read_id,
        dataset=dataset,
        table_name=table_name,
        kind=kind,
        source_table=source_table,
        address=address,
        run_id=run_id,
        since=since,
        until=until,
        columns=[],
        error=NOT_FINISHED,
    )


def ended(
    read_id: int, *, columns: Sequence[Mapping[str, str]], counts: Mapping[str, int | float], error: str | None
) -> sa.Executable:
    """Notes how a read ended: `counts` are columns of the table, `error` is why it failed, None if it did not."""
    told = None if error is None else storable(error)
    found = [{name: storable(value) for name, value in column.items()} for column in columns]
    return (
        sa.update(SOURCE_READS)
        .where(SOURCE_READS.c.read_id == read_id)
        .values(columns=found, error=told, **{name: counts[name] for name in counts})
    )


def columns_before(connection: sa.Connection, table_name: str, read_id: int) -> dict[str, str]:
    """The source's columns, each with its type, as the newest read of the table found them that succeeded before
    `read_id` or beside it; empty if there is none."""
    query = (
        sa.select(SOURCE_READS.c.columns)
        .where(
            SOURCE_READS.c.table_name == table_name, SOURCE_READS.c.error.is_(None), SOURCE_READS.c.read_id != read_id
        )
        .where(SOURCE_READS.c.columns != sa.cast([], SOURCE_READS.c.columns.type))
        .order_by(SOURCE_READS.c.started_at.desc())
        .limit(1)
    )
    found = connection.execute(query).scalar_one_or_none() or []
    return {str(column["name"]): str(column["type"]) for column in found}
