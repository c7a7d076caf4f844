"""Meter readings: energy and power of a site's meters, in nested JSON documents.

Belongs here: the declaration. Does not belong here: how it is read or computed.
"""

from datetime import timedelta

import pandera.pandas as pa

from schemas.base import Text, UtcTimestamp
from schemas.file_dataset import Arrival, FileDataset, Metric, Mode, StagedRows


class MeterReadings(StagedRows):
    """One row per reading of a document that fits its declaration."""

    site_id: Text = pa.Field(description="identifies the site")
    meter_id: Text = pa.Field(description="identifies the meter")
    measured_at: UtcTimestamp = pa.Field(description="when it was read, UTC")
    energy_kwh: float = pa.Field(nullable=True, ge=0, description="energy used since the reading before, kWh")
    power_kw: float = pa.Field(nullable=True, ge=0, description="power at the time of reading, kW")
    status: Text = pa.Field(nullable=True, description="what the meter says of itself, if anything")


DATASET = FileDataset(
    name="meters",
    description="Readings of electricity meters: documents of sites, their meters and their readings.",
    staging=MeterReadings,
    staging_table="meter_readings",
    event_time="measured_at",
    key=("meter_id", "measured_at"),
    entities=("site_id", "meter_id"),
    metrics=(
        Metric(
            name="energy",
            unit="kWh",
            how="sum",
            of=("energy_kwh",),
            description="energy used in the hour",
            valid=(0, 10_000),
        ),
        Metric(
            name="power",
            unit="kW",
            how="mean",
            of=("power_kw",),
            description="mean of the power readings of the hour",
            valid=(0, 10_000),
        ),
    ),
    cadence=timedelta(hours=1),
    windows=(24, 168),
    lags=(1, 24, 168),
    mode=Mode.QUARANTINE,
    arrivals={
        "site_id": Arrival(aliases=("sites.site_id", "sites.id")),
        "meter_id": Arrival(aliases=("sites.meters.meter_id", "sites.meters.id")),
        "measured_at": Arrival(aliases=("at", "read at")),
        "energy_kwh": Arrival(aliases=("energy",), unit="kWh", minimum=0),
        "power_kw": Arrival(aliases=("power",), unit="kW", minimum=0),
    },
    records_path=("sites", "[]", "meters", "[]", "readings", "[]"),
    first_day="2015-01-01",
)
