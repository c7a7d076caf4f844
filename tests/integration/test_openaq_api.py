"""API v3 end to end, against a real HTTP server that behaves and misbehaves as OpenAQ does."""

import json
import logging
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from resources.circuit.breaker import CircuitBreaker, CircuitPolicy, LocalCircuitStore
from resources.errors import (
    CircuitOpen,
    ConfigurationError,
    CredentialsRejected,
    RateLimited,
    SourceUnavailable,
    TransientError,
    UnexpectedAnswer,
    UnknownLocation,
)
from resources.http.client import Patience
from resources.openaq.answers import WindowTooWide
from resources.openaq.api import ApiMode
from resources.openaq.client import OpenAQClient
from resources.openaq.fetched import Fetched, FetchFailed
from resources.openaq.rate_budget import LocalRateBudget, Rate, RateBudget
from resources.openaq.raw_store import RawStore
from schemas.staging import OpenaqMeasurements
from schemas.window import Window
from tests.openaq_shapes import location, measurement
from tests.openaq_stand_in import KEY, Fault, OpenAQStandIn

PM = ("pm25", "µg/m³")
START = datetime(2025, 3, 1, tzinfo=UTC)
DAY = Window(START, START + timedelta(days=1))
MONTH = Window(START, START + timedelta(days=30))
YEAR = Window(START, START + timedelta(days=365))
HASTY = Patience(
    connect_s=2.0, read_s=2.0, answer_s=4.0, call_s=20.0, budget_s=20.0, backoff_s=0.01, longest_backoff_s=0.05
)
TRIPS_LATE = CircuitPolicy(fail_max=1000, reset_s=60.0)


class Key:
    """Stands for pydantic's SecretStr."""

    def __init__(self, key: str) -> None:
        self._key = key

    def get_secret_value(self) -> str:
        return self._key


@dataclass
class Setup:
    """A client and a mode on a stand-in; everything else in memory or under a temporary folder."""

    stand_in: OpenAQStandIn
    folder: Path
    clients: list[OpenAQClient] = field(default_factory=list)
    circuits: LocalCircuitStore = field(default_factory=LocalCircuitStore)

    def client(
        self,
        *,
        key: str = KEY,
        url: str | None = None,
        patience: Patience = HASTY,
        budget: RateBudget | None = None,
        policy: CircuitPolicy = TRIPS_LATE,
    ) -> OpenAQClient:
        client = OpenAQClient(
            url or self.stand_in.url,
            Key(key),
            budget=budget or LocalRateBudget([Rate(100_000, 60.0)]),
            breaker=CircuitBreaker("openaq", policy, self.circuits),
            patience=patience,
        )
        self.clients.append(client)
        return client

    def mode(self, *, workers: int = 4, **options: Any) -> ApiMode:
        return ApiMode(self.client(**options), RawStore(str(self.folder)), self.circuits, workers=workers)


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    with OpenAQStandIn(limit=100_000) as stand_in:
        made = Setup(stand_in, tmp_path / "raw")
        yield made
        for client in made.clients:
            client.close()


def hourly(
    sensor: tuple[str, str],
    window: Window = DAY,
    *,
    step: timedelta = timedelta(hours=1),
    zone: str = "UTC",
    value: Callable[[int], float | None] = float,
) -> list[dict[str, Any]]:
    count = (window.end - window.start) // step
    return [
        measurement(
            window.start + (n + 1) * step,
            value(n),
            parameter=sensor[0],
            units=sensor[1],
            zone=zone,
            interval_s=int(step.total_seconds()),
        )
        for n in range(count)
    ]


def put(setup: Setup, id_: int, *sensors: tuple[int, list[dict[str, Any]]], zone: str = "UTC") -> None:
    """A location with these sensors (id and results), all of them pm25."""
    setup.stand_in.locations[id_] = location(id_, {sensor_id: PM for sensor_id, _ in sensors}, zone=zone)
    for sensor_id, results in sensors:
        setup.stand_in.put(sensor_id, results)


def fetch(mode: ApiMode, window: Window, *ids: int) -> dict[int, Fetched | FetchFailed]:
    found = {result.location_id: result for result in mode.fetch(window, ids)}
    assert found.keys() == set(ids)
    return found


def whole(result: Fetched | FetchFailed) -> Fetched:
    if isinstance(result, FetchFailed):
        raise result.error
    OpenaqMeasurements.validate(result.rows.assign(known_at=pd.Timestamp("2026-01-01", tz="UTC").as_unit("us")))
    return result


def failure(result: Fetched | FetchFailed) -> FetchFailed:
    assert isinstance(result, FetchFailed)
    return result


# Locations


