"""The five tables that follow from the declaration of a dataset of files.

Belongs here: their models, spelled from the declaration, and their `TableSpec`s. Does not belong here: declarations
(`file_datasets/`), how rows come about.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any

import pandera.pandas as pa

from schemas.anomalies import WatchedSeries, anomaly_table
from schemas.base import NullableBool, NullableInt, TableModel, Text, UtcTimestamp
from schemas.file_dataset import FileDataset, StagedRows
from schemas.spelled_models import camel, model_of
from schemas.table_spec import Prediction, Read, Served, TableSpec
from schemas.window import ONE_DAY

KINDS: dict[str, Any] = {
    "text": Text,
    "integer": NullableInt,
    "number": float,
    "boolean": NullableBool,
    "timestamp": UtcTimestamp,
}
"""Kinds of values of arriving columns, as column types."""
ACTIVE_FOR = timedelta(days=28)
"""An entity without rows counted nothing, and is not unknown, if it had rows in so many days before: one that sells
rarely keeps its zeros, and one that was given up does not have them for ever."""

STATISTICS = {"mean": "mean", "min": "minimum", "max": "maximum", "std": "sample standard deviation"}


@dataclass(frozen=True)
class FileTables:
    """The tables of one dataset of files."""

    staging: TableSpec
    series: TableSpec
    features: TableSpec
    report: TableSpec
    anomalies: TableSpec

    def __iter__(self) -> Iterator[TableSpec]:
        return iter((self.staging, self.series, self.features, self.report, self.anomalies))


def zeros_look_back(dataset: FileDataset) -> timedelta:
    """How far back rows tell which entities are active, so that a step without rows of theirs means zero."""
    return ACTIVE_FOR if any(metric.fills_with_zero for metric in dataset.metrics) else timedelta(0)


def look_back(dataset: FileDataset) -> timedelta:
    """How far back the features look, in whole days."""
    steps = max((*dataset.windows, *dataset.lags))
    return timedelta(days=-(-(steps * dataset.cadence) // ONE_DAY))


@cache
def tables_of(dataset_name: str) -> FileTables:
    """The tables of a declared dataset; asset keys end in `<staging_table>`, `<name>`, `<name>_features`,
    `<name>_report`, `<name>_anomalies`.

    Raises:
        KeyError: nobody declared it.
    """
    from schemas.declared_files import file_datasets

    return build_tables(file_datasets()[dataset_name])


def build_tables(dataset: FileDataset) -> FileTables:
    """The tables that follow from a declaration."""
    first_day, name = date.fromisoformat(dataset.first_day), dataset.name
    staging = TableSpec(
        schema="staging",
        name=dataset.staging_table,
        model=dataset.staging,
        dataset=name,
        first_day=first_day,
        key=("arrived_at", "source_id", "line_no"),
        time_column="arrived_at",
        event_time=dataset.event_time,
        fact_key=dataset.key,
        by_arrival=True,
        indexes=dataset.indexes,
        unit="source_id",
        origin=(),
        natural_key=("source_id", "line_no"),
        chunk=timedelta(days=30),
        compress_after=timedelta(days=60),
    )
    series = TableSpec(
        schema="timeseries",
        name=name,
        model=_series_model(dataset),
        dataset=name,
        first_day=first_day,
        key=(*dataset.entities, "metric", "datetime_utc"),
        time_column="datetime_utc",
        origin=("source_id", "line_no"),
        reads=(Read(table=staging.qualified, by_event=True, before=zeros_look_back(dataset)),),
        chunk=timedelta(days=30),
        compress_after=timedelta(days=90),
    )
    features = TableSpec(
        schema="features",
        name=f"{name}_features",
        model=_features_model(dataset),
        dataset=name,
        first_day=first_day,
        key=(*dataset.entities, "datetime_utc"),
        time_column="datetime_utc",
        reads=(Read(table=series.qualified, before=look_back(dataset)),),
        chunk=timedelta(days=30),
        compress_after=timedelta(days=90),
        served=Served(
            view=f"{name}_features",
            ttl=look_back(dataset),
            complete_after=dataset.cadence,
            predicts=tuple(
                Prediction(name=f"next_{metric.name}", column=metric.name, horizon=dataset.cadence)
                for metric in dataset.metrics
            ),
        ),
        keeps_history=True,
    )
    report = TableSpec(
        schema="quality",
        name=f"{name}_report",
        model=_report_model(dataset),
        dataset=name,
        first_day=first_day,
        key=("day",),
        time_column="day",
        reads=(Read(table=series.qualified, before=timedelta(days=7)),),
        chunk=timedelta(days=365),
    )
    return FileTables(staging, series, features, report, anomaly_table(watched_series(dataset, series)))


def watched_series(dataset: FileDataset, series: TableSpec) -> WatchedSeries:
    """The dataset's series as detectors of anomalies see them."""
    return WatchedSeries(
        table=series,
        entities=dataset.entities,
        together=dataset.entities,
        metric="metric",
        cadence=dataset.cadence,
        is_imputed_missing=False,
    )


