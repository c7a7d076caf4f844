"""Features of users: `features.user` from one day's snapshots of users and tasks and the activities before its end.

Belongs here: the definitions, one function per feature or family. Does not belong here: how tasks stood
(`delivery_state.py`), the parameters (`schemas/delivery.py`).

Sources: shrinkage is the mean of the beta-binomial posterior (Gelman et al., Bayesian Data Analysis, 3rd ed., 2.4);
work in progress and throughput are the flow metrics of the Kanban Guide (2020); the rest are plain means and counts.
Ids of tasks and users that the snapshots do not know are ignored. A cancelled task is nobody's.
"""

from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from assets_pkg.features.delivery_links import link
from assets_pkg.features.delivery_state import DAY, HOUR, Assignments, TasksAsOf, happened, instant, snapshot, stamped
from assets_pkg.features.delivery_sums import (
    Codes,
    Floats,
    Instants,
    counts,
    finite,
    for_all,
    instants,
    newest,
    quotient,
    totals,
)
from schemas.base import conform
from schemas.delivery import DELIVERY, DeliveryFeatures
from schemas.delivery_features import User
from schemas.source_datasets.delivery import SKILLS

YEAR = timedelta(days=365.2425)
"""Mean Gregorian year."""


def user_features(
    users: pd.DataFrame,
    tasks: pd.DataFrame,
    activities: pd.DataFrame,
    *,
    as_of: datetime,
    settings: DeliveryFeatures = DELIVERY,
) -> pd.DataFrame:
    """One row per user of the snapshot, in its order: exactly `schemas.delivery_features.User`.

    Args:
        users, tasks: shapes of `DeliveryUsers` and `DeliveryTasks` (columns that no feature needs may be absent); rows
            of snapshots other than that of `as_of` are ignored.
        activities: shape of `DeliveryActivities`, in any order; those outside `settings.activity_window` are ignored.
        as_of: aware; the END of a UTC day. What is stamped later has not happened.

    `known_at` is the newest of the snapshots' rows (of tasks, those that are there by then) and of the user's own
    activities: a user's numbers rest on tasks that do not name them as well, since one that was taken from them has
    made them what they are.
    """
    users = snapshot(users, as_of)
    size = len(users)
    state = TasksAsOf.of(snapshot(tasks, as_of), as_of)
    assigned = Assignments.of(state, users)
    activities = happened(activities, as_of, settings.activity_window)
    acted = link(activities["user_id"], users["user_id"])
    bugs = link(state.rows["attributed_to"], users["user_id"])
    bugs = bugs.where(_is_bug(state, settings)[bugs.row])

    done = _count_done(assigned, settings.evidence_window, size)
    workload_h = current_workload_h(assigned, size)
    columns = {
        "user_id": users["user_id"].array,
        "event_timestamp": stamped(as_of, size),
        **skill_scores(assigned, size, settings),
        "current_workload_hours": workload_h,
        "tasks_completed": _count_done(assigned, settings.aggregation_window, size),
        "avg_completion_time_hours": avg_completion_time_h(assigned, size, settings),
        "avg_collaborators": avg_collaborators(assigned, size, settings),
        "bug_rate": quotient(counts(bugs.thing, size), done),
        "years_experience": years_experience(users, as_of),
        "availability_pct": availability_pct(users, workload_h),
        "tasks_in_progress": counts(assigned.where(state.is_in_progress)[0].thing, size),
        "on_time_completion_rate": on_time_completion_rate(assigned, size, settings),
        "days_since_last_activity": _days_since(
            acted.thing, instants(activities["occurred_at"])[acted.row], size, as_of
        ),
        "known_at": newest(
            instants(users["known_at"]),
            for_all(size, instants(users["known_at"]), state.known_at[state.is_there]),
            (acted.thing, instants(activities["known_at"])[acted.row]),
        ),
    }
    return conform(pd.DataFrame(columns, copy=False), User)


def skill_scores(assigned: Assignments, size: int, settings: DeliveryFeatures) -> dict[str, Floats]:
    """`skill_score_<skill>`: share of the finished work that needed the skill, times its success rate, shrunk.

    A task done within `evidence_window` is evidence of weight 1 / assignees for each of them. With E the evidence of a
    user and S_k that of the tasks that needed skill k and were never reopened, share (E_k / E) times success rate
    (S_k / E_k) is S_k / E, shrunk to (S_k + n p) / (E + n) with the prior p = `skill_prior` worth n =
    `skill_shrinkage_tasks` tasks: the posterior mean of a beta-binomial. 0 to 1; p without any evidence. A task whose
    number of reopenings is unknown counts as never reopened.
    """
    tasks = assigned.tasks
    pairs, share = assigned.where(tasks.is_done_within(settings.evidence_window))
    weight = settings.skill_shrinkage_tasks
    is_success = ~(tasks.rows["reopened"].to_numpy(dtype="float64", na_value=0.0) > 0)
    evidence = totals(pairs.thing, share, size)
    scores = {}
    for number, skill in enumerate(SKILLS):
        counted = share * (tasks.needs[pairs.row, number] & is_success[pairs.row])
        shrunk = quotient(totals(pairs.thing, counted, size) + weight * settings.skill_prior, evidence + weight)
        scores[f"skill_score_{skill}"] = np.where(np.isnan(shrunk), settings.skill_prior, shrunk)
    return scores