def test_locations_come_in_the_order_asked_for(setup: Setup) -> None:
    put(setup, 5, (51, hourly(PM)), zone="America/Denver")
    put(setup, 4, (41, []))
    five, four = setup.mode().locations([5, 4])
    assert (five.id, five.timezone, five.country_code, five.licenses) == (
        5,
        "America/Denver",
        "XX",
        ("US Public Domain",),
    )
    assert [(sensor.id, sensor.parameter, sensor.units) for sensor in five.sensors] == [(51, *PM)]
    assert five.datetime_last == DAY.end
    assert (four.id, four.datetime_last) == (4, None)


def test_an_unknown_location_is_named(setup: Setup) -> None:
    put(setup, 4, (41, []))
    with pytest.raises(UnknownLocation, match="999"):
        setup.mode().locations([4, 999])
    assert len(setup.stand_in.requests("/locations/999")) == 1


def test_locations_are_found_by_country_and_box_over_pages(setup: Setup) -> None:
    for id_ in range(1, 2002):
        setup.stand_in.locations[id_] = location(id_, {}, code="MX" if id_ % 2001 else "US", latitude=id_ / 100)
    mode = setup.mode()
    assert [found.id for found in mode.find_locations(iso="MX")] == list(range(1, 2001))
    assert len(setup.stand_in.requests("/locations")) == 3
    assert [found.id for found in mode.find_locations(bbox=(19.0, 0.0, 21.0, 0.045))] == [1, 2, 3, 4]


def test_all_locations_of_the_world_are_not_asked_for(setup: Setup) -> None:
    with pytest.raises(ConfigurationError):
        setup.mode().find_locations()
    assert setup.stand_in.requests() == []


def test_a_page_of_locations_that_repeats_ends_the_search(setup: Setup) -> None:
    for id_ in range(1, 1501):
        setup.stand_in.locations[id_] = location(id_, {})
    setup.stand_in.faults.append(Fault("same_page", "/locations"))
    with pytest.raises(UnexpectedAnswer, match="repeats"):
        setup.mode().find_locations(iso="XX")
    assert len(setup.stand_in.requests()) == 2


def test_latest_leaves_a_gone_location_out_and_says_so(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    put(setup, 4, (41, hourly(PM)))
    put(setup, 5, (51, []))
    with caplog.at_level(logging.WARNING):
        assert setup.mode().latest([4, 999, 5]) == {4: DAY.end, 5: None}
    assert "999" in caplog.text


# Series


def test_a_day_is_what_ends_after_midnight_up_to_midnight(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM, DAY.widened(timedelta(hours=3), timedelta(hours=3)))))
    found = whole(fetch(setup.mode(), DAY, 4)[4])
    stamps = found.rows.datetime_utc
    assert (len(stamps), stamps.min(), stamps.max()) == (24, DAY.start + timedelta(hours=1), DAY.end)
    assert found.filtered == {}


def test_abutting_windows_tile_exactly(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM, MONTH, step=timedelta(minutes=30))))
    mode = setup.mode()
    parts = [whole(fetch(mode, part, 4)[4]).rows for part in MONTH.split(timedelta(hours=37))]
    assert pd.concat(parts).value.tolist() == list(range(1440))


def test_a_year_of_an_hourly_sensor_is_nine_requests(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM, YEAR)))
    mode = setup.mode()
    found = whole(fetch(mode, YEAR, 4)[4])
    assert found.rows.value.tolist() == list(range(365 * 24))
    assert len(setup.stand_in.requests("/measurements")) == 9 == mode.calls_for(YEAR, 1)
    assert {request.params["limit"] for request in setup.stand_in.requests("/measurements")} == {"1000"}
    assert mode.calls_for(DAY, 7) == 7


@pytest.mark.parametrize("minutes", [1, 15])
def test_a_full_page_is_followed_by_the_time_after_it(setup: Setup, minutes: int) -> None:
    window = Window(START, START + timedelta(minutes=minutes) * 3000)
    put(setup, 4, (41, hourly(PM, window, step=timedelta(minutes=minutes))))
    found = whole(fetch(setup.mode(), window, 4)[4])
    assert found.rows.value.tolist() == list(range(3000))
    assert {request.params["page"] for request in setup.stand_in.requests("/measurements")} == {"1"}
    assert len(setup.stand_in.requests("/measurements")) == 3


def test_a_row_that_arrives_between_two_pages_costs_no_other_row(setup: Setup) -> None:
    window = Window(START, START + timedelta(minutes=1500))
    results = hourly(PM, window, step=timedelta(minutes=1))
    put(setup, 4, (41, results[1:]))
    client = setup.client()
    asked = client.get

    def late(path: str, params: Any) -> Any:
        page = asked(path, params)
        setup.stand_in.put(41, results)
        return page

    client.get = late  # type: ignore[method-assign]
    mode = ApiMode(client, RawStore(str(setup.folder)), setup.circuits)
    mode._ask(4)
    setup.stand_in.put(41, results[1:])
    assert whole(fetch(mode, window, 4)[4]).rows.value.tolist() == list(range(1, 1500))


