"""Which cell of a file goes into which column of its staging table, and as what.

Belongs here: declared columns found in a header, columns of a file nobody declared, and what a declaration refuses.
Does not belong here: matching names (`schemas/column_mapping.py`), guessing and converting (`columns/`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from resources.errors import RejectedFile
from resources.landing.columns.casting import Plan
from resources.landing.columns.inference import Guess
from resources.landing.columns.kinds import Convention, Kind
from resources.landing.names import escaped
from schemas.base import dtypes_of
from schemas.column_mapping import ColumnMapping, Declared, match, proposals
from schemas.file_dataset import FROZEN_COLUMN, FROZEN_SCHEMA, FileDataset, Mode
from schemas.file_tables import undeclared_table
from schemas.physical_names import physical_names
from schemas.schema_versions import Column
from schemas.table_spec import TableSpec

EVENT_TEXT = "event_text"
LONG = "long"
"""Mark, beside a column's convention, of integers that no float holds exactly."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What becomes of each column of one file."""

    spec: TableSpec
    plans: tuple[Plan, ...]
    columns: tuple[Column, ...]
    """The file's own schema, for the registry."""
    extra: Mapping[str, str]
    """Columns (c0, c1, ...) nobody declared, each with its key in `extra`: its name as read, if it is its alone."""
    notes: tuple[str, ...]
    """What a person should look at: ambiguous or similar columns, conventions that cannot be decided."""


@dataclass(frozen=True, kw_only=True)
class FoundColumns:
    """The declared columns in the header of one file."""

    names: tuple[str, ...]
    mapping: ColumnMapping
    notes: tuple[str, ...]


def found_columns(header: Sequence[str] | None, column_count: int, dataset: FileDataset) -> FoundColumns:
    """Which column of the file is which declared one. Without a header they are the declared ones, in order.

    Raises:
        RejectedFile: a column that may not be empty or is frozen is missing, or the schema is frozen and the file has
            another one.
    """
    declared = [
        Declared(
            name=name,
            aliases=dataset.arrival(name).aliases,
            is_required=not dataset.staging.to_schema().columns[name].nullable,
            unit=dataset.arrival(name).unit,
        )
        for name in dataset.data_columns
    ]
    names = _names(header, column_count, declared, dataset)
    mapping = match(names, declared)
    similar = (f"{one.name}? {names[one.index]!r}: {one.reason}" for one in proposals(names, declared, mapping))
    notes = (*_told(mapping, names), *similar)
    _require(mapping, names, dataset, notes)
    return FoundColumns(names=tuple(names), mapping=mapping, notes=notes)


def declared_convention(name: str, dataset: FileDataset) -> Convention:
    """What the declaration says of how the column is written."""
    arrival = dataset.arrival(name)
    is_time = kind_of(dtypes_of(dataset.staging)[name]) is Kind.TIMESTAMP
    return Convention(
        decimal=arrival.decimal,
        date_order=arrival.date_order,
        epoch_unit=arrival.epoch_unit,
        timezone=dataset.timezone if is_time else None,
    )


def plan_declared(found: FoundColumns, guesses: Sequence[Guess], dataset: FileDataset, spec: TableSpec) -> Planned:
    """The plan for a file of a declared dataset."""
    names, mapping = found.names, found.mapping
    plans = [_declared_plan(name, mapping, guesses, dataset) for name in dataset.data_columns]
    event = mapping.of_declared[dataset.event_time]
    plans.append(Plan(name=EVENT_TEXT, source=guesses[event].column, kind=Kind.TEXT))
    of_index = {index: name for name, index in mapping.of_declared.items()}
    physical = physical_names(names)
    of_name = {plan.name: plan for plan in plans}
    columns = tuple(
        _column(name, names[index], guess, of_name[name].convention)
        if (name := of_index.get(index))
        else _column(f"extra.{physical[index]}", names[index], guess, guess.convention)
        for index, guess in enumerate(guesses)
    )
    return Planned(
        spec=spec,
        plans=tuple(plans),
        columns=columns,
        extra={guesses[index].column: _key(index, names, physical) for index in mapping.unmatched},
        notes=(*found.notes, *(f"{plan.name}: {plan.doubt}" for plan in plans if plan.doubt)),
    )


