"""Whether features still look as they did: the newest days against the same weekdays of the weeks before.

Belongs here: pure functions of feature rows. Does not belong here: which rows are read (`drift_assets.py`), pictures,
errors of predictions (`concept_drift.py`).

Three measures tell how far a distribution has moved, and an alarm needs a large effect AND a small adjusted p-value: of
many rows any trifle is significant, of few rows chance looks large.

- KS: the two-sample Kolmogorov-Smirnov statistic. A missing value counts as lower than all others, so a feature that
  goes missing moves.
- PSI: Σ (q - p) ln(q / p) over ten quantile bins of the reference and one of missing values (Siddiqi, Credit Risk
  Scorecards, 2006), less what chance alone gives on average, (bins - 1)(1/n + 1/m) (Yurdakul, Statistical Properties
  of Population Stability Index, 2018).
- Wasserstein distance in robust standard deviations of the reference.

Rows of a series resemble their neighbours, and are worth fewer than they are: with a lag-1 autocorrelation r, n rows of
an entity count as n (1 - r) / (1 + r), at least one (Bayley and Hammersley, JRSS Supplement 8, 1946).
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from schemas.base import conform, empty
from schemas.feature_drift import CURRENT_DAYS, REFERENCE_WEEKS, FeatureDrift, Verdict
from schemas.table_spec import TableSpec
from schemas.window import Window, day_of, midnight

Floats = NDArray[np.float64]

ALPHA = 0.05
"""False discovery rate over the features of a view."""
LARGE_PSI = 0.25
LARGE_WASSERSTEIN = 0.5
"""An effect is large if either is reached: a shifted population by Siddiqi's rule, or half a standard deviation."""
LEAST_EFFECTIVE = 10.0
"""Fewer independent rows on either side have no verdict."""
BINS = 10
MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Measured:
    """One feature; NaN where nothing can be said."""

    ks: float
    p_value: float
    psi: float
    wasserstein: float
    effective_reference: float
    effective_current: float

    @property
    def is_enough(self) -> bool:
        return min(self.effective_reference, self.effective_current) >= LEAST_EFFECTIVE

    @property
    def is_large(self) -> bool:
        return self.psi >= LARGE_PSI or self.wasserstein >= LARGE_WASSERSTEIN


def drift_of(
    rows: pd.DataFrame,
    spec: TableSpec,
    day: date,
    importance: "pd.Series[float] | None" = None,
    *,
    current_days: int = CURRENT_DAYS,
    reference_weeks: int = REFERENCE_WEEKS,
) -> pd.DataFrame:
    """Rows of `schemas.feature_drift.FeatureDrift` of the view as of the END of the UTC day, what matters most first.

    `rows` of the feature table, of the `current_days` up to that instant and `reference_weeks` before; others are
    ignored. The reference is the same weekdays of those weeks. `importance`: best rank by feature, where it is known.
    """
    rows = rows.sort_values(list(spec.key), kind="stable")
    current, reference = windows_of(rows, spec, day, current_days, reference_weeks)
    if current.empty and reference.empty:
        return empty(FeatureDrift)
    features = [name for name in spec.features if pd.api.types.is_numeric_dtype(rows[name].dtype)]
    entity = pd.concat([reference, current])[list(spec.entities)].drop_duplicates()
    codes = [part.merge(entity.assign(code=range(len(entity))))["code"].to_numpy() for part in (reference, current)]
    measured = {
        name: measure(numbers(reference[name]), numbers(current[name]), codes[0], codes[1]) for name in features
    }
    table = pd.DataFrame([vars(one) for one in measured.values()], index=pd.Index(features, name="feature"))
    is_enough = np.array([one.is_enough for one in measured.values()], dtype=np.bool_)
    table["p_adjusted"] = adjusted(table["p_value"].where(is_enough).to_numpy())
    is_large = np.array([one.is_large for one in measured.values()], dtype=np.bool_)
    is_drift = is_enough & is_large & (table["p_adjusted"] < ALPHA).to_numpy()
    table["verdict"] = np.select([~is_enough, is_drift], [Verdict.NOT_ENOUGH_DATA, Verdict.DRIFT], Verdict.STABLE)
    ranks = pd.Series(np.nan, index=table.index) if importance is None else importance.reindex(table.index)
    table["importance_rank"] = ranks.astype("Int64")
    for name, part in (("reference", reference), ("current", current)):
        values = pd.DataFrame({feature: numbers(part[feature]) for feature in features})
        table[f"median_{name}"] = values.median()
        table[f"missing_{name}_pct"] = 100 * values.isna().mean() if len(part) else 100.0
        table[f"rows_{name}"] = len(part)
    table = table.assign(
        day=midnight(day),
        view=spec.view,
        known_at=max(part["known_at"].max() for part in (reference, current) if len(part)),
    )
    table["rank"] = _ranked(table)
    return conform(table.reset_index().sort_values("rank", ignore_index=True), FeatureDrift)


