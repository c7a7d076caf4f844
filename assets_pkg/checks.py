"""Asset checks: what has to be true of a table after it was written.

Belongs here: questions to the database about the run's window. A check blocks only where what is downstream would be
wrong. None has partitions of its own: Dagster cannot keep such results of a range; the verdict of each day stands in
`quality.*` and in the ledger, and the check names the days. Does not belong here: rules on single rows (`schemas/`).
"""

from collections.abc import Iterable, Sequence

import dagster as dg
import sqlalchemy as sa

from assets_pkg.partitions import judged_window
from resources.catalog import ledger, rule_results
from resources.catalog.resource import CatalogResource
from resources.timescale import sql
from resources.timescale.resource import TimescaleResource
from schemas.source_dataset import SourceDataset
from schemas.source_tables import sourced_tables
from schemas.table_spec import TableSpec
from schemas.tables import (
    AIR_QUALITY,
    AIR_QUALITY_ANOMALIES,
    AIR_QUALITY_HOURLY,
    AIR_QUALITY_REPORT,
    OPENAQ_MEASUREMENTS,
)
from schemas.window import Window

GOOD_SCORE_PCT = 90.0


def ledger_closed(spec: TableSpec) -> dg.AssetChecksDefinition:
    """Blocks: rows that nobody can account for would go on into features."""

    @dg.asset_check(asset=_key(spec), name="ledger_closed", blocking=True, description=ledger_closed.__doc__)
    def check(context: dg.AssetCheckExecutionContext, catalog: CatalogResource) -> dg.AssetCheckResult:
        entries = catalog.accounts([spec], judged_window(context))
        open_ones = entries[~entries["is_closed"]]
        return dg.AssetCheckResult(
            passed=open_ones.empty,
            description=None if open_ones.empty else f"{len(open_ones)} day(s) of a location do not add up",
            metadata={
                **{name: int(entries[name].sum()) for name in ("read", *ledger.CLASSES)},
                "open": dg.MetadataValue.md(open_ones.head(10).to_markdown(index=False) if len(open_ones) else "none"),
            },
        )

    return check


def schema_as_declared(spec: TableSpec) -> dg.AssetChecksDefinition:
    """Blocks: a table whose columns are not its model's cannot be read by what is downstream."""

    @dg.asset_check(asset=_key(spec), name="schema_as_declared", blocking=True, description=schema_as_declared.__doc__)
    def check(timescale: TimescaleResource) -> dg.AssetCheckResult:
        with timescale.connect() as connection:
            inspector = sa.inspect(connection)
            if not inspector.has_table(spec.name, schema=spec.schema):
                return dg.AssetCheckResult(passed=True, description="the table comes about with its first rows")
            present = {c["name"]: str(c["type"]) for c in inspector.get_columns(spec.name, schema=spec.schema)}
        declared = {column.name: str(column.type) for column in sql.table_of(spec).columns}
        missing = sorted(declared.keys() - present.keys())
        other = sorted(
            name for name in declared.keys() & present.keys() if not _same_type(declared[name], present[name])
        )
        return dg.AssetCheckResult(
            passed=not missing and not other,
            description=f"missing {missing}, of another type {other}" if missing or other else None,
            metadata={"columns": len(declared), "missing": missing, "of_another_type": other},
        )

    return check


@dg.asset_check(asset=["staging", "openaq_measurements"], name="nothing_owed")
def nothing_owed(context: dg.AssetCheckExecutionContext, catalog: CatalogResource) -> dg.AssetCheckResult:
    """Warns of locations, or sensors of them, that could not be fetched on the run's days; they are asked for again."""
    days = set(judged_window(context).days())
    owed = [one for one in catalog.owed(OPENAQ_MEASUREMENTS) if one.day in days]
    locations = sorted({one.unit for one in owed})
    return dg.AssetCheckResult(
        passed=not owed,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(owed)} day(s) of location {', '.join(locations[:10])} are not complete" if owed else None,
        metadata={"owed": len(owed), "locations": locations, "errors": sorted({one.error for one in owed})[:5]},
    )