def test_every_time_sent_has_an_offset(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM, zone="Asia/Kathmandu")), zone="Asia/Kathmandu")
    found = whole(fetch(setup.mode(), DAY, 4)[4])
    assert len(found.rows) == 24
    assert found.rows.datetime_local.iloc[0] == "2025-03-01T06:45:00+05:45"
    for request in setup.stand_in.requests("/measurements"):
        assert request.params["datetime_from"].endswith("Z") and request.params["datetime_to"].endswith("Z")


@pytest.mark.parametrize(
    ("zone", "day"),
    [("America/Denver", date(2025, 3, 9)), ("America/Denver", date(2025, 11, 2)), ("Europe/Paris", date(2025, 10, 26))],
)
def test_days_on_which_clocks_change_have_24_hours(setup: Setup, zone: str, day: date) -> None:
    window = Window.of_days(day, day)
    put(setup, 4, (41, hourly(PM, window.widened(timedelta(hours=5), timedelta(hours=5)), zone=zone)), zone=zone)
    found = whole(fetch(setup.mode(), window, 4)[4])
    assert len(found.rows) == found.rows.datetime_utc.nunique() == 24
    assert found.rows.datetime_local.nunique() == 24


def test_a_sensor_without_rows_is_no_failure(setup: Setup) -> None:
    put(setup, 4, (41, []), (42, hourly(PM)))
    put(setup, 5)
    found = fetch(setup.mode(), DAY, 4, 5)
    assert whole(found[4]).rows.sensors_id.unique().tolist() == [42]
    assert len(whole(found[4]).sources) == 2
    assert len(whole(found[5]).rows) == 0


def test_a_window_in_the_future_has_no_rows(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM)))
    future = datetime.now(UTC).date() + timedelta(days=400)
    assert len(whole(fetch(setup.mode(), Window.of_days(future, future), 4)[4]).rows) == 0


def test_rows_outside_the_window_are_counted_not_kept(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM, DAY.widened(timedelta(hours=3), timedelta(hours=2)))))
    setup.stand_in.faults.append(Fault("same_page", "/measurements"))
    found = whole(fetch(setup.mode(), DAY, 4)[4])
    assert len(found.rows) == 24
    assert found.filtered == {START.date(): 5}


def test_every_row_leads_to_its_place_in_a_raw_page(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM, YEAR)), (42, hourly(PM, MONTH)))
    found = whole(fetch(setup.mode(), YEAR, 4)[4])
    store = RawStore(str(setup.folder))
    pages = {source.source_id: json.loads(store.get(source.raw_path)) for source in found.sources}
    assert len(pages) == len(found.sources) == 18
    assert {(source.kind, source.location_id) for source in found.sources} == {("api", 4)}
    assert sum(len(page["results"]) for page in pages.values()) == len(found.rows)
    for row in found.rows.sample(50, random_state=1).itertuples():
        result = pages[row.source_id]["results"][row.line_no - 1]
        assert result["value"] == row.value
        assert result["period"]["datetimeTo"]["local"] == row.datetime_local


def test_the_same_page_again_is_the_same_source(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM)))
    first, second = (whole(fetch(setup.mode(), DAY, 4)[4]) for _ in range(2))
    assert [source.source_id for source in first.sources] == [source.source_id for source in second.sources]
    pd.testing.assert_frame_equal(first.rows, second.rows)
    assert first.sources[0].uri.startswith("/v3/sensors/41/measurements?datetime_from=2025-03-01T00%3A00%3A00Z&")


def test_a_result_that_is_no_row_is_rejected_and_the_others_stay(setup: Setup) -> None:
    results = hourly(PM)
    results[3]["value"] = "off"
    put(setup, 4, (41, results))
    found = whole(fetch(setup.mode(), DAY, 4)[4])
    assert len(found.rows) == 23
    assert [(reject.rule, reject.line_no, reject.day) for reject in found.rejects] == [("value", 4, START.date())]


def test_a_null_that_is_served_stays_a_null_row(setup: Setup) -> None:
    setup.stand_in.nulls = "serve"
    put(setup, 4, (41, hourly(PM, value=lambda n: None if n == 3 else float(n))))
    found = whole(fetch(setup.mode(), DAY, 4)[4])
    assert found.rows.value.isna().tolist() == [n == 3 for n in range(24)]
    assert setup.stand_in.requests("/hours") == []


