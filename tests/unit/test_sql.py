"""Statements as text, once; and names that are data, however odd."""

# ruff: noqa: S608  (statements as text are what is expected here; none is run)

from dataclasses import replace
from datetime import UTC, date, datetime

import pandas as pd
import pandera.pandas as pa
import psycopg2.extensions
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from resources.errors import (
    ConfigurationError,
    ContractBroken,
    CredentialsRejected,
    DatabaseUnavailable,
    TidemarkError,
)
from resources.timescale import sql
from resources.timescale.addresses import plain_url
from resources.timescale.resource import TimescaleResource, translation_of
from resources.timescale.table_slice import WHOLE_TABLE, Part, TableSlice
from schemas.base import NullableBool, NullableInt, TableModel, Text, UtcTimestamp
from schemas.table_spec import TableSpec
from schemas.window import Window

ODD = 'o"dd %s größe $1'


class Row(TableModel):
    """A row; it's %(odd)s."""

    t: UtcTimestamp = pa.Field(description="END of the hour")
    station: int
    value: float = pa.Field(nullable=True)
    count: NullableInt = pa.Field(nullable=True)
    is_valid: NullableBool = pa.Field(nullable=True)
    note: Text = pa.Field(nullable=True)


SPEC = TableSpec(
    schema="sche ma",
    name=ODD,
    model=Row,
    key=("station", "t"),
    time_column="t",
    closed="right",
    unit="station",
    known_at=None,
)
DAY = Window.of_days(date(2024, 1, 2), date(2024, 1, 2))
START, END = datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 3, tzinfo=UTC)
TABLE = '"sche ma"."o""dd %s größe $1"'


def text_of(statement: sa.Executable) -> tuple[str, tuple[object, ...]]:
    text, values = sql.render(statement)
    return " ".join(text.split()), values


def test_ddl() -> None:
    text = " ".join(str(CreateTable(sql.table_of(SPEC)).compile(dialect=sql.ARROW_DIALECT)).split())
    assert text == (
        f"CREATE TABLE {TABLE} ( t TIMESTAMP WITH TIME ZONE NOT NULL, station BIGINT NOT NULL, "
        "value DOUBLE PRECISION, count BIGINT, is_valid BOOLEAN, note TEXT, PRIMARY KEY (station, t) )"
    )
    (index,) = sql.table_of(SPEC).indexes
    assert str(CreateIndex(index).compile(dialect=sql.ARROW_DIALECT)) == (
        f'CREATE INDEX "o""dd %s größe $1_t_idx" ON {TABLE} (t)'
    )
    assert sql.table_of(SPEC).c.t.comment == "END of the hour"


def test_select_of_a_day_closed_on_the_right() -> None:
    text, values = text_of(sql.select(TableSlice.of_window(SPEC, DAY)))
    columns = ", ".join(f"{TABLE}.{name}" for name in SPEC.columns)
    assert text == (
        f"SELECT {columns} FROM {TABLE} WHERE {TABLE}.t > $1::TIMESTAMP WITH TIME ZONE AND "
        f"{TABLE}.t <= $2::TIMESTAMP WITH TIME ZONE ORDER BY {TABLE}.station, {TABLE}.t"
    )
    assert values == (START, END)


def test_delete_of_a_day_closed_on_the_left() -> None:
    text, values = text_of(sql.delete(TableSlice.of_window(replace(SPEC, closed="left"), DAY)))
    assert text == (
        f"DELETE FROM {TABLE} WHERE {TABLE}.t >= $1::TIMESTAMP WITH TIME ZONE "
        f"AND {TABLE}.t < $2::TIMESTAMP WITH TIME ZONE"
    )
    assert values == (START, END)


def test_parts_are_alternatives_and_values_are_bound() -> None:
    parts = (Part(None, (("note", ("'; DROP TABLE x; --", "%s")),)), Part(DAY, (("station", (1, 2)),)))
    text, values = text_of(sql.delete(TableSlice(SPEC, parts)))
    assert text == (
        f"DELETE FROM {TABLE} WHERE {TABLE}.note = ANY ($1::TEXT[]) OR {TABLE}.t > $2::TIMESTAMP WITH TIME ZONE "
        f"AND {TABLE}.t <= $3::TIMESTAMP WITH TIME ZONE AND {TABLE}.station = ANY ($4::BIGINT[])"
    )
    assert values == (["'; DROP TABLE x; --", "%s"], START, END, [1, 2])


def test_the_whole_table_and_nothing_of_it() -> None:
    assert text_of(sql.delete(TableSlice(SPEC, WHOLE_TABLE)))[0] == f"DELETE FROM {TABLE} WHERE true"
    assert text_of(sql.delete(TableSlice(SPEC, ())))[0] == f"DELETE FROM {TABLE} WHERE false"


def test_a_projection_names_its_columns() -> None:
    text, _ = text_of(sql.select(TableSlice(SPEC, columns=("value",)), ordered=False))
    assert text == f"SELECT {TABLE}.value FROM {TABLE} WHERE true"


