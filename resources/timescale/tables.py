"""Brings the database's tables to what their `TableSpec` says: creates them, adds columns, changes types.

Belongs here: creating and evolving one table, hypertable included. Does not belong here: policies, rows.
"""

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.dialects import postgresql

from resources.errors import ContractBroken
from resources.timescale import sql
from resources.timescale.capabilities import Capabilities
from resources.timescale.history import history_of
from resources.timescale.policies import hypertable_statements
from schemas.table_spec import TableSpec


def ensure(connection: sa.Connection, spec: TableSpec, capabilities: Capabilities) -> None:
    """Creates the table, or adds the nullable columns it lacks; one process at a time. So too the table of its past,
    where it keeps one.

    Raises:
        ContractBroken: a column has another type, or a new column may not be null while the table has rows.
    """
    if spec.keeps_history:
        ensure(connection, history_of(spec), capabilities)
    table = sql.table_of(spec)
    connection.execute(sql.lock([f"{spec.qualified}/ddl"]))
    inspector = sa.inspect(connection)
    if spec.schema not in inspector.get_schema_names():
        connection.execute(sa.schema.CreateSchema(spec.schema))
    if inspector.has_table(spec.name, schema=spec.schema):
        _evolve(connection, table, spec, inspector)
        return
    table.create(connection)
    if capabilities.timescaledb and spec.time_column:
        for statement in hypertable_statements(spec):
            connection.execute(statement)


def retype(connection: sa.Connection, spec: TableSpec) -> None:
    """Gives columns of the table the types of the spec. For tables whose columns are found in files; the key stays.

    They become wider (text holds everything, a number every integer up to 2^53), and narrower only where a load that
    failed had made them wider: whoever plans a file knows the columns of all files that were loaded before.
    """
    connection.execute(sql.lock([f"{spec.qualified}/ddl"]))
    inspector = sa.inspect(connection)
    if not inspector.has_table(spec.name, schema=spec.schema):
        return
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    operations = Operations(MigrationContext.configure(connection))
    present = {column["name"]: column["type"] for column in inspector.get_columns(spec.name, schema=spec.schema)}
    for column in sql.table_of(spec).columns:
        have, want = (kind.compile(dialect=dialect) for kind in (present.get(column.name, column.type), column.type))
        if have == want:
            continue
        value: sa.ColumnElement[object] = sa.column(column.name)
        if want != "TEXT" and {have, want} != {"BIGINT", "DOUBLE PRECISION"}:  # as text a number may have an exponent
            value = sa.cast(value, sa.Text)
        using = str(sa.cast(value, column.type).compile(dialect=dialect))
        operations.alter_column(spec.name, column.name, type_=column.type, schema=spec.schema, postgresql_using=using)


def _evolve(connection: sa.Connection, table: sa.Table, spec: TableSpec, inspector: sa.Inspector) -> None:
    present = {column["name"]: column for column in inspector.get_columns(spec.name, schema=spec.schema)}
    key = inspector.get_pk_constraint(spec.name, schema=spec.schema)["constrained_columns"]
    if set(key) != set(spec.key):
        raise ContractBroken(
            f"{spec.qualified} has the key {key} in the database and {list(spec.key)} in its TableSpec: migrate it"
        )
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    operations = Operations(MigrationContext.configure(connection))
    for column in table.columns:
        if column.name in present:
            have = present[column.name]["type"].compile(dialect=dialect)
            want = column.type.compile(dialect=dialect)
            if have != want:
                raise ContractBroken(
                    f"{spec.qualified}.{column.name} is {have} in the database and {want} in {spec.model.__name__}: "
                    "migrate the column, or give it a new name"
                )
            if column.nullable and not present[column.name]["nullable"]:
                operations.alter_column(spec.name, column.name, nullable=True, schema=spec.schema)
        elif not column.nullable and connection.execute(sa.select(sa.exists(sa.select(table.c[spec.key[0]])))).scalar():
            raise ContractBroken(
                f"{spec.qualified}.{column.name} is new and may not be null, but the table has rows: make it nullable"
            )
        else:
            added = sa.Column(column.name, column.type, nullable=column.nullable, comment=column.comment)
            operations.add_column(spec.name, added, schema=spec.schema)
    for name in present.keys() - set(spec.columns):
        if not present[name]["nullable"]:
            operations.alter_column(spec.name, name, nullable=True, schema=spec.schema)
