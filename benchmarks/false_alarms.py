"""Who is told what in three months: recall, delay and false alarms per week of alerts, by planted incidents.

    python -m benchmarks.false_alarms [--days 90] [--locations 8] [--seed 3] [--sound]

Archive files of made-up sites are read, staged and cleaned as in the product; incidents are planted into what is
staged, at most one at a place at a time, nine days between any two of a place. Then the days pass one by one: each
day's anomalies and quality report are written into the real tables of a database of its own, failed runs are counted,
and at 06:30 of the day after alerts are looked for, kept and sent to a channel that notes them. Dagster is not there:
the same functions are called in the order of its assets and its alert sensor. Anomalies are computed a week at a time,
which gives a day the same rows. Feature drift, APIs and silent sensors are not part of it.

An alert is true if something planted at its place was going on when it was raised, or had ended at most `AFTERMATH`
before (a shift: `SHIFT_AFTERMATH`); of a failed run, if one was planted. An incident is told if such an alert was
raised from its first day on; it is `open already` if none was because an alert of its place was open. `--sound` plants
nothing, so that whatever is told is a false alarm. Prints Markdown tables.
"""

import argparse
import gzip
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import sqlalchemy as sa

from assets_pkg.quality.anomalies import anomalies_of
from assets_pkg.quality.transforms import daily_report
from assets_pkg.staging.transforms import accounts, staged
from assets_pkg.timeseries.transforms import clean
from resources.alerts.channel import Channel
from resources.alerts.failures import FailedRun, News, Success
from resources.alerts.message import Message
from resources.alerts.resource import AlertsResource
from resources.alerts.sending import Arrival, Outcome
from resources.catalog.schema import CatalogedTimescale
from resources.errors import CorruptSource
from resources.openaq.archive_file import parse
from resources.openaq.archive_layout import file_path
from resources.openaq.generator.generate import generate
from resources.openaq.generator.places import DEMO_LOCATIONS, GeneratedLocation
from resources.timescale import server, sql
from resources.timescale.capabilities import read_capabilities
from resources.timescale.tables import ensure
from schemas.catalog import LEDGER
from schemas.datasets import OPENAQ
from schemas.table_spec import TableSpec
from schemas.tables import (
    AIR_QUALITY,
    AIR_QUALITY_ANOMALIES,
    AIR_QUALITY_REPORT,
    OPENAQ_MEASUREMENTS,
    WATCHED_AIR_QUALITY,
)
from schemas.window import ONE_DAY, Window, midnight

FIRST_DAY = date(2024, 1, 1)
AFTERMATH = timedelta(days=2)
"""A gap ends with the first value after it, and an instrument that comes back is odd once more. Short, so that most
days of a place are explained by nothing."""
SHIFT_AFTERMATH = timedelta(days=8)
"""A shift back is a shift, and is told for a week."""
APART_D = 9
LOOKED_AT = timedelta(hours=6, minutes=30)
"""After the end of a day: its scores are settled then."""
LENGTH_H = {"spike": 3, "stuck": 18, "gap": 36, "level_shift": 24 * 7, "unit_change": 72, "dead_source": 48}
OF_RUNS = ("three_failures", "schema_break")
LOW_PCT = 90.0
STAGING, SERIES = OPENAQ_MEASUREMENTS.qualified, AIR_QUALITY.qualified
PARENTS = {
    SERIES: (STAGING,),
    AIR_QUALITY_ANOMALIES.qualified: (SERIES,),
    AIR_QUALITY_REPORT.qualified: (SERIES, STAGING),
}


@dataclass(frozen=True)
class Planted:
    """`location_id` None: a run, not a place; stamps of the first and the last hour."""

    kind: str
    location_id: int | None
    first: datetime
    last: datetime

    def explains(self, day: date) -> bool:
        """Whether an alert raised on the day may be about it."""
        aftermath = SHIFT_AFTERMATH if self.kind == "level_shift" else AFTERMATH
        return self.first.date() <= day and midnight(day) <= self.last + aftermath


