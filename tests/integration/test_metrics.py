"""`/metrics`: figures of a real catalog as Prometheus parses them, behind the token, with bounded labels."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import sqlalchemy as sa
import uvicorn
from prometheus_client.parser import text_string_to_metric_families

from assets_pkg.api.serving import build_app
from resources.catalog.api_answers import AnswerTimes
from resources.catalog.schema import CatalogedTimescale
from resources.timescale.resource import engine_of
from schemas.catalog import DIRTY_DAYS, LEDGER
from schemas.catalog_alerts import ALERTS, RUN_FAILURES
from schemas.catalog_incidents import INCIDENTS
from schemas.tables import OPENAQ_MEASUREMENTS, TABLES

Ask = Callable[[dict[str, str]], requests.Response]
TABLE = OPENAQ_MEASUREMENTS.qualified
TOKEN = {"Authorization": "Bearer t"}


@pytest.fixture
def timescale(postgres_url: str) -> CatalogedTimescale:
    return CatalogedTimescale(database_url=postgres_url)


@contextmanager
def served(timescale: CatalogedTimescale) -> Iterator[Ask]:
    """The feature server on this database; asks for `/metrics`."""
    app = build_app(SimpleNamespace(timescale=timescale), "t")  # type: ignore[arg-type]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    web = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=web.run)
    thread.start()
    while not web.started:
        time.sleep(0.02)
    try:
        yield lambda headers: requests.get(f"http://127.0.0.1:{port}/metrics", headers=headers, timeout=30)
    finally:
        web.should_exit = True
        thread.join()


@pytest.fixture
def ask(timescale: CatalogedTimescale) -> Iterator[Ask]:
    with served(timescale) as ask:
        yield ask


def figures(ask: Ask) -> dict[tuple[str, ...], float]:
    """Name and label values, in the order of the labels' names -> value; fails if Prometheus could not read it."""
    answer = ask(TOKEN)
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def entry(table: str, day: int, **counts: Any) -> dict[str, Any]:
    return {"table_name": table, "day": date(2025, 3, day), "unit": "1", "run_id": "r", **counts}


def test_an_empty_catalog_has_figures_of_every_declared_table(ask: Ask) -> None:
    found = figures(ask)
    assert {table for name, table in found if name == "tidemark_consecutive_failures"} == set(TABLES)
    assert set(found.values()) == {0.0}


def test_figures_are_what_the_catalog_says(ask: Ask, timescale: CatalogedTimescale) -> None:
    now = datetime.now(UTC)
    with timescale.connect() as connection:
        for row in (
            entry(
                TABLE, 1, read=10, loaded=6, duplicate=1, quarantined=2, filtered=1, known_at=now - timedelta(days=9)
            ),
            entry(TABLE, 2, read=5, loaded=4, known_at=now - timedelta(hours=1)),
            entry(TABLE, 2, read=99, loaded=99, is_current=False),
            *(entry(f"staging.found_{number}_files", 1, read=1, loaded=1) for number in range(50)),
        ):
            connection.execute(sa.insert(LEDGER).values(row))
        failed = {"is_table": True, "event_id": 1, "run_id": "r", "error": "", "failed_at": now}
        for subject, number in ((TABLE, 3), ("staging.found_1_files", 2)):
            connection.execute(sa.insert(RUN_FAILURES).values(subject=subject, failures=number, **failed))
        connection.execute(
            sa.insert(DIRTY_DAYS).values(table_name=TABLE, day=date(2025, 3, 1), version=1, marked_by="x")
        )
        for number, state in enumerate(("open", "open", "resolved")):
            seen = {"first_seen_at": now, "last_seen_at": now, "count": 1, "title": "", "body": ""}
            connection.execute(
                sa.insert(ALERTS).values(
                    identity=f"q/{number}", condition="quality", level="warning", state=state, **seen
                )
            )
        long_ago = now - timedelta(days=29)
        connection.execute(
            sa.insert(ALERTS).values(
                identity="d/1", condition="drift", level="warning", state="open", title="", body="", count=1,
                first_seen_at=long_ago, last_seen_at=now,
            )
        )  # fmt: skip
        noted = {"dataset": "openaq", "entity": {}, "started_at": now, "ended_at": now, "note": "", "created_by": "x"}
        for is_expected, at in ((True, now), (True, long_ago), (False, now), (False, now)):
            connection.execute(sa.insert(INCIDENTS).values(is_expected=is_expected, created_at=at, **noted))
    heard = AnswerTimes(engine_of(timescale.url()), "openaq")
    for duration_s in (0.5, 2.5):
        heard(duration_s)
    found = figures(ask)
    assert found["tidemark_alerts_raised_28d", "quality"] == 3
    assert ("tidemark_alerts_raised_28d", "drift") not in found
    assert found["tidemark_incidents_noted_28d", "expected"] == 1
    assert found["tidemark_incidents_noted_28d", "incident"] == 2
    fates = {key[1]: value for key, value in found.items() if key[0] == "tidemark_ledger_rows" and key[2] == TABLE}
    assert fates == {"read": 15, "loaded": 10, "duplicate": 1, "quarantined": 2, "filtered": 1}
    assert found["tidemark_ledger_rows", "read", "undeclared"] == 50
    assert found["tidemark_ledger_open_slices", TABLE] == 1
    assert 3600 <= found["tidemark_freshness_seconds", TABLE] < 86_400
    assert found["tidemark_consecutive_failures", TABLE] == 3
    assert found["tidemark_consecutive_failures", "undeclared"] == 2
    assert found["tidemark_stale_days", TABLE] == 1
    assert found["tidemark_open_alerts", "quality", "warning"] == 2
    assert (found["tidemark_api_answers", "openaq"], found["tidemark_api_answer_seconds", "openaq"]) == (2, 3.0)
    assert found["tidemark_api_slowest_answer_seconds", "openaq"] == 2.5
    assert not any("found_" in label for name in found for label in name)


def test_figures_are_behind_the_token_and_a_database_that_is_away_is_told_as_that(ask: Ask) -> None:
    assert ask({}).status_code == 401
    away = CatalogedTimescale(database_url="postgresql://nobody@127.0.0.1:1/none?connect_timeout=2")
    with served(away) as ask_in_vain:
        answer = ask_in_vain(TOKEN)
    assert answer.status_code == 503 and "127.0.0.1" not in answer.text
