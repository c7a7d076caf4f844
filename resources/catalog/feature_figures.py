"""Figures of served features: rows, missing values, mean and spread of the newest profiled day, and what is to be
served yet.

Labels are declared views and columns, and of one view no more than `MOST_FEATURES` columns, in the order of its table.

Belongs here: questions to the kept profiles and to what is pending. Does not belong here: computing a profile
(`resources/profiling/`).
"""

from calendar import timegm
from collections.abc import Iterator

import sqlalchemy as sa

from resources.catalog.figure import Figure, numbers
from resources.catalog.quality_figures import newest_days
from schemas.catalog_features import FEATURE_PENDING
from schemas.catalog_profiles import COLUMN_PROFILES
from schemas.tables import SERVED

MOST_FEATURES = 200
"""Features of one view that have figures; `tidemark_features` says how many there are."""


def feature_figures(connection: sa.Connection) -> Iterator[Figure]:
    """The figures now."""
    samples = [((view,), float(len(spec.features))) for view, spec in sorted(SERVED.items())]
    yield Figure("tidemark_features", "Features the view serves", ("view",), samples)
    yield from _profiles(connection)
    keys = sa.select(FEATURE_PENDING.c.view, sa.func.count()).group_by(FEATURE_PENDING.c.view)
    pending = numbers(connection, keys)
    samples = [((view,), pending.get(view, 0.0)) for view in sorted(SERVED)]
    told = "Keys of the view whose newest row is not served yet"
    yield Figure("tidemark_feature_pending_keys", told, ("view",), samples)


def _profiles(connection: sa.Connection) -> Iterator[Figure]:
    views = {spec.qualified: view for view, spec in SERVED.items()}
    counted = {spec.qualified: frozenset(spec.features[:MOST_FEATURES]) for spec in SERVED.values()}
    profile = COLUMN_PROFILES.c
    newest = newest_days(COLUMN_PROFILES, views)
    joined = COLUMN_PROFILES.join(newest, sa.and_(profile.table_name == newest.c.name, profile.day == newest.c.day))
    columns = (profile.table_name, profile.column_name, profile.day, profile.rows, profile.nulls, profile.nans)
    query = sa.select(*columns, profile.mean, profile.std).select_from(joined)
    rows = connection.execute(query.order_by(profile.table_name, profile.position)).all()
    first = {row.table_name: row for row in reversed(rows)}
    of_view = [((views[name],), row) for name, row in sorted(first.items())]
    told = "Rows of the view's newest profiled day"
    yield Figure("tidemark_feature_rows", told, ("view",), [(label, float(row.rows)) for label, row in of_view])
    told = "Start of that day, UTC, seconds since 1970"
    days = [(label, float(timegm(row.day.timetuple()))) for label, row in of_view]
    yield Figure("tidemark_feature_day_timestamp_seconds", told, ("view",), days)
    features = [
        ((views[row.table_name], row.column_name), row) for row in rows if row.column_name in counted[row.table_name]
    ]
    missing = [(label, 100.0 * (row.nulls + row.nans) / row.rows) for label, row in features if row.rows]
    told = "Rows of that day in which the feature is missing, percent"
    yield Figure("tidemark_feature_missing_pct", told, ("view", "feature"), missing)
    for column, told in (("mean", "Mean of the feature on that day"), ("std", "Its sample standard deviation")):
        samples = [(label, value) for label, row in features if (value := getattr(row, column)) is not None]
        yield Figure(f"tidemark_feature_{column}", f"{told}, in its unit", ("view", "feature"), samples)
