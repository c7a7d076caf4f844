"""The sensor that watches the landing folders.

Belongs here: asking what lies there, and requesting runs for it. A sensor decides, it does not work: nothing is opened
here. Does not belong here: the way of a file (`intake/intake.py`), which file is whole
(`resources/landing/files_seen.py`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from zlib import crc32

import dagster as dg

from assets_pkg.automation import JOB_TABLES
from assets_pkg.intake.intake import NOTHING_NEW
from assets_pkg.planning import DayRange, Work, ranges
from assets_pkg.runs import asset_key, busy_ranges, due, places, request, under_way
from resources.catalog.file_catalog import FileCatalog
from resources.errors import TidemarkError
from resources.landing.files_seen import Refused, Seen, from_cursor, stable, to_cursor
from resources.landing.resource import LandingResource
from schemas.declared_files import UNDECLARED
from schemas.file_tables import FileTables

EVERY_S = 5

MOST_FILES = 1_000
"""Files of one run; the next ones follow in the next."""


def build_landing_sensor(declared: Mapping[str, FileTables]) -> dg.SensorDefinition:
    """The sensor; `declared` are the tables of the declared datasets by name."""
    tables = {name: found.staging.qualified for name, found in declared.items()}

    @dg.sensor(
        name="landing_files",
        asset_selection=[asset_key(table) for table in (*tables.values(), UNDECLARED)],
        minimum_interval_seconds=EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Requests a run for files that were dropped and stand still, and for files a run left half done.",
    )
    def landing_files(
        context: dg.SensorEvaluationContext, landing: LandingResource, files: FileCatalog
    ) -> dg.SensorResult | dg.SkipReason:
        now = datetime.now(UTC)
        try:
            look = landing.zone().look()
            seen = look.files
            known = files.settled([one.key for one in seen])
            unfinished = files.unfinished()
        except TidemarkError as error:
            return dg.SkipReason(f"the landing folders were not looked at: {error}")
        whole, sightings = stable(seen, from_cursor(context.cursor), now, quiet=landing.quiet, known=known)
        context.update_cursor(to_cursor(sightings))
        runs = under_way(context.instance)
        busy = busy_ranges(runs, JOB_TABLES)
        wanted = list(_wanted(whole, unfinished, tables, now.date()))
        free = [one for one in wanted if one[0].tables[0] not in busy]
        ready = set(due(context.instance, [work for work, _ in free]))
        chosen = [(work, config) for work, config in free if work in ready][: places(runs)]
        if not chosen:
            why = _why_nothing(len(seen) - len(known), len(whole), len(wanted))
            return dg.SkipReason("; ".join([why, *_refusals(look.refused)]))
        return dg.SensorResult(run_requests=[request(context.instance, work, config) for work, config in chosen])

    return landing_files


Requested = tuple[Work, dict[str, object]]


def _wanted(
    whole: Sequence[Seen], unfinished: Mapping[str, Iterable[date]], tables: Mapping[str, str], today: date
) -> Iterator[Requested]:
    """One run per dataset with files to take, and one per range of days with files left half done."""
    by_dataset: dict[str, list[str]] = {}
    for seen in whole:
        by_dataset.setdefault(seen.dataset, []).append(seen.key)
    for name, keys in by_dataset.items():
        yield _work(name, tables, DayRange(today, today), keys[:MOST_FILES])
    for name, days in unfinished.items():
        for days_range in ranges(set(days) - ({today} if name in by_dataset else set())):
            yield _work(name, tables, days_range, [NOTHING_NEW])


def _work(name: str, tables: Mapping[str, str], days: DayRange, keys: list[str]) -> Requested:
    table = tables.get(name, UNDECLARED)
    config: dict[str, object] = {"keys": keys}
    if table == UNDECLARED:
        config["dataset"] = name
    work = Work((table,), days, crc32("\n".join([name, *keys]).encode()))
    return work, {"ops": {table.replace(".", "__"): {"config": config}}}


def _refusals(refused: Sequence[Refused]) -> list[str]:
    """What lies there and nobody opens is said for as long as it lies there."""
    if not refused:
        return []
    return [f"{len(refused)} thing(s) there are not opened, such as {refused[0].path}: {refused[0].reason}"]


def _why_nothing(waiting: int, whole: int, wanted: int) -> str:
    if wanted:
        return f"{wanted} run(s) wait until another one ends or their next try is due"
    if waiting > whole:
        return f"{waiting - whole} file(s) may still be being written"
    return "nothing was dropped"
