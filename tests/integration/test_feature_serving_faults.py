"""What is served when things go wrong: the store away, flushed or refusing, processes killed, many runs at once.

Whatever happens, the table and its ledger are whole, and in the end what is served is what the table says.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandera.pandas as pa
import pytest
import sqlalchemy as sa

from assets_pkg.commands.feast_rebuild import rebuild
from assets_pkg.serving import build_serving_sensor, serve_pending_features
from resources.errors import ConfigurationError
from resources.feast import serving as pushing
from resources.feast import views
from resources.timescale import sql
from resources.timescale.slices import SliceStream, SliceWrite
from resources.wiring import Settings
from schemas.catalog import LEDGER
from schemas.catalog_budget import CIRCUITS
from schemas.catalog_features import FEATURE_PENDING, FEATURE_VIEWS
from schemas.tables import SERVED, TABLES
from schemas.window import Window
from tests.graph import failure_of, retries_of
from tests.redis_server import PASSWORD, RedisServer
from tests.served import DAY, SALES, Serving, sales_rows

pytestmark = pytest.mark.timeout(600)
ROOT = Path(__file__).resolve().parents[2]
TEA, SALT, OIL = ("north", "tea"), ("south", "salt"), ("east", "oil")
VIEW = "sales_features"
DAYS = [DAY + timedelta(days=number) for number in range(12)]
PATIENCE_S = 240


@pytest.fixture
def cache(redis_store: RedisServer) -> Iterator[RedisServer]:
    """An empty Redis that a test may stop; it runs again afterwards."""
    redis_store.flush()
    yield redis_store
    redis_store.stop()
    redis_store.start()


@pytest.fixture
def serving(postgres_url: str, tmp_path: Path) -> Serving:
    """An empty database and a SQLite online store."""
    return Serving(postgres_url, tmp_path)


@pytest.fixture
def cached(postgres_url: str, tmp_path: Path, cache: RedisServer) -> Serving:
    """An empty database and a Redis."""
    return Serving(postgres_url, tmp_path, cache.url())


def keys_of(pending: dict[str, Any]) -> set[str]:
    return set(pending)


def test_a_store_that_is_away_fails_no_run_and_exactly_what_it_lacks_waits(cached: Serving, cache: RedisServer) -> None:
    cached.sell({(key, DAY): 1.0 for key in (TEA, SALT, OIL)})
    cache.stop()
    result = cached.write(sales_rows({(TEA, DAY): 2.0, (SALT, DAY): 2.0, (OIL, DAY): 1.0}))
    assert result.success
    assert retries_of(result) == 0
    assert cached.numbers(result)["online_keys_pending"] == 2
    assert PASSWORD not in cached.state().last_error
    assert sorted(cached.rows()["revenue"]) == [1.0, 2.0, 2.0]
    with cached.timescale.connect() as connection:
        entries = connection.execute(sa.select(LEDGER.c.read, LEDGER.c.is_closed).where(LEDGER.c.is_current)).all()
    assert entries == [(3, True)]
    assert keys_of(cached.pending()) == {'["north", "tea"]', '["south", "salt"]'}
    state = cached.state()
    assert state.failures == 1
    assert "does not answer" in state.last_error
    assert state.next_attempt_at > datetime.now(UTC)
    assert views.due(cached.feast.states(), datetime.now(UTC)) == []
    cache.start()
    with cached.written_online() as written:
        cached.sell({(TEA, DAY): 2.0, (SALT, DAY): 2.0, (OIL, DAY): 1.0})
    assert sorted(written) == [TEA, SALT]
    assert cached.served([TEA, SALT]) == {TEA: 2.0, SALT: 2.0}
    assert cached.pending() == {}
    assert (cached.state().failures, cached.state().last_error, cached.state().next_attempt_at) == (0, None, None)


def test_a_store_that_stays_away_is_left_alone_and_served_by_the_sensor_when_it_is_back(
    cached: Serving, cache: RedisServer
) -> None:
    cached.sell({(TEA, DAY): 0.0})
    cache.stop()
    for day in DAYS[1:7]:
        assert cached.write(sales_rows({(TEA, day): 1.0}), day).success
    # After five failures nobody asks any more, and what is not asked is no failure of the view.
    assert cached.state().failures == 5
    with cached.timescale.connect() as connection:
        connection.execute(sa.update(FEATURE_PENDING).values(marked_at=sa.func.now() - timedelta(minutes=1)))
    with dg.DagsterInstance.ephemeral() as instance:
        skipped = _tick(cached, instance)
        assert isinstance(skipped, dg.SkipReason)
        assert "1 key(s) wait to be served: online_store failed 5 times" in str(skipped.skip_message)
        _make_trial_due(cached)
        assert isinstance(_tick(cached, instance), dg.SkipReason)  # the trial fails, and nothing is asked for
        assert "left alone" in str(cached.feast.left_alone())
        cache.start()
        _make_trial_due(cached)
        assert isinstance(_tick(cached, instance), dg.RunRequest)  # though the view's next attempt was hours away
        assert serve_pending_features.execute_in_process(instance=instance, resources={"feast": cached.feast}).success
    assert cached.feast.left_alone() is None
    assert cached.pending() == {}
    assert cached.served([TEA]) == {TEA: 1.0}


def _make_trial_due(serving: Serving) -> None:
    with serving.timescale.connect() as connection:
        connection.execute(sa.update(CIRCUITS).values(retry_at=sa.func.now() - timedelta(seconds=1)))


def test_a_deadlock_on_the_way_to_the_store_is_tried_again(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another session holds a mark and waits for the view's lock, which the push holds while it waits for the mark."""
    serving.sell({(SALT, DAY): 1.0})
    holds, others = threading.Event(), []

    def other_session() -> None:
        with serving.timescale.connect() as connection:
            connection.execute(sa.text("SET LOCAL deadlock_timeout = '60s'"))  # so that it is not the one given up
            connection.execute(sa.update(FEATURE_PENDING).values(marked_at=sa.func.now()))
            holds.set()
            connection.execute(sql.lock([f"feast/push/{VIEW}"]))

    def write_beside_it(*given: Any, **options: Any) -> None:
        write(*given, **options)
        if not others:
            others.append(threading.Thread(target=other_session))
            others[0].start()
            assert holds.wait(PATIENCE_S)

    write = pushing._write
    monkeypatch.setattr(pushing, "_write", write_beside_it)
    result = serving.write(sales_rows({(TEA, DAY): 2.0, (SALT, DAY): 1.0}))
    others[0].join(PATIENCE_S)
    assert result.success
    assert retries_of(result) == 1
    assert "deadlock detected" in serving_failures(result)
    assert serving.pending() == {}
    serving.assert_online_is_offline()


