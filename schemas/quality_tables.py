"""The tables of quality per layer: `quality/<dataset>_<layer>`, one row per judged table and day.

Belongs here: their model, spelled for each, and their `TableSpec`s. Does not belong here: what is asked of a table
(`judged_tables.py`), the reports per location or dataset (`quality.py`, `file_tables.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pandera.pandas as pa

from schemas.base import TableModel, Text, UtcTimestamp
from schemas.quality_dimensions import FORMULAS, LOOK_BACK, Dimension, Judged, Reference
from schemas.spelled_models import camel, model_of
from schemas.table_spec import Read, TableSpec

ARRIVALS_FIRST_DAY = date(2024, 1, 1)
"""First UTC day on which files may have arrived."""


@dataclass(frozen=True, kw_only=True)
class LayerQuality:
    """The quality of one layer of a dataset: where it is kept, and what is asked of which table."""

    dataset: str
    layer: str
    spec: TableSpec
    judged: tuple[Judged, ...]


def qualities_of(
    dataset: str, judged: Mapping[str, tuple[Judged, ...]], specs: Sequence[TableSpec]
) -> tuple[LayerQuality, ...]:
    """The quality tables of a dataset whose tables are `specs`, one per layer of `judged`."""
    by_name = {spec.qualified: spec for spec in specs}
    return tuple(_layer_quality(dataset, layer, asked, by_name) for layer, asked in judged.items())


def _layer_quality(
    dataset: str, layer: str, judged: tuple[Judged, ...], specs: Mapping[str, TableSpec]
) -> LayerQuality:
    """It is called `<dataset>_<layer>`, or `<dataset>_<layer>_quality` where the dataset has a table of that name: the
    graph shows the last part of an asset's key only."""
    name = f"{dataset}_{layer}"
    name = f"{name}_quality" if name in {spec.name for spec in specs.values()} else name
    own = specs[judged[0].table]
    spec = TableSpec(
        schema="quality",
        name=name,
        model=_model(name, layer),
        dataset=dataset,
        first_day=ARRIVALS_FIRST_DAY if own.by_arrival else own.first_day,
        key=("table_name", "day"),
        time_column="day",
        by_arrival=own.by_arrival,
        sees_held=True,
        reads=tuple(_reads(judged)),
        chunk=timedelta(days=365),
    )
    return LayerQuality(dataset=dataset, layer=layer, spec=spec, judged=judged)


def _reads(judged: tuple[Judged, ...]) -> list[Read]:
    """Every table that is looked at, once, as far back as any question about it looks."""
    before: dict[str, timedelta] = {}
    for one in judged:
        looked = LOOK_BACK if one.entities else timedelta(0)
        before[one.table] = max(before.get(one.table, timedelta(0)), looked)
        others = [rule.table for rule in one.consistent if isinstance(rule, Reference)]
        for table in (*others, *((one.follows,) if one.follows else ())):
            before.setdefault(table, timedelta(0))
    return [Read(table=table, before=looked) for table, looked in before.items()]


def _model(name: str, layer: str) -> type[TableModel]:
    def count(description: str) -> tuple[Any, Any]:
        return int, pa.Field(ge=0, description=description)

    def percent(description: str) -> tuple[Any, Any]:
        return float, pa.Field(nullable=True, ge=0, le=100, description=f"{description}, percent; null: not measured")

    dimensions = {f"{one.value}_pct": percent(FORMULAS[one]) for one in Dimension}
    return model_of(
        camel(name),
        f"One row per table of the layer {layer} and UTC day of it that has rows, an account or somebody missing.",
        {
            "table_name": (Text, pa.Field(description="schema.table that is judged")),
            "day": (UtcTimestamp, pa.Field(description="start of the UTC day, the table's partition")),
            "rows": count("rows of the table on the day"),
            "rows_read": count("rows its step read, by the ledger"),
            "rows_loaded": count("rows it loaded, by the ledger"),
            "rows_duplicate": count("rows another row stands for, by the ledger"),
            "rows_quarantined": count("rows it put aside, by the ledger"),
            "rows_filtered": count("rows its declaration leaves out, by the ledger"),
            "is_ledger_closed": (bool, pa.Field(description="whether every row read is accounted for")),
            "rows_repeated": count("rows of the table that repeat the identity of another row of the day"),
            "rows_with_bad_values": count("rows of which single values were put aside"),
            "entities": count("different entities on the day; 0 where none are expected"),
            "entities_expected": count("different entities on the day or in the seven days before"),
            "cells": count("cells of the columns that carry the table"),
            "cells_filled": count("those of them with a value that is no guess"),
            **dimensions,
            "dimensions": count("dimensions that were measured"),
            "score_pct": percent("mean of the measured dimensions by their weights"),
            "known_at": (UtcTimestamp, pa.Field(description="when the newest row behind it became known, UTC")),
        },
        unique=["table_name", "day"],
    )
