"""Sources and what is still owed: files and pages already read, fetches that failed, locations in use.

Belongs here: statements on `catalog.sources`, `catalog.fetch_failures`, `catalog.openaq_locations`. Does not belong
here: fetching.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on, insert

from resources.catalog.ledger import Scope
from resources.catalog.rows import relation, selected
from resources.openaq.fetched import Source
from resources.openaq.location import Location
from schemas.catalog import FETCH_FAILURES, LEDGER, LOCATIONS, QUARANTINE, SOURCES


@dataclass(frozen=True, kw_only=True)
class Waits:
    """How long a failed fetch waits until it is asked for again: `first`, then twice as long with every failure."""

    first: timedelta
    longest: timedelta


WHOLE_WAITS = Waits(first=timedelta(minutes=5), longest=timedelta(hours=12))
"""Nothing of the location came."""

PART_WAITS = Waits(first=timedelta(hours=1), longest=timedelta(days=7))
"""A sensor is missing: those that fail do so for days, and asking again costs the requests of all the others."""


@dataclass(frozen=True, kw_only=True)
class KnownSource:
    """What was last read from an address."""

    uri: str
    etag: str | None
    size: int
    modified_at: datetime | None
    raw_path: str
    location_id: int
    local_day: date | None


@dataclass(frozen=True, order=True)
class Owed:
    """One location's day that could not be fetched."""

    unit: str
    day: date
    error: str
    is_transient: bool
    attempts: int
    next_attempt_at: datetime
    is_partial: bool = False
    """Whether the rest of the day came, and only some of its sensors are missing."""


def keep(sources: Iterable[Source]) -> sa.Executable:
    """Notes the sources; one already known is noted as seen again."""
    unique = {source.source_id: source for source in sources}
    names = [column.name for column in SOURCES.c]
    rows = [
        {"source_id": number, "seen_at": source.fetched_at, **asdict(source)}
        for number, source in sorted(unique.items())
    ]
    statement = insert(SOURCES).from_select(names, selected(SOURCES, names, rows))
    again = {
        "seen_at": sa.func.greatest(SOURCES.c.seen_at, statement.excluded.seen_at),
        "etag": statement.excluded.etag,
        "modified_at": sa.func.coalesce(statement.excluded.modified_at, SOURCES.c.modified_at),
    }
    return statement.on_conflict_do_update(index_elements=["source_id"], set_=again)


def known(connection: sa.Connection, location_ids: Collection[int], first: date, last: date) -> dict[str, KnownSource]:
    """Per address, what was last read of the locations' files about the local days `first` to `last`."""
    columns = [SOURCES.c[name] for name in KnownSource.__dataclass_fields__]
    query = (
        sa.select(*columns)
        .where(SOURCES.c.location_id.in_(list(location_ids)), SOURCES.c.local_day.between(first, last))
        .ext(distinct_on(SOURCES.c.uri))
        .order_by(SOURCES.c.uri, SOURCES.c.seen_at.desc(), SOURCES.c.source_id)
    )
    return {row.uri: KnownSource(**row._asdict()) for row in connection.execute(query)}


def put_aside_from(connection: sa.Connection, scope: Scope, uri_parts: Collection[str]) -> pd.DataFrame:
    """What is in the scope's quarantine and came from an address that holds one of `uri_parts`."""
    names = ("day", "unit", "rule", "reason", "raw", "source_id", "line_no")
    query = (
        sa.select(*(QUARANTINE.c[name] for name in names))
        .join(SOURCES, SOURCES.c.source_id == QUARANTINE.c.source_id)
        .where(scope.holds(QUARANTINE), sa.or_(*(SOURCES.c.uri.contains(part, autoescape=True) for part in uri_parts)))
        .order_by(QUARANTINE.c.quarantine_id)
    )
    return pd.DataFrame(connection.execute(query).all(), columns=list(names))


def settle_failures(scope: Scope) -> sa.Executable:
    """Nothing of the scope is owed any more."""
    return sa.delete(FETCH_FAILURES).where(scope.holds(FETCH_FAILURES))


