"""The asset that looks for drift in the features of every view.

Belongs here: which rows it looks at, what is written and shown of it. Does not belong here: how drift is measured
(`drift.py`), when it runs (`assets_pkg/automation.py`).
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import dagster as dg
import pandas as pd
import sqlalchemy as sa
from pydantic import Field

from assets_pkg.dagster_types import table_options
from assets_pkg.drawing import as_markdown
from assets_pkg.partitions import event_days, window_of
from assets_pkg.quality.drift import drift_of
from assets_pkg.quality.drift_pictures import drift_picture, drift_table
from resources.catalog.feature_rows import histories
from resources.errors import ConfigurationError
from resources.timescale import sql
from resources.timescale.resource import TimescaleResource
from resources.timescale.slices import SliceStream, SliceWrite
from schemas.feature_drift import CURRENT_DAYS, REFERENCE_WEEKS, Verdict
from schemas.feature_selection import FEATURE_STORE
from schemas.table_spec import TableSpec
from schemas.tables import FEATURE_DRIFT, IMPORTANCE, SERVED
from schemas.window import ONE_DAY, Window


class DriftConfig(dg.Config):
    """What is compared; the same configuration gives the same rows."""

    views: list[str] = Field([], description="Feast views to look at; empty: all")
    current_days: int = Field(CURRENT_DAYS, ge=1, le=7, description="newest days, up to the end of the partition")
    reference_weeks: int = Field(
        REFERENCE_WEEKS, ge=1, le=52, description="weeks before whose weekdays they are put to"
    )
    most_rows: int = Field(200_000, ge=100, description="rows read per view: whole entities, as many as fit")


_BEFORE = dg.TimeWindowPartitionMapping(
    start_offset=1 - CURRENT_DAYS - 7 * REFERENCE_WEEKS, allow_nonexistent_upstream_partitions=True
)


@dg.asset(
    **table_options(FEATURE_DRIFT, dataset=FEATURE_STORE),
    partitions_def=event_days(str(FEATURE_DRIFT.first_day)),
    deps=[dg.AssetDep([spec.schema, spec.name], partition_mapping=_BEFORE) for spec in SERVED.values()],
)
def feature_drift(context: dg.AssetExecutionContext, config: DriftConfig, timescale: TimescaleResource) -> SliceStream:
    """Per view and feature: do the newest days look like the same weekdays of the weeks before? An alarm needs a large
    effect and a small adjusted p-value; few rows have no verdict. As of the END of the day, what matters most first."""

    def writes() -> Iterator[SliceWrite]:
        for day in window_of(context).days():
            for view in _chosen(config):
                yield _looked_at(context, config, timescale, SERVED[view], day)

    return SliceStream(writes())


def _chosen(config: DriftConfig) -> list[str]:
    """
    Raises:
        ConfigurationError: there is no such view.
    """
    if unknown := sorted(set(config.views) - set(SERVED)):
        raise ConfigurationError(f"no view {', '.join(unknown)} is served; views are {', '.join(sorted(SERVED))}")
    return sorted(set(config.views) or SERVED)


def _looked_at(
    context: dg.AssetExecutionContext, config: DriftConfig, timescale: TimescaleResource, spec: TableSpec, day: date
) -> SliceWrite:
    """The view's rows of the day replace those that were there; other views' stay."""
    before = timedelta(days=config.current_days - 1, weeks=config.reference_weeks)
    read = histories(timescale, spec, Window.of_days(day, day).widened(before=before), most_rows=config.most_rows)
    rows = drift_of(
        read.rows,
        spec,
        day,
        _importance(timescale, spec.view, Window.of_days(day, day).end),
        current_days=config.current_days,
        reference_weeks=config.reference_weeks,
    )
    context.log.info(f"{spec.view} on {day}: {len(read.rows)} rows of {read.entities_read} of {read.entities} entities")
    _show(context, rows, spec.view, day)
    return SliceWrite(rows=rows, window=Window.of_days(day, day), units=(spec.view,))


def _importance(timescale: TimescaleResource, view: str, until: datetime) -> "pd.Series[float] | None":
    """The best rank of each feature over the view's targets, as it was found last before `until`; None: never."""
    table = sql.table_of(IMPORTANCE)
    days = sa.select(sa.func.max(table.c.day)).where(table.c.view == view, table.c.day <= until - ONE_DAY)
    query = sa.select(table.c.feature, sa.func.min(table.c.rank)).group_by(table.c.feature)
    with timescale.connect() as connection:
        if not sa.inspect(connection).has_table(IMPORTANCE.name, schema=IMPORTANCE.schema):
            return None
        found = connection.execute(query.where(table.c.view == view, table.c.day == days.scalar_subquery())).all()
    return pd.Series(dict(map(tuple, found)), dtype="float64") if found else None


def _show(context: dg.AssetExecutionContext, rows: pd.DataFrame, view: str, day: date) -> None:
    """What was found, in the metadata of the day's partition."""
    if rows.empty:
        context.add_asset_metadata({f"{view}: why none": "no rows"}, partition_key=day.isoformat())
        return
    counts = {f"{view}: {one.value}": int((rows["verdict"] == one.value).sum()) for one in Verdict}
    picture = as_markdown(drift_picture(rows), f"{view}: drift")
    shown = {**counts, view: dg.MetadataValue.md(f"{picture}\n\n{drift_table(rows)}")}
    context.add_asset_metadata(shown, partition_key=day.isoformat())
    seen_at = {"drift": shown[view]}  # on the features too: whoever looks at them need not know of this asset
    key = dg.AssetKey([SERVED[view].schema, SERVED[view].name])
    context.log_event(dg.AssetObservation(key, metadata=seen_at, partition=day.isoformat()))