# 408, and sensors the server cannot serve


def test_408_halves_the_window_and_the_narrow_one_is_kept(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM, YEAR)))
    setup.stand_in.faults.append(Fault("wide", "/measurements", hours=12 * 24))
    found = whole(fetch(setup.mode(), YEAR, 4)[4])
    assert found.rows.value.tolist() == list(range(365 * 24))
    # 41 and 20.5 days are too wide; 10.25 days fit from then on.
    refused = [request for request in setup.stand_in.requests("/measurements") if request.status == 408]
    assert len(refused) == 2


def test_408_down_to_an_hour_fails_the_sensor_only(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM)))
    put(setup, 5, (51, hourly(PM)), (52, hourly(PM)))
    setup.stand_in.faults.append(Fault("wide", "/sensors/(41|51)/", hours=0.0))
    found = fetch(setup.mode(), DAY, 4, 5)
    error = failure(found[4]).error
    assert type(error) is SourceUnavailable
    assert not isinstance(error, WindowTooWide)
    five = whole(found[5])
    assert five.rows.sensors_id.unique().tolist() == [52]
    assert "not even one hour" in five.failed_sensors[51]
    assert len(setup.stand_in.requests("/sensors/41/")) < 10


def test_a_page_with_a_null_falls_back_to_hourly_means(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    value: Callable[[int], float | None] = lambda n: None if n == 30 else 1.2345678 + n  # noqa: E731
    put(setup, 4, (41, hourly(PM, MONTH, value=value)), (42, hourly(PM, MONTH)))
    with caplog.at_level(logging.WARNING):
        found = whole(fetch(setup.mode(), MONTH, 4)[4])
    rows = found.rows[found.rows.sensors_id == 41]
    assert rows.value.isna().tolist() == [n == 30 for n in range(720)]
    assert rows.value.dropna().tolist() == [1.2345678 + n for n in range(720) if n != 30]
    assert (rows.interval_s == 3600).all()
    (note,) = found.notes
    assert "sensor 41" in note and "hourly means" in note and note in caplog.text
    assert len(setup.stand_in.requests("/sensors/41/measurements")) == 2
    assert setup.stand_in.requests("/sensors/42/hours") == []


def test_only_the_span_with_the_null_falls_back(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM, YEAR, step=timedelta(hours=1), value=lambda n: None if n == 5000 else float(n))))
    found = whole(fetch(setup.mode(), YEAR, 4)[4])
    assert len(found.rows) == 365 * 24
    assert len(setup.stand_in.requests("/hours")) == 1


def test_half_hours_before_a_null_are_not_mixed_with_hourly_means(setup: Setup) -> None:
    window = Window(START, START + timedelta(days=40))
    half_hours = hourly(PM, window, step=timedelta(minutes=30), value=lambda n: None if n == 1500 else float(n))
    put(setup, 4, (41, half_hours))
    found = whole(fetch(setup.mode(), window, 4)[4])
    assert len(found.rows) == found.rows.datetime_utc.nunique() == 960
    assert {source.uri.split("?")[0] for source in found.sources} == {"/v3/sensors/41/hours"}


def test_a_sensor_that_fails_both_ways_is_named_and_the_others_of_its_location_come(setup: Setup) -> None:
    for id_ in (4, 5, 6):
        put(setup, id_, (id_ * 10 + 1, hourly(PM)), (id_ * 10 + 2, hourly(PM)))
    setup.stand_in.faults.append(Fault("status", "/sensors/42/"))
    found = fetch(setup.mode(), DAY, 4, 5, 6)
    four = whole(found[4])
    assert four.rows.sensors_id.tolist() == [41] * 24
    assert list(four.failed_sensors) == [42] and "/sensors/42/hours" in four.failed_sensors[42]
    assert len(four.sources) == 1
    for id_ in (5, 6):
        assert len(whole(found[id_]).rows) == 48
        assert (whole(found[id_]).failed_sensors, whole(found[id_]).notes) == ({}, ())


def test_a_sensor_that_fails_half_way_leaves_nothing_half(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM, YEAR)), (42, hourly(PM, YEAR)))
    setup.stand_in.faults.append(Fault("status", "/sensors/42/.*datetime_from=2025-08"))
    four = whole(fetch(setup.mode(), YEAR, 4)[4])
    assert list(four.failed_sensors) == [42]
    assert four.rows.sensors_id.unique().tolist() == [41] and len(four.rows) == 365 * 24
    assert all("/sensors/41/" in source.uri for source in four.sources)


