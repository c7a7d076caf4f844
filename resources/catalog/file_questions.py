"""What is asked of many files at once: which are done, which are not, what they are about.

Belongs here: queries on `catalog.file_metadata` and `catalog.file_names`. Does not belong here: anything that changes
them (`files.py`).
"""

from collections.abc import Collection
from datetime import date

import sqlalchemy as sa

from resources.catalog import registry
from resources.catalog.files import Arrival, KnownFile, files_where
from resources.errors import ContractBroken
from schemas.catalog import QUARANTINE
from schemas.catalog_files import FILE_METADATA, FILE_NAMES, PENDING, Status
from schemas.window import Window

SETTLED = (Status.ARCHIVED, Status.RETAINED, Status.REJECTED)


def by_id(connection: sa.Connection, file_id: int) -> KnownFile:
    """One file.

    Raises:
        ContractBroken: there is none with this id.
    """
    found = files_where(connection, FILE_METADATA.c.id == file_id)
    if not found:
        raise ContractBroken(f"the catalog has no file {file_id}")
    return found[0]


def is_known(connection: sa.Connection, arrival: Arrival) -> bool:
    """Whether these bytes came before."""
    same = sa.and_(FILE_METADATA.c.dataset == arrival.dataset, FILE_METADATA.c.sha256 == arrival.sha256)
    return bool(connection.execute(sa.select(sa.exists().where(same))).scalar_one())


def between(connection: sa.Connection, dataset: str, window: Window) -> list[KnownFile]:
    """The files that arrived in `window` (closed left), in that order."""
    arrived = FILE_METADATA.c.arrived_at
    inside = sa.and_(arrived >= window.start, arrived < window.end)
    return files_where(connection, sa.and_(FILE_METADATA.c.dataset == dataset, inside))


def unfinished(connection: sa.Connection) -> dict[str, set[date]]:
    """Per dataset, the UTC days of arrival of files there is work left on."""
    columns = (FILE_METADATA.c.dataset, FILE_METADATA.c.arrived_on)
    query = sa.select(*columns).distinct().where(FILE_METADATA.c.ingestion_status.in_(PENDING))
    found: dict[str, set[date]] = {}
    for dataset, day in connection.execute(query):
        found.setdefault(dataset, set()).add(day)
    return found


def settled(connection: sa.Connection, keys: Collection[str]) -> set[str]:
    """Which of the keys (`Seen.key`) are of files nobody has to take: archived, or refused."""
    given = sa.func.unnest(sa.literal(list(keys), sa.ARRAY(sa.Text))).table_valued("key").render_derived()
    query = (
        sa.select(FILE_NAMES.c.seen_key)
        .join(given, given.c.key == FILE_NAMES.c.seen_key)
        .join(FILE_METADATA, FILE_METADATA.c.id == FILE_NAMES.c.file_id)
        .where(FILE_METADATA.c.ingestion_status.in_(SETTLED))
    )
    return set(connection.execute(query).scalars()) if keys else set()


def event_days(connection: sa.Connection, file_ids: Collection[int]) -> set[date]:
    """The UTC days the files' rows are about."""
    day = sa.func.jsonb_array_elements_text(FILE_METADATA.c.event_days)
    query = sa.select(day).distinct().where(FILE_METADATA.c.id.in_(list(file_ids)))
    return set(map(date.fromisoformat, connection.execute(query).scalars())) if file_ids else set()


def put_aside_files(connection: sa.Connection, dataset: str) -> list[tuple[KnownFile, int]]:
    """The files with rows put aside, each with their number, and the files refused as a whole (0); by arrival."""
    aside = (
        sa.select(QUARANTINE.c.source_id, QUARANTINE.c.table_name, sa.func.count().label("rows"))
        .group_by(QUARANTINE.c.source_id, QUARANTINE.c.table_name)
        .subquery()
    )
    joined = sa.and_(aside.c.source_id == FILE_METADATA.c.id, aside.c.table_name == FILE_METADATA.c.target_table)
    rows = sa.func.coalesce(aside.c.rows, 0)
    is_refused = FILE_METADATA.c.ingestion_status == Status.REJECTED.value
    query = (
        sa.select(FILE_METADATA.c.id, rows)
        .outerjoin(aside, joined)
        .where(
            FILE_METADATA.c.dataset == dataset, sa.or_(rows > 0, is_refused), FILE_METADATA.c.archive_path.is_not(None)
        )
    )
    counts = {number: count for number, count in connection.execute(query)}
    found = files_where(connection, FILE_METADATA.c.id.in_(list(counts))) if counts else []
    return [(file, counts[file.id]) for file in found]


def rendered(connection: sa.Connection, dataset: str) -> list[KnownFile]:
    """The archived files of a dataset nobody declared with a column that is text by now and was another kind when they
    were read: their rows hold what the database makes of numbers and instants, and not what was written."""
    versions = registry.history(connection, dataset)
    texts = {column.name for column in versions[-1].columns if column.kind == "text"} if versions else set()
    old = [one.id for one in versions if any(column.kind != "text" for column in one.columns if column.name in texts)]
    is_archived = FILE_METADATA.c.ingestion_status == Status.ARCHIVED.value
    return files_where(connection, sa.and_(FILE_METADATA.c.schema_version_id.in_(old), is_archived)) if old else []


def datasets(connection: sa.Connection) -> list[str]:
    """Names of all datasets that ever had a file, sorted."""
    return sorted(connection.execute(sa.select(FILE_METADATA.c.dataset).distinct()).scalars())
