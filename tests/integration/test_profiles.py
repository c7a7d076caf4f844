"""Column profiles as the database computes them, against pandas on the same rows; written twice they are the same."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets_pkg.retention import profile_retention
from resources.catalog.schema import CatalogedTimescale
from resources.profiling import profile_store
from resources.profiling.profile_statements import BEYOND_MOMENTS, TEXT_KEPT
from resources.profiling.profiles import PROFILE_COLUMNS, profiles
from resources.timescale import sql
from resources.timescale.resource import TimescaleResource
from schemas.base import NullableBool, NullableInt, Text, UtcTimestamp
from schemas.catalog_profiles import MOST_COMMON, QUANTILES
from schemas.spelled_models import model_of
from schemas.table_spec import TableSpec
from schemas.window import Window, midnight

DAY = date(2026, 3, 1)
KINDS: dict[str, Any] = {
    "stamp": UtcTimestamp,
    "number": float,
    "whole": NullableInt,
    "is_so": NullableBool,
    "seen_at": UtcTimestamp,
    "words": Text,
}
SPEC = TableSpec(
    schema="public",
    name="profiled",
    model=model_of(
        "Profiled",
        "A column of each kind.",
        {name: (kind, pa.Field(nullable=name != "stamp", description=name)) for name, kind in KINDS.items()},
    ),
    key=("stamp",),
    time_column="stamp",
    closed="right",
    known_at=None,
)
Row = dict[str, Any]


@pytest.fixture(scope="module")
def database(module_postgres_url: str) -> Iterator[TimescaleResource]:
    timescale = CatalogedTimescale(database_url=module_postgres_url)
    table = sql.table_of(SPEC)
    with timescale.connect() as connection:
        table.create(connection)
        # Rows of one instant are as good as any other here.
        connection.execute(sa.DDL("ALTER TABLE public.profiled DROP CONSTRAINT profiled_pkey"))
    yield timescale


def profiled(timescale: TimescaleResource, rows: Sequence[Row], window: Window) -> pd.DataFrame:
    """The profiles of a table of just these rows."""
    table = sql.table_of(SPEC)
    with timescale.connect() as connection:
        connection.execute(sa.delete(table))
        if rows:
            connection.execute(sa.insert(table), list(rows))
        return profiles(connection, SPEC, window)


def row(**values: Any) -> Row:
    return {name: None for name in KINDS} | {"stamp": midnight(DAY) + timedelta(hours=1)} | values


NUMBERS = st.one_of(
    st.none(),
    st.sampled_from([0.0, 1.5, -2.0, float("nan"), float("inf"), float("-inf"), 1e308, -1e308, 1e100]),
    st.floats(-1e6, 1e6, allow_subnormal=False),
)
ROWS = st.lists(
    st.builds(
        row,
        stamp=st.integers(1, 3 * 24 * 3600 * 10**6).map(lambda us: midnight(DAY) + timedelta(microseconds=us)),
        number=NUMBERS,
        whole=st.one_of(st.none(), st.integers(-3, 3), st.integers(-(2**53), 2**53)),
        is_so=st.sampled_from([None, True, False]),
        seen_at=st.one_of(st.none(), st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))),
        words=st.one_of(
            st.none(),
            st.sampled_from(["", "a", "A", "ä", " a"]),
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
        ),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, days=st.sampled_from([1, 3]))
def test_a_profile_says_of_each_column_what_pandas_says(
    database: TimescaleResource, rows: list[Row], days: int
) -> None:
    window = Window.of_days(DAY, DAY + timedelta(days=days - 1))
    found = profiled(database, rows, window)
    assert list(found.columns) == PROFILE_COLUMNS
    for n in range(days):
        day = DAY + timedelta(days=n)
        mine = [one for one in rows if midnight(day) < one["stamp"] <= midnight(day) + timedelta(days=1)]
        told = found[found["day"] == day].set_index("column_name")
        assert list(told.index) == (list(KINDS) if mine else [])
        for name in told.index:
            expect(told.loc[name], name, [one[name] for one in mine])
    assert set(found["day"]) <= {DAY + timedelta(days=n) for n in range(days)}


def expect(told: Any, name: str, cells: list[Any]) -> None:
    values = [cell for cell in cells if cell is not None]
    assert (told["rows"], told["nulls"]) == (len(cells), len(cells) - len(values))
    assert told["distinct_values"] == pd.Series([repr(v) for v in plain(values)], dtype=object).nunique()
    expected: dict[str, Any] = dict.fromkeys(
        ("minimum", "maximum", "mean", "std", *QUANTILES, "length_min", "length_mean", "length_max", "true_pct")
    )
    if name in ("number", "whole"):
        series = pd.Series(values, dtype="float64")
        finite = series[np.isfinite(series)]
        assert (told["nans"], told["infinities"]) == (series.isna().sum(), np.isinf(series).sum())
        if len(finite):
            ordered = np.sort(finite.to_numpy())
            expected |= {"minimum": ordered[0], "maximum": ordered[-1]}
            expected |= {
                key: ordered[max(int(np.ceil(share * len(ordered) - 1e-9)) - 1, 0)] for key, share in QUANTILES.items()
            }
            if np.abs(ordered).max() <= BEYOND_MOMENTS:
                expected |= {"mean": ordered.mean(), "std": ordered.std(ddof=1) if len(ordered) > 1 else None}
        told = told.copy()
        for end in ("minimum", "maximum"):
            told[end] = None if told[end] is None else float(told[end])
    elif values and name == "words":
        lengths = [len(value) for value in values]
        expected |= {"length_min": min(lengths), "length_max": max(lengths), "length_mean": float(np.mean(lengths))}
        expected |= {"minimum": min(values, key=str.encode), "maximum": max(values, key=str.encode)}
    elif values and name == "is_so":
        expected["true_pct"] = 100 * sum(values) / len(values)
    elif values:
        expected |= {"minimum": min(values).isoformat(), "maximum": max(values).isoformat()}
    for key, wanted in expected.items():
        if wanted is None:
            assert pd.isna(told[key]), (name, key)
        elif isinstance(wanted, str):
            assert told[key] == wanted, (name, key)
        else:
            scale = (
                max(abs(value) for value in values if isinstance(value, str) or np.isfinite(value))
                if key
                in (
                    "mean",
                    "std",
                )
                else 0
            )
            assert told[key] == pytest.approx(wanted, rel=1e-9, abs=1e-9 * scale), (name, key)
    counts = pd.Series([repr(value) for value in plain(values)], dtype=object).value_counts()
    repeated = sorted((int(n) for n in counts if n > 1), reverse=True)
    assert [count for _, count in told["common"]] == repeated[:MOST_COMMON], name


def plain(values: list[Any]) -> list[Any]:
    """PostgreSQL tells no negative zero from zero."""
    return [0.0 if isinstance(value, float) and value == 0 else value for value in values]


def test_a_constant_is_its_own_quantile_and_the_most_common_value(database: TimescaleResource) -> None:
    found = profiled(database, [row(number=2.5, words="same")] * 4, Window.of_days(DAY, DAY)).set_index("column_name")
    number, words = found.loc["number"], found.loc["words"]
    assert [number[name] for name in ("minimum", "maximum")] == ["2.5", "2.5"]
    assert {number[name] for name in ("mean", *QUANTILES)} == {2.5}
    assert (number["std"], number["distinct_values"], number["common"]) == (0.0, 1, [["2.5", 4]])
    assert (words["common"], words["length_max"]) == ([["same", 4]], 4)


def test_common_values_are_in_order_and_single_ones_are_none(database: TimescaleResource) -> None:
    rows = [row(words=word) for word in "ccbbaaaddeeffg"]
    found = profiled(database, rows, Window.of_days(DAY, DAY)).set_index("column_name")
    assert found.loc["words", "common"] == [["a", 3], ["b", 2], ["c", 2], ["d", 2], ["e", 2]]
    assert found.loc["words", "distinct_values"] == 7


def test_a_long_text_is_kept_short_and_measured_whole(database: TimescaleResource) -> None:
    found = profiled(database, [row(words="x" * 5_000)] * 2, Window.of_days(DAY, DAY)).set_index("column_name")
    words = found.loc["words"]
    assert words["length_max"] == 5_000
    assert {len(words["minimum"]), len(words["maximum"]), len(words["common"][0][0])} == {TEXT_KEPT}


def test_profiles_written_twice_are_the_same_and_go_when_their_rows_do(database: TimescaleResource) -> None:
    days = [DAY, DAY + timedelta(days=1)]
    rows = [row(number=1.0), row(number=2.0, stamp=midnight(days[1]) + timedelta(hours=3), words="b")]
    window = Window.of_days(*days)
    found = profiled(database, rows, window)
    kept = []
    for _ in range(2):
        with database.connect() as connection:
            profile_store.keep(connection, SPEC, window, found)
            kept.append(profile_store.kept(connection, SPEC.qualified, days))
            assert profile_store.days_of(connection, SPEC.qualified) == days
    pd.testing.assert_frame_equal(*kept)
    pd.testing.assert_frame_equal(kept[0], found)
    with database.connect() as connection:
        profile_store.keep(connection, SPEC, Window.of_days(DAY, DAY), profiled(database, rows[1:], window).iloc[:0])
        assert profile_store.days_of(connection, SPEC.qualified) == days[1:]


def test_profiles_past_their_retention_go(database: TimescaleResource) -> None:
    days = [DAY, DAY + timedelta(days=1)]
    rows = [row(number=1.0), row(number=2.0, stamp=midnight(days[1]) + timedelta(hours=3))]
    window = Window.of_days(*days)
    with database.connect() as connection:
        profile_store.keep(connection, SPEC, window, profiled(database, rows, window))
    kept = (datetime.now(UTC).date() - days[1]).days
    result = profile_retention.execute_in_process(
        resources={"timescale": database},
        run_config={"ops": {"forget_profiles": {"config": {"keep_days": kept}}}},
    )
    assert result.success
    with database.connect() as connection:
        assert profile_store.days_of(connection, SPEC.qualified) == days[1:]


def test_a_table_of_more_columns_than_a_statement_takes_is_profiled_whole(module_postgres_url: str) -> None:
    names = [f"feature_{n}" for n in range(150)]
    columns: dict[str, Any] = {"stamp": (UtcTimestamp, pa.Field(description="when"))}
    columns |= {name: (float, pa.Field(nullable=True, description=name)) for name in names}
    spec = TableSpec(
        schema="public",
        name="wide",
        model=model_of("Wide", "Many.", columns),
        key=("stamp",),
        time_column="stamp",
        known_at=None,
    )
    table = sql.table_of(spec)
    with TimescaleResource(database_url=module_postgres_url).connect() as connection:
        table.create(connection)
        connection.execute(
            sa.insert(table), [{"stamp": midnight(DAY), **{name: float(n) for n, name in enumerate(names)}}]
        )
        found = profiles(connection, spec, Window.of_days(DAY, DAY)).set_index("column_name")
    assert list(found.index) == ["stamp", *names]
    assert [found.loc[name, "p50"] for name in names] == [float(n) for n in range(150)]


def test_profiles_are_the_same_on_plain_postgres_and_on_timescale(
    postgres_url: str, request: pytest.FixtureRequest, database: TimescaleResource
) -> None:
    rows = [row(number=float(n % 3), whole=n, is_so=n % 2 == 0, words=f"w{n % 4}") for n in range(20)]
    window = Window.of_days(DAY, DAY)
    plain_one = profiled(database, rows, window)
    other = TimescaleResource(database_url=request.getfixturevalue("timescale_url"))
    with other.connect() as connection:
        connection.execute(sa.DDL("CREATE EXTENSION IF NOT EXISTS timescaledb"))
        sql.table_of(SPEC).create(connection)
        connection.execute(sa.DDL("ALTER TABLE public.profiled DROP CONSTRAINT profiled_pkey"))
        connection.execute(sa.DDL("SELECT create_hypertable('public.profiled', 'stamp')"))
    pd.testing.assert_frame_equal(profiled(other, rows, window), plain_one)
