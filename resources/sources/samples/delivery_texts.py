"""Numbers of the simulated organisation as the texts and types of its tables.

Belongs here: ids, joined lists, titles, frames with the types of the staging models. Does not belong here: what happens
(`delivery.py` and the modules beside it).
"""

from collections.abc import Mapping
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from schemas.source_datasets.delivery import DATASET, SKILLS, TASK_KINDS, TASK_STATUSES
from schemas.window import midnight

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
NEVER = np.iinfo(np.int64).min
"""Microseconds of an instant that is not there, as NumPy's NaT has it."""

ODD_TITLE = "Ünïcode «42» \"quoted\", 'single'; -- no comment\\n\nsecond line | 100 % 🧪"
"""A title as people paste them: quotes, a line end, characters of every width."""

WORK = ("login", "search", "invoice", "export", "dashboard", "import", "alerts", "billing", "profile", "backup", "api")
VERBS = {"feature": "Add", "bug": "Fix", "chore": "Tidy up"}
FIRST_NAMES = ("Ana", "Björn", "Chidi", "Dolores", "Emre", "Fatima", "Guo", "Hana", "Ibrahim", "José", "Kaia", "Łukasz")
LAST_NAMES = ("García", "Smith", "Nguyen", "Okafor", "Müller", "Rossi", "Yılmaz", "Kim", "Silva", "Novák", "O'Neill")


def micros(day: date) -> int:
    """Microseconds from 1970 to the beginning of the UTC day."""
    return int(midnight(day).timestamp()) * 1_000_000


def ids(prefix: str, numbers: np.ndarray) -> pa.Array:
    """`prefix` and the number; null for negative ones."""
    texts = pc.binary_join_element_wise(prefix, pa.array(numbers).cast(pa.string()), "")
    return pc.if_else(pa.array(numbers >= 0), texts, None)


def joined(*columns: pa.Array) -> pa.Array:
    """The texts of each row joined by |, nulls left out; null where all are."""
    # Told to skip nulls itself, Arrow's join drops the rows that have nothing else.
    parts = [pc.fill_null(pc.binary_join_element_wise("", column, "|"), "") for column in columns]
    together = pc.utf8_ltrim(pc.binary_join_element_wise(*parts, ""), "|")
    return pc.if_else(pc.equal(together, ""), None, together)


def chosen(texts: tuple[str, ...] | list[str], numbers: np.ndarray) -> pa.Array:
    """The text of each number; null for negative ones."""
    return pa.array(list(texts), pa.string()).take(pa.array(numbers, mask=numbers < 0))


def skill_lists(masks: np.ndarray) -> pa.Array:
    """Bit masks over `SKILLS` as names joined by |."""
    lists = ["|".join(skill for bit, skill in enumerate(SKILLS) if mask >> bit & 1) for mask in range(1 << len(SKILLS))]
    return chosen(lists, masks)


def titles(kinds: np.ndarray, numbers: np.ndarray, is_odd: np.ndarray) -> pa.Array:
    """What a task is called."""
    verbs = chosen([VERBS[kind] for kind in TASK_KINDS], kinds)
    plain = pc.binary_join_element_wise(verbs, chosen(WORK, numbers % len(WORK)), pa.array(numbers).cast("string"), " ")
    return pc.if_else(pa.array(is_odd), ODD_TITLE, plain)


def names(numbers: np.ndarray) -> pa.Array:
    """What a user is called."""
    last = chosen(LAST_NAMES, numbers // len(FIRST_NAMES) % len(LAST_NAMES))
    return pc.binary_join_element_wise(chosen(FIRST_NAMES, numbers % len(FIRST_NAMES)), last, " ")


def statuses(numbers: np.ndarray) -> pa.Array:
    """Names of the statuses."""
    return chosen(TASK_STATUSES, numbers)


def frame(table: str, columns: Mapping[str, object]) -> pd.DataFrame:
    """The columns with the types of the table's staging model. Instants are given in microseconds."""
    declared = DATASET.table(f"delivery_{table}")
    schema = declared.staging.to_schema().columns
    typed = {}
    for name in declared.data_columns:
        dtype, values = schema[name].dtype.type, columns[name]
        if isinstance(dtype, pd.DatetimeTZDtype):
            stamps = np.asarray(values, dtype="int64").view("datetime64[us]")
            typed[name] = pd.Series(stamps).dt.tz_localize("UTC")
        elif isinstance(values, pa.Array | pa.ChunkedArray):
            typed[name] = pd.Series(pd.array(values, dtype=dtype))
        else:
            typed[name] = pd.Series(np.asarray(values)).astype(dtype)
    return pd.DataFrame(typed)
