"""`tidemark doctor`: is everything there that a run needs, and if not, what to do.

Belongs here: checks that ask and change nothing but what a first start would (a missing embedded database is made).
Does not belong here: the state of the data (`status.py`).
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from assets_pkg.commands.tables import terminal
from resources.alerts.sending import AppriseSender
from resources.catalog.schema import current_version
from resources.errors import TidemarkError
from resources.openaq.resource import OpenAQResource
from resources.sources.source import Extract
from resources.timescale.capabilities import read_capabilities
from resources.wiring import (
    Settings,
    alerts_resource,
    build_timescale,
    feast_resource,
    openaq_resource,
    sources_resource,
    tracking_resource,
)
from schemas.source_dataset import SourceDataset
from schemas.source_tables import source_datasets

LEAST_FREE_BYTES = 1_000_000_000


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    is_good: bool
    text: str


Check = Callable[[Settings], Finding]


def doctor(chosen: Settings) -> int:
    """Prints one line per check; 0 if all are good, else 1."""
    console = terminal()
    checks: dict[str, Check] = {
        "packages": _packages,
        "settings": _settings,
        "disk": _disk,
        "database": _database,
        "licence": _licence,
        "online": _online,
        "source": _source,
        "alerts": _alerts,
        "mlflow": _mlflow,
    }
    for dataset in source_datasets().values():
        if dataset.name in sources_resource(chosen, build_timescale(chosen)).urls:
            checks[dataset.name] = partial(_dataset_source, dataset)
    are_good = True
    for name, check in checks.items():
        try:
            finding = check(chosen)
        except TidemarkError as error:
            finding = Finding(False, str(error))
        are_good &= finding.is_good
        mark = "[green]ok  [/]" if finding.is_good else "[red]FAIL[/]"
        console.print(f"{mark} {name:<9}", end=" ")
        console.print(finding.text, highlight=False, markup=False)
    return 0 if are_good else 1


def _packages(_: Settings) -> Finding:
    try:
        direct = requires("tidemark") or []
    except PackageNotFoundError:
        return Finding(False, "the project is not installed here: run make install")
    wrong = []
    for line in direct:
        wanted = Requirement(line)
        if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            present = version(wanted.name)
        except PackageNotFoundError:
            wrong.append(f"{wanted.name} is missing")
            continue
        if not wanted.specifier.contains(present, prereleases=True):
            wrong.append(f"{wanted.name} is {present}, needed {wanted.specifier}")
    if wrong:
        return Finding(False, f"{'; '.join(wrong)}: run make install")
    return Finding(True, f"{len(direct)} direct dependencies fit; dagster {version('dagster')}")


def _settings(chosen: Settings) -> Finding:
    given = sorted(str(type(chosen).model_fields[name].validation_alias) for name in chosen.model_fields_set)
    return Finding(True, f"set: {', '.join(given) or 'nothing, all defaults'}; home {chosen.home}")


def _disk(chosen: Settings) -> Finding:
    folder = next(path for path in (chosen.home, *chosen.home.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    return Finding(free >= LEAST_FREE_BYTES, f"{free / 1e9:.1f} GB free in {folder}")


def _database(chosen: Settings) -> Finding:
    where = "TIDEMARK_DATABASE_URL" if chosen.database_url else f"embedded PostgreSQL in {chosen.home}"
    with build_timescale(chosen).connect() as connection:
        return Finding(True, f"{where} answers, catalog at {current_version(connection)}")


def _licence(chosen: Settings) -> Finding:
    with build_timescale(chosen).connect() as connection:
        return Finding(True, read_capabilities(connection).describe())


def _online(chosen: Settings) -> Finding:
    feast = feast_resource(chosen, build_timescale(chosen))
    views = feast.probe()
    return Finding(True, f"online store {feast.online_store.name} answers; Feast knows {views} view(s)")


def _alerts(chosen: Settings) -> Finding:
    channels = alerts_resource(chosen, build_timescale(chosen)).channels
    if wrong := [told for channel in channels if (told := AppriseSender().check(channel))]:
        return Finding(False, f"{'; '.join(wrong)}: mend it in TIDEMARK_ALERT_URLS")
    named = "; ".join(channel.described() for channel in channels)
    return Finding(True, f"channels: {named or 'none, alerts are only kept'}; try them: tidemark alerts test")


def _mlflow(chosen: Settings) -> Finding:
    tracking = tracking_resource(chosen)
    if not tracking.url:
        return Finding(True, "no tracking server: TIDEMARK_MLFLOW_URL is not set")
    tracking.require_usable()
    return Finding(True, f"runs are logged to the experiment {tracking.experiment!r}")


def _dataset_source(dataset: SourceDataset, chosen: Settings) -> Finding:
    source = sources_resource(chosen, build_timescale(chosen)).source(dataset)
    try:
        told = [source.check(Extract.of(table, since=None, until=None)) for table in dataset.tables]
    finally:
        source.close()
    return Finding(True, f"{dataset.kind.value} at {source.address}: {'; '.join(told)}")


def _source(chosen: Settings) -> Finding:
    openaq: OpenAQResource = openaq_resource(chosen, build_timescale(chosen))
    where = chosen.openaq_api_url if chosen.openaq_mode == "api" else chosen.openaq_archive_url
    ids = openaq.location_ids()
    location = openaq.probe(ids[0])
    return Finding(
        True,
        f"OpenAQ ({chosen.openaq_mode}) at {where} answers: {len(ids)} location(s), the first is {location.name!r}",
    )
