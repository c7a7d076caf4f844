"""Numbers as files write them, as SQL over a cell.

Belongs here: which texts are a number in a convention, and which number. Does not belong here: choosing a convention.
"""

import re

from resources.landing.columns.kinds import Convention
from resources.landing.columns.sql_text import SPACES, let, literal

NATIVE_DIGITS = (
    "٠١٢٣٤٥٦٧٨٩"  # Arabic-Indic
    "۰۱۲۳۴۵۶۷۸۹"  # Persian
    "०१२३४५६७८९"  # Devanagari
    "０１２３４５６７８９"  # full-width
)
NATIVE_SIGNS = {"٫": ".", "٬": ",", "．": ".", "，": ",", "－": "-", "＋": "+", "\u2212": "-"}
"""Separators and signs that go with such digits; the minus of typography stands beside any."""
MINUS = "\u2212-"
"""The hyphen comes last, so that it is itself within the brackets of a pattern."""
GROUPS = {" ": " \u00a0\u2007\u2009\u202f", "'": "'\u2019"}
"""What else stands for a separator of thousands."""

PLAIN = r"\s*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*"
PLAIN_INTEGER = r"\s*[+-]?[0-9]+\s*"
PADDED = r"^\s*[+-]?0[0-9]"
PADDED_OR_PLUS = rf"^\s*\+|{PADDED}"
SURE_DIGITS = 15
"""A double holds any decimal number of so many digits."""
SHORT_INTEGER = r"\s*-?(?:0|[1-9][0-9]{0,17})\s*"
SHORT_NUMBER = r"\s*[+-]?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?\s*"
"""What is exact without a closer look, if it has no more than `SURE_DIGITS` characters."""
NAN = r"(?i)\s*[+-]?nan\s*"
INFINITE = r"(?i)\s*[+-]?(?:inf|infinity|∞)\s*"


def integer(cell: str, convention: Convention) -> str:
    """SQL of the BIGINT a cell says; NULL if it says none or one beyond 64 bits."""
    return f"TRY_CAST({number_text(cell, convention, whole=True)} AS BIGINT)"


def number(cell: str, convention: Convention) -> str:
    """SQL of the DOUBLE nearest to what a cell says; NULL if it says none or one beyond the range of doubles.

    DuckDB's cast rounds correctly, so the result is that of Python's `float`.
    """
    value = f"TRY_CAST({number_text(cell, convention, whole=False)} AS DOUBLE)"
    return let("d", value, "CASE WHEN isfinite(d) THEN d END")


def integer_is_exact(cell: str, convention: Convention) -> str:
    """SQL of whether a cell is an integer and nothing more: no zeros in front, no plus as telephone numbers have."""
    text = number_text(cell, convention, whole=True)
    exact = let("t", text, f"TRY_CAST(t AS BIGINT) IS NOT NULL AND NOT regexp_matches(t, {literal(PADDED_OR_PLUS)})")
    if is_decorated(convention) or convention.native_digits:
        return exact
    return f"CASE WHEN regexp_full_match({cell}, {literal(SHORT_INTEGER)}) THEN TRUE ELSE {exact} END"


def number_is_exact(cell: str, convention: Convention) -> str:
    """SQL of whether a cell is a number that a double holds with all its digits, without zeros in front."""
    digits = [
        f"rtrim(ltrim(replace(regexp_extract({text}, '^[^0-9.]*([0-9.]*)', 1), '.', ''), '0'), '0')"
        for text in ("t", "d::VARCHAR")
    ]
    same = f"CASE WHEN isfinite(d) AND NOT regexp_matches(t, {literal(PADDED)}) THEN {digits[0]} = {digits[1]} END"
    exact = let("t", number_text(cell, convention, whole=False), let("d", "TRY_CAST(t AS DOUBLE)", same))
    if is_decorated(convention) or convention.native_digits:
        return exact
    short = SHORT_NUMBER.replace(r"\.", re.escape(decimal_sign(convention)))
    is_short = f"length({cell}) <= {SURE_DIGITS} AND regexp_full_match({cell}, {literal(short)})"
    return f"CASE WHEN {is_short} THEN TRUE ELSE {exact} END"


