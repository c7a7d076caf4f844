"""`FeatureExtractor`: the delivery features of frames at hand, under the names data scientists know.

    extractor = FeatureExtractor(FeatureExtractionConfig(aggregation_window="7d"))
    features = extractor.extract_user_features(users, activities, tasks)
    features = extractor.handle_missing_values(extractor.normalize_features(features))

Belongs here: plain frames brought to the dataset's shapes, scaling and filling of what comes out. Does not belong here:
definitions (`delivery_users.py` and the modules beside it; the assets compute by the same), reading, storing.

One process computes. Handing users, tasks and activities to another takes about as long as computing with them
(measured with 500,000 tasks: 0.5 and 0.6 s), and a part of the tasks is not enough: any of them may name any user.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pandas as pd

from assets_pkg.features.delivery_links import SEPARATOR
from assets_pkg.features.delivery_projects import project_features
from assets_pkg.features.delivery_tasks import task_features
from assets_pkg.features.delivery_teams import team_features
from assets_pkg.features.delivery_users import user_features
from schemas.base import TableModel, conform, dtypes_of, empty
from schemas.delivery import DeliveryFeatures
from schemas.delivery_tables import DELIVERY_FEATURES, PROJECT, TASK, TEAM, USER
from schemas.source_datasets.delivery import (
    DeliveryActivities,
    DeliveryProjects,
    DeliveryTasks,
    DeliveryTeams,
    DeliveryUsers,
)
from schemas.table_spec import TableSpec

MISSING = ("impute", "drop", "zero")
FEATURES = frozenset(name for spec in DELIVERY_FEATURES for name in spec.features)
PARAMETERS = frozenset(one.name for one in fields(DeliveryFeatures))


@dataclass(frozen=True)
class FeatureExtractionConfig:
    """What is extracted, and what becomes of it.

    Raises:
        ValueError: a feature, a parameter or a way with missing values that there is not, or a window that is none.
    """

    feature_definitions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The features wanted, each with parameters of `DeliveryFeatures` that are its own, such as
    `{"tasks_completed": {"aggregation_window": "14d"}, "bug_rate": {}}`; empty: all, as the tables hold them."""
    aggregation_window: str | timedelta = "7d"
    """Over which finished tasks are counted."""
    normalize: bool = True
    """Whether `normalize_features` scales; without it hands back what it is given."""
    handle_missing: Literal["impute", "drop", "zero"] = "impute"
    """What `handle_missing_values` does: fill in the median, leave out the rows (for training sets only: who is left
    out cannot be served), or fill in 0."""

    def __post_init__(self) -> None:
        if self.handle_missing not in MISSING:
            raise ValueError(f"handle_missing is one of {', '.join(MISSING)}, not {self.handle_missing!r}")
        if unknown := sorted(set(self.feature_definitions) - FEATURES):
            raise ValueError(f"there is no feature {', '.join(unknown)}; there are {', '.join(sorted(FEATURES))}")
        for name in ("", *self.feature_definitions):
            self.settings_of(name)

    def settings_of(self, feature: str) -> DeliveryFeatures:
        """The parameters of one feature."""
        own = self.feature_definitions.get(feature, {})
        if unknown := sorted(set(own) - PARAMETERS):
            raise ValueError(f"{feature}: there is no parameter {', '.join(unknown)}")
        windows = {"aggregation_window": self.aggregation_window, **own}
        return replace(
            DeliveryFeatures(),
            **{name: _length(value) if name.endswith("_window") else value for name, value in windows.items()},
        )

    def wanted(self, spec: TableSpec) -> list[str]:
        """The features wanted of the table, in its order."""
        return [name for name in spec.features if not self.feature_definitions or name in self.feature_definitions]


