"""Frames to Arrow and back, exactly, whatever the values."""

from datetime import UTC, datetime

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import ContractBroken
from resources.timescale.arrow import arrow_type, from_arrow, to_arrow
from schemas.base import NullableBool, NullableInt, TableModel, Text, UtcTimestamp, conform, empty


class Row(TableModel):
    """Every type a column can have."""

    t: UtcTimestamp = pandera.Field(nullable=True)
    whole: int
    value: float = pandera.Field(nullable=True)
    count: NullableInt = pandera.Field(nullable=True)
    is_valid: bool
    is_known: NullableBool = pandera.Field(nullable=True)
    note: Text = pandera.Field(nullable=True)


INT64 = st.integers(-(2**63), 2**63 - 1)
STAMPS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))
ROWS = st.lists(
    st.tuples(
        st.none() | STAMPS,
        INT64,
        st.none() | st.floats(allow_nan=False),
        st.none() | INT64,
        st.booleans(),
        st.none() | st.booleans(),
        st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    ),
    max_size=6,
)


def frame_of(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    """The rows with the model's dtypes, built column by column so that no integer passes through a float."""
    columns = dict(zip(Row.to_schema().columns, zip(*rows, strict=True), strict=True))
    return conform(pd.DataFrame({name: pd.Series(list(values), dtype=object) for name, values in columns.items()}), Row)


@given(ROWS.filter(bool))
def test_a_frame_comes_back_as_it_was(rows: list[tuple[object, ...]]) -> None:
    frame = frame_of(rows)
    pd.testing.assert_frame_equal(from_arrow(to_arrow(frame, Row), Row), frame, check_exact=True)
    counts = [None if pd.isna(value) else int(value) for value in from_arrow(to_arrow(frame, Row), Row)["count"]]
    assert counts == [row[3] for row in rows]


def test_a_frame_without_rows_keeps_its_types() -> None:
    pd.testing.assert_frame_equal(from_arrow(to_arrow(empty(Row), Row), Row), empty(Row))


def test_missing_values_are_null_in_every_column() -> None:
    table = to_arrow(frame_of([(None, 1, None, None, True, None, None)]), Row)
    assert {name: table[name].null_count for name in table.column_names} == {
        "t": 1, "whole": 0, "value": 1, "count": 1, "is_valid": 0, "is_known": 1, "note": 1,
    }  # fmt: skip


def test_a_projection_keeps_its_columns() -> None:
    frame = frame_of([(None, 1, 1.0, None, True, None, "a")])[["note", "whole"]]
    pd.testing.assert_frame_equal(from_arrow(to_arrow(frame, Row), Row), frame)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("whole", pa.array([1, 2], pa.int32())),
        ("whole", pa.array([1.0, 2.0])),
        ("note", pa.array(["a", "b"]).dictionary_encode()),
        ("t", pa.array([datetime(2024, 1, 1), None], pa.timestamp("ms", tz="Asia/Kathmandu"))),
        ("value", pa.array([1, 2])),
    ],
)
def test_what_fits_without_loss_is_taken(column: str, values: pa.Array) -> None:
    frame = from_arrow(pa.table({column: values}), Row)
    assert frame[column].dtype == empty(Row)[column].dtype and len(frame) == 2


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("whole", pa.array([1.5])),
        ("whole", pa.array([2**63], pa.uint64())),
        ("whole", pa.array([None], pa.int64())),
        ("is_valid", pa.array([None], pa.bool_())),
        ("value", pa.array([2**53 + 1])),
        ("t", pa.array([1], pa.timestamp("ns", tz="UTC"))),
        ("t", pa.array(["soon"])),
        ("t", pa.array([datetime(2024, 1, 1)])),
        ("more", pa.array([1])),
    ],
)
def test_what_would_lose_something_is_refused(column: str, values: pa.Array) -> None:
    with pytest.raises(ContractBroken, match=column):
        from_arrow(pa.table({column: values}), Row)


def test_a_value_of_another_type_is_refused() -> None:
    with pytest.raises(ContractBroken, match=r"Row\.whole"):
        to_arrow(pd.DataFrame({"whole": pd.Series(["x"], dtype=object)}), Row)


def test_a_dtype_without_counterpart_is_refused() -> None:
    with pytest.raises(TypeError, match="no Arrow type is declared"):
        arrow_type(pd.CategoricalDtype())
