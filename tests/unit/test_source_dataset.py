"""Declarations of datasets with a source: what contradicts itself, or others, is refused when it is declared."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from schemas.source_dataset import RestPages, Shows, SourceKind, SourceTable
from schemas.source_datasets.delivery import DATASET, DeliveryActivities
from schemas.source_tables import sourced_tables, staging_spec
from schemas.table_spec import Prediction, Served, TableSpec, registry
from schemas.tables import AIR_QUALITY_HOURLY, TABLES

TASKS, ACTIVITIES = DATASET.table("delivery_tasks"), DATASET.table("delivery_activities")


def test_a_table_of_states_is_cut_by_the_end_of_its_day_and_one_of_events_by_when_they_happened() -> None:
    states, events = staging_spec(DATASET, TASKS), staging_spec(DATASET, ACTIVITIES)
    assert (states.time_column, states.key, states.closed) == ("snapshot_at", ("task_id", "snapshot_at"), "right")
    assert (events.time_column, events.key) == ("occurred_at", ("activity_id", "occurred_at"))
    assert "title" not in TASKS.critical and {"task_id", "status", "updated_at"} <= set(TASKS.critical)
    assert "snapshot_at" not in TASKS.data_columns and "source_id" not in TASKS.data_columns


@pytest.mark.parametrize(
    ("table", "changed", "told"),
    [
        (TASKS, {"key": ("nobody",)}, "no column"),
        (TASKS, {"required": ("nobody",)}, "no column"),
        (TASKS, {"column_mapping": {"id": "nobody"}}, "no column"),
        (TASKS, {"column_mapping": {"a": "title", "b": "title"}}, "two columns of the source become one"),
        (TASKS, {"key": ("project_id",)}, "project_id tell rows apart and may not be null"),
        (TASKS, {"changed_at": "deadline"}, "deadline tell rows apart"),
        (TASKS, {"changed_at": "status"}, "status is no instant"),
        (TASKS, {"shows": Shows.EVENTS}, "models of states"),
        (ACTIVITIES, {"shows": Shows.STATE}, "models of states"),
        (ACTIVITIES, {"keeps_versions": True}, "events have no versions"),
        (TASKS, {"batch_size": 0}, "at least one row"),
        (TASKS, {"lag": timedelta(seconds=-1)}, "late by less than 0"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(table: SourceTable, changed: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        replace(table, **changed)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"name": "my delivery"}, "is no name"),
        ({"name": "Delivery"}, "is no name"),
        ({"first_day": "soon"}, "soon"),
        ({"requests_per_minute": 0}, "reads nothing"),
        ({"kind": SourceKind.REST}, "say how pages come"),
        ({"tables": (replace(TASKS, pages=RestPages(path="/tasks")),)}, "say how pages come"),
    ],
)
def test_a_dataset_that_contradicts_itself_is_refused(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        replace(DATASET, **changed)


class Loose(DeliveryActivities):
    """Events whose model forgets what tells them apart."""

    class Config:
        unique = ["activity_id"]


def test_a_model_says_what_tells_its_rows_apart() -> None:
    with pytest.raises(ValueError, match="unique = "):
        staging_spec(DATASET, replace(ACTIVITIES, staging=Loose))


def test_no_two_tables_have_a_name_or_a_view_in_common() -> None:
    registry(TABLES.values())
    first = sourced_tables(DATASET)[0]
    with pytest.raises(ValueError, match=first.name):
        registry([first], [replace(first, schema="timeseries")])
    with pytest.raises(ValueError, match="air_quality_hourly"):
        registry([AIR_QUALITY_HOURLY], [replace(AIR_QUALITY_HOURLY, name="other")])


DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("served", "told"),
    [
        (Served(view="v", ttl=timedelta(0)), "longer than nothing"),
        (Served(view="v", ttl=DAY, predicts=(Prediction(name="p", column="known_at", horizon=DAY),)), "no features"),
        (
            Served(view="v", ttl=DAY, predicts=(Prediction(name="p", column="aqi", horizon=timedelta(0)),)),
            "longer than",
        ),
        (Served(view="v", ttl=DAY, predicts=(Prediction(name="p", column="aqi", horizon=DAY),) * 2), "differ in name"),
    ],
)
def test_what_cannot_be_served_or_predicted_is_refused(served: Served, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        replace(AIR_QUALITY_HOURLY, served=served)


@pytest.mark.parametrize(
    ("changed", "told"),
    [({"unit": None, "key": ("datetime_utc",)}, "entities"), ({"known_at": None, "served": None}, "keeps history")],
)
def test_a_served_table_has_entities_and_one_with_history_says_when_rows_became_known(
    changed: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        bad: TableSpec = replace(AIR_QUALITY_HOURLY, **changed)
        assert bad