def serving_failures(result: dg.ExecuteInProcessResult) -> str:
    """Why attempts failed that were tried again."""
    retried = [event for event in result.all_events if event.event_type is dg.DagsterEventType.STEP_UP_FOR_RETRY]
    return " ".join(str(event.step_retry_data.error) for event in retried)


def test_a_refused_password_ends_the_step_at_once_and_is_not_shown(
    postgres_url: str, tmp_path: Path, cache: RedisServer
) -> None:
    refused = Serving(postgres_url, tmp_path, cache.url(password="hunter2"))
    result = refused.write(sales_rows({(TEA, DAY): 1.0}))
    assert not result.success
    assert retries_of(result) == 0
    assert "refused the user: check TIDEMARK_ONLINE_STORE_URL" in failure_of(result)
    assert "hunter2" not in failure_of(result) + str(refused.state())
    assert len(refused.rows()) == 1
    assert set(refused.pending()) == {'["north", "tea"]'}
    mended = Serving(postgres_url, tmp_path, cache.url())
    mended.sell({(TEA, DAY): 1.0})
    assert mended.served([TEA]) == {TEA: 1.0}


def test_a_flushed_store_is_rebuilt_from_the_tables(cached: Serving, cache: RedisServer, tmp_path: Path) -> None:
    cached.sell({(key, day): float(day.day) for key in (TEA, SALT) for day in DAYS[:3]}, DAYS[0], DAYS[2])
    cache.flush()
    assert cached.served([TEA, SALT]) == {TEA: None, SALT: None}
    chosen = Settings(
        TIDEMARK_HOME=tmp_path,
        TIDEMARK_DATABASE_URL=cached.timescale.database_url,
        TIDEMARK_ONLINE_STORE_URL=cache.url(),
    )
    with pytest.raises(ConfigurationError, match=r"no view nothing; there are .*sales_features"):
        rebuild(chosen, ["nothing"])
    assert rebuild(chosen, [VIEW]) == 0
    cached.assert_online_is_offline()
    assert cached.pending() == {}


def test_a_store_that_lost_its_tables_is_told_of_them_and_filled_again(serving: Serving, tmp_path: Path) -> None:
    serving.sell({(key, DAY): 1.0 for key in (TEA, SALT)})
    with closing(sqlite3.connect(tmp_path / "feast_online.db")) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            connection.execute(f'DROP TABLE "{name}"')
        connection.commit()
    serving.sell({(TEA, DAY): 2.0, (SALT, DAY): 1.0})
    assert serving.served((TEA, SALT)) == {TEA: 2.0, SALT: 1.0}
    assert serving.pending() == {}


def test_a_view_that_feast_was_told_to_forget_is_served_whole_again(serving: Serving) -> None:
    serving.sell({(key, DAY): 1.0 for key in (TEA, SALT)})
    store = serving.feast.store
    store.apply([], objects_to_delete=[store.get_feature_view(VIEW)], partial=False)
    serving.sell({(TEA, DAY): 2.0, (SALT, DAY): 1.0})
    assert serving.served((TEA, SALT)) == {TEA: 2.0, SALT: 1.0}


