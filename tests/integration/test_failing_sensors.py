"""A sensor OpenAQ fails to serve, through the whole graph: its neighbours land, what was there stays, it is owed."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
import sqlalchemy as sa

from resources.catalog import sources
from resources.catalog.io_manager import LedgerIOManager
from resources.openaq.client import OpenAQClient
from schemas.catalog import FETCH_FAILURES, QUARANTINE
from schemas.tables import AIR_QUALITY, AIR_QUALITY_HOURLY, AIR_QUALITY_REPORT, OPENAQ_MEASUREMENTS
from tests.graph import Graph, checks_of, failure_of
from tests.openaq_shapes import location, measurement
from tests.openaq_stand_in import KEY, Fault, OpenAQStandIn

STAGING = OPENAQ_MEASUREMENTS.qualified
FIRST, LAST = date(2025, 3, 2), date(2025, 3, 3)
DAYS = [FIRST, LAST]
SENSORS = {11: ("pm25", "µg/m³"), 12: ("pm10", "µg/m³"), 21: ("pm25", "µg/m³")}
CLASSES = ["loaded", "duplicate", "quarantined", "filtered"]
NOTHING_OWED = "openaq_measurements.nothing_owed"
BROKEN = r"/sensors/12/"


def series(sensor_id: int, *, more: float = 0.0) -> list[dict[str, Any]]:
    """Ten days of hours; `more` raises those of the second half of `FIRST`, as a correction would."""
    name, units = SENSORS[sensor_id]
    start = datetime(2025, 3, 1, tzinfo=UTC)
    return [
        measurement(
            start + timedelta(hours=n),
            10.0 + sensor_id + n % 24 + (more if 36 < n <= 48 else 0.0),
            parameter=name,
            units=units,
        )
        for n in range(1, 96)
    ]


@pytest.fixture
def api() -> Iterator[OpenAQStandIn]:
    """Location 1 with the sensors 11 and 12, location 2 with 21."""
    places = [location(1, {id_: SENSORS[id_] for id_ in (11, 12)}), location(2, {21: SENSORS[21]})]
    with OpenAQStandIn(places, {id_: series(id_) for id_ in SENSORS}, limit=10_000) as api:
        yield api


@contextmanager
def graph_on(url: str, folder: Path, api: OpenAQStandIn) -> Iterator[Graph]:
    source = {"mode": "api", "listed_locations": [1, 2], "api_url": api.url, "api_key": KEY}
    with dg.DagsterInstance.ephemeral() as instance:
        yield Graph(url, folder, instance=instance, openaq=source | {"per_minute": 10_000, "per_hour": 100_000})


@pytest.fixture
def graph(postgres_url: str, tmp_path: Path, api: OpenAQStandIn) -> Iterator[Graph]:
    with graph_on(postgres_url, tmp_path, api) as graph:
        yield graph


def of(graph: Graph, sensor_id: int) -> pd.DataFrame:
    """The sensor's rows in staging."""
    rows = graph.rows(OPENAQ_MEASUREMENTS)
    return rows[rows["sensors_id"] == sensor_id].reset_index(drop=True)


def remarks(graph: Graph, day: date) -> str:
    """What the newest materialization of the day says is unusual."""
    records = graph.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey(STAGING.split(".")), asset_partitions=[day.isoformat()]), limit=1
    ).records
    value = records[0].asset_materialization.metadata.get("unusual")
    return str(value.value) if value else ""


def owed(graph: Graph) -> dict[tuple[str, date], tuple[int, timedelta]]:
    """Per unit and day that is owed: failures in a row, and the wait after the last one."""
    with graph.connect() as connection:
        found = connection.execute(sa.select(FETCH_FAILURES)).all()
    return {(row.unit, row.day): (row.attempts, row.next_attempt_at - row.failed_at) for row in found}


