"""What shops sold: transactions with a weekly cycle, in regions and products of different weight.

Belongs here: the facts the sales files tell. Does not belong here: files and dirt (`sales.py`).

Everything random is drawn per day, so that a day's transactions depend on seed and day, not on the range asked for.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

import numpy as np

from schemas.file_datasets.sales import REGIONS
from schemas.window import ONE_DAY

TRANSACTIONS_PER_DAY = 20
WEEKDAY_FACTOR = (0.85, 0.9, 0.95, 1.05, 1.3, 1.5, 0.45)
"""Monday to Sunday."""
REGION_SHARE = (0.26, 0.22, 0.18, 0.14, 0.2)
"""In the order of `REGIONS`."""
RETURN_CHANCE = 0.02
UNKNOWN_CUSTOMER_CHANCE = 0.1


class Product(NamedTuple):
    """`cents` for one piece, share of the transactions, mean number of pieces."""

    name: str
    cents: int
    share: float
    pieces: float


PRODUCTS = (
    Product("Espresso Beans 1 kg", 1_690, 0.3, 2.5),
    Product("Café Crema 500 g", 940, 0.24, 3.0),
    Product("Filter Papers", 349, 0.2, 4.0),
    Product("Milk Jug", 2_495, 0.12, 1.3),
    Product("Hand Grinder", 8_900, 0.09, 1.1),
    Product("Portafilter Machine", 124_900, 0.05, 1.0),
)


@dataclass(frozen=True, kw_only=True)
class Sale:
    """One transaction; `cents` is the price of one piece in hundredths of a euro, `sold_at` is UTC."""

    transaction_id: str
    customer: int | None
    product: str
    quantity: int
    cents: int
    sold_at: datetime
    region: str

    @property
    def customer_id(self) -> str:
        """With the leading zeros that make it an id and no number; empty if nobody told."""
        return "" if self.customer is None else f"{self.customer:05d}"

    @property
    def price(self) -> str:
        """EUR, with a decimal point."""
        return f"{self.cents / 100:.2f}"


def sales_between(first_day: date, last_day: date, seed: int) -> list[Sale]:
    """The transactions of the UTC days `first_day` to `last_day`, both included, in order of time."""
    days = (first_day + number * ONE_DAY for number in range((last_day - first_day).days + 1))
    return [sale for day in days for sale in _sales_of(day, seed)]


def _sales_of(day: date, seed: int) -> list[Sale]:
    draw = np.random.default_rng([seed, day.toordinal()])
    count = int(draw.poisson(TRANSACTIONS_PER_DAY * WEEKDAY_FACTOR[day.weekday()]))
    opening = datetime.combine(day, time(7), tzinfo=UTC)
    seconds = np.sort(draw.integers(0, 12 * 3600, size=count))
    shares = [product.share for product in PRODUCTS]
    return [
        _sale(f"S-{day:%Y%m%d}-{number:03d}", opening + timedelta(seconds=int(second)), shares, draw)
        for number, second in enumerate(seconds, start=1)
    ]


def _sale(transaction_id: str, sold_at: datetime, shares: list[float], draw: np.random.Generator) -> Sale:
    product = PRODUCTS[int(draw.choice(len(PRODUCTS), p=shares))]
    pieces = 1 + int(draw.poisson(product.pieces - 1))
    discount = float(draw.choice((1.0, 1.0, 1.0, 0.95, 0.9)))
    is_return = draw.random() < RETURN_CHANCE
    is_unknown = draw.random() < UNKNOWN_CUSTOMER_CHANCE
    customer = int(draw.integers(1, 800))
    return Sale(
        transaction_id=transaction_id,
        customer=None if is_unknown else customer,
        product=product.name,
        quantity=-1 if is_return else pieces,
        cents=round(product.cents * discount),
        sold_at=sold_at,
        region=REGIONS[int(draw.choice(len(REGIONS), p=REGION_SHARE))],
    )
