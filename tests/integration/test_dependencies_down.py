"""A dependency that is down: left alone by all, tried by one, and what was skipped is caught up when it is back."""

import functools
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from rich.console import Console

from assets_pkg.commands import status
from resources.alerts.conditions import look
from resources.alerts.finding import DEPENDENCY
from resources.alerts.thresholds import Thresholds
from resources.catalog.figures import figures
from resources.errors import SourceUnavailable
from resources.sources.samples.delivery import Organisation
from resources.sources.samples.delivery_database import write_database
from schemas.catalog_budget import CIRCUITS
from schemas.source_tables import source_datasets
from schemas.tables import OPENAQ_MEASUREMENTS, TABLES
from tests.graph import GUADALAJARA, Graph, failure_of, retries_of

STAGING = OPENAQ_MEASUREMENTS.qualified
TODAY = datetime.now(UTC).date()
LAST = TODAY - timedelta(days=5)
QUICK = {"circuit_failures": 2, "circuit_reset_s": 600.0}
PROCESS = """
import sys
from resources.catalog.schema import CatalogedTimescale
from resources.circuit.breaker import CircuitBreaker, CircuitPolicy
from resources.circuit.shared import SharedCircuitStore
from resources.errors import CircuitOpen
from resources.timescale.resource import engine_of

engine = engine_of(CatalogedTimescale(database_url=sys.argv[1]).url())
breaker = CircuitBreaker("elsewhere", CircuitPolicy(fail_max=2, reset_s=600.0), SharedCircuitStore(engine))
for line in sys.stdin:
    try:
        admission = breaker.admit()
    except CircuitOpen:
        print("left alone", flush=True)
        continue
    if line.strip() == "fail":
        breaker.failed(admission, "503")
    print("trial" if admission.is_trial else "admitted", flush=True)
"""


class Archive:
    """A web server with an archive's files that counts requests, and can be out of order."""

    def __init__(self, folder: Path) -> None:
        self.requests, self.is_down = 0, False
        archive = self

        class Handler(SimpleHTTPRequestHandler):
            def send_head(self) -> Any:
                archive.requests += 1
                if archive.is_down:
                    self.send_error(503)
                    return None
                return super().send_head()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@contextmanager
def archive_of(folder: Path) -> Iterator[Archive]:
    archive = Archive(folder)
    thread = Thread(target=archive.server.serve_forever)
    thread.start()
    try:
        yield archive
    finally:
        archive.server.shutdown()
        archive.server.server_close()
        thread.join()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def tick(graph: Graph, name: str, cursor: str | None = None) -> Any:
    sensor = graph.definitions.resolve_sensor_def(name)
    # As Dagster does, each tick has resources of its own.
    with dg.build_sensor_context(
        instance=graph.instance, resources=graph.resources, cursor=cursor, definitions=graph.definitions
    ) as context:
        return sensor.evaluate_tick(context)


def make_trials_due(graph: Graph) -> None:
    with graph.connect() as connection:
        connection.execute(sa.update(CIRCUITS).values(retry_at=sa.func.now() - timedelta(seconds=1)))


def states(graph: Graph) -> dict[str, str]:
    with graph.connect() as connection:
        return dict(connection.execute(sa.select(CIRCUITS.c.name, CIRCUITS.c.state)).all())


def days_of(data: Any) -> list[tuple[date, date]]:
    ends = [f"dagster/asset_partition_range_{end}" for end in ("start", "end")]
    return [tuple(date.fromisoformat(one.tags[end]) for end in ends) for one in data.run_requests]


def test_processes_share_a_breaker_and_one_of_them_makes_the_trial(postgres_url: str, tmp_path: Path) -> None:
    graph = Graph(postgres_url, tmp_path)
    with graph.connect():
        pass  # the catalog is there
    command = [sys.executable, "-c", PROCESS, graph.timescale.url()]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:

        def say(process: subprocess.Popen[str], word: str) -> None:
            assert process.stdin
            print(word, file=process.stdin, flush=True)

        def heard(process: subprocess.Popen[str]) -> str:
            assert process.stdout
            return process.stdout.readline().strip()

        for process in processes:
            say(process, "fail")
            assert heard(process) == "admitted"
        for process in processes:
            say(process, "ask")
        assert [heard(process) for process in processes] == ["left alone", "left alone"]
        make_trials_due(graph)
        for process in processes:
            say(process, "ask")
        assert sorted(heard(process) for process in processes) == ["left alone", "trial"]
    finally:
        for process in processes:
            process.communicate()


