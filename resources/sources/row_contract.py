"""What the rows of one read have to be: names, types, required and critical columns, checks of the model.

Belongs here: bringing a batch to the model, row by row, and telling what does not fit. Does not belong here: the order
of batches, windows of time and duplicates (`reading.py`), single values (`conversion.py`).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from resources.catalog.rows import storable
from resources.errors import UnexpectedAnswer
from resources.sources.conversion import convert, is_missing
from schemas.base import dtypes_of
from schemas.source_dataset import SourceTable

REJECT_COLUMNS = ["rule", "reason", "raw", "source_id", "line_no", "moment"]


@dataclass(frozen=True, kw_only=True)
class RowContract:
    """What rows have to be; names are ours unless said otherwise."""

    label: str
    """What messages call the rows, e.g. `staging.delivery_users`."""
    dtypes: Mapping[str, Any]
    mapping: Mapping[str, str] = field(default_factory=dict)
    """Name at the source -> name of the column."""
    required: tuple[str, ...] = ()
    """Columns the source must have."""
    critical: tuple[str, ...] = ()
    """Columns that may not be null."""
    key: tuple[str, ...] = ()
    changed_at: str | None = None
    checks: pa.DataFrameSchema | None = None

    @classmethod
    def of(cls, table: SourceTable) -> "RowContract":
        """What the declaration says."""
        schema, dtypes = table.staging.to_schema(), dtypes_of(table.staging)
        critical = tuple(table.critical)
        return cls(
            label=f"staging.{table.staging_table}",
            dtypes={name: dtypes[name] for name in table.data_columns},
            mapping=dict(table.column_mapping),
            required=tuple(dict.fromkeys((*critical, *table.required))),
            critical=critical,
            key=table.key,
            changed_at=table.changed_at,
            checks=pa.DataFrameSchema({name: schema.columns[name] for name in table.data_columns}),
        )

    def require(self, found: Sequence[str], where: str) -> None:
        """The source has the required columns.

        Raises:
            UnexpectedAnswer: it lacks some, or has one of ours under two names.
        """
        ours = [self.mapping.get(name, name) for name in found]
        if missing := [name for name in self.required if name not in ours]:
            at_source = {column: name for name, column in self.mapping.items()}
            told = ", ".join(repr(at_source.get(name, name)) for name in missing)
            raise UnexpectedAnswer(
                f"{where} lacks the column(s) {told}, which {self.label} requires; it has "
                f"{', '.join(map(repr, found)) or 'none'}: rename them there, or map them in the declaration"
            )
        if twice := sorted({name for name in ours if name in self.dtypes and ours.count(name) > 1}):
            raise UnexpectedAnswer(
                f"{where} has more than one column for {', '.join(map(repr, twice))}: map one of them"
            )

    def fit(self, rows: pd.DataFrame) -> "Fitted":
        """The rows by our names and types, and per row that does not fit the first rule it breaks."""
        named = {self.mapping.get(str(name), str(name)): rows[name] for name in rows.columns}
        faults: dict[int, tuple[str, str]] = {}
        columns: dict[str, Any] = {}
        for name, dtype in self.dtypes.items():
            values = named[name].tolist() if name in named else [None] * len(rows)
            converted = convert(values, dtype)
            columns[name] = converted.values
            for position, why in converted.unfit.items():
                faults.setdefault(position, (f"type: {name}", f"{name}: {why}"))
            if name in self.critical:
                for position in converted.missing.nonzero()[0].tolist():
                    faults.setdefault(position, (f"null: {name}", f"{name} has no value and may not be without"))
        frame = pd.DataFrame(columns, index=pd.RangeIndex(len(rows)))
        self._check(frame, faults)
        return Fitted(rows=frame, faults=faults)

    def _check(self, frame: pd.DataFrame, faults: dict[int, tuple[str, str]]) -> None:
        """The model's checks on the rows that fit so far, until those that are left pass."""
        if self.checks is None:
            return
        while True:
            sound = frame.drop(index=list(faults))
            try:
                self.checks.validate(sound, lazy=True)
            except SchemaErrors as errors:
                found = errors.failure_cases
                cases = found[found["index"].notna()]
                if cases.empty:
                    raise UnexpectedAnswer(f"{self.label}: the rows break the model as a whole: {errors}") from errors
                for case in cases.itertuples():
                    reason = f"{case.column} is {str(case.failure_case)[:80]!r}, which breaks {case.check}"
                    faults.setdefault(int(case.index), (f"{case.column}: {case.check}", reason))
            else:
                return


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A batch by our names and types."""

    rows: pd.DataFrame
    """All of them, on a `RangeIndex`; those with a fault are not to be used."""
    faults: Mapping[int, tuple[str, str]]
    """Position -> rule and reason."""


def raw_of(rows: pd.DataFrame, position: int) -> str:
    """One row as the source has it, as JSON that PostgreSQL can store."""
    values = {str(name): _plain(rows.iat[position, number]) for number, name in enumerate(rows.columns)}
    return storable(json.dumps(values, ensure_ascii=False, default=str))


def rejects_of(found: Iterable[tuple[str, str, str, int, int, object]]) -> pd.DataFrame:
    """Rows that were put aside as a frame with `REJECT_COLUMNS`."""
    frame = pd.DataFrame(list(found), columns=REJECT_COLUMNS)
    moments = pd.DatetimeIndex(pd.to_datetime(frame["moment"], utc=True)).as_unit("us")
    texts = dict.fromkeys(("rule", "reason", "raw"), pd.StringDtype("pyarrow"))
    return frame.astype({**texts, "source_id": "int64", "line_no": "int64"}).assign(moment=moments)


def _plain(value: object) -> object:
    if is_missing(value):
        return None
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "backslashreplace")
    return value
