"""How long APIs take to answer, summed by the hour.

Belongs here: noting an answer, for all processes together, and what they come to. Does not belong here: when that
is too long (`resources/alerts/conditions.py`).
"""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from resources.timescale.resource import translated_sqlalchemy
from schemas.catalog_alerts import API_ANSWERS

KEPT_FOR = timedelta(days=30)

COUNTS_FOR = timedelta(hours=2)
"""An answer counts for the hour it came in and the one after."""


def lately(now: datetime | sa.ColumnElement[datetime]) -> sa.Select[Any]:
    """Per API that answered lately, by name: answers, seconds they took together, seconds the slowest took."""
    held = API_ANSWERS.c
    sums = (sa.func.sum(held.answers), sa.func.sum(held.total_s), sa.func.max(held.slowest_s))
    return sa.select(held.api, *sums).where(held.hour > now - COUNTS_FOR).group_by(held.api).order_by(held.api)


class AnswerTimes:
    """The answers of one API; call it with what each took, seconds. On the database's clock.

    Raises:
        DatabaseUnavailable: the database cannot be reached.
    """

    def __init__(self, engine: sa.Engine, api: str) -> None:
        self._engine = engine
        self._api = api

    def __call__(self, duration_s: float) -> None:
        hour = sa.func.date_trunc("hour", sa.func.now(), "UTC")
        statement = insert(API_ANSWERS).values(
            api=self._api, hour=hour, answers=1, total_s=duration_s, slowest_s=duration_s
        )
        new, held = statement.excluded, API_ANSWERS.c
        upsert = statement.on_conflict_do_update(
            index_elements=["api", "hour"],
            set_={
                "answers": held.answers + 1,
                "total_s": held.total_s + new.total_s,
                "slowest_s": sa.func.greatest(held.slowest_s, new.slowest_s),
            },
        )
        with translated_sqlalchemy(), self._engine.begin() as connection:
            is_first = connection.execute(upsert.returning(held.answers)).scalar_one() == 1
            if is_first:
                old = sa.and_(held.api == self._api, held.hour < sa.func.now() - KEPT_FOR)
                connection.execute(sa.delete(API_ANSWERS).where(old))
