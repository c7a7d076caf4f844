"""The catalog of files on real servers: registered once, moved along the allowed ways, found again; schema versions."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa

from resources.catalog import file_questions, files, registry
from resources.catalog.file_findings import BadCell, ColumnFacts, Findings, Metric, finish
from resources.catalog.files import Arrival
from resources.catalog.schema import migrate
from resources.errors import ContractBroken, RejectedFile
from resources.landing.text_table import Skipped
from resources.timescale.resource import TimescaleResource
from schemas.catalog_datasets import PIPELINE_RUNS
from schemas.catalog_files import (
    BAD_CELLS,
    COLUMN_METADATA,
    DATA_QUALITY_METRICS,
    FILE_METADATA,
    FILE_NAMES,
    SKIPPED_LINES,
    TRANSITIONS,
    Status,
)
from schemas.physical_names import RESERVED_WORDS
from schemas.schema_versions import Column, diff, fingerprint

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
MIDNIGHT_IN_TOKYO = datetime.fromisoformat("2025-03-02T00:30:00+09:00")
SALES = Arrival(
    dataset="sales", target_table="staging.sales", file_name="a.csv", file_path="landing/sales/a.csv", sha256="one",
    file_size_bytes=3, arrived_at=NOON, run_id="r", seen_key="a1",
)  # fmt: skip
FINDINGS = Findings(
    row_count=3, rejected_rows=1, lines=9, schema_version_id=1, event_days=[date(2025, 2, 28), date(2025, 2, 1)],
    reader_facts={"encoding": "cp1252", "confidence": 0.5}, processing_duration_seconds=1.5,
    columns=[
        ColumnFacts(
            column_name="price", original_name="Price \0 (EUR)", column_type="number", convention={"decimal": ","},
            confidence=0.75, null_count=1, unique_count=2, unique_is_exact=False, min_value="1", max_value="2",
            mean=float("nan"), sample_values=[1.5, None, "\ud800"], bad_count=1,
        )
    ],
    metrics=[
        Metric(metric_name="completeness", metric_value=0.5, metric_type="ratio"),
        Metric(metric_name="skew", metric_value=float("inf"), metric_type="ratio"),
    ],
    skipped=[
        Skipped(line_no=1, line_count=2, kind="preamble", text="Title\0"),
        Skipped(line_no=9, line_count=1, kind="footer", text="Total"),
    ],
    bad_cells=[BadCell(line_no=4, column_name="price", raw='1"\\,\n', rule="number", reason="no number")],
)  # fmt: skip


def _run(kind: str, status: str = "succeeded") -> dict[str, object]:
    return {"kind": kind, "table_name": f"t.{kind}", "run_id": "r", "started_at": NOON, "status": status}


@pytest.fixture
def migrated(timescale: TimescaleResource) -> TimescaleResource:
    migrate(timescale.url())
    return timescale


@pytest.fixture
def connection(migrated: TimescaleResource) -> Iterator[sa.Connection]:
    with migrated.connect() as connection:
        yield connection


def test_the_same_bytes_are_one_file_under_all_their_names(connection: sa.Connection) -> None:
    first = files.register(connection, SALES)
    assert (first.is_new, first.version, first.supersedes, first.status) == (True, 1, None, Status.NEW)
    again = files.register(connection, replace(SALES, file_name="b.csv", file_path="landing/sales/b.csv", run_id="q"))
    assert again == replace(first, is_new=False)
    files.register(connection, replace(SALES, seen_key="a2"))
    names = sa.select(FILE_NAMES.c.file_id, FILE_NAMES.c.file_path, FILE_NAMES.c.run_id).order_by(
        FILE_NAMES.c.file_path
    )
    assert connection.execute(names).all() == [
        (first.id, "landing/sales/a.csv", "r"),
        (first.id, "landing/sales/b.csv", "q"),
    ]
    assert connection.execute(sa.select(FILE_METADATA.c.file_name)).scalars().all() == ["a.csv"]


def test_the_same_bytes_in_another_dataset_are_another_file(connection: sa.Connection) -> None:
    first, other = (files.register(connection, replace(SALES, dataset=name)) for name in ("sales", "stock"))
    assert first.id != other.id
    assert other.is_new


def test_other_bytes_of_the_same_name_are_its_next_version(connection: sa.Connection) -> None:
    first, second, third = (
        files.register(connection, replace(SALES, sha256=content)) for content in ("one", "two", "3")
    )
    assert [found.version for found in (first, second, third)] == [1, 2, 3]
    assert (second.supersedes, third.supersedes) == (first.id, second.id)
    other = files.register(connection, replace(SALES, sha256="4", file_name="b.csv"))
    assert (other.version, other.supersedes) == (1, None)


def test_the_day_of_arrival_is_that_of_utc_and_stays(connection: sa.Connection) -> None:
    found = files.register(connection, replace(SALES, arrived_at=MIDNIGHT_IN_TOKYO))
    assert found.arrived_on == date(2025, 3, 1)
    later = files.register(connection, replace(SALES, arrived_at=NOON + timedelta(days=9)))
    assert later.arrived_on == date(2025, 3, 1)
    assert [one.id for one in files.of_day(connection, "sales", date(2025, 3, 1))] == [found.id]
    assert files.of_day(connection, "sales", date(2025, 3, 2)) == []
    assert files.of_day(connection, "stock", date(2025, 3, 1)) == []


def test_a_name_is_data_only(connection: sa.Connection) -> None:
    names = ["'; DROP TABLE x; --.csv", "🌡️.csv", "-rf.csv", "%s{}.csv", "x" * 255, "\u202efdp.csv", "a\nb\0\udcff.csv"]
    for number, name in enumerate(names):
        files.register(connection, replace(SALES, sha256=str(number), file_name=name, file_path=f"landing/{name}"))
    kept = [one.file_name for one in files.of_day(connection, "sales", NOON.date())]
    assert kept == [*names[:-1], "a\nb\\x00\\udcff.csv"]


def test_a_path_too_long_for_the_catalog_is_refused_with_its_rule(connection: sa.Connection) -> None:
    longest = "é" * (files.LONGEST_PATH // 2)
    files.register(connection, replace(SALES, file_path=longest))
    with pytest.raises(RejectedFile, match="longer than 2,600 bytes") as refused:
        files.register(connection, replace(SALES, file_path=longest + "x"))
    assert refused.value.rule == "long_path"


def test_runs_that_register_together_get_one_file_and_versions_without_gaps(
    migrated: TimescaleResource,
) -> None:
    start = Barrier(6)

    def run(number: int) -> list[files.Registered]:
        start.wait()
        found = []
        for content in range(8):
            with migrated.connect() as connection:
                found.append(files.register(connection, replace(SALES, sha256=str((content + number) % 8))))
        return found

    with ThreadPoolExecutor(6) as pool:
        registered = [one for found in pool.map(run, range(6)) for one in found]
    with migrated.connect() as connection:
        rows = connection.execute(sa.select(FILE_METADATA.c.id, FILE_METADATA.c.version)).all()
    assert {(one.id, one.version) for one in registered} == set(rows)
    assert sorted(version for _, version in rows) == list(range(1, 9))
    assert sum(one.is_new for one in registered) == 8


def test_a_registration_waits_for_one_of_the_same_bytes_that_is_not_committed(migrated: TimescaleResource) -> None:
    def register() -> files.Registered:
        with migrated.connect() as connection:
            return files.register(connection, SALES)

    with ThreadPoolExecutor(1) as pool:
        with migrated.connect() as connection:
            first = files.register(connection, SALES)
            second = pool.submit(register)
            with pytest.raises(TimeoutError):
                second.result(timeout=0.5)
        assert second.result(timeout=30) == replace(first, is_new=False)


@pytest.mark.parametrize("old", list(Status))
def test_exactly_the_allowed_ways_are_open_to_a_connection_and_to_a_transaction_of_rows(
    migrated: TimescaleResource, old: Status
) -> None:
    for new in Status:
        with migrated.connect() as connection:
            number = files.register(connection, replace(SALES, sha256=f"{old} {new}")).id
            _put(connection, number, old)
        allowed = new in TRANSITIONS[old]
        if allowed:
            with migrated.connect() as connection:
                files.set_status(connection, number, new, run_id="s")
                assert _status(connection, number) == new
                _put(connection, number, old)
            with migrated.transaction() as transaction:
                transaction.execute(files.moved(number, new, run_id="s"))
        else:
            with (
                pytest.raises(ContractBroken, match=f"is {old} and cannot become {new}"),
                migrated.connect() as connection,
            ):
                files.set_status(connection, number, new, run_id="s")
            with (
                pytest.raises(ContractBroken, match="file_metadata_transition"),
                migrated.transaction() as transaction,
            ):
                transaction.execute(files.moved(number, new, run_id="s"))
        with migrated.connect() as connection:
            assert _status(connection, number) == (new if allowed else old)


def test_a_file_nobody_registered_has_no_state(connection: sa.Connection) -> None:
    with pytest.raises(ContractBroken, match="no file 77"):
        files.set_status(connection, 77, Status.PROCESSING, run_id="r")


def test_a_rejected_file_says_why_until_it_is_read_again(connection: sa.Connection) -> None:
    number = files.register(connection, SALES).id
    error = RejectedFile("truncated", "ends in the middle \0")
    files.set_status(connection, number, Status.REJECTED, run_id="s", archive_path="rejected/x", error=error)
    told = sa.select(
        *(
            FILE_METADATA.c[name]
            for name in ("error_rule", "error_message", "archive_path", "run_id", "previous_status")
        )
    )
    assert connection.execute(told).one() == ("truncated", "ends in the middle \\x00", "rejected/x", "s", "new")
    files.set_status(connection, number, Status.PROCESSING, run_id="t")
    assert connection.execute(told).one() == (None, None, "rejected/x", "t", "rejected")


def test_the_files_of_a_day_come_in_the_order_of_arrival(connection: sa.Connection) -> None:
    numbers = [
        files.register(connection, replace(SALES, sha256=str(hours), arrived_at=NOON - timedelta(hours=hours))).id
        for hours in range(4)
    ]
    assert [one.id for one in files.of_day(connection, "sales", NOON.date())] == numbers[::-1]


def test_only_archived_files_that_arrived_before_are_past_retention(connection: sa.Connection) -> None:
    for content, status, days in (("1", Status.ARCHIVED, 0), ("2", Status.ARCHIVED, 1), ("3", Status.LOADED, 0)):
        arrival = replace(SALES, sha256=content, arrived_at=NOON + timedelta(days=days))
        _put(connection, files.register(connection, arrival).id, status)
    found = files.past_retention(connection, "sales", NOON + timedelta(days=1))
    assert [one.sha256 for one in found] == ["1"]


def test_a_file_is_settled_until_other_bytes_were_seen_at_its_path(connection: sa.Connection) -> None:
    first = files.register(connection, SALES).id
    assert file_questions.settled(connection, ["a1"]) == set(), "there is work left on it"
    _put(connection, first, Status.ARCHIVED)
    assert file_questions.settled(connection, ["a1", "b1"]) == {"a1"}
    assert file_questions.settled(connection, []) == set()
    second = files.register(connection, replace(SALES, sha256="two", seen_key="a2")).id
    assert file_questions.settled(connection, ["a1", "a2"]) == set()
    _put(connection, second, Status.REJECTED)
    assert file_questions.settled(connection, ["a1", "a2"]) == {"a2"}
    files.register(connection, SALES)
    assert file_questions.settled(connection, ["a1", "a2"]) == {"a1"}


def test_a_version_is_superseded_once_the_next_one_is_loaded(connection: sa.Connection) -> None:
    first = files.register(connection, SALES).id
    second = files.register(connection, replace(SALES, sha256="two")).id
    _load(connection, first)
    assert _superseded(connection) == set()
    _load(connection, second)
    assert _superseded(connection) == {first}
    files.set_status(connection, second, Status.PROCESSING, run_id="r")
    assert _superseded(connection) == {first}, "its rows are still there while it is read again"
    files.set_status(connection, second, Status.REJECTED, run_id="r", error=RejectedFile("x", "y"))
    assert _superseded(connection) == set()


def test_bytes_that_come_back_replace_what_had_replaced_them(connection: sa.Connection) -> None:
    first = files.register(connection, SALES).id
    second = files.register(connection, replace(SALES, sha256="two")).id
    _load(connection, first)
    _load(connection, second)
    files.register(connection, SALES)
    assert _superseded(connection) == {second}


def test_a_file_that_still_has_another_name_is_not_superseded(connection: sa.Connection) -> None:
    first = files.register(connection, SALES).id
    files.register(connection, replace(SALES, file_name="b.csv", file_path="landing/sales/b.csv"))
    second = files.register(connection, replace(SALES, sha256="two")).id
    _load(connection, first)
    _load(connection, second)
    assert _superseded(connection) == set()


def test_beside_a_file_are_those_that_share_a_name_with_it(connection: sa.Connection) -> None:
    first = files.register(connection, SALES).id
    files.register(connection, replace(SALES, file_name="b.csv", file_path="landing/sales/b.csv"))
    second = files.register(connection, replace(SALES, sha256="two")).id
    third = files.register(connection, replace(SALES, sha256="three", file_name="b.csv")).id
    far, farther = (
        files.register(connection, replace(SALES, sha256=content, file_name="c.csv")).id for content in ("4", "5")
    )
    for number in (first, second, far, farther):
        _load(connection, number)
    assert _superseded(connection) == {far}
    assert _superseded(connection, beside=second) == set(), "the first still has its other name"
    _load(connection, third)
    assert _superseded(connection) == {first, far}
    assert _superseded(connection, beside=second) == _superseded(connection, beside=third) == {first}


def test_what_was_found_in_a_file_is_written_with_its_rows_and_replaced_when_it_is_read_again(
    migrated: TimescaleResource,
) -> None:
    with migrated.connect() as connection:
        _entered(connection, "sales", [_column("price")])
        number = files.register(connection, SALES).id
        other = files.register(connection, replace(SALES, sha256="two")).id
        for one in (number, other):
            _put(connection, one, Status.VALIDATED)
    for one in (number, other):
        with migrated.transaction() as transaction:
            for statement in finish(one, FINDINGS, run_id="s"):
                transaction.execute(statement)
    with migrated.connect() as connection:
        found = files.of_day(connection, "sales", NOON.date())[0]
        assert (found.status, found.row_count, found.schema_version_id) == (Status.LOADED, 3, 1)
        assert found.event_days == (date(2025, 2, 1), date(2025, 2, 28))
        row = connection.execute(sa.select(FILE_METADATA).where(FILE_METADATA.c.id == number)).mappings().one()
        assert (row["lines"], row["skipped_lines"], row["rejected_rows"], row["column_count"]) == (9, 3, 1, 1)
        assert row["columns_info"] == [{"name": "price", "original": "Price \\x00 (EUR)", "type": "number"}]
        assert row["reader_facts"] == {"encoding": "cp1252", "confidence": 0.5}
        column = connection.execute(sa.select(COLUMN_METADATA)).mappings().first()
        assert column is not None
        assert (column["mean"], column["confidence"], column["convention"]) == (None, 0.75, {"decimal": ","})
        assert column["sample_values"] == [1.5, None, "\\ud800"]
        measures = sa.select(DATA_QUALITY_METRICS.c.metric_name, DATA_QUALITY_METRICS.c.metric_value)
        mine = connection.execute(measures.where(DATA_QUALITY_METRICS.c.file_metadata_id == number))
        assert dict(mine.all()) == {"completeness": 0.5, "skew": None}
        skipped = sa.select(SKIPPED_LINES.c.text).where(SKIPPED_LINES.c.file_metadata_id == number)
        assert connection.execute(skipped).scalars().all() == ["Title\\x00", "Total"]
        assert connection.execute(sa.select(BAD_CELLS.c.raw)).scalars().all() == ['1"\\,\n'] * 2
        _put(connection, number, Status.VALIDATED)
    again = replace(FINDINGS, columns=[], metrics=[], skipped=[], bad_cells=[], row_count=0)
    with migrated.transaction() as transaction:
        for statement in finish(number, again, run_id="s"):
            transaction.execute(statement)
    with migrated.connect() as connection:
        for table in (COLUMN_METADATA, DATA_QUALITY_METRICS, SKIPPED_LINES, BAD_CELLS):
            assert set(connection.execute(sa.select(table.c.file_metadata_id)).scalars()) == {other}


def test_a_file_that_is_not_validated_cannot_be_finished(migrated: TimescaleResource) -> None:
    with migrated.connect() as connection:
        number = files.register(connection, SALES).id
    with pytest.raises(ContractBroken, match="file_metadata_transition"), migrated.transaction() as transaction:
        for statement in finish(number, FINDINGS, run_id="s"):
            transaction.execute(statement)


def test_more_bad_cells_than_one_statement_holds_are_all_kept(migrated: TimescaleResource) -> None:
    with migrated.connect() as connection:
        version = _entered(connection, "sales", [_column("price")])
        number = files.register(connection, SALES).id
        _put(connection, number, Status.VALIDATED)
    small = [BadCell(line_no=n, column_name="a", raw=str(n), rule="r", reason="x") for n in range(10_001)]
    large = [BadCell(line_no=n, column_name="b", raw="y" * 3_000_000, rule="r", reason="x") for n in range(3)]
    findings = replace(FINDINGS, bad_cells=iter([*small, *large]), schema_version_id=version.id)
    statements = list(finish(number, findings, run_id="s"))
    assert sum(isinstance(statement, sa.Insert) for statement in statements) == 3 + 3
    with migrated.transaction() as transaction:
        for statement in statements:
            transaction.execute(statement)
    with migrated.connect() as connection:
        lengths = sa.select(sa.func.count(), sa.func.max(sa.func.length(BAD_CELLS.c.raw)))
        assert connection.execute(lengths).one() == (10_004, 3_000_000)


def test_versions_of_columns_count_up_and_the_same_columns_are_the_same_version(connection: sa.Connection) -> None:
    assert registry.current(connection, "sales") is None
    narrow, wide = [_column("a")], [_column("a"), _column("b", convention={"decimal": ","})]
    first = _entered(connection, "sales", narrow, 7)
    second = _entered(connection, "sales", wide, 8)
    assert _entered(connection, "sales", narrow, 9) == first
    assert (first.version, second.version, second.first_file_id) == (1, 2, 8)
    assert second.columns == tuple(wide)
    assert second.fingerprint == fingerprint(wide)
    assert second.diff == diff(narrow, wide).as_json()
    assert registry.history(connection, "sales") == [first, second]
    assert registry.current(connection, "sales") == second
    assert _entered(connection, "stock", wide).version == 1


def test_two_columns_of_one_physical_name_are_refused(connection: sa.Connection) -> None:
    with pytest.raises(ContractBroken, match="physical name 'a'"):
        registry.planned(connection, "sales", [_column("a"), _column("a", original="A")], 7)


def test_a_planned_version_is_none_until_it_is_entered(connection: sa.Connection) -> None:
    planned = registry.planned(connection, "sales", [_column("a", original="A\0")], 7)
    assert registry.history(connection, "sales") == []
    connection.execute(registry.enter(planned))
    connection.execute(registry.enter(planned))
    (entered,) = registry.history(connection, "sales")
    assert (entered.id, entered.version, entered.first_file_id) == (planned.id, 1, 7)
    assert entered.columns[0].original == "A\\x00"


def test_of_two_versions_planned_at_the_same_time_one_is_entered(migrated: TimescaleResource) -> None:
    with migrated.connect() as connection:
        first, second = (registry.planned(connection, "sales", [_column(name)], 7) for name in "ab")
    with migrated.transaction() as transaction:
        transaction.execute(registry.enter(first))
    with pytest.raises(ContractBroken, match="dataset_version"), migrated.transaction() as transaction:
        transaction.execute(registry.enter(second))
    with migrated.connect() as connection:
        assert registry.history(connection, "sales") == [first]


def test_our_list_of_reserved_words_holds_those_of_the_server(connection: sa.Connection) -> None:
    words = (
        sa.select(sa.column("word")).select_from(sa.func.pg_get_keywords()).where(sa.column("catcode").in_(["R", "T"]))
    )
    assert set(connection.execute(words).scalars()) <= RESERVED_WORDS


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        (sa.update(FILE_METADATA).values(ingestion_status="lost"), "file_metadata_status"),
        (sa.insert(PIPELINE_RUNS).values(_run("other")), "pipeline_runs_kind"),
        (sa.insert(PIPELINE_RUNS).values(_run("feature", status="perhaps")), "pipeline_runs_status"),
    ],
)
def test_a_word_nobody_declared_is_refused(migrated: TimescaleResource, statement: sa.Executable, rule: str) -> None:
    with migrated.connect() as connection:
        files.register(connection, SALES)
    with pytest.raises(ContractBroken, match=rule), migrated.connect() as connection:
        connection.execute(statement)


def test_the_views_show_the_runs_of_their_kind(connection: sa.Connection) -> None:
    for kind in ("ingestion", "processing", "feature", "quality"):
        connection.execute(sa.insert(PIPELINE_RUNS).values(_run(kind)))
    for view, kind in (("processing_runs", "processing"), ("feature_runs", "feature"), ("quality_runs", "quality")):
        columns = [column["name"] for column in sa.inspect(connection).get_columns(view, schema="catalog")]
        assert columns == [column.name for column in PIPELINE_RUNS.c if column.name != "kind"]
        tables = sa.select(sa.column("table_name")).select_from(sa.table(view, schema="catalog"))
        assert connection.execute(tables).scalars().all() == [f"t.{kind}"]


def _entered(connection: sa.Connection, dataset: str, columns: Sequence[Column], file_id: int = 7) -> registry.Version:
    version = registry.planned(connection, dataset, columns, file_id)
    connection.execute(registry.enter(version))
    return version


def _put(connection: sa.Connection, number: int, status: Status) -> None:
    """The file is in that state, however it came there."""
    change = sa.update(FILE_METADATA).where(FILE_METADATA.c.id == number)
    connection.execute(change.values(ingestion_status=status.value, previous_status=None))


def _load(connection: sa.Connection, number: int) -> None:
    change = sa.update(FILE_METADATA).where(FILE_METADATA.c.id == number)
    connection.execute(change.values(ingestion_status="loaded", previous_status="validated", row_count=1))


def _status(connection: sa.Connection, number: int) -> str:
    query = sa.select(FILE_METADATA.c.ingestion_status).where(FILE_METADATA.c.id == number)
    return str(connection.execute(query).scalar_one())


def _superseded(connection: sa.Connection, *, beside: int | None = None) -> set[int]:
    return set(connection.execute(files.superseded("sales", beside=beside)).scalars())


def _column(name: str, **more: Any) -> Column:
    return Column(**{"name": name, "original": name, "kind": "number"} | more)
