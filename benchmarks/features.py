"""Hourly features in series rows per second, against the same features in a plain pandas `groupby.rolling` loop.

    python -m benchmarks.features [--days 365] [--locations 20] [--rounds 3]

The series is made up: 6 parameters, 5 % of the hours invalid. The loop computes mean, minimum, maximum, standard
deviation, slope and lags under the same rules of completeness, and nothing else; `hourly_features` computes all its
columns, AQI and NowCast included. Where both compute a column they are checked to agree. The loop's slopes are made of
rolling sums, the fastest that pandas has: an `apply` of a fit takes minutes.

Seconds are medians over the rounds, ways taking turns, by the wall's clock and by the processor's (on a machine that
does other things the latter is steadier); cutting the input is not timed. Memory is what a way holds at its peak beyond
its input, from a round of its own under tracemalloc.
"""

import argparse
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from statistics import median

import numpy as np
import pandas as pd

from assets_pkg.features.transforms import LEAST_HOURS, hourly_features
from schemas.base import conform
from schemas.features import LAGS_H, POLLUTANTS, WINDOWS_H
from schemas.tables import LOOK_BACK
from schemas.timeseries import AirQuality
from schemas.window import Window

FIRST_DAY = date(2024, 1, 1)
SINGLE_DAYS = 30
"""Of the range, how many days are also computed one by one; rows/s count these days' rows alone."""

Piece = tuple[pd.DataFrame, Window]
KEY = ["location_id", "datetime_utc"]


