"""Failed runs in a row: what Dagster tells, counted in the database.

Every failed run counts once, for what failed first in it. A success of the table ends the count. How far Dagster's
event log was read is written in the transaction that counts, under its lock: neither a crash nor a second sensor
counts a run twice.

Belongs here: statements on `catalog.run_failures` and `catalog.event_positions`, and the findings that follow. Does
not belong here: reading Dagster's event log (`assets_pkg/alerts/failed_runs.py`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from resources.alerts.finding import FAILURE, Finding
from resources.alerts.level import Level
from resources.catalog.rows import storable
from schemas.catalog_alerts import EVENT_POSITIONS, RUN_FAILURES

READER = "alerts"
LONGEST_ERROR = 1_000


@dataclass(frozen=True, kw_only=True)
class FailedRun:
    """One failed run, by what failed first in it."""

    event_id: int
    run_id: str
    subject: str
    is_table: bool
    days: str | None
    error: str
    failed_at: datetime


@dataclass(frozen=True)
class Success:
    """The newest materialization of a table."""

    event_id: int
    run_id: str


@dataclass(frozen=True, kw_only=True)
class News:
    """What the event log says since it was last taken in."""

    position: int
    """The newest event looked at."""
    runs: Sequence[FailedRun] = ()
    successes: Mapping[str, Success] = field(default_factory=dict)
    forgotten: Sequence[str] = ()
    """Subjects that are no more, or well again by other signs than a materialization."""


def take_position(connection: sa.Connection) -> int | None:
    """How far the event log has been taken in, locked until the transaction ends; None: never.

    Raises:
        Taken: another process is at it.
    """
    connection.execute(insert(EVENT_POSITIONS).values(reader=READER, event_id=-1).on_conflict_do_nothing())
    mine = sa.select(EVENT_POSITIONS.c.event_id).where(EVENT_POSITIONS.c.reader == READER)
    found = connection.execute(mine.with_for_update(skip_locked=True)).scalar_one_or_none()
    if found is None:
        raise Taken
    return None if found < 0 else int(found)


class Taken(Exception):
    """Another process takes in the event log right now."""


def note_position(connection: sa.Connection, event_id: int) -> None:
    """Notes how far the event log has been taken in."""
    connection.execute(sa.update(EVENT_POSITIONS).where(EVENT_POSITIONS.c.reader == READER).values(event_id=event_id))


def failing(connection: sa.Connection) -> dict[str, bool]:
    """What failed last: subject -> whether it is a table."""
    return {row.subject: row.is_table for row in connection.execute(sa.select(RUN_FAILURES))}


def count(connection: sa.Connection, runs: Iterable[FailedRun], successes: Mapping[str, Success]) -> None:
    """Counts failed runs in the order of their events; `successes` are the newest ones of the subjects concerned.

    A success between two failures starts the count again. One of a run that failed in the end is none: it wrote a part,
    and hides a success before it, so that the count may then be too high, never too low.
    """
    held = {row.subject: row for row in connection.execute(sa.select(RUN_FAILURES))}
    news: dict[str, list[FailedRun]] = {}
    for run in sorted(runs, key=lambda one: one.event_id):
        news.setdefault(run.subject, []).append(run)
    for subject in sorted(held.keys() | news.keys()):
        mine = news.get(subject, [])
        success = successes.get(subject)
        known = held.get(subject)
        partial = {run.run_id for run in mine} | ({known.run_id} if known else set())
        ended_at = success.event_id if success and success.run_id not in partial else -1
        before = known.failures if known and known.event_id > ended_at else 0
        after = [run for run in mine if run.event_id > ended_at]
        if not before and not after:
            connection.execute(sa.delete(RUN_FAILURES).where(RUN_FAILURES.c.subject == subject))
        elif after:
            _write(connection, after[-1], before + len(after))


def forget(connection: sa.Connection, subjects: Collection[str]) -> None:
    """Ends the count of subjects that are well again, or no more."""
    connection.execute(sa.delete(RUN_FAILURES).where(RUN_FAILURES.c.subject.in_(list(subjects))))


def findings(connection: sa.Connection, most: int) -> list[Finding]:
    """One finding per table or job whose newest run failed; critical from `most` failures in a row on."""
    return [_finding(row, most) for row in connection.execute(sa.select(RUN_FAILURES).order_by(RUN_FAILURES.c.subject))]


def _write(connection: sa.Connection, newest: FailedRun, failures: int) -> None:
    values = {
        "subject": storable(newest.subject),
        "is_table": newest.is_table,
        "failures": failures,
        "event_id": newest.event_id,
        "run_id": newest.run_id,
        "days": newest.days,
        "error": storable(newest.error[:LONGEST_ERROR]),
        "failed_at": newest.failed_at,
    }
    statement = insert(RUN_FAILURES).values(values)
    connection.execute(statement.on_conflict_do_update(index_elements=["subject"], set_=values))


def _finding(row: "sa.Row[tuple[object, ...]]", most: int) -> Finding:
    is_critical = row.failures >= most
    times = "failed" if row.failures == 1 else f"failed {row.failures} times in a row"
    about = f" for {row.days}" if row.days else ""
    return Finding(
        condition=FAILURE,
        subject=row.subject,
        level=Level.CRITICAL if is_critical else Level.ERROR,
        title=f"{row.subject} {times}",
        body=f"Run {row.run_id[:8]}{about} failed at {row.failed_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC: {row.error}",
        asset=row.subject if row.is_table else None,
        count=row.failures,
        at=row.failed_at,
    )