def owe(
    table_name: str,
    unit: str,
    days: Sequence[date],
    error: str,
    *,
    is_transient: bool,
    run_id: str,
    waits: Waits = WHOLE_WAITS,
    was_asked: bool = True,
) -> sa.Executable:
    """Notes that the unit's days could not be fetched, and when to ask again: it is never given up. A source that was
    left alone was not asked (`was_asked`): that is no further attempt, and waits no longer.
    """
    now = datetime.now(UTC)
    names = ["table_name", "unit", "day", "error", "is_transient", "attempts", "run_id", "failed_at", "next_attempt_at"]
    rows = [
        {
            "table_name": table_name,
            "unit": unit,
            "day": day,
            "error": error,
            "is_transient": is_transient,
            "attempts": 1,
            "run_id": run_id,
            "failed_at": now,
            "next_attempt_at": now + waits.first,
        }
        for day in sorted(days)
    ]
    statement = insert(FETCH_FAILURES).from_select(names, selected(FETCH_FAILURES, names, rows))
    attempts = FETCH_FAILURES.c.attempts + (1 if was_asked else 0)
    doublings = sa.func.least(FETCH_FAILURES.c.attempts, 16) if was_asked else sa.literal(0)
    doubled_s = waits.first.total_seconds() * sa.func.power(2, doublings)
    wait_s = sa.func.least(doubled_s, waits.longest.total_seconds())
    wait = sa.func.make_interval(0, 0, 0, 0, 0, 0, wait_s, type_=sa.Interval)
    fresh = {name: statement.excluded[name] for name in ("error", "is_transient", "run_id", "failed_at")}
    return statement.on_conflict_do_update(
        index_elements=["table_name", "unit", "day"],
        set_=fresh | {"attempts": attempts, "next_attempt_at": statement.excluded.failed_at + wait},
    )


def owed(connection: sa.Connection, table_name: str) -> list[Owed]:
    """What is still owed, by unit and day."""
    same = (FETCH_FAILURES.c[name] == LEDGER.c[name] for name in ("table_name", "unit", "day", "run_id"))
    # The run that wrote the slice is the one that noted the debt: so it wrote what it could get.
    is_partial = sa.exists().where(LEDGER.c.is_current, *same).label("is_partial")
    columns = [FETCH_FAILURES.c[name] for name in Owed.__dataclass_fields__ if name != is_partial.name]
    query = sa.select(*columns, is_partial).where(FETCH_FAILURES.c.table_name == table_name).order_by(*columns[:2])
    return [Owed(**row._asdict()) for row in connection.execute(query)]


def remember_locations(locations: Iterable[Location]) -> sa.Executable:
    """Notes what the source says of the locations; what it does not say leaves what was known."""
    names = [column.name for column in LOCATIONS.c if column.name not in ("asked_at", "utc_offset")]
    rows = [
        {
            "location_id": place.id,
            "licenses": list(place.licenses),
            "sensors": [asdict(sensor) for sensor in place.sensors],
            **{name: getattr(place, name) for name in names if name not in ("location_id", "licenses", "sensors")},
        }
        for place in sorted(locations, key=lambda place: place.id)
    ]
    statement = insert(LOCATIONS).from_select(names, selected(LOCATIONS, names, rows))
    fresh = {name: sa.func.coalesce(statement.excluded[name], LOCATIONS.c[name]) for name in names[1:]}
    return statement.on_conflict_do_update(index_elements=["location_id"], set_=fresh | {"asked_at": sa.func.now()})


def described_since(connection: sa.Connection, location_ids: Collection[int], since: datetime) -> set[int]:
    """Which of the locations the source was asked about since then."""
    query = sa.select(LOCATIONS.c.location_id).where(
        LOCATIONS.c.location_id.in_(list(location_ids)), LOCATIONS.c.asked_at >= since
    )
    return set(connection.execute(query).scalars())


def remember_offsets(offsets: Mapping[int, str]) -> sa.Executable:
    """Notes the UTC offset of the newest stamp of locations that are known already."""
    rows = [{"location_id": number, "utc_offset": offset} for number, offset in sorted(offsets.items())]
    given = relation([LOCATIONS.c.location_id, LOCATIONS.c.utc_offset], rows)
    return (
        sa.update(LOCATIONS).values(utc_offset=given.c.utc_offset).where(LOCATIONS.c.location_id == given.c.location_id)
    )


def timezones(connection: sa.Connection) -> dict[int, str | None]:
    """The IANA zone of every location we know, or else the fixed offset of its newest stamp, like `+05:45`."""
    zone = sa.func.coalesce(LOCATIONS.c.timezone, LOCATIONS.c.utc_offset)
    return {number: text for number, text in connection.execute(sa.select(LOCATIONS.c.location_id, zone))}
