"""Cleaning as a whole: shape, accounts, and that neither order nor cutting matters."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets_pkg.timeseries.screening import OUTCOMES
from assets_pkg.timeseries.transforms import REJECT_COLUMNS, Cleaned, clean
from schemas.base import empty
from schemas.datasets import OPENAQ
from schemas.staging import OpenaqMeasurements
from schemas.timeseries import INVALIDATING, AirQuality, Flag
from schemas.window import Window
from tests.builders import FIRST_DAY, FIRST_HOUR, KNOWN_AT, staging_rows, together

DAY = Window(FIRST_DAY, FIRST_DAY + timedelta(days=1))
FIVE_DAYS = Window(FIRST_DAY, FIRST_DAY + timedelta(days=5))
ONE_DAY = timedelta(days=1)


def by_content(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(list(frame.columns[:7])).reset_index(drop=True)


def assert_same(one: Cleaned, other: Cleaned) -> None:
    pd.testing.assert_frame_equal(one.rows, other.rows, check_exact=True)
    pd.testing.assert_frame_equal(by_content(one.rejects), by_content(other.rejects), check_exact=True)
    pd.testing.assert_frame_equal(one.accounts.sort_index(), other.accounts.sort_index())


def assert_sound(cleaned: Cleaned, window: Window) -> None:
    """What holds whatever goes in."""
    AirQuality.validate(cleaned.rows)
    assert window.holds(cleaned.rows["datetime_utc"], "right").all()
    accounts = cleaned.accounts
    assert (accounts["read"] == accounts[list(OUTCOMES)].sum(axis=1)).all()
    assert accounts["quarantined"].sum() == len(cleaned.rejects)
    rows = cleaned.rows
    flags = rows["flags"].str.split("|")
    assert all(sorted(one) == list(one) and len(set(one)) == len(one) for one in flags)
    invalid = flags.map(lambda one: bool(INVALIDATING & set(one)))
    assert (rows["is_valid"] == (rows["value"].notna() & (~invalid | rows["is_imputed"]))).all()
    assert (rows["is_imputed"] == rows["flags"].str.contains(Flag.IMPUTED)).all()
    assert (rows.loc[rows["samples"] > 0, "value"].notna()).all()
    assert (rows.loc[rows["is_imputed"], "samples"] == 0).all()


MESSY_VALUES = st.one_of(
    st.floats(-60, 1200),
    st.sampled_from([0.0, 7.0, 12.34, -999.0, -9999.0, 9999.0, -0.999, 9.999, 0.03, np.inf, 1e300, -1e300]),
    st.none(),
)
MESSY_ROW = st.fixed_dictionaries(
    {
        "location_id": st.integers(1, 2),
        "sensors_id": st.integers(11, 12),
        "parameter": st.sampled_from(["pm25", "o3", "co", "relativehumidity"]),
        "units": st.sampled_from(["µg/m³", "μg/m3", "ppm", "ppb", "mg/m³", "furlong", ""]),
        "value": MESSY_VALUES,
        "minute": st.one_of(st.integers(-2 * 1440, 7 * 1440), st.integers(0, 30).map(lambda hour: hour * 60)),
        "interval_s": st.sampled_from([None, 0, 900, 3600, 86_400]),
        "known_after_h": st.integers(-72, 72),
        "source_id": st.integers(-2, 2),
    }
)


def messy_frame(drawn: list[dict[str, object]]) -> pd.DataFrame:
    if not drawn:
        return empty(OpenaqMeasurements)
    columns = {name: [row[name] for row in drawn] for name in drawn[0]}
    stamps = [FIRST_DAY + timedelta(minutes=minutes) for minutes in columns.pop("minute")]
    known_at = [
        stamp + timedelta(hours=hours) for stamp, hours in zip(stamps, columns.pop("known_after_h"), strict=True)
    ]
    return staging_rows(columns.pop("value"), datetime_utc=stamps, known_at=known_at, **columns)


@given(st.lists(MESSY_ROW, max_size=60))
def test_the_accounts_close_whatever_comes_in(drawn: list[dict[str, object]]) -> None:
    rows = messy_frame(drawn)
    cleaned = clean(rows, OPENAQ, FIVE_DAYS)
    assert_sound(cleaned, FIVE_DAYS)
    assert cleaned.accounts["read"].sum() == FIVE_DAYS.holds(rows["datetime_utc"], "right").sum()


@given(st.lists(MESSY_ROW, min_size=2, max_size=60), st.integers(0, 999))
def test_the_order_of_rows_does_not_matter(drawn: list[dict[str, object]], seed: int) -> None:
    rows = messy_frame(drawn)
    order = np.random.default_rng(seed).permutation(len(rows))
    assert_same(clean(rows, OPENAQ, FIVE_DAYS), clean(rows.take(order), OPENAQ, FIVE_DAYS))


def lively(seed: int) -> pd.DataFrame:
    """Seven days around `FIVE_DAYS` with every defect often enough to stand at a cut."""
    rng = np.random.default_rng(seed)
    frames = []
    for number, (parameter, units, minutes) in enumerate(
        [("pm25", "µg/m³", 60), ("o3", "ppm", 60), ("no2", "ppb", 30), ("co", "mg/m³", 20)]
    ):
        count = 7 * 24 * 60 // minutes
        values = (
            20 * (1.5 + np.sin(np.arange(count) * minutes / 60 / 24 * 2 * np.pi)) * np.exp(rng.normal(0, 0.1, count))
        )
        values[rng.random(count) < 0.03] *= 15
        values[rng.random(count) < 0.03] = -999.0
        values[rng.random(count) < 0.02] = np.nan
        for start in rng.integers(0, count, 6):
            length = int(rng.integers(3, 40)) * 60 // minutes
            values[start : start + length] = 0.0 if rng.random() < 0.5 else 33.37
        scale = 1000 if units in ("ppm", "mg/m³") else 1
        frames.append(
            staging_rows(
                np.where(values == -999.0, values, values / scale),
                first=FIRST_DAY - ONE_DAY + timedelta(minutes=minutes),
                step=timedelta(minutes=minutes),
                first_line=1 + number * 10_000,
                sensors_id=11 + number,
                location_id=1 + number // 2,
                parameter=parameter,
                units=units,
                interval_s=minutes * 60 if number == 2 else None,
            )
        )
    rows = together(*frames)
    kept = rng.random(len(rows)) > 0.05
    for start in rng.integers(0, len(rows), 12):
        kept[start : start + int(rng.integers(1, 30))] = False
    return rows.loc[kept].reset_index(drop=True)


def day_by_day(rows: pd.DataFrame, context: timedelta) -> Cleaned:
    parts = []
    for window in FIVE_DAYS.split(ONE_DAY):
        near = window.widened(context, context).holds(rows["datetime_utc"], "right")
        parts.append(clean(rows.loc[near], OPENAQ, window))
    keys = ["location_id", "sensors_id", "parameter", "datetime_utc"]
    return Cleaned(
        rows=pd.concat([part.rows for part in parts]).sort_values(keys, ignore_index=True),
        rejects=pd.concat([part.rejects for part in parts], ignore_index=True),
        accounts=pd.concat([part.accounts for part in parts]),
    )


@pytest.mark.parametrize("seed", range(16))
def test_five_days_at_once_equal_five_times_one_day(seed: int) -> None:
    rows = lively(seed)
    at_once = clean(rows, OPENAQ, FIVE_DAYS)
    at_once = replace(at_once, rows=at_once.rows.sort_values(list(AirQuality.Config.unique), ignore_index=True))
    assert_sound(at_once, FIVE_DAYS)
    assert_same(at_once, day_by_day(rows, ONE_DAY))


def test_one_hour_needs_no_more_than_a_day_around_it() -> None:
    # a sensor of one to four samples an hour, so that what is usual depends on how far one looks
    quarters = np.arange(7 * 96)
    irregular = staging_rows(
        20.0 + np.sin(quarters),
        first=FIRST_DAY - ONE_DAY + ONE_DAY / 96,
        step=ONE_DAY / 96,
        sensors_id=99,
        first_line=90_001,
    )
    sparse = np.random.default_rng(2).random(len(quarters)) < 0.5 + 0.4 * np.sin(quarters / 24)
    rows = together(lively(3), irregular.loc[~sparse | (quarters % 4 == 0)])
    at_once = clean(rows, OPENAQ, FIVE_DAYS).rows
    hourly = pd.concat([clean(rows, OPENAQ, hour).rows for hour in FIVE_DAYS.split(ONE_DAY / 24)])
    keys = list(AirQuality.Config.unique)
    pd.testing.assert_frame_equal(
        at_once.sort_values(keys, ignore_index=True), hourly.sort_values(keys, ignore_index=True), check_exact=True
    )


def test_the_data_of_the_cutting_test_has_every_kind_of_hour() -> None:
    flags = pd.concat([clean(lively(seed), OPENAQ, FIVE_DAYS).rows["flags"] for seed in range(8)])
    for flag in Flag:
        assert flag is Flag.NEGATIVE or flags.str.contains(flag).sum() >= 5, flag


def test_without_context_the_cut_would_show() -> None:
    rows = lively(0)
    at_once = clean(rows, OPENAQ, FIVE_DAYS).rows
    assert not at_once["flags"].equals(day_by_day(rows, timedelta(0)).rows["flags"])


def test_what_lies_beyond_the_context_is_not_looked_at() -> None:
    rows = lively(1)
    middle = Window(FIRST_DAY + 2 * ONE_DAY, FIRST_DAY + 3 * ONE_DAY)
    near = middle.widened(ONE_DAY, ONE_DAY).holds(rows["datetime_utc"], "right")
    assert_same(clean(rows, OPENAQ, middle), clean(rows.loc[near], OPENAQ, middle))


def test_nothing_in_nothing_out() -> None:
    cleaned = clean(empty(OpenaqMeasurements), OPENAQ, DAY)
    AirQuality.validate(cleaned.rows)
    assert len(cleaned.rows) == len(cleaned.rejects) == len(cleaned.accounts) == 0
    assert list(cleaned.rejects.columns) == REJECT_COLUMNS
    assert list(cleaned.accounts.columns) == ["read", *OUTCOMES]
    assert cleaned.accounts.index.names == ["day", "location_id"]


def test_accounts_are_per_day_and_location_and_midnight_ends_its_day() -> None:
    rows = together(
        staging_rows([1.0, 2.0], first=FIRST_HOUR + timedelta(hours=23)),  # midnight, and the hour after
        staging_rows([1.0], location_id=2, first_line=3, parameter="um003", units="particles/cm³"),
        staging_rows([1.0], location_id=2, first_line=4, units="%"),
        staging_rows([1.0, 1.0], location_id=2, sensors_id=9, first_line=5, datetime_utc=FIRST_HOUR),
    )
    accounts = clean(rows, OPENAQ, FIVE_DAYS).accounts
    assert accounts.to_dict(orient="index") == {
        (date(2025, 3, 1), 1): {"read": 1, "loaded": 1, "duplicate": 0, "quarantined": 0, "filtered": 0},
        (date(2025, 3, 1), 2): {"read": 4, "loaded": 1, "duplicate": 1, "quarantined": 1, "filtered": 1},
        (date(2025, 3, 2), 1): {"read": 1, "loaded": 1, "duplicate": 0, "quarantined": 0, "filtered": 0},
    }


def test_context_is_used_but_not_accounted_for_nor_rejected() -> None:
    rows = together(
        staging_rows([10.1], first=FIRST_DAY),
        staging_rows([-400.0], first=FIRST_DAY - ONE_DAY / 2, first_line=2),
        staging_rows([10.3], first=FIRST_DAY + timedelta(hours=3), first_line=3),
    )
    cleaned = clean(rows, OPENAQ, DAY)
    assert cleaned.accounts["read"].sum() == 1
    assert cleaned.rejects.empty
    assert cleaned.rows["value"].tolist() == [10.1, 10.1, 10.3]


def test_a_reject_tells_what_it_was_why_and_from_where() -> None:
    rows = staging_rows([-400.125], source_id=77, line_no=5, has_flags=False, known_at=KNOWN_AT)
    (reject,) = clean(rows, OPENAQ, DAY).rejects.to_dict(orient="records")
    raw = json.loads(reject.pop("raw"))
    assert reject == {
        "day": date(2025, 3, 1),
        "location_id": 1,
        "rule": "impossible",
        "reason": "-400.125 µg/m³ is outside the possible -50 to 10000",
        "source_id": 77,
        "line_no": 5,
    }
    assert set(raw) == set(rows.columns)
    assert (raw["value"], raw["interval_s"], raw["has_flags"]) == (-400.125, None, False)
    assert datetime.fromisoformat(raw["datetime_utc"]) == FIRST_HOUR


@pytest.mark.parametrize(
    ("rows", "rule", "reason"),
    [
        ({"units": "furlong"}, "unit", "'furlong' cannot be converted to µg/m³"),
        ({"known_at": FIRST_DAY - ONE_DAY}, "future", "2:00:00 after the row became known"),
        ({"interval_s": 86_400}, "interval", "longer than the series' step of 1:00:00"),
    ],
)
def test_every_rule_has_its_reason(rows: dict[str, object], rule: str, reason: str) -> None:
    (reject,) = clean(staging_rows([1.0], **rows), OPENAQ, DAY).rejects.to_dict(orient="records")
    assert reject["rule"] == rule
    assert reason in reject["reason"]


def test_a_window_off_the_hour_is_refused() -> None:
    with pytest.raises(ValueError, match="whole UTC hours"):
        clean(staging_rows(), OPENAQ, Window(FIRST_DAY, datetime(2025, 3, 1, 12, 30, tzinfo=UTC)))


def test_rules_that_look_further_than_the_context_are_refused() -> None:
    patient = replace(OPENAQ.measures["pm25"], stuck_after=24)
    with pytest.raises(ValueError, match="h of context"):
        clean(staging_rows(), replace(OPENAQ, measures={"pm25": patient}), DAY)
    with pytest.raises(ValueError, match="hourly"):
        clean(staging_rows(), replace(OPENAQ, cadence=ONE_DAY), DAY)


def real_guadalajara(folder: Path) -> pd.DataFrame:
    """The recorded pages as staging rows; which location a sensor belongs to does not matter here."""
    frames = []
    for page in sorted((folder / "openaq" / "guadalajara_v3" / "measurements").glob("sensor_*_page-1.json")):
        results = json.loads(page.read_text())["results"]
        if results:
            frames.append(
                staging_rows(
                    [result["value"] for result in results],
                    datetime_utc=pd.to_datetime([result["period"]["datetimeTo"]["utc"] for result in results]),
                    sensors_id=int(page.name.split("_")[1]),
                    parameter=results[0]["parameter"]["name"],
                    units=results[0]["parameter"]["units"],
                    interval_s=3600,
                    known_at=datetime(2025, 11, 22, tzinfo=UTC),
                    first_line=1 + 10_000 * len(frames),
                )
            )
    return together(*frames)


def test_the_real_pages_are_accounted_for_and_their_span_checks_found(shared_data: Path) -> None:
    rows = real_guadalajara(shared_data)
    window = Window.of_days(date(2025, 9, 20), date(2025, 10, 10))
    cleaned = clean(rows, OPENAQ, window)
    assert_sound(cleaned, window)
    accounts = cleaned.accounts.sum()
    assert accounts["read"] == len(rows)
    assert accounts["filtered"] == (rows["parameter"] == "nox").sum()
    assert accounts["duplicate"] == accounts["quarantined"] == 0
    spikes = cleaned.rows.loc[cleaned.rows["flags"].str.contains(Flag.SPIKE)]
    spikes_at = set(zip(spikes["sensors_id"], spikes["datetime_utc"], strict=True))
    at = pd.Timestamp("2025-09-20T10:00Z")
    assert {(12285331, at), (12285334, at)} <= spikes_at
    assert len(spikes) < 10
    assert not cleaned.rows["flags"].str.contains("sentinel|out_of_range|stuck|negative").any()
