"""`tidemark training-set`: features as of given moments, as a Parquet file with the recipe to make it again.

Belongs here: what the arguments mean, and what is printed. Does not belong here: how a set is made
(`resources/feast/training_set.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path

from rich.console import Console

from assets_pkg.commands.tables import terminal
from resources.errors import ConfigurationError
from resources.feast.recipe import (
    Built,
    Frame,
    Grid,
    Label,
    Recipe,
    Ref,
    ViewUse,
    differences,
)
from resources.feast.scaling import Missing
from resources.feast.training_files import RowsFile, keep_entities, kept_entities, read_recipe, write_recipe
from resources.feast.training_plan import members_of, scaling_of, settle
from resources.feast.training_set import build, keys_of, recalled, remember
from resources.timescale.resource import TimescaleResource
from resources.wiring import Settings, build_timescale
from schemas.table_spec import TableSpec
from schemas.tables import SERVED, TABLES

MOST_MOMENTS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The arguments of `training-set build`."""

    name: str
    out: Path
    features: tuple[str, ...] = ()
    feature_set: str | None = None
    entities: Path | None = None
    every: timedelta | None = None
    first: datetime | None = None
    last: datetime | None = None
    as_of: datetime | None = None
    labels: tuple[tuple[str, timedelta], ...] = ()
    """`view:column` and how long ahead."""
    missing: Missing = "keep"
    normalize: bool = False
    allow_stale: bool = False


def build_training_set(chosen: Settings, wanted: Wanted) -> int:
    """Makes a training set, writes it with its recipe, notes it in the catalog; 0.

    Raises:
        ConfigurationError: an argument fits nothing there is; or days are stale and that is not allowed.
    """
    timescale, console = build_timescale(chosen), terminal()
    refs, labels = tuple(_refs(wanted.features, SERVED)), tuple(_labels(wanted, SERVED))
    if not refs and wanted.feature_set is None:
        raise ConfigurationError("say which features: --features view:feature,... or --feature-set NAME")
    version = None
    if wanted.feature_set is not None:
        members, version = members_of(timescale, wanted.feature_set, wanted.as_of or datetime.now(UTC))
        refs = (*refs, *(_known(ref.view, ref.feature, SERVED) for ref in members))
    refs = tuple(dict.fromkeys(refs))
    views = list(dict.fromkeys(one.view for one in (*refs, *labels)))
    settled = settle(timescale, [SERVED[view] for view in views], TABLES, wanted.as_of)
    if settled.stale:
        told = "; ".join(f"{name}: {len(days)} day(s), {days[0]} to {days[-1]}" for name, days in settled.stale.items())
        if not wanted.allow_stale:
            raise ConfigurationError(
                f"these days still have to be computed, the set would hold what is about to change: {told}. Wait until "
                "`tidemark status` shows none, or say --allow-stale"
            )
        console.print(f"[yellow]stale, and used as it is:[/] {told}", highlight=False)
    needs_scaling = wanted.normalize or wanted.missing == "impute"
    scaling = scaling_of(timescale, refs, settled.as_of) if needs_scaling else {}
    recipe = Recipe(
        name=wanted.name,
        features=refs,
        feature_set=wanted.feature_set,
        feature_set_version=version,
        labels=labels,
        as_of=settled.as_of,
        entities=_entities(wanted, views, SERVED),
        views={view: _use(SERVED[view]) for view in views},
        missing=wanted.missing,
        normalize=wanted.normalize,
        scaling=scaling,
    )
    built = _made(timescale, recipe, SERVED, wanted.out, settled.stale)
    remember(timescale, built.model_copy(update={"folder": str(wanted.out.absolute().parent)}))
    _show(console, built, wanted.out)
    return 0


def rebuild_training_set(chosen: Settings, wanted: str, out: Path | None) -> int:
    """Makes a training set again, of a recipe's file or id; 0 when it is identical, else 1, with what differs.

    Raises:
        ConfigurationError: there is no such recipe, or it names what is not there any more.
    """
    timescale, console = build_timescale(chosen), terminal()
    then = read_recipe(Path(wanted)) if wanted.endswith(".json") else recalled(timescale, wanted)
    recipe = then.recipe
    rows = None
    if isinstance(recipe.entities, Frame):
        rows = kept_entities(Path(then.folder or "", then.entities_file or ""), recipe.entities)
    if out is None:
        now = build(timescale, recipe, SERVED, rows, lambda _: None)
    else:
        with RowsFile(out) as file:
            now = build(timescale, recipe, SERVED, rows, file.add)
    if found := differences(then.result, now):
        console.print(f"[red]{recipe.name} is not what it was[/] as of {recipe.as_of.isoformat()}:", highlight=False)
        for one in found:
            console.print(f"  {one}", highlight=False, markup=False)
        return 1
    console.print(f"{recipe.name}: {now.rows:,} rows, identical: {now.digest}", highlight=False)
    return 0


