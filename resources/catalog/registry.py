"""The registry of schemas: every set of columns the files of a dataset had, numbered as they came.

Belongs here: statements on `catalog.schema_versions`. Does not belong here: comparing columns
(`schemas/schema_versions.py`), what a change is answered with (the dataset's declaration).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import REGCLASS, insert

from resources.catalog.rows import selected
from resources.errors import ContractBroken
from schemas.catalog_datasets import SCHEMA_VERSIONS
from schemas.schema_versions import Column, diff, fingerprint


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
    changes: str = field(default="", compare=False)
    """Of a version that is planned and not entered: what it changes in the one before, a line each, for people."""


def current(connection: sa.Connection, dataset: str) -> Version | None:
    """The newest version; None before the first file."""
    query = _of(dataset).order_by(SCHEMA_VERSIONS.c.version.desc()).limit(1)
    return next((_version(row) for row in connection.execute(query).mappings()), None)


def history(connection: sa.Connection, dataset: str) -> list[Version]:
    """All versions, the oldest first."""
    query = _of(dataset).order_by(SCHEMA_VERSIONS.c.version)
    return [_version(row) for row in connection.execute(query).mappings()]


def planned(connection: sa.Connection, dataset: str, columns: Sequence[Column], file_id: int) -> Version:
    """The version with these columns; if there is none, the one they are once it is entered with the rows of the file.

    Of two that are planned at the same time one can be entered: a dataset's files are loaded one after another.

    Raises:
        ContractBroken: two columns have one physical name.
    """
    if len({column.name for column in columns}) != len(columns):
        doubles = [name for name, number in Counter(column.name for column in columns).items() if number > 1]
        raise ContractBroken(f"dataset {dataset!r}: two columns have the physical name {doubles[0]!r}")
    same = _of(dataset).where(SCHEMA_VERSIONS.c.fingerprint == fingerprint(columns))
    for row in connection.execute(same).mappings():
        return _version(row)
    newest = current(connection, dataset)
    change = diff(newest.columns if newest else (), columns)
    numbers = sa.func.pg_get_serial_sequence(SCHEMA_VERSIONS.fullname, SCHEMA_VERSIONS.c.id.name)
    return Version(
        id=connection.execute(sa.select(sa.func.nextval(sa.cast(numbers, REGCLASS)))).scalar_one(),
        dataset=dataset,
        version=newest.version + 1 if newest else 1,
        fingerprint=fingerprint(columns),
        columns=tuple(columns),
        diff=change.as_json(),
        first_file_id=file_id,
        changes=change.describe() if newest else "",
    )


def enter(version: Version) -> sa.Executable:
    """Notes the version if it is new, for the transaction of the rows; the database refuses it if another one was
    entered as that number, or with those columns, since it was planned."""
    row = {column.name: getattr(version, column.name) for column in _COLUMNS} | {
        "columns": [asdict(column) for column in version.columns]
    }
    names = list(row)
    statement = insert(SCHEMA_VERSIONS).from_select(names, selected(SCHEMA_VERSIONS, names, [row]))
    return statement.on_conflict_do_nothing(index_elements=["id"])


_COLUMNS = tuple(SCHEMA_VERSIONS.c[one.name] for one in fields(Version) if one.name != "changes")


def _of(dataset: str) -> sa.Select[tuple[object, ...]]:
    return sa.select(*_COLUMNS).where(SCHEMA_VERSIONS.c.dataset == dataset)


def _version(row: sa.RowMapping) -> Version:
    return Version(**dict(row) | {"columns": tuple(Column(**column) for column in row["columns"])})
