"""Checks of what is odd in series, and of features that drift.

Belongs here: questions to the database about the run's days. Does not belong here: how an anomaly or drift is found
(`assets_pkg/quality/`), checks that every table has (`checks.py`).
"""

from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg
import sqlalchemy as sa

from assets_pkg.checks import ledger_closed, schema_as_declared
from assets_pkg.drawing import escaped
from assets_pkg.partitions import judged_window
from resources.timescale import sql
from resources.timescale.resource import TimescaleResource
from schemas.feature_drift import Verdict
from schemas.table_spec import TableSpec
from schemas.tables import FEATURE_DRIFT

MOST_TOLD = 20


def anomaly_checks(tables: Iterable[TableSpec]) -> list[dg.AssetChecksDefinition]:
    """The checks of the tables of anomalies, and of drift."""
    found = [no_unexpected_anomalies(table) for table in tables]
    return [*found, ledger_closed(FEATURE_DRIFT), schema_as_declared(FEATURE_DRIFT), no_feature_drifts]


def no_unexpected_anomalies(spec: TableSpec) -> dg.AssetChecksDefinition:
    """Warns of anomalies of the run's days that nobody explained: mark one as expected by its id, or note the incident
    (tidemark incident)."""

    @dg.asset_check(
        asset=dg.AssetKey([spec.schema, spec.name]),
        name="no_unexpected_anomalies",
        description=no_unexpected_anomalies.__doc__,
    )
    def check(context: dg.AssetCheckExecutionContext, timescale: TimescaleResource) -> dg.AssetCheckResult:
        table = sql.table_of(spec)
        inside = sql.in_window(table.c.day, judged_window(context), spec.closed)
        is_news = sa.and_(~table.c.is_expected, table.c.incident_id.is_(None))
        with timescale.connect() as connection:
            if not sa.inspect(connection).has_table(spec.name, schema=spec.schema):
                return dg.AssetCheckResult(passed=True, description="the table comes about with its first rows")
            counted = sa.select(sa.func.count(), sa.func.count().filter(is_news)).where(inside)
            every, news = connection.execute(counted).one()
            worst = connection.execute(
                sa.select(table).where(inside, is_news).order_by(table.c.score.desc(), table.c.day).limit(MOST_TOLD)
            ).all()
        return dg.AssetCheckResult(
            passed=not news,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{news} anomalies nobody explained" if news else None,
            metadata={
                "unexpected": news,
                "explained": every - news,
                "worst": dg.MetadataValue.md(_table(worst, ("anomaly_id", "day", "kind", "entity", "metric", "score"))),
            },
        )

    return check


@dg.asset_check(asset=[FEATURE_DRIFT.schema, FEATURE_DRIFT.name], name="no_feature_drifts")
def no_feature_drifts(context: dg.AssetCheckExecutionContext, timescale: TimescaleResource) -> dg.AssetCheckResult:
    """Warns of features that no longer look as they did in the weeks before, the most important ones first."""
    table = sql.table_of(FEATURE_DRIFT)
    inside = sql.in_window(table.c.day, judged_window(context), FEATURE_DRIFT.closed)
    drifts = table.c.verdict == Verdict.DRIFT.value
    with timescale.connect() as connection:
        if not sa.inspect(connection).has_table(FEATURE_DRIFT.name, schema=FEATURE_DRIFT.schema):
            return dg.AssetCheckResult(passed=True, description="the table comes about with its first rows")
        number = connection.execute(sa.select(sa.func.count()).where(inside, drifts)).scalar_one()
        first = connection.execute(
            sa.select(table).where(inside, drifts).order_by(table.c.rank, table.c.day).limit(MOST_TOLD)
        ).all()
    columns = ("day", "view", "feature", "importance_rank", "psi", "wasserstein", "p_adjusted")
    return dg.AssetCheckResult(
        passed=not number,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{number} feature(s) drift" if number else None,
        metadata={"drifting": number, "first": dg.MetadataValue.md(_table(first, columns))},
    )


def _table(rows: Sequence[sa.Row[Any]], columns: Sequence[str]) -> str:
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for row in rows:
        cells = (getattr(row, name) for name in columns)
        texts = (f"{cell:%Y-%m-%d}" if hasattr(cell, "strftime") else _told(cell) for cell in cells)
        lines.append(f"| {' | '.join(map(escaped, texts))} |")
    return "\n".join(lines)


def _told(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:.3g}"
    return "" if cell is None else str(cell)
