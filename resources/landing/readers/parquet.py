"""Parquet files: every value as exact text.

Belongs here: judging a footer before anything is read by it, and how each type is written as text. Does not belong
here: what the text is turned into again (`typing/`).

Timestamps are ISO 8601 with `T`; those adjusted to UTC end in `+00:00`. INT96 timestamps are read to the microsecond.
Floats are written so that reading them gives the same float, bytes as hexadecimal digits, structs, lists and maps as
JSON text. DuckDB reads the values, because it does so within its limit of memory.
"""

import struct
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from resources.errors import RejectedFile
from resources.landing.limits import Limits
from resources.landing.readers.hints import Hints
from resources.landing.readers.table_writer import PREVIEW_CHARACTERS, RAW_CHARACTERS, storable
from resources.landing.text_table import REJECTS, ROWS, TextTable, open_database, require_every_line

MAGIC, ENCRYPTED_MAGIC = b"PAR1", b"PARE"
LONGEST_DECIMAL = 38
"""Digits up to which DuckDB holds a decimal exactly; longer ones it reads as floats."""

NESTED = ("STRUCT", "MAP", "UNION", "VARIANT")
SOURCE = "read_parquet(?, file_row_number = true, hive_partitioning = false)"
NUL_IN_JSON = r"(^|[^\\])(\\\\)*\\u0000"


def read_parquet(path: Path, work_dir: Path, limits: Limits, hints: Hints) -> TextTable:
    """The rows of a Parquet file, `line_no` being the number of the row, from 1. No hint says anything about Parquet.

    Raises:
        RejectedFile: `truncated`, `corrupt`, `encrypted`, `too_large`, `bomb`, `too_many_columns`, `too_many_rows`,
            `unsupported_type` or `undecodable`.
    """
    try:
        metadata = _checked_metadata(path, limits)
    except UnicodeDecodeError as error:
        raise _bad_names(path, error) from error
    connection = open_database(work_dir, limits)
    try:
        made = _read(connection, path, metadata, limits)
    except UnicodeDecodeError as error:
        connection.close()
        raise _bad_names(path, error) from error
    except duckdb.Error as error:
        connection.close()
        if "No space left" in str(error):
            raise  # no fault of the file
        raise _refusal(path, error) from error
    except RejectedFile:
        connection.close()
        raise
    require_every_line(made)
    return made


def _checked_metadata(path: Path, limits: Limits) -> pq.FileMetaData:
    """The footer, once it is sure that following it needs no absurd amount of anything."""
    size = path.stat().st_size
    with path.open("rb") as source:
        start = source.read(4)
        source.seek(max(0, size - 8))
        end = source.read(8)
    if ENCRYPTED_MAGIC in (start, end[4:]):
        raise RejectedFile("encrypted", f"{path.name}: the Parquet file is encrypted; have it delivered in the clear")
    if start != MAGIC:
        raise RejectedFile("corrupt", f"{path.name}: no Parquet file, its first bytes are {start.hex()}")
    if end[4:] != MAGIC or size < 12:
        raise RejectedFile("truncated", f"{path.name}: the Parquet file has no end; have it delivered again")
    footer_bytes = struct.unpack("<I", end[:4])[0]
    if footer_bytes > size - 12:
        raise RejectedFile("corrupt", f"{path.name}: the footer claims {footer_bytes} bytes of a file of {size}")
    if footer_bytes > limits.memory_bytes // 8:
        raise RejectedFile("too_large", f"{path.name}: the footer has {footer_bytes} bytes; write fewer row groups")
    try:
        metadata = pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise RejectedFile("corrupt", f"{path.name}: the footer cannot be read: {error}") from error
    _check_sizes(path.name, size, metadata, limits)
    return metadata


