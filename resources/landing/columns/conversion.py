"""One cell's typed value and, if it has none, the rule it breaks, as SQL.

Belongs here: the kinds' conversions side by side, and what counts as missing. Does not belong here: how numbers and
instants are written (`numbers.py`, `instants.py`), rows and tables (`casting.py`).
"""

from dataclasses import dataclass

from resources.landing.columns.instants import LEAP_CELL, instant, why_not
from resources.landing.columns.kinds import Convention, Kind
from resources.landing.columns.numbers import INFINITE, NAN, integer, number, number_text
from resources.landing.columns.sql_text import literal, literals, trimmed

SQL_TYPES = {
    Kind.TEXT: "VARCHAR",
    Kind.INTEGER: "BIGINT",
    Kind.NUMBER: "DOUBLE",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.TIMESTAMP: "TIMESTAMPTZ",
}
NAN_RULE = "nan"
LEAP_RULE = "leap second"
NUL = "chr(0)"


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """SQL expressions over one column of cells."""

    missing: str
    """BOOLEAN, never NULL: the cell holds no value."""
    value: str
    """The typed value; NULL if the cell is missing or cannot be converted."""
    rule: str
    """VARCHAR: the rule that a cell breaks which is neither missing nor has a value."""
    noted: str | None
    """BOOLEAN: the cell has a value, of which `LEAP_RULE` is to be noted; None: such a cell cannot be."""


def conversion(cell: str, kind: Kind, convention: Convention) -> Conversion:
    """How the cells of the DuckDB column `cell` become values of `kind`."""
    missing = f"({cell} IS NULL OR {cell} = '')"
    if kind is not Kind.TEXT or convention.missing_words:
        words = literals(
            dict.fromkeys(("", *convention.missing_words) if kind is not Kind.TEXT else convention.missing_words)
        )
        missing = f"({cell} IS NULL OR {cell} = '' OR {trimmed(cell)} IN ({words}))"
    value, rule = _EXPRESSIONS[kind](cell, convention)
    if convention.missing_words:
        value = f"CASE WHEN NOT {missing} THEN {value} END"
    noted = None
    if kind is Kind.TIMESTAMP and not convention.epoch_unit:
        noted = f"contains({cell}, {literal(LEAP_CELL)})"
    return Conversion(missing=missing, value=value, rule=rule, noted=noted)


def _text(cell: str, _: Convention) -> tuple[str, str]:
    return f"CASE WHEN {cell} <> '' AND NOT contains({cell}, {NUL}) THEN {cell} END", "'NUL character'"


def _integer(cell: str, convention: Convention) -> tuple[str, str]:
    digits = number_text(cell, convention, whole=True)
    rule = (
        f"CASE WHEN regexp_full_match({cell}, {literal(NAN)}) THEN '{NAN_RULE}'"
        f" WHEN regexp_full_match({cell}, {literal(INFINITE)}) THEN 'not_finite'"
        f" WHEN {digits} IS NOT NULL THEN 'beyond 64 bits' ELSE 'not an integer' END"
    )
    return integer(cell, convention), rule


def _number(cell: str, convention: Convention) -> tuple[str, str]:
    digits = number_text(cell, convention, whole=False)
    rule = (
        f"CASE WHEN regexp_full_match({cell}, {literal(NAN)}) THEN '{NAN_RULE}'"
        f" WHEN regexp_full_match({cell}, {literal(INFINITE)}) OR {digits} IS NOT NULL THEN 'not_finite'"
        " ELSE 'not a number' END"
    )
    return number(cell, convention), rule


def _boolean(cell: str, convention: Convention) -> tuple[str, str]:
    word = f"lower({trimmed(cell)})"
    true_words = literals(convention.true_words or ("true",))
    false_words = literals(convention.false_words or ("false",))
    return (
        f"CASE WHEN {word} IN ({true_words}) THEN TRUE WHEN {word} IN ({false_words}) THEN FALSE END",
        "'not a boolean'",
    )


def _timestamp(cell: str, convention: Convention) -> tuple[str, str]:
    return instant(cell, convention), why_not(cell, convention)


_EXPRESSIONS = {
    Kind.TEXT: _text,
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.BOOLEAN: _boolean,
    Kind.TIMESTAMP: _timestamp,
}