def undeclared_table(dataset_name: str, columns: Sequence[tuple[str, str, str]]) -> TableSpec:
    """The staging table of a dataset nobody declared: per column its physical name, kind and name as received."""
    cells = {
        name: (KINDS[kind], pa.Field(nullable=True, description=f"{original or 'column without a name'}, as received"))
        for name, kind, original in columns
    }
    model = model_of(
        camel(f"{dataset_name}_files"),
        f"Rows of files dropped in the folder of {dataset_name}, which nobody declared.",
        cells,
        base=StagedRows,
    )
    return TableSpec(
        schema="staging",
        name=f"{dataset_name}_files",
        model=model,
        dataset=dataset_name,
        key=("arrived_at", "source_id", "line_no"),
        time_column="arrived_at",
        unit="source_id",
        natural_key=("source_id", "line_no"),
        chunk=timedelta(days=30),
    )


def _entity_columns(dataset: FileDataset) -> dict[str, tuple[Any, Any]]:
    descriptions = {name: column.description for name, column in dataset.staging.to_schema().columns.items()}
    return {name: (Text, pa.Field(description=descriptions[name])) for name in dataset.entities}


def _series_columns(metrics: str, step: str) -> dict[str, tuple[Any, Any]]:
    """The columns that a series has beside its entities."""
    return {
        "metric": (Text, pa.Field(description=f"what is counted: {metrics}")),
        "datetime_utc": (UtcTimestamp, pa.Field(description=f"START of the {step}, UTC")),
        "value": (float, pa.Field(nullable=True, description="aggregate of the step in `unit`; null if unknown")),
        "unit": (Text, pa.Field(description="unit of `value`")),
        "flags": (Text, pa.Field(description="quality flags, joined by |; empty if none")),
        "is_valid": (bool, pa.Field(description="whether features may use the value")),
        "is_imputed": (bool, pa.Field(description="whether the value follows from the absence of rows")),
        "samples": (int, pa.Field(ge=0, description="rows the value rests on")),
        "source_id": (NullableInt, pa.Field(nullable=True, description="file of the step's last row")),
        "line_no": (NullableInt, pa.Field(nullable=True, description="line of the step's last row in its file")),
        "known_at": (UtcTimestamp, pa.Field(description="when the newest row behind the value became known, UTC")),
    }


SERIES_COLUMNS = frozenset(_series_columns("", ""))  # no entity may have one of these names


def _series_model(dataset: FileDataset) -> type[TableModel]:
    if clashing := set(dataset.entities) & SERIES_COLUMNS:
        told = f"every series has columns {', '.join(sorted(clashing))} of its own"
        raise ValueError(f"{dataset.name}: {told}; name the entity otherwise and declare the file's name as an alias")
    metrics, step = ", ".join(metric.name for metric in dataset.metrics), _spelled(dataset.cadence)
    return model_of(
        camel(dataset.name),
        f"One row per {', '.join(dataset.entities)}, metric and step of {step}.",
        {**_entity_columns(dataset), **_series_columns(metrics, step)},
        unique=[*dataset.entities, "metric", "datetime_utc"],
    )


