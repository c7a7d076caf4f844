"""Our statistics of series against tsfresh's of the same names, over the same windows.

    python -m benchmarks.features_tsfresh [--locations 20] [--rounds 3]

The series are those of `benchmarks.features`: hourly, 6 parameters a location, 5 % of the hours invalid. A window is
the 3 h, 24 h or 7 d of one series up to one hour; its statistics are mean, minimum, maximum, standard deviation, slope.
`hourly_features` gives them as it gives all its columns, AQI and NowCast included, for every hour of a day at once or
for the newest hour alone; tsfresh computes these five and nothing else (`extract_features`, `n_jobs=0`), one window an
id. Cutting the windows is not timed. Seconds are medians over the rounds, ways taking turns, by the wall's clock.

The values are checked to agree, where both define them, after two differences of definition are undone:
- the standard deviation is tsfresh's of the population (ddof 0), ours of the sample (ddof 1);
- tsfresh's `linear_trend` counts values and not hours, so that a gap bends it: `linear_trend_timewise` is compared.
Ours are null where fewer than `LEAST_HOURS` of a window have a value; tsfresh answers from one value on.
"""

import argparse
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from statistics import median

import numpy as np
import pandas as pd
from tsfresh import extract_features
from tsfresh.feature_extraction import EfficientFCParameters

from assets_pkg.features.transforms import hourly_features
from benchmarks.features import made_up_series, rows_of, seconds
from schemas.features import POLLUTANTS, WINDOWS_H
from schemas.tables import LOOK_BACK
from schemas.window import Window

DAY = Window.of_days(date(2024, 1, 1), date(2024, 1, 1))
NEWEST = Window(DAY.end - timedelta(hours=1), DAY.end)
SLOPE = 'linear_trend_timewise__attr_"slope"'
STATISTICS = {"mean": "mean", "min": "minimum", "max": "maximum", "std": "standard_deviation", "slope": SLOPE}
"""Our word -> tsfresh's."""

SAME = {
    "mean": None,
    "minimum": None,
    "maximum": None,
    "standard_deviation": None,
    "linear_trend_timewise": [{"attr": "slope"}],
    "length": None,
}
"""tsfresh's settings; the length is needed to undo the difference of ddof, and costs next to nothing."""

RELATIVE_TOLERANCE = 1e-9
ID = ["location_id", "parameter", "datetime_utc", "window"]


def main() -> None:
    """Measures and prints a Markdown table."""
    arguments = _arguments()
    series = made_up_series(DAY, arguments.locations)
    zones = dict.fromkeys(series["location_id"].unique(), "Asia/Tokyo")
    in_day, in_newest = cut(series, DAY), cut(series, NEWEST)
    first = int(series["location_id"].min())
    of_first = in_newest.xs(first, level="location_id", drop_level=False)
    ways: dict[str, tuple[Callable[[], pd.DataFrame], int]] = {
        "tsfresh, the same five, a day of hours": (partial(theirs, in_day, SAME), len(in_day.index.unique())),
        "tsfresh, the same five, newest hour": (partial(theirs, in_newest, SAME), len(in_newest.index.unique())),
        f"tsfresh, efficient set, newest hour of location {first}": (
            partial(theirs, of_first, EfficientFCParameters()),
            len(of_first.index.unique()),
        ),
        "hourly_features, a day of hours": (partial(ours, series, DAY, zones), len(in_day.index.unique())),
        "hourly_features, newest hour": (partial(ours, series, NEWEST, zones), len(in_newest.index.unique())),
    }
    rounds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, (compute, _) in ways.items():
            rounds[name].append(seconds(lambda _, compute=compute: compute(), (series, DAY))[0])
    per_window_us = {name: median(rounds[name]) / windows * 1e6 for name, (_, windows) in ways.items()}
    reference = {"day": "tsfresh, the same five, a day of hours", "newest": "tsfresh, the same five, newest hour"}

    print("| way | windows | wall s | µs per series and window | x tsfresh's five |")
    print("|---|---:|---:|---:|---:|")
    for name, (_, windows) in ways.items():
        ratio = per_window_us[reference["day" if "a day" in name else "newest"]] / per_window_us[name]
        print(f"| {name} | {windows:,} | {median(rounds[name]):.3f} | {per_window_us[name]:,.1f} | {ratio:,.1f} |")
    worst, compared = difference(ours(series, DAY, zones), theirs(in_day, SAME))
    verdict = "yes" if worst <= RELATIVE_TOLERANCE else "NO"
    print(f"\n{compared:,} values compared, equal within {RELATIVE_TOLERANCE:g}: {verdict}", end=" ")
    print(f"(largest difference relative to the largest value of the statistic: {worst:.1e})")


def ours(series: pd.DataFrame, window: Window, timezones: dict[int, str]) -> pd.DataFrame:
    """What the asset calls."""
    return hourly_features(rows_of(series, window.widened(before=LOOK_BACK)), window=window, timezones=timezones)


def theirs(windows: pd.DataFrame, parameters: object) -> pd.DataFrame:
    """One row per window, indexed by `ID`."""
    found = extract_features(
        pd.DataFrame({"id": windows["id"].to_numpy(), "value": windows["value"].to_numpy()}, index=windows["at"]),
        column_id="id",
        column_value="value",
        default_fc_parameters=parameters,
        n_jobs=0,
        disable_progressbar=True,
    )
    names = windows.index[np.unique(windows["id"].to_numpy(), return_index=True)[1]]
    return found.rename(columns=lambda name: name.removeprefix("value__")).set_axis(names)


def cut(series: pd.DataFrame, window: Window) -> pd.DataFrame:
    """The valid hours of every window that ends with an hour of `window`, indexed by `ID`: columns id, at, value."""
    valid = series[series["is_valid"]]
    parts = []
    for end in pd.date_range(window.start + timedelta(hours=1), window.end, freq="h"):
        for label, length in WINDOWS_H.items():
            held = Window(end - timedelta(hours=length), end).holds(valid["datetime_utc"], "right")
            inside = valid.loc[held, ["location_id", "parameter", "datetime_utc", "value"]]
            parts.append(inside.rename(columns={"datetime_utc": "at"}).assign(datetime_utc=end, window=label))
    together = pd.concat(parts).sort_values([*ID, "at"])
    return together.assign(id=together.groupby(ID, sort=True).ngroup()).set_index(ID)


def difference(features: pd.DataFrame, windows: pd.DataFrame) -> tuple[float, int]:
    """The largest difference relative to a statistic's largest value, and how many values were compared."""
    worst, compared = 0.0, 0
    wide = features.set_index(["location_id", "datetime_utc"])
    for name in POLLUTANTS:
        for label in WINDOWS_H:
            found = windows.xs((name, label), level=("parameter", "window"))
            for short, long in STATISTICS.items():
                unit = "ugm3_per_h" if short == "slope" else "ugm3"
                mine = wide[f"{name}_{short}_{label}_{unit}"].dropna()
                other = found[long].reindex(mine.index)
                if short == "std":
                    length = found["length"].reindex(mine.index)
                    other = other * np.sqrt(length / (length - 1))
                if other.isna().any():
                    raise ValueError(f"tsfresh has no {long} of {name} over {label} where we have one")
                worst = max(worst, float((mine - other).abs().max() / mine.abs().max()))
                compared += len(mine)
    return worst, compared


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--locations", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