def plan_nothing(dataset: FileDataset, spec: TableSpec) -> Planned:
    """The plan for a file without a single cell."""
    columns = dataset.staging.to_schema().columns
    plans = tuple(
        Plan(name=name, source=None, kind=kind_of(dtypes_of(dataset.staging)[name]), nullable=columns[name].nullable)
        for name in dataset.data_columns
    )
    return Planned(spec=spec, plans=plans, columns=(), extra={}, notes=("the file is empty",))


def plan_undeclared(
    header: Sequence[str] | None, guesses: Sequence[Guess], dataset_name: str, known: Sequence[Column]
) -> Planned:
    """The plan for a file of a dataset nobody declared: every column as what its cells are, beside those known before.

    A column keeps the kind it had while its cells still fit; otherwise it becomes wider (integer to number, anything to
    text), never narrower. Integers that a number would round become text.
    """
    names = list(header) if header is not None else [""] * len(guesses)
    before = {column.name: column for column in known}
    given = physical_names(names, _known_names(known))
    kinds = {
        name: _wider(before[name], guess) if name in before else guess.kind
        for name, guess in zip(given, guesses, strict=True)
    }
    plans = tuple(
        Plan(
            name=name,
            source=guess.column,
            kind=kinds[name],
            convention=guess.convention if kinds[name] is not Kind.TEXT else Convention(),
            on_failure="cell",
        )
        for name, guess in zip(given, guesses, strict=True)
    )
    columns = [
        Column(
            name=name,
            original=original,
            kind=kinds[name].value,
            convention=guess.convention.to_dict() | _length(kinds[name], guess, before.get(name)),
        )
        for name, original, guess in zip(given, names, guesses, strict=True)
    ]
    absent = [column for column in known if column.name not in kinds]
    spec = undeclared_table(dataset_name, [*((c.name, c.kind, c.original) for c in [*absent, *columns])])
    gone = tuple(Plan(name=c.name, source=None, kind=Kind(c.kind), convention=Convention()) for c in absent)
    return Planned(
        spec=spec,
        plans=(*plans, *gone),
        columns=(*columns, *absent),
        extra={},
        notes=tuple(_ambiguities(guesses, names)),
    )


def _names(
    header: Sequence[str] | None, column_count: int, declared: Sequence[Declared], dataset: FileDataset
) -> list[str]:
    if header is not None:
        return list(header)
    if column_count == len(declared):
        return [one.name for one in declared]
    raise RejectedFile(
        "no_header",
        f"the file has no header and {column_count} columns, {dataset.name} declares {len(declared)}: add a header",
    )


def _key(index: int, names: Sequence[str], physical: Sequence[str]) -> str:
    """The column's name as read; where that is empty or not its alone, the one the registry knows it by."""
    return names[index] if names[index].strip() and names.count(names[index]) == 1 else physical[index]


def _require(mapping: ColumnMapping, names: Sequence[str], dataset: FileDataset, notes: Sequence[str]) -> None:
    listed = ", ".join(map(escaped, names))[:500]
    hint = f" ({'; '.join(map(escaped, notes))[:500]})" if notes else ""
    added = [escaped(names[index]) for index in mapping.unmatched]
    absent = [name for name in dataset.data_columns if name not in mapping.of_declared]
    if dataset.mode is Mode.FREEZE and (added or absent):
        told = [f"{word} {', '.join(found)[:500]}" for word, found in (("added", added), ("missing", absent)) if found]
        raise RejectedFile(
            FROZEN_SCHEMA,
            f"{dataset.name} is frozen and the file has other columns, {'; '.join(told)}{hint}: mend the file, or the "
            "declaration",
        )
    if frozen := [name for name in dataset.frozen_columns if name in absent]:
        raise RejectedFile(
            FROZEN_COLUMN,
            f"{', '.join(frozen)} of {dataset.name} is frozen and missing; the file has {listed}{hint}: add it, or "
            "declare the name it has as an alias",
        )
    if mapping.missing:
        raise RejectedFile(
            "missing_column",
            f"{dataset.name} needs {', '.join(mapping.missing)}; the file has {listed}{hint}: rename the columns, or "
            "declare the names they have as aliases",
        )


