"""A dataset with a source in the graph: what is staged of a database by day, and that nothing gets lost."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
import sqlalchemy as sa

from assets_pkg.planning import DayRange
from assets_pkg.runs import range_tags
from resources.sources.samples.delivery import Organisation
from resources.sources.samples.delivery_database import DeliveryDatabase, write_database
from resources.timescale import server
from schemas.catalog import QUARANTINE
from schemas.catalog_datasets import METADATA_DATASETS, METADATA_LINEAGE
from schemas.source_dataset import SourceDataset
from schemas.source_tables import source_datasets, sourced_tables
from schemas.tables import TABLES
from schemas.window import midnight
from tests.graph import Graph, checks_of, failure_of
from tests.integration.conftest import own_database

FIRST = date(2025, 3, 3)
DAYS = 8
LAST = FIRST + timedelta(days=DAYS - 1)
ALL = [spec.qualified for spec in sourced_tables(source_datasets()["delivery"])]
TASKS, USERS, ACTIVITIES = (TABLES[f"staging.delivery_{name}"] for name in ("tasks", "users", "activities"))
SOME = [TASKS.qualified, ACTIVITIES.qualified]
"""A state and events: what most tests are content with."""
STATES = ("users", "tasks", "projects", "teams")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Loaded:
    """All tables of all days, for tests that look and change nothing."""

    graph: Graph
    source: DeliveryDatabase
    result: dg.ExecuteInProcessResult


@pytest.fixture(scope="module")
def loaded(embedded: server.EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    with (
        own_database(embedded.url("postgres")) as url,
        own_database(embedded.url("postgres")) as source_url,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        folder = tmp_path_factory.mktemp("loaded")
        source = write_database(source_url, Organisation(users=12, first_day=FIRST, seed=5), days=DAYS)
        graph = Graph(url, folder, instance=instance, sources={"delivery": source_url})
        yield Loaded(graph, source, load(graph, FIRST, LAST, ALL))


@pytest.fixture
def source(source_url: str) -> DeliveryDatabase:
    return write_database(source_url, Organisation(users=12, first_day=FIRST, seed=5), days=DAYS)


@pytest.fixture
def graph(postgres_url: str, source_url: str, tmp_path: Path) -> Iterator[Graph]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Graph(postgres_url, tmp_path, instance=instance, sources={"delivery": source_url})


@pytest.fixture
def without_versions(monkeypatch: pytest.MonkeyPatch) -> SourceDataset:
    """The dataset as a source that overwrites its rows would be declared; takes effect in graphs built afterwards."""
    declared = source_datasets()["delivery"]
    tables = tuple(replace(table, keeps_versions=False) for table in declared.tables)
    monkeypatch.setitem(source_datasets(), "delivery", changed := replace(declared, tables=tables))
    return changed


def load(graph: Graph, first: date, last: date | None = None, tables: Any = None, **options: Any) -> Any:
    result = graph.run(first, last, tables=SOME if tables is None else tables, **options)
    assert result.success, failure_of(result)
    return result


def state(graph: Graph) -> dict[str, pd.DataFrame]:
    return {name: graph.rows(TABLES[name]) for name in SOME}


def content(graph: Graph) -> dict[str, pd.DataFrame]:
    """Without what tells one read from another."""
    return {name: rows.drop(columns=["source_id", "line_no", "known_at"]) for name, rows in state(graph).items()}


def same(left: dict[str, pd.DataFrame], right: dict[str, pd.DataFrame]) -> bool:
    return all(left[name].equals(right[name]) for name in SOME)


def written(result: Any) -> dict[str, Any]:
    """Metadata of the materialisations, by table and day."""
    return {
        (".".join(one.asset_key.path), one.partition): {name: found.value for name, found in one.metadata.items()}
        for one in (
            event.step_materialization_data.materialization for event in result.get_asset_materialization_events()
        )
    }


def aside(graph: Graph) -> set[tuple[str, date]]:
    with graph.connect() as connection:
        return set(map(tuple, connection.execute(sa.select(QUARANTINE.c.table_name, QUARANTINE.c.day))))


def sql(source: DeliveryDatabase, *statements: sa.Executable) -> None:
    with source._engine.begin() as connection:
        for statement in statements:
            connection.execute(statement)


def version(source: DeliveryDatabase, graph: Graph, at: datetime, **changed: Any) -> pd.DataFrame:
    """A version of the first task there is, stamped `at`."""
    names = list(source.tables["tasks"].c.keys())
    row = graph.rows(TASKS).head(1)[names]
    return row.assign(updated_at=pd.Timestamp(at).as_unit("us"), **changed).astype(row.dtypes.to_dict())


def test_each_day_is_as_the_organisation_was(loaded: Loaded) -> None:
    graph, source, result = loaded.graph, loaded.source, loaded.result
    assert all(checks_of(result).values())
    tasks, users = graph.rows(TASKS), graph.rows(USERS)
    for truth in source.truth:
        end = pd.Timestamp(midnight(truth.day) + DAY)
        for name in STATES:
            spec = TABLES[f"staging.delivery_{name}"]
            entry = graph.ledger(spec).loc[(truth.day, "")]
            assert entry["loaded"] == entry["written"] == truth.things[name]
            assert entry["quarantined"] == truth.rejected.get(name, 0)
            assert entry["duplicate"] == truth.duplicates.get(name, 0)
        then = tasks[tasks["snapshot_at"] == end]
        counts = {name: n for name, n in then["status"].value_counts().items()}
        assert counts == {name: n for name, n in truth.tasks_by_status.items() if n}
        assert (then["updated_at"] <= end).all()
        assert int(((then["completed_at"] >= end - DAY) & (then["status"] == "done")).sum()) == truth.tasks_completed
        assert users[users["snapshot_at"] == end]["is_active"].sum() == truth.active_users
        entry = graph.ledger(ACTIVITIES).loc[(truth.day, "")]
        late = truth.late_activities if truth.day == LAST else 0
        assert entry["loaded"] == truth.stamped.get("activities", 0) - late
        assert entry["quarantined"] == truth.rejected.get("activities", 0)
        assert entry["duplicate"] == truth.duplicates.get("activities", 0)


def test_the_account_of_a_day_follows_every_version(loaded: Loaded) -> None:
    graph, source = loaded.graph, loaded.source
    before = 0
    for truth in source.truth:
        entry = graph.ledger(TASKS).loc[(truth.day, "")]
        stamped = truth.stamped.get("tasks", 0)
        assert entry["filtered"] == before + stamped - truth.things["tasks"]
        assert entry["read"] == before + stamped + truth.rejected.get("tasks", 0) + truth.duplicates.get("tasks", 0)
        before = truth.things["tasks"]


def test_a_range_is_its_single_days(graph: Graph, source: DeliveryDatabase) -> None:
    load(graph, FIRST, LAST)
    at_once, ledger = content(graph), graph.ledger(TASKS)
    graph.erase_tables(SOME)
    for number in reversed(range(DAYS)):
        load(graph, FIRST + number * DAY, as_day=number % 2 == 0)
    assert same(content(graph), at_once)
    names = ["read", "loaded", "duplicate", "quarantined", "filtered"]
    assert graph.ledger(TASKS)[names].equals(ledger[names])


def test_a_long_range_is_read_in_pieces_that_carry_the_state_on(
    graph: Graph, source: DeliveryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(graph, FIRST, LAST)
    at_once, ledger = content(graph), graph.ledger(TASKS)
    graph.erase_tables(SOME)
    monkeypatch.setattr("assets_pkg.partitions.PIECE", 3 * DAY)
    load(graph, FIRST, LAST)
    assert same(content(graph), at_once)
    assert graph.ledger(TASKS)["read"].equals(ledger["read"])


def test_written_twice_nothing_changes(graph: Graph, source: DeliveryDatabase) -> None:
    load(graph, FIRST, LAST)
    before = state(graph)
    graph.forget_dirty_days()
    load(graph, FIRST, LAST)
    assert same(state(graph), before)
    assert graph.dirty() == {}
    for spec in (TASKS, ACTIVITIES):
        assert not graph.ledger(spec)[["inserted", "changed", "vanished"]].any().any()


def test_the_future_changes_nothing_of_a_day(graph: Graph, source: DeliveryDatabase) -> None:
    day = FIRST + 4 * DAY
    load(graph, FIRST, day)
    before = state(graph)
    end = midnight(day) + DAY
    for later in (timedelta(microseconds=1), DAY, 4 * DAY):
        source.insert("tasks", version(source, graph, end + later, status="cancelled", estimated_h=99.0))
    source.insert("tasks", version(source, graph, datetime.now(UTC) + 400 * DAY, status="cancelled"))
    load(graph, FIRST, day)
    assert same(state(graph), before)


def test_a_version_stamped_at_midnight_belongs_to_the_day_that_ends_there(
    graph: Graph, source: DeliveryDatabase
) -> None:
    day = FIRST + 4 * DAY
    load(graph, FIRST, LAST)
    source.insert("tasks", row := version(source, graph, midnight(day) + DAY, title="at midnight"))
    load(graph, day, day + DAY)
    rows = graph.rows(TASKS)
    then = rows[(rows["task_id"] == row["task_id"].iloc[0]) & (rows["snapshot_at"] == midnight(day) + DAY)]
    assert then["title"].tolist() == ["at midnight"]


def test_a_late_version_reaches_its_day_and_makes_it_stale(graph: Graph, source: DeliveryDatabase) -> None:
    load(graph, FIRST, LAST)
    graph.forget_dirty_days()
    late = version(source, graph, midnight(LAST) - timedelta(minutes=1), title="committed late")
    source.insert("tasks", late)
    load(graph, LAST - DAY, LAST)
    rows = graph.rows(TASKS)
    mine = rows[rows["title"] == "committed late"]
    assert set(mine["snapshot_at"].dt.date) >= {LAST}
    assert graph.ledger(TASKS).loc[(LAST - DAY, "")]["changed"] == 1


def test_late_activities_come_with_the_next_reading_of_their_day(graph: Graph, source: DeliveryDatabase) -> None:
    load(graph, FIRST, LAST, [ACTIVITIES.qualified])
    (next_day,) = source.advance(1)
    load(graph, LAST, next_day.day, [ACTIVITIES.qualified])
    truth = source.truth[DAYS - 1]
    entry = graph.ledger(ACTIVITIES).loc[(LAST, "")]
    assert truth.late_activities > 0
    assert entry["loaded"] == truth.stamped["activities"]


def test_a_day_on_which_nothing_happens_carries_the_day_before(graph: Graph, source: DeliveryDatabase) -> None:
    quiet = LAST + 3 * DAY
    result = load(graph, LAST, quiet)
    rows = graph.rows(TASKS).drop(columns=["snapshot_at", "known_at", "source_id", "line_no"])
    at = graph.rows(TASKS)["snapshot_at"]
    newest = rows[at == midnight(quiet) + DAY].reset_index(drop=True)
    assert newest.equals(rows[at == midnight(LAST) + DAY].reset_index(drop=True))
    entry = graph.ledger(TASKS).loc[(quiet, "")]
    assert entry["read"] == entry["loaded"] == len(newest)
    assert written(result)[(ACTIVITIES.qualified, quiet.isoformat())]["rows_read"] == 0


def test_before_the_first_version_there_is_nothing_and_that_is_no_error(graph: Graph, source: DeliveryDatabase) -> None:
    load(graph, FIRST - 2 * DAY, FIRST - DAY)
    assert graph.rows(TASKS).empty
    assert graph.ledger(TASKS)["is_closed"].all()


def test_what_is_broken_is_put_aside_on_its_own_day_once(loaded: Loaded) -> None:
    graph, source = loaded.graph, loaded.source
    expected = {
        (f"staging.delivery_{name}", truth.day) for truth in source.truth for name, n in truth.rejected.items() if n
    }
    assert expected
    assert aside(graph) == expected
    rows = graph.rows(TASKS)
    assert not (rows["estimated_h"] < 0).any()
    assert rows["status"].notna().all()


def test_a_row_without_a_stamp_is_put_aside_on_the_last_day_of_the_read(graph: Graph, source: DeliveryDatabase) -> None:
    load(graph, FIRST, LAST)
    tasks = source.tables["tasks"]
    sql(source, sa.insert(tasks).values(task_id="unstamped", kind="bug", status="todo"))
    load(graph, LAST - DAY, LAST, [TASKS.qualified])
    with graph.connect() as connection:
        found = connection.execute(sa.select(QUARANTINE.c.day).where(QUARANTINE.c.raw.contains("unstamped"))).scalars()
        assert list(found) == [LAST]
    assert graph.ledger(TASKS)["is_closed"].all()


def test_a_day_tells_what_its_read_came_to(loaded: Loaded) -> None:
    graph, result = loaded.graph, loaded.result
    told = written(result)[(TASKS.qualified, FIRST.isoformat())]
    entry = graph.ledger(TASKS).loc[(FIRST, "")]
    assert (told["rows_read"], told["rows_failed"]) == (entry["read"], entry["quarantined"])
    assert told["error_rate_pct"] == pytest.approx(100 * entry["quarantined"] / entry["read"], abs=1e-4)
    assert told["bytes_read"] > 0
    assert told["duration_s"] >= 0
    assert "schema_changes" not in told


def test_columns_that_come_go_and_change_are_told(graph: Graph, source: DeliveryDatabase) -> None:
    load(graph, FIRST, FIRST, [TASKS.qualified])
    sql(source, sa.text("ALTER TABLE tasks ADD COLUMN colour text, DROP COLUMN reopened"))
    sql(source, sa.text("ALTER TABLE tasks ALTER COLUMN priority TYPE text"))
    told = written(load(graph, FIRST, FIRST, [TASKS.qualified]))[(TASKS.qualified, FIRST.isoformat())]
    assert told["schema_changes"] == ("added: colour; removed: reopened; of another type: priority: bigint -> text")


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DROP TABLE tasks", "tasks"),
        ("ALTER TABLE tasks DROP COLUMN status", "status"),
        ("ALTER TABLE tasks RENAME COLUMN updated_at TO changed", "updated_at"),
    ],
)
def test_a_source_that_lost_what_it_must_have_leaves_what_was_there(
    graph: Graph, source: DeliveryDatabase, statement: str, words: str
) -> None:
    load(graph, FIRST, LAST)
    before, ledger = state(graph), graph.ledger(TASKS)
    sql(source, sa.text(statement))
    result = graph.run(FIRST, LAST, tables=SOME)
    assert not result.success
    assert words in failure_of(result)
    assert same(state(graph), before)
    assert graph.ledger(TASKS)["read"].equals(ledger["read"])


def test_a_column_of_another_type_puts_its_rows_aside_and_keeps_the_older_versions(
    graph: Graph, source: DeliveryDatabase
) -> None:
    load(graph, FIRST, LAST, [USERS.qualified])
    before = graph.rows(USERS)
    sql(
        source,
        sa.text("ALTER TABLE users ALTER COLUMN capacity_h_per_week TYPE text"),
        sa.text(
            "INSERT INTO users SELECT user_id, name, team_id, hired_at, prior_experience_years, 'full', is_active, :at "
            "FROM users LIMIT 1"
        ).bindparams(at=midnight(LAST) + HOUR),
    )
    load(graph, FIRST, LAST, [USERS.qualified])
    assert graph.rows(USERS).equals(before)
    assert (USERS.qualified, LAST) in aside(graph)


def test_without_versions_the_running_day_is_read_and_no_other(
    without_versions: SourceDataset, postgres_url: str, source_url: str, tmp_path: Path
) -> None:
    today = datetime.now(UTC).date()
    source = write_database(source_url, Organisation(users=5, first_day=today - 2 * DAY, is_dirty=False), days=1)
    graph = Graph(postgres_url, tmp_path, sources={"delivery": source_url})
    load(graph, today - 3 * DAY, today, [USERS.qualified])
    assert set(graph.rows(USERS)["snapshot_at"]) == {pd.Timestamp(midnight(today) + DAY)}
    assert [day for day, _ in graph.ledger(USERS).index] == [today]
    users = source.tables["users"]
    sql(source, sa.update(users).values(capacity_h_per_week=7.0, updated_at=datetime.now(UTC)))
    load(graph, today, None, [USERS.qualified])
    assert set(graph.rows(USERS)["capacity_h_per_week"]) == {7.0}
    assert graph.ledger(USERS)["is_closed"].all()


def test_without_versions_the_past_is_refused_and_what_was_read_then_stays(
    without_versions: SourceDataset, postgres_url: str, source_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = datetime.now(UTC).date()
    source = write_database(source_url, Organisation(users=5, first_day=today - 2 * DAY, is_dirty=False), days=1)
    graph = Graph(postgres_url, tmp_path, sources={"delivery": source_url})
    refused = graph.run(today - 3 * DAY, today - DAY, tables=[USERS.qualified])
    assert not refused.success
    assert "keeps no versions" in failure_of(refused)
    assert f"{today - 3 * DAY}" in failure_of(refused)
    load(graph, today, None, [USERS.qualified])
    before = graph.rows(USERS)
    sql(source, sa.update(source.tables["users"]).values(name="somebody else"))
    _tomorrow(monkeypatch)
    load(graph, today, None, [USERS.qualified])
    assert graph.rows(USERS).equals(before)
    assert graph.ledger(USERS)["is_closed"].all()


def _tomorrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the asset, a day later."""

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Later":
            return super().now(tz) + DAY  # type: ignore[return-value]

    monkeypatch.setattr("assets_pkg.staging.source_assets.datetime", Later)