def _check_sizes(name: str, size: int, metadata: pq.FileMetaData, limits: Limits) -> None:
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    unpacked = sum(group.total_byte_size for group in groups)
    rows = [group.num_rows for group in groups]
    if min((0, metadata.num_rows, *rows, *(group.total_byte_size for group in groups))) < 0:
        raise RejectedFile("corrupt", f"{name}: the footer claims negative sizes")
    if sum(rows) != metadata.num_rows:
        raise RejectedFile("corrupt", f"{name}: {metadata.num_rows} rows in all, {sum(rows)} in the row groups")
    if metadata.num_rows > limits.rows:
        raise RejectedFile("too_many_rows", f"{name}: {metadata.num_rows} rows, {limits.rows} are allowed; split it")
    cells = metadata.num_rows * metadata.num_columns
    for what, amount in (("bytes", unpacked), ("cells", cells)):
        if amount > _allowed(size, limits):
            raise _bomb(name, amount, what, size)
    for number in range(metadata.num_columns):
        column = metadata.schema.column(number)
        if (column.precision or 0) > LONGEST_DECIMAL:
            raise RejectedFile(
                "unsupported_type",
                f"{name}: the decimals of {column.path!r} have {column.precision} digits, {LONGEST_DECIMAL} are "
                "allowed; have them delivered as text",
            )


def _allowed(size: int, limits: Limits) -> int:
    return min(max(limits.ratio * size, limits.ratio_from_bytes), limits.unpacked_bytes)


def _bomb(name: str, amount: int, what: str, size: int) -> RejectedFile:
    return RejectedFile("bomb", f"{name}: {amount} {what} are said to be in a file of {size} bytes; is it genuine?")


def _read(connection: duckdb.DuckDBPyConnection, path: Path, metadata: pq.FileMetaData, limits: Limits) -> TextTable:
    place = [_without_wildcards(path)]
    described = connection.execute(f"DESCRIBE SELECT * FROM {SOURCE}", place).fetchall()
    types = [str(column[1]) for column in described[:-1]]  # the last is the number of the row
    if len(types) > limits.columns:
        raise RejectedFile("too_many_columns", f"{path.name}: {len(types)} columns, {limits.columns} are allowed")
    columns = [f"c{number}" for number in range(len(types))]
    source = f"{SOURCE} AS source({', '.join([*columns, 'number'])})"
    texts = [_text(column, kind) for column, kind in zip(columns, types, strict=True)]
    long = [number for number, kind in enumerate(types) if kind in ("VARCHAR", "BLOB") or _is_nested(kind)]
    _check_text_size(connection, path, source, [texts[number] for number in long], limits)
    cells = "".join(f", {text} AS {column}" for column, text in zip(columns, texts, strict=True))
    connection.execute(
        f"CREATE TABLE {ROWS} AS SELECT number + 1 AS line_no, 1::BIGINT AS line_count{cells} FROM {source}",
        place,
    )
    nested = [f"c{number}" for number in long if _is_nested(types[number])]
    _put_aside(connection, columns, [f"c{number}" for number in long], nested, limits)
    made = TextTable(
        connection=connection,
        format="parquet",
        header=_names(connection, place),
        column_count=len(columns),
        lines=metadata.num_rows,
        facts=_facts(metadata, types),
    )
    if made.count() + made.count(REJECTS) != metadata.num_rows:
        raise RejectedFile("corrupt", f"{path.name}: the footer claims {metadata.num_rows} rows, others are there")
    return made


