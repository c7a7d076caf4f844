"""Sales: transactions of shops, in CSV and Excel files.

Belongs here: the declaration. Does not belong here: how it is read or computed.
"""

import pandera.pandas as pa

from schemas.base import NullableInt, Text, UtcTimestamp
from schemas.file_dataset import Arrival, FileDataset, Metric, Mode, StagedRows

REGIONS = ("North", "South", "East", "West", "Central")


class SalesData(StagedRows):
    """One row per line of a sales file that fits its declaration: repeated transactions and all."""

    transaction_id: Text = pa.Field(description="identifies the transaction")
    customer_id: Text = pa.Field(nullable=True, description="identifies the customer, if told")
    product_name: Text = pa.Field(description="name of the product as received")
    quantity: NullableInt = pa.Field(nullable=True, ge=-10_000, le=10_000, description="pieces; negative for a return")
    price: float = pa.Field(nullable=True, ge=0, le=1_000_000, description="price of one piece, EUR")
    transaction_date: UtcTimestamp = pa.Field(description="when it was sold, UTC; midnight where only the day is told")
    region: Text = pa.Field(isin=REGIONS, description="sales region")
    created_at: UtcTimestamp = pa.Field(nullable=True, description="when the shop recorded it, UTC, if told")


DATASET = FileDataset(
    name="sales",
    description="Sales transactions of shops, as files of any spreadsheet or shop system.",
    staging=SalesData,
    staging_table="sales_data",
    event_time="transaction_date",
    key=("transaction_id",),
    entities=("region", "product_name"),
    indexes=("customer_id",),
    metrics=(
        Metric(
            name="revenue",
            unit="EUR",
            how="sum",
            of=("quantity", "price"),
            description="quantity times price",
            fills_with_zero=True,
        ),
        Metric(
            name="quantity",
            unit="pieces",
            how="sum",
            of=("quantity",),
            description="pieces sold less pieces returned",
            fills_with_zero=True,
        ),
        Metric(
            name="orders",
            unit="orders",
            how="distinct",
            of=("transaction_id",),
            description="different transactions",
            valid=(0, 1_000_000),
            fills_with_zero=True,
        ),
    ),
    mode=Mode.QUARANTINE,
    arrivals={
        "transaction_id": Arrival(aliases=("transaction", "order id", "order no", "Beleg-Nr")),
        "customer_id": Arrival(aliases=("customer", "client id", "Kunde")),
        "product_name": Arrival(aliases=("product", "item", "article", "Artikel")),
        "quantity": Arrival(aliases=("qty", "amount", "pieces", "Menge"), minimum=-10_000, maximum=10_000),
        "price": Arrival(aliases=("unit price", "Preis", "Einzelpreis"), unit="EUR", minimum=0, maximum=1_000_000),
        "transaction_date": Arrival(aliases=("date", "order date", "sold at", "Datum")),
        "region": Arrival(aliases=("area", "territory", "Gebiet"), categories=REGIONS),
        "created_at": Arrival(aliases=("recorded at", "created")),
    },
    first_day="2015-01-01",
)
