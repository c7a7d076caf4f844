"""How much of a file anybody is ready to read.

Belongs here: the limits and their defaults. Does not belong here: enforcing them (each reader does, where it can tell).
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Beyond any of these a file is refused as a whole (`RejectedFile`), except cells: their row is put aside."""

    file_bytes: int = 50_000_000_000
    """Size of the file as it lies there."""
    unpacked_bytes: int = 100_000_000_000
    """Size after decompression."""
    ratio: int = 200
    """Unpacked to packed size, looked at from `ratio_from_bytes` on: smaller files do no harm."""
    ratio_from_bytes: int = 10_000_000
    columns: int = 1_500
    """PostgreSQL holds 1,600 columns, some of which are ours."""
    rows: int = 1_000_000_000
    cell_bytes: int = 10_000_000
    sheet_bytes: int = 500_000_000
    """Unpacked size of the largest member of a workbook: a sheet is read as a whole."""
    json_depth: int = 100
    memory_bytes: int = 500_000_000
    """Memory of the database a file is parsed in; beyond it spills to disk."""