def test_an_archive_that_is_down_is_asked_nothing_and_what_it_has_is_fetched_when_it_is_back(
    postgres_url: str, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    (tmp_path / "archive").mkdir()
    with archive_of(tmp_path / "archive") as archive:
        graph = Graph(
            postgres_url,
            tmp_path,
            locations=[GUADALAJARA],
            instance=instance,
            openaq={"archive_url": archive.url, **QUICK},
        )
        graph.generate(LAST - timedelta(days=1), LAST, kinds=())
        archive.is_down = True
        assert "nothing is asked for" in tick(graph, "openaq_new_data").skip_message  # its own failures open it
        assert states(graph) == {"openaq/archive": "open"}
        asked = archive.requests
        skipped = tick(graph, "openaq_new_data")
        assert "nothing is asked for: openaq/archive failed 2 times" in skipped.skip_message
        result = graph.run(LAST, tables=[STAGING])
        assert "CircuitOpen" in failure_of(result)
        assert retries_of(result) == 0
        assert archive.requests == asked
        (owed,) = graph.catalog.owed(OPENAQ_MEASUREMENTS)
        assert (owed.day, owed.attempts, owed.is_transient) == (LAST, 1, True)
        graph.run(LAST, tables=[STAGING])
        assert [one.attempts for one in graph.catalog.owed(OPENAQ_MEASUREMENTS)] == [1]
        archive.is_down = False
        make_trials_due(graph)
        graph.run(LAST - timedelta(days=1), LAST, tables=[STAGING])
        assert states(graph) == {"openaq/archive": "closed"}
        assert graph.catalog.owed(OPENAQ_MEASUREMENTS) == []
        assert len(graph.rows(OPENAQ_MEASUREMENTS))


def test_a_database_that_is_back_is_found_out_and_what_was_skipped_is_asked_for(
    postgres_url: str, source_url: str, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    write_database(source_url, Organisation(users=3, first_day=TODAY - timedelta(days=2), is_dirty=False), days=1)
    delivery = source_datasets()["delivery"]
    down = Graph(postgres_url, tmp_path, instance=instance, sources={"delivery": "postgresql://u@127.0.0.1:1/d"})
    for _ in range(5):
        with pytest.raises(SourceUnavailable):
            down.sources.check(delivery)
    schedule = down.definitions.resolve_schedule_def("source_snapshots")
    with dg.build_schedule_context(
        instance=instance,
        resources=down.resources,
        scheduled_execution_time=datetime.now(UTC),
        repository_def=down.definitions.get_repository_def(),
    ) as context:
        assert "nothing is asked for: source/delivery failed 5 times" in schedule.evaluate_tick(context).skip_message
    cursor = tick(down, "source_recovery").cursor
    assert cursor == '["delivery"]'
    make_trials_due(down)
    assert not tick(down, "source_recovery", cursor).run_requests
    assert states(down) == {"source/delivery": "open"}
    _everybody_sees_it(down)
    back = Graph(postgres_url, tmp_path, instance=instance, sources={"delivery": source_url})
    make_trials_due(back)
    found = tick(back, "source_recovery", cursor)
    assert states(back) == {"source/delivery": "closed"}
    assert days_of(found) == [(TODAY - timedelta(days=1), TODAY)]
    assert not tick(back, "source_recovery", found.cursor).run_requests


def _everybody_sees_it(graph: Graph) -> None:
    """In `tidemark status`, in the figures and as an alert; with the reason, without what is secret."""
    console = Console(record=True, width=200)
    with graph.connect() as connection:
        status._circuits(connection, console)
        named = {one.name: dict(one.samples) for one in figures(connection, TABLES, {})}
        limits = Thresholds(circuit_s=60)
        soon, later = (
            [one.subject for one in look(connection, limits, datetime.now(UTC) + after) if one.condition == DEPENDENCY]
            for after in (timedelta(0), timedelta(minutes=2))
        )
    shown = console.export_text()
    assert "source/delivery" in shown and "open" in shown
    assert named["tidemark_circuit_state"] == {("source/delivery",): 2.0}
    assert named["tidemark_freshness_limit_seconds"][STAGING, "warn"] == 26 * 3600
    assert (soon, later) == ([], ["source/delivery"])
