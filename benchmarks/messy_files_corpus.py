"""Messy files with their ground truth, generated: every way a delimited file goes wrong that we know of.

Belongs here: the files. Does not belong here: reading and scoring them (`messy_files.py`).
"""

import bz2
import csv
import gzip
import io
import json
import lzma
import random
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from benchmarks.messy_files_texts import LANGUAGES

Rows = list[list[str]]


@dataclass(frozen=True, kw_only=True)
class Case:
    family: str
    name: str
    data: bytes
    header: list[str] | None
    rows: Rows
    planted: frozenset[int] = frozenset()
    """Lines that are no good row, from 1."""
    tokens: tuple[str, ...] = field(default=())
    """What must be found again somewhere: in rows, rejects or skipped lines."""
    suffix: str = ".csv"


def _sensors(chance: random.Random, count: int) -> tuple[list[str], Rows]:
    rows = [
        [
            f"S{n:04d}x",
            f"2024-{n % 12 + 1:02d}-{n % 28 + 1:02d}",
            f"{chance.gauss(20, 5):.2f}",
            str(chance.randint(0, 900)),
            chance.choice(["Berlin", "New York", "Zürich Nord", "Lyon"]),
        ]
        for n in range(count)
    ]
    return ["station", "day", "temperature", "count", "city"], rows


def _people(chance: random.Random, count: int) -> tuple[list[str], Rows]:
    rows = [
        [
            f"K{n:04d}x",
            chance.choice(["Ada", "José", "Zoë", "Bob"]) + " " + chance.choice(["Müller", "Smith", "Ångström"]),
            chance.choice(["likes tea, and milk", "no remark", 'says "hi"', "n/a"]),
            chance.choice(["yes", "no", ""]),
        ]
        for n in range(count)
    ]
    return ["key", "name", "remark", "active"], rows


def _sums(chance: random.Random, count: int) -> tuple[list[str], Rows]:
    rows = [[f"R{n:04d}x", *(f"{chance.uniform(0, 9999):.1f}" for _ in range(6))] for n in range(count)]
    return ["region", "2018", "2019", "2020", "2021", "2022", "2023"], rows


TABLES: tuple[Callable[[random.Random, int], tuple[list[str], Rows]], ...] = (_sensors, _people, _sums)


def cases(seed: int = 7) -> Iterator[Case]:
    """Some hundred files, always the same for a seed."""
    for family in (
        _plain,
        _dialects,
        _above_and_below,
        _several_tables,
        _planted,
        _encodings,
        _headers,
        _lines,
        _containers,
        _small,
        _reports,
        _formats,
    ):
        yield from family(random.Random(f"{seed} {family.__name__}"))


def written(header: list[str] | None, rows: Rows, **options: str | int | bool | None) -> str:
    out = io.StringIO()
    writer = csv.writer(out, **{"lineterminator": "\n", **options})  # type: ignore[arg-type]
    writer.writerows([header, *rows] if header else rows)
    return out.getvalue()


def _case(family: str, name: str, text: str | bytes, header: list[str] | None, rows: Rows, **more: object) -> Case:
    data = text.encode() if isinstance(text, str) else text
    tokens = tuple(row[0] for row in rows)
    return Case(family=family, name=name, data=data, header=header, rows=rows, **({"tokens": tokens} | more))  # type: ignore[arg-type]


def _plain(chance: random.Random) -> Iterator[Case]:
    for number, table in enumerate(TABLES):
        for count in (1, 3, 40, 400):
            header, rows = table(chance, count)
            yield _case("clean", f"{number} {count}", written(header, rows), header, rows)


def _dialects(chance: random.Random) -> Iterator[Case]:
    for number, table in enumerate(TABLES):
        header, rows = table(chance, 25)
        for delimiter in ",;\t|^~:#\x1f":
            for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
                text = written(header, rows, delimiter=delimiter, quoting=quoting)
                yield _case("delimiters", f"{number} {delimiter!r} {quoting}", text, header, rows)
        text = written(header, rows, quotechar="'", quoting=csv.QUOTE_ALL)
        yield _case("quotes", f"{number} single", text, header, rows)
        text = written(header, rows, doublequote=False, escapechar="\\", quoting=csv.QUOTE_ALL)
        yield _case("quotes", f"{number} backslash", text, header, rows)
        text = "".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in [header, *rows])
        yield _case("quotes", f"{number} unescaped", text, header, rows)
        safe = [[cell.replace(",", "").replace('"', "") for cell in row] for row in rows]
        for delimiter in ("||", "::", "|~|", "  "):
            full = [[cell or "-" for cell in row] for row in safe]
            text = "".join(delimiter.join(row) + "\n" for row in [header, *full])
            yield _case("delimiters", f"{number} {delimiter!r}", text, header, full)
        text = "".join(", ".join(f'"{cell}"' for cell in row) + "\n" for row in [header, *safe])
        yield _case("quotes", f"{number} blank before quote", text, header, safe)
        comma = [[cell.replace(".", ",") for cell in row] for row in safe]
        yield _case("delimiters", f"{number} decimal comma", written(header, comma, delimiter=";"), header, comma)
    header, rows = ["a", "b"], [[f"1{n},5", f"2,{n}7"] for n in range(20)]
    yield _case("delimiters", "ambiguous", written(header, rows, delimiter=";"), header, rows)


