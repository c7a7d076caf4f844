"""Examples to learn from: the features of a moment beside what came later, split so that the later ones judge.

Belongs here: labels, the split and its gap, blocks of time, and the answer that there is not enough. Does not belong
here: models (`models.py`), what is found out with them (`importance.py`, `feature_sets.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from schemas.table_spec import Prediction, TableSpec

TEST_SHARE = 0.3
"""So much of the examples, the latest, judge what was learnt from the others."""

LEAST_TRAIN, LEAST_TEST, LEAST_BLOCKS = 60, 30, 5
SAME = 1 - 1e-9
"""A correlation that only a copy has."""


@dataclass(frozen=True)
class NotEnough:
    """The answer where there are no numbers to give, and why."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Rows in order of time, then entity."""

    features: pd.DataFrame
    """float64; a missing value is NaN."""
    label: np.ndarray
    """float64; 0 and 1 where the metric is auc."""
    naive: np.ndarray
    """What is to be predicted as it is now, float64; NaN where it is missing."""
    at: np.ndarray
    """datetime64[us], UTC."""
    horizon: timedelta
    metric: str
    """r2 or auc."""
    copies: tuple[str, ...] = ()
    """Features left out because they are the label itself, which a feature of the moment cannot know."""

    def __len__(self) -> int:
        return len(self.label)

    def taken(self, index: np.ndarray) -> "Examples":
        """Only the rows of a mask or an index."""
        return replace(
            self,
            features=self.features.iloc[index].reset_index(drop=True),
            label=self.label[index],
            naive=self.naive[index],
            at=self.at[index],
        )


@dataclass(frozen=True)
class Split:
    """What is learnt from, and what is judged on."""

    train: Examples
    test: Examples

    @property
    def train_until(self) -> datetime:
        """Naive UTC time of the last row learnt from."""
        return _moment(self.train.at[-1])

    @property
    def test_from(self) -> datetime:
        """Naive UTC time of the first row judged on."""
        return _moment(self.test.at[0])


def examples_of(rows: pd.DataFrame, spec: TableSpec, prediction: Prediction) -> Examples | NotEnough:
    """The rows of a feature table (`spec.model`) whose entity has `prediction.column` exactly `horizon` later.

    A row's features are its own columns and nothing else; its label is taken from the later row. A feature that is
    nevertheless a copy of the label, while the value of the moment is not, was computed from the future: it is left
    out and named in `copies`.
    """
    time, entities = spec.time_column or "", list(spec.entities)
    if prediction.column not in rows or rows.empty:
        return NotEnough("the view has no rows in the window")
    values = numbers_of(rows[[prediction.column]])
    kind = rows[prediction.column].dtype
    if values.empty:
        return NotEnough(f"{prediction.column} is an instant, which nothing here predicts")
    now = rows[[*entities, time]].assign(naive=values.iloc[:, 0].to_numpy(), row=np.arange(len(rows)))
    later = now[[*entities, time]].assign(label=now["naive"])
    later[time] = later[time] - pd.Timedelta(prediction.horizon)
    both = now.merge(later, on=[*entities, time], how="inner", validate="one_to_one").dropna(subset=["label"])
    both = both.sort_values([time, *entities], kind="stable")
    label = both["label"].to_numpy(dtype="float64")
    classes = np.unique(label)
    if len(classes) < 2:
        return NotEnough(f"{len(label)} rows have a later value of {prediction.column}, {len(classes)} different ones")
    if len(classes) > 2 and pd.api.types.is_string_dtype(kind):
        return NotEnough(f"{prediction.column} is text of {len(classes)} kinds; only numbers and yes or no are judged")
    is_class = len(classes) == 2
    naive = both["naive"].to_numpy(dtype="float64")
    features = numbers_of(rows[spec.features]).iloc[both["row"].to_numpy()].reset_index(drop=True)
    copies = () if _is_copy(naive, label) else tuple(n for n in features if _is_copy(features[n].to_numpy(), label))
    return Examples(
        features=features.drop(columns=list(copies)),
        label=(label == classes[1]).astype("float64") if is_class else label,
        naive=naive,
        at=both[time].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(dtype="datetime64[us]"),
        horizon=prediction.horizon,
        metric="auc" if is_class else "r2",
        copies=copies,
    )


