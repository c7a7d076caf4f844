"""What became of the rows of a slice, counted per UTC day and unit.

Belongs here: counting, and moving rows from loaded to quarantined. Does not belong here: statements (`ledger.py`), the
order of a write (`io_manager.py`).
"""

import pandas as pd

from resources.catalog import ledger
from resources.errors import ContractBroken
from resources.timescale.changes import Changes
from schemas.table_spec import TableSpec
from schemas.window import day_of

REJECT_COLUMNS = ["day", "unit", "rule", "reason", "raw", "source_id", "line_no"]
ACCOUNT_COLUMNS = ["day", "unit", "read", *ledger.CLASSES]


def accounts_of(given: pd.DataFrame | None, rows: pd.DataFrame, spec: TableSpec) -> pd.DataFrame:
    """The accounts as given (`ACCOUNT_COLUMNS`), else those of rows that were all read and loaded."""
    if given is not None:
        accounts = given[ACCOUNT_COLUMNS].copy()
        accounts["unit"] = accounts["unit"].astype(str)
        return accounts
    counted = _per_day_and_unit(rows, spec)
    return pd.DataFrame(
        {"day": counted["day"], "unit": counted["unit"], "read": counted["n"], "loaded": counted["n"]}
    ).reindex(columns=ACCOUNT_COLUMNS, fill_value=0)


def rejected(rows: pd.DataFrame, failures: pd.DataFrame, spec: TableSpec) -> pd.DataFrame:
    """The rows as rejects: the rule is the column and the check it broke."""
    keys = _keys(rows, spec)
    return pd.DataFrame(
        {
            "day": keys["day"],
            "unit": keys["unit"],
            "rule": failures["column"].astype(str) + ": " + failures["check"].astype(str),
            "reason": "value "
            + failures["failure_case"].astype(str).str.slice(0, 200)
            + " breaks the table's contract",
            "raw": [row.to_json(date_format="iso", force_ascii=False) for _, row in rows.iterrows()],
            **{name: rows.get(name) for name in ("source_id", "line_no")},
        },
        index=rows.index,
    ).reset_index(drop=True)


def moved(accounts: pd.DataFrame, rejects: pd.DataFrame, spec: TableSpec) -> pd.DataFrame:
    """The accounts with the rejects moved from loaded to quarantined.

    Raises:
        ContractBroken: more rows break the contract than were loaded: the computation made them up.
    """
    moved = rejects.groupby(["day", "unit"]).size().rename("moved")
    joined = accounts.merge(moved, how="left", left_on=["day", "unit"], right_index=True)
    count = joined.pop("moved").fillna(0).astype("int64")
    if (count > joined["loaded"]).any():
        raise ContractBroken(
            f"{spec.qualified}: rows that nobody loaded break the table's contract, e.g. {rejects['rule'].iloc[0]}, "
            f"{rejects['raw'].iloc[0][:500]}; nothing was written"
        )
    return joined.assign(loaded=joined["loaded"] - count, quarantined=joined["quarantined"] + count)


def entries_of(accounts: pd.DataFrame, rows: pd.DataFrame, changes: Changes, spec: TableSpec) -> pd.DataFrame:
    """Accounts joined with what the table holds and what the write changed, one row per day and unit."""
    keys = ["day", "unit"]
    held = _per_day_and_unit(rows, spec).rename(columns={"n": "written"})
    changed = changes.counts.assign(unit=lambda counts: counts["unit"].fillna("").astype(str))
    entries = accounts.merge(held, how="outer", on=keys).merge(changed, how="outer", on=keys)
    counts = list(ledger.COUNTS)
    return entries.assign(**{name: pd.to_numeric(entries[name]).fillna(0).astype("int64") for name in counts})


def _per_day_and_unit(rows: pd.DataFrame, spec: TableSpec) -> pd.DataFrame:
    """Rows per UTC day and unit: columns day, unit, n and, where the table has it, the newest known_at."""
    keys = {
        "day": day_of(rows[spec.time_column], spec.closed).dt.date if spec.time_column else pd.NaT,
        "unit": rows[spec.unit].astype(str) if spec.unit else "",
    }
    known_at = (
        rows[spec.known_at] if spec.known_at else pd.Series(pd.NaT, index=rows.index, dtype="datetime64[us, UTC]")
    )
    frame = pd.DataFrame({**keys, "known_at": known_at}, index=rows.index)
    grouped = frame.groupby(["day", "unit"], sort=True)["known_at"]
    return grouped.agg(n="size", known_at="max").reset_index()


def _keys(rows: pd.DataFrame, spec: TableSpec) -> pd.DataFrame:
    if spec.time_column is None:
        raise ContractBroken(f"{spec.qualified}: rows of a table without a time column cannot be put aside by day")
    return pd.DataFrame(
        {
            "day": day_of(rows[spec.time_column], spec.closed).dt.date,
            "unit": rows[spec.unit].astype(str) if spec.unit else "",
        },
        index=rows.index,
    )
