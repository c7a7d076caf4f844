"""What `tidemark report` shows beside the scores: rules that did not hold, odd series, features that drift.

Belongs here: what is asked of the database for it, the newest day of each. Does not belong here: how it looks
(`report_page.py`, `assets_pkg/quality/*_pictures.py`), scores (`report.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pandas as pd
import sqlalchemy as sa

from assets_pkg.judging import summary
from assets_pkg.quality.anomalies_pictures import anomalies_picture, shown_before
from assets_pkg.quality.drift_pictures import drift_picture
from resources.catalog import rule_results
from resources.timescale import sql
from resources.timescale.resource import TimescaleResource
from resources.timescale.table_slice import TableSlice
from schemas.base import conform
from schemas.table_spec import TableSpec
from schemas.tables import FEATURE_DRIFT, TABLES, WATCHED
from schemas.window import Window, midnight


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture and what it is of."""

    title: str
    words: str
    png: bytes


@dataclass(frozen=True, kw_only=True)
class BrokenRule:
    """A rule that failed on a day of the range."""

    table: str
    rule: str
    severity: str
    days: int
    days_failed: int
    checked: int
    failed: int
    message: str


def broken_rules(timescale: TimescaleResource, dataset: str, window: Window) -> tuple[list[BrokenRule], int]:
    """The rules of the dataset's tables that failed, errors first, and how many were judged."""
    found, judged = [], 0
    for name in (name for name, spec in TABLES.items() if spec.dataset == dataset):
        with timescale.connect() as connection:
            rules = summary(rule_results.results_of(connection, name, window))
        judged += len(rules)
        for row in rules[rules["days_failed"] > 0].itertuples():
            found.append(
                BrokenRule(
                    table=name,
                    rule=str(row.rule),
                    severity=str(row.severity),
                    days=int(row.days),
                    days_failed=int(row.days_failed),
                    checked=int(row.checked),
                    failed=int(row.failed),
                    message=str(row.message),
                )
            )
    order = ("error", "warning", "info")
    return sorted(found, key=lambda one: (order.index(one.severity), -one.days_failed, one.table)), judged


def anomalies(timescale: TimescaleResource, dataset: str, window: Window) -> list[Picture]:
    """The series of the newest day of the range on which something was odd."""
    watched = WATCHED.get(dataset)
    if watched is None:
        return []
    spec = TABLES[f"quality.{watched.table.name}_anomalies"]
    found = _newest(timescale, spec, window)
    if found.empty:
        return []
    day = found["day"].max().date()
    shown = Window.of_days(day, day).widened(before=shown_before(watched) - timedelta(days=1))
    series = _rows(timescale, watched.table, shown)
    unexpected = int((~found["is_expected"]).sum())
    words = f"{len(found)} on {day}, the newest day with any; {unexpected} of them not marked as expected."
    return [Picture(title="Anomalies", words=words, png=anomalies_picture(series, found, watched, shown))]


def drift(timescale: TimescaleResource, views: Sequence[str], window: Window) -> list[Picture]:
    """The features of each view on the newest day of the range on which drift was looked for."""
    found = _newest(timescale, FEATURE_DRIFT, window)
    return [
        Picture(title=f"Drift of {view}", words=f"As of {of_view['day'].max():%Y-%m-%d}.", png=drift_picture(of_view))
        for view in views
        if len(of_view := found[found["view"] == view])
    ]


def _newest(timescale: TimescaleResource, spec: TableSpec, window: Window) -> pd.DataFrame:
    """The rows of the newest day of the window with any."""
    table = sql.table_of(spec)
    with timescale.connect() as connection:
        if not sa.inspect(connection).has_table(spec.name, schema=spec.schema):
            return conform(pd.DataFrame(columns=list(spec.columns)), spec.model)
        inside = sa.and_(table.c.day >= midnight(window.days()[0]), table.c.day < window.end)
        newest = connection.execute(sa.select(sa.func.max(table.c.day)).where(inside)).scalar()
        result = connection.execute(sa.select(table).where(table.c.day == newest).order_by(*_key(spec, table)))
        return conform(pd.DataFrame(result.all(), columns=list(spec.columns)), spec.model)


def _rows(timescale: TimescaleResource, spec: TableSpec, window: Window) -> pd.DataFrame:
    with timescale.connect() as connection:
        result = connection.execute(sql.select(TableSlice.of_window(spec, window)))
        return conform(pd.DataFrame(result.all(), columns=list(spec.columns)), spec.model)


def _key(spec: TableSpec, table: sa.Table) -> list[sa.ColumnElement[object]]:
    return [table.c[name] for name in spec.key]
