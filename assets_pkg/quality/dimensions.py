"""From counts to dimensions and a score: rows of a layer's quality table.

Belongs here: the formulas, as pure functions of data frames. Does not belong here: counting (`resources/profiling/`),
weights and what is asked of a table (`schemas/quality_dimensions.py`), pictures, Dagster.

All shares are percent. With the counts of a table's day:

- completeness = filled cells / cells x coverage. Coverage is rows / (entities expected x rows per entity), where the
  table has a fixed number of rows per entity and day, or entities / entities expected, never above 1; 1 where nobody is
  expected. A day without rows on which somebody is expected is 0.
- validity = (1 - (rows put aside + rows with a value put aside) / rows read) x valid values / values x finite numbers /
  numbers.
- uniqueness = 1 - (duplicates by the ledger + rows that repeat another one's identity) / rows read.
- consistency = mean over the rules that rows are asked of: rows that agree / rows asked.
- timeliness = rows known in time / rows that could be: days that ended before anything was ever written are left out.
- accuracy = measurements that agree with their reference / measurements that have one.

A rule that failed, of severity ERROR or WARNING, lowers the dimension of its kind (`DIMENSION_OF`) to the share of the
rows asked that keep it; where no row is named, to 0. What a measure and a rule both find is counted once: the lower of
the two stands, and of several rules the lowest. A rule that holds raises nothing.

A dimension whose denominator is 0 and that no rule lowers is null, which means not measured. The score is the mean of
those that were measured, by `WEIGHTS`.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from schemas.base import TableModel, conform
from schemas.quality_dimensions import DIMENSION_OF, WEIGHTS, Dimension, Judged
from schemas.rules import Kind, Severity

LEDGER_COUNTS = ("read", "loaded", "duplicate", "quarantined", "filtered")


def quality_rows(
    judged: Judged,
    *,
    counts: pd.DataFrame,
    agreements: pd.DataFrame,
    accounts: pd.DataFrame,
    profiles: pd.DataFrame,
    verdicts: pd.DataFrame,
    model: type[TableModel],
) -> pd.DataFrame:
    """The rows of one judged table, one per day that has rows, an account or somebody missing, by day.

    Args:
        counts: `resources.profiling.measures.MEASURES` and `known_at`, by day (date).
        agreements: columns day, rule, asked, agree.
        accounts: current ledger entries: columns table_name, day, `LEDGER_COUNTS`, known_at; other tables are ignored.
        profiles: columns day, kind, rows, nulls, nans, infinities of the table's columns.
        verdicts: columns day, kind, severity, passed, checked, failed, as `catalog.rule_results` has them.
    """
    ledger = _ledger(accounts[accounts["table_name"] == judged.table])
    day = counts.drop(columns="known_at").join(ledger.drop(columns="known_at"), how="outer").sort_index()
    day["is_ledger_closed"] = day["is_ledger_closed"].eq(True)
    day = day.fillna(0).astype({name: "int64" for name in day if name != "is_ledger_closed"})
    day["cells"] = day["rows"] * len(judged.filled)
    known_at = pd.concat([counts["known_at"], ledger["known_at"]]).groupby(level=0).max().reindex(day.index)
    shares = pd.DataFrame(
        {
            Dimension.COMPLETENESS: _completeness(day, judged),
            Dimension.VALIDITY: _validity(day, profiles),
            Dimension.UNIQUENESS: 1
            - _share(day["rows_duplicate"] + day["repeated"], day[["rows_read", "rows"]].max(1)),
            Dimension.CONSISTENCY: _consistency(agreements, day.index),
            Dimension.TIMELINESS: _share(day["timely"], day["timely_of"]),
            Dimension.ACCURACY: _share(day["twins_agree"], day["twins"]),
        },
        index=day.index,
    )
    shares = np.fmin(shares.astype("float64"), _kept(verdicts, day.index))
    percents = (100.0 * shares).clip(0, 100)
    rows = day.rename(columns={"repeated": "rows_repeated", "bad_rows": "rows_with_bad_values"}).assign(
        **{f"{one.value}_pct": percents[one] for one in Dimension},
        table_name=judged.table,
        day=pd.to_datetime(pd.Series(day.index, index=day.index), utc=True).dt.as_unit("us"),
        dimensions=percents.notna().sum(axis=1).astype("int64"),
        score_pct=score(percents),
        known_at=known_at,
    )
    wanted = list(model.to_schema().columns)
    return conform(rows.reset_index(drop=True)[wanted], model)


def score(percents: pd.DataFrame, weights: Mapping[Dimension, float] = WEIGHTS) -> pd.Series:
    """The weighted mean of the known dimensions of each row (columns: `Dimension`), percent; null if none is."""
    weight = pd.DataFrame({one: np.where(percents[one].notna(), weights[one], 0.0) for one in percents.columns})
    weight.index = percents.index
    total = weight.sum(axis=1)
    return (percents.fillna(0.0) * weight).sum(axis=1) / total.where(total > 0)


def _ledger(accounts: pd.DataFrame) -> pd.DataFrame:
    """Per day, the rows of each class, whether they add up, and when the newest became known."""
    counts = accounts[list(LEDGER_COUNTS)].astype("int64")
    entries = counts.rename(columns=lambda name: f"rows_{name}").assign(
        is_ledger_closed=(counts["read"] == counts[list(LEDGER_COUNTS[1:])].sum(axis=1)).to_numpy(bool),
        known_at=pd.to_datetime(accounts["known_at"], utc=True).dt.as_unit("us"),
    )
    how = {name: "sum" for name in entries} | {"is_ledger_closed": "all", "known_at": "max"}
    return entries.groupby(accounts["day"]).agg(how)


def _completeness(day: pd.DataFrame, judged: Judged) -> pd.Series:
    expected = day["entities_expected"]
    there = day["entities"] if judged.per_day is None else day["rows"]
    coverage = _share(there, expected * (judged.per_day or 1)).clip(upper=1).fillna(1.0)
    filled = _share(day["cells_filled"], day["cells"])
    return filled.where((day["rows"] > 0) | (expected == 0), 0.0) * coverage


def _validity(day: pd.DataFrame, profiles: pd.DataFrame) -> pd.Series:
    kept = 1 - _share(day["rows_quarantined"] + day["bad_rows"], day["rows_read"])
    valid = _share(day["values_valid"], day["values"])
    numbers = profiles[profiles["kind"] == "number"].groupby("day")[["rows", "nulls", "nans", "infinities"]].sum()
    odd = _share(numbers["nans"] + numbers["infinities"], numbers["rows"] - numbers["nulls"])
    finite = (1 - odd).reindex(day.index)
    product = kept.fillna(1.0) * valid.fillna(1.0) * finite.fillna(1.0)
    return product.where((day["rows"] > 0) | (day["rows_read"] > 0))


def _consistency(agreements: pd.DataFrame, days: pd.Index) -> pd.Series:
    shares = _share(agreements["agree"], agreements["asked"]).astype("float64")
    return shares.groupby(agreements["day"]).mean().reindex(days)


def _kept(verdicts: pd.DataFrame, days: pd.Index) -> pd.DataFrame:
    """Per day and `Dimension`, the lowest share of rows that keep a rule that failed; null where none did."""
    failed = verdicts[~verdicts["passed"].astype(bool) & (verdicts["severity"] != Severity.INFO.value)]
    kept = (1 - _share(failed["failed"], failed["checked"])).where(failed["failed"] > 0, 0.0)
    dimension = failed["kind"].map(lambda kind: DIMENSION_OF[Kind(kind)])
    lowest = kept.astype("float64").groupby([failed["day"], dimension]).min().unstack()
    return lowest.reindex(index=days, columns=list(Dimension)).astype("float64")


def _share(part: pd.Series, whole: pd.Series) -> pd.Series:
    """part / whole, null where the whole is 0."""
    part, whole = part.astype("float64"), whole.astype("float64")
    return part / whole.where(whole > 0)
