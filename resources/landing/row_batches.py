"""Rows on their way to the database in batches of bounded size, however wide they are.

Belongs here: how many rows go together. Does not belong here: which rows (`preparation.py`), the writing.
"""

from collections.abc import Iterable, Iterator

import pyarrow as pa

BATCH_ROWS = 100_000
BATCH_BYTES = 4_000_000
"""Whoever validates and writes a batch holds it several times over."""
PIECE_ROWS = 2_048
"""DuckDB makes so many rows at a time."""


def gathered(pieces: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The rows of the pieces, in their order, in batches of about `BATCH_ROWS` rows or `BATCH_BYTES` bytes."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for piece in pieces:
        held.append(piece)
        rows, size = rows + piece.num_rows, size + piece.nbytes
        if rows >= BATCH_ROWS or size >= BATCH_BYTES:
            yield pa.concat_batches(held)
            held, rows, size = [], 0, 0
    if held:
        yield pa.concat_batches(held)
