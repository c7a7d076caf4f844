"""What goes into a recipe: the instant, the features of a set, the scaling parameters, and whether anything is stale.

Belongs here: questions to the database before a training set is made. Does not belong here: making it
(`training_set.py`), what a recipe is (`recipe.py`).
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from math import isfinite

import sqlalchemy as sa

from resources.catalog import dirty_days
from resources.errors import ConfigurationError
from resources.feast.recipe import Ref, Scaling
from resources.feast.scaling import Parameters
from resources.timescale import sql
from resources.timescale.capabilities import read_capabilities
from resources.timescale.resource import TimescaleResource
from resources.timescale.tables import ensure
from schemas.table_spec import TableSpec
from schemas.window import ONE_DAY

FEATURES = "features"
SETS = sa.table(
    "feature_sets", *map(sa.column, ("day", "feature_set", "view", "members", "known_at")), schema=FEATURES
)  # fmt: skip
SCALING = sa.table(
    "feature_scaling",
    *map(sa.column, ("day", "view", "feature", "scaling_version", "minimum", "maximum", "median", "known_at")),
    schema=FEATURES,
)


@dataclass(frozen=True, kw_only=True)
class Settled:
    """An instant after which no write can change what the tables were at it, and the days stale then."""

    as_of: datetime
    stale: Mapping[str, tuple[date, ...]]


def settle(
    timescale: TimescaleResource, specs: Collection[TableSpec], tables: Mapping[str, TableSpec], asked: datetime | None
) -> Settled:
    """The instant `asked` (aware; None: now), once every write of the tables that is under way has ended: whoever
    writes later dates what was before later. `tables` are all there are, to see what `specs` are computed from.

    Raises:
        ConfigurationError: the instant is still to come, or a table keeps no history.
    """
    if forgetful := [spec.qualified for spec in specs if not spec.keeps_history]:
        raise ConfigurationError(f"{', '.join(forgetful)}: keeps no history, so no training set of it could be rebuilt")
    with timescale.connect() as connection:
        capabilities = read_capabilities(connection)
        for spec in specs:
            ensure(connection, spec, capabilities)
    with timescale.connect() as connection:
        connection.execute(sql.lock([f"{name}/all" for name in sorted(spec.qualified for spec in specs)])).all()
        now = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
        if asked and asked > now:
            raise ConfigurationError(f"as of {asked.isoformat()}: nobody knows yet what will be known then")
        marks = dirty_days.marks_of(connection, sorted(_read_by(specs, tables)))
    stale: dict[str, tuple[date, ...]] = {}
    for mark in marks:
        stale[mark.table_name] = (*stale.get(mark.table_name, ()), mark.day)
    return Settled(as_of=asked or now, stale=stale)


def members_of(timescale: TimescaleResource, feature_set: str, as_of: datetime) -> tuple[tuple[Ref, ...], str]:
    """The features of the set as of the instant, and the set's version: the day it was made.

    Raises:
        ConfigurationError: there is no such set.
    """
    _require(timescale, SETS, "feature_sets", f"feature set {feature_set!r}")
    known = sa.and_(
        SETS.c.day <= sa.literal(as_of - ONE_DAY, sa.DateTime(timezone=True)),
        SETS.c.known_at <= sa.literal(as_of, sa.DateTime(timezone=True)),
    )
    newest = (
        sa.select(SETS.c.day, SETS.c.view, SETS.c.members)
        .where(SETS.c.feature_set == feature_set, known)
        .order_by(SETS.c.day.desc(), SETS.c.view)
    )
    with timescale.connect() as connection:
        found = connection.execute(newest).all()
        if not found:
            names = connection.scalars(sa.select(SETS.c.feature_set).where(known).distinct().order_by("feature_set"))
            raise ConfigurationError(
                f"there is no feature set {feature_set!r} as of {as_of.isoformat()}; there are {list(names) or 'none'}"
            )
    day = found[0].day
    refs = [ref for row in found if row.day == day for ref in _refs(row.view, json.loads(row.members))]
    return tuple(dict.fromkeys(refs)), day.isoformat()


def scaling_of(timescale: TimescaleResource, refs: Iterable[Ref], as_of: datetime) -> dict[str, Scaling]:
    """Per view the newest scaling parameters as of the instant, of the features named.

    Raises:
        ConfigurationError: a view has none.
    """
    features: dict[str, list[str]] = {}
    for ref in refs:
        features.setdefault(ref.view, []).append(ref.feature)
    _require(timescale, SCALING, "feature_scaling", "scaling parameters")
    instant = sa.literal(as_of, sa.DateTime(timezone=True))
    ended = sa.literal(as_of - ONE_DAY, sa.DateTime(timezone=True))  # a day's parameters are as of its end
    found: dict[str, Scaling] = {}
    with timescale.connect() as connection:
        for view, names in features.items():
            mine = sa.select(SCALING).where(
                SCALING.c.view == view, SCALING.c.day <= ended, SCALING.c.known_at <= instant
            )
            newest = mine.order_by(SCALING.c.day.desc(), SCALING.c.known_at.desc())
            first = connection.execute(newest.limit(1)).first()
            if first is None:
                raise ConfigurationError(
                    f"no scaling parameters of {view} were known at {as_of.isoformat()}: materialize "
                    "features/feature_scaling first, or build without --normalize and --missing impute"
                )
            rows = connection.execute(newest.where(SCALING.c.scaling_version == first.scaling_version)).all()
            parameters: dict[str, Parameters] = {}
            for row in rows:
                if row.feature in names:
                    three = {name: _finite(getattr(row, name)) for name in ("minimum", "maximum", "median")}
                    parameters.setdefault(row.feature, Parameters(**three))
            found[view] = Scaling(version=str(first.scaling_version), parameters=parameters)
    return found


def _read_by(specs: Iterable[TableSpec], tables: Mapping[str, TableSpec]) -> set[str]:
    """The tables, and all that they are computed from."""
    found: set[str] = set()
    waiting = list(specs)
    while waiting:
        spec = waiting.pop()
        if spec.qualified not in found:
            found.add(spec.qualified)
            waiting += [tables[read.table] for read in spec.reads if read.marks and read.table in tables]
    return found


def _refs(view: str, members: Iterable[str]) -> Iterable[Ref]:
    """Members are features of the set's view, or name their own as `view:feature`."""
    for member in members:
        named, separator, feature = str(member).partition(":")
        yield Ref(view=named, feature=feature) if separator else Ref(view=view, feature=named)


def _require(timescale: TimescaleResource, table: sa.TableClause, name: str, wanted: str) -> None:
    with timescale.connect() as connection:
        inspector = sa.inspect(connection)
        if not inspector.has_table(name, schema=FEATURES):
            raise ConfigurationError(
                f"{wanted}: there is no table {FEATURES}.{name} yet; materialize {FEATURES}/{name}"
            )
        columns = {column["name"] for column in inspector.get_columns(name, schema=FEATURES)}
    if missing := sorted(set(table.c.keys()) - columns):
        raise ConfigurationError(f"{wanted}: {FEATURES}.{name} has no column {', '.join(missing)}")


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and isfinite(value) else None
