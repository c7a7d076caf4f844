"""What every kind of source has to stand: a class of tests that each kind passes.

Belongs here: expectations that hold for all kinds. Does not belong here: servers (`source_stands.py`), what only one
kind has (`test_sources.py`). A new kind subclasses `Stand` and joins the fixture `stand`.
"""

import logging
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pandas as pd
import pandera.pandas as pa
import pytest
import sqlalchemy as sa

from resources.errors import (
    ConfigurationError,
    CredentialsRejected,
    SourceChanging,
    SourceUnavailable,
    TidemarkError,
    TransientError,
    UnexpectedAnswer,
)
from resources.sources.reading import TableRead
from resources.sources.resource import SourcesResource, setting_of
from resources.timescale.resource import TimescaleResource
from schemas.base import NullableBool, NullableInt, Text, UtcTimestamp
from schemas.catalog_features import SOURCE_READS
from schemas.source_dataset import Shows, SourceDataset, SourcedRows, SourceTable
from tests.integration.source_stands import CANARY, Row, Stand

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Things(SourcedRows):
    """What the kit reads."""

    thing_id: Text = pa.Field()
    label: Text = pa.Field(nullable=True)
    amount: float = pa.Field(nullable=True, ge=0)
    count: NullableInt = pa.Field(nullable=True)
    is_good: NullableBool = pa.Field(nullable=True)
    at: UtcTimestamp = pa.Field()

    class Config:
        unique = ["thing_id", "at"]


def thing(number: int, **changes: Any) -> Row:
    """One row; `number` gives its id and its minute after noon."""
    return {
        "id": f"t{number:05}",
        "label": f"thing {number}",
        "amount": Decimal(number) / 4,
        "count": number,
        "is_good": number % 2 == 0,
        "at": NOON + number * MINUTE,
        **changes,
    }


class Reader:
    """Reads a stand through the resource, as assets do."""

    def __init__(self, stand: Stand, timescale: TimescaleResource) -> None:
        self.stand = stand
        self.timescale = timescale
        self.name = f"kit_{uuid4().hex[:8]}"
        self.table = SourceTable(
            name=stand.table,
            staging=Things,
            staging_table="things",
            shows=Shows.EVENTS,
            key=("thing_id",),
            changed_at="at",
            column_mapping={"id": "thing_id"},
            lag=timedelta(minutes=10),
            batch_size=40,
            pages=stand.pages,
        )

    def read(self, *, since: datetime | None = None, until: datetime | None = None, **changes: Any) -> TableRead:
        table = replace(self.table, **changes)
        dataset = SourceDataset(
            name=self.name,
            description="things",
            kind=self.stand.kind,
            tables=(table,),
            first_day="2026-01-01",
            requests_per_minute=100_000,
        )
        resource = SourcesResource(
            timescale=self.timescale,
            urls={self.name: self.stand.url},
            tokens={self.name: self.stand.token} if self.stand.token else {},
        )
        return resource.read(dataset, table, since=since, until=until, run_id="run")

    def noted(self) -> list[sa.RowMapping]:
        query = sa.select(SOURCE_READS).where(SOURCE_READS.c.dataset == self.name).order_by(SOURCE_READS.c.started_at)
        with self.timescale.connect() as connection:
            return list(connection.execute(query).mappings())


