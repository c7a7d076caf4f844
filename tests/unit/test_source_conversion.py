"""Single values become the types of models exactly, or not at all."""

import json
import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.sources.conversion import END, FIRST, Unfit, convert, instant, number, text, truth, whole
from resources.sources.detection import dtype_of
from schemas.base import dtypes_of
from schemas.source_datasets.delivery import DeliveryTasks, DeliveryUsers

TYPES = dtypes_of(DeliveryTasks)
TEXT, INSTANT, FLOAT, WHOLE = (TYPES[name] for name in ("title", "created_at", "estimated_h", "priority"))
BOOL = dtypes_of(DeliveryUsers)["is_active"]
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    st.text(),
    st.binary(),
    st.datetimes(),
    st.dates(),
    st.uuids(),
    st.lists(st.integers(), max_size=3),
    st.sampled_from(["12.7", "1e400", "", "nan", "0000-00-00", "-infinity", "2026-02-30", "\ud800", "a\0b", "１２"]),
)
INSTANTS = st.datetimes(FIRST.replace(tzinfo=None), END.replace(tzinfo=None) - timedelta(days=2))


@pytest.mark.parametrize("dtype", [TEXT, INSTANT, FLOAT, WHOLE, BOOL], ids=str)
@given(values=st.lists(ANYTHING, max_size=6))
def test_whatever_comes_every_value_is_taken_missing_or_told_unfit(dtype: object, values: list[object]) -> None:
    found = convert(values, dtype)
    assert len(found.values) == len(values)
    assert pd.Series(found.values).dtype == dtype
    for position, value in enumerate(values):
        is_taken = position not in found.unfit and not found.missing[position]
        assert not (position in found.unfit and found.missing[position])
        if value is None:
            assert found.missing[position]
        if not is_taken and dtype is not BOOL:
            assert pd.isna(found.values[position])


@given(value=st.integers(-(2**63), 2**63 - 1), how=st.sampled_from([int, str, Decimal, lambda n: f" {n} "]))
def test_whole_numbers_of_64_bits_stay_what_they_are(value: int, how: type) -> None:
    assert whole(how(value)) == value