def test_a_key_whose_rows_went_while_its_store_was_away_is_null_there(
    serving: Serving, cache: RedisServer, tmp_path: Path
) -> None:
    serving.sell({(TEA, DAY): 1.0, (SALT, DAY): 1.0})
    elsewhere = Serving(serving.timescale.database_url, tmp_path, cache.url())
    elsewhere.sell({(TEA, DAY): 1.0})
    serving.sell({(TEA, DAY): 3.0})
    assert serving.served((TEA, SALT)) == {TEA: 3.0, SALT: None}


def test_another_store_is_filled_with_every_key(serving: Serving, cache: RedisServer, tmp_path: Path) -> None:
    serving.sell({(key, DAYS[0]): 1.0 for key in (TEA, SALT)}, DAYS[0])
    moved = Serving(serving.timescale.database_url, tmp_path, cache.url())
    moved.sell({(OIL, DAYS[1]): 2.0}, DAYS[1])
    assert moved.served([TEA, SALT, OIL]) == {TEA: 1.0, SALT: 1.0, OIL: 2.0}


def test_a_table_that_was_filled_before_it_was_served_is_served_whole(serving: Serving) -> None:
    serving.sell({(key, DAYS[0]): 1.0 for key in (TEA, SALT)}, DAYS[0])
    with serving.timescale.connect() as connection:
        connection.execute(sa.delete(FEATURE_VIEWS))
    serving.erase_online()
    serving.sell({(OIL, DAYS[1]): 2.0}, DAYS[1])
    assert serving.served([TEA, SALT, OIL]) == {TEA: 1.0, SALT: 1.0, OIL: 2.0}