def _features_model(dataset: FileDataset) -> type[TableModel]:
    step = _spelled(dataset.cadence)
    columns: dict[str, tuple[Any, Any]] = {
        **_entity_columns(dataset),
        "datetime_utc": (UtcTimestamp, pa.Field(description=f"START of the {step}; its own rows count, UTC")),
    }

    def number(name: str, description: str, **bounds: Any) -> None:
        columns[name] = (float, pa.Field(nullable=True, description=description, **bounds))

    for cycle, unit in (("day", "time of day"), ("week", "time of week"), ("year", "day of year")):
        for function in ("sin", "cos"):
            number(f"{cycle}_{function}", f"{function} of the {unit}, UTC", ge=-1, le=1)
    for metric in dataset.metrics:
        name, unit = metric.name, metric.unit
        number(name, f"{metric.description}, in the {step}, {unit}")
        for window in dataset.windows:
            for short, long in STATISTICS.items():
                number(f"{name}_{short}_{window}", f"{long} over the last {window} steps of {step}, {unit}")
            number(f"{name}_slope_{window}", f"least-squares slope over the last {window} steps, {unit} per step")
            number(f"{name}_coverage_{window}_pct", f"steps with a value, last {window}, percent", ge=0, le=100)
        for lag in dataset.lags:
            number(f"{name}_lag_{lag}", f"value {lag} steps of {step} before, {unit}")
            number(f"{name}_change_{lag}_pct", f"change against {lag} steps before, percent; null from zero")
        number(f"{name}_share_pct", "share of the sum over all entities in the step, percent; null if that is zero")
    columns["known_at"] = (UtcTimestamp, pa.Field(description="when the newest row behind it became known, UTC"))
    return model_of(
        f"{camel(dataset.name)}Features",
        f"One row per {', '.join(dataset.entities)} and {step}, as of the end of that {step}.",
        columns,
        unique=[*dataset.entities, "datetime_utc"],
    )


def _report_model(dataset: FileDataset) -> type[TableModel]:
    def count(description: str) -> tuple[Any, Any]:
        return int, pa.Field(ge=0, description=description)

    def percent(description: str) -> tuple[Any, Any]:
        return float, pa.Field(nullable=True, ge=0, le=100, description=description)

    return model_of(
        f"{camel(dataset.name)}Report",
        "One row per UTC day that rows are about.",
        {
            "day": (UtcTimestamp, pa.Field(description="start of the UTC day")),
            "rows_read": count("staged rows about the day"),
            "rows_loaded": count("rows the series rest on"),
            "rows_duplicate": count("rows another row of the same key stands for"),
            "rows_quarantined": count("rows put aside on the way to the series"),
            "rows_filtered": count("rows of files a newer version stands for"),
            "is_ledger_closed": (
                bool,
                pa.Field(description="whether every row read is accounted for"),
            ),
            "files": count("files the series rest on"),
            "entities": count("different entities with a value"),
            "entities_expected": count("different entities with a value in the seven days before or on the day"),
            "steps_valid": count("steps features may use, all metrics"),
            "steps_flagged": count("steps with any flag, all metrics"),
            "completeness_pct": percent("entities / entities expected, percent"),
            "validity_pct": percent("steps valid / steps with a value, percent"),
            "uniqueness_pct": percent("1 - duplicate / read, percent"),
            "delay_h": (float, pa.Field(nullable=True, description="from the end of the day to its newest row, hours")),
            "score_pct": percent("mean of completeness, validity and uniqueness, percent; 0 without data"),
            "known_at": (UtcTimestamp, pa.Field(description="when the newest row behind the report became known, UTC")),
        },
        unique=["day"],
    )


def _spelled(cadence: timedelta) -> str:
    """The step in a word: day, hour, 15 min."""
    words = {ONE_DAY: "day", timedelta(hours=1): "hour"}
    return words.get(cadence, f"{cadence // timedelta(minutes=1)} min")
