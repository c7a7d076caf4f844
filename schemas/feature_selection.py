"""What is found out about features: which of them matter, which sets of them are worth deploying, how they are scaled.

Belongs here: the three tables, which are about any feature table that is served. Does not belong here: how the numbers
come about (`assets_pkg/features/`), what a feature costs (`feature_costs.py`).

A row of `day` is as of the END of that UTC day: it knows rows up to that instant and none after it.
"""

from collections.abc import Iterable
from datetime import date, timedelta

import pandera.pandas as pa

from schemas.base import TableModel, Text, UtcTimestamp
from schemas.table_spec import Read, TableSpec

FEATURE_STORE = "feature_store"
"""Group of what is about features of any dataset."""

WINDOW = timedelta(days=60)
"""So much time before the as-of instant importance and sets rest on, unless a run asks for another."""

SCALING_WINDOW = timedelta(days=28)
"""The same of scaling parameters."""

_DAY = "START of the UTC day whose END is the as-of instant"
_VIEW = "Feast view of the features"
_TARGET = "what is predicted, as the view declares it"
_SEED = "seed of everything drawn at random"
_KNOWN_AT = "when the newest row behind it became known, UTC"
_METRIC = "how models are scored: r2 (R², of numbers) or auc (area under the ROC curve, of yes and no)"
_TRAIN_UNTIL = "time of the last row learnt from, UTC; what it predicts lies before `test_from`"
_TEST_FROM = "time of the first row models are judged on, UTC"


class Importance(TableModel):
    """One row per day, target and feature: how much it tells of the target. Intervals hold 90 %."""

    day: UtcTimestamp = pa.Field(description=_DAY)
    view: Text = pa.Field(description=_VIEW)
    target: Text = pa.Field(description=_TARGET)
    feature: Text = pa.Field(description="column of the view")
    rank: int = pa.Field(
        ge=1, description="1 is the feature whose permutation costs most, then that of more information"
    )
    is_significant: bool = pa.Field(
        description="whether its mutual information is above zero at a false discovery rate of 5 % over all features"
    )
    mi: float = pa.Field(ge=0, description="mutual information with the target, bias corrected, nats")
    mi_low: float = pa.Field(ge=0, description="lower end of its interval, nats")
    mi_high: float = pa.Field(ge=0, description="upper end of its interval, nats")
    permutation: float = pa.Field(
        description="what the score of a model of all features loses when this one is shuffled, on later unseen rows"
    )
    permutation_low: float = pa.Field(description="lower end of its interval")
    permutation_high: float = pa.Field(description="upper end of its interval")
    missing_pct: float = pa.Field(ge=0, le=100, description="rows of the window without a value, percent")
    drift_psi: float = pa.Field(
        ge=0, description="population stability index of the last third of the window against the first"
    )
    look_back_h: float = pa.Field(
        ge=0, description="its cost: hours of history that have to be aggregated for one row of it"
    )
    metric: Text = pa.Field(isin=["r2", "auc"], description=_METRIC)
    score: float = pa.Field(description="score of a model of all features on later unseen rows")
    score_low: float = pa.Field(description="lower end of its interval")
    score_high: float = pa.Field(description="upper end of its interval")
    baseline_score: float = pa.Field(description="score of the naive forecast that all stays as it is, same rows")
    rows_train: int = pa.Field(ge=0, description="rows learnt from")
    rows_test: int = pa.Field(ge=0, description="rows judged on")
    train_until: UtcTimestamp = pa.Field(description=_TRAIN_UNTIL)
    test_from: UtcTimestamp = pa.Field(description=_TEST_FROM)
    seed: int = pa.Field(ge=0, description=_SEED)
    known_at: UtcTimestamp = pa.Field(description=_KNOWN_AT)

    class Config:
        unique = ["day", "view", "target", "feature"]


