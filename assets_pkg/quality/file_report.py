"""Series of a dataset of files and their ledger to the daily report: counts, shares, a score.

Belongs here: pure functions of data frames. Does not belong here: pictures (`file_pictures.py`), Dagster, SQL, the
rules that set a flag (`assets_pkg/timeseries/`).
"""

import pandas as pd

from assets_pkg.quality.transforms import ACTIVE_LOOK_BACK
from schemas.base import conform
from schemas.file_dataset import FileDataset
from schemas.file_tables import tables_of
from schemas.window import ONE_DAY, Window, day_of, midnight

COUNTS = ("read", "loaded", "duplicate", "quarantined", "filtered")

_SHARES = ["completeness_pct", "validity_pct", "uniqueness_pct"]


def report_of(series: pd.DataFrame, accounts: pd.DataFrame, dataset: FileDataset, window: Window) -> pd.DataFrame:
    """How good the data about each UTC day of the window is, of every day that has an account or a step.

    `series`: the dataset's series of the window (closed left) and, to know which combinations of entities are expected,
    of the `ACTIVE_LOOK_BACK` before it; other rows are ignored. `accounts`: the current ledger entries, columns
    table_name, day (date), read, loaded, duplicate, quarantined, filtered, known_at; other tables and days are ignored,
    entries of one day are added up.

    - An entity is a combination of them. It has a value on a day if any step of any metric has one, the zeros that
      follow from the absence of rows included: what is declared to mean zero is not missing.
    - The ledger is closed if read = loaded + duplicate + quarantined + filtered in the day's entry; steps nobody
      accounts for leave it open.
    - `files` counts those that steps name as their origin, which is the file of a step's last row.
    - Shares follow their descriptions in the model and are null where the denominator is 0. A step with several
      metrics counts once for each.
    - `delay_h` is null where no step rests on rows, and negative where the newest row was known before the day ended.
    - The score is the mean of the known shares, and 0 on a day without a value.

    Returns:
        The model `tables_of(dataset.name).report.model`, by day; a day is the same whichever window asks for it.

    Raises:
        ValueError: the window is not of whole UTC days.
    """
    for bound in (window.start, window.end):
        if bound != midnight(bound.date()):
            raise ValueError(f"{dataset.name}: a report is of whole UTC days, the window's bound {bound} is none")
    tables = tables_of(dataset.name)
    steps = _steps(series, dataset, window.widened(before=ACTIVE_LOOK_BACK))
    ledger = _ledger(accounts.loc[accounts["table_name"] == tables.series.qualified], window)
    report = ledger.join(_counts(steps[window.holds(steps["day"], "left")]), how="outer")
    report = report.join(_looked_back_on(steps)).sort_index()
    whole = [name for name in report.columns if name.startswith(("rows_", "steps_", "files", "entities"))]
    report[whole] = report[whole].fillna(0).astype("int64")
    report["is_ledger_closed"] = report["is_ledger_closed"].eq(True)
    report["completeness_pct"] = _percent(report["entities"], report["entities_expected"])
    report["validity_pct"] = _percent(report["steps_valid"], report["steps_known"])
    report["uniqueness_pct"] = 100 - _percent(report["rows_duplicate"], report["rows_read"])
    report["score_pct"] = report[_SHARES].mean(axis=1).where(report["steps_known"] > 0, 0.0)
    report["known_at"] = report[["known_at_rows", "known_at_ledger"]].max(axis=1)
    report = report.reset_index()
    report["delay_h"] = (report["newest_row_at"] - (report["day"] + ONE_DAY)) / pd.Timedelta(hours=1)
    kept = report.drop(columns=["steps_known", "newest_row_at", "known_at_rows", "known_at_ledger"])
    return conform(kept, tables.report.model)


def _steps(series: pd.DataFrame, dataset: FileDataset, window: Window) -> pd.DataFrame:
    """The series' rows in the window: their day, the number of their entity, and what there is to count."""
    series = series[window.holds(series["datetime_utc"], "left")]
    is_known = series["value"].notna()
    return pd.DataFrame(
        {
            "day": day_of(series["datetime_utc"], "left"),
            "entity": series.groupby(list(dataset.entities)).ngroup(),
            "source_id": series["source_id"],
            "steps_known": is_known,
            "steps_valid": is_known & series["is_valid"],
            "steps_flagged": series["flags"].ne("").astype(bool),
            "newest_row_at": series["known_at"].mask(series["is_imputed"]),
            "known_at": series["known_at"],
        }
    )


def _ledger(accounts: pd.DataFrame, window: Window) -> pd.DataFrame:
    """Per day of the window that has an entry: its counts, whether they add up, when it became known."""
    day = pd.to_datetime(accounts["day"], utc=True).dt.as_unit("us")
    counts = accounts[list(COUNTS)].astype("int64")
    entries = counts.rename(columns=lambda name: f"rows_{name}").assign(
        is_ledger_closed=counts["read"] == counts[list(COUNTS[1:])].sum(axis=1),
        known_at_ledger=pd.to_datetime(accounts["known_at"], utc=True).dt.as_unit("us"),
    )
    how = {name: "sum" for name in entries} | {"is_ledger_closed": "all", "known_at_ledger": "max"}
    held = window.holds(day, "left")
    return entries[held].groupby(day[held]).agg(how)


def _counts(steps: pd.DataFrame) -> pd.DataFrame:
    """Per day with steps: how many there are of each kind, and what they tell of files and entities."""
    by_day = steps.groupby("day")
    counts = by_day[["steps_known", "steps_valid", "steps_flagged"]].sum()
    return counts.assign(
        files=by_day["source_id"].nunique(),
        entities=steps[steps["steps_known"]].groupby("day")["entity"].nunique(),
        newest_row_at=by_day["newest_row_at"].max(),
    )


def _looked_back_on(steps: pd.DataFrame) -> pd.DataFrame:
    """Per day that has steps on it or in the look-back before: the entities with a value, the newest `known_at`."""
    entities = steps.loc[steps["steps_known"], ["day", "entity"]].drop_duplicates()
    newest = steps[["day", "known_at"]].groupby("day", as_index=False).max()
    return pd.DataFrame(
        {
            "entities_expected": _later(entities).groupby("day")["entity"].nunique(),
            "known_at_rows": _later(newest).groupby("day")["known_at"].max(),
        }
    )


def _later(rows: pd.DataFrame) -> pd.DataFrame:
    """Each row once for every day that looks back on its own, with that day in its place."""
    days = range(ACTIVE_LOOK_BACK // ONE_DAY + 1)
    return pd.concat([rows.assign(day=rows["day"] + days_later * ONE_DAY) for days_later in days])


def _percent(part: pd.Series, whole: pd.Series) -> pd.Series:
    """100 x part / whole, null where the whole is 0; never beyond 100, however broken a ledger is."""
    return (100 * part / whole.where(whole > 0)).astype("float64").clip(0, 100)
