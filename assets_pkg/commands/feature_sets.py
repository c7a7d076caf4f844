"""`tidemark feature-sets list`: the sets of features worth deploying, as they were found last.

Belongs here: the question and its layout. Does not belong here: how sets are found (`assets_pkg/features/`).
"""

import sqlalchemy as sa
from rich.table import Table

from assets_pkg.commands.tables import terminal
from resources.timescale import sql
from resources.wiring import Settings, build_timescale
from schemas.tables import FEATURE_SETS


def list_feature_sets(chosen: Settings) -> int:
    """Prints the sets of the newest day of each view and target, the best first; 0."""
    console = terminal()
    sets = sql.table_of(FEATURE_SETS)
    newest = (
        sa.select(sets.c.view, sets.c.target, sa.func.max(sets.c.day).label("day"))
        .group_by(sets.c.view, sets.c.target)
        .subquery()
    )
    same = (sets.c[name] == newest.c[name] for name in ("view", "target", "day"))
    query = (
        sa.select(sets)
        .join(newest, sa.and_(*same))
        .order_by(sets.c.view, sets.c.target, sets.c.is_all, sets.c.predictive_value.desc(), sets.c.feature_set)
    )
    with build_timescale(chosen).connect() as connection:
        is_there = sa.inspect(connection).has_table(FEATURE_SETS.name, schema=FEATURE_SETS.schema)
        found = connection.execute(query).all() if is_there else []
    if not found:
        console.print(
            "No feature set was found yet: materialise features/feature_sets, or run the job feature_selection"
        )
        return 0
    table = Table(title="Sets of features, each a feature service of Feast")
    table.add_column("feature set", no_wrap=True, overflow="fold")
    table.add_column("day", no_wrap=True)
    for name in ("size", "value", "90 %", "cost h"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for one in found:
        table.add_row(
            one.feature_set,
            f"{one.day:%Y-%m-%d}",
            str(one.size),
            f"{one.predictive_value:.3f}",
            f"{one.predictive_value_low:.3f} to {one.predictive_value_high:.3f}",
            f"{one.cost_h:,.0f}",
            "recommended" if one.is_knee else "all features" if one.is_all else "",
        )
    console.print(table)
    return 0
