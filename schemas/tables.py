"""Every table of the product: `TABLES` is the one registry that the DDL, the IO manager, the assets and the tests read.

Belongs here: facts of a table that no column type can say. Does not belong here: how rows come about.
"""

from collections.abc import Iterator
from datetime import date, timedelta

from schemas.anomalies import WatchedSeries, anomaly_table
from schemas.datasets import OPENAQ
from schemas.declared_files import file_datasets
from schemas.delivery_tables import DELIVERY_FEATURES
from schemas.feature_drift import drift_table
from schemas.feature_selection import FEATURE_STORE, selection_tables
from schemas.features import AirQualityHourly
from schemas.file_tables import tables_of, watched_series
from schemas.judged_tables import file_judged, openaq_judged, source_judged
from schemas.quality import AirQualityReport, FeatureParity
from schemas.quality_tables import qualities_of
from schemas.series_wide import DeclaredSeries, wide_table
from schemas.source_tables import source_datasets, sourced_tables
from schemas.staging import OpenaqMeasurements
from schemas.table_spec import Aggregate, Prediction, Read, Served, TableSpec, registry
from schemas.timeseries import AirQuality
from schemas.window import ONE_DAY

OPENAQ_FIRST_DAY = date.fromisoformat(OPENAQ.first_day)

LOOK_BACK = timedelta(days=7)
"""The longest time back that any hourly feature looks."""

CLEANING_CONTEXT = timedelta(days=1)
"""How far around a day cleaning looks, to see a run of equal values or a spike whole. Imputation looks back only."""

OPENAQ_MEASUREMENTS = TableSpec(
    schema="staging",
    name="openaq_measurements",
    model=OpenaqMeasurements,
    dataset=OPENAQ.name,
    first_day=OPENAQ_FIRST_DAY,
    key=("datetime_utc", "source_id", "line_no"),
    time_column="datetime_utc",
    closed="right",
    unit="location_id",
    origin=("source_id", "line_no"),
    natural_key=("sensors_id", "datetime_utc"),
    compress_after=timedelta(days=30),
)

AIR_QUALITY = TableSpec(
    schema="timeseries",
    name="air_quality",
    model=AirQuality,
    dataset=OPENAQ.name,
    first_day=OPENAQ_FIRST_DAY,
    key=("location_id", "sensors_id", "parameter", "datetime_utc"),
    time_column="datetime_utc",
    closed="right",
    unit="location_id",
    origin=("source_id", "line_no"),
    reads=(Read(table="staging.openaq_measurements", before=CLEANING_CONTEXT, after=CLEANING_CONTEXT),),
    compress_after=timedelta(days=30),
    aggregates=tuple(
        Aggregate(
            name=f"air_quality_{name}",
            bucket=bucket,
            by=("location_id", "parameter"),
            value_column="value",
            where="is_valid",
        )
        for name, bucket in (("hourly", timedelta(hours=1)), ("daily", ONE_DAY))
    ),
)

AIR_QUALITY_HOURLY = TableSpec(
    schema="features",
    name="air_quality_hourly",
    model=AirQualityHourly,
    dataset=OPENAQ.name,
    first_day=OPENAQ_FIRST_DAY,
    key=("location_id", "datetime_utc"),
    time_column="datetime_utc",
    closed="right",
    unit="location_id",
    reads=(Read(table="timeseries.air_quality", before=LOOK_BACK),),
    chunk=timedelta(days=30),
    compress_after=timedelta(days=60),
    # A station that is silent for a day says nothing of today's air.
    served=Served(
        view="air_quality_hourly",
        ttl=ONE_DAY,
        predicts=(Prediction(name="pm25_in_24h", column="pm25_ugm3", horizon=ONE_DAY),),
    ),
    keeps_history=True,
)

AIR_QUALITY_REPORT = TableSpec(
    schema="quality",
    name="air_quality_report",
    model=AirQualityReport,
    dataset=OPENAQ.name,
    first_day=OPENAQ_FIRST_DAY,
    key=("location_id", "day"),
    time_column="day",
    unit="location_id",
    reads=(Read(table="timeseries.air_quality", before=LOOK_BACK), Read(table="staging.openaq_measurements")),
    chunk=timedelta(days=365),
)

WATCHED_AIR_QUALITY = WatchedSeries(
    table=AIR_QUALITY,
    entities=("location_id", "sensors_id"),
    together=("location_id",),
    metric="parameter",
    cadence=OPENAQ.cadence,
    is_imputed_missing=True,
)