def _above_and_below(chance: random.Random) -> Iterator[Case]:
    tops = ["Monthly report\n\n", "# made by a program\n# version 2\n", "Title,,,\n,,,\n", "Report;2024\nAuthor: X\n\n"]
    ends = ["\nSource: the bureau, 2024\n", "Total records: 40\n", "\n* preliminary\n** estimated, later revised\n"]
    for number, table in enumerate(TABLES):
        header, rows = table(chance, 40)
        body = written(header, rows)
        for place, top in enumerate(tops):
            yield _case("preamble", f"{number} {place}", top + body, header, rows)
        for place, end in enumerate(ends):
            yield _case("footer", f"{number} {place}", body + end, header, rows)
            yield _case("both", f"{number} {place}", tops[place] + body + end, header, rows)


def _several_tables(chance: random.Random) -> Iterator[Case]:
    for number, table in enumerate(TABLES):
        header, rows = table(chance, 40)
        for other in TABLES:
            names, more = other(chance, 8)
            if other is table:
                names, more = [name + " (b)" for name in names], more
            text = written(header, rows) + "\n" + written(names, more)
            lines = frozenset(range(43, 43 + 9))
            yield _case("several tables", f"{number} {other.__name__}", text, header, rows, planted=lines)


def _planted(chance: random.Random) -> Iterator[Case]:
    def short(cells: list[str]) -> bytes:
        return ",".join(cells[:-2]).encode()

    def long(cells: list[str]) -> bytes:
        return ",".join([*cells, "surplus"]).encode()

    def unclosed(cells: list[str]) -> bytes:
        return ",".join([cells[0], '"' + cells[1], *cells[2:]]).encode()

    def stray(cells: list[str]) -> bytes:
        return ",".join([cells[0], f'"{cells[1]}"x', *cells[2:]]).encode()

    def zero(cells: list[str]) -> bytes:
        return ",".join([cells[0], "\0" + cells[1], *cells[2:]]).encode()

    def broken(cells: list[str]) -> bytes:
        return cells[0].encode() + b",\xff\xfe\x80," + ",".join(cells[2:]).encode()

    def other(cells: list[str]) -> bytes:
        return ";".join(cells).encode()

    faults = (short, long, unclosed, stray, zero, broken, other)
    for number, table in enumerate(TABLES):
        for fault in faults:
            for bad in (1, 4):
                header, rows = table(chance, 60)
                rows = [[cell.replace('"', "").replace(",", "") for cell in row] for row in rows]
                places = sorted(chance.sample(range(60), bad))
                lines = [",".join(cells).encode() for cells in [header, *rows]]
                for place in places:
                    lines[place + 1] = fault(rows[place])
                good = [row for place, row in enumerate(rows) if place not in places]
                tokens = tuple(row[0] for row in rows)
                planted = frozenset(place + 2 for place in places)
                data = b"\n".join(lines) + b"\n"
                yield _case(
                    f"planted {fault.__name__}", f"{number} {bad}", data, header, good, planted=planted, tokens=tokens
                )


def _encodings(chance: random.Random) -> Iterator[Case]:
    for language, (texts, codecs_) in LANGUAGES.items():
        for codec in codecs_.split():
            header = ["id", "text", "value"]
            rows = [[f"T{n:03d}x", chance.choice(texts), f"{chance.uniform(1, 99):.1f}"] for n in range(60)]
            yield _case("encodings", f"{language} {codec}", written(header, rows).encode(codec), header, rows)
    header, rows = _people(chance, 60)
    lines = written(header, rows).splitlines(keepends=True)
    data = b"".join(line.encode("cp1252" if n % 2 else "utf-8") for n, line in enumerate(lines))
    yield _case("mixed encodings", "half and half", data, header, rows)
    data = b"".join(line.encode("cp1252" if n > 45 else "utf-8") for n, line in enumerate(lines))
    yield _case("mixed encodings", "pasted", data, header, rows)


