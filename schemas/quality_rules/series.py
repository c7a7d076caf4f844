"""Rules of the series of any dataset of files: they follow from its declaration.

Belongs here: what every such series promises its features. Does not belong here: rules of one dataset.
"""

from schemas.file_dataset import FileDataset
from schemas.rules import Categorical, Combination, Completeness, RangeBy, Rule
from schemas.timeseries import Flag

VALID = (("is_valid", (True,)),)


def series_rules(dataset: FileDataset) -> tuple[Rule, ...]:
    """Units, values and flags of the series."""
    return (
        Combination(
            name="unit_is_canonical",
            columns=("metric", "unit"),
            values=tuple((metric.name, metric.unit) for metric in dataset.metrics),
            description="every metric is one of those declared, in its unit",
        ),
        Completeness(name="valid_steps_have_a_value", columns=("value",), when=VALID, description="as it says"),
        RangeBy(
            name="valid_values_are_plausible",
            columns=("value",),
            by=("metric",),
            bounds=tuple(((metric.name,), metric.valid) for metric in dataset.metrics),
            when=VALID,
            description="what features may use lies in the range declared for the metric",
        ),
        Categorical(
            name="flags_are_known",
            columns=("flags",),
            allowed=("", *(flag.value for flag in Flag)),
            separator="|",
            description="flags are those that the series set",
        ),
    )
