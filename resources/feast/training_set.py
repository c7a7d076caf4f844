"""Training sets: features as of each entity row, as they were known at an instant, batch by batch.

Belongs here: making a recipe's rows, their digest, and the catalog's note of them. Does not belong here: what a recipe
is (`recipe.py`) and what goes into it (`training_plan.py`), the join (`as_of.py`), files.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from resources.errors import ConfigurationError, ContractBroken
from resources.feast.as_of import FeatureRows, as_of
from resources.feast.recipe import Built, Grid, Recipe, Ref, Result, instants_of
from resources.feast.row_digest import RowDigest
from resources.feast.scaling import Parameters, imputed, is_number, scaled
from resources.timescale.arrow import arrow_type
from resources.timescale.history import EXISTED, later_than, versions
from resources.timescale.resource import TimescaleResource, Transaction
from resources.timescale.steps import Statement
from schemas.base import dtypes_of
from schemas.catalog_features import TRAINING_SETS
from schemas.table_spec import TableSpec

MOMENT = "event_timestamp"
BATCH = 20_000
"""Entity rows that are in memory at a time."""
ENTITIES = "training_entities"
ROW = "tidemark_row"


def keys_of(recipe_views: Iterable[str], specs: Mapping[str, TableSpec]) -> dict[str, pa.DataType]:
    """The entity columns that the views are looked up by, with their Arrow types."""
    kinds = {
        name: arrow_type(dtypes_of(specs[view].model)[name]) for view in recipe_views for name in specs[view].entities
    }
    return {name: pa.string() if pa.types.is_large_string(kind) else kind for name, kind in kinds.items()}


def build(
    timescale: TimescaleResource,
    recipe: Recipe,
    specs: Mapping[str, TableSpec],
    given: Iterable[pa.Table] | None,
    take: Callable[[pa.Table], object],
) -> Result:
    """Makes the recipe's rows and hands them to `take`, batch by batch, in the order of the entity rows.

    `specs` are the tables by view; `given` are the entity rows (keys, `event_timestamp`, columns that are passed
    through), or None where the recipe has a grid.

    Raises:
        ConfigurationError: the recipe names what is not there any more.
        ContractBroken: the entity rows do not fit, or a value cannot be part of a training set.
    """
    _require_views(recipe, specs)
    digest, rows, left_out = RowDigest(), 0, 0
    with timescale.transaction() as transaction:
        # One view of the database for all batches: a write between two of them would be in one and not in the other.
        transaction.execute(Statement("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        past = {view: _rows_then(transaction, recipe, specs[view], f"later_{n}") for n, view in enumerate(recipe.views)}
        looked_up = list(_looked_up(recipe, specs, past))
        grid = recipe.entities
        batches = _grid_rows(transaction, grid, specs[grid.view], past[grid.view]) if isinstance(grid, Grid) else given
        for batch in batches or ():
            finished = _finished(recipe, _joined(transaction, batch, looked_up), batch)
            digest.add(finished)
            take(finished)
            rows, left_out = rows + len(finished), left_out + len(batch) - len(finished)
    return Result(digest=digest.hexdigest(), rows=rows, left_out=left_out, columns=digest.columns())


def remember(timescale: TimescaleResource, built: Built) -> None:
    """Notes the training set in the catalog.

    Raises:
        ContractBroken: the same recipe gave other rows before.
    """
    note = insert(TRAINING_SETS).values(
        training_set_id=built.id,
        name=built.recipe.name,
        recipe=built.model_dump(mode="json"),
        digest=built.result.digest,
        rows=built.result.rows,
    )
    held = sa.select(TRAINING_SETS.c.digest).where(TRAINING_SETS.c.training_set_id == built.id)
    with timescale.connect() as connection:
        connection.execute(note.on_conflict_do_nothing())
        if (before := connection.execute(held).scalar_one()) != built.result.digest:
            raise ContractBroken(f"training set {built.id[:12]}: the same recipe gave {before[:12]} before")


def recalled(timescale: TimescaleResource, wanted: str) -> Built:
    """The training set of that id, or whose id begins so, from the catalog.

    Raises:
        ConfigurationError: there is none, or more than one.
    """
    query = sa.select(TRAINING_SETS.c.recipe).where(TRAINING_SETS.c.training_set_id.startswith(wanted, autoescape=True))
    with timescale.connect() as connection:
        found = connection.scalars(query.limit(2)).all()
    if len(found) != 1:
        raise ConfigurationError(f"{'more than one' if found else 'no'} training set has an id that begins {wanted!r}")
    return Built.model_validate(found[0])


def _require_views(recipe: Recipe, specs: Mapping[str, TableSpec]) -> None:
    for view, use in recipe.views.items():
        spec = specs.get(view)
        if spec is None or spec.served is None or spec.qualified != use.table:
            raise ConfigurationError(f"the view {view} of table {use.table} is not there any more")
        if spec.served.version != use.version:
            raise ConfigurationError(
                f"{view} is at version {spec.served.version}: its features mean other things than in version "
                f"{use.version}, of which the training set is"
            )
        wanted = [ref.feature for ref in recipe.features if ref.view == view]
        wanted += [label.column for label in recipe.labels if label.view == view]
        if unknown := [name for name in wanted if name not in spec.features]:
            raise ConfigurationError(f"{view} has no feature {', '.join(unknown)}")


def _rows_then(transaction: Transaction, recipe: Recipe, spec: TableSpec, name: str) -> tuple[sa.FromClause, ...]:
    """The table as it was known. What has changed since is put aside once, so that it is found by its key."""
    columns = [*spec.columns, EXISTED]
    later = sa.Table(name, sa.MetaData(), *(sa.Column(one) for one in columns))
    transaction.execute(Statement("CREATE TEMPORARY TABLE", later, "ON COMMIT DROP AS", later_than(spec, recipe.as_of)))
    transaction.execute(sa.schema.CreateIndex(sa.Index(f"{name}_key", *(later.c[one] for one in spec.key))))
    transaction.execute(Statement("ANALYZE", later))
    return tuple(part.subquery() for part in versions(spec, recipe.as_of, later))


def _looked_up(
    recipe: Recipe, specs: Mapping[str, TableSpec], past: Mapping[str, tuple[sa.FromClause, ...]]
) -> Iterator[FeatureRows]:
    def rows(view: str, features: dict[str, str], ttl: timedelta | None, ahead: timedelta) -> FeatureRows:
        spec = specs[view]
        return FeatureRows(
            parts=past[view],
            keys={name: name for name in spec.entities},
            time=spec.time_column or "",
            features=features,
            created=spec.known_at,
            ttl=ttl,
            ahead=ahead,
            until=recipe.as_of if ahead else None,
            complete_after=spec.served.complete_after if spec.served else timedelta(0),
        )

    columns = recipe.columns()
    for view, use in recipe.views.items():
        ttl = timedelta(seconds=use.ttl_s)
        if mine := {ref.feature: name for ref, name in columns.items() if ref.view == view}:
            yield rows(view, mine, ttl, timedelta(0))
        for label in recipe.labels:
            if label.view == view:
                yield rows(view, {label.column: label.name}, ttl, timedelta(seconds=label.ahead_s))


def _grid_rows(
    transaction: Transaction, grid: Grid, spec: TableSpec, past: tuple[sa.FromClause, ...]
) -> Iterator[pa.Table]:
    """Every entity at every moment, entity by entity. Entities are sorted here: servers sort text in different ways."""
    instant = sa.literal(grid.last, sa.DateTime(timezone=True))
    named = (
        sa.select(*(part.c[name] for name in spec.entities)).where(part.c[spec.time_column or ""] <= instant)
        for part in past
    )
    keys = transaction.fetch(sa.union(*named))
    keys = keys.cast(pa.schema([(name, kind) for name, kind in keys_of(["it"], {"it": spec}).items()]))
    keys = keys.sort_by([(name, "ascending") for name in spec.entities])
    moments = pa.array(instants_of(grid), pa.timestamp("us", "UTC"))
    total = len(keys) * len(moments)
    for start in range(0, max(total, 1), BATCH):
        at = range(start, min(start + BATCH, total))
        rows = keys.take(pa.array([n // len(moments) for n in at], pa.int64()))
        yield rows.append_column(MOMENT, moments.take(pa.array([n % len(moments) for n in at], pa.int64())))


def _joined(transaction: Transaction, batch: pa.Table, looked_up: list[FeatureRows]) -> pa.Table:
    """The features of the batch's rows, in their order."""
    keys = list(dict.fromkeys(name for rows in looked_up for name in rows.keys.values()))
    sent = batch.select([*keys, MOMENT]).append_column(ROW, pa.array(range(len(batch)), pa.int64()))
    transaction.stage(ENTITIES, sent)
    entities = sa.table(ENTITIES, *map(sa.column, sent.column_names))
    transaction.execute(Statement("ANALYZE", entities))
    return transaction.fetch(as_of(entities, MOMENT, (), looked_up, order_by=ROW))


