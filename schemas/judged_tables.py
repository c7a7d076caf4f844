"""Which question is asked of which table: from each dataset's declaration, what its quality is measured by.

Belongs here: `Judged` of every table. Does not belong here: the tables the answers go to (`quality_tables.py`).
"""

from datetime import timedelta

from schemas.file_dataset import FileDataset
from schemas.file_tables import FileTables
from schemas.quality_dimensions import Judged, Order, Reference, Same, Twins
from schemas.source_dataset import OWN_COLUMNS, Shows, SourceDataset, SourceTable
from schemas.table_spec import TableSpec
from schemas.window import ONE_DAY

OPENAQ_IS_DUE_AFTER = timedelta(days=5)
"""OpenAQ's archive shows a day up to so much later; its API is faster, and nobody is late who is faster."""

FILES_ARE_DUE_AFTER = timedelta(days=31)
"""Many files tell of a month and come when it has ended."""

TWINS_MAY_DIFFER_PCT = 25.0
"""Uncertainty that Directive 2008/50/EC, annex I, allows fixed measurements of particles."""

TWINS_FLOOR_UGM3 = 5.0
"""Near zero a share says nothing: so much is within the noise of two sound instruments."""

ABSENT_BY_NATURE = frozenset({"started_at", "completed_at", "deadline", "attributed_to", "depends_on", "reopened"})
"""Columns of snapshots that are empty of a thing that has not come to it yet, which makes nothing incomplete."""

SNAPSHOT_ORDER = (
    Order(earlier="created_at", later="completed_at"),
    Order(earlier="started_at", later="completed_at"),
    Order(earlier="started_at", later="due_at"),
)
"""What is so of any table of a source that has both columns."""


def openaq_judged(staging: TableSpec, series: TableSpec, features: TableSpec) -> dict[str, tuple[Judged, ...]]:
    """Per layer, what is asked of OpenAQ's tables. Two sensors of one location for one parameter are each other's
    reference."""
    return {
        "staging": (
            Judged(
                table=staging.qualified,
                filled=("value",),
                entities=("sensors_id",),
                identity=staging.natural_key,
                consistent=(Same(columns=("parameter", "units", "location_id"), per=("sensors_id",)),),
                due_after=OPENAQ_IS_DUE_AFTER,
            ),
        ),
        "timeseries": (
            Judged(
                table=series.qualified,
                filled=("value",),
                stand_in="is_imputed",
                entities=("location_id", "sensors_id", "parameter"),
                per_day=24,
                valid="is_valid",
                consistent=(Same(columns=("unit",), per=("parameter",)),),
                follows=staging.qualified,
                twins=Twins(
                    group=("location_id", "parameter", "datetime_utc"),
                    of="sensors_id",
                    value="value",
                    tolerance_pct=TWINS_MAY_DIFFER_PCT,
                    floor=TWINS_FLOOR_UGM3,
                ),
                due_after=OPENAQ_IS_DUE_AFTER,
            ),
        ),
        "features": (
            Judged(
                table=features.qualified,
                filled=("aqi",),
                entities=("location_id",),
                per_day=24,
                consistent=(_rests_on(features, series, ("location_id",)),),
                due_after=OPENAQ_IS_DUE_AFTER,
            ),
        ),
    }


def file_judged(dataset: FileDataset, tables: FileTables) -> dict[str, tuple[Judged, ...]]:
    """Per layer, what is asked of the tables of a dataset of files."""
    told = dict.fromkeys((*dataset.entities, *(name for metric in dataset.metrics for name in metric.of)))
    about = tuple(name for name in told if name not in dataset.key)
    per_day = ONE_DAY // dataset.cadence
    agree = (Same(columns=about, per=dataset.key),) if dataset.key and about else ()
    staging = Judged(
        table=tables.staging.qualified,
        filled=tuple(dict.fromkeys((*dataset.key, dataset.event_time, *about))),
        identity=dataset.key,
        consistent=agree,
        due_after=FILES_ARE_DUE_AFTER,
        counts_cells=True,
    )
    series = Judged(
        table=tables.series.qualified,
        filled=("value",),
        entities=(*dataset.entities, "metric"),
        per_day=per_day,
        valid="is_valid",
        consistent=(Same(columns=("unit",), per=("metric",)),),
        due_after=FILES_ARE_DUE_AFTER,
    )
    features = Judged(
        table=tables.features.qualified,
        filled=tuple(metric.name for metric in dataset.metrics),
        entities=dataset.entities,
        per_day=per_day,
        consistent=(_rests_on(tables.features, tables.series, dataset.entities),),
        due_after=FILES_ARE_DUE_AFTER,
    )
    return {"staging": (staging,), "timeseries": (series,), "features": (features,)}


def source_judged(dataset: SourceDataset, features: tuple[TableSpec, ...]) -> dict[str, tuple[Judged, ...]]:
    """Per layer, what is asked of the tables of a dataset with a source. A column that is called like the key of
    another of its tables refers to it."""
    keys = {table.key[0]: table for table in dataset.tables if table.shows is Shows.STATE and len(table.key) == 1}
    found = {"staging": tuple(_staged(table, keys) for table in dataset.tables)}
    if features:
        found["features"] = tuple(
            Judged(
                table=spec.qualified,
                filled=tuple(spec.features),
                entities=spec.entities,
                per_day=1,
                consistent=tuple(_refers(name, keys[name]) for name in spec.entities if name in keys),
            )
            for spec in features
        )
    return found


def _staged(table: SourceTable, keys: dict[str, SourceTable]) -> Judged:
    columns = [name for name in table.staging.to_schema().columns if name not in OWN_COLUMNS]
    is_state = table.shows is Shows.STATE
    references = tuple(_refers(name, keys[name]) for name in columns if name in keys and keys[name] is not table)
    orders = tuple(order for order in SNAPSHOT_ORDER if {order.earlier, order.later} <= set(columns))
    return Judged(
        table=f"staging.{table.staging_table}",
        filled=tuple(name for name in columns if name not in ABSENT_BY_NATURE),
        entities=table.key if is_state else (),
        per_day=1 if is_state else None,
        consistent=(*references, *orders),
    )


def _refers(column: str, to: SourceTable) -> Reference:
    return Reference(columns=(column,), table=f"staging.{to.staging_table}", of=to.key)


def _rests_on(features: TableSpec, series: TableSpec, entities: tuple[str, ...]) -> Reference:
    return Reference(
        columns=(*entities, features.time_column or ""),
        table=series.qualified,
        of=(*entities, series.time_column or ""),
    )
