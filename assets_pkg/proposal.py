"""A declaration spelled from what was found in files: which column is the time, which name series, which are measured.

Belongs here: the choice and the text of the module; pure. Does not belong here: asking the catalog, writing files.
"""

import json
import keyword
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resources.errors import ConfigurationError
from schemas.file_dataset import StagedRows
from schemas.file_tables import SERIES_COLUMNS
from schemas.schema_versions import Column

FEW = 200
"""A text with at most so many different values, and at most one in `PER_VALUE` rows, names what a series is about."""

PER_VALUE = 3
MOST_ENTITIES = 2
MODULE_NAMES = ("pa", "float")
"""What the annotations of the module mean by these names must not become a column."""
COUNT = "rows"
"""Name of the metric every proposal has."""
LONGEST_METRIC = 40
"""Characters; names of features append to it, and PostgreSQL keeps 63."""
TYPES: Mapping[str, str] = {
    "text": "Text",
    "integer": "NullableInt",
    "number": "float",
    "boolean": "NullableBool",
    "timestamp": "UtcTimestamp",
}


@dataclass(frozen=True, kw_only=True)
class Observed:
    """One column and what its files say of it."""

    column: Column
    distinct: int
    """Most different values in one file."""
    nulls: int
    rows: int
    confidence: float | None


def declaration_source(dataset_name: str, observed: Sequence[Observed]) -> tuple[str, list[str]]:
    """The module's text, and what a person should look at.

    Raises:
        ConfigurationError: no column holds instants, or none names what rows are about.
    """
    event = _event(dataset_name, observed)
    entities = _entities(dataset_name, observed, event)
    measured = [
        one.column
        for one in observed
        if one.column.kind in ("integer", "number") and one.column.name not in entities and one.distinct > 1
    ]
    remarks = [
        f"event_time is {event!r}: rows are about that instant, in UTC where a stamp has no zone",
        f"entities are {', '.join(entities)}: there is one series per combination of them",
        "key is empty: every row is a fact of its own; name the columns that identify one to find duplicates",
    ]
    if measured:
        remarks.append("each metric is the mean per day: make it a sum where it is a quantity")
    text = "\n".join(
        [
            *_head(dataset_name, observed),
            *_model(dataset_name, observed, event, entities),
            *_dataset(dataset_name, observed, event, entities, measured),
        ]
    )
    return text + "\n", remarks


def _event(dataset_name: str, observed: Sequence[Observed]) -> str:
    stamps = [one for one in observed if one.column.kind == "timestamp"]
    if not stamps:
        raise ConfigurationError(
            f"no column of {dataset_name} holds instants, so there is no time series in it; it stays staged as it is. "
            f"Columns: {', '.join(f'{one.column.original!r} ({one.column.kind})' for one in observed)}"
        )
    return min(stamps, key=lambda one: one.nulls).column.name


def _entities(dataset_name: str, observed: Sequence[Observed], event: str) -> list[str]:
    texts = [
        one
        for one in observed
        if one.column.kind == "text" and one.distinct and not one.nulls and one.column.name not in SERIES_COLUMNS
    ]
    named = [one for one in texts if one.distinct <= FEW and one.distinct * PER_VALUE <= one.rows]
    telling = [one for one in named if one.distinct > 1] or named
    chosen = sorted(telling or texts, key=lambda one: one.distinct)[: MOST_ENTITIES if telling else 1]
    if not chosen:
        raise ConfigurationError(
            f"no column of {dataset_name} names what its rows are about (a text without gaps), so it cannot have series"
        )
    return [one.column.name for one in observed if one in chosen and one.column.name != event]


def _head(dataset_name: str, observed: Sequence[Observed]) -> list[str]:
    types = sorted({TYPES[one.column.kind] for one in observed} - {"float"} | {"UtcTimestamp", "Text"})
    return [
        f'"""{_words(dataset_name).capitalize()}: files as they were found in their landing folder.',
        "",
        "Belongs here: the declaration. Does not belong here: how it is read or computed.",
        '"""',
        "",
        "import pandera.pandas as pa",
        "",
        f"from schemas.base import {', '.join(types)}",
        "from schemas.file_dataset import Arrival, FileDataset, Metric, Mode, StagedRows",
        "",
        "",
    ]


