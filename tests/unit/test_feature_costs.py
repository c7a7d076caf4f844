"""What a feature costs is how far it looks back: declared, or told by its name."""

import pytest

from schemas.delivery import DELIVERY
from schemas.feature_costs import look_back_h
from schemas.tables import TABLES

HOUR = 1 / 3600


def hours(window: object) -> float:
    return window.total_seconds() * HOUR  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("table", "feature", "expected"),
    [
        ("features.air_quality_hourly", "pm25_ugm3", 1.0),
        ("features.air_quality_hourly", "pm25_mean_24h_ugm3", 24.0),
        ("features.air_quality_hourly", "pm25_std_7d_ugm3", 168.0),
        ("features.air_quality_hourly", "pm25_nowcast_ugm3", 12.0),
        ("features.sales_features", "revenue_mean_28", 28 * 24.0),
        ("features.meters_features", "energy_lag_168", 168.0),
        ("features.user", "skill_score_backend", hours(DELIVERY.evidence_window)),
        ("features.user", "tasks_completed", hours(DELIVERY.aggregation_window)),
        ("features.user", "days_since_last_activity", hours(DELIVERY.activity_window)),
        ("features.user", "current_workload_hours", 24.0),
        ("features.project", "velocity_tasks_per_week", hours(DELIVERY.velocity_window)),
        ("features.team", "collaboration_score", hours(DELIVERY.velocity_window)),
        ("features.team", "team_size", 24.0),
        ("features.task", "priority", 24.0),
    ],
)
def test_a_feature_costs_what_it_looks_back(table: str, feature: str, expected: float) -> None:
    assert look_back_h(TABLES[table], feature) == pytest.approx(expected)