AIR_QUALITY_ANOMALIES = anomaly_table(WATCHED_AIR_QUALITY)

_OPENAQ = (OPENAQ_MEASUREMENTS, AIR_QUALITY, AIR_QUALITY_HOURLY, AIR_QUALITY_REPORT)

OPENAQ_QUALITY = qualities_of(OPENAQ.name, openaq_judged(*_OPENAQ[:3]), _OPENAQ)

OPENAQ_TABLES = {
    spec.qualified: spec for spec in (*_OPENAQ, AIR_QUALITY_ANOMALIES, *(one.spec for one in OPENAQ_QUALITY))
}

_SOURCED = {name: tuple(sourced_tables(dataset)) for name, dataset in source_datasets().items()}

QUALITIES = (
    *OPENAQ_QUALITY,
    *(
        quality
        for name, dataset in source_datasets().items()
        for features in [tuple(spec for spec in DELIVERY_FEATURES if spec.dataset == name)]
        for quality in qualities_of(name, source_judged(dataset, features), (*_SOURCED[name], *features))
    ),
    *(
        quality
        for name, dataset in file_datasets().items()
        for quality in qualities_of(name, file_judged(dataset, tables_of(name)), tuple(tables_of(name)))
    ),
)
"""What is asked of every table of every dataset, layer by layer."""

DATA_TABLES = registry(
    OPENAQ_TABLES.values(),
    *_SOURCED.values(),
    DELIVERY_FEATURES,
    *(tables_of(name) for name in file_datasets()),
    (one.spec for one in QUALITIES[len(OPENAQ_QUALITY) :]),
)
"""The tables of the datasets."""

SERVED = {spec.view: spec for spec in DATA_TABLES.values() if spec.served}
"""The feature tables that are served, by their view."""

FEATURE_PARITY = TableSpec(
    schema="quality",
    name="feature_parity",
    model=FeatureParity,
    dataset=FEATURE_STORE,
    first_day=date(2026, 1, 1),
    key=("view", "day"),
    time_column="day",
    reads=tuple(Read(table=spec.qualified, marks=False) for spec in SERVED.values()),
    chunk=timedelta(days=365),
)

FEATURE_DRIFT = drift_table(SERVED.values())

SELECTION_TABLES = {spec.qualified: spec for spec in selection_tables(DATA_TABLES.values())}
"""What is found out about the features of all datasets."""

IMPORTANCE, FEATURE_SETS, FEATURE_SCALING = SELECTION_TABLES.values()

SERIES = {OPENAQ.name: DeclaredSeries(table=AIR_QUALITY, entities=("location_id",), metric="parameter")} | {
    name: DeclaredSeries(table=tables_of(name).series, entities=dataset.entities, metric="metric")
    for name, dataset in file_datasets().items()
}
"""The series of every dataset that has some, by its name."""

WATCHED = {OPENAQ.name: WATCHED_AIR_QUALITY} | {
    name: watched_series(dataset, tables_of(name).series) for name, dataset in file_datasets().items()
}
"""The series in which anomalies are sought, by dataset."""

SERIES_WIDE = wide_table(SERIES.values())

TABLES = registry(DATA_TABLES.values(), SELECTION_TABLES.values(), (SERIES_WIDE, FEATURE_PARITY, FEATURE_DRIFT))


def stale_after(table: str, day: date, *, today: date) -> Iterator[tuple[str, date]]:
    """The days of other tables that a change of `table` on `day` makes stale, none of them after `today`.

    Readers by event are left out: see `stale_by_event`.
    """
    for reader, read in _reads_of(table):
        if not read.by_event:
            yield from _around(reader, read, day, today)


def stale_by_event(table: str, day: date, *, today: date) -> Iterator[tuple[str, date]]:
    """The days of other tables that become stale when a row about `day` appears in or goes from `table`. That day may
    be still to come, and is computed when it has; days around it that are after `today` wait for rows of their own."""
    for reader, read in _reads_of(table):
        if read.by_event:
            yield from _around(reader, read, day, max(day, today))


def _reads_of(table: str) -> Iterator[tuple[TableSpec, Read]]:
    return ((reader, read) for reader in TABLES.values() for read in reader.reads if read.table == table and read.marks)


def _around(reader: TableSpec, read: Read, day: date, today: date) -> Iterator[tuple[str, date]]:
    for offset in range(-read.after.days, read.before.days + 1):
        stale = day + timedelta(days=offset)
        if stale <= today and (reader.first_day is None or stale >= reader.first_day):
            yield reader.qualified, stale
