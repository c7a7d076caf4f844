"""The rows of a read as a Parquet file, complete under its name or not there.

Belongs here: writing beside the target and renaming. Does not belong here: what is read (`reading.py`).
"""

import os
import secrets
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import pyarrow
import pyarrow.parquet

from resources.sources.reading import TableRead
from resources.sources.row_contract import RowContract, rejects_of


def write_parquet(read: TableRead, contract: RowContract, target: Path) -> None:
    """The rows, and beside them in `<target>.rejects.parquet` what was put aside; no such file where nothing was."""
    target.parent.mkdir(parents=True, exist_ok=True)
    rejected = target.with_name(f"{target.stem}.rejects.parquet")
    names = list(contract.dtypes)
    nothing = pd.DataFrame({name: pd.Series([], dtype=dtype) for name, dtype in contract.dtypes.items()})
    with ExitStack() as drafts:
        rows = _Draft(drafts, target, nothing)
        aside = _Draft(drafts, rejected, rejects_of([]))
        for batch in read:
            rows.add(batch.rows[names])
            aside.add(batch.rejects)
        rows.keep()
        if aside.rows:
            aside.keep()
        else:
            rejected.unlink(missing_ok=True)


class _Draft:
    """A Parquet file nobody sees until it is kept; it is gone if nobody keeps it."""

    def __init__(self, drafts: ExitStack, target: Path, nothing: pd.DataFrame) -> None:
        self.rows = 0
        self._target = target
        self._path = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
        self._schema = pyarrow.Schema.from_pandas(nothing, preserve_index=False)
        drafts.callback(self._path.unlink, missing_ok=True)
        self._writer = drafts.enter_context(pyarrow.parquet.ParquetWriter(self._path, self._schema))

    def add(self, frame: pd.DataFrame) -> None:
        self.rows += len(frame)
        if len(frame):
            self._writer.write_table(pyarrow.Table.from_pandas(frame, schema=self._schema, preserve_index=False))

    def keep(self) -> None:
        self._writer.close()
        with self._path.open("rb") as file:
            os.fsync(file.fileno())
        self._path.replace(self._target)