def test_a_location_all_of_whose_sensors_fail_fails_with_each_of_them_named(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM)), (42, hourly(PM)))
    put(setup, 5, (51, hourly(PM)))
    setup.stand_in.faults.append(Fault("status", "/sensors/4"))
    found = fetch(setup.mode(), DAY, 4, 5)
    error = failure(found[4]).error
    assert type(error) is SourceUnavailable
    assert "location 4" in str(error) and "sensor 41" in str(error) and "sensor 42" in str(error)
    assert len(whole(found[5]).rows) == 24


def test_a_sensor_that_keeps_failing_is_left_alone_and_does_not_open_the_apis_breaker(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM)), (42, hourly(PM)))
    put(setup, 5, (42, hourly(PM)))
    setup.stand_in.faults.append(Fault("status", "/sensors/42/"))
    mode = setup.mode(policy=CircuitPolicy(fail_max=2, reset_s=60.0), workers=1)
    for _ in range(3):
        assert list(whole(fetch(mode, DAY, 4)[4]).failed_sensors) == [42]
    asked, spent = setup.stand_in.requests("/sensors/42/"), len(setup.stand_in.requests())
    four = whole(fetch(mode, DAY, 4)[4])
    assert len(four.rows) == 24 and "openaq/sensor/42" in four.failed_sensors[42]
    assert len(setup.stand_in.requests()) == spent + 1
    assert isinstance(failure(fetch(mode, DAY, 5)[5]).error, CircuitOpen)
    assert setup.stand_in.requests("/sensors/42/") == asked


def test_a_sensor_an_outage_takes_with_it_is_asked_for_again_at_once(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM)), (42, hourly(PM)))
    setup.stand_in.faults.append(Fault("status", "/sensors/42/", status=502, body={}))
    mode = setup.mode()
    for _ in range(4):
        assert "502" in whole(fetch(mode, DAY, 4)[4]).failed_sensors[42]
    setup.stand_in.faults.clear()
    four = whole(fetch(mode, DAY, 4)[4])
    assert (len(four.rows), four.failed_sensors) == (48, {})


def test_an_outage_that_opens_the_apis_breaker_fails_the_location(setup: Setup) -> None:
    put(setup, 4, *((40 + n, hourly(PM)) for n in range(6)))
    setup.stand_in.faults.append(Fault("status", "/sensors/4[1-5]/", status=503, body={}))
    mode = setup.mode(policy=CircuitPolicy(fail_max=6, reset_s=60.0))
    assert isinstance(failure(fetch(mode, DAY, 4)[4]).error, CircuitOpen)
    assert setup.stand_in.requests("/sensors/4[3-5]/") == []


def test_a_json_500_that_passes_is_retried(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM)))
    setup.stand_in.faults.append(Fault("status", "/measurements", times=3, body={"detail": "deadlock detected"}))
    assert len(whole(fetch(setup.mode(), DAY, 4)[4]).rows) == 24
    assert setup.stand_in.requests("/hours") == []


# The key


@pytest.mark.parametrize("status", [401, 403])
def test_a_rejected_key_is_one_clear_error_and_no_storm(setup: Setup, status: int) -> None:
    for id_ in range(1, 41):
        put(setup, id_, (id_ * 10, hourly(PM)))
    setup.stand_in.faults.append(Fault("status", status=status, body={"message": "Forbidden. Contact dev@openaq.org"}))
    mode = setup.mode(workers=4)
    with pytest.raises(CredentialsRejected, match=rf"{status}.*Forbidden"):
        list(mode.fetch(DAY, range(1, 41)))
    sent = len(setup.stand_in.requests())
    assert sent <= 4
    with pytest.raises(CredentialsRejected):
        mode.locations([1])
    assert len(setup.stand_in.requests()) == sent


def test_a_wrong_key_is_refused_by_the_stand_in_as_by_openaq(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM)))
    with pytest.raises(CredentialsRejected, match=r"401.*Invalid credentials"):
        setup.mode(key="f" * 64).locations([4])


