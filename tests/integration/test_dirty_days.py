"""Dirty days: no update is lost, whatever runs at the same time and whatever dies.

The runs are real and on a real database; where two of them meet, they meet at a chosen place.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
import sqlalchemy as sa

from assets_pkg.partitions import OPENAQ_DAILY
from assets_pkg.runs import asset_key
from assets_pkg.timeseries import assets as timeseries
from resources.catalog import dirty_days
from resources.catalog.io_manager import LedgerWrite
from resources.catalog.schema import migrate
from resources.timescale.resource import TimescaleResource
from resources.timescale.slices import SliceStream, TableReader
from schemas.datasets import OPENAQ
from schemas.tables import AIR_QUALITY, AIR_QUALITY_HOURLY, OPENAQ_MEASUREMENTS
from tests.graph import GUADALAJARA, Graph, failure_of, read_lines, write_lines

STAGING, SERIES, FEATURES = OPENAQ_MEASUREMENTS.qualified, AIR_QUALITY.qualified, AIR_QUALITY_HOURLY.qualified
ROOT = Path(__file__).resolve().parents[2]


def march(day: int) -> date:
    return date(2025, 3, day)


@pytest.fixture
def graph(postgres_url: str, tmp_path: Path) -> Iterator[Graph]:
    """One sound location over six days, days 2 to 4 of it staged."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        graph = Graph(postgres_url, tmp_path, locations=[GUADALAJARA], instance=instance)
        graph.generate(march(1), march(6), kinds=())
        assert graph.run(march(2), march(4), tables=[STAGING]).success
        yield graph


