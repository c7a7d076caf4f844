"""The proof that what is served is what the tables say: an asset that looks, and the check that judges.

Belongs here: when is looked, at what, and what happens where the two differ. Does not belong here: the comparison
(`parity.py`), the cure (`resources/feast/`).
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
import numpy as np
import pandas as pd
import sqlalchemy as sa

from assets_pkg.dagster_types import table_options
from assets_pkg.partitions import event_days
from assets_pkg.quality.parity import Look, parity_rows, wrong
from resources.errors import ConfigurationError
from resources.feast.resource import FeastResource
from resources.feast.sampling import newest_of, sample_of
from resources.timescale import sql
from resources.timescale.resource import TimescaleResource
from resources.timescale.slices import SliceStream, SliceWrite
from schemas.catalog_features import FEATURE_PENDING
from schemas.feature_selection import FEATURE_STORE
from schemas.table_spec import TableSpec
from schemas.tables import FEATURE_PARITY, SERVED
from schemas.window import Window, midnight

KEYS_PER_VIEW = 500
OVERDUE_AFTER = timedelta(minutes=15)
"""A write that is under way takes seconds; one that waits longer is somebody's matter."""


@dg.asset(
    **table_options(FEATURE_PARITY, dataset=FEATURE_STORE),
    partitions_def=event_days(FEATURE_PARITY.first_day.isoformat()),
    deps=[dg.AssetDep([spec.schema, spec.name]) for spec in SERVED.values()],
)
def feature_parity(
    context: dg.AssetExecutionContext, timescale: TimescaleResource, feast: FeastResource
) -> SliceStream:
    """Per feature view, keys drawn by chance: is what the online store answers the newest row of the table, in every
    feature? A look is of now, so it belongs to today's partition; earlier ones keep what was seen then.

    Where the two differ the whole view is marked to be written again, which the sensor `feature_serving` sees to.
    """

    def writes() -> Iterator[SliceWrite]:
        now = datetime.now(UTC)
        today = now.date()
        if today not in Window(context.partition_time_window.start, context.partition_time_window.end).days():
            raise ConfigurationError(
                f"what is served can only be looked at now: materialise the partition of today, {today} (UTC)"
            )
        rows = _looked_at(context, timescale, feast, now)
        yield SliceWrite(rows=rows, window=Window.of_days(today, today))
        context.add_asset_metadata(
            {
                "keys_sampled": int(rows["keys_sampled"].sum()),
                "keys_different": int(rows["keys_different"].sum()),
                "keys_missing": int(rows["keys_missing"].sum()),
                "views": dg.MetadataValue.md(_table(rows)),
            },
            partition_key=today.isoformat(),
        )

    return SliceStream(writes())


def _looked_at(
    context: dg.AssetExecutionContext, timescale: TimescaleResource, feast: FeastResource, now: datetime
) -> pd.DataFrame:
    looks = []
    for spec in SERVED.values():
        if not _exists(timescale, spec):
            continue
        feast.ensure_applied(spec)
        looks.append((spec, _look(timescale, feast, spec, now)))
        context.log.info(f"{spec.qualified}: {len(looks[-1][1].newest)} of {looks[-1][1].keys} keys looked at")
    rows = parity_rows(looks, midnight(now.date()))
    specs = {look.view: spec for spec, look in looks}
    for row in rows[rows["keys_different"] + rows["keys_missing"] > 0].itertuples():
        context.log.error(f"{row.view}: {row.difference}; the view is written to the online store again")
        feast.mark_all(specs[row.view])
    return rows


def _look(timescale: TimescaleResource, feast: FeastResource, spec: TableSpec, now: datetime) -> Look:
    """Runs go on writing meanwhile: a key that looks wrong is looked at once more, table first, and one whose write is
    under way is not judged."""
    view, entities = spec.view, list(spec.entities)
    sample = sample_of(timescale, spec, most=KEYS_PER_VIEW, seed=int(now.timestamp()))
    newest, online, is_pending = sample.newest, feast.online(view, sample.newest[entities]), sample.is_pending
    if (is_odd := wrong(spec, newest, online)).any():
        again = newest_of(timescale, spec, newest.loc[is_odd, entities])
        looked = feast.online(view, again.newest[entities])
        newest = pd.concat([newest[~is_odd], again.newest], ignore_index=True)
        online = pd.concat([online[~is_odd], looked], ignore_index=True)
        is_pending = np.concatenate([is_pending[~is_odd], again.is_pending])
        is_judged = ~(wrong(spec, newest, online) & is_pending)
        newest, online = newest[is_judged].reset_index(drop=True), online[is_judged].reset_index(drop=True)
    pending, overdue = _pending(timescale, view, overdue_since=now - OVERDUE_AFTER)
    return Look(
        view=view,
        online_store=feast.online_store.name,
        checked_at=now,
        keys=sample.keys,
        pending=pending,
        overdue=overdue,
        newest=newest,
        online=online,
    )


def _pending(timescale: TimescaleResource, view: str, *, overdue_since: datetime) -> tuple[int, int]:
    """How many keys are marked, and how many of them since before `overdue_since`."""
    count = sa.func.count()
    query = sa.select(count, count.filter(FEATURE_PENDING.c.marked_at <= overdue_since))
    with timescale.connect() as connection:
        pending, overdue = connection.execute(query.where(FEATURE_PENDING.c.view == view)).one()
    return int(pending), int(overdue)


def _exists(timescale: TimescaleResource, spec: TableSpec) -> bool:
    with timescale.connect() as connection:
        return sa.inspect(connection).has_table(spec.name, schema=spec.schema)


def _table(rows: pd.DataFrame) -> str:
    names = ["view", "online_store", "keys", "keys_sampled", "keys_equal", "keys_different", "keys_missing"]
    return str(rows[[*names, "keys_pending", "keys_overdue"]].to_markdown(index=False))


@dg.asset_check(asset=[FEATURE_PARITY.schema, FEATURE_PARITY.name], name="online_equals_offline")
def online_equals_offline(timescale: TimescaleResource) -> dg.AssetCheckResult:
    """Fails where the newest look at any view found another value online than in its table."""
    table = sql.table_of(FEATURE_PARITY)
    newest = sa.select(table).where(table.c.day == sa.select(sa.func.max(table.c.day)).scalar_subquery())
    with timescale.connect() as connection:
        looks: Sequence[sa.Row[tuple[object, ...]]] = connection.execute(newest.order_by(table.c.view)).all()
    bad = [look for look in looks if not look.is_equal]
    return dg.AssetCheckResult(
        passed=bool(looks) and not bad,
        description="; ".join(f"{one.view}: {one.difference or f'{one.keys_overdue} keys overdue'}" for one in bad)
        or None,
        metadata={
            "views": len(looks),
            "keys_sampled": sum(one.keys_sampled for one in looks),
            "keys_equal": sum(one.keys_equal for one in looks),
        },
    )


def build_parity_schedule() -> dg.ScheduleDefinition:
    """Looks once an hour."""

    @dg.schedule(
        name="feature_parity_hourly",
        job=dg.define_asset_job(
            "feature_parity",
            selection=dg.AssetSelection.assets(dg.AssetKey([FEATURE_PARITY.schema, FEATURE_PARITY.name])),
            description="Compares what is served with what the feature tables say.",
        ),
        cron_schedule="40 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=build_parity_schedule.__doc__,
    )
    def feature_parity_hourly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        at = context.scheduled_execution_time.astimezone(UTC)
        return dg.RunRequest(run_key=at.isoformat(), partition_key=f"{at:%Y-%m-%d}")

    return feature_parity_hourly
