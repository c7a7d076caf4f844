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
from resources.landing.columns.conversion import LEAP_RULE
from schemas.catalog import QUARANTINE
from schemas.catalog_files import BAD_CELLS, FILE_METADATA, FILE_NAMES, PENDING, Status
from schemas.window import Window

SETTLED = (Status.ARCHIVED, Status.RETAINED, Status.REJECTED)

IS_ROW_OF_FILE = sa.and_(
    FILE_METADATA.c.id == QUARANTINE.c.source_id, FILE_METADATA.c.target_table == QUARANTINE.c.table_name
)
"""Joins a row put aside with the file it was read from; further down the layers rows have no file."""
IS_VALUE_ASIDE = BAD_CELLS.c.rule != LEAP_RULE
"""Of a leap second the value is loaded, and that it was one is noted."""


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
    """Which of the keys (`Seen.key`) are of files nobody has to take: archived or refused, and no other bytes were seen
    at their path since."""
    later = FILE_NAMES.alias("later")
    # One text is bound and parsed several times faster than a list of 100,000.
    listed = sa.func.unnest(sa.func.string_to_array(",".join(keys), ",", type_=sa.ARRAY(sa.Text)))
    given = listed.table_valued("key").render_derived()
    query = (
        sa.select(FILE_NAMES.c.seen_key)
        .join(given, given.c.key == FILE_NAMES.c.seen_key)
        .join(FILE_METADATA, FILE_METADATA.c.id == FILE_NAMES.c.file_id)
        .where(FILE_METADATA.c.ingestion_status.in_(SETTLED))
        .where(~sa.exists().where(later.c.file_path == FILE_NAMES.c.file_path, later.c.seen_at > FILE_NAMES.c.seen_at))
    )
    return set(connection.execute(query).scalars()) if keys else set()


def event_days(file_ids: Collection[int]) -> sa.Select[str]:
    """The UTC days (`day`, ISO) the files' rows are about."""
    day = sa.func.jsonb_array_elements_text(FILE_METADATA.c.event_days).label("day")
    given = sa.literal(list(file_ids), sa.ARRAY(sa.BigInteger))
    return sa.select(day).distinct().where(FILE_METADATA.c.id == sa.any_(given))


def put_aside_files(connection: sa.Connection, dataset: str) -> list[KnownFile]:
    """The files with rows or values put aside, and those refused as a whole; by arrival. Of those whose retention is
    over the bytes are gone."""
    rows = sa.select(QUARANTINE.c.table_name, QUARANTINE.c.source_id)
    values = sa.select(BAD_CELLS.c.file_metadata_id).where(IS_VALUE_ASIDE)
    is_aside = sa.or_(
        sa.tuple_(FILE_METADATA.c.target_table, FILE_METADATA.c.id).in_(rows),
        FILE_METADATA.c.id.in_(values),
        FILE_METADATA.c.ingestion_status == Status.REJECTED.value,
    )
    is_kept = FILE_METADATA.c.archive_path.is_not(None)
    return files_where(connection, sa.and_(FILE_METADATA.c.dataset == dataset, is_kept, is_aside))


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
