"""The recipe of a training set: all that its rows depend on, so that they can be made again, bit for bit.

Belongs here: what a recipe says, as JSON and back, and where two results differ. Does not belong here: making rows
(`training_set.py`), finding out what goes into a recipe (`training_plan.py`).
"""

import hashlib
import json
from datetime import date, datetime, timedelta
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from resources.errors import ConfigurationError
from resources.feast.scaling import Missing, Parameters


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Ref(_Part):
    """A feature of a view."""

    view: str
    feature: str

    def __str__(self) -> str:
        return f"{self.view}:{self.feature}"


class Label(_Part):
    """What is to be predicted: the value `column` of the view has `ahead_s` seconds after an entity row's moment."""

    view: str
    column: str
    ahead_s: float = Field(gt=0)

    @property
    def name(self) -> str:
        """The label's column in the training set."""
        return f"label_{self.column}_in_{spelled(timedelta(seconds=self.ahead_s))}"


class Grid(_Part):
    """All entities of the view that have rows, at every moment from `first` to `last`, both included."""

    kind: Literal["grid"] = "grid"
    view: str
    first: AwareDatetime
    last: AwareDatetime
    every_s: float = Field(gt=0)


class Frame(_Part):
    """Entity rows that were given; they are kept beside the recipe."""

    kind: Literal["frame"] = "frame"
    digest: str
    rows: int


class ViewUse(_Part):
    """A view as it was when it was read."""

    table: str
    version: int
    ttl_s: float


class Scaling(_Part):
    """Parameters of a view's features, with the version they were fitted as."""

    version: str
    parameters: dict[str, Parameters]


class Recipe(_Part):
    """Everything the rows depend on but the tables' history."""

    format: Literal[1] = 1
    name: str
    features: tuple[Ref, ...]
    feature_set: str | None = None
    feature_set_version: str | None = None
    labels: tuple[Label, ...] = ()
    as_of: AwareDatetime
    entities: Annotated[Grid | Frame, Field(discriminator="kind")]
    views: dict[str, ViewUse]
    missing: Missing
    normalize: bool
    scaling: dict[str, Scaling] = {}

    @property
    def id(self) -> str:
        """Digest of the recipe."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def columns(self) -> dict[Ref, str]:
        """The name of each feature's column: its own, with the view's in front where views share one."""
        names = [ref.feature for ref in self.features]
        is_shared = len(set(names)) < len(names)
        return {ref: f"{ref.view}__{ref.feature}" if is_shared else ref.feature for ref in self.features}


class Result(_Part):
    """What came of a recipe."""

    digest: str
    rows: int
    left_out: int
    columns: dict[str, str]
    """Digest per column, in order."""


class Built(_Part):
    """A training set with its recipe, as the file beside it and the catalog keep them."""

    id: str
    recipe: Recipe
    result: Result
    stale_days: dict[str, tuple[date, ...]]
    built_at: AwareDatetime
    entities_file: str | None = None
    """File of the entity rows, beside the recipe; None for a grid."""
    folder: str | None = None
    """Where the recipe was written; said in the catalog only."""


def read_built(text: str, where: str) -> Built:
    """The recipe and its result.

    Raises:
        ConfigurationError: it is none, or somebody changed the recipe.
    """
    try:
        built = Built.model_validate_json(text)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ConfigurationError(f"{where} is no recipe of a training set: {wrong}") from None
    if built.id != built.recipe.id:
        raise ConfigurationError(f"{where}: the recipe is not the one that was written; its id does not fit it")
    return built


def differences(then: Result, now: Result) -> list[str]:
    """In words, how two results of one recipe differ; nothing where they are identical."""
    if then.digest == now.digest and then.rows == now.rows:
        return []
    found = []
    if then.rows != now.rows:
        found.append(f"{then.rows:,} rows then, {now.rows:,} now")
    if list(then.columns) != list(now.columns):
        found.append(f"columns then {', '.join(then.columns)}; now {', '.join(now.columns)}")
    changed = [name for name in then.columns if name in now.columns and then.columns[name] != now.columns[name]]
    return [*found, *(f"values of {name} differ" for name in changed)]


def spelled(length: timedelta) -> str:
    """A length of time in its largest whole unit; up to a day in hours: 7d, 24h, 90m, 30s."""
    seconds = round(length.total_seconds())
    if seconds % 3600:
        return f"{seconds // 60}m" if seconds % 60 == 0 else f"{seconds}s"
    return f"{seconds // 86400}d" if seconds % 86400 == 0 and seconds > 86400 else f"{seconds // 3600}h"


def instants_of(grid: Grid) -> list[datetime]:
    """The grid's moments, in order."""
    step, found = timedelta(seconds=grid.every_s), [grid.first]
    while found[-1] + step <= grid.last:
        found.append(found[-1] + step)
    return found