def _model(dataset_name: str, observed: Sequence[Observed], event: str, entities: Sequence[str]) -> list[str]:
    lines = [
        f"class {_camel(dataset_name)}Files(StagedRows):",
        '    """One row per line of a file that fits the declaration."""',
        "",
    ]
    attributes = _attributes([one.column.name for one in observed])
    for one, attribute in zip(observed, attributes, strict=True):
        name, is_needed = one.column.name, one.column.name in (event, *entities)
        options = [] if is_needed else ["nullable=True"]
        if attribute != name:
            options.append(f"alias={_text(name)}")
        options.append(f"description={_text(f'{_original(one.column)}, as received')}")
        lines.append(f"    {attribute}: {TYPES[one.column.kind]} = pa.Field({', '.join(options)})")
    return [*lines, "", ""]


def _dataset(
    dataset_name: str, observed: Sequence[Observed], event: str, entities: Sequence[str], measured: Sequence[Column]
) -> list[str]:
    lines = [
        "DATASET = FileDataset(",
        f"    name={_text(dataset_name)},",
        f"    description={_text(f'Files of {_words(dataset_name)}.')},",
        f"    staging={_camel(dataset_name)}Files,",
        f"    staging_table={_text(f'{dataset_name}_files')},",
        f"    event_time={_text(event)},",
        f"    entities=({', '.join(map(_text, entities))},),",
        "    metrics=(",
        f'        Metric(name="{COUNT}", unit="rows", how="count", description="rows of the step"),',
    ]
    for column, name in zip(measured, _metric_names(measured), strict=True):
        of, told = _text(column.name), _text(f"mean of {_original(column)}")
        lines.append(f'        Metric(name={_text(name)}, unit="1", how="mean", of=({of},), description={told}),')
    lines += ["    ),", "    mode=Mode.EVOLVE,", "    arrivals={"]
    for one in observed:
        arguments = _arrival(one.column)
        if arguments:
            lines.append(f"        {_text(one.column.name)}: Arrival({arguments}),")
    return [*lines, "    },", ")"]


def _arrival(column: Column) -> str:
    """What the file's own name and way of writing say that the column's name and type do not."""
    given = {name: column.convention.get(name) for name in ("decimal", "date_order", "epoch_unit")}
    arguments = (
        [f"aliases=({_text(column.original.strip())},)"] if column.original.strip() not in ("", column.name) else []
    )
    return ", ".join([*arguments, *(f"{name}={_text(str(value))}" for name, value in given.items() if value)])


def _original(column: Column) -> str:
    return column.original.strip() or "column without a name"


def _attributes(names: Sequence[str]) -> list[str]:
    """Names that a class may have: no keyword, nothing a model has already, none that Pandera takes for private."""
    given: list[str] = []
    for number, name in enumerate(names, start=1):
        is_taken = keyword.iskeyword(name) or name.startswith("_") or name in MODULE_NAMES
        is_free = not (is_taken or hasattr(StagedRows, name))
        other = f"column_{name.strip('_')}"
        given.append(name if is_free else other if other not in (*names, *given) else f"{other}_{number}")
    return given


def _metric_names(columns: Sequence[Column]) -> list[str]:
    """Names of metrics, so short that those of their features fit, and of which none is the count of rows."""
    given: list[str] = []
    for number, column in enumerate(columns, start=1):
        name = column.name[:LONGEST_METRIC]
        given.append(name if name not in (COUNT, *given) else f"{name}_{number}")
    return given


def _text(value: str) -> str:
    """A Python literal; JSON's escapes of what is not printed are Python's."""
    return json.dumps(value, ensure_ascii=False)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
