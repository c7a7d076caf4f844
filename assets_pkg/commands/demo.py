"""`tidemark demo`: from nothing to filled tables and a UI to look at, in one command.

Belongs here: the demo's data and settings, and its order. Does not belong here: anything a real load does otherwise: it
goes through Dagster's own backfill.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console

from assets_pkg.commands.demo_delivery import delivery_url, demo_days, generate_delivery, load_delivery
from assets_pkg.commands.demo_features import show_online
from assets_pkg.commands.demo_files import SampleDrop, show_samples
from assets_pkg.commands.loading import load
from assets_pkg.commands.tables import show_features, show_scores, terminal
from assets_pkg.commands.up import down, up_in_background
from assets_pkg.dagster_client import DagsterClient
from assets_pkg.planning import DayRange
from resources.wiring import Settings, build_timescale, settings
from schemas.delivery_tables import USER
from schemas.tables import AIR_QUALITY_HOURLY, OPENAQ_TABLES

SEED = 20

ARCHIVE_LAG = timedelta(days=3)
"""The archive has a day's file three days after the day ends. No generated file reaches into the future."""

UNSET = (
    "TIDEMARK_DATABASE_URL",
    "TIDEMARK_DAGSTER_DATABASE_URL",
    "TIDEMARK_ONLINE_STORE_URL",
    "TIDEMARK_OPENAQ_COUNTRY",
    "TIDEMARK_OPENAQ_BBOX",
    "TIDEMARK_SOURCE_DELIVERY_URL",
)
"""Settings the demo ignores: it has its own embedded database and online store, so that it never touches yours."""


def demo(*, locations: tuple[int, ...], days: int, port: int | None) -> int:
    """Loads `days` days of the generated locations, or of real `locations` from the archive, and shows what landed.

    The UI is still there afterwards; `tidemark down --demo` stops it.
    """
    console = terminal()
    home = settings().home
    last = datetime.now(UTC).date() - ARCHIVE_LAG
    span = DayRange(last - timedelta(days=days - 1), last)
    _remember_kind(home, real=locations)
    os.environ.update(demo_environment(home))
    chosen = settings()
    if not locations:
        _generate(Path(chosen.openaq_archive_url), span, console)
    console.print("Starting the database and Dagster …", highlight=False)
    url = up_in_background(chosen, port=port or chosen.port)
    try:
        dropped = None if locations else SampleDrop(chosen, datetime.now(UTC).date())
        if dropped:
            dropped.start()
        succeeded = _load(chosen, url, span, console)
        if not locations:
            organisation = demo_days(datetime.now(UTC).date(), days)
            generate_delivery(chosen.home, organisation, console)
            succeeded &= load_delivery(chosen, url, organisation, console)
        if dropped:
            succeeded &= show_samples(chosen, dropped, console)
        served = (AIR_QUALITY_HOURLY,) if locations else (USER, AIR_QUALITY_HOURLY)
        succeeded &= show_online(chosen, url, console, specs=served)
    except KeyboardInterrupt:
        down(chosen)
        raise
    console.print(f"\nLook around: {url}/asset-groups   Stop it: tidemark down --demo   (make down)", highlight=False)
    return 0 if succeeded else 1


def demo_environment(home: Path) -> dict[str, str]:
    """The variables that make every command work on the demo of this home."""
    folder = home / "demo"
    kind = folder / "locations"
    real = kind.read_text().strip() if kind.exists() else ""
    for name in UNSET:
        os.environ[name] = ""  # not removed: a value in .env would come back
    if real:
        return {
            "TIDEMARK_HOME": str(folder / "real"),
            "TIDEMARK_OPENAQ_MODE": "archive",
            "TIDEMARK_OPENAQ_LOCATIONS": real,
        }
    return {
        "TIDEMARK_HOME": str(folder / "generated"),
        "TIDEMARK_OPENAQ_MODE": "archive",
        "TIDEMARK_OPENAQ_ARCHIVE_URL": str(folder / "generated" / "archive"),
        "TIDEMARK_OPENAQ_LOCATIONS": ",".join(map(str, _generated_ids())),
        "TIDEMARK_SOURCE_DELIVERY_URL": delivery_url(folder / "generated"),
    }


def _remember_kind(home: Path, real: Sequence[int]) -> None:
    folder = home / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "locations").write_text(",".join(map(str, real)))


def _generated_ids() -> list[int]:
    from resources.openaq.generator.places import DEMO_LOCATIONS

    return [place.id for place in DEMO_LOCATIONS]


def _generate(archive: Path, span: DayRange, console: Console) -> None:
    from resources.openaq.generator.generate import generate
    from resources.openaq.generator.places import DEMO_LOCATIONS

    console.print(
        f"Writing an archive in OpenAQ's layout: {len(DEMO_LOCATIONS)} synthetic sites, {span.first} to {span.last}",
        highlight=False,
    )
    # A day more on both sides: a UTC day reaches into two local days.
    margin = timedelta(days=1)
    truth = generate(
        archive, locations=DEMO_LOCATIONS, first_day=span.first - margin, last_day=span.last + margin, seed=SEED
    )
    console.print(f"{len(truth.files)} files, {len(truth.planted)} planted defects", style="dim", highlight=False)


def _load(chosen: Settings, url: str, span: DayRange, console: Console) -> bool:
    timescale = build_timescale(chosen)
    succeeded = load(DagsterClient(url), timescale, tuple(OPENAQ_TABLES.values()), span, console)
    if succeeded:
        show_scores(timescale, console)
        show_features(timescale, console)
    return succeeded
