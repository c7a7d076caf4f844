"""The assets that look at features of every view: importance, feature sets, scaling parameters.

Belongs here: which rows they look at, what is written and shown of it, and telling Feast of the sets. Does not belong
here: how numbers come about (`importance.py`, `feature_sets.py`, `scaling_parameters.py`), when they run
(`assets_pkg/automation.py`).
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import dagster as dg
import pandas as pd
from pydantic import Field

from assets_pkg.dagster_types import table_options
from assets_pkg.drawing import as_markdown
from assets_pkg.features.feature_sets import sets_of
from assets_pkg.features.importance import Effort, Found, importance_of
from assets_pkg.features.pictures import importance_picture, importance_table, sets_picture, sets_table
from assets_pkg.features.scaling_parameters import scaling_of
from assets_pkg.partitions import event_days, window_of
from resources.catalog.feature_rows import histories
from resources.errors import ConfigurationError
from resources.feast.resource import FeastResource
from resources.timescale.resource import TimescaleResource
from resources.timescale.slices import SliceStream, SliceWrite
from schemas.base import TableModel, empty
from schemas.feature_selection import FEATURE_STORE, SCALING_WINDOW, WINDOW, FeatureSets, Importance
from schemas.table_spec import Prediction, TableSpec
from schemas.tables import FEATURE_SCALING, FEATURE_SETS, IMPORTANCE, SERVED
from schemas.window import Window

Compute = Callable[[pd.DataFrame, TableSpec, Prediction, date, Effort], Found]


class SelectionConfig(dg.Config):
    """How features are looked at; the same configuration gives the same rows."""

    views: list[str] = Field([], description="Feast views to look at; empty: all")
    window_days: int = Field(WINDOW.days, ge=1, description="days of rows up to the end of the partition")
    most_rows: int = Field(50_000, ge=100, description="rows read per view: whole entities, as many as fit")
    most_examples: int = Field(5_000, ge=100, description="examples that models learn from and are judged on")
    seed: int = Field(0, ge=0, description="seed of everything drawn at random")
    models: int = Field(2, ge=1, le=50, description="models per set of features, each with a seed of its own")
    repeats: int = Field(2, ge=1, le=100, description="shuffles per model and feature")
    population: int = Field(60, ge=8, description="sets per generation of the search")
    generations: int = Field(40, ge=1, description="generations of the search")

    def effort(self) -> Effort:
        """What is spent on an answer."""
        names = ("seed", "models", "repeats", "most_examples", "population", "generations")
        return Effort(**{name: getattr(self, name) for name in names})


class ScalingConfig(dg.Config):
    """What scaling parameters are fitted on."""

    views: list[str] = Field([], description="Feast views to look at; empty: all")
    window_days: int = Field(SCALING_WINDOW.days, ge=1, description="days of rows up to the end of the partition")
    most_rows: int = Field(200_000, ge=1, description="rows read per view: whole entities, as many as fit")


def _options(spec: TableSpec) -> dict[str, Any]:
    """Options of the asset of one of the three tables; it reads by the clock: its inputs are drawn, not loaded."""
    options = table_options(spec, dataset=FEATURE_STORE)
    reads = [(dg.AssetKey(read.table.split(".")), _before(read.before)) for read in spec.reads]
    first_day = spec.first_day.isoformat() if spec.first_day else ""
    return {
        **options,
        "partitions_def": event_days(first_day),
        "deps": [dg.AssetDep(key, partition_mapping=mapping) for key, mapping in reads],
    }


def _before(length: timedelta) -> dg.TimeWindowPartitionMapping:
    return dg.TimeWindowPartitionMapping(start_offset=1 - length.days, allow_nonexistent_upstream_partitions=True)


@dg.asset(**_options(IMPORTANCE))
def importance(context: dg.AssetExecutionContext, config: SelectionConfig, timescale: TimescaleResource) -> SliceStream:
    """How much each feature tells of what its view predicts: mutual information, and what a model loses without it on
    later unseen rows, each with an interval; as of the END of the day. Which features are missing or drift."""

    def writes() -> Iterator[SliceWrite]:
        for day, spec in _asked(context, config.views):
            rows, shown = _look(context, timescale, config, importance_of, spec, day, Importance)
            for target, some in rows.groupby("target"):
                picture = as_markdown(importance_picture(some), f"{target}: importance")
                shown[str(target)] = dg.MetadataValue.md(f"{picture}\n\n{importance_table(some)}")
            yield _write(rows, spec, day)
            _show(context, spec, day, shown)

    return SliceStream(writes())


@dg.asset(**_options(FEATURE_SETS))
def feature_sets(
    context: dg.AssetExecutionContext, config: SelectionConfig, timescale: TimescaleResource, feast: FeastResource
) -> SliceStream:
    """Sets of features worth deploying, as of the END of the day: the Pareto front of predictive value, redundancy,
    cost, missing rows and drift, found by NSGA-II and judged on later unseen rows. Each is a Feast feature service."""

    def writes() -> Iterator[SliceWrite]:
        told: dict[str, TableSpec] = {}
        for day, spec in _asked(context, config.views):
            rows, shown = _look(context, timescale, config, sets_of, spec, day, FeatureSets)
            for target, some in rows.groupby("target"):
                picture = as_markdown(sets_picture(some), f"{target}: sets of features")
                shown[str(target)] = dg.MetadataValue.md(f"{picture}\n\n{sets_table(some)}")
            yield _write(rows, spec, day)
            _show(context, spec, day, shown)
            if len(rows):
                told[spec.view] = spec
        for spec in told.values():
            feast.ensure_applied(spec)
        if told:
            feast.apply_sets()

    return SliceStream(writes())


@dg.asset(**_options(FEATURE_SCALING))
def feature_scaling(
    context: dg.AssetExecutionContext, config: ScalingConfig, timescale: TimescaleResource
) -> SliceStream:
    """What brings the features of each view to a common scale: smallest and largest value, median, mean and deviation
    of the rows up to the END of the day, under a version that names exactly these parameters."""

    def writes() -> Iterator[SliceWrite]:
        for day, spec in _asked(context, config.views):
            window = _window(day, config.window_days)
            read = histories(timescale, spec, window, most_rows=config.most_rows)
            found = scaling_of(read.rows, spec, day, window)
            yield _write(found.rows, spec, day)
            shown: dict[str, Any] = {"rows": len(read.rows), "why none": found.why_none}
            if len(found.rows):
                shown["scaling_version"] = str(found.rows["scaling_version"].iloc[0])
            _show(context, spec, day, shown)

    return SliceStream(writes())


def _asked(context: dg.AssetExecutionContext, views: Sequence[str]) -> Iterator[tuple[date, TableSpec]]:
    """The days of the run, each with every view that is asked for.

    Raises:
        ConfigurationError: there is no such view.
    """
    if unknown := sorted(set(views) - set(SERVED)):
        raise ConfigurationError(f"no view {', '.join(unknown)} is served; views are {', '.join(sorted(SERVED))}")
    for day in window_of(context).days():
        for view in sorted(views or SERVED):
            yield day, SERVED[view]


def _look(
    context: dg.AssetExecutionContext,
    timescale: TimescaleResource,
    config: SelectionConfig,
    compute: Compute,
    spec: TableSpec,
    day: date,
    model: type[TableModel],
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The rows of all of the view's targets on the day, and what is to be shown of them."""
    predicts = spec.served.predicts if spec.served else ()
    if not predicts:
        return empty(model), {"why none": "the view declares nothing to predict"}
    read = histories(timescale, spec, _window(day, config.window_days), most_rows=config.most_rows)
    shown: dict[str, Any] = {"rows": len(read.rows), "entities": read.entities_read}
    if read.entities_read < read.entities:
        whole = f"{read.entities} entities, {len(read.rows)} rows of {read.rows_there}"
        shown["sample"] = f"{read.entities_read} of {whole}"
    found = []
    for prediction in predicts:
        one = compute(read.rows, spec, prediction, day, config.effort())
        told = "; ".join((*((one.why_none,) if one.why_none else ()), *one.notes))
        context.log.info(f"{spec.view} on {day}, {prediction.name}: {len(one.rows)} rows {told}")
        if told:
            shown[f"{prediction.name}: note"] = told
        found.append(one.rows)
    return pd.concat(found, ignore_index=True), shown


def _write(rows: pd.DataFrame, spec: TableSpec, day: date) -> SliceWrite:
    """The view's rows of the day replace those that were there; other views' stay."""
    return SliceWrite(rows=rows, window=Window.of_days(day, day), units=(spec.view,))


def _show(context: dg.AssetExecutionContext, spec: TableSpec, day: date, shown: dict[str, Any]) -> None:
    """What was found, in the metadata of the day's partition."""
    told = {f"{spec.view}: {name}": value for name, value in shown.items() if value is not None}
    context.add_asset_metadata(told, partition_key=day.isoformat())


def _window(day: date, days: int) -> Window:
    return Window.of_days(day, day).widened(before=timedelta(days=days - 1))
