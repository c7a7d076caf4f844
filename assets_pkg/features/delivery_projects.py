"""Features of projects: `features.project` from one day's snapshots of projects and tasks.

Belongs here: the definitions, one function per feature or family. Does not belong here: how tasks stood
(`delivery_state.py`), the parameters (`schemas/delivery.py`).

Cancelled tasks, and tasks of projects that the snapshot does not know, do not count. `total_tasks`, `completed_tasks`,
`in_progress_tasks` and `blocked_tasks` count the project's tasks that are there, done, in progress, and blocked
(`TasksAsOf`); one in progress may be blocked as well. `velocity_tasks_per_week` is the number done within
`velocity_window` over its length in weeks.

Source of the schedule performance index: Project Management Institute, The Standard for Earned Value Management (2019):
SPI = earned value / planned value.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from assets_pkg.features.delivery_links import all_named, link, links
from assets_pkg.features.delivery_state import TasksAsOf, snapshot, stamped
from assets_pkg.features.delivery_sums import (
    Codes,
    Flags,
    Floats,
    counts,
    distinct,
    for_all,
    instants,
    newest,
    quotient,
    totals,
)
from schemas.base import conform
from schemas.delivery import DELIVERY, DeliveryFeatures
from schemas.delivery_features import Project


def project_features(
    projects: pd.DataFrame, tasks: pd.DataFrame, *, as_of: datetime, settings: DeliveryFeatures = DELIVERY
) -> pd.DataFrame:
    """One row per project of the snapshot, in its order: exactly `schemas.delivery_features.Project`.

    Args:
        projects, tasks: shapes of `DeliveryProjects` and `DeliveryTasks` (columns that no feature needs may be absent);
            rows of snapshots other than that of `as_of` are ignored.
        as_of: aware; the END of a UTC day. What is stamped later has not happened.

    `known_at` is the newest of the project's row and of all tasks that are there by then: one that was taken from a
    project has made its numbers what they are.
    """
    state = TasksAsOf.of(snapshot(tasks, as_of), as_of)
    of = _Portfolio.of(snapshot(projects, as_of), state)
    total, done, spi = of.count(state.counts), of.count(state.is_done), schedule_performance_index(of)
    open_tasks = of.count(state.is_open)
    utilization = quotient(_euros(of.projects["spent_eur"]), _euros(of.projects["budget_eur"]))
    blocked, overdue = of.count(state.is_blocked), _share(of.count(state.is_overdue), open_tasks)
    columns = {
        "project_id": of.projects["project_id"].array,
        "event_timestamp": stamped(as_of, of.size),
        "total_tasks": total,
        "completed_tasks": done,
        "in_progress_tasks": of.count(state.is_in_progress),
        "blocked_tasks": blocked,
        "completion_pct": 100.0 * _share(done, total),
        "velocity_tasks_per_week": of.count(state.is_done_within(settings.velocity_window))
        / settings.weeks_of_velocity,
        "risk_score": risk_score(_share(blocked, open_tasks), overdue, utilization, spi, settings),
        "team_size": team_size(of, settings),
        "budget_utilization": utilization,
        "overdue_task_ratio": overdue,
        "schedule_performance_index": spi,
        "known_at": newest(instants(of.projects["known_at"]), for_all(of.size, state.known_at[state.is_there])),
    }
    return conform(pd.DataFrame(columns, copy=False), Project)


@dataclass(frozen=True)
class _Portfolio:
    """Projects and the tasks that belong to them."""

    projects: pd.DataFrame
    tasks: TasksAsOf
    task: Codes
    """Tasks that are there and belong to a known project."""
    project: Codes
    """The project of each."""

    @classmethod
    def of(cls, projects: pd.DataFrame, tasks: TasksAsOf) -> "_Portfolio":
        found = link(tasks.rows["project_id"], projects["project_id"])
        found = found.where(tasks.is_there[found.row])
        return cls(projects, tasks, found.row, found.thing)

    @property
    def size(self) -> int:
        return len(self.projects)

    def count(self, flags: Flags) -> Codes:
        """Per project, the number of its tasks for which the flag (one per task) holds."""
        return counts(self.project[flags[self.task]], self.size)

    def total(self, values: Floats, flags: Flags) -> Floats:
        """Per project, the sum of the values of such tasks."""
        chosen = flags[self.task]
        return totals(self.project[chosen], values[self.task[chosen]], self.size)


def schedule_performance_index(of: _Portfolio) -> Floats:
    """`schedule_performance_index`: EVM's SPI = earned value / planned value, both in hours of estimate.

    A task is due at its deadline, or with its project where it has none. Planned: tasks due by `as_of`; earned: tasks
    done, due by then or later. A task without any due date or without an estimate is no part of the plan and is left
    out of both. 1 is on plan, below 1 behind; NaN while nothing is due.
    """
    tasks = of.tasks
    due = tasks.stamps("deadline").copy()
    due_of_project = instants(of.projects["due_at"])[of.project]
    due[of.task] = np.where(np.isnat(due[of.task]), due_of_project, due[of.task])
    planned_h = of.total(tasks.estimated_h, tasks.counts & (due <= tasks.as_of))
    return quotient(of.total(tasks.estimated_h, tasks.is_done & ~np.isnat(due)), planned_h)


def risk_score(
    blocked: Floats, overdue: Floats, utilization: Floats, spi: Floats, settings: DeliveryFeatures
) -> Floats:
    """`risk_score`: weighted mean of four parts from 0 to 1: share of open tasks that are blocked, share that are
    overdue, budget overrun min(max(spent / budget - 1, 0), 1), and schedule slip max(1 - SPI, 0). A part that is
    unknown (no budget, nothing due) is left out, and its weight with it. 0 is none, 1 the most."""
    parts = np.stack([blocked, overdue, np.clip(utilization - 1.0, 0.0, 1.0), np.clip(1.0 - spi, 0.0, 1.0)])
    weights = np.array(
        [
            settings.risk_blocked_weight,
            settings.risk_overdue_weight,
            settings.risk_overrun_weight,
            settings.risk_slip_weight,
        ]
    )[:, None]
    is_known = ~np.isnan(parts)
    weighted = np.where(is_known, parts, 0.0) * weights
    return np.clip(weighted.sum(axis=0) / (is_known * weights).sum(axis=0), 0.0, 1.0)


def team_size(of: _Portfolio, settings: DeliveryFeatures) -> Codes:
    """`team_size`: users assigned to tasks of the project that are open or were done within `velocity_window`, each
    once; whoever the tasks name counts."""
    tasks = of.tasks
    project_of_task = np.full(len(tasks), -1)
    project_of_task[of.task] = of.project
    names = all_named(tasks.rows["assignees"])
    pairs = links(tasks.rows["assignees"], names)
    is_current = (tasks.is_open | tasks.is_done_within(settings.velocity_window)) & (project_of_task >= 0)
    pairs = pairs.where(is_current[pairs.row])
    once = distinct(project_of_task[pairs.row] * max(len(names), 1) + pairs.thing)
    return counts(once // max(len(names), 1), of.size)


def _share(part: Codes, whole: Codes) -> Floats:
    """`completion_pct` and `overdue_task_ratio`: part / whole, and 0 of nothing."""
    return np.nan_to_num(quotient(part, whole))


def _euros(column: pd.Series) -> Floats:
    """What `budget_utilization` divides: spent / budget, ratio; NaN with a budget of 0, or where one is unknown."""
    return column.to_numpy(dtype="float64")