def number_text(cell: str, convention: Convention, *, whole: bool) -> str:
    """SQL of a cell's number as DuckDB casts it (sign, digits, point, exponent); NULL if not of the convention."""
    if convention.native_digits:
        signs = "".join(NATIVE_SIGNS)
        plain = "0123456789" * (len(NATIVE_DIGITS) // 10) + "".join(NATIVE_SIGNS.values())
        cell = f"translate({cell}, {literal(NATIVE_DIGITS + signs)}, {literal(plain)})"
    if not is_decorated(convention) and convention.decimal != ",":
        pattern = PLAIN_INTEGER if whole else PLAIN
        return f"CASE WHEN regexp_full_match({cell}, {literal(pattern)}) THEN {cell} END"
    if not is_decorated(convention):
        pattern = PLAIN_INTEGER if whole else PLAIN.replace(r"\.", ",")
        return f"CASE WHEN regexp_full_match({cell}, {literal(pattern)}) THEN replace({cell}, ',', '.') END"
    kept = f"translate({_without_currency(cell, convention)}, {literal(_dropped(convention))}, '')"
    if decimal_sign(convention) == ",":
        kept = f"replace({kept}, ',', '.')"
    sign = f"CASE WHEN regexp_matches({cell}, {literal(f'[({MINUS}]')}) THEN '-' ELSE '' END"
    return f"CASE WHEN regexp_full_match({cell}, {literal(_pattern(convention, whole))}) THEN {sign} || {kept} END"


def is_decorated(convention: Convention) -> bool:
    """Whether there is more to a number than digits, a leading sign, a decimal sign and an exponent."""
    return bool(
        convention.thousands
        or convention.percent
        or convention.currency
        or convention.parentheses
        or convention.trailing_minus
    )


def decimal_sign(convention: Convention) -> str:
    """The decimal sign that holds: the given one, or the point, or the comma where points group thousands."""
    return convention.decimal or ("," if convention.thousands == "." else ".")


def _pattern(convention: Convention, whole: bool) -> str:
    space = f"[\\s{SPACES}]*"
    sign = f"[+{MINUS}]?"
    digits = "[0-9]+"
    if convention.thousands:
        group = f"[{re.escape(_group_signs(convention))}]"
        digits = f"(?:[0-9]{{1,3}}(?:{group}[0-9]{{3}})+|[0-9]+)"
    point = re.escape(decimal_sign(convention))
    body = digits if whole else f"(?:{digits}(?:{point}[0-9]*)?|{point}[0-9]+)"
    currency = f"(?:{re.escape(convention.currency)})?" if convention.currency else ""
    percent = f"{space}%" if convention.percent else ""
    amount = f"{currency}{space}{body}{percent}{space}{currency}"
    forms = [f"{sign}{space}{amount}"]
    if convention.currency:
        forms.append(f"{currency}{space}{sign}{space}{body}{percent}{space}")
    if convention.parentheses:
        forms.append(f"{currency}{space}\\({space}{amount}{space}\\){space}{currency}")
    if convention.trailing_minus:
        forms.append(f"{amount}{space}[{MINUS}]{space}{currency}")
    return f"{space}(?:{'|'.join(forms)}){space}"


def _without_currency(cell: str, convention: Convention) -> str:
    return f"replace({cell}, {literal(convention.currency)}, '')" if convention.currency else cell


def _dropped(convention: Convention) -> str:
    """The characters that are no part of the number once it is known to be one."""
    return SPACES + "+%()" + MINUS + (_group_signs(convention) if convention.thousands else "")


def _group_signs(convention: Convention) -> str:
    return GROUPS.get(convention.thousands or "", convention.thousands or "")
