"""Results of API v3 become rows: nothing is lost, nothing is guessed."""

import copy
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.openaq.api_rows import PageRows, rows_of_page
from resources.openaq.fetched import ROW_COLUMNS
from resources.openaq.location import Location, Sensor
from schemas.staging import OpenaqMeasurements
from schemas.window import Window
from tests.openaq_shapes import location, measurement

DAY = Window.of_days(date(2025, 3, 1), date(2025, 3, 1))
PM = ("pm25", "µg/m³")
SENSOR = Sensor(id=11, parameter=PM[0], units=PM[1])
PLACE = Location.from_json(location(1, {11: PM}, name="Somewhere", latitude=20.5, longitude=-103.25))


def raw(hour: float, value: float | None = 12.5, **options: Any) -> dict[str, Any]:
    return measurement(DAY.start + timedelta(hours=hour), value, parameter=PM[0], units=PM[1], **options)


def read(*results: Any, window: Window = DAY, place: Location = PLACE, series: Any = "measurements") -> PageRows:
    found = rows_of_page(results, series=series, location=place, sensor=SENSOR, source_id=-5, window=window)
    OpenaqMeasurements.validate(found.rows.assign(known_at=pd.Timestamp("2025-06-01", tz="UTC").as_unit("us")))
    assert list(found.rows.columns) == ROW_COLUMNS
    assert len(found.rows) + len(found.rejects) + sum(found.filtered.values()) == len(results)
    return found


def test_a_result_becomes_a_row() -> None:
    found = read(raw(1, zone="America/Mexico_City"))
    assert found.rows.iloc[0].to_dict() == {
        "location_id": 1,
        "sensors_id": 11,
        "location_name": "Somewhere",
        "parameter": "pm25",
        "units": "µg/m³",
        "value": 12.5,
        "datetime_utc": pd.Timestamp("2025-03-01T01:00Z"),
        "datetime_local": "2025-02-28T19:00:00-06:00",
        "interval_s": 3600,
        "has_flags": False,
        "latitude": 20.5,
        "longitude": -103.25,
        "source_id": -5,
        "line_no": 1,
    }


def test_a_page_without_results_has_no_rows() -> None:
    assert len(read().rows) == 0


def test_the_window_is_closed_on_the_end_of_the_period() -> None:
    found = read(raw(-1), raw(0), raw(0.25), raw(24), raw(24.25), raw(48))
    assert list(found.rows.line_no) == [3, 4]
    assert found.filtered == {date(2025, 3, 1): 4}


def test_what_lies_outside_is_accounted_to_the_nearest_day() -> None:
    window = Window.of_days(date(2025, 3, 1), date(2025, 3, 3))
    found = read(raw(-50), raw(0), raw(72.5), window=window)
    assert found.filtered == {date(2025, 3, 1): 2, date(2025, 3, 3): 1}


def test_a_null_stays_a_row() -> None:
    found = read(raw(1, None), raw(2, 3.0))
    assert found.rows.value.isna().tolist() == [True, False]


def test_hourly_means_are_taken_unrounded() -> None:
    hour = raw(1, 58.7) | {"summary": {"avg": 58.67}}
    rounded_only = raw(2, 58.7) | {"summary": None}
    empty = raw(3, None) | {"summary": {"avg": None}}
    found = read(hour, rounded_only, empty, series="hours")
    assert found.rows.value.tolist()[:2] == [58.67, 58.7]
    assert pd.isna(found.rows.value[2])
    assert found.rows.interval_s.tolist() == [3600, 3600, 3600]


def test_a_summary_of_raw_measurements_is_not_taken_for_their_value() -> None:
    assert read(raw(1, 58.7) | {"summary": {"avg": 1.0}}).rows.value.tolist() == [58.7]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("01:00:00", 3600),
        ("00:13:59", 839),
        ("24:00:00", 86400),
        ("5123:00:00", 18442800),
        ("1 hour", None),
        (None, None),
    ],
)
def test_the_length_of_the_period(text: str | None, seconds: int | None) -> None:
    result = raw(1)
    result["period"]["interval"] = text
    interval = read(result).rows.interval_s[0]
    assert (None if pd.isna(interval) else interval) == seconds


@pytest.mark.parametrize(
    ("flag_info", "has_flags"), [({"hasFlags": True}, True), ({"hasFlags": None}, None), ({}, None), (None, None)]
)
def test_flags_are_kept_as_told(flag_info: object, has_flags: bool | None) -> None:
    found = read(raw(1) | {"flagInfo": flag_info}).rows.has_flags[0]
    assert (None if pd.isna(found) else bool(found)) == has_flags


def test_a_mobile_sensors_own_coordinates_win() -> None:
    found = read(raw(1) | {"coordinates": {"latitude": 1.5, "longitude": 2.5}}, raw(2))
    assert found.rows.latitude.tolist() == [1.5, 20.5]
    assert found.rows.longitude.tolist() == [2.5, -103.25]


def test_nepals_offset_of_a_quarter_hour_stays_in_the_text() -> None:
    found = read(raw(1, zone="Asia/Kathmandu"))
    assert found.rows.datetime_local[0] == "2025-03-01T06:45:00+05:45"
    assert found.rows.datetime_utc[0] == pd.Timestamp("2025-03-01T01:00Z")


