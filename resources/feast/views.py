"""How each view fares: which definition Feast was told, which online store was filled, what is pending and failing.

Belongs here: statements on `catalog.feature_views`, and counting marks. Does not belong here: the marks themselves
(`pending.py`), Feast.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from resources.catalog.rows import storable
from schemas.catalog_features import FEATURE_PENDING, FEATURE_VIEWS

FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(hours=1)
MOST_DOUBLINGS = 10
LEFT_TO_ITS_RUN = timedelta(seconds=30)
"""A mark younger than that is being served by the run that made it."""

LONGEST_ERROR = 2000


@dataclass(frozen=True, kw_only=True)
class ViewState:
    """One view: its marks and its failures."""

    view: str
    pending: int
    oldest_mark_at: datetime | None
    failures: int
    last_error: str | None
    next_attempt_at: datetime | None


def states(connection: sa.Connection) -> list[ViewState]:
    """Every view that has marks or failures, by name."""
    marks = (
        sa.select(
            FEATURE_PENDING.c.view,
            sa.func.count().label("pending"),
            sa.func.min(FEATURE_PENDING.c.marked_at).label("oldest_mark_at"),
        )
        .group_by(FEATURE_PENDING.c.view)
        .subquery()
    )
    both = marks.join(FEATURE_VIEWS, FEATURE_VIEWS.c.view == marks.c.view, full=True)
    query = (
        sa.select(
            sa.func.coalesce(marks.c.view, FEATURE_VIEWS.c.view).label("view"),
            sa.func.coalesce(marks.c.pending, 0).label("pending"),
            marks.c.oldest_mark_at,
            sa.func.coalesce(FEATURE_VIEWS.c.failures, 0).label("failures"),
            FEATURE_VIEWS.c.last_error,
            FEATURE_VIEWS.c.next_attempt_at,
        )
        .select_from(both)
        .where(sa.or_(marks.c.pending > 0, FEATURE_VIEWS.c.failures > 0))
        .order_by(sa.text("1"))
    )
    return [ViewState(**row._mapping) for row in connection.execute(query)]


def pending_keys(view: str) -> sa.Select[Any]:
    """How many keys of the view are marked."""
    return sa.select(sa.func.count()).select_from(FEATURE_PENDING).where(FEATURE_PENDING.c.view == view)


def due(found: list[ViewState], now: datetime) -> list[ViewState]:
    """Those with marks that nobody else is about to serve, and whose next attempt may be made."""
    return [
        one
        for one in found
        if one.oldest_mark_at is not None
        and one.oldest_mark_at <= now - LEFT_TO_ITS_RUN
        and (one.next_attempt_at is None or one.next_attempt_at <= now)
    ]


def applied(view: str, definition: str, online_store: str) -> sa.Executable:
    """Notes what Feast was told of the view, and which online store is filled under it."""
    statement = insert(FEATURE_VIEWS).values(view=view, definition=definition, online_store=online_store)
    fresh = {"definition": definition, "online_store": online_store, "applied_at": sa.func.now()}
    return statement.on_conflict_do_update(index_elements=["view"], set_=fresh)


def forgotten(view: str) -> sa.Executable:
    """Notes that no online store is filled with the view: Feast is told of it anew, and all of its keys are served."""
    return sa.update(FEATURE_VIEWS).where(FEATURE_VIEWS.c.view == view).values(online_store="")


def failed(view: str, error: str) -> sa.Executable:
    """Notes one more failure in a row: the next attempt waits 30 s, then twice as long each time, at most an hour."""
    told = storable(error)[:LONGEST_ERROR]
    statement = insert(FEATURE_VIEWS).values(
        view=view,
        definition="",
        online_store="",
        failures=1,
        last_error=told,
        next_attempt_at=sa.func.now() + sa.literal(FIRST_WAIT, sa.Interval),
    )
    doublings = sa.func.least(FEATURE_VIEWS.c.failures, MOST_DOUBLINGS)
    wait_s = FIRST_WAIT.total_seconds() * sa.func.power(sa.literal(2.0, sa.Double), doublings, type_=sa.Double)
    wait = sa.func.make_interval(0, 0, 0, 0, 0, 0, sa.func.least(wait_s, LONGEST_WAIT.total_seconds()))
    return statement.on_conflict_do_update(
        index_elements=["view"],
        set_={
            "failures": FEATURE_VIEWS.c.failures + 1,
            "last_error": told,
            "next_attempt_at": sa.func.now() + wait,
        },
    )


def again() -> sa.Executable:
    """Notes that an online store that was away is back: whatever waits for its next attempt is due."""
    return sa.update(FEATURE_VIEWS).where(FEATURE_VIEWS.c.failures > 0).values(next_attempt_at=None)


def succeeded(view: str) -> sa.Executable:
    """Notes that the online store took what it was given."""
    return (
        sa.update(FEATURE_VIEWS)
        .where(FEATURE_VIEWS.c.view == view, FEATURE_VIEWS.c.failures > 0)
        .values(failures=0, last_error=None, next_attempt_at=None)
    )