def current_workload_h(assigned: Assignments, size: int) -> Floats:
    """`current_workload_hours`: effort still to come of the user's open tasks, h, each split equally between its
    assignees. A task without `remaining_h` has its estimate to come; one without either adds nothing."""
    pairs, share = assigned.where(assigned.tasks.is_open)
    return totals(pairs.thing, assigned.tasks.remaining_h[pairs.row] * share, size)


def avg_completion_time_h(assigned: Assignments, size: int, settings: DeliveryFeatures) -> Floats:
    """`avg_completion_time_hours`: mean of completed_at - started_at, h, over the user's tasks done within
    `evidence_window`. A task without a start, or with one after its end, has no such time; NaN without any task."""
    tasks = assigned.tasks
    taken_h = (tasks.completed_at - tasks.stamps("started_at")) / HOUR
    pairs, _ = assigned.where(tasks.is_done_within(settings.evidence_window) & (taken_h >= 0))
    return quotient(totals(pairs.thing, taken_h[pairs.row], size), counts(pairs.thing, size))


def avg_collaborators(assigned: Assignments, size: int, settings: DeliveryFeatures) -> Floats:
    """`avg_collaborators`: mean number of other known assignees per task of the user that is open or was done within
    `evidence_window`; NaN without any task."""
    tasks = assigned.tasks
    others = assigned.links.per_row(len(tasks)) - 1.0
    pairs, _ = assigned.where(tasks.is_open | tasks.is_done_within(settings.evidence_window))
    return quotient(totals(pairs.thing, others[pairs.row], size), counts(pairs.thing, size))


def years_experience(users: pd.DataFrame, as_of: datetime) -> Floats:
    """`years_experience`: experience when hired plus the time since, in years of 365.2425 days; NaN where one of the
    two is unknown. Who is hired after `as_of` has what they will bring along."""
    since = np.maximum((instant(as_of) - instants(users["hired_at"])) / np.timedelta64(YEAR), 0.0)
    return users["prior_experience_years"].to_numpy(dtype="float64") + since


def availability_pct(users: pd.DataFrame, workload_h: Floats) -> Floats:
    """`availability_pct`: 100 (1 - workload / capacity of a week), clipped to 0 to 100. Who is inactive, or has no
    capacity, is not available: 0; NaN where an active user's capacity is unknown."""
    capacity_h = users["capacity_h_per_week"].to_numpy(dtype="float64")
    free_pct = np.clip(100.0 * (1.0 - quotient(workload_h, capacity_h)), 0.0, 100.0)
    has_none = (capacity_h == 0) | ~users["is_active"].to_numpy(dtype=bool)
    return np.where(has_none, 0.0, free_pct)


def on_time_completion_rate(assigned: Assignments, size: int, settings: DeliveryFeatures) -> Floats:
    """`on_time_completion_rate`: of the user's tasks that had a deadline and were done within `evidence_window`, the
    share that was done by it (at it counts); 0 to 1, NaN without any such task."""
    tasks = assigned.tasks
    deadline = tasks.stamps("deadline")
    pairs, _ = assigned.where(tasks.is_done_within(settings.evidence_window) & ~np.isnat(deadline))
    is_on_time = (tasks.completed_at <= deadline)[pairs.row]
    return quotient(counts(pairs.thing[is_on_time], size), counts(pairs.thing, size))


def _count_done(assigned: Assignments, window: timedelta, size: int) -> Codes:
    """Tasks of the user done within the window: `tasks_completed`, and what `bug_rate` divides by."""
    return counts(assigned.where(assigned.tasks.is_done_within(window))[0].thing, size)


def _is_bug(state: TasksAsOf, settings: DeliveryFeatures) -> np.ndarray:
    """Bugs that `bug_rate` counts: found within `evidence_window`, and not cancelled (which were none)."""
    is_recent = state.stamps("created_at") > state.as_of - np.timedelta64(settings.evidence_window)
    return state.counts & is_recent & (state.rows["kind"] == "bug").to_numpy(dtype=bool)


def _days_since(user: Codes, occurred_at: Instants, size: int, as_of: datetime) -> Floats:
    """`days_since_last_activity`: time from the user's newest activity within `activity_window`, days; NaN without."""
    last = np.full(size, np.iinfo("int64").min)
    np.maximum.at(last, user, occurred_at.astype("int64"))
    return finite((instant(as_of) - last.view("datetime64[us]")) / DAY)