def test_the_catalog_knows_the_dataset_and_where_its_rows_come_from(loaded: Loaded) -> None:
    graph = loaded.graph
    with graph.connect() as connection:
        kind = sa.select(METADATA_DATASETS.c.source_kind, METADATA_DATASETS.c.is_declared)
        assert connection.execute(kind.where(METADATA_DATASETS.c.dataset == "delivery")).one() == ("database", True)
        edges = sa.select(METADATA_LINEAGE.c.source, METADATA_LINEAGE.c.destination, METADATA_LINEAGE.c.kind)
        assert ("delivery:tasks", TASKS.qualified, "source") in set(map(tuple, connection.execute(edges)))


def test_a_dataset_without_a_url_says_which_variable_to_set(postgres_url: str, tmp_path: Path) -> None:
    result = Graph(postgres_url, tmp_path).run(FIRST, tables=[TASKS.qualified])
    assert not result.success
    assert "TIDEMARK_SOURCE_DELIVERY_URL" in failure_of(result)


@pytest.mark.parametrize(("job", "features"), [("user_pipeline", "features.user"), ("task_pipeline", "features.task")])
def test_a_pipeline_goes_from_the_source_to_the_features(
    graph: Graph, source: DeliveryDatabase, job: str, features: str
) -> None:
    result = graph.definitions.resolve_job_def(job).execute_in_process(
        instance=graph.instance, tags=range_tags(DayRange(LAST - DAY, LAST)), raise_on_error=False
    )
    assert result.success, failure_of(result)
    spec = TABLES[features]
    rows = graph.rows(spec)
    staged = graph.rows(TASKS if features == "features.task" else USERS)
    assert len(rows) > 0
    assert set(rows[spec.time_column]) == {pd.Timestamp(midnight(LAST)), pd.Timestamp(midnight(LAST) + DAY)}
    assert set(rows[spec.entities[0]]) <= set(staged[spec.entities[0]])
    assert not [one for one in graph.catalog.stale() if one.table_name == features and one.day <= LAST - DAY]
