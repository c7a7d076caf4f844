"""A generated delivery organisation in a PostgreSQL, MySQL or MariaDB database of its own.

Belongs here: tables, and writing days into them. Does not belong here: what happens on a day (`delivery.py`).
"""

import io
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd
import pyarrow as pa
import sqlalchemy as sa
from psycopg2 import sql
from pyarrow import csv
from sqlalchemy.dialects import mysql

from resources.sources.samples.delivery import DeliveryDay, Organisation
from resources.sources.samples.delivery_truth import DayTruth
from schemas.base import dtypes_of
from schemas.source_datasets.delivery import DATASET

DRIVERS = {"postgresql": "postgresql+psycopg2", "mysql": "mysql+pymysql", "mariadb": "mysql+pymysql"}
ROWS_AT_A_TIME = 200_000
INSERTED_AT_A_TIME = 1_000
ID_LENGTH = 64
"""Characters of an id: MariaDB indexes no text without a length."""


def write_database(url: str, organisation: Organisation, *, days: int) -> "DeliveryDatabase":
    """Creates the source's tables in an empty database and fills them with the organisation's next `days` days."""
    database = DeliveryDatabase(url, organisation)
    database.create()
    database.advance(days)
    return database


class DeliveryDatabase:
    """The source's tables at `url` (`postgresql://…` or `mysql://…`): every version of every thing is a row, and
    nothing ever changes or goes. As in many a real source, no key forbids a version to be there twice."""

    def __init__(self, url: str, organisation: Organisation) -> None:
        parsed = sa.make_url(url)
        driver = DRIVERS[parsed.get_backend_name()]
        self._engine = sa.create_engine(parsed.set(drivername=driver), poolclass=sa.NullPool)
        self.organisation = organisation
        self.truth: list[DayTruth] = []
        """Of the days written, in order."""
        self._metadata = sa.MetaData()
        self.tables = {table.name: _table(table.name, self._metadata) for table in DATASET.tables}

    def create(self) -> None:
        """Creates the tables.

        Raises:
            sqlalchemy.exc.OperationalError: the database does not answer, or has tables of these names already.
        """
        self._metadata.create_all(self._engine, checkfirst=False)

    def advance(self, days: int) -> list[DayTruth]:
        """Lets time pass: writes what happens on the next `days` days, and says what is true of them."""
        truths = []
        for portion in _portions(self.organisation.days(days)):
            truths += [day.truth for day in portion]
            with self._engine.begin() as connection:
                for name, table in self.tables.items():
                    rows = pd.concat([day.tables[name] for day in portion], ignore_index=True)
                    self._write(connection, table, rows)
        self.truth += truths
        return truths

    def insert(self, name: str, rows: pd.DataFrame) -> None:
        """Adds rows of one's own making to a table."""
        with self._engine.begin() as connection:
            self._write(connection, self.tables[name], rows)

    def _write(self, connection: sa.Connection, table: sa.Table, rows: pd.DataFrame) -> None:
        if rows.empty:
            return
        if self._engine.dialect.name == "postgresql":
            _copy(connection, table, rows)
            return
        for start in range(0, len(rows), INSERTED_AT_A_TIME):
            connection.execute(sa.insert(table), _values(rows.iloc[start : start + INSERTED_AT_A_TIME]))


def _table(name: str, metadata: sa.MetaData) -> sa.Table:
    declared = DATASET.table(f"delivery_{name}")
    types = dtypes_of(declared.staging)
    columns = [sa.Column(column, _type(column, types[column])) for column in declared.data_columns]
    stamp = declared.changed_at
    return sa.Table(
        name, metadata, *columns, sa.Index(f"{name}_{stamp}_idx", stamp, *declared.key), mysql_charset="utf8mb4"
    )


def _type(name: str, dtype: object) -> sa.types.TypeEngine[Any]:
    if isinstance(dtype, pd.DatetimeTZDtype):
        return sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    if pd.api.types.is_bool_dtype(dtype):  # type: ignore[arg-type]
        return sa.Boolean()
    if pd.api.types.is_integer_dtype(dtype):  # type: ignore[arg-type]
        return sa.BigInteger()
    if pd.api.types.is_float_dtype(dtype):  # type: ignore[arg-type]
        return sa.Double()
    return sa.String(ID_LENGTH) if name.endswith("_id") else sa.Text()


def _portions(days: Iterable[DeliveryDay]) -> Iterator[list[DeliveryDay]]:
    """The days, as many together as make a portion of rows."""
    portion: list[DeliveryDay] = []
    rows = 0
    for day in days:
        portion.append(day)
        rows += sum(map(len, day.tables.values()))
        if rows >= ROWS_AT_A_TIME:
            yield portion
            portion, rows = [], 0
    if portion:
        yield portion


def _copy(connection: sa.Connection, table: sa.Table, rows: pd.DataFrame) -> None:
    content = io.BytesIO()
    # Of columns in several chunks, an empty one among them, Arrow's writer makes rows of zero bytes.
    whole = pa.Table.from_pandas(rows, preserve_index=False).combine_chunks()
    csv.write_csv(whole, content, csv.WriteOptions(include_header=False))
    content.seek(0)
    names = sql.SQL(", ").join(map(sql.Identifier, rows.columns))
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(sql.Identifier(table.name), names)
    driver = connection.connection.driver_connection
    with driver.cursor() as cursor:  # type: ignore[union-attr]
        cursor.copy_expert(statement.as_string(cursor), content)


def _values(rows: pd.DataFrame) -> list[dict[str, object]]:
    """The rows as Python values; instants without a zone, in UTC, as MariaDB keeps them."""
    plain: dict[str, list[object]] = {}
    for name, values in rows.items():
        if isinstance(values.dtype, pd.DatetimeTZDtype):
            values = values.dt.tz_localize(None)
        plain[str(name)] = [None if pd.isna(value) else value for value in _python(values)]
    return [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]


def _python(values: pd.Series) -> list[Any]:
    if pd.api.types.is_datetime64_dtype(values.dtype):
        return [stamp.to_pydatetime() for stamp in values]
    return list(values.tolist())