def _declared_plan(name: str, mapping: ColumnMapping, guesses: Sequence[Guess], dataset: FileDataset) -> Plan:
    allowed, kind = dataset.allowed(name), kind_of(dtypes_of(dataset.staging)[name])
    index = mapping.of_declared.get(name)
    guess = guesses[index] if index is not None else None
    reading = guess.reading(kind) if guess else None
    # Text is what is written, whatever it may look like besides: `NA` and `007` stay as they are.
    plain = Convention() if kind is Kind.TEXT else declared_convention(name, dataset)
    return Plan(
        name=name,
        source=guess.column if guess else None,
        kind=kind,
        convention=reading.convention if reading else plain,
        doubt=reading.doubt if reading else None,
        nullable=dataset.staging.to_schema().columns[name].nullable,
        categories=allowed.categories,
        minimum=allowed.minimum,
        maximum=allowed.maximum,
        on_failure=_on_failure(name, dataset),
    )


def _on_failure(name: str, dataset: FileDataset) -> Literal["file", "row", "cell"]:
    """A frozen dataset puts rows aside: it is refused once all that do not fit are known."""
    if name in dataset.frozen_columns:
        return "file"
    return "cell" if dataset.mode_of(name) is Mode.EVOLVE else "row"


def kind_of(dtype: Any) -> Kind:
    """The kind of values a column of a staging model holds, by its pandas dtype."""
    if isinstance(dtype, pd.DatetimeTZDtype):
        return Kind.TIMESTAMP
    if pd.api.types.is_bool_dtype(dtype):
        return Kind.BOOLEAN
    if pd.api.types.is_integer_dtype(dtype):
        return Kind.INTEGER
    return Kind.NUMBER if pd.api.types.is_float_dtype(dtype) else Kind.TEXT


def _wider(before: Column, guess: Guess) -> Kind:
    """The kind that holds what was there and what the file brings."""
    old, new = Kind(before.kind), guess.kind
    if old is new or not guess.values:
        return old
    if {old, new} == {Kind.INTEGER, Kind.NUMBER}:
        return Kind.TEXT if guess.is_long or LONG in before.convention else Kind.NUMBER
    return Kind.TEXT


def _length(kind: Kind, guess: Guess, before: Column | None) -> dict[str, bool]:
    """The mark of a column that holds integers beyond 2^53, or did."""
    is_long = guess.is_long or (before is not None and LONG in before.convention)
    return {LONG: True} if is_long and kind is Kind.INTEGER else {}


def _known_names(known: Sequence[Column]) -> dict[tuple[str, int], str]:
    """Physical names given before, by the file's name and its occurrence."""
    seen: dict[str, int] = {}
    names = {}
    for column in known:
        seen[column.original] = seen.get(column.original, 0) + 1
        names[column.original, seen[column.original]] = column.name
    return names


def _column(name: str, original: str, guess: Guess, convention: Convention) -> Column:
    return Column(name=name, original=original, kind=guess.kind.value, convention=convention.to_dict())


def _told(mapping: ColumnMapping, names: Sequence[str]) -> list[str]:
    return [
        f"{' or '.join(one.names)}: {', '.join(repr(names[index]) for index in one.indexes)} fit ({one.how})"
        for one in mapping.ambiguous
    ]


def _ambiguities(guesses: Sequence[Guess], names: Sequence[str]) -> list[str]:
    return [f"{names[int(guess.column[1:])]!r}: {guess.ambiguous}" for guess in guesses if guess.ambiguous]
