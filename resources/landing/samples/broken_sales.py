"""The lines of a sales file in which everything goes wrong, one thing per line.

Belongs here: what is wrong, and where. Does not belong here: the file around it (`sales.py`).
"""

from collections.abc import Callable, Sequence

from resources.landing.samples.transactions import Sale
from resources.landing.samples.truth import (
    MISSING,
    NOT_A_NUMBER,
    NOT_A_TIME,
    NUL,
    OUT_OF_RANGE,
    RAGGED,
    UNCLOSED_QUOTE,
    UNKNOWN_CATEGORY,
)
from resources.landing.samples.written_lines import WrittenLines, delimited

CUSTOMER, PRODUCT, QUANTITY, PRICE, SOLD, REGION = range(1, 7)
"""Places of the cells."""

EVERY = 7
"""One line of so many is special; the first seven are sound."""


def broken_lines(lines: WrittenLines, sales: Sequence[Sale], cells_of: Callable[[Sale], list[str]]) -> None:
    """Write `sales` in order, some of them broken; the last line has a quote that nothing closes."""
    plans = _plans()
    for number, sale in enumerate(sales[:-1]):
        place, rest = divmod(number, EVERY)
        if rest == 0 and 1 <= place <= len(plans):
            plans[place - 1](lines, cells_of(sale))
        else:
            lines.row(delimited(cells_of(sale)))
    _unclosed(lines, cells_of(sales[-1]))


_Plan = Callable[[WrittenLines, list[str]], None]


def _plans() -> list[_Plan]:
    return [
        lambda lines, cells: lines.reject(delimited(cells[:-2]), RAGGED),
        lambda lines, cells: lines.reject(",".join([cells[0], "Miller, Sons", *cells[PRODUCT:]]), RAGGED),
        _unclosed,
        lambda lines, cells: lines.row(delimited(_with(cells, CUSTOMER, "Miller\nand Sons"))),
        lambda lines, cells: lines.reject(delimited(_with(cells, CUSTOMER, "00\x00417")), NUL),
        _wrong(QUANTITY, "twelve", NOT_A_NUMBER),
        _february_30,
        lambda lines, cells: lines.skip("blank"),
        _wrong(REGION, "Atlantis", UNKNOWN_CATEGORY),
        _wrong(PRICE, "-4.50", OUT_OF_RANGE),
        _wrong(PRICE, "1e400", OUT_OF_RANGE),
        _wrong(PRODUCT, "", MISSING),
        lambda lines, cells: lines.row(delimited(_with(cells, CUSTOMER, 'Miller "The Bean", Sons'))),
    ]


def _wrong(place: int, text: str, rule: str) -> _Plan:
    return lambda lines, cells: lines.reject(delimited(_with(cells, place, text)), rule)


def _unclosed(lines: WrittenLines, cells: list[str]) -> None:
    lines.reject(",".join([cells[0], f'"{cells[CUSTOMER]}', *cells[PRODUCT:]]), UNCLOSED_QUOTE)


def _february_30(lines: WrittenLines, cells: list[str]) -> None:
    sold = f"{cells[SOLD][:4]}-02-30{cells[SOLD][10:]}"
    lines.reject(delimited(_with(cells, SOLD, sold)), NOT_A_TIME)


def _with(cells: list[str], place: int, text: str) -> list[str]:
    return [*cells[:place], text, *cells[place + 1 :]]