class FeatureExtractor:
    """Delivery features of frames whose columns are named as in `schemas.source_datasets.delivery`.

    Columns that may be null may be absent, others are ignored; ids may be numbers, lists real lists, instants ISO 8601
    text; without a zone they are UTC. A frame with `snapshot_at` is read as of its newest snapshot that is not after
    `as_of`. `as_of` is the instant the features are about: by default the newest snapshot of the entities, or else now.
    A frame without `known_at` is known as of then.

    Each extraction returns one row per entity, in the frame's order: its id, `event_timestamp`, the features wanted,
    `known_at`.

    Raises (all extractions):
        ValueError: a frame lacks a column, an id is missing or twice, or a value cannot be read as its column's type.
    """

    def __init__(self, config: FeatureExtractionConfig | None = None) -> None:
        self.config = config or FeatureExtractionConfig()

    def extract_user_features(
        self,
        users: pd.DataFrame,
        activities: pd.DataFrame | None = None,
        tasks: pd.DataFrame | None = None,
        as_of: datetime | None = None,
    ) -> pd.DataFrame:
        """The 14 features of `schemas.delivery_features.User`; without tasks and activities as of users without any."""
        at = _as_of(users, as_of)
        people, work = _shaped(users, DeliveryUsers, at), _shaped(tasks, DeliveryTasks, at)
        acts = _shaped(activities, DeliveryActivities, at)
        return self._extract(USER, lambda settings: user_features(people, work, acts, as_of=at, settings=settings))

    def extract_task_features(self, tasks: pd.DataFrame, as_of: datetime | None = None) -> pd.DataFrame:
        """The 12 features of `schemas.delivery_features.Task`."""
        at = _as_of(tasks, as_of)
        work = _shaped(tasks, DeliveryTasks, at)
        return self._extract(TASK, lambda settings: task_features(work, as_of=at, settings=settings))

    def extract_project_features(
        self, projects: pd.DataFrame, tasks: pd.DataFrame | None = None, as_of: datetime | None = None
    ) -> pd.DataFrame:
        """The 11 features of `schemas.delivery_features.Project`; without tasks as of projects without any."""
        at = _as_of(projects, as_of)
        plans, work = _shaped(projects, DeliveryProjects, at), _shaped(tasks, DeliveryTasks, at)
        return self._extract(PROJECT, lambda settings: project_features(plans, work, as_of=at, settings=settings))

    def extract_team_features(
        self,
        teams: pd.DataFrame,
        users: pd.DataFrame,
        tasks: pd.DataFrame | None = None,
        activities: pd.DataFrame | None = None,
        as_of: datetime | None = None,
    ) -> pd.DataFrame:
        """The 8 features of `schemas.delivery_features.Team`; without tasks and activities as of members without."""
        at = _as_of(teams, as_of)
        groups, people = _shaped(teams, DeliveryTeams, at), _shaped(users, DeliveryUsers, at)
        work, acts = _shaped(tasks, DeliveryTasks, at), _shaped(activities, DeliveryActivities, at)
        return self._extract(
            TEAM, lambda settings: team_features(groups, people, work, acts, as_of=at, settings=settings)
        )

    def normalize_features(self, features: pd.DataFrame) -> pd.DataFrame:
        """Every feature scaled to 0 to 1 over the rows at hand, (x - min) / (max - min); flags are 0 and 1, a constant
        is 0, what is missing stays missing. Unchanged if the configuration does not ask for it.

        Its scale is that of these rows alone. What is served is scaled with the parameters its model was trained with.
        """
        if not self.config.normalize:
            return features
        scaled = {}
        for name in _features_in(features):
            values = features[name].astype("float64")
            least, span = values.min(), values.max() - values.min()
            scaled[name] = (values - least) / span if span > 0 else values.where(values.isna(), 0.0)
        return features.assign(**scaled)

    def handle_missing_values(self, features: pd.DataFrame) -> pd.DataFrame:
        """The features without missing values, as the configuration says: the column's median (0 where it has no value
        at all), 0, or without the rows that have any."""
        names = [name for name in _features_in(features) if features[name].isna().any()]
        if self.config.handle_missing == "drop":
            return features.dropna(subset=names).reset_index(drop=True)
        filled = {}
        for name in names:
            values = features[name].astype("float64")
            median = values.median() if self.config.handle_missing == "impute" and values.notna().any() else 0.0
            filled[name] = values.fillna(median)
        return features.assign(**filled)

    def _extract(self, spec: TableSpec, compute: Callable[[DeliveryFeatures], pd.DataFrame]) -> pd.DataFrame:
        """Features with the same parameters are computed at once."""
        settings = {name: self.config.settings_of(name) for name in self.config.wanted(spec)}
        computed = {one: compute(one) for one in {self.config.settings_of(""), *settings.values()}}
        frame = computed[self.config.settings_of("")]
        columns = {name: computed[one][name] for name, one in settings.items()}
        return frame[[*spec.key, *columns, str(spec.known_at)]].assign(**columns)


