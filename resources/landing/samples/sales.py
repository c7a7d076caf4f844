"""Sales files as shops deliver them: one after the other over some sixty days, most of them with a difficulty.

Belongs here: the files of the dataset `sales` and the order they come in. Does not belong here: what was sold
(`transactions.py`), the dirtiest of the files (`broken_sales.py`).
"""

import codecs
import gzip
from dataclasses import dataclass, replace
from datetime import date, timedelta

from resources.landing.samples.broken_sales import broken_lines
from resources.landing.samples.transactions import Sale, sales_between
from resources.landing.samples.truth import NO_CACHED_VALUE, TRUNCATED, LineTruth, SampleFile
from resources.landing.samples.workbook import Cell, workbook
from resources.landing.samples.written_lines import WrittenLines, delimited
from schemas.file_datasets.sales import DATASET

HEADER = tuple(DATASET.data_columns)
GERMAN_HEADER = ("Beleg-Nr", "Kunde", "Artikel", "Menge", "Einzelpreis (EUR)", "Datum", "Gebiet")
GERMAN_CUSTOMERS = ("Müller & Söhne", "Bäckerei Weiß", "Café „Zum Eck“", "Hofladen Grün", "Kiosk am Markt", "")
"""The quotes are what tells Windows' encoding from Latin-1, which has none of them."""
EXPORT_HEADER = ("Order No", "Sold at", "Item", "Qty", "Unit price (EUR)", "Territory", "Customer")
BOOK_HEADER = ("Order ID", "Customer", "Product", "Pieces", "Price (EUR)", "Date", "Region")

LATE_AFTER = timedelta(days=90)
REPEATED = 2
"""How many of its last lines the German file holds twice."""


@dataclass(frozen=True)
class Period:
    """UTC days, both included."""

    first: date
    last: date

    def __str__(self) -> str:
        return f"{self.first:%Y%m%d}_{self.last:%Y%m%d}"


def sales_files(last_day: date, seed: int) -> list[SampleFile]:
    """The files about the sixty days up to `last_day`, and one about March, in the order they come."""

    def period(first: int, last: int) -> Period:
        return Period(last_day - timedelta(days=first), last_day - timedelta(days=last))

    clean = _clean(period(59, 50), seed)
    german = _german(period(49, 35), seed)
    whole = _zipped(period(4, 0), seed)
    return [
        clean,
        german,
        _export(period(34, 25), seed),
        _book(period(24, 15), seed),
        _broken(period(14, 5), seed),
        _duplicate(german),
        _corrected(clean, period(59, 50), seed),
        _late(last_day, seed),
        _cut(whole),
        whole,
        _empty(last_day),
    ]


def standard_cells(sale: Sale) -> list[str]:
    """The cells under `HEADER`."""
    recorded = sale.sold_at + timedelta(seconds=90)
    return [
        sale.transaction_id,
        sale.customer_id,
        sale.product,
        str(sale.quantity),
        sale.price,
        f"{sale.sold_at:%Y-%m-%dT%H:%M:%SZ}",
        sale.region,
        f"{recorded:%Y-%m-%dT%H:%M:%SZ}",
    ]


def _clean(period: Period, seed: int) -> SampleFile:
    lines = _standard_lines(sales_between(period.first, period.last, seed))
    return _file(
        f"sales_{period}.csv", lines.encoded(), lines.truth, "A clean file: UTF-8, commas, times with their zone."
    )


def _german(period: Period, seed: int) -> SampleFile:
    lines = WrittenLines(line_end="\r\n")
    lines.skip("header", ";".join(GERMAN_HEADER))
    sales = sales_between(period.first, period.last, seed)
    for sale in sales:
        lines.row(_german_line(sale))
    for sale in sales[-REPEATED:]:
        lines.row(_german_line(sale), is_repeated=True)
    return _file(
        f"Umsatz_{period}.csv",
        lines.encoded("cp1252"),
        lines.truth,
        "Saved by a German Excel: semicolons, decimal commas, thousands points, day before month, Windows' encoding. "
        f"Its last {REPEATED} lines repeat the ones before: they are staged and count as duplicates.",
    )


def _german_line(sale: Sale) -> str:
    customer = "" if sale.customer is None else GERMAN_CUSTOMERS[sale.customer % len(GERMAN_CUSTOMERS)]
    price = f"{sale.cents / 100:,.2f}".translate(str.maketrans(",.", ".,"))
    cells = [sale.transaction_id, customer, sale.product, str(sale.quantity), price, f"{sale.sold_at:%d.%m.%Y}"]
    return delimited([*cells, sale.region], ";")


