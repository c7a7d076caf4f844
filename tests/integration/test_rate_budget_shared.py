"""One request budget and one set of circuit breakers for many processes, through a real PostgreSQL."""

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from resources.circuit.breaker import CircuitBreaker, CircuitPolicy
from resources.circuit.shared import SharedCircuitStore
from resources.errors import CircuitOpen, DatabaseUnavailable, RateLimited
from resources.http.client import Patience
from resources.openaq.client import OpenAQClient
from resources.openaq.rate_budget import Rate
from resources.openaq.rate_budget_shared import SharedRateBudget
from schemas.catalog_budget import API_REQUESTS, BUDGET_METADATA, CIRCUITS
from tests.openaq_shapes import location
from tests.openaq_stand_in import KEY, OpenAQStandIn

PROCESSES = multiprocessing.get_context("spawn")
POLICY = CircuitPolicy(fail_max=3, reset_s=60.0)


def engine_on(url: str) -> sa.Engine:
    return sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg2"), pool_pre_ping=False)


@pytest.fixture
def engine(postgres_url: str) -> Iterator[sa.Engine]:
    engine = engine_on(postgres_url)
    with engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema("catalog", if_not_exists=True))
        BUDGET_METADATA.create_all(connection)
    yield engine
    engine.dispose()


def most_in_any_window(stamps: Sequence[float], per_s: float) -> int:
    ordered = sorted(stamps)
    return max(sum(start <= other < start + per_s for other in ordered) for start in ordered)


