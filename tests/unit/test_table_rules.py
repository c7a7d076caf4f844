"""The declared rules: they name what there is, hold on sound rows, and break on what they are about."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pandas as pd
import pytest

from assets_pkg.quality.validation import Context, Outcome, ValidationReport, validate
from schemas.file_tables import tables_of
from schemas.model_rules import model_rules
from schemas.rules import Kind, Reference, Rule, Severity
from schemas.source_datasets.delivery import DATASET
from schemas.source_tables import sourced_tables
from schemas.table_rules import declared_rules, rules_of
from schemas.table_spec import TableSpec
from schemas.tables import AIR_QUALITY, AIR_QUALITY_HOURLY, AIR_QUALITY_REPORT, TABLES
from tests.builders import FIRST_HOUR, feature_rows, report_rows, rows_of, series_rows, together
from tests.delivery_rows import AS_OF, ago, done, projects, tasks, users

NOW = datetime(2025, 6, 1, tzinfo=UTC)
DELIVERY = {spec.name: spec for spec in sourced_tables(DATASET)}
KNOWN = {
    ("staging.delivery_users", "user_id"): pd.Index(["u1", "u2"]),
    ("staging.delivery_teams", "team_id"): pd.Index(["m1"]),
    ("staging.delivery_projects", "project_id"): pd.Index(["p1"]),
    ("staging.delivery_tasks", "task_id"): pd.Index(["t0", "t1"]),
}
NAMED = [(spec, rule) for spec in TABLES.values() for rule in rules_of(spec)]


def judged(spec: TableSpec, rows: pd.DataFrame, before: pd.DataFrame | None = None) -> ValidationReport:
    return validate(
        rows,
        rules_of(spec),
        Context(
            now=NOW,
            until=AS_OF,
            identity=spec.identity,
            known=KNOWN,
            before=before,
            time_column=spec.time_column,
        ),
    )


def failed(report: ValidationReport) -> set[str]:
    return {one.rule.name for one in report.failed(Severity.ERROR, Severity.WARNING)}


def test_every_kind_is_declared_somewhere_and_every_declaration_is_of_a_table() -> None:
    assert {rule.kind for _, rule in NAMED} == set(Kind)
    assert set(declared_rules()) <= set(TABLES)
    assert {table for _, rule in NAMED if isinstance(rule, Reference) for table in (rule.table,)} <= set(TABLES)
    assert all(rule.key in TABLES[rule.table].columns for _, rule in NAMED if isinstance(rule, Reference))


@pytest.mark.parametrize(("spec", "rule"), NAMED, ids=lambda one: getattr(one, "name", ""))
def test_a_rule_says_what_it_is_about(spec: TableSpec, rule: Rule) -> None:
    assert rule.description and rule.name.isprintable() and " " not in rule.name
    assert set(rule.needs) <= set(spec.columns)
    assert all(isinstance(name, str) for name in rule.parameters)


@pytest.mark.parametrize("spec", TABLES.values(), ids=lambda spec: spec.qualified)
def test_what_the_model_says_holds_on_valid_rows(spec: TableSpec) -> None:
    rows = rows_of(spec, 3)
    report = validate(rows, model_rules(spec.model), Context(now=NOW))
    spec.model.validate(rows, lazy=True)
    assert [one.rule.name for one in report.failed()] == []
    assert validate(rows.head(0), rules_of(spec), Context(now=NOW)).failed() == []


BROKEN_TASKS: dict[str, dict[str, Any]] = {
    "started_after_created": {"created_at": ago(1), "started_at": ago(2)},
    "completed_after_started": done(ago(3), started_at=ago(2)),
    "done_says_when": {"status": "done"},
    "skills_are_known": {"skills": "backend|alchemy"},
    "assignees_exist": {"assignees": "u1|nobody"},
    "bug_authors_exist": {"attributed_to": "nobody"},
    "projects_exist": {"project_id": "p9"},
    "dependencies_exist": {"depends_on": "t9"},
    "snapshot_knows_no_future": {"updated_at": AS_OF + timedelta(seconds=1)},
    "kind_is_known": {"kind": "wish"},
    "between_1_and_4": {"priority": 5},
}
SOUND_TASK = {"assignees": "u1|u2", "project_id": "p1", "skills": "backend|devops", "started_at": ago(50)}


@pytest.mark.parametrize("name", BROKEN_TASKS)
def test_a_task_that_cannot_be_is_told(name: str) -> None:
    spec = DELIVERY["delivery_tasks"]
    sound = [{**SOUND_TASK}, {**SOUND_TASK, "depends_on": "t0"}]
    assert failed(judged(spec, tasks(*sound))) == set()
    report = judged(spec, tasks(sound[0], {**sound[1], **BROKEN_TASKS[name]}))
    assert failed(report) == {name}
    assert list(report.violations["position"]) == [1]


def test_when_most_references_lead_nowhere_the_day_is_held_back_and_without_the_other_table_it_is_not() -> None:
    spec = DELIVERY["delivery_tasks"]
    lost = tasks(*({**SOUND_TASK, "assignees": "gone"} for _ in range(12)))
    report = judged(spec, lost)
    assert report.is_blocking and report.of("most_assignees_exist").outcome is Outcome.FAILED
    few = judged(spec, tasks(*({**SOUND_TASK, "assignees": "u1" if n > 5 else "gone"} for n in range(12))))
    assert not few.is_blocking and failed(few) == {"assignees_exist"}
    alone = validate(lost, rules_of(spec), Context(now=NOW, until=AS_OF))
    assert not alone.is_blocking and alone.of("assignees_exist").outcome is Outcome.NOT_ENOUGH_DATA


def test_users_and_projects_that_cannot_be_are_told() -> None:
    assert failed(judged(DELIVERY["delivery_users"], users({"user_id": "u1", "team_id": "m9"}))) == {"teams_exist"}
    rows = projects({"project_id": "p1", "team_id": "m1", "started_at": ago(1), "due_at": ago(2)})
    assert failed(judged(DELIVERY["delivery_projects"], rows)) == {"due_after_started"}


SERIES_FAULTS: dict[str, dict[str, Any]] = {
    "unit_is_canonical": {"unit": "ppm"},
    "valid_hours_have_a_value": {"value": float("nan")},
    "valid_values_are_plausible": {"value": 1000.5},
    "flags_are_known": {"flags": "spike|odd"},
}


@pytest.mark.parametrize("name", SERIES_FAULTS)
def test_a_series_that_breaks_what_cleaning_promises_holds_its_day_back(name: str) -> None:
    sound = series_rows([12.0] * 24, is_valid=True)
    assert failed(judged(AIR_QUALITY, sound)) == set()
    bad = together(
        sound, series_rows([12.0], first=FIRST_HOUR, sensors_id=12).assign(**SERIES_FAULTS[name], is_valid=True)
    )
    report = judged(AIR_QUALITY, bad)
    assert report.is_blocking and {one.rule.name for one in report.failed(Severity.ERROR)} == {name}


def test_features_and_reports_that_contradict_themselves_are_told() -> None:
    order = {"pm25_min_24h_ugm3": 5.0, "pm25_mean_24h_ugm3": 4.0, "pm25_max_24h_ugm3": 6.0}
    assert "pm25_24h_in_order" in failed(judged(AIR_QUALITY_HOURLY, feature_rows(24, **order)))
    assert failed(judged(AIR_QUALITY_REPORT, report_rows(1, rows_filtered=3))) == {"ledger_adds_up"}
    assert failed(judged(AIR_QUALITY_REPORT, report_rows(1, hours_measured=30))) == {"no_more_hours_than_expected"}


def sales(prices: list[float], **columns: Any) -> pd.DataFrame:
    rows = rows_of(tables_of("sales").staging, len(prices))
    stamps = {"transaction_date": AS_OF - timedelta(days=1), "created_at": AS_OF}
    rows["transaction_id"] = pd.array([f"T{n}" for n in range(len(prices))], dtype=rows["transaction_id"].dtype)
    rows["product_name"] = pd.array(["Lamp"] * len(prices), dtype=rows["product_name"].dtype)
    for name, value in (stamps | {"price": prices} | columns).items():
        rows[name] = pd.Series(value if isinstance(value, list) else [value] * len(rows), dtype=rows[name].dtype)
    return rows


SALES_FAULTS: dict[str, Callable[[], pd.DataFrame]] = {
    "one_row_per_transaction": partial(sales, [9.5, 9.5], transaction_id="T1"),
    "recorded_after_sold": partial(sales, [9.5], created_at=AS_OF - timedelta(days=3)),
    "price_scale_is_as_before": partial(sales, [950.0 + n for n in range(30)]),
    "prices_and_quantities_are_there": partial(sales, [9.5] * 27 + [float("nan")] * 3),
    "region_is_known": partial(sales, [9.5], region="Atlantis"),
}


@pytest.mark.parametrize("name", SALES_FAULTS)
def test_sales_that_cannot_be_are_told(name: str) -> None:
    spec, before = tables_of("sales").staging, sales([9.5 + n % 3 for n in range(40)])
    before["arrived_at"] = pd.Series([AS_OF - timedelta(days=2)] * 40, dtype=before["arrived_at"].dtype)
    assert failed(judged(spec, sales([9.5 + n % 3 for n in range(30)]), before)) == set()
    assert failed(judged(spec, SALES_FAULTS[name](), before)) == {name}
