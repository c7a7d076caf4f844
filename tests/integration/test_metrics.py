"""`/metrics`: figures of a real catalog as Prometheus parses them, behind the token, with bounded labels."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.dialects.postgresql import JSONB

from assets_pkg.api.serving import build_app
from resources.catalog.api_answers import AnswerTimes
from resources.catalog.run_summaries import EndedRun, summarise
from resources.catalog.schema import CatalogedTimescale
from resources.openaq.rate_budget import Rate
from resources.openaq.rate_budget_shared import SharedRateBudget
from resources.timescale import sql
from resources.timescale.capabilities import read_capabilities
from resources.timescale.resource import engine_of
from resources.timescale.tables import ensure
from schemas.catalog import DIRTY_DAYS, FETCH_FAILURES, LEDGER, LOCATIONS
from schemas.catalog_alerts import ALERTS, RUN_FAILURES
from schemas.catalog_budget import API_REQUESTS
from schemas.catalog_datasets import PIPELINE_RUNS
from schemas.catalog_features import FEATURE_PENDING
from schemas.catalog_files import FILE_METADATA
from schemas.catalog_incidents import INCIDENTS
from schemas.catalog_profiles import COLUMN_PROFILES
from schemas.catalog_rules import RULE_RESULTS
from schemas.table_spec import TableSpec
from schemas.tables import (
    AIR_QUALITY_ANOMALIES,
    AIR_QUALITY_HOURLY,
    FEATURE_DRIFT,
    OPENAQ_MEASUREMENTS,
    QUALITIES,
    TABLES,
)
from tests.web_server import running

Ask = Callable[[dict[str, str]], requests.Response]
TABLE = OPENAQ_MEASUREMENTS.qualified
TOKEN = {"Authorization": "Bearer t"}
LICENCES = sa.cast("[]", JSONB)
BUDGETS = {"openaq": (Rate(60, 60.0), Rate(2000, 3600.0))}


@pytest.fixture
def timescale(postgres_url: str) -> CatalogedTimescale:
    return CatalogedTimescale(database_url=postgres_url)


@contextmanager
def served(timescale: CatalogedTimescale) -> Iterator[Ask]:
    """The feature server on this database; asks for `/metrics`."""
    app = build_app(SimpleNamespace(timescale=timescale), "t", BUDGETS)  # type: ignore[arg-type]
    with running(app) as url:
        yield lambda headers: requests.get(f"{url}/metrics", headers=headers, timeout=30)


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
    tables = {labels[0] for name, *labels in found if name == "tidemark_consecutive_failures"}
    assert tables == set(TABLES)
    declared = (
        "process_",
        "tidemark_scrape_",
        "tidemark_features",
        "tidemark_api_budget_limit",
        "tidemark_freshness_limit",
    )
    assert {value for (name, *_), value in found.items() if not name.startswith(declared)} == {0.0}
    assert found["process_resident_memory_bytes",] > 0
    assert found["tidemark_api_budget_limit", "openaq", "3600s"] == 2000


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


def test_runs_files_and_budgets_are_counted_by_declared_names(ask: Ask, timescale: CatalogedTimescale) -> None:
    now = datetime.now(UTC)
    with timescale.connect() as connection:
        for number, (table, status, hours) in enumerate(
            ((TABLE, "succeeded", 1), (TABLE, "succeeded", 2), (TABLE, "failed", 3), (TABLE, "failed", 30))
        ):
            connection.execute(
                sa.insert(PIPELINE_RUNS).values(
                    kind="ingestion",
                    table_name=table,
                    run_id=f"r{number}",
                    status=status,
                    rows_read=10,
                    rows_written=8,
                    rows_quarantined=2,
                    started_at=now - timedelta(hours=hours),
                    ended_at=now - timedelta(hours=hours) + timedelta(seconds=30),
                )
            )
        for number, (status, hours) in enumerate((("succeeded", 1), ("succeeded", 2), ("failed", 3), ("failed", 30))):
            summarise(connection, ended(f"r{number}", status, now - timedelta(hours=hours)))
        connection.execute(
            sa.insert(FETCH_FAILURES),
            [
                {
                    "table_name": TABLE,
                    "unit": unit,
                    "day": date(2025, 3, day),
                    "error": "away",
                    "is_transient": True,
                    "attempts": 1,
                    "run_id": "r",
                    "failed_at": now,
                    "next_attempt_at": now,
                }
                for unit, day in (("1", 1), ("1", 2), ("2", 1))
            ],
        )
    SharedRateBudget(engine_of(timescale.url())).acquire(3, deadline_s=5)
    found = figures(ask)
    assert (found["tidemark_runs", "succeeded"], found["tidemark_runs", "failed"]) == (2, 1)
    assert found["tidemark_run_slowest_seconds", "failed"] == 60
    assert found["tidemark_table_writes", "failed", TABLE] == 1
    assert found["tidemark_table_write_seconds", "succeeded", TABLE] == 60
    assert found["tidemark_table_rows_written", TABLE] == 16
    assert found["tidemark_table_rows_quarantined", TABLE] == 4
    assert found["tidemark_owed_units", TABLE] == 2
    assert found["tidemark_api_budget_used", "openaq", "60s"] == 3


def ended(run_id: str, status: str, at: datetime) -> EndedRun:
    return EndedRun(
        run_id=run_id,
        job="j",
        status=status,
        tables=[TABLE],
        first_day=None,
        last_day=None,
        started_at=at - timedelta(seconds=60),
        ended_at=at,
        error=None,
    )


def test_quality_and_features_are_those_of_the_newest_day(ask: Ask, timescale: CatalogedTimescale) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    quality = next(one for one in QUALITIES if one.spec.name == "openaq_staging")
    drift = {"verdict": "drift", "rank": 1}
    with timescale.connect() as connection:
        for spec in (quality.spec, AIR_QUALITY_ANOMALIES, FEATURE_DRIFT):
            ensure(connection, spec, read_capabilities(connection))
        for days_ago, score in ((9, 50.0), (2, 80.0), (0, 10.0)):
            insert(
                connection,
                quality.spec,
                table_name=TABLE,
                day=today - timedelta(days=days_ago),
                score_pct=score,
                validity_pct=score + 1,
            )
        for days_ago, name, is_expected in ((1, "a", False), (2, "a", False), (1, "b", False), (1, "c", True)):
            day = today - timedelta(days=days_ago)
            told = {"kind": "gap", "anomaly_id": name, "is_expected": is_expected, "entity": name}
            insert(connection, AIR_QUALITY_ANOMALIES, day=day, started_at=day, **told)
        insert(connection, FEATURE_DRIFT, day=today, view="air_quality_hourly", feature="x", **drift)
        insert(
            connection, FEATURE_DRIFT, day=today - timedelta(days=1), view="air_quality_hourly", feature="y", **drift
        )
        for days_ago, severity, outcome in ((3, "error", "failed"), (1, "warning", "failed"), (1, "error", "passed")):
            connection.execute(
                sa.insert(RULE_RESULTS).values(
                    table_name=TABLE,
                    day=(today - timedelta(days=days_ago)).date(),
                    rule=f"{severity}-{outcome}",
                    kind="range",
                    severity=severity,
                    outcome=outcome,
                    passed=outcome == "passed",
                    checked=1,
                    failed=0,
                    message="",
                    run_id="r",
                )
            )
        for days_ago, mean in ((5, 1.0), (1, 2.5)):
            for position, column in enumerate(("location_id", AIR_QUALITY_HOURLY.features[0], "gone")):
                connection.execute(
                    sa.insert(COLUMN_PROFILES).values(
                        table_name=AIR_QUALITY_HOURLY.qualified,
                        day=(today - timedelta(days=days_ago)).date(),
                        column_name=column,
                        position=position,
                        kind="number",
                        rows=200,
                        nulls=30,
                        nans=20,
                        mean=mean,
                        common=[],
                    )
                )
    found = figures(ask)
    of_table = ("openaq", "staging", TABLE)
    assert found["tidemark_quality_score_pct", *of_table] == 80
    assert found["tidemark_quality_dimension_pct", "openaq", "validity", "staging", TABLE] == 81
    assert not [key for key in found if key[0] == "tidemark_quality_dimension_pct" and "accuracy" in key]
    assert found["tidemark_quality_day_timestamp_seconds", *of_table] == (today - timedelta(days=2)).timestamp()
    assert found["tidemark_anomalies", "openaq", "gap"] == 2
    assert found["tidemark_anomalies", "openaq", "stuck"] == 0
    assert found["tidemark_drift_features", "drift", "air_quality_hourly"] == 1
    assert found["tidemark_rules", "failed", "warning", TABLE] == 1
    assert found["tidemark_rules", "failed", "error", TABLE] == 0
    assert found["tidemark_held_days", TABLE] == 1
    feature = (AIR_QUALITY_HOURLY.features[0], "air_quality_hourly")
    assert found["tidemark_feature_rows", "air_quality_hourly"] == 200
    assert found["tidemark_feature_missing_pct", *feature] == 25
    assert found["tidemark_feature_mean", *feature] == 2.5
    assert ("tidemark_feature_std", *feature) not in found
    assert not [key for key in found if "gone" in key or "location_id" in key]


def insert(connection: sa.Connection, spec: TableSpec, **values: Any) -> None:
    """A row with these values; what else may not be null is as little as its type has."""
    table = sql.table_of(spec)
    least = {sa.BigInteger: 1, sa.Double: 0.0, sa.Boolean: False, sa.Text: "{}", sa.DateTime: datetime.now(UTC)}
    filled = {
        column.name: next(value for kind, value in least.items() if isinstance(column.type, kind))
        for column in table.columns
        if not column.nullable
    }
    connection.execute(sa.insert(table).values(filled | values))


def test_data_makes_no_series(ask: Ask, timescale: CatalogedTimescale) -> None:
    before = set(figures(ask))
    places = sa.func.generate_series(1, 10_000).table_valued("n").render_derived()
    name = sa.func.concat("found_", places.c.n)
    table_name = sa.func.concat("staging.", name)
    now = sa.func.now()
    made = {
        LEDGER: {"table_name": table_name, "day": sa.literal(date(2025, 3, 1)), "unit": name, "run_id": name},
        RUN_FAILURES: {
            "subject": table_name,
            "is_table": sa.true(),
            "failures": 1,
            "event_id": places.c.n,
            "run_id": name,
            "error": name,
            "failed_at": now,
        },
        DIRTY_DAYS: {"table_name": table_name, "day": sa.literal(date(2025, 3, 1)), "version": 1, "marked_by": name},
        PIPELINE_RUNS: {
            "kind": "ingestion",
            "table_name": table_name,
            "run_id": name,
            "started_at": now,
            "status": "succeeded",
        },
        FETCH_FAILURES: {
            "table_name": sa.literal(TABLE),
            "unit": name,
            "day": sa.literal(date(2025, 3, 1)),
            "error": name,
            "is_transient": sa.true(),
            "attempts": 1,
            "run_id": name,
            "failed_at": now,
            "next_attempt_at": now,
        },
        LOCATIONS: {"location_id": places.c.n, "name": name, "licenses": LICENCES, "sensors": LICENCES},
        FILE_METADATA: {
            "dataset": name,
            "target_table": table_name,
            "file_name": name,
            "file_path": name,
            "sha256": name,
            "file_size_bytes": 1,
            "arrived_on": sa.literal(date(2025, 3, 1)),
            "arrived_at": now,
            "version": 1,
            "run_id": name,
        },
        RULE_RESULTS: {
            "table_name": table_name,
            "day": sa.literal(date(2025, 3, 1)),
            "rule": name,
            "kind": "range",
            "severity": "error",
            "outcome": "failed",
            "passed": sa.false(),
            "checked": 1,
            "failed": 1,
            "message": name,
            "run_id": name,
        },
        FEATURE_PENDING: {"view": sa.literal("air_quality_hourly"), "key": name, "version": 1},
        API_REQUESTS: {"budget": name, "admitted_at": now},
    }
    with timescale.connect() as connection:
        for table, values in made.items():
            columns = [value if isinstance(value, sa.ColumnElement) else sa.literal(value) for value in values.values()]
            connection.execute(sa.insert(table).from_select(list(values), sa.select(*columns).select_from(places)))
    with served(timescale) as ask_again:
        found = figures(ask_again)
    new = set(found) - before
    assert not any("found_" in label for key in new for label in key)
    assert len(found) - len(before) < 30
    assert found["tidemark_owed_units", TABLE] == found["tidemark_locations",] == 10_000