def test_an_update_that_arrives_while_downstream_runs_is_not_lost(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_read, may_write = threading.Barrier(2, timeout=300), threading.Event()
    clean = timeseries.clean

    def held(*arguments: object) -> object:
        cleaned = clean(*arguments)
        if threading.current_thread() is not threading.main_thread():
            has_read.wait()
            may_write.wait(300)
        return cleaned

    monkeypatch.setattr(timeseries, "clean", held)
    before = _versions(graph, SERIES)
    with ThreadPoolExecutor(1) as pool:
        downstream = pool.submit(graph.run, march(1), march(5), tables=[SERIES])
        has_read.wait()
        day = _raise_values(graph, march(3))
        assert graph.run(march(2), march(4), tables=[STAGING]).success
        may_write.set()
        assert downstream.result().success
    after = _versions(graph, SERIES)
    assert set(after) == {day + timedelta(days=n) for n in (-1, 0, 1)}
    assert all(after[one] > before[one] for one in after)
    stale = _mean(graph)
    graph.settle(march(6))
    assert _mean(graph) > stale
    assert _versions(graph, SERIES) == {}


def test_a_run_answers_exactly_the_days_it_wrote(graph: Graph) -> None:
    before = _versions(graph, SERIES)
    assert set(before) == {march(day) for day in range(1, 6)}
    assert graph.run(march(2), march(3), tables=[SERIES]).success
    assert _versions(graph, SERIES) == {day: before[day] for day in (march(1), march(4), march(5))}


def test_a_write_of_one_location_answers_for_no_day(graph: Graph) -> None:
    before = _versions(graph, SERIES)

    @dg.asset(
        key=["timeseries", "air_quality"],
        partitions_def=OPENAQ_DAILY,
        ins={"staged": dg.AssetIn(["staging", "openaq_measurements"])},
        io_manager_key="io_manager",
    )
    def one_location(staged: TableReader) -> SliceStream:
        rows = timeseries.clean(staged.read(), OPENAQ, staged.windows[0]).rows
        return SliceStream([LedgerWrite(rows=rows, units=(GUADALAJARA.id,))])

    staging = dg.AssetSpec(
        asset_key(STAGING), partitions_def=OPENAQ_DAILY, metadata={"dagster/io_manager_key": "io_manager"}
    )
    result = dg.materialize(
        [one_location, staging],
        selection=[one_location],
        partition_key="2025-03-03",
        instance=graph.instance,
        resources=graph.resources,
    )
    assert result.success
    assert _versions(graph, SERIES) == before


def test_a_run_that_fails_before_it_writes_leaves_every_mark(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _versions(graph, SERIES)

    def broken(*_: object) -> None:
        raise ValueError("no")

    monkeypatch.setattr(timeseries, "clean", broken)
    assert not graph.run(march(1), march(5), tables=[SERIES]).success
    assert _versions(graph, SERIES) == before


def test_a_run_killed_between_two_writes_leaves_the_marks_of_what_it_did_not_write(
    graph: Graph, tmp_path: Path
) -> None:
    before = _versions(graph, SERIES)
    url = graph.timescale.database_url
    reached = tmp_path / "reached"
    child = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", KILLED, url, str(tmp_path), str(reached)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not reached.exists():
            assert child.poll() is None, "the run ended before it could be killed"
            try:
                child.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert _versions(graph, SERIES) == {day: before[day] for day in (march(3), march(4), march(5))}
    assert set(graph.dirty()[FEATURES]) >= {march(2) + timedelta(days=n) for n in range(8)}
    graph.settle(march(6))
    survived = graph.digest(without=["known_at"])
    graph.erase()
    assert graph.run(march(2), march(4)).success
    graph.settle(march(6))
    assert graph.digest(without=["known_at"]) == survived


KILLED = """
import sys, time
from datetime import date, timedelta
from pathlib import Path
import assets_pkg.partitions
from assets_pkg.timeseries import assets
from tests.graph import GUADALAJARA, Graph

assets_pkg.partitions.PIECE = timedelta(days=1)
clean, calls = assets.clean, []

def held(*arguments):
    calls.append(1)
    if len(calls) == 3:
        Path(sys.argv[3]).touch()
        time.sleep(600)
    return clean(*arguments)

assets.clean = held
graph = Graph(sys.argv[1], Path(sys.argv[2]), locations=[GUADALAJARA])
graph.run(date(2025, 3, 1), date(2025, 3, 5), tables=["timeseries.air_quality"])
"""


def test_days_before_the_first_partition_and_after_today_are_never_stale(postgres_url: str, tmp_path: Path) -> None:
    today = datetime.now(UTC).date()
    first = date(2016, 1, 1)
    with dg.DagsterInstance.ephemeral() as instance:
        graph = Graph(postgres_url, tmp_path, locations=[GUADALAJARA], instance=instance)
        for day in (first, today):
            graph.generate(day - timedelta(days=1), day, kinds=())
            result = graph.run(day, tables=[STAGING])
            assert result.success, failure_of(result)
        days = {day for days in graph.dirty().values() for day in days}
        assert min(days) == first
        assert max(days) == today


def test_writers_that_mark_and_clear_the_same_days_neither_deadlock_nor_lose_a_mark(
    timescale: TimescaleResource,
) -> None:
    migrate(timescale.url())
    days = [march(day) for day in range(1, 29)]

    def marks(order: int) -> None:
        for _ in range(25):
            with timescale.transaction() as transaction:
                transaction.execute(dirty_days.mark([("t", day) for day in days[::order]], by="u"))

    def clears() -> None:
        for _ in range(25):
            with timescale.connect() as connection:
                seen = {mark.day: mark.version for mark in dirty_days.marks_of(connection, ["t"])}
            with timescale.transaction() as transaction:
                transaction.execute(dirty_days.clear("t", seen))

    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(marks, 1), pool.submit(marks, -1), pool.submit(clears), pool.submit(clears)]
    for one in done:
        one.result()
    with timescale.transaction() as transaction:
        transaction.execute(dirty_days.mark([("t", day) for day in days], by="u"))
    with timescale.connect() as connection:
        present = dirty_days.marks_of(connection, ["t"])
        assert [mark.day for mark in present] == days
        newest = connection.execute(sa.text("SELECT last_value FROM catalog.dirty_version")).scalar_one()
    assert max(mark.version for mark in present) == newest


def test_clearing_takes_its_locks_in_the_order_in_which_marks_are_set(timescale: TimescaleResource) -> None:
    migrate(timescale.url())
    with timescale.connect() as connection:
        for day in (2, 1):
            connection.execute(dirty_days.mark([("t", march(day))], by="u"))
        seen = {mark.day: mark.version for mark in dirty_days.marks_of(connection, ["t"])}
    with ThreadPoolExecutor(1) as pool:
        with timescale.connect() as connection:
            connection.execute(dirty_days.mark([("t", march(1))], by="v"))
            cleared = pool.submit(_clear, timescale, seen)
            _wait_for_a_lock(timescale)
            connection.execute(dirty_days.mark([("t", march(2))], by="v"))
        cleared.result()
    with timescale.connect() as connection:
        assert [mark.day for mark in dirty_days.marks_of(connection)] == [march(1), march(2)]


def test_clearing_spares_a_mark_that_was_renewed_and_other_tables(timescale: TimescaleResource) -> None:
    migrate(timescale.url())
    with timescale.connect() as connection:
        connection.execute(dirty_days.mark([("t", march(1)), ("t", march(2)), ("other", march(1))], by="u"))
        seen = {mark.day: mark.version for mark in dirty_days.marks_of(connection, ["t"])}
        connection.execute(dirty_days.mark([("t", march(2))], by="v"))
        connection.execute(dirty_days.clear("t", seen))
        left = [(mark.table_name, mark.day) for mark in dirty_days.marks_of(connection)]
    assert left == [("other", march(1)), ("t", march(2))]


def test_a_mark_that_is_being_renewed_is_not_cleared_by_who_waited_for_it(timescale: TimescaleResource) -> None:
    migrate(timescale.url())
    with timescale.connect() as connection:
        connection.execute(dirty_days.mark([("t", march(1))], by="u"))
        seen = {mark.day: mark.version for mark in dirty_days.marks_of(connection, ["t"])}
    with ThreadPoolExecutor(1) as pool:
        with timescale.connect() as connection:
            connection.execute(dirty_days.mark([("t", march(1))], by="v"))
            cleared = pool.submit(_clear, timescale, seen)
            _wait_for_a_lock(timescale)
        cleared.result()
    with timescale.connect() as connection:
        (left,) = dirty_days.marks_of(connection)
    assert left.version > seen[march(1)]


def _clear(timescale: TimescaleResource, seen: dict[date, int]) -> None:
    with timescale.transaction() as transaction:
        transaction.execute(dirty_days.clear("t", seen))


def _wait_for_a_lock(timescale: TimescaleResource) -> None:
    """Until a session of the database waits for another's lock."""
    waiting = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    for _ in range(600):
        with timescale.connect() as connection:
            if connection.execute(waiting).scalar_one():
                return
        threading.Event().wait(0.05)
    raise AssertionError("nobody waits for a lock")


def _versions(graph: Graph, table: str) -> dict[date, int]:
    return {mark.day: mark.version for mark in graph.catalog.stale() if mark.table_name == table}


def _mean(graph: Graph) -> float:
    rows: pd.DataFrame = graph.rows(AIR_QUALITY)
    return float(rows.loc[rows["parameter"] == "pm25", "value"].mean())


def _raise_values(graph: Graph, local_day: date) -> date:
    """Raises one pm25 value of a file by 1; returns its UTC day."""
    file = graph.file(GUADALAJARA.id, local_day)
    lines = read_lines(file)
    names = lines[0].strip().replace('"', "").split(",")
    number = next(n for n, line in enumerate(lines) if n > 8 and "pm25" in line)
    fields = lines[number].strip().split(",")
    value = fields[-1].strip('"')
    fields[-1] = fields[-1].replace(value, str(float(value) + 1))
    write_lines(file, [*lines[:number], ",".join(fields) + "\n", *lines[number + 1 :]])
    stamp = datetime.fromisoformat(fields[names.index("datetime")].strip('"')).astimezone(UTC)
    return (stamp - timedelta(microseconds=1)).date()
