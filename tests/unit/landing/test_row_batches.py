"""Rows go together in batches of bounded size, in their order, and none is lost."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.landing import row_batches
from resources.landing.row_batches import gathered


def piece(values: list[str]) -> pa.RecordBatch:
    return pa.record_batch({"cell": pa.array(values, pa.string())})


@given(st.lists(st.lists(st.text(max_size=30), min_size=1, max_size=5), max_size=30), st.integers(1, 20))
def test_no_row_is_lost_or_moved(pieces: list[list[str]], most_rows: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_batches, "BATCH_ROWS", most_rows)
        batches = list(gathered(map(piece, pieces)))
    assert [cell for batch in batches for cell in batch["cell"].to_pylist()] == [cell for one in pieces for cell in one]
    assert all(batch.num_rows < most_rows + 5 for batch in batches)
    assert all(batch.num_rows >= most_rows for batch in batches[:-1])


def test_wide_rows_go_in_smaller_batches() -> None:
    wide = piece(["x" * 100_000] * 20)
    sizes = [batch.nbytes for batch in gathered([wide] * 40)]
    assert sum(sizes) >= 40 * 20 * 100_000
    assert max(sizes) < row_batches.BATCH_BYTES + 2 * wide.nbytes
    assert len(sizes) == 40 * 20 * 100_000 // row_batches.BATCH_BYTES