@pytest.mark.parametrize("key", ["", "  ", "a\nb", "a b", "schlüssel"])
def test_a_key_no_header_can_carry_is_refused_without_showing_it(setup: Setup, key: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        setup.client(key=key)
    assert not key.strip() or key not in str(refused.value)


def test_the_key_is_nowhere_to_be_seen(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    canary = "c0ffee" * 10
    setup.stand_in.keys = {canary}
    put(setup, 4, (41, hourly(PM)))
    echo = {"detail": f"do not send {canary} so often"}
    errors = []
    with caplog.at_level(logging.DEBUG):
        for fault in (
            Fault("status", "/measurements", status=422, body=echo),
            Fault("status", "/sensors/", body=echo),
            Fault("reset", "/sensors/"),
            Fault("html", "/measurements"),
        ):
            setup.stand_in.faults = [fault]
            errors.append(failure(fetch(setup.mode(key=canary), DAY, 4)[4]).error)
        setup.stand_in.faults = [Fault("status", "/measurements", status=200, body={"results": [], **echo})]
        client = setup.client(key=canary)
        found = whole(fetch(setup.mode(key=canary), DAY, 4)[4])
    shown = caplog.text + repr(client) + str(client.__dict__) + repr(found.sources)
    shown += "".join("".join(traceback.format_exception(error)) for error in errors)
    assert "***" in shown
    assert canary not in shown
    kept = RawStore(str(setup.folder)).get(found.sources[0].raw_path)
    assert b"do not send *** so often" in kept and canary.encode() not in kept


@pytest.mark.parametrize(
    "url",
    ["http://api.openaq.org/v3", "https://me:pass@api.openaq.org/v3", "ftp://127.0.0.1/v3", "api.openaq.org/v3", ""],
)
def test_a_base_url_that_would_leak_the_key_or_is_none_is_refused(setup: Setup, url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        OpenAQClient(
            url,
            Key(KEY),
            budget=LocalRateBudget(),
            breaker=CircuitBreaker("openaq", TRIPS_LATE, setup.circuits),
        )
    assert "pass" not in str(refused.value)


def test_a_redirect_is_not_followed_so_that_the_key_goes_nowhere_else(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM)))
    with OpenAQStandIn(limit=1000) as elsewhere:
        setup.stand_in.faults.append(Fault("status", status=302, body={}, headers={"Location": elsewhere.url}))
        with pytest.raises(UnexpectedAnswer, match="redirect"):
            setup.mode().locations([4])
        assert elsewhere.requests() == []


# 429 and the budget


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "0"},
        {"Retry-After": "1"},
        {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"},
        {"x-ratelimit-reset": "1"},
    ],
)
def test_429_is_waited_out_and_no_failure(setup: Setup, headers: dict[str, str]) -> None:
    put(setup, 4, (41, hourly(PM)))
    fault = Fault("status", "/measurements", times=7, status=429, body={"detail": "Too many requests"}, headers=headers)
    if "1" in headers.values():
        fault.times = 1
    setup.stand_in.faults.append(fault)
    # One attempt and one failure would be the end of it, if a 429 were one.
    patience = Patience(attempts=1, backoff_s=0.01, longest_backoff_s=0.05, budget_s=30.0)
    mode = setup.mode(patience=patience, policy=CircuitPolicy(fail_max=1, reset_s=60.0))
    assert len(whole(fetch(mode, DAY, 4)[4]).rows) == 24
    if "1" in headers.values():
        refused, again = setup.stand_in.requests("/measurements")
        assert again.at - refused.at >= 1.0


def test_429_makes_every_thread_wait(setup: Setup) -> None:
    for id_ in range(1, 9):
        put(setup, id_, (id_ * 10, hourly(PM)))
    setup.stand_in.faults.append(
        Fault("status", "/locations/1$", times=1, status=429, headers={"Retry-After": "1"}, body={})
    )
    found = fetch(setup.mode(), DAY, *range(1, 9))
    assert all(len(whole(result).rows) == 24 for result in found.values())
    (refused,) = [request for request in setup.stand_in.requests() if request.status == 429]
    # Those that were on their way at that moment arrive; then there is silence.
    late = [request for request in setup.stand_in.requests() if 0.2 < request.at - refused.at < 0.95]
    assert late == []


def test_429_for_longer_than_one_may_wait_is_rate_limited_with_the_time(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM)))
    setup.stand_in.faults.append(Fault("status", status=429, headers={"Retry-After": "1800"}, body={}))
    with pytest.raises(RateLimited) as limited:
        setup.mode().locations([4])
    assert limited.value.retry_after_s == pytest.approx(1800, abs=5)
    assert len(setup.stand_in.requests()) == 1


def test_the_servers_own_limit_is_never_met_within_the_budget(setup: Setup) -> None:
    setup.stand_in.limit, setup.stand_in.per_s = 12, 1
    for id_ in range(1, 11):
        put(setup, id_, (id_ * 10, hourly(PM)), (id_ * 10 + 1, hourly(PM)))
    budget = LocalRateBudget([Rate(12, 1.0)], margin_s=0.2)
    found = fetch(setup.mode(budget=budget), DAY, *range(1, 11))
    assert all(len(whole(result).rows) == 48 for result in found.values())
    assert {request.status for request in setup.stand_in.requests()} == {200}


def test_what_the_server_says_is_left_is_heeded_when_the_key_is_used_elsewhere_too(setup: Setup) -> None:
    setup.stand_in.limit, setup.stand_in.per_s = 5, 1
    for id_ in range(1, 11):
        put(setup, id_, (id_ * 10, hourly(PM)))
    found = fetch(setup.mode(workers=1), DAY, *range(1, 11))
    assert all(len(whole(result).rows) == 24 for result in found.values())
    assert {request.status for request in setup.stand_in.requests()} == {200}