def _length(window: str | timedelta) -> timedelta:
    """`7d` as a length of time."""
    try:
        return pd.Timedelta(window).to_pytimedelta()
    except (ValueError, AttributeError):
        raise ValueError(f"a window is a length of time such as '7d', not {window!r}") from None


def _as_of(entities: pd.DataFrame, as_of: datetime | None) -> datetime:
    if as_of is None and "snapshot_at" in entities and len(entities):
        as_of = pd.to_datetime(entities["snapshot_at"], utc=True).max().to_pydatetime()
    moment = as_of or datetime.now(UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _shaped(rows: pd.DataFrame | None, model: type[TableModel], as_of: datetime) -> pd.DataFrame:
    """The rows with exactly the model's columns and types, of one snapshot, which is said to be that of `as_of`."""
    if rows is None:
        return empty(model)
    own = {
        "snapshot_at": as_of,
        "updated_at": as_of,
        "known_at": as_of,
        "source_id": 1,
        "line_no": range(1, len(rows) + 1),
    }
    usual = {"is_active": True, "activity_id": [str(n) for n in range(len(rows))], "kind": _KIND.get(model)}
    dtypes = dtypes_of(model)
    columns: dict[str, Any] = {}
    for name, dtype in dtypes.items():
        if name in rows:
            columns[name] = _read(rows[name], dtype, f"{model.__name__}.{name}")
        elif (value := {**own, **usual}.get(name)) is not None:
            columns[name] = pd.Series(value, index=rows.index, dtype=dtype)
    try:
        frame = conform(pd.DataFrame(columns, index=rows.index), model)
    except KeyError as error:
        raise ValueError(f"{error.args[0]}: the frame has the columns {', '.join(map(str, rows))}") from None
    return _of_one_moment(_complete(frame, model), model, as_of)


_KIND: dict[type[TableModel], str] = {DeliveryTasks: "feature", DeliveryActivities: "work"}
"""What a task or an activity is that says nothing of its kind."""


def _of_one_moment(frame: pd.DataFrame, model: type[TableModel], as_of: datetime) -> pd.DataFrame:
    """The rows of the newest snapshot by then, if they are of snapshots; each thing stands in it once."""
    key, stamp = model.to_schema().unique or ["", ""]
    if stamp == "snapshot_at":
        by_then = frame[frame["snapshot_at"] <= as_of]
        newest = by_then[by_then["snapshot_at"] == by_then["snapshot_at"].max()]
        frame = conform(newest.assign(snapshot_at=pd.Timestamp(as_of)), model)
    twice = frame[key][frame[key].duplicated()]
    if len(twice):
        raise ValueError(f"{model.__name__}.{key}: {twice.iloc[0]!r} stands there twice as of {as_of:%Y-%m-%d %H:%M}")
    return frame


def _complete(frame: pd.DataFrame, model: type[TableModel]) -> pd.DataFrame:
    """The frame, whose values are there and of the categories that the features know."""
    for name, column in model.to_schema().columns.items():
        if not column.nullable and (missing := int(frame[name].isna().sum())):
            raise ValueError(f"{model.__name__}.{name} is missing in {missing} row(s) and may not be")
        for allowed in (check.statistics["allowed_values"] for check in column.checks if check.name == "isin"):
            others = frame[name][~frame[name].isin(allowed)]
            if len(others):
                raise ValueError(f"{model.__name__}.{name} is {others.iloc[0]!r}; it is one of {', '.join(allowed)}")
    return frame


def _read(column: pd.Series, dtype: Any, where: str) -> pd.Series:
    """The column with the model's type."""
    try:
        if isinstance(dtype, pd.DatetimeTZDtype):
            return pd.to_datetime(column, utc=True, format="ISO8601").astype(dtype)
        if isinstance(dtype, pd.StringDtype):
            text = column.map(_joined) if column.dtype == object else column
            return text.astype("string").astype(dtype)
        if pd.api.types.is_bool_dtype(dtype) and column.isna().any():
            raise ValueError(f"{int(column.isna().sum())} value(s) are missing, and none may be")
        return column.astype(dtype)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where} cannot be read as {dtype}: {error}") from error


def _joined(value: object) -> object:
    """A real list as the one text in which the tables hold it."""
    return SEPARATOR.join(map(str, value)) if isinstance(value, list | tuple | set | frozenset) else value


def _features_in(frame: pd.DataFrame) -> list[str]:
    return [name for name in frame if name in FEATURES]