@dataclass
class Told:
    """A channel that notes what it is told."""

    messages: int = 0

    def send(self, _: Channel, __: Message) -> Outcome:
        self.messages += 1
        return Outcome(Arrival.ARRIVED)


@dataclass(eq=False)
class Raised:
    """An alert, the day it was raised for, and the places it may be about; None: a run."""

    identity: str
    day: date
    places: frozenset[int] | None
    ended: date = date.max
    """Day it was found to be well again."""


def main() -> None:
    """Measures and prints Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--locations", type=int, default=8, help=f"at most {len(DEMO_LOCATIONS)}")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--sound", action="store_true", help="plant nothing")
    chosen = parser.parse_args()
    first = FIRST_DAY + WATCHED_AIR_QUALITY.reach
    judged = Window.of_days(first, first + timedelta(days=chosen.days - 1))
    places = DEMO_LOCATIONS[: chosen.locations]
    rng = np.random.default_rng(chosen.seed)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        raw = read(places, judged, chosen.seed, Path(folder) / "archive")
        planted = [] if chosen.sound else [*planned(places, judged, rng), *runs_planned(judged, rng)]
        raw = with_planted(raw, planted, rng)
        rows, ledger = cleaned(raw, judged)
        with server.lease(Path(folder) / "state") as leased:
            timescale = CatalogedTimescale(database_url=leased.url("postgres"))
            raised, told, low = passed(timescale, rows, ledger, judged, planted)
    report(planted, raised, told, low, judged, rows["sensors_id"].nunique())


def read(places: Sequence[GeneratedLocation], judged: Window, seed: int, folder: Path) -> dict[int, pd.DataFrame]:
    """What is staged of each place: the judged days and those they are judged against."""
    whole = around(judged)
    days = (whole.days()[0] - ONE_DAY, whole.days()[-1] + ONE_DAY)
    generate(folder, locations=places, first_day=days[0], last_day=days[1], seed=seed, kinds=())
    return {
        place.id: staged(
            pd.concat(
                [
                    parse(path.read_bytes(), source_id=1, location_id=place.id, local_day=day).rows
                    for day in Window.of_days(*days).days()
                    if (path := folder / file_path(place.id, day)).exists()
                ],
                ignore_index=True,
            ),
            judged.end + ONE_DAY,
        )
        for place in places
    }


def around(judged: Window) -> Window:
    return Window(judged.start - WATCHED_AIR_QUALITY.reach, judged.end)


def planned(places: Sequence[GeneratedLocation], judged: Window, rng: np.random.Generator) -> Iterator[Planted]:
    """Incidents of each place one after the other, their kinds in an order by chance."""
    for place in places:
        day, number = int(rng.integers(1, APART_D)), 0
        kinds = rng.permutation(list(LENGTH_H))
        while True:
            kind = str(kinds[number % len(kinds)])
            first = judged.start + timedelta(days=day, hours=int(rng.integers(1, 20)))
            last = first + timedelta(hours=LENGTH_H[kind] - 1)
            if last + timedelta(days=4) > judged.end:
                break
            yield Planted(kind, place.id, first, last)
            day += -(-LENGTH_H[kind] // 24) + APART_D
            number += 1


def runs_planned(judged: Window, rng: np.random.Generator) -> Iterator[Planted]:
    """Days on which staging fails once, for a file without a column, or three times in a row."""
    days = judged.days()
    chosen = sorted(rng.choice(len(days) // 12, min(6, len(days) // 12), replace=False) * 12 + 5)
    for number, place in enumerate(chosen):
        first = midnight(days[place])
        yield Planted(OF_RUNS[number % 2], None, first, first + timedelta(hours=23))


def with_planted(
    raw: dict[int, pd.DataFrame], planted: Sequence[Planted], rng: np.random.Generator
) -> dict[int, pd.DataFrame]:
    """The rows with the incidents of places in them, one sensor each, of a dead source all."""
    changed = dict(raw)
    for one in planted:
        if one.location_id is None:
            continue
        rows = changed[one.location_id].copy()
        here = rows["datetime_utc"].between(one.first, one.last)
        if one.kind == "dead_source":
            changed[one.location_id] = rows[~here].reset_index(drop=True)
            continue
        here &= rows["sensors_id"].eq(rng.choice(rows["sensors_id"].unique()))
        if one.kind == "gap":
            rows = rows[~here].reset_index(drop=True)
        elif one.kind == "stuck":
            rows.loc[here, "value"] = rows.loc[here, "value"].iloc[0]
        else:
            factor = {"spike": 12.0, "unit_change": 1000.0, "level_shift": float(rng.choice([4.0, 0.25]))}[one.kind]
            rows.loc[here, "value"] *= factor
        changed[one.location_id] = rows
    return changed


def cleaned(raw: dict[int, pd.DataFrame], judged: Window) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The clean series, and the ledger of both steps as the quality report reads it."""
    whole = around(judged)
    series, ledger = [], []
    for place, rows in raw.items():
        found = clean(rows, OPENAQ, whole)
        series.append(found.rows)
        inside = rows[whole.holds(rows["datetime_utc"], "right")]
        for name, account in (
            (STAGING, accounts(inside, {}, whole, place)),
            (SERIES, found.accounts.reset_index()),
        ):
            ledger.append(account.assign(table_name=name, location_id=place, known_at=judged.end))
    return pd.concat(series, ignore_index=True), pd.concat(ledger, ignore_index=True)