def test_a_view_whose_columns_changed_is_served_anew_with_every_key(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving.sell({(key, DAYS[0]): 1.0 for key in (TEA, SALT)}, DAYS[0])
    with serving.written_online() as written:
        serving.sell({(OIL, DAYS[1]): 2.0}, DAYS[1])
    assert written == [OIL]

    class Wider(SALES.model):  # type: ignore[name-defined,misc]
        """One feature more."""

        margin: float = pa.Field(nullable=True, description="EUR")

    wider = replace(SALES, model=Wider)
    monkeypatch.setitem(TABLES, SALES.qualified, wider)
    monkeypatch.setitem(SERVED, SALES.view, wider)
    serving.spec = wider
    rows = sales_rows({(TEA, DAYS[2]): 3.0}).assign(margin=0.5)
    with serving.written_online() as written:
        assert serving.write(rows, DAYS[2]).success
    assert sorted(written) == sorted([TEA, SALT, OIL])
    found = serving.lookup([TEA, SALT], "margin")["margin"]
    assert found.tolist()[0] == 0.5
    assert found.isna().tolist() == [False, True]
    serving.assert_online_is_offline()


def test_a_failing_view_waits_longer_each_time_up_to_an_hour(serving: Serving) -> None:
    waits = []
    for _ in range(10):
        with serving.timescale.connect() as connection:
            connection.execute(views.failed(VIEW, "away\0"))
            wait = connection.scalar(sa.select(FEATURE_VIEWS.c.next_attempt_at - sa.func.now()))
        waits.append(wait.total_seconds())
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


@pytest.mark.parametrize("point", ["before the online write", "after the online write"])
def test_a_killed_run_is_served_by_the_sensor(serving: Serving, tmp_path: Path, point: str) -> None:
    serving.sell({(TEA, DAY): 1.0, (SALT, DAY): 1.0})
    arguments = [serving.timescale.database_url, str(tmp_path), point]
    dead = _python("write_and_die(*sys.argv[1:])", arguments)
    dead.communicate(timeout=PATIENCE_S)
    assert dead.returncode == -signal.SIGKILL
    assert serving.rows().sort_values("revenue")["revenue"].tolist() == [1.0, 2.0]
    assert set(serving.pending()) == {'["north", "tea"]'}
    with dg.DagsterInstance.ephemeral() as instance:
        assert isinstance(_tick(serving, instance), dg.SkipReason)  # it may still be at work
        with serving.timescale.connect() as connection:
            connection.execute(sa.update(FEATURE_PENDING).values(marked_at=sa.func.now() - timedelta(minutes=1)))
        assert isinstance(_tick(serving, instance), dg.RunRequest)
        with serving.written_online() as written:
            result = serve_pending_features.execute_in_process(instance=instance, resources={"feast": serving.feast})
        assert result.success
        assert written == [TEA]
        assert isinstance(_tick(serving, instance), dg.SkipReason)
    serving.assert_online_is_offline()
    assert serving.pending() == {}


def test_the_sensors_run_says_which_view_fails_and_the_sensor_then_waits(cached: Serving, cache: RedisServer) -> None:
    cached.sell({(TEA, DAY): 1.0})
    cached.feast.mark_all(SALES)
    with cached.timescale.connect() as connection:
        connection.execute(sa.update(FEATURE_PENDING).values(marked_at=sa.func.now() - timedelta(minutes=1)))
    cache.stop()
    with dg.DagsterInstance.ephemeral() as instance:
        assert isinstance(_tick(cached, instance), dg.RunRequest)
        result = serve_pending_features.execute_in_process(
            instance=instance, resources={"feast": cached.feast}, raise_on_error=False
        )
        assert not result.success
        assert "1 view(s) could not be served: sales_features: the online store" in failure_of(result)
        skipped = _tick(cached, instance)
        assert isinstance(skipped, dg.SkipReason)
        assert skipped.skip_message == "1 key(s) wait for their next attempt"


def test_a_slice_that_fails_leaves_the_marks_of_those_before_it(serving: Serving) -> None:
    serving.sell({(TEA, DAYS[0]): 1.0}, DAYS[0])

    def rows() -> SliceStream:
        def writes() -> Iterator[SliceWrite]:
            yield SliceWrite(rows=sales_rows({(TEA, DAYS[1]): 2.0}), window=Window.of_days(DAYS[1], DAYS[1]))
            yield SliceWrite(rows=sales_rows({(TEA, DAYS[5]): 9.0}), window=Window.of_days(DAYS[2], DAYS[2]))

        return SliceStream(writes())

    assert not serving.write(rows, DAYS[1], DAYS[2]).success
    assert set(serving.pending()) == {'["north", "tea"]'}
    serving.sell({(SALT, DAYS[3]): 1.0}, DAYS[3])
    assert serving.served([TEA]) == {TEA: 2.0}


def test_processes_that_begin_at_once_on_nothing_end_with_online_equal_to_offline(
    serving: Serving, tmp_path: Path
) -> None:
    """Three processes find neither registry, table nor online store; each fills its days in an order of its own."""
    processes = [
        _python("write_days(*sys.argv[1:])", [serving.timescale.database_url, str(tmp_path), str(number)])
        for number in range(3)
    ]
    told = [process.communicate(timeout=PATIENCE_S)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 3, "\n".join(told)
    assert len(serving.rows()) == 3 * len(DAYS)
    serving.assert_online_is_offline()
    assert serving.pending() == {}
    store = serving.feast.store
    (view,) = store.registry.list_feature_views(store.project)
    assert view.name == VIEW
    assert view.materialization_intervals == []
    assert [service.name for service in store.registry.list_feature_services(store.project)] == [VIEW]


def test_hypertables_are_served_alike(timescale_url: str, tmp_path: Path) -> None:
    """Rows of several chunks on TimescaleDB, with the online store in the same database."""
    serving = Serving(timescale_url, tmp_path, "postgres")
    days = [DAY + timedelta(days=40 * number) for number in range(4)]
    for day in (days[3], days[0], days[2]):
        serving.sell({(key, day): float(day.month) for key in (TEA, SALT)}, day)
    serving.assert_online_is_offline()
    serving.sell({(TEA, days[3]): 9.0}, days[3])
    assert serving.served([TEA, SALT]) == {TEA: 9.0, SALT: float(days[2].month)}
    serving.assert_online_is_offline()


def write_and_die(url: str, home: str, point: str) -> None:
    """What the process that dies does: TEA becomes 2.0, and the process ends before that is served."""
    write = pushing._write

    def doomed(*arguments: Any) -> None:
        if point == "after the online write":
            write(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    pushing._write = doomed
    Serving(url, Path(home)).write(sales_rows({(TEA, DAY): 2.0, (SALT, DAY): 1.0}))


def write_days(url: str, home: str, number: str) -> None:
    """What each of many processes does: the days it shares with others, in its own order, some twice."""
    serving = Serving(url, Path(home))
    mine = [day for place, day in enumerate(DAYS) if place % 5 == int(number) or place % 3 == int(number) % 3]
    for day in sorted(mine, key=lambda day: (day.day * (int(number) + 3)) % 7):
        serving.sell(_sales_of(day), day)


def _sales_of(day: date) -> dict[Any, float]:
    return {(key, day): day.day + place / 10 for place, key in enumerate((TEA, SALT, OIL))}


def _python(call: str, arguments: list[str]) -> subprocess.Popen[str]:
    program = f"import sys; from tests.integration.test_feature_serving_faults import *; {call}"
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _tick(serving: Serving, instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    with dg.build_sensor_context(instance=instance, resources={"feast": serving.feast}) as context:
        found: Any = build_serving_sensor()(context)
    return found
