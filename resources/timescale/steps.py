"""Steps that bring TimescaleDB to a declared state, and the pieces of SQL they are composed of.

Belongs here: what hypertables, policies and continuous aggregates have in common. Does not belong here: any of them.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles

ONE: sa.ColumnElement[int] = sa.literal_column("1", sa.Integer)


@dataclass(frozen=True)
class Step:
    """A statement, and the query that has a row where it has nothing left to do."""

    statement: sa.Executable
    unless: sa.Select[Any]

    def is_due(self, connection: sa.Connection) -> bool:
        """Whether the database differs from what the step is for."""
        return connection.execute(self.unless).first() is None


def run(connection: sa.Connection, steps: list[Step]) -> None:
    """Executes, in order, each step that is due when its turn comes."""
    for step in steps:
        if step.is_due(connection):
            connection.execute(step.statement)


class Statement(sa.ExecutableDDLElement):
    """DDL SQLAlchemy has no class for: keywords as they are; names, literals and queries rendered by its compiler."""

    inherit_cache = False

    def __init__(self, *parts: str | sa.ClauseElement) -> None:
        self.parts = parts


@compiles(Statement, "postgresql")
def _render(statement: Statement, compiler: Any, **_: object) -> str:
    def render(part: str | sa.ClauseElement) -> str:
        if isinstance(part, str):
            return part
        if isinstance(part, sa.TableClause):
            return str(compiler.preparer.format_table(part))
        return str(compiler.sql_compiler.process(part, literal_binds=True))

    return " ".join(map(render, statement.parts))


def information(view: str, *columns: str | sa.ColumnClause[Any]) -> sa.TableClause:
    """A view of TimescaleDB's information schema; all of them name the table they speak of in the same two columns."""
    named = (sa.column(column) if isinstance(column, str) else column for column in columns)
    return sa.table(
        view, sa.column("hypertable_schema"), sa.column("hypertable_name"), *named, schema="timescaledb_information"
    )


def about(view: sa.TableClause, schema: str, name: str) -> sa.ColumnElement[bool]:
    """Whether a row of an information view speaks of that table."""
    return sa.and_(view.c.hypertable_schema == schema, view.c.hypertable_name == name)


_JOBS = information("jobs", "proc_name", sa.column("config", postgresql.JSONB))


def jobs(schema: str, name: str, policy: str) -> sa.Select[Any]:
    """The policies of a kind on a table or continuous aggregate: a row for each, at most one."""
    return sa.select(ONE).where(about(_JOBS, schema, name), _JOBS.c.proc_name == f"policy_{policy}")


def configured(setting: str) -> sa.ColumnElement[timedelta]:
    """A policy's setting that is an interval, in a condition on `jobs`."""
    return sa.cast(_JOBS.c.config[setting].astext, sa.Interval)


def call(function: sa.FromClause) -> sa.Select[Any]:
    """Runs a function; `select 1 from`, because the Arrow driver can read neither void nor a record."""
    return sa.select(ONE).select_from(function)


def regclass(schema: object, name: object) -> sa.ColumnElement[Any]:
    """The table of that name, whatever characters it holds."""
    return sa.cast(sa.func.format("%I.%I", schema, name), postgresql.REGCLASS)


def interval(length: timedelta) -> sa.ColumnElement[timedelta]:
    """An interval that reads the same as a bound value and inside DDL, where nothing can be bound."""
    text = f"{length.days} days {length.seconds} seconds {length.microseconds} microseconds"
    return sa.cast(sa.literal(text, sa.Text), sa.Interval)