def test_locks() -> None:
    shared, days = (text_of(one) for one in sql.lock_slice(TableSlice.of_window(SPEC, DAY)))
    assert shared == (
        "SELECT 1 FROM unnest($1::TEXT[]) AS anon_1(name) JOIN LATERAL "
        "pg_advisory_xact_lock_shared(hashtextextended(anon_1.name, $2::INTEGER)) AS anon_2 ON true",
        ([f"{SPEC.qualified}/all"], 0),
    )
    assert "pg_advisory_xact_lock(" in days[0] and days[1][0] == [f"{SPEC.qualified}/2024-01-02"]
    (whole,) = (text_of(one) for one in sql.lock_slice(TableSlice(SPEC)))
    assert "pg_advisory_xact_lock(" in whole[0] and whole[1][0] == [f"{SPEC.qualified}/all"]


@pytest.mark.parametrize("part", ["schema", "name"])
def test_a_name_is_at_most_63_bytes_long(part: str) -> None:
    longest = "ö" * 31 + "x"
    assert sql.table_of(replace(SPEC, **{part: longest})) is not None
    with pytest.raises(ContractBroken, match="keeps 63 bytes of a name"):
        sql.table_of(replace(SPEC, **{part: "ö" * 32}))


def test_an_index_of_a_long_name_is_cut_to_one_of_its_own() -> None:
    names = [f"{'ö' * 30}{end}" for end in "ab"]
    indexes = [next(iter(sql.table_of(replace(SPEC, name=name)).indexes)).name for name in names]
    assert len(set(indexes)) == 2 and all(len(str(name).encode()) <= 63 for name in indexes)


def test_a_table_that_is_not_cut_by_time_has_no_index_of_time() -> None:
    assert not sql.table_of(replace(SPEC, time_column=None)).indexes


def test_a_dtype_without_counterpart_is_refused() -> None:
    with pytest.raises(TypeError, match="no PostgreSQL type"):
        sql.sql_type(pd.CategoricalDtype())


@pytest.mark.parametrize("password", ["plain", "p@ss/w:rd", "a b+c", "100%", "%40", "größe", "#?&=;"])
def test_all_drivers_read_the_same_url(password: str) -> None:
    given = sa.URL.create("postgresql+psycopg2", "us er", password, "h", 5433, "d b", {"host": "/tmp/a folder+x"})
    url = plain_url(given.render_as_string(hide_password=False))
    libpq = psycopg2.extensions.parse_dsn(url)
    read = sa.make_url(url)
    assert (libpq["user"], libpq["password"], libpq["dbname"]) == ("us er", password, "d b")
    assert (read.username, read.password, read.database) == ("us er", password, "d b")
    assert libpq["host"] == read.query["host"] == "/tmp/a folder+x"
    assert libpq["connect_timeout"] == "10"
    assert plain_url(url) == url


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://u:s3cret@h/d", "postgresql://u:s3cret@h:s3cret/d", "postgresqlx://h"]
)
def test_a_url_of_something_else_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        plain_url(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_resource_does_not_show_its_password() -> None:
    shown = TimescaleResource(database_url="postgresql://u:s3cret@h/d")
    assert "s3cret" not in repr(shown) + str(shown)


@pytest.mark.parametrize(
    ("state", "message", "error"),
    [
        ("28P01", "x", CredentialsRejected),
        ("42501", "x", CredentialsRejected),
        ("3D000", "x", ConfigurationError),
        ("23505", "duplicate key\nDETAIL: Key (note)=(no connection)", ContractBroken),
        ("22021", "invalid byte sequence", ContractBroken),
        ("40P01", "deadlock detected", DatabaseUnavailable),
        ("57P01", "terminating connection", DatabaseUnavailable),
        ("55P03", "canceling statement due to lock timeout", DatabaseUnavailable),
        ("25006", "cannot execute DELETE in a read-only transaction", DatabaseUnavailable),
        ("53400", "tuple decompression limit exceeded", None),
        ("42601", "syntax error at or near connect", None),
        (None, "connection to server failed: FATAL: password authentication failed", CredentialsRejected),
        (None, 'FATAL: role "x" does not exist', CredentialsRejected),
        (None, 'FATAL: database "x" does not exist', ConfigurationError),
        (None, "server closed the connection unexpectedly", DatabaseUnavailable),
        (None, "", DatabaseUnavailable),
        (None, "something else", None),
    ],
)
def test_an_error_of_the_server_is_one_of_ours_by_its_state(
    state: str | None, message: str, error: type[TidemarkError] | None
) -> None:
    ours = translation_of(message, state)
    assert type(ours) is error if error else ours is None


def test_percent_in_names_is_doubled_only_where_the_driver_needs_it() -> None:
    statement = sql.delete(TableSlice(SPEC))
    assert "%s" in sql.render(statement)[0] and "%%s" not in sql.render(statement)[0]
    assert "%%s" in str(statement.compile(dialect=postgresql.dialect(paramstyle="pyformat")))
