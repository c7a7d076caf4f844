"""Meter readings as nested JSON documents: six periods of ten days, some of them with a difficulty.

Belongs here: the files of the dataset `meters`. Does not belong here: how they are read.

A reading depends on seed, meter and hour, not on the file it stands in.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from resources.landing.samples.truth import MISSING, OUT_OF_RANGE, TRUNCATED, LineTruth, SampleFile
from schemas.file_datasets.meters import DATASET
from schemas.window import ONE_DAY

DAYS_PER_FILE = 10
FILES = 6
ESTIMATED_CHANCE = 0.01


class Meter(NamedTuple):
    """`kw` is the mean power by day; the night has a third of it."""

    site_id: str
    zone: str
    meter_id: str
    kw: float


METERS = (
    Meter("berlin", "Europe/Berlin", "B-001", 42.0),
    Meter("berlin", "Europe/Berlin", "B-002", 7.5),
    Meter("pune", "Asia/Kolkata", "P-001", 118.0),
    Meter("pune", "Asia/Kolkata", "P-002", 23.0),
)


@dataclass
class _Reading:
    """One record on its way to a document, and the rule it breaks."""

    meter: Meter
    at: datetime
    fields: dict[str, Any]
    rule: str | None = None


def meter_files(last_day: date, seed: int) -> list[SampleFile]:
    """The files about the sixty UTC days up to `last_day`, in the order they come; one comes truncated first."""
    firsts = [last_day - (DAYS_PER_FILE * number - 1) * ONE_DAY for number in range(FILES, 0, -1)]
    periods = [_readings(first, seed) for first in firsts]
    _tell_in_utc(periods[1])
    _break_three(periods[2])
    _add_voltage(periods[3][len(periods[3]) // 2 :])
    for later in periods[4:]:
        _add_voltage(later)
    notes = (
        "Hourly readings of two sites; each site stamps them in its own zone, so offsets are mixed.",
        "One meter changes to UTC on the way: the hours stay the same hours.",
        'A negative energy and a reading without a time are put aside; an energy of "n/a" is loaded as not known.',
        "From the middle on readings have a new key, voltage_v.",
        "The document that was cut off before, now whole, under the same name.",
        "The ten days up to the last one, nothing special.",
    )
    files = [_file(first, readings, note) for first, readings, note in zip(firsts, periods, notes, strict=True)]
    return [*files[:4], _cut(files[4]), *files[4:]]


def _readings(first_day: date, seed: int) -> list[_Reading]:
    begin = datetime.combine(first_day, time(), tzinfo=UTC)
    return [
        _reading(number, begin + timedelta(hours=hour), seed)
        for number in range(len(METERS))
        for hour in range(24 * DAYS_PER_FILE)
    ]


def _reading(number: int, at: datetime, seed: int) -> _Reading:
    meter = METERS[number]
    local = at.astimezone(ZoneInfo(meter.zone))
    draw = np.random.default_rng([seed, number, int(at.timestamp()) // 3600])
    level = meter.kw * _share_of_day(local) * float(np.exp(0.08 * draw.normal()))
    return _Reading(
        meter,
        at,
        {
            "at": local.isoformat(),
            "energy_kwh": round(level, 3),
            "power_kw": round(level * draw.uniform(0.9, 1.1), 2),
            "status": "estimated" if draw.random() < ESTIMATED_CHANCE else "ok",
        },
    )


def _share_of_day(local: datetime) -> float:
    """1 in the early afternoon of a working day, a third at night and a bit more at weekends."""
    by_day = max(0.0, float(np.sin(np.pi * (local.hour - 5) / 17))) if 5 <= local.hour <= 22 else 0.0
    return 1 / 3 + 2 / 3 * by_day * (0.4 if local.weekday() >= 5 else 1.0)


def _tell_in_utc(readings: list[_Reading]) -> None:
    """The last meter's clock is told in UTC from the middle of the period on."""
    for reading in readings[-12 * DAYS_PER_FILE :]:
        reading.fields["at"] = reading.at.isoformat().replace("+00:00", "Z")


def _break_three(readings: list[_Reading]) -> None:
    unread, negative, timeless = (readings[len(readings) * part // 7] for part in (1, 3, 5))
    unread.fields["energy_kwh"] = "n/a"
    negative.fields["energy_kwh"], negative.rule = -negative.fields["energy_kwh"], OUT_OF_RANGE
    del timeless.fields["at"]
    timeless.rule = MISSING


def _add_voltage(readings: list[_Reading]) -> None:
    for reading in readings:
        reading.fields["voltage_v"] = round(231 - reading.fields["power_kw"] / 40, 1)


def _file(first_day: date, readings: list[_Reading], note: str) -> SampleFile:
    end = datetime.combine(first_day + DAYS_PER_FILE * ONE_DAY, time(3), tzinfo=UTC)
    document = {"exported_at": end.isoformat(), "sites": list(_sites(readings))}
    truth = tuple(
        LineTruth(line_no=number, fate="reject" if reading.rule else "row", rule=reading.rule)
        for number, reading in enumerate(readings, start=1)
    )
    return SampleFile(
        dataset=DATASET.name,
        name=f"readings_{first_day:%Y%m%d}.json",
        content=json.dumps(document, indent=1).encode(),
        truth=truth,
        note=note,
    )


def _sites(readings: list[_Reading]) -> Iterator[dict[str, Any]]:
    for site_id in dict.fromkeys(meter.site_id for meter in METERS):
        meters = [
            {
                "meter_id": meter.meter_id,
                "readings": [reading.fields for reading in readings if reading.meter is meter],
            }
            for meter in METERS
            if meter.site_id == site_id
        ]
        yield {"site_id": site_id, "meters": meters}


def _cut(whole: SampleFile) -> SampleFile:
    return replace(
        whole,
        content=whole.content[: len(whole.content) * 3 // 5],
        fate="rejected",
        rule=TRUNCATED,
        truth=(),
        note="A document that was cut off on its way: refused as a whole, though most of its readings can be read.",
    )