def _without_wildcards(path: Path) -> str:
    """DuckDB takes a path for a pattern; in brackets its signs stand for themselves."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in str(path))


def _is_nested(kind: str) -> bool:
    return kind.startswith(NESTED) or kind.endswith("]")


def _text(column: str, kind: str) -> str:
    """SQL that writes a value of a column as text."""
    if _is_nested(kind):
        return f"to_json({column})::VARCHAR"
    if kind == "BLOB":
        return f"lower(hex({column}))"
    if kind.startswith("TIMESTAMP"):
        offset = " || ':00'" if kind.startswith(("TIMESTAMP WITH", "TIMESTAMPTZ")) else ""
        return f"replace({column}::VARCHAR, ' ', 'T'){offset}"
    return f"{column}::VARCHAR"


def _check_text_size(
    connection: duckdb.DuckDBPyConnection, path: Path, source: str, texts: list[str], limits: Limits
) -> None:
    """A text that stands once in a dictionary may fill any number of cells; DuckDB counts it without writing it out."""
    if not texts:
        return
    sums = " + ".join(f"coalesce(sum(strlen({text})), 0)" for text in texts)
    found = connection.execute(f"SELECT {sums} FROM {source}", [_without_wildcards(path)]).fetchone()
    amount = int(found[0]) if found else 0
    if amount > _allowed(path.stat().st_size, limits):
        raise _bomb(path.name, amount, "bytes of text", path.stat().st_size)


def _put_aside(
    connection: duckdb.DuckDBPyConnection, columns: list[str], long: list[str], nested: list[str], limits: Limits
) -> None:
    """Rows with a cell beyond the limit, or with NUL, become rejects."""
    if not long:
        return
    huge = " OR ".join(f"strlen({column}) > {limits.cell_bytes}" for column in long)
    nul = [f"contains({column}, chr(0))" for column in long]
    nul += [f"(contains({column}, '\\u0000') AND regexp_matches({column}, '{NUL_IN_JSON}'))" for column in nested]
    row = ", ".join(f"'{column}': {column}" for column in columns)
    connection.execute(
        f"INSERT INTO {REJECTS} SELECT line_no, line_count, "
        f"CASE WHEN length(raw) <= {RAW_CHARACTERS} THEN raw ELSE left(raw, {PREVIEW_CHARACTERS}) || '… [' "
        "|| length(raw) || ' characters, SHA-256 ' || sha256(raw) || ']' END, rule, "
        f"CASE rule WHEN 'nul' THEN 'a cell holds a NUL character' ELSE 'a cell holds more than {limits.cell_bytes} "
        f"bytes' END FROM (SELECT line_no, line_count, to_json({{{row}}})::VARCHAR AS raw, "
        f"CASE WHEN {huge} THEN 'cell_too_large' ELSE 'nul' END AS rule FROM {ROWS} WHERE {huge} OR {' OR '.join(nul)})"
    )
    connection.execute(f"DELETE FROM {ROWS} WHERE line_no IN (SELECT line_no FROM {REJECTS})")


def _names(connection: duckdb.DuckDBPyConnection, place: list[str]) -> tuple[str, ...]:
    """The names of the columns as the file has them: DuckDB's own tell `v` and `V` apart by changing them."""
    parts = iter(connection.execute("SELECT name, coalesce(num_children, 0) FROM parquet_schema(?)", place).fetchall())
    _, count = next(parts)
    names = []
    for _ in range(count):
        name, within = next(parts)
        names.append(storable(str(name)))
        while within:
            within += next(parts)[1] - 1
    return tuple(names)


def _facts(metadata: pq.FileMetaData, types: list[str]) -> dict[str, str | int | float | bool | None]:
    facts: dict[str, str | int | float | bool | None] = {
        "created_by": storable(str(metadata.created_by or "")) or None,
        "row_groups": metadata.num_row_groups,
    }
    leaves = [metadata.schema.column(number) for number in range(metadata.num_columns)]
    int96 = {leaf.path.split(".")[0] for leaf in leaves if leaf.physical_type == "INT96"}
    if int96:
        facts["int96_columns"] = storable(", ".join(sorted(int96)))
    return facts | {f"source_type.c{number}": kind for number, kind in enumerate(types)}


def _bad_names(path: Path, error: UnicodeDecodeError) -> RejectedFile:
    return RejectedFile("undecodable", f"{path.name}: a name in the footer is not in UTF-8: {error}")


def _refusal(path: Path, error: duckdb.Error) -> RejectedFile:
    if isinstance(error, duckdb.OutOfMemoryException):
        return RejectedFile("too_large", f"{path.name}: it needs more memory than is allowed: {error}")
    if "not valid UTF8" in str(error):
        return RejectedFile("undecodable", f"{path.name}: {storable(str(error))}; have it written as UTF-8")
    return RejectedFile("corrupt", f"{path.name}: its pages cannot be read: {storable(str(error))}")