def _headers(chance: random.Random) -> Iterator[Case]:
    for number, table in enumerate(TABLES):
        header, rows = table(chance, 30)
        yield _case("no header", str(number), written(None, rows), None, rows)
        twice = [header[0], *[header[1]] * (len(header) - 1)]
        yield _case("headers", f"{number} duplicate", written(twice, rows), twice, rows)
        gap = [*header[:-1], ""]
        yield _case("headers", f"{number} empty name", written(gap, rows), gap, rows)
        odd = ["select", "a;b", "x%s", "naïve", "1st", "v'w", "z"][: len(header)]
        yield _case("headers", f"{number} odd names", written(odd, rows), odd, rows)
        units = ["", *["unit"] * (len(header) - 1)]
        joined = [header[0], *(f"{name} unit" for name in header[1:])]
        yield _case("headers", f"{number} two lines", written(header, [units, *rows]), joined, rows)
    header, rows = _sums(chance, 30)
    upper = ["Region", "Before", "", "", "After", "", ""]
    lower = ["", "A", "B", "C", "A", "B", "C"]
    joined = ["Region", "Before A", "Before B", "Before C", "After A", "After B", "After C"]
    yield _case("headers", "merged", written(upper, [lower, *rows]), joined, rows)


def _lines(chance: random.Random) -> Iterator[Case]:
    for number, table in enumerate(TABLES):
        header, rows = table(chance, 40)
        for name, end in (("crlf", "\r\n"), ("cr", "\r"), ("cr cr lf", "\r\r\n")):
            yield _case("line ends", f"{number} {name}", written(header, rows, lineterminator=end), header, rows)
        text = written(header, rows)
        mixed = "".join(line + ("\r\n" if n % 3 else "\n") for n, line in enumerate(text.split("\n")[:-1]))
        yield _case("line ends", f"{number} mixed", mixed, header, rows)
        yield _case("line ends", f"{number} none at the end", text.rstrip("\n"), header, rows)
        yield _case("line ends", f"{number} two at the end", text + "\n\n", header, rows)
        yield _case("line ends", f"{number} blank lines", text.replace("\n", "\n\n"), header, rows)
        trailing = "".join(line + ",\n" for line in text.split("\n")[:-1])
        yield _case("trailing delimiter", f"{number} rows only", trailing.replace(",\n", "\n", 1), header, rows)
        deep = [[*row[:-1], row[-1] + "\nsecond line\n\nfourth"] for row in rows]
        yield _case("embedded newlines", str(number), written(header, deep), header, deep)
        yield _case("zero bytes", f"{number} padding", text.encode() + b"\0" * 500, header, rows)


def _containers(chance: random.Random) -> Iterator[Case]:
    header, rows = _sensors(chance, 200)
    data = written(header, rows).encode()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("../../x.csv", data)
        target.writestr("__MACOSX/._x.csv", b"\0\1")
    half = gzip.compress(data[:500]) + gzip.compress(data[500:])
    for name, packed in (
        ("gzip", gzip.compress(data)),
        ("two members", half),
        ("bzip2", bz2.compress(data)),
        ("xz", lzma.compress(data)),
        ("zip", archive.getvalue()),
        ("gzip in gzip", gzip.compress(gzip.compress(data))),
    ):
        for suffix in (".csv", ".gz", ".txt"):
            yield _case("containers", f"{name} {suffix}", packed, header, rows, suffix=suffix)


def _small(chance: random.Random) -> Iterator[Case]:
    for name, data in (("empty", b""), ("mark", b"\xef\xbb\xbf"), ("blank", b"\n\n\r\n"), ("blanks", b"  \n \n")):
        yield _case("small", name, data, None, [])
    yield _case("small", "header only", "a,b,c\n", ["a", "b", "c"], [])
    yield _case("small", "one word", "name\n", ["name"], [])
    rows = [[f"word{n}"] for n in range(20)]
    yield _case("small", "one column", written(["name"], rows), ["name"], rows)
    rows = [[str(n * 7)] for n in range(20)]
    yield _case("small", "one column of numbers", written(["value"], rows), ["value"], rows)


def _reports(chance: random.Random) -> Iterator[Case]:
    for number in range(12):
        _, rows = _sums(chance, 30)
        pad = [""] * 6
        top = [["Table 4. People by region", *pad], ["(in thousands, unless noted)", *pad], ["", *pad]][
            : 1 + number % 3
        ]
        upper = ["Region", "Men", "", "", "Women", "", ""]
        lower = ["", "2001", "2002", "2003", "2001", "2002", "2003"]
        joined = ["Region", *(f"{sex} {year}" for sex in ("Men", "Women") for year in ("2001", "2002", "2003"))]
        end = [
            ["", *pad],
            ["Note: figures are rounded, and may not add up.", *pad],
            ["Source: statistical office", *pad],
        ]
        text = written(None, [*top, upper, lower, *rows, *end[number % 2 :]])
        yield _case("reports", str(number), text, joined, rows)


def _formats(chance: random.Random) -> Iterator[Case]:
    header, rows = _sensors(chance, 40)
    records = [dict(zip(header, row, strict=True)) for row in rows]
    for name, text in (
        ("array", json.dumps(records)),
        ("lines", "\n".join(map(json.dumps, records))),
        ("indented", json.dumps(records, indent=1)),
        ("wrapped", json.dumps({"meta": {"n": 40}, "data": records})),
    ):
        for suffix in (".json", ".csv"):
            yield _case("json", f"{name} {suffix}", text, header, rows, suffix=suffix)
