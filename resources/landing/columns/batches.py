"""The typed rows as a stream.

Belongs here: reading `rows_typed` in order, a batch at a time. Does not belong here: making it (`casting.py`).
"""

from collections.abc import Sequence

import pyarrow as pa

from resources.landing.columns.casting import TYPED
from resources.landing.columns.sql_text import identifier
from resources.landing.text_table import TextTable


def batches(table: TextTable, names: Sequence[str], rows_per_batch: int = 100_000) -> pa.RecordBatchReader:
    """The columns `names` (`line_no` and `line_count` among them, if asked for) of the typed rows, in line order.

    Instants are `timestamp[us, UTC]`. The reader has a cursor of its own: the table's connection stays free.
    """
    chosen = ", ".join(identifier(name) for name in names)
    order = "" if _is_in_order(table) else " ORDER BY line_no"
    cursor = table.connection.cursor()
    cursor.execute("SET TimeZone = 'UTC'").fetchall()
    return cursor.sql(f"SELECT {chosen} FROM {TYPED}{order}").to_arrow_reader(rows_per_batch)


def _is_in_order(table: TextTable) -> bool:
    """Sorting what is sorted already would cost more than reading it."""
    steps = f"SELECT line_no < lag(line_no) OVER () AS is_back FROM {TYPED}"
    found = table.connection.execute(f"SELECT NOT coalesce(bool_or(is_back), FALSE) FROM ({steps})").fetchone()
    return bool(found and found[0])
