"""Recipes and the digest of rows: what they depend on, and what they do not."""

import hashlib
import json
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import ConfigurationError, ContractBroken
from resources.feast.recipe import (
    Built,
    Grid,
    Recipe,
    Ref,
    Result,
    ViewUse,
    differences,
    instants_of,
    read_built,
    spelled,
)
from resources.feast.row_digest import RowDigest

MOMENT = datetime(2024, 1, 1, tzinfo=UTC)


def recipe(**changes: Any) -> Recipe:
    given: dict[str, Any] = {
        "name": "one",
        "features": (Ref(view="user", feature="skill"),),
        "as_of": MOMENT,
        "entities": Grid(view="user", first=MOMENT, last=MOMENT, every_s=3600),
        "views": {"user": ViewUse(table="features.user", version=1, ttl_s=86400)},
        "missing": "keep",
        "normalize": False,
    }
    return Recipe(**{**given, **changes})


def digest(*tables: pa.Table) -> str:
    made = RowDigest()
    for table in tables:
        made.add(table)
    return made.hexdigest()


VALUES = st.fixed_dictionaries(
    {
        "n": st.none() | st.integers(-(2**63), 2**63 - 1),
        "x": st.none() | st.floats(allow_nan=False),
        "b": st.none() | st.booleans(),
        "s": st.none() | st.text(),
        "t": st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(lambda t: t.replace(tzinfo=UTC)),
    }
)
SCHEMA = pa.schema(
    [("n", pa.int64()), ("x", pa.float64()), ("b", pa.bool_()), ("s", pa.string()), ("t", pa.timestamp("us", "UTC"))]
)


def by_hand(rows: list[dict[str, Any]]) -> str:
    """The digest as its docstring defines it, value by value, without Arrow or NumPy."""
    told = []
    kinds = {"n": "integer", "x": "float", "b": "boolean", "s": "text", "t": "instant"}
    for name, kind in kinds.items():
        data = b""
        for row in rows:
            value = row[name]
            if value is None:
                data += bytes(9)
            elif kind == "text":
                data += b"\1" + struct.pack("<q", len(value.encode())) + value.encode()
            elif kind == "float":
                data += b"\1" + struct.pack("<d", value + 0.0)
            elif kind == "instant":
                data += b"\1" + struct.pack(
                    "<q", (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
                )
            else:
                data += b"\1" + struct.pack("<q", int(value))
        told.append([name, kind, hashlib.sha256(data).hexdigest()])
    return hashlib.sha256(json.dumps(told, separators=(",", ":")).encode()).hexdigest()


@given(st.lists(VALUES, max_size=12), st.integers(0, 12))
def test_the_digest_is_of_the_values_however_they_are_cut(rows: list[dict[str, Any]], cut: int) -> None:
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    assert digest(table) == digest(table.slice(0, cut), table.slice(cut)) == by_hand(rows)


@pytest.mark.parametrize(
    "other",
    [
        pa.table({"x": [0.0, 1.0, None]}),
        pa.table({"x": [0.0, 1.0000000000000002]}),
        pa.table({"x": [1.0, 0.0]}),
        pa.table({"y": [0.0, 1.0]}),
        pa.table({"x": [0, 1]}),
        pa.table({"x": [0.0, None]}),
    ],
)
def test_the_digest_tells_every_difference(other: pa.Table) -> None:
    assert digest(pa.table({"x": [0.0, 1.0]})) != digest(other)


def test_widths_and_the_signs_of_nan_and_zero_are_no_difference() -> None:
    assert digest(pa.table({"x": [0.0, 1.0]})) == digest(pa.table({"x": [-0.0, 1.0]}))
    wide = pa.table({"x": pa.array([0.5, None]), "n": pa.array([1, None], pa.int64())})
    narrow = pa.table({"x": pa.array([0.5, float("nan")], pa.float32()), "n": pa.array([1, None], pa.int8())})
    assert digest(wide) == digest(narrow)


def test_what_has_no_digest_is_named() -> None:
    with pytest.raises(ContractBroken, match="column d is list"):
        digest(pa.table({"d": [[1]]}))


@pytest.mark.parametrize(
    "change",
    [
        {"as_of": MOMENT + timedelta(microseconds=1)},
        {"missing": "zero"},
        {"normalize": True},
        {"features": (Ref(view="user", feature="load"),)},
        {"views": {"user": ViewUse(table="features.user", version=2, ttl_s=86400)}},
        {"feature_set_version": "2"},
    ],
)
def test_the_id_is_of_everything_the_rows_depend_on(change: dict[str, Any]) -> None:
    assert recipe().id == recipe().id != recipe(**change).id


def test_a_recipe_reads_back_as_it_was_written_and_not_when_it_was_changed() -> None:
    result = Result(digest="d", rows=1, left_out=0, columns={"x": "1"})
    built = Built(id=recipe().id, recipe=recipe(), result=result, stale_days={}, built_at=MOMENT)
    assert read_built(built.model_dump_json(), "here") == built
    with pytest.raises(ConfigurationError, match="here: the recipe is not the one"):
        read_built(built.model_dump_json().replace('"keep"', '"drop"'), "here")
    with pytest.raises(ConfigurationError, match=r"recipe\.missing"):
        read_built(built.model_dump_json().replace('"keep"', '"guess"'), "here")


def test_features_of_one_name_are_told_apart_by_their_views() -> None:
    both = recipe(features=(Ref(view="user", feature="load"), Ref(view="team", feature="load")))
    assert list(both.columns().values()) == ["user__load", "team__load"]
    assert list(recipe().columns().values()) == ["skill"]


def test_differences_are_said_in_words() -> None:
    then = Result(digest="a", rows=1000, left_out=0, columns={"x": "1", "y": "2"})
    assert differences(then, then) == []
    other = Result(digest="b", rows=2000, left_out=0, columns={"x": "1", "y": "3"})
    assert differences(then, other) == ["1,000 rows then, 2,000 now", "values of y differ"]
    assert "columns then x, y; now x" in differences(
        then, Result(digest="c", rows=1000, left_out=0, columns={"x": "1"})
    )


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(hours=24), "24h"),
        (timedelta(days=7), "7d"),
        (timedelta(minutes=90), "90m"),
        (timedelta(seconds=61), "61s"),
        (timedelta(hours=30), "30h"),
    ],
)
def test_lengths_are_spelled_in_whole_units(length: timedelta, text: str) -> None:
    assert spelled(length) == text


def test_a_grid_holds_both_ends_where_they_fit() -> None:
    grid = Grid(view="user", first=MOMENT, last=MOMENT + timedelta(hours=5), every_s=7200)
    assert instants_of(grid) == [MOMENT + timedelta(hours=hours) for hours in (0, 2, 4)]