def in_processes(count: int, target: Callable[..., None], *arguments: Any) -> list[int | None]:
    """Run `target` in so many processes of their own; their exit codes."""
    processes = [PROCESSES.Process(target=target, args=arguments) for _ in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
        if process.is_alive():
            process.kill()
            process.join()
    return [process.exitcode for process in processes]


def in_threads(count: int, work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Key:
    def get_secret_value(self) -> str:
        return KEY


def ask_often(database: str, api: str, calls: int) -> None:
    """What one process does: three threads that ask the API as fast as the shared budget lets them."""
    engine = engine_on(database)
    client = OpenAQClient(
        api,
        Key(),
        budget=SharedRateBudget(engine, [Rate(10, 1.0), Rate(40, 5.0)], margin_s=0.25),
        breaker=CircuitBreaker("openaq", POLICY, SharedCircuitStore(engine)),
        patience=Patience(budget_s=100.0),
    )

    def work() -> None:
        for _ in range(calls):
            client.get("/locations/1", {})

    in_threads(3, work)
    client.close()
    engine.dispose()


def test_processes_together_never_exceed_any_window_as_the_server_sees_it(engine: sa.Engine, postgres_url: str) -> None:
    with OpenAQStandIn([location(1, {})], limit=10, per_s=1) as stand_in:
        assert in_processes(3, ask_often, postgres_url, stand_in.url, 6) == [0, 0, 0]
        requests = stand_in.requests()
    arrived = [request.at for request in requests]
    assert len(arrived) == 54
    assert {request.status for request in requests} == {200}
    assert most_in_any_window(arrived, 1.0) <= 10
    assert most_in_any_window(arrived, 5.0) <= 40


def test_threads_are_admitted_in_both_windows(engine: sa.Engine) -> None:
    rates = [Rate(5, 0.2), Rate(20, 1.5)]
    budget = SharedRateBudget(engine, rates, margin_s=0.1)
    sent: list[float] = []

    def work() -> None:
        for _ in range(8):
            budget.acquire(deadline_s=60.0)
            sent.append(time.monotonic())

    in_threads(5, work)
    assert len(sent) == 40
    for rate in rates:
        assert most_in_any_window(sent, rate.per_s) <= rate.limit


def test_stamps_of_what_was_admitted_respect_every_window(engine: sa.Engine) -> None:
    rates = [Rate(7, 60.0), Rate(20, 3600.0)]
    budget = SharedRateBudget(engine, rates, margin_s=0.0, sleep=_forward(engine))
    for n in (1, 3, 2, 7, 1, 1, 5, 4, 6, 2):
        budget.acquire(n, deadline_s=1e9)
    with engine.connect() as connection:
        stamps = [row.admitted_at.timestamp() for row in connection.execute(sa.select(API_REQUESTS.c.admitted_at))]
    for rate in rates:
        assert most_in_any_window(stamps, rate.per_s - 1e-3) <= rate.limit


def _forward(engine: sa.Engine) -> Callable[[float], None]:
    """A sleep that takes no time: everything admitted so far moves into the past instead."""

    def sleep(seconds: float) -> None:
        past = API_REQUESTS.c.admitted_at - timedelta(seconds=seconds)
        with engine.begin() as connection:
            connection.execute(sa.update(API_REQUESTS).values(admitted_at=past))

    return sleep


def test_remaining_counts_what_every_user_of_the_budget_took(engine: sa.Engine) -> None:
    minute, hour = Rate(60, 60.0), Rate(2000, 3600.0)
    budget, other = SharedRateBudget(engine), SharedRateBudget(engine)
    budget.acquire(5, deadline_s=0.0)
    other.acquire(deadline_s=0.0)
    assert budget.remaining() == other.remaining() == {minute: 54, hour: 1994}
    with engine.begin() as connection:
        past = API_REQUESTS.c.admitted_at - timedelta(minutes=5)
        connection.execute(sa.update(API_REQUESTS).values(admitted_at=past))
    assert budget.remaining() == {minute: 60, hour: 1994}


def test_budgets_of_other_names_are_separate(engine: sa.Engine) -> None:
    one, other = (SharedRateBudget(engine, [Rate(1, 60.0)], name=name) for name in ("one", "other"))
    one.penalise(30.0)
    other.acquire(deadline_s=0.0)
    with pytest.raises(RateLimited):
        one.acquire(deadline_s=0.0)


def test_a_wait_past_the_deadline_is_refused_and_takes_nothing(engine: sa.Engine) -> None:
    rate = Rate(2, 60.0)
    budget = SharedRateBudget(engine, [rate], margin_s=0.0)
    budget.acquire(deadline_s=0.0)
    with pytest.raises(RateLimited) as refused:
        budget.acquire(2, deadline_s=30.0)
    assert refused.value.retry_after_s == pytest.approx(60.0, abs=5.0)
    assert budget.remaining() == {rate: 1}


def test_a_penalty_holds_for_every_process_and_for_those_who_wait(engine: sa.Engine) -> None:
    rate = Rate(1, 1.0)
    budget, other = (SharedRateBudget(engine, [rate], margin_s=0.0) for _ in range(2))
    budget.acquire(deadline_s=0.0)
    sent: list[float] = []

    def wait() -> None:
        budget.acquire(deadline_s=20.0)
        sent.append(time.monotonic())

    waiting = [threading.Thread(target=wait) for _ in range(2)]
    for thread in waiting:
        thread.start()
    _until(lambda: _count(engine) == 3)
    punished = time.monotonic()
    other.penalise(2.5)
    assert other.remaining() == {rate: 0}
    for thread in waiting:
        thread.join()
    first, second = sorted(sent)
    assert first - punished >= 2.5
    assert second - first >= 0.9


def test_who_is_moved_past_the_deadline_gives_up_and_gives_back(engine: sa.Engine) -> None:
    budget = SharedRateBudget(engine, [Rate(1, 0.2)], margin_s=0.0)
    other = SharedRateBudget(engine, [Rate(1, 0.2)], margin_s=0.0)
    budget.acquire(deadline_s=0.0)
    budget._sleep = lambda seconds: (other.penalise(300.0), time.sleep(seconds))[1]
    with pytest.raises(RateLimited):
        budget.acquire(deadline_s=10.0)
    assert _count(engine) == 1


def test_what_no_window_needs_any_more_is_removed(engine: sa.Engine) -> None:
    budget = SharedRateBudget(engine, [Rate(100, 60.0)])
    budget.acquire(50, deadline_s=0.0)
    with engine.begin() as connection:
        connection.execute(
            sa.update(API_REQUESTS).values(admitted_at=API_REQUESTS.c.admitted_at - timedelta(minutes=5))
        )
    budget.acquire(deadline_s=0.0)
    assert _count(engine) == 1


def test_a_clock_that_was_set_back_by_days_does_not_stop_everybody(engine: sa.Engine) -> None:
    budget = SharedRateBudget(engine, [Rate(10, 60.0)])
    budget.acquire(deadline_s=0.0)
    with engine.begin() as connection:
        connection.execute(sa.update(API_REQUESTS).values(admitted_at=datetime.now(UTC) + timedelta(days=3)))
    budget.acquire(deadline_s=0.0)


def test_no_database_is_said_so(tmp_path: Path) -> None:
    engine = engine_on(f"postgresql://nobody:hunter2@/none?host={tmp_path}")
    for use in (
        lambda: SharedRateBudget(engine).acquire(deadline_s=1.0),
        lambda: CircuitBreaker("openaq", POLICY, SharedCircuitStore(engine)).admit(),
    ):
        with pytest.raises(DatabaseUnavailable) as refused:
            use()
        assert "hunter2" not in str(refused.value)


# Circuit breakers


def test_a_breaker_opened_by_one_process_is_open_for_all(engine: sa.Engine) -> None:
    here, there = (CircuitBreaker("openaq", POLICY, SharedCircuitStore(engine)) for _ in range(2))
    for breaker in (here, there, here):
        breaker.failed(breaker.admit(), "503")
    with pytest.raises(CircuitOpen, match=r"openaq failed 3 times.*503"):
        there.admit()
    with engine.connect() as connection:
        row = connection.execute(sa.select(CIRCUITS)).one()
    assert (row.name, row.state, row.failures, row.last_error) == ("openaq", "open", 3, "503")
    assert row.retry_at - row.changed_at == timedelta(seconds=60)


def test_exactly_one_of_many_makes_the_trial(engine: sa.Engine) -> None:
    policy = CircuitPolicy(fail_max=1, reset_s=30.0)
    store = SharedCircuitStore(engine)
    breaker = CircuitBreaker("openaq", policy, store)
    breaker.failed(breaker.admit(), "503")
    with engine.begin() as connection:
        connection.execute(sa.update(CIRCUITS).values(retry_at=datetime.now(UTC) - timedelta(seconds=1)))
    trials, refused = [], []
    ready = threading.Barrier(8)

    def attempt() -> None:
        ready.wait()
        try:
            trials.append(breaker.admit())
        except CircuitOpen as error:
            refused.append(error)

    in_threads(8, attempt)
    assert (len(trials), len(refused)) == (1, 7)
    breaker.succeeded(trials[0])
    assert not breaker.admit().is_trial


def test_failures_of_many_at_once_are_all_counted(engine: sa.Engine) -> None:
    breaker = CircuitBreaker("openaq", CircuitPolicy(fail_max=1000, reset_s=60.0), SharedCircuitStore(engine))

    def work() -> None:
        for _ in range(10):
            breaker.failed(breaker.admit(), "503")

    in_threads(5, work)
    with engine.connect() as connection:
        assert connection.execute(sa.select(CIRCUITS.c.failures)).scalar_one() == 50


def test_a_dependency_that_never_failed_costs_no_row(engine: sa.Engine) -> None:
    breaker = CircuitBreaker("openaq", POLICY, SharedCircuitStore(engine))
    breaker.succeeded(breaker.admit())
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(CIRCUITS)).scalar_one() == 0


def _count(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(API_REQUESTS)).scalar_one()


def _until(condition: Callable[[], bool]) -> None:
    for _ in range(400):
        if condition():
            return
        time.sleep(0.025)
    raise AssertionError("it never came about")
