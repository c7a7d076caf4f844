"""Tables as Dagster sees them: types, column schemas, and the options every table's asset shares.

Belongs here: the one door between Pandera models and Dagster. Does not belong here: assets, partitions.
"""

import warnings
from functools import cache
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa

from resources.timescale.contract import broken_rows, summary
from resources.timescale.report import column_schema
from resources.timescale.slices import SliceStream
from schemas.freshness import fresh
from schemas.table_spec import TableSpec

RETRY = dg.RetryPolicy(max_retries=2, delay=30, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""For errors that may pass, such as a database that restarts: about 30 s, then 60 s. Errors that will not pass end the
step at once (`dg.Failure`, `allow_retries=False`)."""

BETA_WE_STAND_ON = "Parameter `(backfill_policy|allow_nonexistent_upstream_partitions)`"
"""Ranges that are one run, and windows that reach back before the first day there is."""


@cache
def table_type(spec: TableSpec) -> dg.DagsterType:
    """The type of an asset that fills the table: a frame that satisfies its model, or a stream of such frames.

    The frames of a stream are validated one by one by the IO manager, before anything of them is written.
    """

    def check(_: dg.TypeCheckContext, value: object) -> dg.TypeCheck:
        if isinstance(value, SliceStream | pa.Table):
            return dg.TypeCheck(success=True)
        if not isinstance(value, pd.DataFrame):
            return dg.TypeCheck(
                success=False, description=f"expected rows of {spec.qualified}, got {type(value).__name__}"
            )
        failures = broken_rows(value, spec)
        if failures.empty:
            return dg.TypeCheck(success=True)
        return dg.TypeCheck(
            success=False,
            description=summary(failures),
            metadata={
                "failures": len(failures),
                "examples": dg.MetadataValue.md(failures.head(10).astype(str).to_markdown(index=False)),
            },
        )

    return dg.DagsterType(
        type_check_fn=check,
        name=spec.model.__name__,
        description=spec.model.__doc__,
        metadata={"dagster/column_schema": column_schema(spec)},
    )


def table_options(spec: TableSpec, *, dataset: str) -> dict[str, Any]:
    """Options of `dg.asset` that follow from the table: key, group, kinds, tags, metadata, IO manager, type."""
    # Everything stands on these, so nobody needs to be told at every start that they are marked beta.
    warnings.filterwarnings("ignore", message=BETA_WE_STAND_ON, category=dg.BetaWarning)
    return {
        "key": dg.AssetKey([spec.schema, spec.name]),
        "group_name": dataset,
        "kinds": {"timescaledb", "pandas"},
        "tags": {"layer": spec.schema},
        "owners": ["team:data-engineering"],
        "metadata": {
            "dagster/table_name": spec.qualified,
            "dagster/column_schema": column_schema(spec),
            "dagster/storage_kind": "timescaledb",
            "partition_expr": spec.time_column,
            "closed": spec.closed,
        },
        "dagster_type": table_type(spec),
        "io_manager_key": "feast_io_manager" if spec.served else "io_manager",
        "backfill_policy": dg.BackfillPolicy.single_run(),
        "retry_policy": RETRY,
        "freshness_policy": _freshness(spec, dataset),
    }


def _freshness(spec: TableSpec, dataset: str) -> dg.FreshnessPolicy | None:
    promised = fresh(spec, dataset)
    return dg.FreshnessPolicy.time_window(promised.fail, promised.warn) if promised else None