def test_the_hour_that_comes_twice_when_clocks_go_back_is_two_rows() -> None:
    window = Window.of_days(date(2025, 11, 2), date(2025, 11, 2))
    hours = [
        measurement(window.start + timedelta(hours=n), 1.0, parameter=PM[0], units=PM[1], zone="America/Denver")
        for n in range(1, 25)
    ]
    found = read(*hours, window=window)
    assert len(found.rows) == 24
    assert found.rows.datetime_utc.is_unique
    local = found.rows.datetime_local.str.slice(0, 19)
    assert local[local.duplicated(keep=False)].tolist() == ["2025-11-02T01:00:00"] * 2


def change(path: str, value: object) -> dict[str, Any]:
    result = copy.deepcopy(raw(5))
    *parents, last = path.split(".")
    inner = result
    for name in parents:
        inner = inner[name]
    inner[last] = value
    return result


@pytest.mark.parametrize(
    ("result", "rule"),
    [
        ("text", "datetime_utc"),
        (None, "datetime_utc"),
        (change("period", None), "datetime_utc"),
        (change("period.datetimeTo", None), "datetime_utc"),
        (change("period.datetimeTo.utc", "2025-03-01"), "datetime_utc"),
        (change("period.datetimeTo.utc", "2025-03-01T05:00:00"), "datetime_utc"),
        (change("period.datetimeTo.utc", "2025-02-30T05:00:00Z"), "datetime_utc"),
        (change("period.datetimeTo.utc", 1740805200), "datetime_utc"),
        (change("period.datetimeTo.local", None), "datetime_local"),
        (change("value", "12.5"), "value"),
        (change("value", True), "value"),
        (change("value", [1]), "value"),
        (change("value", float("inf")), "value"),
        (change("value", float("nan")), "value"),
        (change("value", 10**400), "value"),
        (change("parameter.name", 5), "parameter"),
        (change("parameter.units", "µg\x00"), "units"),
        (change("parameter.units", "\ud800"), "units"),
        (change("coordinates", {"latitude": 20.0, "longitude": 185.2}), "coordinates"),
        (change("coordinates", {"latitude": "20", "longitude": 1}), "coordinates"),
    ],
)
def test_what_cannot_become_a_row_is_rejected_with_its_reason(result: Any, rule: str) -> None:
    found = read(raw(1), result, raw(2))
    assert found.rows.line_no.tolist() == [1, 3]
    (reject,) = found.rejects
    assert (reject.rule, reject.line_no, reject.source_id, reject.day) == (rule, 2, -5, date(2025, 3, 1))
    assert reject.reason
    assert reject.raw == json.dumps(result)


def test_a_reject_is_accounted_to_its_own_day_if_that_can_be_read() -> None:
    window = Window.of_days(date(2025, 3, 1), date(2025, 3, 3))
    broken_at_midnight = raw(48) | {"value": "?"}
    without_stamp = raw(48) | {"period": {}}
    found = read(broken_at_midnight, without_stamp, window=window)
    assert [reject.day for reject in found.rejects] == [date(2025, 3, 2), date(2025, 3, 1)]


def test_a_reject_keeps_a_bounded_part_of_a_huge_result() -> None:
    (reject,) = read(raw(1) | {"value": "9" * 1_000_000}).rejects
    assert len(reject.raw) == 10_000
    assert len(reject.reason) < 200


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
paths = st.sampled_from(
    [
        "value",
        "flagInfo",
        "parameter",
        "parameter.name",
        "parameter.units",
        "period",
        "period.interval",
        "period.datetimeTo",
        "period.datetimeTo.utc",
        "period.datetimeTo.local",
        "coordinates",
        "summary",
    ]
)


@given(st.lists(st.builds(change, paths, junk) | junk, max_size=8), st.sampled_from(["measurements", "hours"]))
def test_every_result_is_a_row_a_reject_or_filtered_whatever_it_is(results: list[Any], series: str) -> None:
    read(*results, series=series)


def test_real_pages_become_rows_without_a_loss(shared_data: Path) -> None:
    files = sorted((shared_data / "openaq" / "guadalajara_v3" / "measurements").glob("*.json"))
    assert files
    total = 0
    window = Window(datetime(2025, 9, 20, tzinfo=UTC), datetime(2025, 10, 11, tzinfo=UTC))
    for file in files:
        results = json.loads(file.read_text(encoding="utf-8"))["results"]
        found = read(*results, window=window)
        assert found.rejects == ()
        assert found.filtered == {}
        assert found.rows.value.tolist() == [result["value"] for result in results]
        total += len(found.rows)
    assert total == 20_716


def test_nepals_real_results_keep_their_offset(shared_data: Path) -> None:
    results = json.loads((shared_data / "openaq" / "nepal_v3" / "location_6142174.json").read_text(encoding="utf-8"))
    found = read(*results, window=Window(datetime(2025, 11, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)))
    assert len(found.rows) == len(results)
    assert found.rows.datetime_local.str.endswith("+05:45").all()