@pytest.mark.parametrize(
    "value",
    ["12.7", 12.7, Decimal("12.7"), "1e400", 2**63, "9223372036854775808", True, "", "x", "nan", math.inf, b"1"],
)
def test_nothing_is_rounded_to_a_whole_number(value: object) -> None:
    with pytest.raises(Unfit):
        whole(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_comes_back_from_all_its_spellings(value: float) -> None:
    for spelled in (value, repr(value), format(value, ".17g"), Decimal(repr(value))):
        assert number(spelled) == value


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_that_is_taken_is_the_same_number(value: Decimal) -> None:
    try:
        taken = number(value)
    except Unfit:
        return
    assert value in (Decimal(repr(taken)), Decimal(format(taken, ".17g")))


@given(st.decimals(-(10**9), 10**9, places=6))
def test_a_decimal_of_fifteen_digits_is_always_taken(value: Decimal) -> None:
    assert Decimal(repr(number(value))) == value


@pytest.mark.parametrize("value", ["inf", "1e400", Decimal("1e999999"), "12345678901234567.89", 2**53 + 1, True, "1,5"])
def test_nothing_is_rounded_to_a_float(value: object) -> None:
    with pytest.raises(Unfit):
        number(value)


@given(at=INSTANTS, offset=st.integers(-14 * 60, 14 * 60), separator=st.sampled_from("T "))
def test_an_instant_is_the_same_in_every_zone(at: datetime, offset: int, separator: str) -> None:
    local = at.replace(tzinfo=UTC).astimezone(timezone(timedelta(minutes=offset)))
    assert instant(local) == instant(local.isoformat(separator)) == at.replace(tzinfo=UTC)


@given(st.lists(st.one_of(st.none(), INSTANTS), max_size=5), st.sampled_from(["", "Z", "+00", "+00:00", "+0000"]))
def test_the_quick_way_gives_what_the_careful_one_gives(values: list[datetime | None], zone: str) -> None:
    texts = [None if at is None else f"{at.isoformat(' ', 'microseconds')}{zone}" for at in values]
    quick = convert(texts, INSTANT)
    # A value in another zone makes the whole column go the careful way.
    careful = convert([*texts, "2026-01-01T01:00:00+01:00"], INSTANT)
    assert list(quick.values) == list(careful.values)[:-1]
    assert list(quick.missing) == list(careful.missing)[:-1]
    assert quick.unfit == careful.unfit == {}


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        (date(2026, 11, 20), datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20 12:00", datetime(2026, 11, 20, 12, tzinfo=UTC)),
        ("2026-11-20T12:00:00,5Z", datetime(2026, 11, 20, 12, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-11-20T12:00:00.123456789-06:00", datetime(2026, 11, 20, 18, 0, 0, 123_456, tzinfo=UTC)),
        (datetime(2026, 11, 20, 12), datetime(2026, 11, 20, 12, tzinfo=UTC)),
    ],
)
def test_instants_are_iso_8601_and_utc_without_a_zone(value: object, at: datetime) -> None:
    assert instant(value) == at


@pytest.mark.parametrize(
    "value",
    [
        *("0000-00-00", "infinity", "03/04/2026", "20261120", "2026-02-30", "2026-11-20 24:00:00", "1600-01-01"),
        *("2300-01-01", "2026-11-20 12:00:60", 1700000000, "0044-03-15 BC", "2026-W01-1", True),
        "9999-12-31 23:59:59-14:00",
    ],
)
def test_what_is_no_instant_is_not_guessed(value: object) -> None:
    with pytest.raises(Unfit):
        instant(value)


def test_text_is_what_was_meant() -> None:
    assert text(UUID(int=1)) == "00000000-0000-0000-0000-000000000001"
    assert text(Decimal("1.50")) == "1.50"
    assert text(True) == "true"
    assert text("é".encode()) == "é"
    assert json.loads(text({"a": ["é", None]})) == {"a": ["é", None]}
    for unfit in ("a\0b", "\ud800", b"\xff"):
        with pytest.raises(Unfit):
            text(unfit)


@pytest.mark.parametrize(("value", "is_true"), [(1, True), (0, False), ("TRUE", True), ("f", False), (b"\1", True)])
def test_truth_is_told_in_few_ways(value: object, is_true: bool) -> None:
    assert truth(value) is is_true


@pytest.mark.parametrize("value", [2, "yes", "", 1.0, Decimal(1), b"\2", "on"])
def test_truth_is_not_guessed(value: object) -> None:
    with pytest.raises(Unfit):
        truth(value)


@pytest.mark.parametrize(
    ("told", "dtype"),
    [
        ("numeric(10, 2)", "float64"),
        ("numeric(20, 6)", "string"),
        ("numeric", "string"),
        ("tinyint(1)", "boolean"),
        ("tinyint(4)", "Int64"),
        ("bigint", "Int64"),
        ("bigint(20) unsigned", "string"),
        ("timestamp without time zone", "datetime64[us, UTC]"),
        ("datetime(6)", "datetime64[us, UTC]"),
        ("double precision", "float64"),
        ("interval", "string"),
        ("jsonb", "string"),
        ("boolean", "boolean"),
        ("integer[]", "string"),
        ("boolean[]", "string"),
        ("numeric(10,2)[]", "string"),
        ("int4range", "string"),
        ("daterange", "string"),
        ("", "string"),
    ],
)
def test_a_type_that_is_found_holds_every_value_exactly(told: str, dtype: str) -> None:
    assert str(pd.Series([], dtype=dtype_of(told)).dtype) == dtype


def test_missing_is_what_has_no_value() -> None:
    found = convert([None, float("nan"), pd.NA, pd.NaT, Decimal("NaN"), 0], FLOAT)
    assert list(found.missing) == [True] * 5 + [False]
    assert np.isnan(np.asarray(found.values)[:5]).all()
