"""Slices that are replaced by Arrow batches, on real servers: what is in the table, and on which days it changed."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa

from resources.errors import ContractBroken
from resources.timescale import sql
from resources.timescale.arrow import to_arrow
from resources.timescale.capabilities import read_capabilities
from resources.timescale.resource import TimescaleResource
from resources.timescale.slices import TableReader
from resources.timescale.streaming import Streamed, replace_slice
from resources.timescale.table_slice import TableSlice
from resources.timescale.tables import ensure
from schemas.file_tables import tables_of
from schemas.window import Window
from tests.builders import rows_of

SALES = tables_of("sales").staging
ARRIVED = datetime(2025, 6, 2, 9, 30, tzinfo=UTC)
DAY = Window.of_days(ARRIVED.date(), ARRIVED.date())
MARCH = datetime(2025, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def database(timescale: TimescaleResource) -> TimescaleResource:
    with timescale.connect() as connection:
        ensure(connection, SALES, read_capabilities(connection))
    return timescale


def sold(count: int, *, file: int = 1, days: int = 3) -> pd.DataFrame:
    """`count` rows of one file, about `days` days in turn."""
    about = [MARCH + timedelta(days=number % days) for number in range(count)]
    lines = pd.Series(range(1, count + 1), dtype="int64")
    frame = rows_of(SALES, count).assign(source_id=file, line_no=lines, arrived_at=ARRIVED, known_at=ARRIVED)
    return frame.assign(transaction_date=about).astype(
        dict.fromkeys(("arrived_at", "known_at", "transaction_date"), "datetime64[us, UTC]")
    )


def batches(rows: pd.DataFrame, size: int = 40) -> Iterator[pa.RecordBatch]:
    yield from to_arrow(rows, SALES.model).to_batches(max_chunksize=size)


def write(database: TimescaleResource, rows: pd.DataFrame, file: int = 1) -> Streamed:
    with database.transaction() as transaction:
        return replace_slice(transaction, TableSlice.of_window(SALES, DAY, [file]), batches(rows))


def held(database: TimescaleResource) -> pd.DataFrame:
    return TableReader(database, TableSlice(SALES)).read()


def test_batches_become_the_slice_and_other_files_of_the_day_stay(database: TimescaleResource) -> None:
    write(database, sold(5, file=2), file=2)
    found = write(database, sold(100))
    assert (found.rows, found.rows_before) == (100, 0)
    assert found.days == found.changed_days == {date(2025, 3, day) for day in (1, 2, 3)}
    expected = pd.concat([sold(100), sold(5, file=2)], ignore_index=True)
    pd.testing.assert_frame_equal(held(database), expected)


def test_the_same_again_changes_no_day(database: TimescaleResource) -> None:
    write(database, sold(100))
    again = write(database, sold(100))
    assert again == Streamed(
        rows=100, rows_before=100, days=frozenset(date(2025, 3, day) for day in (1, 2, 3)), changed_days=frozenset()
    )
    assert len(held(database)) == 100


def test_a_changed_cell_changes_the_day_it_is_about_and_no_other(database: TimescaleResource) -> None:
    write(database, sold(100))
    rows = sold(100)
    rows.loc[1, "price"] = 7.25
    assert write(database, rows).changed_days == {date(2025, 3, 2)}
    rows.loc[0, "transaction_date"] += pd.Timedelta(days=40)
    assert write(database, rows).changed_days == {date(2025, 3, 1), date(2025, 4, 10)}


def test_a_file_without_rows_leaves_none_and_tells_the_days_it_was_about(database: TimescaleResource) -> None:
    write(database, sold(100))
    found = write(database, sold(0))
    assert found.changed_days == {date(2025, 3, day) for day in (1, 2, 3)}
    assert held(database).empty


def test_a_batch_that_breaks_the_contract_leaves_everything_as_it_was(database: TimescaleResource) -> None:
    write(database, sold(100))
    rows = sold(100)
    rows.loc[99, "region"] = "nowhere"
    with pytest.raises(ContractBroken, match="region breaks isin"):
        write(database, rows)
    pd.testing.assert_frame_equal(held(database), sold(100))


def test_an_error_while_batches_are_made_leaves_everything_as_it_was(database: TimescaleResource) -> None:
    write(database, sold(100))

    def broken() -> Iterator[pa.RecordBatch]:
        yield from batches(sold(80))
        raise ContractBroken("the source broke off")

    with pytest.raises(ContractBroken, match="broke off"), database.transaction() as transaction:
        replace_slice(transaction, TableSlice.of_window(SALES, DAY, [1]), broken())
    pd.testing.assert_frame_equal(held(database), sold(100))


def test_rows_are_read_by_what_they_are_about_whenever_they_arrived(database: TimescaleResource) -> None:
    write(database, sold(9))
    reader = TableReader(database, TableSlice.of_window(SALES, Window.of_days(date(2020, 1, 1), date(2020, 1, 2))))
    about = reader.read_about(Window.of_days(date(2025, 3, 2), date(2025, 3, 2)))
    assert list(about["line_no"]) == [2, 5, 8]
    with database.connect() as connection:
        indexed = [index["column_names"] for index in sa.inspect(connection).get_indexes(SALES.name, SALES.schema)]
    assert ["transaction_date"] in indexed
    assert sql.table_of(SALES).c.transaction_date.nullable is False