def passed(
    timescale: CatalogedTimescale,
    rows: pd.DataFrame,
    ledger: pd.DataFrame,
    judged: Window,
    planted: Sequence[Planted],
) -> tuple[list[Raised], Told, dict[date, frozenset[int]]]:
    """Lets the days pass: the alerts raised, the channel, and the places with a low score of each day."""
    alerts, told = AlertsResource(timescale=timescale, urls="ops=json://127.0.0.1/"), Told()
    raised: list[Raised] = []
    low: dict[date, frozenset[int]] = {}
    event = 0
    for number, day in enumerate(judged.days()):
        if number % 7 == 0:
            week = Window.of_days(day, min(day + timedelta(days=6), judged.days()[-1]))
            odd = anomalies_of(rows, WATCHED_AIR_QUALITY, week)
        window = Window.of_days(day, day)
        scores = daily_report(rows, ledger, window=window)
        low[day] = frozenset(scores.loc[scores["score_pct"] < LOW_PCT, "location_id"])
        write(timescale, AIR_QUALITY_ANOMALIES, odd[odd["day"] == midnight(day)], day)
        write(timescale, AIR_QUALITY_REPORT, scores, day)
        event, news = event + 10, failed(day, event, planted)
        alerts.take_in(lambda _, __, news=news: news)  # type: ignore[misc]
        now = window.end + LOOKED_AT
        looked = alerts.look([], set(), PARENTS, now)
        for alert in raised:
            if alert.identity in looked.resolved and alert.ended == date.max:
                alert.ended = day
        raised += [Raised(identity, day, about(identity, low[day])) for identity in looked.raised]
        alerts.deliver(until=now + ONE_DAY, sender=told, clock=lambda now=now: now)  # type: ignore[misc]
    return raised, told, low


def write(timescale: CatalogedTimescale, spec: TableSpec, rows: pd.DataFrame, day: date) -> None:
    with timescale.connect() as connection:
        ensure(connection, spec, read_capabilities(connection))
        if len(rows):
            plain = rows.astype(object).where(rows.notna(), None)
            connection.execute(sa.insert(sql.table_of(spec)), plain.to_dict("records"))
        connection.execute(sa.insert(LEDGER).values(table_name=spec.qualified, day=day, unit="", run_id="benchmark"))


