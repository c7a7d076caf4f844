"""Which dialect a delimited file is written in: what stands between cells, what around them, how a quote is escaped.

Belongs here: weighing dialects against each other on the first lines. Does not belong here: reading with one
(`records.py`, `scan.py`).

The right dialect cuts most lines into the same number of cells, and the cells look like something.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from resources.landing.readers.cell_kinds import CODE, DATE, EMPTY, NUMBER, ODD, TEXT, YEAR, kind
from resources.landing.readers.hints import Hints
from resources.landing.readers.records import Dialect
from resources.landing.readers.scan import Lines, Record, Scanner

LINES = 400
_USUAL = (",", ";", "\t", "|")
_UNUSUAL = ("^", "~", ":", "#", "\x1f", "\x1e", "\x01", "¦", "§", "¬", "!", "/", "_", "-", "*", "@", "&", "=", "%", "$")
_LONG = ("||", "::", ";;", "~|~", "|~|", "^|^", "##", "@@", "~~", "^^", "<>", "\t\t", ",,")
_WEIGHT = {",": 1.0, ";": 1.0, "\t": 1.0, "|": 1.0, "\x1f": 1.0, "\x1e": 1.0, "\x01": 1.0, "¦": 1.0, "§": 1.0, "¬": 1.0}
_WEIGHT |= {"^": 0.95, "~": 0.95, "#": 0.8, ":": 0.75, " ": 0.6, "!": 0.8, "*": 0.7, "@": 0.7, "&": 0.7, "$": 0.7}
_WEIGHT |= {"/": 0.5, "_": 0.5, "-": 0.45, "=": 0.6, "%": 0.6}
_QUALITY = {NUMBER: 1.0, YEAR: 1.0, DATE: 1.0, CODE: 0.95, EMPTY: 0.85, TEXT: 0.9, ODD: 0.25}
_LONE = 0.62
"""What a file of one column scores, with cells of any kind."""


def find_dialect(lines: list[str], hints: Hints) -> Dialect:
    """The likeliest dialect of a file that begins with these lines; what is declared is taken as it is."""
    if hints.delimiter is not None and hints.quote is not None:
        return _declared(Dialect(delimiter=hints.delimiter, quote=hints.quote), hints)
    lines = [line for line in lines if line.strip()][:LINES]
    best, best_score = Dialect(delimiter=""), 0.0
    for dialect in _candidates(lines, hints):
        score = _score(dialect, lines)
        if score > best_score + 1e-9:
            best, best_score = dialect, score
        if dialect.quote and dialect.delimiter and _breaks(dialect, lines):
            score = 0.95 * _score(replace(dialect, lenient=True), lines)
            if score > best_score + 1e-9:
                best, best_score = dialect, score
    return _declared(_settled(best, lines, hints), hints)


def declared_delimiter(first_line: str) -> str | None:
    """What a first line like `sep=;` says, as Excel writes it."""
    found = re.fullmatch(r'"?sep=(.|\\t)"?', first_line.rstrip("\r\n"), re.I)
    return {"\\t": "\t"}.get(found[1], found[1]) if found else None


def _candidates(lines: list[str], hints: Hints) -> Iterator[Dialect]:
    text = "".join(lines)
    quotes = [hints.quote] if hints.quote is not None else _quotes(text)
    for quote in quotes:
        if hints.delimiter is not None:
            yield Dialect(delimiter=hints.delimiter, quote=quote)
            continue
        yield Dialect(delimiter="", quote=quote)
        for delimiter in (*_USUAL, *_UNUSUAL, *_LONG):
            if _frequent(delimiter, lines):
                yield Dialect(delimiter=delimiter, quote=quote)
        if _frequent(" ", lines):
            yield Dialect(delimiter=" ", quote=quote)
            yield Dialect(delimiter=" ", quote=quote, runs=True)
        if _frequent("  ", lines):
            yield Dialect(delimiter="  ", quote=quote, runs=True)


def _quotes(text: str) -> list[str]:
    """`"` unless nothing speaks for it and much for `'`."""
    found = ['"']
    if "'" in text:
        opened = len(re.findall(r"(?m)(?:^|[,;\t|:^~#\x1f ])'", text))
        closed = len(re.findall(r"(?m)'(?=$|\r|[,;\t|:^~#\x1f ])", text))
        inside = len(re.findall(r"\w'\w", text))
        if min(opened, closed) > max(1, inside) or (min(opened, closed) >= 1 and '"' not in text and not inside):
            found.append("'")
    return found


def _frequent(delimiter: str, lines: list[str]) -> bool:
    holding = sum(delimiter in line for line in lines)
    return holding > 0 and (holding >= 0.25 * len(lines) or delimiter in _USUAL)


def _score(dialect: Dialect, lines: list[str]) -> float:
    records = _records(dialect, lines)
    if not records:
        return 0.0
    total = sum(record.line_count for record in records)
    widths: Counter[int] = Counter()
    for record in records:
        if record.cells is not None:
            widths[_width(record)] += record.line_count
    if not widths:
        return 0.0
    if not dialect.delimiter:
        return _lone_score(records) * (widths[1] / total) * _quote_factor(dialect, records)
    width, count = max(widths.items(), key=lambda item: (item[1] * (item[0] > 1), item[0]))
    if width < 2:
        return 0.0
    like = [record for record in records if record.cells is not None and _width(record) == width]
    quality = _quality(like)
    share = count / total
    thin = widths[1] / total
    """Titles and notes are lines of one cell: they speak against a dialect, but less than other widths do."""
    steady = share / (1 - 0.75 * thin) if share > 0.15 and count >= 2 else share
    weight = _WEIGHT.get(dialect.delimiter, 0.9 if len(dialect.delimiter) > 1 else 0.8)
    if dialect.delimiter.isspace() and dialect.delimiter != "\t":
        if not _is_tabular(like, steady, 0.6 if len(dialect.delimiter) > 1 else 0.75):
            return 0.0
        weight = 0.8
    if _reads_as_prose(like):
        weight *= 0.85
    return steady * quality * weight * (1 - 0.2 / width) * _quote_factor(dialect, records)


def _breaks(dialect: Dialect, lines: list[str]) -> bool:
    """Whether text follows closing quotes in many lines."""
    broken = sum(record.rule == "stray_quote" for record in _records(dialect, lines[:50]))
    return broken > 2 and broken > 0.1 * min(50, len(lines))


def _width(record: Record) -> int:
    return len(record.cells or ())


def _records(dialect: Dialect, lines: list[str]) -> list[Record]:
    scanner = Scanner(dialect, None, 1_000_000)
    return [record for record in scanner.records(Lines([lines])) if not record.is_blank]


def _quality(records: list[Record]) -> float:
    """How much the cells look like something; columns that are always empty are none."""
    rows = [record.cells or [] for record in records[:150]]
    columns = [[kind(cell) for cell in column] for column in zip(*rows, strict=True)]
    full = sum(_QUALITY[name] for column in columns if set(column) != {EMPTY} for name in column)
    return full / max(1, sum(map(len, columns)))


def _reads_as_prose(records: list[Record]) -> bool:
    """Whether a blank follows each delimiter, as it does in sentences."""
    after = [cell for record in records[:150] for cell in (record.cells or [])[1:] if cell]
    return bool(after) and sum(cell[0] == " " for cell in after) >= 0.9 * len(after)


def _lone_score(records: list[Record]) -> float:
    """Of one column: good if the lines are numbers, dates, codes; else only if nothing cuts them well."""
    kinds = [kind(record.cells[0]) for record in records[:150] if record.cells]
    strong = sum(name in (NUMBER, YEAR, DATE, CODE) for name in kinds) / max(1, len(kinds))
    commas = sum("," in (record.raw or "") for record in records[:150]) / max(1, len(records[:150]))
    odd = sum(name == ODD for name in kinds) / max(1, len(kinds))
    return _LONE - 0.35 * odd + (0.33 * strong if strong > 0.5 and commas < 0.5 else 0.0)


def _is_tabular(records: list[Record], share: float, least: float) -> bool:
    """Words with blanks between them are a table only if there are columns of values among them."""
    rows = [record.cells for record in records[1:150] if record.cells]
    if share < least or len(rows) < 2:
        return False
    values = sum(kind(cell) in (NUMBER, YEAR, DATE, CODE) for cells in rows for cell in cells)
    return values >= 0.34 * sum(map(len, rows))


def _quote_factor(dialect: Dialect, records: list[Record]) -> float:
    """Quotes that stand where none should speak against the dialect."""
    broken = sum(record.line_count for record in records if record.cells is None)
    left = sum(
        1 for record in records for cell in record.cells or () if cell and cell[0] == cell[-1] == '"' and len(cell) > 1
    )
    total = sum(record.line_count for record in records)
    other = 0.03 if dialect.quote == "'" else 0.0
    return (1 - 0.5 * broken / total) * (1 - 0.3 * min(1.0, left / total)) - other


def _settled(dialect: Dialect, lines: list[str], hints: Hints) -> Dialect:
    """With the escape, and lenient where quotes stand unescaped as a habit."""
    quote = dialect.quote
    if not quote or hints.escape is not None:
        return dialect
    text = "".join(lines)
    if "\\" in text:
        slashed = replace(dialect, escape="\\")
        shielded = text.count("\\" + quote) + (text.count("\\" + dialect.delimiter) if dialect.delimiter else 0)
        if shielded and _fit(slashed, lines) > _fit(dialect, lines):
            return slashed
    if quote in text:
        faults = [record for record in _records(dialect, lines) if record.rule == "stray_quote"]
        quoted = sum(quote in line for line in lines)
        if len(faults) >= 2 and len(faults) >= 0.03 * quoted:
            lenient = replace(dialect, lenient=True)
            if _fit(lenient, lines) > _fit(dialect, lines):
                return lenient
    return dialect


def _fit(dialect: Dialect, lines: list[str]) -> float:
    records = _records(dialect, lines)
    widths = Counter(len(record.cells) for record in records if record.cells is not None)
    return widths.most_common(1)[0][1] / len(records) if widths else 0.0


def _declared(dialect: Dialect, hints: Hints) -> Dialect:
    escape = hints.escape if hints.escape is not None else dialect.escape
    return replace(dialect, escape="" if escape == dialect.quote else escape)