# Outages


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=500, where="/locations", times=2),
        Fault("status", status=502, body=b"<html>Bad Gateway</html>", times=2),
        Fault("status", status=503, body={"message": "Service Unavailable"}, times=2),
        Fault("status", status=504, body={"message": "Endpoint request timed out"}, times=2),
        Fault("reset", times=2),
        Fault("drop", times=2),
        Fault("slow", seconds=1.0, times=2),
        Fault("loris", seconds=0.05, times=1),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
def test_what_goes_wrong_in_passing_is_retried(setup: Setup, fault: Fault) -> None:
    put(setup, 4, (41, hourly(PM)))
    setup.stand_in.faults.append(fault)
    patience = Patience(read_s=0.5, answer_s=1.0, call_s=20.0, backoff_s=0.01, longest_backoff_s=0.05)
    assert len(whole(fetch(setup.mode(patience=patience), DAY, 4)[4]).rows) == 24


def test_one_byte_after_another_ends_at_the_total_deadline(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM)))
    setup.stand_in.faults.append(Fault("loris", "/locations", seconds=0.05))
    patience = Patience(read_s=5.0, answer_s=0.3, call_s=1.5, attempts=100, backoff_s=0.01, longest_backoff_s=0.05)
    with pytest.raises(SourceUnavailable, match="not complete in time"):
        setup.client(patience=patience).get("/locations/4", {})
    assert 2 <= len(setup.stand_in.requests()) <= 6


def test_a_body_that_is_too_large_is_not_swallowed(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM, MONTH)))
    patience = Patience(largest_body=20_000)
    error = failure(fetch(setup.mode(patience=patience), MONTH, 4)[4]).error
    assert isinstance(error, UnexpectedAnswer)
    assert "20000" in str(error)


def test_nobody_at_home(setup: Setup) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v3"
    with pytest.raises(SourceUnavailable, match="cannot be read"):
        setup.mode(url=url).locations([4])


def test_a_host_nobody_knows(setup: Setup) -> None:
    with pytest.raises(SourceUnavailable, match=r"nowhere\.invalid"):
        setup.mode(url="https://nowhere.invalid/v3").locations([4])


def test_a_server_that_speaks_no_tls(setup: Setup) -> None:
    with pytest.raises(SourceUnavailable, match="SSL"):
        setup.mode(url=setup.stand_in.url.replace("http:", "https:")).locations([4])


def test_an_outage_opens_the_breaker_which_then_costs_nothing(setup: Setup) -> None:
    for id_ in range(1, 21):
        put(setup, id_, (id_ * 10, hourly(PM)))
    setup.stand_in.faults.append(Fault("status", status=503, body={}))
    rate = Rate(1000, 60.0)
    budget = LocalRateBudget([rate])
    mode = setup.mode(policy=CircuitPolicy(fail_max=3, reset_s=60.0), budget=budget, workers=1)
    found = fetch(mode, DAY, *range(1, 21))
    assert len(setup.stand_in.requests()) == 3
    assert budget.remaining()[rate] == 997
    errors = [failure(result).error for result in found.values()]
    assert all(isinstance(error, TransientError) for error in errors)
    assert sum(isinstance(error, CircuitOpen) for error in errors) == 20
    assert "503" in str(errors[-1])


def test_after_the_outage_one_trial_closes_the_breaker(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM)))
    setup.stand_in.faults.append(Fault("status", status=503, body={}, times=3))
    mode = setup.mode(policy=CircuitPolicy(fail_max=3, reset_s=0.3))
    with pytest.raises(CircuitOpen):
        mode.locations([4])
    time.sleep(0.35)
    assert [found.id for found in mode.locations([4])] == [4]
    assert len(whole(fetch(mode, DAY, 4)[4]).rows) == 24


def test_an_outage_of_one_location_leaves_the_others_whole(setup: Setup) -> None:
    for id_ in range(1, 9):
        put(setup, id_, (id_ * 10, hourly(PM)))
    setup.stand_in.faults.append(Fault("status", "/sensors/30/", status=502, body={}))
    found = fetch(setup.mode(), DAY, *range(1, 10))
    assert {id_ for id_, result in found.items() if isinstance(result, FetchFailed)} == {3, 9}
    assert isinstance(failure(found[9]).error, UnknownLocation)
    assert isinstance(failure(found[3]).error, SourceUnavailable)


# Answers that are none


