"""Which kinds and conventions some cells may be written in, to be verified on all.

Belongs here: reading the signs of a sample. Does not belong here: deciding (`inference.py`), converting
(`conversion.py`), either of which is exact where this is generous.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from resources.landing.columns.instants import DATES, EPOCH_US, ISO_BASIC, PER_SECOND, TIME
from resources.landing.columns.kinds import Convention, Kind
from resources.landing.columns.numbers import GROUPS, MINUS, NATIVE_DIGITS, NATIVE_SIGNS
from resources.landing.columns.sql_text import SPACES

LIKELY = 0.5
"""Share of the cells that must look like a kind for it to be tried."""

MISSING_WORDS = ("na", "n/a", "#n/a", "nan", "nat", "null", "none", "nil", "missing", "-", "--", "---", "?", ".")
"""Lower-case texts that stand for a missing value in a column that is otherwise numbers or instants."""

PAIRS = (
    ("true", "false"),
    ("yes", "no"),
    ("t", "f"),
    ("y", "n"),
    ("ja", "nein"),
    ("j", "n"),
    ("wahr", "falsch"),
    ("oui", "non"),
    ("o", "n"),
    ("vrai", "faux"),
    ("si", "no"),
    ("sí", "no"),
    ("sim", "não"),
    ("ja", "nee"),
    ("tak", "nie"),
    ("on", "off"),
)
SURE_PAIR = PAIRS[0]
"""Either word alone says that the column is boolean."""

CURRENCY_CODES = re.compile(
    "AUD|BRL|CAD|CHF|CNY|CZK|DKK|EUR|GBP|HKD|HUF|IDR|ILS|INR|JPY|KRW|MXN|NOK|NZD|PHP|PLN|RON|RUB|SEK|SGD|THB|TRY|USD|ZAR"
    r"|kr|zł|Kč|Ft|Fr|R\$|US\$|A\$|C\$"
)
TIME_HINTS = re.compile(
    r"(?i:(?<![a-z])(?:time|timestamp|datetime|date|epoch|unix|ts|when|at|created|updated|modified|zeit|datum)(?![a-z]))"
    r"|(?<=[a-z])(?:At|Time|Timestamp|Date|Ts)(?![a-z])|(?i:timestamp|datetime)"
)
"""Words in a column's name by which whole numbers may be counts since 1970."""

DECIMALS = (None, ".", ",")
THOUSANDS = (None, ",", ".", " ", "'")

