"""Rules of the meter readings as staged; those of the series follow from the declaration (`series.py`).

Belongs here: what has to hold. Does not belong here: what the model says.
"""

from collections.abc import Mapping
from datetime import timedelta

from schemas.rules import Completeness, Distribution, Freshness, Range, Repeats, Rule, Severity, Uniqueness

RULES: Mapping[str, tuple[Rule, ...]] = {
    "staging.meter_readings": (
        Completeness(
            name="energy_is_there",
            columns=("energy_kwh",),
            severity=Severity.WARNING,
            tolerated_pct=5,
            least_rows=20,
            description="readings tell the energy used",
        ),
        Range(
            name="energy_is_plausible",
            columns=("energy_kwh",),
            maximum=10_000.0,
            unit="kWh",
            severity=Severity.WARNING,
            description="no site uses more between two readings",
        ),
        Range(
            name="power_is_plausible",
            columns=("power_kw",),
            maximum=10_000.0,
            unit="kW",
            severity=Severity.WARNING,
            description="no site draws more",
        ),
        Uniqueness(
            name="one_reading_per_meter_and_time",
            columns=("meter_id", "measured_at"),
            severity=Severity.WARNING,
            description="no reading came twice; the series count the newest",
        ),
        Repeats(
            name="meters_are_not_stuck",
            columns=("power_kw",),
            by=("meter_id",),
            ordered_by=("measured_at",),
            at_most=24,
            severity=Severity.INFO,
            description="no meter shows the same power all the time",
        ),
        Distribution(
            name="energy_scale_is_as_before",
            columns=("energy_kwh",),
            by=("meter_id",),
            look_back=timedelta(days=28),
            max_scale=100.0,
            least_rows=20,
            unit="kWh",
            severity=Severity.WARNING,
            description="a meter whose median is a hundredth or a hundredfold tells Wh or MWh",
        ),
        Freshness(
            name="readings_are_recent",
            columns=("measured_at",),
            max_age=timedelta(days=7),
            severity=Severity.INFO,
            description="what arrives on a day is about the days before it",
        ),
    ),
}