def failed(day: date, event: int, planted: Sequence[Planted]) -> News:
    """What Dagster's log says of staging on the day: failures as planted, or a success."""
    today = [one for one in planted if one.location_id is None and one.first.date() == day]
    if not today:
        return News(position=event, successes={STAGING: Success(event, f"run {event}")})
    error = "the source does not answer" if today[0].kind == "three_failures" else broken_file()
    times = 3 if today[0].kind == "three_failures" else 1
    runs = [
        FailedRun(
            event_id=event + number,
            run_id=f"run {event + number}",
            subject=STAGING,
            is_table=True,
            days=str(day),
            error=error,
            failed_at=midnight(day) + timedelta(hours=number + 1),
        )
        for number in range(times)
    ]
    return News(position=event + times, runs=runs)


def broken_file() -> str:
    """What the reader says of a file without the column of values."""
    header = "location_id,sensors_id,location,datetime,lat,lon,parameter,units\r\n"
    try:
        parse(gzip.compress(header.encode()), source_id=1, location_id=1, local_day=FIRST_DAY)
    except CorruptSource as error:
        return str(error)
    raise AssertionError("a file without values was read")


def about(identity: str, low: frozenset[int]) -> frozenset[int] | None:
    condition, _, subject = identity.partition("/")
    if condition == "anomalies":
        return frozenset([int(subject.rpartition(" ")[2])])
    return low if condition == "quality" else None


def report(
    planted: Sequence[Planted],
    raised: Sequence[Raised],
    told: Told,
    low: dict[date, frozenset[int]],
    judged: Window,
    sensors: int,
) -> None:
    """Prints what was told of each kind, and what was told of nothing."""
    weeks = len(judged.days()) / 7
    hits = {one: [alert for alert in raised if is_about(alert, one)] for one in planted}
    print(f"\n{sensors} sensors, {weeks:.1f} weeks, {len(planted)} incidents, {told.messages} messages\n")
    if planted:
        print("| planted | told | of | recall | open already | median delay, days |")
        print("|---|---:|---:|---:|---:|---:|")
        for kind in [*LENGTH_H, *OF_RUNS]:
            every = [one for one in planted if one.kind == kind]
            delays = [(hits[one][0].day - one.first.date()).days for one in every if hits[one]]
            if every:
                hidden = sum(not hits[one] and any(was_open(alert, one) for alert in raised) for one in every)
                delay = f"{median(delays):g}" if delays else "n/a"
                recall = len(delays) / len(every)
                print(f"| {kind} | {len(delays)} | {len(every)} | {recall:.2f} | {hidden} | {delay} |")
    print("\n| condition | raised | true | false | false per week |")
    print("|---|---:|---:|---:|---:|")
    false = [alert for alert in raised if not any(is_about(alert, one) for one in planted)]
    for condition in [*sorted({alert.identity.partition("/")[0] for alert in raised}), "all"]:
        mine = [one for one in raised if condition in (one.identity.partition("/")[0], "all")]
        wrong = [one for one in false if one in mine]
        print(f"| {condition} | {len(mine)} | {len(mine) - len(wrong)} | {len(wrong)} | {len(wrong) / weeks:.2f} |")
    for alert in false:
        print(f"\nfalse: {json.dumps(alert.identity)} on {alert.day}", end="")
    print(f"\n\nplace-days with a low score: {sum(map(len, low.values()))}")


def is_about(alert: Raised, one: Planted) -> bool:
    """Whether the alert was raised of something that the incident explains."""
    if (alert.places is None) != (one.location_id is None) or not one.explains(alert.day):
        return False
    return alert.places is None or one.location_id in alert.places


def was_open(alert: Raised, one: Planted) -> bool:
    """Whether the alert was raised at the incident's place before it and still open on its first day."""
    is_here = one.location_id is not None and alert.places is not None and one.location_id in alert.places
    return is_here and alert.day < one.first.date() < alert.ended


if __name__ == "__main__":
    main()
