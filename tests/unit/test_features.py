"""Hourly features: what each column means, when it is null, and that no cut of time and no order changes a bit."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from assets_pkg.features import transforms
from assets_pkg.features.aqi import ppb_per_ugm3
from assets_pkg.features.transforms import hourly_features
from schemas.base import conform
from schemas.features import LAGS_H, POLLUTANTS, WINDOWS_H, AirQualityHourly
from schemas.tables import LOOK_BACK
from schemas.timeseries import AirQuality
from schemas.window import ONE_DAY, Window
from tests.builders import KNOWN_AT, series_rows, together

START = datetime(2025, 3, 10, tzinfo=UTC)
DAY = Window(START, START + ONE_DAY)
FIRST = START + timedelta(hours=1)
HOUR = timedelta(hours=1)
ZONES: Mapping[int, str | None] = {1: "Europe/Paris", 2: None}


def features(series: pd.DataFrame, window: Window = DAY, zones: Mapping[int, str | None] | None = None) -> pd.DataFrame:
    return hourly_features(series, window=window, timezones=zones or {})


def last_row(values: list[float | None], **columns: object) -> pd.Series:
    """The features as of the day's last hour, at which the last of `values` stands."""
    series = series_rows(values, first=DAY.end - (len(values) - 1) * HOUR, **columns)
    return features(series).iloc[-1]


def random_series(seed: int, days: int, locations: int = 3, first: datetime = START - LOOK_BACK) -> pd.DataFrame:
    """Several sensors per parameter, gaps, invalid and imputed hours, hours of a location without any row."""
    chance = np.random.default_rng(seed)
    stamps = pd.date_range(first + HOUR, periods=24 * days, freq="h", unit="us")
    parts = []
    for location in range(1, locations + 1):
        silent = chance.random(len(stamps)) < 0.05
        for n, parameter in enumerate((*POLLUTANTS, "no")):
            if parameter != "pm25" and chance.random() < 0.3:
                continue
            for sensor in range(chance.integers(1, 4)):
                there = np.flatnonzero(~silent & (chance.random(len(stamps)) > 0.1))
                parts.append(
                    {
                        "location_id": location,
                        "sensors_id": 1000 * location + 10 * n + sensor,
                        "parameter": parameter,
                        "datetime_utc": stamps[there],
                        "value": np.round(chance.lognormal(3, 0.7, len(there)) - 2, 2),
                        "is_valid": chance.random(len(there)) > 0.1,
                        "is_imputed": chance.random(len(there)) < 0.1,
                        "known_at": stamps[there] + pd.to_timedelta(chance.integers(1, 200, len(there)), unit="h"),
                    }
                )
    constant = {"unit": "µg/m³", "flags": "", "samples": 1, "coverage_pct": 100.0, "source_id": 1, "line_no": 1}
    return conform(pd.concat([pd.DataFrame(part | constant) for part in parts], ignore_index=True), AirQuality)


def assert_same_bits(one: pd.DataFrame, other: pd.DataFrame) -> None:
    assert_frame_equal(one, other, check_exact=True)
    for name in one.columns:
        if one[name].dtype == "float64":
            assert one[name].to_numpy().tobytes() == other[name].to_numpy().tobytes(), name


# The contract


def test_the_result_is_exactly_the_models_shape() -> None:
    result = features(random_series(1, days=9), zones={1: "Asia/Kathmandu"})
    AirQualityHourly.validate(result)
    assert_frame_equal(result, conform(result, AirQualityHourly))
    assert len(result) > 60


def test_a_row_stands_for_every_hour_of_the_window_with_any_row() -> None:
    series = together(
        series_rows([1.0], first=START),  # belongs to the day before
        series_rows([None], first=FIRST),  # invalid, but there
        series_rows([1.0], first=START + 5 * HOUR, parameter="no"),
        series_rows([1.0, 2.0], first=DAY.end),  # the second belongs to the next day
        series_rows([1.0], first=START - HOUR, location_id=2),  # look-back alone makes no row
    )
    assert features(series)[["location_id", "datetime_utc"]].values.tolist() == [
        [1, pd.Timestamp(stamp)] for stamp in (FIRST, START + 5 * HOUR, DAY.end)
    ]


def test_no_rows_make_no_rows() -> None:
    for series in (series_rows([]), series_rows([1.0], first=START), series_rows([1.0], first=DAY.end + HOUR)):
        result = features(series)
        assert result.empty
        AirQualityHourly.validate(result)


def test_a_window_without_a_full_hour_is_empty() -> None:
    assert features(series_rows([1.0]), Window(START, START + timedelta(minutes=30))).empty


