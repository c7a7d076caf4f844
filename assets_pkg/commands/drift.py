"""`tidemark drift errors`: whether the errors of predictions have grown.

Belongs here: reading the file, and what is told of it. Does not belong here: the test (`concept_drift.py`).
"""

from pathlib import Path

import numpy as np
import pandas as pd

from assets_pkg.commands.tables import terminal
from assets_pkg.quality.concept_drift import concept_drift
from resources.errors import ConfigurationError
from schemas.feature_drift import Verdict


def drift_of_errors(file: Path, *, error: str, predicted: str | None, actual: str | None, time: str | None) -> int:
    """Prints whether the errors in the CSV file have grown for good, since when and by how much; 1 if so, else 0.

    Raises:
        ConfigurationError: the file cannot be read, lacks a column, or a column holds no numbers or no times.
    """
    if (predicted is None) != (actual is None):
        raise ConfigurationError("--predicted and --actual go together: an error is the difference of the two")
    rows = _read(file, [one for one in (time, *((predicted, actual) if predicted else (error,))) if one])
    if time:
        rows = rows.assign(**{time: _times(rows[time], file)}).sort_values(time, kind="stable", ignore_index=True)
    if predicted and actual:
        errors = _numbers(rows[predicted], file) - _numbers(rows[actual], file)
    else:
        errors = _numbers(rows[error], file)
    found, console = concept_drift(errors), terminal()

    def at(position: int | None) -> str:
        return str(rows[time].iloc[position]) if time and position is not None else f"row {(position or 0) + 1}"

    if found.verdict is Verdict.NOT_ENOUGH_DATA:
        console.print(f"Not enough data: {found.errors} errors", highlight=False)
    elif found.verdict is Verdict.STABLE:
        console.print(f"Stable: {found.errors} errors, their mean size {found.before:.4g}", highlight=False)
    else:
        console.print(
            f"Drift since {at(found.changed_at)}, noticed at {at(found.noticed_at)}: mean size of the errors "
            f"{found.after:.4g} after {found.before:.4g} (p {found.p_value:.2g}, {found.errors} errors)",
            highlight=False,
        )
    return int(found.verdict is Verdict.DRIFT)


def _read(file: Path, columns: list[str]) -> pd.DataFrame:
    try:
        rows = pd.read_csv(file, dtype=str)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ConfigurationError(f"{file} cannot be read as CSV with a header: {error}") from error
    if missing := [name for name in columns if name not in rows]:
        raise ConfigurationError(f"{file} has no column {', '.join(missing)}; there are {', '.join(rows)}")
    return rows


def _numbers(texts: "pd.Series[str]", file: Path) -> np.ndarray:
    values = pd.to_numeric(texts, errors="coerce").to_numpy("float64")
    if (bad := np.isnan(values) & texts.notna().to_numpy()).any():
        line = int(np.flatnonzero(bad)[0])
        raise ConfigurationError(f"{file}: {texts.name} holds {texts.iloc[line]!r}, which is no number")
    return np.where(np.isfinite(values), values, np.nan)


def _times(texts: "pd.Series[str]", file: Path) -> "pd.Series[pd.Timestamp]":
    stamps = pd.to_datetime(texts, utc=True, errors="coerce", format="ISO8601")
    if stamps.isna().any():
        bad = texts[stamps.isna()].iloc[0]
        raise ConfigurationError(f"{file}: {texts.name} holds {bad!r}, which is no time; write ISO 8601")
    return stamps
