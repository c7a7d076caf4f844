"""The assets on a real database, from an archive whose truth is known: nothing lost, nothing twice or stale."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
import sqlalchemy as sa

from resources.catalog.io_manager import LedgerIOManager, LedgerWrite
from resources.errors import DatabaseUnavailable
from resources.timescale.slices import SliceStream
from schemas.catalog import LEDGER, LOCATIONS, QUARANTINE, SOURCES
from schemas.tables import (
    AIR_QUALITY,
    AIR_QUALITY_ANOMALIES,
    AIR_QUALITY_HOURLY,
    AIR_QUALITY_REPORT,
    OPENAQ_MEASUREMENTS,
    OPENAQ_TABLES,
)
from tests.builders import staging_rows
from tests.graph import (
    GUADALAJARA,
    NEPAL,
    NEW_YORK,
    PARIS,
    Graph,
    checks_of,
    failure_of,
    read_lines,
    retries_of,
    truncate,
    write_lines,
)
from tests.openaq_shapes import location, measurement
from tests.openaq_stand_in import KEY, Fault, OpenAQStandIn

STAGING, SERIES = OPENAQ_MEASUREMENTS.qualified, AIR_QUALITY.qualified
FEATURES, QUALITY = AIR_QUALITY_HOURLY.qualified, AIR_QUALITY_REPORT.qualified
ANOMALIES = AIR_QUALITY_ANOMALIES.qualified
WARNS = ("score_is_good", "rules_hold_warnings", "no_unexpected_anomalies")
COUNTS = ["read", "loaded", "duplicate", "quarantined", "filtered"]


def march(day: int) -> date:
    return date(2025, 3, day)


def red(result: dg.ExecuteInProcessResult) -> set[str]:
    """The checks that did not pass, but for the score and for what rules warn of: what a test loads may be a torso, and
    holds every kind of defect."""
    return {name for name, passed in checks_of(result).items() if not passed and not name.endswith(WARNS)}


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once."""
    monkeypatch.setattr(dg.RetryPolicy, "calculate_delay", lambda *_: 0)


@pytest.fixture
def graph(postgres_url: str, tmp_path: Path) -> Iterator[Graph]:
    """Two locations with every kind of defect over ten days; tests load a part of them."""
    with dg.DagsterInstance.ephemeral() as instance:
        graph = Graph(postgres_url, tmp_path, instance=instance)
        graph.generate(march(1), march(10))
        yield graph


