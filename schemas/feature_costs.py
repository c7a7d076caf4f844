"""What a feature costs: how much history has to be read and aggregated for one row of it.

Belongs here: the look-back of a feature, from what is declared of its table. Does not belong here: measured time, which
no two runs would agree on, so that nothing that rests on it could be repeated.
"""

import re
from datetime import timedelta

from schemas.table_spec import TableSpec
from schemas.window import ONE_DAY

ONE_HOUR = timedelta(hours=1)
_SPELLED = re.compile(r"_(\d+)(h|d|w)(?=_|$)")
_STEPS = re.compile(r"_(?:mean|min|max|std|slope|coverage|lag|change)_(\d+)(?=_|$)")
_UNITS = {"h": ONE_HOUR, "d": ONE_DAY, "w": 7 * ONE_DAY}
_WORDS = {"nowcast": timedelta(hours=12), "aqi": ONE_DAY, "ratio": ONE_DAY}
"""Features of the air whose window is fixed by their definition."""


def look_back_h(spec: TableSpec, feature: str) -> float:
    """Hours of history behind one row of the feature, at least one step of the table.

    `look_back_h` in the column's metadata says it; else the window in the feature's name does (`_24h`, `_7d`, or a
    number of steps of the dataset, `_mean_28`); a feature without one looks at its own step only.

    Raises:
        KeyError: the table has no such column.
    """
    column = spec.model.to_schema().columns[feature]
    if declared := (column.metadata or {}).get("look_back_h"):
        return float(declared)
    step = _step(spec)
    if found := _SPELLED.search(feature):
        return max(int(found[1]) * _UNITS[found[2]], step) / ONE_HOUR
    if found := _STEPS.search(feature):
        return max(int(found[1]), 1) * step / ONE_HOUR
    words = [length for word, length in _WORDS.items() if word in feature.split("_")]
    return max((*words, step)) / ONE_HOUR


def _step(spec: TableSpec) -> timedelta:
    """From one row of an entity to its next: a file's dataset declares it, other hourly tables are named so."""
    from schemas.declared_files import file_datasets

    if dataset := file_datasets().get(spec.dataset):
        return dataset.cadence
    return ONE_HOUR if spec.name.endswith("_hourly") else ONE_DAY