def test_rows_of_a_sensor_that_fails_stay_as_they_were_beside_new_ones(
    database_url: str, tmp_path: Path, api: OpenAQStandIn
) -> None:
    with graph_on(database_url, tmp_path, api) as graph:
        assert graph.run(FIRST, LAST).success
        graph.settle(date(2025, 3, 12))
        old, kept, series_before = graph.rows(OPENAQ_MEASUREMENTS), of(graph, 12), graph.rows(AIR_QUALITY)
        assert len(kept) == 48

        api.put(11, series(11, more=5.0))
        api.put(12, series(12, more=5.0))
        api.faults.append(Fault("status", BROKEN))
        result = graph.run(FIRST, LAST)
        assert result.success, failure_of(result)
        graph.settle(date(2025, 3, 12))

        pd.testing.assert_frame_equal(of(graph, 12), kept)
        corrected = of(graph, 11)
        is_new = corrected["value"].to_numpy() != old.loc[old["sensors_id"] == 11, "value"].to_numpy()
        assert is_new.sum() == 12
        newly_known, long_known = corrected.loc[is_new, "known_at"], corrected.loc[~is_new, "known_at"]
        assert newly_known.min() > old["known_at"].max() >= long_known.max()

        ledger = graph.ledger(OPENAQ_MEASUREMENTS)
        assert ledger["is_closed"].all()
        assert (ledger["read"] == ledger[CLASSES].sum(axis=1)).all()
        assert ledger.loc[(FIRST, "1"), ["read", "loaded", "written"]].tolist() == [48, 48, 48]
        assert ledger.loc[(FIRST, "1"), ["inserted", "changed", "vanished"]].tolist() == [0, 12, 0]
        assert ledger.loc[(LAST, "1"), ["inserted", "changed", "vanished"]].tolist() == [0, 0, 0]

        series_after = graph.rows(AIR_QUALITY)
        unchanged, changed = (
            [rows[rows["sensors_id"] == id_].reset_index(drop=True) for rows in (series_before, series_after)]
            for id_ in (12, 11)
        )
        pd.testing.assert_frame_equal(*unchanged)
        assert len(unchanged[0]) >= 48 and not changed[0].equals(changed[1])
        assert graph.dirty() == {}


def test_nothing_new_beside_a_failing_sensor_leaves_everything_as_it_is(graph: Graph, api: OpenAQStandIn) -> None:
    assert graph.run(FIRST, LAST).success
    graph.settle(date(2025, 3, 12))
    before = graph.digest()
    api.faults.append(Fault("status", BROKEN))
    assert graph.run(FIRST, LAST, tables=[STAGING]).success
    assert graph.digest() == before
    assert graph.dirty() == {}


def test_what_was_put_aside_of_a_failing_sensor_stays_there_and_in_the_account(
    graph: Graph, api: OpenAQStandIn
) -> None:
    broken = series(12)
    broken[30]["value"] = "off"
    api.put(12, broken)
    good = series(11)
    good[31]["value"] = "off"
    api.put(11, good)
    assert graph.run(FIRST, LAST).success
    graph.settle(date(2025, 3, 12))
    counts, aside = graph.ledger(OPENAQ_MEASUREMENTS)[["read", *CLASSES]], _put_aside(graph)
    assert len(aside) == 2
    api.faults.append(Fault("status", BROKEN))
    assert graph.run(FIRST, LAST, tables=[STAGING]).success
    pd.testing.assert_frame_equal(graph.ledger(OPENAQ_MEASUREMENTS)[["read", *CLASSES]], counts)
    assert _put_aside(graph) == aside
    assert graph.dirty() == {}
    api.faults.clear()
    api.put(12, series(12))
    assert graph.run(FIRST, LAST, tables=[STAGING]).success
    assert len(_put_aside(graph)) == 1 and len(of(graph, 12)) == 48


def test_a_sensor_that_always_failed_costs_its_location_nothing(graph: Graph, api: OpenAQStandIn) -> None:
    api.faults.append(Fault("status", BROKEN))
    result = graph.run(FIRST, LAST)
    assert result.success, failure_of(result)
    assert graph.rows(OPENAQ_MEASUREMENTS).groupby("sensors_id").size().to_dict() == {11: 48, 21: 48}
    assert graph.ledger(OPENAQ_MEASUREMENTS)["is_closed"].all()
    assert set(graph.rows(AIR_QUALITY_HOURLY)["location_id"]) == {1, 2}