def test_a_stamp_off_the_hour_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"2025-03-10 01:30:00\+00:00 is no full hour"):
        features(series_rows([1.0], first=FIRST + timedelta(minutes=30)))


def test_a_value_in_another_unit_is_an_error() -> None:
    with pytest.raises(ValueError, match="o3 comes in 'ppb', features need µg/m³"):
        features(series_rows([1.0], first=FIRST, parameter="o3", unit="ppb"))


def test_what_is_no_pollutant_may_have_any_unit() -> None:
    assert len(features(series_rows([1.0], first=FIRST, parameter="temperature", unit="°C"))) == 1


# No cut of time, no order, no block changes a bit


def in_pieces(series: pd.DataFrame, window: Window, length: timedelta) -> pd.DataFrame:
    """The features of `window`, computed in windows of `length` that see their look-back and nothing else."""
    parts = []
    for piece in window.split(length):
        behind = piece.widened(before=LOOK_BACK)
        parts.append(features(series[behind.holds(series["datetime_utc"], "right")], piece, ZONES))
    return pd.concat(parts).sort_values(["location_id", "datetime_utc"], ignore_index=True)


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_twenty_days_at_once_equal_the_same_days_one_by_one(seed: int) -> None:
    window = Window(START, START + 20 * ONE_DAY)
    series = random_series(seed, days=27, locations=2)
    assert_same_bits(features(series, window, ZONES), in_pieces(series, window, ONE_DAY))


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), length_h=st.integers(1, 30))
def test_two_days_at_once_equal_the_same_hours_in_any_pieces(seed: int, length_h: int) -> None:
    window = Window(START, START + 2 * ONE_DAY)
    series = random_series(seed, days=9, locations=2)
    assert_same_bits(features(series, window, ZONES), in_pieces(series, window, timedelta(hours=length_h)))


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_rows_changes_nothing(seed: int) -> None:
    series = random_series(seed, days=10)
    assert_same_bits(features(series), features(series.sample(frac=1, random_state=seed)))


def test_the_size_of_a_block_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    window = Window(START, START + 6 * ONE_DAY)
    series = random_series(3, days=13, locations=5)
    expected = features(series, window)
    for hours in (200, 700, 100_000):
        monkeypatch.setattr(transforms, "_BLOCK_HOURS", hours)
        assert_same_bits(features(series, window), expected)


def test_a_location_is_the_same_alone_and_among_others() -> None:
    series = random_series(4, days=8, locations=4)
    among_others = features(series)
    alone = [features(series[series["location_id"] == location]) for location in range(1, 5)]
    assert_same_bits(among_others, pd.concat(alone, ignore_index=True))


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), hour=st.integers(1, 23))
def test_nothing_after_an_hour_reaches_it(seed: int, hour: int) -> None:
    series, now = random_series(seed, days=8), START + hour * HOUR
    before = features(series)
    series.loc[series["datetime_utc"] > now, "value"] = 777.0
    series.loc[series["datetime_utc"] > now, "known_at"] = pd.Timestamp(KNOWN_AT)
    after = features(series)
    past = before["datetime_utc"] <= now
    assert_same_bits(before[past], after[past])
    assert not before[~past].equals(after[~past])


def test_what_is_older_than_the_look_back_reaches_nothing() -> None:
    series = random_series(5, days=20, first=START - 19 * ONE_DAY)
    behind = DAY.widened(before=LOOK_BACK).holds(series["datetime_utc"], "right")
    assert_same_bits(features(series), features(series[behind]))


# What the columns mean


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_statistics_equal_pandas_rolling(seed: int) -> None:
    series = random_series(seed, days=9, locations=1)
    result = features(series, Window(START, START + 2 * ONE_DAY)).set_index("datetime_utc")
    used = series[series["is_valid"] & (series["parameter"] == "pm25")]
    grid = pd.date_range(START - LOOK_BACK + HOUR, START + 2 * ONE_DAY, freq="h")
    value = used.groupby("datetime_utc")["value"].mean().reindex(grid)
    time = pd.Series(np.arange(len(grid), dtype=float), grid).where(value.notna())
    for window, hours in WINDOWS_H.items():
        enough = {3: 2, 24: 18, 168: 126}[hours]
        rolling, present = value.rolling(hours, min_periods=enough), value.rolling(hours, min_periods=1)
        expected = {
            f"pm25_mean_{window}_ugm3": rolling.mean(),
            f"pm25_std_{window}_ugm3": rolling.std(),
            f"pm25_slope_{window}_ugm3_per_h": rolling.cov(time) / time.rolling(hours, min_periods=enough).var(),
            f"pm25_min_{window}_ugm3": present.min(),
            f"pm25_max_{window}_ugm3": present.max(),
            f"pm25_coverage_{window}_pct": value.notna().rolling(hours, min_periods=1).sum() * 100 / hours,
        }
        for name, column in expected.items():
            np.testing.assert_allclose(
                result[name], column.reindex(result.index).to_numpy(), rtol=1e-7, atol=1e-7, err_msg=name
            )
    for lag in LAGS_H:
        lagged = value.shift(lag).reindex(result.index)
        np.testing.assert_allclose(result[f"pm25_lag_{lag}h_ugm3"], lagged, rtol=1e-14)
    np.testing.assert_allclose(result["pm25_ugm3"], value.reindex(result.index), rtol=1e-14)