class FeatureSets(TableModel):
    """One row per day and set of features worth deploying: none is beaten in every objective by another of its target,
    but for the set of all features, which is there to compare with. Intervals hold 90 %."""

    day: UtcTimestamp = pa.Field(description=_DAY)
    feature_set: Text = pa.Field(description="stable name: view, target and digest of view, version and members")
    view: Text = pa.Field(description=_VIEW)
    target: Text = pa.Field(description=_TARGET)
    version: int = pa.Field(ge=1, description="version of the view the members are columns of")
    members: Text = pa.Field(description="its features, sorted: a JSON array of texts")
    size: int = pa.Field(ge=1, description="number of its features")
    is_knee: bool = pa.Field(description="whether it is the one recommended: most value for its price, see docs")
    is_all: bool = pa.Field(description="whether it is the set of all features, for comparison")
    metric: Text = pa.Field(isin=["r2", "auc"], description=_METRIC)
    predictive_value: float = pa.Field(
        description="score of a model of exactly this set on later unseen rows; more is better"
    )
    predictive_value_low: float = pa.Field(description="lower end of its interval")
    predictive_value_high: float = pa.Field(description="upper end of its interval")
    baseline_score: float = pa.Field(description="score of the naive forecast that all stays as it is, same rows")
    redundancy: float = pa.Field(
        ge=0, le=1, description="mean absolute Spearman correlation of its pairs; less is better"
    )
    cost_h: float = pa.Field(ge=0, description="sum of its features' look-back, hours; less is better")
    missing_pct: float = pa.Field(
        ge=0, le=100, description="rows in which any of it is missing, percent; less is better"
    )
    drift_psi: float = pa.Field(ge=0, description="population stability index of its worst feature; less is better")
    rows_train: int = pa.Field(ge=0, description="rows learnt from")
    rows_test: int = pa.Field(ge=0, description="rows judged on")
    train_until: UtcTimestamp = pa.Field(description=_TRAIN_UNTIL)
    test_from: UtcTimestamp = pa.Field(description=_TEST_FROM)
    seed: int = pa.Field(ge=0, description=_SEED)
    known_at: UtcTimestamp = pa.Field(description=_KNOWN_AT)

    class Config:
        unique = ["day", "feature_set"]


class FeatureScaling(TableModel):
    """One row per day and feature: what brings its values to a common scale. Null where it had no value at all."""

    day: UtcTimestamp = pa.Field(description=_DAY)
    view: Text = pa.Field(description=_VIEW)
    feature: Text = pa.Field(description="column of the view")
    minimum: float = pa.Field(nullable=True, description="smallest value, in the feature's unit")
    maximum: float = pa.Field(nullable=True, description="largest value, in the feature's unit")
    median: float = pa.Field(nullable=True, description="median, in the feature's unit")
    mean: float = pa.Field(nullable=True, description="mean, in the feature's unit")
    std: float = pa.Field(nullable=True, ge=0, description="sample standard deviation; null of fewer than two values")
    rows: int = pa.Field(ge=0, description="rows with a value")
    fitted_from: UtcTimestamp = pa.Field(description="start of the window the parameters are fitted on, UTC")
    fitted_until: UtcTimestamp = pa.Field(description="end of that window, the as-of instant, UTC")
    scaling_version: Text = pa.Field(description="digest of the parameters of the view's features on the day")
    known_at: UtcTimestamp = pa.Field(description=_KNOWN_AT)

    class Config:
        unique = ["day", "view", "feature"]


def selection_tables(tables: Iterable[TableSpec]) -> list[TableSpec]:
    """The three tables, over those of `tables` that are served. They run by the clock or by hand: a change of features
    makes none of their days stale, since what was found out on a day was true of what was there then."""
    served = [spec.qualified for spec in tables if spec.served]
    return [
        _spec("importance", Importance, ("day", "view", "target", "feature"), served, WINDOW),
        _spec("feature_sets", FeatureSets, ("day", "feature_set"), served, WINDOW),
        _spec("feature_scaling", FeatureScaling, ("day", "view", "feature"), served, SCALING_WINDOW),
    ]


def _spec(
    name: str, model: type[TableModel], key: tuple[str, ...], served: Iterable[str], window: timedelta
) -> TableSpec:
    return TableSpec(
        schema="features",
        name=name,
        model=model,
        dataset=FEATURE_STORE,
        first_day=date(2016, 1, 1),
        key=key,
        time_column="day",
        unit="view",
        reads=tuple(Read(table=table, before=window, marks=False) for table in served),
        chunk=timedelta(days=365),
    )
