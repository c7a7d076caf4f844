"""Rules of the sales files as staged; those of the series follow from the declaration (`series.py`).

Belongs here: what has to hold. Does not belong here: ranges and regions, which the model says.
"""

from collections.abc import Mapping
from datetime import timedelta

from schemas.rules import Completeness, Distribution, Freshness, Ordered, Rule, Severity, Uniqueness

RULES: Mapping[str, tuple[Rule, ...]] = {
    "staging.sales_data": (
        Completeness(
            name="prices_and_quantities_are_there",
            columns=("price", "quantity"),
            severity=Severity.WARNING,
            tolerated_pct=5,
            least_rows=20,
            description="revenue needs both",
        ),
        Completeness(
            name="not_all_prices_are_missing",
            columns=("price",),
            tolerated_pct=90,
            least_rows=20,
            description="a delivery of which nine prices in ten are missing was exported wrongly",
        ),
        Completeness(
            name="customers_are_told",
            columns=("customer_id",),
            severity=Severity.INFO,
            tolerated_pct=20,
            least_rows=20,
            description="most transactions name their customer",
        ),
        Uniqueness(
            name="one_row_per_transaction",
            columns=("transaction_id",),
            severity=Severity.WARNING,
            description="no transaction came twice; the series count the newest",
        ),
        Ordered(
            name="recorded_after_sold",
            columns=("transaction_date", "created_at"),
            tolerance=timedelta(days=1),
            severity=Severity.WARNING,
            description="a shop records what it has sold; a day is left for stamps without a zone",
        ),
        Freshness(
            name="files_are_of_this_week",
            columns=("transaction_date",),
            max_age=timedelta(days=7),
            severity=Severity.INFO,
            description="what arrives on a day is about the days before it",
        ),
        Distribution(
            name="price_scale_is_as_before",
            columns=("price",),
            by=("product_name",),
            look_back=timedelta(days=28),
            max_scale=9.0,
            least_rows=20,
            unit="EUR",
            severity=Severity.WARNING,
            description="a product ten times as dear, or a hundred, lost its decimal comma",
        ),
    ),
}
