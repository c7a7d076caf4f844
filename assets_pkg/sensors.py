"""Sensors: what is new at the source, and what has become stale inside.

Belongs here: asking, and turning the answer of `planning.py` into run requests. A sensor decides, it does not work.
Does not belong here: what starts by the clock (`automation.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from assets_pkg.automation import JOB_TABLES
from assets_pkg.planning import Work, affordable, fetch_work, stale_work
from assets_pkg.runs import asset_key, busy_ranges, due, places, request, under_way
from resources.catalog.resource import CatalogResource
from resources.catalog.sources import Owed
from resources.errors import CircuitOpen, TransientError
from resources.openaq.resource import ARCHIVE_DELAY, OpenAQResource
from schemas.tables import OPENAQ_MEASUREMENTS, TABLES
from schemas.window import ONE_DAY, Window, midnight

NEWS_EVERY_S = 900
"""OpenAQ caches its answers for 15 minutes: asking more often spends the budget on what is known."""

STALE_EVERY_S = 10

REFRESH_AFTER = timedelta(hours=24)
"""In API mode a day inside the look-back is asked for again when it was last fetched so long ago: late rows do not move
the newest stamp. In archive mode a changed file tells."""

SENSORS_PER_LOCATION = 6
"""What a station usually measures; only used to guess how many requests a range will take."""


def build_news_sensor(look_back: timedelta) -> dg.SensorDefinition:
    """The sensor that watches OpenAQ; `look_back` is how far back rows are expected to come late.

    Its cursor is the first day it still has to look at: after an outage it looks back to where it was, however long
    ago. Older days are a backfill's matter.
    """

    @dg.sensor(
        name="openaq_new_data",
        target=[asset_key(OPENAQ_MEASUREMENTS.qualified)],
        minimum_interval_seconds=NEWS_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks OpenAQ what is new and requests exactly the days that need work, within the request budget.",
    )
    def openaq_new_data(
        context: dg.SensorEvaluationContext, openaq: OpenAQResource, catalog: CatalogResource
    ) -> dg.SensorResult | dg.SkipReason:
        now = datetime.now(UTC)
        usual = now.date() - look_back
        first = _first_day(context.cursor, usual)
        runs = under_way(context.instance)
        try:
            openaq.try_again()
            ids = openaq.location_ids()
            owed = [one for one in catalog.owed(OPENAQ_MEASUREMENTS) if int(one.unit) in ids]
            news = _news(_Question(openaq, catalog, ids, now, first), owed)
            budget = openaq.calls_left()
        except CircuitOpen as error:
            return dg.SkipReason(f"nothing is asked for: {error}; what is new until then is found afterwards")
        except TransientError as error:
            return dg.SkipReason(f"OpenAQ was not asked or did not answer: {error}")
        busy = busy_ranges(runs, JOB_TABLES).get(OPENAQ_MEASUREMENTS.qualified, ())
        found = fetch_work(OPENAQ_MEASUREMENTS.qualified, news, owed, busy, now)
        ready = due(context.instance, found)
        chosen = affordable(ready, {work: _cost(openaq, work, len(ids)) for work in ready}, budget)[: places(runs)]
        # Never before `first`: what the archive brings late lies before it, and would draw it back tick by tick.
        context.update_cursor(max(first, min(news, default=usual)).isoformat())
        if not chosen:
            return dg.SkipReason(_why_nothing(len(news) + len(owed), len(found), len(ready)))
        return dg.SensorResult(run_requests=[request(context.instance, work, _config(work)) for work in chosen])

    return openaq_new_data


def build_stale_sensor() -> dg.SensorDefinition:
    """The sensor that has stale days computed again."""
    specs = tuple(TABLES.values())

    @dg.sensor(
        name="dirty_days",
        asset_selection=[asset_key(spec.qualified) for spec in specs if any(read.marks for read in spec.reads)],
        minimum_interval_seconds=STALE_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Requests, layer by layer, the days whose upstream has changed since they were computed.",
    )
    def dirty_days(context: dg.SensorEvaluationContext, catalog: CatalogResource) -> dg.SensorResult | dg.SkipReason:
        # Runs before marks: a run that ends in between has cleared its marks, or they are still there and count.
        runs = under_way(context.instance)
        try:
            stale, held = catalog.stale(), catalog.held_back()
        except TransientError as error:
            return dg.SkipReason(f"the catalog does not answer: {error}")
        marks: dict[str, dict[date, int]] = {}
        for mark in stale:
            marks.setdefault(mark.table_name, {})[mark.day] = mark.version
        work = stale_work(marks, busy_ranges(runs, JOB_TABLES), specs, datetime.now(UTC).date(), held)
        chosen = due(context.instance, work)[: places(runs)]
        if not chosen:
            return dg.SkipReason("nothing is stale" if not stale else f"{len(stale)} stale day(s) wait for their turn")
        return dg.SensorResult(run_requests=[request(context.instance, one) for one in chosen])

    return dirty_days


@dataclass(frozen=True)
class _Question:
    """What is asked of the source: the days `first` to today."""

    openaq: OpenAQResource
    catalog: CatalogResource
    ids: Sequence[int]
    now: datetime
    first: date

    @property
    def today(self) -> date:
        return self.now.date()


def _first_day(cursor: str | None, usual: date) -> date:
    try:
        return min(usual, date.fromisoformat(cursor or ""))
    except ValueError:
        return usual


def _news(question: _Question, owed: Sequence[Owed]) -> dict[date, set[str]]:
    """The UTC days on which the source has something we have not, each with the reasons.

    A location that owes one of these days and has to wait is not asked about: its news cannot be had before. One that
    owes no more than a sensor is: its others have news.
    """
    owed = [one for one in owed if not one.is_partial]
    openaq, catalog, first, today = question.openaq, question.catalog, question.first, question.today
    waiting = {int(one.unit) for one in owed if one.day >= first and one.next_attempt_at > question.now}
    ids = [number for number in question.ids if number not in waiting]
    known = openaq.known_files(catalog.known_sources(ids, first - ARCHIVE_DELAY - ONE_DAY, today + ONE_DAY))
    newest = catalog.watermarks(OPENAQ_MEASUREMENTS, midnight(first))
    watermarks = {number: newest[str(number)] for number in ids if str(number) in newest}
    days = openaq.days_with_news(ids, known, watermarks, today=today, look_back=today - first)
    news = {day: {f"news since {max(watermarks.values(), default=None)}"} for day in days}
    if openaq.mode == "api":
        debts = {(one.unit, one.day) for one in owed}
        days_asked = Window.of_days(first, today).days()
        entered = catalog.entered_at(OPENAQ_MEASUREMENTS, ids, days_asked)
        for key in [(str(number), day) for number in ids for day in days_asked]:
            if key not in debts and (key not in entered or entered[key] < question.now - REFRESH_AFTER):
                news.setdefault(key[1], set()).add(f"{key[0]} last asked {entered.get(key)}")
    return news


def _cost(openaq: OpenAQResource, work: Work, locations: int) -> int:
    """Requests the work will take."""
    asked = len(work.locations) or locations
    per_sensor = openaq.calls_for(Window.of_days(work.days.first, work.days.last), asked * SENSORS_PER_LOCATION)
    return per_sensor + asked if per_sensor else 0


def _config(work: Work) -> dict[str, object] | None:
    """Run configuration that narrows the fetch to the work's locations."""
    if not work.locations:
        return None
    op = OPENAQ_MEASUREMENTS.qualified.replace(".", "__")
    return {"ops": {op: {"config": {"locations": list(work.locations)}}}}


def _why_nothing(wanted: int, found: int, ready: int) -> str:
    if not wanted:
        return "OpenAQ has nothing new"
    if not found:
        return "what is new is being fetched already, or its next attempt is not due"
    if not ready:
        return f"{found} range(s) of days were tried lately and wait for their next turn"
    return f"{ready} range(s) of days wait until runs end or the request budget of the hour allows them"
