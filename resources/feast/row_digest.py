"""A digest of rows that depends on their values and order alone: on no library, file format or size of batches.

Belongs here: what goes into the digest, byte for byte. Does not belong here: files, which rows.
"""

import hashlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resources.errors import ContractBroken

KINDS = ("integer", "float", "boolean", "instant", "text")


def kind_of(name: str, kind: pa.DataType) -> str:
    """Which of `KINDS` a column is.

    Raises:
        ContractBroken: none of them.
    """
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind):
        return "float"
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_timestamp(kind):
        return "instant"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    raise ContractBroken(f"column {name} is {kind}: a training set holds numbers, booleans, UTC instants and text")


class RowDigest:
    """SHA-256 of rows given batch by batch.

    Per column: for each value one byte, 1 or 0 where it is missing, and, unless it is text, 8 bytes little-endian: the
    integer, the bits of the float (IEEE 754 binary64; NaN is missing), 1 or 0 for a boolean, microseconds since
    1970-01-01 UTC; missing is all zeros. Text is its length in bytes of UTF-8 (8 bytes) and these bytes. The digest of
    the rows is that of the JSON array of [name, kind, digest] per column, in order, without spaces.
    """

    def __init__(self) -> None:
        self._columns: dict[str, tuple[str, hashlib._Hash]] = {}

    def add(self, rows: pa.Table) -> None:
        """Takes in the next rows; their columns are those of the first."""
        if not self._columns:
            self._columns = {f.name: (kind_of(f.name, f.type), hashlib.sha256()) for f in rows.schema}
        for name, (kind, digest) in self._columns.items():
            digest.update(_bytes(rows.column(name), kind))

    def columns(self) -> dict[str, str]:
        """The digest of each column."""
        return {name: digest.hexdigest() for name, (_, digest) in self._columns.items()}

    def hexdigest(self) -> str:
        """The digest of all rows so far."""
        told = [[name, kind, digest.hexdigest()] for name, (kind, digest) in self._columns.items()]
        return hashlib.sha256(json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def _bytes(column: pa.ChunkedArray, kind: str) -> bytes:
    if kind == "text":
        return b"".join(_text(value) for value in column.to_pylist())
    if kind == "instant":
        column = column.cast(pa.timestamp("us", "UTC"), safe=False)
    valid = column.is_valid()
    if kind == "float":
        column = column.cast(pa.float64())
        valid = pc.and_(valid, pc.invert(pc.fill_null(pc.is_nan(column), True)))
    held = np.zeros(len(column), dtype=[("valid", "u1"), ("value", "<f8" if kind == "float" else "<i8")])
    mask = valid.to_numpy(zero_copy_only=False).astype(bool)
    held["valid"] = mask
    plain = column if kind == "float" else column.cast(pa.int64())
    values = plain.filter(valid).to_numpy()
    held["value"][mask] = values + 0.0 if kind == "float" else values  # -0.0 is the same value as 0.0
    return held.tobytes()


def _text(value: str | None) -> bytes:
    if value is None:
        return bytes(9)
    data = value.encode()
    return b"\1" + len(data).to_bytes(8, "little") + data