def taken(read: TableRead) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All rows and all rejects of a read."""
    rows, rejects = [], []
    for batch in read:
        rows.append(batch.rows)
        rejects.append(batch.rejects)
    metrics = read.metrics
    assert metrics.records_read == metrics.records_written + metrics.records_failed + metrics.records_duplicate
    whole = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["thing_id", "label", "at"])
    aside = pd.concat(rejects, ignore_index=True) if rejects else pd.DataFrame(columns=["rule", "raw"])
    assert (metrics.records_written, metrics.records_failed) == (len(whole), len(aside))
    return whole, aside


def ids(rows: pd.DataFrame) -> list[str]:
    return sorted(rows["thing_id"])


def ids_of(numbers: Sequence[int]) -> list[str]:
    return [f"t{number:05}" for number in numbers]


class AcceptanceKit:
    """Tests that take the fixtures `stand` and `reader`."""

    def test_a_whole_read_gives_every_row_in_the_models_types(self, stand: Stand, reader: Reader) -> None:
        stand.put([thing(n) for n in range(250)])
        read = reader.read()
        rows, rejects = taken(read)
        assert ids(rows) == ids_of(range(250))
        assert rejects.empty
        held = rows.set_index("thing_id").loc["t00007"]
        assert (held["label"], held["amount"], held["count"], held["is_good"]) == ("thing 7", 1.75, 7, False)
        assert held["at"] == NOON + 7 * MINUTE
        dtypes = {name: str(dtype) for name, dtype in rows.dtypes.items()}
        assert dtypes == {
            "thing_id": "string",
            "label": "string",
            "amount": "float64",
            "count": "Int64",
            "is_good": "boolean",
            "at": "datetime64[us, UTC]",
            "source_id": "int64",
            "line_no": "int64",
        }
        assert sorted(rows["line_no"]) == list(range(1, 251))
        assert set(rows["source_id"]) == {read.read_id}
        assert read.metrics.bytes_read > 1000
        (noted,) = reader.noted()
        assert (noted["read_id"], noted["records_written"], noted["error"]) == (read.read_id, 250, None)
        assert [column["name"] for column in noted["columns"]] == ["id", "label", "amount", "count", "is_good", "at"]
        assert (noted["table_name"], noted["kind"]) == ("staging.things", stand.kind.value)

    def test_a_read_is_iterated_once(self, stand: Stand, reader: Reader) -> None:
        stand.put([thing(1)])
        read = reader.read()
        taken(read)
        with pytest.raises(TidemarkError, match="once"):
            list(read)

    def test_an_increment_has_what_was_stamped_later_and_what_was_committed_late(
        self, stand: Stand, reader: Reader
    ) -> None:
        stand.put([thing(n) for n in range(60)])
        rows, _ = taken(reader.read(until=NOON + 30 * MINUTE))
        assert ids(rows) == ids_of(range(31))
        stand.add([thing(500, at=NOON + 25 * MINUTE), thing(501, at=NOON + 15 * MINUTE)])
        read = reader.read(since=NOON + 30 * MINUTE, until=NOON + 50 * MINUTE)
        rows, _ = taken(read)
        assert ids(rows) == sorted([*ids_of(range(21, 51)), "t00500"])
        assert read.metrics.records_read == 31

    def test_a_stamp_in_the_future_is_put_aside_and_never_goes_beyond_now(self, stand: Stand, reader: Reader) -> None:
        now = datetime.now(UTC).replace(microsecond=0)
        stand.put([thing(1), thing(2, at=now + timedelta(days=400)), thing(3, at=now - timedelta(minutes=20))])
        rows, rejects = taken(reader.read(until=now + timedelta(hours=6)))
        assert ids(rows) == ids_of([1, 3])
        assert list(rejects["rule"]) == ["at: in the future"]
        assert rejects["moment"].iloc[0] == now + timedelta(days=400)
        # Who took the future for the newest stamp gets what is new since now, lag included.
        stand.add([thing(4, at=now)])
        rows, _ = taken(reader.read(since=now + timedelta(days=400), until=None))
        assert "t00004" in ids(rows)

    def test_columns_may_come_and_go_between_reads_unless_they_are_needed(self, stand: Stand, reader: Reader) -> None:
        stand.put([thing(1)])
        taken(reader.read())
        stand.put([thing(2, extra="more")], columns=("id", "amount", "at"))
        rows, rejects = taken(reader.read())
        assert ids(rows) == ids_of([2])
        assert rejects.empty
        assert rows["label"].isna().all()
        assert [[c["name"] for c in noted["columns"]] for noted in reader.noted()][1] == ["id", "amount", "at"]

    def test_a_required_column_that_is_missing_ends_the_read_and_is_named(self, stand: Stand, reader: Reader) -> None:
        stand.put([thing(1)], columns=("label", "amount", "at"))
        with pytest.raises(UnexpectedAnswer, match=r"'id'.*it has .*'label'"):
            taken(reader.read())
        stand.put([thing(1)], columns=("id", "at"))
        with pytest.raises(UnexpectedAnswer, match="'label'"):
            taken(reader.read(required=("label",)))
        assert [noted["error"] is None for noted in reader.noted()] == [False, False]
        assert "'label'" in str(reader.noted()[1]["error"])

    def test_values_that_do_not_fit_put_their_row_aside(self, stand: Stand, reader: Reader) -> None:
        stand.put([thing(1), thing(2, amount=Decimal("-1.5")), thing(3, label="x" * 70)])
        rows, rejects = taken(reader.read())
        assert ids(rows) == ids_of([1, 3])
        assert list(rejects["rule"]) == ["amount: greater_than_or_equal_to(0)"]
        assert "t00002" in rejects["raw"].iloc[0]
        assert rejects["moment"].iloc[0] == NOON + 2 * MINUTE

    def test_a_column_whose_type_changed_puts_aside_what_does_not_fit(self, stand: Stand, reader: Reader) -> None:
        stand.put([thing(1)])
        taken(reader.read())
        self.retype(stand, [thing(1, count="12.7"), thing(2, count="13"), thing(3, count="many")])
        rows, rejects = taken(reader.read())
        assert dict(zip(rows["thing_id"], rows["count"], strict=True)) == {"t00002": 13}
        assert list(rejects["rule"]) == ["type: count", "type: count"]

    def retype(self, stand: Stand, rows: Sequence[Row]) -> None:
        if hasattr(stand, "types"):
            stand.types = {**stand.types, "count": "varchar(20)"}
        stand.put(rows)

    def test_a_null_in_a_critical_column_puts_its_row_aside(self, stand: Stand, reader: Reader) -> None:
        stand.put([thing(1), thing(2, id=None), thing(3, at=None), thing(4, label=None)])
        rows, rejects = taken(reader.read(until=NOON + timedelta(hours=1)))
        assert ids(rows) == ids_of([1, 4])
        assert sorted(rejects["rule"]) == ["null: at", "null: thing_id"]
        assert rejects.set_index("rule").loc["null: at", "moment"] is pd.NaT

    def test_rows_alike_in_key_and_stamp_are_duplicates(self, stand: Stand, reader: Reader) -> None:
        many = [thing(n) for n in range(90)]
        stand.put([*many, *[thing(5, label="again")] * 50, thing(39), thing(40)], is_unique=False)
        read = reader.read()
        rows, _ = taken(read)
        assert ids(rows) == ids_of(range(90))
        assert read.metrics.records_duplicate == 52

    @pytest.mark.parametrize("is_unique", [True, False])
    def test_every_row_comes_once_whatever_order_its_keys_have(
        self, stand: Stand, reader: Reader, is_unique: bool
    ) -> None:
        keys = ["B", "a", "Z9", "ä-umlaut", "ß", "~", "_", "10", "9", " lead", "é", "%s", "q'uote", "漢", "-1"]
        stand.put([thing(n % 3, id=f"{key}{n}") for n, key in enumerate(keys * 3)], is_unique=is_unique)
        rows, rejects = taken(reader.read(batch_size=2))
        assert ids(rows) == sorted(f"{key}{n}" for n, key in enumerate(keys * 3))
        assert rejects.empty

    def test_text_of_any_script_comes_through_and_nul_does_not(self, stand: Stand, reader: Reader) -> None:
        label = "naïve 👩‍🚀 漢字 \u202e %s {} '; drop table things; --"
        stand.put([thing(1, label=label), *([thing(2, label="n\0ul")] if stand.holds_nul else [])])
        rows, rejects = taken(reader.read())
        assert list(rows["label"]) == [label]
        assert len(rejects) == stand.holds_nul
        assert "\0" not in "".join(rejects["raw"])

    def test_an_empty_table_is_no_error(self, stand: Stand, reader: Reader) -> None:
        stand.put([])
        read = reader.read()
        rows, rejects = taken(read)
        assert (len(rows), len(rejects), read.metrics.error_rate) == (0, 0, 0.0)
        assert reader.noted()[0]["error"] is None

    def test_a_huge_table_comes_in_bounded_batches(self, stand: Stand, reader: Reader) -> None:
        stand.rows_per_object = 1500
        stand.put([thing(n) for n in range(1500)])
        sizes = [len(batch.rows) for batch in reader.read(batch_size=100)]
        assert sum(sizes) == 1500
        assert max(sizes) <= 100

    def test_wrong_credentials_end_the_read_and_say_where_to_look(
        self, stand: Stand, reader: Reader, caplog: pytest.LogCaptureFixture
    ) -> None:
        stand.put([thing(1)])
        with stand.refusing(), pytest.raises(CredentialsRejected) as refused:
            taken(reader.read())
        assert stand.refusal_names in str(refused.value)
        if stand.refusal_names.startswith("_"):
            assert setting_of(reader.name, stand.refusal_names[1:]) in str(refused.value)
        self.require_no_canary(refused.value, reader, caplog)
        rows, _ = taken(reader.read())
        assert ids(rows) == ids_of([1])

    def test_a_source_that_is_down_is_waited_for_and_back_again(
        self, stand: Stand, reader: Reader, caplog: pytest.LogCaptureFixture
    ) -> None:
        stand.put([thing(n) for n in range(3)])
        stand.proxy.cut()
        with pytest.raises(SourceUnavailable) as down:
            taken(reader.read())
        self.require_no_canary(down.value, reader, caplog)
        stand.proxy.mend()
        reader.name += "_again"
        rows, _ = taken(reader.read())
        assert ids(rows) == ids_of(range(3))

    def test_no_secret_shows_anywhere(self, stand: Stand, reader: Reader, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        stand.put([thing(1)])
        read = reader.read()
        rows, _ = taken(read)
        assert CANARY not in rows.to_csv()
        self.require_no_canary(read, reader, caplog)

    def require_no_canary(self, shown: object, reader: Reader, caplog: pytest.LogCaptureFixture) -> None:
        told = "".join(traceback.format_exception(shown)) if isinstance(shown, BaseException) else repr(vars(shown))
        assert CANARY not in told
        assert CANARY not in str(reader.noted())
        assert CANARY not in "".join(record.getMessage() for record in caplog.records)

    def test_a_dataset_without_a_url_says_which_variable_to_set(self, stand: Stand, reader: Reader) -> None:
        read = reader.read()
        assert read.metrics.records_read == 0
        dataset = SourceDataset(
            name="elsewhere", description="", kind=stand.kind, tables=(reader.table,), first_day="2026-01-01"
        )
        resource = SourcesResource(timescale=reader.timescale)
        with pytest.raises(ConfigurationError, match="TIDEMARK_SOURCE_ELSEWHERE_URL"):
            resource.read(dataset, reader.table, since=None, until=None, run_id="run")

    @pytest.mark.parametrize("change", ["drop_column", "drop_table"])
    def test_what_changes_between_batches_is_noticed_or_waits(self, stand: Stand, reader: Reader, change: str) -> None:
        """A snapshot shows the table as it was; where there is none, the read ends and says why."""
        stand.put([thing(n) for n in range(400)])
        action: Callable[[], None] = stand.drop_table if change == "drop_table" else lambda: stand.drop_column("id")
        failed: list[Exception] = []
        batches = iter(reader.read())
        with closing(batches):  # type: ignore[type-var]
            rows = len(next(batches).rows)
            changing = threading.Thread(target=action, daemon=True)
            changing.start()
            changing.join(0.3 if stand.has_snapshot else 30)
            try:
                rows += sum(len(batch.rows) for batch in batches)
            except (UnexpectedAnswer, SourceChanging) as error:
                failed.append(error)
        changing.join(30)
        if stand.has_snapshot:
            assert (rows, failed) == (400, [])
        else:
            assert rows < 400
            assert len(failed) == 1
            assert reader.noted()[0]["error"] == str(failed[0])

    def test_a_read_that_is_given_up_is_noted_so(self, stand: Stand, reader: Reader) -> None:
        stand.put([thing(n) for n in range(200)])
        batches = iter(reader.read())
        next(batches)
        batches.close()  # type: ignore[attr-defined]
        assert "abandoned" in str(reader.noted()[0]["error"])

    def test_errors_that_may_pass_are_told_from_those_that_do_not(self, stand: Stand, reader: Reader) -> None:
        stand.put([thing(1)])
        with pytest.raises(TidemarkError) as found:
            taken(reader.read(name="no_such_thing_here", pages=stand.pages and replace(stand.pages, path="/nothing")))
        assert not isinstance(found.value, TransientError)