def windows_of(
    rows: pd.DataFrame, spec: TableSpec, day: date, current_days: int, reference_weeks: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The newest rows, and those of the same weekdays of the weeks before which are not among the newest."""
    newest = Window.of_days(day - timedelta(days=current_days - 1), day)
    days = day_of(rows[spec.time_column or ""], spec.closed)
    is_current = newest.holds(days, "left")
    back = (newest.end - days).dt.days - 1  # whole days before the newest, which is 0
    is_reference = ~is_current & (back > 0) & (back % 7 < current_days) & (back < current_days + 7 * reference_weeks)
    return rows[is_current.to_numpy()], rows[is_reference.to_numpy()]


def measure(reference: Floats, current: Floats, reference_of: Floats, current_of: Floats) -> Measured:
    """The measures of one feature: its values in order of time, NaN where missing, and the entity each is of."""
    r = autocorrelation(reference, reference_of)
    n, m = effective(reference_of, r), effective(current_of, r)
    if not len(reference) or not len(current) or (np.isnan(reference).all() and np.isnan(current).all()):
        return Measured(np.nan, np.nan, np.nan, np.nan, 0.0, 0.0)
    ks = ks_statistic(reference, current)
    return Measured(ks, p_of(ks, n, m), psi(reference, current, n, m), wasserstein(reference, current), n, m)


def ks_statistic(reference: Floats, current: Floats) -> float:
    """Largest distance of the two distribution functions; what is missing comes before all values."""
    first, second = (np.sort(np.where(np.isnan(part), -np.inf, part)) for part in (reference, current))
    both = np.concatenate([first, second])
    below = [np.searchsorted(part, both, side="right") / len(part) for part in (first, second)]
    return float(np.abs(below[0] - below[1]).max())


def p_of(ks: float, n: float, m: float) -> float:
    """Chance of such a distance between samples of one distribution, by Kolmogorov's limit with Stephens' correction
    for small samples (JRSS B 32, 1970), at effective numbers of rows; conservative where values repeat."""
    from scipy.special import kolmogorov

    size = np.sqrt(n * m / (n + m))
    return float(kolmogorov((size + 0.12 + 0.11 / size) * ks))


def psi(reference: Floats, current: Floats, n: float, m: float) -> float:
    """Population stability index less its mean under no change, never below 0."""
    held = reference[~np.isnan(reference)]
    edges = np.unique(np.quantile(held, np.arange(1, BINS) / BINS)) if len(held) else np.array([0.0])
    shares = []
    for part, size in ((reference, n), (current, m)):
        codes = np.where(np.isnan(part), len(edges) + 1, np.searchsorted(edges, part, side="left"))
        share = np.bincount(codes, minlength=len(edges) + 2) / len(part)
        shares.append((share * size + 0.5) / (size + 0.5 * len(share)))
    q, p = shares
    return max(0.0, float(((p - q) * np.log(p / q)).sum()) - (len(q) - 1) * (1 / n + 1 / m))


def wasserstein(reference: Floats, current: Floats) -> float:
    """Of the values that are there, in robust standard deviations of the reference (plain ones where half of it is one
    value); NaN if one side has none, or the reference does not vary and neither moved."""
    from scipy.stats import wasserstein_distance

    before, after = reference[~np.isnan(reference)], current[~np.isnan(current)]
    if not len(before) or not len(after):
        return float("nan")
    spread = MAD_TO_SIGMA * float(np.median(np.abs(before - np.median(before)))) or float(before.std())
    distance = float(wasserstein_distance(before, after))
    if spread == 0:
        return 0.0 if distance == 0 else float("nan")
    return distance / spread


def autocorrelation(values: Floats, entity: Floats) -> float:
    """Of values that follow each other within an entity, around the entity's mean; 0 where they do not vary."""
    frame = pd.DataFrame({"value": values, "entity": entity})
    apart = frame["value"] - frame.groupby("entity")["value"].transform("mean")
    before = apart.groupby(frame["entity"]).shift()
    there = apart.notna() & before.notna()
    x, y = apart[there].to_numpy(), before[there].to_numpy()
    spread = float((x**2).sum() * (y**2).sum()) ** 0.5
    return float(np.clip((x * y).sum() / spread, 0.0, 0.999)) if spread > 0 else 0.0


def effective(entity: Floats, r: float) -> float:
    """So many independent rows the rows of these entities are worth."""
    counts = np.unique(entity, return_counts=True)[1]
    return float(np.maximum(counts * (1 - r) / (1 + r), 1.0).sum()) if len(counts) else 0.0


def adjusted(p_values: Floats) -> Floats:
    """After Benjamini and Hochberg (JRSS B 57, 1995) over those that are known; NaN stays."""
    from scipy.stats import false_discovery_control

    result = np.full(len(p_values), np.nan)
    known = ~np.isnan(p_values)
    if known.any():
        result[known] = false_discovery_control(p_values[known])
    return result


def numbers(values: "pd.Series[float]") -> Floats:
    """The values as floats; infinite ones are missing."""
    plain = values.astype("Float64").to_numpy("float64", na_value=np.nan)
    return np.where(np.isfinite(plain), plain, np.nan)


def _ranked(table: pd.DataFrame) -> "pd.Series[int]":
    """1 is what to look at first: what drifts, then what matters most to predictions, then the larger effect."""
    order = table.assign(
        is_quiet=table["verdict"] != Verdict.DRIFT,
        importance=table["importance_rank"].astype("Float64").fillna(np.inf),
        effect=-table["psi"].fillna(0),
        name=table.index,
    ).sort_values(["is_quiet", "importance", "effect", "name"])
    return pd.Series(np.arange(1, len(order) + 1), index=order.index).reindex(table.index)