def test_a_failing_sensor_is_owed_told_and_not_all_green_until_it_comes(graph: Graph, api: OpenAQStandIn) -> None:
    api.faults.append(Fault("status", BROKEN))
    result = graph.run(FIRST, LAST)
    assert result.success
    (check,) = [found for found in result.get_asset_check_evaluations() if found.check_name == "nothing_owed"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "sensor 12" in str(check.metadata["errors"].value)
    red = {name for name, passed in checks_of(result).items() if not passed}
    of_the_data = ("score_is_good", "warnings", "no_unexpected_anomalies")
    assert {name for name in red if not name.endswith(of_the_data)} == {NOTHING_OWED}
    debts = graph.catalog.owed(OPENAQ_MEASUREMENTS)
    assert {(one.unit, one.day) for one in debts} == {("1", day) for day in DAYS}
    assert all("sensor 12" in one.error and "sensor 11" not in one.error for one in debts)
    for day in DAYS:
        assert "location 1: sensor 12 failed" in remarks(graph, day)

    api.faults.clear()
    result = graph.run(FIRST, LAST)
    assert checks_of(result)[NOTHING_OWED]
    assert graph.catalog.owed(OPENAQ_MEASUREMENTS) == []
    assert len(of(graph, 12)) == 48
    assert remarks(graph, FIRST) == ""


def test_the_wait_for_a_failing_sensor_doubles_though_its_location_is_committed(
    graph: Graph, api: OpenAQStandIn
) -> None:
    api.faults.append(Fault("status", BROKEN))
    asked: list[int] = []
    for failures in range(1, 5):
        assert graph.run(FIRST, LAST, tables=[STAGING]).success
        wait = sources.PART_WAITS.first * 2 ** (failures - 1)
        assert owed(graph) == {("1", day): (failures, wait) for day in DAYS}
        asked.append(len(api.requests(BROKEN)))
    # After three failures it is left alone, its neighbour is not.
    assert 0 < asked[0] < asked[1] < asked[2] == asked[3]
    assert len(api.requests("/sensors/11/")) == 4
    assert len(of(graph, 11)) == 48


def test_a_debt_is_noted_in_the_transaction_of_its_rows(
    graph: Graph, api: OpenAQStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert graph.run(FIRST, LAST, tables=[STAGING]).success
    before = graph.rows(OPENAQ_MEASUREMENTS)
    api.put(11, series(11, more=5.0))
    api.faults.append(Fault("status", BROKEN))
    record = LedgerIOManager.record

    def dies(self: LedgerIOManager, *args: Any) -> None:
        record(self, *args)
        raise dg.Failure("ended before the commit", allow_retries=False)

    with monkeypatch.context() as patch:
        patch.setattr(LedgerIOManager, "record", dies)
        assert not graph.run(FIRST, LAST, tables=[STAGING]).success
    pd.testing.assert_frame_equal(graph.rows(OPENAQ_MEASUREMENTS), before)
    assert owed(graph) == {}


def test_a_location_all_of_whose_sensors_fail_turns_the_run_red(graph: Graph, api: OpenAQStandIn) -> None:
    assert graph.run(FIRST, LAST, tables=[STAGING]).success
    before = graph.rows(OPENAQ_MEASUREMENTS)
    api.faults.append(Fault("status", "/sensors/1[12]/"))
    result = graph.run(FIRST, LAST, tables=[STAGING])
    assert not result.success
    assert "location 1 cannot be had, 2 of its 2 sensors fail" in failure_of(result)
    assert owed(graph) == {("1", day): (1, sources.WHOLE_WAITS.first) for day in DAYS}
    pd.testing.assert_frame_equal(graph.rows(OPENAQ_MEASUREMENTS), before)


def test_hourly_means_in_place_of_measurements_are_told_and_owe_nothing(graph: Graph, api: OpenAQStandIn) -> None:
    api.faults.append(Fault("status", BROKEN + "measurements"))
    result = graph.run(FIRST, LAST)
    assert result.success, failure_of(result)
    assert "sensor 12" in remarks(graph, FIRST) and "hourly means" in remarks(graph, FIRST)
    assert checks_of(result)[NOTHING_OWED]
    assert len(of(graph, 12)) == 48
    assert len(graph.rows(AIR_QUALITY_REPORT)) == 4


def test_every_run_asks_anew_what_a_location_is_and_closes_its_connections(
    graph: Graph, api: OpenAQStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[OpenAQClient] = []
    close = OpenAQClient.close
    monkeypatch.setattr(OpenAQClient, "close", lambda client: (closed.append(client), close(client)))
    assert graph.run(FIRST, LAST, tables=[STAGING]).success
    assert len(api.requests("/locations/1")) == 1
    api.locations[1]["sensors"].append(location(1, {13: ("o3", "ppm")})["sensors"][0])
    api.put(13, [result | {"parameter": {"id": 3, "name": "o3", "units": "ppm"}} for result in series(11)])
    assert graph.run(FIRST, LAST, tables=[STAGING]).success
    assert len(api.requests("/locations/1")) == 2
    assert len(of(graph, 13)) == 48
    assert len(set(map(id, closed))) == len(closed) == 2


def _put_aside(graph: Graph) -> list[tuple[Any, ...]]:
    query = sa.select(QUARANTINE).where(QUARANTINE.c.table_name == STAGING).order_by(QUARANTINE.c.source_id)
    with graph.connect() as connection:
        found = connection.execute(query).all()
    return [(row.day, row.unit, row.rule, json.loads(row.raw)["value"], row.source_id, row.line_no) for row in found]
