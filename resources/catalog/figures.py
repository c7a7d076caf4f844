"""Figures of the pipeline's state, for those who watch it from outside.

Labels are bounded: declared tables by name, all others together as `undeclared`; conditions, levels, states, and the
names of channels and APIs that are configured. Nothing in them is data. No table of rows is scanned: the catalog and
the newest days of quality tables are asked, by index, but for the sums over the whole ledger.

Belongs here: what there is to tell, and the figures of ledger, alerts and APIs. Does not belong here: figures of runs,
quality and features (the modules of these names), Prometheus' format (`assets_pkg/api/metrics.py`), when a
figure is worth an alert (`resources/alerts/`).
"""

from collections.abc import Collection, Iterator

import sqlalchemy as sa

from resources.catalog.api_answers import lately
from resources.catalog.feature_figures import feature_figures
from resources.catalog.figure import UNDECLARED, Figure, declared
from resources.catalog.ledger import CLASSES
from resources.catalog.quality_figures import quality_figures
from resources.catalog.run_figures import Budgets, run_figures
from resources.circuit.board import LEVELS, dependencies
from schemas.catalog import DIRTY_DAYS, LEDGER
from schemas.catalog_alerts import ALERT_DELIVERIES, ALERTS, RUN_FAILURES
from schemas.catalog_budget import CIRCUITS
from schemas.catalog_incidents import INCIDENTS
from schemas.freshness import fresh
from schemas.tables import TABLES

FATES = ("read", *CLASSES)


def figures(connection: sa.Connection, tables: Collection[str], budgets: Budgets) -> Iterator[Figure]:
    """The figures now; `tables` are those that are declared, which are there even if nothing is known of them."""
    yield from _ledger(connection, tables)
    yield from run_figures(connection, tables, budgets)
    yield from quality_figures(connection)
    yield from feature_figures(connection)
    yield Figure(
        "tidemark_consecutive_failures",
        "Failed runs of the table in a row",
        ("table",),
        _per_table(
            connection, tables, RUN_FAILURES.c.subject, sa.func.sum(RUN_FAILURES.c.failures), RUN_FAILURES.c.is_table
        ),
    )
    yield Figure(
        "tidemark_stale_days",
        "Days of the table that have to be computed again",
        ("table",),
        _per_table(connection, tables, DIRTY_DAYS.c.table_name, sa.func.count(), sa.true()),
    )
    yield _counts(
        connection,
        "tidemark_open_alerts",
        "Open alerts",
        (ALERTS.c.condition, ALERTS.c.level),
        ALERTS.c.state == "open",
    )
    lately_since = sa.func.now() - sa.text("interval '28 days'")
    yield _counts(
        connection,
        "tidemark_alerts_raised_28d",
        "Alerts that were raised in the last 28 days",
        (ALERTS.c.condition,),
        ALERTS.c.first_seen_at >= lately_since,
    )
    yield _counts(
        connection,
        "tidemark_incidents_noted_28d",
        "What people said of odd series in the last 28 days: expected is a false alarm, incident was one",
        (sa.case((INCIDENTS.c.is_expected, "expected"), else_="incident").label("verdict"),),
        INCIDENTS.c.created_at >= lately_since,
    )
    of_deliveries = (ALERT_DELIVERIES.c.channel, ALERT_DELIVERIES.c.state)
    yield _counts(
        connection, "tidemark_alert_deliveries", "Deliveries of alerts that are kept", of_deliveries, sa.true()
    )
    yield _counts(
        connection,
        "tidemark_circuits",
        "Circuit breakers that are not closed",
        (CIRCUITS.c.state,),
        CIRCUITS.c.state != "closed",
    )
    yield Figure(
        "tidemark_circuit_state",
        "Circuit breaker of the dependency: 0 closed, 1 half open (one trial is under way), 2 open",
        ("dependency",),
        [((one.name,), LEVELS[one.state]) for one in dependencies(connection)],
    )
    limits = [(name, promised) for name, spec in TABLES.items() if name in tables and (promised := fresh(spec))]
    yield Figure(
        "tidemark_freshness_limit_seconds",
        "Age from which the table is late (warn), and from which that is an alarm (fail)",
        ("table", "severity"),
        [
            ((name, level), age.total_seconds())
            for name, promised in limits
            for level, age in (("warn", promised.warn), ("fail", promised.fail))
        ],
    )
    yield from _answers(connection)


def _ledger(connection: sa.Connection, tables: Collection[str]) -> Iterator[Figure]:
    sums = [sa.func.sum(LEDGER.c[name]).label(name) for name in FATES]
    opened = sa.func.count().filter(sa.not_(LEDGER.c.is_closed)).label("opened")
    age = sa.extract("epoch", sa.func.now() - sa.func.max(LEDGER.c.known_at)).label("age_s")
    named = declared(LEDGER.c.table_name, tables)
    query = sa.select(named, *sums, opened, age).where(LEDGER.c.is_current).group_by(named).order_by(named)
    rows = connection.execute(query).all()
    yield Figure(
        "tidemark_ledger_rows",
        "Rows of the current ledger: read = loaded + duplicate + quarantined + filtered",
        ("table", "fate"),
        [((row.declared, fate), float(getattr(row, fate))) for row in rows for fate in FATES],
    )
    yield Figure(
        "tidemark_ledger_open_slices",
        "Slices whose ledger is not closed",
        ("table",),
        [((row.declared,), float(row.opened)) for row in rows],
    )
    yield Figure(
        "tidemark_freshness_seconds",
        "Seconds since the newest row of the table became known",
        ("table",),
        [((row.declared,), float(row.age_s)) for row in rows if row.age_s is not None],
    )


def _answers(connection: sa.Connection) -> Iterator[Figure]:
    rows = connection.execute(lately(sa.func.now())).all()
    for place, (name, told) in enumerate(
        (
            ("tidemark_api_answers", "Answers of the API since the last full hour"),
            ("tidemark_api_answer_seconds", "Seconds these answers took together"),
            ("tidemark_api_slowest_answer_seconds", "Seconds the slowest of them took"),
        ),
        start=1,
    ):
        yield Figure(name, told, ("api",), [((row[0],), float(row[place])) for row in rows])


def _per_table(
    connection: sa.Connection,
    tables: Collection[str],
    name: sa.ColumnElement[str],
    value: sa.ColumnElement[int],
    where: sa.ColumnElement[bool],
) -> list[tuple[tuple[str, ...], float]]:
    """A value per declared table, 0 where there is none, and of all others together where there is."""
    found = dict.fromkeys(sorted(tables), 0.0)
    for table, number in connection.execute(sa.select(name, value).where(where).group_by(name)):
        key = table if table in found else UNDECLARED
        found[key] = found.get(key, 0.0) + float(number)
    return [((table,), number) for table, number in found.items()]


def _counts(
    connection: sa.Connection,
    name: str,
    told: str,
    columns: tuple[sa.ColumnElement[str], ...],
    where: sa.ColumnElement[bool],
) -> Figure:
    query = sa.select(*columns, sa.func.count()).where(where).group_by(*columns).order_by(*columns)
    rows = connection.execute(query).all()
    labels = tuple(str(getattr(column, "name", "")) for column in columns)
    return Figure(name, told, labels, [(tuple(row[:-1]), float(row[-1])) for row in rows])
