"""Real answers of OpenAQ, three weeks of eleven stations in Guadalajara, through the whole graph: every row is there,
once."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from schemas.tables import AIR_QUALITY, AIR_QUALITY_HOURLY, AIR_QUALITY_REPORT, OPENAQ_MEASUREMENTS, OPENAQ_TABLES
from tests.graph import Graph, checks_of, failure_of
from tests.openaq_stand_in import KEY, OpenAQStandIn

FIRST, LAST = date(2025, 9, 20), date(2025, 10, 10)
LAST_THAT_LOOKS_BACK = date(2025, 10, 18)
RECORDED = 20_716
CLASSES = ["loaded", "duplicate", "quarantined", "filtered"]
CHANGES = ["inserted", "changed", "vanished"]


@pytest.fixture
def pages(shared_data: Path) -> Path:
    """The recorded answers."""
    return shared_data / "openaq" / "guadalajara_v3"


@pytest.fixture
def graph(pages: Path, postgres_url: str, tmp_path: Path) -> Iterator[Graph]:
    """The product in mode `api`; its locations are those of the country."""
    with OpenAQStandIn.of_recorded(pages, limit=100_000) as api, dg.DagsterInstance.ephemeral() as instance:
        source = {"mode": "api", "country": "MX", "listed_locations": [], "api_url": api.url, "api_key": KEY}
        unlimited = {"per_minute": 100_000, "per_hour": 1_000_000}
        yield Graph(postgres_url, tmp_path, instance=instance, openaq=source | unlimited)


def test_every_recorded_row_is_accounted_for_and_running_again_changes_nothing(graph: Graph, pages: Path) -> None:
    result = graph.run(FIRST, LAST)
    assert result.success, failure_of(result)
    graph.settle(LAST_THAT_LOOKS_BACK)

    staging, series = graph.ledger(OPENAQ_MEASUREMENTS), graph.ledger(AIR_QUALITY)
    for ledger in (staging, series):
        assert ledger["read"].sum() == RECORDED
        assert (ledger["read"] == ledger[CLASSES].sum(axis=1)).all()
        assert ledger["is_closed"].all()
    assert staging[CLASSES].sum().to_dict() == {"loaded": RECORDED, "duplicate": 0, "quarantined": 0, "filtered": 0}
    assert (staging["loaded"] == series["read"].reindex(staging.index, fill_value=0)).all()
    assert staging["inserted"].sum() == RECORDED

    pd.testing.assert_frame_equal(_told(graph.rows(OPENAQ_MEASUREMENTS)), _recorded(pages), check_dtype=False)
    hours = graph.rows(AIR_QUALITY)[["location_id", "datetime_utc"]].drop_duplicates()
    features = graph.rows(AIR_QUALITY_HOURLY)[["location_id", "datetime_utc"]]
    assert len(features) == len(hours.merge(features)) == len(hours) > 3_000
    report = graph.rows(AIR_QUALITY_REPORT)
    assert report["rows_read"].sum() == RECORDED
    assert report["is_ledger_closed"].all()
    of_the_data = ("score_is_good", "warnings", "no_unexpected_anomalies")
    assert all(passed for name, passed in checks_of(result).items() if not name.endswith(of_the_data))
    assert graph.catalog.owed(OPENAQ_MEASUREMENTS) == []
    assert graph.dirty() == {}

    before = graph.digest()
    assert graph.run(FIRST, LAST).success
    assert graph.digest() == before
    assert graph.dirty() == {}
    for spec in OPENAQ_TABLES.values():
        assert not graph.ledger(spec).loc[FIRST:LAST, CHANGES].to_numpy().any()


def _told(rows: pd.DataFrame) -> pd.DataFrame:
    """What a row of staging says, in order."""
    columns = ["sensors_id", "datetime_utc", "datetime_local", "parameter", "units", "value"]
    return rows[columns].sort_values(columns[:2], ignore_index=True)


def _recorded(pages: Path) -> pd.DataFrame:
    """The same of the recorded pages, read without the product's code."""
    found = [
        {
            "sensors_id": int(file.name.split("_")[1]),
            "datetime_utc": result["period"]["datetimeTo"]["utc"],
            "datetime_local": result["period"]["datetimeTo"]["local"],
            "parameter": result["parameter"]["name"],
            "units": result["parameter"]["units"],
            "value": float(result["value"]),
        }
        for file in (pages / "measurements").iterdir()
        for result in json.loads(file.read_text(encoding="utf-8"))["results"]
    ]
    rows = pd.DataFrame(found)
    return _told(rows.assign(datetime_utc=pd.to_datetime(rows["datetime_utc"], utc=True).astype("datetime64[us, UTC]")))