def numbers_of(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns as float64: yes and no as 1 and 0, text as its place among the sorted texts, infinite as missing.
    Instants are left out: a model that learns the date knows nothing of later ones."""
    found: dict[str, np.ndarray] = {}
    for name, column in rows.items():
        if pd.api.types.is_datetime64_any_dtype(column.dtype):
            continue
        if pd.api.types.is_string_dtype(column.dtype) or pd.api.types.is_object_dtype(column.dtype):
            codes, _ = pd.factorize(column, sort=True)
            numbers = np.where(codes < 0, np.nan, codes.astype("float64"))
        else:
            numbers = column.astype("Float64").to_numpy(dtype="float64", na_value=np.nan)
        found[str(name)] = np.where(np.isfinite(numbers), numbers, np.nan)
    return pd.DataFrame(found, index=rows.index)


def split(examples: Examples, *, test_share: float = TEST_SHARE, most: int = 6000) -> Split | NotEnough:
    """The earlier examples to learn from and the later ones to judge on, at most `most` together, drawn
    at random but always the same.

    No row is learnt from whose label lies at or after the first row that is judged on: between the two is a gap of the
    horizon.
    """
    if len(examples) < LEAST_TRAIN + LEAST_TEST:
        return NotEnough(f"{len(examples)} examples, {LEAST_TRAIN + LEAST_TEST} are needed")
    first_test = examples.at[int(len(examples) * (1 - test_share))]
    train = examples.at + np.timedelta64(examples.horizon) < first_test
    halves = [
        examples.taken(_thinned(np.flatnonzero(chosen), int(most * share)))
        for chosen, share in ((train, 1 - test_share), (examples.at >= first_test, test_share))
    ]
    for half, least, name in zip(halves, (LEAST_TRAIN, LEAST_TEST), ("to learn from", "to judge on"), strict=True):
        if len(half) < least:
            return NotEnough(f"{len(half)} examples {name} with a gap of {examples.horizon}, {least} are needed")
        if len(np.unique(half.label)) < 2:
            return NotEnough(f"the examples {name} all have the same label")
        if len(np.unique(half.at)) < 2 * LEAST_BLOCKS:
            return NotEnough(f"the examples {name} are of {len(np.unique(half.at))} moments, too few to tell a spread")
    return Split(*halves)


def halved(later: Examples) -> Split | NotEnough:
    """The rows to judge on cut in two, with a gap of the horizon between: what chooses among many must not say how good
    the chosen are."""
    moment = later.at[len(later) // 2]
    first = later.taken(np.flatnonzero(later.at + np.timedelta64(later.horizon) < moment))
    second = later.taken(np.flatnonzero(later.at >= moment))
    for part, name in ((first, "to choose by"), (second, "to judge the chosen on")):
        if len(part) < LEAST_TEST // 2 or len(np.unique(part.at)) < LEAST_BLOCKS or len(np.unique(part.label)) < 2:
            return NotEnough(f"{len(part)} examples {name} are too few, or all have the same label")
    return Split(first, second)


def blocks_of(examples: Examples) -> np.ndarray:
    """Per row, the number of its block of time, from 0: blocks as long as the horizon, at least `LEAST_BLOCKS`. What is
    near in time is alike, so it is drawn together."""
    since = (examples.at - examples.at[0]) / np.timedelta64(1, "us")
    length = min(examples.horizon / timedelta(microseconds=1), (since[-1] + 1) / LEAST_BLOCKS)
    _, numbers = np.unique(since // length, return_inverse=True)
    return numbers


def informative(features: pd.DataFrame) -> list[str]:
    """The columns that have at least two different values; the others tell nothing."""
    return [name for name in features if features[name].nunique() > 1]


def settled(names: Sequence[str], columns: Sequence[str]) -> list[str]:
    """`names` in the order of `columns`."""
    return [name for name in columns if name in set(names)]


def _is_copy(values: np.ndarray, label: np.ndarray) -> bool:
    held = np.isfinite(values)
    if held.sum() < LEAST_TEST or np.ptp(values[held]) == 0 or np.ptp(label[held]) == 0:
        return False
    return bool(abs(np.corrcoef(values[held], label[held])[0, 1]) > SAME)


def _thinned(index: np.ndarray, most: int) -> np.ndarray:
    if len(index) <= most:
        return index
    return np.sort(np.random.default_rng(0).choice(index, most, replace=False))


def _moment(at: np.datetime64) -> datetime:
    return pd.Timestamp(at).to_pydatetime()
