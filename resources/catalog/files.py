"""Files that arrived: registered once per content, with every name they were seen under and the state they are in.

Belongs here: statements on `catalog.file_metadata` and `catalog.file_names`. Does not belong here: what was found in a
file (`file_findings.py`), the versions of its columns (`registry.py`), moving bytes.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on, insert

from resources.catalog.rows import storable
from resources.errors import ContractBroken, RejectedFile
from resources.timescale import sql
from schemas.catalog_files import FILE_METADATA, FILE_NAMES, TRANSITIONS, Status

LONGEST_PATH = 2_600
"""Bytes of a path; PostgreSQL indexes little more."""


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A file somebody dropped."""

    dataset: str
    target_table: str
    file_name: str
    """Inside the dataset's folder, so that two folders in it may have files of one name."""
    file_path: str
    sha256: str
    file_size_bytes: int
    arrived_at: datetime
    """Aware. Its UTC day is where the rows go, even if the same bytes come again later."""
    run_id: str
    seen_key: str | None = None
    """Of what lies there, see `resources.landing.files_seen.Seen.key`; None where nothing stays lying."""


@dataclass(frozen=True, kw_only=True)
class Registered:
    """What the catalog made of an arrival."""

    id: int
    is_new: bool
    """Whether nobody had registered these bytes before."""
    version: int
    supersedes: int | None
    status: Status
    arrived_on: date


@dataclass(frozen=True, kw_only=True)
class KnownFile:
    """What the catalog knows of a file."""

    id: int
    dataset: str
    target_table: str
    file_name: str
    file_path: str
    sha256: str
    file_size_bytes: int
    arrived_on: date
    arrived_at: datetime
    version: int
    status: Status
    archive_path: str | None
    schema_version_id: int | None
    event_days: tuple[date, ...]
    row_count: int | None


def register(connection: sa.Connection, arrival: Arrival) -> Registered:
    """Notes a file and the name it came under; the same bytes are one file, whoever registers them, however often.

    Locks the dataset until the transaction ends if the bytes are new: no two datasets in one transaction, unless in
    the order of their names.

    Raises:
        RejectedFile: the path is longer than the catalog holds.
    """
    if len(storable(arrival.file_path).encode()) > LONGEST_PATH:
        raise RejectedFile(
            "long_path",
            f"the path {arrival.file_path[:80]!r}… of dataset {arrival.dataset!r} is longer than {LONGEST_PATH:,} "
            "bytes: give the file or its folders shorter names",
        )
    found = _registered(connection, arrival)
    if found is None:
        connection.execute(sql.lock([f"file_metadata/{arrival.dataset}"]))
        found = _registered(connection, arrival) or _registered_first(connection, arrival)
    connection.execute(add_name(found.id, arrival))
    return found


def add_name(file_id: int, arrival: Arrival) -> sa.Executable:
    """Notes that the file's bytes lie where the arrival says, now."""
    fresh = {
        "file_name": storable(arrival.file_name),
        "seen_key": arrival.seen_key,
        "seen_at": sa.func.clock_timestamp(),
        "run_id": arrival.run_id,
    }
    statement = insert(FILE_NAMES).values(file_id=file_id, file_path=storable(arrival.file_path), **fresh)
    return statement.on_conflict_do_update(index_elements=["file_id", "file_path"], set_=fresh)


def set_status(
    connection: sa.Connection,
    file_id: int,
    status: Status,
    *,
    run_id: str,
    archive_path: str | None = None,
    error: RejectedFile | None = None,
) -> None:
    """Brings the file into another state; `error` says why it is rejected.

    Raises:
        ContractBroken: there is no such file, or no way from the state it is in (`TRANSITIONS`).
    """
    before = [old for old, allowed in TRANSITIONS.items() if status in allowed]
    statement = moved(file_id, status, run_id=run_id, archive_path=archive_path, error=error)
    done = connection.execute(
        statement.where(FILE_METADATA.c.ingestion_status.in_(before)).returning(FILE_METADATA.c.id)
    )
    if done.first() is None:
        query = sa.select(FILE_METADATA.c.ingestion_status, FILE_METADATA.c.file_path)
        present = connection.execute(query.where(FILE_METADATA.c.id == file_id)).first()
        if present is None:
            raise ContractBroken(f"the catalog has no file {file_id}: register it before it becomes {status}")
        raise ContractBroken(
            f"file {file_id} ({present.file_path!r}) is {present.ingestion_status} and cannot become {status}: only "
            f"what is {', '.join(before) or 'not registered yet'} can"
        )


def moved(
    file_id: int, status: Status, *, run_id: str, archive_path: str | None = None, error: RejectedFile | None = None
) -> sa.Update:
    """As `set_status`, for the transaction of the rows: there the database refuses a way that is not allowed."""
    return (
        sa.update(FILE_METADATA)
        .where(FILE_METADATA.c.id == file_id)
        .values(
            previous_status=FILE_METADATA.c.ingestion_status,
            ingestion_status=status.value,
            archive_path=sa.func.coalesce(sa.literal(archive_path, sa.Text), FILE_METADATA.c.archive_path),
            error_rule=sa.literal(error.rule if error else None, sa.Text),
            error_message=sa.literal(storable(str(error)) if error else None, sa.Text),
            run_id=run_id,
            changed_at=sa.func.now(),
        )
    )