BETWEEN_DIGITS = re.compile(
    rf"(?<=\d)([.,{''.join(GROUPS.values())}])(?=\d)|(?<!\d)([.,])(?=\d)|(?<=\d)([.,])(?!\d)", re.ASCII
)
EXPONENT = re.compile(r"\d[eE][+-]?\d", re.ASCII)
TRAILING_MINUS = re.compile(rf"[\d.,]\s*[{MINUS}]", re.ASCII)
NUMBER_SIGNS = re.compile(rf"(?<=[\d.])[eE](?=[+-]?\d)|[\d.,'’+()%{SPACES}{MINUS}]", re.ASCII)
AS_ASCII = str.maketrans(
    NATIVE_DIGITS + "".join(NATIVE_SIGNS), "0123456789" * (len(NATIVE_DIGITS) // 10) + "".join(NATIVE_SIGNS.values())
)
STAMPS = {order: re.compile(rf"\s*{pattern}{TIME}\s*", re.ASCII) for order, (pattern, _) in DATES.items()}
BASIC_STAMP = re.compile(ISO_BASIC, re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One way to read a column."""

    kind: Kind
    convention: Convention
    needs_sign_of_fraction: bool = False
    """`1e5` is a number only where some cell has a point or a signed exponent; else it may as well be an identifier."""


def candidates(cells: Collection[str], header: str | None, declared: Convention) -> list[Candidate]:
    """The ways to read the cells (none of them missing) that a declaration leaves, the most telling kind first."""
    found = list(_booleans(cells))
    values = [cell for cell in cells if cell.strip().lower() not in MISSING_WORDS and cell.strip()]
    if values:
        found += _stamps(values)
        numbers = list(_numbers(values))
        # Only what is declared to be an instant has a zone declared.
        if declared.epoch_unit or declared.timezone or TIME_HINTS.search(header or ""):
            found += _epochs(values)
        found += numbers
    return [_with(declared, candidate) for candidate in found if _agrees(declared, candidate)]


def _agrees(declared: Convention, candidate: Candidate) -> bool:
    """Whether a candidate contradicts nothing that is declared."""
    convention = candidate.convention
    if candidate.kind in (Kind.INTEGER, Kind.NUMBER):
        signs = ((declared.decimal, convention.decimal), (declared.thousands, convention.thousands))
        crossed = ((declared.decimal, convention.thousands), (declared.thousands, convention.decimal))
        clash = any(wanted and wanted == other for wanted, other in crossed)
        return not clash and all(not wanted or own in (None, wanted) for wanted, own in signs)
    if candidate.kind is Kind.TIMESTAMP and convention.epoch_unit:
        return declared.epoch_unit in (None, convention.epoch_unit) and declared.date_order is None
    if candidate.kind is Kind.TIMESTAMP:
        return declared.date_order in (None, convention.date_order) and declared.epoch_unit is None
    return True


def _with(declared: Convention, candidate: Candidate) -> Candidate:
    zone = declared.timezone if candidate.kind is Kind.TIMESTAMP and not candidate.convention.epoch_unit else None
    convention = replace(candidate.convention, timezone=zone, missing_words=declared.missing_words)
    return replace(candidate, convention=convention)


def _booleans(cells: Collection[str]) -> Iterator[Candidate]:
    words = {cell.strip().lower() for cell in cells}
    for true_word, false_word in PAIRS:
        if words and words <= {true_word, false_word, ""}:
            yield Candidate(
                kind=Kind.BOOLEAN, convention=Convention(true_words=(true_word,), false_words=(false_word,))
            )


def _stamps(cells: list[str]) -> Iterator[Candidate]:
    for order, pattern in STAMPS.items():
        fitting = sum(bool(pattern.fullmatch(cell) or (order == "YMD" and BASIC_STAMP.match(cell))) for cell in cells)
        if fitting >= LIKELY * len(cells):
            yield Candidate(kind=Kind.TIMESTAMP, convention=Convention(date_order=order))


def _epochs(cells: list[str]) -> Iterator[Candidate]:
    counts = [int(cell) for cell in cells if cell.strip().isdecimal() and len(cell) < 30]
    for unit, per_second in PER_SECOND.items():
        first, end = (bound // 1_000_000 * per_second for bound in EPOCH_US)
        if any(first <= count < end for count in counts):
            yield Candidate(kind=Kind.TIMESTAMP, convention=Convention(epoch_unit=unit))


def _numbers(cells: list[str]) -> Iterator[Candidate]:
    written = [cell.translate(AS_ASCII) for cell in cells]
    beside = [NUMBER_SIGNS.sub("", cell) for cell in written]
    pairs = zip(cells, written, beside, strict=True)
    numeric = [
        (cell, text, rest)
        for cell, text, rest in pairs
        if re.search("[0-9]", text) and (not rest or _is_currency(rest))
    ]
    currencies = Counter(rest for *_, rest in numeric if rest)
    currency = max(currencies, key=currencies.__getitem__, default=None)
    numeric = [one for one in numeric if one[2] in ("", currency)]
    if len(numeric) < LIKELY * len(cells) or (currency and 2 * currencies[currency] <= currencies.total()):
        return
    texts = [text.replace(currency or "", "") for _, text, _ in numeric]
    base = Convention(
        native_digits=any(cell != text for cell, text, _ in numeric),
        currency=currency,
        percent=2 * sum("%" in text for text in texts) > len(texts),
        parentheses=any("(" in text for text in texts),
        trailing_minus=any(TRAILING_MINUS.search(text) for text in texts),
    )
    signs = {_plain_sign(match.group()) for text in texts for match in BETWEEN_DIGITS.finditer(text)}
    has_exponent = any(EXPONENT.search(text) for text in texts)
    if not signs and has_exponent:
        yield Candidate(kind=Kind.NUMBER, convention=replace(base, decimal="."), needs_sign_of_fraction=True)
        return
    pairs_of_signs = [(decimal, thousands) for decimal in DECIMALS for thousands in THOUSANDS]
    fitting = [pair for pair in pairs_of_signs if {*pair} - {None} <= signs and _fits(texts, *pair)]
    # A sign that only broken cells have must not hide how the others are written.
    whole = [pair for pair in fitting if {*pair} - {None} == signs] or [pair for pair in fitting if any(pair)]
    for decimal, thousands in whole:
        kind = Kind.NUMBER if decimal else Kind.INTEGER
        yield Candidate(kind=kind, convention=replace(base, decimal=decimal, thousands=thousands))


def _fits(texts: list[str], decimal: str | None, thousands: str | None) -> bool:
    """Whether the signs stand where they must in enough of the texts that have them."""
    if thousands and thousands == decimal:
        return False
    if thousands:
        sign = f"[{re.escape(GROUPS.get(thousands, thousands))}]"
        grouped = re.compile(rf"(?<!\d)\d{{1,3}}(?:{sign}\d{{3}})+(?!\d)", re.ASCII)
        having = [text for text in texts if re.search(rf"\d{sign}\d", text)]
        if sum(bool(grouped.search(text)) for text in having) < LIKELY * len(having):
            return False
    having = [text for text in texts if decimal and decimal in text]
    return sum(text.count(decimal or "") == 1 for text in having) >= LIKELY * len(having)


def _is_currency(text: str) -> bool:
    return bool(CURRENCY_CODES.fullmatch(text)) or (len(text) == 1 and unicodedata.category(text) == "Sc")


def _plain_sign(sign: str) -> str:
    return next((plain for plain, same in GROUPS.items() if sign in same), sign)
