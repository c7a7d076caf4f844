"""`tidemark report`: the quality of a dataset over a range of days, as one HTML file that needs nothing else.

Belongs here: what is asked of the database for it, and writing the file. Does not belong here: how it looks
(`report_page.py`), what is counted (`assets_pkg/quality/`, `resources/profiling/`).
"""

from datetime import date
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from assets_pkg.commands.loading import datasets
from assets_pkg.commands.profile import profile_in_words
from assets_pkg.commands.report_findings import anomalies, broken_rules, drift
from assets_pkg.commands.report_page import Layer, Page, TableDay, rendered
from assets_pkg.commands.tables import LEDGER_COLUMNS, terminal
from assets_pkg.quality.layer_assets import stored
from assets_pkg.quality.layer_pictures import MOST_CALENDAR_DAYS, layer_picture, told
from resources.errors import ConfigurationError
from resources.profiling import profile_store
from resources.timescale.resource import TimescaleResource
from resources.wiring import Settings, build_timescale
from schemas.catalog import LEDGER
from schemas.quality_dimensions import Dimension
from schemas.quality_tables import LayerQuality
from schemas.tables import QUALITIES, SERVED, TABLES
from schemas.window import Window

Shares = ("score_pct", *(f"{one.value}_pct" for one in Dimension))


def write_report(chosen: Settings, *, dataset: str, first: date, last: date, out: Path) -> int:
    """Writes the report of the UTC days `first` to `last`, both included, and says where it is; 0.

    Raises:
        ConfigurationError: there is no such dataset, the range is empty, no day of it was judged, or the file cannot be
            written.
    """
    layers = [quality for quality in QUALITIES if quality.dataset == dataset]
    if not layers:
        raise ConfigurationError(f"there is no dataset {dataset!r}; there are {', '.join(datasets())}")
    if last < first:
        raise ConfigurationError(f"the range ends on {last}, before it begins on {first}")
    timescale = build_timescale(chosen)
    window = Window.of_days(first, last)
    broken, rules = broken_rules(timescale, dataset, window)
    views = [spec.view for spec in SERVED.values() if spec.dataset == dataset]
    page = Page(
        dataset=dataset,
        first=first,
        last=last,
        layers=[layer for quality in layers if (layer := _layer(timescale, quality, window))],
        ledger=_ledger(timescale, dataset, window),
        broken=broken,
        rules=rules,
        findings=[*anomalies(timescale, dataset, window), *drift(timescale, views, window)],
    )
    if not page.layers:
        names = ", ".join(quality.spec.qualified for quality in layers)
        raise ConfigurationError(f"no day of {dataset} from {first} to {last} was judged: materialise {names}")
    try:
        out.write_text(rendered(page), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{out} cannot be written: {error.strerror or error}") from error
    terminal().print(f"Quality of {dataset} from {first} to {last}: {out}", highlight=False)
    return 0


def _layer(timescale: TimescaleResource, quality: LayerQuality, window: Window) -> Layer | None:
    """What the report shows of a layer; None if no day of it was judged."""
    with timescale.connect() as connection:
        if not sa.inspect(connection).has_table(quality.spec.name, schema=quality.spec.schema):
            return None
    rows = stored(timescale, quality.spec, window)
    if rows.empty:
        return None
    there = rows[rows["rows"] > 0]
    newest = (rows if there.empty else there)["day"].max().date()
    days = (window.days()[-1] - window.days()[0]).days + 1
    title = f"{quality.layer} of {quality.dataset}"
    return Layer(
        name=quality.layer,
        picture=layer_picture(
            rows, title, window.days()[-1], score_days=days, calendar_days=min(days, MOST_CALENDAR_DAYS)
        ),
        days=rows["day"].nunique(),
        score=told(rows["score_pct"].mean()),
        newest=newest,
        by_arrival=quality.spec.by_arrival,
        tables=[_table_day(timescale, row, newest) for row in rows[rows["day"].dt.date == newest].to_dict("records")],
    )


def _table_day(timescale: TimescaleResource, row: Any, day: date) -> TableDay:
    with timescale.connect() as connection:
        profiles = profile_store.kept(connection, row["table_name"], [day])
    return TableDay(
        name=row["table_name"],
        shares=[told(row[name]) for name in Shares],
        rows=row["rows"],
        entities=f"{row['entities']:,} of {row['entities_expected']:,}" if row["entities_expected"] else "",
        is_ledger_closed=row["is_ledger_closed"],
        columns=[profile_in_words(one) for one in profiles.to_dict("records")],
    )


def _ledger(timescale: TimescaleResource, dataset: str, window: Window) -> list[tuple[str, list[int], bool]]:
    """Per table of the dataset, rows by what became of them in the range, and whether all are accounted for."""
    sums = [sa.cast(sa.func.sum(LEDGER.c[name]), sa.BigInteger) for name in LEDGER_COLUMNS]
    days = window.days()
    query = (
        sa.select(LEDGER.c.table_name, *sums, sa.func.bool_and(LEDGER.c.is_closed))
        .where(LEDGER.c.is_current, LEDGER.c.day.between(days[0], days[-1]))
        .group_by(LEDGER.c.table_name)
    )
    with timescale.connect() as connection:
        found = {row[0]: row for row in connection.execute(query)}
    own = [name for name, spec in TABLES.items() if spec.dataset == dataset and spec.schema != "quality"]
    return [(name, list(found[name][1:-1]), bool(found[name][-1])) for name in own if name in found]