def main() -> None:
    """Measures and prints a Markdown table."""
    arguments = _arguments()
    whole = Window.of_days(FIRST_DAY, FIRST_DAY + timedelta(days=arguments.days - 1))
    first_days = Window.of_days(FIRST_DAY, FIRST_DAY + timedelta(days=min(SINGLE_DAYS, arguments.days) - 1))
    series = made_up_series(whole, arguments.locations)
    ways = {
        "plain groupby.rolling loop": (rolling_loop, whole, whole.end - whole.start),
        "hourly_features, at once": (production, whole, whole.end - whole.start),
        "hourly_features, 30 days a window": (production, whole, timedelta(days=30)),
        f"hourly_features, 1 day a window ({len(first_days.days())} days)": (production, first_days, timedelta(days=1)),
    }
    rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, (compute, over, length) in ways.items():
            spent = [seconds(compute, piece) for piece in pieces(series, over, length)]
            rounds[name].append((sum(wall for wall, _ in spent), sum(cpu for _, cpu in spent)))
    wall_s = {name: median(wall for wall, _ in rounds[name]) for name in ways}
    cpu_s = {name: median(cpu for _, cpu in rounds[name]) for name in ways}
    peak_mb = {
        name: max(_peak_mb(compute, piece) for piece in pieces(series, over, length))
        for name, (compute, over, length) in ways.items()
    }
    at_once = production((series, whole))
    in_pieces = pd.concat([production(piece) for piece in pieces(series, whole, timedelta(days=30))])
    is_same = in_pieces.sort_values(KEY, ignore_index=True).equals(at_once)
    loop = rolling_loop((series, whole))

    reference, *_ = ways
    rows = {name: len(rows_of(series, over)) for name, (_, over, _) in ways.items()}
    print(f"{len(series):,} series rows -> {len(at_once):,} feature rows of {at_once.shape[1]} columns", end="; ")
    print(f"the loop makes {loop.shape[1]} of them\n")
    print("| way | wall s | CPU s | series rows/s | x the loop, wall | x the loop, CPU | peak MB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name in ways:
        scale = rows[name] / rows[reference]
        print(
            f"| {name} | {wall_s[name]:.2f} | {cpu_s[name]:.2f} | {rows[name] / wall_s[name]:,.0f}"
            f" | {wall_s[reference] / wall_s[name] * scale:.1f} | {cpu_s[reference] / cpu_s[name] * scale:.1f}"
            f" | {peak_mb[name]:,.0f} |"
        )
    print(f"\nthe 30-day windows give the same bits as all at once: {'yes' if is_same else 'NO'}")
    print(f"largest difference from the loop, relative to a column's largest value: {difference(at_once, loop):.1e}")


def production(piece: Piece) -> pd.DataFrame:
    """What the asset calls."""
    series, window = piece
    return hourly_features(series, window=window, timezones=dict.fromkeys(series["location_id"].unique(), "Asia/Tokyo"))


def rolling_loop(piece: Piece) -> pd.DataFrame:
    """The statistics and lags as an engineer writes them with pandas, indexed by location and hour."""
    series, window = piece
    valid = series[series["is_valid"]]
    grid = pd.MultiIndex.from_product(
        [
            np.sort(series["location_id"].unique()),
            pd.date_range(window.start - LOOK_BACK + timedelta(hours=1), window.end, freq="h", unit="us"),
        ],
        names=KEY,
    )
    wide = valid.pivot_table(index=KEY, columns="parameter", values="value").reindex(grid)
    hour = pd.Series(np.tile(np.arange(len(grid.levels[1]), dtype="float64"), len(grid.levels[0])), index=grid)
    columns = {}
    for name in POLLUTANTS:
        value = wide[name]
        at = hour.where(value.notna())
        parts = pd.DataFrame({"x": value, "t": at, "tx": at * value, "tt": at * at})
        by_location = value.groupby(level="location_id")
        columns[f"{name}_ugm3"] = value
        for label, length in WINDOWS_H.items():
            rolling = by_location.rolling(length, min_periods=LEAST_HOURS[length])
            rolling_any = by_location.rolling(length, min_periods=1)
            columns[f"{name}_mean_{label}_ugm3"] = rolling.mean().droplevel(0)
            columns[f"{name}_std_{label}_ugm3"] = rolling.std().droplevel(0)
            columns[f"{name}_min_{label}_ugm3"] = rolling_any.min().droplevel(0)
            columns[f"{name}_max_{label}_ugm3"] = rolling_any.max().droplevel(0)
            mean = (
                parts.groupby(level="location_id").rolling(length, min_periods=LEAST_HOURS[length]).mean().droplevel(0)
            )
            columns[f"{name}_slope_{label}_ugm3_per_h"] = (mean["tx"] - mean["t"] * mean["x"]) / (
                mean["tt"] - mean["t"] ** 2
            )
        for lag in LAGS_H:
            columns[f"{name}_lag_{lag}h_ugm3"] = by_location.shift(lag)
    result = pd.DataFrame(columns)
    return result[result.index.get_level_values("datetime_utc") > window.start]


def difference(features: pd.DataFrame, loop: pd.DataFrame) -> float:
    """The largest difference in any column both have, relative to the column's largest absolute value."""
    ours = features.set_index(KEY)[loop.columns]
    theirs = loop.reindex(ours.index)
    if not (ours.isna() == theirs.isna()).all(axis=None):
        raise ValueError("the loop and hourly_features disagree on what is null: the comparison is void")
    return float(((ours - theirs).abs().max() / ours.abs().max()).max())


def made_up_series(window: Window, locations: int) -> pd.DataFrame:
    """Rows of `timeseries.air_quality` from a week before `window` to its end, a sensor per location and parameter."""
    chance = np.random.default_rng(20240506)
    stamps = pd.date_range(window.start - LOOK_BACK + timedelta(hours=1), window.end, freq="h", unit="us")
    day = 1 + 0.4 * np.sin(2 * np.pi * np.arange(len(stamps)) / 24)
    return conform(
        pd.concat(
            [
                pd.DataFrame(
                    {
                        "location_id": location,
                        "sensors_id": 100 * location + n,
                        "parameter": parameter,
                        "datetime_utc": stamps,
                        "value": np.round(20 * day * chance.lognormal(0, 0.5, len(stamps)), 1),
                        "unit": "µg/m³",
                        "flags": "",
                        "is_valid": chance.random(len(stamps)) > 0.05,
                        "is_imputed": chance.random(len(stamps)) < 0.02,
                        "samples": 1,
                        "coverage_pct": 100.0,
                        "known_at": stamps + timedelta(days=4),
                    }
                )
                for location in range(1, locations + 1)
                for n, parameter in enumerate(POLLUTANTS)
            ],
            ignore_index=True,
        ),
        AirQuality,
    )


def pieces(series: pd.DataFrame, over: Window, length: timedelta) -> Iterator[Piece]:
    """The windows of `length` in `over`, each with its rows and the week before."""
    for window in over.split(length):
        yield rows_of(series, window.widened(before=LOOK_BACK)), window


def rows_of(series: pd.DataFrame, window: Window) -> pd.DataFrame:
    """The rows that end in `window`."""
    return series[window.holds(series["datetime_utc"], "right")]


def seconds(compute: Callable[[Piece], pd.DataFrame], piece: Piece) -> tuple[float, float]:
    """Wall and processor time."""
    wall, cpu = time.perf_counter(), time.process_time()
    compute(piece)
    return time.perf_counter() - wall, time.process_time() - cpu


def _peak_mb(compute: Callable[[Piece], pd.DataFrame], piece: Piece) -> float:
    tracemalloc.start()
    compute(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 1e6


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--locations", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