def _export(period: Period, seed: int) -> SampleFile:
    sales = sales_between(period.first, period.last, seed)
    lines = WrittenLines(line_end="\r\n")
    lines.skip("preamble", "Branch Office Export 4.2")
    lines.skip("preamble", f"Period: {period.first} to {period.last}")
    lines.skip("blank")
    lines.skip("header", delimited(EXPORT_HEADER, "\t"))
    for sale in sales:
        sold = f"{sale.sold_at:%Y-%m-%d %H:%M:%S}"
        cells = [sale.transaction_id, sold, sale.product, str(sale.quantity), sale.price, sale.region, sale.customer_id]
        lines.row(delimited(cells, "\t"))
    lines.skip("blank")
    lines.skip("footer", f"Total: {len(sales)} transactions, {sum(sale.quantity for sale in sales)} pieces")
    return _file(
        f"export_{period}.txt",
        codecs.BOM_UTF16_LE + lines.encoded("utf-16-le"),
        lines.truth,
        "An export in UTF-16 with tabs: lines before the header, a total after the rows, other names of the columns.",
    )


def _book(period: Period, seed: int) -> SampleFile:
    sales = sales_between(period.first, period.last, seed)
    rows: list[list[Cell]] = [[f"Sales {period.first} to {period.last}"], [], list(BOOK_HEADER)]
    truth = [
        LineTruth(line_no=number, fate="skipped", rule=kind)
        for number, kind in enumerate(("preamble", "blank", "header"), start=1)
    ]
    with_formula = len(sales) // 2
    for number, sale in enumerate(sales):
        is_formula = number == with_formula
        price = f"=ROUND({sale.price}/1.19,2)" if is_formula else sale.cents / 100
        day = sale.sold_at.date()
        rows.append(
            [sale.transaction_id, sale.customer_id or None, sale.product, sale.quantity, price, day, sale.region]
        )
        truth.append(
            LineTruth(
                line_no=len(rows),
                fate="reject" if is_formula else "row",
                rule=NO_CACHED_VALUE if is_formula else None,
            )
        )
    return _file(
        f"sales_{period}.xlsx",
        workbook(rows, sheet="Sales"),
        tuple(truth),
        "A workbook with a title above the table and real dates. One price is a formula that was never computed, so "
        "that row is put aside.",
    )


def _broken(period: Period, seed: int) -> SampleFile:
    lines = _standard_lines([])
    broken_lines(lines, sales_between(period.first, period.last, seed), standard_cells)
    return _file(
        f"till_{period}.csv",
        lines.encoded(is_last_ended=False),
        lines.truth,
        "Everything goes wrong in single lines: cells missing or too many, a NUL, a number in words, 30 February, a "
        "region nobody knows, a price below zero and one beyond all numbers, no product, two quotes that never close; "
        "a name over two lines is fine. The other rows are loaded.",
    )


def _duplicate(former: SampleFile) -> SampleFile:
    return replace(
        former,
        name=f"Kopie von {former.name}",
        fate="duplicate",
        truth=(),
        note=f"The same bytes as {former.name} under another name: nothing is loaded twice.",
    )


def _corrected(former: SampleFile, period: Period, seed: int) -> SampleFile:
    sales = sales_between(period.first, period.last, seed)
    chosen = [len(sales) * part // 4 for part in (1, 2, 3)]
    for number in chosen:
        sales[number] = replace(sales[number], cents=sales[number].cents + 100)
    lines = _standard_lines(sales)
    named = ", ".join(str(number + 2) for number in chosen)
    return _file(
        former.name,
        lines.encoded(),
        lines.truth,
        f"The first file again under its name, with other prices in lines {named}: a new version that stands for it.",
    )


def _late(last_day: date, seed: int) -> SampleFile:
    march = date(last_day.year, 3, 9)
    if last_day - march < LATE_AFTER:
        march = march.replace(year=march.year - 1)
    lines = _standard_lines(sales_between(march, march + timedelta(days=6), seed))
    return _file(
        f"sales_{march:%Y}_march.csv",
        lines.encoded(),
        lines.truth,
        f"Comes months late: a week of March {march:%Y}, whose days are computed again.",
    )


def _zipped(period: Period, seed: int) -> SampleFile:
    lines = _standard_lines(sales_between(period.first, period.last, seed))
    return _file(
        f"sales_{period}.csv.gz",
        gzip.compress(lines.encoded(), mtime=0),
        lines.truth,
        "The gzip file that was cut off before, now whole, under the same name.",
    )


def _cut(whole: SampleFile) -> SampleFile:
    return replace(
        whole,
        content=whole.content[: len(whole.content) * 2 // 3],
        fate="rejected",
        rule=TRUNCATED,
        truth=(),
        note="A gzip file that was cut off on its way: refused as a whole, though its first lines can be read.",
    )


def _empty(last_day: date) -> SampleFile:
    return _file(f"sales_{last_day:%Y%m%d}.csv", b"", (), "An empty file: noted, nothing to load.")


def _standard_lines(sales: list[Sale]) -> WrittenLines:
    lines = WrittenLines()
    lines.skip("header", delimited(HEADER))
    for sale in sales:
        lines.row(delimited(standard_cells(sale)))
    return lines


def _file(name: str, content: bytes, truth: tuple[LineTruth, ...], note: str) -> SampleFile:
    return SampleFile(dataset=DATASET.name, name=name, content=content, truth=truth, note=note)