def test_the_windows_first_hour_sees_168_hours_back_and_not_one_more() -> None:
    row = features(series_rows([9999.0, *range(1, 170)], first=FIRST - 169 * HOUR)).iloc[0]
    assert row["datetime_utc"] == FIRST
    assert row["pm25_lag_168h_ugm3"] == 1
    assert (row["pm25_min_7d_ugm3"], row["pm25_max_7d_ugm3"], row["pm25_coverage_7d_pct"]) == (2, 169, 100)
    assert row["pm25_mean_7d_ugm3"] == pytest.approx(85.5)
    assert (row["pm25_lag_1h_ugm3"], row["pm25_lag_24h_ugm3"], row["pm25_ugm3"]) == (168, 145, 169)
    assert row["pm25_slope_7d_ugm3_per_h"] == pytest.approx(1.0)


@pytest.mark.parametrize(("window", "enough"), [("3h", 2), ("24h", 18), ("7d", 126)])
def test_means_spreads_and_slopes_need_three_quarters_of_the_window(window: str, enough: int) -> None:
    rested = [f"pm25_{name}_{window}_ugm3" for name in ("mean", "std")] + [f"pm25_slope_{window}_ugm3_per_h"]
    assert last_row([5.0, 7.0] * (enough // 2))[rested].notna().all()
    too_few = last_row([5.0, 7.0, 6.0, *[5.0] * enough][: enough - 1])
    assert too_few[rested].isna().all()
    assert too_few[[f"pm25_min_{window}_ugm3", f"pm25_max_{window}_ugm3"]].notna().all()
    assert too_few[f"pm25_coverage_{window}_pct"] == pytest.approx((enough - 1) * 100 / WINDOWS_H[window])


def test_an_hour_alone_has_extremes_and_no_mean() -> None:
    row = last_row([5.0])
    assert (row["pm25_min_7d_ugm3"], row["pm25_max_7d_ugm3"], row["pm25_exceedance_24h_h"]) == (5, 5, 0)
    assert pd.isna(row["pm25_mean_3h_ugm3"]) and pd.isna(row["pm25_aqi"])


def test_a_pollutant_never_measured_is_null_with_coverage_nought() -> None:
    row = last_row([5.0] * 200)
    own = row[[name for name in row.index if name.startswith("o3_")]]
    coverage = own[own.index.str.contains("coverage")]
    assert len(coverage) == 3 and (coverage == 0).all()
    assert own.drop(coverage.index).isna().all()


def test_invalid_and_infinite_values_are_not_used() -> None:
    row = last_row([5.0, 1e4, np.inf, 7.0], is_valid=[True, False, True, True])
    assert (row["pm25_max_3h_ugm3"], row["pm25_coverage_24h_pct"]) == (7, pytest.approx(200 / 24))
    assert pd.isna(row["pm25_lag_1h_ugm3"]) and pd.isna(row["pm25_mean_3h_ugm3"])


def test_several_sensors_are_averaged_hour_by_hour() -> None:
    row = features(
        together(
            series_rows([10.0, 20.0], first=FIRST, sensors_id=12),
            series_rows([30.0, None], first=FIRST, sensors_id=11),
        )
    ).iloc[1]
    assert (row["pm25_lag_1h_ugm3"], row["pm25_ugm3"], row["pm25_mean_3h_ugm3"]) == (20, 20, 20)


def test_an_hour_is_imputed_when_every_value_behind_it_is() -> None:
    row = features(
        together(
            series_rows([1.0, 1.0, 1.0, 1.0], first=FIRST, sensors_id=11, is_imputed=[True, True, False, False]),
            series_rows([2.0, 2.0, 2.0, None], first=FIRST, sensors_id=12, is_imputed=[True, False, False, False]),
            series_rows([None, None, None, None], first=FIRST, sensors_id=13, is_imputed=False),
        )
    ).iloc[3]
    assert row["pm25_imputed_24h_pct"] == 25
    assert row["pm25_imputed_3h_pct"] == 0
    assert pd.isna(row["o3_imputed_24h_pct"])


def test_exceedances_count_hours_above_the_level_and_only_of_the_last_24() -> None:
    row = last_row([99.0, 15.0, 15.1, 99.0, None, *[1.0] * 20])
    assert row["pm25_exceedance_24h_h"] == 2
    assert pd.isna(row["pm10_exceedance_24h_h"])


def ratio_of(pm25: list[float | None], pm10: list[float | None]) -> object:
    first = DAY.end - (len(pm25) - 1) * HOUR
    both = together(series_rows(pm25, first=first), series_rows(pm10, first=first, parameter="pm10", sensors_id=12))
    result = features(both)
    AirQualityHourly.validate(result)
    return result.iloc[-1]["pm25_pm10_ratio"]


def test_ratios_are_of_daily_means_and_null_where_they_mean_nothing() -> None:
    assert ratio_of([5.0] * 24, [20.0] * 24) == 0.25
    assert ratio_of([0.0] * 24, [20.0] * 24) == 0
    for pm25, pm10 in (([5.0] * 24, [0.0] * 24), ([-1.0] * 24, [20.0] * 24), ([5.0] * 24, [-1.0] * 24)):
        assert pd.isna(ratio_of(pm25, pm10))
    assert pd.isna(ratio_of([5.0] * 17, [20.0] * 17))


def test_gas_ratio_is_no2_over_o3() -> None:
    rows = [
        series_rows([value] * 24, first=FIRST, parameter=name, sensors_id=n)
        for n, (name, value) in enumerate((("no2", 30.0), ("o3", 60.0)), start=1)
    ]
    assert features(together(*rows)).iloc[-1]["no2_o3_ratio"] == 0.5


def test_the_index_is_the_largest_of_the_pollutants() -> None:
    gas = [140.0 / ppb_per_ugm3("o3")] * 24
    row = features(
        together(
            series_rows([35.4] * 24, first=FIRST),
            series_rows([54.0] * 24, first=FIRST, parameter="pm10", sensors_id=12),
            series_rows(gas, first=FIRST, parameter="o3", sensors_id=13),
        )
    ).iloc[-1]
    assert (row["pm25_aqi"], row["pm10_aqi"]) == (100, 50)
    assert row["aqi"] == row["o3_aqi"] == 237
    assert row["pm25_nowcast_ugm3"] == pytest.approx(35.4)
    assert row["o3_nowcast_ugm3"] * ppb_per_ugm3("o3") == pytest.approx(0.85 * 140 + 4.5)
    assert row["nowcast_aqi"] == 219
    assert pd.isna(row["no2_aqi"])


@pytest.mark.parametrize(
    ("pollutant", "hours", "is_known"),
    [
        ("pm25", 18, True),
        ("pm25", 17, False),
        ("pm10", 17, False),
        ("co", 6, True),
        ("co", 5, False),
        ("o3", 6, True),
        ("o3", 5, False),
        ("no2", 1, True),
        ("so2", 1, True),
    ],
)
def test_an_index_needs_three_quarters_of_its_average(pollutant: str, hours: int, is_known: bool) -> None:
    row = last_row([10.0] * hours, parameter=pollutant)
    assert pd.notna(row[f"{pollutant}_aqi"]) == is_known
    assert pd.notna(row["aqi"]) == is_known


def test_cycles_follow_the_locations_own_clock() -> None:
    series = together(*(series_rows([1.0], first=FIRST, location_id=n, sensors_id=n) for n in (1, 2, 3)))
    result = features(series, zones={1: "America/Mexico_City", 2: None})
    angle = np.arctan2(result["hour_sin"], result["hour_cos"]) / (2 * np.pi) * 24 % 24
    np.testing.assert_allclose(angle, [18, 0, 0], atol=1e-9)


def test_a_zone_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="'Nowhere' is no IANA time zone"):
        features(series_rows([1.0], first=FIRST), zones={1: "Nowhere"})


def test_known_at_is_the_newest_of_the_look_back() -> None:
    early, late = datetime(2025, 4, 1, tzinfo=UTC), datetime(2025, 5, 1, tzinfo=UTC)
    series = together(
        series_rows([1.0] * 24, first=FIRST, known_at=early),
        series_rows([None], first=FIRST + 2 * HOUR - 168 * HOUR, known_at=late, sensors_id=12),
        series_rows([1.0], first=FIRST + HOUR, known_at=late, location_id=2),
    )
    result = features(series)
    own = result[result["location_id"] == 1]["known_at"]
    assert own.tolist() == [pd.Timestamp(late)] * 3 + [pd.Timestamp(early)] * 21
