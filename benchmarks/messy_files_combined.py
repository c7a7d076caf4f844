"""Messy files with several faults at once, drawn at random, and workbooks.

Belongs here: what `messy_files_corpus.py` has one by one, in combination. Does not belong here: reading and scoring.
"""

import csv
import io
import random
from collections.abc import Iterator

from openpyxl import Workbook

from benchmarks.messy_files_corpus import TABLES, Case, Rows, written

_TOPS = ("", "", "", "Quarterly figures\n\n", "# source: export 7\n", "Name of report: figures\nDate: 2024-03-01\n\n")
_ENDS = ("", "", "", "\nSource: own survey\n", "\n* provisional\n", "\n\n")
_ENCODINGS = ("utf-8", "utf-8", "utf-8-sig", "cp1252", "iso-8859-15", "utf-16", "utf-16-le")
_NAMES = ("sensor", "when", "reading", "counts", "place", "note", "unit", "owner")
_WORDS = (
    "north",
    "south wing",
    "Ærø",
    "Café, back",
    'the "old" one',
    "n/a",
    "",
    "x/y",
    "a; b",
    "Straße 5",
    "line\nbreak",
)


def combined(seed: int = 11, count: int = 150) -> Iterator[Case]:
    """`count` delimited files and a few workbooks, always the same for a seed."""
    chance = random.Random(seed)
    for number in range(count):
        yield _delimited(chance, number)
    for number, table in enumerate(TABLES):
        header, rows = table(chance, 30)
        for titles in (0, 2):
            yield _workbook(f"{number} {titles}", header, rows, titles)


def _delimited(chance: random.Random, number: int) -> Case:
    header, rows = _table(chance)
    delimiter = chance.choice(",,,;;\t|")
    quoting = chance.choice([csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
    end = chance.choice(["\n", "\n", "\r\n", "\r"])
    with_header = chance.random() < 0.85
    top = chance.choice(_TOPS) if with_header else ""
    lines = [written(None, [row], delimiter=delimiter, quoting=quoting) for row in rows]
    bad = sorted(chance.sample(range(1, len(rows)), chance.choice([0, 0, 1, 2, 3]))) if len(rows) > 20 else []
    texts = [written(None, [header], delimiter=delimiter, quoting=quoting)] if with_header else []
    planted: set[int] = set()
    line = top.count("\n") + len(texts) + 1
    for place, text in enumerate(lines):
        if place in bad:
            text = _broken(chance, rows[place], delimiter)
            planted.add(line)
        texts.append(text)
        line += text.count("\n")
    whole = (top + "".join(texts) + chance.choice(_ENDS)).replace("\n", end)
    good = [[cell.replace("\n", end) for cell in row] for place, row in enumerate(rows) if place not in bad]
    codec = chance.choice(_ENCODINGS)
    return Case(
        family="combined",
        name=f"{number} {delimiter!r} {quoting} {end!r} {codec} {len(rows)} rows, {len(bad)} bad, top {top!r}",
        data=whole.encode(codec, errors="replace"),
        header=header if with_header else None,
        rows=good,
        planted=frozenset(planted),
        tokens=tuple(row[0] for row in rows),
    )


def _table(chance: random.Random) -> tuple[list[str], Rows]:
    kinds = [chance.choice(["number", "word", "day", "count"]) for _ in range(chance.randint(2, 7))]
    names = [chance.choice(_NAMES) + f"_{place}" for place in range(len(kinds) + 1)]
    rows = [
        [f"Q{place:04d}z", *(_cell(chance, kind) for kind in kinds)]
        for place in range(chance.choice([2, 5, 15, 40, 200]))
    ]
    return names, rows


def _cell(chance: random.Random, kind: str) -> str:
    if chance.random() < 0.05:
        return ""
    if kind == "number":
        return f"{chance.gauss(0, 50):.3f}"
    if kind == "count":
        return str(chance.randint(0, 5000))
    if kind == "day":
        return f"2023-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}T{chance.randint(0, 23):02d}:00:00Z"
    return chance.choice(_WORDS)


def _broken(chance: random.Random, row: list[str], delimiter: str) -> str:
    cells = [cell.replace("\n", " ").replace('"', "").replace(delimiter, " ") for cell in row]
    fault = chance.choice(["short", "long", "unclosed"])
    if fault == "short":
        return delimiter.join(cells[:-1]) + "\n"
    if fault == "long":
        return delimiter.join([*cells, "too much"]) + "\n"
    return delimiter.join([*cells[:-1], '"' + (cells[-1] or "x")]) + "\n"


def _workbook(name: str, header: list[str], rows: Rows, titles: int) -> Case:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    for title in range(titles):
        sheet.append([f"Title {title}"])
    for row in (header, *rows):
        sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    tokens = tuple(row[0] for row in rows)
    return Case(family="excel", name=name, data=out.getvalue(), header=header, rows=rows, tokens=tokens, suffix=".csv")