def _finished(recipe: Recipe, features: pa.Table, batch: pa.Table) -> pa.Table:
    """Entity columns, features imputed and scaled, labels; rows with gaps left out where the policy is to drop them."""
    columns = recipe.columns()
    if taken := sorted(set(batch.column_names) & set(features.column_names)):
        raise ContractBroken(f"the entity rows and the features both have {', '.join(taken)}: rename the former's")
    frame = features.select(list(columns.values())).to_pandas(types_mapper=_nullable)
    parameters = {name: found for ref, name in columns.items() if (found := _parameters(recipe, ref))}
    treated = imputed(frame, recipe.missing, parameters)
    if recipe.normalize:
        treated = scaled(treated, parameters)
    becomes_float = recipe.normalize or recipe.missing == "impute"
    kept = pa.array(treated.index, pa.int64())
    arrays = {name: batch.column(name).take(kept) for name in batch.column_names}
    for name in columns.values():
        kind = features.schema.field(name).type
        kind = pa.float64() if becomes_float and is_number(frame[name]) else kind
        arrays[name] = pa.array(
            treated[name], pa.string() if pa.types.is_large_string(kind) else kind, from_pandas=True
        )
    for label in recipe.labels:
        arrays[label.name] = features.column(label.name).take(kept)
    table = pa.table(arrays)
    floats = [name for name in table.column_names if pa.types.is_floating(table.schema.field(name).type)]
    for name in floats:  # NaN says no more than a gap does
        values = table.column(name)
        gaps = pc.if_else(pc.fill_null(pc.is_nan(values), False), pa.scalar(None, values.type), values)
        table = table.set_column(table.column_names.index(name), name, gaps)
    return table


def _parameters(recipe: Recipe, ref: Ref) -> Parameters | None:
    return recipe.scaling[ref.view].parameters.get(ref.feature) if ref.view in recipe.scaling else None


def _nullable(kind: pa.DataType) -> object:
    """Integers and booleans keep their type where values are missing."""
    if pa.types.is_integer(kind):
        return pd.Int64Dtype()
    return pd.BooleanDtype() if pa.types.is_boolean(kind) else None
