"""Writing SQL text for DuckDB safely.

Belongs here: quoting, and naming an intermediate value. Does not belong here: any statement.
"""

from collections.abc import Iterable

SPACES = " \t\r\n\u00a0\u2007\u2009\u202f\ufeff"
"""What may stand around a cell."""


def literal(text: str) -> str:
    """`text` as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def literals(texts: Iterable[str]) -> str:
    """`texts` as the inside of an SQL list."""
    return ", ".join(map(literal, texts))


def identifier(name: str) -> str:
    """`name` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def let(name: str, value: str, body: str) -> str:
    """`body`, an expression in which `name` stands for `value`, which is computed once."""
    return f"list_transform([{value}], lambda {name}: {body})[1]"


def trimmed(cell: str) -> str:
    """`cell` without the spaces around it."""
    return f"trim({cell}, {literal(SPACES)})"