@pytest.mark.parametrize("kind", ["html", "truncated"])
def test_a_200_that_is_no_page_fails_its_sensor_with_what_came(setup: Setup, kind: str) -> None:
    put(setup, 4, (41, hourly(PM)))
    put(setup, 5, (51, hourly(PM)), (52, hourly(PM)))
    setup.stand_in.faults.append(Fault(kind, "/sensors/(41|51)/"))
    found = fetch(setup.mode(), DAY, 4, 5)
    error = failure(found[4]).error
    assert isinstance(error, UnexpectedAnswer)
    five = whole(found[5])
    for told in (str(error), five.failed_sensors[51]):
        assert ("We'll be right back" if kind == "html" else '"found": 24') in told
    assert len(setup.stand_in.requests("/sensors/41/")) == 1
    assert five.rows.sensors_id.tolist() == [52] * 24


@pytest.mark.parametrize("body", [{"results": None}, {"meta": {}}, {"results": {}}])
def test_a_200_without_results_fails(setup: Setup, body: dict[str, Any]) -> None:
    put(setup, 4, (41, hourly(PM)))
    setup.stand_in.faults.append(Fault("status", "/measurements", status=200, body=body))
    assert "list of results" in str(failure(fetch(setup.mode(), DAY, 4)[4]).error)


def test_a_partial_page_is_noticed(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM)))
    setup.stand_in.faults.append(Fault("partial", "/measurements"))
    assert "found 24 rows and sent 23" in str(failure(fetch(setup.mode(), DAY, 4)[4]).error)


def test_a_full_page_that_comes_again_and_again_is_noticed(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM, MONTH, step=timedelta(minutes=15))))
    setup.stand_in.faults.append(Fault("same_page", "/measurements"))
    error = failure(fetch(setup.mode(), MONTH, 4)[4]).error
    assert isinstance(error, UnexpectedAnswer)
    assert "repeats a page" in str(error)
    assert len(setup.stand_in.requests("/measurements")) == 2


def test_a_location_described_in_an_unknown_way_fails_alone(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM)))
    put(setup, 5, (51, hourly(PM)))
    del setup.stand_in.locations[4]["sensors"][0]["parameter"]
    found = fetch(setup.mode(), DAY, 4, 5)
    assert isinstance(failure(found[4]).error, UnexpectedAnswer)
    assert len(whole(found[5]).rows) == 24


# Many at once


def test_locations_are_fetched_at_the_same_time_and_only_so_many(setup: Setup) -> None:
    for id_ in range(1, 13):
        put(setup, id_, (id_ * 10, hourly(PM)))
    setup.stand_in.faults.append(Fault("slow", "/sensors/", seconds=0.1))
    fetch(setup.mode(workers=4), DAY, *range(1, 13))
    arrived = sorted(request.at for request in setup.stand_in.requests("/sensors/"))
    at_once = max(sum(0 <= other - at < 0.1 for other in arrived) for at in arrived)
    assert 2 <= at_once <= 4


def test_a_fetch_that_is_abandoned_stops(setup: Setup) -> None:
    for id_ in range(1, 51):
        put(setup, id_, *((id_ * 10 + n, hourly(PM)) for n in range(5)))
    results = setup.mode(workers=2).fetch(DAY, range(1, 51))
    next(results)
    results.close()  # type: ignore[attr-defined]
    spent = len(setup.stand_in.requests())
    assert spent < 40
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("openaq")]


def test_an_id_given_twice_is_fetched_once(setup: Setup) -> None:
    put(setup, 4, (41, hourly(PM)))
    assert len(list(setup.mode().fetch(DAY, [4, 4]))) == 1


# Recorded pages


def test_recorded_pages_run_through_with_every_row_accounted_for(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "openaq" / "guadalajara_v3"
    with OpenAQStandIn.of_recorded(folder, limit=100_000) as stand_in:
        setup = Setup(stand_in, tmp_path / "raw")
        mode = setup.mode()
        ids = [found.id for found in mode.find_locations(iso="MX")]
        window = Window.of_days(date(2025, 9, 20), date(2025, 10, 10))
        found = fetch(mode, window, *ids)
        rows = pd.concat([whole(result).rows for result in found.values() if len(whole(result).rows)])
        setup.clients[0].close()
    held = {id_: len(results) for id_, results in stand_in.series.items()}
    assert rows.groupby("sensors_id").size().to_dict() == {id_: count for id_, count in held.items() if count}
    assert len(rows) == sum(held.values()) == 20_716
    assert all(result.rejects == () and result.filtered == {} for result in map(whole, found.values()))
    assert rows[rows.sensors_id == 12285331].value.max() == pytest.approx(0.573, abs=0.001)
    assert 22932 not in held and "22932" in " ".join(s.uri for s in whole(found[7915]).sources)