@dg.asset_check(asset=["timeseries", "air_quality"], name="reads_what_staging_loaded", blocking=True)
def reads_what_staging_loaded(context: dg.AssetCheckExecutionContext, catalog: CatalogResource) -> dg.AssetCheckResult:
    """Blocks: rows that staging loaded and cleaning never read are lost on the way. Days that are marked stale are left
    out: they are about to be cleaned again; so are those that rules hold back, which cleaning does not see."""
    window = judged_window(context)
    stale = {mark.day for mark in catalog.stale() if mark.table_name == AIR_QUALITY.qualified}
    stale |= catalog.held_back().get(OPENAQ_MEASUREMENTS.qualified, set())
    entries = catalog.accounts([OPENAQ_MEASUREMENTS, AIR_QUALITY], window)
    wide = entries.pivot_table(index=["day", "unit"], columns="table_name", values=["loaded", "read"], fill_value=0)
    wide = wide.reindex(
        columns=[("loaded", OPENAQ_MEASUREMENTS.qualified), ("read", AIR_QUALITY.qualified)], fill_value=0
    )
    differ = wide[wide.iloc[:, 0] != wide.iloc[:, 1]]
    differ = differ[[day not in stale for day, _ in differ.index]]
    return dg.AssetCheckResult(
        passed=differ.empty,
        description=None if differ.empty else f"{len(differ)} day(s) of a location differ, first {differ.index[0]}",
        metadata={"compared": len(wide), "differ": len(differ)},
    )


@dg.asset_check(asset=["features", "air_quality_hourly"], name="one_row_per_location_hour")
def one_row_per_location_hour(
    context: dg.AssetCheckExecutionContext, timescale: TimescaleResource
) -> dg.AssetCheckResult:
    """Fails where a location's hour has a series and no features, or features and no series. Days of the series that
    rules hold back are left out."""
    window = judged_window(context)
    series, features = _hours(AIR_QUALITY, window), _hours(AIR_QUALITY_HOURLY, window)
    with timescale.connect() as connection:
        without = connection.execute(_count(sa.except_(series, features))).scalar_one()
        beyond = connection.execute(_count(sa.except_(features, series))).scalar_one()
    return dg.AssetCheckResult(
        passed=not without and not beyond,
        metadata={"hours_without_features": without, "features_without_hours": beyond},
    )


@dg.asset_check(asset=["quality", "air_quality_report"], name="score_is_good")
def score_is_good(context: dg.AssetCheckExecutionContext, timescale: TimescaleResource) -> dg.AssetCheckResult:
    """Warns of days on which a location scores below 90 %."""
    table = sql.table_of(AIR_QUALITY_REPORT)
    query = sa.select(table.c.day, table.c.location_id, table.c.score_pct).where(
        sql.in_window(table.c.day, judged_window(context), AIR_QUALITY_REPORT.closed),
        table.c.score_pct < GOOD_SCORE_PCT,
    )
    with timescale.connect() as connection:
        worst = connection.execute(query.order_by(table.c.score_pct, table.c.day)).all()
    lines = [f"| {row.day:%Y-%m-%d} | {row.location_id} | {row.score_pct:.1f} |" for row in worst[:10]]
    return dg.AssetCheckResult(
        passed=not worst,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "below": len(worst),
            "worst": dg.MetadataValue.md("\n".join(["| day | location | score, % |", "|---|---:|---:|", *lines])),
        },
    )


def all_checks() -> Sequence[dg.AssetChecksDefinition]:
    """Every check of the product."""
    specs = (OPENAQ_MEASUREMENTS, AIR_QUALITY, AIR_QUALITY_HOURLY, AIR_QUALITY_REPORT, AIR_QUALITY_ANOMALIES)
    return [
        *(ledger_closed(spec) for spec in specs),
        *(schema_as_declared(spec) for spec in specs),
        nothing_owed,
        reads_what_staging_loaded,
        one_row_per_location_hour,
        score_is_good,
    ]


def source_checks(datasets: Iterable[SourceDataset]) -> list[dg.AssetChecksDefinition]:
    """The checks of the staging tables of datasets that have a source."""
    specs = [spec for dataset in datasets for spec in sourced_tables(dataset)]
    return [check(spec) for spec in specs for check in (ledger_closed, schema_as_declared)]


def _key(spec: TableSpec) -> dg.AssetKey:
    return dg.AssetKey([spec.schema, spec.name])


def _same_type(declared: str, present: str) -> bool:
    """SQLAlchemy prints some types by another name than it reads them."""
    names = {"DATETIME": "TIMESTAMP", "DOUBLE": "DOUBLE PRECISION"}
    return names.get(declared, declared) == present


def _hours(spec: TableSpec, window: Window) -> sa.Select[tuple[object, ...]]:
    table = sql.table_of(spec)
    return (
        sa.select(table.c.location_id, table.c.datetime_utc)
        .where(sql.in_window(table.c.datetime_utc, window, spec.closed), rule_results.not_held(AIR_QUALITY, table))
        .distinct()
    )


def _count(rows: sa.CompoundSelect[tuple[object, ...]]) -> sa.Select[tuple[int]]:
    return sa.select(sa.func.count()).select_from(rows.subquery())