def _made(
    timescale: TimescaleResource,
    recipe: Recipe,
    specs: dict[str, TableSpec],
    out: Path,
    stale: object,
) -> Built:
    kept = _beside(out, ".entities.parquet") if isinstance(recipe.entities, Frame) else None
    rows = kept_entities(kept, recipe.entities) if kept and isinstance(recipe.entities, Frame) else None
    with RowsFile(out) as file:
        result = build(timescale, recipe, specs, rows, file.add)
    built = Built.model_validate(
        {
            "id": recipe.id,
            "recipe": recipe,
            "result": result,
            "stale_days": stale,
            "built_at": datetime.now(UTC),
            "entities_file": kept.name if kept else None,
        }
    )
    write_recipe(_beside(out, ".recipe.json"), built)
    return built


def _entities(wanted: Wanted, views: Sequence[str], specs: dict[str, TableSpec]) -> Grid | Frame:
    keys = keys_of(views, specs)
    if wanted.entities is not None:
        return keep_entities(wanted.entities, _beside(wanted.out, ".entities.parquet"), keys)
    if wanted.every is None or wanted.first is None or wanted.last is None:
        raise ConfigurationError("say for whom and when: --entities FILE, or --every 24h --from DAY --to DAY")
    if wanted.last < wanted.first:
        raise ConfigurationError(f"--to {wanted.last.isoformat()} is before --from {wanted.first.isoformat()}")
    if others := sorted(set(keys) - set(specs[views[0]].entities)):
        raise ConfigurationError(
            f"{views[0]} alone does not say for which {', '.join(others)} to look the others up: give --entities FILE"
        )
    grid = Grid(view=views[0], first=wanted.first, last=wanted.last, every_s=wanted.every.total_seconds())
    if (wanted.last - wanted.first) / wanted.every >= MOST_MOMENTS:
        raise ConfigurationError(f"that grid has more than {MOST_MOMENTS:,} moments: take longer steps")
    return grid


def _refs(features: Sequence[str], specs: dict[str, TableSpec]) -> list[Ref]:
    """`view:feature`, or `view:*` for all of a view."""
    found = []
    for text in features:
        view, _, feature = text.partition(":")
        if feature == "*" and view in specs:
            found += [Ref(view=view, feature=name) for name in specs[view].features]
        else:
            found.append(_known(view, feature, specs))
    return found


def _labels(wanted: Wanted, specs: dict[str, TableSpec]) -> list[Label]:
    found = []
    for text, ahead in wanted.labels:
        ref = _known(*text.partition(":")[::2], specs)
        found.append(Label(view=ref.view, column=ref.feature, ahead_s=ahead.total_seconds()))
    return found


def _known(view: str, feature: str, specs: dict[str, TableSpec]) -> Ref:
    if view not in specs:
        raise ConfigurationError(f"there is no view {view!r}; there are {', '.join(sorted(specs))}")
    if feature not in specs[view].features:
        near = get_close_matches(feature, specs[view].features, n=3)
        meant = f"did you mean {', '.join(near)}?" if near else "`tidemark feast feature-views describe` lists them"
        raise ConfigurationError(f"{view} has no feature {feature!r}; {meant}")
    return Ref(view=view, feature=feature)


def _use(spec: TableSpec) -> ViewUse:
    if spec.served is None:
        raise ConfigurationError(f"{spec.qualified} is not served")
    return ViewUse(table=spec.qualified, version=spec.served.version, ttl_s=spec.served.ttl.total_seconds())


def _beside(out: Path, ending: str) -> Path:
    return out.with_name(out.stem + ending)


def _show(console: Console, built: Built, out: Path) -> None:
    result, recipe = built.result, built.recipe
    left_out = f", {result.left_out:,} left out for missing features" if result.left_out else ""
    console.print(f"{out}: {result.rows:,} rows x {len(result.columns)} columns{left_out}", highlight=False)
    console.print(f"as of {recipe.as_of.isoformat()}, digest {result.digest}", highlight=False)
    console.print(f"again: tidemark training-set rebuild {_beside(out, '.recipe.json')}", highlight=False)
