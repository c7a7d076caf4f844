"""Features of tasks: `features.task` from one day's snapshot of tasks.

Belongs here: the definitions, one function per feature or family. Does not belong here: how tasks stood
(`delivery_state.py`), the parameters (`schemas/delivery.py`).

`priority` and `estimated_hours` are the snapshot's own (1 to 4; h, an infinite estimate being none), `requires_<skill>`
says whether the task lists the skill, `dependencies_count` how many other tasks of the snapshot it lists, done or not.
`is_blocked` is `TasksAsOf.is_blocked`: open, and standing at blocked or waiting for a task that is open.
"""

from datetime import datetime

import numpy as np
import pandas as pd

from assets_pkg.features.delivery_state import DAY, TasksAsOf, snapshot, stamped
from assets_pkg.features.delivery_sums import Floats, instants, newest
from schemas.base import conform
from schemas.delivery import DELIVERY, DeliveryFeatures
from schemas.delivery_features import Task
from schemas.source_datasets.delivery import SKILLS


def task_features(tasks: pd.DataFrame, *, as_of: datetime, settings: DeliveryFeatures = DELIVERY) -> pd.DataFrame:
    """One row per task of the snapshot, in its order: exactly `schemas.delivery_features.Task`.

    Args:
        tasks: shape of `DeliveryTasks` (columns that no feature needs may be absent); rows of snapshots other than
            that of `as_of` are ignored.
        as_of: aware; the END of a UTC day. What is stamped later has not happened.

    `known_at` is the newest of the task's row and those of the tasks it depends on.
    """
    state = TasksAsOf.of(snapshot(tasks, as_of), as_of)
    rows = state.rows
    links = state.dependencies
    columns = {
        "task_id": rows["task_id"].array,
        "event_timestamp": stamped(as_of, len(rows)),
        "complexity_score": complexity_score(state, settings),
        "priority": rows["priority"].array,
        "estimated_hours": state.estimated_h,
        **{f"requires_{skill}": state.needs[:, number] for number, skill in enumerate(SKILLS)},
        "dependencies_count": links.per_row(len(rows)),
        "deadline_urgency": deadline_urgency(state, settings),
        "days_until_deadline": days_until_deadline(state),
        "task_age_days": task_age_days(state),
        "is_blocked": state.is_blocked,
        "known_at": newest(instants(rows["known_at"]), (links.row, state.known_at[links.thing])),
    }
    return conform(pd.DataFrame(columns, copy=False), Task)


def complexity_score(state: TasksAsOf, settings: DeliveryFeatures) -> Floats:
    """`complexity_score`: weighted mean of three parts from 0 to 1: effort h / (h + h½) of the estimate, skills needed
    / 4, and dependencies n / (n + n½). Saturating, since the hundredth hour adds less than the first; without an
    estimate NaN."""
    effort = state.estimated_h / (state.estimated_h + settings.complexity_half_h)
    count = state.dependencies.per_row(len(state))
    total = (
        settings.complexity_effort_weight * effort
        + settings.complexity_skills_weight * state.needs.sum(axis=1) / len(SKILLS)
        + settings.complexity_dependencies_weight * count / (count + settings.complexity_half_dependencies)
    )
    return np.clip(total / settings.complexity_weights, 0.0, 1.0)


def deadline_urgency(state: TasksAsOf, settings: DeliveryFeatures) -> Floats:
    """`deadline_urgency`: exp(-days until the deadline / τ) of an open task, 1 from the deadline on, so that it rises
    without a step; 0 without a deadline, and of a task that is not open: nothing about it is urgent."""
    ahead = np.maximum(days_until_deadline(state), 0.0)
    return np.where(state.is_open, np.nan_to_num(np.exp(-ahead / settings.urgency_tau_days)), 0.0)


def days_until_deadline(state: TasksAsOf) -> Floats:
    """`days_until_deadline`: deadline - as of, in days of 24 h, negative behind it; NaN without a deadline."""
    return (state.stamps("deadline") - state.as_of) / DAY


def task_age_days(state: TasksAsOf) -> Floats:
    """`task_age_days`: as of - created_at, in days of 24 h; NaN where it is stamped later than `as_of`."""
    return np.where(state.is_there, (state.as_of - state.stamps("created_at")) / DAY, np.nan)