def test_everything_read_is_accounted_for_on_both_servers(database_url: str, tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        graph = Graph(database_url, tmp_path, instance=instance)
        truth = graph.generate(march(1), march(4))
        result = graph.run(date(2025, 2, 28), march(5))
        assert result.success, failure_of(result)
        assert len(checks_of(result)) == 31
        assert red(result) == set()
        written = sum(file.rows + file.malformed for file in truth.files.values())
        with graph.connect() as connection:
            files = connection.execute(sa.select(SOURCES.c.uri)).scalars().all()
            aside = connection.execute(
                sa.select(sa.func.count()).where(QUARANTINE.c.table_name == STAGING)
            ).scalar_one()
        staging, series = graph.ledger(OPENAQ_MEASUREMENTS), graph.ledger(AIR_QUALITY)
        assert len(files) == len(truth.files)
        assert staging["read"].sum() == written
        assert staging["loaded"].sum() == len(graph.rows(OPENAQ_MEASUREMENTS))
        assert staging["quarantined"].sum() == aside == sum(file.malformed for file in truth.files.values()) > 0
        assert (staging["loaded"] == series["read"].reindex(staging.index, fill_value=0)).all()
        for ledger in (staging, series, graph.ledger(AIR_QUALITY_HOURLY)):
            assert ledger["is_closed"].all()
            assert (ledger["read"] == ledger[COUNTS[1:]].sum(axis=1)).all()
        report = graph.rows(AIR_QUALITY_REPORT)
        assert report["rows_read"].sum() == written
        assert report["is_ledger_closed"].all()
        counted = graph.instance.fetch_materializations(dg.AssetKey(["staging", "openaq_measurements"]), limit=1)
        assert "dagster/partition_row_count" in counted.records[0].asset_materialization.metadata


def test_a_second_run_changes_nothing_as_a_range_and_day_by_day_and_leaves_no_day_of_it_stale(graph: Graph) -> None:
    assert graph.run(march(2), march(4)).success
    assert all(day > march(4) or day < march(2) for days in graph.dirty().values() for day in days)
    first, dirty, sources = graph.digest(), graph.dirty(), _sources(graph)
    assert graph.run(march(2), march(4)).success
    assert graph.digest() == first
    assert graph.dirty() == dirty
    assert _sources(graph) == sources
    for spec in OPENAQ_TABLES.values():
        again = graph.ledger(spec)
        assert not again[["inserted", "changed", "vanished"]].to_numpy().any()
    for day in (2, 3, 4):
        result = graph.run(march(day), as_day=True)
        assert result.success
        assert len(checks_of(result)) == 31
        assert red(result) == set()
    assert graph.digest() == first


def test_old_days_that_arrive_out_of_order_end_as_if_they_had_not(graph: Graph) -> None:
    for day in (5, 2, 4, 3):
        assert graph.run(march(day), as_day=True).success
    graph.settle(march(5))
    out_of_order = graph.digest(without=["known_at"])
    graph.erase()
    assert graph.run(march(2), march(5)).success
    graph.settle(march(5))
    assert graph.digest(without=["known_at"]) == out_of_order


def test_a_late_change_recomputes_its_days_and_those_that_look_back_on_it(graph: Graph) -> None:
    assert graph.run(march(1), march(10)).success
    graph.settle(march(12))
    graph.forget_dirty_days()
    before = {name: graph.rows(spec) for name, spec in OPENAQ_TABLES.items()}
    day = _change_one_value(graph, GUADALAJARA.id, march(2))
    assert graph.run(march(1), march(4), tables=[STAGING]).success
    week = {day + timedelta(days=n) for n in range(8)}
    assert graph.dirty() == {
        SERIES: {day + timedelta(days=n) for n in (-1, 0, 1)},
        QUALITY: {day},
        "quality.openaq_staging": week,
        "quality.openaq_timeseries": {day},
    }
    assert graph.run(day - timedelta(days=1), day + timedelta(days=1), tables=[SERIES]).success
    assert graph.dirty() == {
        FEATURES: week,
        QUALITY: week,
        ANOMALIES: {day + timedelta(days=n) for n in range(35)},
        "quality.openaq_staging": week,
        "quality.openaq_timeseries": week,
        "quality.openaq_features": {day},
    }
    graph.settle(march(18))
    assert graph.dirty() == {}
    for name, spec in OPENAQ_TABLES.items():
        stamps = _changed_stamps(before[name], graph.rows(spec), spec.key)
        assert len(stamps) or spec.schema == "quality"
        # The quality of features looks back a week on rows that look back a week themselves.
        days = 15 if "openaq_features" in name else 35 if name == ANOMALIES else 8
        lag = timedelta(days=days if spec.schema in ("features", "quality") else 1)
        assert (stamps > pd.Timestamp(day, tz="UTC") - timedelta(days=1)).all()
        assert (stamps <= pd.Timestamp(day, tz="UTC") + lag).all()


def test_a_new_malformed_line_makes_the_account_downstream_stale_though_no_row_changed(graph: Graph) -> None:
    assert graph.run(march(1), march(4)).success
    graph.forget_dirty_days()
    file = graph.file(NEPAL.id, march(3))
    lines = read_lines(file)
    write_lines(file, [*lines, lines[-1].replace(",", ";", 3)])
    before, rows = graph.rows(OPENAQ_MEASUREMENTS), graph.rows(AIR_QUALITY_REPORT)
    assert graph.run(march(1), march(4), tables=[STAGING]).success
    pd.testing.assert_frame_equal(graph.rows(OPENAQ_MEASUREMENTS), before)
    assert march(3) in graph.dirty()[QUALITY] or march(2) in graph.dirty()[QUALITY]
    graph.settle(march(5))
    assert graph.rows(AIR_QUALITY_REPORT)["rows_quarantined"].sum() == rows["rows_quarantined"].sum() + 1


def test_a_location_that_vanishes_takes_its_accounts_with_it(graph: Graph) -> None:
    assert graph.run(march(2), march(3)).success
    for day in range(1, 6):
        graph.file(NEPAL.id, march(day)).unlink()
    result = graph.run(march(2), march(3))
    assert result.success, failure_of(result)
    ledger = graph.ledger(AIR_QUALITY)
    assert ledger.loc[(slice(None), str(NEPAL.id)), COUNTS].to_numpy().sum() == 0
    assert set(graph.rows(AIR_QUALITY)["location_id"]) == {GUADALAJARA.id}
    with graph.connect() as connection:
        aside = connection.execute(sa.select(QUARANTINE.c.unit).distinct()).scalars().all()
    assert str(NEPAL.id) not in aside


def test_a_truncated_file_hides_its_location_and_nothing_else_until_it_is_mended(graph: Graph) -> None:
    file = graph.file(NEPAL.id, march(3))
    whole = truncate(file)
    result = graph.run(march(2), march(4))
    assert not result.success
    assert "PartialFetch" in failure_of(result)
    assert f"1 of 2 locations could not be fetched ({NEPAL.id})" in failure_of(result)
    assert retries_of(result) == 0
    assert set(graph.rows(OPENAQ_MEASUREMENTS)["location_id"]) == {GUADALAJARA.id}
    assert _materialized(graph, "openaq_measurements") == set()
    owed = graph.catalog.owed(OPENAQ_MEASUREMENTS)
    assert [(one.unit, one.day) for one in owed] == [(str(NEPAL.id), march(day)) for day in (2, 3, 4)]
    assert all(file.name in one.error and not one.is_transient for one in owed)

    assert graph.run(march(8), as_day=True, tables=[STAGING]).success
    assert _materialized(graph, "openaq_measurements") == {"2025-03-08"}
    file.write_bytes(whole)
    assert graph.run(march(2), march(4)).success
    assert graph.catalog.owed(OPENAQ_MEASUREMENTS) == []
    assert set(graph.rows(OPENAQ_MEASUREMENTS)["location_id"]) == {NEPAL.id, GUADALAJARA.id}


def test_days_that_are_whole_are_materialized_though_another_piece_failed(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assets_pkg.partitions.PIECE", timedelta(days=2))
    truncate(graph.file(GUADALAJARA.id, march(9)))
    result = graph.run(march(2), march(9), tables=[STAGING])
    assert not result.success
    assert "6 day(s) are complete" in failure_of(result)
    assert _materialized(graph, "openaq_measurements") == {f"2025-03-0{day}" for day in range(2, 8)}
    assert {one.day for one in graph.catalog.owed(OPENAQ_MEASUREMENTS)} == {march(8), march(9)}


def test_an_unknown_location_is_named_and_harms_no_other(graph: Graph) -> None:
    selection = {"ops": {"staging__openaq_measurements": {"config": {"locations": [NEPAL.id, NEPAL.id, 123456]}}}}
    result = graph.run(march(2), tables=[STAGING], config=selection)
    assert not result.success
    assert "1 of 2 locations could not be fetched (123456)" in failure_of(result)
    assert set(graph.rows(OPENAQ_MEASUREMENTS)["location_id"]) == {NEPAL.id}
    assert retries_of(result) == 0


def test_a_day_the_archive_does_not_have_is_an_account_of_nothing(graph: Graph) -> None:
    result = graph.run(date(2025, 6, 1))
    assert result.success, failure_of(result)
    assert red(result) == set()
    ledger = graph.ledger(OPENAQ_MEASUREMENTS)
    assert list(ledger.index) == [(date(2025, 6, 1), str(number)) for number in sorted((NEPAL.id, GUADALAJARA.id))]
    assert not ledger[COUNTS].to_numpy().any()
    assert all(date(2025, 6, 1) not in days for days in graph.dirty().values())
    report = graph.rows(AIR_QUALITY_REPORT)
    assert list(report["score_pct"]) == [0.0, 0.0], "that nothing came is told, not passed over"


@pytest.mark.parametrize("last", [1, 4])
def test_a_day_in_the_future_is_refused_in_words(graph: Graph, last: int) -> None:
    today = datetime.now(UTC).date()
    result = graph.run(today + timedelta(days=1), today + timedelta(days=last))
    assert not result.success
    assert "future" in failure_of(result)
    assert retries_of(result) == 0
    assert graph.catalog.owed(OPENAQ_MEASUREMENTS) == []


def test_today_may_be_asked_for(graph: Graph) -> None:
    assert graph.run(datetime.now(UTC).date(), tables=[STAGING]).success


@pytest.mark.parametrize(
    ("place", "first", "last", "hours"),
    [
        (NEW_YORK, date(2025, 3, 8), date(2025, 3, 10), 71),
        (PARIS, date(2024, 10, 26), date(2024, 10, 28), 73),
        (NEPAL, date(2025, 3, 8), date(2025, 3, 10), 72),
    ],
)
def test_days_on_which_clocks_change_lose_and_repeat_no_hour(
    postgres_url: str, tmp_path: Path, place: object, first: date, last: date, hours: int
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        graph = Graph(postgres_url, tmp_path, locations=[place], instance=instance)
        graph.generate(first, last, kinds=())
        result = graph.run(first - timedelta(days=1), last + timedelta(days=1))
        assert result.success, failure_of(result)
        staging = graph.rows(OPENAQ_MEASUREMENTS)
        assert len(staging) == hours * len(place.sensors)
        assert not staging.duplicated(["sensors_id", "datetime_utc"]).any()
        steps = staging.groupby("sensors_id")["datetime_utc"].diff().dropna()
        assert set(steps) == {pd.Timedelta(hours=1)}
        assert graph.ledger(AIR_QUALITY)["loaded"].sum() == len(staging)
        # The first day's local midnight ends the hour that is hour 23 of the day before.
        features = graph.rows(AIR_QUALITY_HOURLY)
        local = features["datetime_utc"].dt.tz_convert(place.timezone) - pd.Timedelta(hours=1)
        noon = features[local.dt.hour == 12]
        assert len(noon) == 3
        assert (noon["hour_cos"] < -0.97).all()


def test_rows_whose_account_is_open_are_invisible_downstream(graph: Graph) -> None:
    assert graph.run(march(2), march(3)).success
    staged = graph.rows(AIR_QUALITY)
    with graph.connect() as connection:
        connection.execute(
            sa.update(LEDGER)
            .values(read=LEDGER.c.read + 1)
            .where(LEDGER.c.table_name == STAGING, LEDGER.c.day == march(3), LEDGER.c.unit == str(NEPAL.id))
        )
    result = graph.run(march(2), march(3), tables=[SERIES])
    gone = staged["location_id"].eq(NEPAL.id) & staged["datetime_utc"].gt(pd.Timestamp(march(3), tz="UTC"))
    present = graph.rows(AIR_QUALITY)
    assert set(present["location_id"]) == {NEPAL.id, GUADALAJARA.id}
    left = present[present["location_id"].eq(NEPAL.id) & ~present["is_imputed"] & present["value"].notna()]
    assert gone.any()
    assert left["datetime_utc"].max() <= pd.Timestamp(march(3), tz="UTC")
    assert checks_of(result)["air_quality.reads_what_staging_loaded"] is False
    assert not result.success


def test_accounts_that_do_not_add_up_are_refused_with_their_rows(graph: Graph) -> None:
    assert graph.run(march(2)).success
    before = graph.digest()
    rows = staging_rows([1.0], first=datetime(2025, 3, 2, 5, tzinfo=UTC))
    account = pd.DataFrame(
        {"day": [march(2)], "unit": ["1"], "read": [2], "loaded": [1], "duplicate": 0, "quarantined": 0, "filtered": 0}
    )

    @dg.asset(
        key=["staging", "openaq_measurements"],
        partitions_def=dg.DailyPartitionsDefinition("2025-03-01"),
        io_manager_key="io",
    )
    def lossy() -> SliceStream:
        return SliceStream([LedgerWrite(rows=rows, accounts=account)])

    result = dg.materialize(
        [lossy],
        partition_key="2025-03-02",
        instance=graph.instance,
        resources={"io": LedgerIOManager(timescale=graph.timescale)},
        raise_on_error=False,
    )
    assert not result.success
    assert "read 2, but loaded 1" in failure_of(result)
    assert graph.digest() == before


def test_checks_turn_red_when_what_they_ask_for_is_not_so(graph: Graph) -> None:
    assert graph.run(march(2), march(3)).success
    found = checks_of(graph.check())
    assert len(found) == 31
    assert all(passed for name, passed in found.items() if not name.endswith(WARNS))
    graph.forget_dirty_days()
    with graph.connect() as connection:
        connection.execute(sa.update(LEDGER).values(filtered=LEDGER.c.filtered + 1))
        connection.execute(
            sa.text("DELETE FROM features.air_quality_hourly WHERE datetime_utc < '2025-03-02 12:00+00'")
        )
        connection.execute(sa.text("UPDATE quality.air_quality_report SET score_pct = 12.5"))
        connection.execute(sa.text("ALTER TABLE staging.openaq_measurements ALTER location_name TYPE varchar(500)"))
        connection.execute(sa.text("ALTER TABLE timeseries.air_quality ALTER COLUMN samples TYPE text"))
        connection.execute(sa.update(LEDGER).values(read=0, loaded=0).where(LEDGER.c.table_name == SERIES))
    graph.catalog.owe(OPENAQ_MEASUREMENTS, NEPAL.id, [march(3)], "gone", is_transient=True, run_id="r")
    found = checks_of(graph.check())
    assert {name for name, passed in found.items() if passed and "rules_hold" not in name} == {
        "air_quality_hourly.schema_as_declared",
        "air_quality_report.schema_as_declared",
        "air_quality_anomalies.schema_as_declared",
    }
    assert len(found) == 31


def test_only_errors_that_may_pass_are_tried_again(
    postgres_url: str, tmp_path: Path, no_waiting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        nowhere = Graph(postgres_url, tmp_path, instance=instance, openaq={"listed_locations": []})
        result = nowhere.run(march(2), tables=[STAGING])
        assert "TIDEMARK_OPENAQ_LOCATIONS" in failure_of(result)
        assert retries_of(result) == 0

        graph = Graph(postgres_url, tmp_path, instance=instance)
        graph.generate(march(1), march(3), kinds=())
        for error, retries in ((KeyError("a bug"), 0), (DatabaseUnavailable("restarting"), 2)):
            monkeypatch.setattr("assets_pkg.staging.assets.staged", _raising(error))
            result = graph.run(march(2), tables=[STAGING])
            assert str(error) in failure_of(result)
            assert retries_of(result) == retries


def test_a_location_the_api_does_not_know_is_owed_until_it_does(
    postgres_url: str, tmp_path: Path, no_waiting: None
) -> None:
    with dg.DagsterInstance.ephemeral() as instance, _api() as api:
        graph = _api_graph(postgres_url, tmp_path, instance, api)
        api.faults.append(Fault("status", "/locations/1", status=404, body={"detail": "Location not found"}))
        result = graph.run(march(2), tables=[STAGING])
        assert not result.success
        assert retries_of(result) == 0
        assert {one.unit for one in graph.catalog.owed(OPENAQ_MEASUREMENTS)} == {"1"}
        api.faults.clear()
        assert graph.run(march(2), tables=[STAGING]).success
        assert graph.catalog.owed(OPENAQ_MEASUREMENTS) == []


def test_a_wrong_key_is_one_clear_error_and_no_storm(postgres_url: str, tmp_path: Path, no_waiting: None) -> None:
    with dg.DagsterInstance.ephemeral() as instance, _api(keys=["another"]) as api:
        graph = _api_graph(postgres_url, tmp_path, instance, api)
        result = graph.run(march(2))
        assert not result.success
        assert "CredentialsRejected" in failure_of(result)
        assert retries_of(result) == 0
        assert len(api.requests()) <= 4


def test_a_sensor_with_no_rows_is_an_account_of_nothing(postgres_url: str, tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance, _api() as api:
        graph = _api_graph(postgres_url, tmp_path, instance, api)
        result = graph.run(march(2), march(3))
        assert result.success, failure_of(result)
        assert red(result) == set()
        ledger = graph.ledger(OPENAQ_MEASUREMENTS)
        assert ledger.loc[(march(2), "1"), "loaded"] == 24
        assert ledger.loc[(march(2), "2"), "loaded"] == 0
        assert ledger.loc[(march(2), "2"), "is_closed"]


def test_locations_are_described_once_a_day_and_an_unknown_zone_falls_back_to_the_offset(
    postgres_url: str, tmp_path: Path
) -> None:
    with dg.DagsterInstance.ephemeral() as instance, _api() as api:
        graph = _api_graph(postgres_url, tmp_path, instance, api)
        assert graph.run(march(2), tables=[STAGING]).success
        assert graph.catalog.timezones()[1] == "Asia/Kathmandu"
        described = _described_at(graph)
        assert graph.run(march(2), tables=[STAGING]).success
        assert _described_at(graph) == described

    with dg.DagsterInstance.ephemeral() as instance:
        archive = Graph(postgres_url, tmp_path, locations=[NEPAL], instance=instance)
        archive.generate(march(1), march(3), kinds=())
        (archive.archive / "locations.json").unlink()
        assert archive.run(march(2), tables=[STAGING]).success
        assert archive.catalog.timezones()[NEPAL.id] == "+05:45"
        with archive.connect() as connection:
            zone = connection.execute(sa.select(LOCATIONS.c.timezone).where(LOCATIONS.c.location_id == NEPAL.id))
            assert zone.scalar_one() is None


def _api(**options: object) -> OpenAQStandIn:
    """Location 1 with an hourly sensor through March 2025, location 2 with a sensor that never had a row."""
    series = {
        11: [
            measurement(
                datetime(2025, 3, 1, tzinfo=UTC) + timedelta(hours=n),
                10.0 + n % 24,
                parameter="pm25",
                units="µg/m³",
                zone="Asia/Kathmandu",
            )
            for n in range(1, 96)
        ],
        21: [],
    }
    places = [
        location(1, {11: ("pm25", "µg/m³")}, zone="Asia/Kathmandu"),
        location(2, {21: ("pm25", "µg/m³")}),
    ]
    return OpenAQStandIn(places, series, limit=10_000, **options)


def _api_graph(url: str, folder: Path, instance: dg.DagsterInstance, api: OpenAQStandIn) -> Graph:
    options = {"mode": "api", "listed_locations": [1, 2], "api_url": api.url, "api_key": KEY, "per_minute": 10_000}
    return Graph(url, folder, instance=instance, openaq=options | {"per_hour": 100_000})


def _raising(error: Exception) -> Callable[..., pd.DataFrame]:
    def raising(*_: object) -> pd.DataFrame:
        raise error

    return raising


def _described_at(graph: Graph) -> list[datetime]:
    with graph.connect() as connection:
        return list(connection.execute(sa.select(LOCATIONS.c.asked_at)).scalars())


def _sources(graph: Graph) -> int:
    with graph.connect() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(SOURCES)).scalar_one()


def _materialized(graph: Graph, name: str) -> set[str]:
    keys = [key for key in (OPENAQ_MEASUREMENTS, AIR_QUALITY) if key.name == name]
    return set(graph.instance.get_materialized_partitions(dg.AssetKey([keys[0].schema, name])))


def _change_one_value(graph: Graph, location_id: int, local_day: date) -> date:
    """Adds 1 to a value of a file; returns the UTC day (END of the hour) it belongs to."""
    file = graph.file(location_id, local_day)
    lines = read_lines(file)
    header = lines[0].rstrip("\n").replace('"', "").split(",")
    for number in range(10, len(lines)):
        fields = lines[number].rstrip("\n").split(",")
        value = fields[-1].strip('"')
        if len(fields) == len(header) and value.replace(".", "", 1).isdigit() and "pm25" in lines[number]:
            fields[-1] = fields[-1].replace(value, str(float(value) + 1))
            write_lines(file, [*lines[:number], ",".join(fields) + "\n", *lines[number + 1 :]])
            stamp = datetime.fromisoformat(fields[header.index("datetime")].strip('"')).astimezone(UTC)
            return (stamp - timedelta(microseconds=1)).date()
    raise AssertionError("no line to change")


def _changed_stamps(before: pd.DataFrame, after: pd.DataFrame, key: tuple[str, ...]) -> pd.Series:
    """The stamps of rows that are in one of the two only."""
    stamp = "day" if "day" in key else "datetime_utc"
    both = pd.concat([before, after]).drop(columns=["known_at", "source_id", "line_no"], errors="ignore")
    return both.drop_duplicates(keep=False)[stamp]
