"""The registry of schemas: every set of columns the files of a dataset had, numbered as they came.

Belongs here: statements on `catalog.schema_versions`. Does not belong here: comparing columns
(`schemas/schema_versions.py`), what a change is answered with (the dataset's declaration).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from resources.errors import ContractBroken
from resources.timescale import sql
from schemas.catalog_datasets import METADATA_DATASETS, SCHEMA_VERSIONS
from schemas.catalog_files import FILE_METADATA
from schemas.schema_versions import Column, Diff, diff, fingerprint


@dataclass(frozen=True, kw_only=True)
class Version:
    """One set of columns of a dataset."""

    id: int
    dataset: str
    version: int
    """1, 2, ... of the dataset."""
    fingerprint: str
    columns: tuple[Column, ...]
    diff: Mapping[str, object]
    """Against the version before, as `Diff.as_json`; of the first one everything is added."""
    first_file_id: int | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What registering columns would do."""

    known: Version | None
    """The version that has exactly these columns."""
    diff: Diff
    """Against the newest version."""


def current(connection: sa.Connection, dataset: str) -> Version | None:
    """The newest version; None before the first file."""
    query = _of(dataset).order_by(SCHEMA_VERSIONS.c.version.desc()).limit(1)
    return next((_version(row) for row in connection.execute(query).mappings()), None)


def history(connection: sa.Connection, dataset: str) -> list[Version]:
    """All versions, the oldest first."""
    query = _of(dataset).order_by(SCHEMA_VERSIONS.c.version)
    return [_version(row) for row in connection.execute(query).mappings()]


def propose(connection: sa.Connection, dataset: str, columns: Sequence[Column]) -> Proposal:
    """What these columns would be, without registering them."""
    newest = current(connection, dataset)
    return Proposal(known=_known(connection, dataset, columns), diff=diff(newest.columns if newest else (), columns))


def register(connection: sa.Connection, dataset: str, columns: Sequence[Column], file_id: int | None) -> Version:
    """The version with these columns, a new one if there is none; `file_id` is the file that brought it.

    Locks the dataset's versions until the transaction ends if it is new.

    Raises:
        ContractBroken: two columns have one physical name.
    """
    if len({column.name for column in columns}) != len(columns):
        doubles = [name for name, number in Counter(column.name for column in columns).items() if number > 1]
        raise ContractBroken(f"dataset {dataset!r}: two columns have the physical name {doubles[0]!r}")
    if found := _known(connection, dataset, columns):
        return found
    connection.execute(sql.lock([f"schema_versions/{dataset}"]))
    return _known(connection, dataset, columns) or _registered_first(connection, dataset, columns, file_id)


def file_versions(connection: sa.Connection, dataset: str) -> dict[int, int]:
    """Per loaded file of the dataset (by id), the number of the version it has."""
    query = (
        sa.select(FILE_METADATA.c.id, SCHEMA_VERSIONS.c.version)
        .join(SCHEMA_VERSIONS, SCHEMA_VERSIONS.c.id == FILE_METADATA.c.schema_version_id)
        .where(FILE_METADATA.c.dataset == dataset)
    )
    return {number: version for number, version in connection.execute(query)}


def known_names(connection: sa.Connection, dataset: str) -> dict[tuple[str, int], str]:
    """Physical names given so far, by original name and its occurrence among a file's columns: what
    `schemas.physical_names.physical_names` takes to give them again."""
    names: dict[tuple[str, int], str] = {}
    for version in history(connection, dataset):
        occurrences: Counter[str] = Counter()
        for column in version.columns:
            occurrences[column.original] += 1
            names.setdefault((column.original, occurrences[column.original]), column.name)
    return names


def _registered_first(
    connection: sa.Connection, dataset: str, columns: Sequence[Column], file_id: int | None
) -> Version:
    """Adds the version; the dataset's versions are locked."""
    newest = current(connection, dataset)
    number = newest.version + 1 if newest else 1
    statement = sa.insert(SCHEMA_VERSIONS).values(
        dataset=dataset,
        version=number,
        fingerprint=fingerprint(columns),
        columns=[asdict(column) for column in columns],
        diff=diff(newest.columns if newest else (), columns).as_json(),
        first_file_id=file_id,
    )
    added = connection.execute(statement.returning(*SCHEMA_VERSIONS.c)).mappings().one()
    noted = insert(METADATA_DATASETS).values(dataset=dataset, current_schema_version=number)
    fresh = {"current_schema_version": number, "changed_at": sa.func.now()}
    connection.execute(noted.on_conflict_do_update(index_elements=["dataset"], set_=fresh))
    return _version(added)


def _known(connection: sa.Connection, dataset: str, columns: Sequence[Column]) -> Version | None:
    query = _of(dataset).where(SCHEMA_VERSIONS.c.fingerprint == fingerprint(columns))
    return next((_version(row) for row in connection.execute(query).mappings()), None)


def _of(dataset: str) -> sa.Select[tuple[object, ...]]:
    return sa.select(*SCHEMA_VERSIONS.c).where(SCHEMA_VERSIONS.c.dataset == dataset)


def _version(row: sa.RowMapping) -> Version:
    return Version(**dict(row) | {"columns": tuple(Column(**column) for column in row["columns"])})