def of_day(connection: sa.Connection, dataset: str, day: date) -> list[KnownFile]:
    """The files that arrived on a UTC day, in that order."""
    return files_where(connection, sa.and_(FILE_METADATA.c.dataset == dataset, FILE_METADATA.c.arrived_on == day))


def past_retention(connection: sa.Connection, dataset: str, before: datetime) -> list[KnownFile]:
    """The files in the archive that arrived before then (aware)."""
    is_archived = FILE_METADATA.c.ingestion_status == Status.ARCHIVED.value
    is_old = FILE_METADATA.c.arrived_at < before
    return files_where(connection, sa.and_(FILE_METADATA.c.dataset == dataset, is_archived, is_old))


def files_where(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> list[KnownFile]:
    """The files for which `condition` (on `FILE_METADATA`) holds, in the order they arrived."""
    columns = [
        FILE_METADATA.c.ingestion_status.label("status") if name == "status" else FILE_METADATA.c[name]
        for name in KnownFile.__dataclass_fields__
    ]
    query = sa.select(*columns).where(condition).order_by(FILE_METADATA.c.arrived_at, FILE_METADATA.c.id)
    return [_known_file(row) for row in connection.execute(query)]


def superseded(dataset: str, *, beside: int | None = None) -> sa.Select[int]:
    """The ids of loaded files that another loaded file has replaced under every name they were seen under.

    Who wants only the newest version of each file leaves their rows out. Bytes that come back under a name they had
    replace in their turn what had replaced them.

    Args:
        beside: a file's id: of those that share a name with it only, which are all that its loading may change.
    """
    holds_rows = sa.and_(
        FILE_METADATA.c.dataset == dataset,
        FILE_METADATA.c.row_count.is_not(None),
        FILE_METADATA.c.ingestion_status != Status.REJECTED.value,
    )
    asked_for, named = [holds_rows], [holds_rows]
    if beside is not None:
        own, same, theirs = (FILE_NAMES.alias(name) for name in ("own", "same", "theirs"))
        names = sa.select(own.c.file_name).where(own.c.file_id == beside)
        namesakes = sa.select(same.c.file_id).where(same.c.file_name.in_(names))
        asked_for.append(FILE_METADATA.c.id.in_(namesakes))
        named.append(FILE_NAMES.c.file_name.in_(sa.select(theirs.c.file_name).where(theirs.c.file_id.in_(namesakes))))
    newest = (
        sa.select(FILE_NAMES.c.file_id)
        .join(FILE_METADATA, FILE_METADATA.c.id == FILE_NAMES.c.file_id)
        .where(*named)
        .ext(distinct_on(FILE_NAMES.c.file_name))
        .order_by(FILE_NAMES.c.file_name, FILE_NAMES.c.seen_at.desc(), FILE_NAMES.c.file_id.desc())
        .subquery()
    )
    return sa.select(FILE_METADATA.c.id).where(*asked_for, FILE_METADATA.c.id.not_in(sa.select(newest.c.file_id)))


_ANSWER = (
    *(FILE_METADATA.c[name] for name in ("id", "version", "supersedes", "arrived_on")),
    FILE_METADATA.c.ingestion_status.label("status"),
)


def _registered(connection: sa.Connection, arrival: Arrival) -> Registered | None:
    query = sa.select(*_ANSWER).where(
        FILE_METADATA.c.dataset == arrival.dataset, FILE_METADATA.c.sha256 == arrival.sha256
    )
    row = connection.execute(query).first()
    return _told(row, is_new=False) if row else None


def _registered_first(connection: sa.Connection, arrival: Arrival) -> Registered:
    """Adds the file; the dataset is locked."""
    name = storable(arrival.file_name)
    query = (
        sa.select(FILE_METADATA.c.id, FILE_METADATA.c.version)
        .where(FILE_METADATA.c.dataset == arrival.dataset, FILE_METADATA.c.file_name == name)
        .order_by(FILE_METADATA.c.version.desc())
        .limit(1)
    )
    before = connection.execute(query).first()
    statement = sa.insert(FILE_METADATA).values(
        dataset=arrival.dataset,
        target_table=arrival.target_table,
        file_name=name,
        file_path=storable(arrival.file_path),
        sha256=arrival.sha256,
        file_size_bytes=arrival.file_size_bytes,
        arrived_on=arrival.arrived_at.astimezone(UTC).date(),
        arrived_at=arrival.arrived_at,
        version=before.version + 1 if before else 1,
        supersedes=before.id if before else None,
        run_id=arrival.run_id,
    )
    return _told(connection.execute(statement.returning(*_ANSWER)).one(), is_new=True)


def _told(row: sa.Row[Any], *, is_new: bool) -> Registered:
    return Registered(**row._asdict() | {"is_new": is_new, "status": Status(row.status)})


def _known_file(row: sa.Row[Any]) -> KnownFile:
    days = tuple(map(date.fromisoformat, row.event_days or ()))
    return KnownFile(**row._asdict() | {"status": Status(row.status), "event_days": days})
